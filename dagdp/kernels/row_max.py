"""max_Ω over the edges into a node, as scalar text: the maximum, a solver for τ, κ, weights and tangents.

One text serves CPU kernels, which run it on rows of lanes, CUDA threads and Python. It knows no memory. Edges are
counted from 0 to depth - 1, and read through accessors, functions that each target defines for records of its own:

- `score_at` and `keep` for the record that is called `scores`;
- `relative_at`, `link_at` and `tangent_at` for one that is called `row`.

Two more functions depend on the target: `splat` makes a number of the real type, and `epsilon` is that type's
precision. `exp` of NaN is 0 here, and `log_of_mass` of a number below 1 is finite or -inf. Sums are partial sums of
TERMS edges, added in the order of edges.

The solvers give -(τ - m)/γ (Newton), the place of the chosen edge (HardMax) or Σ e^((x - m)/γ) (the closed form).
`finish_solution` makes of it what the node keeps.
"""

from __future__ import annotations

import math
from typing import Any

from dagdp.kernels.recursion import (
    argument,
    centre,
    curvature,
    energy,
    exceeds,
    newton_step,
    present,
    relative_score,
    weight,
)
from dagdp.lanes.exp_log import exp, log_of_mass
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rewrite import looped, point
from dagdp.lanes.rows import splat

TERMS = 512  # terms of a partial sum: 1e6 small float32 terms, added one after another, lose 7e-4
SPARE_STEPS = 64  # Newton's iterations beyond one for each edge, after which SquaredL2 has ended


def score_at(scores: Any, d: int) -> Any:
    """x of the d-th edge, as (hi, lo)."""
    raise AssertionError("each target defines this accessor")


def keep(scores: Any, d: int, value: Any) -> None:
    """Keep what a solver computed of the d-th edge, where the target has memory for it."""
    raise AssertionError("each target defines this accessor")


def relative_at(row: Any, d: int) -> Any:
    """y = (x - m)/γ of the d-th edge."""
    raise AssertionError("each target defines this accessor")


def link_at(row: Any, d: int) -> Any:
    """e^y of the d-th edge: what `exponential_total` kept."""
    raise AssertionError("each target defines this accessor")


def tangent_at(row: Any, d: int) -> Any:
    """ẋ of the d-th edge: the tangents of its parents plus the direction of its potentials."""
    raise AssertionError("each target defines this accessor")


def epsilon(like: Any) -> Any:
    """The distance from 1 to the next larger number of the type."""
    raise AssertionError("each target defines this accessor")


@looped
def maximum(scores: Any, depth: int) -> Any:
    """m = max x, as (hi, lo)."""
    m_hi, m_lo = splat(scores, -math.inf), splat(scores, 0.0)
    for d in range(depth):
        x_hi, x_lo = score_at(scores, d)
        larger = exceeds(x_hi, x_lo, m_hi, m_lo)
        m_hi, m_lo = (x_hi if larger else m_hi), (x_lo if larger else m_lo)
    return m_hi, m_lo


@looped
def exponential_total(omega: Any, scores: Any, depth: int, m_hi: Any, m_lo: Any) -> Any:
    """Σ e^y of the closed form, y = (x - m)/γ; each e^y is kept."""
    rate = 1.0 / omega.gamma
    total = splat(scores, 0.0)
    for first in range(0, depth, TERMS):
        some = splat(scores, 0.0)
        for d in range(first, min(first + TERMS, depth)):
            x_hi, x_lo = score_at(scores, d)
            # y is finite, or NaN or -inf where there is no edge or nothing reaches the node: then e^y is 0
            power = exp(relative_score(x_hi, x_lo, m_hi, m_lo, rate))
            keep(scores, d, power)
            some = some + power
        total = total + some
    return total


@looped
def first_maximal(omega: Any, scores: Any, depth: int, m_hi: Any, m_lo: Any) -> Any:
    """The place of the first maximal edge, a real number, -1 for none; each x - m is kept."""
    chosen = splat(scores, -1.0)
    for d in range(depth):
        x_hi, x_lo = score_at(scores, d)
        below = relative_score(x_hi, x_lo, m_hi, m_lo, 1.0)
        keep(scores, d, below)
        chosen = splat(scores, d) if below == 0.0 and chosen < 0.0 else chosen
    return chosen


@looped
def newton_sums(omega: Any, row: Any, depth: int, shift: Any) -> Any:
    """(Σ q, Σ s) at the iterate shift = -(τ - m)/γ."""
    total, bend = splat(row, 0.0), splat(row, 0.0)
    for first in range(0, depth, TERMS):
        some, some_bend = splat(row, 0.0), splat(row, 0.0)
        for d in range(first, min(first + TERMS, depth)):
            u = relative_at(row, d) + shift
            some = some + weight(omega, u)
            some_bend = some_bend + curvature(omega, u)
        total, bend = total + some, bend + some_bend
    return total, bend


@looped
def newton_update(omega: Any, row: Any, depth: int, shift: Any) -> Any:
    """One iteration of Newton's method: (the next iterate, the step that it leaves for the end, whether it moved).

    An iterate whose step is small stays, and takes the step, of either sign, after the last iteration. The bits of a
    lane then depend neither on other lanes or rows, which may need more iterations, nor on elements behind the last
    lane.
    """
    total, bend = newton_sums(omega, row, depth, shift)
    step = newton_step(total, bend)
    far = step > 4.0 * epsilon(row)
    taken = step if far else 0.0
    return shift - taken, step - taken, far


@looped
def energies(omega: Any, row: Any, depth: int, shift: Any) -> Any:
    """κ = Σ ω*(y - a) for a = -shift."""
    kappa = splat(row, 0.0)
    for first in range(0, depth, TERMS):
        some = splat(row, 0.0)
        for d in range(first, min(first + TERMS, depth)):
            some = some + energy(omega, relative_at(row, d) + shift)
        kappa = kappa + some
    return kappa


def newton(omega: Any, row: Any, depth: int) -> Any:
    """(-(τ - m)/γ, κ) of one node. On the CPU several rows of nodes iterate together (cpu/node_rows.py)."""
    shift, rest = splat(row, omega.corner), splat(row, 0.0)
    for _ in range(depth + SPARE_STEPS):
        shift, rest, far = newton_update(omega, row, depth, shift)
        if not far:
            break
    shift = shift - rest
    return shift, energies(omega, row, depth, shift)


@point
def finish_solution(omega: Any, found: Any, kappa: Any) -> Any:
    """(what turns y into q, -a, κ) from a solver's results; a + κ = (v - c - m)/γ is what a node's value needs.

    The first is -(τ - m)/γ, HardMax's chosen place, or the closed form's 1/Σ e^((x - m)/γ). Of Newton a = (τ - m)/γ; of
    the closed form a = log Σ e^((x - m)/γ) and κ = 1 - corner, both less by the corner than in docs/maths.md.
    """
    if exponential(omega):
        return (1.0 / found if found > 0.0 else 0.0), -log_of_mass(found), splat(found, 1.0 - omega.corner)
    if first_only(omega):
        return found, splat(found, 0.0), splat(found, 0.0)
    return found, found, kappa


@point
def weight_at(omega: Any, u: Any) -> Any:
    """(q, s) = (link, slope) at u; for the closed form, whose link at corner + u is e^u, at corner + u."""
    if exponential(omega):
        q = present(u, exp(u))
        return q, q
    return weight(omega, u), curvature(omega, u)


@looped
def row_weight(omega: Any, row: Any, d: int, turn: Any) -> Any:
    """(q, s) of the d-th edge; turn : the first result of `finish_solution`."""
    if exponential(omega):
        q = link_at(row, d) * turn
        return q, q
    return weight_at(omega, argument(omega, relative_at(row, d), splat(row, d), turn))


@looped
def tangents(omega: Any, row: Any, depth: int, turn: Any, start: Any) -> Any:
    """(v̇, c): v̇ = start + Σ q ẋ (Algorithm 2, A1), and c, the mean of ẋ under s, which gives q̇ (A2)."""
    v_dot, bend, mass = start, splat(row, 0.0), splat(row, 0.0)
    for d in range(depth):
        q, s = row_weight(omega, row, d, turn)
        x_dot = tangent_at(row, d)
        v_dot = v_dot + q * x_dot
        bend = bend + s * x_dot
        mass = mass + s
    return v_dot, centre(bend, mass)
