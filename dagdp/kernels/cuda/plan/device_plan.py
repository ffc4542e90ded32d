"""The plan of a graph, or of a batch of graphs, for device kernels: index arrays, and a table that finds them.

A block of threads, or a warp, processes one graph of one batch item, whatever else is in the batch. So the plan lists
each graph by itself: nodes level by level, incoming edges for the forward pass, outgoing edges for the backward pass,
and the readers of entries that several edges read.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.errors import InputError
from dagdp.kernels.cuda.plan.chain import with_chain
from dagdp.kernels.cuda.plan.diagonals import Diagonals, with_diagonals
from dagdp.kernels.cuda.plan.union import Union, union_of_batch, union_of_graph
from dagdp.kernels.cuda.records import Column

Numbers = NDArray[np.int64]
LARGEST = 2**31 - 1  # of numbers in a plan, which are int32

_plans: WeakKeyDictionary[Any, DevicePlan] = WeakKeyDictionary()
_making = threading.Lock()


class DevicePlan(NamedTuple):
    """Index arrays of all graphs, and the facts by which a launch chooses its kernel."""

    plan: NDArray[np.int32]
    table: NDArray[np.int32]  # [graphs, columns], see `Column`; graphs with most edges stand first and start first
    nodes: int  # of all graphs
    entries: int  # of theta: the joined potentials of all graphs
    edges: int  # the user's edges of all graphs, of which local weights have one each
    levels: int  # of the deepest graph
    widths: Numbers  # [levels of all graphs] nodes of each level
    edge_blocks: int
    node_blocks: int
    pairs: bool
    readers: bool  # several edges or nodes read one entry
    unread: bool  # no edge reads some entry, whose gradient no kernel writes
    ring: int  # nodes from which values must be at hand while a level is processed, rounded up to a power of two
    most_parents: int  # the largest number of edges into a node
    states: int = 0  # of each step of a chain; 0 if the graph is none, see `dagdp.kernels.cuda.plan.chain`
    diagonals: Diagonals | None = None  # of an alignment grid

    @property
    def graphs(self) -> int:
        """The number of graphs."""
        return len(self.table)


def device_plan(graphs: Any) -> DevicePlan:
    """The plan of a CompiledDAG, or of a CompiledBatch of different graphs, made at the first call.

    Raises InputError where the plan would have more numbers than int32 can count.
    """
    with _making:
        known = _plans.get(graphs)
        if known is None:
            if isinstance(graphs, CompiledDAG):
                known = with_diagonals(with_chain(_made(union_of_graph(graphs)), graphs.wiring.tied))
            else:
                known = _made(union_of_batch(graphs))
            _plans[graphs] = known
    return known


def _made(union: Union) -> DevicePlan:
    """The plan: every array once for all graphs, and the table of where each graph's part begins."""
    bounds, reads, outgoing = _level_bounds(union), _reads(union), _outgoing(union)
    in_ptr = _pointers(union.children, union.graph.size)
    readers = _readers(union, reads, outgoing.listing, bounds.first_node)
    arrays = {
        Column.LEVEL_PTR: [bounds.ptr],
        **_incoming_arrays(union, reads, in_ptr, bounds.first_node),
        **_outgoing_arrays(union, reads, outgoing, bounds.first_node),
        Column.READ_ENTRY: [readers.entry],
        Column.READ_PTR: [readers.ptr],
        Column.READER: [readers.reader],
        Column.READER_NODE: [readers.node],
    }
    places, size = {}, 0
    for column, own in arrays.items():
        places[column] = size
        size += sum(array.size for array in own)
    if size > LARGEST:
        raise InputError(
            f"the graph has {union.parents.size} edges, and its plan for a CUDA device {size} numbers; expected at "
            f"most {LARGEST}: split the graph, or take a smaller one"
        )
    return DevicePlan(
        plan=np.concatenate([array for own in arrays.values() for array in own]).astype(np.int32),
        table=_table(union, places, bounds, in_ptr, outgoing, readers),
        nodes=union.graph.size,
        entries=union.total,
        edges=union.users,
        levels=int(bounds.counts.max(initial=1)),
        widths=bounds.widths,
        edge_blocks=len(reads.of_edges),
        node_blocks=len(reads.of_nodes),
        pairs=union.seconds is not None,
        readers=bool(readers.entry.size),
        unread=bool((reads.count == 0).any()),
        ring=_ring(union, bounds),
        most_parents=int(np.diff(in_ptr).max(initial=0)),
    )


def _table(
    union: Union, places: dict[Column, int], bounds: LevelBounds, in_ptr: Numbers, outgoing: Outgoing, readers: Readers
) -> NDArray[np.int32]:
    """[graphs, columns] the counts and places of each graph, those with most edges first."""
    graphs, first_node = union.ends.size, bounds.first_node
    table = np.zeros((graphs, len(Column)), np.int64)
    for column, place in places.items():
        table[:, column] = place
    table[:, Column.NODES] = np.diff(first_node)
    table[:, Column.EDGES], table[:, Column.OUT_EDGES] = union.parents.size, outgoing.edge.size
    table[:, Column.LEVELS] = bounds.counts
    table[:, Column.END] = np.where(union.ends >= 0, union.ends - first_node[:-1], -1)
    table[:, Column.OUTPUT] = np.arange(graphs)
    table[:, Column.FIRST_NODE] = first_node[:-1]
    table[:, Column.MULTIPLE] = np.diff(readers.first)
    table[:, Column.LEVEL_PTR] += bounds.first
    for column in (Column.IN_PTR, Column.OUT_PTR, Column.NODE_ENTRY, Column.NODE_TARGET):
        table[:, column] += first_node[:-1]
    for column in (Column.READ_ENTRY, Column.READ_PTR):
        table[:, column] += readers.first[:-1]
    work = np.diff(in_ptr[first_node])
    return np.ascontiguousarray(table[np.argsort(-work, kind="stable")], np.int32)


def _pointers(keys: Numbers, size: int) -> Numbers:
    """[size+1] where the edges of each node begin, if they are grouped by `keys`."""
    return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=size))])


def _local(nodes: Numbers, first: Numbers) -> Numbers:
    """Node numbers within their graph, -1 for none. first : the first node of each one's graph."""
    return np.where(nodes >= 0, nodes - first, -1)


class Reads(NamedTuple):
    """The entries of joined theta that edges and nodes read, -1 for none."""

    of_edges: list[Numbers]  # [edge blocks][edges]
    of_nodes: list[Numbers]  # [node blocks][nodes]
    count: Numbers  # [entries] readers of each

    def once(self, entries: Numbers) -> Numbers:
        """The entries that have one reader, otherwise -1."""
        return np.where((entries >= 0) & (self.count[entries] == 1), entries, -1)


def _reads(union: Union) -> Reads:
    """Entries on edges; entries that all edges into a node read, on nodes."""
    of_edges: list[Numbers] = []
    of_nodes: list[Numbers] = []
    count = np.zeros(union.total, np.int64)
    for own, on_nodes in zip(union.entries, union.on_nodes, strict=True):
        read = own
        if on_nodes:
            read = np.full(union.graph.size, -1)
            read[union.children] = own
        (of_nodes if on_nodes else of_edges).append(read)
        count += np.bincount(read[read >= 0], minlength=union.total)
    return Reads(of_edges, of_nodes, count)


def _incoming_arrays(union: Union, reads: Reads, in_ptr: Numbers, first_node: Numbers) -> dict[Column, list[Numbers]]:
    """The arrays of incoming edges, node by node, in the order of ties; and of hoisted entries."""
    order = np.empty(union.children.size, np.int64)
    order[in_ptr[union.children] + union.slots] = np.arange(order.size)
    first = first_node[union.graph[union.children]]
    return {
        Column.IN_PTR: [in_ptr],
        Column.IN_PARENT: [_local(union.parents, first)[order]],
        Column.IN_SECOND: [] if union.seconds is None else [_local(union.seconds, first)[order]],
        Column.IN_ENTRY: [own[order] for own in reads.of_edges],
        Column.EDGE: [union.edges[order]],
        Column.NODE_ENTRY: reads.of_nodes,
        Column.NODE_TARGET: [reads.once(own) for own in reads.of_nodes],
    }


class Outgoing(NamedTuple):
    """Edges by their parents; a hyperedge is listed under both."""

    ptr: Numbers  # [nodes+1]
    edge: Numbers  # [out edges] the edge
    again: NDArray[np.bool_]  # [out edges] whether it is listed under its second parent
    other: Numbers | None  # [out edges] the other parent, -1 for none; None without hyperedges
    listing: Numbers  # [edges] the place of each edge under its first parent


def _outgoing(union: Union) -> Outgoing:
    """The outgoing edges of each node, sorted by its number."""
    count = union.parents.size
    parent, edge, other = union.parents, np.arange(count), union.seconds
    if union.seconds is not None:
        pairs = np.flatnonzero(union.seconds >= 0)
        parent, edge = np.concatenate([parent, union.seconds[pairs]]), np.concatenate([edge, pairs])
        other = np.concatenate([union.seconds, union.parents[pairs]])
    order = np.argsort(parent, kind="stable")
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    ptr = _pointers(parent, union.graph.size)
    return Outgoing(ptr, edge[order], order >= count, None if other is None else other[order], place[:count])


def _outgoing_arrays(
    union: Union, reads: Reads, outgoing: Outgoing, first_node: Numbers
) -> dict[Column, list[Numbers]]:
    """The arrays of outgoing edges."""
    child = union.children[outgoing.edge]
    first = first_node[union.graph[child]]
    entries = [own[outgoing.edge] for own in reads.of_edges]
    return {
        Column.OUT_PTR: [outgoing.ptr],
        Column.OUT_CHILD: [_local(child, first)],
        Column.OUT_SLOT: [union.slots[outgoing.edge]],
        Column.OUT_OTHER: [] if outgoing.other is None else [_local(outgoing.other, first)],
        Column.OUT_ENTRY: entries,
        Column.OUT_TARGET: [np.where(outgoing.again, -1, reads.once(own)) for own in entries],
    }


class LevelBounds(NamedTuple):
    """Levels of all graphs, one graph after another."""

    ptr: Numbers  # [levels+1 of each graph] the first node of each level within its graph, and the number of nodes
    first: Numbers  # [graphs] each graph's first place in `ptr`
    counts: Numbers  # [graphs] levels
    widths: Numbers  # [levels of all graphs]
    first_node: Numbers  # [graphs+1]
    begin: Numbers  # [nodes] the first node of each node's level
    end: Numbers  # [nodes] the node behind the last one of each node's level


def _level_bounds(union: Union) -> LevelBounds:
    """Where levels begin and end. Nodes are sorted by graph and level, and no level is empty."""
    graphs, nodes = union.ends.size, union.graph.size
    changed = (np.diff(union.graph, prepend=-1) != 0) | (np.diff(union.level, prepend=-1) != 0)
    starts = np.flatnonzero(changed)
    owner = union.graph[starts]
    counts = np.bincount(owner, minlength=graphs)
    widths = np.diff(np.append(starts, nodes))
    first_node = np.searchsorted(union.graph, np.arange(graphs + 1))
    first = np.cumsum([0, *(counts + 1)])[:-1]
    ptr = np.zeros(int((counts + 1).sum()), np.int64)
    ptr[np.arange(starts.size) + owner] = starts - first_node[owner]
    ptr[first + counts] = np.diff(first_node)
    begin = np.repeat(starts, widths)
    return LevelBounds(ptr, first, counts, widths, first_node, begin, begin + np.repeat(widths, widths))


class Readers(NamedTuple):
    """The readers of entries that have several, graph by graph; the order of an entry's readers is fixed."""

    entry: Numbers  # [multiple]
    ptr: Numbers  # [multiple+1]
    first: Numbers  # [graphs+1] the first entry of each graph
    reader: Numbers  # [readers]
    node: Numbers  # [readers]


def _readers(union: Union, reads: Reads, listing: Numbers, first_node: Numbers) -> Readers:
    """Entries with several readers, sorted by graph. listing : [edges] place among the outgoing edges."""
    nodes = np.arange(union.graph.size)
    found = [(own, listing, union.parents) for own in reads.of_edges]
    found += [(own, np.full(nodes.size, -1), nodes) for own in reads.of_nodes]
    several = [(own >= 0) & (reads.count[own] > 1) for own, _, _ in found]
    entry, reader, node = (
        np.concatenate([np.empty(0, np.int64), *(given[k][mask] for given, mask in zip(found, several, strict=True))])
        for k in range(3)
    )
    order = np.lexsort((entry, union.graph[node]))
    entry, reader, node = entry[order], reader[order], node[order]
    heads = np.flatnonzero(np.diff(entry, prepend=-1))
    return Readers(
        entry=entry[heads],
        ptr=np.append(heads, entry.size),
        first=np.searchsorted(union.graph[node[heads]], np.arange(union.ends.size + 1)),
        reader=reader,
        node=node - first_node[union.graph[node]],
    )


def _ring(union: Union, bounds: LevelBounds) -> int:
    """The least power of two that is enough for both passes.

    The forward pass reads parents while a level is written: all nodes from the parent to the end of the child's level.
    The backward pass reads children while the parent's level is written.
    """
    tails = union.parents
    if union.seconds is not None:
        tails = np.where(union.seconds >= 0, np.minimum(tails, union.seconds), tails)
    forward = int((bounds.end[union.children] - tails).max(initial=1))
    backward = int((union.children - bounds.begin[tails]).max(initial=0)) + 1
    return 1 << (max(forward, backward) - 1).bit_length()
