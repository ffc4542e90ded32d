"""The backward pass of the closed form on graphs without potentials on edges: it pushes.

A node's weights hang on its parents' v alone, so they are made anew, all at once, where its ē is handed out: nothing
but v is kept of a node, and ē of a band of levels and of those from which edges lead into it. (The pass that pulls
finds one end of an edge at a time, and asks for S, or κ, of the other.) Of rows of samples, levels and nodes are taken
in order and a block of samples belongs to one thread, so bits depend on nothing; how one sample's levels are left says
slotwise.py.
"""

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.backward import seed
from dagdp.kernels.cpu.cursor import BARE_TOGETHER, DESK, MOVES, rows_at_once, rows_of_moves
from dagdp.kernels.cpu.forward import solve_rows
from dagdp.kernels.cpu.operands import place_stretch
from dagdp.kernels.cpu.packing.entries import Batch, Source, last_at_most, put
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.rows import add_to, fill
from dagdp.kernels.cpu.special.push_one_sample import leave_level
from dagdp.kernels.cpu.special.scaled import highest, sum_powers
from dagdp.kernels.recursion import centre
from dagdp.lanes.rows import load, row_of, select, store
from dagdp.lanes.views import FAR, behind, expect_row, part, pick, row_length

LEVELS_BELOW = 3  # a node's parents lie one or two levels below, those of the next level one more


@inlined
def push_row(depth: int, at: Any, y: Any, total: Any, above: Any, bar: Any) -> None:
    """e = q ē of the edges into a row, whose ē is `above`, added to the ē of the parents at `at`."""
    alpha = select(above == row_of(bar, 0), row_of(bar, 0), above / total)
    for d in range(depth):
        add_to(bar, pick(at, d), load(y, d * row_length(bar)) * alpha)


@inlined
def push_tangent(
    omega: Any, depth: int, at: Any, y: Any, total: Any, above: Any, above_dot: Any, v_dot: Any, bar_dot: Any
) -> None:
    """ė = q̇ ē + q ē̇ likewise, with q̇ = q (ẋ - c)/γ and c the mean of ẋ under q."""
    whole, zero = row_length(v_dot), v_dot.dtype.type(0)
    mean = row_of(v_dot, 0)
    for d in range(depth):
        mean = mean + load(y, d * whole) * load(v_dot, pick(at, d))
    mean = centre(mean, total)
    alpha = above / total * (v_dot.dtype.type(1) / omega.gamma)
    beta = select(above_dot == zero, zero, above_dot / total)
    for d in range(depth):
        share = load(y, d * whole)
        bent = select(above == zero, zero, alpha * (load(v_dot, pick(at, d)) - mean))
        add_to(bar_dot, pick(at, d), share * (bent + beta))


@inlined
def expect_below(state: Any, at: int) -> None:
    """Ask for a row of a level further down, if the state is large: no processor guesses that memory is gone through
    downwards, but upwards within levels. 32 x 512 x 512, value and gradient: 37 -> 32 ms, in float64 65 -> 53.
    """
    if state[0].shape[0] > FAR and at > 0:
        expect_row(state[0], at)
        expect_row(state[1], at)


@inlined
def push_rows(
    omega: Any, depth: int, first: int, stretch: Any, state: Any, bar: Any, bar_dot: Any, buffers: Any, down: int
) -> None:
    """The flows into the rows that `place_stretch` placed, the first of which lies at `first`, by v in two parts."""
    rows, jump, shift = stretch
    solve_rows(omega, depth, rows, (jump, shift), state, buffers, 0)
    places, _, _, y, desk, _ = buffers
    whole = row_length(bar)
    for r in range(rows):
        child, skip, v_at = first + r * whole, r * shift, part(places, r * jump, depth)
        expect_below(state, child - down)
        total, own_y = load(desk, (DESK * r + 2) * whole), behind(y, r * depth * whole)
        if bar_dot is not None:
            above_dot = load(bar_dot, child)
            v_dot, below = behind(state[3], skip), behind(bar_dot, skip)
            push_tangent(omega, depth, v_at, own_y, total, load(bar, child), above_dot, v_dot, below)
        push_row(depth, v_at, own_y, total, load(bar, child), behind(bar, skip))


@inlined
def push_stretch(
    omega: Any, depth: int, first: int, stretch: Any, state: Any, bar: Any, bar_dot: Any, numbers: Any, y: Any,
    down: int,
) -> None:  # fmt: skip
    """The same in powers of two."""
    rows, jump, shift = stretch
    whole = row_length(bar)
    for r in range(rows):
        child, skip, v_at = first + r * whole, r * shift, part(numbers, r * jump, depth)
        expect_below(state, child - down)
        k = behind(state[0], skip)
        total = sum_powers(k, behind(state[1], skip), v_at, depth, highest(k, v_at, depth), y)
        above = load(bar, child)
        if bar_dot is not None:
            above_dot, v_dot = load(bar_dot, child), behind(state[3], skip)
            push_tangent(omega, depth, v_at, y, total, above, above_dot, v_dot, behind(bar_dot, skip))
        push_row(depth, v_at, y, total, above, behind(bar, skip))


@inlined
def push_level(
    omega: Any, incoming: Any, batch: Batch, level: int, state: Any, bar: Any, bar_dot: Any, buffers: Any
) -> None:
    """The flows into a level, some rows at a time."""
    places, v_hi = buffers[0], state[0]
    whole, most = row_length(v_hi), rows_at_once(places)
    run, at = part(places, 3 * most, most), part(places, 0, most)
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    slot, depth = pick(incoming.slots, level), pick(incoming.slots, level + 1) - pick(incoming.slots, level)
    for d in range(depth):
        run[d] = pick(incoming.slot_runs, slot + d)
    node, down = n0, LEVELS_BELOW * (n1 - n0) * whole
    while node < n1:
        i = node - n0
        while pick(incoming.width, slot + depth - 1) <= i:
            depth -= 1
        room = n1 - node if batch.powers is not None else min(BARE_TOGETHER, most // depth)
        nodes, rows, jump, shift = place_stretch(incoming, batch, run, slot, depth, node, i, n1, room, 0, state, at)
        stretch = rows, jump, shift
        if batch.powers is None:
            push_rows(omega, depth, node * whole, stretch, state, bar, bar_dot, buffers, down)
        elif depth == MOVES:
            own_y = rows_of_moves(bar)
            push_stretch(omega, MOVES, node * whole, stretch, state, bar, bar_dot, at, own_y, down)
        else:
            push_stretch(omega, depth, node * whole, stretch, state, bar, bar_dot, at, buffers[3], down)
        node += nodes


@inner
def window_nodes(incoming: Any, hoisted: Any) -> int:
    """The nodes, at most, of a band and of the levels from which edges lead into it."""
    most = 0
    for band in range(hoisted.floor.shape[0]):
        most = max(most, pick(incoming.levels, pick(hoisted.levels, band + 1)) - pick(hoisted.floor, band))
    return most


@inner
def slide(rows: Any, shift: int, count: int) -> None:
    """The first `count` numbers move up by `shift`, and 0 takes their place."""
    whole = row_length(rows)
    at = count
    while at >= whole:
        at -= whole
        store(rows, at + shift, load(rows, at))
    put(rows, shift, load(rows, 0), at)
    fill(rows, 0, shift - shift % whole, 0)
    put(rows, shift - shift % whole, row_of(rows, 0), shift % whole)


@inlined
def enter_band(
    batch: Batch, b0: int, ends: Any, weights: Any, state: Any, rows: Any, along: Any, floor: int, before: int,
    last: int,
) -> None:  # fmt: skip
    """ē of nodes [before, last) becomes that of [floor, last): 0, or 1 where a sample ends, at those that join."""
    shift, count = (before - floor) * batch.lanes, (last - before) * batch.lanes
    slide(rows, shift, count)
    seed(behind(rows, -floor * batch.lanes), floor, before, batch, b0, ends, state[0], weights)
    if along is not None:
        slide(along.bar_dot, shift, count)


@inner
def backward_bare(
    omega: Any, incoming: Any, hoisted: Any, batch: Batch, b0: int, top: int, ends: Any, weights: Any, theta: Source,
    state: Any, rows: Any, out: Any, buffers: Any, square: Any, along: Any,
) -> None:  # fmt: skip
    """E (Algorithm 1), and with `along` Ė (Algorithm 2). `rows` and `along.bar_dot` have room for `window_nodes`."""
    newest_band = last_at_most(hoisted.levels, top)
    before = pick(incoming.levels, pick(hoisted.levels, newest_band + 1))
    for band in range(newest_band, -1, -1):
        newest = min(top + 1, pick(hoisted.levels, band + 1))
        floor, last = pick(hoisted.floor, band), pick(incoming.levels, pick(hoisted.levels, band + 1))
        enter_band(batch, b0, ends, weights, state, rows, along, floor, before, last)
        before, skip = floor, floor * batch.lanes
        bar = behind(rows, -skip)
        bar_dot = None if along is None else behind(along.bar_dot, -skip)
        for level in range(newest - 1, max(1, pick(hoisted.levels, band)) - 1, -1):
            if batch.together is not None:
                push_level(omega, incoming, batch, level, state, bar, bar_dot, buffers)
            else:
                leave_level(omega, incoming, batch, level, state, bar, bar_dot, buffers)
        if state[5] is not None:
            write_hoisted(out, square, theta, hoisted, band, batch, b0, bar if along is None else bar_dot)
