"""The loops of the compiler: linear passes over edge arrays, none of them in Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels.jit import helper


@helper
def group(keys: Any, size: int) -> Any:
    """(ptr, order): indices grouped by key, each group in rising order (a stable counting sort)."""
    ptr = np.zeros(size + 1, np.int64)
    for key in keys:
        ptr[key + 1] += 1
    for k in range(size):
        ptr[k + 1] += ptr[k]
    fill = ptr[:-1].copy()
    order = np.empty(keys.shape[0], np.int64)
    for i in range(keys.shape[0]):
        order[fill[keys[i]]] = i
        fill[keys[i]] += 1
    return ptr, order


@helper
def topological_order(parents: Any, children: Any, size: int, ptr: Any, order: Any) -> Any:
    """Kahn's algorithm; shorter than `size` if and only if there is a cycle."""
    waiting = np.zeros(size, np.int64)
    for child in children:
        waiting[child] += 1
    queue = np.empty(size, np.int64)
    done = 0
    for node in range(size):
        if waiting[node] == 0:
            queue[done] = node
            done += 1
    head = 0
    while head < done:
        node = queue[head]
        head += 1
        for k in range(ptr[node], ptr[node + 1]):
            child = children[order[k]]
            waiting[child] -= 1
            if waiting[child] == 0:
                queue[done] = child
                done += 1
    return queue[:done]


@helper
def reach(heads: Any, tails: Any, ptr: Any, order: Any, sequence: Any, roots: Any, size: int) -> Any:
    """Which nodes a walk from `roots` along heads -> tails meets, nodes taken in `sequence`."""
    seen = np.zeros(size, np.bool_)
    for root in roots:
        seen[root] = True
    for node in sequence:
        if seen[node]:
            for k in range(ptr[node], ptr[node + 1]):
                seen[tails[order[k]]] = True
    return seen


@helper
def longest_distance(children: Any, ptr: Any, order: Any, sequence: Any, size: int) -> Any:
    """Length of the longest path into each node, nodes taken in topological sequence."""
    level = np.zeros(size, np.int64)
    for node in sequence:
        for k in range(ptr[node], ptr[node + 1]):
            child = children[order[k]]
            level[child] = max(level[child], level[node] + 1)
    return level


@helper
def lay_slots(level_ptr: Any, in_ptr: Any) -> Any:
    """(level_slots, slot_first, slot_width, place): where each incoming edge goes, slot by slot in a level.

    place[k] is the position of the k-th edge in child order; `in_ptr` must fall in width inside a level.
    """
    levels = level_ptr.shape[0] - 1
    level_slots = np.zeros(levels + 1, np.int32)
    for lev in range(levels):
        first = level_ptr[lev]
        level_slots[lev + 1] = level_slots[lev] + (in_ptr[first + 1] - in_ptr[first])
    slots = level_slots[levels]
    slot_first = np.empty(slots, np.int32)
    slot_width = np.zeros(slots, np.int32)
    place = np.empty(in_ptr[-1], np.int32)
    at = 0
    for lev in range(levels):
        s0 = level_slots[lev]
        for node in range(level_ptr[lev], level_ptr[lev + 1]):
            for d in range(in_ptr[node + 1] - in_ptr[node]):
                slot_width[s0 + d] += 1
        for s in range(s0, level_slots[lev + 1]):
            slot_first[s] = at
            at += slot_width[s]
        for node in range(level_ptr[lev], level_ptr[lev + 1]):
            for d in range(in_ptr[node + 1] - in_ptr[node]):
                place[in_ptr[node] + d] = slot_first[s0 + d] + (node - level_ptr[lev])
    return level_slots, slot_first, slot_width, place


@helper
def cut_runs(ptr: Any, heads: Any, tails: Any, least: int) -> Any:
    """Cut each group of edges [ptr[g], ptr[g+1]) into runs where heads and tails both advance by 0 or by 1.

    Returns (run_ptr, runs [., 4]: first, count, head step, tail step). What lies between runs of at least
    `least` edges becomes a run of steps -1, to be read by index.
    """
    groups = ptr.shape[0] - 1
    run_ptr = np.zeros(groups + 1, np.int32)
    runs = np.empty((heads.shape[0], 4), np.int32)
    made = 0
    for g in range(groups):
        i = ptr[g]
        pending = i
        while i < ptr[g + 1]:
            j = i + 1
            a = 1
            b = 1
            if j < ptr[g + 1]:
                a = heads[j] - heads[i]
                b = tails[j] - tails[i]
            if 0 <= a <= 1 and 0 <= b <= 1:
                while j < ptr[g + 1] and heads[j] - heads[j - 1] == a and tails[j] - tails[j - 1] == b:
                    j += 1
                if j - i >= least or (i == ptr[g] and j == ptr[g + 1]):
                    if pending < i:
                        runs[made, 0], runs[made, 1], runs[made, 2], runs[made, 3] = pending, i - pending, -1, -1
                        made += 1
                    runs[made, 0], runs[made, 1], runs[made, 2], runs[made, 3] = i, j - i, a, b
                    made += 1
                    pending = j
            i = j
        if pending < ptr[g + 1]:
            runs[made, 0], runs[made, 1], runs[made, 2], runs[made, 3] = pending, ptr[g + 1] - pending, -1, -1
            made += 1
        run_ptr[g + 1] = made
    return run_ptr, runs[:made].copy()
