"""A level's outgoing edges by runs, whose quantities are progressions (compiled/progressions.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.progressions import COUNT, ENTRY
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Transfer, read, write
from dagdp.kernels.cpu.progressions import Progression, advance, progression
from dagdp.kernels.cpu.records import Block, Floats, Source
from dagdp.lanes.views import get


class Chunk(NamedTuple):
    """`count` edges of a run from the edge `first` on."""

    run: int
    first: int
    count: int
    below: int  # how many elements back the next level lies; 0 to prefetch nothing


@inlined
def columns_of(outgoing: Any) -> int:
    """Numbers of a run."""
    return ENTRY + 2 * outgoing.potentials.shape[0]


@inlined
def edges_of(outgoing: Any, run: int) -> int:
    """Edges of a run."""
    return get(outgoing.runs, run * columns_of(outgoing) + COUNT)


@inlined
def quantity(outgoing: Any, run: int, column: int, first: int) -> Progression:
    """The quantity in that column of a run, from its edge `first` on."""
    place = run * columns_of(outgoing) + column
    return advance(progression(outgoing.listed, get(outgoing.runs, place), get(outgoing.runs, place + 1)), first)


@inlined
def lists_again(outgoing: Any, run: int, pairs: Any) -> bool:
    """Whether a run lists hyperedges that another run lists, too, under their first parents."""
    if pairs is None:
        return False
    return get(outgoing.pairing, 2 * run + 1) > 0


@inner
def read_run(x: Floats, tile: Floats, source: Source, outgoing: Any, block: Block, chunk: Chunk) -> None:
    """Add the potentials of a chunk's edges to the rows of x, from row 0 on."""
    for k in range(outgoing.potentials.shape[0]):
        entries = quantity(outgoing, chunk.run, ENTRY + 2 * k, chunk.first)
        if entries.start >= 0:
            transfer = Transfer(progression(outgoing.listed, 0, 1), entries, chunk.count, False)
            read(x, tile, source, get(outgoing.potentials, k), transfer, block)


@inner
def write_run(
    gradient: Any, flow: Floats, tile: Floats, source: Source, outgoing: Any, block: Block, chunk: Chunk
) -> None:
    """Add the flows of a chunk's edges, rows from 0 on, to the gradient."""
    for k in range(outgoing.potentials.shape[0]):
        entries = quantity(outgoing, chunk.run, ENTRY + 2 * k, chunk.first)
        if entries.start >= 0:
            transfer = Transfer(progression(outgoing.listed, 0, 1), entries, chunk.count, False)
            write(gradient, source, get(outgoing.potentials, k), flow, transfer, tile, block)
