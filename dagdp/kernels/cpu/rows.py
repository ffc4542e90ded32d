"""Rows of an array: filled, added to, stored in part; and the alignment of memory to cache lines.

A state array holds `lanes` consecutive samples of each node: a row of 64 bytes, or one sample alone, whose rows are
then 64 bytes of neighbouring nodes.
"""

from __future__ import annotations

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.records import Floats, Row
from dagdp.lanes.rows import ROW_BYTES, first_lanes_or, load, select, splat, store
from dagdp.lanes.views import width


@inner
def first_aligned(array: Floats) -> int:
    """The first element that begins a cache line: other rows straddle two."""
    return (-array.ctypes.data % ROW_BYTES) * width(array) // ROW_BYTES


@inner
def fill(array: Floats, first: int, count: int, value: float) -> None:
    """array[first : first + count] = value. The row that contains the last element is filled whole."""
    row = splat(array, value)
    for at in range(first, first + count, width(array)):
        store(array, at, row)


@inlined
def add_to(array: Floats, at: int, row: Row) -> None:
    """array[at : at + width] += row."""
    store(array, at, load(array, at) + row)


@inlined
def store_lanes(array: Floats, at: int, row: Row, count: int) -> None:
    """Store the first `count` lanes of a row; elements behind them keep their values.

    They are read and written back, since masked stores are slow on AVX2.
    """
    if count == width(array):
        store(array, at, row)
    else:
        store(array, at, first_lanes_or(row, count, load(array, at)))


@inlined
def nan_to_inf(value: Row, like: Floats) -> Row:
    """A row, or a number, with +inf in place of NaN."""
    inf = like.dtype.type(np.inf)
    return select(value < inf, value, inf)
