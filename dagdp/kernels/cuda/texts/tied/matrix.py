"""A chain as its kernel sees it: the matrix, a thread's row or column of it, and the item's shared memory.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.plan.chain import ChainFact
from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import INFINITY, LEAST, ONE, PARTS, TIED, TINY, WARP_SIZE, ZERO, meet
from dagdp.kernels.cuda.texts.work import Work, listed, place, read_potential
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
    lane: Any  # its place in a row of shared memory
    begin: Any  # the first of the thread's elements of a row or column of the matrix
    present: Any  # whether the thread has a state


class Peak(NamedTuple):
    """What is known of a matrix."""

    top: Any  # its largest element
    fits: Any  # whether exp((M - top)/γ) is 0 or at least LEAST everywhere
    floor: Any  # the least weight of a state from which a step may go on; 0 if no element is -inf


def chain_of(work: Work) -> Chain:
    """The chain of the item's graph, up to the item's end."""
    at = place(work, Column.CHAIN)
    states, steps = listed(work, at + ChainFact.STATES), -1
    node, width = listed(work, at + ChainFact.NODE), listed(work, at + ChainFact.WIDTH)
    if node <= work.item.end and work.item.end < listed(work, at + ChainFact.LIMIT):
        step = (work.item.end - node) // width
        if step == listed(work, at + ChainFact.STEPS) or work.item.end - node - step * width >= states:
            steps = step
    part = work.item.rank // TIED if PARTS > 1 else 0
    own = work.item.rank - part * TIED
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
        own if own < states else states - 1,
        own if own < TIED else TIED - 1,
        part * (TIED // PARTS),
        own < states,
    )


# ---- Shared memory of an item: two rows of weights, a band of own entries, the largest entry of each step of it, parts


def row_at(work: Work, at: Any) -> Any:
    """A place in shared memory, a multiple of 4 numbers; the first row begins at 0, the second at TIED.

    A compiler sees by the mask that the place is no negative index, which would cost a test at each access, and that
    four numbers may be loaded at once.
    """
    return (work.item.ring + at) & 65532


def band_of(work: Work) -> Any:
    """The place of the band: rows of TIED + 1 numbers, so that threads that read a column meet no bank conflict."""
    return row_at(work, 2 * TIED)


def peaks_of(work: Work) -> Any:
    """The place of the largest entries."""
    return row_at(work, 2 * TIED) + WARP_SIZE * (TIED + 1)


def product(weights: Any, work: Work, at: Any) -> Any:
    """(Σ w_j x_j, Σ x_j) of the thread's part of a row of shared memory, which begins at `at`."""
    total, next_total, mass, next_mass = ZERO, ZERO, ZERO, ZERO
    for j in range(0, TIED // PARTS, 2):
        x, y = work.ring[at + j], work.ring[at + j + 1]
        total += weights[j] * x
        next_total += weights[j + 1] * y
        mass += x
        next_mass += y
    return total + next_total, mass + next_mass


def sums_of_parts(work: Work, chain: Chain, total: Any, mass: Any) -> Any:
    """The sums of two numbers over the threads of a state."""
    if PARTS == 1:
        return total, mass
    at = peaks_of(work) + WARP_SIZE
    work.ring[at + work.item.rank] = total
    work.ring[at + PARTS * TIED + work.item.rank] = mass
    meet()
    total, mass = ZERO, ZERO
    for k in range(PARTS):
        total += work.ring[at + k * TIED + chain.lane]
        mass += work.ring[at + (PARTS + k) * TIED + chain.lane]
    return total, mass


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
    """exp((M - top)/γ) of the thread's part of a row or column, 0 behind the last state."""
    rate, count = ONE / omega.gamma, chain.states - chain.begin if chain.present else 0
    first += chain.begin * stride
    for j in range(TIED // PARTS):
        weight = ZERO
        if j < count:
            weight = exp((read_potential(work, first + j * stride) - top) * rate)
        weights[j] = weight
