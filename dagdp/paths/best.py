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

from dagdp import pool
from dagdp.compiled.dag import SMALL, CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph
from dagdp.errors import InputError
from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import exceeds
from dagdp.paths.batch import best_paths
from dagdp.paths.plain import Plain, Question, ask
from dagdp.paths.result import Paths, assemble, laid_out, of_graphs
from dagdp.paths.rows import best_edges
from dagdp.paths.scores import arrived, entered


def best_path(dag: CompiledDAG | CompiledBatch, theta: Any, *, minimize: bool = False, end: Any = None) -> Paths:
    """The path of the highest score (the lowest when minimising): `Paths` with leading axes [*batch].

    Ties go to the first edge, in the user's order, into each node, as for `dp_grad` under HardMax. An item
    without a path has length 0. Of a batch of different graphs, the best path of each: axes [*batch, graphs].
    Parameters and errors are those of `dp_value`; equation (3).

    Scores are summed in about 106 bits and rounded once. In float64 they are the `dp_value` under HardMax to the bit,
    and the path is the one that `dp_grad` marks. Of float32 weights the score is rounded to float32 at the end, whereas
    `dp_value` rounds the potentials of each edge to float32 and goes on in about 48 bits: on a graph with one potential
    the two agree unless rounding falls between them, and differ by one unit in the last place then.

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
    scores, edges = best_edges(question)
    return laid_out(question, edges.reshape(*question.batch, edges.shape[-1]), scores.reshape(question.batch))


@for_each_graph(of_graphs)
def k_best(dag: CompiledDAG | CompiledBatch, theta: Any, k: int, *, minimize: bool = False, end: Any = None) -> Paths:
    """The k distinct paths of highest score, best first: `Paths` with leading axes [*batch, k].

    Fewer where the graph has fewer paths without a forbidden edge; in a batch, an item that has fewer than
    others is filled up with paths of length 0. Parallel edges make different paths. `k_best(k - 1)` is the
    beginning of `k_best(k)`, and the first path is that of `best_path`, which says how scores are summed. Time: one
    pass over the edges and, for each further path, its length times the logarithm of the fan-in.

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
    edges = ranked(question, question.addends, int(k))[1]
    return assemble(question, edges.reshape(*question.batch, *edges.shape[1:]))


def ranked(question: Question, addends: Any, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(values [items, m], edges [items, m, longest]) of the m <= k paths of highest weight, best first.

    addends : weights as `Question.addends` gives them.

    m is the most that an item of the batch has, at least 1; missing paths have value -inf and edges -1.
    """
    known, (loose, shared) = question.plain, addends
    wiring, last = _wiring(known), question.last()
    threads = 1 if known.edges * last.size < SMALL else pool.available()
    items = range(last.size)
    most = max(pool.run(lambda b: _count(wiring, (loose[b], shared[b]), last[b]), items, threads), default=0)
    m = max(1, int(min(k, most)))
    values = np.full((last.size, m), -np.inf)
    edges = np.full((last.size, m, known.longest), -1)

    def work(b: int) -> None:
        _enumerate(wiring, (loose[b], shared[b]), last[b], known.longest, values[b], edges[b])

    pool.run(work, items, threads)
    return values, edges


def _wiring(known: Plain) -> tuple[Any, ...]:
    first = np.zeros(known.nodes + 1, np.bool_)
    first[known.starts] = True
    return known.order, first, known.in_ptr, known.in_edges, known.parents


@allocating
def _possible(weights: Any, e: int) -> bool:
    loose, shared = weights
    return (loose.shape[0] == 0 or loose[e] > -np.inf) and (shared.shape[0] == 0 or shared[e] > -np.inf)


@helper
def _count(wiring: Any, weights: Any, end: int) -> Any:
    """How many paths without a forbidden edge lead to `end`, as a float: exact up to 2^53."""
    order, first, in_ptr, in_edges, parents = wiring
    count = np.zeros(first.shape[0])
    for node in order:
        if first[node]:
            count[node] = 1.0
            continue
        for place in range(in_ptr[node], in_ptr[node + 1]):
            e = in_edges[place]
            if _possible(weights, e):
                count[node] += count[parents[e]]
    return count[end]


@allocating
def _better(keys: Any, a: int, b: int) -> bool:
    """Whether the candidate at place a comes before the one at b: higher, or equal and earlier in the user's order."""
    hi, lo = keys
    if exceeds(hi[a], lo[a], hi[b], lo[b]):
        return True
    return a < b and not exceeds(hi[b], lo[b], hi[a], lo[a])


@allocating
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


@allocating
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


@allocating
def _first_paths(wiring: Any, weights: Any, score: Any, place: Any, before: Any) -> None:
    """Entry number `node` is the best path to the node: its score, the place of its last edge, the entry before."""
    order, first, in_ptr, in_edges, parents = wiring
    score_hi, score_lo = score
    for node in order:
        if first[node]:
            score_hi[node] = 0.0
            continue
        m_hi, m_lo = -np.inf, 0.0
        for p in range(in_ptr[node], in_ptr[node + 1]):
            e = in_edges[p]
            hi, lo = entered(weights, e, score_hi[parents[e]], score_lo[parents[e]])
            if exceeds(hi, lo, m_hi, m_lo):
                m_hi, m_lo, place[node], before[node] = hi, lo, p, parents[e]
        if place[node] >= 0:
            score_hi[node], score_lo[node] = arrived(weights, in_edges[place[node]], m_hi, m_lo)


@allocating
def _grown(array: Any, size: int) -> Any:
    """The array itself, or a copy with room for `size` entries and as many again."""
    if array.shape[0] >= size:
        return array
    made = np.full(2 * size, -1, array.dtype)
    made[: array.shape[0]] = array
    return made


@allocating
def _open(base: int, stop: int, taken: int, wiring: Any, weights: Any, score: Any, queue: Any) -> int:
    """Fill a node's heap with the best path over each edge but the one at place `taken`; the heap's size."""
    heap, keys, source = queue
    _, _, _, in_edges, parents = wiring
    size = 0
    for p in range(base, stop):
        e = in_edges[p]
        source[p] = parents[e]
        keys[0][p], keys[1][p] = entered(weights, e, score[0][source[p]], score[1][source[p]])
        if p != taken and keys[0][p] > -np.inf:
            _push(heap, base, size, keys, p)
            size += 1
    return size


@allocating
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
def _enumerate(wiring: Any, weights: Any, end: int, longest: int, values: Any, edges: Any) -> None:
    """Fill values [m] and edges [m, longest] with the best paths into `end`, as far as there are so many."""
    _, first, in_ptr, in_edges, parents = wiring
    nodes, last = first.shape[0], end
    score, place, before = (np.full(nodes, -np.inf), np.zeros(nodes)), np.full(nodes, -1), np.full(nodes, -1)
    _first_paths(wiring, weights, score, place, before)
    after = np.full(nodes, -1)  # the next entry of the same node
    tail = np.arange(nodes)  # the last entry of each node
    size = np.full(nodes, -1)  # of each node's heap; -1 before its second path is asked for
    spent = first.copy()  # no more paths: a start has one
    # the heaps; each edge's candidate: its score, and the entry of the edge's parent that it extends
    places = in_edges.shape[0]
    heap, keys, source = np.empty(places, np.int64), (np.empty(places), np.empty(places)), np.empty_like(in_edges)
    queue = (heap, keys, source)
    stack = np.empty(longest + 1, np.int64)
    used, entry = nodes, end
    for rank in range(values.shape[0]):
        if rank > 0:
            room = used + longest
            score = _grown(score[0], room), _grown(score[1], room)
            place, before, after = _grown(place, room), _grown(before, room), _grown(after, room)
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
                    size[node] = _open(base, in_ptr[node + 1], place[last], wiring, weights, score, queue)
                p = place[last]
                if after[before[last]] >= 0:
                    k = source[p] = after[before[last]]
                    keys[0][p], keys[1][p] = entered(weights, in_edges[p], score[0][k], score[1][k])
                    _push(heap, base, size[node], keys, p)
                    size[node] += 1
                if size[node] == 0:
                    spent[node] = True
                    continue
                p = _pop(heap, base, size[node], keys)
                size[node] -= 1
                score[0][used], score[1][used] = arrived(weights, in_edges[p], keys[0][p], keys[1][p])
                place[used], before[used], after[used] = p, source[p], -1
                after[last], tail[node] = used, used
                used += 1
            entry = after[entry]
        if entry < 0 or score[0][entry] == -np.inf:
            return
        values[rank] = score[0][entry]
        _trace(entry, place, before, in_edges, edges[rank])
