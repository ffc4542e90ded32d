"""Values of dynamic time warping between sets of series, and expected alignments of pairs, in batched calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import HardMax, InputError, Omega, dp_value, dp_value_and_grad
from dagdp.graphs.dtw import dtw_call
from dagdp.graphs.warping.call import Warping
from dagdp.series.inputs import Counts, Numbers, SeriesSet, series_set

#: Cells of theta in one batched call: 32 MiB of float64.
CELLS = 2**22


class Pairs(NamedTuple):
    """Pairs of series of equal count, or one series beside many."""

    x: Numbers  # [n, N_A, d] or [1, N_A, d]
    y: Numbers  # [n, N_B, d] or [1, N_B, d]
    lengths: tuple[Counts, Counts]  # n_a and n_b, each [n] or [1]


def squared_costs(x: Numbers, y: Numbers) -> Numbers:
    """theta [n, N_A, N_B], squared Euclidean distances of frames, by differences: 0 for equal frames.

    >>> squared_costs(np.array([[[1.0], [3.0]]]), np.array([[[3.0]]])).tolist()
    [[[4.0], [0.0]]]
    """
    total = np.zeros((*np.broadcast_shapes(x.shape[:1], y.shape[:1]), x.shape[1], y.shape[1]))
    for d in range(x.shape[-1]):
        total += (x[:, :, None, d] - y[:, None, :, d]) ** 2
    return total


def values_of_pairs(pairs: Pairs, omega: Omega | None, window: Any = None) -> Numbers:
    """DTW_Ω of each pair [n], the smoothed least cost."""
    theta = squared_costs(pairs.x, pairs.y)
    call = dtw_call(theta, Warping(lengths=pairs.lengths, window=window))
    return np.asarray(dp_value(call.dag, call.theta(theta), omega, minimize=True, end=call.end))


def values_and_alignments(pairs: Pairs, omega: Omega | None, window: Any = None) -> tuple[Numbers, Numbers]:
    """DTW_Ω of each pair [n], and expected alignments [n, N_A, N_B], in one call."""
    theta = squared_costs(pairs.x, pairs.y)
    call = dtw_call(theta, Warping(lengths=pairs.lengths, window=window))
    values, made = dp_value_and_grad(call.dag, call.theta(theta), omega, minimize=True, end=call.end)
    return np.asarray(values), np.asarray(call.result(made))


def values_between(x: SeriesSet, y: SeriesSet, omega: Omega | None, window: Any = None) -> Numbers:
    """DTW_Ω [n, m] of all pairs of two sets, at most `CELLS` cells of theta at a time."""
    first, second = (k.ravel() for k in np.indices((len(x), len(y))))
    return _in_blocks(x, y, (first, second), omega, window).reshape(len(x), len(y))


def distances(
    x: Any,
    y: Any = None,
    omega: Omega | None = None,
    *,
    window: Any = None,
    lengths: Any = None,
    lengths_y: Any = None,
) -> NDArray[np.float64]:
    """DTW_Ω of all pairs of series: float64 [n, m], sums of squared differences, without a square root.

    x, y : sets of series: a list of arrays [n_k] or [n_k, d], or an array [n, N] or [n, N, d] whose rows may end in
        NaN. Without y all pairs of x are computed, each once: [n, n], symmetric.
    omega : default HardMax(), the least cost of an alignment. Under Negentropy(γ) soft-DTW, which may be negative, also
        between a series and itself; γ is in the unit of squared values.
    window : as in `dagdp.graphs.dtw_value`: a radius in cells (tslearn's sakoe_chiba_radius), ("sakoechiba", r),
        ("slantedband", r), ("itakura", slope), ("band", r). No booleans.
    lengths, lengths_y : [n] and [m] entries of the rows of arrays, in place of NaN.

    Under a window that no path crosses a value is +inf. Raises InputError for series that do not fit (the message names
    the series), and GraphError for a window of another form.

    >>> distances([[0.0, 1.0, 2.0], [0.0, 2.0]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    omega = HardMax() if omega is None else omega
    check_window(window)
    given = series_set(x, lengths, "x")
    if y is None:
        if lengths_y is not None:
            raise InputError("lengths_y was given without y; expected y, or lengths= for the lengths of x")
        return _all_pairs(given, omega, window)
    other = series_set(y, lengths_y, "y")
    check_features(given, other)
    return values_between(given, other, omega, window)


def check_features(x: SeriesSet, y: SeriesSet) -> None:
    """Raise InputError where two sets differ in the number of features."""
    if x.values.shape[2] != y.values.shape[2]:
        raise InputError(
            f"series of x have {x.values.shape[2]} features, and series of y {y.values.shape[2]}; expected equal d"
        )


def check_window(window: Any) -> None:
    """Raise InputError for a window of booleans, which has no meaning for series of several lengths."""
    if window is not None and not isinstance(window, int | np.integer | tuple | list):
        raise InputError(
            f"window is a {type(window).__name__}; expected a radius in cells, or a pair such as ('sakoechiba', 5)"
        )


def _all_pairs(x: SeriesSet, omega: Omega, window: Any) -> Numbers:
    """Each pair once, and once more where the window may not be symmetric in two series."""
    if isinstance(window, tuple | list) and window[0] != "sakoechiba":
        return values_between(x, x, omega, window)
    made = np.empty((len(x), len(x)))
    first, second = np.triu_indices(len(x))
    made[first, second] = _in_blocks(x, x, (first, second), omega, window)
    made[second, first] = made[first, second]
    return made


def _in_blocks(x: SeriesSet, y: SeriesSet, pairs: tuple[Counts, Counts], omega: Omega | None, window: Any) -> Numbers:
    """DTW_Ω [p] of the series at these places, in blocks of pairs."""
    first, second = pairs
    step = max(1, CELLS // (x.values.shape[1] * y.values.shape[1]))
    made = np.empty(first.size)
    for begin in range(0, first.size, step):
        rows, columns = x.take(first[begin : begin + step]), y.take(second[begin : begin + step])
        block = Pairs(rows.values, columns.values, (rows.lengths, columns.lengths))
        made[begin : begin + step] = values_of_pairs(block, omega, window)
    return made
