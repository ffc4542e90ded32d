"""Windows: the cells that a warping path may visit, for items of any lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import GraphError, InputError
from dagdp.graphs.alignment_grid import bounds, check_band
from dagdp.graphs.ragged.arrays import is_tensor

Mask = NDArray[np.bool_]
Numbers = NDArray[Any]


def window_mask(window: Any, own: tuple[int, int], n_a: Numbers, n_b: Numbers) -> Mask:
    """[*lengths, N_A, N_B] the cells of a window in the corner [n_a, n_b] of each item.

    window : a radius r in cells: -r <= i - j <= r where the lengths are equal, and as many more cells as one series is
        longer than the other, on the side of the longer one: tslearn's sakoe_chiba_radius=r, and dtaidistance's
        window=r+1. ("sakoechiba", r): |i - j| <= r, as in dtw-python. ("slantedband", r): at most r columns from the
        line between the corners, as in dtw-python. ("itakura", slope): the parallelogram of tslearn's
        itakura_max_slope. ("band", r): that of `dtw_grid`. "corner": all cells. Or booleans [*batch, N_A, N_B].

    Raises GraphError for a window of another form, InputError for booleans of another shape.

    >>> window_mask(1, (3, 4), np.array(3), np.array(4)).astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]]
    """
    n_a, n_b = n_a[..., None, None], n_b[..., None, None]
    i, j = np.arange(own[0])[:, None], np.arange(own[1])
    corner: Mask = (i < n_a) & (j < n_b)
    if isinstance(window, str) and window == "corner":
        return corner
    radius = isinstance(window, int | np.integer) and not isinstance(window, bool)
    shape = ("sakoe_chiba_radius", window) if radius else window
    if isinstance(shape, tuple | list) and len(shape) == 2 and isinstance(shape[0], str):
        name, size = shape
        if name in SHAPES and _fits(name, size):
            inside: Mask = SHAPES[name](i, j, n_a, n_b, size)
            return inside & corner
    elif np.ndim(window) >= 2:
        return corner & _booleans(window, own)
    raise GraphError(
        f"window={window!r}; expected a radius in whole cells, at least 0, or ('sakoechiba', radius), ('slantedband', "
        "radius), ('itakura', slope of at least 1), or booleans [*batch, N_A, N_B]"
    )


def _fits(name: str, size: Any) -> bool:
    if isinstance(size, bool) or not isinstance(size, int | float | np.integer | np.floating):
        return False
    if name == "itakura":
        return bool(1 <= size < np.inf)
    return bool(size >= 0) and (name in ("sakoechiba", "slantedband") or int(size) == size)


def _booleans(window: Any, own: tuple[int, int]) -> Mask:
    mask = window.numpy(force=True) if is_tensor(window) else np.asarray(window)
    if mask.dtype != bool or mask.shape[-2:] != own:
        raise InputError(
            f"window has dtype {mask.dtype} and shape {mask.shape}; expected booleans [*batch, {own[0]}, {own[1]}]"
        )
    return mask


def _radius(i: Numbers, j: Numbers, n_a: Numbers, n_b: Numbers, size: Any) -> Any:
    return (i - j <= size + np.maximum(n_a - n_b, 0)) & (j - i <= size + np.maximum(n_b - n_a, 0))


def _slanted(i: Numbers, j: Numbers, n_a: Numbers, n_b: Numbers, size: Any) -> Any:
    return np.abs(j - i * (n_b - 1) / np.maximum(n_a - 1, 1)) <= size


def _itakura(i: Numbers, j: Numbers, n_a: Numbers, n_b: Numbers, size: Any) -> Any:
    """tslearn's, with bounds that are rounded to two decimals first."""
    steep, flat = size * (n_a / n_b), 1 / size * (n_a / n_b)
    behind = n_b - 1 - j
    low = np.maximum(np.round(flat * j, 2), np.round(n_a - 1 - steep * behind, 2))
    high = np.minimum(np.round(steep * j, 2), np.round(n_a - 1 - flat * behind, 2))
    return (i >= np.ceil(low)) & (i < np.floor(high + 1))


def _band(i: Numbers, j: Numbers, n_a: Numbers, n_b: Numbers, size: Any) -> Any:
    check_band(size)
    low, high = bounds(i, n_a, n_b, int(size))
    return (low <= j) & (j <= high)


SHAPES = {
    "sakoe_chiba_radius": _radius,
    "sakoechiba": lambda i, j, n_a, n_b, size: np.abs(i - j) <= size,
    "slantedband": _slanted,
    "itakura": _itakura,
    "band": _band,
}
