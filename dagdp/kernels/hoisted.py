"""Potentials that all edges into a node share: read before a band of levels, written when the band is left."""

from __future__ import annotations

from typing import Any

from dagdp.kernels.exchange import Batch, Source, read, write
from dagdp.kernels.jit import inner
from dagdp.kernels.rows import fill
from dagdp.kernels.vectors import part, pick, rule
from dagdp.progressions import LISTED


@inner
def band_rows(incoming: Any, hoisted: Any) -> int:
    """Nodes of the largest band; 0 where nothing is hoisted."""
    most = 0
    for band in range(hoisted.levels.shape[0] - 1):
        size = incoming.levels[hoisted.levels[band + 1]] - incoming.levels[hoisted.levels[band]]
        most = max(most, size)
    return most if hoisted.blocks.shape[0] > 0 else 0


@inner
def read_hoisted(
    x: Any, first: int, square: Any, source: Source, incoming: Any, hoisted: Any, band: int, batch: Batch, b0: int
) -> bool:
    """The sum of the hoisted potentials of a band's nodes, whose rows in x lie `first` elements before their places in
    the state. Whether one is out of range.
    """
    x = part(x, -first, x.shape[0] + first)
    node = pick(incoming.levels, pick(hoisted.levels, band))
    size = pick(incoming.levels, pick(hoisted.levels, band + 1)) - node
    whole = pick(hoisted.ptr, band + 1) - pick(hoisted.ptr, band) == size  # the first of them is there at every node
    if not whole:
        fill(x, node * batch.lanes, size * batch.lanes, 0)
    bands = hoisted.levels.shape[0] - 1
    bad = False
    for h in range(hoisted.blocks.shape[0]):
        r = pick(hoisted.ptr, h * bands + band)
        count = pick(hoisted.ptr, h * bands + band + 1) - r
        rows, entry = rule(hoisted.node, r, LISTED), rule(hoisted.entry, r, LISTED)
        bad |= read(x, rows, square, source, pick(hoisted.blocks, h), entry, count, batch, b0, whole and h == 0)
    return bad


@inner
def write_hoisted(
    out: Any, square: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int, bar: Any
) -> None:
    """The gradient of a hoisted potential is the adjoint of its node."""
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.blocks.shape[0]):
        r = pick(hoisted.ptr, h * bands + band)
        count = pick(hoisted.ptr, h * bands + band + 1) - r
        rows, entry = rule(hoisted.node, r, LISTED), rule(hoisted.entry, r, LISTED)
        write(out, source, pick(hoisted.blocks, h), entry, bar, rows, count, square, batch, b0, False)
