"""The alignment grid of dynamic time warping: all cells, or the cells of a band about the line between two corners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import Graph, GraphError

Numbers = NDArray[np.int64]
AT_ONCE = 1 << 18  # cells of the rows that are listed at a time, so that temporary arrays stay in cache


class Rows(NamedTuple):
    """The cells (i, low[i]) to (i, high[i]) of each row i. Neither bound ever falls, and neighbouring rows touch."""

    low: Numbers
    high: Numbers

    @property
    def cells(self) -> int:
        """The number of cells."""
        return int((self.high - self.low + 1).sum())

    @property
    def shift(self) -> Numbers:
        """[rows] cell (i, j) is node shift[i] + j: node 0 is the start, and the cells follow row by row."""
        width = self.high - self.low + 1
        shift: Numbers = 1 + np.cumsum(width) - width - self.low
        return shift

    def before(self) -> Rows:
        """The bounds of the row before each row; the bounds before the first row contain no cell."""
        return Rows(np.append(self.high[-1] + 2, self.low[:-1]), np.append(-1, self.high[:-1]))

    def edges(self) -> Numbers:
        """[rows] the number of edges into the cells of each row, the edge from the start included."""
        before = self.before()
        down = np.minimum(self.high, before.high) - np.maximum(self.low, before.low) + 1
        diagonal = np.minimum(self.high, before.high + 1) - np.maximum(self.low, before.low + 1) + 1
        into: Numbers = np.maximum(down, 0) + np.maximum(diagonal, 0) + self.high - self.low
        into[0] += 1
        return into


def dtw_grid(N_A: int, N_B: int, band: int | None = None) -> Graph:
    """The alignment grid: a start node 0, then cells (i, j) row by row; moves diagonal, down, right.

    One potential `cost` (N_A, N_B), paid on entering a cell, the first cell included. Edges are listed cell by cell.
    The edges into a cell have the order diagonal (from i-1, j-1), down (from i-1), right (from j-1), which decides ties
    under HardMax. Without a band cell (i, j) is node 1 + i·N_B + j, and `dag.ends_of((n_a, n_b))` has the ends of pairs
    of these lengths. With a band its cells alone are nodes, row by row, and the graph has no ends by length.

    N_A, N_B : the lengths of the two series, at least 1.
    band : include only cells at most `band` cells away from the line between the two corners, counted along the
        longer series (Sakoe-Chiba, slanted for unequal lengths); 0: the cells nearest to the line. Every band contains
        both corners and is connected, and `dtw_grid(m, n, band)` is the transpose of `dtw_grid(n, m, band)`. Time and
        memory are proportional to the cells of the band.

    Raises GraphError for sizes below 1, and for a band that is no whole number of cells.

    >>> dtw_grid(3, 4).num_edges
    24
    >>> dtw_grid(3000, 4000, band=1).num_nodes
    8001
    """
    rows = rows_of(N_A, N_B, band)
    return Graph.from_maker(
        _edges_of_grid,
        (N_A, N_B, band),
        num_nodes=1 + rows.cells,
        num_edges=int(rows.edges().sum()),
        starts=[0],
        ends=[rows.cells],
        potentials={"cost": (N_A, N_B)},
        ends_by_length=(1, (N_A, N_B)) if band is None else None,
    )


def rows_of(N_A: int, N_B: int, band: int | None) -> Rows:
    """The cells of each row of `dtw_grid(N_A, N_B, band)`.

    >>> [bound.tolist() for bound in rows_of(3, 5, 0)]
    [[0, 1, 3], [1, 3, 4]]
    """
    positive("dtw_grid", N_A=N_A, N_B=N_B)
    i = np.arange(N_A, dtype=np.int64)
    if band is None:
        return Rows(np.zeros(N_A, np.int64), np.full(N_A, N_B - 1))
    check_band(band)
    return Rows(*bounds(i, int(N_A), int(N_B), int(band)))


def bounds(i: Numbers, n_a: Any, n_b: Any, band: int) -> tuple[Numbers, Numbers]:
    """(low, high): the first and last column of the band in rows i of grids n_a x n_b; arrays broadcast.

    Computed in integers, from the line between the corners, so that the transposed grid cannot be rounded differently:
    cell (i, j) is inside where 2 |i (n_b - 1) - j (n_a - 1)| is at most `reach`. Half a cell to each side of the line
    always contains a connected path.
    """
    along, across = np.asarray(n_a) - 1, np.asarray(n_b) - 1
    reach = max(2 * band, 1) * np.maximum(along, across)
    middle, step = 2 * i * across, 2 * np.maximum(along, 1)
    low, high = -((reach - middle) // step), (middle + reach) // step
    one_row = along == 0
    low, high = np.where(one_row, 0, low), np.where(one_row, across, high)
    return np.maximum(low, 0), np.minimum(high, across)


def check_band(band: Any) -> None:
    """Raise GraphError unless `band` is a whole number of cells."""
    if isinstance(band, bool) or not isinstance(band, int | np.integer) or band < 0:
        raise GraphError(f"band={band!r}; expected a whole number of cells, at least 0, or None for the full grid")


def positive(builder: str, **sizes: Any) -> None:
    """Raise GraphError unless every size is a whole number, at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise GraphError(f"{builder} was given {name}={size!r}; expected a whole number, at least 1")


def _edges_of_grid(N_A: int, N_B: int, band: int | None) -> tuple[Any, Any, list[Any]]:
    rows = rows_of(N_A, N_B, band)
    parents, children = edges_of_rows(rows)
    if band is None:
        return parents, children, [children - 1]
    width = rows.high - rows.low + 1
    ahead = np.repeat((np.arange(N_A) * N_B - rows.shift).astype(np.int32), width)  # from a cell's node to its entry
    return parents, children, [children + ahead[children - 1]]


def edges_of_rows(rows: Rows) -> tuple[Any, Any]:
    """(parents, children) int32 [edges] of the moves between the cells of these rows, cell by cell."""
    edges = rows.edges()
    ends = np.cumsum(edges)
    parents, children = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.int32)
    parents[0], children[0] = 0, 1
    low_before, high_before = (bound.astype(np.int32) for bound in rows.before())
    shift, low = rows.shift.astype(np.int32), rows.low.astype(np.int32)
    for first, last in _row_blocks(rows):
        width = (rows.high - rows.low + 1)[first:last]
        i = np.repeat(np.arange(first, last, dtype=np.int32), width)
        node = np.arange(shift[first] + low[first], shift[last - 1] + rows.high[last - 1] + 1, dtype=np.int32)
        j = node - shift[i]
        above = shift[i - 1] + j  # not read in the first row, which has no move from above
        down = (j >= low_before[i]) & (j <= high_before[i])
        diagonal = (j > low_before[i]) & (j - 1 <= high_before[i])
        fan = diagonal.astype(np.int8) + down + (j > low[i])
        begin = ends[first] - edges[first] + (first == 0)
        place = begin + np.cumsum(fan) - fan
        for there, parent in ((diagonal, above - 1), (down, above), (j > low[i], node - 1)):
            parents[place[there]] = parent[there]
            place += there
        children[begin : ends[last - 1]] = np.repeat(node, fan)
    return parents, children


def _row_blocks(rows: Rows) -> Iterator[tuple[int, int]]:
    """Ranges (first, last) of rows that are listed together."""
    cells = np.cumsum(rows.high - rows.low + 1)
    first, done = 0, 0
    while first < cells.size:
        last = max(first + 1, int(np.searchsorted(cells, done + AT_ONCE)))
        yield first, last
        first, done = last, cells[last - 1]
