"""k-medoids: scikit-learn's checks, brute force over all medoids, no swap that lowers the sum."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from sklearn.utils.estimator_checks import parametrize_with_checks

from dagdp import InputError, Negentropy
from dagdp.series import KMedoids, distances

POINTS = np.random.default_rng(6).normal(size=(14, 2))
MATRIX = pairwise_distances(POINTS)
NOT_VALID = {"check_clustering": "it passes points [n, 2], and the estimator takes a matrix [n, n]"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([KMedoids()], expected_failed_checks=lambda _: NOT_VALID)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_clusters", [1, 2, 3])
def test_the_best_of_some_runs_is_that_of_all_medoids(n_clusters):
    every = min(MATRIX[:, list(chosen)].min(1).sum() for chosen in combinations(range(14), n_clusters))
    model = KMedoids(n_clusters, init="random", n_init=10, random_state=0).fit(MATRIX)
    assert model.inertia_ == pytest.approx(every)


@pytest.mark.parametrize("matrix", [MATRIX, MATRIX**3 + MATRIX[::-1]], ids=["symmetric", "not"])
def test_no_swap_lowers_the_sum(matrix):
    model = KMedoids(4).fit(matrix)
    assert model.inertia_ == pytest.approx(matrix[np.arange(14), model.medoid_indices_[model.labels_]].sum())
    for k in range(4):
        for item in range(14):
            places = model.medoid_indices_.copy()
            places[k] = item
            assert matrix[:, places].min(1).sum() >= model.inertia_ - 1e-12


def test_blobs_and_new_items():
    X, true = make_blobs(n_samples=60, random_state=1)
    model = KMedoids(3).fit(pairwise_distances(X))
    assert adjusted_rand_score(true, model.labels_) > 0.8
    assert (model.predict(pairwise_distances(X[:5], X)) == model.labels_[:5]).all()


def test_a_matrix_of_soft_dtw_may_be_negative():
    series = [np.full(n, level) for level in (0.0, 9.0) for n in (5, 7, 6)]
    labels = KMedoids(2).fit_predict(distances(series, omega=Negentropy(1.0)))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_clusters": 15}, "n_clusters=15 and n_samples=14"),
        ({"metric": "dtw"}, "expected 'precomputed'"),
        ({"init": "first"}, "expected 'build' or 'random'"),
        ({"max_iter": -1}, "max_iter is -1"),
    ],
)
def test_arguments_that_do_not_fit(options, says):
    with pytest.raises(InputError, match=says):
        KMedoids(**options).fit(MATRIX)
    with pytest.raises(InputError, match="expected a square matrix"):
        KMedoids().fit(MATRIX[:5])
