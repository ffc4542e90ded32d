"""DESCRIBE: what a user says about a dynamic program. Nothing is checked or ordered here but sizes.

A graph is a list of edges, each from a parent to a child, in the user's order; that order is the order
of theta, of every gradient, and of HardMax ties. What nodes read is handed to edges when the graph is read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Never, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.errors import GraphError
from dagdp.potentials import Place, entries_read, indexed, integers, of_edges, read_by_node, shape_of, short, written
from dagdp.potentials import Potential as Potential
from dagdp.potentials import Shape as Shape

Numbers = NDArray[np.int64]
#: (first, shape): the ends of a ragged batch are consecutive nodes from `first`, in row-major order of the lengths
EndsByLength = tuple[int, Shape]


class Graph:
    """A directed acyclic graph with weighted edges, built edge by edge over any hashable nodes.

    Parameters
    ----------
    starts, ends : nodes where a path may begin and end. Default: nodes without parents, nodes without children. Where
        the default finds several ends, `compile` warns: a node that leads nowhere by mistake would be one.
    potentials : `{name: shape}` of the arrays whose entries edges and nodes will name; without it every edge has
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
                f"Graph was given {short(given[0])}; expected options by name only, starts=, ends= and potentials=. "
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
        self._node_entries: dict[int, dict[str, int]] = {}

    def add_node(self, node: Hashable, /, *given: Never, **entries: Place) -> int:
        """The node's number, new or known. Needed for weights of nodes, and to fix their order: edges add theirs.

        `entries` name, for each potential the node reads, the place in it, as in `add_edge`. A path's score contains
        them once, for each node that it visits: every edge into the node reads them. Starts are entered, too, where
        one of them reads entries: the compiled graph then has one more node, named "(start)", and an edge from it to
        every start. That node and these edges have the last numbers, and `Paths.names` leaves the node out. Under
        SquaredL2 starts are then visited nodes. Edges and nodes may be added in any order.

        Raises GraphError: an entry that is none, or other entries for a node that has some. An edge that reads a
        potential which its child node reads, too, is an error when the graph is compiled.

        Example
        -------
        >>> project = Graph(potentials={"days": (3,)})
        >>> [project.add_node(task, days=k) for k, task in enumerate(["plan", "build", "paint"])]
        [0, 1, 2]
        >>> project.add_edge("plan", "build"), project.add_edge("build", "paint")
        (0, 1)
        >>> import dagdp
        >>> float(dagdp.dp_value(dagdp.compile(project), [2.0, 5.0, 1.0], dagdp.HardMax()))
        8.0
        """
        if given:
            raise GraphError(
                f"node {node!r} was given {short(given[0])}; expected entries of potentials by name: with "
                "Graph(potentials={'cost': number_of_nodes}), add_node(node, cost=k) reads theta['cost'][k]"
            )
        if entries and self._shapes is None:
            name, value = next(iter(entries.items()))
            raise GraphError(
                f"node {node!r} was given {name}={short(value)}, and the graph has no potential of that name. Name the "
                f"array, Graph(potentials={{{name!r}: number_of_nodes}}), and for each node its place in it, "
                f"add_node(node, {name}=k). The weights are theta, handed to dp_value(dag, theta) and its relatives"
            )
        shapes = self._shapes or {}
        places = entries_read(f"node {node!r}", shapes, entries)
        try:
            number = self._numbers.setdefault(node, len(self._numbers))
        except TypeError:
            raise GraphError(f"node {node!r} is not hashable; use a string, a number or a tuple of them") from None
        known = self._node_entries.setdefault(number, places) if places else places
        if known != places:
            raise GraphError(
                f"node {node!r} was given {written(shapes, places)} and reads {written(shapes, known)} already; "
                "expected the entries of a node once, all in one call of add_node"
            )
        return number

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: Place) -> int:
        """Add an edge and return its number; parallel edges are kept apart.

        `entries` name, for each potential the edge reads, the place in it: an index or a tuple of indices.
        The edge's weight is the sum of those entries.
        """
        if given:
            raise GraphError(
                f"edge {parent!r} -> {child!r} was given {short(given[0])}; expected (parent, child) alone, and "
                "entries of potentials by name. The numbers on edges are theta: one for each edge, in the order of "
                "add_edge, handed to dp_value(dag, theta) and its relatives"
            )
        if entries and self._shapes is None:
            name, value = next(iter(entries.items()))
            raise GraphError(
                f"edge {parent!r} -> {child!r} was given {name}={value!r}, and the graph has no "
                "potential of that name. The numbers on edges are theta: one for each edge, in the order of add_edge, "
                "handed to dp_value(dag, theta) and its relatives. For entries that edges share, name the array: "
                f"Graph(potentials={{{name!r}: shape}})"
            )
        places = entries_read(f"edge {parent!r} -> {child!r}", self._shapes or {}, entries)
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
        edges = integers("parents", parents), integers("children", children)
        terminals = tuple(
            None if nodes is None else integers(what, nodes) for what, nodes in (("starts", starts), ("ends", ends))
        )
        if edges[0].shape != edges[1].shape:
            raise GraphError(
                f"parents has {edges[0].size} entries and children {edges[1].size}; expected one of each for every edge"
            )
        read: tuple[Potential, ...] = (of_edges(edges[0].size),)
        if potentials is not None:
            read = tuple(indexed(name, *spec, edges[0].size) for name, spec in potentials.items())
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

    @property
    def added_start(self) -> int | None:
        """The number of the node "(start)" that compilation put in front of the starts, or None: see `add_node`."""
        return None

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
        """The graph as it is now, which no later `add_edge` changes: what a compiled graph holds.

        Its nodes and edges are those that were added, and behind them, where a start reads entries, one more node and
        an edge from it to each start.
        """
        (parents, children), potentials, names = self.edges(), self.potentials(), list(self._numbers)
        starts, ends = self.terminals()
        entered = self._entered()
        if not entered.size:
            return _ArrayGraph((parents, children), len(names), (starts, ends), potentials, names)
        added, by_node = len(names), self._by_node()
        edges = np.append(parents, np.full(entered.size, added)), np.append(children, entered)
        potentials = tuple(
            Potential(p.name, p.shape, np.append(p.index, by_node[str(p.name)][entered])) for p in potentials
        )
        name = "(start)"
        while name in self._numbers:
            name = f"({name})"
        terminals = np.array([added]), ends
        return _ArrayGraph(edges, added + 1, terminals, potentials, [*names, name], added_start=added)

    def potentials(self) -> tuple[Potential, ...]:
        """The arrays that edges read, in the order in which they were named; an edge reads its child's entries, too.

        Raises GraphError where an edge and its child node read the same potential.
        """
        if self._shapes is None:
            return (of_edges(self.num_edges),)
        own = {name: np.array(column, np.int64) for name, column in self._entries.items()}
        if self._node_entries:
            children = np.array(self._children, np.int64)
            for name, by_node in self._by_node().items():
                of_child = by_node[children]
                both = np.flatnonzero((own[name] >= 0) & (of_child >= 0))
                if both.size:
                    raise GraphError(self._describe_both(name, int(both[0])))
                own[name] = np.maximum(own[name], of_child)
        return tuple(Potential(name, shape, own[name]) for name, shape in self._shapes.items())

    def _by_node(self) -> dict[str, Numbers]:
        return read_by_node(self._shapes or {}, self._node_entries, len(self._numbers))

    def _entered(self) -> Numbers:
        """The starts, if one of them reads entries; else none. A node without edges is a start if it reads some."""
        if not self._node_entries:
            return np.empty(0, np.int64)
        size, (parents, children), starts = len(self._numbers), self.edges(), self.terminals()[0]
        reads = np.zeros(size, bool)
        reads[list(self._node_entries)] = True
        if starts is None:
            inside = np.bincount(children, minlength=size) > 0
            starts = np.flatnonzero(~inside & (reads | (np.bincount(parents, minlength=size) > 0)))
        # a start that is named twice is for `validate` to refuse
        return starts if reads[starts].any() and np.unique(starts).size == starts.size else starts[:0]

    def _describe_both(self, name: str, edge: int) -> str:
        names, shapes = list(self._numbers), self._shapes or {}
        parent, child = self._parents[edge], self._children[edge]
        of_edge = written(shapes, {name: self._entries[name][edge]})
        of_node = written(shapes, {name: self._node_entries[child][name]})
        return (
            f"edge {names[parent]!r} -> {names[child]!r} reads {of_edge}, and its child node {names[child]!r} reads "
            f"{of_node}; an edge reads one entry of a potential at most. Give edges a potential of their own: "
            f"Graph(potentials={{{name!r}: {shapes[name]}, 'on_edges': shape}})"
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
        added_start: int | None = None,
    ) -> None:
        self._edges, self._num_nodes, self._potentials, self._names = edges, num_nodes, potentials, names
        self._terminals = (terminals[0], terminals[1])
        self._ends_by_length, self._added_start = ends_by_length, added_start

    def add_node(self, node: Hashable, /, *given: Never, **entries: Place) -> NoReturn:
        raise GraphError(
            "a graph from arrays, or of a compiled graph, is complete; build with Graph() to add nodes one by one"
        )

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: Place) -> NoReturn:
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

    @property
    def added_start(self) -> int | None:
        return self._added_start

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
