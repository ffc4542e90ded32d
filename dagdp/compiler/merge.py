"""Merging graphs: edge arrays joined with offsets, and a joint end for each graph that has several ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import UNREACHED, CompiledDAG
from dagdp.compiled.layout import Layout, Numbers
from dagdp.compiler import build
from dagdp.compiler.validate import LARGEST, UnreachedError, validate
from dagdp.describe.edge_arrays import arcs_of, parent_rows
from dagdp.describe.graph import Graph
from dagdp.describe.linear_reads import LinearReads, Reads, with_more_edges
from dagdp.errors import GraphError


@dataclass(frozen=True, eq=False)
class MergedGraph:
    """Graphs number `first` to `last` - 1 of a batch as one compiled graph, merged level by level."""

    first: int
    last: int
    dag: CompiledDAG
    nodes: Numbers  # [graphs+1] the first node of each graph, numbered as in `dag.graph`
    ends: NDArray[np.int32]  # [graphs] internal number of the node where each graph ends, -1 if no path leads there


def merge(
    graphs: Sequence[Graph], indices: Sequence[Sequence[Reads]], layout: Layout, first: int, last: int
) -> MergedGraph:
    """Graphs [first, last) merged and compiled; their edges read `indices` [sections][graphs] of the layout.

    A GraphError names the graph at fault, and its nodes by the graph's own numbers. A graph none of whose ends is
    reached is no fault: its end is -1.
    """
    mine = graphs[first:last]
    try:
        merged, nodes, ends = _joined(mine, indices, layout, first, last, None)
        try:
            dag = build(merged)
        except UnreachedError:
            dag = build(with_a_path(merged))
        else:
            given = merged.terminals()[1]
            if given is not None and (dag.rank[given] == UNREACHED).any():  # no part of a graph's joint end
                merged, nodes, ends = _joined(mine, indices, layout, first, last, dag.rank != UNREACHED)
                dag = build(merged)
        # graphs end at different levels, which are visited in one pass: v of all nodes is stored
        dag = replace(dag, wiring=dag.wiring._replace(window=dag.wiring.incoming))
    except GraphError:
        _blame(mine, first)
        raise
    return MergedGraph(first, last, dag, nodes, np.maximum(dag.rank[ends], -1).astype(np.int32))


def with_a_path(graph: Graph) -> Graph:
    """The graph with one more edge, between two new nodes, that reads nothing: for graphs none of which has a path.

    An unnamed potential is named "theta".
    """
    (parents, children), (starts, ends), size = graph.edges(), graph.terminals(), graph.num_nodes
    tails, heads = graph.listed().arcs()
    starts = np.setdiff1d(tails, heads) if starts is None else starts
    ends = np.setdiff1d(heads, tails) if ends is None else ends
    return Graph.from_edges(
        parent_rows(np.append(parents, size), graph.second_parents()),
        np.append(children, size + 1),
        num_nodes=size + 2,
        starts=np.append(starts, size),
        ends=np.append(ends, size + 1),
        potentials={p.name or "theta": (p.shape, with_more_edges(p.reads, 1)) for p in graph.potentials()},
        minimize=graph.minimize,
    )


def _joined(
    mine: Sequence[Graph],
    indices: Sequence[Sequence[Reads]],
    layout: Layout,
    first: int,
    last: int,
    reached: NDArray[np.bool_] | None,
) -> tuple[Graph, Numbers, Numbers]:
    """(the merged graph, [graphs+1] first node of each, [graphs] end of each).

    reached : [nodes] whether a start reaches the node, to leave out other ends; None to leave out none.
    """
    edges = [graph.edges() for graph in mine]
    sizes = np.array([graph.num_nodes for graph in mine])
    counts = np.array([parents.size for parents, _ in edges])
    nodes = np.concatenate([[0], np.cumsum(sizes + 1)])  # one more node a graph: its joint end, if it has several ends
    if counts.min() == 0 or counts.sum() + nodes[-1] > LARGEST:
        raise GraphError("a graph without edges, or too many of them")
    shift, limit = np.repeat(nodes[:-1], counts), np.repeat(sizes, counts)
    parents, children = (np.concatenate([pair[k] for pair in edges]) for k in (0, 1))
    if min(parents.min(), children.min()) < 0 or (np.maximum(parents, children) >= limit).any():
        raise GraphError("an edge leaves its graph")
    parents, children, second = parents + shift, children + shift, _second(mine, counts, shift)
    starts, ends = _terminals(mine, *arcs_of(parents, children, second), nodes)
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
        own = np.concatenate([reads for reads in index[first:last] if not isinstance(reads, LinearReads)])
        entries = np.where(own >= 0, own - base, -1)
        entries = np.concatenate([entries, np.full(tails.size - own.size, -1)])
        read.append((part.name or "theta", (max(1, int(part.offsets[last]) - base), entries)))
    merged = Graph.from_edges(
        parent_rows(tails, second),
        heads,
        num_nodes=int(nodes[-1]),
        starts=np.concatenate(starts),
        ends=np.concatenate([last_nodes, *(ends[g] for g in several)]),  # each of several ends must be reached, too
        potentials=dict(read),
    )
    return merged, nodes, last_nodes


def _second(mine: Sequence[Graph], counts: Numbers, shift: Numbers) -> Numbers | None:
    """[edges] the second parents of all graphs, in merged numbers, -1 for none; None without hyperedges.

    counts : [graphs] edges.  shift : [edges] what makes a node's number a merged one.
    """
    given = [graph.second_parents() for graph in mine]
    if all(own is None for own in given):
        return None
    rows = [np.full(count, -1) if own is None else own for own, count in zip(given, counts, strict=True)]
    second = np.concatenate(rows)
    if (second < -1).any() or (second >= np.repeat([graph.num_nodes for graph in mine], counts)).any():
        raise GraphError("an edge leaves its graph")
    return np.where(second >= 0, second + shift, second)


def _terminals(
    mine: Sequence[Graph], parents: Numbers, children: Numbers, nodes: Numbers
) -> tuple[list[Numbers], list[Numbers]]:
    """([graphs] starts, [graphs] ends) in merged numbers: those named, else nodes without parents, without children.

    parents, children : a pair of nodes for each parent of each edge.
    """
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
    """Raise the error of the first graph that is not valid, with the graph's number."""
    for g, graph in enumerate(mine, first):
        try:
            validate(graph)
        except UnreachedError:
            continue
        except GraphError as error:
            raise GraphError(f"graph {g}: {error}") from None
