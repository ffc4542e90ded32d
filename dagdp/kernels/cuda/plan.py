"""The plan of a graph, or of a batch of graphs, for device kernels: index arrays, and a table that finds them.

A block of threads, or a warp, processes one graph of one batch item, whatever else is in the batch. So the plan lists
each graph by itself: nodes level by level, incoming edges for the forward pass, outgoing edges for the backward pass,
and the readers of entries that several edges read. A batch of graphs is compiled in merged form (compiler/batch.py),
from which the graphs are taken apart again, all at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.errors import InputError
from dagdp.kernels.cuda.records import Column

Numbers = NDArray[np.int64]
LARGEST = 2**31 - 1  # of numbers in a plan, which are int32

_plans: WeakKeyDictionary[Any, DevicePlan] = WeakKeyDictionary()
_making = threading.Lock()


class DevicePlan(NamedTuple):
    """Index arrays of all graphs, and the facts by which a launch chooses its kernel."""

    plan: NDArray[np.int32]
    table: NDArray[np.int32]  # [graphs, columns], see `Column`; graphs with most edges first, so that they are begun first
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

    @property
    def graphs(self) -> int:
        """The number of graphs."""
        return len(self.table)


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


def device_plan(graphs: Any) -> DevicePlan:
    """The plan of a CompiledDAG, or of a CompiledBatch of different graphs, made at the first call.

    Raises InputError where the plan would have more numbers than int32 can count.
    """
    with _making:
        known = _plans.get(graphs)
        if known is None:
            known = _plans[graphs] = _made(
                _union_of_graph(graphs) if isinstance(graphs, CompiledDAG) else _union_of_batch(graphs)
            )
    return known


def _union_of_graph(dag: CompiledDAG) -> Union:
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


def _union_of_batch(batch: Any) -> Union:
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
    for part in batch.merged:
        dag = part.dag
        origin = dag.origin.astype(np.int64)
        owner = np.searchsorted(part.nodes, origin, side="right") - 1
        owner[(origin < 0) | (origin >= part.nodes[-1])] = -1
        if dag.entrances.size:
            owner[dag.entrances[:, 1]] = np.searchsorted(part.nodes, dag.entrances[:, 0], side="right") - 1
        levels = dag.wiring.incoming.levels
        level = np.repeat(np.arange(levels.size - 1), np.diff(levels))
        kept = np.flatnonzero(owner >= 0)
        kept = kept[np.argsort(owner[kept], kind="stable")]
        number = np.full(dag.num_nodes + 1, -1)  # the last place serves -1, no second parent
        number[kept] = np.arange(kept.size) + nodes
        own = (number[dag.parents] >= 0) & (number[dag.children] >= 0)
        edges, first = dag.edges[own], int(before[part.first])
        known = (edges >= 0) & (edges < before[part.last] - first)
        parts.append(
            Union(
                graph=owner[kept] + part.first,
                level=level[kept],
                parents=number[dag.parents[own]],
                children=number[dag.children[own]],
                slots=dag.slots[own],
                seconds=None if dag.seconds is None else number[dag.seconds[own]],
                edges=np.where(known, edges + first, -1),
                entries=_joined_entries(
                    dag,
                    edges,
                    [int(at + section.offsets[part.first]) for at, section in zip(starts, sections, strict=False)],
                ),
                on_nodes=[k in dag.hoisted for k in range(len(sections))],
                ends=np.where(part.ends >= 0, number[part.ends], -1),
                total=0,
                users=0,
            )
        )
        nodes += kept.size
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


def _made(union: Union) -> DevicePlan:
    """The plan: every array once for all graphs, and the table of where each graph's part begins."""
    graphs, nodes = union.ends.size, union.graph.size
    first_node = np.searchsorted(union.graph, np.arange(graphs + 1))
    begins = first_node[union.graph]  # [nodes] the first node of each node's graph
    parents, children = union.parents, union.children

    bounds = _level_bounds(union)
    in_ptr = np.cumsum([0, *np.bincount(children, minlength=nodes)])
    place = in_ptr[children] + union.slots  # of each edge among the incoming ones
    order = np.empty(place.size, np.int64)
    order[place] = np.arange(place.size)

    edge_entries = [own for own, hoisted in zip(union.entries, union.on_nodes, strict=True) if not hoisted]
    node_entries = []
    for own, hoisted in zip(union.entries, union.on_nodes, strict=True):
        if hoisted:
            of_nodes = np.full(nodes, -1)
            of_nodes[children] = own
            node_entries.append(of_nodes)

    tail, out = (
        parents,
        np.arange(parents.size),
    )  # of outgoing edges: the parent under which one is listed, and the edge
    other = union.seconds
    if union.seconds is not None:
        pairs = np.flatnonzero(union.seconds >= 0)
        tail, out = np.concatenate([parents, union.seconds[pairs]]), np.concatenate([out, pairs])
        other = np.concatenate([union.seconds, parents[pairs]])
    by_parent = np.argsort(tail, kind="stable")
    listing = np.empty(
        parents.size, np.int64
    )  # of each edge, its place among the outgoing ones, under its first parent
    ranked = np.empty(tail.size, np.int64)
    ranked[by_parent] = np.arange(tail.size)
    listing[:] = ranked[: parents.size]
    out_ptr = np.cumsum([0, *np.bincount(tail, minlength=nodes)])
    second_listing = by_parent >= parents.size

    count = np.zeros(union.total, np.int64)
    for own in (*edge_entries, *node_entries):
        count += np.bincount(own[own >= 0], minlength=union.total)
    readers = _readers(count, union, edge_entries, node_entries, listing, first_node)

    def local(numbers: Numbers, base: Numbers) -> Numbers:
        """Node numbers within their graph, -1 for none."""
        return np.where(numbers >= 0, numbers - base, -1)

    def once(entries: Numbers) -> Numbers:
        """The entries that have one reader, otherwise -1."""
        return np.where((entries >= 0) & (count[entries] == 1), entries, -1)

    of_child = begins[children]
    out_entries = [own[out[by_parent]] for own in edge_entries]
    arrays: dict[Column, list[Numbers]] = {
        Column.LEVEL_PTR: [bounds.ptr],
        Column.IN_PTR: [in_ptr],
        Column.IN_PARENT: [local(parents, of_child)[order]],
        Column.IN_SECOND: [] if union.seconds is None else [local(union.seconds, of_child)[order]],
        Column.IN_ENTRY: [own[order] for own in edge_entries],
        Column.NODE_ENTRY: node_entries,
        Column.NODE_TARGET: [once(own) for own in node_entries],
        Column.OUT_PTR: [out_ptr],
        Column.OUT_CHILD: [local(children, of_child)[out[by_parent]]],
        Column.OUT_SLOT: [union.slots[out[by_parent]]],
        Column.OUT_OTHER: [] if other is None else [local(other[by_parent], of_child[out[by_parent]])],
        Column.OUT_ENTRY: out_entries,
        Column.OUT_TARGET: [np.where(second_listing, -1, once(own)) for own in out_entries],
        Column.EDGE: [union.edges[order]],
        Column.READ_ENTRY: [readers.entry],
        Column.READ_PTR: [readers.ptr],
        Column.READER: [readers.reader],
        Column.READER_NODE: [readers.node],
    }
    table = np.zeros((graphs, len(Column)), np.int64)
    pieces: list[Numbers] = []
    size = 0
    for column, own in arrays.items():
        table[:, column] = size
        pieces += own
        size += sum(array.size for array in own)
    if size > LARGEST:
        raise InputError(
            f"the graph has {parents.size} edges, and its plan for a CUDA device {size} numbers; expected at most "
            f"{LARGEST}: split the graph, or take a smaller one"
        )
    table[:, Column.NODES] = np.diff(first_node)
    table[:, Column.EDGES], table[:, Column.OUT_EDGES] = parents.size, tail.size
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
    return DevicePlan(
        plan=np.concatenate(pieces).astype(np.int32) if pieces else np.zeros(0, np.int32),
        table=np.ascontiguousarray(table[np.argsort(-work, kind="stable")], np.int32),
        nodes=nodes,
        entries=union.total,
        edges=union.users,
        levels=int(bounds.counts.max(initial=1)),
        widths=bounds.widths,
        edge_blocks=len(edge_entries),
        node_blocks=len(node_entries),
        pairs=union.seconds is not None,
        readers=bool(readers.entry.size),
        unread=bool((count == 0).any()),
        ring=_ring(union, bounds),
    )


class LevelBounds(NamedTuple):
    """Levels of all graphs, one graph after another."""

    ptr: Numbers  # [levels+1 of each graph] the first node of each level within its graph, and the number of nodes
    first: Numbers  # [graphs] each graph's first place in `ptr`
    counts: Numbers  # [graphs] levels
    widths: Numbers  # [levels of all graphs]
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
    return LevelBounds(ptr, first, counts, widths, begin, begin + np.repeat(widths, widths))


class Readers(NamedTuple):
    """The readers of entries that have several, graph by graph; the order of an entry's readers is fixed."""

    entry: Numbers  # [multiple]
    ptr: Numbers  # [multiple+1]
    first: Numbers  # [graphs+1] the first entry of each graph
    reader: Numbers  # [readers]
    node: Numbers  # [readers]


def _readers(
    count: Numbers,
    union: Union,
    edge_entries: list[Numbers],
    node_entries: list[Numbers],
    listing: Numbers,
    first_node: Numbers,
) -> Readers:
    """count : [entries] readers of each. listing : [edges] place among the outgoing edges."""
    nodes, owner = np.arange(union.graph.size), union.graph
    found = [(own, listing, union.parents) for own in edge_entries]
    found += [(own, np.full(nodes.size, -1), nodes) for own in node_entries]
    picked = [own >= 0 for own, _, _ in found]
    several = [mask & (count[own] > 1) for mask, (own, _, _) in zip(picked, found, strict=True)]
    entry, reader, node = (
        np.concatenate([given[part][mask] for mask, given in zip(several, found, strict=True)])
        if found
        else np.empty(0, np.int64)
        for part in range(3)
    )
    order = np.lexsort((entry, owner[node]))
    entry, reader, node = entry[order], reader[order], node[order]
    heads = np.flatnonzero(np.diff(entry, prepend=-1))
    first = np.searchsorted(owner[node[heads]], np.arange(union.ends.size + 1))
    return Readers(
        entry=entry[heads],
        ptr=np.append(heads, entry.size),
        first=first,
        reader=reader,
        node=node - first_node[owner[node]],
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
