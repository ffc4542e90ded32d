"""The forward pass in powers of two (powers.py), by stretches: rows of a level whose parents' rows rise with their own.

A level of a grid is one stretch. Its rows ask nobody where their parents lie and keep nothing for a later phase, and
no row waits for the one before, so that a processor has several of them in hand. Elsewhere rows are placed as in any
other pass (places.py).
"""

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.cursor import (
    BARE_TOGETHER,
    DESK,
    MOVES,
    rows_at_once,
    rows_of_moves,
    spare_at,
)
from dagdp.kernels.cpu.operands import place_stretch
from dagdp.kernels.cpu.packing.entries import Batch, put
from dagdp.kernels.cpu.row_max import tangents
from dagdp.kernels.cpu.special.scaled import grow, highest, sum_powers, widest
from dagdp.kernels.recursion import anchor
from dagdp.lanes.rows import load, row_of, select, store
from dagdp.lanes.views import behind, part, pick, row_length


@inlined
def put_power(omega: Any, count: int, at: int, own_at: int, state: Any, top: Any, total: Any, ask: bool) -> Any:
    """e^v of a row as (k, m), and what `local_weights` asks for: 1/S, and top in the place of c.

    Handed back are 1/S, if somebody asks, and k.
    """
    k, m, share, _, _, own, _ = state
    real = k.dtype.type
    hi, lo, reached = grow(load(own, own_at), top, total, omega.gamma, k)
    put(k, at, hi, count)
    put(m, at, lo, count)
    turn = total
    if share.shape[0] > 0 or ask:
        turn = select(total > real(0), real(1) / total, real(0))
    if share.shape[0] > 0:
        put(share, at, turn, count)
        put(own, own_at, anchor(top), count)
    return turn, reached


@inlined
def raise_rows(
    omega: Any, depth: int, rows: int, jump: int, shift: int, left: int, first: int, own_at: Any, state: Any,
    buffers: Any, y: Any, ask: bool,
) -> None:  # fmt: skip
    """e^v and v̇ of the rows that `place_stretch` placed, the first of which lies at `first`."""
    k, m, _, v_dot, _, _, own_dot = state
    places, _, _, _, desk, _ = buffers
    whole = row_length(k)
    size = load(desk, DESK * BARE_TOGETHER * whole)
    for r in range(rows):
        skip, at, count = r * shift, first + r * whole, min(whole, left - r * whole)
        v_at = part(places, r * jump, depth)
        top = highest(behind(k, skip), v_at, depth)
        total = sum_powers(behind(k, skip), behind(m, skip), v_at, depth, top, y)
        turn, reached = put_power(omega, count, at, own_at[0] + r * whole, state, top, total, ask)
        size = widest(size, reached, count, k)
        if v_dot is not None:
            start = load(own_dot, own_at[1] + r * whole) if own_dot is not None else row_of(k, 0)
            slope, _ = tangents(omega, depth, y, turn, behind(v_dot, skip), v_at, None, v_at, start)
            put(v_dot, at, slope, count)
    store(desk, DESK * BARE_TOGETHER * whole, size)


@inlined
def visit_stretches(
    omega: Any, incoming: Any, batch: Batch, level: int, node: int, last: int, base: Any, state: Any, buffers: Any
) -> None:
    """Nodes [node, last) of a level; `base` are the nodes that stand first in `own` and `own_dot`."""
    places, y, lanes, whole = buffers[0], buffers[3], batch.lanes, row_length(state[0])
    ask = y.shape[0] > whole
    most = rows_at_once(places)
    at, run = part(places, 0, most), part(places, 3 * most, most)
    n0, slot = pick(incoming.levels, level), pick(incoming.slots, level)
    home, spare = pick(incoming.place, level) - n0, spare_at(places, incoming, lanes, state[0])
    depth = pick(incoming.slots, level + 1) - slot
    while node < last:
        i = node - n0
        while pick(incoming.width, slot + depth - 1) <= i:
            depth -= 1
        nodes, rows, jump, shift = place_stretch(
            incoming, batch, run, slot, depth, node, i, last, last - node, spare, state, at
        )
        left = rows * whole if batch.together is not None else nodes
        first, own_at = (home + node) * lanes, ((node - base[0]) * lanes, (node - base[1]) * lanes)
        if depth == MOVES:
            own_y = rows_of_moves(y)
            raise_rows(omega, MOVES, rows, jump, shift, left, first, own_at, state, buffers, own_y, ask)
        else:
            raise_rows(omega, depth, rows, jump, shift, left, first, own_at, state, buffers, y, ask)
        node += nodes
