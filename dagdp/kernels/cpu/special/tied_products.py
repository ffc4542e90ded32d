"""Matrices of weights that levels repeat, and products of them with rows of samples (tied_levels.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.records import Arrays, Floats, Matrices, Row, Source
from dagdp.kernels.recursion import two_sum
from dagdp.lanes.exp_log import exp
from dagdp.lanes.rows import fma, load, select, splat, store
from dagdp.lanes.views import get, width


class MatrixView(NamedTuple):
    """A matrix of `rows` and `columns`: entry (i, k) lies at first + i·row_step + k·column_step."""

    entries: Floats
    first: int
    rows: int
    columns: int
    row_step: int
    column_step: int


ROWS, COLUMNS, PAIR = 0, 1, 2  # positions in the pair of `Tied.shapes`, and its length
PEAK, SPAN = 0, 1  # positions in the pair of `Matrices.peak`


@inlined
def patterns_of(tied: Any) -> int:
    """Patterns of tied levels."""
    return tied.shapes.shape[0] // PAIR


@inlined
def rows_of(tied: Any, pattern: int) -> int:
    """Rows of a pattern's matrix."""
    return get(tied.shapes, PAIR * pattern + ROWS)


@inlined
def columns_of(tied: Any, pattern: int) -> int:
    """Columns of a pattern's matrix."""
    return get(tied.shapes, PAIR * pattern + COLUMNS)


@inlined
def up4(n: int) -> int:
    """The next multiple of four."""
    return (n + 3) // 4 * 4


@inner
def start_of(tied: Any, pattern: int) -> int:
    """Where a pattern's matrix begins."""
    at = 0
    for i in range(pattern):
        at += up4(rows_of(tied, i)) * columns_of(tied, i)
    return at


@inlined
def decay(hi: Row, lo: Row, rate: Any) -> Row:
    """exp((hi + lo)·rate), with the rounding error of hi·rate taken into account."""
    product = hi * rate
    rest = fma(hi, rate, -product) + lo * rate
    grown = exp(product)
    return select(rest - rest == rate - rate, grown + grown * rest, grown)


@inner
def read_entry(source: Source, tied: Any, blocks: Any, pattern: int, j: int, matrix: Floats, at: int) -> bool:
    """matrix[at] = the sum of the potentials of a pattern's j-th edge; True where one is out of range."""
    first, size = get(tied.ptr, pattern), get(tied.ptr, pattern + 1) - get(tied.ptr, pattern)
    edges = blocks.shape[0]
    inf = matrix.dtype.type(np.inf)
    bad = False
    value = matrix.dtype.type(0)
    for k in range(edges):
        entry = get(tied.entries, first * edges + k * size + j)
        if entry >= 0:
            read = source.sign * get(potential_array(source.table, get(blocks, k), matrix), entry)
            bad |= not read < inf
            value += read
    matrix[at] = value
    return bad


@inner
def fill_matrices(tied: Any, blocks: Any, arrays: Arrays, made: Matrices, rate: Any) -> bool:
    """A, A∘Z, θ° and the span of every pattern; True where an entry is out of range."""
    row = width(made.a)
    inf = made.a.dtype.type(np.inf)
    bad = False
    for i in range(patterns_of(tied)):
        first = start_of(tied, i)
        size = get(tied.ptr, i + 1) - get(tied.ptr, i)
        top, bottom = -inf, inf
        for j in range(size):
            bad |= read_entry(arrays.theta, tied, blocks, i, j, made.a, first + j)
            value = get(made.a, first + j)
            top = max(top, value)
            bottom = min(bottom, value if value > -inf else inf)
        top = top if top > -inf else made.a.dtype.type(0)
        made.peak[PAIR * i + PEAK] = top
        made.peak[PAIR * i + SPAN] = max(top - bottom, made.a.dtype.type(0))
        for j in range(0, size, row):
            hi, lo = two_sum(load(made.a, first + j), splat(made.a, -top))
            store(made.a, first + j, decay(hi, lo, rate))
        last = up4(rows_of(tied, i)) * columns_of(tied, i)
        for j in range(size, last):
            made.a[first + j] = 0
        if made.z is not None:
            for j in range(size):
                bad |= read_entry(arrays.z, tied, blocks, i, j, made.z, first + j)
                made.z[first + j] *= made.a[first + j]
            for j in range(size, last):
                made.z[first + j] = 0
    return bad


@inner
def multiply(sums: Floats, to: int, matrix: MatrixView, x: Floats, first: int) -> None:
    """Row to + i of sums = Σ_k matrix[i, k] · row first + k of x, for four rows i at a time."""
    row, a = width(x), matrix.entries
    for i in range(0, matrix.rows, 4):
        s0, s1, s2, s3 = splat(x, 0), splat(x, 0), splat(x, 0), splat(x, 0)
        place = matrix.first + i * matrix.row_step
        for k in range(matrix.columns):
            values = load(x, (first + k) * row)
            s0 = s0 + get(a, place) * values
            s1 = s1 + get(a, place + matrix.row_step) * values
            s2 = s2 + get(a, place + 2 * matrix.row_step) * values
            s3 = s3 + get(a, place + 3 * matrix.row_step) * values
            place += matrix.column_step
        store(sums, (to + i) * row, s0)
        store(sums, (to + i + 1) * row, s1)
        store(sums, (to + i + 2) * row, s2)
        store(sums, (to + i + 3) * row, s3)


@inner
def contract(x: Floats, x_first: int, x_step: int, y: Floats, y_first: int, y_step: int, steps: int) -> Any:
    """The sums over steps of the four products of two rows of x and two rows of y."""
    row = width(x)
    s00, s01, s10, s11 = splat(x, 0), splat(x, 0), splat(x, 0), splat(x, 0)
    for k in range(steps):
        x_at, y_at = (x_first + k * x_step) * row, (y_first + k * y_step) * row
        x0, x1, y0, y1 = load(x, x_at), load(x, x_at + row), load(y, y_at), load(y, y_at + row)
        s00, s01 = s00 + x0 * y0, s01 + x0 * y1
        s10, s11 = s10 + x1 * y0, s11 + x1 * y1
    return s00, s01, s10, s11
