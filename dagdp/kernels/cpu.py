"""The CPU schedule: blocks of samples, level by level, in tiles of lanes.

A block of `lanes` samples goes through all passes before the next one starts, so the state (a few numbers
a node) is allocated once per launch and stays warm. Samples beyond the batch repeat the last one and are
not handed back. One launch covers a range of blocks; threads take ranges, and no range depends on
how many threads there are, so neither does a single bit of the result.

The four entry points at the end of the file are all that the run layer calls.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.compiled import Wiring
from dagdp.kernels import tiles
from dagdp.kernels.jit import Kernel, inner
from dagdp.kernels.operator import first_only
from dagdp.kernels.recursion import flow as edge_flow
from dagdp.kernels.recursion import curvature, flow_tangent, rejoined, weight, weight_tangent
from dagdp.kernels.rows import gather, scatter_add

TILE_BYTES = 40 * 1024  # x and the row buffers of a tile, to stay in L1: 64 lanes cost 2.5x what 1024 do
LEAST_LANES = 64


class Batch(NamedTuple):
    """What one launch works on: samples [first, last) in blocks of `lanes`."""

    first: int
    last: int
    lanes: int
    part: int  # row of the partial sums in which gradients of shared blocks are collected


class Source(NamedTuple):
    """Weights on edges, or a direction: one array [samples or 1, entries] for each potential."""

    blocks: Any
    shared: np.ndarray  # [blocks] whether the batch shares the one row
    sign: Any  # -1 to minimise
    lowest: Any  # sign * entry must lie in [lowest, inf)


# ------------------------------------------------------------------ reading and writing the user's arrays


@inner
def sample_of(batch: Batch, b0: int, b: int) -> int:
    return min(b0 + b, batch.last - 1)


@inner
def read_hoisted(state: Any, source: Source, wiring: Any, batch: Batch, b0: int) -> bool:
    """Add hoisted potentials to the rows of their nodes; whether one is NaN or out of range."""
    inf = state.dtype.type(np.inf)
    bad = False
    for h in range(wiring.node_blocks.shape[0]):
        block = source.blocks[wiring.node_blocks[h]]
        once = source.shared[wiring.node_blocks[h]]
        for r0 in range(wiring.hoist_ptr[h], wiring.hoist_ptr[h + 1], 16):
            r1 = min(r0 + 16, wiring.hoist_ptr[h + 1])
            for b in range(batch.lanes):
                row = block[0 if once else sample_of(batch, b0, b)]
                for r in range(r0, r1):
                    value = source.sign * row[wiring.hoist_entry[r]]
                    bad |= not ((value >= source.lowest) & (value < inf))
                    state[wiring.hoist_node[r] * batch.lanes + b] += value
    return bad


@inner
def read_tile(x: Any, pitch: int, source: Source, wiring: Any, batch: Batch, b0: int, level: int, nodes: Any) -> bool:
    """Add edge potentials to x[slot, node, sample]; an edge's entry is read sample by sample."""
    inf = x.dtype.type(np.inf)
    bad = False
    s0 = wiring.level_slots[level]
    s1 = wiring.level_slots[level + 1]
    skip = nodes[0] - wiring.level_ptr[level]
    for k in range(wiring.edge_blocks.shape[0]):
        block = source.blocks[wiring.edge_blocks[k]]
        once = source.shared[wiring.edge_blocks[k]]
        entry = wiring.entry[k]
        depth = s1 - s0
        for n in range(nodes[1] - nodes[0]):
            while wiring.slot_width[s0 + depth - 1] <= skip + n:
                depth -= 1
            for b in range(batch.lanes):
                row = block[0 if once else sample_of(batch, b0, b)]
                at = n * batch.lanes + b
                for d in range(depth):
                    e = entry[wiring.slot_first[s0 + d] + skip + n]
                    if e >= 0:
                        value = source.sign * row[e]
                        bad |= not ((value >= source.lowest) & (value < inf))
                        x[d * pitch + at] += value
    return bad


@inner
def read_out_edges(w: Any, source: Source, wiring: Any, batch: Batch, b0: int, edges: Any) -> None:
    """Add the potentials of outgoing edges to w[edge, sample]."""
    for k in range(wiring.edge_blocks.shape[0]):
        block = source.blocks[wiring.edge_blocks[k]]
        once = source.shared[wiring.edge_blocks[k]]
        entry = wiring.out_entry[k]
        for b in range(batch.lanes):
            row = block[0 if once else sample_of(batch, b0, b)]
            for e in range(edges[0], edges[1]):
                if entry[e] >= 0:
                    w[(e - edges[0]) * batch.lanes + b] += source.sign * row[entry[e]]


@inner
def write_out_edges(out: Any, shared: Any, wiring: Any, batch: Any, b0: int, edges: Any, flow: Any) -> None:
    """Hand the flow on outgoing edges back to the blocks, in the order of samples."""
    for k in range(wiring.edge_blocks.shape[0]):
        block = out[wiring.edge_blocks[k]]
        once = shared[wiring.edge_blocks[k]]
        entry = wiring.out_entry[k]
        for b in range(min(batch.lanes, batch.last - b0)):
            row = block[batch.part if once else b0 + b]
            for e in range(edges[0], edges[1]):
                if entry[e] >= 0:
                    row[entry[e]] += flow[(e - edges[0]) * batch.lanes + b]


@inner
def write_hoisted(out: Any, shared: Any, wiring: Any, batch: Any, b0: int, bar: Any) -> None:
    """The gradient of a hoisted potential is the adjoint of its node."""
    for h in range(wiring.node_blocks.shape[0]):
        block = out[wiring.node_blocks[h]]
        once = shared[wiring.node_blocks[h]]
        for r0 in range(wiring.hoist_ptr[h], wiring.hoist_ptr[h + 1], 16):
            r1 = min(r0 + 16, wiring.hoist_ptr[h + 1])
            for b in range(min(batch.lanes, batch.last - b0)):
                row = block[batch.part if once else b0 + b]
                for r in range(r0, r1):
                    row[wiring.hoist_entry[r]] += bar[wiring.hoist_node[r] * batch.lanes + b]


# --------------------------------------------------------------------------------------- the passes


@inner
def last_level(wiring: Any, batch: Any, b0: int, ends: Any) -> int:
    """The level of the last end among the block's samples: nothing beyond it is visited."""
    node = 0
    for b in range(min(batch.lanes, batch.last - b0)):
        node = max(node, ends[b0 + b])
    return np.searchsorted(wiring.level_ptr, node, side="right") - 1


@inner
def tile_lanes(depth: int, lanes: int, itemsize: int) -> int:
    """Lanes of a tile of this fan-in: a multiple of `lanes` that keeps the tile in L1, or 64."""
    fits = TILE_BYTES // (itemsize * (2 * depth + 6))
    return max(lanes, max(LEAST_LANES, fits) // lanes * lanes)


@inner
def largest_tile(wiring: Any, lanes: int, itemsize: int) -> Any:
    """(elements of x, lanes) that suffice for every tile."""
    elements = 0
    most = 0
    for level in range(1, wiring.level_ptr.shape[0] - 1):
        depth = wiring.level_slots[level + 1] - wiring.level_slots[level]
        width = (wiring.level_ptr[level + 1] - wiring.level_ptr[level]) * lanes
        pitch = min(width, tile_lanes(depth, lanes, itemsize))
        elements = max(elements, depth * pitch)
        most = max(most, pitch)
    return elements, most


@inner
def forward(
    omega: Any,
    wiring: Any,
    batch: Any,
    b0: int,
    top: int,
    theta: Source,
    z: Source,
    v_hi: Any,
    v_lo: Any,
    keep: Any,
    v_dot: Any,
    c: Any,
    buffers: Any,
    widths: Any,
) -> bool:
    """v over levels 1..top; κ where `keep` has room; v̇ and c where `v_dot` has."""
    real = v_hi.dtype.type
    lanes = batch.lanes
    x_hi, x_lo, x_dot, m_hi, m_lo, shift, kappa, spare = buffers
    tangent = v_dot.shape[0] > 0
    rate = real(1) / omega.gamma
    tolerance = real(4 * np.finfo(real).eps)
    on_edges = wiring.edge_blocks.shape[0] > 0
    tiles.fill(v_hi, real(0))
    tiles.fill(v_lo[: wiring.level_ptr[1] * lanes], real(0))
    bad = read_hoisted(v_hi, theta, wiring, batch, b0)
    if tangent:
        tiles.fill(v_dot, real(0))
        bad |= read_hoisted(v_dot, z, wiring, batch, b0)
    for level in range(1, top + 1):
        n0 = wiring.level_ptr[level]
        n1 = wiring.level_ptr[level + 1]
        s0 = wiring.level_slots[level]
        all_slots = wiring.level_slots[level + 1] - s0
        step = tile_lanes(all_slots, lanes, v_hi.itemsize) // lanes
        for k0 in range(n0, n1, step):
            k1 = min(k0 + step, n1)
            pitch = (k1 - k0) * lanes
            depth = 0
            for d in range(all_slots):
                count = min(k1 - n0, wiring.slot_width[s0 + d]) - (k0 - n0)
                if count <= 0:
                    break
                widths[d] = count * lanes
                depth = d + 1
            width = widths[:depth]
            for d in range(depth):
                first = wiring.slot_first[s0 + d] + (k0 - n0)
                gather(x_hi, d * pitch, v_hi, wiring.parent, first, width[d] // lanes, lanes)
                gather(x_lo, d * pitch, v_lo, wiring.parent, first, width[d] // lanes, lanes)
            if on_edges:
                # x_dot is free until the tangent: it holds the sum of the edge's potentials
                tiles.fill(x_dot[: depth * pitch], real(0))
                bad |= read_tile(x_dot, pitch, theta, wiring, batch, b0, level, (k0, k1))
                for d in range(depth):
                    lo = d * pitch
                    hi = lo + width[d]
                    tiles.enter_edges(x_hi[lo:hi], x_lo[lo:hi], x_dot[lo:hi])
            best_hi = m_hi[:pitch]
            best_lo = m_lo[:pitch]
            tiles.fill(best_hi, real(-np.inf))
            tiles.fill(best_lo, real(0))
            for d in range(depth):
                lo = d * pitch
                hi = lo + width[d]
                tiles.keep_larger(best_hi[: width[d]], best_lo[: width[d]], x_hi[lo:hi], x_lo[lo:hi])
            for d in range(depth):
                lo = d * pitch
                hi = lo + width[d]
                tiles.scale(x_hi[lo:hi], x_lo[lo:hi], best_hi[: width[d]], best_lo[: width[d]], rate)
            a = shift[:pitch]
            energy = kappa[:pitch]
            tiles.solve(omega, x_hi, pitch, width, a, energy, spare[:pitch], tolerance)
            row = slice(k0 * lanes, k1 * lanes)
            if first_only(omega):
                tiles.set_maxima(v_hi[row], v_lo[row], best_hi, best_lo)
            else:
                tiles.set_values(v_hi[row], v_lo[row], best_hi, best_lo, a, energy, omega.gamma)
            if keep.shape[0] > 0:
                kept = a if first_only(omega) else energy
                to = keep[row]
                for w in range(pitch):
                    to[w] = kept[w]
            if tangent:
                for d in range(depth):
                    first = wiring.slot_first[s0 + d] + (k0 - n0)
                    gather(x_dot, d * pitch, v_dot, wiring.parent, first, width[d] // lanes, lanes)
                if on_edges:
                    bad |= read_tile(x_dot, pitch, z, wiring, batch, b0, level, (k0, k1))
                tangent_tile(omega, x_hi, x_dot, pitch, width, a, spare[:pitch], v_dot[row], c[row] if c.shape[0] > 0 else c)
    return bad


@inner
def tangent_tile(
    omega: Any, y: Any, x_dot: Any, pitch: int, width: Any, shift: Any, spare: Any, v_dot: Any, c: Any
) -> None:
    """v̇ = Σ q ẋ (A1), and c, the mean of ẋ under s, from which q̇ comes back (A2)."""
    zero = y.dtype.type(0)
    for d in range(width.shape[0]):
        row = slice(d * pitch, d * pitch + width[d])
        tiles.add_products(omega, v_dot[: width[d]], y[row], y.dtype.type(d), shift[: width[d]], x_dot[row])
    if c.shape[0] > 0:
        tiles.fill(c, zero)
        tiles.fill(spare, zero)
        for d in range(width.shape[0]):
            row = slice(d * pitch, d * pitch + width[d])
            tiles.add_curved_products(omega, c[: width[d]], y[row], shift[: width[d]], x_dot[row])
            tiles.add_curvatures(omega, spare[: width[d]], y[row], shift[: width[d]])
        tiles.set_centres(c, spare)


@inner
def seed(bar: Any, wiring: Any, batch: Any, b0: int, top: int, ends: Any, v_hi: Any) -> None:
    """ē = 1 at each sample's end, unless no path reaches it."""
    real = bar.dtype.type
    tiles.fill(bar, real(0))
    for b in range(batch.lanes):
        at = ends[sample_of(batch, b0, b)] * batch.lanes + b
        bar[at] = real(1) if v_hi[at] > real(-np.inf) else real(0)


@inner
def edge_arguments(wiring: Any, batch: Any, b0: int, edges: Any, theta: Source, rate: Any, state: Any, rows: Any) -> None:
    """(x_e - v_i)/γ of outgoing edges into rows[0], and κ_i into rows[1]."""
    v_hi, v_lo, kappa = state
    y, shift, j_lo, i_hi, i_lo, w = rows
    lanes = batch.lanes
    first = edges[0]
    count = edges[1] - first
    size = count * lanes
    gather(y, 0, v_hi, wiring.out_parent, first, count, lanes)
    gather(j_lo, 0, v_lo, wiring.out_parent, first, count, lanes)
    gather(i_hi, 0, v_hi, wiring.out_child, first, count, lanes)
    gather(i_lo, 0, v_lo, wiring.out_child, first, count, lanes)
    gather(shift, 0, kappa, wiring.out_child, first, count, lanes)
    tiles.fill(w[:size], w.dtype.type(0))
    read_out_edges(w, theta, wiring, batch, b0, edges)
    rejoin(y[:size], j_lo[:size], i_hi[:size], i_lo[:size], w[:size], rate)


@inner
def rejoin(j_hi: Any, j_lo: Any, i_hi: Any, i_lo: Any, theta: Any, rate: Any) -> None:
    for w in range(theta.shape[0]):
        j_hi[w] = rejoined(theta[w], j_hi[w], j_lo[w], i_hi[w], i_lo[w], rate)


@inner
def weigh(omega: Any, y: Any, shift: Any, slots: Any, first: int, lanes: int) -> None:
    """y becomes q. Only HardMax asks for slots, and then every lane of an edge has the same one."""
    if first_only(omega):
        for k in range(y.shape[0] // lanes):
            for b in range(lanes):
                w = k * lanes + b
                y[w] = weight(omega, y[w], y.dtype.type(slots[first + k]), shift[w])
    else:
        zero = y.dtype.type(0)
        for w in range(y.shape[0]):
            y[w] = weight(omega, y[w], zero, shift[w])


@inner
def pour(bar: Any, q: Any) -> None:
    """ē of the child becomes e of the edge."""
    for w in range(bar.shape[0]):
        bar[w] = edge_flow(q[w], bar[w])


@inner
def backward(
    omega: Any,
    wiring: Any,
    batch: Any,
    b0: int,
    top: int,
    theta: Source,
    state: Any,
    bar: Any,
    out: Any,
    rows: Any,
) -> None:
    """E and ē by pulling: a level's nodes read their outgoing edges and the children at the other ends."""
    real = bar.dtype.type
    lanes = batch.lanes
    q, shift, flow = rows[0], rows[1], rows[2]
    chunk = max(1, q.shape[0] // lanes)
    rate = real(1) / omega.gamma
    for level in range(top - 1, -1, -1):
        e1 = wiring.out_ptr[wiring.level_ptr[level + 1]]
        for first in range(wiring.out_ptr[wiring.level_ptr[level]], e1, chunk):
            edges = (first, min(first + chunk, e1))
            count = edges[1] - first
            size = count * lanes
            edge_arguments(wiring, batch, b0, edges, theta, rate, state, rows)
            weigh(omega, q[:size], shift[:size], wiring.out_slot, first, lanes)
            gather(flow, 0, bar, wiring.out_child, first, count, lanes)
            pour(flow[:size], q[:size])
            scatter_add(bar, wiring.out_parent, first, count, flow, lanes)
            write_out_edges(out, theta.shared, wiring, batch, b0, edges, flow)
    write_hoisted(out, theta.shared, wiring, batch, b0, bar)


@inner
def curve(omega: Any, s: Any, y: Any, shift: Any) -> None:
    for w in range(y.shape[0]):
        s[w] = curvature(omega, y[w], shift[w])


@inner
def bend(s: Any, x_dot: Any, c: Any, rate: Any) -> None:
    """s becomes q̇."""
    for w in range(s.shape[0]):
        s[w] = weight_tangent(s[w], x_dot[w], c[w], rate)


@inner
def mix(bar_dot: Any, q: Any, q_dot: Any, bar: Any) -> None:
    """ē̇ of the child becomes ė of the edge."""
    for w in range(q.shape[0]):
        bar_dot[w] = flow_tangent(q[w], q_dot[w], bar[w], bar_dot[w])


@inner
def backward_tangent(
    omega: Any,
    wiring: Any,
    batch: Any,
    b0: int,
    top: int,
    theta: Source,
    z: Source,
    state: Any,
    v_dot: Any,
    c: Any,
    bar: Any,
    bar_dot: Any,
    out: Any,
    rows: Any,
) -> None:
    """Ė (A3): the tangent of the backward pass, beside ē itself."""
    real = bar.dtype.type
    lanes = batch.lanes
    q, shift, flow, flow_dot, q_dot, x_dot = rows
    chunk = max(1, q.shape[0] // lanes)
    rate = real(1) / omega.gamma
    for level in range(top - 1, -1, -1):
        e1 = wiring.out_ptr[wiring.level_ptr[level + 1]]
        for first in range(wiring.out_ptr[wiring.level_ptr[level]], e1, chunk):
            edges = (first, min(first + chunk, e1))
            count = edges[1] - first
            size = count * lanes
            edge_arguments(wiring, batch, b0, edges, theta, rate, state, rows)
            curve(omega, q_dot[:size], q[:size], shift[:size])
            weigh(omega, q[:size], shift[:size], wiring.out_slot, first, lanes)
            gather(x_dot, 0, v_dot, wiring.out_parent, first, count, lanes)
            read_out_edges(x_dot, z, wiring, batch, b0, edges)
            gather(flow, 0, c, wiring.out_child, first, count, lanes)
            bend(q_dot[:size], x_dot[:size], flow[:size], rate)
            gather(flow, 0, bar, wiring.out_child, first, count, lanes)
            gather(flow_dot, 0, bar_dot, wiring.out_child, first, count, lanes)
            mix(flow_dot[:size], q[:size], q_dot[:size], flow[:size])
            pour(flow[:size], q[:size])
            scatter_add(bar, wiring.out_parent, first, count, flow, lanes)
            scatter_add(bar_dot, wiring.out_parent, first, count, flow_dot, lanes)
            write_out_edges(out, theta.shared, wiring, batch, b0, edges, flow_dot)
    write_hoisted(out, theta.shared, wiring, batch, b0, bar_dot)


@inner
def tile_buffers(like: Any, wiring: Any, lanes: int, tangent: bool) -> Any:
    elements, most = largest_tile(wiring, lanes, like.itemsize)
    extra = elements if tangent or wiring.edge_blocks.shape[0] > 0 else 0
    return (
        np.empty(elements, like.dtype),
        np.empty(elements, like.dtype),
        np.empty(extra, like.dtype),
        np.empty(most, like.dtype),
        np.empty(most, like.dtype),
        np.empty(most, like.dtype),
        np.empty(most, like.dtype),
        np.empty(most, like.dtype),
    )


@inner
def edge_rows(like: Any, lanes: int) -> Any:
    """Six rows of outgoing-edge lanes, sized to stay in L1 together."""
    size = max(lanes, TILE_BYTES // (6 * like.itemsize) // lanes * lanes)
    return (
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
    )


@inner
def most_slots(wiring: Any) -> int:
    most = 1
    for level in range(wiring.level_ptr.shape[0] - 1):
        most = max(most, wiring.level_slots[level + 1] - wiring.level_slots[level])
    return most


@inner
def hand_back(out: Any, state: Any, batch: Any, b0: int, ends: Any, sign: Any) -> None:
    """The state of each sample's end node."""
    for b in range(min(batch.lanes, batch.last - b0)):
        out[b0 + b] = sign * state[ends[b0 + b] * batch.lanes + b]


# ------------------------------------------------------------------------------------- entry points
# Each returns whether a NaN, or an infinity of the wrong sign, was read anywhere.


def _value(omega, wiring, batch, ends, theta, value):  # type: ignore[no-untyped-def]
    size = wiring.level_ptr[-1] * batch.lanes
    v_hi = np.empty(size, value.dtype)
    v_lo = np.empty(size, value.dtype)
    none = np.empty(0, value.dtype)
    buffers = tile_buffers(value, wiring, batch.lanes, False)
    widths = np.empty(most_slots(wiring), np.int64)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(wiring, batch, b0, ends)
        bad |= forward(
            omega, wiring, batch, b0, top, theta, theta, v_hi, v_lo, none, none, none, buffers, widths
        )
        hand_back(value, v_hi, batch, b0, ends, theta.sign)
    return bad


def _gradient(omega, wiring, batch, ends, theta, value, out):  # type: ignore[no-untyped-def]
    size = wiring.level_ptr[-1] * batch.lanes
    v_hi = np.empty(size, value.dtype)
    v_lo = np.empty(size, value.dtype)
    kappa = np.zeros(size, value.dtype)
    bar = np.empty(size, value.dtype)
    none = np.empty(0, value.dtype)
    buffers = tile_buffers(value, wiring, batch.lanes, False)
    rows = edge_rows(value, batch.lanes)
    widths = np.empty(most_slots(wiring), np.int64)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(wiring, batch, b0, ends)
        bad |= forward(
            omega, wiring, batch, b0, top, theta, theta, v_hi, v_lo, kappa, none, none, buffers, widths
        )
        hand_back(value, v_hi, batch, b0, ends, theta.sign)
        seed(bar, wiring, batch, b0, top, ends, v_hi)
        backward(omega, wiring, batch, b0, top, theta, (v_hi, v_lo, kappa), bar, out, rows)
    return bad


def _jvp(omega, wiring, batch, ends, theta, z, value, slope):  # type: ignore[no-untyped-def]
    size = wiring.level_ptr[-1] * batch.lanes
    v_hi = np.empty(size, value.dtype)
    v_lo = np.empty(size, value.dtype)
    v_dot = np.empty(size, value.dtype)
    none = np.empty(0, value.dtype)
    buffers = tile_buffers(value, wiring, batch.lanes, True)
    widths = np.empty(most_slots(wiring), np.int64)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(wiring, batch, b0, ends)
        bad |= forward(
            omega, wiring, batch, b0, top, theta, z, v_hi, v_lo, none, v_dot, none, buffers, widths
        )
        hand_back(value, v_hi, batch, b0, ends, theta.sign)
        hand_back(slope, v_dot, batch, b0, ends, value.dtype.type(1))
    return bad


def _hessian(omega, wiring, batch, ends, theta, z, value, slope, out):  # type: ignore[no-untyped-def]
    size = wiring.level_ptr[-1] * batch.lanes
    v_hi = np.empty(size, value.dtype)
    v_lo = np.empty(size, value.dtype)
    kappa = np.zeros(size, value.dtype)
    v_dot = np.empty(size, value.dtype)
    c = np.zeros(size, value.dtype)
    bar = np.empty(size, value.dtype)
    bar_dot = np.empty(size, value.dtype)
    buffers = tile_buffers(value, wiring, batch.lanes, True)
    rows = edge_rows(value, batch.lanes)
    widths = np.empty(most_slots(wiring), np.int64)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(wiring, batch, b0, ends)
        bad |= forward(
            omega, wiring, batch, b0, top, theta, z, v_hi, v_lo, kappa, v_dot, c, buffers, widths
        )
        hand_back(value, v_hi, batch, b0, ends, theta.sign)
        hand_back(slope, v_dot, batch, b0, ends, value.dtype.type(1))
        seed(bar, wiring, batch, b0, top, ends, v_hi)
        tiles.fill(bar_dot, value.dtype.type(0))
        state = (v_hi, v_lo, kappa)
        backward_tangent(
            omega, wiring, batch, b0, top, theta, z, state, v_dot, c, bar, bar_dot, out, rows
        )
    return bad


value_kernel = Kernel(_value)
gradient_kernel = Kernel(_gradient)
jvp_kernel = Kernel(_jvp)
hessian_kernel = Kernel(_hessian)
