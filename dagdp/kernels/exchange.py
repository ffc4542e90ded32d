"""Between the user's arrays, batch first and in the user's order, and the kernel's rows of samples.

Nothing is transposed as a whole: potentials on edges are read tile by tile where they lie, potentials
hoisted to nodes become the first content of the nodes' rows. A stretch of consecutive entries is turned in
registers, a square of one cache line a side at a time, since a column of samples is one cache miss each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.rows import add_row, aligned, collect, hand_out, later, move_row, number, spread, total, turn
from dagdp.kernels.vectors import part, pick, row_length
from dagdp.progressions import ENTRY, LISTED

SPOTS = 64  # rows whose places are worked out at once
LEAST_STRETCH = 4  # entries from which a square, most of it unused, beats reading sample by sample


class Batch(NamedTuple):
    """What one launch works on: samples [first, last) in blocks of `lanes`."""

    first: int
    last: int
    lanes: int
    part: int  # row of the partial sums in which gradients of shared blocks are collected
    graphs: int = 1  # graphs side by side: so many ends a sample has, each reported apart


class Source(NamedTuple):
    """Weights on edges, or a direction: for each potential one array [samples or 1, entries], laid flat."""

    blocks: Any
    entries: np.ndarray[Any, Any]  # [blocks] length of a row
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


@inner
def stretch(entry: Any, most: int, lanes: int, whole: int) -> Any:
    """(how many of the entries are read at once, whether as a square: whole rows of samples, entries that rise by one).

    What would leave most of a square unused is taken entry by entry, as many as fill the square's room.
    """
    listed, start, step = entry
    if lanes % whole != 0:
        return most, False
    most = min(most, whole)
    if step != LISTED:
        return most, step == 1 and start >= 0 and most >= LEAST_STRETCH
    value = pick(listed, start)
    count = 1
    while value >= 0 and count < most and pick(listed, start + count) == value + count:
        count += 1
    return (count, True) if count >= LEAST_STRETCH else (most, False)


@inner
def read_rows(
    x: Any, spots: Any, square: Any, count: int, turned: bool, block: Any, entries: int, entry: Any, sign: Any,
    lowest: Any, batch: Batch, b0: int,
) -> bool:  # fmt: skip
    """Add the first `count` entries of each sample to the rows of x at `spots`; whether one is out of range."""
    whole = row_length(x)
    bad = False
    if turned and entries >= whole:
        start = min(number(entry, 0), entries - whole)
        skip = (number(entry, 0) - start) * whole
        for s in range(0, batch.lanes, whole):
            sample = sample_of(batch, b0, s)
            turn(square, block, sample * entries + start, entries, batch.last - sample)
            bad |= take_signed(part(square, skip, count * whole), sign, lowest)
            for r in range(count):
                add_row(x, pick(spots, r) + s, square, skip + r * whole)
    elif batch.lanes % whole == 0:
        for s in range(0, batch.lanes, whole):
            sample = sample_of(batch, b0, s)
            for r in range(count):
                at = sample * entries + max(number(entry, r), 0)
                collect(square, r * whole, block, at, entries, batch.last - sample)
            bad |= take_listed(square, count, entry, sign, lowest)
            for r in range(count):
                if number(entry, r) >= 0:
                    add_row(x, pick(spots, r) + s, square, r * whole)
    else:
        for b in range(batch.lanes):
            bad |= read_sample(x, spots, b, count, block, sample_of(batch, b0, b) * entries, entry, sign, lowest)
    return bad


@inner
def take_listed(square: Any, count: int, entry: Any, sign: Any, lowest: Any) -> bool:
    """`take_signed` for the rows of entries that are read at all."""
    whole = row_length(square)
    bad = False
    for r in range(count):
        if number(entry, r) >= 0:
            bad |= take_signed(part(square, r * whole, whole), sign, lowest)
    return bad


@inner
def read_sample(
    x: Any, spots: Any, b: int, count: int, block: Any, row: int, entry: Any, sign: Any, lowest: Any
) -> bool:
    """The entries of one sample, where the batch fills no row."""
    inf = x.dtype.type(np.inf)
    bad = False
    for r in range(count):
        if number(entry, r) >= 0:
            value = sign * pick(block, row + number(entry, r))
            bad |= not ((value >= lowest) & (value < inf))
            x[pick(spots, r) + b] += value
    return bad


@inner
def read_shared(x: Any, spots: Any, count: int, block: Any, entry: Any, sign: Any, lowest: Any, lanes: int) -> bool:
    """The same for a row that all samples share."""
    inf = x.dtype.type(np.inf)
    bad = False
    for r in range(count):
        if number(entry, r) >= 0:
            value = sign * pick(block, number(entry, r))
            bad |= not ((value >= lowest) & (value < inf))
            spread(x, pick(spots, r), value, lanes)
    return bad


@inner
def write_rows(
    out: Any, entries: int, entry: Any, flow: Any, spots: Any, square: Any, count: int, turned: bool, batch: Batch,
    b0: int,
) -> None:  # fmt: skip
    """Add the rows of `flow` at `spots` to the first `count` entries of each sample."""
    whole = row_length(flow)
    samples = min(batch.lanes, batch.last - b0)
    if turned and entries >= whole:
        start = min(number(entry, 0), entries - whole)
        skip = number(entry, 0) - start
        for s in range(0, samples, whole):
            for w in range(whole * whole):
                square[w] = 0
            for r in range(count):
                move_row(square, (skip + r) * whole, flow, pick(spots, r) + s)
            turn(square, square, 0, whole, whole)
            for b in range(min(whole, samples - s)):
                add_row(out, (b0 + s + b) * entries + start, square, b * whole)
    elif samples % whole == 0:
        for s in range(0, samples, whole):
            for r in range(count):
                if number(entry, r) >= 0:
                    hand_out(out, (b0 + s) * entries + number(entry, r), entries, flow, pick(spots, r) + s)
    else:
        for b in range(samples):
            row = (b0 + b) * entries
            for r in range(count):
                if number(entry, r) >= 0:
                    out[row + number(entry, r)] += flow[pick(spots, r) + b]


@inner
def write_shared(out: Any, row: int, entry: Any, flow: Any, spots: Any, count: int, samples: int) -> None:
    """The same for a row that all samples share: the sum over this block of samples."""
    for r in range(count):
        if number(entry, r) >= 0:
            out[row + number(entry, r)] += total(flow, pick(spots, r), samples)


@inlined
def read(
    x: Any, spots: Any, square: Any, count: int, turned: bool, source: Source, k: int, entry: Any, batch: Batch, b0: int
) -> bool:
    """Add a stretch of potential k."""
    if pick(source.shared, k):
        return read_shared(x, spots, count, source.blocks[k], entry, source.sign, source.lowest, batch.lanes)
    entries = pick(source.entries, k)
    sign, lowest = source.sign, source.lowest
    return read_rows(x, spots, square, count, turned, source.blocks[k], entries, entry, sign, lowest, batch, b0)


@inlined
def write(
    out: Any,
    source: Source,
    k: int,
    entry: Any,
    flow: Any,
    spots: Any,
    square: Any,
    count: int,
    turned: bool,
    batch: Batch,
    b0: int,
) -> None:
    """Hand a stretch's flow back to potential k, in the order of samples."""
    entries = pick(source.entries, k)
    if pick(source.shared, k):
        samples = min(batch.lanes, batch.last - b0)
        write_shared(out[k], batch.part * entries, entry, flow, spots, count, samples)
    else:
        write_rows(out[k], entries, entry, flow, spots, square, count, turned, batch, b0)


@inner
def new_room(like: Any) -> Any:
    """(spots, square): room for the places of a stretch's rows, and to turn them in."""
    whole = row_length(like)
    return np.empty(SPOTS, np.int64), aligned(like, whole * whole)


@inner
def place_edges(spots: Any, first: int, count: int, lanes: int) -> None:
    for r in range(count):
        spots[r] = (first + r) * lanes


@inner
def place_in_tile(spots: Any, edges: Any, e: int, count: int, node: int, node0: int, pitch: int, lanes: int) -> int:
    """Where the rows of edges [e, e + count) lie in a tile [slot, node, sample]; the node of the last."""
    for r in range(count):
        while e + r >= pick(edges, node + 1):
            node += 1
        spots[r] = (e + r - pick(edges, node)) * pitch + (node - node0) * lanes
    return node


@inner
def last_at_most(rising: Any, value: int) -> int:
    """The last place, the closing one excepted, whose number is at most `value`."""
    low = 0
    high = rising.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if rising[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@inlined
def piece_at(incoming: Any, k: int, e: int) -> int:
    """The piece of the k-th edge potential that edge e stands in."""
    low = pick(incoming.piece_ptr, k)
    high = pick(incoming.piece_ptr, k + 1) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if pick(incoming.pieces, 3 * middle) <= e:
            low = middle
        else:
            high = middle
    return low


@inlined
def read_tile(
    x: Any, pitch: int, room: Any, source: Source, incoming: Any, batch: Batch, b0: int, node0: int, node1: int
) -> bool:
    """Add edge potentials to x[slot, node, sample] for nodes [node0, node1); whether one is out of range."""
    spots, square = room
    whole = row_length(x)
    last = pick(incoming.edges, node1)
    bad = False
    for k in range(incoming.blocks.shape[0]):
        e = pick(incoming.edges, node0)
        node = node0
        piece = piece_at(incoming, k, e)
        while e < last:
            start = pick(incoming.pieces, 3 * piece)
            end = min(last, pick(incoming.pieces, 3 * piece + 3))
            rule = (incoming.entry, pick(incoming.pieces, 3 * piece + 1), pick(incoming.pieces, 3 * piece + 2))
            piece += 1
            if rule[2] == 0:
                e = end
            while e < end:
                entry = later(rule, e - start)
                count, turned = stretch(entry, min(SPOTS, end - e), batch.lanes, whole)
                node = place_in_tile(spots, incoming.edges, e, count, node, node0, pitch, batch.lanes)
                bad |= read(x, spots, square, count, turned, source, pick(incoming.blocks, k), entry, batch, b0)
                e += count
    return bad


@inlined
def quantity(outgoing: Any, run: int, column: int, skip: int) -> Any:
    """What `column` says of a run's edges from the edge `skip` on."""
    place = run * outgoing.runs.shape[1] + column
    return later((outgoing.listed, pick(outgoing.runs, place), pick(outgoing.runs, place + 1)), skip)


@inlined
def read_run(w: Any, room: Any, source: Source, outgoing: Any, batch: Batch, b0: int, run: int, skip: int) -> None:
    """Add the potentials of a run's edges from the edge `skip` on to w[edge, sample]."""
    spots, square = room
    whole = row_length(w)
    last = w.shape[0] // batch.lanes
    for k in range(outgoing.blocks.shape[0]):
        rule = quantity(outgoing, run, ENTRY + 2 * k, skip)
        e = last if rule[1] < 0 else 0
        while e < last:
            entry = later(rule, e)
            count, turned = stretch(entry, min(SPOTS, last - e), batch.lanes, whole)
            place_edges(spots, e, count, batch.lanes)
            read(w, spots, square, count, turned, source, pick(outgoing.blocks, k), entry, batch, b0)
            e += count


@inlined
def write_run(
    out: Any, room: Any, source: Source, outgoing: Any, batch: Batch, b0: int, run: int, skip: int, flow: Any
) -> None:
    """Hand the flow on a run's edges from the edge `skip` on back to the blocks."""
    spots, square = room
    whole = row_length(flow)
    last = flow.shape[0] // batch.lanes
    for k in range(outgoing.blocks.shape[0]):
        rule = quantity(outgoing, run, ENTRY + 2 * k, skip)
        e = last if rule[1] < 0 else 0
        while e < last:
            entry = later(rule, e)
            count, turned = stretch(entry, min(SPOTS, last - e), batch.lanes, whole)
            place_edges(spots, e, count, batch.lanes)
            write(out, source, pick(outgoing.blocks, k), entry, flow, spots, square, count, turned, batch, b0)
            e += count


@inner
def hand_back(out: Any, state: Any, batch: Batch, b0: int, incoming: Any, level: int, ends: Any, sign: Any) -> None:
    """The state of the end node of each sample that ends at this level; of graphs side by side, of all their ends."""
    node0, node1 = incoming.levels[level], incoming.levels[level + 1]
    lowest = node0 if batch.graphs == 1 else 0
    for b in range(min(batch.lanes, batch.last - b0)):
        for at in range((b0 + b) * batch.graphs, (b0 + b + 1) * batch.graphs):
            if lowest <= ends[at] < node1:
                out[at] = sign * state[(incoming.place[level] + ends[at] - node0) * batch.lanes + b]
