"""Potentials that all edges into a node share: read before a band of levels, written when the band is left."""

from __future__ import annotations

from typing import Any

from dagdp.kernels.exchange import SPOTS, Batch, Source, read, stretch, write
from dagdp.kernels.jit import inner
from dagdp.kernels.vectors import lend, pick, row_length
from dagdp.progressions import LISTED


@inner
def place_nodes(spots: Any, node: Any, first: int, count: int, node0: int, lanes: int) -> None:
    for r in range(count):
        spots[r] = (pick(node, first + r) - node0) * lanes


@inner
def read_hoisted(
    rows: Any, node0: int, room: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int
) -> bool:
    """Add a band's hoisted potentials to `rows` [nodes from node0 on, samples]; whether one is out of range."""
    rows, source, hoisted = lend(rows), lend(source), lend(hoisted)
    spots, square = lend(room)
    whole = row_length(rows)
    bands = hoisted.levels.shape[0] - 1
    bad = False
    for h in range(hoisted.blocks.shape[0]):
        r = hoisted.ptr[h * bands + band]
        last = hoisted.ptr[h * bands + band + 1]
        while r < last:
            entry = (hoisted.entry, r, LISTED)
            count, turned = stretch(entry, min(SPOTS, last - r), batch.lanes, whole)
            place_nodes(spots, hoisted.node, r, count, node0, batch.lanes)
            bad |= read(rows, spots, square, count, turned, source, hoisted.blocks[h], entry, batch, b0)
            r += count
    return bad


@inner
def write_hoisted(
    out: Any, room: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int, bar: Any
) -> None:
    """The gradient of a hoisted potential is the adjoint of its node."""
    out, source, hoisted, bar = lend(out), lend(source), lend(hoisted), lend(bar)
    spots, square = lend(room)
    whole = row_length(bar)
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.blocks.shape[0]):
        r = hoisted.ptr[h * bands + band]
        last = hoisted.ptr[h * bands + band + 1]
        while r < last:
            entry = (hoisted.entry, r, LISTED)
            count, turned = stretch(entry, min(SPOTS, last - r), batch.lanes, whole)
            place_nodes(spots, hoisted.node, r, count, 0, batch.lanes)
            write(out, source, hoisted.blocks[h], entry, bar, spots, square, count, turned, batch, b0)
            r += count
