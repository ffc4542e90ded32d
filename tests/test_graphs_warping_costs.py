"""Costs of series from NumPy against scipy, and against those of tensors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dagdp import InputError
from dagdp.graphs import dtw_value
from dagdp.graphs.warping.costs import COSTS, frame_costs, series_costs

METRICS = {"squared_euclidean": "sqeuclidean", "euclidean": "euclidean", "l1": "cityblock", "cosine": "cosine"}
rng = np.random.default_rng(0)


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_is_scipys(name):
    x, y = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4, 3))
    y[0, 1] = x[0, 2]
    known = [-(a @ b.T) if name == "negative_dot" else cdist(a, b, METRICS[name]) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(series_costs(x, y, name), known, atol=1e-12)
    assert series_costs(x.astype(np.float32), y.astype(np.float32), name).dtype == np.float32
    assert series_costs([1, 2], [3], name).dtype == np.float64


@pytest.mark.parametrize("name", COSTS)
def test_arrays_are_as_tensors(name):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    x[1], y[0], x[3, 0] = 0.0, 0.0, np.nan
    found = series_costs(x, y, name)
    assert np.isnan(found[3]).all() and np.isfinite(np.delete(found, 3, 0)).all()
    np.testing.assert_allclose(found, series_costs(torch.from_numpy(x), torch.from_numpy(y), name), atol=1e-12)


def test_a_function_of_both_series_is_a_cost():
    x, y = rng.normal(size=5), rng.normal(size=4)
    value = dtw_value(x=x, y=y, cost=lambda a, b: 2.0 * np.abs(a - b.T))
    assert value == pytest.approx(dtw_value(2.0 * np.abs(x[:, None] - y)), abs=1e-12)


def test_paired_frames_of_equal_entries_have_derivative_0():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    frame_costs(x, torch.tensor([1.0, 2.0], dtype=torch.float64)).sum().backward()
    np.testing.assert_allclose(x.grad, [[0.0, 0.0], [np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-12)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="cost='l3'; expected one of squared_euclidean, euclidean"):
        series_costs(np.zeros(3), np.zeros(3), "l3")
    with pytest.raises(InputError, match=r"the series have shapes \(2, 3\) and \(2, 4\); expected"):
        series_costs(np.zeros((2, 3)), np.zeros((2, 4)), "l1")
