"""Gives an operator's NamedTuple its methods inside compiled code, from the text in `dagdp.omega`.

Every kernel is specialised by the operator's type alone, so gamma and alpha stay data. CPU kernels call with
rows of lanes: then the text is rewritten for them, and the name `math` in it means LANE_MATH. On CUDA it stays
Python's `math`, which Numba maps to the device library; under the simulator nothing is compiled at all.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload, overload_method

from dagdp.jit.decorators import POINT_OPTIONS, inner
from dagdp.jit.operator_errors import foreign
from dagdp.jit.static_branches import fact
from dagdp.lanes.exp_log import LANE_MATH
from dagdp.lanes.rewrite import narrow, on_lanes, real_of, with_helpers
from dagdp.lanes.rows import Lanes, each_pair


def link(omega: Any, y: Any) -> Any:
    """omega.link(y)."""
    return omega.link(y)


def slope(omega: Any, y: Any) -> Any:
    """omega.slope(y)."""
    return omega.slope(y)


def conjugate(omega: Any, y: Any) -> Any:
    """omega.conjugate(y)."""
    return omega.conjugate(y)


def _typer_of(name: str) -> Any:
    """Finds the operator's text by the type of its NamedTuple."""

    def typer(self: Any, y: Any) -> Any:
        owner = getattr(getattr(self, "instance_class", None), "omega", None)
        if owner is None:
            return None
        method = getattr(owner, name)
        real = real_of(y)
        if not isinstance(y, Lanes):
            return with_helpers(method, real, inner)
        try:
            if not foreign(method):
                return narrow(on_lanes(method, LANE_MATH), real)
        except (OSError, TypeError):  # no source text, or `if` blocks
            pass
        scalar = inner(with_helpers(method, real, inner))  # functions of NumPy and of the user's: right, but slower
        return lambda self, y: each_pair(scalar, self, y)

    return typer


# The recursion calls functions, since numba-cuda knows no methods of a NamedTuple that are declared here; an
# operator's own text may call its methods.
for _function in (link, slope, conjugate):
    _typer = _typer_of(_function.__name__)
    overload(_function, strict=False, target="generic", jit_options=POINT_OPTIONS)(_typer)
    for _named_tuple in (types.NamedTuple, types.NamedUniTuple):
        overload_method(_named_tuple, _function.__name__, strict=False, target="generic", jit_options=POINT_OPTIONS)(
            _typer
        )


def first_only(omega: Any) -> bool:
    """Whether the operator is the hard maximum, whose weight asks for an edge's place and not its score."""
    return bool(omega.omega.solver == "first")


def exponential(omega: Any) -> bool:
    """Whether the operator has the closed form: its conjugate is its link, so that κ = Σ q = 1 at every node."""
    return bool(omega.omega.solver == "exponential")


@fact(exponential)
def _exponential(omega: Any) -> bool:
    return bool(omega.instance_class.omega.solver == "exponential")


@fact(first_only)
def _first_only(omega: Any) -> bool:
    return bool(omega.instance_class.omega.solver == "first")


def _declare(question: Any, answer: Any) -> None:
    """For compilers that are not ours (numba-cuda's), which drop no branch and have to type the question."""

    @overload(question, strict=False, target="generic")
    def typed(omega: Any) -> Any:
        known = answer(omega)
        return lambda omega: known


_declare(exponential, _exponential)
_declare(first_only, _first_only)
