"""The wiring of a graph inside a kernel, found by the addresses of its arrays: see `dagdp.wiring.addresses`."""

from __future__ import annotations

import itertools
from typing import Any

from dagdp.kernels.jit import inlined
from dagdp.kernels.vectors import lent
from dagdp.wiring import Hoisted, Incoming, Outgoing, Tied, Wiring

_SIZES = [len(part._fields) for part in (Incoming, Outgoing, Hoisted, Tied, Outgoing, Incoming)]
FIRST = Wiring(*itertools.accumulate([0, *_SIZES[:-1]]))  # type: ignore[arg-type]
INCOMING, OUTGOING, HOISTED, TIED, FREE, PASSING = FIRST


@inlined
def forward_wires(table: Any, first: int) -> Any:
    """(incoming, hoisted, tied), of which `first` says whether v is kept of all nodes (INCOMING) or few (PASSING)."""
    return lent(table, first, Incoming), lent(table, HOISTED, Hoisted), lent(table, TIED, Tied)


@inlined
def backward_wires(table: Any) -> Any:
    """(outgoing, free)."""
    return lent(table, OUTGOING, Outgoing), lent(table, FREE, Outgoing)
