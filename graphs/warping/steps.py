"""Step patterns: the moves of a warping path, and how often each move pays the costs of the cells that it enters."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from dagdp import GraphError

Step = tuple[int, int, float]  # rows, columns, and how often the cost of the cell behind the step is paid
Move = tuple[Step, ...]  # steps from one node of the path to the next; cells between them are passed
Moves = tuple[Move, ...]
Read = tuple[int, int, float]  # rows back, columns back, weight

#: Rabiner and Juang (1993), table 4.5: the paths of each type. "11+10" is a step (1, 1), then a step (1, 0).
RABINER_JUANG = {
    "1": "10 11 01",
    "2": "11+10 11 11+01",
    "3": "21 11 12",
    "4": "11+10 12+10 11 12",
    "5": "11+10+10 11+10 11 11+01 11+01+01",
    "6": "11+11+10 11 11+11+01",
    "7": "11+10+10 12+10+10 13+10+10 11+10 12+10 13+10 11 12 13",
}
#: Sakoe and Chiba (1978), table I: at most so many steps aside for each step along the diagonal.
SAKOE_CHIBA = {
    "P0": "11 10 01",
    "P05": "11+01+01 11+01 11 11+10 11+10+10",
    "P1": "11+01 11 11+10",
    "P2": "11+11+01 11 11+11+10",
}
#: The weight of a step (rows, columns) by Rabiner and Juang's letters.
WEIGHTS = {
    "a": lambda rows, columns: min(rows, columns),
    "b": lambda rows, columns: max(rows, columns),
    "c": lambda rows, columns: rows,
    "d": lambda rows, columns: rows + columns,
}
#: name: paths, letter of the weights, whether the weights of a move are averaged
NAMED = {
    "symmetric1": (SAKOE_CHIBA["P0"], "b", False),
    "symmetric2": (SAKOE_CHIBA["P0"], "d", False),
    "asymmetric": ("10 11 12", "c", False),
    "rigid": ("11", "c", False),
    **{f"symmetric{name}": (paths, "d", False) for name, paths in SAKOE_CHIBA.items()},
    **{f"asymmetric{name}": (paths, "c", True) for name, paths in SAKOE_CHIBA.items()},
}


def moves_of(steps: Any) -> Moves:
    """The moves of a pattern: a name, moves of one's own, or a `StepPattern` of dtw-python.

    A move is a sequence of steps (rows, columns, weight). Each step enters a cell and pays `weight` times its cost;
    only the last cell of a move is a node of the path. Names are those of dtw-python (symmetric1, symmetric2,
    asymmetric, symmetricP0, symmetricP05, symmetricP1, symmetricP2, asymmetricP0 to asymmetricP2, rigid), and
    rabiner-juang-4c for `rabinerJuangStepPattern(4, "c")`, with an s behind the letter where weights are smoothed.

    Raises GraphError for an unknown name, and for moves that are no such sequences.

    >>> moves_of("symmetric2")
    (((1, 1, 2.0),), ((1, 0, 1.0),), ((0, 1, 1.0),))
    >>> moves_of([[(1, 1, 2), (0, 1, 1)], [(1, 1, 2)], [(1, 1, 2), (1, 0, 1)]]) == moves_of("symmetricP1")
    True
    """
    if isinstance(steps, str):
        return _named(steps)
    rows = getattr(steps, "mx", None)
    return _of_rows(np.asarray(rows, float)) if rows is not None else _checked(steps)


def reads_of(move: Move) -> list[Read]:
    """The cells whose costs a move pays, seen from its last cell, the first cell first.

    >>> reads_of(((1, 1, 2.0), (0, 1, 1.0)))
    [(0, 1, 2.0), (0, 0, 1.0)]
    """
    reads, rows, columns = [], 0, 0
    for di, dj, weight in reversed(move):
        reads.append((rows, columns, weight))
        rows, columns = rows + di, columns + dj
    return reads[::-1]


def span(move: Move) -> tuple[int, int]:
    """The rows and the columns from the node before a move to the node behind it.

    >>> span(((1, 1, 2.0), (0, 1, 1.0)))
    (1, 2)
    """
    return sum(step[0] for step in move), sum(step[1] for step in move)


def pays_cells_only(moves: Moves) -> bool:
    """Whether each move is a single step of a weight above 0, so that a cell of cost +inf lies on no path."""
    return all(len(move) == 1 and move[0][2] > 0 for move in moves)


def leads_on(moves: Moves) -> bool:
    """Whether the corner of a grid is reached from each of its cells: there are moves along either side.

    >>> [leads_on(moves_of(name)) for name in ("symmetric2", "asymmetric")]
    [True, False]
    """
    return {(1, 0), (0, 1)} <= set(map(span, moves))


def pays_rows(moves: Moves) -> bool:
    """Whether each move pays a total weight of its rows: paths of n rows then have one total weight, n.

    dtw-python allows an open begin for these patterns alone (normalisation "N").

    >>> [pays_rows(moves_of(name)) for name in ("asymmetric", "rabiner-juang-4c", "symmetric2")]
    [True, True, False]
    """
    return all(math.isclose(sum(step[2] for step in move), span(move)[0]) for move in moves)


def entries_of(moves: Moves) -> dict[tuple[int, tuple[Read, ...]], int]:
    """{(rows, reads): fewest columns} of moves that begin in front of the first row; moves of equal reads count once.

    >>> entries_of(moves_of("asymmetric"))
    {(1, ((0, 0, 1.0),)): 0}
    """
    found: dict[tuple[int, tuple[Read, ...]], int] = {}
    for move in moves:
        (rows, columns), reads = span(move), tuple(reads_of(move))
        if rows:
            found[rows, reads] = min(columns, found.get((rows, reads), columns))
    return found


def _named(name: str) -> Moves:
    found = re.fullmatch("rabiner-juang-([1-7])([a-d])(s?)", name)
    if found:
        paths, letter, smoothed = RABINER_JUANG[found[1]], found[2], bool(found[3])
    elif name in NAMED:
        paths, letter, smoothed = NAMED[name]
    else:
        raise GraphError(f"steps={name!r}; expected one of {', '.join(NAMED)}, rabiner-juang-1a to -7d, or moves")
    moves = []
    for path in paths.split():
        steps = [(int(step[0]), int(step[1])) for step in path.split("+")]
        weights = [float(WEIGHTS[letter](*step)) for step in steps]
        weights = [sum(weights) / len(weights)] * len(weights) if smoothed else weights
        moves.append(tuple((*step, weight) for step, weight in zip(steps, weights, strict=True)))
    return tuple(moves)


def _of_rows(rows: Any) -> Moves:
    """The moves of a table of dtw-python: pattern, rows back, columns back, and -1 or a weight."""
    moves = []
    for number in dict.fromkeys(rows[:, 0].tolist()):
        cells = rows[rows[:, 0] == number, 1:]
        if cells[-1, :2].any():  # a move that pays nothing ends in front of its last cell
            cells = np.concatenate([cells, np.zeros((1, 3))])
        steps = cells[:-1, :2] - cells[1:, :2]
        moves.append([(*map(int, step), weight) for step, weight in zip(steps, cells[1:, 2].tolist(), strict=True)])
    return _checked(moves)


def _checked(moves: Any) -> Moves:
    """Moves as tuples. Raises GraphError for what is no sequence of sequences of (rows, columns, weight)."""
    try:
        made = tuple(tuple((int(di), int(dj), float(weight)) for di, dj, weight in move) for move in moves)
        exact = all(
            (di, dj) == tuple(step[:2]) for move, own in zip(made, moves, strict=True)
            for (di, dj, _), step in zip(move, own, strict=True)
        )  # fmt: skip
    except (TypeError, ValueError):
        made, exact = (), False
    ahead = all(
        di >= 0 and dj >= 0 and di + dj > 0 and math.isfinite(weight) for move in made for di, dj, weight in move
    )
    if not made or not exact or not all(made) or not ahead:
        raise GraphError(
            f"steps={moves!r}; expected moves, each a sequence of steps (rows, columns, weight) with whole numbers of "
            "rows and columns, at least 0 and not both 0, and a finite weight; or the name of a pattern"
        )
    return made
