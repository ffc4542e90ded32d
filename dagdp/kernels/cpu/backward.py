"""The backward pass, pulling over outgoing edges: a level's nodes read the children at the other ends.

Every edge's weight is made anew from the numbers its two ends keep, a row at a time: one edge of all samples, or
neighbouring edges of one sample (ends.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.progressions import CHILD, FIRST, LISTED, PARENT, SLOT
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.edge_ends import Along, Ends, edge_weight, expect_ends, expect_tangents, row_ends
from dagdp.kernels.cpu.outgoing_runs import columns_of, edges_of, quantity, read_run, write_run
from dagdp.kernels.cpu.packing.entries import Batch, Source, last_at_most, put
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.rows import add_to, fill, number
from dagdp.kernels.cpu.special.tied_levels import tied_backward, tied_flush, tied_hand_over
from dagdp.kernels.recursion import (
    flow,
    flow_tangent,
    weight_tangent,
)
from dagdp.lanes.gather import add_vector
from dagdp.lanes.operators import first_only
from dagdp.lanes.rows import load, rounded, row_of, store
from dagdp.lanes.views import FAR, pick, row_length

CHUNK = 256  # rows of edges whose potentials are read, and flows written, at once: 16 KiB each


@inner
def seed(bar: Any, first: int, last: int, batch: Batch, b0: int, ends: Any, v_hi: Any, weights: Any) -> None:
    """ē = 1, or the item's weight where there are any, at each sample's ends among nodes [first, last), unless no path
    reaches them."""
    real = bar.dtype.type
    for b in range(batch.lanes):
        item = min(b0 + b, batch.last - 1)
        weight = pick(weights, item) if weights.shape[0] > 0 else real(1)
        for end in ends[item * batch.graphs : (item + 1) * batch.graphs]:
            if first <= end and end < last:
                at = end * batch.lanes + b
                bar[at] = weight if v_hi[at] > real(-np.inf) else real(0)


@inlined
def seed_all(incoming: Any, batch: Batch, b0: int, ends: Any, weights: Any, state: Any, bar: Any, along: Any) -> None:
    """The same of all nodes, and 0 elsewhere, as are the tangents."""
    fill(bar, 0, bar.shape[0], 0)
    seed(bar, 0, incoming.levels[-1], batch, b0, ends, state[0], weights)
    if along is not None:
        fill(along.bar_dot, 0, along.bar_dot.shape[0], 0)


@inlined
def hand_up(
    bar: Any, outgoing: Any, run: int, skip: int, ends: Ends, row: Any, batch: Batch, room: Any, at: int
) -> None:
    """Add a row of flows to their parents' ē, in the order of edges; `room` keeps the row at `at` for who asks."""
    if batch.together is None or outgoing.blocks.shape[0] > 0:
        store(room, at, row)
    if batch.together is not None:
        add_to(bar, ends.parent, row)
        return
    parents = quantity(outgoing, run, PARENT, skip)
    if parents[2] == 1:
        put(bar, ends.parent, load(bar, ends.parent) + row, ends.count)
    elif parents[2] == LISTED:
        add_vector(bar, parents[0], parents[1], 0, ends.count, row)
    else:
        for w in range(ends.count):
            bar[number(parents, w)] += pick(room, at + w)


@inner
def longest_run(outgoing: Any, level: int) -> int:
    """The longest run of those that leave a level."""
    found, most = -1, 0
    for run in range(outgoing.level_runs[level], outgoing.level_runs[level + 1]):
        if edges_of(outgoing, run) > most:
            found, most = run, edges_of(outgoing, run)
    return found


@inlined
def levels_of(hoisted: Any, band: int, top: int) -> Any:
    """(first, last): the band's levels below `top`."""
    return min(top, pick(hoisted.levels, band)), min(top, pick(hoisted.levels, band + 1))


@inlined
def straight_edges(omega: Any, outgoing: Any, run: int, skip: int, count: int, batch: Batch, w: Any, bar: Any) -> Any:
    """(how many of `count` edges of a run make whole rows whose parents and children rise with them; the first row's
    ends): of these nobody needs to be asked where they lie. None where edges have potentials of their own.
    """
    whole = row_length(bar)
    parents, children = quantity(outgoing, run, PARENT, skip), quantity(outgoing, run, CHILD, skip)
    slots = quantity(outgoing, run, SLOT, skip)
    ends = Ends(parents[1] * batch.lanes, children[1] * batch.lanes, row_of(bar, slots[1]), whole)
    if w is not None or parents[2] != 1 or children[2] != 1 or (first_only(omega) and slots[2] != 0):
        return 0, ends
    return (count if batch.together is not None else count - count % whole), ends


@inlined
def row_flow(omega: Any, batch: Batch, state: Any, bar: Any, ends: Ends, w: Any, at: int, below: int) -> Any:
    """e = q ē on a row of edges."""
    if below > 0:
        expect_ends(state, bar, ends, below)
    q, _ = edge_weight(omega, batch.powers, state, ends, w, at)
    return rounded(flow(q, load(bar, ends.child)))


@inlined
def row_tangent(
    omega: Any, batch: Batch, state: Any, bar: Any, along: Along, ends: Ends, w: Any, w_dot: Any, at: int, below: int
) -> Any:
    """The same, and ė = q̇ ē + q ē̇."""
    _, v_dot, c, bar_dot = along
    if below > 0:
        expect_ends(state, bar, ends, below)
        expect_tangents(along, ends, below)
    q, s = edge_weight(omega, batch.powers, state, ends, w, at)
    x_dot = load(v_dot, ends.parent)
    if w is not None:
        x_dot = x_dot + load(w_dot, at)
    q_dot = weight_tangent(s, x_dot, load(c, ends.child), bar.dtype.type(1) / omega.gamma)
    above, above_dot = load(bar, ends.child), load(bar_dot, ends.child)
    return rounded(flow(q, above)), rounded(flow_tangent(q, q_dot, above, above_dot))


@inlined
def pour(
    omega: Any, outgoing: Any, batch: Batch, b0: int, run: int, skip: int, count: int, theta: Source, state: Any,
    bar: Any, out: Any, rows: Any, square: Any, spare: int, below: int,
) -> None:  # fmt: skip
    """The flows e = q ē on `count` edges of a run, handed to their parents and to the gradient."""
    w, _, flows = rows
    lanes, whole = batch.lanes, row_length(bar)
    if w is not None and not first_only(omega):
        fill(w, 0, count * lanes, 0)
        read_run(w, square, theta, outgoing, batch, b0, run, skip, count)
    done, first = straight_edges(omega, outgoing, run, skip, count, batch, w, bar)
    for at in range(0, done * lanes, whole):
        ends = Ends(first.parent + at, first.child + at, first.slot, whole)
        add_to(bar, ends.parent, row_flow(omega, batch, state, bar, ends, w, at, below))
    for at in range(done * lanes, count * lanes, whole):
        e = skip + at // lanes
        ends = row_ends(omega, outgoing, run, e, skip + count - e, batch, spare, state, (bar, None))
        row = row_flow(omega, batch, state, bar, ends, w, at, below)
        hand_up(bar, outgoing, run, e, ends, row, batch, flows, at)
    if w is not None:
        write_run(out, square, theta, outgoing, batch, b0, run, skip, count, flows)


@inlined
def pour_tangent(
    omega: Any, outgoing: Any, batch: Batch, b0: int, run: int, skip: int, count: int, theta: Source, along: Along,
    state: Any, bar: Any, out: Any, rows: Any, square: Any, spare: int, below: int,
) -> None:  # fmt: skip
    """The same of e and ė, of which ė goes to the result."""
    w, w_dot, flows = rows
    bar_dot, lanes, whole = along.bar_dot, batch.lanes, row_length(bar)
    if w is not None:
        fill(w, 0, count * lanes, 0)
        read_run(w, square, theta, outgoing, batch, b0, run, skip, count)
        fill(w_dot, 0, count * lanes, 0)
        read_run(w_dot, square, along.z, outgoing, batch, b0, run, skip, count)
    done, first = straight_edges(omega, outgoing, run, skip, count, batch, w, bar)
    for at in range(0, done * lanes, whole):
        ends = Ends(first.parent + at, first.child + at, first.slot, whole)
        row, row_dot = row_tangent(omega, batch, state, bar, along, ends, w, w_dot, at, below)
        add_to(bar, ends.parent, row)
        add_to(bar_dot, ends.parent, row_dot)
    for at in range(done * lanes, count * lanes, whole):
        e = skip + at // lanes
        ends = row_ends(omega, outgoing, run, e, skip + count - e, batch, spare, state, (bar, bar_dot))
        row, row_dot = row_tangent(omega, batch, state, bar, along, ends, w, w_dot, at, below)
        hand_up(bar, outgoing, run, e, ends, row, batch, flows, at)
        hand_up(bar_dot, outgoing, run, e, ends, row_dot, batch, flows, at)
    if w is not None:
        write_run(out, square, theta, outgoing, batch, b0, run, skip, count, flows)


@inlined
def leave_level(
    omega: Any, incoming: Any, outgoing: Any, batch: Batch, b0: int, level: int, theta: Source, state: Any, bar: Any,
    out: Any, rows: Any, square: Any, spare: int, along: Any,
) -> None:  # fmt: skip
    """The flows on the edges that leave a level."""
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    longest = longest_run(outgoing, level) if bar.shape[0] > FAR else -1
    for run in range(outgoing.level_runs[level + 1] - 1, outgoing.level_runs[level] - 1, -1):
        below = (n1 - n0) * batch.lanes if run == longest else 0
        edges = edges_of(outgoing, run)
        for skip in range(0, edges, CHUNK):
            count = min(CHUNK, edges - skip)
            if along is None:
                pour(omega, outgoing, batch, b0, run, skip, count, theta, state, bar, out, rows, square, spare, below)
            else:
                pour_tangent(
                    omega, outgoing, batch, b0, run, skip, count, theta, along, state, bar, out, rows, square, spare,
                    below,
                )  # fmt: skip


@inner
def backward(
    omega: Any, incoming: Any, outgoing: Any, free: Any, hoisted: Any, ties: Any, batch: Batch, b0: int, top: int,
    theta: Source, state: Any, bar: Any, out: Any, rows: Any, square: Any, spare: int, along: Any,
) -> None:  # fmt: skip
    """E, and ē at every node (Algorithm 1); with `along` Ė, and the tangents of ē (Algorithm 2, A3)."""
    blocks = outgoing.blocks
    handed = bar if along is None else along.bar_dot
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        oldest, newest = levels_of(hoisted, band, top)
        for level in range(newest - 1, oldest - 1, -1):
            served = False
            if ties is not None:
                bar_dot = None if along is None else along.bar_dot
                served = tied_backward(omega, ties[0], ties[1], incoming, level + 1, batch, b0, state, bar, bar_dot)
            here = free if served else outgoing
            leave_level(omega, incoming, here, batch, b0, level, theta, state, bar, out, rows, square, spare, along)
        if state[5] is not None:
            write_hoisted(out, square, theta, hoisted, band, batch, b0, handed)
    if ties is not None:
        tied_flush(omega, ties[0], ties[1])
        tied_hand_over(ties[0], ties[1], blocks, batch, out, theta)


@inner
def local_weights(
    omega: Any, outgoing: Any, batch: Batch, b0: int, top: int, theta: Source, state: Any, out: Any, rows: Any,
    square: Any, spare: int,
) -> None:  # fmt: skip
    """q of every edge that leaves a level before `top`: out [samples, edges in the order of `outgoing`].

    0 at a node that no path reaches: the argument of HardMax alone would not show it.
    """
    v_hi = state[0]
    w, _, weights = rows
    lanes, whole = batch.lanes, row_length(v_hi)
    lowest = v_hi.dtype.type(-np.inf)
    for run in range(outgoing.level_runs[top] - 1, -1, -1):
        edges = edges_of(outgoing, run)
        for skip in range(0, edges, CHUNK):
            count = min(CHUNK, edges - skip)
            if w is not None:
                fill(w, 0, count * lanes, 0)
                read_run(w, square, theta, outgoing, batch, b0, run, skip, count)
            for at in range(0, count * lanes, whole):
                e = at // lanes
                ends = row_ends(omega, outgoing, run, skip + e, count - e, batch, spare, state, (None, None))
                q, _ = edge_weight(omega, batch.powers, state, ends, w, at)
                store(weights, at, q)
            children = quantity(outgoing, run, CHILD, skip)
            first = pick(outgoing.runs, run * columns_of(outgoing) + FIRST) + skip
            for b in range(min(lanes, batch.last - b0)):
                for e in range(count):
                    if v_hi[number(children, e) * lanes + b] > lowest:
                        out[b0 + b, first + e] = weights[e * lanes + b]
