"""Dynamic time warping: `dp_*` on the alignment grid, theta[i, j] costs to be minimised (paper, section B.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value, node_values
from dagdp.cuda import through_torch
from dagdp.graphs.alignment_grid import dtw_grid
from dagdp.graphs.ragged.band import RaggedBand, ragged_band
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.padding import cut, ends_in, may_pad, padded
from dagdp.graphs.warping.call import Warping, WarpingCall, call_for, check_costs, check_pair, costs_of
from dagdp.graphs.warping.cells import path_of
from dagdp.graphs.warping.grid import FIRST_CELL


@through_torch
def dtw_value(
    theta: Any = None,
    omega: Omega | None = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    open_end: bool = False,
    psi: Any = None,
    penalty: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """DTW_Ω(θ), the smoothed least cost of an alignment: [*batch] in theta's unit and dtype.

    v_ij = θ_ij + min_Ω(v_i-1,j , v_i,j-1 , v_i-1,j-1), the first cell included: a sum over cells without a square root
    or a division.

    theta : [*batch, N_A, N_B] costs of matching i with j; +inf forbids a cell.
    omega : default Negentropy(1.0): the soft-DTW of Cuturi and Blondel, which may be negative; gamma in theta's unit.
    x, y, cost : two series in place of theta, [*batch, N, d], or [N] for one series of plain numbers, and the cost of
        two frames: "squared_euclidean", "euclidean", "l1", "cosine", "negative_dot", or a function (x, y) -> theta. Of
        tensors the value can be differentiated in both series.
    lengths : (n_a, n_b), each an integer or integers [*batch]: the corner [n_a, n_b] of theta is the item; cells
        outside the corner are never read and may hold NaN. The axes of lengths and the leading axes of theta broadcast.
    band : see `dtw_grid`. With `lengths` the band runs between the corners of each item, as if the item were alone.
        Time and memory are those of the band where no option below is given.
    steps : a step pattern: "symmetric1", the three moves above; "symmetric2", whose diagonal move pays twice;
        "asymmetric", "symmetricP1", "rabiner-juang-4c" and others of dtw-python; or moves of your own:
        `dagdp.graphs.warping.steps.moves_of`. With a single-step pattern, cells on the path pay; a move of several
        steps passes cells, whose costs are paid, too.
    window : the cells that a path may visit: a radius in cells (tslearn's sakoe_chiba_radius), ("sakoechiba", r) or
        ("slantedband", r) of dtw-python, ("itakura", slope) of tslearn, or booleans [*batch, N_A, N_B]; with `lengths`
        the window of each item alone. Costs outside may hold NaN. See `dagdp.graphs.warping.windows.window_mask`.
    open_begin, open_end : whether the first series is matched from any start, and to any end, of the second.
    psi : how many entries may be left out at the begin and the end of both series, or four numbers: begin and end of
        the first, begin and end of the second (dtaidistance).
    penalty : paid for each step off the diagonal, in theta's unit: a number, or numbers [*batch]; a tensor learns.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    An end that is not fixed adds one node: under SquaredL2 the value is lower by γ/2.

    Raises InputError (shape, dtype, NaN or -inf, lengths out of range, theta beside a series), GraphError (band, steps,
    window, psi, and psi beside an open end).

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> float(dtw_value(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]), HardMax()))
    1.0
    >>> float(dtw_value(x=np.array([1.0, 2.0]), y=np.array([0.0, 1.0, 2.0, 9.0]), omega=HardMax(), psi=(0, 0, 1, 1)))
    0.0
    """
    run: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = costs_of(theta, x, y, cost)
    call = dtw_call(theta, Warping(lengths, band, steps, window, open_begin, open_end, psi, penalty))
    return dp_value(call.dag, call.theta(theta), omega, minimize=True, end=call.end, **run)


@through_torch
def dtw_grad(
    theta: Any = None,
    omega: Omega | None = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    open_end: bool = False,
    psi: Any = None,
    penalty: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """∇DTW_Ω(θ) = E, the expected alignment: [*batch, N_A, N_B], the probability of each cell (Algorithm 5).

    In theta's dtype; 0 outside the window and the corner of an item. By steps that pay a cell w times, E is w times the
    probability. Of series the derivative is by the costs; for that by x, differentiate `dtw_value`. Parameters and
    errors are those of `dtw_value`.

    >>> import numpy as np
    >>> from dagdp import SquaredL2
    >>> dtw_grad(np.array([[0.0, 5.0], [5.0, 0.0]]), SquaredL2(1.0)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    run: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = costs_of(theta, x, y, cost)
    call = dtw_call(theta, Warping(lengths, band, steps, window, open_begin, open_end, psi, penalty))
    return call.result(dp_grad(call.dag, call.theta(theta), omega, minimize=True, end=call.end, **run))


@through_torch
def dtw_hvp(
    theta: Any = None,
    z: Any = None,
    omega: Omega | None = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    open_end: bool = False,
    psi: Any = None,
    penalty: Any = None,
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
    run: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = costs_of(theta, x, y, cost)
    if z is None:
        raise InputError("z is missing; expected a direction [*batch, N_A, N_B], shaped like the costs")
    call = dtw_call(theta, Warping(lengths, band, steps, window, open_begin, open_end, psi, penalty))
    weights, direction = call.theta(theta, z), call.direction(theta, z)
    return call.result(dp_hvp(call.dag, weights, direction, omega, minimize=True, end=call.end, **run))


@through_torch
def dtw_path(
    theta: Any = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    open_end: bool = False,
    psi: Any = None,
    penalty: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The least-cost alignment as index pairs (i, j): int64 [*batch, N_A + N_B - 1, 2], padded with rows of -1.

    Among equal costs the diagonal move is preferred to down (from i-1), and down to right (from j-1); of other step
    patterns the move that `moves_of` lists first. Cells that a move passes are listed, too. A tensor where theta is a
    tensor: on a device the host waits for the cells and lays the pairs out. Parameters and errors are those of
    `dtw_value`.

    >>> import numpy as np
    >>> dtw_path(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]])).tolist()
    [[0, 0], [1, 1], [1, 2], [-1, -1]]
    """
    run: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = costs_of(theta, x, y, cost)
    call = dtw_call(theta, Warping(lengths, band, steps, window, open_begin, open_end, psi, penalty))
    if isinstance(call, WarpingCall):
        return path_of(call, theta, on_infeasible)
    path = dp_grad(call.dag, call.theta(theta), HardMax(), minimize=True, end=call.end, **run)
    visited = call.result(path) > 0.5
    *batch, N_A, N_B = visited.shape
    flat = np.asarray(visited if isinstance(visited, np.ndarray) else visited.cpu()).reshape(-1, N_A * N_B)
    pairs = np.full((flat.shape[0], N_A + N_B - 1, 2), -1, np.int64)
    item, cell = np.nonzero(flat)  # row-major order is path order: both indices only grow along a path
    counts = np.bincount(item, minlength=flat.shape[0])
    step = np.arange(item.size) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs[item, step] = np.stack(np.divmod(cell, N_B), -1)
    pairs = pairs.reshape(*batch, N_A + N_B - 1, 2)
    return pairs if isinstance(visited, np.ndarray) else visited.long().new_tensor(pairs)


@through_torch
def dtw_accumulated(
    theta: Any = None,
    omega: Omega | None = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    psi: Any = None,
    penalty: Any = None,
) -> Any:
    """v at every cell, the smoothed least cost of a path to the cell: [*batch, N_A, N_B], in theta's unit and dtype.

    The accumulated cost matrix (librosa's D, dtw-python's costMatrix), under HardMax; +inf where no path leads, and
    outside the window and the corner of an item. Computed in float64. From tensors the result is a constant to
    autograd; `dtw_value(theta[..., :i, :j])` is the value at one cell with its derivative. Parameters and errors are
    those of `dtw_value`; of psi the two begins count.

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> dtw_accumulated(np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]), HardMax()).tolist()
    [[0.0, 1.0, 5.0], [1.0, 0.0, 1.0]]
    """
    theta = costs_of(theta, x, y, cost)
    call = call_for(theta, Warping(lengths, band, steps, window, open_begin, False, psi, penalty), everywhere=True)
    values = node_values(call.dag, call.theta(theta), omega, minimize=True)
    cells = call.dag.potentials[0].shape
    table = values[..., FIRST_CELL : FIRST_CELL + cells[0] * cells[1]].reshape(*values.shape[:-1], *cells)
    return cut(table, call.own)


class Subsequence(NamedTuple):
    """The best match of a whole series within a longer one."""

    value: Any  # [*batch] the smoothed least cost, over all subsequences
    path: Any  # int64 [*batch, N_A + N_B - 1, 2] the least-cost match as index pairs, behind its end rows of -1
    begin: Any  # int64 [*batch] the first entry of the second series that is matched, -1 without a match
    end: Any  # int64 [*batch] the last one


@through_torch
def dtw_subsequence(
    theta: Any = None,
    omega: Omega | None = None,
    *,
    x: Any = None,
    y: Any = None,
    cost: Any = "squared_euclidean",
    lengths: Any = None,
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    penalty: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Subsequence:
    """The best match of the whole first series anywhere in the second: (value, path, begin, end).

    `dtw_value` with an open begin and an open end, and the path of least cost: librosa's `dtw(subseq=True)`, tslearn's
    `dtw_subsequence_path`, dtw-python's open ends with steps="asymmetric". The value is differentiable; path, begin and
    end are those under HardMax. For more matches than one, see the last row of `dtw_accumulated(open_begin=True)`.
    Parameters and errors are those of `dtw_value`.

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> found = dtw_subsequence(x=np.array([1.0, 2.0]), y=np.array([0.0, 1.0, 2.0, 0.0]), omega=HardMax())
    >>> float(found.value), int(found.begin), int(found.end), found.path[:3].tolist()
    (0.0, 1, 2, [[0, 1], [1, 2], [-1, -1]])
    """
    run: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    theta = costs_of(theta, x, y, cost)
    call = call_for(theta, Warping(lengths, band, steps, window, True, True, None, penalty))
    value = dp_value(call.dag, call.theta(theta), omega, minimize=True, end=call.end, **run)
    path = path_of(call, theta, "value")
    columns = path[..., 1]
    last = (columns >= 0).sum(-1)[..., None] - 1
    if isinstance(path, np.ndarray):
        end = np.take_along_axis(columns, np.maximum(last, 0), -1)[..., 0]
    else:
        end = columns.gather(-1, last.clamp(min=0))[..., 0]
    return Subsequence(value, path, columns[..., 0], end)


class _Grid(NamedTuple):
    """The graph of `dtw_grid` for arrays [*batch, N_A, N_B], and the map between arrays and its cells."""

    dag: CompiledDAG
    own: tuple[int, int]  # N_A, N_B
    end: Any  # `end=` of the items
    band: RaggedBand | None = None

    def theta(self, values: Any, z: Any = None) -> Any:
        if self.band is not None:
            return self.band.gathered(values, np.inf)
        return padded(values, self.own, self.dag.potentials[0].shape)

    def direction(self, values: Any, z: Any) -> Any:
        if self.band is not None:
            return self.band.gathered(z, 0.0, "z")
        return padded(z, self.own, self.dag.potentials[0].shape, "z")

    def result(self, made: Any) -> Any:
        return cut(made, self.own) if self.band is None else self.band.spread(made)


def dtw_call(theta: Any, options: Warping) -> _Grid | WarpingCall:
    """The graph for costs of this shape: `dtw_grid`, unless an option needs another one."""
    if not options.is_plain:
        return call_for(theta, options)
    own, batch = check_costs(theta), tuple(np.shape(theta)[:-2])
    check_pair(options.lengths)
    lengths, band = options.lengths, options.band
    if band is None:
        dag = compiled(dtw_grid, *own, axes=2 if may_pad(theta) else 0, edges=3)
        return _Grid(dag, own, ends_in(dag, lengths, own, batch))
    if lengths is None:
        return _Grid(compiled(dtw_grid, *own, band), own, None)
    bands = ragged_band(lengths, own, band, batch)
    return _Grid(bands.dag, own, bands.end, bands)
