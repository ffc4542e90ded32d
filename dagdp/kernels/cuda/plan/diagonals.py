"""Proves that a graph is a grid of diagonals, whose indices a kernel computes instead of reading them.

A diagonal is a level. Each of its nodes, its cells, has a row; rows of a level are consecutive. Edges are moves: the
d-th move into a cell comes from `distance` levels before and `shift` rows before. A move that a level has is an edge of
every cell of the level whose parent lies within its own level. The entry that a cell reads is
first + level_step·level + row_step·row.

Alignment grids are such graphs, whoever made them: cell (i, j) of a row-major matrix has level i + j, and the row i.
Everything is read from index arrays. A graph without a proof is processed by the generic kernel.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.kernels.cuda.records import Column

if TYPE_CHECKING:
    from dagdp.kernels.cuda.plan.device_plan import DevicePlan

Numbers = NDArray[np.int64]

MOST_MOVES = 7  # a move has a byte in `Diagonals.moves`, an int64
LINES = 4  # levels in the ring, a power of two: moves come from at most three levels before
BAND_BITS = 4
BAND = 1 << BAND_BITS  # levels whose potentials are copied into shared memory at once: 64 bytes of a row in float32
FENCE = 1  # rows beside a level's own that other levels look at


class Header(IntEnum):
    """The first numbers of the diagonals in a plan; then a `Line` for each level and one more, then the places."""

    FIRST = 0  # of entries, which are FIRST + LEVEL_STEP·level + ROW_STEP·row
    LEVEL_STEP = auto()
    ROW_STEP = auto()
    STRIDE = auto()  # numbers of a level in the ring
    MASK = auto()  # of a row's place among them
    LINES_AT = auto()  # place of the lines in the plan
    PLACES_AT = auto()  # place of [nodes] places of nodes: cells are counted level by level, in rows


class Line(IntEnum):
    """What a level is."""

    LOW = 0  # its first row
    HIGH = auto()  # the row behind its last one
    BEFORE = auto()  # add a row to get the place of its cell
    MOVES = auto()  # bit d: cells have the d-th move; bit 8 + d: the level d's distance behind this one has it
    BAND_LOW = auto()  # the first row of the levels of its band: BAND levels, the first of which BAND divides
    BAND_HIGH = auto()  # the row behind the last one of its band


LINE_NUMBERS = len(Line)


class Diagonals(NamedTuple):
    """The proof: what a launch must know, and the numbers of the plan behind all others."""

    moves: int  # a byte each: distance, then shift + 8 in the upper half
    depth: int  # the number of moves
    stride: int  # numbers of a level in the ring
    level_step: int  # entries from a level to the next, in one row
    band_rows: int  # of the band that has most
    numbers: Numbers


class Cells(NamedTuple):
    """The nodes and edges of a graph, as the plan lists them. Node 0 is the only start."""

    ptr: Numbers  # [levels+1] first node of each level
    level: Numbers  # [nodes]
    entry: Numbers  # [nodes] of theta, -1 for the start
    parents: Numbers  # [edges] in the order of children and slots
    children: Numbers  # [edges]

    @property
    def distance(self) -> Numbers:
        """[edges] levels from parent to child."""
        return self.level[self.children] - self.level[self.parents]


class Moves(NamedTuple):
    """The moves in the order of slots."""

    distance: Numbers
    shift: Numbers


def with_diagonals(plan: DevicePlan) -> DevicePlan:
    """The plan with its diagonals behind all other numbers; the plan itself if the graph has no proof."""
    found = diagonals_of(plan)
    if found is None or plan.plan.size + found.numbers.size >= 2**31:
        return plan
    size, numbers, table = plan.plan.size, found.numbers.copy(), plan.table.copy()
    numbers[[Header.LINES_AT, Header.PLACES_AT]] += size
    table[:, Column.DIAGONALS] = size
    joined = np.concatenate([plan.plan, numbers.astype(np.int32)])
    return plan._replace(plan=joined, table=table, diagonals=found._replace(numbers=numbers))


def diagonals_of(plan: DevicePlan) -> Diagonals | None:
    """The diagonals of a plan's one graph; None without a proof."""
    cells = _cells(plan)
    if cells is None:
        return None
    row_step = _row_step(cells)
    jumps = _jumps(cells)
    if row_step is None or jumps is None:
        return None
    distance, jump = jumps
    beside = jump[distance == 1]
    if not beside.size or distance.max() >= LINES:
        return None
    level_step = int(beside[np.argmin(np.abs(beside))])
    offset = cells.entry - level_step * cells.level
    offset[0] = offset[1]
    first = int(offset.min())
    row, rest = np.divmod(offset - first, row_step)
    shift, others = np.divmod(jump - level_step * distance, row_step)
    if rest.any() or others.any() or (np.abs(shift) > 7).any():
        return None
    moves = Moves(distance, shift)
    for start in _rows_of_start(cells, row, moves):
        lines = _lines(cells, np.concatenate([[start], row[1:]]), moves)
        if lines is not None:
            lowest = min(0, start)
            lines[:, [Line.LOW, Line.HIGH, Line.BAND_LOW, Line.BAND_HIGH]] -= lowest
            lines[:, Line.BEFORE] += lowest
            row[0] = start
            return _diagonals(cells, moves, lines, row - lowest, (first + row_step * lowest, level_step, row_step))
    return None


def _cells(plan: DevicePlan) -> Cells | None:
    """Nodes and edges of a graph with one start, and one entry for each other node; None for any other."""
    if plan.graphs != 1 or plan.edge_blocks or plan.node_blocks != 1 or plan.pairs or plan.readers:
        return None
    place = plan.table[0].astype(np.int64)

    def listed(column: Column, count: int) -> Numbers:
        return plan.plan[place[column] :][:count].astype(np.int64)

    nodes, levels = int(place[Column.NODES]), int(place[Column.LEVELS])
    ptr, in_ptr = listed(Column.LEVEL_PTR, levels + 1), listed(Column.IN_PTR, nodes + 1)
    fan, entry = np.diff(in_ptr), listed(Column.NODE_ENTRY, nodes)
    if levels < 2 or ptr[1] != 1 or fan.max() > MOST_MOVES or (entry[1:] < 0).any():
        return None
    parents = listed(Column.IN_PARENT, int(in_ptr[-1]))
    return Cells(ptr, np.repeat(np.arange(levels), np.diff(ptr)), entry, parents, np.repeat(np.arange(nodes), fan))


def _row_step(cells: Cells) -> int | None:
    """The step of entries, in rising order, within every level: 1 if no level has two cells, None if they differ."""
    order = np.lexsort((cells.entry, cells.level))
    steps = np.diff(cells.entry[order])[np.diff(cells.level[order]) == 0]
    if steps.size and (steps != steps[0]).any():
        return None
    return int(steps[0]) if steps.size else 1


def _jumps(cells: Cells) -> tuple[Numbers, Numbers] | None:
    """(levels, entries) that each move goes on by, read from a cell that has most edges from cells; None without."""
    inner = cells.parents > 0
    if not inner.any():
        return None
    cell = np.argmax(np.bincount(cells.children[inner]))
    own = inner & (cells.children == cell)
    return cells.distance[own], cells.entry[cell] - cells.entry[cells.parents[own]]


def _rows_of_start(cells: Cells, row: Numbers, moves: Moves) -> Numbers:
    """Rows at which the start may lie, by the first edge that leaves it."""
    edge = np.argmin(cells.parents)
    return np.unique(row[cells.children[edge]] - moves.shift[moves.distance == cells.distance[edge]])


def _lines(cells: Cells, row: Numbers, moves: Moves) -> Numbers | None:
    """[levels+1, numbers] the `Line` of each level; None if the edges are not the moves."""
    levels, starts = cells.ptr.size - 1, cells.ptr[:-1]
    low, high = np.minimum.reduceat(row, starts), np.maximum.reduceat(row, starts) + 1
    lines = np.zeros((levels + 1, len(Line)), np.int64)  # one more, which is read ahead of need
    lines[:-1, Line.LOW], lines[:-1, Line.HIGH], lines[:-1, Line.BEFORE] = low, high, starts - low
    lines[-1, Line.BEFORE] = cells.ptr[-1]
    bands = np.arange(0, levels, BAND)
    lines[:-1, Line.BAND_LOW] = np.repeat(np.minimum.reduceat(low, bands), BAND)[:levels]
    lines[:-1, Line.BAND_HIGH] = np.repeat(np.maximum.reduceat(high, bands), BAND)[:levels]
    distance, shift = cells.distance, row[cells.children] - row[cells.parents]
    chosen = np.full(distance.size, -1)
    for d, (far, across) in enumerate(zip(moves.distance, moves.shift, strict=True)):
        own = (distance == far) & (shift == across)
        chosen[own] = d
        count = np.bincount(cells.level[cells.children[own]], minlength=levels)
        into = np.flatnonzero(count)
        parents = into - far
        first, behind = low[into] - across, high[into] - across  # rows that the level's cells look at
        common = np.minimum(behind, high[parents]) - np.maximum(first, low[parents])
        beside = np.abs([first - low[parents], behind - high[parents]])
        if (count[into] != common).any() or (beside > FENCE).any():
            return None
        lines[into, Line.MOVES] |= 1 << d
        lines[parents, Line.MOVES] |= 1 << (8 + d)
    siblings = np.diff(cells.children) == 0
    if (chosen < 0).any() or (np.diff(chosen)[siblings] <= 0).any():
        return None
    return lines


def _diagonals(cells: Cells, moves: Moves, lines: Numbers, row: Numbers, entries: tuple[int, int, int]) -> Diagonals:
    """The proof, with places counted from its own beginning."""
    rows = int(lines[:-1, Line.HIGH].max()) + 2 * FENCE
    wrapped = 1 << int(np.diff(cells.ptr).max() + 2 * FENCE - 1).bit_length()  # a level's rows by their last bits
    stride, mask = (rows, (1 << rows.bit_length()) - 1) if rows <= wrapped else (wrapped, wrapped - 1)
    header = np.zeros(len(Header), np.int64)
    header[[Header.FIRST, Header.LEVEL_STEP, Header.ROW_STEP]] = entries
    header[[Header.STRIDE, Header.MASK]] = stride, mask
    header[Header.LINES_AT] = header.size
    header[Header.PLACES_AT] = header.size + lines.size
    places = lines[cells.level, Line.BEFORE] + row
    code = sum((int(far) | (int(across) + 8) << 4) << 8 * d for d, (far, across) in enumerate(zip(*moves, strict=True)))
    band_rows = int((lines[:, Line.BAND_HIGH] - lines[:, Line.BAND_LOW]).max())
    numbers = np.concatenate([header, lines.ravel(), places])
    return Diagonals(code, moves.distance.size, stride, entries[1], band_rows, numbers)
