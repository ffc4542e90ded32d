"""The score of a path, summed as kernels sum v: in two parts, node by node, in the order of kernels/recursion.py.

The score of the best path is therefore the value under HardMax to the bit, and paths tie here as they tie in kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import enter, node_value
from dagdp.paths.request.request import EdgeWeights, Request


@allocating
def enter_edge(weights: Any, e: int, hi: float, lo: float) -> Any:
    """x_e, by which edges into a node are compared: v of the parent, hi + lo, plus the weight on the edge."""
    on_edges = weights.on_edges
    return enter(on_edges[e] if on_edges.shape[0] > 0 else 0.0, hi, lo)


@allocating
def arrive(weights: Any, e: int, hi: float, lo: float) -> Any:
    """v of a node that is reached over e: x_e, hi + lo, plus the weight that all edges into the node share."""
    on_nodes = weights.on_nodes
    return node_value(on_nodes[e] if on_nodes.shape[0] > 0 else 0.0, hi, lo, 0.0, 0.0, 0.0)


@helper
def _add_up(weights: Any, edges: Any, scores: Any) -> None:
    """scores [items, m] of paths [items, m, longest]; scores of paths without edges stay as they are.

    weights : `EdgeWeights` of [items, m, longest], or of [items, m, 0] for a part without potentials.
    """
    for b in range(edges.shape[0]):
        for m in range(edges.shape[1]):
            own = EdgeWeights(weights.on_edges[b, m], weights.on_nodes[b, m])
            hi, lo, at = 0.0, 0.0, 0
            while at < edges.shape[2] and edges[b, m, at] >= 0:
                x_hi, x_lo = enter_edge(own, at, hi, lo)
                hi, lo = arrive(own, at, x_hi, x_lo)
                at += 1
            if at > 0:
                scores[b, m] = hi


def path_scores(request: Request, edges: NDArray[np.int64], draws: bool) -> NDArray[np.float64]:
    """[*axes] scores, to be maximised, of paths [*axes, longest] of the edge graph; -inf for paths without edges.

    Where an item ends at a start, its path without edges has score 0: each draw, or the first of ranked paths.
    """
    scores = np.full(edges.shape[:-1], -np.inf)
    items = request.items
    size = scores.size // max(items, 1)
    rows = np.ascontiguousarray(edges).reshape(items, size, edges.shape[-1])
    own = scores.reshape(items, size)
    own[request.edgeless.ravel(), : size if draws else 1] = 0.0
    _add_up(_weights_along(request, rows), rows, own)
    return scores


def _weights_along(request: Request, edges: NDArray[np.int64]) -> EdgeWeights:
    """The weights of the edges of paths [items, m, longest], in the two parts that kernels add apart."""
    dag, nothing = request.dag, np.empty((*edges.shape[:-1], 0))
    parts = [nothing, nothing]
    joint = request.edge_graph.parents.size - request.edge_graph.edges
    offset_view = np.full(joint + 1, -1)  # edges to the joint end, and edge -1, read nothing
    for k, (potential, block) in enumerate(zip(dag.potentials, request.blocks, strict=True)):
        entry = np.concatenate([potential.index, offset_view])[edges]
        item = np.arange(len(edges))[:, None, None] if block.shape[0] != 1 else 0
        read = np.where(entry >= 0, block[item, np.maximum(entry, 0)].astype(np.float64), 0.0) * request.sign
        part = int(k in dag.hoisted)
        parts[part] = read if parts[part] is nothing else parts[part] + read
    return EdgeWeights(*parts)
