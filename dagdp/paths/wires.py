"""The live edges of a compiled graph for loops over nodes in rows of samples: who reads what, in which order.

Potentials of one item stand side by side, their entries one after the other and a zero behind the last; an edge that
reads nothing reads that zero. Edges into a node stand in the order in which kernels compare them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG

Numbers = NDArray[np.int64]
Indices = NDArray[np.int32]


class Reads(NamedTuple):
    """Entries that some edges, or nodes, read: the first of each, and the others where there are several."""

    first: Indices  # [n] the zero where nothing is read
    more_ptr: Indices  # [n+1], or [1] where nobody reads more than one
    more: Indices


class Arrays(NamedTuple):
    """Edges by the node they enter, node by node; edges rise."""

    ptr: Indices  # [nodes+1]; a node without edges is where paths begin
    parent: Indices  # [E]
    edge: Indices  # [E] the user's number, -1 for edges into the extra end
    reads: Reads  # of each edge
    own: Reads  # of each node, on top of its maximum; in the backward direction there are none


@dataclass(frozen=True)
class Wires:
    """One direction of a graph."""

    arrays: Arrays
    number: Numbers  # [internal nodes] how nodes are numbered in the arrays
    nodes: Numbers  # [user's nodes] the same of the user's, -1 where no path leads

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return self.number.size


_forward: weakref.WeakKeyDictionary[CompiledDAG, Wires] = weakref.WeakKeyDictionary()
_backward: weakref.WeakKeyDictionary[CompiledDAG, Wires] = weakref.WeakKeyDictionary()


def forward(dag: CompiledDAG) -> Wires:
    """Edges by their child. Made once a graph."""
    if dag not in _forward:
        number, size = _numbered(dag), dag.num_nodes
        children = number[dag.children]
        ptr = _pointers(children, size)
        place = ptr[children] + dag.slots
        parent, edge = np.empty(place.size, np.int32), np.empty(place.size, np.int32)
        parent[place], edge[place] = number[dag.parents], dag.edges
        any_edge = np.full(size, -1)
        any_edge[children] = dag.edges  # whatever all edges into a node share, each of them reads
        loose = [k for k in range(len(dag.potentials)) if k not in dag.hoisted]
        arrays = Arrays(ptr, parent, edge, _reads(dag, edge, loose), _reads(dag, any_edge, dag.hoisted))
        _forward[dag] = _wires(dag, arrays, number)
    return _forward[dag]


def backward(dag: CompiledDAG) -> Wires:
    """Edges by their parent, from the end to the starts. Made once a graph.

    An end that no path leaves begins them; from the extra end edges lead only to ends that paths also pass.
    """
    if dag not in _backward:
        size = dag.num_nodes
        number = size - 1 - _numbered(dag)
        leaves = np.bincount(dag.parents[dag.edges >= 0], minlength=size) > 0
        kept = np.flatnonzero((dag.edges >= 0) | leaves[dag.parents])
        parents = number[dag.parents[kept]]
        order = np.lexsort((dag.edges[kept], parents))  # an edge from the extra end, -1, comes first
        edge = dag.edges[kept][order].astype(np.int32)
        parent = number[dag.children[kept]][order].astype(np.int32)
        reads, nothing = _reads(dag, edge, range(len(dag.potentials))), _reads(dag, np.full(size, -1), ())
        arrays = Arrays(_pointers(parents, size), parent, edge, reads, nothing)
        _backward[dag] = _wires(dag, arrays, number)
    return _backward[dag]


def _numbered(dag: CompiledDAG) -> Numbers:
    """[internal nodes] the user's order where edges rise in it, else the internal one.

    A grid in the user's order reads its table row by row, in that of levels along diagonals: 3 to 4 times as long.
    """
    parents, children = dag.graph.edges()
    if not (parents < children).all():
        return np.arange(dag.num_nodes)
    number = np.empty(dag.num_nodes, np.int64)
    number[np.argsort(np.where(dag.origin < 0, dag.rank.size, dag.origin), kind="stable")] = np.arange(dag.num_nodes)
    return number


def _wires(dag: CompiledDAG, arrays: Arrays, number: Numbers) -> Wires:
    return Wires(arrays, number, np.where(dag.rank >= 0, number[dag.rank], -1))


def _pointers(keys: Numbers, size: int) -> Indices:
    return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=size))]).astype(np.int32)


def _reads(dag: CompiledDAG, edges: NDArray[np.integer], which: Sequence[int]) -> Reads:
    """What edges read of some potentials, in their order; of -1 nothing."""
    offsets = np.concatenate([[0], np.cumsum(dag.entry_counts)])
    none = np.int32(offsets[-1])
    nothing = np.zeros(1, np.int32), np.empty(0, np.int32)
    if not len(which):
        return Reads(np.full(len(edges), none), *nothing)
    found = np.stack([np.append(dag.potentials[k].index, -1)[edges] for k in which], -1)
    found = np.where(found >= 0, found + offsets[:-1][list(which)], -1)
    counts = (found >= 0).sum(-1)
    if len(which) > 1:
        found = np.take_along_axis(found, np.argsort(found < 0, -1, kind="stable"), -1)
    first = np.where(counts > 0, found[:, 0], none).astype(np.int32)
    if counts.max(initial=0) < 2:
        return Reads(first, *nothing)
    rest = found[:, 1:]
    more_ptr = np.concatenate([[0], np.cumsum(np.maximum(counts - 1, 0))]).astype(np.int32)
    return Reads(first, more_ptr, rest[rest >= 0].astype(np.int32))
