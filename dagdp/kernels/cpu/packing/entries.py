"""Between the user's arrays, batch first and in the user's order, and the kernel's rows.

Nothing is transposed as a whole. A stretch of consecutive entries is turned in registers, a square of one cache
line a side at a time, since a column of samples is one cache miss each. Entries in no order are collected one
row at a time. A sample that is worked on alone is read as it lies.

Where rows lie among the kernel's is a rule too (progressions.py): the k-th is row number(rows, k) of an array.

An entry that is NaN, or an infinity of the wrong sign, is read as +inf, which no maximum loses. Every value that it
can reach becomes +inf, so a finite value was made of sound entries alone. What lies behind a sample's end is read, too,
where that is cheaper than to ask where it ends; it reaches nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.compiled.index_arrays import COLUMNS, ENTRIES, SHARED
from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.rows import add_to, later, number
from dagdp.lanes.gather import gather_present
from dagdp.lanes.rows import first_lanes, first_lanes_or, load, row_of, select, store, total
from dagdp.lanes.views import (
    FAR,
    collect_vector,
    expect_square,
    hand_out_vector,
    known,
    lent_block,
    pick,
    row_length,
    turn_vectors,
)

MOST = 64  # entries that are taken at once where they fill no square
LEAST_STRETCH = 4  # entries from which a square, most of it unused, beats reading sample by sample


EVERY_START = np.empty(0, np.int32)


class Batch(NamedTuple):
    """What one launch works on: samples [first, last) in blocks of `lanes`. What is None is so by type."""

    first: int
    last: int
    lanes: int  # a row of samples, or 1
    part: int  # row of the partial sums in which gradients of shared blocks are collected
    graphs: int = 1  # graphs side by side: so many ends a sample has, each reported apart
    together: bool | None = None  # True: rows are of samples; None: of one sample's neighbouring nodes
    powers: bool | None = None  # True: the state holds powers of two, see powers.py; None: v in two parts
    starts: np.ndarray[Any, Any] = EVERY_START  # [items, graphs] flat: where paths begin, -1 nowhere; empty: anywhere


class Source(NamedTuple):
    """Weights on edges, or a direction: for each potential one array [samples or 1, entries], laid flat."""

    table: np.ndarray[Any, Any]  # where these are: see `dagdp.compiled.index_arrays.located`
    sign: Any  # -1 to minimise


@inlined
def telling(value: Any, like: Any) -> Any:
    """A row, or a number, with +inf in the place of NaN."""
    inf = like.dtype.type(np.inf)
    return select(value < inf, value, inf)


@inner
def stretch(entry: Any, most: int, whole: int) -> Any:
    """(how many of the entries are read at once, whether as a square: entries that rise by one).

    What would leave most of a square unused is taken entry by entry, as many as there are up to MOST.
    """
    listed, start, step = entry
    most = min(most, MOST)
    if step != LISTED:
        turned = step == 1 and start >= 0 and most >= LEAST_STRETCH
        return (min(most, whole) if turned else most), turned
    value = pick(listed, start)
    count = 1
    while value >= 0 and count < min(most, whole) and pick(listed, start + count) == value + count:
        count += 1
    return (count, True) if count >= LEAST_STRETCH else (min(most, whole), False)


@inlined
def take_in(x: Any, at: int, row: Any, afresh: bool) -> None:
    """Add a row to x, or put it in its place (`afresh`)."""
    if afresh:
        store(x, at, row)
    else:
        add_to(x, at, row)


@inner
def read_rows(
    x: Any, rows: Any, square: Any, count: int, turned: bool, block: Any, entries: int, entry: Any, sign: Any,
    batch: Batch, b0: int, afresh: bool,
) -> None:  # fmt: skip
    """Add `count` entries of each sample to rows of x. Lanes beyond the batch repeat.

    `afresh`: they are put in their place, and all are there.
    """
    whole = row_length(x)
    if turned and entries >= whole:
        start = min(number(entry, 0), entries - whole)
        skip = number(entry, 0) - start
        turn_vectors(square, 0, whole, block, b0 * entries + start, entries, batch.last - b0)
        for r in range(count):
            value = sign * load(square, (skip + r) * whole)
            take_in(x, number(rows, r) * whole, telling(value, x), afresh)
        return
    for r in range(count):
        e = number(entry, r)
        if e >= 0:
            collect_vector(square, 0, block, b0 * entries + e, entries, batch.last - b0)
            take_in(x, number(rows, r) * whole, telling(sign * load(square, 0), x), afresh)


@inner
def read_spread(x: Any, rows: Any, count: int, block: Any, entry: Any, sign: Any, afresh: bool) -> None:
    """The same for a row of entries that all samples share."""
    whole = row_length(x)
    for r in range(count):
        e = number(entry, r)
        if e >= 0:
            value = telling(sign * pick(block, e), x)
            take_in(x, number(rows, r) * whole, row_of(x, value), afresh)


@inner
def read_sample(x: Any, rows: Any, count: int, block: Any, first: int, entry: Any, sign: Any, afresh: bool) -> None:
    """The same for one sample, whose entries begin at `first`."""
    whole = row_length(x)
    r = 0
    if entry[2] == 1 and rows[2] == 1:
        while r + whole <= count:
            take_in(x, rows[1] + r, telling(sign * load(block, first + entry[1] + r), x), afresh)
            r += whole
    if entry[2] == LISTED and rows[2] == 1:
        while r < count:
            some = min(whole, count - r)
            value = sign * gather_present(block, entry[0], entry[1] + r, first, some)
            take_in(x, rows[1] + r, first_lanes(telling(value, x), some), afresh)
            r += whole
    while r < count:
        e = number(entry, r)
        if e >= 0:
            value = telling(sign * pick(block, first + e), x)
            x[number(rows, r)] = value if afresh else pick(x, number(rows, r)) + value
        r += 1


@inner
def write_rows(
    out: Any, entries: int, entry: Any, flow: Any, rows: Any, square: Any, count: int, turned: bool, batch: Batch,
    b0: int, afresh: bool,
) -> None:  # fmt: skip
    """Add rows of `flow` to `count` entries of each sample, or put them in their place (`afresh`)."""
    whole = row_length(flow)
    samples = min(whole, batch.last - b0)
    if turned and count == whole:
        for r in range(whole):
            store(square, r * whole, load(flow, number(rows, r) * whole))
        turn_vectors(square, 0, whole, square, 0, whole, whole)
        for b in range(samples):
            take_in(out, (b0 + b) * entries + number(entry, 0), load(square, b * whole), afresh)
    elif turned and entries >= whole:
        start = min(number(entry, 0), entries - whole)
        skip = number(entry, 0) - start
        for r in range(whole):
            inside = skip <= r and r < skip + count
            store(square, r * whole, load(flow, number(rows, r - skip) * whole) if inside else row_of(flow, 0))
        turn_vectors(square, 0, whole, square, 0, whole, whole)
        for b in range(samples):
            at = (b0 + b) * entries + start
            old = load(out, at)
            rest = first_lanes_or(first_lanes(old, skip), skip + count, old) if afresh else old
            store(out, at, rest + load(square, b * whole))
    elif samples == whole:
        for r in range(count):
            if number(entry, r) >= 0:
                at = b0 * entries + number(entry, r)
                hand_out_vector(out, at, flow, number(rows, r) * whole, entries, afresh)
    else:
        for r in range(count):
            e = number(entry, r)
            if e >= 0:
                for b in range(samples):
                    at = (b0 + b) * entries + e
                    value = pick(flow, number(rows, r) * whole + b)
                    out[at] = value if afresh else pick(out, at) + value


@inner
def write_spread(out: Any, first: int, entry: Any, flow: Any, rows: Any, count: int, samples: int) -> None:
    """The same for entries that all samples share: the sum over this block of samples."""
    whole = row_length(flow)
    for r in range(count):
        e = number(entry, r)
        if e >= 0:
            out[first + e] += total(first_lanes(load(flow, number(rows, r) * whole), samples))


@inner
def write_sample(out: Any, first: int, entry: Any, flow: Any, rows: Any, count: int, afresh: bool) -> None:
    """The same for one sample."""
    whole = row_length(flow)
    r = 0
    if entry[2] == 1 and rows[2] == 1:
        while r + whole <= count:
            at = first + entry[1] + r
            row = load(flow, rows[1] + r)
            store(out, at, row if afresh else row + load(out, at))
            r += whole
    while r < count:
        e = number(entry, r)
        value = pick(flow, number(rows, r))
        r += 1
        while r < count and number(entry, r) == e:  # one entry of many nodes: its sum does not go through memory
            value += pick(flow, number(rows, r))
            r += 1
        if e >= 0:
            out[first + e] = value if afresh else pick(out, first + e) + value


@inlined
def row_entries(source: Source, k: int) -> int:
    """Entries of a row of potential k."""
    return pick(source.table, COLUMNS * k + ENTRIES)


@inlined
def is_shared(source: Source, k: int) -> bool:
    """Whether the batch shares the one row of potential k."""
    return pick(source.table, COLUMNS * k + SHARED) != 0


@inlined
def first_entry(source: Source, k: int, b0: int) -> int:
    """Where the entries of potential k begin for one sample alone."""
    place = COLUMNS * k
    return 0 if known(source.table, place + SHARED) != 0 else b0 * known(source.table, place + ENTRIES)


@inlined
def expect_next(block: Any, entry: Any, r: int, count: int, entries: int, batch: Batch, b0: int) -> None:
    """Ask for the square that begins with the r-th entry: listed ones lie where no processor guesses them."""
    if entry[2] == LISTED and r < count and block.shape[0] > FAR:
        e = number(entry, r)
        if e >= 0:
            expect_square(block, b0 * entries + e, entries, batch.last - b0)


@inlined
def read(
    x: Any, rows: Any, square: Any, source: Source, k: int, entry: Any, count: int, batch: Batch, b0: int, afresh: bool
) -> None:
    """Add `count` entries of potential k to rows of x, or put them there (`afresh`)."""
    sign, entries = source.sign, row_entries(source, k)
    block = lent_block(source.table, k, x)
    if batch.together is None:
        read_sample(x, rows, count, block, first_entry(source, k, b0), entry, sign, afresh)
        return
    if is_shared(source, k):
        read_spread(x, rows, count, block, entry, sign, afresh)
        return
    r = 0
    while r < count:
        some, turned = stretch(later(entry, r), count - r, batch.lanes)
        if turned and some == batch.lanes:
            expect_next(block, entry, r + some, count, entries, batch, b0)
        read_rows(x, later(rows, r), square, some, turned, block, entries, later(entry, r), sign, batch, b0, afresh)
        r += some


@inlined
def write(
    out: Any, source: Source, k: int, entry: Any, flow: Any, rows: Any, count: int, square: Any, batch: Batch, b0: int,
    afresh: bool,
) -> None:  # fmt: skip
    """Add rows of `flow` to `count` entries of potential k, in the order of samples; `afresh`: in their place.

    No entry that samples share is written afresh.
    """
    entries, block = row_entries(source, k), lent_block(out, k, flow)
    shared = is_shared(source, k)
    if batch.together is None:
        write_sample(block, (batch.part if shared else b0) * entries, entry, flow, rows, count, afresh)
    elif shared:
        write_spread(block, batch.part * entries, entry, flow, rows, count, batch.last - b0)
    else:
        r = 0
        while r < count:
            some, turned = stretch(later(entry, r), count - r, batch.lanes)
            if turned and some == batch.lanes:
                expect_next(block, entry, r + some, count, entries, batch, b0)
            write_rows(block, entries, later(entry, r), flow, later(rows, r), square, some, turned, batch, b0, afresh)
            r += some


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
def put(array: Any, at: int, row: Any, count: int) -> None:
    """The first `count` lanes of a row; what stands behind them is written back. (Masked stores are slow on AVX2.)"""
    if count == row_length(array):
        store(array, at, row)
    else:
        store(array, at, first_lanes_or(row, count, load(array, at)))
