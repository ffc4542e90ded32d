"""A compiled graph as kernels see it: arrays of int32, in internal numbers.

A *slot* holds the d-th incoming edge of every node of a level that has one. A *run* is a stretch of a slot, or of a
level's outgoing edges, whose quantities are progressions (progressions.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Incoming(NamedTuple):
    """Edges by the level they enter, for the forward pass. All arrays int32; L levels, E edges, K edge potentials.

    The parents of a run advance by 1 (a shifted level, as in a grid) or by 0 (a dense level, as in a trellis), or are
    listed in `parent`.
    """

    levels: np.ndarray  # [L+1] first node of each level; a level's nodes stand in falling order of fan-in
    place: np.ndarray  # [L+1] the row where a level's nodes keep v, then the number of rows in all
    slots: np.ndarray  # [L+1] first slot of each level
    first: np.ndarray  # [slots] the slot's first edge
    width: np.ndarray  # [slots] the number of nodes of the level that have this slot: a prefix of them
    slot_runs: np.ndarray  # [slots+1] first run of each slot
    runs: np.ndarray  # [runs, 4] first edge, number of edges, (start, step) of the rows where their parents keep v
    parent: np.ndarray  # the listed rows
    edges: np.ndarray  # [N+1] first edge of each node, edges numbered node by node; [1] without edge potentials
    piece_ptr: np.ndarray  # [K+1] first affine piece of each edge potential; the last piece of each only ends it
    pieces: np.ndarray  # [., 3] first edge (node by node), (start, step) of the entries that edges read
    entry: np.ndarray  # the listed entries
    slot_entries: np.ndarray  # [E] entries slot by slot, for one sample; only if edges are scattered, with own entries
    reader: np.ndarray  # [entries] the edge that reads an entry, -1 for none; of such edges, where fan-in is small
    entryless: np.ndarray  # nodes none of whose edges reads an entry, rising; only where others' weights are stored
    potentials: np.ndarray  # [K] the numbers of the edge potentials
    second: np.ndarray  # [E] rows of second parents, in slots; of a start where there is none; only with hyperedges


class Outgoing(NamedTuple):
    """Edges by the level they leave: each node's first edge, then each node's second, and so on; for the backward pass.

    A run ends where its parents or its children stop to advance by 0 or by 1; a run of other edges has them listed. A
    hyperedge is listed under each of its parents, twice if they are equal, in different runs.
    """

    level_runs: np.ndarray  # [L+1] first run of each level
    runs: np.ndarray  # [runs, 10 + 2K] first edge, number of edges, and quantities by the columns of progressions.py
    listed: np.ndarray
    potentials: np.ndarray  # [K]
    other: np.ndarray  # the other parent of each edge, run by run, a start where there is none; only with hyperedges
    pairing: np.ndarray  # [runs, 2] the run's place in `other`; 1 if the run lists edges again, under second parents


TILE_COLUMNS = 16  # levels of a diagonal tile: entries of a cache line in float32


class Hoisted(NamedTuple):
    """Potentials that all edges into a node share: H, each as diagonal tiles and a list, in B bands of levels."""

    potentials: np.ndarray  # [H] the numbers of the potentials
    levels: np.ndarray  # [B+1] first level of each band: the levels whose entries are read together
    floor: np.ndarray  # [B] the first node of the lowest level from which an edge leads into a band
    ptr: np.ndarray  # [H*B+1] first place of the lists below, by potential and band
    node: np.ndarray
    entry: np.ndarray  # rising within a band: the user's array is read in its own order
    tile_ptr: np.ndarray  # [H*B+1] first diagonal tile, by potential and band
    tiles: np.ndarray  # [., 3 + 16] the corner's entry, step, rows, and the first node of each column


class Tied(NamedTuple):
    """Dense levels that read the entries of another: P matrices of weights, each used by several levels.

    The first nodes of such a level are the matrix' rows. Their parents, the columns, are neighbouring nodes.
    """

    pattern: np.ndarray  # [L] the matrix that a level's first nodes read, -1 for none
    first: np.ndarray  # [L] the first of their parents
    shapes: np.ndarray  # [P, 2] rows and columns
    ptr: np.ndarray  # [P+1] first element of each matrix, one after another
    entries: np.ndarray  # [K * ptr[P]] entries of the K edge potentials, -1 for none: [K, rows, columns] by matrix


class Wiring(NamedTuple):
    """A compiled graph as kernels see it, in internal numbers."""

    incoming: Incoming
    outgoing: Outgoing
    hoisted: Hoisted
    tied: Tied
    untied: Outgoing  # the outgoing edges that no tied level covers
    window: Incoming  # the incoming edges, v kept for a window of levels; `incoming` where that saves little


def addresses(wiring: Wiring) -> NDArray[np.int64]:
    """[2 x arrays] the address and the length of every array, part by part, for kernels.

    As arguments of a kernel the arrays would be unpacked at every call, which takes 0.2 µs each (on AVX2). The
    addresses are valid while the wiring lives, in a forked child too.
    """
    made = []
    for array in (array for part in wiring for array in part):
        assert array.dtype == np.int32
        made += [_address(array), array.size]
    return np.array(made, np.int64)


# For each potential COLUMNS numbers: the address and length of its array, its entries of a sample, and SHARED.
ENTRIES, SHARED, COLUMNS = 2, 3, 4


def sizes(entries: Iterable[int], shared: Iterable[bool]) -> NDArray[np.int64]:
    """[4 x potentials] (0, 0, entries of a row, 1 if the array is one row for all samples): see `located`."""
    return np.array([(0, 0, count, one_row) for count, one_row in zip(entries, shared, strict=True)], np.int64).reshape(
        -1
    )


def located(table: NDArray[np.int64], arrays: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """The table of `sizes` with the address and the length of each array. The caller keeps the arrays alive.

    With a tuple of arrays instead, a kernel would be compiled for each number of potentials.
    """
    made = table.copy()
    for k, array in enumerate(arrays):
        made[COLUMNS * k] = _address(array)
        made[COLUMNS * k + 1] = array.size
    return made


def _address(array: NDArray[Any]) -> int:
    """The address of an array's first number. NumPy's interface, for read-only arrays, takes three times as long."""
    flags = array.flags
    assert flags.c_contiguous and flags.aligned
    if flags.writeable and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    return int(array.__array_interface__["data"][0])
