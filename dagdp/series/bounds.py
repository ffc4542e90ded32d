"""A lower bound of dynamic time warping: LB_Keogh under any window, with the two ends that every path visits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.graphs.warping.windows import window_mask
from dagdp.series.inputs import Counts, Numbers, SeriesSet, series_set
from dagdp.series.pairs import check_features, check_window


class Envelopes(NamedTuple):
    """For series of one length N_B beside a series of length N_A: bounds of the entries that each row may meet."""

    places: Counts  # [m] which series
    low: Numbers  # [m, N_A, d] least entry within the window of row i, +inf in a row without a cell
    high: Numbers  # [m, N_A, d] greatest entry
    first: Numbers  # [m, d]
    last: Numbers  # [m, d]


def lower_bounds(
    x: Any, y: Any, *, window: Any = None, lengths: Any = None, lengths_y: Any = None
) -> NDArray[np.float64]:
    """Lower bounds of `distances(x, y, window=window)` under HardMax, without an alignment: float64 [n, m].

    LB_Keogh (Keogh and Ratanamahatana, 2005): each entry of x pays its squared distance from the range of the entries
    of y within the window of its row. The first and the last entries pay their squared distance from the first and the
    last entry of y (LB_Kim), which every path matches. A bound costs N_A operations a pair, where the distance costs
    N_A · N_B. In exact arithmetic the bound is never above the distance; in float64 it may be, by rounding.

    Parameters and errors are those of `dagdp.series.distances`. Without a window the range is that of all entries of y.

    >>> lower_bounds([[0.0, 5.0, 0.0]], [[1.0, 1.0, 1.0]], window=1).tolist()
    [[18.0]]
    """
    check_window(window)
    given, other = series_set(x, lengths, "x"), series_set(y, lengths_y, "y")
    check_features(given, other)
    made = np.empty((len(given), len(other)))
    for n_a in np.unique(given.lengths):
        envelopes = envelopes_of(other, int(n_a), window)
        for k in np.flatnonzero(given.lengths == n_a):
            made[k] = bounds_of(given.one(int(k)), envelopes)
    return made


def envelopes_of(series: SeriesSet, n_a: int, window: Any) -> list[Envelopes]:
    """Envelopes of all series beside one of n_a entries, those of one length together."""
    made = []
    for n_b in np.unique(series.lengths):
        index = np.flatnonzero(series.lengths == n_b)
        values = series.values[index, :n_b]
        low = np.full((index.size, n_a, values.shape[2]), np.inf)
        high = -low
        for i, row in enumerate(_rows(window, n_a, int(n_b))):
            if row.any():
                within = values[:, row]
                low[:, i], high[:, i] = within.min(1), within.max(1)
        made.append(Envelopes(index, low, high, values[:, 0], values[:, -1]))
    return made


def bounds_of(x: Numbers, envelopes: list[Envelopes]) -> Numbers:
    """Lower bounds [m] of the distances of a series [N_A, d] from those of the envelopes; +inf where no path is."""
    made = np.empty(sum(one.places.size for one in envelopes))
    for one in envelopes:
        outside = np.maximum(np.maximum(one.low - x, x - one.high), 0.0)
        rows = (outside * outside).sum(-1)
        for row, end in ((0, one.first), (-1, one.last)):
            rows[:, row] = np.maximum(rows[:, row], ((x[row] - end) ** 2).sum(-1))
        made[one.places] = rows.sum(1)
    return made


def _rows(window: Any, n_a: int, n_b: int) -> NDArray[np.bool_]:
    """[n_a, n_b] the cells of the window."""
    if window is None:
        return np.ones((n_a, n_b), bool)
    return window_mask(window, (n_a, n_b), np.array(n_a), np.array(n_b))
