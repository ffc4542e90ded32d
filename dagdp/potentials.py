"""Potentials: named arrays of weights, and which entry of each an edge reads; what users say of both, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.errors import GraphError
from dagdp.kinds import refuse_mask

Shape = tuple[int, ...]
#: The place of an entry as users name it: an index, or one index for each axis.
Place = int | Sequence[int]


@dataclass(frozen=True)
class Potential:
    """A named array of weights that edges read: edge e reads `flat[index[e]]`, or nothing where index is -1."""

    name: str | None
    shape: Shape
    index: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


def of_edges(edges: int) -> Potential:
    """theta of a graph without names: an entry for each edge."""
    return Potential(None, (edges,), np.arange(edges))


def indexed(name: str, shape: int | Sequence[int], index: ArrayLike, edges: int) -> Potential:
    """A potential of a graph from arrays; a GraphError unless it has an index for each edge."""
    potential = Potential(name, shape_of(name, shape), integers(f"the index of potential {name!r}", index))
    if potential.index.size != edges:
        raise GraphError(
            f"the index of potential {name!r} has {potential.index.size} entries; "
            f"expected one for each of the {edges} edges (-1 for an edge that does not read it)"
        )
    return potential


def integers(what: str, values: ArrayLike) -> NDArray[np.int64]:
    """What was given as a flat array of its own; a GraphError unless it holds whole numbers."""
    refuse_mask(values, what, GraphError)
    array = np.asarray(values).ravel()
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{what} has dtype {array.dtype}; expected integers")
    return array.astype(np.int64, copy=True)


def shape_of(name: str, shape: int | Sequence[int]) -> Shape:
    """The shape of a potential; a GraphError unless it is of positive integers."""
    made = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(not isinstance(n, int | np.integer) or n < 1 for n in made):
        raise GraphError(f"potential {name!r} has shape {shape!r}; expected positive integers")
    return tuple(int(n) for n in made)


def entries_read(what: str, shapes: Mapping[str, Shape], places: Mapping[str, Place]) -> dict[str, int]:
    """{potential: the flat index of the entry} that an edge or a node reads; what : its name, for the message."""
    unknown = [name for name in places if name not in shapes]
    if unknown:
        raise GraphError(
            f"{what} reads potential {unknown[0]!r}, which the graph does not have; "
            f"it has {list(shapes) or 'none'}. Name it in Graph(potentials={{{unknown[0]!r}: shape}})"
        )
    return {name: _entry(what, name, shapes[name], place) for name, place in places.items()}


def _entry(what: str, name: str, shape: Shape, place: Place) -> int:
    indices = tuple(place) if isinstance(place, Sequence | np.ndarray) and not isinstance(place, str) else (place,)
    whole = all(isinstance(i, int | np.integer) for i in indices)
    if not whole or len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
        expected = "()" if not shape else ", ".join(f"0 to {n - 1}" for n in shape)
        raise GraphError(
            f"{what}: {name}={place!r} is no entry of potential {name!r}, whose shape is {shape}; expected the place "
            f"of an entry, {expected}. The weight in that place is part of theta"
        )
    return int(np.ravel_multi_index(indices, shape)) if shape else 0


def written(shapes: Mapping[str, Shape], read: Mapping[str, int]) -> str:
    """Entries as users name them: the opposite of `entries_read`."""
    said = []
    for name, entry in read.items():
        place = tuple(int(i) for i in np.unravel_index(entry, shapes[name])) if shapes[name] else ()
        said.append(f"{name}={place[0] if len(place) == 1 else place}")
    return ", ".join(said)


def read_by_node(
    shapes: Mapping[str, Shape], entries: Mapping[int, Mapping[str, int]], nodes: int
) -> dict[str, NDArray[np.int64]]:
    """{potential: [nodes] the entry that each node reads, -1 for none}, from those of each node that reads some."""
    read = {name: np.full(nodes, -1) for name in shapes}
    for number, own in entries.items():
        for name, entry in own.items():
            read[name][number] = entry
    return read


def short(value: Any) -> str:
    """A value that a user handed over, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
