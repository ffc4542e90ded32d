"""Between entries of the caller's arrays, batch first and in the user's order, and rows of the kernel.

No array is transposed as a whole. Consecutive entries are transposed in registers by tiles of as many entries as
samples, one cache line wide: to read a single entry of all samples costs a cache miss for each sample. Scattered
entries are read one row at a time. One sample that is worked on alone is read as it lies.

An entry that is NaN, or an infinity of the wrong sign, is read as +inf, which no maximum discards. Every value that it
reaches becomes +inf, so a finite value was made of valid entries alone. Entries behind a sample's end are read where
that is cheaper than to test where the sample ends; they reach nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.index_arrays import COLUMNS, ENTRIES, SHARED
from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import potential_array
from dagdp.kernels.cpu.progressions import Progression, advance, term
from dagdp.kernels.cpu.records import Block, Floats, Row, Source
from dagdp.kernels.cpu.rows import add_to, nan_to_inf
from dagdp.lanes.gather import gather_present
from dagdp.lanes.prefetch import FAR, prefetch_tile
from dagdp.lanes.reductions import sum_lanes
from dagdp.lanes.rows import first_lanes, first_lanes_or, load, splat, store
from dagdp.lanes.transpose import load_strided, store_strided, transpose_tile
from dagdp.lanes.views import get, get_invariant, width

MOST = 64  # entries that are read together where they form no tile
LEAST_CONTIGUOUS = 4  # consecutive entries from which on a tile, most of it unused, beats single entries


class Transfer(NamedTuple):
    """`count` entries of one potential, and the rows of a kernel's array that they belong to."""

    rows: Progression  # where the k-th entry goes: a row's number, or of one sample an element's number
    entries: Progression
    count: int
    replace: bool  # rows, or entries, are overwritten; otherwise added to


class UserArray(NamedTuple):
    """The caller's array of one potential, laid flat."""

    array: Floats
    entries: int  # entries of a sample
    sign: Any


@inlined
def rest_of(transfer: Transfer, k: int) -> Transfer:
    """The transfer from its k-th entry on."""
    return Transfer(advance(transfer.rows, k), advance(transfer.entries, k), transfer.count - k, transfer.replace)


@inlined
def first_of(transfer: Transfer, count: int) -> Transfer:
    """The first `count` entries of a transfer."""
    return Transfer(transfer.rows, transfer.entries, count, transfer.replace)


@inner
def together(entries: Progression, most: int, row: int) -> Any:
    """(how many of the next entries are read together, whether as a tile: entries that rise by one).

    Entries that would leave most of a tile unused are read one by one, up to MOST of them, of listed ones up to a row.
    """
    most = min(most, MOST)
    if entries.step != LISTED:
        tile = entries.step == 1 and entries.start >= 0 and most >= LEAST_CONTIGUOUS
        return (min(most, row) if tile else most), tile
    value = get(entries.listed, entries.start)
    count = 1
    while value >= 0 and count < min(most, row) and get(entries.listed, entries.start + count) == value + count:
        count += 1
    return (count, True) if count >= LEAST_CONTIGUOUS else (min(most, row), False)


@inlined
def put_row(x: Floats, at: int, row: Row, replace: bool) -> None:
    """Store a row, or add it."""
    if replace:
        store(x, at, row)
    else:
        add_to(x, at, row)


@inner
def read_rows(x: Floats, tile: Floats, user: UserArray, transfer: Transfer, as_tile: bool, block: Block) -> None:
    """Read entries of all samples of a block into rows of x. Lanes behind the batch repeat its last sample."""
    row, entries = width(x), user.entries
    rows, numbers, count, replace = transfer
    if as_tile and entries >= row:
        start = min(term(numbers, 0), entries - row)
        skip = term(numbers, 0) - start
        transpose_tile(tile, 0, row, user.array, block.first * entries + start, entries, block.stop - block.first)
        for r in range(count):
            value = user.sign * load(tile, (skip + r) * row)
            put_row(x, term(rows, r) * row, nan_to_inf(value, x), replace)
        return
    for r in range(count):
        e = term(numbers, r)
        if e >= 0:
            load_strided(tile, 0, user.array, block.first * entries + e, entries, block.stop - block.first)
            put_row(x, term(rows, r) * row, nan_to_inf(user.sign * load(tile, 0), x), replace)


@inner
def read_shared(x: Floats, user: UserArray, transfer: Transfer) -> None:
    """Read entries that all samples share into rows of x."""
    row = width(x)
    rows, numbers, count, replace = transfer
    for r in range(count):
        e = term(numbers, r)
        if e >= 0:
            value = nan_to_inf(user.sign * get(user.array, e), x)
            put_row(x, term(rows, r) * row, splat(x, value), replace)


@inner
def read_one_sample(x: Floats, user: UserArray, first: int, transfer: Transfer) -> None:
    """Read entries of one sample, whose entries begin at `first`, into elements of x."""
    row, block, sign = width(x), user.array, user.sign
    rows, numbers, count, replace = transfer
    r = 0
    if numbers.step == 1 and rows.step == 1:
        while r + row <= count:
            put_row(x, rows.start + r, nan_to_inf(sign * load(block, first + numbers.start + r), x), replace)
            r += row
    if numbers.step == LISTED and rows.step == 1:
        while r < count:
            some = min(row, count - r)
            value = sign * gather_present(block, numbers.listed, numbers.start + r, first, some)
            put_row(x, rows.start + r, first_lanes(nan_to_inf(value, x), some), replace)
            r += row
    while r < count:
        e = term(numbers, r)
        if e >= 0:
            value = nan_to_inf(sign * get(block, first + e), x)
            x[term(rows, r)] = value if replace else get(x, term(rows, r)) + value
        r += 1


@inner
def write_rows(user: UserArray, flow: Floats, tile: Floats, transfer: Transfer, as_tile: bool, block: Block) -> None:
    """Write rows of `flow` to entries of all samples of a block."""
    out, entries, row = user.array, user.entries, width(flow)
    rows, numbers, count, replace = transfer
    samples = min(row, block.stop - block.first)
    if as_tile and count == row:
        for r in range(row):
            store(tile, r * row, load(flow, term(rows, r) * row))
        transpose_tile(tile, 0, row, tile, 0, row, row)
        for b in range(samples):
            put_row(out, (block.first + b) * entries + term(numbers, 0), load(tile, b * row), replace)
    elif as_tile and entries >= row:
        start = min(term(numbers, 0), entries - row)
        skip = term(numbers, 0) - start
        for r in range(row):
            inside = skip <= r and r < skip + count
            store(tile, r * row, load(flow, term(rows, r - skip) * row) if inside else splat(flow, 0))
        transpose_tile(tile, 0, row, tile, 0, row, row)
        for b in range(samples):
            at = (block.first + b) * entries + start
            old = load(out, at)
            rest = first_lanes_or(first_lanes(old, skip), skip + count, old) if replace else old
            store(out, at, rest + load(tile, b * row))
    elif samples == row:
        for r in range(count):
            if term(numbers, r) >= 0:
                at = block.first * entries + term(numbers, r)
                store_strided(out, at, flow, term(rows, r) * row, entries, replace)
    else:
        for r in range(count):
            e = term(numbers, r)
            if e >= 0:
                for b in range(samples):
                    at = (block.first + b) * entries + e
                    value = get(flow, term(rows, r) * row + b)
                    out[at] = value if replace else get(out, at) + value


@inner
def write_shared(out: Floats, first: int, flow: Floats, transfer: Transfer, samples: int) -> None:
    """Add rows of `flow`, summed over the samples of a block, to entries that all samples share."""
    row = width(flow)
    rows, numbers, count, _ = transfer
    for r in range(count):
        e = term(numbers, r)
        if e >= 0:
            out[first + e] += sum_lanes(first_lanes(load(flow, term(rows, r) * row), samples))


@inner
def write_one_sample(out: Floats, first: int, flow: Floats, transfer: Transfer) -> None:
    """Write elements of `flow` to entries of one sample, whose entries begin at `first`."""
    row = width(flow)
    rows, numbers, count, replace = transfer
    r = 0
    if numbers.step == 1 and rows.step == 1:
        while r + row <= count:
            at = first + numbers.start + r
            values = load(flow, rows.start + r)
            store(out, at, values if replace else values + load(out, at))
            r += row
    while r < count:
        e = term(numbers, r)
        value = get(flow, term(rows, r))
        r += 1
        while r < count and term(numbers, r) == e:  # the sum over the nodes of one entry stays in a register
            value += get(flow, term(rows, r))
            r += 1
        if e >= 0:
            out[first + e] = value if replace else get(out, first + e) + value


@inlined
def entries_of(source: Source, k: int) -> int:
    """Entries that a sample has of potential k."""
    return get(source.table, COLUMNS * k + ENTRIES)


@inlined
def is_shared(source: Source, k: int) -> bool:
    """True where the batch shares the one row of potential k."""
    return get(source.table, COLUMNS * k + SHARED) != 0


@inlined
def first_entry(source: Source, k: int, item: int) -> int:
    """Where the entries of potential k begin for one sample."""
    table, place = source.table, COLUMNS * k
    return 0 if get_invariant(table, place + SHARED) != 0 else item * get_invariant(table, place + ENTRIES)


@inlined
def prefetch_next(user: Floats, numbers: Progression, r: int, count: int, entries: int, block: Block) -> None:
    """Prefetch the tile that begins with the r-th entry, if entries are listed."""
    if numbers.step == LISTED and r < count and user.shape[0] > FAR:
        e = term(numbers, r)
        if e >= 0:
            prefetch_tile(user, block.first * entries + e, entries, block.stop - block.first)


@inlined
def read(x: Floats, tile: Floats, source: Source, k: int, transfer: Transfer, block: Block) -> None:
    """Read entries of potential k into rows of x."""
    entries = entries_of(source, k)
    user = UserArray(potential_array(source.table, k, x), entries, source.sign)
    if block.lanes_are_samples is None:
        read_one_sample(x, user, first_entry(source, k, block.first), transfer)
        return
    if is_shared(source, k):
        read_shared(x, user, transfer)
        return
    r, count = 0, transfer.count
    while r < count:
        rest = rest_of(transfer, r)
        some, as_tile = together(rest.entries, count - r, block.lanes)
        if as_tile and some == block.lanes:
            prefetch_next(user.array, transfer.entries, r + some, count, entries, block)
        read_rows(x, tile, user, first_of(rest, some), as_tile, block)
        r += some


@inlined
def write(gradient: Any, source: Source, k: int, flow: Floats, transfer: Transfer, tile: Floats, block: Block) -> None:
    """Write rows of `flow` to entries of potential k's gradient, in the order of samples.

    Entries that samples share are added to, never replaced.
    """
    entries, out = entries_of(source, k), potential_array(gradient, k, flow)
    shared = is_shared(source, k)
    if block.lanes_are_samples is None:
        write_one_sample(out, (block.partial if shared else block.first) * entries, flow, transfer)
    elif shared:
        write_shared(out, block.partial * entries, flow, transfer, block.stop - block.first)
    else:
        r, count = 0, transfer.count
        while r < count:
            rest = rest_of(transfer, r)
            some, as_tile = together(rest.entries, count - r, block.lanes)
            if as_tile and some == block.lanes:
                prefetch_next(out, transfer.entries, r + some, count, entries, block)
            write_rows(UserArray(out, entries, source.sign), flow, tile, first_of(rest, some), as_tile, block)
            r += some
