"""Hoisting: potentials that all edges into a node share are read once a node, in bands of levels and diagonal tiles.

max_Ω(x + c) = max_Ω(x) + c, so a shared entry c is added after the maximum, and its gradient is the node's adjoint.

Neighbouring entries of the user's array belong to nodes of neighbouring levels: a row of DTW costs crosses one level a
cell. A band of levels is therefore read in rising order of entry: whole cache lines, transposed in registers, into rows
that are still in cache when their level comes.

A diagonal tile is the part of a band where levels cross the rows of the user's matrix diagonally, as with the costs of
DTW. It has a row for each of some consecutive nodes of its first level, and a column for each of COLUMNS consecutive
levels. Entries rise by 1 along a row and by a constant step from row to row; nodes rise by 1 inside a level:

    entry(r, c) = entry(0, 0) + step·r + c          node(r, c) = node(0, c) + r

So neither is listed, and one sample's potentials move between matrix and levels in tiles transposed in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import TILE_COLUMNS as COLUMNS
from dagdp.compiled.index_arrays import Hoisted
from dagdp.compiler.arrays import at
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.validate import Numbers, Small
from dagdp.compiler.value_window import floors
from dagdp.jit.decorators import loop

BAND_LEVELS = COLUMNS  # shorter bands would transpose half-empty tiles
BAND_NODES = 2048  # bands of narrow levels grow to this many nodes: rows of 64 bytes that stay in L2
MOSTLY_READ = 4  # entries a node; of a larger potential only the entries that are read are numbered
LEAST_TILE_ROWS = 16  # rows of a diagonal tile: one vector of float32


def shared_entries(done: Renumbered, index: Small) -> tuple[bool, Small]:
    """(whether all edges into a node read one entry, at every node; [nodes] that entry, -1: none)."""
    levelled, entries = done.levelled, np.full(done.nodes.order.size, -1, np.int32)
    incoming = levelled.incoming
    return _shared_entries(incoming, levelled.edges, index, done.nodes.rank, entries), entries


@loop
def _shared_entries(incoming: Any, numbers: Any, index: Any, rank: Any, entries: Any) -> bool:
    ptr = incoming.ptr
    for node in range(ptr.shape[0] - 1):
        for k in range(ptr[node], ptr[node + 1]):
            e = at(numbers, at(incoming.order, k))
            entry = -1 if e < 0 else index[e]
            if k == ptr[node]:
                entries[rank[node]] = entry
            elif entries[rank[node]] != entry:
                return False
    return True


def hoisted_entries(
    blocks: list[int], node_entries: list[NDArray[Any]], sizes: list[int], level_ptr: Numbers, last_reader: Numbers
) -> Hoisted:
    """The hoisted potentials as kernels read them.

    blocks : [H] their numbers. node_entries : [H][nodes] the entry that each node reads, -1: none. sizes : [H] entries
    of each potential. last_reader : [levels], see `last_readers`.
    """
    bands = cut_bands(level_ptr)
    found, lists = [], []
    for entry, size in zip(node_entries, sizes, strict=True):
        place, extent = places_among_read(entry, size)
        ptr, tiles, left = find_tiles(entry, place, extent, level_ptr, bands)
        found.append((ptr, tiles))
        lists.append(sorted_in_bands(left, extent, level_ptr, bands))
    nothing, no_tile = np.empty(0, np.int64), np.empty((0, 3 + COLUMNS), np.int64)
    return Hoisted(
        potentials=frozen(np.array(blocks, np.int64)),
        levels=frozen(bands),
        floor=frozen(floors(level_ptr, last_reader, bands)),
        ptr=frozen(_joined([ptr for ptr, _ in lists])),
        node=frozen(np.concatenate([nothing, *(nodes for _, nodes in lists)])),
        entry=frozen(np.concatenate([nothing, *(e[nodes] for e, (_, nodes) in zip(node_entries, lists, strict=True))])),
        tile_ptr=frozen(_joined([ptr for ptr, _ in found])),
        tiles=frozen(np.concatenate([no_tile, *(tiles for _, tiles in found)])),
    )


def _joined(pointers: list[Numbers]) -> Numbers:
    """Pointers into several lists as pointers into the lists one after another."""
    return np.cumsum(np.concatenate([[0], *(np.diff(ptr) for ptr in pointers)]))


def cut_bands(level_ptr: Numbers) -> Numbers:
    """[bands+1] the first level of each band: 16 levels or a multiple, with 2048 nodes or more."""
    cuts = [0]
    last = level_ptr.size - 1
    while cuts[-1] < last:
        enough = int(np.searchsorted(level_ptr, level_ptr[cuts[-1]] + BAND_NODES)) - cuts[-1]
        cuts.append(min(last, cuts[-1] + BAND_LEVELS * max(1, -(-enough // BAND_LEVELS))))
    return np.array(cuts)


def places_among_read(node_entry: Numbers, size: int) -> tuple[Numbers, int]:
    """(place [nodes], extent): the entry of each node, numbered among the entries that nodes read, in their order.

    Two entries are neighbours if and only if their places are: an unread entry between them leaves a gap. Where most of
    the `size` entries are read, entries are their own places. Where few are, as in a band, no array is as large as the
    potential.
    """
    if size <= MOSTLY_READ * node_entry.size:
        return node_entry, size
    read = np.sort(node_entry[node_entry >= 0])
    read = read[np.append(True, np.diff(read) > 0)[: read.size]]  # np.unique takes ten times as long
    place = np.arange(read.size, dtype=np.int32)
    place[1:] += np.cumsum(np.diff(read) > 1, dtype=np.int32)
    extent = int(place[-1]) + 1 if read.size else 0
    return np.where(node_entry >= 0, np.append(place, -1)[np.searchsorted(read, node_entry)], np.int32(-1)), extent


def sorted_in_bands(place: Numbers, extent: int, level_ptr: Numbers, bands: Numbers) -> tuple[Numbers, Numbers]:
    """(ptr [bands+1], nodes): the nodes that read an entry, by band and entry.

    place : [nodes] from `places_among_read`, -1 for nodes to leave out.
    """
    nodes_of_bands = np.diff(level_ptr[bands])
    band = np.repeat(np.arange(nodes_of_bands.size, dtype=np.int32), nodes_of_bands)
    ptr = np.zeros(bands.size, np.int64)
    np.cumsum(np.bincount(band[place >= 0], minlength=nodes_of_bands.size), out=ptr[1:])
    nodes = np.empty(ptr[-1], np.int32)
    if nodes.size:
        first, following = np.full(extent, -1, np.int32), np.empty(place.size, np.int32)
        _by_entry(place, band, first, following, ptr[:-1].copy(), nodes)
    return ptr, nodes


@loop
def _by_entry(place: Any, band: Any, first: Any, following: Any, fill: Any, nodes: Any) -> None:
    """Chain the readers of each entry, then list them entry by entry: two passes, however many bands there are."""
    for node in range(place.shape[0] - 1, -1, -1):
        entry = place[node]
        if entry >= 0:
            following[node] = first[entry]
            first[entry] = node
    for entry in range(first.shape[0]):
        node = first[entry]
        while node >= 0:
            nodes[fill[band[node]]] = node
            fill[band[node]] += 1
            node = following[node]


def find_tiles(
    node_entry: Numbers, place: Numbers, extent: int, level_ptr: Numbers, bands: Numbers
) -> tuple[NDArray[Any], NDArray[Any], Numbers]:
    """(ptr [bands+1], tiles [., 3 + COLUMNS], `place` with -1 at the nodes of tiles).

    A tile is (entry of its corner, step, rows, each column's first node). At most one tile is found for each COLUMNS
    levels of a band: the one with most rows. An entry that several nodes read is in no tile.
    """
    reader, left = np.full(extent, -1, np.int32), place.copy()
    most = int((np.diff(bands) // COLUMNS).sum())
    ptr, tiles = np.zeros(bands.size, np.int64), np.empty((most, 3 + COLUMNS), np.int64)
    _find(node_entry, place, reader, level_ptr, bands, ptr, tiles, left)
    return ptr, tiles[: ptr[-1]], left


@loop
def _find(node_entry: Any, place: Any, reader: Any, levels: Any, bands: Any, ptr: Any, tiles: Any, left: Any) -> None:
    for node in range(place.shape[0]):
        p = place[node]
        if p >= 0:
            reader[p] = node if reader[p] == -1 else -2
    count = 0
    for band in range(bands.shape[0] - 1):
        for level in range(bands[band], bands[band + 1] - COLUMNS + 1, COLUMNS):
            first, rows, step = 0, 0, 0  # of the tile with most rows so far
            began, length, here, before, before_at = 0, 0, 0, 0, 0
            for node in range(levels[level], levels[level + 1]):
                entry, p = node_entry[node], place[node]
                sound = p >= 0 and p + COLUMNS <= reader.shape[0] and reader[p] == node
                joined = sound and length > 0 and (length == 1 or entry - before == here)
                for c in range(1, COLUMNS):
                    if sound:
                        other = reader[p + c]
                        sound = levels[level + c] <= other < levels[level + c + 1]
                        joined = joined and other == reader[before_at + c] + 1
                if sound and joined:
                    here = entry - before
                    length += 1
                else:
                    began, length = node, 1 if sound else 0
                if length > rows:
                    first, rows, step = began, length, here
                before, before_at = entry, p
            if rows >= LEAST_TILE_ROWS:
                tiles[count, 0], tiles[count, 1], tiles[count, 2] = node_entry[first], step, rows
                for c in range(COLUMNS):
                    node = reader[place[first] + c]
                    tiles[count, 3 + c] = node
                    left[node : node + rows] = -1
                count += 1
        ptr[band + 1] = count
