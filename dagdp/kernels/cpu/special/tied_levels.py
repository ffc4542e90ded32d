"""Levels that repeat a matrix of weights, in the exponential domain: S exponentials a step in place of S².

Where all samples share the potentials on the edges, the weights A = exp((θ - θ°)/γ) of a matrix are computed once a
launch, θ° being the largest. With p_j = exp((v_j - m)/γ) of the parents, m their maximum for each sample,

    v_i = c_i + m + θ° + γ log Σ_j A_ij p_j            q_ij = A_ij p_j / Σ_j A_ij p_j

so both passes are products of A with rows of samples. Sums of positive numbers are exact to rounding as long as none
underflows: a level of a block of samples whose v and θ together span more than LIMIT goes edge by edge instead.
Exponents are double-length numbers, or e^80 would carry 80 roundings. Only for operators with the closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Batch, Source, row_entries
from dagdp.kernels.cpu.rows import add_to
from dagdp.kernels.cpu.special.tied_products import STEPS, Matrices, contract, decay, start_of, times, up4
from dagdp.kernels.recursion import anchor, centre, enter, node_value, two_sum
from dagdp.lanes.exp_log import log_of_mass
from dagdp.lanes.rows import any_lane, first_lanes, load, row_of, select, store
from dagdp.lanes.views import lent_block, pick, row_length, totals

LIMIT_4, LIMIT_8 = np.float32(80.0), 700.0  # e^-LIMIT is a normal number


@inlined
def parents_peak(v_hi: Any, at: int, columns: int, rate: Any, span: Any) -> Any:
    """(m, whether the level fits, lost): each sample's largest finite v of the parents, and whether all of it is within
    LIMIT; +inf where an entry out of range reaches a parent, else -inf.
    """
    whole = row_length(v_hi)
    real = v_hi.dtype.type
    top, bottom, lost = row_of(v_hi, -np.inf), row_of(v_hi, np.inf), row_of(v_hi, -np.inf)
    for f in range(columns):
        v = load(v_hi, at + f * whole)
        finite = v - v == real(0)
        top = select(finite & (v > top), v, top)
        bottom = select(finite & (v < bottom), v, bottom)
        lost = select(v == real(np.inf), v, lost)
    limit = real(LIMIT_4) if whole == 16 else real(LIMIT_8)
    return anchor(top), not any_lane((top - bottom + span) * rate > limit), lost


@inner
def put_columns(made: Matrices, first: int, second: int, m: Any, state: Any, at: int, columns: int, rate: Any) -> Any:
    """Rows p = exp((v - m)/γ) of the parents from row `first` on, and p v̇ from row `second`; 0 where v is no number.

    Handed back is a row of zeros, of NaN where v̇ of a parent that is reached is no number.
    """
    v_hi, v_lo, _, v_dot, _, _, _ = state
    whole = row_length(v_hi)
    zero, flaws = v_hi.dtype.type(0), row_of(v_hi, 0)
    for f in range(columns):
        v = load(v_hi, at + f * whole)
        hi, lo = two_sum(v, -m)
        p = decay(hi, lo + load(v_lo, at + f * whole), rate)
        p = select(v - v == zero, p, zero)
        store(made.columns, (first + f) * whole, p)
        if v_dot is not None:
            v_d = load(v_dot, at + f * whole)
            store(made.columns, (second + f) * whole, select(v_d - v_d == zero, p * v_d, zero))
            flaws = flaws + select(v - v == zero, v_d - v_d, zero)
    return flaws


@inner
def tied_forward(omega: Any, tied: Any, made: Matrices, incoming: Any, level: int, base: Any, state: Any) -> int:
    """v (v̇ and c) of the first nodes of a level, as many as are tied; 0 if the level is to go edge by edge."""
    pattern = pick(tied.pattern, level) if made.a.shape[0] > row_length(made.a) else -1
    if pattern < 0:
        return 0
    v_hi, v_lo, _, v_dot, c, own, own_dot = state
    whole, real = row_length(v_hi), v_hi.dtype.type
    rate = real(1) / omega.gamma
    rows, columns = pick(tied.shapes, 2 * pattern), pick(tied.shapes, 2 * pattern + 1)
    before = pick(incoming.place, level - 1) + pick(tied.first, level) - pick(incoming.levels, level - 1)
    peak, span = pick(made.peak, 2 * pattern), pick(made.peak, 2 * pattern + 1)
    m, fits, lost = parents_peak(v_hi, before * whole, columns, rate, span)
    if not fits:
        return 0
    at, second, more = start_of(tied, pattern), up4(columns), up4(rows)
    flaws = put_columns(made, 0, second, m, state, before * whole, columns, rate)
    times(made.sums, 0, made.a, at, rows, 1, columns, columns, made.columns, 0)
    if v_dot is not None:
        times(made.sums, more, made.a, at, rows, 1, columns, columns, made.columns, second)
        times(made.sums, 2 * more, made.z, at, rows, 1, columns, columns, made.columns, 0)
    m_hi, m_lo = enter(row_of(v_hi, peak), m, row_of(v_hi, 0))
    m_hi = select(lost > real(0), lost, m_hi)
    node, place = pick(incoming.levels, level), pick(incoming.place, level) * whole
    for t in range(rows):
        mass = load(made.sums, t * whole)
        c_i = load(own, (node + t - base[0]) * whole) if own is not None else row_of(v_hi, 0)
        m_i = select(mass > real(0), m_hi, lost)
        hi, lo = node_value(c_i, m_i, m_lo, log_of_mass(mass), row_of(v_hi, real(1) - omega.corner), omega.gamma)
        store(v_hi, place + t * whole, hi)
        store(v_lo, place + t * whole, lo)
        if v_dot is not None:
            slope = centre(load(made.sums, (more + t) * whole) + load(made.sums, (2 * more + t) * whole), mass)
            if c is not None:
                store(c, place + t * whole, slope)
            if own_dot is not None:
                slope = slope + load(own_dot, (node + t - base[1]) * whole)
            store(v_dot, place + t * whole, slope + flaws)
    return rows


@inlined
def put_rows(
    made: Matrices, first: int, second: int, at: int, rows: int, c: Any, bar: Any, bar_dot: Any, rate: Any, samples: int
) -> None:
    """Rows α = ē / Σ_j A_ij p_j of the children, and β, what q̇ ē + q ē̇ holds beside p v̇ and z.

    The sum is the same as in the weights' denominator, so that they sum to 1 at every node; taken from v, they drifted
    by 6e-4 over 10,000 steps in float32.
    """
    whole = row_length(bar)
    zero = bar.dtype.type(0)
    for t in range(rows):
        place = at + t * whole
        mass = load(made.sums, t * whole)
        e = load(bar, place)
        alpha = select(e == zero, zero, e / mass)
        store(made.rows, (first + t) * whole, first_lanes(alpha, samples))
        if bar_dot is not None:
            e_dot = load(bar_dot, place)
            beta = select(e_dot == zero, zero, e_dot / mass) - select(e == zero, zero, alpha * load(c, place) * rate)
            store(made.rows, (second + t) * whole, first_lanes(beta, samples))


@inlined
def shortfall(made: Matrices, first: int, columns: int, bar: Any, place: int, rows: int) -> Any:
    """By how much, relative to itself, the flow that leaves the children falls short of what they have.

    Handed out with the flows: what rounding loses at each of 10,000 steps is then not lost again and again.
    """
    whole = row_length(bar)
    zero = row_of(bar, 0)
    above, above_lo, below, below_lo = zero, zero, zero, zero
    for t in range(rows):
        above, rest = two_sum(above, load(bar, place + t * whole))
        above_lo = above_lo + rest
    for f in range(columns):
        row = load(made.columns, (first + f) * whole) * load(made.sums, f * whole)
        below, rest = two_sum(below, row)
        below_lo = below_lo + rest
    missing = ((above - below) + (above_lo - below_lo)) / above
    return select(above == bar.dtype.type(0), zero, missing)


@inner
def tied_backward(
    omega: Any, tied: Any, made: Matrices, incoming: Any, level: int, batch: Batch, b0: int, state: Any, bar: Any,
    bar_dot: Any,
) -> bool:  # fmt: skip
    """ē (and its tangent) of a tied level's parents; whether it was done. The edges' flows wait in `made`."""
    pattern = pick(tied.pattern, level) if made.a.shape[0] > row_length(made.a) else -1
    if pattern < 0:
        return False
    v_hi = state[0]
    whole, real = row_length(v_hi), v_hi.dtype.type
    rate = real(1) / omega.gamma
    rows, columns = pick(tied.shapes, 2 * pattern), pick(tied.shapes, 2 * pattern + 1)
    before = pick(tied.first, level) * whole
    m, fits, _ = parents_peak(v_hi, before, columns, rate, pick(made.peak, 2 * pattern + 1))
    if not fits:
        return False
    if made.waiting[0] == STEPS or (made.waiting[0] > 0 and made.waiting[1] != pattern):
        tied_flush(omega, tied, made)
    step = made.waiting[0]
    made.waiting[0], made.waiting[1] = step + 1, pattern
    across, down = up4(columns), up4(rows)
    first, second = step * across, (STEPS + step) * across
    alpha, beta = step * down, (STEPS + step) * down
    put_columns(made, first, second, m, state, before, columns, rate)
    at, place = start_of(tied, pattern), pick(incoming.levels, level) * whole
    times(made.sums, 0, made.a, at, rows, 1, columns, columns, made.columns, first)
    put_rows(made, alpha, beta, place, rows, state[4], bar, bar_dot, rate, min(whole, batch.last - b0))
    times(made.sums, 0, made.a, at, columns, columns, 1, rows, made.rows, alpha)
    if bar_dot is not None:
        times(made.sums, across, made.z, at, columns, columns, 1, rows, made.rows, alpha)
        times(made.sums, 2 * across, made.a, at, columns, columns, 1, rows, made.rows, beta)
    scale = shortfall(made, first, columns, bar, place, rows)
    for f in range(columns):
        p, flow = load(made.columns, (first + f) * whole), load(made.sums, f * whole)
        row = p * flow
        add_to(bar, before + f * whole, row + row * scale)
        if bar_dot is not None:
            bent = load(made.columns, (second + f) * whole) * flow + p * load(made.sums, (across + f) * whole)
            add_to(bar_dot, before + f * whole, bent * rate + p * load(made.sums, (2 * across + f) * whole))
    return True


@inner
def tied_flush(omega: Any, tied: Any, made: Matrices) -> None:
    """Add the flows of the waiting levels to those that are summed: A ∘ Σ α pᵀ, or its tangent.

    A is not left for the end: a sum of many α pᵀ alone, which may be as large as e^LIMIT, would be infinite.
    """
    steps, pattern = made.waiting[0], made.waiting[1]
    made.waiting[0] = 0
    if steps == 0:
        return
    rate = made.a.dtype.type(1) / omega.gamma
    rows, columns = pick(tied.shapes, 2 * pattern), pick(tied.shapes, 2 * pattern + 1)
    across, down, at = up4(columns), up4(rows), start_of(tied, pattern)
    for t in range(0, rows, 2):
        for f in range(0, columns, 2):
            flows = totals(*contract(made.rows, t, down, made.columns, f, across, steps))
            bent = flows
            rest = flows
            if made.z is not None:
                bent = totals(*contract(made.rows, t, down, made.columns, STEPS * across + f, across, steps))
                rest = totals(*contract(made.rows, STEPS * down + t, down, made.columns, f, across, steps))
            for n in range(4):
                i, j = t + n // 2, f + n % 2
                if i < rows and j < columns:
                    edge = at + i * columns + j
                    a, flow = pick(made.a, edge), flows[n]
                    if made.z is not None:
                        flow = (pick(made.z, edge) * flow + a * bent[n]) * rate + a * rest[n]
                    else:
                        flow = a * flow
                    made.flow[edge] += flow


@inner
def tied_hand_over(tied: Any, made: Matrices, blocks: Any, batch: Batch, out: Any, theta: Source) -> None:
    """Add what was summed to the entries that a pattern's edges read: once a block of samples, since every edge has to
    be asked for its entry. Sums are 0 again.
    """
    patterns = tied.shapes.shape[0] // 2 if made.a.shape[0] > row_length(made.a) else 0
    for pattern in range(patterns):
        at, first = start_of(tied, pattern), pick(tied.ptr, pattern)
        size = pick(tied.ptr, pattern + 1) - first
        for j in range(size):
            flow = pick(made.flow, at + j)
            made.flow[at + j] = 0
            for k in range(blocks.shape[0]):
                entry = pick(tied.entries, first * blocks.shape[0] + k * size + j)
                if entry >= 0:
                    block = pick(blocks, k)
                    lent_block(out, block, flow)[batch.part * row_entries(theta, block) + entry] += flow
