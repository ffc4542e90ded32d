"""A graph as arrays of numbers: int32 where they fit, and made on demand where a function can list them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
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
MORE_PARENTS = "For three parents introduce a node: a hyperedge joins two of them, and another the node and the third"
SMALLEST, LARGEST = -(2**31), 2**31 - 1


@dataclass(frozen=True, eq=False)
class EdgeArrays:
    """The edges of a graph in the user's order, and the entries that they read."""

    parents: Listed  # [edges]
    children: Listed
    indices: tuple[Listed, ...]  # [potentials][edges] the entry that the edge reads, -1 for none
    second: Listed | None = None  # [edges] the second parent of a hyperedge, -1 for none; None without hyperedges

    def arcs(self, kept: NDArray[np.bool_] | None = None) -> tuple[Listed, Listed]:
        """(parents, children), a pair of nodes for each parent of each edge, those of second parents last.

        kept : [edges] which edges count; default all.
        """
        if kept is None:
            return arcs_of(self.parents, self.children, self.second)
        return arcs_of(self.parents[kept], self.children[kept], None if self.second is None else self.second[kept])

    def within(self, nodes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[edges] whether an edge's child and all its parents are among the nodes, given as a mask."""
        inside: NDArray[np.bool_] = nodes[self.parents] & nodes[self.children]
        return inside if self.second is None else inside & ((self.second < 0) | nodes[self.second])


class EdgeLists:
    """Edges added one by one, as lists of numbers.

    names : of the potentials, whose entries `append` takes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.parents: list[int] = []
        self.children: list[int] = []
        self.second: list[int] = []  # -1 for none
        self.entries: dict[str, list[int]] = {name: [] for name in names}

    def append(self, parents: Sequence[int], child: int, places: Mapping[str, int]) -> int:
        """Add an edge of one parent or two, which reads entries {potential: flat index}; returns its number."""
        self.parents.append(parents[0])
        self.second.append(parents[1] if len(parents) == 2 else -1)
        self.children.append(child)
        for name, column in self.entries.items():
            column.append(places.get(name, -1))
        return len(self.parents) - 1

    def arrays(self, indices: tuple[Listed, ...]) -> EdgeArrays:
        """The edges as arrays. indices : [potentials][edges] the entry that each edge reads."""
        lists = (self.parents, self.children, self.second)
        parents, children, second = (compact(np.array(numbers, np.int64)) for numbers in lists)
        return EdgeArrays(parents, children, indices, second if max(self.second, default=-1) >= 0 else None)


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
    lists = [integers(f"what {label} made", one, own=True) for one in (children, *indices)]
    first, second = parents_of(f"the parents that {label} made", parents, num_edges, own=True)
    wrong = [one.size for one in (first, *lists) if one.size != num_edges]
    if wrong or len(lists) != 1 + len(names):
        raise GraphError(
            f"{label} made {len(lists) - 1} indices and {wrong or num_edges} edges; expected an index for each of the "
            f"potentials {list(names)}, and {num_edges} edges in each array"
        )
    return EdgeArrays(first, lists[0], tuple(lists[1:]), second)


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


def arcs_of(parents: Listed, children: Listed, second: Listed | None) -> tuple[Listed, Listed]:
    """(parents, children) of a graph in which each parent of a hyperedge has an edge of its own, second ones last."""
    if second is None:
        return parents, children
    pairs = second >= 0
    return np.concatenate([parents, second[pairs]]), np.concatenate([children, children[pairs]])


def parent_rows(parents: Listed, second: Listed | None) -> Listed:
    """The parents as `from_edges` takes them: [edges], or [edges, 2] where there are second parents.

    second : of the first edges; the others have none.
    """
    if second is None:
        return parents
    return np.stack([parents, np.append(second, np.full(parents.size - second.size, -1))], 1)


def parents_of(what: str, given: ArrayLike, edges: int, own: bool = False) -> tuple[Listed, Listed | None]:
    """(first parents, second parents) from one node number for each of the edges, or from rows of two, [edges, 2].

    A second parent of -1 is none; the second parents are None if all are -1. Raises GraphError for rows of three.
    """
    array = np.asarray(given)
    if array.ndim != 2 or array.shape[0] != edges or array.shape[1] == 1:
        return integers(what, given, own), None
    if array.shape[1] != 2:
        raise GraphError(
            f"{what} has shape {array.shape}; expected one parent for each edge, or two, [edges, 2]. {MORE_PARENTS}"
        )
    first, second = (integers(what, array[:, k], own) for k in (0, 1))
    return first, (second if (second != -1).any() else None)


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


def counted_nodes(edges: tuple[Listed, ...]) -> int:
    """1 + the largest node number. Raises GraphError if nearly all nodes below it would have no edge.

    edges : node numbers at the ends of edges; of the first array one for each edge.
    """
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
