"""Graphs without potentials on edges, in powers of two: one exponential a node in place of one an edge.

Where all edges into a node share their potentials (a DTW grid), the closed form needs no exponential on edges and no
logarithm. A node keeps e^{v/γ} = m·2^k as (k, m), k in v_hi's place and m in v_lo's, and with c the shared potential

    S = Σ_j m_j 2^(k_j - top),  top = max k_j        m·2^k = e^{c/γ} S·2^top        q_ij = m_j 2^(k_j - top) / S

of which whoever asks for q alone is left top, in the place of c, and 1/S, in κ's; the backward pass (bare.py) makes
both anew. Powers of two are exact, so what is rounded is m, by a part in 2^24 a step whatever v is. k is a whole
number in the kernel's floats; where one leaves their exact range (|v|/γ beyond 1.4e6 in float32), the block of
samples is done again by a kernel that keeps v in two parts, which is compiled when it is first asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined
from dagdp.kernels.recursion import anchor
from dagdp.lanes.exp_log import LOG2E_8, MAGIC_4, MAGIC_8, log_of_mass, two_to
from dagdp.lanes.rows import add_exponent, any_lane, first_lanes, fused, load, row_of, select, split_exponent, store
from dagdp.lanes.views import pick, row_length

WIDEST_4, WIDEST_8 = 2.0**21, 2.0**50  # half of what `two_to` takes, so that a sum of two is exact
LOWEST_4, LOWEST_8 = -125.0, -1021.0  # m·2^LOWEST is a normal number


@inlined
def highest(v_hi: Any, xs: Any, depth: int) -> Any:
    """top = max k of the parents; -inf where none is reached."""
    top = load(v_hi, pick(xs, 0))
    for d in range(1, depth):
        k = load(v_hi, pick(xs, d))
        top = select(k > top, k, top)
    return top


@inlined
def lowered(k: Any, m: Any, top: Any, like: Any) -> Any:
    """m·2^(k - top) for k <= top, as 0 where that is no normal number, and where k and top are infinite."""
    real = like.dtype.type
    single = row_length(like) == 16
    down = k - top
    power = add_exponent(m, down + (real(MAGIC_4) if single else real(MAGIC_8)))
    return select(down >= (real(LOWEST_4) if single else real(LOWEST_8)), power, real(0))


@inlined
def sum_powers(v_hi: Any, v_lo: Any, xs: Any, depth: int, top: Any, y: Any) -> Any:
    """S; its terms in y, if that has room."""
    whole = row_length(v_hi)
    total = row_of(v_hi, 0)
    for d in range(depth):
        at = pick(xs, d)
        power = lowered(load(v_hi, at), load(v_lo, at), top, v_hi)
        if y.shape[0] > whole:
            store(y, d * whole, power)
        total = total + power
    return total


@inlined
def grow(c: Any, top: Any, total: Any, gamma: Any, like: Any) -> Any:
    """(k, m) of e^{c/γ}·S·2^top, k being -inf where nothing is, and +inf where an entry out of range reaches; and what
    k would be if the node were reached.

    Where c is not finite p is no number, of which an exponent is taken, and a mantissa, all the same.
    """
    real = like.dtype.type
    n, p = two_to(c, real(LOG2E_8) / gamma)
    j, m = split_exponent(total * p)
    up, base, finite = n + j, anchor(top), c - c == real(0)
    other = select(top + c > real(-np.inf), real(np.inf), real(-np.inf))
    return select(finite, top + up, other), m, select(finite, base + up, base)


@inlined
def widest(before: Any, k: Any, count: int, like: Any) -> Any:
    """The larger of `before` and |k|, of the first `count` lanes."""
    size = abs(k if count == row_length(like) else first_lanes(k, count))
    return select(size > before, size, before)


@inlined
def out_of_range(sizes: Any, at: int) -> bool:
    """Whether some k of those sizes, a row at `at`, was out of range."""
    real = sizes.dtype.type
    return any_lane(load(sizes, at) > (real(WIDEST_4) if row_length(sizes) == 16 else real(WIDEST_8)))


@inlined
def power_weight(state: Any, parent: int, child: int) -> Any:
    """q of a row of edges, from what their ends keep; 0 where no path comes."""
    k, m, share, _, _, top, _ = state
    return lowered(load(k, parent), load(m, parent), load(top, child), k) * load(share, child)


@inlined
def told(omega: Any, k: Any, m: Any, like: Any) -> Any:
    """v = γ log(m·2^k)."""
    real = like.dtype.type
    rate = real(LOG2E_8) / omega.gamma
    unit = real(1) / rate  # γ log 2, and what its rounding left out of the rate that potentials were multiplied by
    v = k * unit
    rest = fused(k, unit, -v) + k * (fused(row_of(like, -rate), unit, real(1)) * unit) + log_of_mass(m) * omega.gamma
    return select(k > real(-np.inf), v + rest, real(-np.inf))
