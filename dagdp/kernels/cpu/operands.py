"""Where the operands of rows of nodes lie: their parents' v, and their edges' own potentials.

A row of parents is used where it lies, if the parents' v form a row. Otherwise it is assembled behind the state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.cursor import (
    Cursor,
    at_node,
    edge_of_slot,
    left_of_run,
    nodes_in_slot,
    parents_of,
    prefetch_parent,
    reads_listed,
    run_at,
)
from dagdp.kernels.cpu.memory import PARENT_ROWS, POTENTIAL_ROWS, RUN_POSITIONS, address_list, most_rows
from dagdp.kernels.cpu.packing.edge_potentials import read_listed
from dagdp.kernels.cpu.progressions import term
from dagdp.kernels.cpu.records import Arrays, Block, Indices, Placement, State, Workspace
from dagdp.lanes.gather import gather, gather_pair
from dagdp.lanes.rows import splat, store
from dagdp.lanes.views import get, view, width


@inlined
def gather_parents(incoming: Any, runs: Indices, k: int, d: int, e: int, count: int, state: State, at: int) -> None:
    """Assemble at `at` the row of v, and of v̇, of the parents over `count` edges of slot d from e on, one sample.

    k : the run of edge e. Lanes behind `count` get v = -inf.
    """
    v_hi, v_lo, v_dot = state.v_hi, state.v_lo, state.v_dot
    parents = parents_of(incoming, k, e)
    if parents.step == LISTED and left_of_run(incoming, k, e) >= count:
        hi, lo = gather_pair(v_hi, v_lo, parents.listed, parents.start, count)
        store(v_hi, at, hi)
        store(v_lo, at, lo)
        if v_dot is not None:
            store(v_dot, at, gather(v_dot, parents.listed, parents.start, 0, count))
        return
    store(v_hi, at, splat(v_hi, -np.inf))
    store(v_lo, at, splat(v_hi, 0))
    if v_dot is not None:
        store(v_dot, at, splat(v_hi, 0))
    for w in range(count):
        parent = term(parents_of(incoming, run_at(incoming, runs, d, e + w), e + w), 0)
        v_hi[at + w] = get(v_hi, parent)
        v_lo[at + w] = get(v_lo, parent)
        if v_dot is not None:
            v_dot[at + w] = get(v_dot, parent)


@inlined
def address_samples(incoming: Any, cursor: Cursor, rows: int, state: State, work: Workspace) -> None:
    """PARENT_ROWS[r * depth + d] = where the samples of the parent over node r's d-th edge lie, for `rows` nodes."""
    at, runs, depth, row = (
        address_list(work, PARENT_ROWS),
        address_list(work, RUN_POSITIONS),
        cursor.depth,
        width(state.v_hi),
    )
    for d in range(depth):
        e, r = edge_of_slot(incoming, cursor, d), 0
        while r < rows:
            k = run_at(incoming, runs, d, e + r)
            parents, left = parents_of(incoming, k, e + r), left_of_run(incoming, k, e + r)
            here = min(rows - r, left)
            for x in range(here):
                at[(r + x) * depth + d] = term(parents, x) * row
            for x in range(here if parents.step == LISTED else 0):
                prefetch_parent(state.v_hi, parents, x, left)
                prefetch_parent(state.v_lo, parents, x, left)
                if state.v_dot is not None:
                    prefetch_parent(state.v_dot, parents, x, left)
            r += here


@inlined
def address_nodes(
    incoming: Any, cursor: Cursor, n: int, spare: int, state: State, work: Workspace, at: Indices
) -> None:
    """at[d] = where the row of the parents over the d-th edges of n neighbouring nodes of one sample lies."""
    runs, row = address_list(work, RUN_POSITIONS), width(state.v_hi)
    for d in range(cursor.depth):
        e = edge_of_slot(incoming, cursor, d)
        k = run_at(incoming, runs, d, e)
        parents = parents_of(incoming, k, e)
        have = min(n, nodes_in_slot(incoming, cursor, d))
        if parents.step == 1 and have == n and left_of_run(incoming, k, e) >= n:
            at[d] = parents.start
        else:
            at[d] = spare + d * row
            gather_parents(incoming, runs, k, d, e, have, state, spare + d * row)


@inlined
def address_potentials(incoming: Any, cursor: Cursor, n: int, work: Workspace, first: int, at: Indices) -> None:
    """at[d] = where the row of the potentials of n nodes' d-th edges is assembled, from `first` on."""
    w, w_dot = work.edge_potentials, work.edge_directions
    row = width(w)
    for d in range(cursor.depth):
        at[d] = place = first + d * row
        have = min(n, nodes_in_slot(incoming, cursor, d))
        store(w, place, gather(w, incoming.edges, cursor.node, d - cursor.edge, have))
        if w_dot is not None:
            store(w_dot, place, gather(w_dot, incoming.edges, cursor.node, d - cursor.edge, have))


@inlined
def read_potentials(
    incoming: Any, block: Block, cursor: Cursor, n: int, arrays: Arrays, work: Workspace, first: int, at: Indices
) -> None:
    """at[d] = where the row of the potentials of n nodes' d-th edges is gathered from the caller's array."""
    w, w_dot = work.edge_potentials, work.edge_directions
    row = width(w)
    for d in range(cursor.depth):
        e, left = edge_of_slot(incoming, cursor, d), nodes_in_slot(incoming, cursor, d)
        have = min(n, left)
        at[d] = first + d * row
        read_listed(w, at[d], arrays.theta, incoming, block, e, have, left)
        if w_dot is not None:
            read_listed(w_dot, at[d], arrays.z, incoming, block, e, have, left)


@inlined
def address_seconds(incoming: Any, block: Block, cursor: Cursor, rows: int, state: State, work: Workspace) -> None:
    """second_rows[r * depth + d] = where the row of second parents over the d-th edges of row r of nodes lies."""
    at, second, row, depth = work.second_rows, incoming.second, width(state.v_hi), cursor.depth
    v_hi, v_lo, v_dot = state.v_hi, state.v_lo, state.v_dot
    first = work.spare + most_rows(work) * row  # behind the rows of first parents
    for r in range(rows):
        here = at_node(cursor, cursor.node + r * (1 if block.lanes_are_samples is not None else row))
        for d in range(depth):
            e, k = edge_of_slot(incoming, here, d), r * depth + d
            if block.lanes_are_samples is not None:
                at[k] = get(second, e) * row
                continue
            have = min(row, cursor.last - here.node, nodes_in_slot(incoming, here, d))
            at[k] = place = first + k * row
            hi, lo = gather_pair(v_hi, v_lo, second, e, have)
            store(v_hi, place, hi)
            store(v_lo, place, lo)
            if v_dot is not None:
                store(v_dot, place, gather(v_dot, second, e, 0, have))


@inlined
def address_rows(
    incoming: Any, block: Block, cursor: Cursor, rows: int, arrays: Arrays, state: State, work: Workspace
) -> None:
    """Fill PARENT_ROWS and POTENTIAL_ROWS for some rows of nodes."""
    row, depth = width(state.v_hi), cursor.depth
    at, w_at = address_list(work, PARENT_ROWS), address_list(work, POTENTIAL_ROWS)
    if work.second_rows is not None:
        address_seconds(incoming, block, cursor, rows, state, work)
    if block.lanes_are_samples is not None:
        address_samples(incoming, cursor, rows, state, work)
        for r in range(rows):
            for d in range(depth):
                w_at[r * depth + d] = (get(incoming.edges, cursor.node + r) + d - cursor.edge) * row
        return
    for r in range(rows):
        skip, n = r * depth * row, min(row, cursor.last - cursor.node - r * row)
        here = at_node(cursor, cursor.node + r * row)
        own_at = view(w_at, r * depth, depth)
        address_nodes(incoming, here, n, work.spare + skip, state, work, view(at, r * depth, depth))
        if reads_listed(incoming, block):
            read_potentials(incoming, block, here, n, arrays, work, skip, own_at)
        else:
            first = work.edge_potentials.shape[0] - (most_rows(work) + 1) * row + skip  # behind those edge by edge
            address_potentials(incoming, here, n, work, first, own_at)


@inlined
def next_rows(
    incoming: Any, block: Block, cursor: Cursor, most: int, spare: int, state: State, work: Workspace
) -> Placement:
    """The next rows of nodes without potentials on edges, `most` at most, and where their parents' v lie.

    Rows whose parents' rows rise with them need no list of addresses. For one sample the last row may hold fewer nodes
    than lanes.
    """
    at, runs = address_list(work, PARENT_ROWS), address_list(work, RUN_POSITIONS)
    row, depth = width(state.v_hi), cursor.depth
    step = 1 if block.lanes_are_samples is not None else row
    alike = min(cursor.last - cursor.node, nodes_in_slot(incoming, cursor, depth - 1))
    contiguous = alike
    for d in range(depth):
        e = edge_of_slot(incoming, cursor, d)
        k = run_at(incoming, runs, d, e)
        parents = parents_of(incoming, k, e)
        contiguous = min(contiguous, left_of_run(incoming, k, e)) if parents.step == 1 else 0
        at[d] = parents.start * block.lanes
    if block.lanes_are_samples is None and contiguous > 0:
        rows = min((contiguous + row - 1) // row, most)
        return Placement(min(contiguous, rows * row), rows, 0, row)
    if contiguous >= step:
        rows = min(contiguous // step, most)
        return Placement(rows * step, rows, 0, row)
    if block.lanes_are_samples is not None:
        rows = min(alike, at.shape[0] // depth, most)
        address_samples(incoming, cursor, rows, state, work)
        return Placement(rows, rows, depth, 0)
    rows = min((alike + row - 1) // row, at.shape[0] // depth, most)
    for r in range(rows):
        n, first = min(row, cursor.last - cursor.node - r * row), spare + r * depth * row
        here = at_node(cursor, cursor.node + r * row)
        address_nodes(incoming, here, n, first, state, work, view(at, r * depth, depth))
    return Placement(min(cursor.last - cursor.node, rows * row), rows, depth, 0)
