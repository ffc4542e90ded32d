"""max_Ω of a row of lanes: τ and κ from the scores x of the edges into the row's nodes.

The d-th edges of a row's nodes form a row of x, which lies at xs[d] of (x_hi, x_lo). A solver fills `y` with a row for
each d, from which `row_weight` makes q. y is (x - m)/γ; for the closed form it is e^((x - m)/γ). For the closed form
and HardMax y is only filled if it has memory for more than one row.

A solver returns two rows for `finish_solution`. The first is -(τ - m)/γ for Newton, the chosen slot for HardMax, and
Σ e^((x - m)/γ) for the closed form. The second is 0; `newton_iterate`, which improves the first iterate of several rows
together, replaces it by κ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.records import Floats, Indices, Row
from dagdp.kernels.recursion import (
    argument,
    centre,
    curvature,
    energy,
    exceeds,
    newton_step,
    nonzero,
    present,
    relative_score,
    weight,
    where_stored,
)
from dagdp.lanes.exp_log import exp, log_of_mass
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.reductions import any_lane
from dagdp.lanes.rows import load, select, splat, store
from dagdp.lanes.views import get, view, width

TERMS = 512  # terms of a partial sum: 1e6 small float32 terms, added one after another, lose 7e-4


class Operand(NamedTuple):
    """A row for each of some edges: the d-th lies at addresses[d] of the array."""

    array: Floats
    addresses: Indices


@inlined
def maximum(x_hi: Floats, x_lo: Floats, xs: Indices, depth: int) -> Any:
    """m = max x, as (hi, lo)."""
    m_hi, m_lo = splat(x_hi, -np.inf), splat(x_hi, 0)
    for d in range(depth):
        at = get(xs, d)
        hi, lo = load(x_hi, at), load(x_lo, at)
        larger = exceeds(hi, lo, m_hi, m_lo)
        m_hi, m_lo = select(larger, hi, m_hi), select(larger, lo, m_lo)
    return m_hi, m_lo


@inlined
def solve_newton(
    omega: Any, x_hi: Floats, x_lo: Floats, xs: Indices, depth: int, m_hi: Row, m_lo: Row, y: Floats
) -> Any:
    """y, and (the first iterate of -(τ - m)/γ, 0)."""
    rate = x_hi.dtype.type(1) / omega.gamma
    for d in range(depth):
        at = get(xs, d)
        store(y, d * width(x_hi), relative_score(load(x_hi, at), load(x_lo, at), m_hi, m_lo, rate))
    return splat(x_hi, omega.corner), splat(x_hi, 0)


@inlined
def newton_iterate(omega: Any, depth: int, rows: int, y: Floats, found: Floats, apart: int) -> None:
    """Newton's method for several rows at once, since each iteration of a row waits for the one before.

    found : for each row the iterate, then κ, `apart` elements from those of the next row; overwritten.
    """
    dtype, row = y.dtype.type, width(y)
    tolerance = dtype(4) * np.finfo(dtype).eps
    for _ in range(depth + 64):
        moving = False
        for r in range(rows):
            shift, own_y = load(found, r * apart), view(y, r * depth * row, depth * row)
            total, slope = splat(y, 0), splat(y, 0)
            for first in range(0, depth, TERMS):
                some, some_slope = splat(y, 0), splat(y, 0)
                for d in range(first, min(first + TERMS, depth)):
                    u = load(own_y, d * row) + shift
                    some = some + weight(omega, u)
                    some_slope = some_slope + curvature(omega, u)
                total, slope = total + some, slope + some_slope
            step = newton_step(total, slope)
            # A lane with a small step keeps its iterate, and takes the step, of either sign, after the last iteration.
            # Its bits then depend neither on other lanes or rows nor on elements behind the last lane.
            far = step > tolerance
            taken = select(far, step, splat(y, 0))
            store(found, r * apart, shift - taken)
            store(found, r * apart + row, step - taken)
            moving |= any_lane(far)
        if not moving:
            break
    for r in range(rows):
        own_y = view(y, r * depth * row, depth * row)
        shift = load(found, r * apart) - load(found, r * apart + row)
        kappa = splat(y, 0)
        for first in range(0, depth, TERMS):
            some = splat(y, 0)
            for d in range(first, min(first + TERMS, depth)):
                some = some + energy(omega, load(own_y, d * row) + shift)
            kappa = kappa + some
        store(found, r * apart, shift)
        store(found, r * apart + row, kappa)


@inlined
def solve_exponential(
    omega: Any, x_hi: Floats, x_lo: Floats, xs: Indices, depth: int, m_hi: Row, m_lo: Row, y: Floats
) -> Any:
    """(Σ link, 0), and link of each edge in y if y has memory for it."""
    dtype = x_hi.dtype.type
    row = width(x_hi)
    rate = dtype(1) / omega.gamma
    keep = y.shape[0] > row
    total = splat(x_hi, 0)
    for first in range(0, depth, TERMS):
        some = splat(x_hi, 0)
        for d in range(first, min(first + TERMS, depth)):
            at = get(xs, d)
            # y is finite, or NaN or -inf where there is no edge or nothing reaches the node: then link is 0
            link = exp(relative_score(load(x_hi, at), load(x_lo, at), m_hi, m_lo, rate))
            if keep:
                store(y, d * row, link)
            some = some + link
        total = total + some
    return total, splat(x_hi, 0)


@inlined
def solve_first(
    omega: Any, x_hi: Floats, x_lo: Floats, xs: Indices, depth: int, m_hi: Row, m_lo: Row, y: Floats
) -> Any:
    """(the slot of the first maximal edge, -1 for none; 0), and x - m of each edge in y if y has memory for it."""
    dtype = x_hi.dtype.type
    row = width(x_hi)
    keep = y.shape[0] > row
    shift = splat(x_hi, -1)
    for d in range(depth):
        at = get(xs, d)
        score = relative_score(load(x_hi, at), load(x_lo, at), m_hi, m_lo, dtype(1))
        if keep:
            store(y, d * row, score)
        shift = select((score == dtype(0)) & (shift < dtype(0)), dtype(d), shift)
    return shift, splat(x_hi, 0)


@inlined
def finish_solution(omega: Any, found: Row, kappa: Row, y: Floats) -> Any:
    """(what turns y into q, -a, κ) from what the solver returned; a + κ = (v - c - m)/γ is what a node's value needs.

    The first is -(τ - m)/γ, HardMax's chosen slot, or the closed form's 1/Σ e^((x - m)/γ). Of Newton a = (τ - m)/γ; of
    the closed form a = log Σ e^((x - m)/γ) and κ = 1 - corner, both less by the corner than in docs/maths.md.
    """
    dtype, nothing = y.dtype.type, splat(y, 0)
    if exponential(omega):
        share = select(found > dtype(0), dtype(1) / found, nothing)
        return share, -log_of_mass(found), splat(y, dtype(1) - omega.corner)
    if first_only(omega):
        return found, nothing, nothing
    return found, found, kappa


@inlined
def row_weight(omega: Any, y: Floats, d: int, turn: Row) -> Any:
    """(q, s) of the row of d-th edges, from y and the first result of `finish_solution`."""
    row = load(y, d * width(y))
    if exponential(omega):
        q = row * turn
        return q, q
    return weight_at(omega, argument(omega, row, splat(y, y.dtype.type(d)), turn))


@inlined
def tangents(omega: Any, depth: int, y: Floats, turn: Row, v_dot: Operand, second: Any, z: Any, start: Row) -> Any:
    """(v̇, c): v̇ = start + Σ q ẋ (Algorithm 2, A1), and c, the mean of ẋ under s, which gives q̇ (A2).

    v_dot, second : the parents', and that of second parents or None. z : the edges' own directions, or None.
    """
    slope, bend, mass = start, splat(y, 0), splat(y, 0)
    for d in range(depth):
        q, s = row_weight(omega, y, d, turn)
        x_dot = load(v_dot.array, get(v_dot.addresses, d))
        if second is not None:
            x_dot = x_dot + load(second.array, get(second.addresses, d))
        if z is not None:
            x_dot = x_dot + load(z.array, get(z.addresses, d))
        slope = slope + q * x_dot
        bend = bend + s * x_dot
        mass = mass + s
    return slope, centre(bend, mass)


@inlined
def stored_row(omega: Any, y: Floats, d: int, turn: Row) -> Row:
    """The number to store for the weights of the d-th edges: the argument u of link; 0 stands for "no edge".

    For the closed form and HardMax it is q itself. `weights_of_stored` decodes it.
    """
    if exponential(omega) or first_only(omega):
        q, _ = row_weight(omega, y, d, turn)
        return q
    return nonzero(argument(omega, load(y, d * width(y)), splat(y, y.dtype.type(d)), turn))


@inlined
def weights_of_stored(omega: Any, row: Row) -> Any:
    """(q, s) of the edges for which `stored_row` stored `row`."""
    if exponential(omega) or first_only(omega):
        return row, row
    q, s = weight_at(omega, row)
    return where_stored(row, q), where_stored(row, s)


@inlined
def weight_at(omega: Any, u: Row) -> Any:
    """(q, s) = (link, slope) at u; for the closed form, whose link at corner + u is e^u, at corner + u."""
    if exponential(omega):
        q = present(u, exp(u))
        return q, q
    return weight(omega, u), curvature(omega, u)


@inlined
def solve(omega: Any, x_hi: Floats, x_lo: Floats, xs: Indices, depth: int, m_hi: Row, m_lo: Row, y: Floats) -> Any:
    """What the operator's solver returns."""
    if exponential(omega):
        return solve_exponential(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)
    if first_only(omega):
        return solve_first(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)
    return solve_newton(omega, x_hi, x_lo, xs, depth, m_hi, m_lo, y)


@inlined
def improve(omega: Any, depth: int, rows: int, y: Floats, found: Floats, apart: int) -> None:
    """Newton's iterations for some rows; nothing for other solvers. See `newton_iterate`."""
    if not exponential(omega) and not first_only(omega):
        newton_iterate(omega, depth, rows, y, found, apart)
