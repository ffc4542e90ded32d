"""The six dp_* functions and local_weights: signatures, documentation, and the choice of a front end.

A front end has six functions, value, grad, value_and_grad, jvp, hvp and jvp_and_hvp, each of (dag, theta[, z], omega,
Options): `dagdp.engine.run` for NumPy arrays, `dagdp.engine.empty_batch` for a batch without graphs,
`dagdp.nn.autograd.functions` for tensors, and `dagdp.nn.unrolled.functions` for backend="torch".
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import holds_tensors, is_tensor
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.layout import leaves
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import empty_batch, run
from dagdp.engine.each_graph import for_each_graph, of_edges
from dagdp.engine.inputs import Options
from dagdp.errors import InputError
from dagdp.omega import Omega

Gradient = Any  # an array, or a dict of arrays, shaped and keyed like theta


def front_end_for(dag: Any, backend: str | None, *arrays: Any) -> ModuleType:
    """The module whose functions take this graph, or batch of graphs, and these arrays.

    backend : None for the compiled kernels, "torch" for the recursion in torch operations.
    arrays : theta, or theta and z, in any form.

    Raises InputError for an unknown backend, for backend="torch" without tensors, and for any backend with a batch of
    graphs. dagdp.nn is imported here and not at the top: it imports torch. (torch.compile traces an import statement;
    it does not trace importlib.)
    """
    if type(dag) is CompiledBatch:
        if backend is not None:
            raise InputError(f"backend={backend!r} takes one graph at a time; leave it out, or loop over batch.dags")
        if len(dag) == 0:
            return empty_batch
        tensors = any(is_tensor(leaf) for array in arrays if type(array) is not np.ndarray for leaf in leaves(array))
    else:
        if backend is not None and backend != "torch":
            raise InputError(f"backend is {backend!r}; expected None (compiled kernels) or 'torch' (torch operations)")
        tensors = False
        for array in arrays:
            tensors = tensors or (type(array) is not np.ndarray and holds_tensors(array))
    if backend is None and not tensors:
        return run
    if backend is None:
        import dagdp.nn.autograd.functions as autograd

        return autograd
    import dagdp.nn.unrolled.functions as unrolled  # where torch is missing this says what to install

    if not tensors:
        raise InputError("backend='torch' was asked for, and theta is no tensor; pass torch.as_tensor(theta)")
    return unrolled


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta).value(dag, theta, omega, options)


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta).grad(dag, theta, omega, options)


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta).value_and_grad(dag, theta, omega, options)


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta, z).jvp(dag, theta, z, omega, options)


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta, z).hvp(dag, theta, z, omega, options)


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
    options = Options(minimize, start, end, on_infeasible, threads)
    return front_end_for(dag, backend, theta, z).jvp_and_hvp(dag, theta, z, omega, options)


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
    if holds_tensors(theta):
        raise InputError(
            "theta is a tensor, and local_weights has no derivative; pass theta.detach().cpu().numpy(), or take "
            "dp_grad or path_log_prob, which have one"
        )
    return run.local_weights(dag, theta, omega, Options(minimize, start, end, "value", threads))
