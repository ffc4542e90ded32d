"""Costs of matching the frames of two series, from NumPy arrays here and from tensors by `dagdp.nn.costs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.ragged.given import rectangular

Array = NDArray[Any]


def series_costs(x: Any, y: Any, cost: Any) -> Any:
    """theta [*batch, N_A, N_B] of two series: by the name of a cost, or by a function of the two.

    x, y : series [*batch, N, d], or one series of plain numbers [N].
    cost : "squared_euclidean", "euclidean", "l1", "cosine" or "negative_dot"; or a function (x, y) -> theta.

    A frame with NaN or an infinity gets NaN for all its costs. Of tensors the result can be differentiated twice.

    Raises InputError for an unknown cost, for shapes that differ in d, and where one series is missing.

    >>> series_costs(np.array([0.0, 2.0]), np.array([0.0, 1.0, 2.0]), "l1").tolist()
    [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]
    """
    if x is None or y is None:
        raise InputError(f"{'x' if x is None else 'y'} is missing; expected theta, or both series as x= and y=")
    x, y = (series[..., None] if np.ndim(series) == 1 else series for series in map(_as_array, (x, y)))
    if callable(cost):
        return cost(x, y)
    if cost not in COSTS:
        raise InputError(f"cost={cost!r}; expected one of {', '.join(COSTS)}, or a function of x and y")
    if is_tensor(x) or is_tensor(y):
        from dagdp.nn.costs import NAMED

        return NAMED[cost](x, y)
    return _between(cost, x, y)


def frame_costs(x: Any, y: Any) -> Any:
    """|x_i - y_i| [*batch, N], the Euclidean norm over features, of series [*batch, N, d] whose frames are paired.

    Of tensors the derivative is 0 at equal frames.

    >>> frame_costs(np.array([[3.0, 4.0]]), np.zeros((1, 2))).tolist()
    [5.0]
    """
    squares = ((x - y) ** 2).sum(-1)
    if not is_tensor(squares):
        return np.sqrt(squares)
    some = squares > 0.0
    return (squares.where(some, squares.new_ones(()))).sqrt().where(some, squares * 0.0)


def _as_array(series: Any) -> Any:
    return series if is_tensor(series) else np.asarray(rectangular(series, "a series"))


def _between(cost: str, x: Array, y: Array) -> Array:
    """The cost of checked series: at least float32, NaN for frames that are not finite."""
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"the series have shapes {x.shape} and {y.shape}; expected [*batch, N, d] and [*batch, M, d] with equal d, "
            "or [N] and [M]. Of a batch of series of plain numbers, pass x[..., None]"
        )
    real = np.result_type(*(a.dtype if a.dtype.kind == "f" else np.float64 for a in (x, y)), np.float32)
    sound_x, sound_y = (np.asarray(np.isfinite(a).all(-1, keepdims=True)) for a in (x, y))
    x, y = np.where(sound_x, x, 0).astype(real), np.where(sound_y, y, 0).astype(real)
    made: Array = COSTS[cost](x, y)
    return np.where(sound_x & sound_y.swapaxes(-1, -2), made, real.type(np.nan))


def _squared_euclidean(x: Array, y: Array) -> Array:
    """By one matrix product of centred series: ||x||² + ||y||² - 2<x, y>, never negative."""
    frames = x.shape[-2] + y.shape[-2]
    centre = (x.sum(-2, keepdims=True) + y.sum(-2, keepdims=True)) / max(frames, 1)
    x, y = x - centre, y - centre
    squares = (x * x).sum(-1)[..., :, None] + (y * y).sum(-1)[..., None, :]
    return np.maximum(squares - 2 * (x @ y.swapaxes(-1, -2)), 0)


def _by_feature(x: Array, y: Array, power: int) -> Array:
    """Σ_d |x_id - y_jd|^power, a feature at a time: no N x M x d numbers at once, and 0 for equal frames."""
    total = np.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-2]), x.dtype)
    for d in range(x.shape[-1]):
        total += np.abs(x[..., :, None, d] - y[..., None, :, d]) ** power
    return total


def _cosine(x: Array, y: Array) -> Array:
    return np.maximum(1 - _directions(x) @ _directions(y).swapaxes(-1, -2), 0)


def _directions(x: Array) -> Array:
    """x / ||x||, and 0 for a frame of zeros. Scaled first, so that squares of tiny and huge numbers are in range."""
    largest = np.abs(x).max(-1, keepdims=True, initial=0)
    scaled = x / np.where(largest > 0, largest, 1)
    norm = np.sqrt((scaled * scaled).sum(-1, keepdims=True))
    return scaled / np.where(norm > 0, norm, 1)


COSTS: dict[str, Callable[[Array, Array], Array]] = {
    "squared_euclidean": _squared_euclidean,
    "euclidean": lambda x, y: np.sqrt(_by_feature(x, y, 2)),
    "l1": lambda x, y: _by_feature(x, y, 1),
    "cosine": _cosine,
    "negative_dot": lambda x, y: -(x @ y.swapaxes(-1, -2)),
}
