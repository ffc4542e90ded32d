"""The forward pass over incoming edges: v and κ at every node, and the tangents v̇ and c.

A level is visited by rows, a few at a time: one node's samples, or neighbouring nodes of one sample. The d-th edges
of a row's nodes make a row of x, which lies where their parents' v does (places.py), or behind the state (`spare`)
where the edges have potentials of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import (
    BARE_TOGETHER,
    DESK,
    MOVES,
    TOGETHER,
    directly,
    edges_before,
    rows_at_once,
    spare_at,
)
from dagdp.kernels.cpu.operands import place_rows, place_stretch
from dagdp.kernels.cpu.packing.edge_order import in_order
from dagdp.kernels.cpu.packing.edge_potentials import expect_edges, read_edges, write_edges
from dagdp.kernels.cpu.packing.entries import Batch, Source, last_at_most, put
from dagdp.kernels.cpu.packing.node_potentials import read_hoisted
from dagdp.kernels.cpu.row_max import climb, maximum, settle, solve, tangents
from dagdp.kernels.cpu.rows import fill
from dagdp.kernels.cpu.special.scaled_rows import visit_stretches
from dagdp.kernels.cpu.special.stored_weights import keep_direct, keep_row
from dagdp.kernels.cpu.special.tied_levels import tied_forward
from dagdp.kernels.recursion import enter, node_value
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rows import load, row_of, store
from dagdp.lanes.views import behind, part, pick, row_length


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
def compare_row(omega: Any, depth: int, placed: Any, state: Any, buffers: Any, r: int, spare: int) -> None:
    """x of the r-th row, where edges have potentials of their own, and its maximum."""
    jump, shift = placed
    v_hi, v_lo = behind(state[0], r * shift), behind(state[1], r * shift)
    places, w, _, _, desk, _ = buffers
    whole, most = row_length(v_hi), rows_at_once(places)
    x_at = part(places, (0 if w is None else 2 * most) + r * jump, depth)
    if w is not None:
        v_at, w_at = part(places, r * depth, depth), part(places, most + r * depth, depth)
        enter_edges(depth, v_hi, v_lo, v_at, w, w_at, spare + r * depth * whole, x_at)
    m_hi, m_lo = maximum(v_hi, v_lo, x_at, depth)
    store(desk, DESK * r * whole, m_hi)
    store(desk, (DESK * r + 1) * whole, m_lo)


@inlined
def solve_row(omega: Any, depth: int, placed: Any, state: Any, buffers: Any, r: int) -> None:
    """What max_Ω of the r-th row hangs on."""
    jump, shift = placed
    v_hi, v_lo = behind(state[0], r * shift), behind(state[1], r * shift)
    places, w, _, y, desk, _ = buffers
    whole = row_length(v_hi)
    x_at = part(places, (0 if w is None else 2 * rows_at_once(places)) + r * jump, depth)
    m_hi, m_lo = load(desk, DESK * r * whole), load(desk, (DESK * r + 1) * whole)
    own_y = behind(y, r * depth * whole)
    found, energy = solve(omega, v_hi, v_lo, x_at, depth, m_hi, m_lo, own_y)
    store(desk, (DESK * r + 2) * whole, found)
    store(desk, (DESK * r + 3) * whole, energy)


@inlined
def solve_rows(omega: Any, depth: int, rows: int, placed: Any, state: Any, buffers: Any, spare: int) -> None:
    """What max_Ω of some rows hangs on; `placed` is (jump, shift) of `place_stretch`.

    Phase by phase: a row's maximum, exponentials and logarithm wait for each other, those of several rows do not.
    """
    for r in range(rows):
        compare_row(omega, depth, placed, state, buffers, r, spare)
    for r in range(rows):
        solve_row(omega, depth, placed, state, buffers, r)
    y, desk = buffers[3], buffers[4]
    whole = row_length(desk)
    climb(omega, depth, rows, y, behind(desk, 2 * whole), DESK * whole)


@inlined
def put_value(omega: Any, count: int, at: int, own_at: int, state: Any, buffers: Any, r: int) -> Any:
    """v and κ of the r-th row, which lies at `at`; what turns its y into q."""
    v_hi, v_lo, kappa, _, _, own, _ = state
    y, desk = buffers[3], buffers[4]
    whole, real = row_length(v_hi), v_hi.dtype.type
    m_hi, m_lo = load(desk, DESK * r * whole), load(desk, (DESK * r + 1) * whole)
    turn, shift, energy = settle(omega, load(desk, (DESK * r + 2) * whole), load(desk, (DESK * r + 3) * whole), y)
    c_i = load(own, own_at) if own is not None else row_of(v_hi, 0)
    hi, lo = node_value(c_i, m_hi, m_lo, -shift, energy, real(0) if first_only(omega) else omega.gamma)
    put(v_hi, at, hi, count)
    put(v_lo, at, lo, count)
    if kappa.shape[0] > 0:
        put(kappa, at, turn if first_only(omega) else energy, count)
    return turn


@inlined
def finish_row(
    omega: Any, depth: int, placed: Any, count: int, at: int, own_at: Any, state: Any, buffers: Any, r: int
) -> None:
    """v, κ, v̇ and c of the r-th row, which lies at `at`; `count` of its lanes count."""
    jump, shift = placed
    v_hi, _, _, v_dot, c, _, own_dot = state
    places, _, z, y, desk, _ = buffers
    whole, most = row_length(v_hi), rows_at_once(places)
    turn = put_value(omega, count, at, own_at[0], state, buffers, r)
    if y.shape[0] > whole:
        store(desk, (DESK * r + 2) * whole, turn)
    if v_dot is not None:
        start = load(own_dot, own_at[1]) if own_dot is not None else row_of(v_hi, 0)
        own_y = behind(y, r * depth * whole)
        v_at, z_at = part(places, r * jump, depth), part(places, most + r * depth, depth)
        slope, mean = tangents(omega, depth, own_y, turn, behind(v_dot, r * shift), v_at, z, z_at, start)
        put(v_dot, at, slope, count)
        if c is not None:
            put(c, at, mean, count)


@inlined
def visit_nodes(
    omega: Any, incoming: Any, batch: Batch, b0: int, level: int, node: int, last: int, e0: int, base: Any,
    theta: Source, z: Source, state: Any, buffers: Any, out: Any,
) -> None:  # fmt: skip
    """Nodes [node, last) of a level, a few rows at a time."""
    lanes, whole, most = batch.lanes, row_length(state[0]), rows_at_once(buffers[0])
    at, run = part(buffers[0], 0, most), part(buffers[0], 3 * most, most)
    n0, slot = pick(incoming.levels, level), pick(incoming.slots, level)
    spare = spare_at(buffers[0], incoming, lanes, state[0])
    home = pick(incoming.place, level) - n0
    depth = pick(incoming.slots, level + 1) - slot
    together = BARE_TOGETHER if buffers[1] is None and batch.together is not None else TOGETHER
    room = min(together, most // depth)
    step = 1 if batch.together is not None else whole
    while node < last:
        i = node - n0
        while pick(incoming.width, slot + depth - 1) <= i:
            depth -= 1
            room = min(together, most // depth)
        if buffers[1] is None:
            nodes, rows, jump, shift = place_stretch(
                incoming, batch, run, slot, depth, node, i, last, room, spare, state, at
            )
            placed = jump, shift
        else:
            placed, alike = (depth, 0), min(last - node, pick(incoming.width, slot + depth - 1) - i)
            rows = min(alike if batch.together is not None else (alike + whole - 1) // whole, room)
            nodes = min(last - node, rows * step)
            place_rows(incoming, batch, b0, slot, depth, node, i, rows, last, e0, theta, z, state, buffers, spare)
        if buffers[1] is None and not exponential(omega) and depth == MOVES:
            solve_rows(omega, MOVES, rows, placed, state, buffers, spare)
        else:
            solve_rows(omega, depth, rows, placed, state, buffers, spare)
        for r in range(rows):
            k = node + r * step
            own_at = ((k - base[0]) * lanes, (k - base[1]) * lanes)
            count = whole if batch.together is not None else min(whole, node + nodes - k)
            finish_row(omega, depth, placed, count, (home + k) * lanes, own_at, state, buffers, r)
        if out is not None:
            for r in range(rows):
                k = r * step
                n = 0 if batch.together is not None else min(step, nodes - k)
                if batch.together is None and directly(incoming, batch):
                    keep_direct(omega, incoming, slot, depth, i + k, n, b0, theta, buffers, r, out)
                else:
                    keep_row(omega, incoming, slot, depth, node + k, e0, i + k, n, buffers, r)
        node += nodes


@inlined
def visit_part(
    omega: Any, incoming: Any, batch: Batch, b0: int, level: int, n0: int, n1: int, base: Any, theta: Source, z: Source,
    state: Any, buffers: Any, square: Any, out: Any,
) -> None:  # fmt: skip
    """v of nodes [n0, n1) of a level; `base` are the nodes that stand first in `own` and `own_dot`."""
    places, w, w_dot, _, _, _ = buffers
    most = rows_at_once(places)
    run = part(places, 3 * most, most)
    lanes, whole = batch.lanes, row_length(state[0])
    slot, end = pick(incoming.slots, level), pick(incoming.slots, level + 1)
    for d in range(end - slot):
        run[d] = pick(incoming.slot_runs, slot + d)
    if batch.powers is not None:
        visit_stretches(omega, incoming, batch, level, n0, n1, base, state, buffers)
        return
    if w is None:
        visit_nodes(omega, incoming, batch, b0, level, n0, n1, 0, base, theta, z, state, buffers, out)
        return
    ordered = out is not None and in_order(incoming, batch)
    together = incoming.blocks.shape[0] > 0 and not directly(incoming, batch) and not ordered
    k = n0
    while k < n1:
        last = n1 if ordered else k + edges_before(incoming, k, n1, batch, whole)
        e0 = 0
        if together:
            e0, e1 = pick(incoming.edges, k), pick(incoming.edges, last)
            fill(w, 0, (e1 - e0) * lanes, 0)
            read_edges(w, square, theta, incoming, batch, b0, e0, e1)
            if w_dot is not None:
                fill(w_dot, 0, (e1 - e0) * lanes, 0)
                read_edges(w_dot, square, z, incoming, batch, b0, e0, e1)
            if out is not None and batch.together is not None:
                expect_edges(out, w, theta, incoming, batch, b0, e0, e1)
        visit_nodes(omega, incoming, batch, b0, level, k, last, e0, base, theta, z, state, buffers, out)
        if out is not None and together:
            write_edges(out, w, square, theta, incoming, batch, b0, e0, pick(incoming.edges, last))
        k = last


@inlined
def visit_level(
    omega: Any, incoming: Any, batch: Batch, b0: int, level: int, base: Any, theta: Source, z: Source, state: Any,
    buffers: Any, square: Any, ties: Any, out: Any,
) -> None:  # fmt: skip
    """v of a level's nodes."""
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    if ties is not None:
        n0 += tied_forward(omega, ties[0], ties[1], incoming, level, base, state)
    visit_part(omega, incoming, batch, b0, level, n0, n1, base, theta, z, state, buffers, square, out)


@inlined
def begin_at(batch: Batch, b0: int, v_hi: Any) -> None:
    """v = 0 where a sample's own paths begin, for those that name their starts; it is -inf at all others."""
    for b in range(batch.lanes):
        item = min(b0 + b, batch.last - 1)
        for node in batch.starts[item * batch.graphs : (item + 1) * batch.graphs]:
            if node >= 0:
                v_hi[node * batch.lanes + b] = 0


@inner
def forward(
    omega: Any, incoming: Any, hoisted: Any, batch: Batch, b0: int, first: int, top: int, theta: Source, z: Source,
    state: Any, buffers: Any, square: Any, ties: Any, out: Any,
) -> None:  # fmt: skip
    """v over levels first..top; κ, v̇ and c where their arrays have room.

    A later call may go on at top + 1, with the same state. `out` is the gradient, if it keeps weights, or None.
    """
    v_hi, v_lo, _, v_dot, _, own, own_dot = state
    lanes = batch.lanes
    room = v_hi.shape[0] - incoming.place[-1] * lanes
    keep = own is not None and own.shape[0] == incoming.levels[-1] * lanes + room
    if first == 1:
        starts = incoming.levels[1] * lanes
        fill(v_hi, 0, starts, 0)
        fill(v_lo, 0, starts, 0 if batch.powers is None else 1)  # v = 0, or e^v = 1·2^0
        if v_dot is not None:
            fill(v_dot, 0, starts, 0)
        if batch.starts.shape[0] > 0:
            fill(v_hi, 0, starts, -np.inf)
            begin_at(batch, b0, v_hi)
    for band in range(last_at_most(hoisted.levels, first), last_at_most(hoisted.levels, top) + 1):
        level0, level1 = pick(hoisted.levels, band), pick(hoisted.levels, band + 1)
        node0 = pick(incoming.levels, level0)
        base = (0 if keep else node0, node0)
        if own is not None and first <= max(level0, 1):
            read_hoisted(own, base[0] * lanes, square, theta, incoming, hoisted, band, batch, b0)
            if v_dot is not None:
                read_hoisted(own_dot, node0 * lanes, square, z, incoming, hoisted, band, batch, b0)
        for level in range(max(level0, first), min(level1, top + 1)):
            visit_level(omega, incoming, batch, b0, level, base, theta, z, state, buffers, square, ties, out)
