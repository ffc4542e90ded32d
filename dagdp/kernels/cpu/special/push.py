"""The backward pass that pushes, for the closed form on node-weighted graphs.

A node's weights follow from its parents' v alone, so they are recomputed, all at once, where ē of the node is
distributed. The state therefore has nothing but v of each node, and ē of a band of levels and of the levels from which
edges lead into the band. (The pass that pulls meets one end of an edge at a time, and needs S, or κ, of the other.) For
rows of samples, levels and nodes are visited in order and one thread has a block of samples, so bits are fixed. One
sample alone: push_one_sample.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.adjoints import seed
from dagdp.kernels.cpu.cursor import (
    MOVES,
    Cursor,
    at_node,
    enter_level,
    fan_in_at,
    most_in_work,
    rows_of_moves,
    with_depth,
)
from dagdp.kernels.cpu.memory import FOUND, PARENT_ROWS, address_list, result_at
from dagdp.kernels.cpu.node_rows import solve_rows
from dagdp.kernels.cpu.operands import next_rows
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.progressions import last_at_most
from dagdp.kernels.cpu.records import (
    Adjoint,
    Arrays,
    Block,
    Floats,
    Graph,
    Indices,
    Placement,
    Row,
    State,
    Terminals,
    Workspace,
)
from dagdp.kernels.cpu.rows import add_to, fill, store_lanes
from dagdp.kernels.cpu.special.push_one_sample import push_level_of_one_sample
from dagdp.kernels.cpu.special.scaled import highest, sum_of_scaled
from dagdp.kernels.recursion import centre
from dagdp.lanes.prefetch import FAR, prefetch_row
from dagdp.lanes.rows import load, select, splat, store
from dagdp.lanes.views import get, offset_view, view, width

LEVELS_BELOW = 3  # a node's parents lie one or two levels below, those of the next level one level further


class Window(NamedTuple):
    """The nodes whose ē is in memory: [floor, last). Before this band they were [before, ...)."""

    floor: int
    before: int
    last: int


@inlined
def push_row(depth: int, at: Indices, y: Floats, total: Row, above: Row, bar: Floats) -> None:
    """Add e = q ē of the edges into a row, whose ē is `above`, to ē of the parents at `at`; q = y / total."""
    alpha = select(above == splat(bar, 0), splat(bar, 0), above / total)
    for d in range(depth):
        add_to(bar, get(at, d), load(y, d * width(bar)) * alpha)


@inlined
def push_tangent(
    omega: Any, depth: int, at: Indices, y: Floats, total: Row, above: Adjoint, v_dot: Floats, bar_dot: Floats
) -> None:
    """Add ė = q̇ ē + q ē̇ of the edges into a row to ē̇ of its parents.

    q̇ = q (ẋ - c)/γ, with c the mean of ẋ under q. above : the row's ē and ē̇.
    """
    row, zero = width(v_dot), v_dot.dtype.type(0)
    mean = splat(v_dot, 0)
    for d in range(depth):
        mean = mean + load(y, d * row) * load(v_dot, get(at, d))
    mean = centre(mean, total)
    alpha = above.bar / total * (v_dot.dtype.type(1) / omega.gamma)
    beta = select(above.bar_dot == zero, zero, above.bar_dot / total)
    for d in range(depth):
        share = load(y, d * row)
        bent = select(above.bar == zero, zero, alpha * (load(v_dot, get(at, d)) - mean))
        add_to(bar_dot, get(at, d), share * (bent + beta))


@inlined
def prefetch_below(state: State, at: int) -> None:
    """Prefetch a row of v of a level further down, if the state is large.

    Memory is read downwards by levels and upwards within a level, which processors do not foresee. 32 x 512 x 512,
    value and gradient: 37 -> 32 ms, in float64 65 -> 53 ms.
    """
    if state.v_hi.shape[0] > FAR and at > 0:
        prefetch_row(state.v_hi, at)
        prefetch_row(state.v_lo, at)


@inlined
def elements_below(cursor: Cursor, row: int) -> int:
    """How far below a row of the cursor's level its parents' parents lie, in elements."""
    return LEVELS_BELOW * (cursor.last - cursor.first) * row


@inlined
def push_values(omega: Any, cursor: Cursor, placed: Placement, state: State, adjoint: Adjoint, work: Workspace) -> None:
    """Push from the placed rows of the cursor, with v kept as v_hi + v_lo."""
    solve_rows(omega, cursor.depth, placed, state, work)
    bar, bar_dot, depth, row = adjoint.bar, adjoint.bar_dot, cursor.depth, width(adjoint.bar)
    down = elements_below(cursor, row)
    for r in range(placed.rows):
        child, skip = (cursor.node + r) * row, r * placed.shift
        at = view(address_list(work, PARENT_ROWS), r * placed.jump, depth)
        prefetch_below(state, child - down)
        total = load(work.row_results, result_at(work.row_results, r, FOUND))
        y = offset_view(work.y, r * depth * row)
        if bar_dot is not None:
            above = Adjoint(load(bar, child), load(bar_dot, child))
            push_tangent(omega, depth, at, y, total, above, offset_view(state.v_dot, skip), offset_view(bar_dot, skip))
        push_row(depth, at, y, total, load(bar, child), offset_view(bar, skip))


@inlined
def push_scaled(
    omega: Any, cursor: Cursor, placed: Placement, state: State, adjoint: Adjoint, work: Workspace, y: Floats
) -> None:
    """Push from the placed rows of the cursor, with v kept as m·2^k; y : memory for the terms of S."""
    bar, bar_dot, depth, row = adjoint.bar, adjoint.bar_dot, cursor.depth, width(adjoint.bar)
    down = elements_below(cursor, row)
    for r in range(placed.rows):
        child, skip = (cursor.node + r) * row, r * placed.shift
        at = view(address_list(work, PARENT_ROWS), r * placed.jump, depth)
        prefetch_below(state, child - down)
        k = offset_view(state.v_hi, skip)
        total = sum_of_scaled(k, offset_view(state.v_lo, skip), at, depth, highest(k, at, depth), y)
        above = load(bar, child)
        if bar_dot is not None:
            both = Adjoint(above, load(bar_dot, child))
            push_tangent(omega, depth, at, y, total, both, offset_view(state.v_dot, skip), offset_view(bar_dot, skip))
        push_row(depth, at, y, total, above, offset_view(bar, skip))


@inlined
def push_level(
    omega: Any, incoming: Any, block: Block, level: int, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """The flows into a level, some rows at a time."""
    cursor = enter_level(incoming, work, level, get(incoming.levels, level))
    while cursor.node < cursor.last:
        cursor = fan_in_at(incoming, cursor)
        most = cursor.last - cursor.node
        if block.scaled is None:
            most = most_in_work(incoming, block, work, cursor.depth)
        placed = next_rows(incoming, block, cursor, most, 0, state, work)
        if block.scaled is None:
            push_values(omega, cursor, placed, state, adjoint, work)
        elif cursor.depth == MOVES:
            y = rows_of_moves(adjoint.bar)
            push_scaled(omega, with_depth(cursor, MOVES), placed, state, adjoint, work, y)
        else:
            push_scaled(omega, cursor, placed, state, adjoint, work, work.y)
        cursor = at_node(cursor, cursor.node + placed.nodes)


@inner
def slide(rows: Floats, shift: int, count: int) -> None:
    """Move the first `count` elements up by `shift`, and fill their places with 0."""
    row = width(rows)
    at = count
    while at >= row:
        at -= row
        store(rows, at + shift, load(rows, at))
    store_lanes(rows, shift, load(rows, 0), at)
    fill(rows, 0, shift - shift % row, 0)
    store_lanes(rows, shift - shift % row, splat(rows, 0), shift % row)


@inlined
def enter_band(block: Block, terminals: Terminals, state: State, adjoint: Adjoint, window: Window) -> None:
    """ē of nodes [before, last) becomes that of [floor, last): seeds, or 0, at the nodes that join."""
    lanes = block.lanes
    shift, count = (window.before - window.floor) * lanes, (window.last - window.before) * lanes
    slide(adjoint.bar, shift, count)
    bar = offset_view(adjoint.bar, -window.floor * lanes)
    seed(bar, window.floor, window.before, block, terminals, state.v_hi)
    if adjoint.bar_dot is not None:
        slide(adjoint.bar_dot, shift, count)


@inlined
def from_floor(array: Any, offset: int) -> Any:
    """An array whose first element belongs to the window's first node, as one whose first belongs to node 0."""
    if array is None:
        return None
    return offset_view(array, -offset)


@inner
def backward_push(
    omega: Any, graph: Graph, block: Block, top: int, terminals: Terminals, arrays: Arrays, state: State,
    adjoint: Adjoint, work: Workspace,
) -> None:  # fmt: skip
    """E (Algorithm 1), and with a direction Ė (Algorithm 2). `adjoint` has memory for the nodes of a window."""
    incoming, hoisted = graph.incoming, graph.hoisted
    newest_band = last_at_most(hoisted.levels, top)
    before = get(incoming.levels, get(hoisted.levels, newest_band + 1))
    for band in range(newest_band, -1, -1):
        newest = min(top + 1, get(hoisted.levels, band + 1))
        floor, last = get(hoisted.floor, band), get(incoming.levels, get(hoisted.levels, band + 1))
        enter_band(block, terminals, state, adjoint, Window(floor, before, last))
        before, offset = floor, floor * block.lanes
        here = Adjoint(from_floor(adjoint.bar, offset), from_floor(adjoint.bar_dot, offset))
        for level in range(newest - 1, max(1, get(hoisted.levels, band)) - 1, -1):
            if block.lanes_are_samples is not None:
                push_level(omega, incoming, block, level, state, here, work)
            else:
                push_level_of_one_sample(omega, incoming, block, level, state, here, work)
        if state.node_potentials is not None:
            bar = here.bar if adjoint.bar_dot is None else here.bar_dot
            write_hoisted(arrays.gradient, work.tile, arrays.theta, hoisted, band, block, bar)
