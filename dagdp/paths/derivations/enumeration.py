"""Huang and Chiang's third algorithm (2005): the k best derivations of one item.

Every node has a list of its best derivations so far, best first. A derivation is an edge and a derivation of each of
its parents. The next one comes from a heap of candidates: for every edge the best, and for each derivation in the list
those that take the next derivation of one parent. The next of a parent is computed only when a candidate needs it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import enter, enter_second, exceeds, node_value
from dagdp.paths.loops.enumeration import grown


class Trees(NamedTuple):
    """Derivations. Entry number n < nodes is the best of node n; further ones follow as they are found."""

    edge: Any  # the edge into the node; -1 for a start, whose derivation has no edges
    first: Any  # entry of the first parent
    second: Any  # entry of the second parent, -1 for none
    after: Any  # the next entry of the node, -1 before it is found
    hi: Any  # the score as a sum hi + lo
    lo: Any
    length: Any  # edges, as a float: the number may be astronomical


class Candidates(NamedTuple):
    """Derivations that are in no list yet, in a skew heap for each node."""

    edge: Any
    first: Any
    second: Any
    hi: Any
    lo: Any
    left: Any  # the candidates below, -1 for none
    right: Any


class Nodes(NamedTuple):
    """What is known of each node, by number."""

    tail: Any  # its last entry
    top: Any  # its best candidate, -1 for none
    opened: Any  # whether its candidates have been formed
    spent: Any  # whether it has no further derivation
    used: Any  # [2] how many derivations and candidates there are


@allocating
def entered(weight: float, hi: float, lo: float, other_hi: float, other_lo: float) -> Any:
    """x_e as kernels form it: the weight plus v of both parents, hi + lo each; 0 in place of a missing parent."""
    x_hi, x_lo = enter(weight, hi, lo)
    return enter_second(x_hi, x_lo, other_hi, other_lo)


@allocating
def _score(scores: Any, trees: Any, e: int, first: int, second: int) -> Any:
    """The score of edge e over two derivations."""
    other_hi, other_lo = 0.0, 0.0
    if second >= 0:
        other_hi, other_lo = trees.hi[second], trees.lo[second]
    return entered(scores[e], trees.hi[first], trees.lo[first], other_hi, other_lo)


@allocating
def _set_tree(trees: Any, entry: int, e: int, first: int, second: int, score: Any) -> None:
    trees.edge[entry], trees.first[entry], trees.second[entry] = e, first, second
    trees.hi[entry], trees.lo[entry] = node_value(0.0, score[0], score[1], 0.0, 0.0, 0.0)
    trees.length[entry] = 1.0 + trees.length[first] + (trees.length[second] if second >= 0 else 0.0)


@allocating
def first_trees(incoming: Any, scores: Any) -> Any:
    """The best derivation of each node, as the first entries of `Trees`."""
    nodes = incoming.is_start.shape[0]
    none = np.full(nodes, -1)
    zeros = np.zeros(nodes)
    trees = Trees(none, none.copy(), none.copy(), none.copy(), np.full(nodes, -np.inf), zeros, zeros.copy())
    for node in incoming.order:
        if incoming.is_start[node]:
            trees.hi[node] = 0.0
            continue
        best, m_hi, m_lo = -1, -np.inf, 0.0
        for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[place]
            hi, lo = _score(scores, trees, e, incoming.parents[e], incoming.seconds[e])
            if exceeds(hi, lo, m_hi, m_lo):
                best, m_hi, m_lo = e, hi, lo
        if best >= 0:
            _set_tree(trees, node, best, incoming.parents[best], incoming.seconds[best], (m_hi, m_lo))
    return trees


@allocating
def _trees_of(trees: Any, size: int) -> Any:
    """The derivations, with memory for `size` of them."""
    return Trees(
        grown(trees.edge, size),
        grown(trees.first, size),
        grown(trees.second, size),
        grown(trees.after, size),
        grown(trees.hi, size),
        grown(trees.lo, size),
        grown(trees.length, size),
    )


@allocating
def _candidates_of(pool: Any, size: int) -> Any:
    """The candidates, with memory for `size` of them."""
    return Candidates(
        grown(pool.edge, size),
        grown(pool.first, size),
        grown(pool.second, size),
        grown(pool.hi, size),
        grown(pool.lo, size),
        grown(pool.left, size),
        grown(pool.right, size),
    )


@allocating
def _better(pool: Any, a: int, b: int) -> bool:
    """Whether candidate a precedes b: a higher score, or an equal one and an earlier candidate."""
    if exceeds(pool.hi[a], pool.lo[a], pool.hi[b], pool.lo[b]):
        return True
    return a < b and not exceeds(pool.hi[b], pool.lo[b], pool.hi[a], pool.lo[a])


@allocating
def _merged(pool: Any, a: int, b: int) -> int:
    """The top of two skew heaps joined; -1 stands for an empty one."""
    if a < 0 or b < 0:
        return max(a, b)
    if _better(pool, b, a):
        a, b = b, a
    top = a
    while True:  # a precedes b, and all that is below a
        below = pool.right[a]
        pool.right[a] = pool.left[a]
        if below < 0:
            pool.left[a] = b
            return top
        if _better(pool, b, below):
            below, b = b, below
        pool.left[a] = below
        a = below


@allocating
def _offer(pool: Any, state: Any, node: int, tree: Any, score: Any) -> None:
    """Add a candidate (edge, entries of both parents) to the node's heap, unless it is forbidden."""
    if score[0] == -np.inf:
        return
    at = state.used[1]
    pool.edge[at], pool.first[at], pool.second[at] = tree
    pool.hi[at], pool.lo[at] = score
    pool.left[at], pool.right[at] = -1, -1
    state.top[node] = _merged(pool, state.top[node], at)
    state.used[1] = at + 1


@allocating
def _open(incoming: Any, scores: Any, trees: Any, pool: Any, state: Any, node: int) -> None:
    """Offer the best derivation over each edge into the node but the one that is in the list."""
    for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
        e = incoming.edges[place]
        if e != trees.edge[node]:
            first, second = incoming.parents[e], incoming.seconds[e]
            _offer(pool, state, node, (e, first, second), _score(scores, trees, e, first, second))
    state.opened[node] = True


@allocating
def _follow(scores: Any, trees: Any, pool: Any, state: Any, node: int) -> None:
    """Offer what follows the last derivation in the node's list.

    Over one edge, derivation (a, b) of the parents follows (a, b - 1), or (a - 1, 0) if b = 0: so each is offered once.
    """
    last = state.tail[node]
    e, first, second = trees.edge[last], trees.first[last], trees.second[last]
    if second >= 0 and trees.after[second] >= 0:
        other = trees.after[second]
        _offer(pool, state, node, (e, first, other), _score(scores, trees, e, first, other))
    if second < state.tail.shape[0] and trees.after[first] >= 0:
        other = trees.after[first]
        _offer(pool, state, node, (e, other, second), _score(scores, trees, e, other, second))


@allocating
def _needed(incoming: Any, trees: Any, state: Any, node: int) -> Any:
    """A parent whose next derivation must be found before the node's; -1 for none."""
    last = state.tail[node]
    e, first, second = trees.edge[last], trees.first[last], trees.second[last]
    if second >= 0 and trees.after[second] < 0 and not state.spent[incoming.seconds[e]]:
        return np.int64(incoming.seconds[e])
    if second < state.tail.shape[0] and trees.after[first] < 0 and not state.spent[incoming.parents[e]]:
        return np.int64(incoming.parents[e])
    return -1


@allocating
def _take(trees: Any, pool: Any, state: Any, node: int) -> None:
    """Move the node's best candidate into its list."""
    top = state.top[node]
    if top < 0:
        state.spent[node] = True
        return
    state.top[node] = _merged(pool, pool.left[top], pool.right[top])
    entry = state.used[0]
    _set_tree(trees, entry, pool.edge[top], pool.first[top], pool.second[top], (pool.hi[top], pool.lo[top]))
    trees.after[entry] = -1
    trees.after[state.tail[node]] = entry
    state.tail[node] = entry
    state.used[0] = entry + 1


@allocating
def _find_next(incoming: Any, scores: Any, trees: Any, pool: Any, state: Any, end: int) -> Any:
    """(trees, pool) with the next derivation of `end`, and of the parents that it needs."""
    stack = np.empty(state.tail.shape[0] + 1, np.int64)
    depth, stack[0] = 0, end
    while depth >= 0:
        node = stack[depth]
        parent = _needed(incoming, trees, state, node)
        if parent >= 0:
            depth += 1
            stack[depth] = parent
            continue
        trees = _trees_of(trees, state.used[0] + 1)
        pool = _candidates_of(pool, state.used[1] + 2 + incoming.ptr[node + 1] - incoming.ptr[node])
        if not state.opened[node]:
            _open(incoming, scores, trees, pool, state, node)
        _follow(scores, trees, pool, state, node)
        _take(trees, pool, state, node)
        depth -= 1
    return trees, pool


@helper
def enumerate_trees(incoming: Any, scores: Any, end: int, k: int) -> Any:
    """(Trees, ranked [m]): the entries of the m <= k best derivations of `end`, best first."""
    trees = first_trees(incoming, scores)
    nodes = incoming.is_start.shape[0]
    spent, used = incoming.is_start.copy(), np.array([nodes, 0])
    state = Nodes(np.arange(nodes), np.full(nodes, -1), np.zeros(nodes, np.bool_), spent, used)
    none, zeros = np.full(4, -1), np.zeros(4)
    pool = Candidates(none, none.copy(), none.copy(), zeros, zeros.copy(), none.copy(), none.copy())
    ranked, found, entry = np.full(4, -1), 0, end
    while entry >= 0 and trees.hi[entry] > -np.inf:
        ranked = grown(ranked, found + 1)
        ranked[found] = entry
        found += 1
        if found < k and not spent[end]:
            trees, pool = _find_next(incoming, scores, trees, pool, state, end)
            entry = trees.after[entry]
        else:
            entry = -1
    return trees, ranked[:found]
