"""Sheets of hoisted potentials: entries that cross a band of levels row by row, see compiler/diagonal_tiles.py.

A row of samples takes a row of a sheet at once, as it does any consecutive entries. One sample alone takes a square:
a column of it is a row of neighbouring nodes, so the square is turned on the way.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.index_arrays import SHEET_COLUMNS as COLUMNS
from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Batch, Source, first_entry, is_shared, row_entries, take_in, telling
from dagdp.kernels.cpu.rows import add_to
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import FAR, behind, expect_square, lent_block, pick, row_length, rule, turn_vectors

CORNER, STEP, ROWS, NODES, WIDTH = 0, 1, 2, 3, 3 + COLUMNS  # places of a sheet's numbers, and how many it has


@inlined
def rows_of(hoisted: Any, sheet: int) -> int:
    """How many rows a sheet has."""
    return pick(hoisted.sheets, WIDTH * sheet + ROWS)


@inlined
def in_sheets(hoisted: Any, place: int) -> int:
    """Nodes of the sheets of a band and potential."""
    size = 0
    for sheet in range(pick(hoisted.sheet_ptr, place), pick(hoisted.sheet_ptr, place + 1)):
        size += COLUMNS * rows_of(hoisted, sheet)
    return size


@inlined
def entry_at(hoisted: Any, sheet: int, r: int) -> int:
    """The first entry of a row."""
    return pick(hoisted.sheets, WIDTH * sheet + CORNER) + pick(hoisted.sheets, WIDTH * sheet + STEP) * r


@inlined
def across(hoisted: Any, sheet: int, r: int, x: Any, lanes: int) -> Any:
    """(x, rows, entries) of a row of a sheet: what `read` and `write` take, x beginning r nodes later."""
    rows = rule(hoisted.sheets, WIDTH * sheet + NODES, LISTED)
    return behind(x, r * lanes), rows, rule(hoisted.sheets, entry_at(hoisted, sheet, r), 1)


@inner
def expect_across(block: Any, hoisted: Any, sheet: int, r: int, source: Source, k: int, batch: Batch, b0: int) -> None:
    """Ask for all samples' entries of a row of a sheet: no processor guesses that a sample's next row follows."""
    if r < rows_of(hoisted, sheet) and block.shape[0] > FAR and not is_shared(source, k):
        entries = row_entries(source, k)
        for c in range(0, COLUMNS, row_length(block)):
            at = b0 * entries + entry_at(hoisted, sheet, r) + c
            expect_square(block, at, entries, batch.last - b0)


@inlined
def expect_below(block: Any, at: int, step: int, rows: int) -> None:
    """Ask for the next square of a sheet, `rows` rows of it."""
    if rows > 0 and block.shape[0] > FAR:
        expect_square(block, at, step, min(rows, row_length(block)))


@inner
def read_aslant(
    x: Any, hoisted: Any, sheet: int, begin: int, end: int, square: Any, source: Source, k: int, b0: int, afresh: bool
) -> None:
    """Add rows [begin, end) of a sheet to one sample's x, or put them there (`afresh`)."""
    whole, block = row_length(x), lent_block(source.table, k, x)
    nodes, step = WIDTH * sheet + NODES, pick(hoisted.sheets, WIDTH * sheet + STEP)
    for r in range(begin, end, whole):
        rows = min(whole, end - r)
        for c in range(0, COLUMNS, whole):
            at = first_entry(source, k, b0) + entry_at(hoisted, sheet, r) + c
            expect_below(block, at + whole * step, step, end - r - whole)
            turn_vectors(square, 0, whole, block, at, step, rows)
            for t in range(whole):
                row = telling(source.sign * load(square, t * whole), x)
                place = pick(hoisted.sheets, nodes + c + t) + r
                if rows < whole:  # behind the last row stand other nodes
                    store(square, t * whole, row)
                    for n in range(rows):
                        value = pick(square, t * whole + n)
                        x[place + n] = value if afresh else pick(x, place + n) + value
                else:
                    take_in(x, place, row, afresh)


@inner
def write_aslant(
    out: Any, hoisted: Any, sheet: int, begin: int, end: int, flow: Any, square: Any, source: Source, k: int,
    batch: Batch, b0: int,
) -> None:  # fmt: skip
    """Add one sample's flow at rows [begin, end) of a sheet to their entries."""
    whole, block = row_length(flow), lent_block(out, k, flow)
    nodes, step = WIDTH * sheet + NODES, pick(hoisted.sheets, WIDTH * sheet + STEP)
    first = (batch.part if is_shared(source, k) else b0) * row_entries(source, k)
    for r in range(begin, end, whole):
        rows = min(whole, end - r)
        for c in range(0, COLUMNS, whole):
            at = first + entry_at(hoisted, sheet, r) + c
            expect_below(block, at + whole * step, step, end - r - whole)
            for t in range(whole):
                store(square, t * whole, load(flow, pick(hoisted.sheets, nodes + c + t) + r))
            turn_vectors(square, 0, whole, square, 0, whole, whole)
            for n in range(rows):
                add_to(block, at + step * n, load(square, n * whole))
