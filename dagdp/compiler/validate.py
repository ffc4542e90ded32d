"""VALIDATE: whether a dynamic program can run on the graph, and which part of the graph is live."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dagdp.compiler.arrays import adjacency, first_outside, group, reach, reach_over_both, survey, topological_order
from dagdp.describe.edge_arrays import LARGEST as LARGEST  # node and edge numbers inside one graph are int32
from dagdp.describe.edge_arrays import EdgeArrays
from dagdp.describe.graph import Graph, Potential
from dagdp.describe.linear_reads import LinearReads
from dagdp.errors import GraphError

Numbers = NDArray[np.int64]
Small = NDArray[np.int32]


@dataclass(frozen=True)
class Sound:
    """A valid graph and its live edges, those on a path from a start to an end, by the user's node numbers.

    A hyperedge is live if a start reaches both parents, and its child leads to an end.
    """

    graph: Graph
    potentials: tuple[Potential, ...]
    indices: tuple[Small, ...]  # [potentials][edges] the entry that each edge of the graph reads
    starts: Numbers
    entered: Numbers  # those of the starts that another start reaches, rising
    ends: Numbers
    sequence: Numbers  # all nodes in topological order; without entries: the order of their numbers
    parents: Small  # [E]
    children: Small  # [E]
    second: Small | None  # [E] the second parents of hyperedges, -1 for none; None for a graph without hyperedges
    edges: Small  # [E] the user's numbers of the live edges; without entries: all edges are live
    seen: tuple[Small, Small, bool] | None  # fan-in, fan-out, grouped (see `survey`), if all edges are live
    reached: NDArray[np.bool_]  # [nodes] whether a path from a start leads to the node

    def without_edges(self) -> Sound:
        """The graph without the edges, once other arrays hold them."""
        none = self.edges[:0].copy()
        return replace(
            self,
            indices=(),
            sequence=self.sequence[:0].copy(),
            parents=none,
            children=none,
            second=None,
            edges=none,
            seen=None,
        )


class UnreachedError(GraphError):
    """No start reaches any end: an error for one graph; in a batch of graphs the graph is an item without a path."""


def validate(graph: Graph) -> Sound:
    """The valid graph and its live edges. Raises GraphError that names the fault by the user's node names."""
    check_size(graph)
    listed, potentials, size = graph.listed(), graph.potentials(), graph.num_nodes
    parents, children, second = listed.parents, listed.children, listed.second
    fan_in, fan_out, sound, rising, grouped = survey(parents, children, size)
    _check_ranges(graph, listed, sound)
    arcs, arcs_in = (parents, children), fan_in
    if second is not None:
        arcs = listed.arcs()
        arcs_in, fan_out, _, rising, _ = survey(*arcs, size)
    for potential in potentials:
        check_reads(potential)
    sequence = np.empty(0, np.int64)
    if not rising:
        ptr, _, far = adjacency(*arcs, fan_out, False)
        sequence = topological_order(far, arcs_in, ptr)
        if sequence.size < size:
            raise GraphError(_describe_cycle(graph, *arcs, sequence))
    sources = np.flatnonzero((fan_in == 0) & (fan_out > 0))
    sinks = np.flatnonzero((fan_out == 0) & (fan_in > 0))
    given = graph.terminals()
    starts, ends = (own if own is not None else found for own, found in zip(given, (sources, sinks), strict=True))
    seen, entered = None, starts[:0]
    if _all_live(starts, ends, sources, sinks, fan_in):
        reached = (fan_in > 0) | (fan_out > 0)
        starts, edges, seen = starts[fan_out[starts] > 0], np.empty(0, np.int32), (fan_in, fan_out, grouped)
    else:
        sequence_or_own = sequence if sequence.size else np.arange(size)
        reached = reached_from(listed, sequence_or_own, starts, size)
        if not reached[ends].any():
            raise UnreachedError(_describe_unreached(graph, starts, ends))
        ends = ends[reached[ends]]
        if second is not None:
            arcs = listed.arcs(listed.within(reached))
        tails, heads = arcs
        to_end = reach(heads, tails, *group(heads, size), sequence_or_own[::-1].copy(), ends, size)
        alive = reached & to_end
        whole = listed.within(alive)
        _check_terminals(graph, starts, ends)
        starts, edges = starts[alive[starts]], np.flatnonzero(whole).astype(np.int32)
        parents, children, second = parents[edges], children[edges], None if second is None else second[edges]
        is_child = np.zeros(size, np.bool_)
        is_child[children] = True
        entered = np.unique(starts[is_child[starts]])
    return Sound(
        graph=graph,
        potentials=potentials,
        indices=tuple(potential.index for potential in potentials),
        starts=starts,
        entered=entered,
        ends=ends,
        sequence=sequence,
        parents=parents,
        children=children,
        second=second,
        edges=edges,
        seen=seen,
        reached=reached,
    )


def reached_from(listed: EdgeArrays, sequence: Numbers, starts: Numbers, size: int) -> NDArray[np.bool_]:
    """[nodes] whether a start leads to the node: over a hyperedge only together with starts that lead to its partner.

    sequence : all nodes in topological order.
    """
    if listed.second is None:
        return reach(listed.parents, listed.children, *group(listed.parents, size), sequence, starts, size)
    return reach_over_both(listed.parents, listed.second, *group(listed.children, size), sequence, starts, size)


def warn_of_default_ends(graph: Graph, ends: Numbers, label: str, stacklevel: int) -> None:
    """Warn if no ends were named and several were found: a node that leads nowhere by mistake would be an end.

    ends : the ends that a start reaches. label : names the graph. stacklevel : of the caller, as in `warnings.warn`.
    """
    if graph.terminals()[1] is None and ends.size > 1:
        warnings.warn(
            f"{label} was given no ends=, and {ends.size} nodes have no child: {_some(graph, ends)}. A path may end at "
            "each of them. Name those that are meant where the graph is made, as by Graph(ends=[...]); nodes that lead "
            "to none of them are dropped",
            stacklevel=stacklevel + 1,
        )


def _all_live(starts: Numbers, ends: Numbers, sources: Numbers, sinks: Numbers, fan_in: NDArray[np.int32]) -> bool:
    """Whether all edges are live: every node without parents is a start, every node without children an end."""
    return (
        bool((fan_in[starts] == 0).all() and (fan_in[ends] > 0).all())
        and (starts is sources or not np.setdiff1d(sources, starts).size)
        and (ends is sinks or not np.setdiff1d(sinks, ends).size)
    )


def _describe_unreached(graph: Graph, starts: Numbers, ends: Numbers) -> str:
    named, verb = ("end", "is") if ends.size == 1 else ("ends", "are")
    if graph.added_start is not None:  # name the user's starts, its children
        parents, children = graph.edges()
        starts = children[parents == graph.added_start]
    began = "" if graph.terminals()[0] is not None else ", the nodes without parents"
    return (
        f"{named} {_some(graph, ends)} {verb} reached from no start ({_some(graph, starts)}{began}); add an edge that "
        "leads from a start to an end, or name other nodes with starts= or ends="
        + graph.in_text("begin a path by 0, or `return` other cells")
    )


def _some(graph: Graph, nodes: Numbers) -> str:
    names = ", ".join(repr(graph.name(node)) for node in nodes[:3])
    return names + (f" and {nodes.size - 3} more" if nodes.size > 3 else "")


def check_size(graph: Graph) -> None:
    """Raise GraphError for a graph without edges, or with too many. Called before arrays are made."""
    if graph.num_edges == 0:
        mend = graph.in_text(
            "keep an alternative that reads a table; every one is out of range, or excluded by when(...)"
        )
        raise GraphError(f"the graph has no edge; add one with add_edge(parent, child){mend}")
    if graph.num_edges > LARGEST or graph.num_nodes >= LARGEST:
        raise GraphError(
            f"the graph has {graph.num_nodes} nodes and {graph.num_edges} edges; expected fewer than 2^31 of each. "
            "Split it: a batch of smaller graphs has no such limit"
        )


def _check_ranges(graph: Graph, listed: EdgeArrays, sound: bool) -> None:
    """sound : whether all first parents and all children are nodes."""
    for what, nodes in (("parent", listed.parents), ("child", listed.children)):
        wrong = np.empty(0) if sound else np.flatnonzero((nodes < 0) | (nodes >= graph.num_nodes))
        if wrong.size:
            raise GraphError(
                f"edge {wrong[0]} has {what} {nodes[wrong[0]]}; expected 0 <= {what} < num_nodes = {graph.num_nodes}"
            )
    second = np.empty(0, np.int32) if listed.second is None else listed.second
    wrong = np.flatnonzero((second < -1) | (second >= graph.num_nodes))
    if wrong.size:
        raise GraphError(
            f"edge {wrong[0]} has second parent {second[wrong[0]]}; expected -1 (none) or 0 <= second parent < "
            f"num_nodes = {graph.num_nodes}"
        )
    for what, terminals in zip(("start", "end"), graph.terminals(), strict=True):
        if terminals is None:
            continue
        if terminals.size == 0:
            raise GraphError(f"{what}s is empty; name at least one node, or leave {what}s out")
        if np.unique(terminals).size != terminals.size:
            raise GraphError(f"{what}s names a node twice; name each once")
        wrong = np.flatnonzero((terminals < 0) | (terminals >= graph.num_nodes))
        if wrong.size:
            raise GraphError(
                f"{what} {terminals[wrong[0]]} is no node; expected 0 <= {what} < num_nodes = {graph.num_nodes}"
            )


def check_reads(potential: Potential) -> None:
    """Raise GraphError for more entries than int32 can number, and for an edge that reads an entry that is none."""
    if potential.size > LARGEST:
        raise GraphError(
            f"potential {potential.name!r} has shape {potential.shape}, {potential.size} entries; expected fewer "
            "than 2^31. Give it a shape that holds only what edges read"
        )
    reads = potential.reads
    entries = reads.entry if isinstance(reads, LinearReads) else reads
    wrong = first_outside(entries, potential.size)
    if wrong >= 0:
        edge = reads.edge[wrong] if isinstance(reads, LinearReads) else wrong
        raise GraphError(
            f"edge {edge} reads entry {entries[wrong]} of potential {potential.name!r}; expected "
            f"-1 (none) or an index below {potential.size}, the size of shape {potential.shape}"
        )


def _check_terminals(graph: Graph, starts: Numbers, ends: Numbers) -> None:
    both = np.intersect1d(starts, ends)
    if both.size:
        raise GraphError(
            f"node {graph.name(both[0])!r} is both a start and an end; expected a path of at least one edge. "
            "Leave it out of starts= or ends="
        )


def _describe_cycle(graph: Graph, parents: Small, children: Small, ordered: Numbers) -> str:
    """The names along a cycle, by a walk backwards among the nodes that Kahn's algorithm left out.

    Each of these nodes has a parent among them, so the walk closes.
    """
    stuck = np.ones(graph.num_nodes, bool)
    stuck[ordered] = False
    inside = np.flatnonzero(stuck[parents] & stuck[children])
    parent_of = np.full(graph.num_nodes, -1, np.int64)
    parent_of[children[inside]] = parents[inside]
    node = int(children[inside[0]])
    seen: dict[int, int] = {}
    walk: list[int] = []
    while node not in seen:
        seen[node] = len(walk)
        walk.append(node)
        node = int(parent_of[node])
    cycle = [*walk[seen[node] :], node][::-1]
    names = [repr(graph.name(node)) for node in cycle]
    if len(names) > 24:
        names = [*names[:12], f"... {len(names) - 24} more ...", *names[-12:]]
    mend = graph.in_text("exclude an alternative by when(...)")
    return f"the graph has a cycle: {' -> '.join(names)}; remove one of these edges{mend}"
