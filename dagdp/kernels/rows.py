"""Moving rows of samples: a state array holds `lanes` consecutive samples of each node.

A row of 64 bytes is one AVX-512 register (or two AVX2, four NEON), so rows of a multiple of 64 bytes
are moved whole. The same loop left to LLVM checks for overlap before every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.kernels.jit import inlined, inner
from dagdp.kernels.vectors import (
    ROW_BYTES,
    add_vector,
    collect_vector,
    hand_out_vector,
    move_vector,
    part,
    pick,
    row_length,
    spread_vector,
    total_of_vector,
    turn_vectors,
)
from dagdp.progressions import LISTED


@inner
def to_line(array: Any) -> int:
    """The first element that lies on a cache line: a row of 64 bytes may else straddle two."""
    return (-array.ctypes.data % ROW_BYTES) * row_length(array) // ROW_BYTES


@inner
def aligned(like: Any, size: int) -> Any:
    """Uninitialised, and on a cache line."""
    block = np.empty(size + row_length(like), like.dtype)
    skip = to_line(block)
    return block[skip : skip + size]


# Rows of a node are mostly one row of 64 bytes: that loop stands alone, since LLVM gives a nest of loops over
# rows some thirty induction variables, all of them in memory.


@inlined
def number(rule: Any, k: int) -> int:
    """The k-th of the numbers that (listed, start, step) describe: see progressions.py."""
    listed, start, step = rule
    return pick(listed, start + k) if step == LISTED else start + step * k


@inlined
def later(rule: Any, k: int) -> Any:
    """The same numbers from the k-th on."""
    listed, start, step = rule
    return listed, start + (k if step == LISTED else step * k), step


@inner
def gather(dst: Any, at: int, src: Any, nodes: Any, count: int, lanes: int) -> None:
    """src's rows of the nodes become the rows of dst from element `at` on."""
    whole = row_length(dst)
    if lanes == whole:
        for k in range(count):
            move_vector(dst, at + k * whole, src, number(nodes, k) * whole)
    elif lanes == 1:
        for k in range(count):
            dst[at + k] = src[number(nodes, k)]
    else:
        for k in range(count):
            copy(part(dst, at + k * lanes, lanes), part(src, number(nodes, k) * lanes, lanes))


@inner
def copy(dst: Any, src: Any) -> None:
    for w in range(dst.shape[0]):
        dst[w] = src[w]


@inner
def add(total: Any, term: Any) -> None:
    for w in range(total.shape[0]):
        total[w] += term[w]


@inner
def fetch(dst: Any, at: int, src: Any, nodes: Any, count: int, lanes: int) -> None:
    """`gather`, at once where the nodes are neighbours."""
    _, start, step = nodes
    if step == 1:
        copy(part(dst, at, count * lanes), part(src, start * lanes, count * lanes))
    elif step == 0 and lanes == 1:
        value = src[start]
        for k in range(count):
            dst[at + k] = value
    else:
        gather(dst, at, src, nodes, count, lanes)


@inner
def view(spare: Any, src: Any, nodes: Any, count: int, lanes: int) -> Any:
    """src's rows of the nodes: in place where they are neighbours, else gathered into `spare`."""
    _, start, step = nodes
    if step == 1:
        return part(src, start * lanes, count * lanes)
    fetch(spare, 0, src, nodes, count, lanes)
    return part(spare, 0, count * lanes)


@inner
def add_rows(dst: Any, nodes: Any, src: Any, count: int, lanes: int) -> None:
    """dst's row of the k-th node grows by row k of src, in the order of k."""
    whole = row_length(dst)
    _, start, step = nodes
    if step == 1:
        add(part(dst, start * lanes, count * lanes), src)
    elif lanes == whole:
        for k in range(count):
            add_vector(dst, number(nodes, k) * whole, src, k * whole)
    elif lanes == 1:
        for k in range(count):
            dst[number(nodes, k)] += src[k]
    else:
        for k in range(count):
            add(part(dst, number(nodes, k) * lanes, lanes), part(src, k * lanes, lanes))


@inner
def turn(dst: Any, src: Any, at: int, src_step: int, rows: int) -> None:
    """The square src[at + r*src_step + c] into dst, transposed and dense; src may be dst.

    Only `rows` rows exist; the others repeat the last.
    """
    turn_vectors(dst, 0, row_length(dst), src, at, src_step, rows)


@inner
def collect(dst: Any, at: int, src: Any, start: int, step: int, rows: int) -> None:
    """A row of 64 bytes from one element a sample, `step` apart; the last of `rows` samples stands for those beyond."""
    collect_vector(dst, at, src, start, step, rows)


@inner
def hand_out(dst: Any, start: int, step: int, src: Any, at: int) -> None:
    """The other way round: each sample's element grows by its part of the row."""
    hand_out_vector(dst, start, src, at, step)


@inner
def add_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    add_vector(dst, at, src, start)


@inner
def move_row(dst: Any, at: int, src: Any, start: int) -> None:
    """One row of 64 bytes."""
    move_vector(dst, at, src, start)


@inner
def spread(dst: Any, at: int, value: Any, lanes: int) -> None:
    """A node's samples all grow by one number."""
    whole = row_length(dst)
    if lanes % whole == 0:
        for b in range(0, lanes, whole):
            spread_vector(dst, at + b, value)
    else:
        for b in range(lanes):
            dst[at + b] += value


@inner
def total(src: Any, at: int, count: int) -> Any:
    """The sum over `count` samples of a node."""
    whole = row_length(src)
    made = src.dtype.type(0)
    last = count // whole * whole
    for b in range(0, last, whole):
        made += total_of_vector(src, at + b)
    for b in range(last, count):
        made += src[at + b]
    return made
