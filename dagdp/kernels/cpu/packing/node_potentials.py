"""Potentials that all edges into a node share: read before a band of levels, written when the band is left."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.index_arrays import SHEET_COLUMNS
from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.diagonal_tiles import (
    across,
    expect_across,
    in_sheets,
    read_aslant,
    rows_of,
    write_aslant,
)
from dagdp.kernels.cpu.packing.entries import Batch, Source, read, write
from dagdp.kernels.cpu.rows import fill
from dagdp.lanes.views import behind, lent_block, pick, rule

NO_SHEET = -1


@inner
def band_rows(incoming: Any, hoisted: Any) -> int:
    """Nodes of the largest band."""
    most = 0
    for band in range(hoisted.levels.shape[0] - 1):
        size = incoming.levels[hoisted.levels[band + 1]] - incoming.levels[hoisted.levels[band]]
        most = max(most, size)
    return most


@inlined
def parts_of(hoisted: Any, place: int) -> int:
    """In how many parts the nodes of a band and potential are: a list, and sheets."""
    return 1 + pick(hoisted.sheet_ptr, place + 1) - pick(hoisted.sheet_ptr, place)


@inlined
def part_of(hoisted: Any, place: int, n: int) -> Any:
    """(sheet, first, last) of the n-th part: all rows of a sheet, or places of the lists."""
    if n == 0:
        return NO_SHEET, pick(hoisted.ptr, place), pick(hoisted.ptr, place + 1)
    sheet = pick(hoisted.sheet_ptr, place) + n - 1
    return sheet, 0, rows_of(hoisted, sheet)


@inner
def read_part(
    x: Any, square: Any, source: Source, k: int, hoisted: Any, sheet: int, begin: int, end: int, batch: Batch, b0: int,
    afresh: bool,
) -> None:  # fmt: skip
    """Potential k at rows [begin, end) of a sheet, or at those places of the lists."""
    here, rows, entry = x, rule(hoisted.node, begin, LISTED), rule(hoisted.entry, begin, LISTED)
    count = end - begin
    if batch.together is None:
        if sheet != NO_SHEET:
            read_aslant(x, hoisted, sheet, begin, end, square, source, k, b0, afresh)
        else:
            read(x, rows, square, source, k, entry, count, batch, b0, afresh)
        return
    while begin < end:
        if sheet != NO_SHEET:
            here, rows, entry = across(hoisted, sheet, begin, x, batch.lanes)
            count = SHEET_COLUMNS
            expect_across(lent_block(source.table, k, x), hoisted, sheet, begin + 1, source, k, batch, b0)
        read(here, rows, square, source, k, entry, count, batch, b0, afresh)
        begin += 1 if sheet != NO_SHEET else count


@inner
def write_part(
    out: Any, flow: Any, square: Any, source: Source, k: int, hoisted: Any, sheet: int, begin: int, end: int,
    batch: Batch, b0: int,
) -> None:  # fmt: skip
    """The flow at those rows or places, added to the gradient of potential k."""
    here, rows, entry = flow, rule(hoisted.node, begin, LISTED), rule(hoisted.entry, begin, LISTED)
    count = end - begin
    if batch.together is None:
        if sheet != NO_SHEET:
            write_aslant(out, hoisted, sheet, begin, end, flow, square, source, k, batch, b0)
        else:
            write(out, source, k, entry, flow, rows, count, square, batch, b0, False)
        return
    while begin < end:
        if sheet != NO_SHEET:
            here, rows, entry = across(hoisted, sheet, begin, flow, batch.lanes)
            count = SHEET_COLUMNS
            expect_across(lent_block(out, k, flow), hoisted, sheet, begin + 1, source, k, batch, b0)
        write(out, source, k, entry, here, rows, count, square, batch, b0, False)
        begin += 1 if sheet != NO_SHEET else count


@inner
def read_hoisted(
    x: Any, before: int, square: Any, source: Source, incoming: Any, hoisted: Any, band: int, batch: Batch, b0: int
) -> None:
    """The sum of the hoisted potentials of a band's nodes, whose rows in x lie `before` elements before their places in
    the state.
    """
    x = behind(x, -before)
    node = pick(incoming.levels, pick(hoisted.levels, band))
    size = pick(incoming.levels, pick(hoisted.levels, band + 1)) - node
    listed = pick(hoisted.ptr, band + 1) - pick(hoisted.ptr, band)
    whole = listed + in_sheets(hoisted, band) == size  # the first of them is there at every node
    if not whole:
        fill(x, node * batch.lanes, size * batch.lanes, 0)
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.blocks.shape[0]):
        place, k, afresh = h * bands + band, pick(hoisted.blocks, h), whole and h == 0
        for n in range(parts_of(hoisted, place)):
            sheet, first, last = part_of(hoisted, place, n)
            read_part(x, square, source, k, hoisted, sheet, first, last, batch, b0, afresh)


@inner
def write_hoisted(
    out: Any, square: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int, bar: Any
) -> None:
    """The gradient of a hoisted potential is the adjoint of its node."""
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.blocks.shape[0]):
        place, k = h * bands + band, pick(hoisted.blocks, h)
        for n in range(parts_of(hoisted, place)):
            sheet, first, last = part_of(hoisted, place, n)
            write_part(out, bar, square, source, k, hoisted, sheet, first, last, batch, b0)
