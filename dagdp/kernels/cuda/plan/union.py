"""Graphs side by side, as a plan for device kernels lists them.

A batch of graphs is compiled in merged form (compiler/batch.py), from which the graphs are taken apart again here, all
at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG

Numbers = NDArray[np.int64]


class Union(NamedTuple):
    """The graphs side by side. Nodes are sorted by (graph, level), and edges by level of the parent."""

    graph: Numbers  # [nodes]
    level: Numbers  # [nodes]
    parents: Numbers  # [edges]
    children: Numbers  # [edges]
    slots: Numbers  # [edges] place among the edges into the child
    seconds: Numbers | None  # [edges] second parent, -1 for none
    edges: Numbers  # [edges] the user's number through all graphs, -1 for added edges
    entries: list[Numbers]  # [potentials][edges] the entry of joined theta, -1 for none
    on_nodes: list[bool]  # [potentials] whether all edges into a node read one entry
    ends: Numbers  # [graphs] -1 where no path leads to the end
    total: int  # entries of joined theta
    users: int  # the user's edges of all graphs


def union_of_graph(dag: CompiledDAG) -> Union:
    """A graph alone."""
    levels = dag.wiring.incoming.levels
    sizes = dag.entry_counts
    return Union(
        graph=np.zeros(dag.num_nodes, np.int64),
        level=np.repeat(np.arange(levels.size - 1), np.diff(levels)),
        parents=dag.parents,
        children=dag.children,
        slots=dag.slots,
        seconds=dag.seconds,
        edges=dag.edges,
        entries=_joined_entries(dag, dag.edges, (np.cumsum(sizes) - sizes).tolist()),
        on_nodes=[k in dag.hoisted for k in range(len(dag.potentials))],
        ends=np.array([dag.end]),
        total=int(sizes.sum()),
        users=dag.graph.num_edges,
    )


def _joined_entries(dag: CompiledDAG, edges: Numbers, first: Sequence[int]) -> list[Numbers]:
    """[potentials][edges] the entry of joined theta that each edge reads, -1 for none.

    first : [potentials] the place of each potential's first entry.
    """
    made = []
    for potential, begin in zip(dag.graph.potentials(), first, strict=True):
        index = np.asarray(potential.index)
        own = np.where(edges >= 0, index[edges], -1)
        made.append(np.where(own >= 0, own + begin, -1))
    return made


def union_of_batch(batch: Any) -> Union:
    """The graphs of a batch, taken out of its merged graphs.

    A merged graph has nodes that belong to no graph: a joint end of all graphs, and a path that keeps it from being
    empty. They and their edges are left out.
    """
    sections = batch.layout.sections
    starts = np.cumsum([0, *(part.size for part in sections)])
    counts = np.array([graph.num_edges for graph in batch.graphs])
    before = np.cumsum([0, *counts])
    parts: list[Union] = []
    nodes = 0
    for merged in batch.merged:
        first = [int(at + own.offsets[merged.first]) for at, own in zip(starts, sections, strict=False)]
        parts.append(_taken_apart(merged, nodes, before, first))
        nodes += parts[-1].graph.size
    seconds = None
    if any(part.seconds is not None for part in parts):
        seconds = np.concatenate(
            [np.full(part.parents.size, -1) if part.seconds is None else part.seconds for part in parts]
        )
    return Union(
        graph=np.concatenate([part.graph for part in parts]),
        level=np.concatenate([part.level for part in parts]),
        parents=np.concatenate([part.parents for part in parts]),
        children=np.concatenate([part.children for part in parts]),
        slots=np.concatenate([part.slots for part in parts]),
        seconds=seconds,
        edges=np.concatenate([part.edges for part in parts]),
        entries=[np.concatenate([part.entries[k] for part in parts]) for k in range(len(sections))],
        on_nodes=[all(part.on_nodes[k] for part in parts) for k in range(len(sections))],
        ends=np.concatenate([part.ends for part in parts]),
        total=int(starts[-1]),
        users=int(before[-1]),
    )


def _taken_apart(merged: Any, nodes: int, before: Numbers, first: Sequence[int]) -> Union:
    """The graphs of one merged graph, their nodes numbered from `nodes` on.

    before : [graphs+1] the user's edges of the graphs before each. first : [potentials] the place of the first entry.
    """
    dag = merged.dag
    owner = _owners(merged)
    levels = dag.wiring.incoming.levels
    level = np.repeat(np.arange(levels.size - 1), np.diff(levels))
    kept = np.flatnonzero(owner >= 0)
    kept = kept[np.argsort(owner[kept], kind="stable")]
    number = np.full(dag.num_nodes + 1, -1)  # the last place serves -1, no second parent
    number[kept] = np.arange(kept.size) + nodes
    own = (number[dag.parents] >= 0) & (number[dag.children] >= 0)
    edges, begin = dag.edges[own], int(before[merged.first])
    known = (edges >= 0) & (edges < before[merged.last] - begin)
    return Union(
        graph=owner[kept] + merged.first,
        level=level[kept],
        parents=number[dag.parents[own]],
        children=number[dag.children[own]],
        slots=dag.slots[own],
        seconds=None if dag.seconds is None else number[dag.seconds[own]],
        edges=np.where(known, edges + begin, -1),
        entries=_joined_entries(dag, edges, first),
        on_nodes=[k in dag.hoisted for k in range(len(first))],
        ends=np.where(merged.ends >= 0, number[merged.ends], -1),
        total=0,
        users=0,
    )


def _owners(merged: Any) -> Numbers:
    """[nodes] the graph of each node, counted from the first; -1 for nodes of no graph."""
    dag = merged.dag
    origin = dag.origin.astype(np.int64)
    owner = np.searchsorted(merged.nodes, origin, side="right") - 1
    owner[(origin < 0) | (origin >= merged.nodes[-1])] = -1
    if dag.entrances.size:
        owner[dag.entrances[:, 1]] = np.searchsorted(merged.nodes, dag.entrances[:, 0], side="right") - 1
    return owner
