"""What questions about paths return: padded arrays of edges and nodes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.batch import CompiledBatch
from dagdp.compiled import CompiledDAG
from dagdp.graph import Graph
from dagdp.paths.arrays import host, like
from dagdp.paths.plain import Question
from dagdp.paths.scores import path_scores

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Paths:
    """Paths as arrays, from start to end, with -1 behind the last edge and the last node.

    Leading axes, written *axes, are [*batch] for `best_path`, [*batch, k] for `k_best`, [*batch, n] for
    `sample_paths` and [*batch, m] for `support`. L is the length of the longest path among them. Arrays are
    tensors where theta is one, constants to autograd: derivatives come from `path_log_prob` and `expectation`.

    scores : [*axes] sum of theta along each path, in theta's unit, sign and dtype, rounded once (see `best_path`);
        -inf (+inf when minimising) where there is no path, whose length is then 0. A path that
        ends at its start has length 0 and score 0.
    edges : int64 [*axes, L] edge numbers, as `add_edge` gave them.
    nodes : int64 [*axes, L + 1] node numbers; `names` has the user's own.
    lengths : int64 [*axes] edges on each path.

    Example
    -------
    >>> import dagdp
    >>> graph = dagdp.Graph()
    >>> graph.add_edge("home", "cafe"), graph.add_edge("cafe", "work"), graph.add_edge("home", "work")
    (0, 1, 2)
    >>> dag = dagdp.compile(graph)
    >>> paths = dagdp.k_best(dag, [1.0, 1.0, 1.5], 2)
    >>> paths.edges.tolist(), paths.nodes.tolist(), paths.lengths.tolist()
    ([[0, 1], [2, -1]], [[0, 1, 2], [0, 2, -1]], [2, 1])
    >>> paths.names(dag)
    [['home', 'cafe', 'work'], ['home', 'work']]
    >>> paths
    Paths(shape (2,), at most 2 edges)
    >>> dagdp.best_path(dag, [1.0, 1.0, 1.5])
    Paths(2 edges, score 2)
    """

    scores: Any
    edges: Any
    nodes: Any
    lengths: Any

    def __repr__(self) -> str:
        axes, longest = tuple(self.edges.shape[:-1]), self.edges.shape[-1]
        edges = f"{longest} edge{'' if longest == 1 else 's'}"
        return (
            f"Paths(shape {axes}, at most {edges})" if axes else f"Paths({edges}, score {float(host(self.scores)):.6g})"
        )

    def names(self, dag: CompiledDAG | CompiledBatch) -> list[Any]:
        """The user's own node names along each path: a list, in lists for the leading axes, without padding.

        The node "(start)" that `Graph.add_node` may bring is left out.
        """
        if isinstance(dag, CompiledBatch):
            return _names_by_graph(dag, host(self.nodes))

        def named(nodes: Numbers) -> list[Any]:
            if nodes.ndim > 1:
                return [named(part) for part in nodes]
            return _names(dag.graph, nodes)

        return named(host(self.nodes))


def _names_by_graph(batch: CompiledBatch, nodes: Numbers) -> list[Any]:
    """[*batch, graphs, L + 1] node numbers, each graph's own, as names."""
    if nodes.ndim > 2:
        return [_names_by_graph(batch, part) for part in nodes]
    return [_names(graph, row) for graph, row in zip(batch.graphs, nodes, strict=True)]


def _names(graph: Graph, nodes: Numbers) -> list[Hashable]:
    """One path's nodes, [L + 1] with padding, as the user calls them."""
    known = graph.nodes
    row = [node for node in nodes.tolist() if node >= 0 and node != graph.added_start]
    return row if known is None else [known[node] for node in row]


def assemble(question: Question, edges: Numbers, draws: bool = False) -> Paths:
    """Paths from their edges of the plain graph, [*axes, longest]: ranked ones, or draws."""
    plain, scores = question.plain, path_scores(question, edges, draws)
    kept = (edges >= 0) & (edges < plain.edges)  # the step into the joint is no edge of the user's
    lengths = kept.sum(-1)
    edges = np.where(kept, edges, -1)[..., : lengths.max(initial=0)]
    nodes = np.full((*lengths.shape, edges.shape[-1] + 1), -1, np.int64)
    nodes[..., 1:] = np.where(edges >= 0, plain.children[edges], -1)
    nodes[..., 0] = np.where(lengths > 0, plain.parents[edges[..., 0]] if edges.shape[-1] else -1, -1)
    if question.edgeless.any():
        at = question.last().reshape((*question.batch, *[1] * (lengths.ndim - len(question.batch))))
        nodes[..., 0] = np.where((lengths == 0) & (scores == 0), at, nodes[..., 0])
    whole = (like(question.scores, array) for array in (edges, nodes, np.asarray(lengths)))
    return Paths(question.answer(question.sign * scores), *whole)
