"""Nearest neighbours: brute force, ties, what the bound saves, scikit-learn's checks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from dagdp import InputError
from dagdp.series import KNeighborsTimeSeries, distances

ANY_LENGTH = "columns are time steps, and series of another length than in fit are valid"
NOT_VALID = {
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_classifiers_train": f"its last step asks for an error at another number of columns: {ANY_LENGTH}",
    "check_estimators_pickle": "it puts NaN between numbers, and NaN is the end of a series",
}
RANDOM = np.random.default_rng(7)
TRAIN, TEST = ([RANDOM.normal(size=n).cumsum() for n in RANDOM.integers(1, 25, 60)] for _ in range(2))
LABELS = RANDOM.integers(0, 3, 60)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([KNeighborsTimeSeries()], expected_failed_checks=lambda _: NOT_VALID)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("window", [None, 0, 2, ("sakoechiba", 3), ("slantedband", 2), ("itakura", 2.0), ("band", 3)])
@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_are_those_of_all_distances(window, k):
    model = KNeighborsTimeSeries(k, window=window).fit(TRAIN, LABELS)
    near, places = model.kneighbors(TEST)
    every = distances(TEST, TRAIN, window=window)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    np.testing.assert_allclose(near, np.take_along_axis(every, order, 1), rtol=1e-12)
    assert (places == order).all()
    brute = KNeighborsClassifier(k, metric="precomputed").fit(distances(TRAIN), LABELS)
    expected = brute.predict(np.nan_to_num(every, posinf=1e300))
    finite = np.isfinite(np.take_along_axis(every, order, 1)).all(1)
    assert (model.predict(TEST) == expected)[finite].all()


def test_of_equal_distances_the_first_series_is_nearest():
    """Integers: distances and bounds are exact."""
    random = np.random.default_rng(8)
    train, test = (random.integers(0, 3, (80, 6)).astype(float) for _ in range(2))
    _, places = KNeighborsTimeSeries(4, window=1).fit(train, np.arange(80) % 2).kneighbors(test)
    assert (places == np.argsort(distances(test, train, window=1), axis=1, kind="stable")[:, :4]).all()


def test_the_bound_saves_distances():
    random = np.random.default_rng(9)
    train = random.normal(size=(200, 30)).cumsum(1)
    model = KNeighborsTimeSeries(window=2).fit(train, np.arange(200) % 2)
    counts = model.count_distances(train + 0.01 * random.normal(size=train.shape))
    assert counts.shape == (200,) and counts.min() >= 1 and counts.mean() < 40


def test_several_features_names_and_pickles():
    train = RANDOM.normal(size=(12, 9, 3))
    names = np.array(["a", "b", "c"])[np.arange(12) % 3]
    model = KNeighborsTimeSeries(window=1).fit(train, names)
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(train) == names).all()
    assert (again.predict_proba(train).argmax(1) == np.arange(12) % 3).all()


def test_a_search_over_windows():
    X = np.array([np.roll([0.0] * 8 + [size, 0, 0, 0], k) for size in (3.0, 5.0) for k in range(6)])
    found = GridSearchCV(KNeighborsTimeSeries(), {"window": [0, 3]}, cv=3).fit(X, [0] * 6 + [1] * 6)
    assert found.best_params_ == {"window": 3}


def test_arguments_that_do_not_fit():
    with pytest.raises(InputError, match="n_neighbors=61 and n_samples=60"):
        KNeighborsTimeSeries(61).fit(TRAIN, LABELS)
    with pytest.raises(InputError, match="n_neighbors is 0"):
        KNeighborsTimeSeries(0).fit(TRAIN, LABELS)
    model = KNeighborsTimeSeries().fit(TRAIN, LABELS)
    with pytest.raises(InputError, match="expected at most as many"):
        model.kneighbors(TEST, 61)
    with pytest.raises(InputError, match="2 features an entry"):
        model.predict(np.ones((1, 3, 2)))
    with pytest.raises(InputError, match="X and y do not fit"):
        model.fit(TRAIN, LABELS[:5])
