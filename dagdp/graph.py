"""DESCRIBE: what a user says about a dynamic program. Nothing is checked or ordered here but sizes.

A graph is a list of edges, each from a parent to a child, in the user's order; that order is the order
of theta, of every gradient, and of HardMax ties.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Never, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.edge_arrays import (
    EdgeArrays,
    EndsByLength,
    Listed,
    Maker,
    Numbers,
    compact,
    counted_nodes,
    entry_of,
    integers,
    of_edges,
    potential_of,
    shape_of,
    terminals_of,
)
from dagdp.edge_arrays import Potential as Potential
from dagdp.edge_arrays import Shape as Shape
from dagdp.errors import GraphError


class Graph:
    """A directed acyclic graph with weighted edges, built edge by edge over any hashable nodes.

    Parameters
    ----------
    starts, ends : nodes where a path may begin and end. Default: nodes without parents, nodes without children. Where
        the default finds several ends, `compile` warns: a node that leads nowhere by mistake would be one.
    potentials : `{name: shape}` of the arrays whose entries edges will name; without it every edge has
        a weight of its own and theta is one array `[*batch, edges]` in the order of `add_edge`.

    Example
    -------
    >>> graph = Graph()
    >>> graph.add_edge("home", "work"), graph.add_edge("home", "cafe"), graph.add_edge("cafe", "work")
    (0, 1, 2)
    >>> shared = Graph(potentials={"step": (2,)})
    >>> shared.add_edge(0, 1, step=0), shared.add_edge(1, 2, step=0), shared.add_edge(0, 2, step=1)
    (0, 1, 2)
    >>> shared
    Graph(3 nodes, 3 edges, potential step (2,))
    """

    def __init__(
        self,
        *given: Never,
        starts: Iterable[Hashable] | None = None,
        ends: Iterable[Hashable] | None = None,
        potentials: Mapping[str, int | Sequence[int]] | None = None,
    ) -> None:
        if given:
            raise GraphError(
                f"Graph was given {_short(given[0])}; expected options by name only, starts=, ends= and potentials=. "
                "Add edges one by one with add_edge(parent, child), or all at once with "
                "Graph.from_edges(parents, children); a networkx graph enters through dagdp.from_networkx(G)"
            )
        for what, nodes in (("starts", starts), ("ends", ends)):
            if isinstance(nodes, str):
                raise GraphError(f"{what} is the text {nodes!r}; expected a list of nodes: {what}=[{nodes!r}]")
        self._starts = None if starts is None else list(starts)
        self._ends = None if ends is None else list(ends)
        self._shapes = None if potentials is None else {k: shape_of(k, v) for k, v in potentials.items()}
        self._numbers: dict[Hashable, int] = {}
        self._parents: list[int] = []
        self._children: list[int] = []
        self._entries: dict[str, list[int]] = {name: [] for name in self._shapes or ()}

    def add_node(self, node: Hashable) -> int:
        """The node's number, new or known. Only needed to fix the order of nodes: edges add theirs."""
        try:
            return self._numbers.setdefault(node, len(self._numbers))
        except TypeError:
            raise GraphError(f"node {node!r} is not hashable; use a string, a number or a tuple of them") from None

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: int | Sequence[int]) -> int:
        """Add an edge and return its number; parallel edges are kept apart.

        `entries` name, for each potential the edge reads, the place in it: an index or a tuple of indices.
        The edge's weight is the sum of those entries.
        """
        if given:
            raise GraphError(
                f"edge {parent!r} -> {child!r} was given {_short(given[0])}; expected (parent, child) alone, and "
                "entries of potentials by name. The numbers on edges are theta: one for each edge, in the order of "
                "add_edge, handed to dp_value(dag, theta) and its relatives"
            )
        shapes = self._shapes or {}
        unknown = [name for name in entries if name not in shapes]
        if unknown and self._shapes is None:
            raise GraphError(
                f"edge {parent!r} -> {child!r} was given {unknown[0]}={entries[unknown[0]]!r}, and the graph has no "
                "potential of that name. The numbers on edges are theta: one for each edge, in the order of add_edge, "
                "handed to dp_value(dag, theta) and its relatives. For entries that edges share, name the array: "
                f"Graph(potentials={{{unknown[0]!r}: shape}})"
            )
        if unknown:
            raise GraphError(
                f"edge {parent!r} -> {child!r} reads potential {unknown[0]!r}, which the graph does not have; "
                f"it has {list(shapes) or 'none'}. Name it in Graph(potentials={{{unknown[0]!r}: shape}})"
            )
        places = {name: entry_of(name, shapes[name], place) for name, place in entries.items()}
        self._parents.append(self.add_node(parent))
        self._children.append(self.add_node(child))
        for name, column in self._entries.items():
            column.append(places.get(name, -1))
        return len(self._parents) - 1

    @classmethod
    def from_edges(
        cls,
        parents: ArrayLike,
        children: ArrayLike,
        num_nodes: int | None = None,
        starts: ArrayLike | None = None,
        ends: ArrayLike | None = None,
        potentials: Mapping[str, tuple[int | Sequence[int], ArrayLike]] | None = None,
        *,
        ends_by_length: EndsByLength | None = None,
    ) -> Graph:
        """A graph from integer arrays: the fast door, without a Python loop over edges.

        Parameters
        ----------
        parents, children : [edges] node numbers, 0 <= number < num_nodes. Copied, but for int32 arrays that are
            read-only and own their numbers.
        num_nodes : default 1 + the largest number, which may then be at most 16 x edges + 10^6.
        starts, ends : node numbers. Default: nodes without parents, nodes without children.
        potentials : `{name: (shape, index)}`, index [edges] into the flattened array, -1 for "none".
        ends_by_length : (first, shape) where an item of a ragged batch ends by its lengths, for `dag.ends_of`: node
            `first` for lengths of 1, and the following nodes in row-major order up to lengths of `shape`.

        Raises GraphError: arrays of unequal size, no integers, numbers far above the number of edges.

        Example
        -------
        >>> graph = Graph.from_edges([0, 0, 1], [1, 2, 2])
        >>> graph
        Graph(3 nodes, 3 edges)
        """
        edges = integers("parents", parents), integers("children", children)
        if edges[0].shape != edges[1].shape:
            raise GraphError(
                f"parents has {edges[0].size} entries and children {edges[1].size}; expected one of each for every edge"
            )
        read: tuple[Potential, ...] = (of_edges(edges[0].size),)
        if potentials is not None:
            read = tuple(potential_of(name, *spec, edges[0].size) for name, spec in potentials.items())
        size = counted_nodes(edges) if num_nodes is None else int(num_nodes)
        return _ArrayGraph(edges, size, terminals_of(starts, ends), read, ends_by_length=ends_by_length)

    @classmethod
    def from_maker(
        cls,
        make: Maker,
        arguments: tuple[Any, ...],
        *,
        num_nodes: int,
        num_edges: int,
        starts: ArrayLike,
        ends: ArrayLike,
        potentials: Mapping[str, int | Sequence[int]],
        ends_by_length: EndsByLength | None = None,
    ) -> Graph:
        """A graph whose edges `make(*arguments)` lists whenever somebody asks: nothing of their number is kept.

        Parameters
        ----------
        make : a function that always returns the same (parents [edges], children [edges], [the index [edges] of each
            potential]), as `from_edges` takes them. One that can be pickled makes a graph that can.
        num_nodes, num_edges : how many there are.
        starts, ends, ends_by_length : as in `from_edges`.
        potentials : `{name: shape}`, in the order of the indices.

        Raises GraphError, where edges are asked for, if their number is another.

        Example
        -------
        >>> def chain(n):
        ...     return np.arange(n), np.arange(1, n + 1), [np.arange(n)]
        >>> Graph.from_maker(chain, (3,), num_nodes=4, num_edges=3, starts=[0], ends=[3], potentials={"step": 3})
        Graph(4 nodes, 3 edges, potential step (3,))
        """
        shapes = {name: shape_of(name, shape) for name, shape in potentials.items()}
        terminals = terminals_of(starts, ends)
        return _MadeGraph((make, arguments), (num_nodes, num_edges), terminals, shapes, ends_by_length)

    @property
    def num_nodes(self) -> int:
        """How many nodes have been named."""
        return len(self._numbers)

    @property
    def num_edges(self) -> int:
        """How many edges have been added."""
        return len(self._parents)

    @property
    def nodes(self) -> list[Hashable] | None:
        """The user's own names by number, or None where names are the numbers."""
        return list(self._numbers)

    def edges(self) -> tuple[Numbers, Numbers]:
        """(parents, children), each [edges], as node numbers."""
        listed = self.listed()
        return listed.parents.astype(np.int64), listed.children.astype(np.int64)

    def listed(self) -> EdgeArrays:
        """Edges and the entries that they read, int32 where the numbers fit. Not to be written to."""
        parents, children = (compact(np.array(nodes, np.int64)) for nodes in (self._parents, self._children))
        return EdgeArrays(parents, children, tuple(potential.index for potential in self.potentials()))

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        """(starts, ends) as node numbers; None where the default applies."""
        return self._numbered("start", self._starts), self._numbered("end", self._ends)

    @property
    def ends_by_length(self) -> EndsByLength | None:
        """(first, shape) as `from_edges` was given it, or None."""
        return None

    def snapshot(self) -> Graph:
        """The graph as it is now, which no later `add_edge` changes: what a compiled graph holds."""
        listed = self.listed()
        potentials = self.potentials()
        read = tuple(Potential(p.name, p.shape, index) for p, index in zip(potentials, listed.indices, strict=True))
        edges = listed.parents, listed.children
        return _ArrayGraph(edges, self.num_nodes, self.terminals(), read, list(self._numbers))

    def potentials(self) -> tuple[Potential, ...]:
        """The arrays that edges read, in the order in which they were named."""
        if self._shapes is None:
            return (of_edges(self.num_edges),)
        return tuple(
            Potential(name, shape, compact(np.array(self._entries[name], np.int64)))
            for name, shape in self._shapes.items()
        )

    def __repr__(self) -> str:
        return _summary(self, self._shapes)

    def _numbered(self, what: str, nodes: list[Hashable] | None) -> NDArray[np.int64] | None:
        if nodes is None:
            return None
        for node in nodes:
            if node not in self._numbers:
                raise GraphError(f"{what} {node!r} is on no edge of the graph; add an edge that reaches it")
        return np.array([self._numbers[node] for node in nodes], np.int64)


class _CompleteGraph(Graph):
    """A graph to which nothing is added: nodes are numbers that may have names."""

    def add_node(self, node: Hashable) -> NoReturn:
        raise GraphError(
            "a graph from arrays, or of a compiled graph, is complete; build with Graph() to add nodes one by one"
        )

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: int | Sequence[int]) -> NoReturn:
        raise GraphError(
            "a graph from arrays, or of a compiled graph, is complete; build with Graph() to add edges one by one"
        )

    def snapshot(self) -> Graph:
        return self

    def __repr__(self) -> str:
        return _summary(self, {part.name: part.shape for part in self.potentials() if part.name is not None})


class _ArrayGraph(_CompleteGraph):
    """A graph that keeps its arrays."""

    def __init__(
        self,
        edges: tuple[Listed, Listed],
        num_nodes: int,
        terminals: tuple[Numbers | None, Numbers | None],
        potentials: tuple[Potential, ...],
        names: list[Hashable] | None = None,
        ends_by_length: EndsByLength | None = None,
    ) -> None:
        self._edges, self._num_nodes, self._read, self._names = edges, num_nodes, potentials, names
        self._terminals = terminals
        self._ends_by_length = ends_by_length

    @property
    def num_nodes(self) -> int:
        return self._num_nodes

    @property
    def num_edges(self) -> int:
        return int(self._edges[0].size)

    @property
    def nodes(self) -> list[Hashable] | None:
        return self._names

    @property
    def ends_by_length(self) -> EndsByLength | None:
        return self._ends_by_length

    def listed(self) -> EdgeArrays:
        return EdgeArrays(*self._edges, tuple(potential.index for potential in self._read))

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        return self._terminals

    def potentials(self) -> tuple[Potential, ...]:
        return self._read


class _MadeGraph(_CompleteGraph):
    """A graph whose arrays are made at each demand; readings share them for as long as one of them holds them."""

    def __init__(
        self,
        recipe: tuple[Maker, tuple[Any, ...]],
        size: tuple[int, int],
        terminals: tuple[Numbers | None, Numbers | None],
        shapes: dict[str, Shape],
        ends_by_length: EndsByLength | None,
    ) -> None:
        self._recipe, self._size, self._terminals, self._read = recipe, size, terminals, shapes
        self._ends_by_length = ends_by_length
        self._made: weakref.ref[EdgeArrays] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}

    @property
    def num_nodes(self) -> int:
        return self._size[0]

    @property
    def num_edges(self) -> int:
        return self._size[1]

    @property
    def nodes(self) -> None:
        return None

    @property
    def ends_by_length(self) -> EndsByLength | None:
        return self._ends_by_length

    def listed(self) -> EdgeArrays:
        made = None if self._made is None else self._made()
        if made is None:
            make, arguments = self._recipe
            parents, children, indices = make(*arguments)
            lists = [integers(f"what {make.__name__} made", one, own=True) for one in (parents, children, *indices)]
            wrong = [one.size for one in lists if one.size != self.num_edges]
            if wrong or len(lists) != 2 + len(self._read):
                raise GraphError(
                    f"{make.__name__} made {len(lists) - 2} indices and {wrong or self.num_edges} edges; expected an "
                    f"index for each of the potentials {list(self._read)}, and {self.num_edges} edges in each array"
                )
            made = EdgeArrays(lists[0], lists[1], tuple(lists[2:]))
            self._made = weakref.ref(made)
        return made

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        return self._terminals

    def potentials(self) -> tuple[Potential, ...]:
        return tuple(Potential(*named, partial(self._index, k)) for k, named in enumerate(self._read.items()))

    def _index(self, k: int) -> Listed:
        return self.listed().indices[k]


def _summary(graph: Graph, shapes: Mapping[str, Shape] | None) -> str:
    """Sizes only: edges may be millions."""
    sizes = ((graph.num_nodes, "node"), (graph.num_edges, "edge"))
    said = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in sizes]
    named = [f"{name} {shape}" for name, shape in (shapes or {}).items()]
    if named:
        named[0] = f"potential{'' if len(named) == 1 else 's'} {named[0]}"
    return f"Graph({', '.join(said + named)})"


def _short(value: Any) -> str:
    """A value that a user handed over, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
