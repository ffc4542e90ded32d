"""Levels that repeat a matrix of weights, in the exponential domain: S exponentials a step instead of S².

Where all samples share the potentials on edges, the weights A = exp((θ - θ°)/γ) of a matrix are computed once a launch,
θ° being the largest θ. With p_j = exp((v_j - m)/γ) of the parents, m their maximum for each sample,

    v_i = c_i + m + θ° + γ log Σ_j A_ij p_j            q_ij = A_ij p_j / Σ_j A_ij p_j

so both passes are products of A with rows of samples. Sums of positive numbers are exact to rounding as long as none
underflows. A level whose v and θ together span more than LIMIT, in some sample of a block, is computed edge by edge.
Exponents are double-length numbers, since e^80 would carry 80 roundings. Only for operators with the closed form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.memory import PATTERN, STEPS, STEPS_WAITING
from dagdp.kernels.cpu.packing.entries import entries_of
from dagdp.kernels.cpu.records import Adjoint, Arrays, Block, Floats, Graph, Matrices, Row, State
from dagdp.kernels.cpu.rows import add_to
from dagdp.kernels.cpu.special.tied_products import (
    PAIR,
    PEAK,
    SPAN,
    MatrixView,
    columns_of,
    contract,
    decay,
    multiply,
    patterns_of,
    rows_of,
    start_of,
    up4,
)
from dagdp.kernels.recursion import anchor, centre, enter, node_value, two_sum
from dagdp.lanes.exp_log import log_of_mass
from dagdp.lanes.reductions import any_lane, sum_lanes_of_four
from dagdp.lanes.rows import first_lanes, load, select, splat, store
from dagdp.lanes.views import get, width

LIMIT_4, LIMIT_8 = np.float32(80.0), 700.0  # e^-LIMIT is a normal number


class RowPair(NamedTuple):
    """Where the rows of a level begin in `Matrices.columns` or `Matrices.rows`, and those of their tangents."""

    values: int
    tangents: int


@inlined
def parents_peak(v_hi: Floats, at: int, columns: int, rate: Any, span: Any) -> Any:
    """(m, whether the level fits into LIMIT, lost) of a level's parents, whose rows begin at `at`.

    m : each sample's largest finite v. lost : +inf where an entry out of range reaches a parent, else -inf.
    """
    row = width(v_hi)
    dtype = v_hi.dtype.type
    top, bottom, lost = splat(v_hi, -np.inf), splat(v_hi, np.inf), splat(v_hi, -np.inf)
    for f in range(columns):
        v = load(v_hi, at + f * row)
        finite = v - v == dtype(0)
        top = select(finite & (v > top), v, top)
        bottom = select(finite & (v < bottom), v, bottom)
        lost = select(v == dtype(np.inf), v, lost)
    limit = dtype(LIMIT_4) if row == 16 else dtype(LIMIT_8)
    return anchor(top), not any_lane((top - bottom + span) * rate > limit), lost


@inner
def store_columns(made: Matrices, to: RowPair, m: Row, state: State, at: int, columns: int, rate: Any) -> Row:
    """Store rows p = exp((v - m)/γ) of the parents, and p v̇; 0 where v is not finite.

    Returned is a row of zeros, NaN in lanes where v̇ of a reached parent is not finite.
    """
    v_hi, v_lo, v_dot = state.v_hi, state.v_lo, state.v_dot
    row = width(v_hi)
    zero, flaws = v_hi.dtype.type(0), splat(v_hi, 0)
    for f in range(columns):
        v = load(v_hi, at + f * row)
        hi, lo = two_sum(v, -m)
        p = decay(hi, lo + load(v_lo, at + f * row), rate)
        p = select(v - v == zero, p, zero)
        store(made.columns, (to.values + f) * row, p)
        if v_dot is not None:
            v_d = load(v_dot, at + f * row)
            store(made.columns, (to.tangents + f) * row, select(v_d - v_d == zero, p * v_d, zero))
            flaws = flaws + select(v - v == zero, v_d - v_d, zero)
    return flaws


@inner
def tied_forward(omega: Any, graph: Graph, level: int, state: State, made: Matrices) -> int:
    """v (v̇ and c) of the first nodes of a level, those that are tied; their number, 0 if it goes edge by edge."""
    tied, incoming = graph.tied, graph.incoming
    pattern = get(tied.pattern, level)
    if pattern < 0:
        return 0
    v_hi, v_dot, c = state.v_hi, state.v_dot, state.c
    own, own_dot = state.node_potentials, state.node_directions
    row, dtype = width(v_hi), v_hi.dtype.type
    rate = dtype(1) / omega.gamma
    rows, columns = rows_of(tied, pattern), columns_of(tied, pattern)
    before = get(incoming.place, level - 1) + get(tied.first, level) - get(incoming.levels, level - 1)
    peak, span = get(made.peak, PAIR * pattern + PEAK), get(made.peak, PAIR * pattern + SPAN)
    m, fits, lost = parents_peak(v_hi, before * row, columns, rate, span)
    if not fits:
        return 0
    at, second, more = start_of(tied, pattern), up4(columns), up4(rows)
    flaws = store_columns(made, RowPair(0, second), m, state, before * row, columns, rate)
    a = MatrixView(made.a, at, rows, columns, columns, 1)
    multiply(made.sums, 0, a, made.columns, 0)
    if v_dot is not None:
        multiply(made.sums, more, a, made.columns, second)
        multiply(made.sums, 2 * more, MatrixView(made.z, at, rows, columns, columns, 1), made.columns, 0)
    m_hi, m_lo = enter(splat(v_hi, peak), m, splat(v_hi, 0))
    m_hi = select(lost > dtype(0), lost, m_hi)
    node, place = get(incoming.levels, level), get(incoming.place, level) * row
    for t in range(rows):
        mass = load(made.sums, t * row)
        c_i = load(own, (node + t) * row) if own is not None else splat(v_hi, 0)
        m_i = select(mass > dtype(0), m_hi, lost)
        hi, lo = node_value(c_i, m_i, m_lo, log_of_mass(mass), splat(v_hi, dtype(1) - omega.corner), omega.gamma)
        store(v_hi, place + t * row, hi)
        store(state.v_lo, place + t * row, lo)
        if v_dot is not None:
            slope = centre(load(made.sums, (more + t) * row) + load(made.sums, (2 * more + t) * row), mass)
            if c is not None:
                store(c, place + t * row, slope)
            if own_dot is not None:
                slope = slope + load(own_dot, (node + t) * row)
            store(v_dot, place + t * row, slope + flaws)
    return rows


@inlined
def store_rows(
    made: Matrices, to: RowPair, at: int, rows: int, c: Any, adjoint: Adjoint, rate: Any, samples: int
) -> None:
    """Store rows α = ē / Σ_j A_ij p_j of the children, and β, the part of q̇ ē + q ē̇ beside p v̇ and z.

    The sum is that in the weights' denominator, so that weights sum to 1 at every node. Taken from v instead, their
    sums drifted by 6e-4 over 10,000 steps in float32.
    """
    bar, bar_dot = adjoint.bar, adjoint.bar_dot
    row = width(bar)
    zero = bar.dtype.type(0)
    for t in range(rows):
        place = at + t * row
        mass = load(made.sums, t * row)
        e = load(bar, place)
        alpha = select(e == zero, zero, e / mass)
        store(made.rows, (to.values + t) * row, first_lanes(alpha, samples))
        if bar_dot is not None:
            e_dot = load(bar_dot, place)
            beta = select(e_dot == zero, zero, e_dot / mass) - select(e == zero, zero, alpha * load(c, place) * rate)
            store(made.rows, (to.tangents + t) * row, first_lanes(beta, samples))


@inlined
def shortfall(made: Matrices, first: int, columns: int, bar: Floats, place: int, rows: int) -> Row:
    """The relative amount by which the flow that leaves the children falls short of their ē.

    It is added to the flows. Otherwise the rounding error of a step would be lost again at each of 10,000 steps.
    """
    row = width(bar)
    zero = splat(bar, 0)
    above, above_lo, below, below_lo = zero, zero, zero, zero
    for t in range(rows):
        above, rest = two_sum(above, load(bar, place + t * row))
        above_lo = above_lo + rest
    for f in range(columns):
        flows = load(made.columns, (first + f) * row) * load(made.sums, f * row)
        below, rest = two_sum(below, flows)
        below_lo = below_lo + rest
    missing = ((above - below) + (above_lo - below_lo)) / above
    return select(above == bar.dtype.type(0), zero, missing)


@inner
def tied_backward(
    omega: Any, graph: Graph, level: int, block: Block, state: State, adjoint: Adjoint, made: Matrices
) -> bool:
    """ē (and its tangent) of a tied level's parents; False if the level goes edge by edge.

    The flows on edges are added to the gradient later: `tied_flush`, `write_tied`.
    """
    tied, incoming = graph.tied, graph.incoming
    bar, bar_dot = adjoint.bar, adjoint.bar_dot
    pattern = get(tied.pattern, level)
    if pattern < 0:
        return False
    v_hi = state.v_hi
    row, dtype = width(v_hi), v_hi.dtype.type
    rate = dtype(1) / omega.gamma
    rows, columns = rows_of(tied, pattern), columns_of(tied, pattern)
    before = get(tied.first, level) * row
    m, fits, _ = parents_peak(v_hi, before, columns, rate, get(made.peak, PAIR * pattern + SPAN))
    if not fits:
        return False
    if made.waiting[STEPS_WAITING] == STEPS or (made.waiting[STEPS_WAITING] > 0 and made.waiting[PATTERN] != pattern):
        tied_flush(omega, tied, made)
    step = made.waiting[STEPS_WAITING]
    made.waiting[STEPS_WAITING], made.waiting[PATTERN] = step + 1, pattern
    across, down = up4(columns), up4(rows)
    parents = RowPair(step * across, (STEPS + step) * across)
    children = RowPair(step * down, (STEPS + step) * down)
    store_columns(made, parents, m, state, before, columns, rate)
    at, place = start_of(tied, pattern), get(incoming.levels, level) * row
    multiply(made.sums, 0, MatrixView(made.a, at, rows, columns, columns, 1), made.columns, parents.values)
    store_rows(made, children, place, rows, state.c, adjoint, rate, min(row, block.stop - block.first))
    transposed = MatrixView(made.a, at, columns, rows, 1, columns)
    multiply(made.sums, 0, transposed, made.rows, children.values)
    if bar_dot is not None:
        multiply(made.sums, across, MatrixView(made.z, at, columns, rows, 1, columns), made.rows, children.values)
        multiply(made.sums, 2 * across, transposed, made.rows, children.tangents)
    scale = shortfall(made, parents.values, columns, bar, place, rows)
    for f in range(columns):
        p, flow = load(made.columns, (parents.values + f) * row), load(made.sums, f * row)
        flows = p * flow
        add_to(bar, before + f * row, flows + flows * scale)
        if bar_dot is not None:
            bent = load(made.columns, (parents.tangents + f) * row) * flow + p * load(made.sums, (across + f) * row)
            add_to(bar_dot, before + f * row, bent * rate + p * load(made.sums, (2 * across + f) * row))
    return True


@inner
def tied_flush(omega: Any, tied: Any, made: Matrices) -> None:
    """Add the flows of the waiting levels, A ∘ Σ α pᵀ or its tangent, to `Matrices.flow`.

    A is multiplied here and not at the end: a sum of many α pᵀ alone, each up to e^LIMIT, would be infinite.
    """
    steps, pattern = made.waiting[STEPS_WAITING], made.waiting[PATTERN]
    made.waiting[STEPS_WAITING] = 0
    if steps == 0:
        return
    rate = made.a.dtype.type(1) / omega.gamma
    rows, columns = rows_of(tied, pattern), columns_of(tied, pattern)
    across, down, at = up4(columns), up4(rows), start_of(tied, pattern)
    for t in range(0, rows, 2):
        for f in range(0, columns, 2):
            flows = sum_lanes_of_four(*contract(made.rows, t, down, made.columns, f, across, steps))
            bent = flows
            rest = flows
            if made.z is not None:
                tangents = contract(made.rows, t, down, made.columns, STEPS * across + f, across, steps)
                bent = sum_lanes_of_four(*tangents)
                rest = sum_lanes_of_four(*contract(made.rows, STEPS * down + t, down, made.columns, f, across, steps))
            for n in range(4):
                i, j = t + n // 2, f + n % 2
                if i < rows and j < columns:
                    edge = at + i * columns + j
                    a, flow = get(made.a, edge), flows[n]
                    if made.z is not None:
                        flow = (get(made.z, edge) * flow + a * bent[n]) * rate + a * rest[n]
                    else:
                        flow = a * flow
                    made.flow[edge] += flow


@inner
def write_tied(tied: Any, made: Matrices, blocks: Any, block: Block, arrays: Arrays) -> None:
    """Add `Matrices.flow` to the gradient's entries of each pattern, and set it to 0.

    This is done once a block of samples, since every edge's entry has to be looked up.
    """
    for pattern in range(patterns_of(tied)):
        at, first = start_of(tied, pattern), get(tied.ptr, pattern)
        size = get(tied.ptr, pattern + 1) - first
        for j in range(size):
            flow = get(made.flow, at + j)
            made.flow[at + j] = 0
            for k in range(blocks.shape[0]):
                entry = get(tied.entries, first * blocks.shape[0] + k * size + j)
                if entry >= 0:
                    potential = get(blocks, k)
                    row = block.partial * entries_of(arrays.theta, potential)
                    potential_array(arrays.gradient, potential, flow)[row + entry] += flow
