"""The kernel of alignment grids: values, or values and gradients, without index arrays.

Places of parents, children and entries are computed from a cell's level and row, see
`dagdp.kernels.cuda.plan.diagonals`. The ring has a line for each of the last levels, and beside a level's cells a
fence: numbers of cells that are not there, -inf in the forward pass and ē = 0 in the backward pass. A cell's scores lie
in registers. In the backward pass a cell leaves c - v in the ring, so that each parent reads what it needs there.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any

from dagdp.kernels.cuda.plan.diagonals import BAND, LINES
from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.texts.diagonals.bands import load_band, put_result, store_band, theta_of_cell
from dagdp.kernels.cuda.texts.diagonals.cells import (
    Frame,
    Level,
    cell_of,
    entry_of,
    frame_of,
    further,
    in_ring,
    level_of,
    levels_of_move,
    put_in_ring,
    rows_of_move,
    set_fence,
)
from dagdp.kernels.cuda.texts.entry import tell
from dagdp.kernels.cuda.texts.forward import Row, solve_row
from dagdp.kernels.cuda.texts.names import (
    BACKWARD,
    EXPONENTIAL,
    FIRST,
    INFINITY,
    INTEGER,
    NATURAL,
    ONE,
    REAL,
    REAL_TYPE,
    STAGED,
    WIDE,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.texts.work import Work, batch_item, item_of
from dagdp.kernels.recursion import argument, difference, flow, join, node_value, rejoined
from dagdp.kernels.row_max import weight_at

# ---- Forward


def put_cell(work: Work, frame: Frame, level: Level, row: Any, value: Any) -> None:
    """Store v, as (hi, lo), of a cell."""
    put_in_ring(work, frame, level.number, row, value)
    set_fence(work, frame, level, row, -INFINITY)
    if BACKWARD:
        at = work.item.state + cell_of(level, row)
        work.state.v_hi[at], work.state.v_lo[at] = value


def row_of_cell(omega: Any, work: Work, frame: Frame, level: Level, row: Any, kept: Any) -> Row:
    """The scores of the edges into a cell, without their maximum; -inf for moves that the cell does not have.

    kept : see `dagdp.kernels.cuda.texts.forward.row_of_node`.
    """
    kept_hi, kept_lo = kept
    for d in range(WIDE):
        hi, lo = -INFINITY, ZERO
        if (level.moves >> d) & 1:
            at = in_ring(work, frame, level.number - levels_of_move(d), row - rows_of_move(d))
            hi, lo = work.ring[at], work.ring[further(frame, at, 1)]
        kept_hi[d], kept_lo[d] = hi, lo
    return Row(work, ZERO, ZERO, ZERO, ZERO, ZERO, ONE / omega.gamma, kept_hi, kept_lo)


def solve_cell(omega: Any, work: Work, frame: Frame, level: Level, row: Any) -> None:
    """v of a cell, and what the backward pass reads of it."""
    own = theta_of_cell(work, frame, level, row)
    kept = cuda.local.array(WIDE, REAL_TYPE), cuda.local.array(WIDE, REAL_TYPE)
    solved = solve_row(omega, row_of_cell(omega, work, frame, level, row, kept), WIDE)
    gamma = omega.gamma
    if FIRST:
        gamma = ZERO
    value = node_value(own, solved.row.m_hi, solved.row.m_lo, -solved.shift, solved.kappa, gamma)
    put_cell(work, frame, level, row, value)
    if BACKWARD and not EXPONENTIAL:
        work.state.kappa[work.item.state + cell_of(level, row)] = solved.found if FIRST else solved.kappa


def visit_diagonals(omega: Any, work: Work, frame: Frame) -> Any:
    """Visit the levels up to that of the item's end; returns the number of visited levels."""
    level = level_of(work, frame, 0)
    if work.item.rank == 0:
        put_cell(work, frame, level, level.low, (ZERO, ZERO))
    level = level_of(work, frame, 1)
    meet()
    while level.before + level.low <= frame.end:  # false behind the last level
        if STAGED and (level.number == 1 or level.number & (BAND - 1) == 0):
            load_band(work, frame, level)
            meet()
        row = INTEGER(level.low + work.item.rank)
        while row < level.high:
            solve_cell(omega, work, frame, level, row)
            row = INTEGER(row + work.item.team)
        level = level_of(work, frame, level.number + 1)
        meet()
    return level.number


def hand_back_cell(work: Work, frame: Frame, reached: Any) -> Any:
    """Write the item's value; returns whether the numbers that it read were sound."""
    hi = -INFINITY
    if frame.end >= 0:
        last = level_of(work, frame, reached - 1)
        hi = work.ring[in_ring(work, frame, last.number, frame.end - last.before)]
    return tell(work, hi, ZERO)


# ---- Backward


def fill_levels(work: Work, frame: Frame, first: Any, number: Any) -> None:
    """Give all cells from a level on one result. No thread waits for another."""
    k = first
    while k < frame.levels:
        level = level_of(work, frame, k)
        row = INTEGER(level.low + work.item.rank)
        while row < level.high and k > 0:
            work.arrays.gradient[work.item.gradient + entry_of(frame, level, row)] = number
            row = INTEGER(row + work.item.team)
        k += 1


def clear_ring(work: Work, frame: Frame) -> None:
    """ē = 0 in all lines, and numbers in place of what is not there."""
    k = work.item.rank
    while k < (2 if FIRST else 3 if EXPONENTIAL else 4) * LINES * frame.stride:
        work.ring[NATURAL(work.item.ring + k)] = ZERO
        k += work.item.team


def flow_into(omega: Any, work: Work, frame: Frame, at: Any, d: Any, v: Any) -> Any:
    """The flow of the d-th move from a cell of this v, (hi, lo), into the one that the ring keeps at `at`."""
    if FIRST:
        q, _ = weight_at(omega, argument(omega, ZERO, REAL(d), work.ring[further(frame, at, 1)]))
        return flow(q, work.ring[at])
    v_hi, v_lo = v
    hi, lo = join(work.ring[further(frame, at, 1)], work.ring[further(frame, at, 2)], v_hi)
    y = rejoined(hi, lo, v_lo, ZERO, ONE / omega.gamma)
    if EXPONENTIAL:
        q, _ = weight_at(omega, y + (ONE - omega.corner))  # κ is 1
        return flow(q, work.ring[at])
    q, _ = weight_at(omega, argument(omega, y, ZERO, work.ring[further(frame, at, 3)]))
    return flow(q, work.ring[at])


def put_pull(work: Work, frame: Frame, level: Level, row: Any, bar: Any, v: Any) -> None:
    """Store what a cell's parents read, ē and c - v and κ, and the cell's result."""
    at = in_ring(work, frame, level.number, row)
    cell = work.item.state + cell_of(level, row)
    set_fence(work, frame, level, row, ZERO)
    if FIRST:
        put_in_ring(work, frame, level.number, row, (bar, work.state.kappa[cell]))
    else:
        v_hi, v_lo = v
        hi, lo = difference(theta_of_cell(work, frame, level, row), v_hi)
        put_in_ring(work, frame, level.number, row, (bar, hi))
        work.ring[further(frame, at, 2)] = lo - v_lo
        if not EXPONENTIAL:
            work.ring[further(frame, at, 3)] = work.state.kappa[cell]
    put_result(work, frame, level, row, bar)


def pull_cell(omega: Any, work: Work, frame: Frame, level: Level, row: Any) -> None:
    """ē of a cell from those of its children."""
    cell = cell_of(level, row)
    v_hi, v_lo = work.state.v_hi[work.item.state + cell], work.state.v_lo[work.item.state + cell]
    bar = ONE if cell == frame.end and v_hi > -INFINITY else ZERO  # no path at all: every result is 0
    for d in range(WIDE):
        if (level.moves >> (8 + d)) & 1:
            at = in_ring(work, frame, level.number + levels_of_move(d), row + rows_of_move(d))
            bar += flow_into(omega, work, frame, at, d, (v_hi, v_lo))
    if level.number > 0:
        put_pull(work, frame, level, row, bar, (v_hi, v_lo))


def pull_diagonals(omega: Any, work: Work, frame: Frame, reached: Any) -> None:
    """The gradient of an item whose first `reached` levels were visited by the forward pass."""
    fill_levels(work, frame, reached, ZERO)
    clear_ring(work, frame)
    level = level_of(work, frame, reached - 1)
    if STAGED:
        load_band(work, frame, level)
    meet()
    while level.number > 0:
        row = INTEGER(level.low + work.item.rank)
        while row < level.high:
            pull_cell(omega, work, frame, level, row)
            row = INTEGER(row + work.item.team)
        done = level
        level = level_of(work, frame, level.number - 1)
        meet()
        if STAGED and (level.number == 0 or done.number & (BAND - 1) == 0):
            store_band(work, frame, done, reached)
            if level.number > 0:
                load_band(work, frame, level)
            meet()


def sweep_diagonals(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """One item for each team of threads."""
    batch = batch_item()
    if batch >= call.batch:
        return
    ring = cuda.shared.array(0, REAL_TYPE)
    work = Work(call, arrays, state, item_of(batch, 0, call, arrays), ring)
    frame = frame_of(work)
    reached = visit_diagonals(omega, work, frame)
    sound = hand_back_cell(work, frame, reached)
    if BACKWARD:
        meet()
        if sound:
            pull_diagonals(omega, work, frame, reached)
        else:
            fill_levels(work, frame, 0, INFINITY - INFINITY)
