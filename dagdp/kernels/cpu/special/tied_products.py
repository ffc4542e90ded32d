"""Matrices of weights that levels repeat, and products of them with rows of samples: see tied.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import TIED
from dagdp.kernels.cpu.packing.entries import Source, is_shared
from dagdp.kernels.cpu.rows import fill
from dagdp.kernels.recursion import two_sum
from dagdp.lanes.exp_log import exp
from dagdp.lanes.rows import fused, load, row_of, select, store
from dagdp.lanes.views import lent_block, part, pick, row_length

STEPS = 8  # levels whose products are summed in registers before they reach the gradient


class Matrices(NamedTuple):
    """A (and A∘Z) of every pattern, row by row, and room to multiply in. Without entries no level is tied."""

    a: Any  # each pattern's rows are filled up to a multiple of four
    z: Any
    flow: Any  # of the same entries: e, or ė, summed over the levels that are done
    peak: Any  # [2 P] θ° of each pattern, and how far finite θ lie below it
    columns: Any  # rows p, and p v̇ behind them, for STEPS levels
    rows: Any  # rows α, and β of a tangent behind them, for STEPS levels
    sums: Any  # rows of products
    waiting: Any  # [2] how many levels wait in `columns` and `rows`, and their pattern


@inlined
def up4(n: int) -> int:
    """The next multiple of four."""
    return (n + 3) // 4 * 4


@inner
def start_of(tied: Any, pattern: int) -> int:
    """Where a pattern's A begins."""
    at = 0
    for i in range(pattern):
        at += up4(pick(tied.shapes, 2 * i)) * pick(tied.shapes, 2 * i + 1)
    return at


@inlined
def shared_by_all(source: Source, blocks: Any) -> bool:
    """Whether every potential on edges is one row for all samples."""
    shared = True
    for k in range(blocks.shape[0]):
        shared &= is_shared(source, pick(blocks, k))
    return shared


@inlined
def decay(hi: Any, lo: Any, rate: Any) -> Any:
    """exp((hi + lo)·rate), the rounding of hi·rate included."""
    product = hi * rate
    rest = fused(hi, rate, -product) + lo * rate
    grown = exp(product)
    return select(rest - rest == rate - rate, grown + grown * rest, grown)


@inner
def new_matrices(scratch: Any, first: int, places: Any, tied: Any, active: bool, tangent: Any) -> Any:
    """Room for the matrices, the rows in between cleared; without room where nothing is tied."""
    whole = row_length(scratch)
    patterns, entries, rows, columns = 0, 0, 0, 0
    if active:
        patterns = tied.shapes.shape[0] // 2
        entries = start_of(tied, patterns)
        for i in range(patterns):
            rows, columns = max(rows, up4(pick(tied.shapes, 2 * i))), max(columns, up4(pick(tied.shapes, 2 * i + 1)))
    size = entries + whole
    a, flow = part(scratch, first, size), part(scratch, first + size, size)
    fill(flow, 0, entries, 0)
    first += 2 * size
    z = part(scratch, first, size) if tangent is not None else None
    first += 0 if tangent is None else size
    peak = part(scratch, first, 2 * patterns + whole)
    first += 2 * patterns + whole
    sizes = 2 * STEPS * columns * whole, 2 * STEPS * rows * whole, 3 * max(rows, columns) * whole
    fill(scratch, first, sizes[0] + sizes[1], 0)
    columns_room, rows_room = part(scratch, first, sizes[0]), part(scratch, first + sizes[0], sizes[1])
    first += sizes[0] + sizes[1]
    sums = part(scratch, first, sizes[2])
    waiting = part(places, places.shape[0] - TIED, TIED)
    waiting[0] = 0
    return Matrices(a, z, flow, peak, columns_room, rows_room, sums, waiting), first + sizes[2]


@inner
def read_entry(source: Source, tied: Any, blocks: Any, pattern: int, j: int, matrix: Any, at: int) -> bool:
    """matrix[at] = the sum of the potentials of the j-th edge of a pattern; whether one is out of range."""
    first, size = pick(tied.ptr, pattern), pick(tied.ptr, pattern + 1) - pick(tied.ptr, pattern)
    edges = blocks.shape[0]
    inf = matrix.dtype.type(np.inf)
    bad = False
    value = matrix.dtype.type(0)
    for k in range(edges):
        entry = pick(tied.entries, first * edges + k * size + j)
        if entry >= 0:
            read = source.sign * pick(lent_block(source.table, pick(blocks, k), matrix), entry)
            bad |= not read < inf
            value += read
    matrix[at] = value
    return bad


@inner
def fill_matrices(tied: Any, blocks: Any, theta: Source, z: Source, made: Matrices, rate: Any) -> bool:
    """A, A∘Z, θ° and the span of every pattern; whether an input was out of range."""
    whole = row_length(made.a)
    inf = made.a.dtype.type(np.inf)
    bad = False
    for i in range(tied.shapes.shape[0] // 2):
        first = start_of(tied, i)
        size = pick(tied.ptr, i + 1) - pick(tied.ptr, i)
        top, bottom = -inf, inf
        for j in range(size):
            bad |= read_entry(theta, tied, blocks, i, j, made.a, first + j)
            value = pick(made.a, first + j)
            top = max(top, value)
            bottom = min(bottom, value if value > -inf else inf)
        top = top if top > -inf else made.a.dtype.type(0)
        made.peak[2 * i], made.peak[2 * i + 1] = top, max(top - bottom, made.a.dtype.type(0))
        for j in range(0, size, whole):
            hi, lo = two_sum(load(made.a, first + j), row_of(made.a, -top))
            store(made.a, first + j, decay(hi, lo, rate))
        last = up4(pick(tied.shapes, 2 * i)) * pick(tied.shapes, 2 * i + 1)
        for j in range(size, last):
            made.a[first + j] = 0
        if made.z is not None:
            for j in range(size):
                bad |= read_entry(z, tied, blocks, i, j, made.z, first + j)
                made.z[first + j] *= made.a[first + j]
            for j in range(size, last):
                made.z[first + j] = 0
    return bad


@inner
def times(
    sums: Any, to: int, a: Any, at: int, count: int, along: int, across: int, many: int, x: Any, first: int
) -> None:
    """sums[to + i] = Σ_k a[at + i·across + k·along]·x[first + k], rows of samples, for `count` i, four at a time."""
    whole = row_length(x)
    for i in range(0, count, 4):
        s0, s1, s2, s3 = row_of(x, 0), row_of(x, 0), row_of(x, 0), row_of(x, 0)
        place = at + i * across
        for k in range(many):
            row = load(x, (first + k) * whole)
            s0 = s0 + pick(a, place) * row
            s1 = s1 + pick(a, place + across) * row
            s2 = s2 + pick(a, place + 2 * across) * row
            s3 = s3 + pick(a, place + 3 * across) * row
            place += along
        store(sums, (to + i) * whole, s0)
        store(sums, (to + i + 1) * whole, s1)
        store(sums, (to + i + 2) * whole, s2)
        store(sums, (to + i + 3) * whole, s3)


@inner
def contract(x: Any, x_first: int, x_step: int, y: Any, y_first: int, y_step: int, steps: int) -> Any:
    """Σ over steps of the four products of two rows of x and two rows of y."""
    whole = row_length(x)
    s00, s01, s10, s11 = row_of(x, 0), row_of(x, 0), row_of(x, 0), row_of(x, 0)
    for k in range(steps):
        x_at, y_at = (x_first + k * x_step) * whole, (y_first + k * y_step) * whole
        x0, x1, y0, y1 = load(x, x_at), load(x, x_at + whole), load(y, y_at), load(y, y_at + whole)
        s00, s01 = s00 + x0 * y0, s01 + x0 * y1
        s10, s11 = s10 + x1 * y0, s11 + x1 * y1
    return s00, s01, s10, s11
