"""The forward pass over incoming edges: v and κ at every node, and the tangents v̇ and c."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels import tiles
from dagdp.kernels.exchange import Batch, Source, read_hoisted, read_tile
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.operator import first_only
from dagdp.kernels.rows import add, copy, fetch, lend, part, pick

TILE_BYTES = 40 * 1024  # x and the row buffers of a tile, to stay in L1: a lane costs 2.5x in tiles of 64 lanes
LEAST_LANES = 64


@inner
def tile_lanes(depth: int, lanes: int, itemsize: int) -> int:
    """Lanes of a tile of this fan-in: a multiple of `lanes` that keeps the tile in L1, or about 64."""
    fits = TILE_BYTES // (itemsize * (2 * depth + 6))
    return max(lanes, max(LEAST_LANES, fits) // lanes * lanes)


@inner
def tile_buffers(like: Any, incoming: Any, lanes: int, tangent: bool) -> Any:
    """x_hi, x_lo, x_dot [fan-in, lanes]; m_hi, m_lo, shift, κ, spare [lanes]; widths [fan-in]. For every tile."""
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
    x = (np.empty(elements, like.dtype), np.empty(elements, like.dtype), np.empty(extra, like.dtype))
    rows = np.empty(5 * most, like.dtype)
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
            start, count, step = (
                pick(incoming.runs, 3 * run),
                pick(incoming.runs, 3 * run + 1),
                pick(incoming.runs, 3 * run + 2),
            )
            i = max(first, start)
            j = min(last, start + count)
            if i < j:
                fetch(x, d * pitch + (i - first) * lanes, state, incoming.parent, i, j - i, step, lanes)


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
def forward(
    omega: Any,
    incoming: Any,
    hoisted: Any,
    batch: Batch,
    b0: int,
    top: int,
    theta: Source,
    z: Source,
    state: Any,
    buffers: Any,
    room: Any,
) -> bool:
    """v over levels 1..top; κ, v̇ and c where their arrays have room. Whether an input was out of range."""
    incoming, hoisted, theta, z = lend(incoming), lend(hoisted), lend(theta), lend(z)
    v_hi, v_lo, kappa, v_dot, c, apart = lend(state)
    own = apart if apart.shape[0] > 0 else v_hi  # the hoisted potentials c_i; v takes their place if nobody asks again
    real = v_hi.dtype.type
    lanes = batch.lanes
    (x_hi, x_lo, x_dot), rows, most, widths = lend(buffers)
    room = lend(room)
    tangent = v_dot.shape[0] > 0
    rate = real(1) / omega.gamma
    tolerance = real(4) * np.finfo(real).eps
    on_edges = incoming.blocks.shape[0] > 0
    tiles.fill(v_hi[: incoming.levels[1] * lanes], real(0))
    tiles.fill(v_lo[: incoming.levels[1] * lanes], real(0))
    tiles.fill(own, real(0))
    bad = read_hoisted(own, room, theta, hoisted, batch, b0)
    if tangent:
        tiles.fill(v_dot, real(0))
        bad |= read_hoisted(v_dot, room, z, hoisted, batch, b0)
    for level in range(1, top + 1):
        n0 = pick(incoming.levels, level)
        n1 = pick(incoming.levels, level + 1)
        slot = pick(incoming.slots, level)
        slots = pick(incoming.slots, level + 1) - slot
        step = tile_lanes(slots, lanes, v_hi.itemsize) // lanes
        for k0 in range(n0, n1, step):
            k1 = min(k0 + step, n1)
            pitch = (k1 - k0) * lanes
            width = lanes_of_slots(widths, incoming.width, slot, slots, k0 - n0, k1 - n0, lanes)
            depth = width.shape[0]
            at = k0 * lanes
            m_hi, m_lo = part(rows, 0, pitch), part(rows, most, pitch)
            shift, energy, spare = (
                part(rows, 2 * most, pitch),
                part(rows, 3 * most, pitch),
                part(rows, 4 * most, pitch),
            )
            fetch_tile(x_hi, pitch, v_hi, incoming, slot, k0 - n0, width, lanes)
            fetch_tile(x_lo, pitch, v_lo, incoming, slot, k0 - n0, width, lanes)
            if on_edges:  # x_dot is free until the tangent: it holds the sum of an edge's potentials
                tiles.fill(part(x_dot, 0, depth * pitch), real(0))
                bad |= read_tile(x_dot, pitch, room, theta, incoming, batch, b0, k0, k1)
                for d in range(depth):
                    n = pick(width, d)
                    tiles.enter_edges(part(x_hi, d * pitch, n), part(x_lo, d * pitch, n), part(x_dot, d * pitch, n))
            find_maxima(x_hi, x_lo, pitch, width, m_hi, m_lo, rate)
            tiles.solve(omega, x_hi, pitch, width, shift, energy, spare, tolerance)
            hi, lo, c_i = part(v_hi, at, pitch), part(v_lo, at, pitch), part(own, at, pitch)
            if first_only(omega):
                tiles.set_maxima(hi, lo, c_i, m_hi, m_lo)
            else:
                tiles.set_values(hi, lo, c_i, m_hi, m_lo, shift, energy, omega.gamma)
            if kappa.shape[0] > 0:
                copy(part(kappa, at, pitch), shift if first_only(omega) else energy)
            if tangent:
                fetch_tile(x_dot, pitch, v_dot, incoming, slot, k0 - n0, width, lanes)
                if on_edges:
                    bad |= read_tile(x_dot, pitch, room, z, incoming, batch, b0, k0, k1)
                c_row = part(c, at, pitch) if c.shape[0] > 0 else c
                tangent_tile(omega, x_hi, x_lo, x_dot, pitch, width, shift, spare, part(v_dot, at, pitch), c_row)
    return bad
