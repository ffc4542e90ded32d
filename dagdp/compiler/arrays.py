"""The loops of the compiler over nodes: linear passes over the user's edge arrays, none of them in Python.

Edges come as the user numbered them. An `order` of no entries stands for the identity: nothing is written, and
nothing looked up, where edges are already grouped as they are needed.

Arrays as large as the graph are made by NumPy and filled here: NumPy asks for huge pages, Numba does not. To make and
fill 12.6 million numbers takes 2 to 8 ms against 31 to 36, and scattered reads of them miss fewer address translations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inner, loop


@loop
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


@inner
def at(order: Any, k: int) -> int:
    """order[k], or k where the order is the identity."""
    return order[k] if order.shape[0] > 0 else k


def survey(parents: Any, children: Any, size: int) -> Any:
    """(fan_in, fan_out, sound, rising, grouped) of a list of edges, in one pass.

    sound: all numbers are nodes. rising: every edge goes to a larger number, so that the user's order is a
    topological one. grouped: children never fall, so that a node's incoming edges stand together.
    """
    fan_in, fan_out = np.zeros(size, np.int32), np.zeros(size, np.int32)
    return fan_in, fan_out, *_survey(parents, children, fan_in, fan_out)


@loop
def _survey(parents: Any, children: Any, fan_in: Any, fan_out: Any) -> Any:
    size = fan_in.shape[0]
    rising = True
    grouped = True
    before = -1
    for e in range(parents.shape[0]):
        parent = parents[e]
        child = children[e]
        if parent < 0 or child < 0 or parent >= size or child >= size:
            return False, False, False
        fan_out[parent] += 1
        fan_in[child] += 1
        rising &= parent < child
        grouped &= child >= before
        before = child
    return True, rising, grouped


@loop
def first_outside(index: Any, size: int) -> int:
    """The first edge whose entry is neither -1 nor below `size`; -1 if there is none."""
    for e in range(index.shape[0]):
        if index[e] < -1 or index[e] >= size:
            return e
    return -1


def adjacency(nodes: Any, others: Any, fan: Any, grouped: bool) -> Any:
    """(ptr, order, far): edges by the node in `nodes`, each node's in rising order, and the `others` in that order.

    No order where edges are grouped. `far` spares later passes, which do not go by edge, a scattered read of each.
    """
    ptr = np.zeros(fan.size + 1, np.int32)
    np.cumsum(fan, out=ptr[1:])
    if grouped:
        return ptr, np.empty(0, np.int32), others.astype(np.int32)
    order, far = np.empty(nodes.size, np.int32), np.empty(nodes.size, np.int32)
    _group_edges(nodes, others, ptr[:-1].copy(), order, far)
    return ptr, order, far


@loop
def _group_edges(nodes: Any, others: Any, fill: Any, order: Any, far: Any) -> None:
    for e in range(nodes.shape[0]):
        place = fill[nodes[e]]
        fill[nodes[e]] = place + 1
        order[place] = e
        far[place] = others[e]


def by_parent(parents: Any, children: Any, fan_out: Any, in_ptr: Any) -> Any:
    """(ptr, order, far) as `adjacency` has them, by parent; no children are given where edges are grouped."""
    if children.size or not parents.size:
        return adjacency(parents, children, fan_out, False)
    ptr = np.zeros(fan_out.size + 1, np.int32)
    np.cumsum(fan_out, out=ptr[1:])
    order, far = np.empty(parents.size, np.int32), np.empty(parents.size, np.int32)
    _group_grouped(parents, in_ptr, ptr[:-1].copy(), order, far)
    return ptr, order, far


@loop
def _group_grouped(parents: Any, in_ptr: Any, fill: Any, order: Any, far: Any) -> None:
    for child in range(in_ptr.shape[0] - 1):
        for e in range(in_ptr[child], in_ptr[child + 1]):
            place = fill[parents[e]]
            fill[parents[e]] = place + 1
            order[place] = e
            far[place] = child


def places(ptr: Any, order: Any) -> Any:
    """place[e] says the how many-th edge of its node e is; nothing where edges are grouped."""
    place = np.empty(order.size, np.int32)
    if order.size:
        _places(ptr, order, place)
    return place


@loop
def _places(ptr: Any, order: Any, place: Any) -> None:
    for node in range(ptr.shape[0] - 1):
        for k in range(ptr[node], ptr[node + 1]):
            place[order[k]] = k - ptr[node]


@loop
def topological_order(children: Any, fan_in: Any, ptr: Any) -> Any:
    """Kahn's algorithm, `children` node by node; shorter than the nodes if and only if there is a cycle."""
    size = fan_in.shape[0]
    waiting = fan_in.copy()
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
            child = children[k]
            waiting[child] -= 1
            if waiting[child] == 0:
                queue[done] = child
                done += 1
    return queue[:done]


@loop
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


def longest_distance(parents: Any, ptr: Any, sequence: Any) -> Any:
    """[nodes] length of the longest path into each, in topological sequence; `parents` node by node."""
    level = np.empty(ptr.size - 1, np.int32)
    _longest_distance(parents, ptr, sequence, level)
    return level


@loop
def _longest_distance(parents: Any, ptr: Any, sequence: Any, level: Any) -> None:
    for k in range(level.shape[0]):
        node = at(sequence, k)
        most = 0
        for i in range(ptr[node], ptr[node + 1]):
            most = max(most, level[parents[i]] + 1)
        level[node] = most


def order_nodes(level: Any, fan_in: Any, fan_out: Any) -> Any:
    """(level_ptr, order, rank): nodes that have edges by (level, falling fan-in, number), and where each stands."""
    level_ptr = np.zeros(int(level.max()) + 2, np.int32)
    live = _count_levels(level, fan_in, fan_out, level_ptr)
    order, rank = np.empty(live, np.int32), np.full(level.size, -1, np.int32)
    widest, deepest = int(np.diff(level_ptr).max(initial=0)), int(fan_in.max(initial=0))
    spare, bins = np.empty(widest, np.int32), np.zeros(deepest + 2, np.int32)
    _order_nodes(level, fan_in, fan_out, level_ptr, level_ptr[:-1].copy(), spare, bins, order, rank)
    return level_ptr, order, rank


@loop
def _count_levels(level: Any, fan_in: Any, fan_out: Any, level_ptr: Any) -> int:
    for node in range(level.shape[0]):
        if fan_in[node] + fan_out[node] > 0:
            level_ptr[level[node] + 1] += 1
    for k in range(level_ptr.shape[0] - 1):
        level_ptr[k + 1] += level_ptr[k]
    return level_ptr[-1]


@loop
def _order_nodes(
    level: Any, fan_in: Any, fan_out: Any, level_ptr: Any, fill: Any, spare: Any, bins: Any, order: Any, rank: Any
) -> None:
    for node in range(level.shape[0]):
        if fan_in[node] + fan_out[node] > 0:
            order[fill[level[node]]] = node
            fill[level[node]] += 1
    for k in range(level_ptr.shape[0] - 1):
        sort_by_fan_in(order, level_ptr[k], level_ptr[k + 1], fan_in, spare, bins)
        for i in range(level_ptr[k], level_ptr[k + 1]):
            rank[order[i]] = i


@inner
def sort_by_fan_in(nodes: Any, first: int, last: int, fan_in: Any, spare: Any, bins: Any) -> None:
    """nodes[first:last] by falling fan-in, in place and stable; `bins` are zeros before and after."""
    most = least = fan_in[nodes[first]]
    falling = True
    for k in range(first + 1, last):
        falling &= fan_in[nodes[k]] <= fan_in[nodes[k - 1]]
        most = max(most, fan_in[nodes[k]])
        least = min(least, fan_in[nodes[k]])
    if falling:
        return
    for k in range(first, last):
        bins[most - fan_in[nodes[k]] + 1] += 1
        spare[k - first] = nodes[k]
    for b in range(1, most - least + 1):
        bins[b] += bins[b - 1]
    for k in range(last - first):
        b = most - fan_in[spare[k]]
        nodes[first + bins[b]] = spare[k]
        bins[b] += 1
    for b in range(most - least + 2):
        bins[b] = 0
