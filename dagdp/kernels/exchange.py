"""Between the user's arrays, batch first and in the user's order, and the kernel's rows of samples.

Nothing is transposed as a whole: potentials on edges are read tile by tile where they lie, potentials
hoisted to nodes become the first content of the nodes' rows. Squares of one cache line a side are turned
in registers, since a column of samples is one cache miss each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.rows import ROW_BYTES, add_row, move_row, turn


class Batch(NamedTuple):
    """What one launch works on: samples [first, last) in blocks of `lanes`."""

    first: int
    last: int
    lanes: int
    part: int  # row of the partial sums in which gradients of shared blocks are collected


class Source(NamedTuple):
    """Weights on edges, or a direction: one array [samples or 1, entries] for each potential."""

    blocks: Any
    shared: np.ndarray[Any, Any]  # [blocks] whether the batch shares the one row
    sign: Any  # -1 to minimise
    lowest: Any  # sign * entry must lie in [lowest, inf)


@inlined
def sample_of(batch: Batch, b0: int, b: int) -> int:
    """Lanes beyond the batch repeat its last sample."""
    return min(b0 + b, batch.last - 1)


@inner
def take_signed(square: Any, sign: Any, lowest: Any) -> bool:
    """Multiply by the sign; whether an entry is NaN or out of range."""
    inf = square.dtype.type(np.inf)
    wrong = 0
    for w in range(square.shape[0]):
        square[w] = sign * square[w]
        wrong += 0 if (square[w] >= lowest) & (square[w] < inf) else 1
    return wrong > 0


@inlined
def squares(even: int, once: bool, r0: int, r1: int, b0: int, batch: Batch, whole: int) -> bool:
    """Whether entries [r0, r1) of this block of samples form a full square."""
    return even == 1 and not once and r1 - r0 == whole and batch.lanes == whole and b0 + whole <= batch.last


@inner
def read_hoisted(state: Any, source: Source, hoisted: Any, batch: Batch, b0: int) -> bool:
    """Add hoisted potentials to the rows of their nodes; whether one is NaN or out of range."""
    inf = state.dtype.type(np.inf)
    whole = ROW_BYTES // state.itemsize
    square = np.empty(whole * whole, state.dtype)
    bad = False
    for h in range(hoisted.blocks.shape[0]):
        block = source.blocks[hoisted.blocks[h]]
        once = source.shared[hoisted.blocks[h]]
        flat = block.reshape(block.size)
        for r0 in range(hoisted.ptr[h], hoisted.ptr[h + 1], whole):
            r1 = min(r0 + whole, hoisted.ptr[h + 1])
            if squares(hoisted.even[h], once, r0, r1, b0, batch, whole):
                turn(square, flat, b0 * block.shape[1] + hoisted.entry[r0], block.shape[1])
                bad |= take_signed(square, source.sign, source.lowest)
                for r in range(whole):
                    add_row(state, hoisted.node[r0 + r] * whole, square, r * whole)
                continue
            for b in range(batch.lanes):
                row = block[0 if once else sample_of(batch, b0, b)]
                for r in range(r0, r1):
                    value = source.sign * row[hoisted.entry[r]]
                    bad |= not ((value >= source.lowest) & (value < inf))
                    state[hoisted.node[r] * batch.lanes + b] += value
    return bad


@inner
def write_hoisted(out: Any, shared: Any, hoisted: Any, batch: Batch, b0: int, bar: Any) -> None:
    """The gradient of a hoisted potential is the adjoint of its node."""
    whole = ROW_BYTES // bar.itemsize
    square = np.empty(whole * whole, bar.dtype)
    for h in range(hoisted.blocks.shape[0]):
        block = out[hoisted.blocks[h]]
        once = shared[hoisted.blocks[h]]
        for r0 in range(hoisted.ptr[h], hoisted.ptr[h + 1], whole):
            r1 = min(r0 + whole, hoisted.ptr[h + 1])
            if squares(hoisted.even[h], once, r0, r1, b0, batch, whole):
                for r in range(whole):
                    move_row(square, r * whole, bar, hoisted.node[r0 + r] * whole)
                turn(square, square, 0, whole)
                for r in range(whole):
                    add_row(block[b0 + r], hoisted.entry[r0], square, r * whole)
                continue
            for b in range(min(batch.lanes, batch.last - b0)):
                row = block[batch.part if once else b0 + b]
                for r in range(r0, r1):
                    row[hoisted.entry[r]] += bar[hoisted.node[r] * batch.lanes + b]


@inner
def consecutive(entry: Any, first: int, count: int) -> bool:
    """Whether entries [first, first + count) rise by one."""
    broken = entry[first] < 0
    for e in range(1, count):
        broken |= entry[first + e] != entry[first] + e
    return not broken


@inlined
def read_tile(
    x: Any, pitch: int, spots: Any, source: Source, incoming: Any, batch: Batch, b0: int, node0: int, node1: int
) -> bool:
    """Add edge potentials to x[slot, node, sample] for nodes [node0, node1); whether one is out of range."""
    inf = x.dtype.type(np.inf)
    whole = ROW_BYTES // x.itemsize
    square = np.empty(whole * whole, x.dtype)
    first = incoming.edges[node0]
    last = incoming.edges[node1]
    full = batch.lanes == whole and b0 + whole <= batch.last
    bad = False
    for k in range(incoming.blocks.shape[0]):
        block = source.blocks[incoming.blocks[k]]
        once = source.shared[incoming.blocks[k]]
        entry = incoming.entry[k]
        flat = block.reshape(block.size)
        node = node0
        for e0 in range(first, last, whole):
            e1 = min(e0 + whole, last)
            for e in range(e0, e1):
                while e >= incoming.edges[node + 1]:
                    node += 1
                spots[e - e0] = (e - incoming.edges[node]) * pitch + (node - node0) * batch.lanes
            if full and not once and e1 - e0 == whole and consecutive(entry, e0, whole):
                turn(square, flat, b0 * block.shape[1] + entry[e0], block.shape[1])
                bad |= take_signed(square, source.sign, source.lowest)
                for r in range(whole):
                    add_row(x, spots[r], square, r * whole)
                continue
            for b in range(batch.lanes):
                row = block[0 if once else sample_of(batch, b0, b)]
                for e in range(e0, e1):
                    if entry[e] >= 0:
                        value = source.sign * row[entry[e]]
                        bad |= not ((value >= source.lowest) & (value < inf))
                        x[spots[e - e0] + b] += value
    return bad


@inlined
def read_run(w: Any, square: Any, source: Source, outgoing: Any, batch: Batch, b0: int, first: int, count: int) -> None:
    """Add the potentials of outgoing edges to w[edge, sample]."""
    whole = ROW_BYTES // w.itemsize
    full = batch.lanes == whole and b0 + whole <= batch.last
    for k in range(outgoing.blocks.shape[0]):
        block = source.blocks[outgoing.blocks[k]]
        once = source.shared[outgoing.blocks[k]]
        entry = outgoing.entry[k]
        flat = block.reshape(block.size)
        for e0 in range(0, count, whole):
            e1 = min(e0 + whole, count)
            if full and not once and e1 - e0 == whole and consecutive(entry, first + e0, whole):
                turn(square, flat, b0 * block.shape[1] + entry[first + e0], block.shape[1])
                add_signed(w[e0 * whole : e1 * whole], square, source.sign)
                continue
            for b in range(batch.lanes):
                row = block[0 if once else sample_of(batch, b0, b)]
                for e in range(e0, e1):
                    if entry[first + e] >= 0:
                        w[e * batch.lanes + b] += source.sign * row[entry[first + e]]


@inner
def add_signed(total: Any, term: Any, sign: Any) -> None:
    for w in range(total.shape[0]):
        total[w] += sign * term[w]


@inlined
def write_run(
    out: Any, square: Any, shared: Any, outgoing: Any, batch: Batch, b0: int, first: int, count: int, flow: Any
) -> None:
    """Hand the flow on outgoing edges back to the blocks, in the order of samples."""
    whole = ROW_BYTES // flow.itemsize
    full = batch.lanes == whole and b0 + whole <= batch.last
    for k in range(outgoing.blocks.shape[0]):
        block = out[outgoing.blocks[k]]
        once = shared[outgoing.blocks[k]]
        entry = outgoing.entry[k]
        for e0 in range(0, count, whole):
            e1 = min(e0 + whole, count)
            if full and not once and e1 - e0 == whole and consecutive(entry, first + e0, whole):
                turn(square, flow, e0 * whole, whole)
                for r in range(whole):
                    add_row(block[b0 + r], entry[first + e0], square, r * whole)
                continue
            for b in range(min(batch.lanes, batch.last - b0)):
                row = block[batch.part if once else b0 + b]
                for e in range(e0, e1):
                    if entry[first + e] >= 0:
                        row[entry[first + e]] += flow[e * batch.lanes + b]


@inner
def hand_back(out: Any, state: Any, batch: Batch, b0: int, ends: Any, sign: Any) -> None:
    """The state of each sample's end node."""
    for b in range(min(batch.lanes, batch.last - b0)):
        out[b0 + b] = sign * state[ends[b0 + b] * batch.lanes + b]
