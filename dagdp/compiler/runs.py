"""The loops of the compiler over edges in their compiled order: cut into runs, and numbers that advance folded away.

A level's edges are laid out in a scratch that stays in cache, cut and folded there, and forgotten: what is proved
to advance by a constant step is never written down (dagdp/progressions.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.progressions import CHILD, COUNT, EDGE, FIRST, LISTED, PARENT, SLOT
from dagdp.compiler.arrays import at
from dagdp.jit.decorators import inner, loop


@inner
def next_run(heads: Any, tails: Any, i: int, begin: int, end: int, least: int) -> Any:
    """(j, k): the first run in [i, end) worth its start is [j, k), where heads and tails advance by 0 or by 1.

    j = k = end if there is none. Shorter than `least` is worth it only if it is all of [begin, end).
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
    """Where values[first:last] are to be cut so that both parts rise by one; `first` if there is no such place.

    What a long run leaves over in a level of a grid is such a pair: the border's cells, of one parent each. A row of
    nodes with a list among its runs is gathered one parent at a time.
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
    """Where values[first:last] stop to advance by a constant step, if that is worth a cut: after `least` of them."""
    k = first + 2
    while k < last and values[k] - values[k - 1] == values[first + 1] - values[first]:
        k += 1
    return k if least <= k - first and k < last else last


@inner
def fold(values: Any, first: int, last: int, listed: Any, made: int) -> Any:
    """(start, step, made) of values[first:last]: a progression, or copied into `listed` from `made` on."""
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


def lay_slots(level_ptr: Any, nodes: Any, in_ptr: Any) -> Any:
    """(level_slots, slot_first, slot_width): slot d of a level holds the d-th edge into each node that has one.

    Fan-in falls inside a level, so these nodes are a prefix of it.
    """
    deepest = nodes[level_ptr[:-1]]
    level_slots = np.zeros(level_ptr.size, np.int32)
    np.cumsum(in_ptr[deepest + 1] - in_ptr[deepest], out=level_slots[1:])
    slot_first, slot_width = np.empty(level_slots[-1], np.int32), np.empty(level_slots[-1], np.int32)
    _lay_slots(level_ptr, nodes, in_ptr, level_slots, slot_first, slot_width)
    return level_slots, slot_first, slot_width


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


def incoming_runs(level_ptr: Any, nodes: Any, rank: Any, slots: Any, parents: Any, in_ptr: Any, least: int) -> Any:
    """(slot_runs, runs [., 4], listed): each slot cut where its parents stop to advance by 0 or by 1."""
    level_slots, slot_first, slot_width = slots
    slot_runs = np.zeros(slot_first.size + 1, np.int32)
    runs = np.empty((2 * slot_first.size + 4 * (parents.size // least) + 1, 4), np.int32)
    listed = np.empty(parents.size, np.int32)  # room that is not used is not touched
    most, _ = largest_level(level_ptr, nodes, in_ptr)
    heads, tails = np.empty(most, np.int32), np.arange(most, dtype=np.int32)
    made, kept = _incoming_runs(
        level_ptr, nodes, rank, level_slots, slot_first, slot_width, parents, in_ptr, least, heads, tails,
        slot_runs, runs, listed,
    )  # fmt: skip
    return slot_runs, runs[:made].copy(), listed[:kept].copy()


@loop
def _incoming_runs(
    level_ptr: Any, nodes: Any, rank: Any, level_slots: Any, slot_first: Any, slot_width: Any,
    parents: Any, in_ptr: Any, least: int, heads: Any, tails: Any, slot_runs: Any, runs: Any, listed: Any,
) -> Any:  # fmt: skip
    made = 0
    kept = 0
    for lev in range(1, level_ptr.shape[0] - 1):
        s0 = level_slots[lev]
        offset = slot_first[s0]
        n0 = level_ptr[lev]
        for k in range(n0, level_ptr[lev + 1]):
            node = nodes[k]
            first, last = in_ptr[node], in_ptr[node + 1]
            for d in range(last - first):
                heads[slot_first[s0 + d] - offset + k - n0] = rank[parents[first + d]]
        for s in range(s0, level_slots[lev + 1]):
            begin = slot_first[s] - offset
            limit = begin + slot_width[s]
            i = begin
            while i < limit:
                j, end = next_run(heads, tails, i, begin, limit, least)
                cut = two_runs(heads, i, j) if j - i < least <= limit - begin else i
                for first, last in ((i, cut), (cut, j), (j, end)):
                    if first < last:
                        start, step, kept = fold(heads, first, last, listed, kept)
                        runs[made, 0], runs[made, 1] = offset + first, last - first
                        runs[made, 2], runs[made, 3] = start, step
                        made += 1
                i = end
            slot_runs[s + 1] = made
    return made, kept


@loop
def largest_level(level_ptr: Any, nodes: Any, ptr: Any) -> Any:
    """The most edges of a level, and of a node."""
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
def lay_level(
    nodes: Any,
    first: int,
    last: int,
    out_ptr: Any,
    out_order: Any,
    children: Any,
    fill: Any,
    edges: Any,
    heads: Any,
    tails: Any,
) -> int:
    """Edges that leave the nodes [first, last): each node's first edge, then each one's second, and so on.

    `fill` is zeros before and after; it holds as many numbers as a node may have edges.
    """
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
            edges[place] = at(out_order, begin + d)
            heads[place] = k
            tails[place] = children[begin + d]
            fill[d] = place + 1
    for d in range(deepest):
        fill[d] = 0
    return size


def outgoing_runs(
    level_ptr: Any, nodes: Any, rank: Any, numbers: Any,
    in_ptr: Any, slot: Any, out_ptr: Any, out_order: Any, children: Any, least: int, columns: int,
) -> Any:  # fmt: skip
    """(level_runs, runs [., columns], listed, farthest): outgoing edges of each level, the entries still to come.

    farthest[level] is the largest child of the level's nodes.
    """
    levels = level_ptr.size - 1
    level_runs, farthest = np.zeros(levels + 1, np.int32), np.zeros(levels, np.int32)
    runs = np.empty((2 * (children.size // least + levels) + 1, columns), np.int32)
    listed = np.empty(4 * children.size, np.int32)  # room that is not used is not touched
    most, deepest = largest_level(level_ptr, nodes, out_ptr)
    made, kept = _outgoing_runs(
        level_ptr, nodes, rank, numbers, in_ptr, slot, out_ptr, out_order, children, least,
        np.zeros(deepest, np.int32), np.empty((4, most), np.int32), level_runs, farthest, runs, listed,
    )  # fmt: skip
    return level_runs, runs[:made].copy(), listed[:kept].copy(), farthest


@loop
def _outgoing_runs(
    level_ptr: Any, nodes: Any, rank: Any, numbers: Any, in_ptr: Any, slot: Any,
    out_ptr: Any, out_order: Any, children: Any, least: int, fill: Any, level: Any, level_runs: Any, farthest: Any,
    runs: Any, listed: Any,
) -> Any:  # fmt: skip
    edges, heads, tails, slots = level[0], level[1], level[2], level[3]
    made = 0
    kept = 0
    begin = 0
    for lev in range(level_ptr.shape[0] - 1):
        size = lay_level(
            nodes, level_ptr[lev], level_ptr[lev + 1], out_ptr, out_order, children, fill, edges, heads, tails
        )
        last_child = 0
        for k in range(size):
            e, child = edges[k], tails[k]
            place = rank[child]
            tails[k] = place
            slots[k] = slot[e] if slot.shape[0] > 0 else e - in_ptr[child]
            edges[k] = at(numbers, e)
            last_child = max(last_child, place)
        farthest[lev] = last_child
        i = 0
        while i < size:
            j, end = next_run(heads, tails, i, 0, size, least)
            end = steady(slots, j, end, least)
            for first, last in ((i, j), (j, end)):
                if first < last:
                    run = runs[made]
                    run[FIRST], run[COUNT] = begin + first, last - first
                    run[PARENT], run[PARENT + 1], kept = fold(heads, first, last, listed, kept)
                    run[CHILD], run[CHILD + 1], kept = fold(tails, first, last, listed, kept)
                    run[SLOT], run[SLOT + 1], kept = fold(slots, first, last, listed, kept)
                    run[EDGE], run[EDGE + 1], kept = fold(edges, first, last, listed, kept)
                    made += 1
            i = end
        begin += size
        level_runs[lev + 1] = made
    return made, kept


def entry_runs(runs: Any, listed: Any, column: int, index: Any) -> Any:
    """Fill `column` of the runs with the entries of their edges; what has to be listed is handed back."""
    counts = runs[:, COUNT]
    values, more = np.empty(counts.max(initial=0), np.int32), np.empty(counts.sum(), np.int32)
    return more[: _entry_runs(runs, listed, column, index, values, more)].copy()


@loop
def _entry_runs(runs: Any, listed: Any, column: int, index: Any, values: Any, more: Any) -> int:
    kept = 0
    for r in range(runs.shape[0]):
        start, step, count = runs[r, EDGE], runs[r, EDGE + 1], runs[r, COUNT]
        for k in range(count):
            e = listed[start + k] if step == LISTED else start + step * k
            values[k] = index[e] if e >= 0 else -1
        start, step, kept = fold(values, 0, count, more, kept)
        runs[r, column] = start + listed.shape[0] if step == LISTED else start
        runs[r, column + 1] = step
    return kept


@inner
def unfold(listed: Any, made: int, start: int, step: int, count: int) -> int:
    """Write a progression down after all."""
    for k in range(count):
        listed[made + k] = start + step * k
    return made + count


def pieces_of(nodes: Any, in_ptr: Any, in_order: Any, numbers: Any, index: Any, least: int) -> Any:
    """(pieces [., 3], listed): the entries of incoming edges, node by node, as stretches (first edge, start, step).

    A stretch rises by one or reads nothing; what lies between stretches of at least `least` edges is listed.
    """
    edges = int(in_ptr[-1])
    pieces, listed = np.empty((2 * (edges // least) + 2, 3), np.int32), np.empty(edges, np.int32)
    made, kept = _pieces_of(nodes, in_ptr, in_order, numbers, index, least, pieces, listed)
    return pieces[:made].copy(), listed[:kept].copy()


@loop
def _pieces_of(
    nodes: Any, in_ptr: Any, in_order: Any, numbers: Any, index: Any, least: int, pieces: Any, listed: Any
) -> Any:
    made = 0
    kept = 0
    first = 0  # the stretch that grows
    start = 0
    step = 0
    count = 0
    pending = 0  # edges before it that are listed, but stand in no piece yet
    for n in range(nodes.shape[0] + 1):
        closing = n == nodes.shape[0]
        begin = 0 if closing else in_ptr[nodes[n]]
        end = 1 if closing else in_ptr[nodes[n] + 1]
        for k in range(begin, end):
            e = -1 if closing else at(numbers, at(in_order, k))
            entry = -1 if e < 0 else index[e]
            if not closing and count > 0 and entry == start + step * count:
                count += 1
                continue
            if count >= least:
                if pending > 0:
                    pieces[made, 0], pieces[made, 1], pieces[made, 2] = first - pending, kept - pending, LISTED
                    made += 1
                    pending = 0
                pieces[made, 0], pieces[made, 1], pieces[made, 2] = first, start, step
                made += 1
            else:
                kept = unfold(listed, kept, start, step, count)
                pending += count
            first += count
            start, step, count = entry, 0 if entry < 0 else 1, 1
    if pending > 0:
        pieces[made, 0], pieces[made, 1], pieces[made, 2] = first - pending, kept - pending, LISTED
        made += 1
    pieces[made, 0], pieces[made, 1], pieces[made, 2] = first, 0, 0  # the closing one
    return made + 1, kept


def shared_entries(in_ptr: Any, in_order: Any, numbers: Any, index: Any, rank: Any, size: int) -> Any:
    """(whether all edges into a node read the same entry, everywhere; [nodes] that entry, -1: none)."""
    entries = np.full(size, -1, np.int32)
    return _shared_entries(in_ptr, in_order, numbers, index, rank, entries), entries


@loop
def _shared_entries(in_ptr: Any, in_order: Any, numbers: Any, index: Any, rank: Any, entries: Any) -> bool:
    for node in range(in_ptr.shape[0] - 1):
        for k in range(in_ptr[node], in_ptr[node + 1]):
            e = at(numbers, at(in_order, k))
            entry = -1 if e < 0 else index[e]
            if k == in_ptr[node]:
                entries[rank[node]] = entry
            elif entries[rank[node]] != entry:
                return False
    return True


@loop
def is_identity(index: Any) -> bool:
    """Whether every edge reads the entry of its own number."""
    e = 0
    while e < index.shape[0] and index[e] == e:
        e += 1
    return e == index.shape[0]
