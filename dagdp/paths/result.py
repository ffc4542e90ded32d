"""Paths as padded arrays of edges and nodes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.describe.graph import Graph
from dagdp.describe.linear_reads import LinearReads
from dagdp.engine.each_graph import PerGraphCall, filled_up
from dagdp.errors import InputError
from dagdp.paths.loops.path_scores import path_scores
from dagdp.paths.request.array_functions import like, to_numpy
from dagdp.paths.request.request import Request

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Paths:
    """Paths as arrays, from start to end, with -1 behind the last edge and the last node.

    The axes, written *axes, are [*batch] for `best_path`, [*batch, k] for `k_best`, [*batch, n] for `sample_paths` and
    [*batch, m] for `support`; for a batch of different graphs [*batch, graphs], followed by k, n or m. L is the length
    of the longest path in the arrays. Arrays are tensors where theta is a tensor; they are constants to autograd:
    `path_log_prob` and `expectation` have derivatives.

    scores : [*axes] sum of theta along each path, in theta's unit, sign and dtype, rounded once (see `best_path`);
        -inf (+inf when minimising) and length 0 where there is no path. A path that ends at its start has length 0 and
        score 0.
    edges : int64 [*axes, L] edge numbers, as `add_edge` gave them.
    nodes : int64 [*axes, L + 1] node numbers; `names` returns the user's names.
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
    inner: int = 0  # for different graphs: the number of axes behind the axis of graphs, 1 for `k_best`

    def __repr__(self) -> str:
        return summary("Paths", self.edges, self.scores)

    def names(self, dag: CompiledDAG | CompiledBatch) -> list[Any]:
        """The user's node names along each path: a list of names without padding, nested in lists for *axes.

        The node "(start)" that `Graph.add_node` may add is left out, and so are "(start)" and "(end)" of a recurrence.
        """
        if isinstance(dag, CompiledBatch):
            return _names_by_graph(dag, to_numpy(self.nodes), self.inner)

        def named(nodes: Numbers) -> list[Any]:
            if nodes.ndim > 1:
                return [named(part) for part in nodes]
            return _names(dag.graph, nodes)

        return named(to_numpy(self.nodes))

    def of_graph(self, g: int) -> Paths:
        """The paths in graph g of paths in different graphs, for functions of one graph: axes [*batch], or [*batch, k].

        Raises InputError for paths in one graph.

        >>> import dagdp
        >>> batch = dagdp.compile_batch([dagdp.graphs.trellis(T, 2) for T in (2, 3)])
        >>> paths = dagdp.best_path(batch, [np.zeros((2, 2, 2)), np.ones((3, 2, 2))])
        >>> paths.of_graph(0).tags(batch.dags[0]).tolist()
        [0, 0]
        """
        axis = self.lengths.ndim - 1 - self.inner
        if axis < 0:
            raise InputError("these paths are of one graph; expected those of a CompiledBatch, [*batch, graphs]")
        place = (*[slice(None)] * axis, g)
        return Paths(self.scores[place], self.edges[place], self.nodes[place], self.lengths[place])

    def entries(self, dag: CompiledDAG, name: str | None = None) -> Any:
        """The entry of a potential that each edge of the paths reads: int64 [*axes, L, axes of the potential].

        -1 where an edge reads no entry, and behind the last edge. A tensor where `edges` is a tensor.

        name : of the potential; may be left out where the graph has one potential.

        Raises InputError for any other name, for a linear potential, of which an edge may read several entries, and for
        paths of another graph or of a batch of graphs.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.linear_chain(2, 2))
        >>> theta = {p.name: np.arange(float(p.size)).reshape(p.shape) for p in dag.potentials}
        >>> dagdp.best_path(dag, theta).entries(dag, "transition").tolist()  # [to, from]
        [[-1, -1], [1, 1], [-1, -1]]
        """
        return entries_of(dag, self.edges, name)

    def tags(self, dag: CompiledDAG) -> Any:
        """The states of paths of a `trellis` or a `linear_chain`: int64 [*axes, T], -1 behind an item's end.

        Read from the entries of "emission", [t, state], or of the one potential, [t, to, from]. Raises InputError where
        the graph has neither.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.trellis(3, 2))
        >>> dagdp.best_path(dag, np.arange(12.0).reshape(3, 2, 2)).tags(dag).tolist()
        [1, 1, 1]
        """
        refuse_batch(dag, "tags")
        shapes = {potential.name: potential.shape for potential in dag.potentials}
        name = "emission" if len(shapes) > 1 else dag.potentials[0].name
        if len(shapes.get(name, ())) != (2 if len(shapes) > 1 else 3):
            raise InputError(
                f"dag has potentials {shapes}; expected 'emission' (T, S), or one potential (T, S, S), as "
                "linear_chain and trellis have"
            )
        read = to_numpy(self.entries(dag, name))
        steps = np.where(read[..., 0] < 0, shapes[name][0], read[..., 0])  # edges without a step go behind the last
        made = np.full((*steps.shape[:-1], shapes[name][0] + 1), -1)
        np.put_along_axis(made, steps, np.where(read[..., 0] < 0, -1, read[..., 1]), -1)
        return like(self.edges, made[..., :-1])

    def cells(self, dag: CompiledDAG) -> Any:
        """The cells (i, j) of paths of a `dtw_grid`: int64 [*axes, L, 2], -1 behind the last cell.

        Read from the entries of the one potential (N_A, N_B). Raises InputError where the graph has other potentials.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.dtw_grid(2, 3))
        >>> dagdp.best_path(dag, np.zeros((2, 3)), minimize=True).cells(dag)[0].tolist()
        [0, 0]
        """
        refuse_batch(dag, "cells")
        if len(dag.potentials) > 1 or len(dag.potentials[0].shape) != 2:
            shapes = {potential.name: potential.shape for potential in dag.potentials}
            raise InputError(f"dag has potentials {shapes}; expected one of shape (N_A, N_B), as dtw_grid has")
        return self.entries(dag)


def entries_of(dag: CompiledDAG, edges: Any, name: str | None) -> Any:
    """`Paths.entries` of edge numbers [*axes, L]."""
    refuse_batch(dag, "entries")
    names = [potential.name for potential in dag.potentials]
    if name not in names and (name is not None or len(names) > 1):
        raise InputError(f"name is {name!r}; expected one of the graph's potentials {names}")
    potential = dag.potentials[0 if name is None else names.index(name)]
    if isinstance(potential.reads, LinearReads):
        raise InputError(
            f"potential {potential.name!r} is linear, and an edge may read several of its entries; expected a "
            "potential of one entry an edge. `reads` of a potential lists what edges read"
        )
    numbers = to_numpy(edges)
    check_edges(dag, numbers)
    flat = np.append(potential.index, -1)[numbers]
    places = np.stack(np.unravel_index(np.maximum(flat, 0), potential.shape), -1)
    return like(edges, np.where(flat[..., None] >= 0, places, -1))


def check_edges(dag: CompiledDAG, edges: Numbers) -> None:
    """Raise InputError for an edge that the graph does not have."""
    if edges.max(initial=-1) >= dag.graph.num_edges:
        raise InputError(
            f"paths have edge {edges.max()}, and dag has {dag.graph.num_edges} edges; expected the graph that the "
            "paths are of"
        )


def refuse_batch(dag: Any, what: str) -> None:
    """Raise InputError for a batch of graphs in a call of the method `what`."""
    if isinstance(dag, CompiledBatch):
        raise InputError(
            f"{what} takes one graph, and was given a CompiledBatch; call "
            f"paths.of_graph(g).{what}(batch.dags[g]) for each graph"
        )


def of_graphs(asked: PerGraphCall, results: list[Paths]) -> Paths:
    """Paths [*batch, *inner] of each graph as one `Paths` [*batch, graphs, *inner], padded with paths of length 0."""
    if not results:
        none = np.zeros((0, 0), np.int64)
        return Paths(np.zeros(0), none, np.full((0, 1), -1), np.zeros(0, np.int64))
    axis = len(asked.shape)
    fills = {"scores": -np.inf * asked.sign, "edges": -1, "nodes": -1, "lengths": 0}
    arrays = {name: filled_up([getattr(own, name) for own in results], axis, fill) for name, fill in fills.items()}
    return Paths(**arrays, inner=results[0].lengths.ndim - axis)


def summary(kind: str, edges: Any, scores: Any) -> str:
    """Paths or derivations as text: edges [*axes, L], scores [*axes]."""
    axes, longest = tuple(edges.shape[:-1]), edges.shape[-1]
    counted = f"{longest} edge{'' if longest == 1 else 's'}"
    if axes:
        return f"{kind}(shape {axes}, at most {counted})"
    return f"{kind}({counted}, score {float(to_numpy(scores)):.6g})"


def _names_by_graph(batch: CompiledBatch, nodes: Numbers, inner: int) -> list[Any]:
    """Node numbers [*batch, graphs, *inner, L + 1] of each graph as names, in nested lists."""
    if nodes.ndim > 2 + inner:
        return [_names_by_graph(batch, part, inner) for part in nodes]

    def named(graph: Graph, own: Numbers) -> list[Any]:
        return [named(graph, part) for part in own] if own.ndim > 1 else _names(graph, own)

    return [named(graph, own) for graph, own in zip(batch.graphs, nodes, strict=True)]


def _names(graph: Graph, nodes: Numbers) -> list[Hashable]:
    """The names of one path's nodes, [L + 1] with padding; numbers where nodes have no names."""
    added = graph.added_start, graph.added_end
    return [graph.name(node) for node in nodes.tolist() if node >= 0 and node not in added]


def assemble(request: Request, edges: Numbers, draws: bool = False) -> Paths:
    """Paths, ranked or drawn, from their edges [*axes, longest] of the edge graph."""
    return laid_out(request, edges, path_scores(request, edges, draws))


def laid_out(request: Request, edges: Numbers, scores: NDArray[np.float64]) -> Paths:
    """Paths from edges [*axes, longest] of the edge graph and scores [*axes] to be maximised, -inf without a path."""
    graph = request.edge_graph
    edges = graph.of_the_user(edges)
    lengths = (edges >= 0).sum(-1)
    edges = edges[..., : lengths.max(initial=0)]
    nodes = np.full((*lengths.shape, edges.shape[-1] + 1), -1, np.int64)
    nodes[..., 1:] = np.where(edges >= 0, graph.children[edges], -1)
    nodes[..., 0] = np.where(lengths > 0, graph.parents[edges[..., 0]] if edges.shape[-1] else -1, -1)
    at = request.end_nodes().reshape((*request.batch, *[1] * (lengths.ndim - len(request.batch))))
    edgeless = (lengths == 0) & (scores > -np.inf) & np.isin(at, request.dag.starts)
    nodes[..., 0] = np.where(edgeless, at, nodes[..., 0])
    arrays = (request.like(array) for array in (edges, nodes, np.asarray(lengths)))
    return Paths(request.result(request.sign * scores), *arrays)
