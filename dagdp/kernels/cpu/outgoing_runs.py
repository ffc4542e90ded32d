"""A level's outgoing edges by runs, whose quantities are progressions: see progressions.py."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import COUNT, ENTRY
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.packing.entries import Batch, Source, read, write
from dagdp.kernels.cpu.rows import later
from dagdp.lanes.views import pick, rule


@inlined
def columns_of(outgoing: Any) -> int:
    """Numbers that a run has."""
    return ENTRY + 2 * outgoing.blocks.shape[0]


@inlined
def edges_of(outgoing: Any, run: int) -> int:
    """How many edges a run has."""
    return pick(outgoing.runs, run * columns_of(outgoing) + COUNT)


@inlined
def quantity(outgoing: Any, run: int, column: int, skip: int) -> Any:
    """What `column` says of a run's edges from the edge `skip` on."""
    place = run * columns_of(outgoing) + column
    return later(rule(outgoing.listed, pick(outgoing.runs, place), pick(outgoing.runs, place + 1)), skip)


@inner
def read_run(
    x: Any, square: Any, source: Source, outgoing: Any, batch: Batch, b0: int, run: int, skip: int, count: int
) -> None:
    """Add the potentials of a run's edges from the edge `skip` on to the rows of x from 0 on."""
    for k in range(outgoing.blocks.shape[0]):
        entry = quantity(outgoing, run, ENTRY + 2 * k, skip)
        if entry[1] >= 0:
            rows = rule(outgoing.listed, 0, 1)
            read(x, rows, square, source, pick(outgoing.blocks, k), entry, count, batch, b0, False)


@inner
def write_run(
    out: Any, square: Any, source: Source, outgoing: Any, batch: Batch, b0: int, run: int, skip: int, count: int,
    flow: Any,
) -> None:  # fmt: skip
    """Hand the flow on a run's edges from the edge `skip` on back to the blocks."""
    for k in range(outgoing.blocks.shape[0]):
        entry = quantity(outgoing, run, ENTRY + 2 * k, skip)
        if entry[1] >= 0:
            rows = rule(outgoing.listed, 0, 1)
            write(out, source, pick(outgoing.blocks, k), entry, flow, rows, count, square, batch, b0, False)
