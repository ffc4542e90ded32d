"""A graph that grows edge by edge, over nodes with names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import dagdp.describe.misuse as misuse
from dagdp.describe.annotations import Annotations
from dagdp.describe.complete import Complete
from dagdp.describe.edge_arrays import (
    EdgeArrays,
    EdgeLists,
    Numbers,
    Potential,
    Shape,
    StoredEdges,
    of_edges,
    shape_of,
    summary,
)
from dagdp.describe.names import free_name, numbered
from dagdp.describe.potentials import NodeReads, Place, as_text, entries_of_edges, entries_read, starts_to_enter
from dagdp.errors import GraphError


class ByHand:
    """What `Graph()` collects. Parameters and methods are those of `Graph`, which documents them."""

    def __init__(
        self,
        starts: Iterable[Hashable] | None,
        ends: Iterable[Hashable] | None,
        potentials: Mapping[str, int | Sequence[int]] | None,
        minimize: bool,
    ) -> None:
        for what, nodes in (("starts", starts), ("ends", ends)):
            if isinstance(nodes, str):
                raise GraphError(f"{what} is the text {nodes!r}; expected a list of nodes: {what}=[{nodes!r}]")
        self.starts = None if starts is None else list(starts)
        self.ends = None if ends is None else list(ends)
        self.shapes = None if potentials is None else {k: shape_of(k, v) for k, v in potentials.items()}
        self.annotations = Annotations(minimize=bool(minimize))
        self.numbers: dict[Hashable, int] = {}
        self.edges = EdgeLists(self.shapes or ())
        self.node_entries: dict[int, dict[str, int]] = {}

    def add_node(self, node: Hashable, entries: Mapping[str, Place]) -> int:
        """The number of a node, which is added if it is new."""
        if entries and self.shapes is None:
            raise misuse.node_without_potentials(node, *next(iter(entries.items())))
        shapes = self.shapes or {}
        places = entries_read(f"node {node!r}", shapes, entries)
        try:
            number = self.numbers.setdefault(node, len(self.numbers))
        except TypeError:
            raise GraphError(f"node {node!r} is not hashable; use a string, a number or a tuple of them") from None
        known = self.node_entries.setdefault(number, places) if places else places
        if known != places:
            raise GraphError(
                f"node {node!r} was given {as_text(shapes, places)} and reads {as_text(shapes, known)} already; "
                "expected the entries of a node once, all in one call of add_node"
            )
        return number

    def add_edge(self, parents: Sequence[Hashable], child: Hashable, entries: Mapping[str, Place]) -> int:
        """The number of a new edge of one parent or two."""
        kind, named = ("edge", parents[0]) if len(parents) == 1 else ("hyperedge", parents)
        if entries and self.shapes is None:
            raise misuse.edge_without_potentials(named, child, *next(iter(entries.items())))
        places = entries_read(f"{kind} {named!r} -> {child!r}", self.shapes or {}, entries)
        return self.edges.append([self.add_node(parent, {}) for parent in parents], self.add_node(child, {}), places)

    @property
    def num_nodes(self) -> int:
        return len(self.numbers)

    @property
    def num_edges(self) -> int:
        return len(self.edges.parents)

    @property
    def nodes(self) -> list[Hashable]:
        return list(self.numbers)

    def listed(self) -> EdgeArrays:
        return self.edges.arrays(tuple(potential.index for potential in self.potentials()))

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        return numbered("start", self.starts, self.numbers), numbered("end", self.ends, self.numbers)

    def potentials(self) -> tuple[Potential, ...]:
        if self.shapes is None:
            return (of_edges(self.num_edges),)
        read = entries_of_edges(self._node_reads, self.edges, self.nodes)
        return tuple(Potential(name, shape, read[name]) for name, shape in self.shapes.items())

    def snapshot(self) -> Complete:
        """The graph as it is now. One more node enters the starts if a start reads entries."""
        listed, names, (starts, ends) = self.listed(), self.nodes, self.terminals()
        entered = starts_to_enter(self._node_reads, listed, starts)
        added = len(names) if entered.size else None
        if added is not None:
            listed, starts = self._node_reads.entering(listed, entered), np.array([added])
            names.append(free_name("(start)", self.numbers))
        sizes = len(names), listed.parents.size
        shapes: Mapping[Any, Shape] = {None: (sizes[1],)} if self.shapes is None else self.shapes
        own = self.annotations._replace(names=names, added_start=added)
        return Complete(StoredEdges(listed), sizes, (starts, ends), shapes, own)

    @property
    def _node_reads(self) -> NodeReads:
        return NodeReads(self.shapes or {}, self.node_entries, self.num_nodes)

    def __repr__(self) -> str:
        return summary(self.num_nodes, self.num_edges, self.shapes or {})
