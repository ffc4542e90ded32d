"""DTW shortcuts: the engine on the alignment grid, theta[i, j] costs to be minimised (paper, B.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.graphs.builders import compiled, cut, dtw_grid, ends_in, may_grow, padded, sizes


def dtw_value(
    theta: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    band: int | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """DTW_Ω(θ), the smoothed least cost of an alignment: [*batch]. A sum over cells, never rooted or divided.

    v_ij = θ_ij + min_Ω(v_i-1,j , v_i,j-1 , v_i-1,j-1), the first cell included.

    theta : [*batch, N_A, N_B] costs of matching i with j.
    omega : default Negentropy(1.0): the soft-DTW of Cuturi and Blondel, which may be negative.
    lengths : (n_a, n_b), each a number or [*batch]: the size of each item's own corner; cells outside it are never
        read and may hold NaN. Their axes and the leading axes of theta broadcast to the batch.
    band : see `dtw_grid`. The band runs between the corners of the full grid: not to be combined with `lengths`.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or -inf, lengths out of range).

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> float(dtw_value(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]), HardMax()))
    1.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    dag, theta, end = _prepared(theta, lengths, band)
    return dp_value(dag, theta, omega, minimize=True, end=end, **options)


def dtw_grad(
    theta: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    band: int | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """∇DTW_Ω(θ) = E, the expected alignment: [*batch, N_A, N_B], each cell's probability (Algorithm 5).

    >>> import numpy as np
    >>> from dagdp import SquaredL2
    >>> dtw_grad(np.array([[0.0, 5.0], [5.0, 0.0]]), SquaredL2(1.0)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-2:]
    dag, theta, end = _prepared(theta, lengths, band)
    return cut(dp_grad(dag, theta, omega, minimize=True, end=end, **options), own)


def dtw_hvp(
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    band: int | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """∇²DTW_Ω(θ) Z: [*batch, N_A, N_B] (Algorithm 6). z : a direction, or several, [*batch, N_A, N_B].

    >>> import numpy as np
    >>> (dtw_hvp(np.zeros((2, 2)), np.array([[0.0, 9.0], [0.0, 0.0]])).round(6) + 0.0).tolist()
    [[0.0, -2.0], [1.0, 0.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-2:]
    dag, theta, end = _prepared(theta, lengths, band)
    z = padded(z, own, dag.potentials[0].shape, "z")
    return cut(dp_hvp(dag, theta, z, omega, minimize=True, end=end, **options), own)


def dtw_path(
    theta: Any,
    *,
    lengths: Any = None,
    band: int | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The least-cost alignment as index pairs: int64 [*batch, N_A + N_B - 1, 2], rows behind its end are -1.

    Among equal costs the diagonal move is preferred to down (from i-1), and down to right (from j-1).

    >>> import numpy as np
    >>> dtw_path(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]])).tolist()
    [[0, 0], [1, 1], [1, 2], [-1, -1]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    own = np.shape(theta)[-2:]
    dag, theta, end = _prepared(theta, lengths, band)
    visited = cut(dp_grad(dag, theta, HardMax(), minimize=True, end=end, **options), own) > 0.5
    *batch, N_A, N_B = visited.shape
    flat = np.asarray(visited).reshape(-1, N_A * N_B)
    pairs = np.full((flat.shape[0], N_A + N_B - 1, 2), -1, np.int64)
    item, cell = np.nonzero(flat)  # row-major order is path order: both indices only grow along a path
    counts = np.bincount(item, minlength=flat.shape[0])
    step = np.arange(item.size) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs[item, step] = np.stack(np.divmod(cell, N_B), -1)
    pairs = pairs.reshape(*batch, N_A + N_B - 1, 2)
    return pairs if isinstance(visited, np.ndarray) else visited.long().new_tensor(pairs)


def _prepared(theta: Any, lengths: Any, band: int | None) -> tuple[CompiledDAG, Any, Any]:
    """(graph, theta, end): a larger graph may serve, and theta then has its size."""
    shape = np.shape(theta)
    if len(shape) < 2:
        raise InputError(f"theta has shape {shape}; expected costs [*batch, N_A, N_B]")
    own = sizes(theta, 2)
    if lengths is None and band is not None:
        return compiled(dtw_grid, *own, band), theta, None
    if band is not None:
        raise InputError("both band= and lengths= were given; the band belongs to the full grid: call per length")
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_a, n_b), each a number or an array [*batch]")
    dag = compiled(dtw_grid, *own, axes=2 if may_grow(theta) else 0)
    return dag, padded(theta, own, dag.potentials[0].shape), ends_in(dag, lengths, own, tuple(shape[:-2]))
