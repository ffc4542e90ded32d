"""Where rows lie: numbers that follow a rule, and memory on cache lines.

A state array holds `lanes` consecutive samples of each node: one row of 64 bytes, or one sample alone, whose rows
are then 64 bytes of neighbouring nodes.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.lanes.rows import ROW_BYTES, load, row_of, store
from dagdp.lanes.views import pick, row_length, rule


@inner
def to_line(array: Any) -> int:
    """The first element that lies on a cache line: a row of 64 bytes may else straddle two."""
    return (-array.ctypes.data % ROW_BYTES) * row_length(array) // ROW_BYTES


@inlined
def number(given: Any, k: int) -> int:
    """The k-th of the numbers that (listed, start, step) describe: see progressions.py."""
    listed, start, step = given
    return pick(listed, start + k) if step == LISTED else start + step * k


@inlined
def later(given: Any, k: int) -> Any:
    """The same numbers from the k-th on."""
    listed, start, step = given
    return rule(listed, start + (k if step == LISTED else step * k), step)


@inner
def fill(array: Any, first: int, count: int, value: Any) -> None:
    """The row that `count` elements end in is filled whole."""
    row = row_of(array, value)
    for at in range(first, first + count, row_length(array)):
        store(array, at, row)


@inlined
def add_to(array: Any, at: int, row: Any) -> None:
    """array's row at `at` grows by `row`."""
    store(array, at, load(array, at) + row)
