"""Beside tslearn (extra `peers`) on its Trace data: barycentres, distances, nearest neighbours. Skipped without it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tslearn")

from tslearn import barycenters, metrics
from tslearn.datasets import CachedDatasets

from dagdp import HardMax, Negentropy
from dagdp.series import KNeighborsTimeSeries, barycentre, distances

TRAIN, LABELS, TEST, TRUE = CachedDatasets().load_dataset("Trace")
CLASS = TRAIN[LABELS == 1]  # [26, 275, 1]
START = CLASS.mean(0)


def test_the_soft_barycentre_of_a_class():
    theirs = barycenters.softdtw_barycenter(CLASS[:4], gamma=1.0, init=START.copy(), max_iter=100, tol=1e-6)
    few = barycentre(CLASS[:4], Negentropy(1.0), init=START, max_iter=100, tol=1e-6)
    np.testing.assert_allclose(few.barycentre, theirs, atol=1e-6)
    ours = barycentre(CLASS, Negentropy(1.0), init=START, max_iter=100, tol=1e-6)
    assert ours.converged and ours.value == pytest.approx(-11597.985296503444, rel=1e-9)  # tslearn 0.10.0


def test_the_hard_barycentre_of_a_class():
    theirs = barycenters.dtw_barycenter_averaging(CLASS[:4], init_barycenter=START.copy(), max_iter=200, tol=1e-12)
    few = barycentre(CLASS[:4], HardMax(), init=START, tol=0, max_iter=200)
    np.testing.assert_allclose(few.barycentre, theirs, atol=1e-9)
    ours = barycentre(CLASS, HardMax(), init=START, tol=0)
    assert ours.converged and ours.value == pytest.approx(56.79488433141441, rel=1e-9)  # tslearn 0.10.0


def test_distances_and_soft_distances():
    some, others = TEST[:12], TRAIN[:15]
    options = {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": 10}
    hard = metrics.cdist_dtw(some, others, **options)
    np.testing.assert_allclose(np.sqrt(distances(some, others, window=10)), hard, atol=1e-9)
    soft = metrics.cdist_soft_dtw(some, others, gamma=1.0)
    np.testing.assert_allclose(distances(some, others, Negentropy(1.0)), soft, atol=1e-8)


@pytest.mark.parametrize(("radius", "right"), [(10, 99), (25, 100)])  # of 100, as tslearn 0.10.0 has
def test_nearest_neighbours(radius, right):
    pytest.importorskip("sklearn")
    model = KNeighborsTimeSeries(window=radius).fit(TRAIN, LABELS)
    assert (model.predict(TEST) == TRUE).sum() == right
