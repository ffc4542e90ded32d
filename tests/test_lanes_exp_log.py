"""exp and log of the kernels, against mpmath over the whole range, in both precisions."""

from __future__ import annotations

import mpmath
import numba
import numpy as np
import pytest

from dagdp.lanes.exp_log import exp, log
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import width


@numba.njit(error_model="numpy")
def both(x, e, g):
    for k in range(0, x.size, width(x)):
        store(e, k, exp(load(x, k)))
        store(g, k, log(load(x, k)))


def evaluate(x):
    padded = np.concatenate([x, np.ones(-x.size % 16, x.dtype)])
    e, g = np.empty_like(padded), np.empty_like(padded)
    both(padded, e, g)
    return e[: x.size], g[: x.size]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_stay_below_two_ulp(dtype):
    rng = np.random.default_rng(0)
    top = 80 if dtype == np.float32 else 700
    for x in (rng.uniform(-top, top, 300), rng.uniform(-1, 1, 300), np.exp(rng.uniform(-60, 60, 300))):
        x = x.astype(dtype)
        e, g = evaluate(x)
        with mpmath.workdps(40):
            for k, value in enumerate(x):
                if abs(value) <= top:
                    exact = mpmath.exp(mpmath.mpf(float(value)))
                    assert abs(mpmath.mpf(float(e[k])) - exact) <= 2 * float(np.spacing(dtype(exact)))
                if value > 0:
                    exact = mpmath.log(mpmath.mpf(float(value)))
                    assert abs(mpmath.mpf(float(g[k])) - exact) <= 2 * float(
                        np.spacing(dtype(abs(exact)) + dtype(1e-30))
                    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_range(dtype):
    e, g = evaluate(np.array([-np.inf, np.inf, np.nan, 0.0, 1.0, -1e4, 1e4, -1.0], dtype))
    assert e[[0, 1, 2, 3]].tolist() == [0, np.inf, 0, 1] and e[5] == 0 and e[6] == np.inf  # NaN is no edge: 0
    assert g[1] == np.inf and np.isnan(g[[0, 2, 7]]).all() and g[3] == -np.inf and g[4] == 0
    small = np.array([np.finfo(dtype).tiny / 4], dtype)
    assert evaluate(small)[1][0] == pytest.approx(float(np.log(small[0])), rel=1e-6)
