"""k-medoids over a matrix of dissimilarities that was computed before."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dagdp import InputError
from dagdp.series.estimators.validation import clusters_among, whole
from dagdp.series.inputs import Counts, Numbers


class Medoids(NamedTuple):
    """The result of one run."""

    inertia: float
    places: Counts  # [n_clusters]
    swaps: int


class KMedoids(ClusterMixin, BaseEstimator):
    """k-medoids clustering (PAM) of any dissimilarities, such as the matrix of `dagdp.series.distances`.

    Each cluster has a medoid, the item with the least sum of dissimilarities to the items of the cluster. A swap of a
    medoid and another item is made as long as one lowers the total, the best one first: the local minimum of Kaufman
    and Rousseeuw (1990), with the cost of a swap as in FastPAM1 (Schubert and Rousseeuw, 2019), n² operations for all.

    n_clusters : number of clusters.
    metric : "precomputed", the only one: X of `fit` is [n, n], row i the dissimilarities of item i from all items,
        symmetric or not; negative ones are allowed, as those of soft-DTW.
    init : "build", the greedy medoids of PAM, the same in every run; or "random".
    max_iter : most swaps of a run.
    n_init : number of runs from random medoids; the one with the least inertia is kept.
    random_state : seed of random medoids.

    Attributes after `fit`: `medoid_indices_` [n_clusters], places of the medoids; `labels_` [n]; `inertia_`, the sum of
    dissimilarities of the items from their medoids; `n_iter_`, the swaps of the run that was kept.

    Raises InputError, also a ValueError, for a matrix that is not square or not finite, and for other arguments.

    >>> from dagdp.series import distances
    >>> matrix = distances([[0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 1.0], [9.0, 8.0], [9.0, 9.0]])
    >>> KMedoids(n_clusters=2).fit(matrix).labels_.tolist()
    [0, 0, 0, 1, 1]
    """

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        metric: str = "precomputed",
        init: str = "build",
        max_iter: int = 300,
        n_init: int = 1,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.init = init
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the medoids of a matrix [n, n]. y is not read."""
        try:
            costs = validate_data(self, X, dtype=np.float64)
        except ValueError as error:
            raise InputError(f"X does not fit: {error}") from None
        if costs.shape[0] != costs.shape[1]:
            raise InputError(f"X has shape {costs.shape}; expected a square matrix: dagdp.series.distances makes one")
        self._check(len(costs))
        random = check_random_state(self.random_state)
        runs = [self._run(costs, random) for _ in range(self.n_init if self.init == "random" else 1)]
        best = min(runs, key=lambda run: run.inertia)
        order = np.argsort(best.places)
        self.medoid_indices_ = best.places[order]
        self.labels_ = costs[:, self.medoid_indices_].argmin(1).astype(np.int32)
        self.inertia_, self.n_iter_ = best.inertia, best.swaps
        return self

    def predict(self, X: Any) -> NDArray[np.int32]:
        """The cluster of each item: int32 [m], of dissimilarities [m, n] from the n items of `fit`."""
        check_is_fitted(self)
        try:
            costs = validate_data(self, X, dtype=np.float64, reset=False)
        except ValueError as error:
            raise InputError(f"X does not fit: {error}") from None
        return costs[:, self.medoid_indices_].argmin(1).astype(np.int32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        return tags

    def _check(self, n: int) -> None:
        clusters_among(self.n_clusters, n, "items")
        whole(self.max_iter, "max_iter", 0)
        whole(self.n_init, "n_init")
        if self.metric != "precomputed":
            raise InputError(
                f"metric={self.metric!r}; expected 'precomputed', and the matrix of dagdp.series.distances as X"
            )
        if self.init not in ("build", "random"):
            raise InputError(f"init={self.init!r}; expected 'build' or 'random'")

    def _run(self, costs: Numbers, random: Any) -> Medoids:
        """Medoids from a start to a local minimum, or to the last swap allowed."""
        if self.init == "build":
            places = _built(costs, self.n_clusters)
        else:
            places = random.choice(len(costs), self.n_clusters, replace=False)
        total = float(costs[:, places].min(1).sum())
        for swaps in range(self.max_iter):
            change = _changes(costs, places)
            item, k = np.unravel_index(int(change.argmin()), change.shape)
            moved = places.copy()
            moved[k] = item
            lower = float(costs[:, moved].min(1).sum())
            if not lower < total:
                return Medoids(total, places, swaps)
            places, total = moved, lower
        return Medoids(total, places, self.max_iter)


def _built(costs: Numbers, n_clusters: int) -> Counts:
    """The greedy start of PAM: each further medoid lowers the total the most."""
    places = [int(costs.sum(0).argmin())]
    nearest = costs[:, places[0]]
    while len(places) < n_clusters:
        totals = np.minimum(costs, nearest[:, None]).sum(0)
        totals[places] = np.inf
        places.append(int(totals.argmin()))
        nearest = np.minimum(nearest, costs[:, places[-1]])
    return np.array(places)


def _changes(costs: Numbers, places: Counts) -> Numbers:
    """[n, n_clusters] what the total would change by if an item replaced a medoid; +inf for items that are medoids."""
    own = costs[:, places]
    label, nearest = own.argmin(1), own.min(1)
    others = own.copy()
    others[np.arange(len(own)), label] = np.inf
    second = others.min(1)
    gain = np.minimum(costs - nearest[:, None], 0.0)
    change = np.repeat(gain.sum(0)[:, None], len(places), 1)
    for k in range(len(places)):
        among = label == k
        change[:, k] += (np.minimum(costs[among], second[among, None]) - nearest[among, None] - gain[among]).sum(0)
    change[places] = np.inf
    return change
