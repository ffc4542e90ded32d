"""The backward pass of the closed form on graphs without potentials on edges, for rows of samples: it pushes.

A node's weights hang on its parents' v alone, so they are made anew, all at once, where its ē is handed out: nothing
but v is kept of a node, and ē of a band of levels and of those from which edges lead into it. (The pass that pulls
finds one end of an edge at a time, and asks for S, or κ, of the other.) Levels and nodes are taken in order and a block
of samples belongs to one thread, so bits depend on nothing.
"""

from __future__ import annotations

from typing import Any

from dagdp.kernels.backward import seed
from dagdp.kernels.exchange import Batch, Source, last_at_most
from dagdp.kernels.forward import MOVES, solve_rows
from dagdp.kernels.hoisted import write_hoisted
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.lanes import load, row_of, select, store
from dagdp.kernels.places import place_samples
from dagdp.kernels.recursion import centre
from dagdp.kernels.rows import add_to, fill
from dagdp.kernels.slots import BARE_TOGETHER, DESK, rows_at_once
from dagdp.kernels.vectors import FAR, expect_row, part, pick, row_length

LEVELS_BELOW = 3  # a node's parents lie one or two levels below, those of the next level one more


@inlined
def push_row(omega: Any, depth: int, child: int, buffers: Any, r: int, bar: Any) -> None:
    """e = q ē of the edges into the r-th row, which lies at `child`, added to the parents' ē."""
    places, _, _, y, desk = buffers
    whole, zero = row_length(bar), bar.dtype.type(0)
    above, total = load(bar, child), load(desk, (DESK * r + 2) * whole)
    alpha = select(above == zero, zero, above / total)
    for d in range(depth):
        add_to(bar, pick(places.numbers, r * depth + d), load(y, (r * depth + d) * whole) * alpha)


@inlined
def push_tangent(omega: Any, depth: int, child: int, buffers: Any, r: int, bar: Any, v_dot: Any, bar_dot: Any) -> None:
    """ė = q̇ ē + q ē̇ likewise, with q̇ = q (ẋ - c)/γ and c the mean of ẋ under q."""
    places, _, _, y, desk = buffers
    whole, zero = row_length(bar), bar.dtype.type(0)
    above, above_dot, total = load(bar, child), load(bar_dot, child), load(desk, (DESK * r + 2) * whole)
    mean = row_of(bar, 0)
    for d in range(depth):
        mean = mean + load(y, (r * depth + d) * whole) * load(v_dot, pick(places.numbers, r * depth + d))
    mean = centre(mean, total)
    alpha = above / total * (bar.dtype.type(1) / omega.gamma)
    beta = select(above_dot == zero, zero, above_dot / total)
    for d in range(depth):
        parent, share = pick(places.numbers, r * depth + d), load(y, (r * depth + d) * whole)
        bent = select(above == zero, zero, alpha * (load(v_dot, parent) - mean))
        add_to(bar_dot, parent, share * (bent + beta))


@inlined
def expect_below(state: Any, first: int, rows: int) -> None:
    """Ask for rows of some levels further down, if the state is large: no processor guesses that memory is gone
    through downwards, but upwards within levels. 32 x 512 x 512, value and gradient: 37 -> 32 ms, in float64 65 -> 53.
    """
    if state[0].shape[0] > FAR and first > 0:
        for at in range(first, first + rows * row_length(state[0]), row_length(state[0])):
            expect_row(state[0], at)
            expect_row(state[1], at)


@inlined
def push_rows(
    omega: Any, powers: bool, depth: int, first: int, rows: int, state: Any, bar: Any, bar_dot: Any, buffers: Any
) -> None:
    """The flows into some rows, the first of which lies at `first`."""
    solve_rows(omega, powers, depth, rows, state, buffers, 0)
    for r in range(rows):
        child = first + r * row_length(bar)
        if bar_dot is not None:
            push_tangent(omega, depth, child, buffers, r, bar, state[3], bar_dot)
        push_row(omega, depth, child, buffers, r, bar)


@inlined
def push_level(
    omega: Any, incoming: Any, powers: bool, level: int, state: Any, bar: Any, bar_dot: Any, buffers: Any
) -> None:
    """The flows into a level, a few rows at a time."""
    places, v_hi = buffers[0], state[0]
    whole, most = row_length(v_hi), rows_at_once(places)
    run, at = part(places.numbers, 3 * most, most), part(places.numbers, 0, most)
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    slot, depth = pick(incoming.slots, level), pick(incoming.slots, level + 1) - pick(incoming.slots, level)
    for d in range(depth):
        run[d] = pick(incoming.slot_runs, slot + d)
    room = min(BARE_TOGETHER, most // depth)
    node = n0
    while node < n1:
        i = node - n0
        while pick(incoming.width, slot + depth - 1) <= i:
            depth -= 1
            room = min(BARE_TOGETHER, most // depth)
        rows = min(n1 - node, pick(incoming.width, slot + depth - 1) - i, room)
        place_samples(incoming, run, slot, depth, i, rows, state, at)
        expect_below(state, (node - LEVELS_BELOW * (n1 - n0)) * whole, rows)
        if depth == MOVES:
            push_rows(omega, powers, MOVES, node * whole, rows, state, bar, bar_dot, buffers)
        else:
            push_rows(omega, powers, depth, node * whole, rows, state, bar, bar_dot, buffers)
        node += rows


@inner
def window_nodes(incoming: Any, hoisted: Any) -> int:
    """The nodes, at most, of a band and of the levels from which edges lead into it."""
    most = 0
    for band in range(hoisted.floor.shape[0]):
        most = max(most, pick(incoming.levels, pick(hoisted.levels, band + 1)) - pick(hoisted.floor, band))
    return most


@inner
def slide(rows: Any, floor: int, before: int, last: int) -> None:
    """What were the rows of nodes [before, last) become those of [floor, last), 0 at the new ones."""
    whole = row_length(rows)
    for node in range(last - 1, before - 1, -1):
        store(rows, (node - floor) * whole, load(rows, (node - before) * whole))
    fill(rows, 0, (before - floor) * whole, 0)


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
        slide(rows, floor, before, last)
        skip = floor * row_length(rows)
        bar = part(rows, -skip, rows.shape[0] + skip)
        seed(bar, floor, before, batch, b0, ends, state[0], weights)
        if along is not None:
            slide(along.bar_dot, floor, before, last)
        bar_dot = None if along is None else part(along.bar_dot, -skip, rows.shape[0] + skip)
        before = floor
        for level in range(newest - 1, max(1, pick(hoisted.levels, band)) - 1, -1):
            push_level(omega, incoming, batch.powers, level, state, bar, bar_dot, buffers)
        if state[5] is not None:
            write_hoisted(out, square, theta, hoisted, band, batch, b0, bar if along is None else bar_dot, buffers[0])
