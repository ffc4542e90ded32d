"""Weights of edges stored between the passes, in the memory of the gradient itself.

Where each edge reads an entry of its own, the gradient has an element for each edge. The forward pass stores there the
number from which `weights_of_stored` makes (q, s). The backward pass goes down the levels over incoming edges and
multiplies q by ē of the child. It reads neither potentials nor v again, and uses no memory beside inputs and outputs.
The Hessian product is computed in this way, too. On graphs with scattered edges and small fan-in, weights lie in the
workspace instead: for rows of samples in edge order (packing/edge_order.py), for one sample slot by slot. The gradient
then receives the flows at the end.

Some nodes have edges that read no entry, such as the extra end of a graph with several ends. Where the gradient itself
has the weights, those of such edges are recomputed from v.
"""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import (
    Cursor,
    at_node,
    before,
    edge_of_slot,
    enter_level,
    fan_in_at,
    left_of_run,
    nodes_in_slot,
    nodes_read_together,
    parents_of,
    prefetch_parent,
    reads_listed,
    run_at,
    stores_by_slots,
)
from dagdp.kernels.cpu.edge_ends import EdgeEnds, argument_of
from dagdp.kernels.cpu.edge_rows import Kept
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.memory import FOUND, RUN_POSITIONS, address_list, result_at
from dagdp.kernels.cpu.packing.edge_order import in_edge_order
from dagdp.kernels.cpu.packing.edge_potentials import read_edges, write_edges
from dagdp.kernels.cpu.packing.entries import first_entry
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.progressions import last_at_most, term
from dagdp.kernels.cpu.records import Adjoint, Arrays, Block, Floats, Graph, Row, Source, State, Workspace
from dagdp.kernels.cpu.rows import add_to, fill, store_lanes
from dagdp.kernels.recursion import argument, flow, flow_tangent, nonzero, weight_tangent, where_stored
from dagdp.kernels.row_max import relative_at, row_weight, weight_at
from dagdp.lanes.gather import gather, gather_present, scatter, scatter_add, scatter_present
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.prefetch import FAR, prefetch_listed
from dagdp.lanes.rows import load, splat, store
from dagdp.lanes.views import get, offset_view, width

ROWS_AHEAD = 3


@inlined
def stored_row(omega: Any, row: Kept, d: int, turn: Row) -> Row:
    """The number to store for the weights of the d-th edges: the argument u of link; 0 stands for "no edge".

    For the closed form and HardMax it is q itself. `weights_of_stored` decodes it.
    """
    if exponential(omega) or first_only(omega):
        q, _ = row_weight(omega, row, d, turn)
        return q
    return nonzero(argument(omega, relative_at(row, d), splat(row, d), turn))


@inlined
def weights_of_stored(omega: Any, row: Row) -> Any:
    """(q, s) of the edges for which `stored_row` stored `row`."""
    if exponential(omega) or first_only(omega):
        return row, row
    q, s = weight_at(omega, row)
    return where_stored(row, q), where_stored(row, s)


@inlined
def store_row(omega: Any, incoming: Any, cursor: Cursor, n: int, work: Workspace, r: int) -> None:
    """Store the weights of row r's edges over their potentials in the workspace, edge by edge.

    n : neighbouring nodes of one sample, 0 for a row of samples. The cursor stands at the row's first node.
    """
    w, y, row = work.edge_potentials, work.y, width(work.edge_potentials)
    turn = load(work.row_results, result_at(work.row_results, r, FOUND))
    own = Kept(offset_view(y, r * cursor.depth * row))
    for d in range(cursor.depth):
        stored = stored_row(omega, own, d, turn)
        if n == 0:
            store(w, (get(incoming.edges, cursor.node) + d - cursor.edge) * row, stored)
        else:
            have = min(n, nodes_in_slot(incoming, cursor, d))
            scatter(w, incoming.edges, cursor.node, d - cursor.edge, have, stored)


@inlined
def store_listed(
    omega: Any, incoming: Any, cursor: Cursor, n: int, block: Block, arrays: Arrays, work: Workspace, r: int
) -> None:
    """Store the weights of n nodes of one sample, whose rows gather their potentials, by slots or in the gradient."""
    w, y, row = work.edge_potentials, work.y, width(work.edge_potentials)
    turn = load(work.row_results, result_at(work.row_results, r, FOUND))
    own = Kept(offset_view(y, r * cursor.depth * row))
    k = get(incoming.potentials, 0)
    array, first = potential_array(arrays.gradient, k, w), first_entry(arrays.theta, k, block.first)
    for d in range(cursor.depth):
        stored = stored_row(omega, own, d, turn)
        e, left = edge_of_slot(incoming, cursor, d), nodes_in_slot(incoming, cursor, d)
        have = min(n, left)
        if work.stored.shape[0] > 0:
            store_lanes(work.stored, e, stored, have)
            continue
        scatter_present(array, incoming.slot_entries, e, first, have, stored)
        if array.shape[0] > FAR:
            prefetch_listed(array, incoming.slot_entries, e + have, first, left - have)


@inlined
def gather_of_parents(array: Floats, incoming: Any, work: Workspace, d: int, e: int, count: int) -> Row:
    """One sample's numbers at the parents over `count` edges of slot d from e on.

    The last row of the edge potentials serves as scratch memory.
    """
    runs, w = address_list(work, RUN_POSITIONS), work.edge_potentials
    k = run_at(incoming, runs, d, e)
    parents, here = parents_of(incoming, k, e), left_of_run(incoming, k, e)
    if parents.step == LISTED and here >= count:
        return gather(array, parents.listed, parents.start, 0, count)
    if parents.step == 1 and here >= count:
        return load(array, parents.start)
    scratch = w.shape[0] - width(w)
    for x in range(count):
        w[scratch + x] = get(array, term(parents_of(incoming, run_at(incoming, runs, d, e + x), e + x), 0))
    runs[d] = k
    return load(w, scratch)


@inlined
def scatter_add_to_parents(bar: Floats, incoming: Any, work: Workspace, d: int, e: int, count: int, flows: Row) -> None:
    """Add one sample's flows on `count` edges of slot d from e on to their parents' ē.

    The last row of the edge potentials serves as scratch memory.
    """
    runs, w = address_list(work, RUN_POSITIONS), work.edge_potentials
    k = run_at(incoming, runs, d, e)
    parents, here = parents_of(incoming, k, e), left_of_run(incoming, k, e)
    if parents.step == LISTED and here >= count:
        scatter_add(bar, parents.listed, parents.start, 0, count, flows)
    elif parents.step == 1 and here >= count:
        store_lanes(bar, parents.start, load(bar, parents.start) + flows, count)
    else:
        scratch = w.shape[0] - width(w)
        store(w, scratch, flows)
        for x in range(count):
            parent = term(parents_of(incoming, run_at(incoming, runs, d, e + x), e + x), 0)
            bar[parent] += get(w, scratch + x)
        runs[d] = k


@inlined
def push_stored_node(
    omega: Any, incoming: Any, cursor: Cursor, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """e = q ē on the edges of the cursor's node, a row of samples each: added to the parents' ē, and left in w.

    With a direction ė = q̇ ē + q ē̇ besides, which is added to the parents' ē̇ and left in w.
    """
    w, w_dot, bar, bar_dot = work.edge_potentials, work.edge_directions, adjoint.bar, adjoint.bar_dot
    runs, row = address_list(work, RUN_POSITIONS), width(w)
    child = cursor.node * row
    above = load(bar, child)
    for d in range(cursor.depth):
        e, at = edge_of_slot(incoming, cursor, d), (get(incoming.edges, cursor.node) + d - cursor.edge) * row
        k = run_at(incoming, runs, d, e)
        parents, here = parents_of(incoming, k, e), left_of_run(incoming, k, e)
        parent = term(parents, 0) * row
        prefetch_parent(bar, parents, 0, here)
        if bar_dot is not None:
            prefetch_parent(state.v_dot, parents, 0, here)
            prefetch_parent(bar_dot, parents, 0, here)
        q, s = weights_of_stored(omega, load(w, at))
        flows = flow(q, above)
        add_to(bar, parent, flows)
        if bar_dot is not None:
            x_dot = load(state.v_dot, parent) + load(w_dot, at)
            q_dot = weight_tangent(s, x_dot, load(state.c, child), bar.dtype.type(1) / omega.gamma)
            flows = flow_tangent(q, q_dot, above, load(bar_dot, child))
            add_to(bar_dot, parent, flows)
        store(w, at, flows)


@inlined
def prefetch_entries(array: Floats, incoming: Any, first: int, e: int, left: int) -> None:
    """Prefetch entries of a slot's edges ROWS_AHEAD rows behind e, of `left` edges, if the array is large."""
    if array.shape[0] > FAR:
        ahead = ROWS_AHEAD * width(array)
        prefetch_listed(array, incoming.slot_entries, e + ahead, first, left - ahead)


@inlined
def gather_entries(array: Floats, incoming: Any, first: int, e: int, count: int, left: int) -> Row:
    """The entries of `count` edges of a slot from e on, of `left` in the slot; 0 where an edge reads none."""
    prefetch_entries(array, incoming, first, e, left)
    return gather_present(array, incoming.slot_entries, e, first, count)


@inlined
def push_stored_slots(
    omega: Any, incoming: Any, block: Block, cursor: Cursor, arrays: Arrays, state: State, adjoint: Adjoint,
    work: Workspace,
) -> None:  # fmt: skip
    """`push_stored_node` for one sample, in rows of neighbouring nodes, slot by slot.

    Weights are read from the workspace or, where entries are listed, from the gradient; flows are left there. A
    parent's sum has the order of slots, so bits do not depend on how a level falls into rows. (Node by node would need
    no chunks, but gained 10 % instead of 25 %.)
    """
    w, bar, bar_dot, row = work.edge_potentials, adjoint.bar, adjoint.bar_dot, width(work.edge_potentials)
    listed = incoming.slot_entries.shape[0] > 0
    k = get(incoming.potentials, 0)
    entries = potential_array(arrays.gradient, k, w)
    first = first_entry(Source(arrays.gradient, bar.dtype.type(1)), k, block.first)
    for d in range(cursor.depth):
        end = min(cursor.last, cursor.first + get(incoming.width, cursor.slot + d))
        for at in range(cursor.node, end, row):
            e, have = get(incoming.first, cursor.slot + d) + at - cursor.first, min(row, end - at)
            above = load(bar, at)
            if work.stored.shape[0] > 0:
                stored = load(work.stored, e)
                prefetch_entries(entries, incoming, first, e, end - at)
            elif listed:
                stored = gather_entries(entries, incoming, first, e, have, end - at)
            else:
                stored = gather(w, incoming.edges, at, d - cursor.edge, have)
            q, s = weights_of_stored(omega, stored)
            flows = flow(q, above)
            scatter_add_to_parents(bar, incoming, work, d, e, have, flows)
            if bar_dot is not None:  # only where entries are listed: see `Plan.variant` in the engine
                z, first_z = potential_array(arrays.z.table, k, w), first_entry(arrays.z, k, block.first)
                x_dot = arrays.z.sign * gather_entries(z, incoming, first_z, e, have, end - at)
                x_dot = x_dot + gather_of_parents(state.v_dot, incoming, work, d, e, have)
                q_dot = weight_tangent(s, x_dot, load(state.c, at), bar.dtype.type(1) / omega.gamma)
                flows = flow_tangent(q, q_dot, above, load(bar_dot, at))
                scatter_add_to_parents(bar_dot, incoming, work, d, e, have, flows)
            if listed:
                scatter_present(entries, incoming.slot_entries, e, first, have, flows)
            else:
                scatter(w, incoming.edges, at, d - cursor.edge, have, flows)


@inner
def push_stored_level(
    omega: Any, incoming: Any, block: Block, level: int, arrays: Arrays, state: State, adjoint: Adjoint,
    work: Workspace,
) -> None:  # fmt: skip
    """e, or ė, on the edges into a level, from stored weights."""
    w, w_dot, lanes, row = work.edge_potentials, work.edge_directions, block.lanes, width(work.edge_potentials)
    stored = Source(arrays.gradient, w.dtype.type(1))
    in_order = in_edge_order(incoming, block)
    in_place = reads_listed(incoming, block) or in_order
    cursor = enter_level(incoming, work, level, get(incoming.levels, level))
    end = cursor.last
    while cursor.node < end:
        k = cursor.node
        last = end if in_order else k + nodes_read_together(incoming, block, k, end, row)
        e0, e1 = 0 if in_order else get(incoming.edges, k), get(incoming.edges, last)
        if not in_place:
            fill(w, 0, (e1 - e0) * lanes, 0)
            read_edges(w, work.tile, stored, incoming, block, e0, e1)
            if w_dot is not None:
                fill(w_dot, 0, (e1 - e0) * lanes, 0)
                read_edges(w_dot, work.tile, arrays.z, incoming, block, e0, e1)
        cursor = before(cursor, last, e0)
        if block.lanes_are_samples is None:
            push_stored_slots(omega, incoming, block, cursor, arrays, state, adjoint, work)
            cursor = at_node(cursor, last)
        else:
            while cursor.node < last:
                cursor = fan_in_at(incoming, cursor)
                push_stored_node(omega, incoming, cursor, state, adjoint, work)
                cursor = at_node(cursor, cursor.node + 1)
        if not in_place:
            write_edges(arrays.gradient, w, work.tile, stored, incoming, block, e0, e1)


@inner
def push_without_entries(
    omega: Any, incoming: Any, level: int, node: int, block: Block, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """Push over the edges into a node none of whose edges reads an entry. For one sample the first lane counts."""
    v_hi, bar, bar_dot, runs = state.v_hi, adjoint.bar, adjoint.bar_dot, address_list(work, RUN_POSITIONS)
    dtype, row = v_hi.dtype.type, width(v_hi)
    lanes, count = block.lanes, (row if block.lanes_are_samples is not None else 1)
    child, i = node * lanes, node - get(incoming.levels, level)
    slot, end = get(incoming.slots, level), get(incoming.slots, level + 1)
    while slot < end and i < get(incoming.width, slot):
        e = get(incoming.first, slot) + i
        runs[0] = get(incoming.slot_runs, slot)
        parent = term(parents_of(incoming, run_at(incoming, runs, 0, e), e), 0) * lanes
        place = splat(v_hi, dtype(slot - get(incoming.slots, level)))
        u = argument_of(omega, state, EdgeEnds(parent, child, place, row, None), None, 0)
        q, s = weight_at(omega, u)
        above = load(bar, child)
        store_lanes(bar, parent, load(bar, parent) + flow(q, above), count)
        if bar_dot is not None:
            q_dot = weight_tangent(s, load(state.v_dot, parent), load(state.c, child), dtype(1) / omega.gamma)
            flows = flow_tangent(q, q_dot, above, load(bar_dot, child))
            store_lanes(bar_dot, parent, load(bar_dot, parent) + flows, count)
        slot += 1


@inner
def backward_stored(
    omega: Any, graph: Graph, block: Block, top: int, arrays: Arrays, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """E, and ē of every node (Algorithm 1), from the weights that the forward pass stored; along z Ė (Algorithm 2)."""
    incoming, hoisted = graph.incoming, graph.hoisted
    left = incoming.entryless.shape[0]
    if in_edge_order(incoming, block) or stores_by_slots(incoming, block):
        left = 0
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        newest = min(top + 1, get(hoisted.levels, band + 1))
        for level in range(newest - 1, max(1, get(hoisted.levels, band)) - 1, -1):
            push_stored_level(omega, incoming, block, level, arrays, state, adjoint, work)
            while left > 0 and get(incoming.entryless, left - 1) >= get(incoming.levels, level):
                left -= 1
                node = get(incoming.entryless, left)
                if node < get(incoming.levels, level + 1):
                    push_without_entries(omega, incoming, level, node, block, state, adjoint, work)
        if state.node_potentials is not None:
            bar = adjoint.bar if adjoint.bar_dot is None else adjoint.bar_dot
            write_hoisted(arrays.gradient, work.tile, arrays.theta, hoisted, band, block, bar)
