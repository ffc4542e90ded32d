"""The push of push.py for one sample, whose rows are neighbouring nodes: slot by slot.

A level is left in two steps. (1) Each node's normaliser is recomputed and stored over its v, which no later step
reads: top and 1/S of scaled values, otherwise m + γ log S; and c over v̇. (2) For each slot, the flows of its edges are
added to the parents' ē. A parent's additions have the order of slots, so bits depend neither on how a level falls into
rows nor on other graphs in a merged graph.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import (
    MOVES,
    ROWS_IN_WORK,
    RUN_COUNT,
    RUN_FIRST,
    RUN_NUMBERS,
    Cursor,
    at_node,
    enter_level,
    fan_in_at,
    rows_of_moves,
    run_parents,
    with_depth,
)
from dagdp.kernels.cpu.edge_rows import Operand, Tangents
from dagdp.kernels.cpu.memory import FOUND, MAXIMUM_HI, MAXIMUM_LO, PARENT_ROWS, address_list, most_rows, result_at
from dagdp.kernels.cpu.node_rows import solve_rows
from dagdp.kernels.cpu.operands import next_rows
from dagdp.kernels.cpu.progressions import Progression, advance, term
from dagdp.kernels.cpu.records import Adjoint, Block, Floats, Indices, Placement, Row, State, Workspace
from dagdp.kernels.cpu.rows import add_to
from dagdp.kernels.cpu.special.scaled import highest, lowered, sum_of_scaled
from dagdp.kernels.recursion import flow, flow_tangent, relative_score, weight_tangent
from dagdp.kernels.row_max import tangents
from dagdp.lanes.exp_log import exp, log_of_mass
from dagdp.lanes.gather import gather, gather_pair, scatter_add
from dagdp.lanes.rows import fenced, first_lanes, load, select, splat, store
from dagdp.lanes.views import get, offset_view, view, width


@inlined
def store_mean(
    omega: Any, depth: int, at: int, skip: int, parents: Indices, y: Floats, turn: Row, v_dot: Floats
) -> None:
    """Store c of the row at `at` over its v̇. The parents' v̇ lie at `parents`, plus `skip`."""
    row = Tangents(y, Operand(offset_view(v_dot, skip), parents), None, None)
    _, mean = tangents(omega, row, depth, turn, splat(y, 0))
    store(v_dot, at, mean)


@inlined
def store_scaled_normalisers(
    omega: Any, cursor: Cursor, placed: Placement, state: State, work: Workspace, y: Floats
) -> None:
    """Store top and 1/S of the placed rows over (k, m)."""
    k, m, v_dot, depth = state.v_hi, state.v_lo, state.v_dot, cursor.depth
    row, dtype = width(k), k.dtype.type
    for r in range(placed.rows):
        at, skip = cursor.node + r * row, r * placed.shift
        parents = view(address_list(work, PARENT_ROWS), r * placed.jump, depth)
        top = highest(offset_view(k, skip), parents, depth)
        mass = sum_of_scaled(offset_view(k, skip), offset_view(m, skip), parents, depth, top, y)
        share = select(mass > dtype(0), dtype(1) / mass, dtype(0))
        if v_dot is not None:
            store_mean(omega, depth, at, skip, parents, y, share, v_dot)
        store(k, at, top)
        store(m, at, share)


@inlined
def store_normalisers(omega: Any, cursor: Cursor, placed: Placement, state: State, work: Workspace) -> None:
    """Store m + γ log S of the placed rows over v, as (hi, lo); m where no path comes, which gives weights 0."""
    v_hi, v_lo, v_dot, depth = state.v_hi, state.v_lo, state.v_dot, cursor.depth
    results, row, dtype = work.row_results, width(v_hi), v_hi.dtype.type
    solve_rows(omega, depth, placed, state, work)
    for r in range(placed.rows):
        at, skip = cursor.node + r * row, r * placed.shift
        parents = view(address_list(work, PARENT_ROWS), r * placed.jump, depth)
        m_hi, m_lo = load(results, result_at(results, r, MAXIMUM_HI)), load(results, result_at(results, r, MAXIMUM_LO))
        mass = load(results, result_at(results, r, FOUND))
        some = mass > dtype(0)
        if v_dot is not None:
            share = select(some, dtype(1) / mass, dtype(0))
            y = offset_view(work.y, r * depth * row)
            store_mean(omega, depth, at, skip, parents, y, share, v_dot)
        store(v_hi, at, m_hi)
        store(v_lo, at, select(some, m_lo + log_of_mass(mass) * omega.gamma, dtype(0)))


@inlined
def store_level(omega: Any, incoming: Any, block: Block, level: int, state: State, work: Workspace) -> None:
    """Store the normalisers of a level's nodes over their values."""
    y = work.y
    cursor = enter_level(incoming, work, level, get(incoming.levels, level))
    while cursor.node < cursor.last:
        cursor = fan_in_at(incoming, cursor)
        most = cursor.last - cursor.node
        if block.scaled is None:
            most = min(ROWS_IN_WORK, most_rows(work) // cursor.depth)
        placed = next_rows(incoming, block, cursor, most, work.spare, state, work)
        if block.scaled is None:
            store_normalisers(omega, cursor, placed, state, work)
        elif cursor.depth == MOVES:
            store_scaled_normalisers(omega, with_depth(cursor, MOVES), placed, state, work, rows_of_moves(y))
        else:
            store_scaled_normalisers(omega, cursor, placed, state, work, y)
        cursor = at_node(cursor, cursor.node + placed.nodes)


@inlined
def slot_weight(omega: Any, block: Block, state: State, hi: Row, lo: Row, child: int) -> Row:
    """q of a row of edges, from their parents' v and their children's normalisers."""
    v_hi, v_lo = state.v_hi, state.v_lo
    if block.scaled is not None:
        return lowered(hi, lo, load(v_hi, child), v_hi) * load(v_lo, child)
    return exp(relative_score(hi, lo, load(v_hi, child), load(v_lo, child), v_hi.dtype.type(1) / omega.gamma))


@inlined
def slot_flow(omega: Any, block: Block, state: State, hi: Row, lo: Row, child: int, bar: Floats) -> Row:
    """e = q ē on a row of edges."""
    return fenced(flow(slot_weight(omega, block, state, hi, lo, child), load(bar, child)))


@inlined
def slot_tangent(
    omega: Any, block: Block, state: State, hi: Row, lo: Row, x_dot: Row, child: int, adjoint: Adjoint
) -> Row:
    """ė = q̇ ē + q ē̇ on a row of edges."""
    bar, bar_dot = adjoint.bar, adjoint.bar_dot
    q = slot_weight(omega, block, state, hi, lo, child)
    q_dot = weight_tangent(q, x_dot, load(state.v_dot, child), bar.dtype.type(1) / omega.gamma)
    return fenced(flow_tangent(q, q_dot, load(bar, child), load(bar_dot, child)))


@inlined
def add_flows(bar: Floats, parents: Progression, count: int, flows: Row, scratch: Floats) -> None:
    """Add `count` flows to their parents' ē, in the order of edges; scratch : memory of a row."""
    if parents.step == LISTED:
        scatter_add(bar, parents.listed, parents.start, 0, count, flows)
    else:
        store(scratch, 0, flows)
        for w in range(count):
            bar[term(parents, w)] += get(scratch, w)


@inlined
def row_at_parents(array: Floats, parents: Progression, count: int, scratch: Floats) -> Row:
    """A row of one sample's numbers at some parents; scratch : memory of a row."""
    if parents.step == 1:
        return load(array, parents.start)
    if parents.step == LISTED:
        return gather(array, parents.listed, parents.start, 0, count)
    for w in range(count):
        scratch[w] = get(array, term(parents, w))
    return load(scratch, 0)


@inlined
def value_at_parents(state: State, parents: Progression, count: int, scratch: Floats) -> Any:
    """`row_at_parents` for v, as (hi, lo)."""
    if parents.step == LISTED:
        return gather_pair(state.v_hi, state.v_lo, parents.listed, parents.start, count)
    hi = row_at_parents(state.v_hi, parents, count, scratch)
    return hi, row_at_parents(state.v_lo, parents, count, scratch)


@inlined
def push_contiguous(
    omega: Any, block: Block, state: State, adjoint: Adjoint, parent: int, child: int, count: int
) -> None:
    """The flows on a row of edges whose parents rise with their children; 0 is added behind the first `count`."""
    bar, bar_dot, row = adjoint.bar, adjoint.bar_dot, width(adjoint.bar)
    hi, lo = load(state.v_hi, parent), load(state.v_lo, parent)
    flows = slot_flow(omega, block, state, hi, lo, child, bar)
    if bar_dot is not None:
        x_dot = load(state.v_dot, parent)
        flows_dot = slot_tangent(omega, block, state, hi, lo, x_dot, child, adjoint)
        add_to(bar_dot, parent, flows_dot if count == row else first_lanes(flows_dot, count))
    add_to(bar, parent, flows if count == row else first_lanes(flows, count))


@inlined
def push_scattered(
    omega: Any, block: Block, state: State, adjoint: Adjoint, parents: Progression, child: int, size: int,
    scratch: Floats,
) -> None:  # fmt: skip
    """The flows on edges with other parents, by list or by another step."""
    bar, bar_dot, row = adjoint.bar, adjoint.bar_dot, width(adjoint.bar)
    for at in range(0, size, row):
        here, count = advance(parents, at), min(row, size - at)
        hi, lo = value_at_parents(state, here, count, scratch)
        flows = slot_flow(omega, block, state, hi, lo, child + at, bar)
        if bar_dot is not None:
            x_dot = row_at_parents(state.v_dot, here, count, scratch)
            flows_dot = slot_tangent(omega, block, state, hi, lo, x_dot, child + at, adjoint)
            add_flows(bar_dot, here, count, flows_dot, scratch)
        add_flows(bar, here, count, flows, scratch)


@inlined
def sum_in_order(value: Any, row: Row, count: int, scratch: Floats) -> Any:
    """value plus `count` lanes, added in their order, as `scatter_add` adds them; scratch : memory of a row."""
    store(scratch, 0, row)
    for w in range(count):
        value += get(scratch, w)
    return value


@inlined
def push_to_one(
    omega: Any, block: Block, state: State, adjoint: Adjoint, parent: int, child: int, size: int, scratch: Floats
) -> None:
    """The flows on edges from one parent, whose sum stays in a register."""
    bar, bar_dot, row = adjoint.bar, adjoint.bar_dot, width(adjoint.bar)
    hi, lo = splat(bar, get(state.v_hi, parent)), splat(bar, get(state.v_lo, parent))
    flows = get(bar, parent)
    flows_dot = flows if bar_dot is None else get(bar_dot, parent)
    for at in range(0, size, row):
        count = min(row, size - at)
        flows = sum_in_order(flows, slot_flow(omega, block, state, hi, lo, child + at, bar), count, scratch)
        if bar_dot is not None:
            x_dot = splat(bar, get(state.v_dot, parent))
            row_dot = slot_tangent(omega, block, state, hi, lo, x_dot, child + at, adjoint)
            flows_dot = sum_in_order(flows_dot, row_dot, count, scratch)
    bar[parent] = flows
    if bar_dot is not None:
        bar_dot[parent] = flows_dot


@inlined
def push_run(
    omega: Any, block: Block, state: State, adjoint: Adjoint, parents: Progression, child: int, size: int,
    scratch: Floats,
) -> None:  # fmt: skip
    """The flows on `size` edges of a run, the first of which enters the node `child`."""
    first, step, row = parents.start, parents.step, width(adjoint.bar)
    if step == 0 and size > 1:
        push_to_one(omega, block, state, adjoint, first, child, size, scratch)
    elif step == 1:
        done = size - size % row
        for at in range(0, done, row):
            push_contiguous(omega, block, state, adjoint, first + at, child + at, row)
        if done < size:
            push_contiguous(omega, block, state, adjoint, first + done, child + done, size - done)
    else:
        push_scattered(omega, block, state, adjoint, parents, child, size, scratch)


@inner
def push_level_of_one_sample(
    omega: Any, incoming: Any, block: Block, level: int, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """The flows into a level: normalisers of its nodes, then slot by slot to the parents."""
    store_level(omega, incoming, block, level, state, work)
    node = get(incoming.levels, level)
    for slot in range(get(incoming.slots, level), get(incoming.slots, level + 1)):
        for k in range(get(incoming.slot_runs, slot), get(incoming.slot_runs, slot + 1)):
            at = RUN_NUMBERS * k
            first, size = get(incoming.runs, at + RUN_FIRST), get(incoming.runs, at + RUN_COUNT)
            child = node + first - get(incoming.first, slot)
            push_run(omega, block, state, adjoint, run_parents(incoming, k), child, size, work.row_results)
