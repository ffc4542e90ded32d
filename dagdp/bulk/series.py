"""Checks of ragged series, before any block is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor
from dagdp.errors import InputError

Array = NDArray[Any]


def checked_series(what: str, given: Iterable[Any]) -> list[Array]:
    """Series [n_i, d] of finite floats, all of one d and one dtype: float32 if all are float32, else float64.

    given : series [n_i] or [n_i, d], in a list or along the first axis of an array.

    Raises InputError, which names the series and the entry.

    >>> [series.shape for series in checked_series("x", [[1.0, 2.0], [3.0]])]
    [(2, 1), (1, 1)]
    """
    try:
        items = list(given)
    except TypeError:
        raise InputError(f"{what} is a {type(given).__name__}; expected a list of series [n_i] or [n_i, d]") from None
    if not items:
        raise InputError(f"{what} has no series; expected one at least")
    arrays = [_numbers(f"{what}[{k}]", item) for k, item in enumerate(items)]
    features = arrays[0].shape[1]
    for k, array in enumerate(arrays):
        if array.shape[1] != features:
            raise InputError(
                f"{what}[{k}] has {array.shape[1]} features and {what}[0] has {features}; expected one number of "
                "features: leave some out"
            )
    return in_one_dtype(arrays)


def in_one_dtype(*lists: Sequence[Array]) -> list[Array]:
    """The series of all lists, float32 if all are float32, else float64; contiguous.

    >>> in_one_dtype([np.zeros((1, 1), np.float32)], [np.zeros((2, 1))])[0].dtype
    dtype('float64')
    """
    arrays = [array for some in lists for array in some]
    single = all(array.dtype == np.float32 for array in arrays)
    return [np.ascontiguousarray(array, np.float32 if single else np.float64) for array in arrays]


def digest_of(arrays: Sequence[Array]) -> str:
    """A digest of the shapes, dtypes and numbers of arrays.

    >>> digest_of([np.zeros(2)]) == digest_of([np.zeros((2, 1))])
    False
    """
    made = hashlib.sha256()
    for array in arrays:
        made.update(f"{array.shape} {array.dtype.str};".encode())
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:20]


def _numbers(name: str, item: Any) -> Array:
    """[n, d] of one series."""
    if is_tensor(item):
        item = item.detach().cpu().numpy()
    try:
        array = np.asarray(item)
    except ValueError:
        raise InputError(f"{name} is a ragged list; expected one series [n] or [n, d] of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {array.dtype}; expected numbers: convert it by astype(float)")
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(
            f"{name} has shape {array.shape}; expected [n] or [n, d] with n and d at least 1: leave it out"
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(bad[0].tolist())
        shown = "NaN" if np.isnan(array[at]) else f"{array[at]}"
        raise InputError(f"{name} has {shown} at {list(at)}; expected finite numbers: leave out or fill the frame")
    return array[:, None] if array.ndim == 1 else array
