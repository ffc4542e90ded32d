"""The forward pass over incoming edges: v and κ of every node (equation 6), and the tangents v̇ and c.

A level is visited by rows, a few at a time. A row holds one node's samples, or neighbouring nodes of one sample. The
d-th edges of a row's nodes make a row of scores x, which is the parents' v where edges have no potentials of their own,
and is assembled behind the state otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.cursor import (
    MOVES,
    Cursor,
    at_node,
    before,
    enter_level,
    fan_in_at,
    most_in_work,
    nodes_in_slot,
    nodes_read_together,
    reads_listed,
)
from dagdp.kernels.cpu.node_rows import finish_row, solve_rows
from dagdp.kernels.cpu.operands import address_rows, next_rows
from dagdp.kernels.cpu.packing.edge_order import in_edge_order
from dagdp.kernels.cpu.packing.edge_potentials import prefetch_edges, read_edges, write_edges
from dagdp.kernels.cpu.packing.node_potentials import read_hoisted
from dagdp.kernels.cpu.progressions import last_at_most
from dagdp.kernels.cpu.records import Arrays, Block, Graph, Placement, State, Target, Terminals, Workspace
from dagdp.kernels.cpu.rows import fill
from dagdp.kernels.cpu.special.scaled import visit_scaled
from dagdp.kernels.cpu.special.stored_weights import store_listed, store_row
from dagdp.kernels.cpu.special.tied_levels import tied_forward
from dagdp.lanes.operators import exponential
from dagdp.lanes.views import get, offset_view, width


@inlined
def place_rows(
    incoming: Any, block: Block, cursor: Cursor, most: int, arrays: Arrays, state: State, work: Workspace
) -> Placement:
    """The next rows, `most` at most, and where their operands lie."""
    if work.edge_potentials is None:
        return next_rows(incoming, block, cursor, most, work.spare, state, work)
    row = width(state.v_hi)
    step = 1 if block.lanes_are_samples is not None else row
    alike = min(cursor.last - cursor.node, nodes_in_slot(incoming, cursor, cursor.depth - 1))
    rows = min(alike if block.lanes_are_samples is not None else (alike + row - 1) // row, most)
    address_rows(incoming, block, cursor, rows, arrays, state, work)
    return Placement(min(cursor.last - cursor.node, rows * step), rows, cursor.depth, 0)


@inlined
def store_weights(
    omega: Any, incoming: Any, block: Block, cursor: Cursor, placed: Placement, arrays: Arrays, work: Workspace
) -> None:
    """Store the weights of the edges into the placed rows."""
    step = 1 if block.lanes_are_samples is not None else width(work.tile)
    for r in range(placed.rows):
        here = at_node(cursor, cursor.node + r * step)
        n = 0 if block.lanes_are_samples is not None else min(step, placed.nodes - r * step)
        if block.lanes_are_samples is None and reads_listed(incoming, block):
            store_listed(omega, incoming, here, n, block, arrays, work, r)
        else:
            store_row(omega, incoming, here, n, work, r)


@inlined
def visit_nodes(
    omega: Any, incoming: Any, block: Block, cursor: Cursor, arrays: Arrays, state: State, work: Workspace
) -> Cursor:
    """v of the cursor's nodes, a few rows at a time; the cursor behind them."""
    lanes, row = block.lanes, width(state.v_hi)
    step = 1 if block.lanes_are_samples is not None else row
    while cursor.node < cursor.last:
        cursor = fan_in_at(incoming, cursor)
        depth = cursor.depth
        placed = place_rows(incoming, block, cursor, most_in_work(incoming, block, work, depth), arrays, state, work)
        if work.edge_potentials is None and not exponential(omega) and depth == MOVES:
            solve_rows(omega, MOVES, placed, state, work)
        else:
            solve_rows(omega, depth, placed, state, work)
        for r in range(placed.rows):
            k = cursor.node + r * step
            count = row if block.lanes_are_samples is not None else min(row, cursor.node + placed.nodes - k)
            target = Target((cursor.home + k) * lanes, k * lanes, count)
            finish_row(omega, depth, placed, target, state, work, r)
        if arrays.gradient is not None:
            store_weights(omega, incoming, block, cursor, placed, arrays, work)
        cursor = at_node(cursor, cursor.node + placed.nodes)
    return cursor


@inlined
def visit_with_potentials(
    omega: Any, incoming: Any, block: Block, cursor: Cursor, arrays: Arrays, state: State, work: Workspace
) -> None:
    """v of a level's nodes whose edges have potentials of their own, read for some nodes at a time."""
    w, w_dot, lanes, row = work.edge_potentials, work.edge_directions, block.lanes, width(state.v_hi)
    ordered = arrays.gradient is not None and in_edge_order(incoming, block)
    reads = incoming.potentials.shape[0] > 0 and not reads_listed(incoming, block) and not ordered
    end = cursor.last
    while cursor.node < end:
        k = cursor.node
        last = end if ordered else k + nodes_read_together(incoming, block, k, end, row)
        e0, e1 = 0, 0
        if reads:
            e0, e1 = get(incoming.edges, k), get(incoming.edges, last)
            fill(w, 0, (e1 - e0) * lanes, 0)
            read_edges(w, work.tile, arrays.theta, incoming, block, e0, e1)
            if w_dot is not None:
                fill(w_dot, 0, (e1 - e0) * lanes, 0)
                read_edges(w_dot, work.tile, arrays.z, incoming, block, e0, e1)
            if arrays.gradient is not None and block.lanes_are_samples is not None:
                prefetch_edges(arrays.gradient, w, arrays.theta, incoming, block, e0, e1)
        cursor = visit_nodes(omega, incoming, block, before(cursor, last, e0), arrays, state, work)
        if arrays.gradient is not None and reads:
            write_edges(arrays.gradient, w, work.tile, arrays.theta, incoming, block, e0, e1)


@inlined
def visit_level(
    omega: Any, graph: Graph, block: Block, level: int, arrays: Arrays, state: State, work: Workspace
) -> None:
    """v of a level's nodes."""
    incoming = graph.incoming
    node = get(incoming.levels, level)
    if work.matrices is not None:
        node += tied_forward(omega, graph, level, state, work.matrices)
    cursor = enter_level(incoming, work, level, node)
    if block.scaled is not None:
        visit_scaled(omega, incoming, block, cursor, state, work)
    elif work.edge_potentials is None:
        visit_nodes(omega, incoming, block, cursor, arrays, state, work)
    else:
        visit_with_potentials(omega, incoming, block, cursor, arrays, state, work)


@inlined
def begin(incoming: Any, block: Block, terminals: Terminals, state: State) -> None:
    """v at the starts of the graph: 0, or -inf where an item names other starts."""
    v_hi, v_lo = state.v_hi, state.v_lo
    starts = incoming.levels[1] * block.lanes
    fill(v_hi, 0, starts, 0)
    fill(v_lo, 0, starts, 0 if block.scaled is None else 1)  # v = 0, or e^v = 1·2^0
    if state.v_dot is not None:
        fill(state.v_dot, 0, starts, 0)
    if terminals.starts.shape[0] > 0:
        fill(v_hi, 0, starts, -np.inf)
        for b in range(block.lanes):
            item = min(block.first + b, block.stop - 1)
            for node in terminals.starts[item * block.graphs : (item + 1) * block.graphs]:
                if node >= 0:
                    v_hi[node * block.lanes + b] = 0


@inlined
def on_nodes(state: State, potentials: Any, directions: Any) -> State:
    """The state with other views of the hoisted potentials."""
    return State(state.v_hi, state.v_lo, state.kappa, state.v_dot, state.c, potentials, directions)


@inlined
def from_node(array: Any, offset: int) -> Any:
    """An array whose first element belongs to the node at `offset`, as one whose first belongs to node 0."""
    if array is None:
        return None
    return offset_view(array, -offset)


@inner
def forward(
    omega: Any, graph: Graph, block: Block, first: int, top: int, arrays: Arrays, state: State, work: Workspace
) -> None:
    """v over levels first..top; κ, v̇ and c where the state has memory for them.

    A later call may go on at top + 1 with this state. `arrays.gradient` is None where no weights are stored in it.
    """
    incoming, hoisted = graph.incoming, graph.hoisted
    own, lanes = state.node_potentials, block.lanes
    spare = state.v_hi.shape[0] - incoming.place[-1] * lanes
    every_node = own is not None and own.shape[0] == incoming.levels[-1] * lanes + spare
    for band in range(last_at_most(hoisted.levels, first), last_at_most(hoisted.levels, top) + 1):
        level0, level1 = get(hoisted.levels, band), get(hoisted.levels, band + 1)
        offset = get(incoming.levels, level0) * lanes
        potentials = from_node(own, 0 if every_node else offset)
        directions = from_node(state.node_directions, offset)
        if own is not None and first <= max(level0, 1):
            read_hoisted(potentials, work.tile, arrays.theta, graph, band, block)
            if state.v_dot is not None:
                read_hoisted(directions, work.tile, arrays.z, graph, band, block)
        here = on_nodes(state, potentials, directions)
        for level in range(max(level0, first), min(level1, top + 1)):
            visit_level(omega, graph, block, level, arrays, here, work)
