"""The backward pass, pulling over outgoing edges: a level's nodes read the children at the other ends.

Every edge's weight is made anew from the numbers its two ends keep, in flat loops over (edge, sample).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels import tiles
from dagdp.kernels.exchange import Batch, Source, last_at_most, quantity, read_run, write_run
from dagdp.kernels.forward import TILE_BYTES
from dagdp.kernels.hoisted import write_hoisted
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.operator import exponential, first_only
from dagdp.kernels.recursion import (
    argument,
    curvature,
    difference,
    flow_tangent,
    rejoined,
    two_sum,
    weight,
    weight_tangent,
)
from dagdp.kernels.recursion import flow as edge_flow
from dagdp.kernels.rows import add_rows, aligned, fetch, number, spread, view
from dagdp.kernels.vectors import lend, part, pick
from dagdp.progressions import CHILD, COUNT, FIRST, PARENT, SLOT

ROWS = 7


@inner
def edge_rows(like: Any, lanes: int) -> Any:
    """(rows, pitch): rows of (edge, sample), sized to stay in L1 together, one after the other."""
    pitch = max(lanes, TILE_BYTES // (ROWS * like.itemsize) // lanes * lanes)
    return aligned(like, ROWS * pitch), pitch


@inner
def seed(bar: Any, batch: Batch, b0: int, ends: Any, v_hi: Any) -> None:
    """ē = 1 at each sample's ends, unless no path reaches them."""
    real = bar.dtype.type
    tiles.fill(bar, real(0))
    for b in range(batch.lanes):
        first = min(b0 + b, batch.last - 1) * batch.graphs
        for end in ends[first : first + batch.graphs]:
            at = end * batch.lanes + b
            bar[at] = real(1) if v_hi[at] > real(-np.inf) else real(0)


@inner
def take_difference(y: Any, low: Any, j: Any, i: Any) -> None:
    """θ in y becomes θ + v_j - v_i in (y, low)."""
    for w in range(y.shape[0]):
        y[w], low[w] = difference(y[w], j[w], i[w])


@inner
def add_own(y: Any, low: Any, own: Any) -> None:
    """The potentials that the edge's child has for itself."""
    for w in range(y.shape[0]):
        y[w], rest = two_sum(y[w], own[w])
        low[w] += rest


@inner
def rejoin(y: Any, low: Any, j_lo: Any, i_lo: Any, rate: Any) -> None:
    for w in range(y.shape[0]):
        y[w] = rejoined(y[w], low[w], j_lo[w], i_lo[w], rate)


@inner
def add_shifts(omega: Any, y: Any, shift: Any) -> None:
    """y becomes what link is asked at."""
    real = y.dtype.type
    for w in range(y.shape[0]):
        y[w] = argument(omega, y[w], real(0), shift[w])


@inner
def add_shift(omega: Any, y: Any, shift: Any) -> None:
    """The same where κ is one number for all nodes."""
    real = y.dtype.type
    for w in range(y.shape[0]):
        y[w] = argument(omega, y[w], real(0), shift)


@inner
def find_chosen(omega: Any, y: Any, chosen: Any, slots: Any, lanes: int) -> None:
    """The same under HardMax: nothing but whether the edge's slot is the one its child took."""
    real = y.dtype.type
    tiles.fill(y, real(0))
    for k in range(y.shape[0] // lanes):
        spread(y, k * lanes, real(number(slots, k)), lanes)
    for w in range(y.shape[0]):
        y[w] = argument(omega, real(0), y[w], chosen[w])


@inlined
def arguments_of_run(
    omega: Any,
    outgoing: Any,
    batch: Batch,
    b0: int,
    run: int,
    skip: int,
    count: int,
    theta: Source,
    state: Any,
    edges: Any,
    room: Any,
) -> None:
    """Row 0 = what link is asked at, for the edges of (part of) a run."""
    v_hi, v_lo, kappa, _, _, own, _ = state
    rows, pitch = edges
    real = v_hi.dtype.type
    lanes = batch.lanes
    size = count * lanes
    parents, children = quantity(outgoing, run, PARENT, skip), quantity(outgoing, run, CHILD, skip)
    y, low = part(rows, 0, size), part(rows, 3 * pitch, size)
    one, two = part(rows, pitch, size), part(rows, 2 * pitch, size)
    if first_only(omega):
        chosen = view(one, kappa, children, count, lanes)
        find_chosen(omega, y, chosen, quantity(outgoing, run, SLOT, skip), lanes)
        return
    tiles.fill(y, real(0))
    read_run(y, room, theta, outgoing, batch, b0, run, skip)
    j = view(one, v_hi, parents, count, lanes)
    i = view(two, v_hi, children, count, lanes)
    take_difference(y, low, j, i)
    if own.shape[0] > 0:
        add_own(y, low, view(one, own, children, count, lanes))
    j = view(one, v_lo, parents, count, lanes)
    i = view(two, v_lo, children, count, lanes)
    rejoin(y, low, j, i, real(1) / omega.gamma)
    if exponential(omega):
        add_shift(omega, y, real(1))
    else:
        add_shifts(omega, y, view(one, kappa, children, count, lanes))


@inner
def pour(omega: Any, out: Any, u: Any, bar: Any) -> None:
    """e = q ē."""
    for w in range(u.shape[0]):
        out[w] = edge_flow(weight(omega, u[w]), bar[w])


@inner
def backward(
    omega: Any,
    outgoing: Any,
    hoisted: Any,
    batch: Batch,
    b0: int,
    top: int,
    theta: Source,
    state: Any,
    bar: Any,
    out: Any,
    edges: Any,
    room: Any,
) -> None:
    """E, and ē at every node (Algorithm 1)."""
    outgoing, theta, out = lend(outgoing), lend(theta), lend(out)
    state, edges, room, bar = lend(state), lend(edges), lend(room), lend(bar)
    rows, pitch = edges
    lanes = batch.lanes
    chunk = pitch // lanes
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        newest = pick(outgoing.level_runs, min(top, pick(hoisted.levels, band + 1)))
        for run in range(newest - 1, pick(outgoing.level_runs, pick(hoisted.levels, band)) - 1, -1):
            edges_of_run = pick(outgoing.runs, run * outgoing.runs.shape[1] + COUNT)
            for skip in range(0, edges_of_run, chunk):
                count = min(chunk, edges_of_run - skip)
                size = count * lanes
                arguments_of_run(omega, outgoing, batch, b0, run, skip, count, theta, state, edges, room)
                u, one, flow = part(rows, 0, size), part(rows, pitch, size), part(rows, 4 * pitch, size)
                pour(omega, flow, u, view(one, bar, quantity(outgoing, run, CHILD, skip), count, lanes))
                add_rows(bar, quantity(outgoing, run, PARENT, skip), flow, count, lanes)
                write_run(out, room, theta, outgoing, batch, b0, run, skip, flow)
        write_hoisted(out, room, theta, hoisted, band, batch, b0, bar)


@inner
def local_weights(
    omega: Any,
    outgoing: Any,
    batch: Batch,
    b0: int,
    top: int,
    theta: Source,
    state: Any,
    out: Any,
    edges: Any,
    room: Any,
) -> None:
    """q of every edge that leaves a level before `top`: out [samples, edges in the order of `outgoing`].

    0 at a node that no path reaches: the argument of HardMax alone would not show it.
    """
    outgoing, theta, out = lend(outgoing), lend(theta), lend(out)
    state, edges, room = lend(state), lend(edges), lend(room)
    v_hi = state[0]
    rows, pitch = edges
    lowest = v_hi.dtype.type(-np.inf)
    lanes = batch.lanes
    chunk = pitch // lanes
    for run in range(outgoing.level_runs[top] - 1, -1, -1):
        edges_of_run = pick(outgoing.runs, run * outgoing.runs.shape[1] + COUNT)
        for skip in range(0, edges_of_run, chunk):
            count = min(chunk, edges_of_run - skip)
            arguments_of_run(omega, outgoing, batch, b0, run, skip, count, theta, state, edges, room)
            children = quantity(outgoing, run, CHILD, skip)
            first = pick(outgoing.runs, run * outgoing.runs.shape[1] + FIRST) + skip
            for b in range(min(lanes, batch.last - b0)):
                for e in range(count):
                    if v_hi[number(children, e) * lanes + b] > lowest:
                        out[b0 + b, first + e] = weight(omega, rows[e * lanes + b])


@inner
def weigh(omega: Any, u: Any, s: Any) -> None:
    """u becomes q, and s the curvatures: in one loop, since an operator's functions share their logarithms."""
    for w in range(u.shape[0]):
        s[w] = curvature(omega, u[w])
        u[w] = weight(omega, u[w])


@inner
def bend(s: Any, x_dot: Any, c: Any, rate: Any) -> None:
    """s becomes q̇."""
    for w in range(s.shape[0]):
        s[w] = weight_tangent(s[w], x_dot[w], c[w], rate)


@inner
def mix(out: Any, q: Any, q_dot: Any, bar: Any, bar_dot: Any) -> None:
    """ė = q̇ ē + q ē̇."""
    for w in range(q.shape[0]):
        out[w] = flow_tangent(q[w], q_dot[w], bar[w], bar_dot[w])


@inner
def carry(q: Any, bar: Any) -> None:
    """q becomes e = q ē."""
    for w in range(q.shape[0]):
        q[w] = edge_flow(q[w], bar[w])


@inner
def backward_tangent(
    omega: Any,
    outgoing: Any,
    hoisted: Any,
    batch: Batch,
    b0: int,
    top: int,
    theta: Source,
    z: Source,
    state: Any,
    bar: Any,
    bar_dot: Any,
    out: Any,
    edges: Any,
    room: Any,
) -> None:
    """Ė (Algorithm 2, A3), beside ē and its tangent at every node."""
    outgoing, theta, z, out = lend(outgoing), lend(theta), lend(z), lend(out)
    state, edges, room, bar, bar_dot = lend(state), lend(edges), lend(room), lend(bar), lend(bar_dot)
    _, _, _, v_dot, c, _, _ = state
    rows, pitch = edges
    lanes = batch.lanes
    chunk = pitch // lanes
    rate = v_dot.dtype.type(1) / omega.gamma
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        newest = pick(outgoing.level_runs, min(top, pick(hoisted.levels, band + 1)))
        for run in range(newest - 1, pick(outgoing.level_runs, pick(hoisted.levels, band)) - 1, -1):
            edges_of_run = pick(outgoing.runs, run * outgoing.runs.shape[1] + COUNT)
            for skip in range(0, edges_of_run, chunk):
                count = min(chunk, edges_of_run - skip)
                size = count * lanes
                arguments_of_run(omega, outgoing, batch, b0, run, skip, count, theta, state, edges, room)
                q, one, two = part(rows, 0, size), part(rows, pitch, size), part(rows, 2 * pitch, size)
                flow_dot = part(rows, 4 * pitch, size)
                q_dot, x_dot = part(rows, 5 * pitch, size), part(rows, 6 * pitch, size)
                parents, children = quantity(outgoing, run, PARENT, skip), quantity(outgoing, run, CHILD, skip)
                weigh(omega, q, q_dot)
                fetch(x_dot, 0, v_dot, parents, count, lanes)
                read_run(x_dot, room, z, outgoing, batch, b0, run, skip)
                bend(q_dot, x_dot, view(one, c, children, count, lanes), rate)
                above = view(one, bar, children, count, lanes)
                above_dot = view(two, bar_dot, children, count, lanes)
                mix(flow_dot, q, q_dot, above, above_dot)
                carry(q, above)
                add_rows(bar, parents, q, count, lanes)
                add_rows(bar_dot, parents, flow_dot, count, lanes)
                write_run(out, room, theta, outgoing, batch, b0, run, skip, flow_dot)
        write_hoisted(out, room, theta, hoisted, band, batch, b0, bar_dot)
