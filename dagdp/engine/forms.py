"""Forms of calls: what is computed for shapes, dtypes and options is stored with the graph, and used again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from dagdp.engine.inputs import Options

FORMS = 32  # forms of calls that are stored for a graph


def found(calls: dict[Any, Any], form: Any) -> Any:
    """What is stored for the form, or None."""
    try:
        return calls.get(form)
    except TypeError:  # not hashable: the operator is of a class that is not frozen
        return None


def remember(calls: dict[Any, Any], form: Any, known: Any) -> None:
    """Store what is known for all calls of the form, which must not refer to arrays of a call."""
    try:
        hash(form)
    except TypeError:  # not hashable: see `found`
        return
    if len(calls) >= FORMS:
        calls.clear()
    calls[form] = known


def form_of(theta: Any, z: Any, omega: Any, options: Options) -> Any:
    """Everything about a call but the numbers in its arrays; None where an argument may be wrong or is no array."""
    minimize, start, end, on_infeasible, threads = options
    if not (threads is None or type(threads) is int):
        return None
    theta_form = _arrays_form(theta)
    z_form, end_form = None if z is None else _arrays_form(z), None if end is None else _arrays_form(end)
    start_form = None if start is None else _arrays_form(start)
    if theta_form is None or (z is None) != (z_form is None) or (end is None) != (end_form is None):
        return None
    if (start is None) != (start_form is None):
        return None
    return theta_form, z_form, start_form, end_form, omega, minimize, on_infeasible, threads


def _arrays_form(given: Any) -> Hashable | None:
    if type(given) is np.ndarray:
        return given.shape, given.dtype
    if type(given) is dict and all(type(array) is np.ndarray for array in given.values()):
        return tuple((name, array.shape, array.dtype) for name, array in given.items())
    return None
