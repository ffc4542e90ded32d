"""Progressions: numbers with a constant step are stored as their start and step.

A run of edges has two numbers for each of its quantities (parents, children, entries ...): (start, step), if the k-th
is start + step·k; otherwise (offset, LISTED), and the k-th is listed[offset + k]. An entry of -1 means that no entry is
read; as a progression that is (-1, 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LISTED = -1

# Columns of a run of outgoing edges. Each quantity takes two; the k-th edge potential's entries are at ENTRY + 2k.
FIRST, COUNT, PARENT, CHILD, SLOT, EDGE, ENTRY = 0, 1, 2, 4, 6, 8, 10


def expanded(runs: NDArray[Any], column: int, listed: NDArray[Any]) -> NDArray[np.int64]:
    """[edges] the quantity in columns `column` and `column + 1` of the runs, number by number."""
    count, start, step = (runs[:, c].astype(np.int64) for c in (COUNT, column, column + 1))
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    made = np.repeat(start, count) + np.repeat(np.where(step == LISTED, 1, step), count) * place
    by_list = np.repeat(step == LISTED, count)
    made[by_list] = listed[made[by_list]]
    return made
