"""Means over the path distribution of costs that edges add up: E_p[Σ_{e in Y} cost_e] = <E, cost>, one tangent pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dagdp.array_kinds import is_tensor
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, like_theta, scalars
from dagdp.errors import InputError
from dagdp.functions import dp_jvp
from dagdp.omega import Omega
from dagdp.paths.request.array_functions import double, like, namespace, repeated
from dagdp.paths.request.request import Request, make_request


def _expectation_at_once(
    dag: CompiledBatch, theta: Any, omega: Omega | None, cost: Any, minimize: bool = False, end: Any = None
) -> Any:
    """`expectation` of a batch of graphs in one run; None where costs do not have the form of theta."""
    return dp_jvp(dag, theta, cost, omega, minimize=minimize, end=end) if like_theta(dag, cost) else None


@for_each_graph(scalars, at_once=_expectation_at_once)
def expectation(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None,
    cost: Any,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """E_p[Σ_{e in Y} cost_e], the mean over the path distribution of what edges cost: array [*batch] in theta's dtype.

    One tangent pass, <E, cost> (Algorithm 2, A1), in the unit of cost; differentiable from torch in theta and in cost.
    An item without a path has expectation 0.

    cost : [*batch, edges] or [edges], finite: one number for each edge in the user's order; or keyed and shaped like
        theta, as the z of `dp_jvp`. Of a batch of different graphs: in the form of theta, or a list with an array
        [*batch, edges] for each graph, or such arrays side by side; a cost that fits both has the form of theta.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError and OmegaError as `dp_value` does, and InputError for a cost of another shape.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(expectation(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0), [1.0, 1.0, 1.0]))  # edges on a path
    1.5
    """
    if not _has_one_a_edge(dag, cost):
        return dp_jvp(dag, theta, cost, omega, minimize=minimize, end=end)
    request = make_request(dag, theta, minimize, end)
    given = double(cost) if is_tensor(cost) else request.like(np.asarray(cost, np.float64))
    request, xp = in_kind_of(request, given), namespace(given)
    joint = xp.zeros_like(repeated(given[..., :1], request.edge_graph.parents.size - request.edge_graph.edges))
    return request.result(mean_cost(request, omega, xp.concatenate((given, joint), -1)))


def mean_cost(request: Request, omega: Omega | None, cost: Any) -> Any:
    """<E, cost> [*batch] for cost [*batch, edges + added], or [edges + added]."""
    graph = request.edge_graph
    return dp_jvp(graph.dag, request.theta, graph.theta(cost), omega, end=request.end)


def in_kind_of(request: Request, other: Any) -> Request:
    """The request with tensors if `other` is a tensor."""
    if is_tensor(other) and not request.tensors:
        return replace(request, arrays=tuple(like(other, array) for array in request.arrays), dtype=other.dtype)
    return request


def _has_one_a_edge(dag: Any, cost: Any) -> bool:
    """Whether a cost has one number for each edge, rather than the shape of theta."""
    if isinstance(cost, Mapping):
        return False
    shape = tuple(cost.shape) if is_tensor(cost) else np.shape(cost)
    if len(dag.potentials) == 1:
        own = dag.potentials[0].shape
        if shape[len(shape) - len(own) :] == own:
            return False
    if not shape or shape[-1] != dag.graph.num_edges:
        raise InputError(
            f"cost has shape {shape}; expected [*batch, {dag.graph.num_edges}], one number for each edge, "
            "or the shape of theta"
        )
    return True
