"""A small kernel text for tests of the interpreter: log-sum-exp over a graph level by level, and its gradient.

It has the form of the package's: an item for each block or warp, values of the last levels in a ring of shared memory,
a forward pass over incoming and a backward pass over outgoing edges.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dagdp.kernels.cuda.texts.names import INFINITY, ONE, REAL_TYPE, WARP, WARP_SIZE, ZERO, cuda, meet


class Sizes(NamedTuple):
    items: Any
    warps: Any
    nodes: Any
    edges: Any
    levels: Any
    ring: Any


class Arrays(NamedTuple):
    plan: Any  # [level_ptr | in_ptr | in_parent | in_entry | out_ptr | out_child | out_entry]
    theta: Any  # [items, edges]
    values: Any  # [items]
    gradient: Any  # [items, edges]
    v: Any  # [items, nodes]


class Seat(NamedTuple):
    item: Any
    rank: Any
    team: Any
    ring_at: Any


def sweep(sizes, arrays):
    item, rank, team, ring_at = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x, 0
    if WARP:
        warp = cuda.threadIdx.x // WARP_SIZE
        item = cuda.blockIdx.x * sizes.warps + warp
        rank = cuda.threadIdx.x % WARP_SIZE
        team = WARP_SIZE
        ring_at = warp * sizes.ring
    if item < sizes.items:
        seat = Seat(item, rank, team, ring_at)
        forward(seat, sizes, arrays)
        backward(seat, sizes, arrays)


def forward(seat, sizes, arrays):
    level = 0
    while level < sizes.levels:
        i = arrays.plan[level] + seat.rank
        last = arrays.plan[level + 1]
        while i < last:
            advance(i, seat, sizes, arrays)
            i += seat.team
        meet()
        level += 1


def advance(i, seat, sizes, arrays):
    ring = cuda.shared.array(0, REAL_TYPE)
    in_ptr = sizes.levels + 1
    in_parent = in_ptr + sizes.nodes + 1
    in_entry = in_parent + sizes.edges
    first, last = arrays.plan[in_ptr + i], arrays.plan[in_ptr + i + 1]
    most = -INFINITY
    e = first
    while e < last:
        parent = arrays.plan[in_parent + e]
        x = arrays.theta[seat.item * sizes.edges + arrays.plan[in_entry + e]] + ring[seat.ring_at + parent % sizes.ring]
        most = x if x > most else most
        e += 1
    total = ZERO
    e = first
    while e < last:
        parent = arrays.plan[in_parent + e]
        x = arrays.theta[seat.item * sizes.edges + arrays.plan[in_entry + e]] + ring[seat.ring_at + parent % sizes.ring]
        total += math.exp(x - most)
        e += 1
    value = most + math.log(total) if total > 0.0 else ZERO
    ring[seat.ring_at + i % sizes.ring] = value
    arrays.v[seat.item * sizes.nodes + i] = value
    if i == sizes.nodes - 1:
        arrays.values[seat.item] = value


def backward(seat, sizes, arrays):
    level = sizes.levels - 1
    while level >= 0:
        i = arrays.plan[level] + seat.rank
        last = arrays.plan[level + 1]
        while i < last:
            retreat(i, seat, sizes, arrays)
            i += seat.team
        meet()
        level -= 1


def retreat(i, seat, sizes, arrays):
    ring = cuda.shared.array(0, REAL_TYPE)
    out_ptr = sizes.levels + 1 + sizes.nodes + 1 + 2 * sizes.edges
    out_child = out_ptr + sizes.nodes + 1
    out_entry = out_child + sizes.edges
    at, own = seat.item * sizes.nodes, seat.item * sizes.edges
    bar = ONE if i == sizes.nodes - 1 else ZERO
    e = arrays.plan[out_ptr + i]
    while e < arrays.plan[out_ptr + i + 1]:
        child, entry = arrays.plan[out_child + e], arrays.plan[out_entry + e]
        q = math.exp(arrays.theta[own + entry] + arrays.v[at + i] - arrays.v[at + child])
        flow = q * ring[seat.ring_at + child % sizes.ring]
        arrays.gradient[own + entry] = flow
        bar += flow
        e += 1
    ring[seat.ring_at + i % sizes.ring] = bar
