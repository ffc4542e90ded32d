"""The work of one item: its place in every array, its potentials, and the values of its nodes.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.records import COLUMNS, GRAPHS_END, Arrays, Call, Column, State
from dagdp.kernels.cuda.texts.names import (
    EDGE_BLOCKS,
    INFINITY,
    KEEPS,
    PAIRS,
    SHARED_RING,
    STARTS,
    TANGENT,
    WARP,
    WARP_SIZE,
    ZERO,
    cuda,
)
from dagdp.kernels.recursion import enter, enter_second


class Item(NamedTuple):
    """One graph of one batch item, and the thread's place in the team that processes it."""

    rank: Any  # of the thread in its team
    team: Any  # threads
    row: Any  # of the table: the place of its first column
    output: Any  # place of its value
    theta: Any  # place of its first entry
    z: Any
    gradient: Any
    state: Any  # place of its first node
    ring: Any  # place of its ring in shared memory
    end: Any  # internal number, or a negative one
    start: Any


class Work(NamedTuple):
    """What functions of a pass read and write."""

    call: Call
    arrays: Arrays
    state: State
    item: Item
    ring: Any  # shared memory: v_hi, v_lo and v̇ of the last nodes, in the backward pass ē and ē̇; None without


def batch_item() -> Any:
    """The batch item of this thread; in idle warps of the last blocks behind the last item."""
    if WARP:
        return cuda.blockIdx.x * (cuda.blockDim.x // WARP_SIZE) + cuda.threadIdx.x // WARP_SIZE
    return cuda.blockIdx.x


def graph_of_item() -> Any:
    """The row of the table for this thread; in the last blocks perhaps behind the last row."""
    return cuda.blockIdx.y + cuda.blockIdx.z * cuda.gridDim.y


def item_of(batch: Any, graph: Any, call: Call, arrays: Arrays) -> Item:
    """One graph of one batch item."""
    row = graph * COLUMNS
    output = batch * call.graphs + arrays.table[row + Column.OUTPUT]
    end = arrays.table[row + Column.END]
    if call.ended > 0:
        given = arrays.ends[output]
        end = given if given != GRAPHS_END else end
    start = arrays.starts[output] if STARTS else 0
    rank = cuda.threadIdx.x % WARP_SIZE if WARP else cuda.threadIdx.x
    numbers = (3 if TANGENT else 2) * call.ring
    return Item(
        rank,
        WARP_SIZE if WARP else cuda.blockDim.x,
        row,
        output,
        batch * call.theta_stride,
        batch * call.z_stride,
        batch * call.entries,
        batch * call.nodes + arrays.table[row + Column.FIRST_NODE],
        cuda.threadIdx.x // WARP_SIZE * numbers if WARP else 0,
        end,
        start,
    )


def place(work: Work, column: int) -> Any:
    """A column of the item's graph."""
    return work.arrays.table[work.item.row + column]


def listed(work: Work, at: Any) -> Any:
    """A number of the plan."""
    return work.arrays.plan[at]


# ---- Potentials


def read_potential(work: Work, entry: Any) -> Any:
    """θ of an entry with its sign; +inf where it is NaN or an infinity of the wrong sign, which no path may read."""
    x = work.call.sign * work.arrays.theta[work.item.theta + entry]
    return x if x < INFINITY else INFINITY


def potential(work: Work, at: Any, stride: Any, blocks: int) -> Any:
    """Σ θ over the entries that the plan lists at `at`, one for each block, `stride` numbers apart.

    The sum of an infinity and its opposite is -inf: the edge is forbidden.
    """
    total = ZERO
    for block in range(blocks):
        entry = listed(work, at + block * stride)
        if entry >= 0:
            total += read_potential(work, entry)
    return total if total == total else -INFINITY


def direction(work: Work, at: Any, stride: Any, blocks: int) -> Any:
    """Σ z over the entries that the plan lists at `at`."""
    total = ZERO
    for block in range(blocks):
        entry = listed(work, at + block * stride)
        if entry >= 0:
            total += work.arrays.z[work.item.z + entry]
    return total


# ---- Values of nodes


def place_in_ring(work: Work, node: Any) -> Any:
    """Where the ring keeps the first number of a node."""
    return work.item.ring + (node & (work.call.ring - 1))


def value_at(work: Work, node: Any) -> Any:
    """v of a node of the last levels, as (hi, lo)."""
    if SHARED_RING:
        at = place_in_ring(work, node)
        return work.ring[at], work.ring[at + work.call.ring]
    at = work.item.state + node
    return work.state.v_hi[at], work.state.v_lo[at]


def tangent_of(work: Work, node: Any) -> Any:
    """v̇ of a node of the last levels."""
    if SHARED_RING:
        return work.ring[place_in_ring(work, node) + 2 * work.call.ring]
    return work.state.v_dot[work.item.state + node]


def put_value(work: Work, node: Any, hi: Any, lo: Any) -> None:
    """Store v of a node."""
    if SHARED_RING:
        at = place_in_ring(work, node)
        work.ring[at] = hi
        work.ring[at + work.call.ring] = lo
    if KEEPS:
        work.state.v_hi[work.item.state + node] = hi
        work.state.v_lo[work.item.state + node] = lo


def put_tangent(work: Work, node: Any, v_dot: Any) -> None:
    """Store v̇ of a node."""
    if SHARED_RING:
        work.ring[place_in_ring(work, node) + 2 * work.call.ring] = v_dot
    if KEEPS:
        work.state.v_dot[work.item.state + node] = v_dot


# ---- Scores of the edges into a node


class Incoming(NamedTuple):
    """Places of the arrays of incoming edges, read from the table once."""

    ptr: Any
    node_entry: Any
    parent: Any
    second: Any
    entry: Any
    edges: Any  # the stride of `entry`


class Scores(NamedTuple):
    """The scores x of the edges into a node, computed each time they are read."""

    work: Work
    incoming: Incoming
    first: Any  # the node's first incoming edge


def score_of_edge(work: Work, incoming: Incoming, edge: Any) -> Any:
    """x_e = θ_e + v of the parent, or of both, as (hi, lo)."""
    hi, lo = value_at(work, listed(work, incoming.parent + edge))
    if EDGE_BLOCKS > 0:
        hi, lo = enter(potential(work, incoming.entry + edge, incoming.edges, EDGE_BLOCKS), hi, lo)
    if PAIRS:
        other = listed(work, incoming.second + edge)
        if other >= 0:
            other_hi, other_lo = value_at(work, other)
            hi, lo = enter_second(hi, lo, other_hi, other_lo)
    return hi, lo


def tangent_of_edge(work: Work, incoming: Incoming, edge: Any) -> Any:
    """ẋ_e = z_e + v̇ of the parent, or of both."""
    total = tangent_of(work, listed(work, incoming.parent + edge))
    if PAIRS:
        other = listed(work, incoming.second + edge)
        if other >= 0:
            total += tangent_of(work, other)
    if EDGE_BLOCKS > 0:
        total += direction(work, incoming.entry + edge, incoming.edges, EDGE_BLOCKS)
    return total
