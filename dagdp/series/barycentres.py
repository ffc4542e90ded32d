"""Barycentres under dynamic time warping: the series with the least weighted sum of values to given series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import HardMax, InputError, Omega
from dagdp.series.inputs import Numbers, SeriesSet, series_set, weights_of
from dagdp.series.pairs import Pairs, check_window, values_and_alignments


class Barycentre(NamedTuple):
    """The result of `barycentre`."""

    barycentre: NDArray[np.float64]  # [length, d], or [length] where the series are plain numbers
    value: float  # the weighted sum of DTW_Ω between the barycentre and the series
    iterations: int
    converged: bool  # False where max_iter came first, or where no line search lowered the value


class Problem(NamedTuple):
    """The weighted sum of DTW_Ω as a function of the centre."""

    series: SeriesSet
    weights: Numbers  # [n]
    omega: Omega | None
    window: Any

    def aligned(self, centre: Numbers) -> tuple[float, Numbers, Numbers]:
        """The weighted sum, and the two parts of its gradient 2 (mass · centre - pull): [L, 1] and [L, d].

        mass : expected number of cells in each row of the centre, weighted. pull : sums of their frames, weighted.
        """
        pairs = Pairs(centre[None], self.series.values, (np.array([len(centre)]), self.series.lengths))
        values, expected = values_and_alignments(pairs, self.omega, self.window)
        if not np.isfinite(values).all():
            k = int(np.argmin(np.isfinite(values)))
            raise InputError(
                f"DTW between the centre, length {len(centre)}, and series[{k}], length {self.series.lengths[k]}, is "
                f"{values[k]} within window={self.window!r}; expected a window that a path crosses: widen it, or "
                "change length="
            )
        expected = expected * self.weights[:, None, None]
        mass = expected.sum((0, 2))[:, None]
        return float(self.weights @ values), mass, np.einsum("nij,njd->id", expected, self.series.values)


def barycentre(
    series: Any,
    omega: Omega | None = None,
    *,
    weights: Any = None,
    lengths: Any = None,
    length: int | None = None,
    init: Any = None,
    window: Any = None,
    max_iter: int = 100,
    tol: float = 1e-6,
) -> Barycentre:
    """The series z that minimises Σ_k w_k DTW_Ω(z, series_k) with squared Euclidean costs: a local minimum.

    series : a list of arrays [n_k] or [n_k, d], or an array [n, N] or [n, N, d] whose rows may end in NaN.
    omega : default Negentropy(1.0): the soft-DTW barycentre of Cuturi and Blondel (ICML 2017), by L-BFGS of SciPy; γ in
        the unit of squared values. Any other operator is minimised by L-BFGS, too. HardMax(): DTW barycentre averaging
        of Petitjean et al. (2011), each entry of z the mean of the frames on the best paths, until no path
        changes, without SciPy.
    weights : [n], at least 0; default 1 each.
    lengths : [n] entries of the rows of an array, in place of NaN.
    length : entries of z; default those of the longest series, or of init.
    init : [length, d] or [length]; default the weighted mean of the series, each interpolated to `length`.
    window : as in `dagdp.series.distances`; in each pair, z is the first series.
    max_iter : at most so many steps, of one line search or of one average each.
    tol : stop where a step lowers the sum by less than tol · max(|sum before|, |sum after|, 1).

    Each step computes all values and expected alignments in one ragged batched call. Memory: the costs, the alignments
    and the tables of `dp_grad`, each [n, length, longest] float64.

    Raises InputError for arguments that do not fit (the message names the series), GraphError for a window of another
    form, and ImportError where SciPy is missing.

    >>> from dagdp import HardMax
    >>> found = barycentre([[0.0, 0.0, 2.0], [0.0, 2.0, 2.0, 2.0]], HardMax(), length=2)
    >>> found.barycentre.tolist(), found.value, found.converged
    ([0.0, 2.0], 0.0, True)
    """
    check_window(window)
    given = series_set(series, lengths)
    counted = weights_of(weights, len(given))
    start = _start(given, counted, length, init)
    _check_steps(max_iter, tol)
    problem = Problem(given, counted, omega, window)
    found = minimum(problem, start, max_iter, tol)
    plain = np.ndim(series[0]) == 1
    return found._replace(barycentre=found.barycentre[:, 0]) if plain else found


def minimum(problem: Problem, start: Numbers, max_iter: int, tol: float) -> Barycentre:
    """The barycentre [length, d] found from a start of this shape: by averages under HardMax, else by L-BFGS."""
    if isinstance(problem.omega, HardMax):
        return _averaged(problem, start, max_iter, tol)
    return _descended(problem, start, max_iter, tol)


def resampled(values: Numbers, length: int) -> Numbers:
    """A series [N, d] interpolated linearly to `length` entries, ends kept.

    >>> resampled(np.array([[0.0], [4.0]]), 3).tolist()
    [[0.0], [2.0], [4.0]]
    """
    places = np.linspace(0, len(values) - 1, length)
    return np.stack([np.interp(places, np.arange(len(values)), one) for one in values.T], -1)


def mean_series(series: SeriesSet, weights: Numbers, length: int) -> Numbers:
    """The weighted mean [length, d] of series, each interpolated to `length` entries."""
    total = np.zeros((length, series.values.shape[2]))
    for k in np.flatnonzero(weights):
        total += weights[k] * resampled(series.one(int(k)), length)
    return total / weights.sum()


def _averaged(problem: Problem, centre: Numbers, max_iter: int, tol: float) -> Barycentre:
    value, mass, pull = problem.aligned(centre)
    for step in range(1, max_iter + 1):
        moved = pull / mass  # every row has a cell on every path
        lower, mass, pull = problem.aligned(moved)
        if not lower < value:  # a minimum: the paths are those of before, up to ties
            return Barycentre(centre, value, step, True)
        small = value - lower <= tol * max(value, lower, 1.0)
        centre, value = moved, lower
        if small:
            return Barycentre(centre, value, step, True)
    return Barycentre(centre, value, max_iter, False)


def _descended(problem: Problem, start: Numbers, max_iter: int, tol: float) -> Barycentre:
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise ImportError(
            "a barycentre under a smoothed minimum was asked for where SciPy is not installed; run "
            "`pip install dagdp[sklearn]`, or pass omega=HardMax()",
            name="scipy",
        ) from error

    def function(flat: Numbers) -> tuple[float, Numbers]:
        centre = flat.reshape(start.shape)
        value, mass, pull = problem.aligned(centre)
        return value, (2.0 * (mass * centre - pull)).ravel()

    options = {"maxiter": max_iter, "maxfun": 20 * max_iter, "ftol": tol, "gtol": 0.0}
    found = minimize(function, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return Barycentre(found.x.reshape(start.shape), float(found.fun), int(found.nit), bool(found.success))


def _start(series: SeriesSet, weights: Numbers, length: int | None, init: Any) -> Numbers:
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1):
        raise InputError(f"length is {length!r}; expected a whole number of entries, at least 1")
    if init is None:
        return mean_series(series, weights, int(length or series.lengths.max()))
    start = series_set([init], what="init").one(0)
    if start.shape[1] != series.values.shape[2] or (length is not None and len(start) != length):
        raise InputError(
            f"init has shape {np.shape(init)}; expected [{length or 'length'}, {series.values.shape[2]}], the features "
            "of the series"
        )
    return start


def _check_steps(max_iter: int, tol: float) -> None:
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer) or max_iter < 1:
        raise InputError(f"max_iter is {max_iter!r}; expected a whole number, at least 1")
    if not 0 <= tol < np.inf:
        raise InputError(f"tol is {tol!r}; expected a finite number, at least 0")
