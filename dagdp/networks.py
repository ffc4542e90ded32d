"""Graphs of networkx as graphs of this package."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.errors import GraphError
from dagdp.graph import Graph


def from_networkx(
    G: Any,
    weight: str = "weight",
    *,
    starts: Iterable[Hashable] | None = None,
    ends: Iterable[Hashable] | None = None,
) -> tuple[Graph, NDArray[np.float64]]:
    """(graph, theta) of a networkx DiGraph or MultiDiGraph; theta [edges] follows the edges of `G`.

    Edge number e is the e-th of `G.edges` (with keys for a MultiDiGraph: parallel edges stay apart),
    so `dict(zip(G.edges, dp_grad(compile(graph), theta)))` is the expected path on G's own edges.
    Nodes without edges take no part. starts, ends : as in `Graph`.
    Raises GraphError naming the edge that lacks the attribute.

    Example
    -------
    >>> import networkx
    >>> G = networkx.DiGraph()
    >>> G.add_weighted_edges_from([("a", "b", 1.0), ("b", "c", 2.0), ("a", "c", 2.5)])
    >>> graph, theta = from_networkx(G)
    >>> theta.tolist(), list(G.edges)[1]
    ([1.0, 2.5, 2.0], ('a', 'c'))
    """
    if not hasattr(G, "is_directed") or not G.is_directed():
        raise GraphError(f"from_networkx was given {type(G).__name__}; expected a DiGraph or a MultiDiGraph")
    graph = Graph(starts=starts, ends=ends)
    theta = np.empty(G.number_of_edges())
    triples = G.edges(keys=True, data=weight) if G.is_multigraph() else G.edges(data=weight)
    for e, (*edge, value) in enumerate(triples):
        try:
            theta[e] = float(value)
        except (TypeError, ValueError):
            problem = "has no attribute" if value is None else f"has {value!r}, not a number, as"
            raise GraphError(
                f"edge {tuple(edge)!r} {problem} {weight!r}; set it on every edge, "
                "or name another attribute with weight="
            ) from None
        graph.add_edge(edge[0], edge[1])
    return graph, theta
