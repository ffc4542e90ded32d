"""max_Ω of the entries of an array along an axis: the engine on a graph of one node that parallel edges enter."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

from dagdp.compiled import CompiledDAG
from dagdp.compiler import build
from dagdp.errors import InputError
from dagdp.graph import Graph
from dagdp.inputs import checked_options
from dagdp.kinds import is_tensor, plain_array
from dagdp.run import dp_grad, dp_value


def maximum(omega: Any, x: Any, axis: int) -> Any:
    """`Omega.max`."""
    rows, _ = _rows(omega, x, axis)
    return dp_value(_star(rows.shape[-1]), rows, omega)


def weights(omega: Any, x: Any, axis: int) -> Any:
    """`Omega.argmax`."""
    rows, place = _rows(omega, x, axis)
    made = dp_grad(_star(rows.shape[-1]), rows, omega)
    return made.movedim(-1, place) if is_tensor(made) else np.moveaxis(made, -1, place)


def _rows(omega: Any, x: Any, axis: Any) -> tuple[Any, int]:
    """(x with the axis last, where it was), checked."""
    if isinstance(omega, type):
        checked_options(omega, None)  # type: ignore[arg-type]  # a class for an operator: refused by name
    array = x if is_tensor(x) else plain_array(x, "x")
    try:
        place = operator.index(axis)
    except TypeError:
        raise InputError(f"axis is {axis!r}; expected the number of one axis") from None
    if not -array.ndim <= place < array.ndim:
        raise InputError(f"x has shape {tuple(array.shape)} and axis is {place}; expected one of its {array.ndim} axes")
    if array.shape[place] == 0:
        raise InputError(f"x has shape {tuple(array.shape)} and axis is {place}; expected at least one entry along it")
    return (array.movedim(place, -1) if is_tensor(array) else np.moveaxis(array, place, -1)), place


@functools.lru_cache(maxsize=32)
def _star(entries: int) -> CompiledDAG:
    """One node that `entries` edges enter."""
    return build(Graph.from_edges(np.zeros(entries, np.int32), np.ones(entries, np.int32)))
