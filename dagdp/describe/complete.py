"""A graph that is complete: nodes are numbers, which may have names; edges are stored, or made on demand."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import dagdp.describe.misuse as misuse
from dagdp.describe.annotations import Annotations
from dagdp.describe.edge_arrays import (
    EdgeArrays,
    EdgesOnDemand,
    Numbers,
    OwnWeights,
    Potential,
    Shape,
    StoredEdges,
    summary,
)
from dagdp.describe.linear_reads import Reads
from dagdp.describe.potentials import Place


@dataclass(frozen=True, eq=False, repr=False)
class Complete:
    """What a graph from arrays holds. Methods are those of `Graph`, which documents them."""

    source: StoredEdges | EdgesOnDemand | OwnWeights
    size: tuple[int, int]  # nodes, edges
    ends: tuple[Numbers | None, Numbers | None]  # starts and ends; None where the default applies
    shapes: Mapping[Any, Shape]  # {potential: shape}
    annotations: Annotations

    def add_node(self, node: Hashable, entries: Mapping[str, Place]) -> NoReturn:
        raise misuse.added_to_complete("node")

    def add_edge(self, parents: Sequence[Hashable], child: Hashable, entries: Mapping[str, Place]) -> NoReturn:
        raise misuse.added_to_complete("edge")

    @property
    def num_nodes(self) -> int:
        return self.size[0]

    @property
    def num_edges(self) -> int:
        return self.size[1]

    @property
    def nodes(self) -> list[Hashable] | None:
        return self.annotations.names

    def listed(self) -> EdgeArrays:
        return self.source()

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        return self.ends

    def potentials(self) -> tuple[Potential, ...]:
        return tuple(Potential(*named, partial(self._reads, k)) for k, named in enumerate(self.shapes.items()))

    def _reads(self, k: int) -> Reads:
        return self.listed().indices[k]

    def with_own_weights(self) -> Complete:
        """A graph of equal nodes and edges, in which each edge has a weight of its own."""
        return replace(self, source=OwnWeights(self.source), shapes={None: (self.num_edges,)})

    def snapshot(self) -> Complete:
        source = self.source.released()
        return self if source is self.source else replace(self, source=source)

    def __repr__(self) -> str:
        return summary(*self.size, self.shapes)
