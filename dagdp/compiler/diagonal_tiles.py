"""Sheets: where a band of levels crosses the rows of the user's matrix aslant, as it does with the costs of DTW.

A sheet has a row for each of some consecutive nodes of its first level, and a column for each of COLUMNS consecutive
levels. Along a row entries rise by 1; from row to row they rise by a constant step, and the nodes of each level by 1:

    entry(r, c) = entry(0, 0) + step·r + c          node(r, c) = node(0, c) + r

So neither is listed, and one sample's potentials go between matrix and levels in squares turned in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.index_arrays import SHEET_COLUMNS as COLUMNS
from dagdp.compiler.validate import Numbers
from dagdp.jit.decorators import loop

LEAST_ROWS = 16  # of a sheet: a row of float32


def find_sheets(
    node_entry: Numbers, place: Numbers, room: int, level_ptr: Numbers, bands: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """(ptr [bands+1], sheets [., 3 + COLUMNS], what is left of `place`: -1 at nodes in a sheet).

    A sheet is (entry of its corner, step, rows, each column's first node); there is one at most for each COLUMNS
    levels of a band, the longest. An entry that several nodes read is in none.
    """
    reader, left = np.full(room, -1, np.int32), place.copy()
    most = int((np.diff(bands) // COLUMNS).sum())
    ptr, sheets = np.zeros(bands.size, np.int64), np.empty((most, 3 + COLUMNS), np.int64)
    _find(node_entry, place, reader, level_ptr, bands, ptr, sheets, left)
    return ptr, sheets[: ptr[-1]], left


@loop
def _find(node_entry: Any, place: Any, reader: Any, levels: Any, bands: Any, ptr: Any, sheets: Any, left: Any) -> None:
    for node in range(place.shape[0]):
        at = place[node]
        if at >= 0:
            reader[at] = node if reader[at] == -1 else -2
    count = 0
    for band in range(bands.shape[0] - 1):
        for level in range(bands[band], bands[band + 1] - COLUMNS + 1, COLUMNS):
            first, rows, step = 0, 0, 0  # the longest so far
            began, length, here, before, before_at = 0, 0, 0, 0, 0
            for node in range(levels[level], levels[level + 1]):
                entry, at = node_entry[node], place[node]
                sound = at >= 0 and at + COLUMNS <= reader.shape[0] and reader[at] == node
                joined = sound and length > 0 and (length == 1 or entry - before == here)
                for c in range(1, COLUMNS):
                    if sound:
                        other = reader[at + c]
                        sound = levels[level + c] <= other < levels[level + c + 1]
                        joined = joined and other == reader[before_at + c] + 1
                if sound and joined:
                    here = entry - before
                    length += 1
                else:
                    began, length = node, 1 if sound else 0
                if length > rows:
                    first, rows, step = began, length, here
                before, before_at = entry, at
            if rows >= LEAST_ROWS:
                sheets[count, 0], sheets[count, 1], sheets[count, 2] = node_entry[first], step, rows
                for c in range(COLUMNS):
                    node = reader[place[first] + c]
                    sheets[count, 3 + c] = node
                    left[node : node + rows] = -1
                count += 1
        ptr[band + 1] = count
