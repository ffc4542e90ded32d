"""Numerical checks for operators that users write; the package's tests call them, too."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import compile
from dagdp.describe.graph import Graph
from dagdp.errors import OmegaError
from dagdp.functions import dp_grad, dp_hvp, dp_value
from dagdp.omega import Omega

Vector = NDArray[np.float64]


def check_omega(omega: Omega, *, seed: int = 0) -> None:
    """Raise OmegaError if `omega` is not a smoothed maximum; the message says which property fails and where.

    Checked by the compiled kernels, on rows of 1 to 7 entries at scales from γ/100 to 100 γ:

    - weights are >= 0 and sum to 1; -inf has weight 0, and so have edges 1e9 and 1e30 below the others;
    - the gradient equals finite differences of the value, the Hessian product finite differences of the gradient; the
      Hessian is symmetric;
    - max_Ω(x + c) = max_Ω(x) + c, and permutations of x do not change the value;
    - link is convex, non-decreasing and the derivative of conjugate; slope is the derivative of link where link is
      smooth; link(corner) = 1; all three functions are 0 far to the left;
    - a float32 kernel agrees with float64.

    seed : of the random rows.

    >>> from dagdp import SquaredL2
    >>> check_omega(SquaredL2(0.5))
    """
    _check_functions(omega)
    rng = np.random.default_rng(seed)
    for size, scale in itertools.product((1, 2, 3, 7), (0.01, 0.3, 1.0, 10.0, 100.0)):
        x, z = omega.gamma * scale * rng.normal(size=size), rng.normal(size=size)
        _check_row(omega, x, z, rng)


def _fail(omega: Omega, what: str, **facts: Any) -> None:
    shown = ", ".join(f"{name} = {value}" for name, value in facts.items())
    raise OmegaError(f"{omega!r} is not a smoothed maximum: {what} ({shown})")


def _row(size: int) -> CompiledDAG:
    """A graph of one node with `size` parallel edges; its value is max_Ω of theta."""
    return compile(Graph.from_edges(np.zeros(size, int), np.ones(size, int)))


def _check_functions(omega: Omega) -> None:
    if omega.solver == "first":  # kernels then compare places of edges, and do not call these functions
        return
    data = omega.data()
    step = 1e-5
    grid = np.linspace(-3.0, omega.corner + 1.0, 81)
    link = [data.link(y) for y in grid]
    for y, q in zip(grid, link, strict=True):
        central = (data.conjugate(y + step) - data.conjugate(y - step)) / (2 * step)
        if abs(central - q) > 1e-4 * (1.0 + abs(q)):
            _fail(omega, "link is not the derivative of conjugate", y=y, link=q, difference=central)
        left, right = (data.link(y) - data.link(y - step)) / step, (data.link(y + step) - data.link(y)) / step
        smooth = abs(right - left) < 1e-2 * (1.0 + abs(right))
        if smooth and abs(data.slope(y) - 0.5 * (left + right)) > 1e-2 * (1.0 + abs(right)):
            _fail(omega, "slope is not the derivative of link", y=y, slope=data.slope(y), difference=right)
    for a, b, c in zip(link, link[1:], link[2:], strict=False):
        if not (0.0 <= a <= b + 1e-12 and a + c - 2 * b >= -1e-9 * (1.0 + c)):
            _fail(omega, "link must be non-negative, non-decreasing and convex", three_points=(a, b, c))
    if abs(data.link(omega.corner) - 1.0) > 1e-9:
        _fail(omega, "link(corner) must be 1", corner=omega.corner, link=data.link(omega.corner))
    _check_far(omega)


def _check_far(omega: Omega) -> None:
    """Check that weights far to the left are exactly 0: small weights of many far edges would add up."""
    found: Any
    for real, name in itertools.product((np.float64, np.float32), ("link", "slope", "conjugate")):
        function = getattr(omega.data(real), name)
        for y in (-1e3 * max(1.0, abs(omega.corner)), -1e6, -1e12, -1e30):
            try:
                with np.errstate(all="ignore"):
                    found = real(function(real(y)))
            except ArithmeticError as error:
                found = error
            if found != 0.0:
                _fail(
                    omega,
                    f"{name} must be 0.0, or underflow to it, for large negative y, in float64 and float32. Return 0.0 "
                    "below some y, and make the functions continuous there",
                    y=y,
                    dtype=real.__name__,
                    **{name: found},
                )


def _check_row(omega: Omega, x: Vector, z: Vector, rng: np.random.Generator) -> None:
    dag = _row(x.size)
    value, q, h = dp_value(dag, x, omega), dp_grad(dag, x, omega), dp_hvp(dag, x, z, omega)
    scale = float(np.abs(x).max() + omega.gamma)
    if not (math.isfinite(value) and np.isfinite(q).all() and np.isfinite(h).all()):
        _fail(omega, "value, gradient and Hessian product must be finite", x=x, value=value, gradient=q, product=h)
    if q.min() < 0.0 or abs(q.sum() - 1.0) > 1e-9:
        _fail(omega, "weights must be >= 0 and sum to 1", x=x, weights=q)
    step = 1e-6 * omega.gamma
    slope = (dp_value(dag, x + step * z, omega) - dp_value(dag, x - step * z, omega)) / (2 * step)
    if omega.solver != "first" and abs(slope - q @ z) > 1e-5 * (1.0 + scale / omega.gamma):
        _fail(omega, "the gradient is not the derivative of the value", x=x, z=z, gradient=q @ z, difference=slope)
    _check_hessian(omega, dag, x, z, h, rng)
    shift = 3.7 * scale
    if abs(dp_value(dag, x + shift, omega) - value - shift) > 1e-9 * scale:
        _fail(omega, "max(x + c) must be max(x) + c", x=x, c=shift)
    order = rng.permutation(x.size)
    if abs(dp_value(dag, x[order], omega) - value) > 1e-9 * scale:
        _fail(omega, "the order of edges must not change the value", x=x)
    longer = dp_grad(_row(x.size + 1), np.append(x, -np.inf), omega)
    if longer[-1] != 0.0 or np.abs(longer[:-1] - q).max() > 1e-9:
        _fail(omega, "an edge of weight -inf must not be taken", x=x, weights=longer)
    _check_far_edges(omega, x, value)
    single = dp_grad(dag, x.astype(np.float32), omega)
    if np.abs(single - dp_grad(dag, x.astype(np.float32).astype(np.float64), omega)).max() > 2e-3:
        _fail(omega, "float32 weights differ from float64 weights", x=x, float32=single, float64=q)


def _check_far_edges(omega: Omega, x: Vector, value: Any) -> None:
    dag = _row(x.size + 1)
    for far, real in itertools.product((-1e9, -1e30), (np.float64, np.float32)):
        with np.errstate(over="ignore"):  # -inf in float32 is an edge that is never taken
            longer = np.append(x, x.max() + far * max(1.0, omega.gamma)).astype(real)
        found, q = dp_value(dag, longer, omega), dp_grad(dag, longer, omega)
        close = 1e-9 if real is np.float64 else 1e-4
        # NaN fails each of these comparisons
        if not (abs(found - value) <= close * (1.0 + np.abs(x).max() + omega.gamma) and abs(q.sum() - 1.0) <= close):
            _fail(
                omega,
                "an edge far below the others must change nothing: the value finite, the weights summing to 1",
                x=longer,
                value=found,
                weights=q,
            )


def _check_hessian(omega: Omega, dag: CompiledDAG, x: Vector, z: Vector, h: Vector, rng: np.random.Generator) -> None:
    step = 1e-6 * omega.gamma
    ahead, behind = dp_grad(dag, x + step * z, omega), dp_grad(dag, x - step * z, omega)
    here = dp_grad(dag, x, omega)
    one_sided = np.abs((ahead - here) - (here - behind)).max() / step  # a kink (a change of support) lies within a step
    difference = (ahead - behind) / (2 * step)
    bound = 1e-3 * (1.0 + np.abs(h).max())
    if omega.solver != "first" and one_sided < bound and np.abs(difference - h).max() > bound:
        _fail(
            omega,
            "the Hessian product is not the derivative of the gradient",
            x=x,
            z=z,
            product=h,
            difference=difference,
        )
    other = rng.normal(size=x.size)
    if abs(other @ h - z @ dp_hvp(dag, x, other, omega)) > 1e-8 * (1.0 + np.abs(h).max()):
        _fail(omega, "the Hessian must be symmetric", x=x)
    if abs(h.sum()) > 1e-9 * (1.0 + np.abs(h).max()):
        _fail(omega, "the Hessian must not see a common shift", x=x, product=h)
