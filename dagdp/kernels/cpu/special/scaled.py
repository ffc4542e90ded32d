"""Scaled values: node-weighted graphs under the closed form, with one exponential a node instead of one an edge.

Where all edges into a node share their potentials (a DTW grid), the closed form needs no exponential on edges and no
logarithm. A node keeps e^{v/γ} = m·2^k as (k, m), k in the array of v_hi and m in that of v_lo. With the shared
potential c,

    S = Σ_j m_j 2^(k_j - top),  top = max k_j        m·2^k = e^{c/γ} S·2^top        q_ij = m_j 2^(k_j - top) / S

`local_weights` needs top and 1/S. They are stored in the arrays that otherwise hold c and κ. The backward pass
(push.py) recomputes them. Multiplication by a power of two is exact, so m alone is rounded, by a part in 2^24 a step
for any v. k is a whole number in the kernel's dtype. Where one leaves the range of exact numbers (|v|/γ beyond 1.4e6 in
float32), the block of samples is computed again by a kernel that keeps v as v_hi + v_lo. That kernel is compiled when
it is needed.

A level of a grid is one stretch of contiguous rows: their parents' rows rise with them. Such rows need no list of
addresses and no later phase, and the processor overlaps several of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.cursor import MOVES, Cursor, at_node, fan_in_at, rows_of_moves
from dagdp.kernels.cpu.edge_rows import Operand, Tangents
from dagdp.kernels.cpu.memory import LARGEST, PARENT_ROWS, address_list
from dagdp.kernels.cpu.operands import next_rows
from dagdp.kernels.cpu.records import Block, Floats, Indices, Placement, Row, State, Target, Workspace
from dagdp.kernels.cpu.rows import store_lanes
from dagdp.kernels.recursion import anchor
from dagdp.kernels.row_max import tangents
from dagdp.lanes.exp_log import LOG2E_8, MAGIC_4, MAGIC_8, log_of_mass, two_to
from dagdp.lanes.reductions import any_lane
from dagdp.lanes.rows import add_exponent, first_lanes, fma, load, select, splat, split_exponent, store
from dagdp.lanes.views import get, offset_view, view, width

WIDEST_4, WIDEST_8 = 2.0**21, 2.0**50  # half of the range of `two_to`, so that the sum of two is exact
LOWEST_4, LOWEST_8 = -125.0, -1021.0  # m·2^LOWEST is a normal number


@inlined
def highest(k: Floats, xs: Indices, depth: int) -> Row:
    """top = max k of the parents; -inf where none is reached."""
    top = load(k, get(xs, 0))
    for d in range(1, depth):
        exponent = load(k, get(xs, d))
        top = select(exponent > top, exponent, top)
    return top


@inlined
def lowered(k: Row, m: Row, top: Row, like: Floats) -> Row:
    """m·2^(k - top) for k <= top; 0 where that is no normal number, and where k and top are infinite."""
    dtype = like.dtype.type
    single = width(like) == 16
    down = k - top
    power = add_exponent(m, down + (dtype(MAGIC_4) if single else dtype(MAGIC_8)))
    return select(down >= (dtype(LOWEST_4) if single else dtype(LOWEST_8)), power, dtype(0))


@inlined
def sum_of_scaled(k: Floats, m: Floats, xs: Indices, depth: int, top: Row, y: Floats) -> Row:
    """S, and its terms in y if y has memory for more than one row."""
    row = width(k)
    total = splat(k, 0)
    for d in range(depth):
        at = get(xs, d)
        power = lowered(load(k, at), load(m, at), top, k)
        if y.shape[0] > row:
            store(y, d * row, power)
        total = total + power
    return total


@inlined
def node_of_scaled(c: Row, top: Row, total: Row, gamma: Any, like: Floats) -> Any:
    """(k, m, reached): m·2^k = e^{c/γ}·S·2^top, and k as it would be if a path reached the node.

    k is -inf where no path comes, and +inf where an entry out of range reaches. m has no meaning if c is not finite.
    """
    dtype = like.dtype.type
    n, p = two_to(c, dtype(LOG2E_8) / gamma)
    j, m = split_exponent(total * p)
    up, base, finite = n + j, anchor(top), c - c == dtype(0)
    other = select(top + c > dtype(-np.inf), dtype(np.inf), dtype(-np.inf))
    return select(finite, top + up, other), m, select(finite, base + up, base)


@inlined
def widest(before: Row, k: Row, count: int, like: Floats) -> Row:
    """The larger of `before` and |k|, for the first `count` lanes."""
    size = abs(k if count == width(like) else first_lanes(k, count))
    return select(size > before, size, before)


@inlined
def out_of_range(work: Workspace) -> bool:
    """True where some k of the block is beyond the range of exact numbers."""
    results = work.row_results
    dtype, row = results.dtype.type, width(results)
    largest = load(results, LARGEST * row)
    return any_lane(largest > (dtype(WIDEST_4) if row == 16 else dtype(WIDEST_8)))


@inlined
def scaled_weight(state: State, parent: int, child: int) -> Row:
    """q of a row of edges from scaled values, after a pass that stored top and 1/S; 0 where no path comes."""
    k, m = state.v_hi, state.v_lo
    return lowered(load(k, parent), load(m, parent), load(state.node_potentials, child), k) * load(state.kappa, child)


@inlined
def value_of_scaled(omega: Any, k: Row, m: Row, like: Floats) -> Row:
    """v = γ log(m·2^k)."""
    dtype = like.dtype.type
    rate = dtype(LOG2E_8) / omega.gamma
    unit = dtype(1) / rate  # γ log 2; `rest` has what its rounding left out of the rate that multiplied the potentials
    v = k * unit
    rest = fma(k, unit, -v) + k * (fma(splat(like, -rate), unit, dtype(1)) * unit) + log_of_mass(m) * omega.gamma
    return select(k > dtype(-np.inf), v + rest, dtype(-np.inf))


@inlined
def store_scaled(omega: Any, target: Target, state: State, top: Row, total: Row, wanted: bool) -> Any:
    """Store e^v of a row as (k, m), and 1/S and top where the state has memory for them; return (1/S, k).

    The first result is S itself where 1/S is neither stored nor wanted.
    """
    k, m, share, own = state.v_hi, state.v_lo, state.kappa, state.node_potentials
    dtype = k.dtype.type
    hi, lo, reached = node_of_scaled(load(own, target.own_at), top, total, omega.gamma, k)
    store_lanes(k, target.at, hi, target.count)
    store_lanes(m, target.at, lo, target.count)
    turn = total
    if share.shape[0] > 0 or wanted:
        turn = select(total > dtype(0), dtype(1) / total, dtype(0))
    if share.shape[0] > 0:
        store_lanes(share, target.at, turn, target.count)
        store_lanes(own, target.own_at, anchor(top), target.count)
    return turn, reached


@inlined
def scaled_rows(
    omega: Any, depth: int, placed: Placement, target: Target, state: State, work: Workspace, y: Floats, wanted: bool
) -> None:
    """e^v and v̇ of the placed rows, the first of which goes to `target`; target.count lanes of all rows count."""
    k, m, results = state.v_hi, state.v_lo, work.row_results
    row = width(k)
    size = load(results, LARGEST * row)
    for r in range(placed.rows):
        skip, done = r * placed.shift, r * row
        own = Target(target.at + done, target.own_at + done, min(row, target.count - done))
        at = view(address_list(work, PARENT_ROWS), r * placed.jump, depth)
        top = highest(offset_view(k, skip), at, depth)
        total = sum_of_scaled(offset_view(k, skip), offset_view(m, skip), at, depth, top, y)
        turn, reached = store_scaled(omega, own, state, top, total, wanted)
        size = widest(size, reached, own.count, k)
        if state.v_dot is not None:
            start = splat(k, 0)
            if state.node_directions is not None:
                start = load(state.node_directions, own.own_at)
            own_tangents = Tangents(y, Operand(offset_view(state.v_dot, skip), at), None, None)
            slope, _ = tangents(omega, own_tangents, depth, turn, start)
            store_lanes(state.v_dot, own.at, slope, own.count)
    store(results, LARGEST * row, size)


@inlined
def visit_scaled(omega: Any, incoming: Any, block: Block, cursor: Cursor, state: State, work: Workspace) -> None:
    """e^v of the cursor's nodes."""
    y, lanes, row = work.y, block.lanes, width(state.v_hi)
    wanted = y.shape[0] > row
    while cursor.node < cursor.last:
        cursor = fan_in_at(incoming, cursor)
        most = cursor.last - cursor.node
        placed = next_rows(incoming, block, cursor, most, work.spare, state, work)
        lanes_left = placed.rows * row if block.lanes_are_samples is not None else placed.nodes
        target = Target((cursor.home + cursor.node) * lanes, cursor.node * lanes, lanes_left)
        if cursor.depth == MOVES:
            scaled_rows(omega, MOVES, placed, target, state, work, rows_of_moves(y), wanted)
        else:
            scaled_rows(omega, cursor.depth, placed, target, state, work, y, wanted)
        cursor = at_node(cursor, cursor.node + placed.nodes)
