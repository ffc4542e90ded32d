"""What makes the weights of edges kept between the passes, in the memory of the gradient itself.

Where each edge reads an entry of its own, the gradient has a place for each edge. The forward pass puts there what
`kept_weight` asks, and the backward pass, down the levels and over incoming edges, multiplies q by ē of the child:
neither potentials nor v are read again, and still nothing is stored beside inputs and outputs. The Hessian product
goes the same way, with what `Along` holds. On graphs in no order into whose nodes few edges lead there is a place for
each edge beside the gradient, which gets what is left there: of rows of samples node by node (ordered.py), of one
sample slot by slot, as rows are met.

Nodes none of whose edges reads an entry are *bare*, as the extra end of a graph with several ends is: where the
gradient itself has the weights, those of their edges are made anew from v.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import (
    DESK,
    by_slots,
    directly,
    edges_before,
    expect_parents,
    left_of_run,
    parents_of,
    rows_at_once,
    run_at,
)
from dagdp.kernels.cpu.edge_ends import Ends, argument_of
from dagdp.kernels.cpu.packing.edge_order import in_order
from dagdp.kernels.cpu.packing.edge_potentials import read_edges, write_edges
from dagdp.kernels.cpu.packing.entries import Batch, Source, first_entry, last_at_most, put
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.row_max import kept_weight, row_kept, weighed
from dagdp.kernels.cpu.rows import add_to, fill, number
from dagdp.kernels.recursion import flow, flow_tangent, weight_tangent
from dagdp.lanes.gather import (
    add_vector,
    expect_vector,
    gather_present,
    gather_vector,
    scatter_present,
    scatter_vector,
)
from dagdp.lanes.rows import load, row_of, store
from dagdp.lanes.views import FAR, behind, lent_block, part, pick, row_length

ROWS_AHEAD = 3


@inlined
def keep_row(
    omega: Any, incoming: Any, slot: int, depth: int, node: int, e0: int, i: int, n: int, buffers: Any, r: int
) -> None:
    """What is kept of the r-th row's edges, in the place of their potentials in w, edge by edge from e0 on."""
    _, w, _, y, desk, _ = buffers
    whole = row_length(w)
    turn, y = load(desk, (DESK * r + 2) * whole), behind(y, r * depth * whole)
    for d in range(depth):
        row = row_kept(omega, y, d, turn)
        if n == 0:
            store(w, (pick(incoming.edges, node) + d - e0) * whole, row)
        else:
            have = min(n, pick(incoming.width, slot + d) - i)
            scatter_vector(w, incoming.edges, node, d - e0, have, row)


@inlined
def keep_direct(
    omega: Any, incoming: Any, slot: int, depth: int, i: int, n: int, b0: int, theta: Source, buffers: Any, r: int,
    out: Any,
) -> None:  # fmt: skip
    """The same slot by slot, or in the gradient, where rows find their entries themselves."""
    _, w, _, y, desk, held = buffers
    whole = row_length(w)
    turn, y = load(desk, (DESK * r + 2) * whole), behind(y, r * depth * whole)
    k = pick(incoming.blocks, 0)
    block, first = lent_block(out, k, w), first_entry(theta, k, b0)
    for d in range(depth):
        row = row_kept(omega, y, d, turn)
        have = min(n, pick(incoming.width, slot + d) - i)
        e = pick(incoming.first, slot + d) + i
        if held.shape[0] > 0:
            put(held, e, row, have)
            continue
        scatter_present(block, incoming.direct, e, first, have, row)
        if block.shape[0] > FAR:
            expect_vector(block, incoming.direct, e + have, first, pick(incoming.width, slot + d) - i - have)


@inlined
def of_parents(array: Any, incoming: Any, run: Any, d: int, e: int, count: int, w: Any) -> Any:
    """A row of one sample's numbers at the parents over `count` edges of a slot; the last row of w is overwritten."""
    k = run_at(incoming, run, d, e)
    listed, first, step = parents_of(incoming, k, e)
    here = left_of_run(incoming, k, e)
    if step == LISTED and here >= count:
        return gather_vector(array, listed, first, 0, count)
    if step == 1 and here >= count:
        return load(array, first)
    room = w.shape[0] - row_length(w)
    for x in range(count):
        w[room + x] = pick(array, number(parents_of(incoming, run_at(incoming, run, d, e + x), e + x), 0))
    run[d] = k
    return load(w, room)


@inlined
def push(incoming: Any, run: Any, d: int, e: int, count: int, row: Any, w: Any, bar: Any) -> None:
    """Add one sample's flows on `count` edges of a slot to their parents' ē; the last row of w keeps them."""
    k = run_at(incoming, run, d, e)
    listed, first, step = parents_of(incoming, k, e)
    here = left_of_run(incoming, k, e)
    if step == LISTED and here >= count:
        add_vector(bar, listed, first, 0, count, row)
    elif step == 1 and here >= count:
        put(bar, first, load(bar, first) + row, count)
    else:
        room = w.shape[0] - row_length(w)
        store(w, room, row)
        for x in range(count):
            bar[number(parents_of(incoming, run_at(incoming, run, d, e + x), e + x), 0)] += pick(w, room + x)
        run[d] = k


@inlined
def pour_row(
    omega: Any, incoming: Any, run: Any, slot: int, depth: int, node: int, e0: int, i: int, buffers: Any, bar: Any,
    along: Any,
) -> None:  # fmt: skip
    """e = q ē of a node's edges, a row of samples each, in the place of what w keeps, and added to the parents' ē.

    Of the Hessian product, ė = q̇ ē + q ē̇, added to the parents' ē̇.
    """
    _, w, w_dot, _, _, _ = buffers
    whole = row_length(w)
    child = node * whole
    above = load(bar, child)
    for d in range(depth):
        e, at = pick(incoming.first, slot + d) + i, (pick(incoming.edges, node) + d - e0) * whole
        k = run_at(incoming, run, d, e)
        parents = parents_of(incoming, k, e)
        parent = number(parents, 0) * whole
        here = left_of_run(incoming, k, e)
        expect_parents(bar, parents, 0, here)
        if along is not None:
            expect_parents(along.v_dot, parents, 0, here)
            expect_parents(along.bar_dot, parents, 0, here)
        q, s = kept_weight(omega, load(w, at))
        row = flow(q, above)
        add_to(bar, parent, row)
        if along is not None:
            x_dot = load(along.v_dot, parent) + load(w_dot, at)
            q_dot = weight_tangent(s, x_dot, load(along.c, child), bar.dtype.type(1) / omega.gamma)
            row = flow_tangent(q, q_dot, above, load(along.bar_dot, child))
            add_to(along.bar_dot, parent, row)
        store(w, at, row)


@inlined
def expect_places(block: Any, incoming: Any, first: int, e: int, left: int) -> None:
    """Ask for entries of edges that follow e in a slot, `left` of which are to come, if the block is large."""
    if block.shape[0] > FAR:
        ahead = ROWS_AHEAD * row_length(block)
        expect_vector(block, incoming.direct, e + ahead, first, left - ahead)


@inlined
def gather_direct(block: Any, incoming: Any, first: int, e: int, count: int, left: int) -> Any:
    """A row of the entries of `count` edges of a slot from e on; 0 where there is none."""
    expect_places(block, incoming, first, e, left)
    return gather_present(block, incoming.direct, e, first, count)


@inlined
def pour_slots(
    omega: Any, incoming: Any, run: Any, slot: int, depth: int, n0: int, node: int, last: int, e0: int, b0: int,
    kept: Source, out: Any, buffers: Any, bar: Any, along: Any,
) -> None:  # fmt: skip
    """The same of one sample, rows of neighbouring nodes [node, last): in w, or, where they are listed, in `out`.

    Slot by slot, so that a parent's sum does not hang on how a level falls into rows, and a graph has the same bits
    alone and beside others. (Node by node would do without EDGES, too, but gained 10 % in place of 25.)
    """
    _, w, _, _, _, held = buffers
    whole = row_length(w)
    direct = incoming.direct.shape[0] > 0
    block = pick(incoming.blocks, 0)
    entries, first = lent_block(out, block, w), first_entry(kept, block, b0)
    for d in range(depth):
        end = min(last, n0 + pick(incoming.width, slot + d))
        for at in range(node, end, whole):
            e, have = pick(incoming.first, slot + d) + at - n0, min(whole, end - at)
            above = load(bar, at)
            if held.shape[0] > 0:
                row = load(held, e)
                expect_places(entries, incoming, first, e, end - at)
            elif direct:
                row = gather_direct(entries, incoming, first, e, have, end - at)
            else:
                row = gather_vector(w, incoming.edges, at, d - e0, have)
            q, s = kept_weight(omega, row)
            row = flow(q, above)
            push(incoming, run, d, e, have, row, w, bar)
            if along is not None:  # only where entries are listed: see cpu.py
                z, first_z = lent_block(along.z.table, block, w), first_entry(along.z, block, b0)
                x_dot = along.z.sign * gather_direct(z, incoming, first_z, e, have, end - at)
                x_dot = x_dot + of_parents(along.v_dot, incoming, run, d, e, have, w)
                q_dot = weight_tangent(s, x_dot, load(along.c, at), bar.dtype.type(1) / omega.gamma)
                row = flow_tangent(q, q_dot, above, load(along.bar_dot, at))
                push(incoming, run, d, e, have, row, w, along.bar_dot)
            if direct:
                scatter_present(entries, incoming.direct, e, first, have, row)
            else:
                scatter_vector(w, incoming.edges, at, d - e0, have, row)


@inner
def pour_level(
    omega: Any, incoming: Any, batch: Batch, b0: int, level: int, kept: Source, out: Any, bar: Any, buffers: Any,
    square: Any, along: Any,
) -> None:  # fmt: skip
    """e, or ė, on the edges into a level, from what the gradient keeps."""
    places, w, w_dot, _, _, _ = buffers
    most = rows_at_once(places)
    run = part(places, 3 * most, most)
    lanes, whole = batch.lanes, row_length(w)
    n0, n1 = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    slot, depth = pick(incoming.slots, level), pick(incoming.slots, level + 1) - pick(incoming.slots, level)
    for d in range(depth):
        run[d] = pick(incoming.slot_runs, slot + d)
    ordered = in_order(incoming, batch)
    there = directly(incoming, batch) or ordered
    k = n0
    while k < n1:
        last = n1 if ordered else k + edges_before(incoming, k, n1, batch, whole)
        e0, e1 = 0 if ordered else pick(incoming.edges, k), pick(incoming.edges, last)
        if not there:
            fill(w, 0, (e1 - e0) * lanes, 0)
            read_edges(w, square, kept, incoming, batch, b0, e0, e1)
            if along is not None:
                fill(w_dot, 0, (e1 - e0) * lanes, 0)
                read_edges(w_dot, square, along.z, incoming, batch, b0, e0, e1)
        if batch.together is None:
            pour_slots(omega, incoming, run, slot, depth, n0, k, last, e0, b0, kept, out, buffers, bar, along)
            k = last
        else:
            while k < last:
                while pick(incoming.width, slot + depth - 1) <= k - n0:
                    depth -= 1
                pour_row(omega, incoming, run, slot, depth, k, e0, k - n0, buffers, bar, along)
                k += 1
        if not there:
            write_edges(out, w, square, kept, incoming, batch, b0, e0, e1)


@inner
def pour_bare(
    omega: Any, incoming: Any, level: int, node: int, batch: Batch, run: Any, state: Any, bar: Any, along: Any
) -> None:
    """The same of the edges into a bare node. Of one sample, the first lane counts."""
    v_hi = state[0]
    real, whole = v_hi.dtype.type, row_length(v_hi)
    lanes, count = batch.lanes, (whole if batch.together is not None else 1)
    child, i = node * lanes, node - pick(incoming.levels, level)
    slot, end = pick(incoming.slots, level), pick(incoming.slots, level + 1)
    while slot < end and i < pick(incoming.width, slot):
        e = pick(incoming.first, slot) + i
        run[0] = pick(incoming.slot_runs, slot)
        parent = number(parents_of(incoming, run_at(incoming, run, 0, e), e), 0) * lanes
        place = row_of(v_hi, real(slot - pick(incoming.slots, level)))
        u = argument_of(omega, state, Ends(parent, child, place, whole), None, 0)
        q, s = weighed(omega, u)
        above = load(bar, child)
        put(bar, parent, load(bar, parent) + flow(q, above), count)
        if along is not None:
            q_dot = weight_tangent(s, load(along.v_dot, parent), load(along.c, child), real(1) / omega.gamma)
            row = flow_tangent(q, q_dot, above, load(along.bar_dot, child))
            put(along.bar_dot, parent, load(along.bar_dot, parent) + row, count)
        slot += 1


@inner
def backward_kept(
    omega: Any, incoming: Any, hoisted: Any, batch: Batch, b0: int, top: int, theta: Source, state: Any, bar: Any,
    out: Any, buffers: Any, square: Any, along: Any,
) -> None:  # fmt: skip
    """E, and ē at every node (Algorithm 1), from what the forward pass left in `out`; with `along` Ė (Algorithm 2)."""
    kept = Source(out, bar.dtype.type(1))
    left = 0 if in_order(incoming, batch) or by_slots(incoming, batch) else incoming.bare.shape[0]
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        newest = min(top + 1, pick(hoisted.levels, band + 1))
        for level in range(newest - 1, max(1, pick(hoisted.levels, band)) - 1, -1):
            pour_level(omega, incoming, batch, b0, level, kept, out, bar, buffers, square, along)
            while left > 0 and pick(incoming.bare, left - 1) >= pick(incoming.levels, level):
                left -= 1
                node = pick(incoming.bare, left)
                if node < pick(incoming.levels, level + 1):
                    pour_bare(omega, incoming, level, node, batch, buffers[0], state, bar, along)
        if state[5] is not None:
            flow_in = bar if along is None else along.bar_dot
            write_hoisted(out, square, theta, hoisted, band, batch, b0, flow_in)
