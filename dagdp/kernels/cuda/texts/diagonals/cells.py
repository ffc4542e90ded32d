"""Levels, rows and places of an alignment grid, computed from the numbers of `dagdp.kernels.cuda.plan.diagonals`.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.plan.diagonals import FENCE, LINE_NUMBERS, LINES, Header, Line
from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import INTEGER, MOVES, NATURAL, ZERO
from dagdp.kernels.cuda.texts.work import Work, listed, place


class Frame(NamedTuple):
    """Numbers that hold for all levels of a grid, read once, and the item's end."""

    first: Any  # entry of level 0 and row 0
    level_step: Any  # entries from a level to the next, in one row
    row_step: Any
    stride: Any  # numbers of a line
    mask: Any  # of a row's place in it
    lines: Any  # place of the levels' numbers in the plan
    levels: Any
    end: Any  # place of the item's end, counted level by level; a negative number without one


class Level(NamedTuple):
    """A level's numbers."""

    number: Any
    low: Any  # its first row
    high: Any  # the row behind its last one
    before: Any  # add a row to get the place of its cell
    moves: Any  # see `Line.MOVES`
    band_low: Any  # the first row of its band
    band_high: Any


def frame_of(work: Work) -> Frame:
    """The numbers of the item's grid."""
    header, end = place(work, Column.DIAGONALS), work.item.end
    return Frame(
        listed(work, header + Header.FIRST),
        listed(work, header + Header.LEVEL_STEP),
        listed(work, header + Header.ROW_STEP),
        listed(work, header + Header.STRIDE),
        listed(work, header + Header.MASK),
        listed(work, header + Header.LINES_AT),
        place(work, Column.LEVELS),
        listed(work, listed(work, header + Header.PLACES_AT) + end) if end >= 0 else end,
    )


def level_of(work: Work, frame: Frame, number: Any) -> Level:
    """A level, or the one behind the last, which has no cells."""
    at = INTEGER(frame.lines + LINE_NUMBERS * number)
    return Level(
        INTEGER(number),
        listed(work, at + Line.LOW),
        listed(work, at + Line.HIGH),
        listed(work, at + Line.BEFORE),
        listed(work, at + Line.MOVES),
        listed(work, at + Line.BAND_LOW),
        listed(work, at + Line.BAND_HIGH),
    )


def entry_of(frame: Frame, level: Level, row: Any) -> Any:
    """The entry of theta that a cell reads."""
    return INTEGER(frame.first + frame.level_step * level.number + frame.row_step * row)


def cell_of(level: Level, row: Any) -> Any:
    """The place of a cell among all of the grid."""
    return INTEGER(level.before + row)


def levels_of_move(d: Any) -> Any:
    """Levels that the d-th move goes on by."""
    return (MOVES >> (8 * d)) & 15


def rows_of_move(d: Any) -> Any:
    """Rows that the d-th move goes on by."""
    return ((MOVES >> (8 * d + 4)) & 15) - 8


def in_ring(work: Work, frame: Frame, level: Any, row: Any) -> Any:
    """Where the ring keeps the first number of a cell, or of one in a fence."""
    return NATURAL(work.item.ring + (level & (LINES - 1)) * frame.stride + ((row + FENCE) & frame.mask))


def further(frame: Frame, at: Any, k: int) -> Any:
    """Where the ring keeps the k-th number of the cell whose first one is at `at`."""
    return NATURAL(at + k * LINES * frame.stride)


def set_fence(work: Work, frame: Frame, level: Level, row: Any, hi: Any) -> None:
    """The thread of a level's first row, and that of its last one, write (hi, 0) beside them."""
    if row == level.low:
        put_in_ring(work, frame, level.number, row - 1, (hi, ZERO))
    if row == level.high - 1:
        put_in_ring(work, frame, level.number, row + 1, (hi, ZERO))


def put_in_ring(work: Work, frame: Frame, level: Any, row: Any, numbers: Any) -> None:
    """Store the first two numbers of a cell."""
    at = in_ring(work, frame, level, row)
    work.ring[at], work.ring[further(frame, at, 1)] = numbers
