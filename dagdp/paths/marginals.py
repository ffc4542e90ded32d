"""Probabilities of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, of_nodes
from dagdp.functions import dp_grad, dp_value_and_grad
from dagdp.omega import Omega
from dagdp.paths.request.array_functions import namespace, to_numpy
from dagdp.paths.request.node_graph import (
    NODE,
    NodeEntries,
    as_theta,
    double_blocks,
    node_entries,
    node_graph,
    node_graph_theta,
)
from dagdp.paths.request.request import Request, make_request


@for_each_graph(of_nodes)
def node_marginals(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """ē, the probability that the walk visits each node: array [*batch, nodes] in theta's dtype (Algorithm 1).

    On a graph with hyperedges the expected number of visits: a derivation may visit a node more than once.

    Nodes are in the user's order. ē is the sum of the expected path over the edges into a node, for a start over those
    out of it; 0 on nodes that lie on no path. Differentiable from torch. For states of a trellis see
    `dagdp.graphs.viterbi_marginals`; for the cells of an alignment grid they are `dagdp.graphs.dtw_grad` itself. Of a
    batch of different graphs: a list with an array for each graph.

    theta, omega, minimize, end : as in `dp_value`. Raises InputError and OmegaError as `dp_value` does.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> node_marginals(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [1.0, 0.5, 1.0]
    """
    given = make_request(dag, theta, minimize, end)
    request, dag = given.in_numpy(), given.dag
    graph = request.edge_graph
    if request.trees or dag.starts.size > 1:
        flow = dp_grad(graph.dag, request.theta, omega, end=request.end)
        here = np.arange(graph.users) == request.end_nodes().reshape(*request.batch, 1)
        edgeless = request.like((here & request.edgeless[..., None]).astype(np.float64))
        visits = flow["node"] + flow["start"] + (flow["second start"] if request.trees else 0.0)
        return given.result(visits[..., : graph.users] + edgeless)
    read, options = node_entries(dag), {"minimize": request.minimize, "end": request.end_names}
    if read is None:
        value, found = dp_value_and_grad(node_graph(dag), node_graph_theta(request), omega, **options)
        flow, certain_nodes = found[NODE], dag.starts
    else:
        value, flow, certain_nodes = _of_entries(request, omega, read, options)
    nodes = np.arange(dag.graph.num_nodes)
    certain = (nodes == request.end_nodes().reshape(*request.batch, 1)) & np.isin(nodes, certain_nodes)
    certain = (certain | (nodes == dag.starts[0])) & np.isfinite(to_numpy(value))[..., None]
    return given.result(flow + request.like(certain.astype(np.float64)))


def _of_entries(
    request: Request, omega: Omega | None, read: NodeEntries, options: dict[str, Any]
) -> tuple[Any, Any, NDArray[np.int64]]:
    """(value, ē of nodes that read an entry of their own and 0 of other nodes, the ends that read none)."""
    dag, blocks, xp = request.dag, double_blocks(request), namespace(request.arrays[0])
    potential = dag.potentials[read.which]
    blocks[read.which] = xp.broadcast_to(blocks[read.which], (*request.batch, *potential.shape))
    value, found = dp_value_and_grad(dag, as_theta(request, blocks), omega, **options)
    own = found[potential.name] if isinstance(found, dict) else found
    flat = own.reshape(*request.batch, potential.size)
    padded = xp.concatenate((flat, xp.zeros_like(flat[..., :1])), -1)  # index -1 reads the zero
    return value, padded[..., request.like(read.entries)], dag.ends[read.entries[dag.ends] < 0]
