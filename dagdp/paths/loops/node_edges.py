"""The live edges of a compiled graph, grouped by node, for loops that visit nodes in rows of samples.

A table holds the potentials of one item one after another, and one zero behind the last entry; an edge that reads
nothing reads the zero. The edges into a node are in the order in which kernels compare them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import EXTRA_END, CompiledDAG

Numbers = NDArray[np.int64]
Indices = NDArray[np.int32]


class EntryReads(NamedTuple):
    """The entries of a table that edges, or nodes, read: the first of each, and further ones where there are any."""

    first: Indices  # [n] the zero for an edge that reads nothing
    more_ptr: Indices  # [n+1]; [1] if no edge reads more than one entry
    more: Indices


class NodeEdges(NamedTuple):
    """Edges grouped by the node that they enter. Nodes are numbered so that edges lead to larger numbers."""

    ptr: Indices  # [nodes+1]; paths begin at a node without edges
    parent: Indices  # [E]
    second: Indices  # [E] the other parent of a hyperedge, in the forward numbers, -1 for none; [0] without hyperedges
    edge: Indices  # [E] the user's number, -1 for edges that compilation added
    on_edges: EntryReads  # [E] read on each edge
    on_nodes: EntryReads  # [nodes] added to the maximum at each node; in the backward direction nothing


@dataclass(frozen=True)
class Direction:
    """A graph from its starts on, or reversed, from its end on."""

    edges: NodeEdges
    number: Numbers  # [internal nodes] the number of each node in `edges`
    nodes: Numbers  # [user's nodes] the number of each node in `edges`, -1 where no path leads

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self.number.size


_forward: weakref.WeakKeyDictionary[CompiledDAG, Direction] = weakref.WeakKeyDictionary()
_backward: weakref.WeakKeyDictionary[CompiledDAG, Direction] = weakref.WeakKeyDictionary()


def forward(dag: CompiledDAG) -> Direction:
    """Edges by child, from the starts on. Made once a graph."""
    if dag not in _forward:
        number, size = _numbered(dag), dag.num_nodes
        children = number[dag.children]
        ptr = _pointers(children, size)
        place = ptr[children] + dag.slots
        parent, edge = np.empty(place.size, np.int32), np.empty(place.size, np.int32)
        parent[place], edge[place] = number[dag.parents], dag.edges
        any_edge = np.full(size, -1)
        any_edge[children] = dag.edges  # each edge into a node reads what all of them share
        on_edges = [k for k in range(len(dag.potentials)) if k not in dag.hoisted]
        second = np.empty(0 if dag.seconds is None else place.size, np.int32)
        if dag.seconds is not None:
            second[place] = np.where(dag.seconds >= 0, number[dag.seconds], -1)
        edges = NodeEdges(ptr, parent, second, edge, _reads(dag, edge, on_edges), _reads(dag, any_edge, dag.hoisted))
        _forward[dag] = _direction(dag, edges, number)
    return _forward[dag]


def backward(dag: CompiledDAG) -> Direction:
    """Edges by parent, from the end to the starts; a hyperedge stands at each of its parents. Made once a graph.

    Reversed paths begin at ends that no path leaves; the extra end has edges only to ends that paths leave, too.
    """
    if dag not in _backward:
        size = dag.num_nodes
        ahead = _numbered(dag)
        number = size - 1 - ahead
        tails, heads, edges, others = _arcs(dag, ahead)
        leaves = np.bincount(tails[edges >= 0], minlength=size) > 0
        used = np.flatnonzero((edges >= 0) | leaves[tails])
        parents = number[tails[used]]
        order = np.lexsort((edges[used], parents))  # an edge from the extra end, -1, comes first
        edge = edges[used][order].astype(np.int32)
        parent = number[heads[used]][order].astype(np.int32)
        other = others[used][order].astype(np.int32) if others.size else others.astype(np.int32)
        reads, nothing = _reads(dag, edge, range(len(dag.potentials))), _reads(dag, np.full(size, -1), ())
        made = NodeEdges(_pointers(parents, size), parent, other, edge, reads, nothing)
        _backward[dag] = _direction(dag, made, number)
    return _backward[dag]


def _arcs(dag: CompiledDAG, number: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """(parents, children, user's edges, other parents) with a row for each parent of each edge.

    number : [internal nodes] in which other parents are given; -1 for none, [0] without hyperedges.
    """
    if dag.seconds is None:
        return dag.parents, dag.children, dag.edges, np.empty(0, np.int64)
    pairs = np.flatnonzero(dag.seconds >= 0)
    parents = np.concatenate([dag.parents, dag.seconds[pairs]])
    other = np.concatenate([dag.seconds, dag.parents[pairs]])
    rows = np.concatenate([np.arange(dag.parents.size), pairs])
    return parents, dag.children[rows], dag.edges[rows], np.where(other >= 0, number[other], -1)


def _numbered(dag: CompiledDAG) -> Numbers:
    """[internal nodes] numbers in the user's order if edges rise in it, else the internal numbers.

    In the user's order a grid reads its table row by row; in the order of levels it reads along diagonals, which takes
    3 to 4 times as long.
    """
    parents, children = dag.graph.edges()
    if not (parents < children).all():
        return np.arange(dag.num_nodes)
    number = np.empty(dag.num_nodes, np.int64)
    number[np.argsort(np.where(dag.origin == EXTRA_END, dag.rank.size, dag.origin), kind="stable")] = np.arange(
        dag.num_nodes
    )
    return number


def _direction(dag: CompiledDAG, edges: NodeEdges, number: Numbers) -> Direction:
    return Direction(edges, number, np.where(dag.rank >= 0, number[dag.rank], -1))


def _pointers(keys: Numbers, size: int) -> Indices:
    return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=size))]).astype(np.int32)


def _reads(dag: CompiledDAG, edges: NDArray[np.integer], which: Sequence[int]) -> EntryReads:
    """The entries that edges read of the potentials `which`, in their order; edge -1 reads nothing."""
    offsets = np.concatenate([[0], np.cumsum(dag.entry_counts)])
    none = np.int32(offsets[-1])
    nothing = np.zeros(1, np.int32), np.empty(0, np.int32)
    if not len(which):
        return EntryReads(np.full(len(edges), none), *nothing)
    found = np.stack([np.append(dag.potentials[k].index, -1)[edges] for k in which], -1)
    found = np.where(found >= 0, found + offsets[:-1][list(which)], -1)
    counts = (found >= 0).sum(-1)
    if len(which) > 1:
        found = np.take_along_axis(found, np.argsort(found < 0, -1, kind="stable"), -1)
    first = np.where(counts > 0, found[:, 0], none).astype(np.int32)
    if counts.max(initial=0) < 2:
        return EntryReads(first, *nothing)
    rest = found[:, 1:]
    more_ptr = np.concatenate([[0], np.cumsum(np.maximum(counts - 1, 0))]).astype(np.int32)
    return EntryReads(first, more_ptr, rest[rest >= 0].astype(np.int32))
