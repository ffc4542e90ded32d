"""The weights of all states up to the item's end, and its value.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import (
    BACKWARD,
    EDGE_BLOCKS,
    INFINITY,
    LEAST,
    NODE_BLOCKS,
    ONE,
    PARTS,
    REAL,
    REAL_TYPE,
    TIED,
    WARP_SIZE,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.texts.tied.matrix import (
    Chain,
    Peak,
    band_of,
    largest,
    load_weights,
    peaks_of,
    product,
    row_at,
    sum_of,
    sums_of_parts,
)
from dagdp.kernels.cuda.texts.work import Work, listed, place, potential, read_potential
from dagdp.kernels.recursion import anchor, join, two_sum
from dagdp.lanes.exp_log import exp


class Climbed(NamedTuple):
    """The last row of weights: v of the thread's state is γ log weight + hi + lo."""

    weight: Any
    sound: Any  # 1, or NaN where the thread's weights came too near to 0
    hi: Any
    lo: Any


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
    peak = largest(work, chain, band_of(work))
    weight, sound = ZERO, ONE
    if chain.present and peak - peak == ZERO and hi > -INFINITY:  # otherwise all weights are 0, no path
        weight = exp(((hi - peak) + lo) * (ONE / omega.gamma))
        sound = INFINITY - INFINITY if weight < floor else ONE
    if rank < TIED:
        work.ring[work.item.ring + rank] = weight
    if BACKWARD and rank < chain.states:
        work.state.v_hi[work.item.state + node] = weight
    meet()
    return Climbed(weight, sound, anchor(peak), ZERO)


def load_steps(work: Work, chain: Chain, step: Any, count: Any) -> None:
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
    weights = cuda.local.array(TIED // PARTS, REAL_TYPE)
    load_weights(weights, omega, work, chain, peak.top, chain.matrix + chain.state * chain.row, chain.column)
    weight, sound, hi, lo = put_first_states(omega, work, chain, peak.floor)
    lifts, side, step = ZERO, 0, 0
    while step < chain.steps:
        count = chain.steps - step if chain.steps - step < WARP_SIZE else WARP_SIZE
        load_steps(work, chain, step, count)
        for k in range(count):
            own, highest = work.ring[band_of(work) + k * (TIED + 1) + chain.lane], work.ring[peaks_of(work) + k]
            mass, whole = product(weights, work, row_at(work, side + chain.begin))
            mass, whole = sums_of_parts(work, chain, mass, whole)
            lift = ONE
            if whole > 4096.0:
                lift, lifts = 1.0 / 4096.0, lifts - ONE
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
    share = share if chain.present else ZERO
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
