"""DTW shortcuts: the engine on the alignment grid, theta[i, j] costs to be minimised (paper, B.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.graphs.builders import compiled, cut, dtw_grid, ends_in, may_grow, padded, sizes
from dagdp.graphs.strip import Strip, strip_of


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
    band : see `dtw_grid`. With `lengths` it runs between the corners of each item's own size, as if each were alone.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or -inf, lengths out of range).

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> float(dtw_value(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]), HardMax()))
    1.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    problem = _prepared(theta, lengths, band)
    return dp_value(problem.dag, problem.theta(theta), omega, minimize=True, end=problem.end, **options)


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
    problem = _prepared(theta, lengths, band)
    path = dp_grad(problem.dag, problem.theta(theta), omega, minimize=True, end=problem.end, **options)
    return problem.result(path)


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
    problem = _prepared(theta, lengths, band)
    weights, direction = problem.theta(theta), problem.direction(z)
    return problem.result(dp_hvp(problem.dag, weights, direction, omega, minimize=True, end=problem.end, **options))


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
    problem = _prepared(theta, lengths, band)
    path = dp_grad(problem.dag, problem.theta(theta), HardMax(), minimize=True, end=problem.end, **options)
    visited = problem.result(path) > 0.5
    *batch, N_A, N_B = visited.shape
    flat = np.asarray(visited).reshape(-1, N_A * N_B)
    pairs = np.full((flat.shape[0], N_A + N_B - 1, 2), -1, np.int64)
    item, cell = np.nonzero(flat)  # row-major order is path order: both indices only grow along a path
    counts = np.bincount(item, minlength=flat.shape[0])
    step = np.arange(item.size) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs[item, step] = np.stack(np.divmod(cell, N_B), -1)
    pairs = pairs.reshape(*batch, N_A + N_B - 1, 2)
    return pairs if isinstance(visited, np.ndarray) else visited.long().new_tensor(pairs)


class _Problem(NamedTuple):
    """A graph for data of sizes `own`, and how arrays [*batch, *own] go in and out: it may be a larger one."""

    dag: CompiledDAG
    own: tuple[int, int]
    end: Any
    strip: Strip | None = None

    def theta(self, values: Any) -> Any:
        if self.strip is not None:
            return self.strip.gathered(values, np.inf)
        return padded(values, self.own, self.dag.potentials[0].shape)

    def direction(self, z: Any) -> Any:
        if self.strip is not None:
            return self.strip.gathered(z, 0.0, "z")
        return padded(z, self.own, self.dag.potentials[0].shape, "z")

    def result(self, made: Any) -> Any:
        return cut(made, self.own) if self.strip is None else self.strip.spread(made)


def _prepared(theta: Any, lengths: Any, band: int | None) -> _Problem:
    shape = np.shape(theta)
    if len(shape) < 2:
        raise InputError(f"theta has shape {shape}; expected costs [*batch, N_A, N_B]")
    (N_A, N_B), batch = sizes(theta, 2), tuple(shape[:-2])
    own = N_A, N_B
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_a, n_b), each a number or an array [*batch]")
    if band is None:
        dag = compiled(dtw_grid, *own, axes=2 if may_grow(theta) else 0)
        return _Problem(dag, own, ends_in(dag, lengths, own, batch))
    if lengths is None:
        return _Problem(compiled(dtw_grid, *own, band), own, None)
    strip = strip_of(lengths, own, band, batch)
    return _Problem(strip.dag, own, strip.end, strip)
