"""Gives an operator's NamedTuple its methods inside compiled code, from the text in `dagdp.omega`.

Every kernel is specialised by the operator's type alone, so gamma and alpha stay data. On the CPU the
name `math` in that text means LANE_MATH (exp and log that vectorise); on CUDA it stays Python's `math`,
which Numba maps to the device library; under the simulator nothing is compiled at all.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core.target_extension import current_target
from numba.extending import overload, overload_method

from dagdp.kernels.jit import FASTMATH, narrow, real_of
from dagdp.kernels.scalar import LANE_MATH
from dagdp.omega import POINT_FUNCTIONS


def _register(name: str) -> None:
    def typer(self: Any, y: Any) -> Any:
        owner = getattr(self.instance_class, "omega", None)
        if owner is None:
            return None
        lane_math = LANE_MATH if current_target() == "cpu" else None
        return narrow(getattr(owner, name), real_of(y), lane_math)

    for named_tuple in (types.NamedTuple, types.NamedUniTuple):
        overload_method(
            named_tuple,
            name,
            strict=False,
            target="generic",
            jit_options={"fastmath": FASTMATH, "error_model": "numpy"},
        )(typer)


for _name in POINT_FUNCTIONS:
    _register(_name)


def first_only(omega: Any) -> bool:
    """Whether the operator is the hard maximum, whose weight asks for an edge's place and not its score."""
    return bool(omega.omega.solver == "first")


def exponential(omega: Any) -> bool:
    """Whether the operator has the closed form: its conjugate is its link, so that κ = Σ q = 1 at every node."""
    return bool(omega.omega.solver == "exponential")


@overload(exponential, strict=False, target="generic")
def _exponential(omega: Any) -> Any:
    answer = omega.instance_class.omega.solver == "exponential"
    return lambda omega: answer


@overload(first_only, strict=False, target="generic")
def _first_only(omega: Any) -> Any:
    answer = omega.instance_class.omega.solver == "first"
    return lambda omega: answer
