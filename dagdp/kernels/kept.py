"""Weights kept between the passes, in the memory of the gradient itself.

Where each edge reads an entry of its own, the gradient has a place for each edge. The forward pass puts q there, and
the backward pass, down the levels and over incoming edges, multiplies it by ē of the child: no exponential is taken
twice, neither potentials nor v are read again, and still nothing is stored beside inputs and outputs.

Nodes none of whose edges reads an entry are *bare*, as the extra end of a graph with several ends is: the weights of
their edges are made anew from v.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels.backward import Ends, argument_of
from dagdp.kernels.exchange import FAR, Batch, Source, first_entry, last_at_most, put, read_edges, write_edges
from dagdp.kernels.hoisted import write_hoisted
from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.lanes import load, row_of, store
from dagdp.kernels.recursion import flow
from dagdp.kernels.rows import add_to, fill, number
from dagdp.kernels.slots import directly, edges_before, parents_of, run_at
from dagdp.kernels.solve import row_weight, weighed
from dagdp.kernels.vectors import expect_vector, gather_present, gather_vector, part, pick, row_length
from dagdp.progressions import LISTED

AHEAD = 3  # rows


@inlined
def put_lanes(w: Any, listed: Any, start: int, shift: int, count: int, row: Any) -> None:
    """w[listed[start + k] + shift] = the k-th of `count` lanes; the last row of w keeps them all."""
    room = w.shape[0] - row_length(w)
    store(w, room, row)
    for k in range(count):
        w[pick(listed, start + k) + shift] = pick(w, room + k)


@inlined
def keep_row(
    omega: Any, incoming: Any, slot: int, depth: int, node: int, e0: int, i: int, n: int, buffers: Any, turn: Any
) -> None:
    """q of a row's edges in the place of their potentials in w, edge by edge from e0 on."""
    _, w, _, y = buffers
    whole = row_length(w)
    for d in range(depth):
        q, _ = row_weight(omega, y, d, turn)
        if n == 0:
            store(w, (pick(incoming.edges, node) + d - e0) * whole, q)
        else:
            put_lanes(w, incoming.edges, node, d - e0, min(n, pick(incoming.width, slot + d) - i), q)


@inlined
def put_direct(out: Any, incoming: Any, first: int, e: int, count: int, row: Any, w: Any) -> None:
    """A row in the place of the entries of the edges of a slot from e on; the last row of w keeps it."""
    room = w.shape[0] - row_length(w)
    store(w, room, row)
    for k in range(count):
        entry = pick(incoming.direct, e + k)
        if entry >= 0:
            out[first + entry] = pick(w, room + k)


@inlined
def keep_direct(
    omega: Any, incoming: Any, slot: int, depth: int, i: int, n: int, b0: int, theta: Source, buffers: Any, turn: Any,
    out: Any,
) -> None:  # fmt: skip
    """q of a row's edges in the gradient, where rows find their entries themselves."""
    _, w, _, y = buffers
    k = pick(incoming.blocks, 0)
    first = first_entry(theta, k, b0)
    for d in range(depth):
        q, _ = row_weight(omega, y, d, turn)
        have = min(n, pick(incoming.width, slot + d) - i)
        e = pick(incoming.first, slot + d) + i
        put_direct(out[k], incoming, first, e, have, q, w)
        if out[k].shape[0] > FAR:
            expect_vector(out[k], incoming.direct, e + have, first, pick(incoming.width, slot + d) - i - have)


@inlined
def push(incoming: Any, run: Any, d: int, e: int, count: int, row: Any, w: Any, bar: Any) -> None:
    """Add one sample's flows on `count` edges of a slot, which the last row of w holds, to their parents' ē."""
    room = w.shape[0] - row_length(w)
    k = run_at(incoming, run, d, e)
    listed, first, step = parents_of(incoming, k, e)
    here = pick(incoming.runs, 4 * k) + pick(incoming.runs, 4 * k + 1) - e
    if step == LISTED and here >= count:
        for x in range(count):
            bar[pick(listed, first + x)] += pick(w, room + x)
    elif step == 1 and here >= count:
        put(bar, first, load(bar, first) + row, count)
    else:
        for x in range(count):
            bar[number(parents_of(incoming, run_at(incoming, run, d, e + x), e + x), 0)] += pick(w, room + x)


@inlined
def pour_row(incoming: Any, run: Any, slot: int, depth: int, node: int, e0: int, i: int, w: Any, bar: Any) -> None:
    """e = q ē of a node's edges, a row of samples each, in the place of q in w, and added to the parents' ē."""
    whole = row_length(w)
    above = load(bar, node * whole)
    for d in range(depth):
        e, at = pick(incoming.first, slot + d) + i, (pick(incoming.edges, node) + d - e0) * whole
        row = flow(load(w, at), above)
        store(w, at, row)
        add_to(bar, number(parents_of(incoming, run_at(incoming, run, d, e), e), 0) * whole, row)


@inlined
def pour_slots(
    incoming: Any, run: Any, slot: int, depth: int, n0: int, node: int, last: int, e0: int, first: int, out: Any,
    w: Any, bar: Any, direct: bool,
) -> None:  # fmt: skip
    """The same of one sample, rows of neighbouring nodes [node, last): in w, or (`direct`) in the gradient itself.

    Slot by slot, so that a parent's sum does not hang on how a level falls into rows, and a graph has the same bits
    alone and beside others. (Node by node would do without EDGES, too, but gained 10 % in place of 25.)
    """
    whole = row_length(w)
    for d in range(depth):
        end = min(last, n0 + pick(incoming.width, slot + d))
        for at in range(node, end, whole):
            e, have = pick(incoming.first, slot + d) + at - n0, min(whole, end - at)
            above = load(bar, at)
            if direct:
                row = flow(gather_present(out, incoming.direct, e, first, have), above)
                if out.shape[0] > FAR:
                    expect_vector(out, incoming.direct, e + AHEAD * whole, first, end - at - AHEAD * whole)
                put_direct(out, incoming, first, e, have, row, w)
            else:
                row = flow(gather_vector(w, incoming.edges, at, d - e0, have), above)
                put_lanes(w, incoming.edges, at, d - e0, have, row)
            push(incoming, run, d, e, have, row, w, bar)


@inner
def pour_level(
    incoming: Any, batch: Batch, b0: int, level: int, kept: Source, out: Any, bar: Any, buffers: Any, square: Any
) -> None:
    """e on the edges into a level, from the weights that the gradient keeps."""
    places, w, _, _ = buffers
    most = (places.shape[0] - 2) // 4
    run = part(places, 3 * most, most)
    lanes, whole = batch.lanes, row_length(w)
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    slot, depth = pick(incoming.slots, level), pick(incoming.slots, level + 1) - pick(incoming.slots, level)
    for d in range(depth):
        run[d] = pick(incoming.slot_runs, slot + d)
    direct = directly(incoming, lanes, whole)
    block = pick(incoming.blocks, 0)
    first = first_entry(kept, block, b0)
    k = n0
    while k < n1:
        last = k + edges_before(incoming, k, n1, lanes, whole)
        e0, e1 = pick(incoming.edges, k), pick(incoming.edges, last)
        if not direct:
            fill(w, 0, (e1 - e0) * lanes, 0)
            read_edges(w, square, kept, incoming, batch, b0, e0, e1)
        if lanes < whole:
            pour_slots(incoming, run, slot, depth, n0, k, last, e0, first, out[block], w, bar, direct)
            k = last
        while k < last:
            while pick(incoming.width, slot + depth - 1) <= k - n0:
                depth -= 1
            pour_row(incoming, run, slot, depth, k, e0, k - n0, w, bar)
            k += 1
        if not direct:
            write_edges(out, w, square, kept, incoming, batch, b0, e0, e1)


@inner
def pour_bare(omega: Any, incoming: Any, level: int, node: int, lanes: int, run: Any, state: Any, bar: Any) -> None:
    """The same of the edges into a bare node. Of one sample, the first lane counts."""
    v_hi = state[0]
    real, whole = v_hi.dtype.type, row_length(v_hi)
    child, i = node * lanes, node - pick(incoming.levels, level)
    slot, end = pick(incoming.slots, level), pick(incoming.slots, level + 1)
    while slot < end and i < pick(incoming.width, slot):
        e = pick(incoming.first, slot) + i
        run[0] = pick(incoming.slot_runs, slot)
        parent = number(parents_of(incoming, run_at(incoming, run, 0, e), e), 0) * lanes
        place = row_of(v_hi, real(slot - pick(incoming.slots, level)))
        u = argument_of(omega, state, Ends(parent, child, place, whole), bar[:0], 0)
        q, _ = weighed(omega, u)
        row = flow(q, load(bar, child))
        put(bar, parent, load(bar, parent) + row, whole if lanes == whole else 1)
        slot += 1


@inner
def backward_kept(
    omega: Any, incoming: Any, hoisted: Any, batch: Batch, b0: int, top: int, theta: Source, state: Any, bar: Any,
    out: Any, buffers: Any, square: Any,
) -> None:  # fmt: skip
    """E, and ē at every node (Algorithm 1), from the weights that the forward pass left in `out`."""
    real = bar.dtype.type
    kept = Source(out, theta.entries, theta.shared, real(1), real(-np.inf))
    left = incoming.bare.shape[0]
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        newest = min(top + 1, pick(hoisted.levels, band + 1))
        for level in range(newest - 1, max(1, pick(hoisted.levels, band)) - 1, -1):
            pour_level(incoming, batch, b0, level, kept, out, bar, buffers, square)
            while left > 0 and pick(incoming.bare, left - 1) >= pick(incoming.levels, level):
                left -= 1
                node = pick(incoming.bare, left)
                if node < pick(incoming.levels, level + 1):
                    pour_bare(omega, incoming, level, node, batch.lanes, buffers[0], state, bar)
        write_hoisted(out, square, theta, hoisted, band, batch, b0, bar)
