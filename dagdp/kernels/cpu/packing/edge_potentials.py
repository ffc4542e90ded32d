"""Potentials of incoming edges: read and written node by node, or gathered slot by slot for one sample.

The entries that edges read lie in affine pieces: stretches that rise by one, and lists (compiler/runs.py).
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.packing.entries import Transfer, entries_of, first_entry, read, write
from dagdp.kernels.cpu.progressions import advance, progression, term
from dagdp.kernels.cpu.records import Block, Floats, Source
from dagdp.kernels.cpu.rows import nan_to_inf
from dagdp.lanes.gather import gather_present
from dagdp.lanes.prefetch import FAR, prefetch_column, prefetch_listed
from dagdp.lanes.rows import store
from dagdp.lanes.views import get

FIRST_EDGE, START, STEP, PIECE_NUMBERS = 0, 1, 2, 3  # columns of `Incoming.pieces`, and their count


@inlined
def piece_at(incoming: Any, k: int, e: int) -> int:
    """The piece of the k-th edge potential that contains edge e."""
    low = get(incoming.piece_ptr, k)
    high = get(incoming.piece_ptr, k + 1) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if get(incoming.pieces, PIECE_NUMBERS * middle + FIRST_EDGE) <= e:
            low = middle
        else:
            high = middle
    return low


@inlined
def transfer_of_piece(incoming: Any, piece: int, first: int, e: int, last: int, replace: bool) -> Transfer:
    """The incoming edges of a piece from e on, before `last`; rows are counted from edge `first` on."""
    at = PIECE_NUMBERS * piece
    start = get(incoming.pieces, at + FIRST_EDGE)
    end = min(last, get(incoming.pieces, at + PIECE_NUMBERS + FIRST_EDGE))
    entries = progression(incoming.entry, get(incoming.pieces, at + START), get(incoming.pieces, at + STEP))
    return Transfer(progression(incoming.entry, e - first, 1), advance(entries, e - start), end - e, replace)


@inlined
def read_listed(w: Floats, at: int, source: Source, incoming: Any, block: Block, e: int, count: int, left: int) -> None:
    """w[at : at + width] = one sample's potentials of `count` edges of a slot from e on, of `left` in the slot."""
    k = get(incoming.potentials, 0)
    array, first = potential_array(source.table, k, w), first_entry(source, k, block.first)
    row = nan_to_inf(source.sign * gather_present(array, incoming.slot_entries, e, first, count), w)
    if array.shape[0] > FAR:
        prefetch_listed(array, incoming.slot_entries, e + count, first, left - count)
    store(w, at, row)


@inner
def read_edges(x: Floats, tile: Floats, source: Source, incoming: Any, block: Block, first: int, last: int) -> None:
    """Add the potentials of incoming edges [first, last) to the rows of x, from row 0 on."""
    for k in range(incoming.potentials.shape[0]):
        e = first
        piece = piece_at(incoming, k, e)
        while e < last:
            transfer = transfer_of_piece(incoming, piece, first, e, last, False)
            if transfer.entries.step != 0:
                read(x, tile, source, get(incoming.potentials, k), transfer, block)
            piece += 1
            e += transfer.count


@inner
def write_edges(
    gradient: Any, flow: Floats, tile: Floats, source: Source, incoming: Any, block: Block, first: int, last: int
) -> None:
    """Overwrite the entries that incoming edges [first, last) read with the rows of `flow`, from row 0 on."""
    e = first
    piece = piece_at(incoming, 0, e)
    while e < last:
        transfer = transfer_of_piece(incoming, piece, first, e, last, True)
        if transfer.entries.step != 0:
            write(gradient, source, get(incoming.potentials, 0), flow, transfer, tile, block)
        piece += 1
        e += transfer.count


@inner
def prefetch_edges(
    gradient: Any, x: Floats, source: Source, incoming: Any, block: Block, first: int, last: int
) -> None:
    """Prefetch the gradient's entries of incoming edges [first, last), if they are listed and the gradient is large.

    Stores to lines that are not in a cache wait for each other: value and gradient of 16 x 1e6 random edges take 38.4
    -> 32.7 ns an edge (Negentropy, float64), 21.7 -> 18.9 ns (float32); minima of seven, interleaved.
    """
    k = get(incoming.potentials, 0)
    array, entries = potential_array(gradient, k, x), entries_of(source, k)
    if array.shape[0] <= FAR:
        return
    e = first
    piece = piece_at(incoming, 0, e)
    while e < last:
        transfer = transfer_of_piece(incoming, piece, first, e, last, True)
        if transfer.entries.step == LISTED:
            for r in range(transfer.count):
                entry = term(transfer.entries, r)
                if entry >= 0:
                    prefetch_column(array, block.first * entries + entry, entries, block.stop - block.first)
        piece += 1
        e += transfer.count
