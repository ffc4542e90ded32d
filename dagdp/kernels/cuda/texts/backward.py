"""The backward pass of one item: every node pulls ē from its children (Algorithm 1), and ē̇ (Algorithm 2).

Each number is written by one thread, and summed in a fixed order, so no atomic operation is needed and results have
equal bits on every run. An entry that several edges read is summed behind the pass: by one thread, in the order of the
plan, from weights that are computed anew.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import (
    EDGE_BLOCKS,
    EXPONENTIAL,
    FIRST,
    INFINITY,
    NODE_BLOCKS,
    ONE,
    PAIRS,
    READERS,
    REAL,
    SHARED_RING,
    TANGENT,
    WEIGHTS,
    ZERO,
    meet,
)
from dagdp.kernels.cuda.texts.work import Work, direction, listed, place, place_in_ring, potential
from dagdp.kernels.recursion import (
    argument,
    difference,
    flow,
    flow_tangent,
    join,
    rejoined,
    weight_tangent,
)
from dagdp.kernels.row_max import weight_at


class Outgoing(NamedTuple):
    """Places of the arrays of outgoing edges, read from the table once."""

    ptr: Any
    child: Any
    slot: Any
    other: Any
    entry: Any
    target: Any
    edges: Any  # the stride of `entry` and `target`
    node_entry: Any
    node_target: Any


class Parent(NamedTuple):
    """What a node's outgoing edges share."""

    hi: Any
    lo: Any
    v_dot: Any


def outgoing_of(work: Work) -> Outgoing:
    """The places of the item's graph."""
    return Outgoing(
        place(work, Column.OUT_PTR),
        place(work, Column.OUT_CHILD),
        place(work, Column.OUT_SLOT),
        place(work, Column.OUT_OTHER),
        place(work, Column.OUT_ENTRY),
        place(work, Column.OUT_TARGET),
        place(work, Column.OUT_EDGES),
        place(work, Column.NODE_ENTRY),
        place(work, Column.NODE_TARGET),
    )


def bar_at(work: Work, node: Any) -> Any:
    """ē of a node whose level was visited last, or a level before."""
    if SHARED_RING:
        return work.ring[place_in_ring(work, node)]
    return work.state.bar[work.item.state + node]


def bar_dot_at(work: Work, node: Any) -> Any:
    """ē̇ of such a node."""
    if SHARED_RING:
        return work.ring[place_in_ring(work, node) + work.call.ring]
    return work.state.bar_dot[work.item.state + node]


def put_bar(work: Work, node: Any, bar: Any, bar_dot: Any) -> None:
    """Store ē of a node, and ē̇."""
    if SHARED_RING:
        at = place_in_ring(work, node)
        work.ring[at] = bar
        if TANGENT:
            work.ring[at + work.call.ring] = bar_dot
    if READERS or WEIGHTS or not SHARED_RING:
        work.state.bar[work.item.state + node] = bar
        if TANGENT:
            work.state.bar_dot[work.item.state + node] = bar_dot


def parent_of(work: Work, node: Any) -> Parent:
    """A node's values as its outgoing edges read them."""
    at = work.item.state + node
    return Parent(work.state.v_hi[at], work.state.v_lo[at], work.state.v_dot[at] if TANGENT else ZERO)


def weight_of_edge(omega: Any, work: Work, outgoing: Outgoing, parent: Parent, edge: Any) -> Any:
    """(q, s) of an outgoing edge: link and slope at (c_i + x_e - v_i)/γ + κ_i."""
    child = work.item.state + listed(work, outgoing.child + edge)
    if FIRST:
        slot = REAL(listed(work, outgoing.slot + edge))
        return weight_at(omega, argument(omega, ZERO, slot, work.state.kappa[child]))
    parent_lo = parent.lo
    hi, lo = difference(parent.hi, work.state.v_hi[child])
    if PAIRS:
        other = listed(work, outgoing.other + edge)
        if other >= 0:
            hi, lo = join(hi, lo, work.state.v_hi[work.item.state + other])
            lo += work.state.v_lo[work.item.state + other]
    if EDGE_BLOCKS > 0:
        hi, lo = join(hi, lo, potential(work, outgoing.entry + edge, outgoing.edges, EDGE_BLOCKS))
    if NODE_BLOCKS > 0:
        own = outgoing.node_entry + listed(work, outgoing.child + edge)
        hi, lo = join(hi, lo, potential(work, own, work.call.nodes, NODE_BLOCKS))
    y = rejoined(hi, lo, parent_lo, work.state.v_lo[child], ONE / omega.gamma)
    if EXPONENTIAL:
        return weight_at(omega, y + (ONE - omega.corner))  # κ is 1
    return weight_at(omega, argument(omega, y, ZERO, work.state.kappa[child]))


def flow_of_edge(
    omega: Any, work: Work, outgoing: Outgoing, parent: Parent, edge: Any, arriving: Any, arriving_dot: Any
) -> Any:
    """(e, ė) of an outgoing edge from ē and ē̇ of its child; ė is 0 without a direction."""
    q, s = weight_of_edge(omega, work, outgoing, parent, edge)
    e = flow(q, arriving)
    if not TANGENT:
        return e, ZERO
    x_dot = parent.v_dot
    if PAIRS:
        other = listed(work, outgoing.other + edge)
        if other >= 0:
            x_dot += work.state.v_dot[work.item.state + other]
    if EDGE_BLOCKS > 0:
        x_dot += direction(work, outgoing.entry + edge, outgoing.edges, EDGE_BLOCKS)
    mean = work.state.mean[work.item.state + listed(work, outgoing.child + edge)]
    q_dot = weight_tangent(s, x_dot, mean, ONE / omega.gamma)
    return e, flow_tangent(q, q_dot, arriving, arriving_dot)


def result(work: Work, e: Any, e_dot: Any) -> Any:
    """What the gradient, or the Hessian product, gets of a flow: min_Ω(x) = -max_Ω(-x) turns the product's sign."""
    if TANGENT:
        return e_dot if work.call.sign > ZERO else ZERO - e_dot
    return e


def write_edge(work: Work, outgoing: Outgoing, edge: Any, number: Any) -> None:
    """Write an outgoing edge's result to the entries that it alone reads."""
    for block in range(EDGE_BLOCKS):
        target = listed(work, outgoing.target + edge + block * outgoing.edges)
        if target >= 0:
            work.arrays.gradient[work.item.gradient + target] = number


def write_node(work: Work, outgoing: Outgoing, node: Any, number: Any) -> None:
    """Write a node's result to the hoisted entries that it alone reads."""
    for block in range(NODE_BLOCKS):
        target = listed(work, outgoing.node_target + node + block * work.call.nodes)
        if target >= 0:
            work.arrays.gradient[work.item.gradient + target] = number


def fill(work: Work, outgoing: Outgoing, first: Any, number: Any) -> None:
    """Give all nodes from `first` on, and their outgoing edges, one result and ē = 0. No thread waits for another."""
    node, nodes = first + work.item.rank, place(work, Column.NODES)
    while node < nodes:
        for edge in range(listed(work, outgoing.ptr + node), listed(work, outgoing.ptr + node + 1)):
            write_edge(work, outgoing, edge, number)
        write_node(work, outgoing, node, number)
        if READERS:
            work.state.bar[work.item.state + node] = ZERO
            if TANGENT:
                work.state.bar_dot[work.item.state + node] = ZERO
        node += work.item.team


def fill_readers(work: Work, number: Any) -> None:
    """Give all entries with several readers one result."""
    k, count, entries = work.item.rank, place(work, Column.MULTIPLE), place(work, Column.READ_ENTRY)
    while k < count:
        entry = listed(work, entries + k)
        work.arrays.gradient[work.item.gradient + entry] = number
        k += work.item.team


def pull_node(omega: Any, work: Work, outgoing: Outgoing, node: Any, limit: Any) -> None:
    """ē of a node, and the results of its outgoing edges. Children from `limit` on were not visited: their ē is 0."""
    parent = parent_of(work, node)
    bar = ONE if node == work.item.end and parent.hi > -INFINITY else ZERO  # no path at all: every result is 0
    bar_dot = ZERO
    for edge in range(listed(work, outgoing.ptr + node), listed(work, outgoing.ptr + node + 1)):
        child = listed(work, outgoing.child + edge)
        e, e_dot = ZERO, ZERO
        if child < limit:
            arriving = bar_at(work, child)
            arriving_dot = bar_dot_at(work, child) if TANGENT else ZERO
            if arriving != ZERO or arriving_dot != ZERO:
                e, e_dot = flow_of_edge(omega, work, outgoing, parent, edge, arriving, arriving_dot)
        write_edge(work, outgoing, edge, result(work, e, e_dot))
        bar += e
        bar_dot += e_dot
    put_bar(work, node, bar, bar_dot)
    write_node(work, outgoing, node, result(work, bar, bar_dot))


def sum_readers(omega: Any, work: Work, outgoing: Outgoing) -> None:
    """The results of entries that several edges or nodes read."""
    k, count, entries = work.item.rank, place(work, Column.MULTIPLE), place(work, Column.READ_ENTRY)
    ptr, edges, nodes = place(work, Column.READ_PTR), place(work, Column.READER), place(work, Column.READER_NODE)
    while k < count:
        hi, lo = ZERO, ZERO
        for reader in range(listed(work, ptr + k), listed(work, ptr + k + 1)):
            edge, node = listed(work, edges + reader), listed(work, nodes + reader)
            at = work.item.state + node
            if edge >= 0:
                at = work.item.state + listed(work, outgoing.child + edge)
            e, e_dot = work.state.bar[at], work.state.bar_dot[at] if TANGENT else ZERO
            if edge >= 0 and (e != ZERO or e_dot != ZERO):
                e, e_dot = flow_of_edge(omega, work, outgoing, parent_of(work, node), edge, e, e_dot)
            hi, lo = join(hi, lo, result(work, e, e_dot))
        work.arrays.gradient[work.item.gradient + listed(work, entries + k)] = hi + lo
        k += work.item.team


def pull_levels(omega: Any, work: Work, reached: Any) -> None:
    """All results of an item, whose first `reached` levels were visited by the forward pass."""
    outgoing, levels = outgoing_of(work), place(work, Column.LEVEL_PTR)
    limit = listed(work, levels + reached)
    fill(work, outgoing, limit, ZERO)
    level = reached - 1
    while level >= 0:
        last = listed(work, levels + level + 1)
        node = listed(work, levels + level) + work.item.rank
        while node < last:
            pull_node(omega, work, outgoing, node, limit)
            node += work.item.team
        meet()
        level -= 1
    if READERS:
        sum_readers(omega, work, outgoing)
