"""The forward pass over incoming edges: v and κ at every node, and the tangents v̇ and c.

A level is visited row by row: one node's samples, or neighbouring nodes of one sample. The d-th edges of a row's
nodes make a row of x; it lies where their parents' v is a row already, and is put together behind the state
(`spare`) where it is not, or where the edges have potentials of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels.exchange import Batch, Source, last_at_most, put, read_direct, read_edges, write_edges
from dagdp.kernels.hoisted import read_hoisted
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.kept import keep_direct, keep_row
from dagdp.kernels.lanes import first_lanes, first_lanes_or, load, row_of, store
from dagdp.kernels.operator import first_only
from dagdp.kernels.recursion import anchor, centre, enter, node_value
from dagdp.kernels.rows import fill, number
from dagdp.kernels.slots import directly, edges_before, expect_parents, left_of_run, parents_of, run_at
from dagdp.kernels.solve import maximum, row_weight, solve
from dagdp.kernels.tied import visit_tied
from dagdp.kernels.vectors import gather_vector, part, pick, row_length
from dagdp.progressions import LISTED


@inlined
def gather_parents(
    incoming: Any, run: Any, d: int, e: int, parents: Any, here: int, count: int, state: Any, at: int
) -> None:
    """A row of v, and of v̇, from one sample's nodes: `here` edges of one run follow its rule; -inf beyond `count`."""
    v_hi, v_lo, _, v_dot, _, _, _ = state
    if parents[2] == LISTED and here >= count:
        listed, first = parents[0], parents[1]
        store(v_hi, at, gather_vector(v_hi, listed, first, 0, count))
        store(v_lo, at, gather_vector(v_lo, listed, first, 0, count))
        if v_dot.shape[0] > 0:
            store(v_dot, at, first_lanes(gather_vector(v_dot, listed, first, 0, count), count))
    else:
        if v_dot.shape[0] > 0:
            store(v_dot, at, row_of(v_hi, 0))
        for w in range(count):
            parent = number(parents_of(incoming, run_at(incoming, run, d, e + w), e + w), 0)
            v_hi[at + w] = pick(v_hi, parent)
            v_lo[at + w] = pick(v_lo, parent)
            if v_dot.shape[0] > 0:
                v_dot[at + w] = pick(v_dot, parent)
    if count < row_length(v_hi):
        store(v_hi, at, first_lanes_or(load(v_hi, at), count, -np.inf))
        store(v_lo, at, first_lanes(load(v_lo, at), count))


@inlined
def place_parents(
    incoming: Any, run: Any, slot: int, depth: int, i: int, n: int, spare: int, state: Any, at: Any
) -> None:
    """at[d] = where the row of the parents over the d-th edges lies, for n nodes from the i-th of a level on."""
    v_hi, v_lo, _, v_dot, _, _, _ = state
    whole = row_length(v_hi)
    for d in range(depth):
        e = pick(incoming.first, slot + d) + i
        k = run_at(incoming, run, d, e)
        parents = parents_of(incoming, k, e)
        here = left_of_run(incoming, k, e)
        if n == 0:
            at[d] = number(parents, 0) * whole
            expect_parents(v_hi, parents, here)
            expect_parents(v_lo, parents, here)
            expect_parents(v_dot, parents, here)
            continue
        have = min(n, pick(incoming.width, slot + d) - i)
        if parents[2] == 1 and have == n and here >= n:
            at[d] = parents[1]
        else:
            at[d] = spare + d * whole
            gather_parents(incoming, run, d, e, parents, here, have, state, spare + d * whole)


@inlined
def place_potentials(
    incoming: Any, slot: int, depth: int, node: int, e0: int, i: int, n: int, w: Any, w_dot: Any, at: Any
) -> None:
    """at[d] = where the row of the d-th edges' potentials lies in w, put together behind them if of many nodes."""
    whole = row_length(w)
    behind = w.shape[0] - whole - at.shape[0] * whole
    for d in range(depth):
        if n == 0:
            at[d] = (pick(incoming.edges, node) + d - e0) * whole
            continue
        place = behind + d * whole
        at[d] = place
        have = min(n, pick(incoming.width, slot + d) - i)
        row = gather_vector(w, incoming.edges, node, d - e0, have)
        store(w, place, first_lanes(row, have))  # what is added to -inf must be a number
        if w_dot.shape[0] > whole:
            store(w_dot, place, first_lanes(gather_vector(w_dot, incoming.edges, node, d - e0, have), have))


@inlined
def place_direct(
    incoming: Any, slot: int, depth: int, i: int, n: int, b0: int, theta: Source, z: Source, w: Any, w_dot: Any, at: Any
) -> bool:
    """The same where rows read their potentials themselves; whether one is out of range."""
    whole = row_length(w)
    bad = False
    for d in range(depth):
        e, have = pick(incoming.first, slot + d) + i, min(n, pick(incoming.width, slot + d) - i)
        at[d] = d * whole
        left = pick(incoming.width, slot + d) - i
        bad |= read_direct(w, d * whole, theta, incoming, b0, e, have, left)
        if w_dot.shape[0] > whole:
            bad |= read_direct(w_dot, d * whole, z, incoming, b0, e, have, left)
    return bad


@inlined
def tangents(omega: Any, depth: int, y: Any, turn: Any, v_dot: Any, at: Any, z: Any, z_at: Any, start: Any) -> Any:
    """v̇ = Σ q ẋ (A1) on top of `start`, and c, the mean of ẋ under s, from which q̇ comes back (A2)."""
    slope, bend, mass = start, row_of(y, 0), row_of(y, 0)
    for d in range(depth):
        q, s = row_weight(omega, y, d, turn)
        x_dot = load(v_dot, pick(at, d))
        if z_at.shape[0] > 0:
            x_dot = x_dot + load(z, pick(z_at, d))
        slope = slope + q * x_dot
        bend = bend + s * x_dot
        mass = mass + s
    return slope, centre(bend, mass)


@inlined
def enter_edges(depth: int, v_hi: Any, v_lo: Any, at: Any, w: Any, w_at: Any, spare: int, x_at: Any) -> None:
    """x = θ + v of the parents, behind the state."""
    whole = row_length(v_hi)
    for d in range(depth):
        place = spare + d * whole
        hi, lo = enter(load(w, pick(w_at, d)), load(v_hi, pick(at, d)), load(v_lo, pick(at, d)))
        store(v_hi, place, hi)
        store(v_lo, place, lo)
        x_at[d] = place


@inlined
def visit_row(omega: Any, depth: int, count: int, at: int, own_at: Any, spare: int, state: Any, buffers: Any) -> Any:
    """v, κ, v̇ and c of the row at `at`, of which `count` lanes are nodes; potentials of its own at `own_at`.

    What turns the rows in y into weights is handed back.
    """
    v_hi, v_lo, kappa, v_dot, c, own, own_dot = state
    places, w, z, y = buffers
    most = (places.shape[0] - 2) // 4
    real = v_hi.dtype.type
    x_at = v_at = part(places, 0, depth)
    if w.shape[0] > row_length(v_hi):
        x_at = part(places, 2 * most, depth)
        enter_edges(depth, v_hi, v_lo, v_at, w, part(places, most, depth), spare, x_at)
    m_hi, m_lo = maximum(v_hi, v_lo, x_at, depth)
    turn, shift, energy = solve(omega, v_hi, v_lo, x_at, depth, anchor(m_hi), m_lo, y)
    c_i = load(own, own_at[0]) if own.shape[0] > 0 else row_of(v_hi, 0)
    hi, lo = node_value(c_i, m_hi, m_lo, -shift, energy, real(0) if first_only(omega) else omega.gamma)
    put(v_hi, at, hi, count)
    put(v_lo, at, lo, count)
    if kappa.shape[0] > 0:
        put(kappa, at, turn if first_only(omega) else energy, count)
    if v_dot.shape[0] > 0:
        start = load(own_dot, own_at[1]) if own_dot.shape[0] > 0 else row_of(v_hi, 0)
        z_at = part(places, most, depth if z.shape[0] > row_length(v_hi) else 0)
        slope, mean = tangents(omega, depth, y, turn, v_dot, v_at, z, z_at, start)
        put(v_dot, at, slope, count)
        if c.shape[0] > 0:
            put(c, at, mean, count)
    return turn


@inlined
def visit_level(
    omega: Any, incoming: Any, batch: Batch, b0: int, level: int, base: Any, theta: Source, z: Source, state: Any,
    buffers: Any, square: Any, ties: Any, out: Any,
) -> bool:  # fmt: skip
    """v of a level's nodes, row by row; `base` are the nodes that stand first in `own` and `own_dot`."""
    places, w, w_dot, _ = buffers
    most = (places.shape[0] - 2) // 4
    at, w_at, run = part(places, 0, most), part(places, most, most), part(places, 3 * most, most)
    v_hi = state[0]
    lanes, whole = batch.lanes, row_length(v_hi)
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    slot, end = pick(incoming.slots, level), pick(incoming.slots, level + 1)
    spare = pick(incoming.place, incoming.place.shape[0] - 1) * lanes
    for d in range(end - slot):
        run[d] = pick(incoming.slot_runs, slot + d)
    step = 1 if lanes == whole else whole
    depth = end - slot
    nodes = pick(incoming.place, level)
    direct = directly(incoming, lanes, whole)
    bad = False
    k = n0 + visit_tied(omega, ties[0], ties[1], incoming, level, base, state)
    while k < n1:
        last = k + edges_before(incoming, k, n1, lanes, whole)
        e0 = 0
        if incoming.blocks.shape[0] > 0 and not direct:
            e0, e1 = pick(incoming.edges, k), pick(incoming.edges, last)
            fill(w, 0, (e1 - e0) * lanes, 0)
            bad |= read_edges(w, square, theta, incoming, batch, b0, e0, e1)
            if w_dot.shape[0] > whole:
                fill(w_dot, 0, (e1 - e0) * lanes, 0)
                bad |= read_edges(w_dot, square, z, incoming, batch, b0, e0, e1)
        while k < last:
            i, count = k - n0, min(step, last - k)
            n = 0 if lanes == whole else count
            while pick(incoming.width, slot + depth - 1) <= i:
                depth -= 1
            place_parents(incoming, run, slot, depth, i, n, spare, state, at)
            if direct:
                bad |= place_direct(incoming, slot, depth, i, n, b0, theta, z, w, w_dot, w_at)
            elif w.shape[0] > whole:
                place_potentials(incoming, slot, depth, k, e0, i, n, w, w_dot, w_at)
            own_at = ((k - base[0]) * lanes, (k - base[1]) * lanes)
            turn = visit_row(
                omega, depth, count * lanes if n > 0 else whole, (nodes + i) * lanes, own_at, spare, state, buffers
            )
            if out is not None and batch.kept:
                if direct:
                    keep_direct(omega, incoming, slot, depth, i, n, b0, theta, buffers, turn, out)
                else:
                    keep_row(omega, incoming, slot, depth, k, e0, i, n, buffers, turn)
            k += count
        if out is not None and batch.kept and not direct:
            write_edges(out, w, square, theta, incoming, batch, b0, e0, pick(incoming.edges, last))
    return bad


@inner
def forward(
    omega: Any, incoming: Any, hoisted: Any, batch: Batch, b0: int, first: int, top: int, theta: Source, z: Source,
    state: Any, buffers: Any, square: Any, ties: Any, out: Any,
) -> bool:  # fmt: skip
    """v over levels first..top; κ, v̇ and c where their arrays have room. Whether an input was out of range.

    A later call may go on at top + 1, with the same state. `out` is the gradient, if it keeps weights, or None.
    """
    v_hi, v_lo, _, v_dot, _, own, own_dot = state
    lanes = batch.lanes
    room = v_hi.shape[0] - incoming.place[-1] * lanes
    keep = own.shape[0] == incoming.levels[-1] * lanes + room
    bad = False
    if first == 1:
        starts = incoming.levels[1] * lanes
        fill(v_hi, 0, starts, 0)
        fill(v_lo, 0, starts, 0)
        if v_dot.shape[0] > 0:
            fill(v_dot, 0, starts, 0)
    for band in range(last_at_most(hoisted.levels, first), last_at_most(hoisted.levels, top) + 1):
        level0, level1 = pick(hoisted.levels, band), pick(hoisted.levels, band + 1)
        node0 = pick(incoming.levels, level0)
        size = pick(incoming.levels, level1) - node0
        base = (0 if keep else node0, node0)
        if own.shape[0] > 0 and first <= max(level0, 1):
            fill(own, (node0 - base[0]) * lanes, size * lanes, 0)
            bad |= read_hoisted(own, base[0] * lanes, square, theta, hoisted, band, batch, b0)
            if v_dot.shape[0] > 0:
                fill(own_dot, 0, size * lanes, 0)
                bad |= read_hoisted(own_dot, node0 * lanes, square, z, hoisted, band, batch, b0)
        for level in range(max(level0, first), min(level1, top + 1)):
            bad |= visit_level(omega, incoming, batch, b0, level, base, theta, z, state, buffers, square, ties, out)
    return bad
