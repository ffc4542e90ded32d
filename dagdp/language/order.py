"""The order of a graph's edges: cell by cell, and inside a cell as they were listed (a stable counting sort).

For the 12.6 million edges of a grid of 2048 x 2048 cells a sort and gathers by NumPy take four times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import loop


def places_by_child(children: Any, nodes: int) -> Any:
    """[edges] the place of each edge; None where edges stand cell by cell already."""
    if _rises(children):
        return None
    fill, places = np.zeros(nodes + 1, np.int64), np.empty(children.size, np.int32)
    _place(children, fill, places)
    return places


def placed(values: Any, places: Any) -> Any:
    """Values [edges, ...] in the order of `places_by_child`."""
    if places is None:
        return values
    made = np.empty_like(values)
    if values.ndim == 1:
        _scatter(values, places, made)
    else:
        made[places] = values
    return made


@loop
def _rises(numbers: Any) -> bool:
    e = 1
    while e < numbers.shape[0] and numbers[e] >= numbers[e - 1]:
        e += 1
    return e >= numbers.shape[0]


@loop
def _place(children: Any, fill: Any, places: Any) -> None:
    for e in range(children.shape[0]):
        fill[children[e] + 1] += 1
    for k in range(1, fill.shape[0]):
        fill[k] += fill[k - 1]
    for e in range(children.shape[0]):
        places[e] = fill[children[e]]
        fill[children[e]] += 1


@loop
def _scatter(values: Any, places: Any, made: Any) -> None:
    for e in range(values.shape[0]):
        made[places[e]] = values[e]
