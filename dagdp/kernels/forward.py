"""The forward pass over incoming edges: v and κ at every node, and the tangents v̇ and c."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels import tiles
from dagdp.kernels.exchange import Batch, Source, last_at_most, read_tile
from dagdp.kernels.hoisted import read_hoisted
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.operator import first_only
from dagdp.kernels.rows import add, aligned, copy, fetch, later
from dagdp.kernels.vectors import lend, part, pick

TILE_BYTES = 40 * 1024  # x and the row buffers of a tile, to stay in L1: a lane costs 2.5x in tiles of 64 lanes
LEAST_LANES = 64


@inner
def tile_lanes(depth: int, lanes: int, itemsize: int) -> int:
    """Lanes of a tile of this fan-in: a multiple of `lanes` that keeps the tile in L1, or about 64."""
    fits = TILE_BYTES // (itemsize * (2 * depth + 6))
    return max(lanes, max(LEAST_LANES, fits) // lanes * lanes)


@inner
def tile_buffers(like: Any, incoming: Any, lanes: int, tangent: bool) -> Any:
    """x_hi, x_lo, x_dot [fan-in, lanes]; m_hi, m_lo, shift, κ, spare, zeros [lanes]; widths [fan-in], for each tile."""
    elements = 0
    most = 0
    deepest = 1
    for level in range(1, incoming.levels.shape[0] - 1):
        depth = incoming.slots[level + 1] - incoming.slots[level]
        width = (incoming.levels[level + 1] - incoming.levels[level]) * lanes
        pitch = min(width, tile_lanes(depth, lanes, like.itemsize))
        elements = max(elements, depth * pitch)
        most = max(most, pitch)
        deepest = max(deepest, depth)
    extra = elements if tangent or incoming.blocks.shape[0] > 0 else 0
    x = (aligned(like, elements), aligned(like, elements), aligned(like, extra))
    rows = aligned(like, 6 * most)
    tiles.fill(rows, like.dtype.type(0))
    return x, rows, most, np.empty(deepest, np.int64)


@inlined
def lanes_of_slots(widths: Any, width: Any, slot: int, slots: int, first: int, last: int, lanes: int) -> Any:
    """[fan-in of the tile] lanes of each slot, for the level's nodes [first, last)."""
    depth = 0
    while depth < slots and pick(width, slot + depth) > first:
        widths[depth] = (min(last, pick(width, slot + depth)) - first) * lanes
        depth += 1
    return part(widths, 0, depth)


@inlined
def fetch_tile(x: Any, pitch: int, state: Any, incoming: Any, slot: int, skip: int, width: Any, lanes: int) -> None:
    """x[d, lane] = state of the parent, for every slot d of the tile."""
    for d in range(width.shape[0]):
        first = pick(incoming.first, slot + d) + skip
        last = first + width[d] // lanes
        for run in range(pick(incoming.slot_runs, slot + d), pick(incoming.slot_runs, slot + d + 1)):
            start = pick(incoming.runs, 4 * run)
            i = max(first, start)
            j = min(last, start + pick(incoming.runs, 4 * run + 1))
            if i < j:
                parents = (incoming.parent, pick(incoming.runs, 4 * run + 2), pick(incoming.runs, 4 * run + 3))
                fetch(x, d * pitch + (i - first) * lanes, state, later(parents, i - start), j - i, lanes)


@inlined
def find_maxima(x_hi: Any, x_lo: Any, pitch: int, width: Any, m_hi: Any, m_lo: Any, rate: Any) -> None:
    """m = max x, and x becomes y."""
    real = m_hi.dtype.type
    tiles.fill(m_hi, real(-np.inf))
    tiles.fill(m_lo, real(0))
    for d in range(width.shape[0]):
        n = width[d]
        tiles.keep_larger(part(m_hi, 0, n), part(m_lo, 0, n), part(x_hi, d * pitch, n), part(x_lo, d * pitch, n))
    for d in range(width.shape[0]):
        n = width[d]
        tiles.scale(part(x_hi, d * pitch, n), part(x_lo, d * pitch, n), part(m_hi, 0, n), part(m_lo, 0, n), rate)


@inlined
def tangent_tile(
    omega: Any, y: Any, s: Any, x_dot: Any, pitch: int, width: Any, shift: Any, spare: Any, v_dot: Any, c: Any
) -> None:
    """v̇ = Σ q ẋ (A1), and c, the mean of ẋ under s, from which q̇ comes back (A2). y becomes q."""
    real = y.dtype.type
    for d in range(width.shape[0]):
        n = width[d]
        q, x_d = part(y, d * pitch, n), part(x_dot, d * pitch, n)
        tiles.weigh(omega, q, part(s, d * pitch, n), real(d), part(shift, 0, n))
        tiles.add_products(part(v_dot, 0, n), q, x_d)
    if c.shape[0] > 0:
        tiles.fill(c, real(0))
        tiles.fill(spare, real(0))
        for d in range(width.shape[0]):
            n = width[d]
            tiles.add_products(part(c, 0, n), part(s, d * pitch, n), part(x_dot, d * pitch, n))
            add(part(spare, 0, n), part(s, d * pitch, n))
        tiles.set_centres(c, spare)


@inner
def band_rows(incoming: Any, hoisted: Any) -> int:
    """Nodes of the largest band; 0 where nothing is hoisted."""
    most = 0
    for band in range(hoisted.levels.shape[0] - 1):
        size = incoming.levels[hoisted.levels[band + 1]] - incoming.levels[hoisted.levels[band]]
        most = max(most, size)
    return most if hoisted.blocks.shape[0] > 0 else 0


@inlined
def read_band(rows: Any, node0: int, room: Any, source: Source, hoisted: Any, band: int, batch: Batch, b0: int) -> bool:
    """The hoisted potentials of a band of levels, whose first node is `node0`."""
    tiles.fill(rows, rows.dtype.type(0))
    return read_hoisted(rows, node0, room, source, hoisted, band, batch, b0)


@inlined
def visit_level(
    omega: Any,
    incoming: Any,
    batch: Batch,
    b0: int,
    level: int,
    base: Any,
    theta: Source,
    z: Source,
    state: Any,
    buffers: Any,
    room: Any,
) -> bool:
    """v of a level's nodes, tile by tile; `base` are the nodes that stand first in `own` and `own_dot`."""
    v_hi, v_lo, kappa, v_dot, c, own, own_dot = state
    (x_hi, x_lo, x_dot), rows, most, widths = buffers
    real = v_hi.dtype.type
    lanes = batch.lanes
    rate = real(1) / omega.gamma
    tolerance = real(4) * np.finfo(real).eps
    n0 = pick(incoming.levels, level)
    n1 = pick(incoming.levels, level + 1)
    slot = pick(incoming.slots, level)
    slots = pick(incoming.slots, level + 1) - slot
    step = tile_lanes(slots, lanes, v_hi.itemsize) // lanes
    bad = False
    for k0 in range(n0, n1, step):
        k1 = min(k0 + step, n1)
        pitch = (k1 - k0) * lanes
        width = lanes_of_slots(widths, incoming.width, slot, slots, k0 - n0, k1 - n0, lanes)
        at = (pick(incoming.place, level) + k0 - n0) * lanes
        m_hi, m_lo = part(rows, 0, pitch), part(rows, most, pitch)
        shift, energy, spare = part(rows, 2 * most, pitch), part(rows, 3 * most, pitch), part(rows, 4 * most, pitch)
        fetch_tile(x_hi, pitch, v_hi, incoming, slot, k0 - n0, width, lanes)
        fetch_tile(x_lo, pitch, v_lo, incoming, slot, k0 - n0, width, lanes)
        if incoming.blocks.shape[0] > 0:  # x_dot is free until the tangent: it holds the sum of an edge's potentials
            tiles.fill(part(x_dot, 0, width.shape[0] * pitch), real(0))
            bad |= read_tile(x_dot, pitch, room, theta, incoming, batch, b0, k0, k1)
            for d in range(width.shape[0]):
                n = pick(width, d)
                tiles.enter_edges(part(x_hi, d * pitch, n), part(x_lo, d * pitch, n), part(x_dot, d * pitch, n))
        find_maxima(x_hi, x_lo, pitch, width, m_hi, m_lo, rate)
        tiles.solve(omega, x_hi, pitch, width, shift, energy, spare, tolerance)
        hi, lo = part(v_hi, at, pitch), part(v_lo, at, pitch)
        c_i = part(own, (k0 - base[0]) * lanes, pitch) if own.shape[0] > 0 else part(rows, 5 * most, pitch)
        if first_only(omega):
            tiles.set_maxima(hi, lo, c_i, m_hi, m_lo)
        else:
            tiles.set_values(hi, lo, c_i, m_hi, m_lo, shift, energy, omega.gamma)
        if kappa.shape[0] > 0:
            copy(part(kappa, at, pitch), shift if first_only(omega) else energy)
        if v_dot.shape[0] > 0:
            v_d = part(v_dot, at, pitch)
            copy(v_d, part(own_dot, (k0 - base[1]) * lanes, pitch) if own.shape[0] > 0 else part(rows, 5 * most, pitch))
            fetch_tile(x_dot, pitch, v_dot, incoming, slot, k0 - n0, width, lanes)
            if incoming.blocks.shape[0] > 0:
                bad |= read_tile(x_dot, pitch, room, z, incoming, batch, b0, k0, k1)
            c_row = part(c, at, pitch) if c.shape[0] > 0 else c
            tangent_tile(omega, x_hi, x_lo, x_dot, pitch, width, shift, spare, v_d, c_row)
    return bad


@inner
def forward(
    omega: Any,
    incoming: Any,
    hoisted: Any,
    batch: Batch,
    b0: int,
    first: int,
    top: int,
    theta: Source,
    z: Source,
    state: Any,
    buffers: Any,
    room: Any,
) -> bool:
    """v over levels first..top; κ, v̇ and c where their arrays have room. Whether an input was out of range.

    A later call may go on at top + 1, with the same state.
    """
    incoming, hoisted, theta, z = lend(incoming), lend(hoisted), lend(theta), lend(z)
    state, buffers, room = lend(state), lend(buffers), lend(room)
    v_hi, v_lo, _, v_dot, _, own, own_dot = state
    lanes = batch.lanes
    bad = False
    if first == 1:
        starts = incoming.levels[1] * lanes
        tiles.fill(part(v_hi, 0, starts), v_hi.dtype.type(0))
        tiles.fill(part(v_lo, 0, starts), v_hi.dtype.type(0))
        tiles.fill(part(v_dot, 0, min(starts, v_dot.shape[0])), v_hi.dtype.type(0))
    for band in range(last_at_most(hoisted.levels, first), last_at_most(hoisted.levels, top) + 1):
        level0, level1 = pick(hoisted.levels, band), pick(hoisted.levels, band + 1)
        node0 = pick(incoming.levels, level0)
        size = pick(incoming.levels, level1) - node0
        base = (0 if own.shape[0] == incoming.levels[-1] * lanes else node0, node0)
        if own.shape[0] > 0 and first <= max(level0, 1):
            band_rows = part(own, (node0 - base[0]) * lanes, size * lanes)
            bad |= read_band(band_rows, node0, room, theta, hoisted, band, batch, b0)
            if v_dot.shape[0] > 0:
                bad |= read_band(part(own_dot, 0, size * lanes), node0, room, z, hoisted, band, batch, b0)
        for level in range(max(level0, first), min(level1, top + 1)):
            bad |= visit_level(omega, incoming, batch, b0, level, base, theta, z, state, buffers, room)
    return bad
