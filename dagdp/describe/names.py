"""The user's names of nodes, and the numbers that stand for them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from dagdp.describe.edge_arrays import Numbers
from dagdp.errors import GraphError


def numbered(what: str, nodes: Sequence[Hashable] | None, numbers: Mapping[Hashable, int]) -> Numbers | None:
    """The numbers of the nodes that `what`, starts or ends, names; None for None. Raises GraphError for a new node."""
    if nodes is None:
        return None
    for node in nodes:
        if node not in numbers:
            raise GraphError(f"{what} {node!r} is on no edge of the graph; add an edge that reaches it")
    return np.array([numbers[node] for node in nodes], np.int64)


def free_name(name: str, taken: Mapping[Hashable, int]) -> str:
    """The name, in brackets until no node has it."""
    while name in taken:
        name = f"({name})"
    return name
