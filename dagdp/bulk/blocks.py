"""One block of a matrix of distances: each of some series against each of others, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import Omega
from dagdp.graphs import dtw_grid, dtw_value
from dagdp.graphs.ragged.compiled_cache import compiled, power_of_two
from dagdp.graphs.warping.costs import series_costs

Array = NDArray[Any]
TARGET_BYTES = 4 << 20  # of the costs of a batch: what a core's caches hold
MOST_BYTES = 64 << 20  # of the costs of a batch of up to LEAST_PAIRS pairs
LEAST_PAIRS = 8
MOST_PAIRS = 256


@dataclass(frozen=True)
class Distance:
    """The options of `dagdp.graphs.dtw_value`, with its defaults."""

    omega: Omega | None = None
    cost: Any = "squared_euclidean"
    band: int | None = None
    steps: Any = "symmetric1"
    window: Any = None
    open_begin: bool = False
    open_end: bool = False
    psi: Any = None
    penalty: float | None = None

    @property
    def warping(self) -> dict[str, Any]:
        """All options but the operator and the cost, as keyword arguments."""
        names = ("band", "steps", "window", "open_begin", "open_end", "psi", "penalty")
        return {name: getattr(self, name) for name in names}

    @property
    def is_plain(self) -> bool:
        """Whether the graph is the alignment grid of all cells."""
        return self.warping == Distance().warping


def block_of(rows: Sequence[Array], columns: Sequence[Array], distance: Distance, half: bool = False) -> Array:
    """[len(rows), len(columns)]: the distance of each series of `rows` from each of `columns`, in their dtype.

    rows, columns : series [n_i, d] of one dtype and one d. Squared distances are |x|² - 2 <x, y> + |y|², so the mean of
        all frames should be near 0.
    half : rows and columns are equal, and the entries below the diagonal are those above it.

    >>> block_of([np.array([[0.0], [1.0]])], [np.array([[0.0]]), np.array([[2.0]])], Distance()).shape
    (1, 2)
    """
    made = np.empty((len(rows), len(columns)), rows[0].dtype)
    order = np.argsort([len(series) for series in columns], kind="stable")
    longest = max(map(len, columns))
    costs = _Costs(rows, columns, distance)
    for i, row in enumerate(rows):
        taken, wanted = 0, order[order >= i] if half else order
        while taken < len(wanted):
            some = wanted[taken : taken + _batch(len(row), longest, row.dtype.itemsize)]
            made[i, some] = _one_row(i, some, costs, distance)
            taken += len(some)
        if half:
            made[i:, i] = made[i, i:]
    return made


def _batch(n: int, m: int, itemsize: int) -> int:
    """How many pairs of n by m cells one call computes."""
    one = grown(n) * grown(m) * itemsize
    return max(1, min(MOST_PAIRS, max(TARGET_BYTES // one, min(LEAST_PAIRS, MOST_BYTES // one))))


def _one_row(i: int, some: NDArray[np.int64], costs: _Costs, distance: Distance) -> Array:
    """[len(some)] the distances of one row from some columns."""
    lengths = np.array([len(costs.columns[j]) for j in some])
    n, m = len(costs.rows[i]), int(lengths.max())
    shape = grown(n), grown(m)
    if distance.is_plain:
        compiled(dtw_grid, *shape)  # known to the cache, it serves costs of its shape, which are then not copied
    theta = costs.buffer(len(some), shape)
    costs.fill(theta[:, :n, :m], i, some)
    value: Array = dtw_value(theta, distance.omega, lengths=(n, lengths), threads=1, **distance.warping)
    return value


def grown(size: int) -> int:
    """The size of the graph for a series: the next 2^k or 3·2^k, so that few graphs serve all series.

    >>> [grown(n) for n in (1, 3, 5, 7, 192, 193)]
    [1, 3, 6, 8, 192, 256]
    """
    large = power_of_two(size)
    less = 3 * (large // 4)
    return less if less >= size else large


class _Costs:
    """Costs of pairs of frames, written into a buffer that batches share."""

    def __init__(self, rows: Sequence[Array], columns: Sequence[Array], distance: Distance) -> None:
        self.rows, self.columns, self.cost = rows, columns, distance.cost
        self._buffer = np.empty(0, rows[0].dtype)
        self._squared = distance.cost == "squared_euclidean"
        if self._squared:
            self._left = [_with_squares(row, -2.0, first=True) for row in rows]
            self._right = [_with_squares(column, 1.0, first=False) for column in columns]

    def buffer(self, pairs: int, shape: tuple[int, int]) -> Array:
        """[pairs, *shape], of any content."""
        size = pairs * shape[0] * shape[1]
        if self._buffer.size < size:
            self._buffer = np.empty(size, self._buffer.dtype)
        return self._buffer[:size].reshape(pairs, *shape)

    def fill(self, theta: Array, i: int, some: NDArray[np.int64]) -> None:
        """Write the costs of row i and some columns into theta [len(some), n, m].

        Cells behind the end of a column keep the numbers of an earlier batch, which no result reads.
        """
        if self._squared:
            for k, j in enumerate(some):
                right = self._right[j]
                squares = theta[k, :, : len(right)]
                np.matmul(self._left[i], right.T, out=squares)
                np.maximum(squares, 0, out=squares)
            return
        for k, j in enumerate(some):
            theta[k, :, : len(self.columns[j])] = series_costs(self.rows[i], self.columns[j], self.cost)


def _with_squares(series: Array, factor: float, first: bool) -> Array:
    """[n, d + 2]: features whose products <left_i, right_j> are |x_i|² - 2 <x_i, y_j> + |y_j|²."""
    squares, ones = (series * series).sum(1), np.ones(len(series), series.dtype)
    beside = (squares, ones) if first else (ones, squares)
    made: Array = np.column_stack([series.dtype.type(factor) * series, *beside]).astype(series.dtype, copy=False)
    return made
