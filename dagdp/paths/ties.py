"""All best paths, or each edge's share in them, where several edges into a node attain the maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL, CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, of_edges
from dagdp.errors import InputError
from dagdp.paths.derivations.ranked import ranked_trees, trees_of
from dagdp.paths.derivations.result import of_graphs
from dagdp.paths.k_best import ranked
from dagdp.paths.loops.ties import count_tied, mark_ties, share_ties
from dagdp.paths.request.request import EdgeWeights, Request, make_request
from dagdp.paths.result import assemble

MOST = 10**8  # edges of all paths of a result, 800 MB


@for_each_graph(of_graphs)
def tied_paths(dag: CompiledDAG | CompiledBatch, theta: Any, minimize: bool, end: Any) -> Any:
    """Every best path: `Paths`, or `Derivations`, with axes [*batch, m]. Raises InputError for too many paths."""
    request = make_request(dag, theta, minimize, end)
    weights, graph, ends = _weights(request), request.edge_graph, request.end_nodes()
    tied = _tied(request, weights)
    counts = [count_tied(graph.incoming, own, at) for own, at in zip(tied, ends.tolist(), strict=True)]
    most = max(counts, default=0.0)
    if most * max(graph.longest, 1) * request.items > MOST:
        raise InputError(
            f"{most:.4g} best paths tie, of up to {graph.longest} edges in each of {request.items} items; expected at "
            f"most {MOST:.0e} edges in all. ties='share' returns each edge's share in them, and k_best some of them"
        )
    kept = [np.where(tied, part, -np.inf) if part.shape[1] else part for part in weights]
    k = max(int(most), 1)
    if request.trees:
        return trees_of(request, ranked_trees(request, kept[0], k)[1])
    edges = ranked(request, EdgeWeights(*kept), k)[1]
    return assemble(request, edges.reshape(*request.batch, *edges.shape[1:]))


@for_each_graph(of_edges)
def tied_shares(dag: CompiledDAG | CompiledBatch, theta: Any, minimize: bool, end: Any) -> Any:
    """[*batch, edges] each edge's share of a unit that tied edges divide evenly, from the end back."""
    request = make_request(dag, theta, minimize, end)
    graph, ends = request.edge_graph, request.end_nodes()
    tied = _tied(request, _weights(request))
    shares = np.zeros(tied.shape)
    for own, marked, at in zip(shares, tied, ends.tolist(), strict=True):
        share_ties(graph.incoming, marked, at, own)
    shares = shares[:, : graph.edges]
    return request.result(shares.reshape(*request.batch, graph.edges))


def _weights(request: Request) -> EdgeWeights:
    """The weights of edges, in the parts in which paths, or derivations, are ranked."""
    if request.trees:
        return EdgeWeights(request.rows(request.scores), np.empty((request.items, 0)))
    return request.weights


def _tied(request: Request, weights: EdgeWeights) -> NDArray[np.bool_]:
    """[items, edges + added] whether the edge attains the maximum at its node."""
    graph = request.edge_graph
    tied = np.zeros((request.items, graph.parents.size), np.bool_)

    def work(b: int) -> None:
        mark_ties(graph.incoming, EdgeWeights(weights.on_edges[b], weights.on_nodes[b]), tied[b])

    threads = 1 if graph.edges * request.items < SMALL else pool.available()
    pool.run(work, range(request.items), threads)
    return tied
