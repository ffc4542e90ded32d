"""The grid of warping paths as a recurrence that is written from the moves of a step pattern."""

from __future__ import annotations

from typing import Any

from dagdp import Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import positive
from dagdp.graphs.warping.steps import Move, Moves, Read, entries_of, moves_of, pays_rows, reads_of, span

FIRST_CELL = 1  # the node of cell (0, 0); cell (i, j) is node 1 + i·N_B + j, also where no path leads
BEGINS = ("corner", "row", "border")
LAST_CELLS = {
    "corner": "return v[-1, -1]",
    "each": "return min[i, j](v[i, j])",
    "row": "return min[j](v[-1, j])",
    "border": """done = min(min[j](v[-1, j] + last_row[j]), min[i](when(i < ROWS, v[i, -1] + last_column[i])))
return done""",
    "anywhere": "done = min[i, j](v[i, j] + finish[i, j])\nreturn done",
}


def warping(
    N_A: int,
    N_B: int,
    steps: Any = "symmetric1",
    begin: str = "corner",
    end: str = "corner",
    penalty: bool = False,
    window: bool = False,
) -> Graph:
    """Warping paths of two series by the moves of a step pattern: costs, minimised.

    v[i, j], node 1 + i·N_B + j, is the least cost of a path to cell (i, j), `cost` (N_A, N_B) the cost of matching i
    with j. A move reads the node where it begins, and pays the costs of the cells that it enters, each times a weight.
    Sakoe and Chiba (1978), table I; Rabiner and Juang (1993), table 4.5.

    steps : as `moves_of` takes them: a name, moves, or a pattern of dtw-python.
    begin : "corner": cell (0, 0). "row": any cell of row 0, as with dtw-python's open begin; patterns that pay for rows
        alone may also begin with a move from in front of row 0, as there. "border": the cells of row 0 and of column 0,
        at a cost `first_row` (N_B,) or `first_column` (N_A,), +inf where no path begins.
    end : "corner": cell (-1, -1). "each": the cell that `end=` of a call names. "row": any cell of the last row.
        "border": the cells of the last row and of the last column, at a cost `last_row` (N_B,) or `last_column` (N_A,),
        +inf where no path ends. "anywhere": any cell, at a cost `finish` (N_A, N_B), for items of different lengths; a
        call takes about ten times as long as with "row". "row", "border" and "anywhere" add one node.
    penalty : a potential `penalty` () is paid for each step that is not along the diagonal.
    window : a potential `window` (N_A, N_B) is paid at each node, +inf for a cell outside.

    Raises GraphError for sizes below 1, and for steps, a begin or an end of another form.

    >>> print(warping(4, 5, "symmetricP1").text)
    v[0, 0] = cost[0, 0]
    v[i, j] = min(
        v[i-1, j-2] + 2*cost[i, j-1] + cost[i, j],
        v[i-1, j-1] + 2*cost[i, j],
        v[i-2, j-1] + 2*cost[i-1, j] + cost[i, j])
    return v[-1, -1]
    """
    positive("warping", N_A=N_A, N_B=N_B)
    for name, given, known in (("begin", begin, BEGINS), ("end", end, tuple(LAST_CELLS))):
        if given not in known:
            raise GraphError(f"{name}={given!r}; expected one of {', '.join(map(repr, known))}")
    moves = moves_of(steps)
    at = " + window[{}, {}]" if window else ""
    lines = _first_cells(moves, begin, int(N_A), at)
    paid = [_move(move, penalty) + at.format("i", "j") for move in moves]
    lines.append(f"v[i, j] = min({_listed(paid)})")
    text = "\n".join([*lines, *LAST_CELLS[end].splitlines()]).replace("ROWS", str(N_A - 1))
    shapes: dict[str, tuple[int, ...]] = {"cost": (N_A, N_B), "finish": (N_A, N_B), "window": (N_A, N_B), "penalty": ()}
    shapes |= {f"{place}_row": (N_B,) for place in ("first", "last")}
    shapes |= {f"{place}_column": (N_A,) for place in ("first", "last")}
    return recurrence(text, {name: shape for name, shape in shapes.items() if name in text}, i=N_A, j=N_B)


def _first_cells(moves: Moves, begin: str, rows: int, at: str) -> list[str]:
    """The lines of the cells where paths begin."""
    if begin == "corner":
        return ["v[0, 0] = cost[0, 0]" + at.format(0, 0)]
    if begin == "border":
        return [
            "v[0, j] = first_row[j] + cost[0, j]" + at.format(0, "j"),
            "v[i, 0] = when(i > 0, first_column[i] + cost[i, 0]" + at.format("i", 0) + ")",
        ]
    if not pays_rows(moves):
        return ["v[0, j] = cost[0, j]" + at.format(0, "j")]
    lines = []
    for (ahead, reads), columns in entries_of(moves).items():
        if ahead <= rows:
            paid = _paid(reads, ahead - 1) + at.format(ahead - 1, "j")
            lines.append(f"v[{ahead - 1}, j] = " + (f"when(j >= {columns}, {paid})" if columns else paid))
    return lines


def _move(move: Move, penalty: bool) -> str:
    """The alternative of one move into v[i, j].

    >>> _move(((1, 1, 2.0), (0, 1, 0.5)), True)
    'v[i-1, j-2] + penalty + 2*cost[i, j-1] + 0.5*cost[i, j]'
    """
    aside = sum(di != dj for di, dj, _ in move) if penalty else 0
    paid = [] if aside == 0 else ["penalty" if aside == 1 else f"{aside}*penalty"]
    rows, columns = span(move)
    costs = _paid(tuple(reads_of(move)))
    return " + ".join([f"v[{_back('i', rows)}, {_back('j', columns)}]", *paid, *([costs] if costs else [])])


def _paid(reads: tuple[Read, ...], row: int | None = None) -> str:
    """The costs that a move pays, seen from cell (i, j), or from cell (row, j)."""
    terms = []
    for rows, columns, weight in reads:
        if weight != 0:
            place = f"cost[{_back('i', rows) if row is None else row - rows}, {_back('j', columns)}]"
            terms.append(place if weight == 1 else f"{weight:.17g}*{place}")
    return " + ".join(terms)


def _back(index: str, steps: int) -> str:
    return f"{index}-{steps}" if steps else index


def _listed(alternatives: list[str]) -> str:
    return alternatives[0] if len(alternatives) == 1 else "\n    " + ",\n    ".join(alternatives)
