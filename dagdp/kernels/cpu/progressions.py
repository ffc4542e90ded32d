"""Progressions in kernels: numbers that advance by a constant step, or that are listed (compiled/progressions.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.lanes.views import get


class Progression(NamedTuple):
    """The k-th number is start + step·k, or listed[start + k] where step is LISTED."""

    listed: Any
    start: int
    step: int


@intrinsic
def progression(typing: Any, listed: Any, start: Any, step: Any) -> Any:
    """A Progression whose numbers are int64, literals too, so that functions of it are compiled once."""
    kind = types.NamedTuple((listed, types.intp, types.intp), Progression)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, kind, arguments)

    return kind(listed, types.intp, types.intp), generate


@inlined
def term(numbers: Progression, k: int) -> int:
    """The k-th number."""
    return get(numbers.listed, numbers.start + k) if numbers.step == LISTED else numbers.start + numbers.step * k


@inlined
def advance(numbers: Progression, k: int) -> Progression:
    """The progression from its k-th number on."""
    start = numbers.start + (k if numbers.step == LISTED else numbers.step * k)
    return progression(numbers.listed, start, numbers.step)


@inner
def last_at_most(rising: Any, value: int) -> int:
    """The last index k, the closing one excepted, with rising[k] <= value."""
    low = 0
    high = rising.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if rising[middle] <= value:
            low = middle
        else:
            high = middle
    return low
