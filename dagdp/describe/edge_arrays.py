"""A graph as arrays of numbers: int32 where they fit, and made on demand where a function can list them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, eq=False)
class EdgeArrays:
    """The edges of a graph in the user's order, and the entries that they read."""

    parents: Listed  # [edges]
    children: Listed
    indices: tuple[Reads, ...]  # [potentials][edges] the entry that the edge reads, -1 for none; or a `LinearReads`

    @property
    def linear(self) -> bool:
        """Whether a potential is linear: see `dagdp.describe.linear_reads`."""
        return any(isinstance(reads, LinearReads) for reads in self.indices)

    def with_own_weights(self) -> EdgeArrays:
        """The edges, each with a weight of its own."""
        return replace(self, indices=(compact(np.arange(len(self.parents))),))


class StoredEdges:
    """The arrays of a graph that stores them."""

    def __init__(self, arrays: EdgeArrays) -> None:
        self.arrays = arrays

    def __call__(self) -> EdgeArrays:
        return self.arrays


class OwnWeights:
    """The arrays of another graph, whose edges each have a weight of their own."""

    def __init__(self, source: Callable[[], EdgeArrays]) -> None:
        self.source = source

    def __call__(self) -> EdgeArrays:
        return self.source().with_own_weights()


class EdgesOnDemand:
    """The arrays of a graph that makes them at each call; calls share the arrays while one caller references them.

    make, arguments : `make(*arguments)` lists `num_edges` edges, and an index for each of the potentials `names`.
    """

    def __init__(self, make: Maker, arguments: tuple[Any, ...], num_edges: int, names: Sequence[str]) -> None:
        self.make, self.arguments, self.num_edges, self.names = make, arguments, num_edges, names
        self.made: weakref.ref[EdgeArrays] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "made": None}

    def __call__(self) -> EdgeArrays:
        made = None if self.made is None else self.made()
        if made is None:
            label = self.make.__name__
            parents, children, indices = self.make(*self.arguments)
            lists = [integers(f"what {label} made", one, own=True) for one in (parents, children)]
            reads = [
                reads_of(f"what {label} made", one, edges=self.num_edges)
                if isinstance(one, LinearReads)
                else integers(f"what {label} made", one, own=True)
                for one in indices
            ]
            wrong = [one.size for one in (*lists, *reads) if isinstance(one, np.ndarray) and one.size != self.num_edges]
            if wrong or len(reads) != len(self.names):
                raise GraphError(
                    f"{label} made {len(reads)} indices and {wrong or self.num_edges} edges; expected an "
                    f"index for each of the potentials {list(self.names)}, and {self.num_edges} edges in each array"
                )
            made = EdgeArrays(lists[0], lists[1], tuple(reads))
            self.made = weakref.ref(made)
        return made


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
