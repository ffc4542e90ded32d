"""The recursive enumeration algorithm of Jiménez and Marzal (1999): the k best paths of one item.

Every node has a list of its best paths so far, best first. The next path follows from a heap that holds, for every
incoming edge, the best path over the edge that is not in the list yet. The next path of a parent is computed only when
the path taken last came over the edge from this parent. One more path costs one heap operation at each node of one
path, whatever k is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import exceeds
from dagdp.paths.loops.path_scores import arrive, enter_edge


class Scores(NamedTuple):
    """Scores as sums hi + lo."""

    hi: Any
    lo: Any


class PathList(NamedTuple):
    """Paths into nodes. Entry number n < nodes is the best path into node n; further paths follow as they are found."""

    score: Scores
    place: Any  # place of the path's last edge among the incoming edges; -1 for a path without edges
    before: Any  # entry of the path without its last edge
    after: Any  # the next entry of the path's node, -1 before it is found


class Heaps(NamedTuple):
    """A heap for each node, of places of its incoming edges; each place holds one candidate path over its edge."""

    heap: Any  # [edges] a node's heap begins at its first place
    key: Scores  # [edges] score of the candidate
    source: Any  # [edges] entry of the edge's parent that the candidate extends


@allocating
def _possible(weights: Any, e: int) -> bool:
    on_edges, on_nodes = weights.on_edges, weights.on_nodes
    return (on_edges.shape[0] == 0 or on_edges[e] > -np.inf) and (on_nodes.shape[0] == 0 or on_nodes[e] > -np.inf)


@helper
def count_possible(incoming: Any, weights: Any, end: int) -> Any:
    """The number of paths without a forbidden edge into `end`, as a float: exact up to 2^53."""
    count = np.zeros(incoming.is_start.shape[0])
    for node in incoming.order:
        if incoming.is_start[node]:
            count[node] = 1.0
            continue
        for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[place]
            if _possible(weights, e):
                count[node] += count[incoming.parents[e]]
    return count[end]


@allocating
def _better(key: Any, a: int, b: int) -> bool:
    """Whether the candidate at place a precedes that at b: a higher score, or an equal one and an earlier place."""
    hi, lo = key
    if exceeds(hi[a], lo[a], hi[b], lo[b]):
        return True
    return a < b and not exceeds(hi[b], lo[b], hi[a], lo[a])


@allocating
def _push(heap: Any, base: int, size: int, key: Any, place: int) -> None:
    """Add a place to the heap at heap[base : base + size]."""
    at = size
    heap[base + at] = place
    while at > 0:
        up = (at - 1) // 2
        if not _better(key, heap[base + at], heap[base + up]):
            break
        heap[base + at], heap[base + up] = heap[base + up], heap[base + at]
        at = up


@allocating
def _pop(heap: Any, base: int, size: int, key: Any) -> int:
    """Remove and return the best place of the heap at heap[base : base + size]."""
    top = heap[base]
    heap[base] = heap[base + size - 1]
    at = 0
    while 2 * at + 1 < size - 1:
        down = 2 * at + 1
        if down + 1 < size - 1 and _better(key, heap[base + down + 1], heap[base + down]):
            down += 1
        if not _better(key, heap[base + down], heap[base + at]):
            break
        heap[base + at], heap[base + down] = heap[base + down], heap[base + at]
        at = down
    return top


@allocating
def _find_first_paths(incoming: Any, weights: Any, paths: Any) -> None:
    """Fill the entries of the best path into each node."""
    score_hi, score_lo = paths.score
    for node in incoming.order:
        if incoming.is_start[node]:
            score_hi[node] = 0.0
            continue
        m_hi, m_lo = -np.inf, 0.0
        for p in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[p]
            parent = incoming.parents[e]
            hi, lo = enter_edge(weights, e, score_hi[parent], score_lo[parent])
            if exceeds(hi, lo, m_hi, m_lo):
                m_hi, m_lo, paths.place[node], paths.before[node] = hi, lo, p, parent
        if paths.place[node] >= 0:
            score_hi[node], score_lo[node] = arrive(weights, incoming.edges[paths.place[node]], m_hi, m_lo)


@allocating
def grown(array: Any, size: int) -> Any:
    """The array itself if it has `size` entries, else a copy with twice as many."""
    if array.shape[0] >= size:
        return array
    made = np.full(2 * size, -1, array.dtype)
    made[: array.shape[0]] = array
    return made


@allocating
def _open_heap(incoming: Any, weights: Any, node: int, score: Any, taken: int, heaps: Any) -> int:
    """Fill a node's heap with the best path over each edge but the edge at place `taken`; returns the heap's size."""
    base, size = incoming.ptr[node], 0
    key, source = heaps.key, heaps.source
    for p in range(base, incoming.ptr[node + 1]):
        e = incoming.edges[p]
        source[p] = incoming.parents[e]
        key.hi[p], key.lo[p] = enter_edge(weights, e, score.hi[source[p]], score.lo[source[p]])
        if p != taken and key.hi[p] > -np.inf:
            _push(heaps.heap, base, size, key, p)
            size += 1
    return size


@allocating
def _trace(entry: int, place: Any, before: Any, in_edges: Any, edges: Any) -> None:
    """Write the edges of an entry's path, from its start on."""
    length = 0
    step = entry
    while place[step] >= 0:
        length += 1
        step = before[step]
    step = entry
    for at in range(length - 1, -1, -1):
        edges[at] = in_edges[place[step]]
        step = before[step]


@helper
def enumerate_paths(incoming: Any, weights: Any, end: int, longest: int, values: Any, edges: Any) -> None:
    """Fill values [m] and edges [m, longest] with the best paths into `end`, best first, as far as there are m."""
    is_start, in_ptr, in_edges, parents = incoming.is_start, incoming.ptr, incoming.edges, incoming.parents
    nodes, last = is_start.shape[0], end
    score = Scores(np.full(nodes, -np.inf), np.zeros(nodes))
    paths = PathList(score, np.full(nodes, -1), np.full(nodes, -1), np.full(nodes, -1))
    _find_first_paths(incoming, weights, paths)
    score, place, before, after = paths
    tail = np.arange(nodes)  # the last entry of each node
    size = np.full(nodes, -1)  # of each node's heap; -1 before its second path is needed
    spent = is_start.copy()  # nodes without a further path: a start has one path
    places = in_edges.shape[0]
    key = Scores(np.empty(places), np.empty(places))
    heaps = Heaps(np.empty(places, np.int64), key, np.empty_like(in_edges))
    heap, _, source = heaps
    stack = np.empty(longest + 1, np.int64)
    used, entry = nodes, end
    for rank in range(values.shape[0]):
        if rank > 0:
            memory = used + longest
            score = Scores(grown(score.hi, memory), grown(score.lo, memory))
            place, before, after = grown(place, memory), grown(before, memory), grown(after, memory)
            depth, node = 0, end
            while not spent[node] and (depth == 0 or after[before[last]] < 0):  # down: nodes whose next path is needed
                stack[depth] = node
                depth += 1
                last = tail[node]
                node = parents[in_edges[place[last]]]
            for at in range(depth - 1, -1, -1):  # up: each of these nodes takes its next path
                node = stack[at]
                base, last = in_ptr[node], tail[node]
                if size[node] < 0:
                    size[node] = _open_heap(incoming, weights, node, score, place[last], heaps)
                p = place[last]
                if after[before[last]] >= 0:
                    k = source[p] = after[before[last]]
                    key.hi[p], key.lo[p] = enter_edge(weights, in_edges[p], score.hi[k], score.lo[k])
                    _push(heap, base, size[node], key, p)
                    size[node] += 1
                if size[node] == 0:
                    spent[node] = True
                    continue
                p = _pop(heap, base, size[node], key)
                size[node] -= 1
                score.hi[used], score.lo[used] = arrive(weights, in_edges[p], key.hi[p], key.lo[p])
                place[used], before[used], after[used] = p, source[p], -1
                after[last], tail[node] = used, used
                used += 1
            entry = after[entry]
        if entry < 0 or score.hi[entry] == -np.inf:
            return
        values[rank] = score.hi[entry]
        _trace(entry, place, before, in_edges, edges[rank])
