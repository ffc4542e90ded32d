"""Where the rows lie that some rows of nodes are made from: their parents' v, and their edges' own potentials.

A row lies where the parents' v is a row already, and is put together behind the state (`spare`) where it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.cursor import directly, expect_parents, left_of_run, parents_of, rows_at_once, run_at
from dagdp.kernels.cpu.packing.edge_potentials import read_direct
from dagdp.kernels.cpu.packing.entries import Source
from dagdp.kernels.cpu.rows import number
from dagdp.lanes.gather import gather_pair, gather_vector
from dagdp.lanes.rows import row_of, store
from dagdp.lanes.views import part, pick, row_length


@inlined
def gather_parents(
    incoming: Any, run: Any, d: int, e: int, parents: Any, here: int, count: int, state: Any, at: int
) -> None:
    """A row of v, and of v̇, from one sample's nodes: `here` edges of one run follow its rule; -inf beyond `count`."""
    v_hi, v_lo, _, v_dot, _, _, _ = state
    if parents[2] == LISTED and here >= count:
        listed, first = parents[0], parents[1]
        hi, lo = gather_pair(v_hi, v_lo, listed, first, count)
        store(v_hi, at, hi)
        store(v_lo, at, lo)
        if v_dot is not None:
            store(v_dot, at, gather_vector(v_dot, listed, first, 0, count))
        return
    store(v_hi, at, row_of(v_hi, -np.inf))
    store(v_lo, at, row_of(v_hi, 0))
    if v_dot is not None:
        store(v_dot, at, row_of(v_hi, 0))
    for w in range(count):
        parent = number(parents_of(incoming, run_at(incoming, run, d, e + w), e + w), 0)
        v_hi[at + w] = pick(v_hi, parent)
        v_lo[at + w] = pick(v_lo, parent)
        if v_dot is not None:
            v_dot[at + w] = pick(v_dot, parent)


@inlined
def place_samples(incoming: Any, run: Any, slot: int, depth: int, i: int, rows: int, state: Any, at: Any) -> None:
    """at[r * depth + d] = where the row of samples of the parent over the d-th edge of a level's node i + r lies."""
    v_hi, v_lo, _, v_dot, _, _, _ = state
    whole = row_length(v_hi)
    for d in range(depth):
        e, r = pick(incoming.first, slot + d) + i, 0
        while r < rows:
            k = run_at(incoming, run, d, e + r)
            parents, left = parents_of(incoming, k, e + r), left_of_run(incoming, k, e + r)
            here = min(rows - r, left)
            for x in range(here):
                at[(r + x) * depth + d] = number(parents, x) * whole
            for x in range(here if parents[2] == LISTED else 0):
                expect_parents(v_hi, parents, x, left)
                expect_parents(v_lo, parents, x, left)
                if v_dot is not None:
                    expect_parents(v_dot, parents, x, left)
            r += here


@inlined
def place_nodes(
    incoming: Any, run: Any, slot: int, depth: int, i: int, n: int, spare: int, state: Any, at: Any
) -> None:
    """at[d] = where the row of the parents over the d-th edges lies, for n nodes of one sample from the i-th on."""
    whole = row_length(state[0])
    for d in range(depth):
        e = pick(incoming.first, slot + d) + i
        k = run_at(incoming, run, d, e)
        parents, here = parents_of(incoming, k, e), left_of_run(incoming, k, e)
        have = min(n, pick(incoming.width, slot + d) - i)
        if parents[2] == 1 and have == n and here >= n:
            at[d] = parents[1]
        else:
            at[d] = spare + d * whole
            gather_parents(incoming, run, d, e, parents, here, have, state, spare + d * whole)


@inlined
def place_potentials(
    incoming: Any, slot: int, depth: int, node: int, e0: int, i: int, n: int, w: Any, w_dot: Any, room: int, at: Any
) -> None:
    """at[d] = where the row of the potentials of n nodes' d-th edges lies: put together at `room`, behind them."""
    whole = row_length(w)
    for d in range(depth):
        at[d] = place = room + d * whole
        have = min(n, pick(incoming.width, slot + d) - i)
        store(w, place, gather_vector(w, incoming.edges, node, d - e0, have))
        if w_dot is not None:
            store(w_dot, place, gather_vector(w_dot, incoming.edges, node, d - e0, have))


@inlined
def place_direct(
    incoming: Any, slot: int, depth: int, i: int, n: int, b0: int, theta: Source, z: Source, w: Any, w_dot: Any,
    room: int, at: Any,
) -> None:  # fmt: skip
    """The same where rows read their potentials themselves."""
    whole = row_length(w)
    for d in range(depth):
        e, have = pick(incoming.first, slot + d) + i, min(n, pick(incoming.width, slot + d) - i)
        at[d] = room + d * whole
        left = pick(incoming.width, slot + d) - i
        read_direct(w, at[d], theta, incoming, b0, e, have, left)
        if w_dot is not None:
            read_direct(w_dot, at[d], z, incoming, b0, e, have, left)


@inlined
def place_rows(
    incoming: Any, batch: Any, b0: int, slot: int, depth: int, node: int, i: int, rows: int, last: int, e0: int,
    theta: Source, z: Source, state: Any, buffers: Any, spare: int,
) -> None:  # fmt: skip
    """Where the parents and potentials of some rows lie, from `node` on, the i-th of its level."""
    places, w, w_dot, _, _, _ = buffers
    whole, most = row_length(state[0]), rows_at_once(places)
    at, w_at, run = part(places, 0, most), part(places, most, most), part(places, 3 * most, most)
    if batch.together is not None:
        place_samples(incoming, run, slot, depth, i, rows, state, at)
        for r in range(rows):
            for d in range(depth):
                w_at[r * depth + d] = (pick(incoming.edges, node + r) + d - e0) * whole
        return
    for r in range(rows):
        k, skip, n = r * whole, r * depth * whole, min(whole, last - node - r * whole)
        own_at = part(w_at, r * depth, depth)
        place_nodes(incoming, run, slot, depth, i + k, n, spare + skip, state, part(at, r * depth, depth))
        if directly(incoming, batch):
            place_direct(incoming, slot, depth, i + k, n, b0, theta, z, w, w_dot, skip, own_at)
        else:
            behind = w.shape[0] - (most + 1) * whole + skip  # the potentials that lie edge by edge
            place_potentials(incoming, slot, depth, node + k, e0, i + k, n, w, w_dot, behind, own_at)


@inlined
def place_stretch(
    incoming: Any, batch: Any, run: Any, slot: int, depth: int, node: int, i: int, last: int, most: int, spare: int,
    state: Any, at: Any,
) -> Any:  # fmt: skip
    """(nodes, rows, jump, shift) of the next rows of bare nodes, up to `most`, from a level's i-th node on: the parents
    over the d-th edges of the r-th lie at at[r * jump + d] + r * shift. Rows whose parents' rise with them need no
    list; of one sample the last of those may be short.
    """
    whole = row_length(state[0])
    step = 1 if batch.together is not None else whole
    alike = min(last - node, pick(incoming.width, slot + depth - 1) - i)
    straight = alike
    for d in range(depth):
        e = pick(incoming.first, slot + d) + i
        k = run_at(incoming, run, d, e)
        _, first, rise = parents_of(incoming, k, e)
        straight = min(straight, left_of_run(incoming, k, e)) if rise == 1 else 0
        at[d] = first * batch.lanes
    if batch.together is None and straight > 0:
        rows = min((straight + whole - 1) // whole, most)
        return min(straight, rows * whole), rows, 0, whole
    if straight >= step:
        rows = min(straight // step, most)
        return rows * step, rows, 0, whole
    if batch.together is not None:
        rows = min(alike, at.shape[0] // depth, most)
        place_samples(incoming, run, slot, depth, i, rows, state, at)
        return rows, rows, depth, 0
    rows = min((alike + whole - 1) // whole, at.shape[0] // depth, most)
    for r in range(rows):
        n, behind = min(whole, last - node - r * whole), spare + r * depth * whole
        place_nodes(incoming, run, slot, depth, i + r * whole, n, behind, state, part(at, r * depth, depth))
    return min(last - node, rows * whole), rows, depth, 0
