"""A graph as arrays of numbers: int32 where they fit, and made on demand where a function can list them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.array_kinds import refuse_mask
from dagdp.errors import GraphError

Shape = tuple[int, ...]
Numbers = NDArray[np.int64]
Listed = NDArray[Any]  # int32; int64 with a number too large for int32, which no compiled graph has
#: (first, shape): the ends of a ragged batch are consecutive nodes from `first` on, in row-major order of the lengths
EndsByLength = tuple[int, Shape]
#: What `Graph.from_maker` calls: (parents, children, the index of each potential)
Maker = Callable[..., tuple[ArrayLike, ArrayLike, Sequence[ArrayLike]]]
SMALLEST, LARGEST = -(2**31), 2**31 - 1


@dataclass(frozen=True, eq=False)
class EdgeArrays:
    """The edges of a graph in the user's order, and the entries that they read."""

    parents: Listed  # [edges]
    children: Listed
    indices: tuple[Listed, ...]  # [potentials][edges] the entry that the edge reads, -1 for none


class StoredEdges:
    """The arrays of a graph that stores them."""

    def __init__(self, arrays: EdgeArrays) -> None:
        self.arrays = arrays

    def __call__(self) -> EdgeArrays:
        return self.arrays

    def released(self) -> StoredEdges | EdgesOnDemand:
        """The source for a compiled graph, which lives long and seldom reads the arrays."""
        return self


class EdgesOnDemand:
    """The arrays of a graph that makes them at each call; calls share the arrays while one caller references them.

    make : makes the arrays, equal ones at each call. made : the arrays, if they exist already.
    """

    def __init__(self, make: Callable[[], EdgeArrays], made: EdgeArrays | None = None) -> None:
        self.make = make
        self.made = None if made is None else weakref.ref(made)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "made": None}

    def __call__(self) -> EdgeArrays:
        made = None if self.made is None else self.made()
        if made is None:
            made = self.make()
            self.made = weakref.ref(made)
        return made

    def released(self) -> EdgesOnDemand:
        """The source for a compiled graph."""
        return self


class EdgesOnce(StoredEdges):
    """Arrays that the user's graph stores; a compiled graph makes them again where they are read."""

    def __init__(self, make: Callable[[], EdgeArrays], arrays: EdgeArrays) -> None:
        super().__init__(arrays)
        self.make = make

    def released(self) -> EdgesOnDemand:
        return EdgesOnDemand(self.make, self.arrays)


def made_by(make: Maker, arguments: tuple[Any, ...], num_edges: int, names: Sequence[str]) -> EdgeArrays:
    """The arrays that `make(*arguments)` lists: `num_edges` edges, and an index for each of the potentials `names`.

    Raises GraphError for arrays of another number or length.
    """
    label = make.__name__
    parents, children, indices = make(*arguments)
    lists = [integers(f"what {label} made", one, own=True) for one in (parents, children, *indices)]
    wrong = [one.size for one in lists if one.size != num_edges]
    if wrong or len(lists) != 2 + len(names):
        raise GraphError(
            f"{label} made {len(lists) - 2} indices and {wrong or num_edges} edges; expected an index for each of the "
            f"potentials {list(names)}, and {num_edges} edges in each array"
        )
    return EdgeArrays(lists[0], lists[1], tuple(lists[2:]))


@dataclass(frozen=True, eq=False)
class Potential:
    """A named array of weights: edge e reads `flat[index[e]]`, or nothing if index[e] is -1."""

    name: str | None
    shape: Shape
    source: Listed | Callable[[], Listed]  # the index, or a function that makes it

    @property
    def index(self) -> Listed:
        """[edges] the entry that each edge reads, -1 for none. Made at each access if the graph stores no arrays."""
        return self.source() if callable(self.source) else self.source

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


def compact(numbers: Listed) -> Listed:
    """Integers as int32 if all of them fit, else as int64; copied only to change the type."""
    if numbers.dtype == np.int32:
        return numbers
    fits = numbers.size == 0 or (numbers.min() >= SMALLEST and numbers.max() <= LARGEST)
    return numbers.astype(np.int32 if fits else np.int64, copy=False)


def of_edges(edges: int) -> Potential:
    """The potential of a graph that names none: an entry for each edge."""
    return Potential(None, (edges,), compact(np.arange(edges)))


def terminals_of(starts: ArrayLike | None, ends: ArrayLike | None) -> tuple[Numbers | None, Numbers | None]:
    """(starts, ends) as node numbers; None where the default applies."""
    made = [
        None if nodes is None else integers(what, nodes).astype(np.int64)
        for what, nodes in (("starts", starts), ("ends", ends))
    ]
    return made[0], made[1]


def counted_nodes(edges: tuple[Listed, Listed]) -> int:
    """1 + the largest node number. Raises GraphError if nearly all nodes below it would have no edge."""
    nodes = 1 + max((int(numbers.max()) for numbers in edges if numbers.size), default=-1)
    most = 16 * edges[0].size + 10**6
    if nodes > most:
        raise GraphError(
            f"the largest node number is {nodes - 1} and there are {edges[0].size} edges; expected at most {most - 1}: "
            "every number below the largest is a node. Renumber with "
            "names, numbers = np.unique([parents, children], return_inverse=True) and "
            "parents, children = numbers.reshape(2, -1), or give num_nodes= if the nodes are meant"
        )
    return nodes


def potential_of(name: str, shape: int | Sequence[int], index: ArrayLike, edges: int) -> Potential:
    """A potential of a graph with `edges` edges. Raises GraphError for an index with another number of entries."""
    read = integers(f"the index of potential {name!r}", index)
    if read.size != edges:
        raise GraphError(
            f"the index of potential {name!r} has {read.size} entries; "
            f"expected one for each of the {edges} edges (-1 for an edge that does not read it)"
        )
    return Potential(name, shape_of(name, shape), read)


def integers(what: str, values: ArrayLike, own: bool = False) -> Listed:
    """Integers [entries] as int32 where they fit; not copied if `own`, or if no other code can write to the array."""
    refuse_mask(values, what, GraphError)
    given = np.asarray(values)
    array = given if given.ndim == 1 else given.ravel()
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{what} has dtype {array.dtype}; expected integers")
    made = compact(array)
    private = own or made is not array or (array.base is None and not array.flags.writeable)
    return made if private else made.copy()


def shape_of(name: str, shape: int | Sequence[int]) -> Shape:
    """The shape of a potential, from an integer or a sequence of integers."""
    made = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(not isinstance(n, int | np.integer) or n < 1 for n in made):
        raise GraphError(f"potential {name!r} has shape {shape!r}; expected positive integers")
    return tuple(int(n) for n in made)


def summary(nodes: int, edges: int, shapes: Mapping[Any, Shape]) -> str:
    """The sizes of a graph as text; edges may be millions."""
    said = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((nodes, "node"), (edges, "edge"))]
    named = [f"{name} {shape}" for name, shape in shapes.items() if name is not None]
    if named:
        named[0] = f"potential{'' if len(named) == 1 else 's'} {named[0]}"
    return f"Graph({', '.join(said + named)})"
