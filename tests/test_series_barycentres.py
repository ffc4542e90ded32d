"""Barycentres: tslearn's values, stationarity by finite differences, averages by brute force, errors."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import HardMax, InputError, Negentropy, SquaredL2, Tsallis
from dagdp.graphs import dtw_path, dtw_value
from dagdp.series import barycentre
from dagdp.series.barycentres import Problem
from dagdp.series.inputs import series_set

WAVES = [np.sin(np.arange(n) * 6.0 / n + k) for k, n in enumerate((20, 24, 17, 20))]
WEIGHTS = [0.5, 1.0, 2.0, 1.0]
OPERATORS = [HardMax(), Negentropy(0.5), SquaredL2(0.5), Tsallis(1.5, 0.5)]


def total(centre, series, omega, weights=None, window=None):
    """The weighted sum, a pair at a time."""
    weights = np.ones(len(series)) if weights is None else weights
    values = [dtw_value(x=np.asarray(centre), y=one, omega=omega, window=window) for one in series]
    return float(np.dot(weights, values))


def test_the_values_of_tslearn():
    """tslearn 0.10.0: softdtw_barycenter(gamma=0.5, max_iter=500, tol=1e-12), dtw_barycenter_averaging, this start."""
    pytest.importorskip("scipy")
    soft = barycentre(WAVES, Negentropy(0.5), init=np.zeros(12), max_iter=500, tol=1e-14)
    assert soft.value == pytest.approx(-29.074830907721292, abs=1e-7)
    np.testing.assert_allclose(soft.barycentre[:3], [0.65036869, 0.70331266, 0.32328254], atol=1e-6)
    weighted = barycentre(WAVES, Negentropy(0.5), weights=WEIGHTS, init=np.zeros(12), max_iter=500, tol=1e-14)
    assert weighted.value == pytest.approx(-34.441876147492195, abs=1e-7)
    hard = barycentre(WAVES, HardMax(), init=np.linspace(1, -1, 12), max_iter=500, tol=0)
    assert hard.value == pytest.approx(7.270884694351682, abs=1e-10) and hard.converged


@pytest.mark.parametrize("omega", OPERATORS[1:], ids=repr)
@pytest.mark.parametrize("window", [None, 4])
def test_the_gradient_is_that_of_finite_differences(omega, window):
    random = np.random.default_rng(1)
    series = [random.normal(size=(n, 2)) for n in (5, 7, 6)]
    centre, weights = random.normal(size=(6, 2)), np.array([1.0, 0.3, 2.0])
    value, mass, pull = Problem(series_set(series), weights, omega, window).aligned(centre)
    assert value == pytest.approx(total(centre, series, omega, weights, window), abs=1e-10)
    step = 1e-6
    for i, d in np.ndindex(6, 2):
        moved = np.zeros((6, 2))
        moved[i, d] = step
        up, down = (total(centre + sign * moved, series, omega, weights, window) for sign in (1, -1))
        assert 2 * (mass * centre - pull)[i, d] == pytest.approx((up - down) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("omega", OPERATORS[1:], ids=repr)
def test_no_step_from_the_barycentre_lowers_the_sum(omega):
    pytest.importorskip("scipy")
    found = barycentre(WAVES, omega, weights=WEIGHTS, length=9, max_iter=500, tol=1e-13)
    assert found.converged and found.barycentre.shape == (9,)
    assert found.value == pytest.approx(total(found.barycentre, WAVES, omega, WEIGHTS), abs=1e-9)
    random = np.random.default_rng(2)
    for _ in range(20):
        direction = random.normal(size=9)
        assert total(found.barycentre + 1e-3 * direction, WAVES, omega, WEIGHTS) >= found.value - 1e-8


def means_along_best_paths(centre):
    matched = [[] for _ in centre]
    for one, weight in zip(WAVES, WEIGHTS, strict=True):
        for i, j in dtw_path(x=centre, y=one):
            if i >= 0:
                matched[i].append((one[j], weight))
    return [np.average([v for v, _ in row], weights=[w for _, w in row]) for row in matched]


def test_a_hard_step_is_the_mean_along_best_paths_and_the_last_one_changes_nothing():
    centre = np.linspace(1, -1, 7)
    end = barycentre(WAVES, HardMax(), weights=WEIGHTS, init=centre, max_iter=500, tol=0)
    np.testing.assert_allclose(end.barycentre, means_along_best_paths(end.barycentre), atol=1e-12)
    assert end.converged and end.value == pytest.approx(total(end.barycentre, WAVES, HardMax(), WEIGHTS), abs=1e-10)
    found = barycentre(WAVES, HardMax(), weights=WEIGHTS, init=centre, max_iter=1)
    np.testing.assert_allclose(found.barycentre, means_along_best_paths(centre), atol=1e-12)
    assert not found.converged and found.iterations == 1


def test_one_entry_is_the_mean_of_all_frames():
    found = barycentre(WAVES, HardMax(), length=1)
    assert found.barycentre[0] == pytest.approx(np.concatenate(WAVES).mean())


def test_padding_is_never_read():
    rows = np.full((4, 24, 1), 1e9)
    for row, one in zip(rows, WAVES, strict=True):
        row[: len(one), 0] = one
    padded = barycentre(rows, HardMax(), lengths=[20, 24, 17, 20], length=12)
    ragged = barycentre(WAVES, HardMax(), length=12)
    assert padded.value == ragged.value and (padded.barycentre[:, 0] == ragged.barycentre).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"length": 0}, "length is 0"),
        ({"init": np.zeros((5, 2))}, r"expected \[length, 1\]"),
        ({"init": np.zeros(5), "length": 6}, r"expected \[6, 1\]"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"tol": -1.0}, "tol is -1.0"),
        ({"weights": [1.0]}, "expected 4 finite numbers"),
        ({"window": ("sakoechiba", 1), "length": 9}, r"series\[0\], length 20, is inf"),
    ],
)
def test_arguments_that_do_not_fit(options, says):
    with pytest.raises(InputError, match=says):
        barycentre(WAVES, HardMax(), **options)
