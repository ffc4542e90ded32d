"""A graph as arrays of numbers: int32 where they fit, and made on demand where a function can list them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.describe.integers import LARGEST as LARGEST
from dagdp.describe.integers import Listed as Listed
from dagdp.describe.integers import compact as compact
from dagdp.describe.integers import integers as integers
from dagdp.describe.linear_reads import LinearReads as LinearReads
from dagdp.describe.linear_reads import Reads, reads_of
from dagdp.errors import GraphError

Shape = tuple[int, ...]
Numbers = NDArray[np.int64]
#: (first, shape): the ends of a ragged batch are consecutive nodes from `first` on, in row-major order of the lengths
EndsByLength = tuple[int, Shape]
#: What `Graph.from_maker` calls: (parents, children, the index of each potential)
Maker = Callable[..., tuple[ArrayLike, ArrayLike, Sequence[ArrayLike]]]
MORE_PARENTS = "For three parents introduce a node: a hyperedge joins two of them, and another the node and the third"


@dataclass(frozen=True, eq=False)
class EdgeArrays:
    """The edges of a graph in the user's order, and the entries that they read."""

    parents: Listed  # [edges]
    children: Listed
    indices: tuple[Reads, ...]  # [potentials][edges] the entry that the edge reads, -1 for none; or a `LinearReads`
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

    @property
    def linear(self) -> bool:
        """Whether a potential is linear: see `dagdp.describe.linear_reads`."""
        return any(isinstance(reads, LinearReads) for reads in self.indices)

    def with_own_weights(self) -> EdgeArrays:
        """The edges, each with a weight of its own."""
        return replace(self, indices=(compact(np.arange(len(self.parents))),))


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


class OwnWeights:
    """The arrays of another graph, whose edges each have a weight of their own."""

    def __init__(self, source: Callable[[], EdgeArrays]) -> None:
        self.source = source

    def __call__(self) -> EdgeArrays:
        return self.source().with_own_weights()

    def released(self) -> OwnWeights:
        """The source for a compiled graph."""
        return self


class EdgesOnDemand:
    """The arrays of a graph that makes them when they are read; calls share them while one caller references them.

    Arrays that have to be made a second time are kept: code that reads the edges of a compiled graph reads them again.
    Five best paths of a chain of 128 steps and 32 states took 31 ms, 26 of which made the arrays.

    make : makes the arrays, equal ones at each call. made : the arrays, if they exist already.
    """

    def __init__(self, make: Callable[[], EdgeArrays], made: EdgeArrays | None = None) -> None:
        self.make = make
        self.made = None if made is None else weakref.ref(made)
        self.kept: EdgeArrays | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "made": None, "kept": None}

    def __call__(self) -> EdgeArrays:
        made = self.kept if self.made is None or self.kept is not None else self.made()
        if made is None:
            made = self.make()
            if self.made is None:
                self.made = weakref.ref(made)
            else:
                self.kept = made
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
    into = integers(f"what {label} made", children, own=True)
    first, second = parents_of(f"the parents that {label} made", parents, num_edges, own=True)
    reads = [
        reads_of(f"what {label} made", one, edges=num_edges)
        if isinstance(one, LinearReads)
        else integers(f"what {label} made", one, own=True)
        for one in indices
    ]
    wrong = [one.size for one in (first, into, *reads) if isinstance(one, np.ndarray) and one.size != num_edges]
    if wrong or len(reads) != len(names):
        raise GraphError(
            f"{label} made {len(reads)} indices and {wrong or num_edges} edges; expected an index for each of the "
            f"potentials {list(names)}, and {num_edges} edges in each array"
        )
    return EdgeArrays(first, into, tuple(reads), second)


@dataclass(frozen=True, eq=False)
class Potential:
    """A named array of weights: edge e reads `flat[index[e]]`, or nothing if index[e] is -1.

    Of a linear potential edges read the sums that `reads` lists.
    """

    name: str | None
    shape: Shape
    source: Reads | Callable[[], Reads]  # what edges read, or a function that makes it

    @property
    def reads(self) -> Reads:
        """`index`, or of a linear potential the `LinearReads`. Made at each access if the graph stores no arrays."""
        return self.source() if callable(self.source) else self.source

    @property
    def index(self) -> Listed:
        """[edges] the entry that each edge reads, -1 for none. Made at each access if the graph stores no arrays.

        Raises GraphError for a linear potential.
        """
        reads = self.reads
        if isinstance(reads, LinearReads):
            raise GraphError(
                f"potential {self.name!r} is linear: an edge reads a sum of coefficient x entry, which no index lists; "
                "expected another potential, or see its attribute `reads`"
            )
        return reads

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


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


def potential_of(name: str, spec: Any, edges: int) -> Potential:
    """A potential of a graph with `edges` edges, from (shape, index) or (shape, index, coefficient).

    Raises GraphError for other tuples, and as `reads_of` does.
    """
    if not isinstance(spec, tuple | list) or len(spec) not in (2, 3):
        raise GraphError(
            f"potential {name!r} is {spec!r:.200}; expected (shape, index), or (shape, index, coefficient)"
        )
    shape, *reads = spec
    made = shape_of(name, shape)
    return Potential(name, made, reads_of(f"the index of potential {name!r}", *reads, edges=edges))


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
