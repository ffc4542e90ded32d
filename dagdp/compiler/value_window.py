"""How long each level's node values v are needed: a window of levels for the value alone, a floor for each band."""

from __future__ import annotations

import numpy as np

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Incoming
from dagdp.compiled.progressions import LISTED
from dagdp.compiler.validate import Numbers


def last_readers(levels: Numbers, farthest: Numbers) -> Numbers:
    """[levels] the last level to which an edge leads from each level; of the last level itself.

    levels : [levels+1] the first node of each level. farthest : [levels] the largest child of each level's nodes.
    """
    readers = np.searchsorted(levels, farthest[:-1], side="right") - 1
    return np.append(readers, readers.size)


def in_window(incoming: Incoming, last_reader: Numbers) -> Incoming:
    """`incoming` for a forward pass without a backward pass: v of a level is stored until its last child is done.

    Returns `incoming` itself where a window saves less than three quarters of the memory.
    """
    levels = incoming.levels
    place = window(levels, last_reader)
    if place is None:
        return incoming
    shift = (place - levels)[:-1]

    def moved(nodes: Numbers) -> Numbers:
        return nodes + shift[np.searchsorted(levels, nodes, side="right") - 1]

    runs, by_rule = incoming.runs.copy(), incoming.runs[:, 3] != LISTED
    _, count, start, step = runs[by_rule].T
    runs[by_rule, 2] = moved(start)
    in_one_level = np.array_equal(moved(start + step * (count - 1)), runs[by_rule, 2] + step * (count - 1))
    changed = {"place": frozen(place), "runs": frozen(runs), "parent": frozen(moved(incoming.parent))}
    return incoming._replace(**changed) if in_one_level else incoming


def window(level_ptr: Numbers, last_reader: Numbers) -> Numbers | None:
    """[levels+1] where each level's v lies if it is stored until `last_reader` only; the last number is the total size.

    Levels are placed one after another, each contiguous, and placement starts again at 0 when the window is full. None
    where the window would not save three quarters of the memory.
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
    """[bands] the first node of the oldest level from which an edge leads into each band, or of the band itself."""
    latest = np.maximum.accumulate(last_reader)
    oldest = np.searchsorted(latest, bands[:-1])
    return level_ptr[np.minimum(oldest, bands[:-1])]


def _oldest_read(last_reader: Numbers) -> Numbers:
    """[levels] the oldest level that is still read at each level; the level itself if none is."""
    oldest = np.arange(last_reader.size)
    np.minimum.at(oldest, last_reader, np.arange(last_reader.size))
    return oldest
