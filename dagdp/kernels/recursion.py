"""The recursion at a node, as scalar steps: the text of the mathematics that schedules loop over.

A schedule decides which lanes visit which node when. Letters are the paper's (docs/maths.md): x_e = θ_e + v_j for an
edge from parent j to child i, and x_e = θ_e + v_j + v_k for a hyperedge from parents j and k.

v is a double-length number hi + lo. A float32 value of a long path (10^4 at γ = 1, 10^6 at γ = 0.01) is rounded too
coarsely for weights, which depend on differences of values. A node keeps v and κ = Σ_e ω*(y_e - a). A local weight is
recomputed as link((c_i + x_e - v_i)/γ + κ_i), where c_i is the node's hoisted potential, which v_i contains. No number
is stored on an edge, except where the gradient has memory for it (cpu/special/stored_weights.py).

Infinities: an edge of potential -inf has weight 0. A node with such edges alone has v = -inf and weights 0. An entry
out of range is read as +inf, and v of every node that it reaches over allowed edges is +inf. All this follows from one
rule: a y that is not finite is no edge. The closed form needs no test for it in the forward pass, as link(-inf) = 0.
"""

from __future__ import annotations

from typing import Any

from dagdp.lanes.operators import conjugate, first_only, link, slope
from dagdp.lanes.rewrite import point


@point
def two_sum(a: Any, b: Any) -> Any:
    """a + b without rounding, as (hi, lo); lo is NaN where hi is infinite."""
    hi = a + b
    back = hi - a
    return hi, (a - (hi - back)) + (b - back)


@point
def enter(theta: Any, v_hi: Any, v_lo: Any) -> Any:
    """x_e = θ_e + v_j as (hi, lo); lo is finite. Only `enter_second` adds to it."""
    hi, lo = two_sum(theta, v_hi)
    return hi, (lo + v_lo if hi - hi == 0.0 else 0.0)


@point
def enter_second(x_hi: Any, x_lo: Any, v_hi: Any, v_lo: Any) -> Any:
    """x_e = θ_e + v_j + v_k of a hyperedge, from θ_e + v_j, as (hi, lo); lo is finite."""
    hi, lo = two_sum(x_hi, v_hi)
    return hi, (lo + (x_lo + v_lo) if hi - hi == 0.0 else 0.0)


@point
def exceeds(x_hi: Any, x_lo: Any, m_hi: Any, m_lo: Any) -> Any:
    """x > m for double-length numbers, whose difference is 0 only if they are equal; false if both are -inf."""
    return (x_hi - m_hi) + (x_lo - m_lo) > 0.0


@point
def anchor(m_hi: Any) -> Any:
    """The maximum of the scores, or 0 where all of them are -inf."""
    return m_hi if m_hi - m_hi == 0.0 else 0.0


@point
def relative_score(x_hi: Any, x_lo: Any, m_hi: Any, m_lo: Any, rate: Any) -> Any:
    """y_e = (x_e - m_i)/γ. It is -inf for a forbidden edge, and NaN if m_i is infinite."""
    return ((x_hi - m_hi) + (x_lo - m_lo)) * rate


@point
def difference(j_hi: Any, i_hi: Any) -> Any:
    """v_j - v_i in the backward pass, as (hi, lo): the parts may be large where x_e - v_i is small."""
    return two_sum(j_hi, -i_hi)


@point
def join(hi: Any, lo: Any, potential: Any) -> Any:
    """(hi, lo) plus a potential of the edge or of its child."""
    total, rest = two_sum(hi, potential)
    return total, lo + rest


@point
def rejoined(hi: Any, lo: Any, j_lo: Any, i_lo: Any, rate: Any) -> Any:
    """(x_e - v_i)/γ from `join` and the low parts of v; not finite where x_e or v_i is infinite."""
    return (hi + (lo + (j_lo - i_lo))) * rate


@point
def argument(omega: Any, y: Any, slot: Any, shift: Any) -> Any:
    """The argument of link. For HardMax, shift is the place of the chosen edge among its siblings."""
    if first_only(omega):
        return 0.0 if slot == shift else -1.0
    return y + shift


@point
def present(u: Any, q: Any) -> Any:
    """q, or 0 where u is not finite, since there is no edge."""
    return q if u - u == 0.0 else 0.0


@point
def weight(omega: Any, u: Any) -> Any:
    """q_e = link(u_e)."""
    return link(omega, u) if u - u == 0.0 else 0.0


@point
def curvature(omega: Any, u: Any) -> Any:
    """s_e = slope(u_e)."""
    return slope(omega, u) if u - u == 0.0 else 0.0


@point
def nonzero(u: Any) -> Any:
    """u with 0 replaced by -1e-37, whose weight is equal: a stored 0 stands for "no edge"."""
    return u if u != 0.0 else -1e-37


@point
def where_stored(u: Any, q: Any) -> Any:
    """q, or s, of a stored u; 0 where there is no edge."""
    return q if u != 0.0 else 0.0


@point
def energy(omega: Any, u: Any) -> Any:
    """ω*(u_e), the summand of κ."""
    return conjugate(omega, u) if u - u == 0.0 else 0.0


@point
def newton_step(total: Any, bend: Any) -> Any:
    """Newton's step of τ/γ towards Σ q = 1; 0 at a node that no edge reaches (no curvature).

    τ rises from below. A negative step is no larger than the rounding error of the last rise, and it is taken: weights
    whose sums are all below 1 would lose flow at every node of a path.
    """
    return (total - 1.0) / bend if bend > 0.0 else 0.0


@point
def node_value(c_hi: Any, m_hi: Any, m_lo: Any, a: Any, kappa: Any, gamma: Any) -> Any:
    """v_i = c_i + m_i + γ(a_i + κ_i) as (hi, lo), c_i being the potentials that all edges into i share; lo is finite.

    The sum of an infinity and its opposite is -inf, since no path reaches a forbidden node.
    """
    hi, lo = two_sum(c_hi, m_hi)
    total, rest = two_sum(hi, lo + (m_lo + gamma * (a + kappa)))
    known = hi - hi == 0.0
    lower = m_hi if m_hi < c_hi else c_hi
    return (total if known else hi if hi == hi else lower), (rest if known else 0.0)


@point
def centre(s_dot: Any, s: Any) -> Any:
    """The mean of ẋ under s, c_i = Σ s_e ẋ_e / Σ s_e; 0 where no edge has curvature."""
    return s_dot / s if s > 0.0 else 0.0


@point
def weight_tangent(s: Any, x_dot: Any, c: Any, rate: Any) -> Any:
    """q̇_e = (J ẋ)_e with J = (diag(s) - s sᵀ/Σs)/γ."""
    return s * (x_dot - c) * rate


@point
def flow(q: Any, e_bar: Any) -> Any:
    """e_e = q_e ē_i; 0 where ē is 0, since q may be NaN beyond a sample's end."""
    return q * e_bar if e_bar != 0.0 else 0.0


@point
def flow_tangent(q: Any, q_dot: Any, e_bar: Any, e_bar_dot: Any) -> Any:
    """ė_e = q̇_e ē_i + q_e ē̇_i, with 0 for a term whose ē, or ē̇, is 0."""
    return (q_dot * e_bar if e_bar != 0.0 else 0.0) + (q * e_bar_dot if e_bar_dot != 0.0 else 0.0)
