"""The alignment grid of dynamic time warping: all cells, or the cells of a band about the line between two corners."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import Graph, GraphError, recurrence

Numbers = NDArray[np.int64]

DTW = """
    v[0, 0] = cost[0, 0]
    v[i, j] = max(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]
    return v[-1, -1]
"""
#: The cells of some rows, numbered row by row. above[c] is the cell in the row before, in the column of cell c.
ROWS_OF_CELLS = """
    v[c] = max(
        when(c == 0, 0),
        when(diagonal[c], v[above[c] - 1]),
        when(down[c], v[above[c]]),
        when(right[c], v[c-1])) + cost[ENTRY]
    return v[last]
"""


class Rows(NamedTuple):
    """The cells (i, low[i]) to (i, high[i]) of each row i. Neither bound ever falls, and neighbouring rows touch."""

    low: Numbers
    high: Numbers

    @property
    def width(self) -> Numbers:
        """[rows] cells of each row."""
        wide: Numbers = self.high - self.low + 1
        return wide

    @property
    def shift(self) -> Numbers:
        """[rows] cell (i, j) is number shift[i] + j."""
        shift: Numbers = np.cumsum(self.width) - self.width - self.low
        return shift

    def places(self) -> tuple[Numbers, Numbers]:
        """(i, j) of each cell, [cells] each."""
        i = np.repeat(np.arange(self.low.size), self.width)
        return i, np.arange(i.size) - self.shift[i]

    def graph(self, potential: tuple[int, ...], entry: str, **data: Numbers) -> Graph:
        """The graph of these cells with moves diagonal, down, right, which reads `cost` of the shape `potential`.

        entry : the subscripts of the cost of a cell, in c and the data.
        """
        i, j = self.places()
        first, inside = i == 0, (j >= self.low[i - 1]) & (j <= self.high[i - 1])
        behind = (j > self.low[i - 1]) & (j <= self.high[i - 1] + 1)
        return recurrence(
            ROWS_OF_CELLS.replace("ENTRY", entry),
            {"cost": potential},
            c=i.size,
            above=self.shift[i - 1] + j,
            diagonal=behind & ~first,
            down=inside & ~first,
            right=j > self.low[i],
            last=np.array(i.size - 1),
            **data,
        )


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
    positive("dtw_grid", N_A=N_A, N_B=N_B)
    if band is None:
        return recurrence(DTW, {"cost": (N_A, N_B)}, i=N_A, j=N_B)
    rows = rows_of(N_A, N_B, band)
    i, j = rows.places()
    return rows.graph((N_A, N_B), "i[c], j[c]", i=i, j=j)


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
