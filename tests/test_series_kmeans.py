"""k-means of time series: scikit-learn's checks, clusters that are known, and what a run may not do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from dagdp import HardMax, InputError, Negentropy, OmegaError
from dagdp.series import TimeSeriesKMeans, barycentre, distances

ANY_LENGTH = "columns are time steps, and series of another length than in fit are valid"
NOT_VALID = {
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_transformer_general": f"its last step asks for an error at another number of columns: {ANY_LENGTH}",
    "check_estimators_pickle": "it puts NaN between numbers, and NaN is the end of a series",
}
RAGGED = [np.full(n, level) + np.arange(n) % 2 for level in (0.0, 10.0, 20.0) for n in (5, 7, 6)]
TRUE = np.repeat(np.arange(3), 3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([TimeSeriesKMeans()], expected_failed_checks=lambda _: NOT_VALID)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.1), None], ids=repr)
def test_clusters_that_are_far_apart(omega):
    model = TimeSeriesKMeans(3, omega=omega, random_state=0).fit(RAGGED)
    assert len(set(zip(TRUE.tolist(), model.labels_.tolist(), strict=True))) == 3
    assert model.cluster_centers_.shape == (3, 7)
    values = model.transform(RAGGED)
    assert model.inertia_ == pytest.approx(values.min(1).sum(), abs=1e-9) == -model.score(RAGGED)
    assert (model.predict(RAGGED) == model.labels_).all() and model.predict([[9.0, 11.0]])[0] == model.labels_[3]
    np.testing.assert_allclose(values, distances(model.cluster_centers_, RAGGED, omega or Negentropy(1.0)).T, atol=1e-9)


def test_a_cluster_of_one_is_a_barycentre():
    model = TimeSeriesKMeans(1, omega=HardMax(), random_state=0).fit(RAGGED[:3])
    found = barycentre(RAGGED[:3], HardMax(), init=model.cluster_centers_[0])
    assert found.value == pytest.approx(model.inertia_)


def test_more_runs_are_never_worse_and_the_seed_decides():
    X = np.random.default_rng(5).normal(size=(20, 8, 2)).cumsum(1)
    one, many = (TimeSeriesKMeans(4, omega=HardMax(), n_init=n, random_state=1).fit(X) for n in (1, 4))
    assert many.inertia_ <= one.inertia_
    assert (clone(one).fit(X).labels_ == one.labels_).all() and one.cluster_centers_.shape == (4, 8, 2)


def test_as_many_clusters_as_series():
    model = TimeSeriesKMeans(4, omega=HardMax(), random_state=0).fit([[1.0, 1.0]] * 3 + [[2.0, 2.0]])
    assert model.inertia_ == 0.0


def test_pickles_pipelines_and_nan_behind_the_ends():
    X = np.full((9, 7), np.nan)
    for row, one in zip(X, RAGGED, strict=True):
        row[: len(one)] = one
    model = make_pipeline(FunctionTransformer(), TimeSeriesKMeans(3, random_state=0)).fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(X) == TimeSeriesKMeans(3, random_state=0).fit_predict(RAGGED)).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_clusters": 10}, "n_clusters=10 and n_samples=9"),
        ({"n_clusters": 0}, "n_clusters is 0"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"n_init": 1.5}, "n_init is 1.5"),
        ({"tol": -1.0}, "tol is -1.0"),
        ({"omega": 0.5}, "omega is 0.5"),
        ({"window": "wide"}, "window is a str"),
    ],
)
def test_arguments_that_do_not_fit(options, says):
    with pytest.raises(OmegaError if "omega" in options else InputError, match=says):
        TimeSeriesKMeans(**options).fit(RAGGED)
