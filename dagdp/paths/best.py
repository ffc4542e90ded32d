"""The best path and the k best, by the recursive enumeration algorithm of Jiménez and Marzal (1999).

Each node keeps the list of its best paths found so far, best first. The next one follows from a heap that
holds, for every incoming edge, the best path over it that is not in the list yet; only when the path last
taken came over edge e is the next path of e's parent asked for. A path more so costs one heap operation at
each node of one path, whatever k is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.batch import CompiledBatch
from dagdp.compiled import CompiledDAG
from dagdp.errors import InputError
from dagdp.kernels.jit import counted, helper
from dagdp.paths.batch import best_paths
from dagdp.paths.plain import Plain, Question, ask
from dagdp.paths.result import Paths, assemble


def best_path(dag: CompiledDAG | CompiledBatch, theta: Any, *, minimize: bool = False, end: Any = None) -> Paths:
    """The path of the highest score (the lowest when minimising): `Paths` with leading axes [*batch].

    Ties go to the first edge, in the user's order, into each node, as for `dp_grad` under HardMax. An item
    without a path has length 0. Of a batch of different graphs, the best path of each: axes [*batch, graphs].
    Parameters and errors are those of `dp_value`; equation (3).

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> path = best_path(dag, [1.0, 2.5, 2.0])
    >>> float(path.scores), path.edges.tolist(), path.nodes.tolist()
    (3.0, [0, 2], [0, 1, 2])
    """
    if isinstance(dag, CompiledBatch):
        return best_paths(dag, theta, minimize, end)
    question = ask(dag, theta, minimize, end)
    values, edges = ranked(question, question.scores, 1)
    shape = question.batch
    return assemble(question, values.reshape(shape), edges.reshape(*shape, question.plain.longest))


def k_best(dag: CompiledDAG, theta: Any, k: int, *, minimize: bool = False, end: Any = None) -> Paths:
    """The k distinct paths of highest score, best first: `Paths` with leading axes [*batch, k].

    Fewer where the graph has fewer paths without a forbidden edge; in a batch, an item that has fewer than
    others is filled up with paths of length 0. Parallel edges make different paths. `k_best(k - 1)` is the
    beginning of `k_best(k)`, and the first path is that of `best_path`. Time: one pass over the edges and,
    for each further path, its length times the logarithm of the fan-in.

    Parameters and errors are those of `dp_value`; InputError where k is not a positive number.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> paths = k_best(dag, [1.0, 2.5, 2.0], 5)
    >>> paths.scores.tolist(), paths.edges.tolist()
    ([3.0, 2.5], [[0, 2], [1, -1]])
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InputError(f"k is {k!r}; expected a positive number of paths")
    question = ask(dag, theta, minimize, end)
    values, edges = ranked(question, question.scores, int(k))
    shape = (*question.batch, values.shape[1])
    return assemble(question, values.reshape(shape), edges.reshape(*shape, question.plain.longest))


def ranked(question: Question, weights: Any, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(values [items, m], edges [items, m, longest]) of the m <= k paths of highest weight, best first.

    m is the most that an item of the batch has, at least 1; missing paths have value -inf and edges -1.
    """
    known, rows = question.plain, question.rows(weights)
    wiring, last = _wiring(known), question.last()
    most = max((_count(*wiring, row, node) for row, node in zip(rows, last, strict=True)), default=0)
    m = max(1, int(min(k, most)))
    values = np.full((len(rows), m), -np.inf)
    edges = np.full((len(rows), m, known.longest), -1)
    for b, row in enumerate(rows):
        _enumerate(*wiring, row, last[b], known.longest, values[b], edges[b])
    return values, edges


def _wiring(known: Plain) -> tuple[Any, ...]:
    first = np.zeros(known.nodes + 1, np.bool_)
    first[known.starts] = True
    return known.order, first, known.in_ptr, known.in_edges, known.parents


@helper
def _count(order: Any, first: Any, in_ptr: Any, in_edges: Any, parents: Any, weights: Any, end: int) -> Any:
    """How many paths without a forbidden edge lead to `end`, as a float: exact up to 2^53."""
    count = np.zeros(first.shape[0])
    for node in order:
        if first[node]:
            count[node] = 1.0
            continue
        for place in range(in_ptr[node], in_ptr[node + 1]):
            e = in_edges[place]
            if weights[e] > -np.inf:
                count[node] += count[parents[e]]
    return count[end]


@counted
def _better(keys: Any, a: int, b: int) -> bool:
    """Whether the candidate at place a comes before the one at b: higher, or equal and earlier in the user's order."""
    return keys[a] > keys[b] or (keys[a] == keys[b] and a < b)


@counted
def _push(heap: Any, base: int, size: int, keys: Any, place: int) -> None:
    """Add a place to the heap at heap[base : base + size]."""
    at = size
    heap[base + at] = place
    while at > 0:
        up = (at - 1) // 2
        if not _better(keys, heap[base + at], heap[base + up]):
            break
        heap[base + at], heap[base + up] = heap[base + up], heap[base + at]
        at = up


@counted
def _pop(heap: Any, base: int, size: int, keys: Any) -> int:
    """Take the best place off the heap at heap[base : base + size]."""
    top = heap[base]
    heap[base] = heap[base + size - 1]
    at = 0
    while 2 * at + 1 < size - 1:
        down = 2 * at + 1
        if down + 1 < size - 1 and _better(keys, heap[base + down + 1], heap[base + down]):
            down += 1
        if not _better(keys, heap[base + down], heap[base + at]):
            break
        heap[base + at], heap[base + down] = heap[base + down], heap[base + at]
        at = down
    return top


@counted
def _first_paths(
    order: Any, first: Any, in_ptr: Any, in_edges: Any, parents: Any, weights: Any, score: Any, place: Any, before: Any
) -> None:
    """Entry number `node` is the best path to the node: its score, the place of its last edge, the entry before."""
    for node in order:
        if first[node]:
            score[node] = 0.0
            continue
        for p in range(in_ptr[node], in_ptr[node + 1]):
            e = in_edges[p]
            total = weights[e] + score[parents[e]]
            if total > score[node]:
                score[node], place[node], before[node] = total, p, parents[e]


@counted
def _grown(array: Any, size: int) -> Any:
    """The array itself, or a copy with room for `size` entries and as many again."""
    if array.shape[0] >= size:
        return array
    made = np.full(2 * size, -1, array.dtype)
    made[: array.shape[0]] = array
    return made


@counted
def _open(base: int, stop: int, taken: int, in_edges: Any, parents: Any, weights: Any, score: Any, queue: Any) -> int:
    """Fill a node's heap with the best path over each edge but the one at place `taken`; the heap's size."""
    heap, keys, source = queue
    size = 0
    for p in range(base, stop):
        e = in_edges[p]
        keys[p], source[p] = weights[e] + score[parents[e]], parents[e]
        if p != taken and keys[p] > -np.inf:
            _push(heap, base, size, keys, p)
            size += 1
    return size


@counted
def _trace(entry: int, place: Any, before: Any, in_edges: Any, edges: Any) -> None:
    """Write the edges of an entry's path from its start on."""
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
def _enumerate(
    order: Any,
    first: Any,
    in_ptr: Any,
    in_edges: Any,
    parents: Any,
    weights: Any,
    end: int,
    longest: int,
    values: Any,
    edges: Any,
) -> None:
    """Fill values [m] and edges [m, longest] with the best paths into `end`, as far as there are so many."""
    nodes, last = first.shape[0], end
    score, place, before = np.full(nodes, -np.inf), np.full(nodes, -1), np.full(nodes, -1)
    _first_paths(order, first, in_ptr, in_edges, parents, weights, score, place, before)
    after = np.full(nodes, -1)  # the next entry of the same node
    tail = np.arange(nodes)  # the last entry of each node
    size = np.full(nodes, -1)  # of each node's heap; -1 before its second path is asked for
    spent = first.copy()  # no more paths: a start has one
    # the heaps; each edge's candidate: its score, and the entry of the edge's parent that it extends
    heap, keys, source = np.empty(in_edges.shape[0], np.int64), np.empty(in_edges.shape[0]), np.empty_like(in_edges)
    stack = np.empty(longest + 1, np.int64)
    used, entry = nodes, end
    for rank in range(values.shape[0]):
        if rank > 0:
            room = used + longest
            score, place, before, after = (
                _grown(score, room),
                _grown(place, room),
                _grown(before, room),
                _grown(after, room),
            )
            depth, node = 0, end
            while not spent[node] and (depth == 0 or after[before[last]] < 0):  # down: whose next path is needed?
                stack[depth] = node
                depth += 1
                last = tail[node]
                node = parents[in_edges[place[last]]]
            for at in range(depth - 1, -1, -1):  # up: each of them takes its next path
                node = stack[at]
                base, last = in_ptr[node], tail[node]
                if size[node] < 0:
                    queue = (heap, keys, source)
                    size[node] = _open(base, in_ptr[node + 1], place[last], in_edges, parents, weights, score, queue)
                p = place[last]
                if after[before[last]] >= 0:
                    source[p] = after[before[last]]
                    keys[p] = weights[in_edges[p]] + score[source[p]]
                    _push(heap, base, size[node], keys, p)
                    size[node] += 1
                if size[node] == 0:
                    spent[node] = True
                    continue
                p = _pop(heap, base, size[node], keys)
                size[node] -= 1
                score[used], place[used], before[used], after[used] = keys[p], p, source[p], -1
                after[last], tail[node] = used, used
                used += 1
            entry = after[entry]
        if entry < 0 or score[entry] == -np.inf:
            return
        values[rank] = score[entry]
        _trace(entry, place, before, in_edges, edges[rank])
