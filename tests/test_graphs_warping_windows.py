"""Windows against the loops of the packages whose windows they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dagdp.graphs.warping.windows import window_mask

SIZES = list(itertools.product(range(1, 10), repeat=2))


def tslearn_radius(n, m, radius):
    """sakoe_chiba_mask of tslearn 0.10.0."""
    mask = np.zeros((n, m), bool)
    for i in range(min(n, m)):
        low, high = max(0, i - radius), i + abs(n - m) + radius + 1
        if n > m:
            mask[low:high, i] = True
        else:
            mask[i, low:high] = True
    return mask


def tslearn_itakura(n, m, slope):
    """itakura_mask of tslearn 0.10.0."""
    flat, steep = n / m / slope, n / m * slope
    mask = np.zeros((n, m), bool)
    for j in range(m):
        low = np.ceil(max(round(flat * j, 2), round(n - 1 - steep * (m - 1) + steep * j, 2)))
        high = np.floor(min(round(steep * j, 2), round(n - 1 - flat * (m - 1) + flat * j, 2)) + 1)
        mask[max(int(low), 0) : max(int(high), 0), j] = True
    return mask


def slanted(n, m, radius):
    """slantedBandWindow of dtw-python 1.9.0."""
    line = np.arange(n) * (m - 1) / max(n - 1, 1)
    return np.abs(np.arange(m) - line[:, None]) <= radius


WINDOWS = [
    (0, tslearn_radius, 0),
    (2, tslearn_radius, 2),
    (("itakura", 1.5), tslearn_itakura, 1.5),
    (("itakura", 3), tslearn_itakura, 3),
    (("slantedband", 1), slanted, 1),
    (("sakoechiba", 1), lambda n, m, r: np.abs(np.subtract.outer(np.arange(n), np.arange(m))) <= r, 1),
]


@pytest.mark.parametrize(("window", "loop", "size"), WINDOWS, ids=[str(w[0]) for w in WINDOWS])
def test_a_window_is_that_of_the_package(window, loop, size):
    for n, m in SIZES:
        found = window_mask(window, (n, m), np.array(n), np.array(m))
        np.testing.assert_array_equal(found, loop(n, m, size), err_msg=f"{n} x {m}")


@pytest.mark.parametrize(("window", "loop", "size"), WINDOWS, ids=[str(w[0]) for w in WINDOWS])
def test_windows_of_a_batch_are_those_of_each_item(window, loop, size):
    n, m = np.array(SIZES).T
    found = window_mask(window, (9, 9), n, m)
    for b, (rows, columns) in enumerate(SIZES):
        np.testing.assert_array_equal(found[b, :rows, :columns], loop(rows, columns, size))
        assert not found[b, rows:].any() and not found[b, :, columns:].any()


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_a_radius_is_connected_and_equal_for_both_orders_of_the_series(radius):
    for n, m in SIZES:
        mask = window_mask(radius, (n, m), np.array(n), np.array(m))
        np.testing.assert_array_equal(mask, window_mask(radius, (m, n), np.array(m), np.array(n)).T)
        assert mask[0, 0] and mask[-1, -1] and mask.any(0).all() and mask.any(1).all()
