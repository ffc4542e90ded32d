"""A block's potentials in the order of edges, where the user has them in another.

An entry of 16 samples is 16 lines of memory. Where entries are met in no order each of them is gone before the next
entry in it is asked for, on the way there and on the way back. So the samples' entries are read as they lie, a square
at a time, and put where the edges want them, a row an edge, which is one line; weights are kept there in their place,
then flows, and these go to the gradient the same way back. 32 samples of 1e5 random edges, value and gradient, float32:
6.7 ms so, 13.2 edge by edge.

Only where few edges enter a node (`LARGEST_FAN_IN` in compiler/specialise.py): the rows are no more than what is kept
of nodes by a factor.
"""

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Batch, Source, is_shared, row_entries, telling
from dagdp.kernels.cpu.rows import fill
from dagdp.lanes.rows import load, row_of, store
from dagdp.lanes.views import FAR, expect_row, lent_block, pick, row_length, turn_vectors

SQUARES_AHEAD = 2


@inlined
def in_order(incoming: Any, batch: Batch) -> bool:
    """Whether passes that keep weights have their potentials so: rows of samples."""
    return batch.together is not None and incoming.reader.shape[0] > 0


@inlined
def expect_rows(w: Any, incoming: Any, start: int, entries: int) -> None:
    """Ask for the rows of the square of entries that begins at `start`."""
    whole = row_length(w)
    for entry in range(start, min(start + whole, entries) if w.shape[0] > FAR else start):
        edge = pick(incoming.reader, entry)
        if edge >= 0:
            expect_row(w, edge * whole)


@inner
def bring_in_order(w: Any, square: Any, source: Source, incoming: Any, batch: Batch, b0: int) -> None:
    """Row e of w becomes what edge e reads, 0 where it reads nothing."""
    whole = row_length(w)
    k = pick(incoming.blocks, 0)
    block, entries = lent_block(source.table, k, w), row_entries(source, k)
    for node in incoming.bare:
        edge = pick(incoming.edges, node)
        fill(w, edge * whole, (pick(incoming.edges, node + 1) - edge) * whole, 0)
    shared = is_shared(source, k)
    for entry in range(entries if shared else 0):
        edge = pick(incoming.reader, entry)
        if edge >= 0:
            store(w, edge * whole, row_of(w, telling(source.sign * pick(block, entry), w)))
    for first in range(0, 0 if shared else entries, whole):
        start = min(first, entries - whole)
        expect_rows(w, incoming, start + SQUARES_AHEAD * whole, entries)
        turn_vectors(square, 0, whole, block, b0 * entries + start, entries, batch.last - b0)
        for r in range(first - start, whole):
            edge = pick(incoming.reader, start + r)
            if edge >= 0:
                store(w, edge * whole, telling(source.sign * load(square, r * whole), w))


@inner
def take_back(out: Any, square: Any, w: Any, incoming: Any, top: int, source: Source, batch: Batch, b0: int) -> None:
    """The rows of w in the place of the entries that their edges read; 0 beyond level `top`."""
    whole = row_length(w)
    k = pick(incoming.blocks, 0)
    block, entries = lent_block(out, k, w), row_entries(source, k)
    last, edges = pick(incoming.edges, pick(incoming.levels, top + 1)), incoming.edges[-1]
    fill(w, last * whole, (edges - last) * whole, 0)
    for start in range(0, entries, whole):
        first = min(start, entries - whole)
        expect_rows(w, incoming, first + SQUARES_AHEAD * whole, entries)
        for r in range(whole):
            edge = pick(incoming.reader, first + r)
            store(square, r * whole, load(w, edge * whole) if edge >= 0 else row_of(w, 0))
        turn_vectors(square, 0, whole, square, 0, whole, whole)
        for b in range(min(whole, batch.last - b0)):
            store(block, (b0 + b) * entries + first, load(square, b * whole))


@inlined
def begin_keeping(incoming: Any, theta: Source, z: Source, batch: Batch, b0: int, buffers: Any, square: Any) -> None:
    """Before a forward pass that keeps weights, along z if w_dot has room."""
    _, w, w_dot, _, _, _ = buffers
    if batch.together is not None and in_order(incoming, batch):
        bring_in_order(w, square, theta, incoming, batch, b0)
        if w_dot is not None:
            bring_in_order(w_dot, square, z, incoming, batch, b0)


@inlined
def end_keeping(
    out: Any, incoming: Any, top: int, source: Source, batch: Batch, b0: int, buffers: Any, square: Any
) -> None:
    """After the pass back."""
    w = buffers[1]
    if batch.together is not None and in_order(incoming, batch):
        take_back(out, square, w, incoming, top, source, batch, b0)
