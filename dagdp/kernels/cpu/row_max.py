"""max_Ω of a row of lanes: τ and κ from the scores x of the edges into a row's nodes.

The d-th edges of a row's nodes form a row of x, found at `xs[d]` of (x_hi, x_lo). A solver leaves in `y` a row for
each d, from which `row_weight` makes q: (x - m)/γ, or, for the closed form, link of it (there and for HardMax only if
y has room). It hands back two rows for `settle`: -a, HardMax's chosen slot or the closed form's Σ link; and Newton's κ.
Newton's are made of where it starts by `climb`, for some rows together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined
from dagdp.kernels.recursion import (
    argument,
    centre,
    curvature,
    energy,
    exceeds,
    keepable,
    newton_step,
    present,
    scaled,
    weight,
    where_kept,
)
from dagdp.lanes.exp_log import exp, log_of_mass
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rows import any_lane, load, row_of, select, store
from dagdp.lanes.views import part, pick, row_length

TERMS = 512  # of a sum that are added up by themselves: a million small terms in float32 lose 7e-4 one after another


@inlined
def maximum(x_hi: Any, x_lo: Any, xs: Any, depth: int) -> Any:
    """m = max x, as (hi, lo)."""
    m_hi, m_lo = row_of(x_hi, -np.inf), row_of(x_hi, 0)
    for d in range(depth):
        at = pick(xs, d)
        hi, lo = load(x_hi, at), load(x_lo, at)
        larger = exceeds(hi, lo, m_hi, m_lo)
        m_hi, m_lo = select(larger, hi, m_hi), select(larger, lo, m_lo)
    return m_hi, m_lo


@inlined
def solve_newton(omega: Any, x_hi: Any, x_lo: Any, xs: Any, depth: int, m_hi: Any, m_lo: Any, y: Any) -> Any:
    rate = x_hi.dtype.type(1) / omega.gamma
    for d in range(depth):
        at = pick(xs, d)
        store(y, d * row_length(x_hi), scaled(load(x_hi, at), load(x_lo, at), m_hi, m_lo, rate))
    return row_of(x_hi, omega.corner), row_of(x_hi, 0)


@inlined
def climb_newton(omega: Any, depth: int, rows: int, y: Any, found: Any, apart: int) -> None:
    """Newton's steps of some rows at once: each waits for the one before, those of several rows do not."""
    real, whole = y.dtype.type, row_length(y)
    tolerance = real(4) * np.finfo(real).eps
    for _ in range(depth + 64):
        moving = False
        for r in range(rows):
            shift, own_y = load(found, r * apart), part(y, r * depth * whole, depth * whole)
            total, slope = row_of(y, 0), row_of(y, 0)
            for first in range(0, depth, TERMS):
                some, some_slope = row_of(y, 0), row_of(y, 0)
                for d in range(first, min(first + TERMS, depth)):
                    u = load(own_y, d * whole) + shift
                    some = some + weight(omega, u)
                    some_slope = some_slope + curvature(omega, u)
                total, slope = total + some, slope + some_slope
            step = newton_step(total, slope)
            # Small steps, of either sign, wait until no lane is far: a lane that is near stands still, and its bits
            # depend neither on its neighbours nor on what lies behind the last of them, nor on the other rows.
            far = step > tolerance
            taken = select(far, step, row_of(y, 0))
            store(found, r * apart, shift - taken)
            store(found, r * apart + whole, step - taken)
            moving |= any_lane(far)
        if not moving:
            break
    for r in range(rows):
        own_y = part(y, r * depth * whole, depth * whole)
        shift = load(found, r * apart) - load(found, r * apart + whole)
        kappa = row_of(y, 0)
        for first in range(0, depth, TERMS):
            some = row_of(y, 0)
            for d in range(first, min(first + TERMS, depth)):
                some = some + energy(omega, load(own_y, d * whole) + shift)
            kappa = kappa + some
        store(found, r * apart, shift)
        store(found, r * apart + whole, kappa)


@inlined
def solve_exponential(omega: Any, x_hi: Any, x_lo: Any, xs: Any, depth: int, m_hi: Any, m_lo: Any, y: Any) -> Any:
    real = x_hi.dtype.type
    whole = row_length(x_hi)
    rate = real(1) / omega.gamma
    keep = y.shape[0] > whole
    total = row_of(x_hi, 0)
    for first in range(0, depth, TERMS):
        some = row_of(x_hi, 0)
        for d in range(first, min(first + TERMS, depth)):
            at = pick(xs, d)
            # y is finite, or no number (x is no edge, or nothing reaches the node): then the link is 0
            link = exp(scaled(load(x_hi, at), load(x_lo, at), m_hi, m_lo, rate))
            if keep:
                store(y, d * whole, link)
            some = some + link
        total = total + some
    return total, row_of(x_hi, 0)


@inlined
def solve_first(omega: Any, x_hi: Any, x_lo: Any, xs: Any, depth: int, m_hi: Any, m_lo: Any, y: Any) -> Any:
    real = x_hi.dtype.type
    whole = row_length(x_hi)
    keep = y.shape[0] > whole
    shift = row_of(x_hi, -1)
    for d in range(depth):
        at = pick(xs, d)
        row = scaled(load(x_hi, at), load(x_lo, at), m_hi, m_lo, real(1))
        if keep:
            store(y, d * whole, row)
        shift = select((row == real(0)) & (shift < real(0)), real(d), shift)
    return shift, row_of(x_hi, 0)


@inlined
def settle(omega: Any, found: Any, energy: Any, y: Any) -> Any:
    """(what turns y into q, what is added to m, κ) from what the solver left.

    The first is -a, HardMax's chosen slot, or the closed form's 1/Σ link; the second -a again; κ the sum of ω*.
    """
    real, nothing = y.dtype.type, row_of(y, 0)
    if exponential(omega):
        share = select(found > real(0), real(1) / found, nothing)
        return share, -log_of_mass(found), row_of(y, real(1) - omega.corner)
    if first_only(omega):
        return found, nothing, nothing
    return found, found, energy


@inlined
def row_weight(omega: Any, y: Any, d: int, turn: Any) -> Any:
    """(q, s) of the row of d-th edges, from what the solver left in y and handed back first."""
    row = load(y, d * row_length(y))
    if exponential(omega):
        q = row * turn
        return q, q
    return weighed(omega, argument(omega, row, row_of(y, y.dtype.type(d)), turn))


@inlined
def tangents(omega: Any, depth: int, y: Any, turn: Any, v_dot: Any, at: Any, z: Any, z_at: Any, start: Any) -> Any:
    """v̇ = Σ q ẋ (A1) on top of `start`, and c, the mean of ẋ under s, from which q̇ comes back (A2)."""
    slope, bend, mass = start, row_of(y, 0), row_of(y, 0)
    for d in range(depth):
        q, s = row_weight(omega, y, d, turn)
        x_dot = load(v_dot, pick(at, d))
        if z is not None:
            x_dot = x_dot + load(z, pick(z_at, d))
        slope = slope + q * x_dot
        bend = bend + s * x_dot
        mass = mass + s
    return slope, centre(bend, mass)


@inlined
def row_kept(omega: Any, y: Any, d: int, turn: Any) -> Any:
    """The same in one number, which `kept_weight` makes (q, s) from: what link is asked at; 0 is free for no edge.

    Of the closed form and HardMax q itself.
    """
    if exponential(omega) or first_only(omega):
        q, _ = row_weight(omega, y, d, turn)
        return q
    return keepable(argument(omega, load(y, d * row_length(y)), row_of(y, y.dtype.type(d)), turn))


@inlined
def kept_weight(omega: Any, row: Any) -> Any:
    """(q, s) from `row_kept`."""
    if exponential(omega) or first_only(omega):
        return row, row
    q, s = weighed(omega, row)
    return where_kept(row, q), where_kept(row, s)


@inlined
def weighed(omega: Any, u: Any) -> Any:
    """(q, s) where link is asked at u; of the closed form, whose link at corner + u is e^u, at corner + u."""
    if exponential(omega):
        q = present(u, exp(u))
        return q, q
    return weight(omega, u), curvature(omega, u)


@inlined
def solve(omega: Any, x_hi: Any, x_lo: Any, xs: Any, depth: int, m_hi: Any, m_lo: Any, y: Any) -> Any:
    """By the solver that the operator names."""
    if exponential(omega):
        return solve_exponential(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)
    if first_only(omega):
        return solve_first(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)
    return solve_newton(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)


@inlined
def climb(omega: Any, depth: int, rows: int, y: Any, found: Any, apart: int) -> None:
    """What is left to do for some rows: the two of each lie in `found`, `apart` numbers from those of the next."""
    if not exponential(omega) and not first_only(omega):
        climb_newton(omega, depth, rows, y, found, apart)
