"""The backward pass of bare.py for one sample, whose rows are neighbouring nodes: it pushes slot by slot.

A level is left in two steps. First each of its nodes learns anew what its max_Ω hung on, and keeps it where its own v
was, for which nobody asks any more: top and 1/S of powers of two, else m + γ log S; and c in the place of v̇. Then its
edges hand their flows to their parents, a slot after the other: in which order a parent adds them up depends neither
on how a level falls into rows, nor on what graphs stand beside this one.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import DESK, MOVES, TOGETHER, rows_at_once, rows_of_moves, spare_at
from dagdp.kernels.cpu.forward import solve_rows
from dagdp.kernels.cpu.operands import place_stretch
from dagdp.kernels.cpu.packing.entries import Batch
from dagdp.kernels.cpu.row_max import tangents
from dagdp.kernels.cpu.rows import add_to, later, number
from dagdp.kernels.cpu.special.scaled import highest, lowered, sum_powers
from dagdp.kernels.recursion import flow, flow_tangent, scaled, weight_tangent
from dagdp.lanes.exp_log import exp, log_of_mass
from dagdp.lanes.gather import add_vector, gather_pair, gather_vector
from dagdp.lanes.rows import first_lanes, load, rounded, row_of, select, store
from dagdp.lanes.views import behind, part, pick, row_length, rule


@inlined
def keep_mean(omega: Any, depth: int, at: int, skip: int, v_at: Any, y: Any, turn: Any, v_dot: Any) -> None:
    """c of a row that lies at `at`, in the place of its v̇."""
    _, mean = tangents(omega, depth, y, turn, behind(v_dot, skip), v_at, None, v_at, row_of(y, 0))
    store(v_dot, at, mean)


@inlined
def keep_powers(omega: Any, depth: int, first: int, stretch: Any, state: Any, buffers: Any, y: Any) -> None:
    """top and 1/S of the rows that `place_stretch` placed, the first of which lies at `first`."""
    k, m, _, v_dot, _, _, _ = state
    rows, jump, shift = stretch
    whole, real = row_length(k), k.dtype.type
    for r in range(rows):
        at, skip, v_at = first + r * whole, r * shift, part(buffers[0], r * jump, depth)
        top = highest(behind(k, skip), v_at, depth)
        mass = sum_powers(behind(k, skip), behind(m, skip), v_at, depth, top, y)
        share = select(mass > real(0), real(1) / mass, real(0))
        if v_dot is not None:
            keep_mean(omega, depth, at, skip, v_at, y, share, v_dot)
        store(k, at, top)
        store(m, at, share)


@inlined
def keep_values(omega: Any, depth: int, first: int, stretch: Any, state: Any, buffers: Any) -> None:
    """m + γ log S, as (hi, lo), likewise; m where no path comes, so that of weights there is 0."""
    v_hi, v_lo, _, v_dot, _, _, _ = state
    rows, jump, shift = stretch
    places, _, _, y, desk, _ = buffers
    whole, real = row_length(v_hi), v_hi.dtype.type
    solve_rows(omega, depth, rows, (jump, shift), state, buffers, 0)
    for r in range(rows):
        at, skip, v_at = first + r * whole, r * shift, part(places, r * jump, depth)
        m_hi, m_lo = load(desk, DESK * r * whole), load(desk, (DESK * r + 1) * whole)
        mass = load(desk, (DESK * r + 2) * whole)
        some = mass > real(0)
        if v_dot is not None:
            share = select(some, real(1) / mass, real(0))
            keep_mean(omega, depth, at, skip, v_at, behind(y, r * depth * whole), share, v_dot)
        store(v_hi, at, m_hi)
        store(v_lo, at, select(some, m_lo + log_of_mass(mass) * omega.gamma, real(0)))


@inlined
def keep_nodes(
    omega: Any, incoming: Any, batch: Batch, level: int, node: int, last: int, state: Any, buffers: Any
) -> None:
    """The same of nodes [node, last) of a level."""
    places, _, _, y, _, _ = buffers
    most = rows_at_once(places)
    run, at = part(places, 3 * most, most), part(places, 0, most)
    n0 = pick(incoming.levels, level)
    slot, depth = pick(incoming.slots, level), pick(incoming.slots, level + 1) - pick(incoming.slots, level)
    spare = spare_at(places, incoming, 1, y)
    for d in range(depth):
        run[d] = pick(incoming.slot_runs, slot + d)
    while node < last:
        i = node - n0
        while pick(incoming.width, slot + depth - 1) <= i:
            depth -= 1
        room = last - node if batch.powers is not None else min(TOGETHER, most // depth)
        nodes, rows, jump, shift = place_stretch(
            incoming, batch, run, slot, depth, node, i, last, room, spare, state, at
        )
        stretch = rows, jump, shift
        if batch.powers is None:
            keep_values(omega, depth, node, stretch, state, buffers)
        elif depth == MOVES:
            keep_powers(omega, MOVES, node, stretch, state, buffers, rows_of_moves(y))
        else:
            keep_powers(omega, depth, node, stretch, state, buffers, y)
        node += nodes


@inlined
def slot_weight(omega: Any, batch: Batch, state: Any, hi: Any, lo: Any, child: int) -> Any:
    """q of a row of edges, from their parents' v and what `keep_nodes` left of their children."""
    v_hi, v_lo = state[0], state[1]
    if batch.powers is not None:
        return lowered(hi, lo, load(v_hi, child), v_hi) * load(v_lo, child)
    return exp(scaled(hi, lo, load(v_hi, child), load(v_lo, child), v_hi.dtype.type(1) / omega.gamma))


@inlined
def slot_flow(omega: Any, batch: Batch, state: Any, hi: Any, lo: Any, child: int, bar: Any) -> Any:
    """e = q ē on a row of edges."""
    return rounded(flow(slot_weight(omega, batch, state, hi, lo, child), load(bar, child)))


@inlined
def slot_tangent(
    omega: Any, batch: Batch, state: Any, hi: Any, lo: Any, x_dot: Any, child: int, bar: Any, bar_dot: Any
) -> Any:
    """ė = q̇ ē + q ē̇ likewise."""
    q = slot_weight(omega, batch, state, hi, lo, child)
    q_dot = weight_tangent(q, x_dot, load(state[3], child), bar.dtype.type(1) / omega.gamma)
    return rounded(flow_tangent(q, q_dot, load(bar, child), load(bar_dot, child)))


@inlined
def add_up(bar: Any, parents: Any, count: int, row: Any, room: Any) -> None:
    """Add `count` flows to their parents' ē, in the order of edges; nothing else is written back."""
    listed, first, step = parents
    if step == LISTED:
        add_vector(bar, listed, first, 0, count, row)
    else:
        store(room, 0, row)
        for w in range(count):
            bar[number(parents, w)] += pick(room, w)


@inlined
def parents_row(array: Any, parents: Any, count: int, room: Any) -> Any:
    """A row of one sample's numbers at some parents."""
    listed, first, step = parents
    if step == 1:
        return load(array, first)
    if step == LISTED:
        return gather_vector(array, listed, first, 0, count)
    for w in range(count):
        room[w] = pick(array, number(parents, w))
    return load(room, 0)


@inlined
def parents_value(state: Any, parents: Any, count: int, room: Any) -> Any:
    """The same of v."""
    if parents[2] == LISTED:
        return gather_pair(state[0], state[1], parents[0], parents[1], count)
    return parents_row(state[0], parents, count, room), parents_row(state[1], parents, count, room)


@inlined
def push_straight(
    omega: Any, batch: Batch, state: Any, parent: int, child: int, at: int, count: int, bar: Any, bar_dot: Any
) -> None:
    """The flows on a row of edges whose parents rise with their children; 0 is added behind the first `count`."""
    hi, lo = load(state[0], parent + at), load(state[1], parent + at)
    row = slot_flow(omega, batch, state, hi, lo, child + at, bar)
    if bar_dot is not None:
        x_dot = load(state[3], parent + at)
        row_dot = slot_tangent(omega, batch, state, hi, lo, x_dot, child + at, bar, bar_dot)
        add_to(bar_dot, parent + at, row_dot if count == row_length(bar) else first_lanes(row_dot, count))
    add_to(bar, parent + at, row if count == row_length(bar) else first_lanes(row, count))


@inlined
def push_listed(
    omega: Any, batch: Batch, state: Any, parents: Any, child: int, size: int, bar: Any, bar_dot: Any, room: Any
) -> None:
    """The flows on edges of which that is not known."""
    whole = row_length(bar)
    for at in range(0, size, whole):
        here, count = later(parents, at), min(whole, size - at)
        hi, lo = parents_value(state, here, count, room)
        row = slot_flow(omega, batch, state, hi, lo, child + at, bar)
        if bar_dot is not None:
            x_dot = parents_row(state[3], here, count, room)
            row_dot = slot_tangent(omega, batch, state, hi, lo, x_dot, child + at, bar, bar_dot)
            add_up(bar_dot, here, count, row_dot, room)
        add_up(bar, here, count, row, room)


@inlined
def summed(value: Any, row: Any, count: int, room: Any) -> Any:
    """A number and `count` lanes, added in their order, as they are where a parent's edges are listed."""
    store(room, 0, row)
    for w in range(count):
        value += pick(room, w)
    return value


@inlined
def push_to_one(
    omega: Any, batch: Batch, state: Any, parent: int, child: int, size: int, bar: Any, bar_dot: Any, room: Any
) -> None:
    """The flows on edges from one parent, whose sum does not go through memory."""
    whole = row_length(bar)
    hi, lo = row_of(bar, pick(state[0], parent)), row_of(bar, pick(state[1], parent))
    flows = pick(bar, parent)
    flows_dot = flows if bar_dot is None else pick(bar_dot, parent)
    for at in range(0, size, whole):
        count = min(whole, size - at)
        flows = summed(flows, slot_flow(omega, batch, state, hi, lo, child + at, bar), count, room)
        if bar_dot is not None:
            x_dot = row_of(bar, pick(state[3], parent))
            row_dot = slot_tangent(omega, batch, state, hi, lo, x_dot, child + at, bar, bar_dot)
            flows_dot = summed(flows_dot, row_dot, count, room)
    bar[parent] = flows
    if bar_dot is not None:
        bar_dot[parent] = flows_dot


@inlined
def push_run(
    omega: Any, batch: Batch, state: Any, parents: Any, child: int, size: int, bar: Any, bar_dot: Any, room: Any
) -> None:
    """The flows on `size` edges of a run, the first of which enters the node `child`."""
    _, first, step = parents
    whole = row_length(bar)
    if step == 0 and size > 1:
        push_to_one(omega, batch, state, first, child, size, bar, bar_dot, room)
    elif step == 1:
        done = size - size % whole
        for at in range(0, done, whole):
            push_straight(omega, batch, state, first, child, at, whole, bar, bar_dot)
        if done < size:
            push_straight(omega, batch, state, first, child, done, size - done, bar, bar_dot)
    else:
        push_listed(omega, batch, state, parents, child, size, bar, bar_dot, room)


@inner
def leave_level(
    omega: Any, incoming: Any, batch: Batch, level: int, state: Any, bar: Any, bar_dot: Any, buffers: Any
) -> None:
    """The flows into a level: first its nodes, then slot by slot to their parents."""
    node, last = pick(incoming.levels, level), pick(incoming.levels, level + 1)
    keep_nodes(omega, incoming, batch, level, node, last, state, buffers)
    for slot in range(pick(incoming.slots, level), pick(incoming.slots, level + 1)):
        for k in range(pick(incoming.slot_runs, slot), pick(incoming.slot_runs, slot + 1)):
            first, size = pick(incoming.runs, 4 * k), pick(incoming.runs, 4 * k + 1)
            parents = rule(incoming.parent, pick(incoming.runs, 4 * k + 2), pick(incoming.runs, 4 * k + 3))
            child = node + first - pick(incoming.first, slot)
            push_run(omega, batch, state, parents, child, size, bar, bar_dot, buffers[4])
