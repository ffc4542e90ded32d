"""Which levels have their hoisted potentials read together, and which levels' v is kept how long.

Entries that are neighbours in the user's array belong to nodes of neighbouring levels (a row of DTW costs
crosses one level a cell), so a band of levels is read in rising order of entry: whole cache lines, turned in
registers, into rows that are still in cache when their level comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.index_arrays import SHEET_COLUMNS
from dagdp.compiler.validate import Numbers
from dagdp.jit.decorators import loop

BAND_LEVELS = SHEET_COLUMNS  # shorter bands would turn squares that are half empty
MOSTLY_READ = 4  # entries a node: of more than that, only those that are read are numbered
BAND_NODES = 2048  # bands of narrow levels grow to this: rows of 64 bytes that stay in L2


def cut_bands(level_ptr: Numbers) -> Numbers:
    """[bands+1] first level of each band: 16 levels or a multiple of it, with 2048 nodes or more."""
    cuts = [0]
    last = level_ptr.size - 1
    while cuts[-1] < last:
        enough = int(np.searchsorted(level_ptr, level_ptr[cuts[-1]] + BAND_NODES)) - cuts[-1]
        cuts.append(min(last, cuts[-1] + BAND_LEVELS * max(1, -(-enough // BAND_LEVELS))))
    return np.array(cuts)


def places_among_read(node_entry: Numbers, size: int) -> tuple[Numbers, int]:
    """(place [nodes], room): where the entries of nodes stand among those that are read, in their order.

    Two entries are neighbours if and only if their places are: an entry that nobody reads leaves a gap. Most entries
    are read: then they are their own places. Few are, as in a band: then no array has the size of the potential.
    """
    if size <= MOSTLY_READ * node_entry.size:
        return node_entry, size
    read = np.sort(node_entry[node_entry >= 0])
    read = read[np.append(True, np.diff(read) > 0)[: read.size]]  # np.unique takes ten times as long
    place = np.arange(read.size, dtype=np.int32)
    place[1:] += np.cumsum(np.diff(read) > 1, dtype=np.int32)
    room = int(place[-1]) + 1 if read.size else 0
    return np.where(node_entry >= 0, np.append(place, -1)[np.searchsorted(read, node_entry)], np.int32(-1)), room


def sorted_in_bands(place: Numbers, room: int, level_ptr: Numbers, bands: Numbers) -> tuple[Numbers, Numbers]:
    """(ptr [bands+1], nodes): the nodes that read an entry, by band and entry; -1 in `place` for one that does not."""
    nodes_of_bands = np.diff(level_ptr[bands])
    band = np.repeat(np.arange(nodes_of_bands.size, dtype=np.int32), nodes_of_bands)
    ptr = np.zeros(bands.size, np.int64)
    np.cumsum(np.bincount(band[place >= 0], minlength=nodes_of_bands.size), out=ptr[1:])
    nodes = np.empty(ptr[-1], np.int32)
    if nodes.size:
        first, following = np.full(room, -1, np.int32), np.empty(place.size, np.int32)
        _by_entry(place, band, first, following, ptr[:-1].copy(), nodes)
    return ptr, nodes


@loop
def _by_entry(place: Any, band: Any, first: Any, following: Any, fill: Any, nodes: Any) -> None:
    """Readers of an entry are chained, then taken entry by entry: two passes over nodes, however many bands."""
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


def window(level_ptr: Numbers, last_reader: Numbers) -> Numbers | None:
    """[levels+1] where each level's v lies if it is kept only until `last_reader`, and the size of it all.

    Levels take their places in turn in a ring, each whole. None where this would not save three quarters.
    """
    widths = np.diff(level_ptr)
    levels = np.arange(widths.size)
    oldest = np.minimum.accumulate(_oldest_read(last_reader)[::-1])[::-1]
    size = int((level_ptr[levels + 1] - level_ptr[oldest]).max() + widths.max())
    if 4 * size > level_ptr[-1]:
        return None
    place = np.empty(level_ptr.size, np.int64)
    at = 0
    for level, width in enumerate(widths.tolist()):
        at = at if at + width <= size else 0
        place[level] = at
        at += width
    place[-1] = size
    return place


def floors(level_ptr: Numbers, last_reader: Numbers, bands: Numbers) -> Numbers:
    """[bands] the first node of the oldest level from which an edge leads into a band, or of the band itself."""
    latest = np.maximum.accumulate(last_reader)
    oldest = np.searchsorted(latest, bands[:-1])
    return level_ptr[np.minimum(oldest, bands[:-1])]


def _oldest_read(last_reader: Numbers) -> Numbers:
    """[levels] the oldest level that is still read at each level; itself if none."""
    oldest = np.arange(last_reader.size)
    np.minimum.at(oldest, last_reader, np.arange(last_reader.size))
    return oldest
