"""Nearest neighbours under dynamic time warping, found through a lower bound."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from dagdp import HardMax, InputError
from dagdp.series.bounds import bounds_of, envelopes_of
from dagdp.series.estimators.validation import labelled_series, new_series, whole
from dagdp.series.inputs import Counts, Numbers, SeriesSet
from dagdp.series.pairs import Pairs, check_window, values_of_pairs

#: Distances of one series in a batched call. A call has a fixed cost, and each one may cut the next.
BLOCK = 16
#: A bound above the distance by rounding must not exclude a neighbour.
ROUNDING = 1e-9


class KNeighborsTimeSeries(ClassifierMixin, BaseEstimator):
    """k nearest neighbours classification with DTW, exact, by the bounds of `dagdp.series.lower_bounds`.

    For each series, the training series are sorted by their lower bounds; distances are computed until the next bound
    is above the k-th least distance. The neighbours are those of all distances; among equal distances the series that
    comes first in training is nearer. The bound prunes the more the narrower the window is.

    X of all methods: [n, N] series of plain numbers or [n, N, d], whose rows may end in NaN; or a list of arrays [n_k]
    or [n_k, d]. The operator is HardMax, with squared Euclidean costs: no bound is known for the smoothed minima, which
    lie below.

    n_neighbors : number of neighbours that vote; among equal votes the class that sorts first is taken.
    window : as in `dagdp.series.distances`; None for all alignments.

    Attributes after `fit`: `classes_`; `n_features_in_`, the length N in `fit`.

    Raises InputError, also a ValueError, for arguments that do not fit.

    >>> model = KNeighborsTimeSeries(window=1).fit([[0.0, 0.0, 1.0], [3.0, 2.0, 3.0]], ["low", "high"])
    >>> model.predict([[0.0, 1.0, 1.0]]).tolist()
    ['low']
    """

    def __init__(self, n_neighbors: int = 1, *, window: Any = None) -> None:
        self.n_neighbors = n_neighbors
        self.window = window

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the series and their labels y [n]."""
        series, labels = labelled_series(self, X, y)
        check_classification_targets(labels)
        check_window(self.window)
        if whole(self.n_neighbors, "n_neighbors") > len(series):
            raise InputError(f"n_neighbors={self.n_neighbors} and n_samples={len(series)}; expected at most as many")
        self.classes_, self._labels = np.unique(labels, return_inverse=True)
        self._series = series
        return self

    def kneighbors(self, X: Any, n_neighbors: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distances and places of the neighbours in training, nearest first: [n, k] each.

        Distances are sums of squared differences, without a square root; +inf where no path crosses the window.
        """
        near, places, _ = self._searched(X, n_neighbors)
        return near, places

    def count_distances(self, X: Any) -> NDArray[np.int64]:
        """How many distances the search for the neighbours of each series computes: [n], of all training series."""
        return self._searched(X, None)[2]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The share of each class among the neighbours: [n, number of classes]."""
        _, places = self.kneighbors(X)
        votes = self._labels[places][..., None] == np.arange(len(self.classes_))
        return np.asarray(votes.mean(1))

    def predict(self, X: Any) -> Any:
        """The class that most neighbours have: [n]."""
        votes = self.predict_proba(X)
        return self.classes_[votes.argmax(1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.three_d_array = True
        return tags

    def _searched(self, X: Any, n_neighbors: int | None) -> tuple[Numbers, Counts, Counts]:
        """Distances [n, k], places [n, k], and the number of distances computed [n]."""
        check_is_fitted(self)
        k = whole(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")
        if k > len(self._series):
            raise InputError(f"n_neighbors={k} and {len(self._series)} training series; expected at most as many")
        series = new_series(X, self._series.values.shape[2])
        near, places = np.empty((len(series), k)), np.empty((len(series), k), np.int64)
        computed = np.empty(len(series), np.int64)
        for n_a in np.unique(series.lengths):
            envelopes = envelopes_of(self._series, int(n_a), self.window)
            for row in np.flatnonzero(series.lengths == n_a):
                one = series.one(int(row))
                bounds = bounds_of(one, envelopes)
                near[row], places[row], computed[row] = _search(one, self._series, bounds, k, self.window)
        return near, places, computed


def _search(x: Numbers, series: SeriesSet, bounds: Numbers, k: int, window: Any) -> tuple[Numbers, Counts, int]:
    """The k nearest series: their distances and places, and the number of distances computed."""
    order = np.argsort(bounds, kind="stable")
    found, done = np.empty(0), 0
    least = np.inf
    while done < order.size and not bounds[order[done]] * (1 - ROUNDING) > least:
        block = order[done : done + max(BLOCK, k)]
        block = block[bounds[block] * (1 - ROUNDING) <= least]
        others = series.take(block)
        longest = int(others.lengths.max())
        pairs = Pairs(x[None], others.values[:, :longest], (np.array([len(x)]), others.lengths))
        found = np.append(found, values_of_pairs(pairs, HardMax(), window))
        done += block.size
        if done >= k:
            least = float(np.partition(found, k - 1)[k - 1])
    best = np.lexsort((order[:done], found))[:k]
    return found[best], order[best], done
