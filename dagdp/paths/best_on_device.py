"""The best path of tensors on a device: found by a kernel, and laid out there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagdp.array_kinds import on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import Options
from dagdp.paths.request.edge_graph import edge_graph
from dagdp.paths.result import Paths


def stays_on_device(dag: CompiledDAG, theta: Any) -> bool:
    """Whether potentials are on a device, and the graph is one whose best path a kernel finds."""
    arrays = theta.values() if isinstance(theta, Mapping) else [theta]
    return any(map(on_accelerator, arrays)) and dag.plain is None and not dag.has_hyperedges


def best_on_device(dag: CompiledDAG, theta: Any, minimize: bool, end: Any) -> Paths:
    """`best_path`, without a number that the host reads."""
    import torch

    from dagdp.nn.autograd.device.accelerator import constant_beside
    from dagdp.nn.autograd.functions import best_edges
    from dagdp.nn.autograd.tensors import numbers_beside

    scores, backwards = best_edges(dag, theta, Options(minimize, None, end))
    graph = edge_graph(dag)
    parents, children, is_start = (
        constant_beside(backwards, array, "the nodes of edges")
        for array in (graph.parents, graph.children, graph.is_start)
    )
    lengths = (backwards >= 0).sum(-1)
    longest = backwards.shape[-1]
    place = lengths.unsqueeze(-1) - 1 - torch.arange(longest, device=backwards.device)
    edges = torch.where(place >= 0, backwards.long().gather(-1, place.clamp(min=0)), -1)
    last = numbers_beside(scores, dag, end, "end")
    ends = torch.full_like(lengths, graph.end) if last is None else last.expand(lengths.shape)
    here = (ends >= 0) & (ends < graph.users) & is_start[ends.clamp(0, graph.users - 1)]
    found = torch.isfinite(scores) & (lengths == 0) & here
    first = torch.where(found, ends, -1).unsqueeze(-1)
    if longest:
        first = torch.where(lengths.unsqueeze(-1) > 0, parents[edges[..., :1].clamp(min=0)], first)
    nodes = torch.cat([first, torch.where(edges >= 0, children[edges.clamp(min=0)], -1)], -1)
    return Paths(scores, edges, nodes, lengths)
