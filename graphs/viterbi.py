"""The Viterbi algorithm: `dp_*` on a trellis, theta[t, to, from] scores to be maximised (paper, section B.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import rectangular
from dagdp.graphs.ragged.padding import cut, ends_in, may_pad, padded, sizes
from dagdp.graphs.sequences import trellis


@through_torch
def viterbi_value(
    theta: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    initial: str = "single",
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Vit_Ω(θ), the smoothed best score of a state sequence: [*batch] in theta's unit and dtype.

    theta : [*batch, T, S, S] as [t, to, from], scores; -inf forbids a transition. With initial="single" only
        theta[0, :, 0] is used at t = 0; with initial="all" (v_0 = 0_S, the paper's Algorithm 3) all of theta[0].
    omega : default Negentropy(1.0): the value is then the log partition function of a CRF. gamma is in theta's unit.
    lengths : the number of steps of each item, 1 to T, an integer or integers [*batch]; later steps are never read and
        may hold NaN. Its axes and the leading axes of theta broadcast to the batch: one theta may have several lengths.
    initial : "single" or "all", as in `trellis`.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or +inf, lengths out of range), GraphError (initial).

    >>> import numpy as np
    >>> bool(np.isclose(viterbi_value(np.zeros((3, 2, 2))), 3 * np.log(2)))
    True
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    dag, theta, end = _prepared(theta, lengths, initial)
    return dp_value(dag, theta, omega, end=end, **options)


@through_torch
def viterbi_grad(
    theta: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    initial: str = "single",
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """∇Vit_Ω(θ) = E, the probability of each transition: [*batch, T, S, S] as [t, to, from], in [0, 1] (Algorithm 3).

    In theta's dtype. E[t].sum(-1) are the state marginals at step t. Parameters and errors are those of
    `viterbi_value`.

    >>> import numpy as np
    >>> viterbi_grad(np.zeros((2, 2, 2)))[1].tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = rectangular(theta, "theta")
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    return cut(dp_grad(dag, theta, omega, end=end, **options), own)


@through_torch
def viterbi_marginals(
    theta: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    initial: str = "single",
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The probability of each state at each step: [*batch, T, S] in theta's dtype.

    A row sums to 1, or to 0 behind an item's length. Parameters and errors are those of `viterbi_value`.

    >>> import numpy as np
    >>> viterbi_marginals(np.zeros((2, 2, 2))).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    return viterbi_grad(theta, omega, lengths=lengths, initial=initial, **options).sum(-1)


@through_torch
def viterbi_hvp(
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    initial: str = "single",
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """∇²Vit_Ω(θ) Z, the product of the Hessian and a direction: [*batch, T, S, S] in theta's dtype (Algorithm 4).

    z : a direction, shaped like theta, finite. Other parameters and errors are those of `viterbi_value`.

    >>> import numpy as np
    >>> float(viterbi_hvp(np.zeros((2, 2, 2)), np.ones((2, 2, 2))).max())
    0.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = rectangular(theta, "theta")
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    z = padded(z, own, dag.potentials[0].shape, "z")
    return cut(dp_hvp(dag, theta, z, omega, end=end, **options), own)


@through_torch
def viterbi_decode(
    theta: Any,
    *,
    lengths: Any = None,
    initial: str = "single",
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The best state sequence: int64 [*batch, T], -1 behind an item's length. Ties go to the lower state.

    A tensor where theta is a tensor. Parameters and errors are those of `viterbi_value`.

    >>> import numpy as np
    >>> viterbi_decode(np.array([[[0.0, 9.0], [1.0, 9.0]], [[0.0, 0.0], [2.0, 0.0]]])).tolist()
    [0, 1]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = rectangular(theta, "theta")
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    visited = cut(dp_grad(dag, theta, HardMax(), end=end, **options), own).sum(-1)
    states = visited.argmax(-1)
    states[(visited < 0.5).all(-1)] = -1
    return states


def _prepared(theta: Any, lengths: Any, initial: str) -> tuple[CompiledDAG, Any, Any]:
    """(graph, theta, end); the graph may have more steps than the data, and theta is then padded."""
    theta = rectangular(theta, "theta")
    shape = np.shape(theta)
    if len(shape) < 3 or shape[-1] != shape[-2]:
        raise InputError(f"theta has shape {shape}; expected [*batch, T, S, S], indexed [t, to, from]")
    T, S, _ = sizes(theta, 3)
    arguments = T, S, initial, lengths is not None
    axes = 1 if may_pad(theta) else 0
    dag = compiled(trellis, *arguments, axes=axes, grown=(S, initial, True), edges=S * S)
    end = ends_in(dag, lengths, (T,), tuple(shape[:-3]))
    return dag, padded(theta, (T, S, S), dag.potentials[0].shape), end
