"""Derivations of a request: the best ones, in order, and draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL
from dagdp.errors import InputError
from dagdp.paths.derivations.enumeration import enumerate_trees
from dagdp.paths.derivations.loops import add_up, draw_trees, write_preorder
from dagdp.paths.derivations.result import Derivations, assemble
from dagdp.paths.request.edge_graph import Numbers
from dagdp.paths.request.request import Request

MOST = 10**8  # edges of all derivations of a result, 800 MB
Reals = NDArray[np.float64]


def ranked_trees(request: Request, weights: Reals, k: int) -> tuple[Reals, Numbers]:
    """(values [items, m], edges [items, m, L] in preorder) of the m <= k derivations of highest weight, best first.

    weights : [items, edges + joint]. m is the largest number of derivations that an item has, at least 1; missing ones
    have value -inf and edges -1.

    Raises InputError where the derivations have too many edges to be written down.
    """
    graph, ends = request.edge_graph, request.end_nodes()
    threads = 1 if graph.edges * ends.size < SMALL else pool.available()

    def work(b: int) -> tuple[Reals, Numbers]:
        trees, ranked = enumerate_trees(graph.incoming, weights[b], ends[b], k)
        longest = trees.length[ranked].max(initial=0.0)
        _refuse_long(longest, ranked.size)
        edges = np.full((ranked.size, int(longest)), -1)
        for own, entry in zip(edges, ranked.tolist(), strict=True):
            write_preorder(trees, entry, own)
        return trees.hi[ranked], edges

    found = pool.run(work, range(ends.size), threads)
    m, longest = (max((edges.shape[axis] for _, edges in found), default=0) for axis in (0, 1))
    _refuse_long(longest, m * ends.size)
    values = np.full((ends.size, max(m, 1)), -np.inf)
    edges = np.full((*values.shape, longest), -1)
    for b, (own, trees) in enumerate(found):
        values[b, : own.size] = own
        edges[b, : own.size, : trees.shape[1]] = trees
    return values, edges


def drawn_trees(request: Request, q: Reals, n: int, generator: np.random.Generator) -> Numbers:
    """[items, n, L] the edges, in preorder, of n draws by the weights q [items, edges + joint].

    Raises InputError where the draws have too many edges to be written down.
    """
    graph, ends = request.edge_graph, request.end_nodes()
    flat, lengths = draw_trees(graph.incoming, q, ends, generator, n, MOST)
    if lengths.min(initial=0) < 0:
        _refuse_long(float(MOST), 1 + ends.size * n)
    edges = np.full((ends.size, n, lengths.max(initial=0)), -1)
    edges[np.arange(edges.shape[-1]) < lengths[..., None]] = flat
    return edges


def best_trees(request: Request, k: int) -> Derivations:
    """The k best derivations of each item: axes [*batch, m]."""
    return trees_of(request, ranked_trees(request, request.rows(request.scores), k)[1])


def best_tree(request: Request) -> Derivations:
    """The best derivation of each item: axes [*batch]."""
    edges = ranked_trees(request, request.rows(request.scores), 1)[1]
    scores = _scores(request, edges, False).reshape(request.batch)
    return assemble(request, edges.reshape(*request.batch, edges.shape[2]), scores)


def trees_of(request: Request, edges: Numbers, draws: bool = False) -> Derivations:
    """Derivations [*batch, m], ranked or drawn, from their edges [items, m, L] of the edge graph."""
    scores, axes = _scores(request, edges, draws), (*request.batch, edges.shape[1])
    return assemble(request, edges.reshape(*axes, edges.shape[2]), scores.reshape(axes))


def _scores(request: Request, edges: Numbers, draws: bool) -> Reals:
    """[items, m] scores, to be maximised, of derivations [items, m, L]; -inf for those without edges.

    Where an item ends at a start, its derivation without edges has score 0: each draw, or the first of ranked ones.
    """
    graph, rows = request.edge_graph, request.rows(request.scores)
    scores = np.full(edges.shape[:-1], -np.inf)
    scores[request.edgeless.ravel(), : None if draws else 1] = 0.0
    for b in range(len(edges)):
        add_up(graph.incoming, rows[b], edges[b], scores[b])
    return scores


def _refuse_long(longest: float, how_many: int) -> None:
    if longest * how_many > MOST:
        raise InputError(
            f"derivations of up to {longest:.3g} edges, {how_many} of them, were asked for; expected at most "
            f"{MOST:.0e} edges in all, as every use of a node is written down. dp_grad has the counts of edges"
        )
