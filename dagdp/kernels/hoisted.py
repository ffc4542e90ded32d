"""Potentials that all edges into a node share: read before a band of levels, written when the band is left."""

from __future__ import annotations

from typing import Any

from dagdp.kernels.exchange import Batch, Source, read, write
from dagdp.kernels.jit import inner
from dagdp.kernels.rows import fill
from dagdp.kernels.team import all_go_on, next_piece, only_one, pieces_of, portion
from dagdp.kernels.vectors import part, pick, row_length, rule
from dagdp.progressions import LISTED

LEAST_PIECE = 1024  # entries that a member of a team reads or writes at least


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
    x: Any, first: int, square: Any, source: Source, incoming: Any, hoisted: Any, band: int, batch: Batch, b0: int,
    places: Any,
) -> bool:  # fmt: skip
    """The sum of the hoisted potentials of a band's nodes, whose rows in x lie `first` elements before their places in
    the state. Whether one is out of range.
    """
    x = part(x, -first, x.shape[0] + first)
    node = pick(incoming.levels, pick(hoisted.levels, band))
    size = pick(incoming.levels, pick(hoisted.levels, band + 1)) - node
    whole = pick(hoisted.ptr, band + 1) - pick(hoisted.ptr, band) == size  # the first of them is there at every node
    if not whole and only_one(places):
        fill(x, node * batch.lanes, size * batch.lanes, 0)
        all_go_on(places)
    bands = hoisted.levels.shape[0] - 1
    bad = False
    for h in range(hoisted.blocks.shape[0]):
        r = pick(hoisted.ptr, h * bands + band)
        count = pick(hoisted.ptr, h * bands + band + 1) - r
        pieces = pieces_of(places, count, LEAST_PIECE)
        piece = next_piece(places, pieces, -1)
        while piece < pieces:
            begin, end = portion(r, r + count, piece, pieces, row_length(x))
            rows, entry, k = rule(hoisted.node, begin, LISTED), rule(hoisted.entry, begin, LISTED), hoisted.blocks[h]
            bad |= read(x, rows, square, source, k, entry, end - begin, batch, b0, whole and h == 0)
            piece = next_piece(places, pieces, piece)
    return bad


@inner
def write_hoisted(
    out: Any, square: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int, bar: Any,
    places: Any,
) -> None:  # fmt: skip
    """The gradient of a hoisted potential is the adjoint of its node."""
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.blocks.shape[0]):
        r = pick(hoisted.ptr, h * bands + band)
        count = pick(hoisted.ptr, h * bands + band + 1) - r
        pieces = pieces_of(places, count, LEAST_PIECE)
        piece = next_piece(places, pieces, -1)
        while piece < pieces:
            begin, end = portion(r, r + count, piece, pieces, row_length(bar))
            rows, entry, k = rule(hoisted.node, begin, LISTED), rule(hoisted.entry, begin, LISTED), hoisted.blocks[h]
            write(out, source, k, entry, bar, rows, end - begin, square, batch, b0, False)
            piece = next_piece(places, pieces, piece)
