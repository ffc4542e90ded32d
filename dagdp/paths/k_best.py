"""The k best paths, by recursive enumeration (dagdp/paths/loops/enumeration.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL, CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph
from dagdp.errors import InputError
from dagdp.paths.derivations.ranked import best_trees
from dagdp.paths.derivations.result import of_graphs
from dagdp.paths.loops.enumeration import count_possible, enumerate_paths
from dagdp.paths.request.request import EdgeWeights, Request, make_request
from dagdp.paths.result import assemble


@for_each_graph(of_graphs)
def k_best(
    dag: CompiledDAG | CompiledBatch, theta: Any, k: int, *, minimize: bool | None = None, end: Any = None
) -> Any:
    """The k distinct paths of highest score, best first (lowest when minimising): `Paths` with axes [*batch, k].

    On a graph with hyperedges the k best derivations: `Derivations` with axes [*batch, k].

    Fewer than k where the graph has fewer paths without a forbidden edge; in a batch, items with fewer paths are padded
    with paths of length 0. Parallel edges make different paths. `k_best(k - 1)` is the beginning of `k_best(k)`, and
    the first path is that of `best_path`, whose docstring says how scores are summed. Time: one pass over the edges
    and, for each further path, its length times the logarithm of the fan-in (recursive enumeration, Jiménez and Marzal
    1999; of derivations the third algorithm of Huang and Chiang 2005).

    theta, minimize, end : as in `dp_value`.

    Raises InputError as `dp_value` does, and where k is not a positive integer.

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
    request = make_request(dag, theta, minimize, end)
    if request.trees:
        return best_trees(request, int(k))
    edges = ranked(request, request.weights, int(k))[1]
    return assemble(request, edges.reshape(*request.batch, *edges.shape[1:]))


def ranked(request: Request, weights: EdgeWeights, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(values [items, m], edges [items, m, longest]) of the m <= k paths of highest weight, best first.

    m is the largest number of paths that an item has, at least 1; missing paths have value -inf and edges -1.
    """
    graph, ends = request.edge_graph, request.end_nodes()
    threads = 1 if graph.edges * ends.size < SMALL else pool.available()
    items = range(ends.size)
    rows = [EdgeWeights(weights.on_edges[b], weights.on_nodes[b]) for b in items]
    most = max(pool.run(lambda b: count_possible(graph.incoming, rows[b], ends[b]), items, threads), default=0)
    m = max(1, int(min(k, most)))
    values = np.full((ends.size, m), -np.inf)
    edges = np.full((ends.size, m, graph.longest), -1)

    def work(b: int) -> None:
        enumerate_paths(graph.incoming, rows[b], ends[b], graph.longest, values[b], edges[b])

    pool.run(work, items, threads)
    return values, edges
