"""Diagonal tiles of node potentials: entries that cross a band of levels row by row (compiler/node_potentials.py).

A row of samples reads a row of a tile at once, as it reads any consecutive entries. One sample alone reads a square
tile and transposes it, since a column of the tile is a row of neighbouring nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.index_arrays import TILE_COLUMNS as COLUMNS
from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.packing.entries import Transfer, entries_of, first_entry, is_shared, put_row
from dagdp.kernels.cpu.progressions import progression
from dagdp.kernels.cpu.records import Block, Floats, Source
from dagdp.kernels.cpu.rows import add_to, nan_to_inf
from dagdp.lanes.prefetch import FAR, prefetch_tile
from dagdp.lanes.rows import load, store
from dagdp.lanes.transpose import transpose_tile
from dagdp.lanes.views import get, width

CORNER, STEP, ROWS, NODES, TILE_NUMBERS = 0, 1, 2, 3, 3 + COLUMNS  # positions of a tile's numbers, and their count


class Part(NamedTuple):
    """Nodes of a band that read one potential: rows [begin, end) of a diagonal tile, or places of the lists."""

    tile: int  # or NO_TILE
    begin: int
    end: int


@inlined
def rows_of(hoisted: Any, tile: int) -> int:
    """Rows of a diagonal tile."""
    return get(hoisted.tiles, TILE_NUMBERS * tile + ROWS)


@inlined
def nodes_in_tiles(hoisted: Any, place: int) -> int:
    """Nodes in the diagonal tiles of a band and potential."""
    size = 0
    for tile in range(get(hoisted.tile_ptr, place), get(hoisted.tile_ptr, place + 1)):
        size += COLUMNS * rows_of(hoisted, tile)
    return size


@inlined
def entry_at(hoisted: Any, tile: int, r: int) -> int:
    """The first entry of row r of a diagonal tile."""
    return get(hoisted.tiles, TILE_NUMBERS * tile + CORNER) + get(hoisted.tiles, TILE_NUMBERS * tile + STEP) * r


@inlined
def transfer_of_row(hoisted: Any, tile: int, r: int, replace: bool) -> Transfer:
    """The transfer of row r of a diagonal tile, into an array that begins r nodes later."""
    rows = progression(hoisted.tiles, TILE_NUMBERS * tile + NODES, LISTED)
    return Transfer(rows, progression(hoisted.tiles, entry_at(hoisted, tile, r), 1), COLUMNS, replace)


@inner
def prefetch_tile_row(array: Floats, hoisted: Any, tile: int, r: int, source: Source, k: int, block: Block) -> None:
    """Prefetch all samples' entries of row r of a diagonal tile."""
    if r < rows_of(hoisted, tile) and array.shape[0] > FAR and not is_shared(source, k):
        entries = entries_of(source, k)
        for c in range(0, COLUMNS, width(array)):
            at = block.first * entries + entry_at(hoisted, tile, r) + c
            prefetch_tile(array, at, entries, block.stop - block.first)


@inlined
def prefetch_rows_below(array: Floats, at: int, step: int, rows: int) -> None:
    """Prefetch the next square of a diagonal tile, `rows` rows of it."""
    if rows > 0 and array.shape[0] > FAR:
        prefetch_tile(array, at, step, min(rows, width(array)))


@inner
def read_diagonal(
    x: Floats, scratch: Floats, source: Source, k: int, hoisted: Any, part: Part, block: Block, replace: bool
) -> None:
    """Read rows of a diagonal tile of potential k into one sample's elements of x. scratch : memory of one tile."""
    row, array = width(x), potential_array(source.table, k, x)
    nodes, step = TILE_NUMBERS * part.tile + NODES, get(hoisted.tiles, TILE_NUMBERS * part.tile + STEP)
    for r in range(part.begin, part.end, row):
        rows = min(row, part.end - r)
        for c in range(0, COLUMNS, row):
            at = first_entry(source, k, block.first) + entry_at(hoisted, part.tile, r) + c
            prefetch_rows_below(array, at + row * step, step, part.end - r - row)
            transpose_tile(scratch, 0, row, array, at, step, rows)
            for t in range(row):
                values = nan_to_inf(source.sign * load(scratch, t * row), x)
                place = get(hoisted.tiles, nodes + c + t) + r
                if rows < row:  # elements behind the last row belong to other nodes
                    store(scratch, t * row, values)
                    for n in range(rows):
                        value = get(scratch, t * row + n)
                        x[place + n] = value if replace else get(x, place + n) + value
                else:
                    put_row(x, place, values, replace)


@inner
def write_diagonal(
    gradient: Any, flow: Floats, scratch: Floats, source: Source, k: int, hoisted: Any, part: Part, block: Block
) -> None:
    """Add one sample's flow at rows of a diagonal tile to the gradient of potential k."""
    row, array = width(flow), potential_array(gradient, k, flow)
    nodes, step = TILE_NUMBERS * part.tile + NODES, get(hoisted.tiles, TILE_NUMBERS * part.tile + STEP)
    first = (block.partial if is_shared(source, k) else block.first) * entries_of(source, k)
    for r in range(part.begin, part.end, row):
        rows = min(row, part.end - r)
        for c in range(0, COLUMNS, row):
            at = first + entry_at(hoisted, part.tile, r) + c
            prefetch_rows_below(array, at + row * step, step, part.end - r - row)
            for t in range(row):
                store(scratch, t * row, load(flow, get(hoisted.tiles, nodes + c + t) + r))
            transpose_tile(scratch, 0, row, scratch, 0, row, row)
            for n in range(rows):
                add_to(array, at + step * n, load(scratch, n * row))
