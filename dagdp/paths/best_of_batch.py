"""The best path of every graph of a batch: the edges to which the expected path under HardMax gives probability 1."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from dagdp.array_kinds import is_tensor
from dagdp.compiled.layout import NUMPY, Numbers, leaves
from dagdp.compiler.batch import CompiledBatch, build_batch
from dagdp.describe.graph import Graph
from dagdp.engine.each_graph import PerGraphCall
from dagdp.engine.linear import weights_of_arrays
from dagdp.functions import dp_value, dp_value_and_grad
from dagdp.omega import HardMax
from dagdp.paths.request.array_functions import like, to_numpy
from dagdp.paths.request.request import on_host
from dagdp.paths.result import Paths, of_graphs


@dataclass(frozen=True)
class _Edges:
    """The edges of all graphs, one graph after another, in each graph's own numbers."""

    plain: CompiledBatch  # the graphs with potentials "edge" and "node" in place of the user's
    owner: Numbers  # [edges] the graph
    first: Numbers  # [graphs+1] each graph's first edge
    parents: Numbers  # [edges]
    children: Numbers  # [edges]
    rank: Numbers  # [edges] internal number of the parent, which rises along every path


_made: weakref.WeakKeyDictionary[CompiledBatch, _Edges] = weakref.WeakKeyDictionary()


def best_paths(batch: CompiledBatch, theta: Any, minimize: bool, end: Any) -> Paths:
    """`best_path` of every graph: `Paths` with axes [*batch, graphs]."""
    if len(batch) == 0:
        return of_graphs(PerGraphCall(batch, {}, ()), [])
    edges_of = _edges(batch)
    tensor = next((leaf for leaf in leaves(theta) if is_tensor(leaf)), None)
    kind = NUMPY._replace(as_array=lambda value, label: NUMPY.as_array(to_numpy(value), label))
    _, packed, _ = batch.layout.pack(theta, "theta", kind)
    if batch.plain is None or batch.linear is None:
        scores = _scores(batch, packed)
    else:
        scores = _scores(batch.plain, [weights_of_arrays(batch.linear, packed, np.float64)])
    if not all((weights < np.inf if not minimize else weights > -np.inf).all() for weights in scores.values()):
        dp_value(
            batch, on_host(theta), HardMax(), minimize=minimize, end=end
        )  # names the entry in the user's own array
    ends = None if end is None else _numbers(batch.ending(end))
    value, marked = dp_value_and_grad(edges_of.plain, scores, HardMax(), minimize=minimize, end=ends)
    paths = _laid_out(edges_of, len(batch), value.shape, marked["edge"].reshape(-1, edges_of.owner.size) > 0.5)
    dtype = np.result_type(*(array.dtype if array.dtype.kind == "f" else np.float64 for array in packed))
    value = value.astype(dtype, copy=False)
    scores, edges, nodes, lengths = (like(tensor, array) for array in (value, *paths))
    return Paths(scores, edges, nodes, lengths)


def _numbers(batch: CompiledBatch) -> list[int | None]:
    """[graphs] each graph's own number of its end; None for a joint end."""
    found = [batch.own_number(part, g) for part in batch.merged for g in range(part.first, part.last)]
    return [None if number == graph.num_nodes else number for number, graph in zip(found, batch.graphs, strict=True)]


def _laid_out(edges_of: _Edges, graphs: int, shape: tuple[int, ...], marked: Any) -> tuple[Numbers, Numbers, Numbers]:
    """(edges, nodes, lengths), padded with -1, from the marked edges, bool [items, edges of all graphs]."""
    item, edge = np.nonzero(marked)
    row = item * graphs + edges_of.owner[edge]
    order = np.lexsort((edges_of.rank[edge], row))
    row, edge = row[order], edge[order]
    lengths = np.bincount(row, minlength=marked.shape[0] * graphs)
    place = np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    edges = np.full((lengths.size, lengths.max(initial=0)), -1)
    nodes = np.full((lengths.size, edges.shape[1] + 1), -1)
    edges[row, place] = edge - edges_of.first[edges_of.owner[edge]]
    nodes[row, place] = edges_of.parents[edge]
    nodes[row, place + 1] = edges_of.children[edge]
    return edges.reshape(*shape, -1), nodes.reshape(*shape, -1), lengths.reshape(shape)


def _scores(batch: CompiledBatch, packed: list[Any]) -> dict[str, Any]:
    """Weights of the plain graphs: "edge" [*batch, edges of all graphs] and "node" [*batch, nodes of all graphs].

    Potentials that kernels add node by node are read at nodes here too, so that sums are rounded equally.
    """
    total: dict[str, Any] = {"edge": 0.0, "node": 0.0}
    for k, (section, array) in enumerate(zip(batch.layout.sections, packed, strict=True)):
        padded = np.concatenate([array.astype(np.float64), np.zeros((*array.shape[:-1], 1))], -1)
        index: dict[str, list[Numbers]] = {"edge": [], "node": []}
        for part in batch.merged:
            edges = _own_edges(batch, part.first, part.last)
            local = part.dag.potentials[k].index[:edges]
            entry = np.where(local >= 0, local + section.offsets[part.first], -1)
            nodes = np.full(sum(graph.num_nodes for graph in batch.graphs[part.first : part.last]), -1)
            if k in part.dag.hoisted:
                live = part.dag.edges[(part.dag.edges >= 0) & (part.dag.edges < edges)]
                nodes[_children(batch, part.first, part.last)[live]] = entry[live]
                entry = np.full(edges, -1)
            index["edge"].append(entry)
            index["node"].append(nodes)
        for name in total:
            total[name] = total[name] + padded[..., np.concatenate(index[name])]  # index -1 reads the zero
    return total


def _children(batch: CompiledBatch, first: int, last: int) -> Numbers:
    """[edges] the children in graphs [first, last), whose nodes are numbered one graph after another."""
    graphs = batch.graphs[first:last]
    shift = np.cumsum([0, *(graph.num_nodes for graph in graphs)])
    return np.concatenate([graph.edges()[1] + before for graph, before in zip(graphs, shift, strict=False)])


def _own_edges(batch: CompiledBatch, first: int, last: int) -> int:
    return sum(graph.num_edges for graph in batch.graphs[first:last])


def _edges(batch: CompiledBatch) -> _Edges:
    """The edges of a batch. Made once a batch."""
    if batch not in _made:
        pairs = [graph.edges() for graph in batch.graphs]
        counts = [parents.size for parents, _ in pairs]
        plain = build_batch([_plain(graph) for graph in batch.graphs])
        parents, children = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        shift = np.concatenate([part.nodes[:-1] for part in plain.merged])
        owner = np.repeat(np.arange(len(counts)), counts)
        rank = np.concatenate([
            part.dag.rank[(parents + shift[owner])[(owner >= part.first) & (owner < part.last)]]
            for part in plain.merged
        ])  # fmt: skip
        _made[batch] = _Edges(plain, owner, np.cumsum([0, *counts]), parents, children, rank)
    return _made[batch]


def _plain(graph: Graph) -> Graph:
    """The graph with one weight on each edge, and one on each node, read on entering the node."""
    starts, ends = graph.terminals()
    parents, children = graph.edges()
    potentials = {"edge": (graph.num_edges, np.arange(graph.num_edges)), "node": (graph.num_nodes, children)}
    return Graph.from_edges(
        parents, children, num_nodes=graph.num_nodes, starts=starts, ends=ends, potentials=potentials
    )
