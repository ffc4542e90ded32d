"""Viterbi shortcuts: the engine on a trellis, theta[t, to, from] scores to be maximised (paper, B.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.graphs.builders import compiled, cut, ends_in, may_grow, padded, sizes, trellis


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
    """Vit_Ω(θ), the smoothed best score of a state sequence: [*batch].

    theta : [*batch, T, S, S] as [t, to, from]; scores. With initial="single" only theta[0, :, 0] is used at
        t = 0; with initial="all", the paper's Algorithm 3 (v_0 = 0_S), all of it.
    omega : default Negentropy(1.0): then the value is the log partition function of a CRF.
    lengths : how many steps of each item count, 1 to T, one number or [*batch]; steps behind are never read and may
        hold NaN. Its axes and the leading axes of theta broadcast to the batch: one theta may have several lengths.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or +inf, lengths out of range).

    >>> import numpy as np
    >>> bool(np.isclose(viterbi_value(np.zeros((3, 2, 2))), 3 * np.log(2)))
    True
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    dag, theta, end = _prepared(theta, lengths, initial)
    return dp_value(dag, theta, omega, end=end, **options)


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
    """∇Vit_Ω(θ) = E, the probability of each transition: [*batch, T, S, S], in [0, 1] (Algorithm 3).

    E[t].sum(-1) are the state marginals at step t. Parameters and errors as in `viterbi_value`.

    >>> import numpy as np
    >>> viterbi_grad(np.zeros((2, 2, 2)))[1].tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    return cut(dp_grad(dag, theta, omega, end=end, **options), own)


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
    """The probability of each state at each step: [*batch, T, S], a row sums to 1, or to 0 behind an item's length.

    Parameters and errors as in `viterbi_value`.

    >>> import numpy as np
    >>> viterbi_marginals(np.zeros((2, 2, 2))).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    return viterbi_grad(theta, omega, lengths=lengths, initial=initial, **options).sum(-1)


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
    """∇²Vit_Ω(θ) Z: [*batch, T, S, S] (Algorithm 4). z : a direction, shaped like theta.

    >>> import numpy as np
    >>> float(viterbi_hvp(np.zeros((2, 2, 2)), np.ones((2, 2, 2))).max())
    0.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    z = padded(z, own, dag.potentials[0].shape, "z")
    return cut(dp_hvp(dag, theta, z, omega, end=end, **options), own)


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

    >>> import numpy as np
    >>> viterbi_decode(np.array([[[0.0, 9.0], [1.0, 9.0]], [[0.0, 0.0], [2.0, 0.0]]])).tolist()
    [0, 1]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-3:]
    dag, theta, end = _prepared(theta, lengths, initial)
    visited = cut(dp_grad(dag, theta, HardMax(), end=end, **options), own).sum(-1)
    states = visited.argmax(-1)
    states[(visited < 0.5).all(-1)] = -1
    return states


def _prepared(theta: Any, lengths: Any, initial: str) -> tuple[CompiledDAG, Any, Any]:
    """(graph, theta, end): a graph of more steps may serve, and theta then has as many."""
    shape = np.shape(theta)
    if len(shape) < 3 or shape[-1] != shape[-2]:
        raise InputError(f"theta has shape {shape}; expected [*batch, T, S, S], indexed [t, to, from]")
    T, S, _ = sizes(theta, 3)
    arguments = T, S, initial, lengths is not None
    axes = 1 if may_grow(theta) else 0
    dag = compiled(trellis, *arguments, axes=axes, grown=(S, initial, True))
    end = ends_in(dag, lengths, (T,), tuple(shape[:-3]))
    return dag, padded(theta, (T, S, S), dag.potentials[0].shape), end
