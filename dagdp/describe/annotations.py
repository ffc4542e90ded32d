"""What is known of a complete graph beside its edges, and names of nodes that compilation adds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from dagdp.describe.cells import Recurrence
from dagdp.describe.edge_arrays import EndsByLength


class Annotations(NamedTuple):
    """What is known of a complete graph beside its edges."""

    names: list[Hashable] | None = None  # of the nodes
    ends_by_length: EndsByLength | None = None
    added_start: int | None = None
    recurrence: Recurrence | None = None


def free_name(name: str, taken: Mapping[Hashable, int]) -> str:
    """The name, in brackets until no node has it."""
    while name in taken:
        name = f"({name})"
    return name
