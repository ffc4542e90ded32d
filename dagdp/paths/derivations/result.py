"""Derivations as padded arrays of edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dagdp.paths.result as of_paths
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.describe.graph import Graph
from dagdp.engine.each_graph import PerGraphCall, filled_up
from dagdp.errors import InputError
from dagdp.paths.request.array_functions import like, to_numpy
from dagdp.paths.request.request import Request
from dagdp.paths.result import Paths, entries_of, refuse_batch

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Derivations:
    """Derivations as arrays: what `Paths` are on a graph without hyperedges. A derivation is a tree of edges.

    An edge into a node is followed by a derivation of its first parent, and one of its second parent if it has two; the
    derivation of a start has no edges. The axes, written *axes, are those of `Paths`. L is the largest number of edges
    of a derivation in the arrays. Arrays are tensors where theta is a tensor; they are constants to autograd.

    scores : [*axes] sum of theta over the edges, in theta's unit, sign and dtype, rounded once; -inf (+inf when
        minimising) and length 0 where there is no derivation.
    edges : int64 [*axes, L] edge numbers in preorder: an edge, the derivation of its first parent, that of its second;
        -1 behind the last one. A node that is derived twice has its edges twice.
    lengths : int64 [*axes] edges of each derivation.
    roots : int64 [*axes] the node that is derived, an end of the graph; -1 where there is no derivation.

    Example
    -------
    >>> import dagdp
    >>> graph = dagdp.Graph()
    >>> graph.add_edge("word", "noun"), graph.add_edge("word", "verb")
    (0, 1)
    >>> graph.add_hyperedge(("noun", "verb"), "sentence")
    2
    >>> dag = dagdp.compile(graph)
    >>> best = dagdp.best_path(dag, [1.0, 2.0, 0.5])
    >>> float(best.scores), best.edges.tolist()
    (3.5, [2, 0, 1])
    >>> best.names(dag)
    ('sentence', (('noun', (('word', ()),)), ('verb', (('word', ()),))))
    >>> best
    Derivations(3 edges, score 3.5)
    """

    scores: Any
    edges: Any
    lengths: Any
    roots: Any
    inner: int = 0  # for different graphs: the number of axes behind the axis of graphs, 1 for `k_best`

    def __repr__(self) -> str:
        return of_paths.summary("Derivations", self.edges, self.scores)

    def names(self, dag: CompiledDAG | CompiledBatch) -> Any:
        """Each derivation as a tree (node, subtrees) with the user's names of nodes; nested in lists for *axes.

        subtrees is a tuple with a tree for each parent of the edge into the node, () at a start. None stands where
        there is no derivation. The node "(start)" that `Graph.add_node` or `dagdp.recurrence` may add is left out. The
        root is "(end)" where the recurrence added an end.
        """
        edges, roots = to_numpy(self.edges), to_numpy(self.roots)
        if not isinstance(dag, CompiledBatch):
            return _nested(_Trees(dag.graph), edges, roots)
        makers = [_Trees(graph) for graph in dag.graphs]
        return _by_graph(makers, edges, roots, self.axis_of_graphs())

    def counts(self, dag: CompiledDAG) -> Any:
        """How often each derivation uses each edge: int64 [*axes, edges]; a tensor where `edges` is a tensor.

        `dp_grad` of a graph with one weight an edge is the mean of the counts over the distribution.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.Graph.from_edges([[0, -1], [1, 1]], [1, 2]))
        >>> dagdp.best_path(dag, [1.0, 0.5]).counts(dag).tolist()
        [2, 1]
        """
        refuse_batch(dag, "counts")
        edges = to_numpy(self.edges)
        of_paths.check_edges(dag, edges)
        rows = edges.reshape(-1, edges.shape[-1])
        made = np.zeros((len(rows), dag.graph.num_edges), np.int64)
        row, place = np.nonzero(rows >= 0)
        np.add.at(made, (row, rows[row, place]), 1)
        return like(self.edges, made.reshape(*edges.shape[:-1], dag.graph.num_edges))

    def entries(self, dag: CompiledDAG, name: str | None = None) -> Any:
        """The entry of a potential that each edge reads: int64 [*axes, L, axes of the potential], as `Paths.entries`.

        Raises InputError as `Paths.entries` does.

        >>> import dagdp
        >>> graph = dagdp.Graph(potentials={"rule": (2,)})
        >>> graph.add_edge("word", "phrase", rule=1), graph.add_hyperedge(("phrase", "phrase"), "text", rule=0)
        (0, 1)
        >>> dag = dagdp.compile(graph)
        >>> dagdp.best_path(dag, {"rule": [1.0, 2.0]}).entries(dag, "rule").tolist()
        [[0], [1], [1]]
        """
        return entries_of(dag, self.edges, name)

    def of_graph(self, g: int) -> Derivations:
        """The derivations in graph g of derivations in different graphs: axes [*batch], or [*batch, k].

        Raises InputError for derivations in one graph.
        """
        place = (*[slice(None)] * self.axis_of_graphs(), g)
        return Derivations(self.scores[place], self.edges[place], self.lengths[place], self.roots[place])

    def axis_of_graphs(self) -> int:
        """The number of the axis of graphs. Raises InputError for derivations in one graph."""
        axis: int = self.lengths.ndim - 1 - self.inner
        if axis < 0:
            raise InputError("these derivations are of one graph; expected those of a CompiledBatch, [*batch, graphs]")
        return axis


class _Trees:
    """Makes trees of names from edges in preorder."""

    def __init__(self, graph: Graph) -> None:
        self.graph, (first, self.children), second = graph, graph.edges(), graph.second_parents()
        self.parents = np.stack([first, np.full(first.size, -1) if second is None else second], -1)  # -1 for none

    def __call__(self, edges: Numbers, root: int) -> Any:
        """The tree of one derivation; None for root -1.

        A node that the next edge does not enter is a start, where its derivation ends.
        """
        if root < 0:
            return None
        names: list[Any] = []
        below: list[list[int]] = []
        row = edges[edges >= 0].tolist()
        expected: list[tuple[int, list[int]]] = [(root, [])]
        at = 0
        while expected:
            node, siblings = expected.pop()
            siblings.append(len(names))
            names.append(self.graph.name(node))
            below.append([])
            if at < len(row) and self.children[row[at]] == node:
                kept = [k for k in self.parents[row[at]].tolist() if k >= 0 and k != self.graph.added_start]
                expected += [(parent, below[-1]) for parent in reversed(kept)]
                at += 1
        made: list[Any] = [None] * len(names)
        for place in range(len(names) - 1, -1, -1):  # what lies below a node stands behind it
            made[place] = names[place], tuple(made[k] for k in below[place])
        return made[0]


def _nested(maker: Callable[[Numbers, int], Any], edges: Numbers, roots: Numbers) -> Any:
    if roots.ndim == 0:
        return maker(edges, int(roots))
    return [_nested(maker, *own) for own in zip(edges, roots, strict=True)]


def _by_graph(makers: list[_Trees], edges: Numbers, roots: Numbers, axis: int) -> list[Any]:
    if axis > 0:
        return [_by_graph(makers, *own, axis - 1) for own in zip(edges, roots, strict=True)]
    return [_nested(*own) for own in zip(makers, edges, roots, strict=True)]


def assemble(request: Request, edges: Numbers, scores: NDArray[np.float64]) -> Derivations:
    """Derivations from edges [*axes, L] of the edge graph, in preorder, and scores [*axes] to be maximised."""
    graph = request.edge_graph
    head = edges[..., 0] if edges.shape[-1] else np.full(scores.shape, -1)
    joined = (head >= graph.edges) & (graph.children[head] == graph.end)
    roots = np.where(head >= 0, np.where(joined, graph.parents[head], graph.children[head]), -1)
    at = request.end_nodes().reshape((*request.batch, *[1] * (scores.ndim - len(request.batch))))
    roots = np.where((head < 0) & (scores > -np.inf) & np.isin(at, graph.starts), at, roots)
    own = (edges >= 0) & (edges < graph.edges)
    lengths = np.asarray(own.sum(-1))
    if joined.any() or graph.explicit.entrances.size:  # added edges are none of the user's
        edges = np.take_along_axis(edges, np.argsort(~own, -1, kind="stable"), -1)
    edges = np.where(np.arange(edges.shape[-1]) < lengths[..., None], edges, -1)[..., : lengths.max(initial=0)]
    arrays = (request.like(array) for array in (edges, lengths, np.asarray(roots)))
    return Derivations(request.result(request.sign * scores), *arrays)


def of_graphs(asked: PerGraphCall, results: list[Any]) -> Any:
    """Results [*batch, *inner] of each graph as one [*batch, graphs, *inner], padded with length 0.

    `Derivations` if a graph of the batch has hyperedges, else `Paths`.
    """
    if not any(isinstance(own, Derivations) for own in results):
        return of_paths.of_graphs(asked, results)
    results = [own if isinstance(own, Derivations) else _as_derivations(own) for own in results]
    axis = len(asked.shape)
    fills = {"scores": -np.inf * asked.sign, "edges": -1, "lengths": 0, "roots": -1}
    arrays = {name: filled_up([getattr(own, name) for own in results], axis, fill) for name, fill in fills.items()}
    return Derivations(**arrays, inner=results[0].lengths.ndim - axis)


def _as_derivations(paths: Paths) -> Derivations:
    """Paths as derivations, whose edges stand in the opposite order."""
    edges, nodes, lengths = (to_numpy(array) for array in (paths.edges, paths.nodes, paths.lengths))
    roots = np.take_along_axis(nodes, lengths[..., None], -1)[..., 0]
    return Derivations(paths.scores, like(paths.edges, turned(edges, lengths)), paths.lengths, like(paths.edges, roots))


def turned(edges: Numbers, lengths: Numbers) -> Numbers:
    """Edges [*axes, L] of paths as those of derivations, and the reverse: in the opposite order, padded with -1."""
    place = lengths[..., None] - 1 - np.arange(edges.shape[-1])
    return np.where(place >= 0, np.take_along_axis(edges, np.maximum(place, 0), -1), -1)
