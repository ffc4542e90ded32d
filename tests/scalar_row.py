"""kernels/row_max.py bound to scalars: one row of two arrays, whose scores are computed anew at each read.

The names serve Python, Numba's CUDA simulator and a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels import row_max
from dagdp.kernels.recursion import anchor, enter, relative_score
from dagdp.kernels.row_max import exponential_total, first_maximal, maximum, newton
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rewrite import narrow

REAL: Any = np.float64  # `bound` gives both the values of its type
EPSILON: Any = np.finfo(np.float64).eps


class ScalarRow(NamedTuple):
    """Row r of theta, the parents' v and the direction z, each [rows, edges]; m and 1/γ, once m is known."""

    theta: Any
    parents: Any
    z: Any
    r: Any
    m_hi: Any
    m_lo: Any
    rate: Any


def score_at(row, d):
    return enter(row.theta[row.r, d], row.parents[row.r, d], splat(row, 0.0))


def relative_at(row, d):
    x_hi, x_lo = score_at(row, d)
    return relative_score(x_hi, x_lo, row.m_hi, row.m_lo, row.rate)


def link_at(row, d):
    return exp(relative_at(row, d))


def tangent_at(row, d):
    return row.z[row.r, d]


def keep(row, d, value):
    pass


def splat(like, number):
    return REAL(number)


def exp(y):
    return REAL(math.exp(y)) if y - y == 0.0 else REAL(0.0)


def log_of_mass(total):
    return REAL(math.log(total)) if total > 0.0 else REAL(0.0)


def epsilon(like):
    return EPSILON


def row_of(omega, theta, parents, z, r):
    """(the row, m as (hi, lo))."""
    rate = splat(theta, 1.0) / omega.gamma
    unknown = ScalarRow(theta, parents, z, r, splat(theta, 0.0), splat(theta, 0.0), rate)
    m_hi, m_lo = maximum(unknown, theta.shape[1])
    return ScalarRow(theta, parents, z, r, splat(theta, anchor(m_hi)), m_lo, rate), m_hi, m_lo


def solve(omega, row, depth):
    """What the operator's solver returns, and κ."""
    if exponential(omega):
        return exponential_total(omega, row, depth, row.m_hi, row.m_lo), splat(row, 0.0)
    if first_only(omega):
        return first_maximal(omega, row, depth, row.m_hi, row.m_lo), splat(row, 0.0)
    return newton(omega, row, depth)


HERE = (score_at, relative_at, link_at, tangent_at, keep, splat, exp, log_of_mass, epsilon, row_of, solve)


def rebound(function: FunctionType, real: Any, scope: dict[str, Any]) -> FunctionType:
    """The function with `scope` as its globals, and its literals of the type `real`."""
    return FunctionType(narrow(function, real, (float,)).__code__, scope, function.__name__)


def _unchanged(function: Callable[..., Any]) -> Any:
    return function


def bound(real: Any, wrap: Callable[..., Any] = _unchanged) -> dict[str, Any]:
    """All functions of the row, by name, for numbers of the type `real`; they call each other.

    wrap : makes a function one of the target's.
    """
    scope = {**vars(row_max), **globals(), "REAL": real, "EPSILON": np.finfo(real).eps}
    shared = [f for f in vars(row_max).values() if getattr(f, "__module__", "") == row_max.__name__]
    for function in (*shared, *HERE):
        scope[function.__name__] = wrap(rebound(function, real, scope))
    return scope
