"""Potentials on incoming edges: node by node, or slot by slot where one sample finds its entries itself.

The entries that edges read lie in pieces: stretches that rise by one, and lists (compiler/runs.py).
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Batch, Source, first_entry, read, row_entries, telling, write
from dagdp.kernels.cpu.rows import later, number
from dagdp.lanes.gather import expect_vector, gather_present
from dagdp.lanes.rows import store
from dagdp.lanes.views import FAR, expect_column, lent_block, pick, rule


@inlined
def piece_at(incoming: Any, k: int, e: int) -> int:
    """The piece of the k-th edge potential that edge e stands in."""
    low = pick(incoming.piece_ptr, k)
    high = pick(incoming.piece_ptr, k + 1) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if pick(incoming.pieces, 3 * middle) <= e:
            low = middle
        else:
            high = middle
    return low


@inlined
def stretch_of_piece(incoming: Any, piece: int, first: int, e: int, last: int) -> Any:
    """(entries, rows, end): of the incoming edges [e, end) that a piece covers, rows counted from edge `first` on."""
    start = pick(incoming.pieces, 3 * piece)
    end = min(last, pick(incoming.pieces, 3 * piece + 3))
    entries = rule(incoming.entry, pick(incoming.pieces, 3 * piece + 1), pick(incoming.pieces, 3 * piece + 2))
    return later(entries, e - start), rule(incoming.entry, e - first, 1), end


@inlined
def read_direct(w: Any, at: int, source: Source, incoming: Any, b0: int, e: int, count: int, left: int) -> None:
    """Put one sample's potentials of the edges of a slot from e on in w, a row."""
    k = pick(incoming.blocks, 0)
    block, first = lent_block(source.table, k, w), first_entry(source, k, b0)
    row = telling(source.sign * gather_present(block, incoming.direct, e, first, count), w)
    if block.shape[0] > FAR:
        expect_vector(block, incoming.direct, e + count, first, left - count)
    store(w, at, row)


@inner
def read_edges(
    x: Any, square: Any, source: Source, incoming: Any, batch: Batch, b0: int, first: int, last: int
) -> None:
    """Add the potentials of incoming edges [first, last) to the rows of x from 0 on."""
    for k in range(incoming.blocks.shape[0]):
        e = first
        piece = piece_at(incoming, k, e)
        while e < last:
            entries, rows, end = stretch_of_piece(incoming, piece, first, e, last)
            if entries[2] != 0:
                read(x, rows, square, source, pick(incoming.blocks, k), entries, end - e, batch, b0, False)
            piece += 1
            e = end


@inner
def write_edges(
    out: Any, flow: Any, square: Any, source: Source, incoming: Any, batch: Batch, b0: int, first: int, last: int
) -> None:
    """Put rows of `flow` from 0 on in the place of the entries that incoming edges [first, last) read."""
    e = first
    piece = piece_at(incoming, 0, e)
    while e < last:
        entries, rows, end = stretch_of_piece(incoming, piece, first, e, last)
        if entries[2] != 0:
            write(out, source, pick(incoming.blocks, 0), entries, flow, rows, end - e, square, batch, b0, True)
        piece += 1
        e = end


@inner
def expect_edges(out: Any, x: Any, source: Source, incoming: Any, batch: Batch, b0: int, first: int, last: int) -> None:
    """Ask for the places of incoming edges [first, last) in the gradient, where they lie in no order.

    Stores to lines that are not there wait for each other: value and gradient of 16 x 1e6 random edges 38.4 -> 32.7
    ns an edge (Negentropy, float64), 21.7 -> 18.9 (float32); minima of seven, in turn.
    """
    block, entries = lent_block(out, pick(incoming.blocks, 0), x), row_entries(source, pick(incoming.blocks, 0))
    if block.shape[0] <= FAR:
        return
    e = first
    piece = piece_at(incoming, 0, e)
    while e < last:
        found, _, end = stretch_of_piece(incoming, piece, first, e, last)
        if found[2] == LISTED:
            for r in range(end - e):
                entry = number(found, r)
                if entry >= 0:
                    expect_column(block, b0 * entries + entry, entries, batch.last - b0)
        piece += 1
        e = end
