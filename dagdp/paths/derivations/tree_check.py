"""Checks of derivations that the user passes: whether they are derivations of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.paths.derivations.loops import LEFT_OVER, find_faults
from dagdp.paths.request.edge_graph import EdgeGraph, Numbers
from dagdp.paths.request.path_check import edge_numbers, joint_edges, refuse
from dagdp.paths.request.request import Request


def checked_trees(request: Request, edges: Any) -> Numbers:
    """Derivations as edges int64 [*batch, *axes, 2 L + 2] of the edge graph, in any order, with -1 among them.

    edges : integers [*batch, *axes, L], the user's edge numbers in preorder, padded with -1; [L] is broadcast to the
        batch.

    Raises InputError if one is no derivation of its item's end; the message names its place.
    """
    given, graph = edge_numbers(request, edges), request.edge_graph
    faults, added = faults_of_trees(graph, given)
    refuse(faults[..., 0] > 0, lambda place: told(graph, given[place], faults[place]))
    some = (given >= 0).any(-1)
    heads = given[..., 0] if given.shape[-1] else np.full(given.shape[:-1], -1)
    ends = request.end_nodes().reshape((*request.batch, *[1] * (heads.ndim - len(request.batch))))
    roots = np.where(some, graph.children[heads], -1)
    allowed = np.isin(roots, graph.ends) if request.end is None else roots == ends
    refuse(
        some & ~allowed,
        lambda place: f"is no derivation of an end: it begins with {graph.edge_name(given[place][0])}",
    )
    added[..., 0] = np.where(some, added[..., 0], graph.explicit.leaving_entrance(ends))
    return np.concatenate([joint_edges(request, roots)[..., None], given, added], -1)


def faults_of_trees(graph: EdgeGraph, edges: Numbers) -> tuple[Numbers, Numbers]:
    """(faults [*axes, 3], added edges [*axes, L + 1]) of derivations [*axes, L], as `find_faults` has them."""
    rows = np.ascontiguousarray(edges.reshape(-1, edges.shape[-1]))
    faults, added = np.zeros((len(rows), 3), np.int64), np.full((len(rows), edges.shape[-1] + 1), -1)
    leaving = graph.explicit.leaving_entrance(np.arange(graph.nodes))
    find_faults(graph.incoming, graph.children, leaving, rows, added, faults)
    return faults.reshape(*edges.shape[:-1], 3), added.reshape(*edges.shape[:-1], -1)


def told(graph: EdgeGraph, edges: Numbers, fault: Numbers) -> str:
    """What is wrong with a derivation [L], from its row of faults."""
    kind, at, expected = fault.tolist()
    if kind == LEFT_OVER:
        return f"is no derivation: {graph.edge_name(edges[at])} follows where it is complete"
    wanted = f"an edge into {graph.node_name(expected)}"
    if at < edges.size and edges[at] >= 0:
        return f"is no derivation: {graph.edge_name(edges[at])} stands where {wanted} was expected"
    return f"is no derivation: it stops where {wanted} was expected"
