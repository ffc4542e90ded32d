"""What is known of a graph beside its edges."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from dagdp.describe.cells import Recurrence
from dagdp.describe.edge_arrays import EndsByLength


class Annotations(NamedTuple):
    """What is known of a graph beside its edges."""

    names: list[Hashable] | None = None  # of the nodes
    ends_by_length: EndsByLength | None = None
    added_start: int | None = None
    added_end: int | None = None
    recurrence: Recurrence | None = None
    minimize: bool = False
