"""Gives an operator's NamedTuple its methods inside compiled code, from the text in `dagdp.omega`.

A kernel is specialised by the operator's type alone, so gamma and alpha stay data. CPU kernels pass rows of lanes: the
text is then rewritten, and its `math` means LANE_MATH. On CUDA `math` stays Python's, which Numba maps to the device
library. The simulator compiles nothing.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload, overload_method

from dagdp.jit.decorators import POINT_OPTIONS, inner
from dagdp.jit.operator_errors import foreign
from dagdp.jit.static_branches import static_predicate
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
    """Numba's typer of a method, which finds the operator's text by the type of its NamedTuple."""

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
        # a text that cannot be rewritten runs lane by lane: right, but slower
        scalar = inner(with_helpers(method, real, inner))
        return lambda self, y: each_pair(scalar, self, y)

    return typer


# The recursion calls functions, since numba-cuda does not know methods of a NamedTuple that are declared here. An
# operator's own text may call its methods.
for _function in (link, slope, conjugate):
    _typer = _typer_of(_function.__name__)
    overload(_function, strict=False, target="generic", jit_options=POINT_OPTIONS)(_typer)
    for _named_tuple in (types.NamedTuple, types.NamedUniTuple):
        overload_method(_named_tuple, _function.__name__, strict=False, target="generic", jit_options=POINT_OPTIONS)(
            _typer
        )


def first_only(omega: Any) -> bool:
    """True for the hard maximum, whose weight depends on an edge's place among its siblings and not on its score."""
    return bool(omega.omega.solver == "first")


def exponential(omega: Any) -> bool:
    """True for operators with the closed form: their conjugate is their link, so that κ = Σ q = 1 at every node."""
    return bool(omega.omega.solver == "exponential")


@static_predicate(exponential)
def _exponential(omega: Any) -> bool:
    return bool(omega.instance_class.omega.solver == "exponential")


@static_predicate(first_only)
def _first_only(omega: Any) -> bool:
    return bool(omega.instance_class.omega.solver == "first")


def _declare(predicate: Any, answer: Any) -> None:
    """Type a static predicate for other compilers (numba-cuda's), which drop no branch."""

    @overload(predicate, strict=False, target="generic")
    def typed(omega: Any) -> Any:
        value = answer(omega)
        return lambda omega: value


_declare(exponential, _exponential)
_declare(first_only, _first_only)
