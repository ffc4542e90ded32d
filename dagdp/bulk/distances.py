"""All-pairs distance matrices of ragged series, block by block."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError, Negentropy, Omega, OmegaError
from dagdp.bulk.blocks import Distance, block_of
from dagdp.bulk.output import Output, output_for
from dagdp.bulk.run import AHEAD, Cluster, Threads, in_order, progress_bar, runner
from dagdp.bulk.series import checked_series, digest_of, in_one_dtype
from dagdp.graphs.warping.costs import COSTS

Array = NDArray[Any]
CELLS_OF_A_BLOCK = 1.5e8  # about 0.5 s of one core
LARGEST_BLOCK = 512
MIRRORED = ("symmetric1", "symmetric2")  # step patterns of a distance that is equal in both directions


def pairwise(
    x: Iterable[Any],
    y: Iterable[Any] | None = None,
    *,
    omega: Omega | None = None,
    cost: Any = "squared_euclidean",
    band: int | None = None,
    steps: Any = "symmetric1",
    window: Any = None,
    open_begin: bool = False,
    open_end: bool = False,
    psi: Any = None,
    penalty: float | None = None,
    symmetric: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    block: int | None = None,
    client: Any = None,
    threads: int | None = None,
    progress: bool = True,
    resume: bool = True,
) -> Any:
    """The matrix of DTW_Ω between all series of x and all of y, [len(x), len(y)]; between all of x where y is None.

    An entry is `dagdp.graphs.dtw_value(x=x[i], y=y[j])`, in the unit of the costs; float32 if all series are float32,
    else float64. The diagonal is computed, too: it is 0 under HardMax, and below 0 under a smoothed maximum.

    x, y : series [n_i, d], or [n_i] of plain numbers, of any lengths, in a list or along the first axis of an array.
    omega : default Negentropy(1.0), which is soft-DTW; HardMax() is DTW. No array of operators, nor a Learnable.
    cost, band, steps, window, open_begin, open_end, psi, penalty : as in `dagdp.graphs.dtw_value`; a function as cost
        is called with two series [n, d] and [m, d], and must be picklable for a client.
    symmetric : whether half of the matrix is computed and mirrored, where y is None. By default it is so for costs
        given by name, steps "symmetric1" and "symmetric2", and no option but band, penalty and one number psi.
    out : None for an array in memory. A path that ends in .npy is written through a memory map, one that ends in .zarr
        as a zarr array with one chunk a block.
    block : series in each direction of a block, the unit of work, of recording and of zarr's chunks. By default a block
        takes about half a second, and has at most 512 x 512 pairs.
    client : a `distributed.Client`. Its workers get the series of a block with the task, and this process writes the
        results. None: threads of this process.
    threads : how many of them; default all cores that the process may use. Not with a client.
    progress : whether to show a bar of pairs, where tqdm is installed.
    resume : whether to go on where an earlier call with the same `out` stopped. Finished blocks are listed in the file
        `<out>.blocks`. False computes all anew, and overwrites.

    Returns the array, the numpy.memmap or the zarr.Array. Memory holds the series, and for each thread a few blocks and
    the costs of a few pairs.

    Raises InputError for a series that is empty, not numeric or not finite (named, as "x[17] has NaN at [3, 0]"), for
    an `out` that holds a matrix of other data or options, and for what is no client; GraphError and OmegaError as
    `dtw_value` does, before the first block.

    >>> import numpy as np
    >>> from dagdp import HardMax
    >>> pairwise([[0.0, 1.0], [0.0, 1.0, 1.0], [3.0]], omega=HardMax(), progress=False).tolist()
    [[0.0, 0.0, 13.0], [0.0, 0.0, 17.0], [13.0, 17.0, 0.0]]
    """
    distance = Distance(omega or Negentropy(1.0), cost, band, steps, window, open_begin, open_end, psi, penalty)
    left, right = _checked(x, y)
    mirror = y is None and (_is_symmetric(distance) if symmetric is None else symmetric)
    _check_distance(distance, left, right)
    size = _checked_block(block, left, right)
    facts = {
        "x": digest_of(left),
        "y": "x" if y is None else digest_of(right),
        "options": _facts_of(distance),
        "block": f"{size} {mirror}",
    }
    if cost == "squared_euclidean":
        left, right = _centred(left, right)
    place = runner(client, threads)
    with closing(place):
        shape = len(left), len(right)
        with closing(output_for(out, shape, left[0].dtype, size, resume, facts)) as target:
            _fill(target, _Plan(left, right, size, mirror), distance, place, progress)
    return target.array


class _Plan(NamedTuple):
    """The blocks of a matrix, numbered row by row."""

    x: Sequence[Array]
    y: Sequence[Array]
    size: int
    mirror: bool

    def blocks(self) -> Iterator[tuple[int, slice, slice]]:
        """(number, rows, columns) of the blocks that are computed."""
        across = math.ceil(len(self.y) / self.size)
        for i in range(math.ceil(len(self.x) / self.size)):
            for j in range(i if self.mirror else 0, across):
                yield i * across + j, self._slice(i, len(self.x)), self._slice(j, len(self.y))

    def places(self, rows: slice, columns: slice, values: Array) -> list[tuple[slice, slice, Array]]:
        """Where the values of a block are written."""
        here = (rows, columns, values)
        return [here, (columns, rows, values.T)] if self.mirror and rows != columns else [here]

    def _slice(self, k: int, most: int) -> slice:
        return slice(k * self.size, min((k + 1) * self.size, most))


def _fill(target: Output, plan: _Plan, distance: Distance, place: Threads | Cluster, progress: bool) -> None:
    """Compute the blocks that are not finished."""
    todo = [found for found in plan.blocks() if found[0] not in target.finished]
    total, rest = _pairs(plan.blocks()), _pairs(todo)
    if not todo:
        return
    place.warm(block_of, plan.x[:1], plan.y[:1], distance)
    tasks = ((plan.x[rows], plan.y[columns], distance, plan.mirror and rows == columns) for _, rows, columns in todo)
    results = in_order(place, block_of, tasks, AHEAD * place.workers)
    with progress_bar(total, total - rest, "pair", "dagdp.bulk.pairwise", progress) as advance:
        for (number, rows, columns), wait in zip(todo, results, strict=True):
            values = wait()
            target.write(number, plan.places(rows, columns, values))
            advance(values.size)


def _pairs(blocks: Iterable[tuple[int, slice, slice]]) -> int:
    """The number of pairs of some blocks."""
    return sum((rows.stop - rows.start) * (columns.stop - columns.start) for _, rows, columns in blocks)


def _checked(x: Iterable[Any], y: Iterable[Any] | None) -> tuple[list[Array], list[Array]]:
    """Both lists, of one dtype and one number of features."""
    left = checked_series("x", x)
    if y is None:
        return left, left
    right = checked_series("y", y)
    if left[0].shape[1] != right[0].shape[1]:
        raise InputError(
            f"x[0] has {left[0].shape[1]} features and y[0] has {right[0].shape[1]}; expected one number of features"
        )
    both = in_one_dtype(left, right)
    return both[: len(left)], both[len(left) :]


def _centred(left: Sequence[Array], right: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Series minus the mean of all frames: squared distances stay, and lose fewer digits.

    One mean serves all blocks, so that entries do not depend on the size of a block.
    """
    frames = sum(map(len, left)) + sum(map(len, right))
    mean = sum(series.sum(0, dtype=np.float64) for some in (left, right) for series in some) / frames
    centred = [(series - mean).astype(series.dtype) for series in left]
    return centred, centred if right is left else [(series - mean).astype(series.dtype) for series in right]


def _check_distance(distance: Distance, left: Sequence[Array], right: Sequence[Array]) -> None:
    """Meet what is wrong with the options before any work, by the pair of the two shortest series."""
    if not isinstance(distance.omega, Omega):
        raise OmegaError(
            f"omega is a {type(distance.omega).__name__}; expected an operator with fixed numbers, as Negentropy(1.0)"
        )
    if not callable(distance.cost) and distance.cost not in COSTS:
        raise InputError(f"cost={distance.cost!r}; expected one of {', '.join(COSTS)}, or a function of two series")
    if distance.penalty is not None and np.ndim(distance.penalty) != 0:
        raise InputError(f"penalty has shape {np.shape(distance.penalty)}; expected one number for all pairs")
    if isinstance(distance.window, np.ndarray):
        raise InputError("window is an array; expected a radius or a named window, which fit pairs of any lengths")
    block_of([min(left, key=len)], [min(right, key=len)], distance)


def _checked_block(block: int | None, left: Sequence[Array], right: Sequence[Array]) -> int:
    """The number of series of a block in each direction."""
    if block is None:
        cells = float(np.mean([len(a) for a in left]) * np.mean([len(b) for b in right]))
        return max(1, min(LARGEST_BLOCK, max(len(left), len(right)), int(math.sqrt(CELLS_OF_A_BLOCK / cells))))
    if isinstance(block, bool) or not isinstance(block, int | np.integer) or block < 1:
        raise InputError(f"block={block!r}; expected a whole number of series, at least 1")
    return int(block)


def _is_symmetric(distance: Distance) -> bool:
    """Whether the options are known to give d(a, b) = d(b, a)."""
    fixed = not (distance.open_begin or distance.open_end) and distance.window is None
    psi = distance.psi is None or isinstance(distance.psi, int)
    steps = isinstance(distance.steps, str) and distance.steps in MIRRORED
    return fixed and psi and steps and isinstance(distance.cost, str)


def _facts_of(distance: Distance) -> str:
    """The options as text. A function is known by its name and bytecode: what it calls may change unnoticed."""
    cost = distance.cost
    if not isinstance(cost, str):
        code = getattr(cost, "__code__", None)
        text = f"{getattr(cost, '__module__', '')}.{getattr(cost, '__qualname__', type(cost).__qualname__)}"
        digest = hashlib.sha256(code.co_code + repr(code.co_names).encode()).hexdigest()[:20] if code else ""
        cost = f"{text} {digest}"
    omega = f"{type(distance.omega).__module__}.{distance.omega!r}"
    return f"{omega} {cost} {distance.warping!r}"
