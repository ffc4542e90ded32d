"""The lower bound: below the distance for every window, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp.series import distances, lower_bounds


@pytest.mark.parametrize(
    "window", [None, 0, 1, 3, ("sakoechiba", 6), ("slantedband", 2), ("itakura", 2.0), ("band", 2)]
)
@pytest.mark.parametrize("features", [1, 3])
def test_no_bound_is_above_the_distance(window, features):
    random = np.random.default_rng(3)
    x, y = ([random.normal(size=(n, features)).cumsum(0) for n in random.integers(1, 13, 15)] for _ in "xy")
    bounds, exact = lower_bounds(x, y, window=window), distances(x, y, window=window)
    assert (bounds <= exact * (1 + 1e-12) + 1e-12).all() and (bounds >= 0).all()
    finite = np.isfinite(exact)
    assert bounds[finite].sum() > 0.2 * exact[finite].sum()


def test_radius_0_of_equal_lengths_is_the_squared_distance():
    x, y = np.random.default_rng(4).normal(size=(2, 3, 8))
    np.testing.assert_allclose(lower_bounds(x, y, window=0), ((x[:, None] - y) ** 2).sum(-1), atol=1e-12)


def test_lb_keogh_by_hand():
    """Rows 1 and 2 have ranges [0, 3] and [1, 4]; the ends pay the distance from the ends."""
    x, y = [[0.0, 5.0, 0.0, 9.0]], [[1.0, 0.0, 3.0, 4.0]]
    y[0][1], y[0][2] = 0.0, 3.0
    assert lower_bounds(x, y, window=1).tolist() == [[1.0 + 2.0**2 + 0.0 + 5.0**2]]
