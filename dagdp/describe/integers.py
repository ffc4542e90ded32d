"""Arrays of integers as graphs store them: int32 where the numbers fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.array_kinds import refuse_mask
from dagdp.errors import GraphError

Listed = NDArray[Any]  # int32; int64 with a number too large for int32, which no compiled graph has
SMALLEST, LARGEST = -(2**31), 2**31 - 1


def compact(numbers: Listed) -> Listed:
    """Integers as int32 if all of them fit, else as int64; copied only to change the type."""
    if numbers.dtype == np.int32:
        return numbers
    fits = numbers.size == 0 or (numbers.min() >= SMALLEST and numbers.max() <= LARGEST)
    return numbers.astype(np.int32 if fits else np.int64, copy=False)


def integers(what: str, values: ArrayLike, own: bool = False) -> Listed:
    """Integers [entries] as int32 where they fit; not copied if `own`, or if no other code can write to the array."""
    refuse_mask(values, what, GraphError)
    given = np.asarray(values)
    array = given if given.ndim == 1 else given.ravel()
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{what} has dtype {array.dtype}; expected integers")
    made = compact(array)
    private = own or made is not array or (array.base is None and not array.flags.writeable)
    return made if private else made.copy()
