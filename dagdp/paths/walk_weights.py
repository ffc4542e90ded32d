"""Weights q of the walk for sparse operators: a weight that rounding alone holds above 0 is 0.

An operator with a threshold t has link(y) = 0 for y <= t. An edge whose y is t in exact arithmetic may come out a few
units of rounding above. max_Ω is no steeper than the maximum, so the error of v_i, in units of rounding, is at most the
largest |θ_e| + error of v_j (and of v_k) over the edges with weight. The error of y_e follows by division by γ, and a
weight is 0 if link reaches no further within this error.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.functions import local_weights
from dagdp.jit.decorators import helper
from dagdp.omega import Omega
from dagdp.paths.request.array_functions import to_numpy
from dagdp.paths.request.node_graph import as_theta, double_blocks
from dagdp.paths.request.request import Request

UNITS = 8 * float(np.finfo(np.float64).eps)  # the error of an edge's y for each unit of magnitude
LARGEST_ERROR = 1e-7  # of y: no larger error is assumed, as a weight and an error of rounding could not be told apart


def walk_weights(request: Request, omega: Omega) -> NDArray[np.float64]:
    """q of the edge graph, float64 [*batch, edges + added]; 0 where y lies within rounding of the threshold.

    The threshold is found by bisection; for an operator without one it is where link underflows.
    """
    graph = request.edge_graph
    q = _weights(request, omega)
    if omega.solver != "newton":
        return q
    data = omega.data()
    threshold = _threshold(data)
    small = np.flatnonzero((q > 0) & (q <= data.link(threshold + LARGEST_ERROR)))
    if small.size > 0:
        rows, scores = request.rows(q), request.rows(request.scores)
        magnitude = np.zeros((len(rows), graph.nodes))
        _add_magnitudes(graph.incoming, rows, scores, data.gamma, magnitude)
        error = UNITS / data.gamma * magnitude[:, graph.children].ravel()[small]
        limit = [data.link(threshold + min(own, LARGEST_ERROR)) for own in error.tolist()]
        q.flat[small[q.flat[small] <= limit]] = 0.0
    return q


def _weights(request: Request, omega: Omega) -> NDArray[np.float64]:
    """q computed on the user's graph where each weight is on an edge of the user's, else on the edge graph."""
    graph = request.edge_graph
    entrances, joint = graph.explicit.entrances.size > 0, graph.explicit.joined > 0
    if entrances or (request.end is None and joint):
        q: NDArray[np.float64] = graph.by_edge(local_weights(graph.dag, _theta(request), omega, end=request.end))
        return q
    theta = as_theta(request, [to_numpy(block) for block in double_blocks(request)])
    q = local_weights(request.dag, theta, omega, minimize=request.minimize, end=request.end_names)
    return np.concatenate([q, np.zeros((*request.batch, graph.parents.size - graph.edges))], -1)


def _theta(request: Request) -> dict[str, NDArray[np.float64]]:
    """The scores split between edges and nodes as kernels split them on the user's graph, so that ties are equal."""
    graph, shape = request.edge_graph, (*request.batch, request.edge_graph.parents.size)
    on_edges, on_nodes = request.on_edges, request.on_nodes
    made = graph.theta(np.zeros(shape) if on_edges is None else np.broadcast_to(to_numpy(on_edges), shape))
    if on_nodes is not None:
        live = graph.tie_order[graph.dag.edges[graph.dag.edges >= 0]]
        made["node"] = np.zeros((*shape[:-1], graph.nodes))
        made["node"][..., graph.children[live]] = np.broadcast_to(to_numpy(on_nodes), shape)[..., live]
    return made


def _threshold(data: Any) -> float:
    """The largest y at which link is 0, by bisection."""
    high = float(data.corner)
    low = high - 1.0
    while data.link(low) > 0.0:
        low = high - 2.0 * (high - low)
        if not math.isfinite(low):  # a link that never vanishes: check_omega rejects it
            return low
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return low
        low, high = (middle, high) if data.link(middle) == 0.0 else (low, middle)


@helper
def _add_magnitudes(incoming: Any, q: Any, scores: Any, gamma: float, magnitude: Any) -> None:
    """magnitude [items, nodes] = the largest sum of |θ_e| + γ over edges of a path whose edges have weight."""
    for b in range(q.shape[0]):
        for node in incoming.order:
            for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
                e = incoming.edges[place]
                if q[b, e] > 0.0:
                    reached = abs(scores[b, e]) + magnitude[b, incoming.parents[e]] + gamma
                    if incoming.seconds.shape[0] > 0 and incoming.seconds[e] >= 0:
                        reached += magnitude[b, incoming.seconds[e]]
                    magnitude[b, node] = max(magnitude[b, node], reached)
