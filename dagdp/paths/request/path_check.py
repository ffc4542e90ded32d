"""Checks of paths that the user passes: whether they are paths of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.errors import InputError
from dagdp.paths.request.array_functions import to_numpy
from dagdp.paths.request.request import Request

Numbers = NDArray[np.int64]


def checked_edges(dag: CompiledDAG, request: Request, edges: Any) -> Numbers:
    """Paths as edges int64 [*batch, *axes, L + 2] of the edge graph, with its added edges, padded with -1.

    edges : integers [*batch, *axes, L], the user's edge numbers, padded with -1; [L] is broadcast to the batch.

    Raises InputError if one is no path from a start to its item's end; the message names its place.
    """
    batch, graph = request.batch, request.edge_graph
    given = edge_numbers(request, edges)
    edges = np.concatenate([given, np.full((*given.shape[:-1], 2), -1)], -1)
    lengths = (edges >= 0).sum(-1)
    ends = request.end_nodes().reshape((*batch, *[1] * (given.ndim - 1 - len(batch))))
    finals = _finals(edges, lengths, graph.children)
    _check(dag, request, edges, lengths, finals, ends)
    np.put_along_axis(edges, lengths[..., None], joint_edges(request, finals)[..., None], -1)
    begins = np.where(lengths > 0, graph.parents[np.maximum(edges[..., 0], 0)], ends)
    entered = graph.explicit.leaving_entrance(begins)[..., None]
    return np.where(entered >= 0, np.concatenate([entered, edges[..., :-1]], -1), edges)


def edge_numbers(request: Request, edges: Any) -> Numbers:
    """Edge numbers int64 [*batch, *axes, L] as the user gave them, padded with -1; [L] is broadcast to the batch.

    Raises InputError for other shapes and numbers, and for an edge behind a -1.
    """
    given, batch, graph = to_numpy(edges), request.batch, request.edge_graph
    if given.ndim < 1 or given.dtype.kind not in "iu":
        raise InputError(
            f"paths has dtype {given.dtype} and shape {given.shape}; expected edge numbers [*batch, *axes, L]"
        )
    if given.ndim == 1:
        given = np.broadcast_to(given, (*batch, given.size))
    if given.shape[: len(batch)] != batch or given.ndim <= len(batch):
        raise InputError(f"paths has shape {given.shape}; expected [*batch, *axes, L] with {list(batch)} for *batch")
    given = given.astype(np.int64)
    refuse((given < -1) | (given >= graph.edges), lambda p: f"is {given[p]}; expected an edge, 0 to {graph.edges - 1}")
    behind = np.arange(given.shape[-1]) >= (given >= 0).sum(-1)[..., None]
    refuse((given >= 0) & behind, lambda p: f"is {given[p]}, behind a -1; expected -1 behind the last edge only")
    return given


def refuse(wrong: NDArray[np.bool_], why: Callable[[tuple[int, ...]], str]) -> None:
    """Raise InputError for the first place that is wrong."""
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(f"paths{list(place) if place else ''} {why(place)}")


def joint_edges(request: Request, finals: Numbers) -> Numbers:
    """[*batch, *axes] the edge to the joint end from where a path ends; -1 for -1, and where there is no joint end."""
    graph = request.edge_graph
    if request.end is not None or graph.ends.size == 1:
        return np.full(finals.shape, -1)
    order = np.argsort(graph.ends)
    place = np.searchsorted(graph.ends, finals, sorter=order)
    return np.where(finals >= 0, graph.edges + order[np.minimum(place, graph.ends.size - 1)], -1)


def _finals(edges: Numbers, lengths: Numbers, children: Numbers) -> Numbers:
    """[*batch, *axes] the node where each path ends, -1 for a path of length 0."""
    last = np.take_along_axis(edges, np.maximum(lengths - 1, 0)[..., None], -1)[..., 0]
    return np.where(lengths > 0, children[np.clip(last, 0, children.size - 1)], -1)


def _check(
    dag: CompiledDAG, request: Request, edges: Numbers, lengths: Numbers, finals: Numbers, ends: Numbers
) -> None:
    graph = request.edge_graph
    name, edge = graph.node_name, graph.edge_name

    def first(place: tuple[int, ...]) -> int:
        return int(edges[place][0])

    torn = (edges[..., 1:] >= 0) & (graph.children[edges[..., :-1]] != graph.parents[edges[..., 1:]])

    def tear(place: tuple[int, ...]) -> str:
        t = int(torn[place].argmax())
        return f"{edge(edges[place][t + 1])} cannot follow {edge(edges[place][t])}"

    refuse(torn.any(-1), lambda p: f"is no path: {tear(p)}")
    late = (lengths > 0) & ~np.isin(graph.parents[edges[..., 0]], dag.starts)
    before = "" if dag.graph.added_start is None else f"; first comes the edge from {name(dag.graph.added_start)}"
    refuse(late, lambda p: f"is no path: it begins with {edge(first(p))}, not at a start{before}")
    allowed = np.isin(finals, graph.ends) if request.end is None else finals == ends
    early = (lengths > 0) & ~allowed
    refuse(early, lambda p: f"is no path: it stops at {name(finals[p])}, which is not its end")
