"""Graphs side by side as one graph: edge arrays joined with offsets, and a joint end where a graph has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import UNREACHED, CompiledDAG
from dagdp.compiled.layout import Layout, Numbers
from dagdp.compiler import build
from dagdp.compiler.validate import LARGEST, UnreachedError, validate
from dagdp.describe.graph import Graph
from dagdp.errors import GraphError


@dataclass(frozen=True, eq=False)
class Union:
    """Graphs number `first` to `last` - 1 of a batch as one compiled graph, whose levels are theirs side by side."""

    first: int
    last: int
    dag: CompiledDAG
    nodes: Numbers  # [graphs+1] where each graph's nodes begin
    ends: NDArray[np.int32]  # [graphs] internal numbers of the nodes where they end, -1 where no path leads


def join(graphs: Sequence[Graph], indices: Sequence[Sequence[Numbers]], layout: Layout, first: int, last: int) -> Union:
    """The union of graphs [first, last), whose edges read `indices` [sections][graphs] of the layout.

    A GraphError names the graph at fault, and its nodes by that graph's own numbers. A graph none of whose ends is
    reached is no fault: its end is -1.
    """
    mine = graphs[first:last]
    try:
        whole, nodes, ends = _joined(mine, indices, layout, first, last, None)
        try:
            dag = build(whole)
        except UnreachedError:
            dag = build(with_a_path(whole))
        else:
            given = whole.terminals()[1]
            if given is not None and (dag.rank[given] == UNREACHED).any():  # no part of a graph's joint end
                whole, nodes, ends = _joined(mine, indices, layout, first, last, dag.rank != UNREACHED)
                dag = build(whole)
        # graphs end at levels of their own, and are visited in one stretch: v of all nodes is kept
        dag = replace(dag, wiring=dag.wiring._replace(window=dag.wiring.incoming))
    except GraphError:
        _blame(mine, first)
        raise
    return Union(first, last, dag, nodes, np.maximum(dag.rank[ends], -1).astype(np.int32))


def with_a_path(whole: Graph) -> Graph:
    """The graph beside one edge that reads nothing: for graphs none of which has a path.

    An unnamed potential is "theta" then.
    """
    (parents, children), (starts, ends), size = whole.edges(), whole.terminals(), whole.num_nodes
    starts = np.setdiff1d(parents, children) if starts is None else starts
    ends = np.setdiff1d(children, parents) if ends is None else ends
    return Graph.from_edges(
        np.append(parents, size),
        np.append(children, size + 1),
        num_nodes=size + 2,
        starts=np.append(starts, size),
        ends=np.append(ends, size + 1),
        potentials={p.name or "theta": (p.shape, np.append(p.index, -1)) for p in whole.potentials()},
    )


def _joined(
    mine: Sequence[Graph],
    indices: Sequence[Sequence[Numbers]],
    layout: Layout,
    first: int,
    last: int,
    reached: NDArray[np.bool_] | None,
) -> tuple[Graph, Numbers, Numbers]:
    """(the graph, where each one's nodes begin, [graphs] where each one ends); ends that are not reached left out."""
    edges = [graph.edges() for graph in mine]
    sizes = np.array([graph.num_nodes for graph in mine])
    counts = np.array([parents.size for parents, _ in edges])
    nodes = np.concatenate([[0], np.cumsum(sizes + 1)])  # the one more is the joint end, if there are several
    if counts.min() == 0 or counts.sum() + nodes[-1] > LARGEST:
        raise GraphError("a graph without edges, or too many of them")
    shift, limit = np.repeat(nodes[:-1], counts), np.repeat(sizes, counts)
    parents, children = (np.concatenate([pair[k] for pair in edges]) for k in (0, 1))
    if min(parents.min(), children.min()) < 0 or (np.maximum(parents, children) >= limit).any():
        raise GraphError("an edge leaves its graph")
    parents, children = parents + shift, children + shift
    starts, ends = _terminals(mine, parents, children, nodes)
    if reached is not None:
        ends = [own[reached[own]] if reached[own].any() else own[:1] for own in ends]
    several = [g for g, own in enumerate(ends) if own.size != 1]
    joint = nodes[1:] - 1
    tails = np.concatenate([parents, *(ends[g] for g in several)])
    heads = np.concatenate([children, *(np.full(ends[g].size, joint[g]) for g in several)])
    last_nodes = np.array([joint[g] if own.size != 1 else own[0] for g, own in enumerate(ends)])
    read = []
    for part, index in zip(layout.sections, indices, strict=True):
        base = int(part.offsets[first])
        own = np.concatenate(index[first:last])
        entries = np.where(own >= 0, own - base, -1)
        entries = np.concatenate([entries, np.full(tails.size - own.size, -1)])
        read.append((part.name or "theta", (max(1, int(part.offsets[last]) - base), entries)))
    whole = Graph.from_edges(
        tails,
        heads,
        num_nodes=int(nodes[-1]),
        starts=np.concatenate(starts),
        ends=np.concatenate([last_nodes, *(ends[g] for g in several)]),  # each of several must be reached, too
        potentials=dict(read),
    )
    return whole, nodes, last_nodes


def _terminals(
    mine: Sequence[Graph], parents: Numbers, children: Numbers, nodes: Numbers
) -> tuple[list[Numbers], list[Numbers]]:
    """Each graph's (starts, ends) in the union's numbers: those it names, or nodes without parents, or children."""
    with_child, with_parent = np.zeros(nodes[-1], bool), np.zeros(nodes[-1], bool)
    with_child[parents] = with_parent[children] = True
    default = [np.flatnonzero(with_child & ~with_parent), np.flatnonzero(with_parent & ~with_child)]
    cuts = [np.searchsorted(found, nodes) for found in default]
    made: tuple[list[Numbers], list[Numbers]] = ([], [])
    for g, graph in enumerate(mine):
        size = nodes[g + 1] - nodes[g] - 1
        for k, own in enumerate(graph.terminals()):
            if own is None:
                made[k].append(default[k][cuts[k][g] : cuts[k][g + 1]])
                continue
            if own.size == 0 or own.min() < 0 or own.max() >= size:
                raise GraphError("a start or an end is no node of its graph")
            made[k].append(own + nodes[g])
    return made


def _blame(mine: Sequence[Graph], first: int) -> None:
    """Raise the first graph's own error, with its number."""
    for g, graph in enumerate(mine, first):
        try:
            validate(graph)
        except UnreachedError:
            continue
        except GraphError as error:
            raise GraphError(f"graph {g}: {error}") from None
