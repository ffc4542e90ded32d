"""Numbers as users give them: integers in any container, checked, as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError
from dagdp.array_kinds import plain_array
from dagdp.graphs.ragged.arrays import beside, is_tensor

Numbers = NDArray[np.int64]


def floats(value: Any) -> Any:
    """An array of floating-point numbers, or the tensor itself.

    >>> floats([1, 2])
    array([1., 2.])
    """
    if is_tensor(value):
        return value
    numbers = np.asarray(value)
    return numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64)


def rectangular(values: Any, what: str) -> Any:
    """The values; a list as one array. Raises InputError for rows of unequal length.

    >>> rectangular([1.0, 2.0], "theta")
    array([1., 2.])
    """
    return plain_array(values, what) if isinstance(values, list | tuple) else values


def integers(value: Any, what: str) -> Numbers:
    """Integers of a list, an array or a tensor as int64; an empty container holds no wrong type.

    Raises InputError for numbers that are no integers; `what` names them.

    >>> integers([3, 2], "lengths")
    array([3, 2])
    """
    numbers = _array(value)
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise InputError(f"{what} has dtype {numbers.dtype}; expected integers")
    return numbers.astype(np.int64, copy=False)


def lengths_of(value: Any, items: int, least: int, most: int, what: str) -> Numbers:
    """[items] lengths from `least` to `most`, one for each item.

    Raises InputError for another number of lengths, and for lengths out of range; `what` names them.

    >>> lengths_of([3, 2], 2, 1, 4, "input_lengths")
    array([3, 2])
    """
    numbers = integers(value, what).reshape(-1)
    if numbers.size != items:
        raise InputError(f"{what} has {numbers.size} lengths; expected {items}, one for each item")
    wrong = np.flatnonzero((numbers < least) | (numbers > most))
    if wrong.size:
        raise InputError(f"{what}[{wrong[0]}] is {numbers[wrong[0]]}; expected {least} to {most}")
    return numbers


def check_labels(rows: Numbers, labels: Numbers, blank: int, classes: int) -> None:
    """Raise InputError for a label [batch, S] that is no class, or the blank; numbers behind a length are not read.

    >>> check_labels(np.array([[1, 2, -1]]), np.array([2]), 0, 3)
    """
    known = np.arange(rows.shape[1]) < labels[:, None]
    wrong = known & ((rows < 0) | (rows >= classes) | (rows == blank))
    if wrong.any():
        b, k = (int(place) for place in np.argwhere(wrong)[0])
        raise InputError(
            f"label {k} of item {b} is {rows[b, k]}; expected 0 to {classes - 1} without the blank {blank}"
        )


def pair_of_lengths(lengths: Any, own: tuple[int, ...], batch: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """(n_a, n_b) int64, broadcast to one shape, in range, and broadcastable to the batch dimensions of the data.

    own : the sizes of the data, which lengths may not pass.

    Raises InputError for lengths of another type or shape, or out of range.

    >>> pair_of_lengths(([3, 1], 2), (4, 2), (2,))
    (array([3, 1]), array([2, 2]))
    """
    made = []
    for k, (given, most) in enumerate(zip(lengths, own, strict=True)):
        numbers = _array(given)
        if numbers.dtype.kind not in "iu":
            raise InputError(f"lengths[{k}] has dtype {numbers.dtype}; expected integers, 1 to {most}")
        wrong = numbers[(numbers < 1) | (numbers > most)]
        if wrong.size:
            raise InputError(f"lengths[{k}] has {wrong.ravel()[0]}; expected 1 to {most}")
        made.append(numbers.astype(np.int64))
    try:
        n_a, n_b = np.broadcast_arrays(*made)
        np.broadcast_shapes(n_a.shape, batch)
    except ValueError:
        shapes = [numbers.shape for numbers in made]
        raise InputError(
            f"lengths have shapes {shapes} and the data has batch dimensions {batch}; expected shapes that broadcast"
        ) from None
    return n_a, n_b


def reduced(losses: Any, weights: Numbers | None, reduction: str) -> Any:
    """Losses as they are ("none"), their sum, or the mean of losses / weights.

    Raises InputError for another reduction.

    >>> float(reduced(np.array([2.0, 6.0]), np.array([1, 3]), "mean"))
    2.0
    """
    if reduction not in ("none", "sum", "mean"):
        raise InputError(f"reduction={reduction!r}; expected 'none', 'mean' or 'sum'")
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if weights is not None:
        losses = losses / beside(weights, losses).reshape(losses.shape)
    return losses.mean()


def _array(value: Any) -> NDArray[Any]:
    if not is_tensor(value):
        return np.asarray(value)
    if value.device.type == "cpu" and not value.is_floating_point():
        return np.from_dlpack(value)  # inside torch.func, too, where `numpy` fails
    array: NDArray[Any] = value.numpy(force=True)
    return array
