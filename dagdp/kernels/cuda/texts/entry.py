"""The kernel of every pass: an item's forward pass, its value, and what the variant asks for besides.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any

from dagdp.kernels.cuda.records import WRONG, Arrays, Call, Column, State
from dagdp.kernels.cuda.texts.backward import (
    bar_at,
    fill,
    fill_readers,
    outgoing_of,
    parent_of,
    pull_levels,
    put_bar,
    weight_of_edge,
)
from dagdp.kernels.cuda.texts.forward import visit_levels
from dagdp.kernels.cuda.texts.names import (
    BACKWARD,
    DECODE,
    INFINITY,
    ONE,
    READERS,
    REAL_TYPE,
    SHARED_RING,
    TANGENT,
    WEIGHTS,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.texts.work import Work, batch_item, graph_of_item, item_of, listed, place, tangent_of, value_at


def hand_back(work: Work) -> Any:
    """Write the item's value and slope; returns whether the numbers on the item's paths were sound.

    An entry that is NaN or an infinity of the wrong sign reaches the end as +inf, as does a sum that overflows. Then
    the item's results are NaN, and the host is told.
    """
    hi, slope = -INFINITY, ZERO
    if work.item.end >= 0:
        hi, _ = value_at(work, work.item.end)
        if TANGENT:
            slope = tangent_of(work, work.item.end)
    return tell(work, hi, slope)


def tell(work: Work, hi: Any, slope: Any) -> Any:
    """Write a value and a slope; returns whether they are sound."""
    slope = slope if hi > -INFINITY else ZERO
    sound = hi < INFINITY and slope - slope == ZERO and work.item.end != WRONG
    if work.item.rank == 0:
        value = hi if work.call.sign > ZERO else ZERO - hi
        if not sound:
            value, slope = INFINITY - INFINITY, INFINITY - INFINITY
            work.arrays.fault[0] = work.item.output + 1
        work.arrays.values[work.item.output] = value
        if TANGENT:
            work.arrays.slopes[work.item.output] = slope
    return sound


def follow_choices(work: Work) -> None:
    """The best path: the edges chosen from the end back to a start, by the item's first thread."""
    k = work.item.rank
    while k < work.call.entries:
        work.arrays.path[work.item.gradient + k] = -1
        k += work.item.team
    meet()
    if work.item.rank == 0:
        node, k = work.item.end, work.item.gradient
        first = listed(work, place(work, Column.LEVEL_PTR) + 1)
        ptr, parents, numbers = place(work, Column.IN_PTR), place(work, Column.IN_PARENT), place(work, Column.EDGE)
        while node >= first:
            slot = int(work.state.kappa[work.item.state + node])
            edge = listed(work, ptr + node) + slot
            node = listed(work, parents + edge) if slot >= 0 else -1
            number = listed(work, numbers + edge) if slot >= 0 else -1
            if number >= 0:
                work.arrays.path[k] = number
                k += 1


def mark_levels(work: Work, reached: Any) -> None:
    """ē = 1 at every node from which a path leads to the item's end, 0 at all others."""
    outgoing, levels = outgoing_of(work), place(work, Column.LEVEL_PTR)
    limit = listed(work, levels + reached)
    node, nodes = limit + work.item.rank, place(work, Column.NODES)
    while node < nodes:
        work.state.bar[work.item.state + node] = ZERO
        node += work.item.team
    level = reached - 1
    while level >= 0:
        last = listed(work, levels + level + 1)
        node = listed(work, levels + level) + work.item.rank
        while node < last:
            mark = ONE if node == work.item.end else ZERO
            for edge in range(listed(work, outgoing.ptr + node), listed(work, outgoing.ptr + node + 1)):
                child = listed(work, outgoing.child + edge)
                if child < limit and bar_at(work, child) > ZERO:
                    mark = ONE
            put_bar(work, node, mark, ZERO)
            node += work.item.team
        meet()
        level -= 1


def write_weights(omega: Any, work: Work, sound: Any) -> None:
    """q of every edge, each written by the thread of its first parent."""
    outgoing, ptr, parents = outgoing_of(work), place(work, Column.IN_PTR), place(work, Column.IN_PARENT)
    node, nodes, numbers = work.item.rank, place(work, Column.NODES), place(work, Column.EDGE)
    while node < nodes:
        for edge in range(listed(work, outgoing.ptr + node), listed(work, outgoing.ptr + node + 1)):
            child = listed(work, outgoing.child + edge)
            at = listed(work, ptr + child) + listed(work, outgoing.slot + edge)
            number = listed(work, numbers + at)
            if number >= 0 and listed(work, parents + at) == node:
                q = ZERO
                if not sound:
                    q = INFINITY - INFINITY
                elif work.state.bar[work.item.state + child] > ZERO:
                    q, _ = weight_of_edge(omega, work, outgoing, parent_of(work, node), edge)
                work.arrays.gradient[work.item.gradient + number] = q
        node += work.item.team


def solve_item(omega: Any, work: Work) -> None:
    """All results of an item."""
    reached = visit_levels(omega, work)
    sound = hand_back(work)
    if DECODE:
        follow_choices(work)
    if WEIGHTS:
        meet()
        mark_levels(work, reached)
        write_weights(omega, work, sound)
    if BACKWARD:
        meet()
        if sound:
            pull_levels(omega, work, reached)
        else:
            fill(work, outgoing_of(work), 0, INFINITY - INFINITY)
            if READERS:
                fill_readers(work, INFINITY - INFINITY)


def sweep(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """One item for each team of threads."""
    batch, graph = batch_item(), graph_of_item()
    if batch >= call.batch or graph >= call.graphs:
        return
    ring = cuda.shared.array(0, REAL_TYPE) if SHARED_RING else state.v_hi
    solve_item(omega, Work(call, arrays, state, item_of(batch, graph, call, arrays), ring))
