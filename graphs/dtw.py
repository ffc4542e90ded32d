"""Dynamic time warping: `dp_*` on the alignment grid, theta[i, j] costs to be minimised (paper, section B.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.alignment_grid import dtw_grid
from dagdp.graphs.ragged.band import RaggedBand, ragged_band
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.padding import cut, ends_in, may_pad, padded, sizes


@through_torch
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
    """DTW_Ω(θ), the smoothed least cost of an alignment: [*batch] in theta's unit and dtype.

    v_ij = θ_ij + min_Ω(v_i-1,j , v_i,j-1 , v_i-1,j-1), the first cell included: a sum over cells without a square root
    or a division.

    theta : [*batch, N_A, N_B] costs of matching i with j; +inf forbids a cell.
    omega : default Negentropy(1.0): the soft-DTW of Cuturi and Blondel, which may be negative; gamma in theta's unit.
    lengths : (n_a, n_b), each an integer or integers [*batch]: the corner [n_a, n_b] of theta is the item; cells
        outside the corner are never read and may hold NaN. The axes of lengths and the leading axes of theta broadcast.
    band : see `dtw_grid`. With `lengths` the band runs between the corners of each item, as if the item were alone.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or -inf, lengths out of range), GraphError (band).

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> float(dtw_value(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]), HardMax()))
    1.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    grid = _grid_for(theta, lengths, band)
    return dp_value(grid.dag, grid.theta(theta), omega, minimize=True, end=grid.end, **options)


@through_torch
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
    """∇DTW_Ω(θ) = E, the expected alignment: [*batch, N_A, N_B], the probability of each cell (Algorithm 5).

    In theta's dtype, in [0, 1]; 0 outside the band and the corner of an item. Parameters and errors are those of
    `dtw_value`.

    >>> import numpy as np
    >>> from dagdp import SquaredL2
    >>> dtw_grad(np.array([[0.0, 5.0], [5.0, 0.0]]), SquaredL2(1.0)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    grid = _grid_for(theta, lengths, band)
    path = dp_grad(grid.dag, grid.theta(theta), omega, minimize=True, end=grid.end, **options)
    return grid.result(path)


@through_torch
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
    """∇²DTW_Ω(θ) Z, the product of the Hessian and a direction: [*batch, N_A, N_B] in theta's dtype (Algorithm 6).

    z : a direction [N_A, N_B], or directions [*batch, N_A, N_B], finite. Other parameters and errors are those of
        `dtw_value`.

    >>> import numpy as np
    >>> (dtw_hvp(np.zeros((2, 2)), np.array([[0.0, 9.0], [0.0, 0.0]])).round(6) + 0.0).tolist()
    [[0.0, -2.0], [1.0, 0.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    grid = _grid_for(theta, lengths, band)
    weights, direction = grid.theta(theta), grid.direction(z)
    return grid.result(dp_hvp(grid.dag, weights, direction, omega, minimize=True, end=grid.end, **options))


@through_torch
def dtw_path(
    theta: Any,
    *,
    lengths: Any = None,
    band: int | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The least-cost alignment as index pairs (i, j): int64 [*batch, N_A + N_B - 1, 2], padded with rows of -1.

    Among equal costs the diagonal move is preferred to down (from i-1), and down to right (from j-1). A tensor where
    theta is a tensor: on a device the host waits for the cells and lays the pairs out. Parameters and errors are those
    of `dtw_value`.

    >>> import numpy as np
    >>> dtw_path(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]])).tolist()
    [[0, 0], [1, 1], [1, 2], [-1, -1]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    grid = _grid_for(theta, lengths, band)
    path = dp_grad(grid.dag, grid.theta(theta), HardMax(), minimize=True, end=grid.end, **options)
    visited = grid.result(path) > 0.5
    *batch, N_A, N_B = visited.shape
    flat = np.asarray(visited if isinstance(visited, np.ndarray) else visited.cpu()).reshape(-1, N_A * N_B)
    pairs = np.full((flat.shape[0], N_A + N_B - 1, 2), -1, np.int64)
    item, cell = np.nonzero(flat)  # row-major order is path order: both indices only grow along a path
    counts = np.bincount(item, minlength=flat.shape[0])
    step = np.arange(item.size) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs[item, step] = np.stack(np.divmod(cell, N_B), -1)
    pairs = pairs.reshape(*batch, N_A + N_B - 1, 2)
    return pairs if isinstance(visited, np.ndarray) else visited.long().new_tensor(pairs)


class _Grid(NamedTuple):
    """A graph for arrays [*batch, N_A, N_B], which may have more cells, and the map between arrays and its cells."""

    dag: CompiledDAG
    own: tuple[int, int]  # N_A, N_B
    end: Any  # `end=` of the items
    band: RaggedBand | None = None

    def theta(self, values: Any) -> Any:
        if self.band is not None:
            return self.band.gathered(values, np.inf)
        return padded(values, self.own, self.dag.potentials[0].shape)

    def direction(self, z: Any) -> Any:
        if self.band is not None:
            return self.band.gathered(z, 0.0, "z")
        return padded(z, self.own, self.dag.potentials[0].shape, "z")

    def result(self, made: Any) -> Any:
        return cut(made, self.own) if self.band is None else self.band.spread(made)


def _grid_for(theta: Any, lengths: Any, band: int | None) -> _Grid:
    """The graph for costs of this shape."""
    shape = np.shape(theta)
    if len(shape) < 2:
        raise InputError(f"theta has shape {shape}; expected costs [*batch, N_A, N_B]")
    (N_A, N_B), batch = sizes(theta, 2), tuple(shape[:-2])
    own = N_A, N_B
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_a, n_b), each a number or an array [*batch]")
    if band is None:
        dag = compiled(dtw_grid, *own, axes=2 if may_pad(theta) else 0, edges=3)
        return _Grid(dag, own, ends_in(dag, lengths, own, batch))
    if lengths is None:
        return _Grid(compiled(dtw_grid, *own, band), own, None)
    bands = ragged_band(lengths, own, band, batch)
    return _Grid(bands.dag, own, bands.end, bands)
