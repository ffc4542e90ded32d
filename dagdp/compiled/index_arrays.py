"""A compiled graph as kernels see it: arrays of int32, in internal numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Incoming(NamedTuple):
    """Edges by the level they enter, for the forward pass. All arrays int32; L levels, E edges, K edge potentials.

    A slot holds the d-th incoming edge of every node of a level that has one. A run is a stretch of a slot
    whose parents are a progression: of step 1 (a shifted level, as in a grid) or 0 (a dense level, as in a
    trellis), else listed in `parent` (see progressions.py).
    """

    levels: np.ndarray  # [L+1] nodes of a level are consecutive, in falling order of fan-in
    place: np.ndarray  # [L+1] where a level's nodes keep v, and the room that all of them need
    slots: np.ndarray  # [L+1] slots of a level
    first: np.ndarray  # [slots] the slot's first edge
    width: np.ndarray  # [slots] how many nodes of the level have this slot: a prefix of them
    slot_runs: np.ndarray  # [slots+1] runs of a slot
    runs: np.ndarray  # [runs, 4] first edge, number of edges, (start, step) of where their parents keep v
    parent: np.ndarray  # the listed ones
    edges: np.ndarray  # [N+1] the same edges node by node, each node's in the order of its slots; [1] without blocks
    piece_ptr: np.ndarray  # [K+1] pieces of an edge potential, the last of which only closes the others
    pieces: np.ndarray  # [., 3] first edge in that order, (start, step) of the entries that edges read
    entry: np.ndarray  # the listed ones
    direct: np.ndarray  # [E] entries by slots, for one sample; only of scattered edges with entries of their own
    reader: np.ndarray  # [entries] the edge, node by node, that reads an entry, -1: none; of such edges, if few a node
    bare: np.ndarray  # nodes none of whose edges reads an entry, rising; only where the others' weights are kept
    blocks: np.ndarray  # [K] which potentials are read on edges


class Outgoing(NamedTuple):
    """Edges by the level they leave: each node's first edge, then each one's second, and so on; for the backward pass.

    Where a run is cut, the parents or the children stop to advance by 0 or by 1.
    """

    level_runs: np.ndarray  # [L+1] runs of a level
    runs: np.ndarray  # [runs, 10 + 2K] first edge, number of edges, and quantities by the columns of progressions.py
    listed: np.ndarray
    blocks: np.ndarray  # [K]


SHEET_COLUMNS = 16  # levels of a sheet: entries of a cache line in float32


class Hoisted(NamedTuple):
    """Potentials that all edges into a node share: H of them, each sheets and a list of (node, entry), in B bands."""

    blocks: np.ndarray  # [H] which potentials these are
    levels: np.ndarray  # [B+1] first level of a band: the levels whose entries are read together
    floor: np.ndarray  # [B] the first node of the oldest level from which an edge leads into a band
    ptr: np.ndarray  # [H*B+1] stretches of the two arrays below, by potential and band
    node: np.ndarray
    entry: np.ndarray  # rising within a band: the user's array is read in its own order
    sheet_ptr: np.ndarray  # [H*B+1] sheets, by potential and band
    sheets: (
        np.ndarray
    )  # [., 3 + 16] the corner's entry, step, rows, each column's first node: see compiler/diagonal_tiles.py


class Tied(NamedTuple):
    """Dense levels that read the same entries as another: P matrices of weights, each used by several levels.

    The first nodes of such a level are a matrix' rows, `rows` of them; their parents, its columns, lie side by side.
    """

    pattern: np.ndarray  # [L] which matrix a level's first nodes read, -1: none
    first: np.ndarray  # [L] the first of their parents
    shapes: np.ndarray  # [P, 2] rows and columns
    ptr: np.ndarray  # [P+1] places of the matrices, one after another
    entries: np.ndarray  # [K * ptr[P]] entries of the K edge potentials, -1 for none: [K, rows, columns] by matrix


class Wiring(NamedTuple):
    """A compiled graph as kernels see it, in internal numbers."""

    incoming: Incoming
    outgoing: Outgoing
    hoisted: Hoisted
    tied: Tied
    untied: Outgoing  # what is left of `outgoing` where tied levels are multiplied with their matrices
    window: Incoming  # the same edges, v kept for a window of levels only; `incoming` itself where that saves little


def addresses(wiring: Wiring) -> NDArray[np.int64]:
    """[2 x arrays] the address and the length of every array, part by part: how kernels get them.

    As arguments of a kernel the arrays would be unpacked at every call, a fifth of a microsecond each (on AVX2). Good
    for as long as the wiring lives, in a forked child too.
    """
    made = []
    for array in (array for part in wiring for array in part):
        assert array.dtype == np.int32
        made += [_address(array), array.size]
    return np.array(made, np.int64)


# What kernels are told of the array of a potential: its address, its length, and these, in COLUMNS numbers each.
ENTRIES, SHARED, COLUMNS = 2, 3, 4


def sizes(entries: Iterable[int], shared: Iterable[bool]) -> NDArray[np.int64]:
    """[4 x potentials] (0, 0, entries of a row, whether the array is one row for all samples): see `located`."""
    return np.array([(0, 0, *told) for told in zip(entries, shared, strict=True)], np.int64).reshape(-1)


def located(table: NDArray[np.int64], arrays: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """The table of `sizes` with the address and the length of each array. Whoever calls keeps the arrays alive.

    A tuple of arrays in its place has its number in the type of a kernel: one was compiled for graphs with one
    potential, another for graphs with two.
    """
    made = table.copy()
    for k, array in enumerate(arrays):
        made[COLUMNS * k] = _address(array)
        made[COLUMNS * k + 1] = array.size
    return made


def _address(array: NDArray[Any]) -> int:
    """Where its numbers lie. NumPy's own ways take three times as long, but serve read-only arrays, too."""
    flags = array.flags
    assert flags.c_contiguous and flags.aligned
    if flags.writeable and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    return int(array.__array_interface__["data"][0])
