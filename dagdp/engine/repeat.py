"""A checked call that is made again with other arrays: what is known of its form is kept with the graph."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np

from dagdp.describe.graph import Potential
from dagdp.engine.inputs import Options, Weights

FORMS = 32  # forms of calls that are kept for a graph


class Repeatable:
    """A checked call that can be made again with other arrays."""

    weights: Weights
    direction: Weights | None
    real: Any

    @property
    def potentials(self) -> Sequence[Potential]:
        """Of each block its name and size."""
        raise NotImplementedError

    def again(self, theta: Any, z: Any) -> Self:
        """This call on other arrays of the same form: all that was worked out is taken over."""
        potentials, along = self.potentials, self.direction
        return self._with(
            self.weights.refilled(potentials, theta, self.real),
            None if along is None else along.refilled(potentials, z, self.real),
        )

    def emptied(self) -> Self:
        """This call without its arrays, to be kept for `again`."""
        return self._with(self.weights.emptied(), None if self.direction is None else self.direction.emptied())

    def _with(self, weights: Weights, direction: Weights | None) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, weights=weights, direction=direction)
        return made


def found(calls: dict[Any, Any], form: Any) -> Any:
    """The call of that form that is kept, or None."""
    try:
        return calls.get(form)
    except TypeError:  # not to be hashed: an operator of a class that is not frozen
        return None


def remember(calls: dict[Any, Any], form: Any, known: Any) -> None:
    """Keep what is known of a call, which holds no arrays, for others of its form."""
    try:
        hash(form)
    except TypeError:  # as in `found`
        return
    if len(calls) >= FORMS:
        calls.clear()
    calls[form] = known


def form_of(theta: Any, z: Any, omega: Any, options: Options) -> Any:
    """All of a call but the numbers in its arrays, if that can be hashed; None where an argument may be wrong."""
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
