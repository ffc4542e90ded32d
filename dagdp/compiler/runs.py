"""Loops of the compiler over edges in compiled order: edges cut into runs, arithmetic progressions folded away.

A level's edges are listed in a workspace that stays in cache, cut into runs and folded there. Quantities that advance
by a constant step are stored as (start, step), and their list is dropped (dagdp/compiled/progressions.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.compiled.progressions import CHILD, COUNT, EDGE, FIRST, LISTED, PARENT, SLOT
from dagdp.compiler.arrays import GroupedEdges, Numbering, at
from dagdp.jit.decorators import inner, loop


class Slots(NamedTuple):
    """Incoming edges by slot: slot d of a level holds the d-th edge into each node that has one.

    Fan-in falls inside a level, so these nodes are the first of the level.
    """

    level_ptr: Any  # [levels+1] slots of a level
    first: Any  # [slots] the slot's first edge
    width: Any  # [slots] edges of the slot


class EdgeNumbers(NamedTuple):
    """What the backward pass stores about an edge besides its two nodes."""

    user: Any  # [E] the user's number; without entries the identity
    in_ptr: Any  # [nodes+1] incoming edges of each node, where `slot` has no entries
    slot: Any  # [E] how many edges into the same child come before; without entries: the edge less in_ptr of its child


class LevelEdges(NamedTuple):
    """Workspace: the outgoing edges of one level, each node's first edge, then each node's second edge, and so on."""

    fill: Any  # [largest fan-out] zeros before and after a level
    edges: Any  # [edges of the largest level] the user's numbers
    heads: Any  # the parents' internal numbers
    tails: Any  # the children's internal numbers
    slots: Any


class LevelRuns(NamedTuple):
    """What the outgoing edges of each level make."""

    ptr: Any  # [levels+1] runs of a level
    farthest: Any  # [levels] the largest child of the level's nodes


@inner
def next_run(heads: Any, tails: Any, i: int, begin: int, end: int, least: int) -> Any:
    """(j, k): the first run in [i, end) is [j, k), where heads and tails each advance by 0 or by 1.

    A run has at least `least` edges, or is all of [begin, end). Without a run j = k = end.
    """
    j = i
    while j < end:
        k = j + 1
        if k < end:
            a = heads[k] - heads[j]
            b = tails[k] - tails[j]
            if 0 <= a <= 1 and 0 <= b <= 1:
                while k < end and heads[k] - heads[k - 1] == a and tails[k] - tails[k - 1] == b:
                    k += 1
        if k - j >= least or (j == begin and k == end):
            return j, k
        j = k
    return end, end


@inner
def two_runs(values: Any, first: int, last: int) -> int:
    """The cut of values[first:last] into two parts that each rise by one; `first` if no cut does.

    Such a pair is left beside the long run in a level of a grid: the border's cells, of one parent each. Rows of nodes
    with a listed run are gathered one parent at a time, so two short runs are faster than one list.
    """
    k = first + 1
    while k < last and values[k] == values[k - 1] + 1:
        k += 1
    cut = k
    k += 1
    while k < last and values[k] == values[k - 1] + 1:
        k += 1
    return cut if cut < last and k >= last else first


@inner
def steady(values: Any, first: int, last: int, least: int) -> int:
    """The place at which values[first:last] stop to advance by a constant step, if at least `least` do; else `last`."""
    k = first + 2
    while k < last and values[k] - values[k - 1] == values[first + 1] - values[first]:
        k += 1
    return k if least <= k - first and k < last else last


@inner
def fold(values: Any, first: int, last: int, listed: Any, made: int) -> Any:
    """(start, step, made) of values[first:last]: a progression, or a copy in `listed` from `made` on.

    The `made` that is returned counts the entries of `listed` in use.
    """
    start = np.int64(values[first])
    step = 0 if start < 0 else 1
    if last - first > 1:
        step = values[first + 1] - start
    fits = step >= 0 and (start >= 0 or step == 0)
    k = first + 2
    while fits and k < last:
        fits = values[k] - values[k - 1] == step
        k += 1
    if fits:
        return start, step, made
    for k in range(first, last):
        listed[made + k - first] = values[k]
    return made, LISTED, made + last - first


def lay_slots(level_ptr: Any, nodes: Any, in_ptr: Any) -> Slots:
    """The slots of all levels. nodes : the user's numbers of internal nodes, by which `in_ptr` counts."""
    deepest = nodes[level_ptr[:-1]]
    level_slots = np.zeros(level_ptr.size, np.int32)
    np.cumsum(in_ptr[deepest + 1] - in_ptr[deepest], out=level_slots[1:])
    slot_first, slot_width = np.empty(level_slots[-1], np.int32), np.empty(level_slots[-1], np.int32)
    _lay_slots(level_ptr, nodes, in_ptr, level_slots, slot_first, slot_width)
    return Slots(level_slots, slot_first, slot_width)


@loop
def _lay_slots(level_ptr: Any, nodes: Any, in_ptr: Any, level_slots: Any, slot_first: Any, slot_width: Any) -> None:
    at_edge = 0
    for lev in range(level_ptr.shape[0] - 1):
        width = level_ptr[lev + 1]
        for d in range(level_slots[lev + 1] - level_slots[lev]):
            node = nodes[width - 1]
            while in_ptr[node + 1] - in_ptr[node] <= d:
                width -= 1
                node = nodes[width - 1]
            s = level_slots[lev] + d
            slot_first[s] = at_edge
            slot_width[s] = width - level_ptr[lev]
            at_edge += slot_width[s]


def incoming_runs(nodes: Numbering, slots: Slots, incoming: GroupedEdges, least: int) -> Any:
    """(slot_runs [slots+1], runs [., 4], listed): each slot cut where its parents stop to advance by 0 or by 1."""
    edges, count = incoming.other.size, slots.first.size
    slot_runs = np.zeros(count + 1, np.int32)
    runs = np.empty((2 * count + 4 * (edges // least) + 1, 4), np.int32)
    listed = np.empty(edges, np.int32)  # memory that is not used is not touched
    most, _ = largest_level(nodes.level_ptr, nodes.order, incoming.ptr)
    ends = np.empty(most, np.int32), np.arange(most, dtype=np.int32)
    made, stored = _incoming_runs(nodes, slots, incoming, least, ends, slot_runs, runs, listed)
    return slot_runs, runs[:made].copy(), listed[:stored].copy()


@loop
def _incoming_runs(
    nodes: Any, slots: Any, incoming: Any, least: int, ends: Any, slot_runs: Any, runs: Any, listed: Any
) -> Any:
    level_ptr = nodes.level_ptr
    heads, tails = ends
    made = 0
    stored = 0
    for lev in range(1, level_ptr.shape[0] - 1):
        s0 = slots.level_ptr[lev]
        offset = slots.first[s0]
        n0 = level_ptr[lev]
        for k in range(n0, level_ptr[lev + 1]):
            node = nodes.order[k]
            first, last = incoming.ptr[node], incoming.ptr[node + 1]
            for d in range(last - first):
                heads[slots.first[s0 + d] - offset + k - n0] = nodes.rank[incoming.other[first + d]]
        for s in range(s0, slots.level_ptr[lev + 1]):
            begin = slots.first[s] - offset
            limit = begin + slots.width[s]
            i = begin
            while i < limit:
                j, end = next_run(heads, tails, i, begin, limit, least)
                cut = two_runs(heads, i, j) if j - i < least <= limit - begin else i
                for first, last in ((i, cut), (cut, j), (j, end)):
                    if first < last:
                        start, step, stored = fold(heads, first, last, listed, stored)
                        runs[made, 0], runs[made, 1] = offset + first, last - first
                        runs[made, 2], runs[made, 3] = start, step
                        made += 1
                i = end
            slot_runs[s + 1] = made
    return made, stored


@loop
def largest_level(level_ptr: Any, nodes: Any, ptr: Any) -> Any:
    """(most edges of a level, most edges of a node)."""
    most, deepest = 0, 0
    for lev in range(level_ptr.shape[0] - 1):
        edges = 0
        for k in range(level_ptr[lev], level_ptr[lev + 1]):
            fan = ptr[nodes[k] + 1] - ptr[nodes[k]]
            edges += fan
            deepest = max(deepest, fan)
        most = max(most, edges)
    return most, deepest


@inner
def list_level(nodes: Any, first: int, last: int, outgoing: Any, space: Any) -> int:
    """List the edges that leave the internal nodes [first, last) in `space`; returns their number.

    Edges and children are the user's numbers, parents internal ones.
    """
    fill, out_ptr = space.fill, outgoing.ptr
    deepest = 0
    for k in range(first, last):
        node = nodes[k]
        fan = out_ptr[node + 1] - out_ptr[node]
        deepest = max(deepest, fan)
        if fan > 0:
            fill[fan - 1] += 1
    for d in range(deepest - 2, -1, -1):
        fill[d] += fill[d + 1]
    size = 0
    for d in range(deepest):
        count = fill[d]
        fill[d] = size
        size += count
    for k in range(first, last):
        node = nodes[k]
        begin, end = out_ptr[node], out_ptr[node + 1]
        for d in range(end - begin):
            place = fill[d]
            space.edges[place] = at(outgoing.order, begin + d)
            space.heads[place] = k
            space.tails[place] = outgoing.other[begin + d]
            fill[d] = place + 1
    for d in range(deepest):
        fill[d] = 0
    return size


def outgoing_runs(nodes: Numbering, outgoing: GroupedEdges, numbers: EdgeNumbers, least: int, columns: int) -> Any:
    """(LevelRuns, runs [., columns], listed): the outgoing edges of each level.

    Columns from `ENTRY` on are left empty for the entries of edge potentials.
    """
    levels, edges = nodes.level_ptr.size - 1, outgoing.other.size
    found = LevelRuns(np.zeros(levels + 1, np.int32), np.zeros(levels, np.int32))
    runs = np.empty((2 * (edges // least + levels) + 1, columns), np.int32)
    listed = np.empty(4 * edges, np.int32)  # memory that is not used is not touched
    most, deepest = largest_level(nodes.level_ptr, nodes.order, outgoing.ptr)
    space = LevelEdges(np.zeros(deepest, np.int32), *np.empty((4, most), np.int32))
    made, stored = _outgoing_runs(nodes, outgoing, numbers, least, space, found, runs, listed)
    return found, runs[:made].copy(), listed[:stored].copy()


@loop
def _outgoing_runs(
    nodes: Any, outgoing: Any, numbers: Any, least: int, space: Any, found: Any, runs: Any, listed: Any
) -> Any:
    level_ptr, slot = nodes.level_ptr, numbers.slot
    edges, heads, tails, slots = space.edges, space.heads, space.tails, space.slots
    made = 0
    stored = 0
    begin = 0
    for lev in range(level_ptr.shape[0] - 1):
        size = list_level(nodes.order, level_ptr[lev], level_ptr[lev + 1], outgoing, space)
        last_child = 0
        for k in range(size):
            e, child = edges[k], tails[k]
            place = nodes.rank[child]
            tails[k] = place
            slots[k] = slot[e] if slot.shape[0] > 0 else e - numbers.in_ptr[child]
            edges[k] = at(numbers.user, e)
            last_child = max(last_child, place)
        found.farthest[lev] = last_child
        i = 0
        while i < size:
            j, end = next_run(heads, tails, i, 0, size, least)
            end = steady(slots, j, end, least)
            for first, last in ((i, j), (j, end)):
                if first < last:
                    run = runs[made]
                    run[FIRST], run[COUNT] = begin + first, last - first
                    run[PARENT], run[PARENT + 1], stored = fold(heads, first, last, listed, stored)
                    run[CHILD], run[CHILD + 1], stored = fold(tails, first, last, listed, stored)
                    run[SLOT], run[SLOT + 1], stored = fold(slots, first, last, listed, stored)
                    run[EDGE], run[EDGE + 1], stored = fold(edges, first, last, listed, stored)
                    made += 1
            i = end
        begin += size
        found.ptr[lev + 1] = made
    return made, stored
