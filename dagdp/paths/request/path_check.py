"""Checks of paths that the user passes: whether they are paths of the graph."""

from __future__ import annotations

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
    given = to_numpy(edges)
    if given.ndim < 1 or given.dtype.kind not in "iu":
        raise InputError(
            f"paths has dtype {given.dtype} and shape {given.shape}; expected edge numbers [*batch, *axes, L]"
        )
    batch, graph = request.batch, request.edge_graph
    if given.ndim == 1:
        given = np.broadcast_to(given, (*batch, given.size))
    if given.shape[: len(batch)] != batch or given.ndim <= len(batch):
        raise InputError(f"paths has shape {given.shape}; expected [*batch, *axes, L] with {list(batch)} for *batch")
    edges = np.concatenate([given, np.full((*given.shape[:-1], 2), -1)], -1).astype(np.int64)
    lengths = (edges >= 0).sum(-1)
    ends = request.end_nodes().reshape((*batch, *[1] * (given.ndim - 1 - len(batch))))
    finals = _finals(edges, lengths, graph.children)
    _check(dag, request, edges, lengths, finals, ends)
    if request.end is None and graph.ends.size > 1:
        place = np.searchsorted(graph.ends, finals, sorter=np.argsort(graph.ends))
        joint = graph.edges + np.argsort(graph.ends)[np.minimum(place, graph.ends.size - 1)]
        np.put_along_axis(edges, lengths[..., None], np.where(lengths > 0, joint, -1)[..., None], -1)
    begins = np.where(lengths > 0, graph.parents[np.maximum(edges[..., 0], 0)], ends)
    entered = graph.explicit.leaving_entrance(begins)[..., None]
    return np.where(entered >= 0, np.concatenate([entered, edges[..., :-1]], -1), edges)


def _finals(edges: Numbers, lengths: Numbers, children: Numbers) -> Numbers:
    """[*batch, *axes] the node where each path ends, -1 for a path of length 0."""
    last = np.take_along_axis(edges, np.maximum(lengths - 1, 0)[..., None], -1)[..., 0]
    return np.where(lengths > 0, children[np.clip(last, 0, children.size - 1)], -1)


def _check(
    dag: CompiledDAG, request: Request, edges: Numbers, lengths: Numbers, finals: Numbers, ends: Numbers
) -> None:
    graph = request.edge_graph

    def name(node: Any) -> str:
        return repr(dag.graph.name(node))

    def edge(e: Any) -> str:
        return f"edge {e} ({name(graph.parents[e])} -> {name(graph.children[e])})"

    def refuse(wrong: NDArray[np.bool_], why: Any) -> None:
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise InputError(f"paths{list(place) if place else ''} {why(place)}")

    def first(place: tuple[int, ...]) -> int:
        return int(edges[place][0])

    refuse((edges < -1) | (edges >= graph.edges), lambda p: f"is {edges[p]}; expected an edge, 0 to {graph.edges - 1}")
    offset_view = np.arange(edges.shape[-1]) >= lengths[..., None]
    refuse((edges >= 0) & offset_view, lambda p: f"is {edges[p]}, behind a -1; expected -1 behind the last edge only")
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
