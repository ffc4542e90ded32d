"""Hoisted potentials, which all edges into a node share: read before a band of levels, written when it is left."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.packing.diagonal_tiles import (
    Part,
    nodes_in_tiles,
    prefetch_tile_row,
    read_diagonal,
    rows_of,
    transfer_of_row,
    write_diagonal,
)
from dagdp.kernels.cpu.packing.entries import Transfer, read, write
from dagdp.kernels.cpu.progressions import progression
from dagdp.kernels.cpu.records import Block, Floats, Graph, Source
from dagdp.kernels.cpu.rows import fill
from dagdp.lanes.views import get, offset_view

NO_TILE = -1


@inlined
def parts_of(hoisted: Any, place: int) -> int:
    """Parts of the nodes of a band and potential: a list, and diagonal tiles."""
    return 1 + get(hoisted.tile_ptr, place + 1) - get(hoisted.tile_ptr, place)


@inlined
def part_of(hoisted: Any, place: int, n: int) -> Part:
    """The n-th part."""
    if n == 0:
        return Part(NO_TILE, get(hoisted.ptr, place), get(hoisted.ptr, place + 1))
    tile = get(hoisted.tile_ptr, place) + n - 1
    return Part(tile, 0, rows_of(hoisted, tile))


@inlined
def listed_transfer(hoisted: Any, part: Part, replace: bool) -> Transfer:
    """The transfer of a part that is listed."""
    rows, entries = progression(hoisted.node, part.begin, LISTED), progression(hoisted.entry, part.begin, LISTED)
    return Transfer(rows, entries, part.end - part.begin, replace)


@inner
def read_part(
    x: Floats, scratch: Floats, source: Source, k: int, hoisted: Any, part: Part, block: Block, replace: bool
) -> None:
    """Read potential k at the nodes of a part."""
    if part.tile == NO_TILE:
        read(x, scratch, source, k, listed_transfer(hoisted, part, replace), block)
        return
    if block.lanes_are_samples is None:
        read_diagonal(x, scratch, source, k, hoisted, part, block, replace)
        return
    for r in range(part.begin, part.end):
        prefetch_tile_row(potential_array(source.table, k, x), hoisted, part.tile, r + 1, source, k, block)
        here = offset_view(x, r * block.lanes)
        read(here, scratch, source, k, transfer_of_row(hoisted, part.tile, r, replace), block)


@inner
def write_part(
    gradient: Any, flow: Floats, scratch: Floats, source: Source, k: int, hoisted: Any, part: Part, block: Block
) -> None:
    """Add the flow at the nodes of a part to the gradient of potential k."""
    if part.tile == NO_TILE:
        write(gradient, source, k, flow, listed_transfer(hoisted, part, False), scratch, block)
        return
    if block.lanes_are_samples is None:
        write_diagonal(gradient, flow, scratch, source, k, hoisted, part, block)
        return
    for r in range(part.begin, part.end):
        prefetch_tile_row(potential_array(gradient, k, flow), hoisted, part.tile, r + 1, source, k, block)
        here = offset_view(flow, r * block.lanes)
        write(gradient, source, k, here, transfer_of_row(hoisted, part.tile, r, False), scratch, block)


@inner
def read_hoisted(x: Floats, scratch: Floats, source: Source, graph: Graph, band: int, block: Block) -> None:
    """x = the sum of the hoisted potentials of a band's nodes; the first element of x belongs to node 0."""
    incoming, hoisted = graph.incoming, graph.hoisted
    node = get(incoming.levels, get(hoisted.levels, band))
    size = get(incoming.levels, get(hoisted.levels, band + 1)) - node
    listed = get(hoisted.ptr, band + 1) - get(hoisted.ptr, band)
    complete = listed + nodes_in_tiles(hoisted, band) == size  # every node reads the first of these potentials
    if not complete:
        fill(x, node * block.lanes, size * block.lanes, 0)
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.potentials.shape[0]):
        place, k, replace = h * bands + band, get(hoisted.potentials, h), complete and h == 0
        for n in range(parts_of(hoisted, place)):
            read_part(x, scratch, source, k, hoisted, part_of(hoisted, place, n), block, replace)


@inner
def write_hoisted(
    gradient: Any, scratch: Floats, source: Source, hoisted: Any, band: int, block: Block, bar: Floats
) -> None:
    """Add the adjoints of a band's nodes to the gradient of their hoisted potentials."""
    bands = hoisted.levels.shape[0] - 1
    for h in range(hoisted.potentials.shape[0]):
        place, k = h * bands + band, get(hoisted.potentials, h)
        for n in range(parts_of(hoisted, place)):
            write_part(gradient, bar, scratch, source, k, hoisted, part_of(hoisted, place, n), block)
