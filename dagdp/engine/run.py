"""RUN: the front end for NumPy arrays, for one graph and for a batch of graphs.

Each function checks its arguments, allocates, launches a kernel, and returns results in the user's order and dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.call import Call, Gradient
from dagdp.engine.faults import edges_before
from dagdp.engine.inputs import Options
from dagdp.engine.prepare import prepare
from dagdp.errors import InputError
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, jvp_kernel, value_kernel, weights_kernel
from dagdp.omega import Omega

Graphs = CompiledDAG | CompiledBatch


def value(dag: Graphs, theta: Any, omega: Omega | None, options: Options) -> Any:
    """DP_Ω(θ): array [*batch], of a batch of graphs [*batch, graphs]. See `dagdp.dp_value`."""
    call = prepare(dag, theta, None, omega, options)
    return call.values(call.run(value_kernel, 1)[0])


def grad(dag: Graphs, theta: Any, omega: Omega | None, options: Options) -> Gradient:
    """∇DP_Ω(θ), shaped, keyed and typed like theta. See `dagdp.dp_grad`."""
    return weighted_gradient(dag, theta, omega, options, None)[1]


def value_and_grad(dag: Graphs, theta: Any, omega: Omega | None, options: Options) -> tuple[Any, Gradient]:
    """(`value`, `grad`) from one forward and one backward pass."""
    return weighted_gradient(dag, theta, omega, options, None)


def weighted_gradient(
    dag: Graphs, theta: Any, omega: Omega | None, options: Options, weights: NDArray[Any] | None
) -> tuple[Any, Gradient]:
    """(`value`, the gradient of Σ_b weights_b DP_Ω(θ_b)), for blocks that a batch with upstream gradients shares.

    weights : [*batch], the upstream gradients, for one graph only; None where all are 1.
    """
    call = prepare(dag, theta, None, omega, options)
    out = call.gradient_buffers()
    seeds = None if weights is None else np.ascontiguousarray(weights, call.plan.real).reshape(-1)
    (values,) = call.run(gradient_kernel, 1, out, seeds)
    return call.values(values), call.gradient(out, 1.0)


def jvp(dag: Graphs, theta: Any, z: Any, omega: Omega | None, options: Options) -> Any:
    """<∇DP_Ω(θ), Z>: array [*batch], of a batch of graphs [*batch, graphs]. See `dagdp.dp_jvp`."""
    call = _directed(dag, theta, z, omega, options)
    return call.slopes(*call.run(jvp_kernel, 2))


def value_and_slope(dag: Graphs, theta: Any, z: Any, omega: Omega | None, options: Options) -> tuple[Any, Any]:
    """(`value`, `jvp`) from one forward pass."""
    call = _directed(dag, theta, z, omega, options)
    values, slopes = call.run(jvp_kernel, 2)
    slopes = call.slopes(values.copy(), slopes)
    return call.values(values), slopes


def hvp(dag: Graphs, theta: Any, z: Any, omega: Omega | None, options: Options) -> Gradient:
    """∇²DP_Ω(θ) Z, shaped, keyed and typed like theta. See `dagdp.dp_hvp`."""
    return jvp_and_hvp(dag, theta, z, omega, options)[1]


def jvp_and_hvp(dag: Graphs, theta: Any, z: Any, omega: Omega | None, options: Options) -> tuple[Any, Gradient]:
    """(`jvp`, `hvp`) from one forward and one backward pass."""
    call = _directed(dag, theta, z, omega, options)
    out = call.gradient_buffers()
    if call.plan.omega.solver == "first":  # piecewise linear: no curvature, so only the slope is run
        values, slopes = call.run(jvp_kernel, 2)
    else:
        values, slopes = call.run(hessian_kernel, 2, out)
    return call.slopes(values, slopes), call.gradient(out, call.plan.sign)


def local_weights(dag: Any, theta: Any, omega: Omega | None, options: Options) -> NDArray[Any]:
    """q of every edge: array [*batch, edges] in the user's order. See `dagdp.local_weights`."""
    call = prepare(dag, theta, None, omega, options)
    plan, ends = call.plan, call.terminals[0].ends
    inner = np.zeros((plan.items, dag.num_edges), plan.real)
    call.values(call.run(weights_kernel, 1, inner)[0])
    for node in np.unique(ends[ends != dag.end]):
        rows = ends == node
        inner[rows] = np.where(edges_before(dag, node), inner[rows], 0)
    q = np.zeros((plan.items, dag.graph.num_edges), plan.dtype)
    own = dag.edges >= 0
    q[:, dag.edges[own]] = inner[:, own]
    return q.reshape(*plan.batch, dag.graph.num_edges)


def _directed(dag: Graphs, theta: Any, z: Any, omega: Omega | None, options: Options) -> Call:
    """A checked call with a direction. Raises InputError where z is None."""
    if z is None:
        raise InputError("z is None; expected a direction, shaped and keyed like theta")
    return prepare(dag, theta, z, omega, options)
