"""Items of a chain under the closed form, without logarithms: see `dagdp.kernels.cuda.chain` for what a chain is.

With the matrix A = exp((M - top)/γ), which each thread keeps in registers, and weights a of the states of a step,

    s_i = Σ_j A_ij a_j        a'_i = s_i exp((c_i - peak)/γ)        v_i = γ log a'_i + Σ (top + peak)

where c are the step's own entries and peak is the largest of them. One thread has one state; the row of weights goes
through shared memory, twice as long as a row, so that a step has one barrier. Weights only become smaller. Where their
sum has fallen below 1/4096, the next row is multiplied by a power of two, which is exact and waits for nothing.

The backward pass needs a and s alone: q_ij = A_ij a_j / s_i, so ē_j = a_j Σ_i A_ij r_i with r = ē/s, and the gradient
of M is A_ij Σ a_j r_i over the steps. Threads now keep a column of A, and a column of these sums.

Ranges: elements of A are 0 or at least LEAST. If none is 0, a weight that vanishes cannot matter later, as every state
follows from every other. Otherwise a weight that came near the smallest normal number spoils its item. Such an item,
one with a wider matrix, one without a path and one with a bad number are computed by the generic kernel text.

All functions here are kernel texts, see `dagdp.kernels.cuda.names`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dagdp.kernels.cuda.chain import ChainFact
from dagdp.kernels.cuda.entry import solve_item
from dagdp.kernels.cuda.names import (
    BACKWARD,
    EDGE_BLOCKS,
    INFINITY,
    LEAST,
    NODE_BLOCKS,
    ONE,
    REAL,
    REAL_TYPE,
    TIED,
    TINY,
    WARP_SIZE,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.records import Arrays, Call, Column, State
from dagdp.kernels.cuda.work import Work, batch_item, graph_of_item, item_of, listed, place, potential, read_potential
from dagdp.kernels.recursion import anchor, join, two_sum
from dagdp.lanes.exp_log import exp


class Chain(NamedTuple):
    """`ChainFact`s of the item's graph, and the thread's state."""

    states: Any
    steps: Any  # that lead to the item's end; -1 if it reads no step
    first: Any
    node: Any
    width: Any
    own: Any
    own_step: Any
    own_state: Any
    matrix: Any
    row: Any
    column: Any
    state: Any  # the thread's; threads without one watch the last


class Peak(NamedTuple):
    """What is known of a matrix."""

    top: Any  # its largest element
    fits: Any  # whether exp((M - top)/γ) is 0 or at least LEAST everywhere
    floor: Any  # the least weight of a state from which a step may go on; 0 if no element is -inf


class Climbed(NamedTuple):
    """The last row of weights: v of the thread's state is γ log weight + hi + lo."""

    weight: Any
    sound: Any  # 1, or NaN where the thread's weights came too near to 0
    hi: Any
    lo: Any


def chain_of(work: Work) -> Chain:
    """The chain of the item's graph, up to the item's end."""
    at = place(work, Column.CHAIN)
    states, steps = listed(work, at + ChainFact.STATES), -1
    node, width = listed(work, at + ChainFact.NODE), listed(work, at + ChainFact.WIDTH)
    if node <= work.item.end and work.item.end < listed(work, at + ChainFact.LIMIT):
        step = (work.item.end - node) // width
        if step == listed(work, at + ChainFact.STEPS) or work.item.end - node - step * width >= states:
            steps = step
    return Chain(
        states,
        steps,
        listed(work, at + ChainFact.FIRST),
        node,
        width,
        listed(work, at + ChainFact.OWN),
        listed(work, at + ChainFact.OWN_STEP),
        listed(work, at + ChainFact.OWN_STATE),
        listed(work, at + ChainFact.MATRIX),
        listed(work, at + ChainFact.ROW),
        listed(work, at + ChainFact.COLUMN),
        work.item.rank if work.item.rank < states else states - 1,
    )


# ---- Shared memory of an item: two rows of weights, a band of own entries, and the largest entry of each step of it


def row_at(work: Work, side: Any) -> Any:
    """The place of a row, side being 0 or TIED.

    A compiler sees by the mask that the place is no negative index, of which it would take care at each access.
    """
    return (work.item.ring + side) & 65532


def band_of(work: Work) -> Any:
    """The place of the band: rows of TIED + 1 numbers, so that threads that read a column meet no bank conflict."""
    return row_at(work, 2 * TIED)


def peaks_of(work: Work) -> Any:
    """The place of the largest entries."""
    return row_at(work, 2 * TIED) + WARP_SIZE * (TIED + 1)


def product(weights: Any, work: Work, at: Any) -> Any:
    """(Σ w_j x_j, Σ x_j) of a row of shared memory."""
    total, next_total, mass, next_mass = ZERO, ZERO, ZERO, ZERO
    for j in range(0, TIED, 2):
        x, y = work.ring[at + j], work.ring[at + j + 1]
        total += weights[j] * x
        next_total += weights[j + 1] * y
        mass += x
        next_mass += y
    return total + next_total, mass + next_mass


def largest(work: Work, chain: Chain, at: Any) -> Any:
    """The largest of the first numbers of a row of shared memory, one for each state."""
    found = -INFINITY
    for j in range(chain.states):
        x = work.ring[at + j]
        found = x if x > found else found
    return found


def sum_of(work: Work, chain: Chain, at: Any) -> Any:
    """The sum of these numbers."""
    total = ZERO
    for j in range(chain.states):
        total += work.ring[at + j]
    return total


# ---- The matrix


def survey(omega: Any, work: Work, chain: Chain) -> Peak:
    """What is known of the matrix, the same in all threads."""
    at, rank = band_of(work), work.item.rank
    top, low, gap = -INFINITY, INFINITY, ZERO
    for j in range(chain.states):
        x = read_potential(work, chain.matrix + chain.state * chain.row + j * chain.column)
        top = x if x > top else top
        low = x if x > -INFINITY and x < low else low
        gap = gap if x > -INFINITY else ONE
    if rank < TIED:
        work.ring[at + rank] = top
        work.ring[at + TIED + rank] = ZERO - low
        work.ring[at + 2 * TIED + rank] = gap
    meet()
    top, low = largest(work, chain, at), ZERO - largest(work, chain, at + TIED)
    gap = largest(work, chain, at + 2 * TIED)
    meet()
    least = exp((low - top) / omega.gamma) if top - top == ZERO else ZERO
    return Peak(top, least >= LEAST, 64.0 * TINY / least if gap > ZERO and least > ZERO else ZERO)


def load_weights(weights: Any, omega: Any, work: Work, chain: Chain, top: Any, first: Any, stride: Any) -> None:
    """exp((M - top)/γ) of a row or column, 0 behind the last state."""
    rate = ONE / omega.gamma
    for j in range(TIED):
        weight = ZERO
        if j < chain.states and work.item.rank < chain.states:
            weight = exp((read_potential(work, first + j * stride) - top) * rate)
        weights[j] = weight


# ---- Forward


def put_first_states(omega: Any, work: Work, chain: Chain, floor: Any) -> Climbed:
    """The weights of the first states, in the first row."""
    node, rank = chain.first + chain.state, work.item.rank
    edge = listed(work, place(work, Column.IN_PTR) + node)
    own = potential(work, place(work, Column.NODE_ENTRY) + node, work.call.nodes, NODE_BLOCKS)
    x = potential(work, place(work, Column.IN_ENTRY) + edge, place(work, Column.EDGES), EDGE_BLOCKS)
    hi, lo = two_sum(own, x)
    hi = hi if hi < INFINITY else INFINITY
    if rank < TIED:
        work.ring[band_of(work) + rank] = hi
    meet()
    peak = anchor(largest(work, chain, band_of(work)))
    weight = ZERO
    if rank < chain.states and hi > -INFINITY:
        weight = exp(((hi - peak) + lo) * (ONE / omega.gamma))
    lost = hi == INFINITY or (weight < floor and hi > -INFINITY)
    sound = INFINITY - INFINITY if lost and rank < chain.states else ONE
    if rank < TIED:
        work.ring[work.item.ring + rank] = weight
    if BACKWARD and rank < chain.states:
        work.state.v_hi[work.item.state + node] = weight
    meet()
    return Climbed(weight, sound, peak, ZERO)


def load_band(work: Work, chain: Chain, step: Any, count: Any) -> None:
    """Own entries of the next `count` steps, and the largest of each step."""
    at, rank = band_of(work), work.item.rank
    own = chain.own + step * chain.own_step + chain.state * chain.own_state
    for k in range(WARP_SIZE):
        if k < count and rank < TIED:
            x = read_potential(work, own + k * chain.own_step)
            work.ring[at + k * (TIED + 1) + rank] = x if rank < chain.states else -INFINITY
    meet()
    if rank < count:
        work.ring[peaks_of(work) + rank] = largest(work, chain, at + rank * (TIED + 1))
    meet()


def climb(omega: Any, work: Work, chain: Chain, peak: Peak) -> Climbed:
    """All steps up to the item's end."""
    rank, rate = work.item.rank, ONE / omega.gamma
    weights = cuda.local.array(TIED, REAL_TYPE)
    load_weights(weights, omega, work, chain, peak.top, chain.matrix + chain.state * chain.row, chain.column)
    weight, sound, hi, lo = put_first_states(omega, work, chain, peak.floor)
    lane = rank if rank < TIED else TIED - 1
    lifts, side, step = ZERO, 0, 0
    while step < chain.steps:
        count = chain.steps - step if chain.steps - step < WARP_SIZE else WARP_SIZE
        load_band(work, chain, step, count)
        for k in range(count):
            own, highest = work.ring[band_of(work) + k * (TIED + 1) + lane], work.ring[peaks_of(work) + k]
            mass, whole = product(weights, work, row_at(work, side))
            lift = ONE
            while whole > ZERO and whole < 1.0 / 4096.0:
                whole, lift, lifts = whole * 4096.0, lift * 4096.0, lifts + ONE
            weight = mass * lift * exp((own - highest) * rate)
            sound = INFINITY - INFINITY if weight < peak.floor and mass > ZERO and own > -INFINITY else sound
            side = TIED - side
            if rank < TIED:
                work.ring[row_at(work, side) + rank] = weight
            if BACKWARD and rank < chain.states:
                at = work.item.state + chain.node + (step + k) * chain.width + rank
                work.state.v_hi[at], work.state.v_lo[at] = weight, mass
            hi, lo = join(hi, lo, anchor(highest))
            hi, lo = join(hi, lo, peak.top)
            meet()
        step += count
    # log 4096 in two parts: the first times a whole number below 2^16 is exact
    hi, lo = join(hi, lo, ZERO - omega.gamma * (8.3125 * lifts))
    return Climbed(weight, sound, hi, lo - omega.gamma * (0.005266166719343 * lifts))


def reach_end(omega: Any, work: Work, chain: Chain, climbed: Climbed) -> Any:
    """(v of the end, the weight of the edge from the thread's state, whether both are sound)."""
    end, rank, at = work.item.end, work.item.rank, band_of(work)
    edge = listed(work, place(work, Column.IN_PTR) + end) + chain.state
    x = potential(work, place(work, Column.IN_ENTRY) + edge, place(work, Column.EDGES), EDGE_BLOCKS)
    if rank < TIED:
        work.ring[at + rank] = x
    meet()
    highest = anchor(largest(work, chain, at))
    share = climbed.weight * climbed.sound * exp((x - highest) * (ONE / omega.gamma))
    share = share if rank < chain.states else ZERO
    if rank < TIED:
        work.ring[at + TIED + rank] = share
    meet()
    total = sum_of(work, chain, at + TIED)
    fits = total >= LEAST
    hi, lo = join(climbed.hi, climbed.lo, highest)
    hi, lo = join(hi, lo, potential(work, place(work, Column.NODE_ENTRY) + end, work.call.nodes, NODE_BLOCKS))
    nodes = REAL(chain.steps + 2)
    value = hi + (lo + omega.gamma * (math.log(total if fits else ONE) + (ONE - omega.corner) * nodes))
    return value, share / total if fits else ZERO, fits and value - value == ZERO


# ---- Backward


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
    """(the place of the first element of the thread's column in the gradient, the stride).

    The stride is read anew. Otherwise a compiler keeps the places of all elements in registers during the steps.
    """
    stride = listed(work, place(work, Column.CHAIN) + ChainFact.ROW)
    return work.item.gradient + chain.matrix + chain.state * chain.column, stride


def add_gradient(work: Work, chain: Chain, weights: Any, sums: Any) -> None:
    """Make of the sums of some steps the matrix' gradient of these steps and those above."""
    first, stride = column_of(work, chain)
    for i in range(TIED):
        flow = weights[i] * sums[i] if weights[i] > ZERO else ZERO
        if i < chain.states and work.item.rank < chain.states:
            flow += work.arrays.gradient[first + i * stride]
        sums[i] = flow


def put_gradient(work: Work, chain: Chain, sums: Any) -> None:
    """Write the matrix' gradient, and set the sums to 0. All elements were read before, so that no read waits here."""
    first, stride = column_of(work, chain)
    for i in range(TIED):
        if i < chain.states and work.item.rank < chain.states:
            work.arrays.gradient[first + i * stride] = sums[i]
        sums[i] = ZERO


def descend(omega: Any, work: Work, chain: Chain, top: Any, bar: Any) -> Any:
    """ē of the first states from that of the last step; the gradients of all steps.

    The sums of the matrix' gradient go to the gradient after every 2 * WARP_SIZE steps, which keeps them exact enough.
    """
    rank = work.item.rank
    weights, sums = cuda.local.array(TIED, REAL_TYPE), cuda.local.array(TIED, REAL_TYPE)
    load_weights(weights, omega, work, chain, top, chain.matrix + chain.state * chain.column, chain.row)
    step, side = chain.steps - 1, 0
    mass, weight = ONE, ONE
    if step >= 0:
        mass, weight = work.state.v_lo[state_at(work, chain, step)], work.state.v_hi[state_at(work, chain, step - 1)]
    for i in range(TIED):
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
            row = row_at(work, side)
            total, next_total = ZERO, ZERO
            for i in range(0, TIED, 2):
                x, y = work.ring[row + i], work.ring[row + i + 1]
                total += weights[i] * x
                next_total += weights[i + 1] * y
                sums[i] += weight * x
                sums[i + 1] += weight * y
            bar = weight * (total + next_total) if rank < chain.states else ZERO
            mass, weight = next_mass, next_weight
            side = TIED - side
        add_gradient(work, chain, weights, sums)
        bar = balanced(work, chain, bar)
        put_gradient(work, chain, sums)
    return bar


# ---- The kernel


def clear(work: Work) -> None:
    """Set the item's gradient to 0: most of a chain's entries may lie behind the item's end.

    Every thread meets another at a barrier before it writes a flow.
    """
    k = work.item.rank
    while k < work.call.entries:
        work.arrays.gradient[work.item.gradient + k] = ZERO
        k += work.item.team


def solve_chain(omega: Any, work: Work) -> Any:
    """Compute an item, and return whether this was possible. All threads of the item return the same."""
    chain = chain_of(work)
    if chain.steps < 0:
        return False
    peak = survey(omega, work, chain)
    if not peak.fits:
        return False
    climbed = climb(omega, work, chain, peak)
    value, share, sound = reach_end(omega, work, chain, climbed)
    if not sound:
        return False
    if work.item.rank == 0:
        work.arrays.values[work.item.output] = work.call.sign * value
    if BACKWARD:
        bar = descend(omega, work, chain, peak.top, share)
        write_outer_flows(work, chain, share, bar)
    return True


def sweep_tied(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """One item for each team of threads."""
    batch, graph = batch_item(), graph_of_item()
    if batch >= call.batch or graph >= call.graphs:
        return
    work = Work(call, arrays, state, item_of(batch, graph, call, arrays), cuda.shared.array(0, REAL_TYPE, 16))
    if BACKWARD:
        clear(work)
    solved = solve_chain(omega, work)
    if not solved:
        meet()
        solve_item(omega, work)
