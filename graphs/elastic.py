"""Elastic distances of time series: from two series to the potentials of a recurrence, and to its value."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dagdp import Graph, HardMax, InputError, Omega, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.arrays import beside, expanded, is_tensor, masked
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import pair_of_lengths, rectangular
from dagdp.graphs.ragged.padding import padded
from dagdp.graphs.time_series import drop_dtw as grid_with_drops
from dagdp.graphs.time_series import edr, erp, lcss, msm, twe
from dagdp.graphs.warping.call import check_costs, check_pair
from dagdp.graphs.warping.costs import frame_costs, series_costs

Theta = dict[str, Any]


class Run(NamedTuple):
    """What a call hands on to `dp_value`."""

    omega: Omega | None
    lengths: Any
    on_infeasible: str
    threads: int | None
    backend: str | None


@through_torch
def erp_distance(
    x: Any,
    y: Any,
    omega: Omega | None = HardMax(),  # noqa: B008
    *,
    g: Any = 0.0,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Edit distance with real penalty (ERP) of two series: [*batch], in the unit of the series.

    Matched entries cost their Euclidean distance, an entry in a gap the distance from g. See `time_series.erp`.

    x, y : series [*batch, N, d], or [N] for one series of plain numbers.
    omega : default HardMax(), the distance itself; Negentropy(gamma) for a smooth one.
    g : a number, or numbers [d].
    lengths : (n_x, n_y), each an integer or integers [*batch]: later entries are never read and may hold NaN.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shapes, dtypes, numbers, lengths).

    >>> float(erp_distance(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0])))
    1.0
    """
    x, y = _pair(x, y, lengths)
    g = g if is_tensor(g) else beside(np.asarray(g, float), x)
    theta = {"match": series_costs(x, y, "euclidean"), "delete": frame_costs(x, g)}
    theta["insert"] = frame_costs(y, g)
    return _value(erp, theta, 1, Run(omega, lengths, on_infeasible, threads, backend))


@through_torch
def edr_distance(
    x: Any,
    y: Any,
    omega: Omega | None = HardMax(),  # noqa: B008
    *,
    epsilon: float,
    gap: Any = 1.0,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Edit distance on real sequences (EDR): how many edits make two series equal up to epsilon, [*batch].

    A match costs 0 where entries are nearer than epsilon, else 1; the series have no gradient. See `time_series.edr`.

    gap : the cost of leaving an entry out; a tensor learns. Other parameters and errors are those of `erp_distance`.

    >>> float(edr_distance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0]), epsilon=0.5))
    1.0
    """
    x, y = _pair(x, y, lengths)
    apart = series_costs(x, y, "euclidean")
    gap = gap if is_tensor(gap) else beside(np.asarray(gap, float), apart)
    theta = {"match": _kept(apart, apart >= epsilon), "gap": gap}
    return _value(edr, theta, 1, Run(omega, lengths, on_infeasible, threads, backend))


@through_torch
def lcss_length(
    x: Any,
    y: Any,
    omega: Omega | None = HardMax(),  # noqa: B008
    *,
    epsilon: float,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The length of the longest common subsequence (LCSS) of two series, equal up to epsilon: [*batch].

    The usual distance is 1 - length / min(N, M). The series have no gradient. See `time_series.lcss`. Parameters and
    errors are those of `erp_distance`.

    >>> float(lcss_length(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0]), epsilon=0.5))
    2.0
    """
    x, y = _pair(x, y, lengths)
    apart = series_costs(x, y, "euclidean")
    theta = {"match": _kept(apart, apart <= epsilon)}
    return _value(lcss, theta, 1, Run(omega, lengths, on_infeasible, threads, backend))


@through_torch
def twe_distance(
    x: Any,
    y: Any,
    omega: Omega | None = HardMax(),  # noqa: B008
    *,
    nu: Any = 0.001,
    lmbda: Any = 1.0,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Time warp edit distance (TWE) of two series with one entry a unit of time: [*batch], in the unit of the series.

    A match costs the distance of the entries and of those before, and 2 nu |i - j|; leaving an entry out costs its
    distance from the entry before, and nu + lmbda. In front of each series stands an entry 0. See `time_series.twe`.

    nu, lmbda : numbers; tensors learn. Other parameters and errors are those of `erp_distance`.

    >>> round(float(twe_distance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0]))), 6)
    3.001
    """
    x, y = _pair(x, y, lengths)
    before_x, before_y = _delayed(x), _delayed(y)
    i, j = np.arange(x.shape[-2])[:, None], np.arange(y.shape[-2])
    match = series_costs(x, y, "euclidean") + series_costs(before_x, before_y, "euclidean")
    theta = {"match": match + 2.0 * nu * beside(np.abs(i - j).astype(float), match)}
    theta |= {"delete": frame_costs(x, before_x) + nu + lmbda, "insert": frame_costs(y, before_y) + nu + lmbda}
    return _value(twe, theta, 1, Run(omega, lengths, on_infeasible, threads, backend))


@through_torch
def msm_distance(
    x: Any,
    y: Any,
    omega: Omega | None = HardMax(),  # noqa: B008
    *,
    c: Any = 1.0,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Move-split-merge distance (MSM) of two series of plain numbers: [*batch], in the unit of the series.

    A move costs the difference of two entries; a split or a merge costs c, and the distance of the new entry from the
    interval between its neighbour and the other series' entry. See `time_series.msm`.

    x, y : [N] and [M], or [*batch, N, 1] and [*batch, M, 1].
    c : a number; a tensor learns. Other parameters and errors are those of `erp_distance`.

    >>> float(msm_distance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0])))
    2.0
    """
    x, y = _pair(x, y, lengths)
    if x.shape[-1] != 1:
        raise InputError(f"the series have {x.shape[-1]} features; expected 1. Add the distances of the features")
    a, b = x, y.swapaxes(-1, -2)  # [*batch, N, 1] and [*batch, 1, M]
    move = series_costs(x, y, "euclidean")
    theta = {"move": move}
    theta["split"] = c + _outside(a, _delayed(x), b)
    theta["merge"] = c + _outside(b, a, _delayed(y).swapaxes(-1, -2))
    return _value(msm, theta, 0, Run(omega, lengths, on_infeasible, threads, backend))


@through_torch
def drop_dtw(
    theta: Any,
    drop_a: Any,
    drop_b: Any,
    omega: Omega | None = None,
    *,
    lengths: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The least cost of an alignment that may drop entries of either series (Drop-DTW): [*batch], in theta's unit.

    theta : [*batch, N_A, N_B] costs of matching.
    drop_a, drop_b : the costs of dropping an entry: [*batch, N_A] and [*batch, N_B], or a number for all entries.
    omega : default Negentropy(1.0).  lengths : as in `dtw_value`.  on_infeasible, threads, backend : as in `dp_value`.

    See `time_series.drop_dtw`, whose value this is. Raises InputError (shapes, dtypes, numbers, lengths).

    >>> float(drop_dtw(np.array([[0.0, 9.0, 9.0], [9.0, 9.0, 0.0]]), 5.0, 0.5, HardMax()))
    0.5
    """
    theta = theta if is_tensor(theta) else np.asarray(rectangular(theta, "theta"))
    check_pair(lengths)
    N_A, N_B = check_costs(theta)
    made = {"cost": theta, "drop_a": _row(drop_a, N_A, theta), "drop_b": _row(drop_b, N_B, theta)}
    return _value(grid_with_drops, made, 1, Run(omega, lengths, on_infeasible, threads, backend))


def _value(builder: Callable[..., Graph], theta: Theta, border: int, run: Run) -> Any:
    """`dp_value` of the builder's graph; `border` rows and columns of its table stand in front of the entries."""
    own = tuple(next(iter(theta.values())).shape[-2:])
    ragged = (True,) if builder is grid_with_drops else ()
    dag = compiled(builder, *own, *ragged, axes=2, grown=ragged, edges=3)
    shapes = {str(potential.name): potential.shape for potential in dag.potentials}
    fronts = [tuple(block.shape[: block.ndim - len(shapes[name])]) for name, block in theta.items()]
    try:
        batch = np.broadcast_shapes(*fronts)
    except ValueError:
        raise InputError(f"the arrays have batch dimensions {fronts}; expected shapes that broadcast") from None
    n_a, n_b = pair_of_lengths(own if run.lengths is None else run.lengths, own, batch)
    batch = np.broadcast_shapes(batch, n_a.shape)
    made = {}
    for name, block in theta.items():
        core = len(shapes[name])
        block = expanded(block, batch, core) if core == 2 or block.ndim > core else block
        made[name] = padded(block, tuple(block.shape[block.ndim - core :]), shapes[name], name)
    end = dag.cell("done" if ragged else "v", n_a - 1 + border, n_b - 1 + border)
    options: dict[str, Any] = {"on_infeasible": run.on_infeasible, "threads": run.threads, "backend": run.backend}
    return dp_value(dag, made, run.omega, end=end, **options)


def _pair(x: Any, y: Any, lengths: Any) -> tuple[Any, Any]:
    """Two series [*batch, N, d] of one kind, and 0 behind their lengths."""
    pair = [a if is_tensor(a) else np.asarray(rectangular(a, name)) for name, a in (("x", x), ("y", y))]
    tensors = [a for a in pair if is_tensor(a)]
    pair = [beside(a, tensors[0]) if tensors and not is_tensor(a) else a for a in pair]
    x, y = (a[..., None] if a.ndim == 1 else a for a in pair)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"the series have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected [*batch, N, d] and [*batch, M, d] "
            "with equal d, or [N] and [M]. Of a batch of series of plain numbers, pass x[..., None]"
        )
    if lengths is None:
        return x, y
    if not isinstance(lengths, list | tuple) or len(lengths) != 2:
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_x, n_y), each a number or an array [*batch]")
    own, batch = (x.shape[-2], y.shape[-2]), np.broadcast_shapes(tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    counts = pair_of_lengths(lengths, own, batch)
    inside = (np.arange(size)[:, None] < n[..., None, None] for size, n in zip(own, counts, strict=True))
    x, y = (masked(a, mask, 0.0) for a, mask in zip((x, y), inside, strict=True))
    return x, y


def _delayed(x: Any) -> Any:
    """[*batch, N, d] each entry's entry before, 0 before the first."""
    parts = [x[..., :1, :] * 0.0, x[..., :-1, :]]
    return sys.modules["torch"].cat(parts, -2) if is_tensor(x) else np.concatenate(parts, -2)


def _outside(x: Any, a: Any, b: Any) -> Any:
    """How far x is from the interval between a and b."""
    kind = sys.modules["torch"] if is_tensor(x) else np
    return (x - kind.maximum(a, b)).clip(min=0.0) + (kind.minimum(a, b) - x).clip(min=0.0)


def _kept(apart: Any, chosen: Any) -> Any:
    """A choice by distances as numbers, NaN where a distance is NaN."""
    numbers = chosen * 1.0
    return (
        numbers.to(apart.dtype).where(apart == apart, apart)
        if is_tensor(apart)
        else np.where(apart == apart, numbers.astype(apart.dtype), apart)
    )


def _row(drop: Any, size: int, theta: Any) -> Any:
    """[*batch, size] costs of dropping entries."""
    drop = drop if is_tensor(drop) else beside(np.asarray(drop, float), theta)
    return expanded(drop, (size,), 0) if drop.ndim == 0 else drop
