"""The entries of potentials that edges and nodes read: checked, and those of nodes passed on to edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dagdp.describe.edge_arrays import EdgeArrays, EdgeLists, Listed, Numbers, Shape, compact
from dagdp.errors import GraphError

#: The place of an entry in a potential: an index, or one index for each axis.
Place = int | Sequence[int]


def entries_read(what: str, shapes: Mapping[str, Shape], places: Mapping[str, Place]) -> dict[str, int]:
    """{potential: flat index of the entry} for the edge or node `what`, which error messages name.

    Raises GraphError for an unknown potential, and for a place that is no entry.
    """
    unknown = [name for name in places if name not in shapes]
    if unknown:
        raise GraphError(
            f"{what} reads potential {unknown[0]!r}, which the graph does not have; "
            f"it has {list(shapes) or 'none'}. Name it in Graph(potentials={{{unknown[0]!r}: shape}})"
        )
    return {name: _entry(what, name, shapes[name], place) for name, place in places.items()}


def _entry(what: str, name: str, shape: Shape, place: Place) -> int:
    indices = tuple(place) if isinstance(place, Sequence | np.ndarray) and not isinstance(place, str) else (place,)
    integral = all(isinstance(i, int | np.integer) for i in indices)
    if not integral or len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
        expected = "()" if not shape else ", ".join(f"0 to {n - 1}" for n in shape)
        raise GraphError(
            f"{what}: {name}={place!r} is no entry of potential {name!r}, whose shape is {shape}; expected the place "
            f"of an entry, {expected}. The weight in that place is part of theta"
        )
    return int(np.ravel_multi_index(indices, shape)) if shape else 0


def as_text(shapes: Mapping[str, Shape], read: Mapping[str, int]) -> str:
    """Entries as text, as users write them: the inverse of `entries_read`."""
    said = []
    for name, entry in read.items():
        place = tuple(int(i) for i in np.unravel_index(entry, shapes[name])) if shapes[name] else ()
        said.append(f"{name}={place[0] if len(place) == 1 else place}")
    return ", ".join(said)


@dataclass(frozen=True)
class NodeReads:
    """The entries that nodes read."""

    shapes: Mapping[str, Shape]  # {potential: shape}
    entries: Mapping[int, Mapping[str, int]]  # {node: {potential: flat index of the entry}}
    nodes: int  # number of nodes

    def by_node(self, name: str) -> Numbers:
        """[nodes] the entry of a potential that each node reads, -1 for none."""
        read = np.full(self.nodes, -1)
        for number, own in self.entries.items():
            read[number] = own.get(name, -1)
        return read

    def entering(self, listed: EdgeArrays, entered: Numbers) -> EdgeArrays:
        """The edges, followed by an edge from a new node, which has the next number, to each of the nodes `entered`."""
        indices: Iterable[tuple[Any, str]] = zip(listed.indices, self.shapes, strict=True)
        return EdgeArrays(
            compact(np.append(listed.parents, np.full(entered.size, self.nodes))),
            compact(np.append(listed.children, entered)),
            tuple(compact(np.append(index, self.by_node(name)[entered])) for index, name in indices),
            None if listed.second is None else np.append(listed.second, np.full(entered.size, -1, np.int32)),
        )


def entries_of_edges(reads: NodeReads, edges: EdgeLists, names: Sequence[Any]) -> dict[str, Listed]:
    """{potential: [edges] the entry that each edge reads, either on the edge or on its child, -1 for none}.

    Raises GraphError if an edge and its child read one potential.
    """
    own = {name: np.array(column, np.int64) for name, column in edges.entries.items()}
    into = np.array(edges.children, np.int64)
    for name in own if reads.entries else ():
        of_child = reads.by_node(name)[into]
        both = np.flatnonzero((own[name] >= 0) & (of_child >= 0))
        if both.size:
            edge = int(both[0])
            entries = int(own[name][edge]), int(of_child[edge])
            pair = names[edges.parents[edge]], names[edges.children[edge]]
            raise GraphError(_describe_both(reads.shapes, name, entries, pair))
        own[name] = np.maximum(own[name], of_child)
    return {name: compact(index) for name, index in own.items()}


def _describe_both(shapes: Mapping[str, Shape], name: str, entries: tuple[int, int], nodes: tuple[Any, Any]) -> str:
    of_edge, of_node = (as_text(shapes, {name: entry}) for entry in entries)
    parent, child = nodes
    return (
        f"edge {parent!r} -> {child!r} reads {of_edge}, and its child node {child!r} reads "
        f"{of_node}; an edge reads one entry of a potential at most. Give edges a potential of their own: "
        f"Graph(potentials={{{name!r}: {shapes[name]}, 'on_edges': shape}})"
    )


def starts_to_enter(reads: NodeReads, listed: EdgeArrays, starts: Numbers | None) -> Numbers:
    """The starts if a start reads entries, else none. Nodes without edges are starts if they read entries."""
    if not reads.entries:
        return np.empty(0, np.int64)
    size = reads.nodes
    with_entries = np.zeros(size, bool)
    with_entries[list(reads.entries)] = True
    if starts is None:
        inside = np.bincount(listed.children, minlength=size) > 0
        leads_on = np.bincount(listed.arcs()[0], minlength=size) > 0
        starts = np.flatnonzero(~inside & (with_entries | leads_on))
    # `validate` raises for a start that is named twice
    return starts if with_entries[starts].any() and np.unique(starts).size == starts.size else starts[:0]
