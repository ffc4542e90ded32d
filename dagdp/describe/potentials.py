"""The entries of potentials that edges and nodes read: checked, and those of nodes passed on to edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dagdp.describe.edge_arrays import EdgeArrays, Listed, Numbers, Shape, compact
from dagdp.errors import GraphError

#: The place of an entry in a potential: an index, or one index for each axis.
Place = int | Sequence[int]


def entries_read(what: str, shapes: Mapping[str, Shape], places: Mapping[str, Place]) -> dict[str, int]:
    """{potential: flat index of the entry} for an edge or a node. what : its name, for error messages.

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
    whole = all(isinstance(i, int | np.integer) for i in indices)
    if not whole or len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
        expected = "()" if not shape else ", ".join(f"0 to {n - 1}" for n in shape)
        raise GraphError(
            f"{what}: {name}={place!r} is no entry of potential {name!r}, whose shape is {shape}; expected the place "
            f"of an entry, {expected}. The weight in that place is part of theta"
        )
    return int(np.ravel_multi_index(indices, shape)) if shape else 0


def written(shapes: Mapping[str, Shape], read: Mapping[str, int]) -> str:
    """Entries as text, as users write them: the inverse of `entries_read`."""
    said = []
    for name, entry in read.items():
        place = tuple(int(i) for i in np.unravel_index(entry, shapes[name])) if shapes[name] else ()
        said.append(f"{name}={place[0] if len(place) == 1 else place}")
    return ", ".join(said)


@dataclass(frozen=True)
class Reading:
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
        indices = zip(listed.indices, self.shapes, strict=True)
        return EdgeArrays(
            compact(np.append(listed.parents, np.full(entered.size, self.nodes))),
            compact(np.append(listed.children, entered)),
            tuple(compact(np.append(index, self.by_node(name)[entered])) for index, name in indices),
        )


def handed_down(
    reading: Reading,
    of_edges: Mapping[str, Sequence[int]],
    parents: Sequence[int],
    children: Sequence[int],
    names: Sequence[Any],
) -> dict[str, Listed]:
    """{potential: [edges] the entry that each edge reads}: its own entry, or its child's; -1 for none.

    Raises GraphError if an edge and its child read one potential.
    """
    own = {name: np.array(column, np.int64) for name, column in of_edges.items()}
    into = np.array(children, np.int64)
    for name in own if reading.entries else ():
        of_child = reading.by_node(name)[into]
        both = np.flatnonzero((own[name] >= 0) & (of_child >= 0))
        if both.size:
            edge = int(both[0])
            entries, pair = (int(own[name][edge]), int(of_child[edge])), (names[parents[edge]], names[children[edge]])
            raise GraphError(_describe_both(reading.shapes, name, entries, pair))
        own[name] = np.maximum(own[name], of_child)
    return {name: compact(index) for name, index in own.items()}


def _describe_both(shapes: Mapping[str, Shape], name: str, entries: tuple[int, int], nodes: tuple[Any, Any]) -> str:
    of_edge, of_node = (written(shapes, {name: entry}) for entry in entries)
    parent, child = nodes
    return (
        f"edge {parent!r} -> {child!r} reads {of_edge}, and its child node {child!r} reads "
        f"{of_node}; an edge reads one entry of a potential at most. Give edges a potential of their own: "
        f"Graph(potentials={{{name!r}: {shapes[name]}, 'on_edges': shape}})"
    )


def starts_to_enter(reading: Reading, listed: EdgeArrays, starts: Numbers | None) -> Numbers:
    """The starts, if one of them reads entries; else none. A node without edges is a start if it reads entries."""
    if not reading.entries:
        return np.empty(0, np.int64)
    size = reading.nodes
    reads = np.zeros(size, bool)
    reads[list(reading.entries)] = True
    if starts is None:
        inside = np.bincount(listed.children, minlength=size) > 0
        starts = np.flatnonzero(~inside & (reads | (np.bincount(listed.parents, minlength=size) > 0)))
    # `validate` raises for a start that is named twice
    return starts if reads[starts].any() and np.unique(starts).size == starts.size else starts[:0]
