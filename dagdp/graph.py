"""DESCRIBE: what a user says about a dynamic program. Nothing is checked or ordered here but sizes.

A graph is a list of edges, each from a parent to a child, in the user's order; that order is the order
of theta, of every gradient, and of HardMax ties.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Never, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.errors import GraphError
from dagdp.kinds import refuse_mask

Shape = tuple[int, ...]
Numbers = NDArray[np.int64]
#: (first, shape): the ends of a ragged batch are consecutive nodes from `first`, in row-major order of the lengths
EndsByLength = tuple[int, Shape]


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
        self._shapes = None if potentials is None else {k: _shape(k, v) for k, v in potentials.items()}
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
        places = {name: _entry(name, shapes[name], place) for name, place in entries.items()}
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
        parents, children : [edges] node numbers, 0 <= number < num_nodes.
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
        edges = _integers("parents", parents), _integers("children", children)
        terminals = tuple(
            None if nodes is None else _integers(what, nodes) for what, nodes in (("starts", starts), ("ends", ends))
        )
        if edges[0].shape != edges[1].shape:
            raise GraphError(
                f"parents has {edges[0].size} entries and children {edges[1].size}; expected one of each for every edge"
            )
        read: tuple[Potential, ...] = (_of_edges(edges[0].size),)
        if potentials is not None:
            read = tuple(_potential(name, *spec, edges[0].size) for name, spec in potentials.items())
        size = _counted_nodes(edges) if num_nodes is None else int(num_nodes)
        return _ArrayGraph(edges, size, terminals, read, ends_by_length=ends_by_length)

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

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(parents, children), each [edges], as node numbers."""
        return np.array(self._parents, np.int64), np.array(self._children, np.int64)

    def terminals(self) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """(starts, ends) as node numbers; None where the default applies."""
        return self._numbered("start", self._starts), self._numbered("end", self._ends)

    @property
    def ends_by_length(self) -> EndsByLength | None:
        """(first, shape) as `from_edges` was given it, or None."""
        return None

    def snapshot(self) -> Graph:
        """The graph as it is now, which no later `add_edge` changes: what a compiled graph holds."""
        return _ArrayGraph(self.edges(), self.num_nodes, self.terminals(), self.potentials(), list(self._numbers))

    def potentials(self) -> tuple[Potential, ...]:
        """The arrays that edges read, in the order in which they were named."""
        if self._shapes is None:
            return (_of_edges(self.num_edges),)
        return tuple(
            Potential(name, shape, np.array(self._entries[name], np.int64)) for name, shape in self._shapes.items()
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


class _ArrayGraph(Graph):
    """A graph that is complete: edges are arrays, nodes are numbers that may have names."""

    def __init__(
        self,
        edges: tuple[Numbers, Numbers],
        num_nodes: int,
        terminals: tuple[Numbers | None, ...],
        potentials: tuple[Potential, ...],
        names: list[Hashable] | None = None,
        ends_by_length: EndsByLength | None = None,
    ) -> None:
        self._edges, self._num_nodes, self._potentials, self._names = edges, num_nodes, potentials, names
        self._terminals = (terminals[0], terminals[1])
        self._ends_by_length = ends_by_length

    def add_node(self, node: Hashable) -> NoReturn:
        raise GraphError(
            "a graph from arrays, or of a compiled graph, is complete; build with Graph() to add nodes one by one"
        )

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: int | Sequence[int]) -> NoReturn:
        raise GraphError(
            "a graph from arrays, or of a compiled graph, is complete; build with Graph() to add edges one by one"
        )

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

    def edges(self) -> tuple[Numbers, Numbers]:
        return self._edges

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        return self._terminals

    def potentials(self) -> tuple[Potential, ...]:
        return self._potentials

    def snapshot(self) -> Graph:
        return self

    def __repr__(self) -> str:
        return _summary(self, {part.name: part.shape for part in self._potentials if part.name is not None})


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


def _of_edges(edges: int) -> Potential:
    """theta of a graph without names: an entry for each edge."""
    return Potential(None, (edges,), np.arange(edges))


def _counted_nodes(edges: tuple[Numbers, Numbers]) -> int:
    """1 + the largest number, refused where nearly all nodes below it would be without an edge."""
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


def _potential(name: str, shape: int | Sequence[int], index: ArrayLike, edges: int) -> Potential:
    potential = Potential(name, _shape(name, shape), _integers(f"the index of potential {name!r}", index))
    if potential.index.size != edges:
        raise GraphError(
            f"the index of potential {name!r} has {potential.index.size} entries; "
            f"expected one for each of the {edges} edges (-1 for an edge that does not read it)"
        )
    return potential


def _integers(what: str, values: ArrayLike) -> NDArray[np.int64]:
    refuse_mask(values, what, GraphError)
    array = np.asarray(values).ravel()
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{what} has dtype {array.dtype}; expected integers")
    return array.astype(np.int64, copy=True)


def _shape(name: str, shape: int | Sequence[int]) -> Shape:
    made = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(not isinstance(n, int | np.integer) or n < 1 for n in made):
        raise GraphError(f"potential {name!r} has shape {shape!r}; expected positive integers")
    return tuple(int(n) for n in made)


def _entry(name: str, shape: Shape, place: int | Sequence[int]) -> int:
    indices = (place,) if isinstance(place, int | np.integer) else tuple(place)
    if len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
        raise GraphError(f"{name}={place!r} is no entry of potential {name!r}, whose shape is {shape}")
    return int(np.ravel_multi_index(indices, shape)) if shape else 0


def from_networkx(
    G: Any,
    weight: str = "weight",
    *,
    starts: Iterable[Hashable] | None = None,
    ends: Iterable[Hashable] | None = None,
) -> tuple[Graph, NDArray[np.float64]]:
    """(graph, theta) of a networkx DiGraph or MultiDiGraph; theta [edges] follows the edges of `G`.

    Edge number e is the e-th of `G.edges` (with keys for a MultiDiGraph: parallel edges stay apart),
    so `dict(zip(G.edges, dp_grad(compile(graph), theta)))` is the expected path on G's own edges.
    Nodes without edges take no part. starts, ends : as in `Graph`.
    Raises GraphError naming the edge that lacks the attribute.

    Example
    -------
    >>> import networkx
    >>> G = networkx.DiGraph()
    >>> G.add_weighted_edges_from([("a", "b", 1.0), ("b", "c", 2.0), ("a", "c", 2.5)])
    >>> graph, theta = from_networkx(G)
    >>> theta.tolist(), list(G.edges)[1]
    ([1.0, 2.5, 2.0], ('a', 'c'))
    """
    if not hasattr(G, "is_directed") or not G.is_directed():
        raise GraphError(f"from_networkx was given {type(G).__name__}; expected a DiGraph or a MultiDiGraph")
    graph = Graph(starts=starts, ends=ends)
    theta = np.empty(G.number_of_edges())
    triples = G.edges(keys=True, data=weight) if G.is_multigraph() else G.edges(data=weight)
    for e, (*edge, value) in enumerate(triples):
        try:
            theta[e] = float(value)
        except (TypeError, ValueError):
            problem = "has no attribute" if value is None else f"has {value!r}, not a number, as"
            raise GraphError(
                f"edge {tuple(edge)!r} {problem} {weight!r}; set it on every edge, "
                "or name another attribute with weight="
            ) from None
        graph.add_edge(edge[0], edge[1])
    return graph, theta
