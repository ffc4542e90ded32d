"""The flows through all states, and the gradient.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any

from dagdp.kernels.cuda.plan.chain import ChainFact
from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import (
    EDGE_BLOCKS,
    NODE_BLOCKS,
    ONE,
    PARTS,
    REAL_TYPE,
    TIED,
    WARP_SIZE,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.texts.tied.matrix import Chain, band_of, load_weights, row_at, sum_of, sums_of_parts
from dagdp.kernels.cuda.texts.work import Work, listed, place


def write_entries(work: Work, at: Any, stride: Any, blocks: int, flow: Any) -> None:
    """Write a flow to the entries that the plan lists at `at`, one for each block."""
    for block in range(blocks):
        entry = listed(work, at + block * stride)
        if entry >= 0:
            work.arrays.gradient[work.item.gradient + entry] = flow


def write_outer_flows(work: Work, chain: Chain, share: Any, bar: Any) -> None:
    """Flows into the end, and into the first states.

    share, bar : of the edge from the thread's state to the end, and of the first state.
    """
    ptr, entries = place(work, Column.IN_PTR), place(work, Column.IN_ENTRY)
    edges, nodes, own = place(work, Column.EDGES), work.call.nodes, place(work, Column.NODE_ENTRY)
    if work.item.rank < chain.states:
        write_entries(work, entries + listed(work, ptr + work.item.end) + chain.state, edges, EDGE_BLOCKS, share)
        first = chain.first + chain.state
        write_entries(work, entries + listed(work, ptr + first), edges, EDGE_BLOCKS, bar)
        write_entries(work, own + first, nodes, NODE_BLOCKS, bar)
    if work.item.rank == 0:
        write_entries(work, own + work.item.end, nodes, NODE_BLOCKS, ONE)


def state_at(work: Work, chain: Chain, step: Any) -> Any:
    """The place of the thread's state in the arrays of a step; step -1 has the first states."""
    node = chain.first if step < 0 else chain.node + step * chain.width
    return work.item.state + node + chain.state


def balanced(work: Work, chain: Chain, bar: Any) -> Any:
    """ē of the thread's state, so that the step's sum is 1: all paths pass through it. Rounding errors add up else."""
    at, rank = band_of(work), work.item.rank
    if rank < TIED:
        work.ring[at + rank] = bar
    meet()
    return bar / sum_of(work, chain, at)


def column_of(work: Work, chain: Chain) -> Any:
    """(the place of the first of the thread's elements in the gradient, the stride, their number).

    All is made of numbers that are read anew. Otherwise a compiler keeps the places of all elements in registers, and
    whether they exist, during the steps.
    """
    at = place(work, Column.CHAIN)
    stride, states = listed(work, at + ChainFact.ROW), listed(work, at + ChainFact.STATES)
    first = work.item.gradient + chain.matrix + chain.state * chain.column + chain.begin * stride
    return first, stride, states - chain.begin if chain.present else 0


def add_gradient(work: Work, chain: Chain, weights: Any, sums: Any) -> None:
    """Make of the sums of some steps the matrix' gradient of these steps and those above."""
    first, stride, count = column_of(work, chain)
    for i in range(TIED // PARTS):
        flow = weights[i] * sums[i] if weights[i] > ZERO else ZERO
        if i < count:
            flow += work.arrays.gradient[first + i * stride]
        sums[i] = flow


def put_gradient(work: Work, chain: Chain, sums: Any) -> None:
    """Write the matrix' gradient, and set the sums to 0. All elements were read before, so that no read waits here."""
    first, stride, count = column_of(work, chain)
    for i in range(TIED // PARTS):
        if i < count:
            work.arrays.gradient[first + i * stride] = sums[i]
        sums[i] = ZERO


def descend(omega: Any, work: Work, chain: Chain, top: Any, bar: Any) -> Any:
    """ē of the first states from that of the last step; the gradients of all steps.

    The sums of the matrix' gradient go to the gradient after every 2 * WARP_SIZE steps, which keeps them exact enough.
    """
    rank = work.item.rank
    weights, sums = cuda.local.array(TIED // PARTS, REAL_TYPE), cuda.local.array(TIED // PARTS, REAL_TYPE)
    load_weights(weights, omega, work, chain, top, chain.matrix + chain.state * chain.column, chain.row)
    step, side = chain.steps - 1, 0
    mass, weight = ONE, ONE
    if step >= 0:
        mass, weight = work.state.v_lo[state_at(work, chain, step)], work.state.v_hi[state_at(work, chain, step - 1)]
    for i in range(TIED // PARTS):
        sums[i] = ZERO
    while step >= 0:
        last = step - 2 * WARP_SIZE if step >= 2 * WARP_SIZE else -1
        while step > last:
            if rank < chain.states:
                entry = chain.own + step * chain.own_step + rank * chain.own_state
                work.arrays.gradient[work.item.gradient + entry] = bar
            if rank < TIED:
                work.ring[row_at(work, side) + rank] = bar / mass if bar > ZERO else ZERO
            step -= 1
            soon = step if step > 0 else 0
            next_mass, next_weight = (
                work.state.v_lo[state_at(work, chain, soon)],
                work.state.v_hi[state_at(work, chain, soon - 1)],
            )
            meet()
            row = row_at(work, side + chain.begin)
            total, next_total = ZERO, ZERO
            for i in range(0, TIED // PARTS, 2):
                x, y = work.ring[row + i], work.ring[row + i + 1]
                total += weights[i] * x
                next_total += weights[i + 1] * y
                sums[i] += weight * x
                sums[i + 1] += weight * y
            total, _ = sums_of_parts(work, chain, total + next_total, ZERO)
            bar = weight * total if chain.present else ZERO
            mass, weight = next_mass, next_weight
            side = TIED - side
        add_gradient(work, chain, weights, sums)
        bar = balanced(work, chain, bar)
        put_gradient(work, chain, sums)
    return bar
