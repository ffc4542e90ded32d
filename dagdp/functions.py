"""The six dp_* functions and local_weights: signatures, documentation, and the choice of a front end.

A front end has the functions value, grad, value_and_grad, jvp, hvp and jvp_and_hvp, each of (dag, theta[, z], omega,
Options). There are four: `dagdp.engine.run` for NumPy arrays, `dagdp.engine.empty_batch` for a batch without graphs,
`dagdp.nn.autograd.functions` for tensors, and `dagdp.nn.unrolled.functions` for backend="torch". For graphs with linear
potentials, a `dagdp.engine.linear.LinearFrontEnd` makes edge weights of theta and runs one of them. Device arrays of
other libraries go through `dagdp.nn.autograd.device.foreign` to the front end for tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dagdp.array_kinds import holds_foreign, holds_tensors, is_tensor, on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.layout import leaves
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import empty_batch, run
from dagdp.engine.each_graph import for_each_graph, of_edges
from dagdp.engine.inputs import COMPILED, Options, as_written, not_compiled
from dagdp.engine.linear import numpy_front_end
from dagdp.errors import InputError
from dagdp.omega import Omega

Gradient = Any  # an array, or a dict of arrays, shaped and keyed like theta


def front_end_for(dag: Any, backend: str | None, *arrays: Any) -> Any:
    """The front end (a module, or a `LinearFrontEnd`) for this graph, or batch of graphs, and these arrays.

    backend : None for the compiled kernels, "torch" for the recursion in torch operations.
    arrays : theta, or theta and z, in any form that users may give.

    Raises InputError for an unknown backend, for backend="torch" without tensors, and for any backend with a batch of
    graphs. dagdp.nn imports torch, so the import is here and not at the top. (torch.compile can trace an import
    statement, but not importlib.)
    """
    if isinstance(dag, CompiledDAG):  # torch.compile fails on the type of a constant graph
        if backend is not None and backend != "torch":
            raise InputError(f"backend is {backend!r}; expected None (compiled kernels) or 'torch' (torch operations)")
        tensors = False
        for array in arrays:
            tensors = tensors or (type(array) is not np.ndarray and holds_tensors(array))
    elif isinstance(dag, CompiledBatch):
        if backend is not None:
            raise InputError(f"backend={backend!r} takes one graph at a time; leave it out, or loop over batch.dags")
        if len(dag) == 0:
            return empty_batch
        tensors = any(is_tensor(leaf) for array in arrays if type(array) is not np.ndarray for leaf in leaves(array))
    else:
        raise not_compiled(dag)
    if backend is None and not tensors:
        for array in arrays:
            if type(array) is not np.ndarray and holds_foreign(array):
                from dagdp.nn.autograd.device.foreign import ForeignFrontEnd

                return ForeignFrontEnd(front_end_of_tensors(dag))
        return run if dag.plain is None else numpy_front_end
    if backend is None:
        return front_end_of_tensors(dag)
    import dagdp.nn.unrolled.functions as unrolled  # where torch is missing this says what to install

    if not tensors:
        raise InputError("backend='torch' was asked for, and theta is no tensor; pass torch.as_tensor(theta)")
    if dag.plain is not None:
        import dagdp.nn.unrolled.linear as unrolled_linear

        return unrolled_linear.unrolled_front_end
    return unrolled


def front_end_of_tensors(dag: Any) -> Any:
    """The front end by compiled kernels whose results are tensors; it takes tensors, arrays and lists."""
    if _is_linear(dag):
        import dagdp.nn.autograd.linear as linear

        return linear.tensor_front_end
    import dagdp.nn.autograd.functions as autograd

    return autograd


def _is_linear(dag: Any) -> bool:
    """Whether a graph, or a graph of a batch, has linear potentials."""
    return isinstance(dag, COMPILED) and dag.plain is not None


def dp_value(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """DP_Ω(θ), the smoothed highest score of a path: array [*batch], or a NumPy scalar without batch.

    Equation 6: v = 0 at the starts, and v_i = max_Ω over the parents j of θ_ij + v_j. The value is v at the end node;
    with several ends, max_Ω over their v. The dtype is theta's, float64 for integers; the unit is theta's.

    Parameters
    ----------
    dag : from `dagdp.compile`; or from `dagdp.compile_batch`, and values are then [*batch, graphs].
    theta : scores: array [*batch, *shape], or a dict {name: array [*batch, *shape]} for a graph with named potentials.
        *shape is the potential's shape, by default (edges,). *batch is the broadcast of the leading axes of theta,
        `start` and `end`. An array is expanded to the batch; a block of a dict without batch axes is a parameter,
        shared by the batch. float32 and float64 are computed in their own precision, float16 in float32, integers in
        float64. Torch tensors give differentiable tensors: docs/pytorch.md. Tensors on a CUDA device, and device arrays
        that speak DLPack, such as CuPy's, are computed there and come back as they came: see `dagdp.cuda`.
    omega : the smoothed maximum; default `Negentropy(1.0)`. Its gamma has the unit of theta.
    minimize : True where theta are costs: min_Ω(x) = -max_Ω(-x), and the value is -DP_Ω(-θ). Default: as the graph was
        written, `graph.minimize` (a recurrence with `min`, `Graph(minimize=True)`); True and False decide.
    start : a start of the graph where paths begin, for all items or as an array [*batch]: a node without parents, or
        a node of `starts=` where the graph was made. Default: paths begin at every start.
    end : the node where paths end, for all items or as an array [*batch]. A ragged batch on one graph sets `end` by
        item: `dag.ends_of` gives the ends by lengths. Entries that no path to an item's end reads may hold NaN, at no
        cost. If a start is the end, the path has no edges and the value is 0. Default: the graph's ends.
    on_infeasible : "value": an item without a path (no start reaches the end, or every path takes a forbidden edge)
        has value -inf, +inf when minimising, and gradient 0. "raise": InputError with the numbers of these items.
    threads : how many threads may share the batch; a single item runs on one thread. Default: all cores for large
        work. Results are equal to the bit for every number of threads.
    backend : None for the compiled kernels. "torch", for tensors on any device: the recursion in torch operations,
        differentiated by autograd (`dagdp.nn.unrolled.recursion`); slower, and memory grows with edges x items.

    An edge of weight -inf, or +inf when minimising, is forbidden.

    Raises InputError (shape, dtype; NaN or an infinity of the wrong sign, with the index of the entry; an `end` from
    which no end of the graph is reached) and OmegaError.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(dp_value(dag, [1.0, 2.5, 2.0], dagdp.HardMax()))
    3.0
    """
    front_end = front_end_for(dag, backend, theta)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.value(dag, theta, omega, options)


def dp_grad(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Gradient:
    """∇DP_Ω(θ) = E, the expected path: shaped, keyed and typed like theta (Proposition 3, Algorithm 1).

    Returned is an array [*batch, *shape], or a dict of such arrays, in the dtypes of theta. E_e is the probability that
    the random walk over the local weights q crosses edge e, in [0, 1]; with hyperedges how often a random derivation
    uses edge e, on average, which may exceed 1. An entry that several edges read gets the sum of their E_e; a block of
    a dict without batch axes gets the sum over the batch.
    Under HardMax, E is 1 on the edges of a best path and 0 elsewhere. The sign is + for scores and for costs.
    Parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dp_grad(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [0.5, 0.5, 0.5]
    """
    front_end = front_end_for(dag, backend, theta)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.grad(dag, theta, omega, options)


def dp_value_and_grad(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> tuple[Any, Gradient]:
    """(`dp_value` [*batch], `dp_grad` like theta) from one forward and one backward pass (Algorithm 1).

    Parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> value, path = dp_value_and_grad(dag, [1.0, 2.5, 2.0], dagdp.HardMax())
    >>> float(value), path.tolist()
    (3.0, [1.0, 0.0, 1.0])
    """
    front_end = front_end_for(dag, backend, theta)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.value_and_grad(dag, theta, omega, options)


def dp_jvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """<∇DP_Ω(θ), Z>, the derivative of the value in direction Z: array [*batch] (Algorithm 2, A1).

    z : direction, keyed and shaped like theta: [*batch, *shape]. The leading axes of z and of theta broadcast to the
        batch. Entries that a path reads must be finite. The result has the unit of z.

    Other parameters are those of `dp_value`. Errors are those of `dp_value`, and InputError for z.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(dp_jvp(dag, [1.0, 2.5, 2.0], [1.0, 10.0, 100.0], dagdp.HardMax()))
    101.0
    """
    front_end = front_end_for(dag, backend, theta, z)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.jvp(dag, theta, z, omega, options)


def dp_hvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Gradient:
    """∇²DP_Ω(θ) Z, the derivative of the expected path in direction Z: shaped and keyed like theta (Algorithm 2).

    When minimising, the result is -∇²DP_Ω(-θ) Z. One theta with several directions z [*batch, *shape] gives a product
    for each of them. A block of a dict without batch axes gets the sum over the batch. Under HardMax the product is 0.
    The package has no third derivatives. Parameters and errors are those of `dp_jvp`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dp_hvp(dag, [1.0, 2.5, 2.0], [1.0, 0.0, 0.0], dagdp.SquaredL2(1.0)).tolist()
    [0.5, -0.5, 0.5]
    """
    front_end = front_end_for(dag, backend, theta, z)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.hvp(dag, theta, z, omega, options)


def dp_jvp_and_hvp(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> tuple[Any, Gradient]:
    """(`dp_jvp` [*batch], `dp_hvp` like theta) from one forward and one backward pass (Algorithm 2).

    Parameters and errors are those of `dp_jvp`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> slope, change = dp_jvp_and_hvp(dag, [1.0, 2.5, 2.0], [1.0, 0.0, 0.0], dagdp.SquaredL2(1.0))
    >>> float(slope), change.tolist()
    (0.5, [0.5, -0.5, 0.5])
    """
    front_end = front_end_for(dag, backend, theta, z)
    options = Options(dag.minimize if minimize is None else minimize, start, end, on_infeasible, threads)
    return front_end.jvp_and_hvp(dag, theta, z, omega, options)


@for_each_graph(of_edges)
def local_weights(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    threads: int | None = None,
) -> Any:
    """q, the local weight of every edge: array [*batch, edges] in the user's edge order, in [0, 1].

    q_e = ∂max_Ω/∂x_e at the edge's child: the probability that the random walk, standing at the child, goes back over
    e (section 2.3). The weights of all edges into a node sum to 1. E_e is q_e times the probability of standing at the
    child; q is as accurate at improbable nodes as at probable ones. q is 0 on edges that lie on no path to the end, on
    forbidden edges, and at nodes that only forbidden edges reach. The choice between several ends belongs to no edge
    and is not reported.

    Parameters and errors are those of `dp_value`. q has no derivative here, and `path_log_prob` has one. So theta must
    be NumPy arrays, or tensors on a CUDA device that require no gradient; other tensors raise InputError. A batch of
    graphs gives a list of arrays [*batch, edges].

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> local_weights(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [1.0, 0.5, 0.5]
    """
    front_end = numpy_front_end if _is_linear(dag) else run
    if holds_tensors(theta):
        arrays = theta.values() if isinstance(theta, Mapping) else [theta]
        if not any(map(on_accelerator, arrays)):
            raise InputError(
                "theta is a tensor, and local_weights has no derivative; pass theta.detach().numpy(), or take dp_grad "
                "or path_log_prob, which have one"
            )
        front_end = front_end_of_tensors(dag)
    return front_end.local_weights(dag, theta, omega, Options(as_written(dag, minimize), start, end, "value", threads))
