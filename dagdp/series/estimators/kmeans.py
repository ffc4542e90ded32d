"""k-means of time series under dynamic time warping."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from dagdp import HardMax, InputError, Omega
from dagdp.series.barycentres import Problem, mean_series, minimum
from dagdp.series.estimators.validation import checked_omega, clusters_among, fitted_series, new_series, whole
from dagdp.series.inputs import Counts, Numbers, SeriesSet
from dagdp.series.pairs import check_window, values_between

#: Steps of each barycentre, and the decrease at which one ends; a centre continues from that of the round before.
STEPS, DECREASE = 50, 1e-6


class Clustering(NamedTuple):
    """The result of one run."""

    inertia: float
    centres: Numbers  # [n_clusters, N, d]
    labels: Counts
    rounds: int


class TimeSeriesKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """k-means clustering with DTW_Ω in place of the squared distance, and barycentres in place of means.

    X of all methods: [n, N] series of plain numbers or [n, N, d], whose rows may end in NaN; or a list of arrays [n_k]
    or [n_k, d]. Costs are squared Euclidean, minimised.

    n_clusters : number of clusters.
    omega : default Negentropy(1.0), soft-DTW k-means; γ is in the unit of squared values. HardMax(): DTW barycentre
        averaging.
    window : as in `dagdp.series.distances`.
    max_iter : most rounds of a run: all series to the nearest centre, all centres to the barycentre of their series.
    n_init : number of runs; the one with the least inertia is kept.
    tol : a run ends where a round lowers the inertia by at most tol · max(|inertia|, 1), or changes no label.
    random_state : seed of the first centres, drawn by k-means++: each further one is a series, with a probability in
        proportion to its DTW (under HardMax) from the nearest one drawn before.

    Attributes after `fit`: `cluster_centers_` [n_clusters, N, d], or [n_clusters, N] for series of plain numbers, as
    long as the longest series; `labels_` [n]; `inertia_`, the sum of DTW_Ω between the series and their centres;
    `n_iter_`, the rounds of the run that was kept; `n_features_in_`, the length N in `fit`.

    `predict` and `transform` take series of any length. `fit` raises InputError, also a ValueError, for arguments that
    do not fit.

    >>> from dagdp import HardMax
    >>> X = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [5.0, 9.0, 9.0], [5.0, 5.0, 9.0]]
    >>> found = TimeSeriesKMeans(n_clusters=2, omega=HardMax(), random_state=0).fit(X)
    >>> bool(found.labels_[0] == found.labels_[1] != found.labels_[2] == found.labels_[3]), found.inertia_
    (True, 0.0)
    """

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        omega: Omega | None = None,
        window: Any = None,
        max_iter: int = 50,
        n_init: int = 1,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.omega = omega
        self.window = window
        self.max_iter = max_iter
        self.n_init = n_init
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find clusters and their centres. y is not read."""
        series, plain = fitted_series(self, X)
        clusters_among(self.n_clusters, len(series), "series")
        checked_omega(self.omega)
        check_window(self.window)
        whole(self.max_iter, "max_iter")
        if not 0 <= self.tol < np.inf:
            raise InputError(f"tol is {self.tol!r}; expected a finite number, at least 0")
        random = check_random_state(self.random_state)
        runs = [self._run(series, random) for _ in range(whole(self.n_init, "n_init"))]
        best = min(runs, key=lambda run: run.inertia)
        self._centres = best.centres
        self.cluster_centers_ = best.centres[..., 0] if plain else best.centres
        self.labels_, self.inertia_, self.n_iter_ = best.labels.astype(np.int32), best.inertia, best.rounds
        return self

    def predict(self, X: Any) -> NDArray[np.int32]:
        """The cluster of each series: int32 [n], that of the centre with the least DTW_Ω."""
        return self.transform(X).argmin(1).astype(np.int32)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """DTW_Ω of each series and each centre: float64 [n, n_clusters]."""
        check_is_fitted(self)
        series = new_series(X, self._centres.shape[2])
        return self._values(series, self._centres)

    def score(self, X: Any, y: Any = None) -> float:
        """The negative sum of DTW_Ω between the series and the nearest centres. y is not read."""
        return -float(self.transform(X).min(1).sum())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.three_d_array = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self._centres)

    def _values(self, series: SeriesSet, centres: Numbers) -> Numbers:
        """[n, n_clusters] with the centre as the first series of each pair, as in barycentres."""
        around = SeriesSet(centres, np.full(len(centres), centres.shape[1]))
        return values_between(around, series, self.omega, self.window).T

    def _run(self, series: SeriesSet, random: Any) -> Clustering:
        """One run from first centres at random."""
        drawn = self._seeds(series, random)
        length = int(series.lengths.max())
        centres = np.stack([mean_series(series.take([k]), np.ones(1), length) for k in drawn])
        values = self._values(series, centres)
        labels = _filled(values)
        rounds, inertia = 0, float(values.min(1).sum())
        while rounds < self.max_iter:
            rounds += 1
            centres = np.stack([self._centre(series, labels == k, one) for k, one in enumerate(centres)])
            values = self._values(series, centres)
            before, labels = labels, _filled(values)
            lowered, inertia = inertia, float(values[np.arange(len(series)), labels].sum())
            if (before == labels).all() or lowered - inertia <= self.tol * max(abs(inertia), 1.0):
                break
        if not np.isfinite(inertia):
            raise InputError(
                f"DTW of some series and every centre is infinite within window={self.window!r}; expected a window "
                "that a path crosses: widen it"
            )
        labels = values.argmin(1)
        return Clustering(float(values.min(1).sum()), centres, labels, rounds)

    def _centre(self, series: SeriesSet, of: NDArray[np.bool_], start: Numbers) -> Numbers:
        """The barycentre of the series of one cluster, from its last centre."""
        among = series.take(of)
        if not len(among):
            return start
        problem = Problem(among, np.ones(len(among)), self.omega, self.window)
        return minimum(problem, start, STEPS, DECREASE).barycentre

    def _seeds(self, series: SeriesSet, random: Any) -> list[int]:
        """Places of the series that are the first centres (Arthur and Vassilvitskii, 2007)."""
        drawn = [int(random.randint(len(series)))]
        nearest = np.full(len(series), np.inf)
        while len(drawn) < self.n_clusters:
            nearest = np.minimum(nearest, values_between(series.take(drawn[-1:]), series, HardMax(), self.window)[0])
            nearest[drawn] = 0.0
            far = np.where(np.isfinite(nearest), nearest, 0.0)
            left = np.setdiff1d(np.arange(len(series)), drawn)
            odds = far[left] / far.sum() if far.sum() > 0 else None
            drawn.append(int(random.choice(left, p=odds)))
        return drawn


def _filled(values: Numbers) -> Counts:
    """The nearest centre of each series; an empty cluster takes the series that is farthest from its own centre."""
    labels = values.argmin(1)
    cost = values.min(1).copy()
    for k in range(values.shape[1]):
        if not (labels == k).any():
            alone = np.bincount(labels, minlength=values.shape[1])[labels] == 1
            moved = int(np.where(alone, -np.inf, cost).argmax())
            labels[moved], cost[moved] = k, -np.inf
    return labels
