"""max_Ω of an array along an axis: `dp_*` on a graph with one node and a parallel edge for each entry."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from dagdp.array_kinds import is_tensor, plain_array
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.describe.graph import Graph
from dagdp.errors import InputError
from dagdp.functions import dp_grad, dp_value


def maximum(omega: Any, x: Any, axis: int) -> Any:
    """max_Ω(x) along an axis: the body of `Omega.max`."""
    return _of_rows(dp_value, omega, x, axis)[0]


def weights(omega: Any, x: Any, axis: int) -> Any:
    """∇max_Ω(x) along an axis, shaped like x: the body of `Omega.argmax`."""
    made, place = _of_rows(dp_grad, omega, x, axis)
    return made.movedim(-1, place) if is_tensor(made) else np.moveaxis(made, -1, place)


def _of_rows(function: Callable[..., Any], omega: Any, x: Any, axis: Any) -> tuple[Any, int]:
    """(function applied to the rows of x along an axis, the place of the axis)."""
    array: Any = x if is_tensor(x) else plain_array(x, "x")
    try:
        place = operator.index(axis)
    except TypeError:
        raise InputError(f"axis is {axis!r}; expected the number of one axis") from None
    if not -array.ndim <= place < array.ndim:
        raise InputError(f"x has shape {tuple(array.shape)} and axis is {place}; expected one of its {array.ndim} axes")
    if array.shape[place] == 0:
        raise InputError(f"x has shape {tuple(array.shape)} and axis is {place}; expected at least one entry along it")
    rows = array.movedim(place, -1) if is_tensor(array) else np.moveaxis(array, place, -1)
    try:
        return function(_star(rows.shape[-1]), rows, omega), place
    except InputError:
        _name_the_fault(array)
        raise


def _name_the_fault(array: Any) -> None:
    """Raise InputError for the first entry of x that is NaN or +inf."""
    numbers = array.detach().cpu().double().numpy() if is_tensor(array) else array
    wrong = np.argwhere(~(numbers < np.inf)) if numbers.dtype.kind == "f" else np.empty((0, numbers.ndim), int)
    if wrong.size:
        entry = tuple(wrong[0].tolist())
        raise InputError(f"x{list(entry)} is {numbers[entry]}; expected a number below infinity") from None


@functools.lru_cache(maxsize=32)
def _star(entries: int) -> CompiledDAG:
    """Two nodes joined by `entries` parallel edges."""
    return build(Graph.from_edges(np.zeros(entries, np.int32), np.ones(entries, np.int32)))
