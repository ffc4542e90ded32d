"""Potentials and results of an alignment grid on their way between memory and cells.

A diagonal of a matrix has one number in each row. A warp would read and write 32 sectors of memory for 128 bytes, and a
level would wait for them. So a kernel that is staged copies bands of levels row by row into a tile of shared memory.
A cell of the backward pass leaves its result in the tile, where its potential was, and bands go back row by row.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.plan.diagonals import BAND, BAND_BITS, LINES
from dagdp.kernels.cuda.texts.diagonals.cells import Frame, Level, entry_of, level_of
from dagdp.kernels.cuda.texts.names import BACKWARD, INFINITY, INTEGER, NATURAL, REAL_TYPE, STAGED, ZERO, cuda
from dagdp.kernels.cuda.texts.work import Work, read_potential

HELD = 4  # numbers of a tile that a thread reads from memory before it waits for the first one


def tile_of(work: Work, frame: Frame) -> Any:
    """Where the tile begins, behind the ring. A row has one number more than a band has levels.

    Neighbouring cells of a diagonal then lie in different banks of shared memory.
    """
    return work.item.ring + (4 if BACKWARD else 2) * LINES * frame.stride


def in_tile(work: Work, frame: Frame, level: Level, row: Any) -> Any:
    """The place of a cell in the tile of its band."""
    return NATURAL(tile_of(work, frame) + (row - level.band_low) * (BAND + 1) + (level.number & (BAND - 1)))


def theta_of_cell(work: Work, frame: Frame, level: Level, row: Any) -> Any:
    """The potential of a cell, see `read_potential`."""
    if STAGED:
        x = work.call.sign * work.ring[in_tile(work, frame, level, row)]
        return x if x < INFINITY else INFINITY
    return read_potential(work, entry_of(frame, level, row))


def put_result(work: Work, frame: Frame, level: Level, row: Any, number: Any) -> None:
    """Write the gradient of a cell."""
    if STAGED:
        work.ring[in_tile(work, frame, level, row)] = number
    else:
        work.arrays.gradient[work.item.gradient + entry_of(frame, level, row)] = number


class Strip(NamedTuple):
    """What one thread copies between a tile and memory: cells of one level, `rows` apart. A warp copies whole rows."""

    level: Level  # without rows where there is nothing to copy
    row: Any  # the first row
    rows: Any
    place: Any  # of the first row in the tile


def strip_of(work: Work, frame: Frame, level: Level, behind: Any) -> Strip:
    """The thread's strip of the band that a level lies in. Only levels from 1 to `behind` - 1 are copied."""
    column, row = INTEGER(work.item.rank & (BAND - 1)), INTEGER(work.item.rank >> BAND_BITS)
    number = level.number - (level.number & (BAND - 1)) + column
    own = level_of(work, frame, number if number > 0 and number < behind else frame.levels)
    at = INTEGER(tile_of(work, frame) + row * (BAND + 1) + column)
    return Strip(own, INTEGER(level.band_low + row), INTEGER(work.item.team >> BAND_BITS), at)


def load_band(work: Work, frame: Frame, level: Level) -> None:
    """Copy theta of a level's band into the tile. The team waits before and behind it."""
    strip, held = strip_of(work, frame, level, frame.levels), cuda.local.array(HELD, REAL_TYPE)
    row, at, low, high = strip.row, strip.place, strip.level.low, strip.level.high
    entry, step = entry_of(frame, strip.level, row), INTEGER(strip.rows * frame.row_step)
    while row < high:
        for h in range(HELD):
            here = INTEGER(row + h * strip.rows)
            held[h] = ZERO
            if here >= low and here < high:
                held[h] = work.arrays.theta[work.item.theta + INTEGER(entry + h * step)]
        for h in range(HELD):
            here = INTEGER(row + h * strip.rows)
            if here >= low and here < high:
                work.ring[NATURAL(at + h * strip.rows * (BAND + 1))] = held[h]
        row = INTEGER(row + HELD * strip.rows)
        at = INTEGER(at + HELD * strip.rows * (BAND + 1))
        entry = INTEGER(entry + HELD * step)


def store_band(work: Work, frame: Frame, level: Level, reached: Any) -> None:
    """Copy the results of a level's band from the tile, those of levels below `reached`.

    A thread copies the same places of the tile as in `load_band`, so no other thread has to wait in between.
    """
    strip = strip_of(work, frame, level, reached)
    row, at = strip.row, strip.place
    entry, step = entry_of(frame, strip.level, row), INTEGER(strip.rows * frame.row_step)
    while row < strip.level.high:
        if row >= strip.level.low:
            work.arrays.gradient[work.item.gradient + entry] = work.ring[NATURAL(at)]
        row = INTEGER(row + strip.rows)
        at = INTEGER(at + strip.rows * (BAND + 1))
        entry = INTEGER(entry + step)
