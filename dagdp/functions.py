"""RUN: the six functions. Each checks, allocates, launches, and hands back in the user's order and kind.

Values begin as zeros: kernels leave out the items that end at a start, whose value is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import home_of
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.call import Call, Gradient, prepare
from dagdp.engine.each_graph import for_each_graph, of_edges
from dagdp.engine.faults import edges_before
from dagdp.errors import InputError
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, jvp_kernel, value_kernel, weights_kernel
from dagdp.omega import Omega

F = TypeVar("F", bound=Callable[..., Any])


def _of_any_kind(function: F) -> F:
    """Tensors go to the same function in `dagdp.nn`, batches of graphs to `dagdp.engine.batch_run`: not here."""

    @functools.wraps(function)
    def chosen(*given: Any, **named: Any) -> Any:
        if isinstance(given[0] if given else named.get("dag"), CompiledBatch):
            import dagdp.engine.batch_run as side_by_side

            return side_by_side.run(function.__name__, *(given or (named.pop("dag"),)), **named)
        home = home_of(named.pop("backend", None), *given[1:3], named.get("theta"), named.get("z"))
        return (function if home is None else getattr(home, function.__name__))(*given, **named)

    return chosen  # type: ignore[return-value]


@_of_any_kind
def dp_value(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """DP_Ω(θ), the smoothed highest score of a path: array [*batch], or a scalar without batch.

    v = 0 at the starts, then v_i = max_Ω over parents j of θ_ij + v_j (equation 6); the value is v at
    the end, max_Ω over the ends where there are several.

    Parameters
    ----------
    dag : from `dagdp.compile`, or `compile_batch`: then values are [*batch, graphs].
    theta : weights, scores to be maximised: array [*batch, *shape], or a dict {name: array} where the graph
        names its potentials. The batch is the broadcast of the leading axes of theta, `start` and `end`. An array is
        data, expanded to the batch; a block of a dict without batch dimensions is a parameter, which the batch shares.
        float32 and float64 are computed as they are, float16 in float32, integers in float64. Torch tensors give
        tensors, differentiable: see docs/pytorch.md.
    omega : the smoothed maximum, default `Negentropy(1.0)`; gamma is in the unit of theta.
    minimize : theta are costs: min_Ω(x) = -max_Ω(-x), so the value is -DP_Ω(-θ).
    start : the node where paths begin, one for all or an array [*batch]: one of the graph's starts, the nodes without
        parents or those that it was made with. Others then begin no path. Default: paths begin at every start.
    end : the node where paths end, one for all or an array [*batch]: a ragged batch on one graph (`dag.ends_of`
        gives the ends of items by their lengths). What lies behind an item's end has no part in its
        results and may hold NaN, at no cost. A
        start is the end of a path without edges, of value 0.
    on_infeasible : "value": an item without a path, as no start reaches its end or every path takes a forbidden edge,
        has value -inf (+inf when minimising) and gradient 0. "raise": an InputError names such items.
    threads : how many threads may share the batch, a single item being the work of one; default: all cores for
        large work. The result is the same to the bit for every number of threads.
    backend : None for the compiled kernels. "torch", for tensors on any device: the recursion in torch operations,
        differentiated by autograd (`dagdp.nn.unrolled.recursion`); slower, and its memory grows with edges x samples.

    An edge of weight -inf (+inf when minimising) is forbidden. Raises InputError (shape, dtype, NaN or an infinity of
    the wrong sign, with its index; an `end` that leads to no end of the graph), OmegaError.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(dp_value(dag, [1.0, 2.5, 2.0], dagdp.HardMax()))
    3.0
    """
    call = prepare(dag, theta, omega, None, minimize, (start, end), threads, on_infeasible)
    value = np.zeros(call.items, call.real)
    call.launch(value_kernel, call.theta, value)
    return call.values(value)


@_of_any_kind
def dp_grad(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Gradient:
    """∇DP_Ω(θ) = E, the expected path: shaped, keyed and typed like theta (Proposition 3, Algorithm 1).

    E_e is the probability that the random walk over local weights q crosses edge e, in [0, 1]; an entry
    that several edges read gets their sum, a block that the batch shares the sum over the batch. Under
    HardMax, E marks one best path. Parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dp_grad(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [0.5, 0.5, 0.5]
    """
    return dp_value_and_grad(
        dag, theta, omega, minimize=minimize, start=start, end=end, on_infeasible=on_infeasible, threads=threads
    )[1]


@_of_any_kind
def dp_value_and_grad(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> tuple[Any, Gradient]:
    """(`dp_value`, `dp_grad`) from one forward and one backward pass.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> value, path = dp_value_and_grad(dag, [1.0, 2.5, 2.0], dagdp.HardMax())
    >>> float(value), path.tolist()
    (3.0, [1.0, 0.0, 1.0])
    """
    call = prepare(dag, theta, omega, None, minimize, (start, end), threads, on_infeasible)
    return _weighted(call, None)


def weighted_gradient(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None,
    *,
    minimize: bool,
    end: Any,
    threads: int | None,
    weights: NDArray[Any] | None,
) -> tuple[Any, Gradient]:
    """(`dp_value`, the gradient of Σ_b weights_b DP_Ω(θ_b)): weights [*batch], of which none are given where all are 1.

    For layers above, whose blocks may be shared by a batch of unequal upstream gradients.
    """
    call = prepare(dag, theta, omega, None, minimize, (None, end), threads)
    return _weighted(call, weights)


def _weighted(call: Call, weights: NDArray[Any] | None) -> tuple[Any, Gradient]:
    """`weighted_gradient` of a checked call."""
    value, out = np.zeros(call.items, call.real), call.gradient_buffers()
    seeds = np.empty(0, call.real) if weights is None else np.ascontiguousarray(weights, call.real).reshape(-1)
    call.launch(gradient_kernel, call.theta, value, call.located(out), weights=seeds)
    return call.values(value), call.gradient(out, 1.0)


@_of_any_kind
def dp_jvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """<∇DP_Ω(θ), Z>, the derivative of the value in direction Z: array [*batch] (Algorithm 2, A1).

    z : direction, keyed and shaped like theta; its leading axes and theta's broadcast to the batch. Must be finite
        where a path reads it. Other parameters as in `dp_value`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(dp_jvp(dag, [1.0, 2.5, 2.0], [1.0, 10.0, 100.0], dagdp.HardMax()))
    101.0
    """
    call = prepare(dag, theta, omega, z, minimize, (start, end), threads, on_infeasible)
    value, slope = np.zeros(call.items, call.real), np.zeros(call.items, call.real)
    call.launch(jvp_kernel, call.theta, call.z, value, slope)
    return call.slopes(value, slope)


def value_and_slope(
    dag: CompiledDAG | CompiledBatch, theta: Any, z: Any, omega: Omega | None, *, minimize: bool, end: Any
) -> tuple[Any, Any]:
    """(`dp_value`, `dp_jvp`) of arrays, from one pass: for layers above."""
    if isinstance(dag, CompiledBatch):
        import dagdp.engine.batch_run as side_by_side

        return side_by_side.value_and_slope(dag, theta, z, omega, minimize, end)
    call = prepare(dag, theta, omega, z, minimize, (None, end), None)
    value, slope = np.zeros(call.items, call.real), np.zeros(call.items, call.real)
    call.launch(jvp_kernel, call.theta, call.z, value, slope)
    slopes = call.slopes(value.copy(), slope)
    return call.values(value), slopes


@_of_any_kind
def dp_hvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Gradient:
    """∇²DP_Ω(θ) Z, the derivative of the expected path in direction Z: shaped and keyed like theta (Algorithm 2).

    Parameters are those of `dp_jvp`. When minimising, the Hessian product is -∇²DP_Ω(-θ) Z. One theta with several
    directions, z [*batch, *shape], gives a product for each of them. Of a dict, a block without batch dimensions is
    shared, and gets the sum over the batch. Under HardMax the product is 0. Third derivatives do not exist in this
    package.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dp_hvp(dag, [1.0, 2.5, 2.0], [1.0, 0.0, 0.0], dagdp.SquaredL2(1.0)).tolist()
    [0.5, -0.5, 0.5]
    """
    return dp_jvp_and_hvp(
        dag, theta, z, omega, minimize=minimize, start=start, end=end, on_infeasible=on_infeasible, threads=threads
    )[1]


@_of_any_kind
def dp_jvp_and_hvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> tuple[Any, Gradient]:
    """(`dp_jvp`, `dp_hvp`) from one pair of passes.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> slope, change = dp_jvp_and_hvp(dag, [1.0, 2.5, 2.0], [1.0, 0.0, 0.0], dagdp.SquaredL2(1.0))
    >>> float(slope), change.tolist()
    (0.5, [0.5, -0.5, 0.5])
    """
    call = prepare(dag, theta, omega, z, minimize, (start, end), threads, on_infeasible)
    value, slope = np.zeros(call.items, call.real), np.zeros(call.items, call.real)
    out = call.gradient_buffers()
    if call.omega.solver == "first":  # piecewise linear: no curvature, so only the slope is run
        call.launch(jvp_kernel, call.theta, call.z, value, slope)
    else:
        call.launch(hessian_kernel, call.theta, call.z, value, slope, call.located(out))
    return call.slopes(value, slope), call.gradient(out, call.sign)


@for_each_graph(of_edges)
def local_weights(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """q, the local weight of every edge: array [*batch, edges] in the user's edge order, in [0, 1].

    q_e = ∂max_Ω/∂x_e at the edge's child: the probability that the random walk, once it stands at the
    child, leaves over e (section 2.3). Siblings sum to 1. Unlike the expected path it is not multiplied by
    the probability of standing there, so it is as accurate at improbable nodes as at probable ones. It is 0 on
    edges that lie on no path to the end, at nodes that only forbidden edges reach, and on forbidden edges.
    The choice between several ends is no edge of the graph and is not reported.

    Parameters and errors are those of `dp_value`; NumPy arrays only: there is no derivative of q itself, and a
    tensor raises InputError. `path_log_prob` has one.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> local_weights(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [1.0, 0.5, 0.5]
    """
    if home_of(None, theta) is not None:
        raise InputError(
            "theta is a tensor, and local_weights has no derivative; pass theta.detach().cpu().numpy(), or take "
            "dp_grad or path_log_prob, which have one"
        )
    call = prepare(dag, theta, omega, None, minimize, (start, end), threads)
    inner, value = np.zeros((call.items, dag.num_edges), call.real), np.zeros(call.items, call.real)
    call.launch(weights_kernel, call.theta, value, inner)
    call.values(value)
    assert isinstance(dag, CompiledDAG)  # a batch of graphs has come here graph by graph
    for node in np.unique(call.ends[call.ends != dag.end]):
        rows = call.ends == node
        inner[rows] = np.where(edges_before(dag, node), inner[rows], 0)
    q = np.zeros((call.items, dag.graph.num_edges), call.weights.dtype)
    own = dag.edges >= 0
    q[:, dag.edges[own]] = inner[:, own]
    return q.reshape(*call.batch, dag.graph.num_edges)
