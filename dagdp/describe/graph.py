"""DESCRIBE: the user's description of a dynamic program. Only sizes are checked here.

A graph is a list of edges, each from a parent, or from two, to a child, in the user's order: the order of theta, of
every gradient, and of ties under HardMax. Entries that a node reads become entries of the edges into the node when the
graph is read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Never

import numpy as np
from numpy.typing import ArrayLike

import dagdp.describe.misuse as misuse
from dagdp.describe.annotations import Annotations
from dagdp.describe.by_hand import ByHand
from dagdp.describe.cells import NodeNames, Recurrence
from dagdp.describe.complete import Complete
from dagdp.describe.edge_arrays import (
    EdgeArrays,
    EdgesOnDemand,
    EndsByLength,
    Maker,
    Numbers,
    StoredEdges,
    counted_nodes,
    integers,
    made_by,
    of_edges,
    parents_of,
    potential_of,
    shape_of,
    summary,
    terminals_of,
)
from dagdp.describe.edge_arrays import Potential as Potential
from dagdp.describe.edge_arrays import Shape as Shape
from dagdp.describe.potentials import Place
from dagdp.errors import GraphError


class Graph(NodeNames):
    """A directed acyclic graph with weighted edges, built edge by edge over any hashable nodes.

    Parameters
    ----------
    starts, ends : nodes where a path may begin and end. Default: nodes without parents, nodes without children. If the
        default finds several ends, `compile` warns: a node that leads nowhere by mistake would be an end.
    potentials : `{name: shape}` of the arrays whose entries edges and nodes read. Default: every edge has a weight of
        its own, and theta is one array `[*batch, edges]` in the order of `add_edge`.
    minimize : True where the weights are costs: what `minimize=None`, the default of functions of the graph, means.

    Raises GraphError for positional arguments, and for starts or ends that are a string.

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
        minimize: bool = False,
    ) -> None:
        if given:
            raise misuse.graph_given(given[0])
        self._description: ByHand | Complete = ByHand(starts, ends, potentials, minimize)

    @classmethod
    def of(cls, description: Complete) -> Graph:
        """The graph of a complete description."""
        made = cls.__new__(cls)
        made._description = description
        return made

    def add_node(self, node: Hashable, /, *given: Never, **entries: Place) -> int:
        """Add a node, or find it, and return its number. Needed for weights of nodes and to fix their order.

        `add_edge` adds the nodes of an edge, too. Edges and nodes may be added in any order.

        entries : for each potential that the node reads, the place of its entry, as in `add_edge`. Every edge into the
            node reads these entries, so the score of a path contains them once for each node that it visits. If a start
            reads entries, the compiled graph has one more node, named "(start)", and an edge from it to every start.
            This node and these edges have the last numbers, and `Paths.names` leaves the node out. Under SquaredL2
            starts are then visited nodes.

        Raises GraphError for a place that is no entry, for a node that has other entries, and for a node that is not
        hashable. `compile` raises GraphError for an edge that reads a potential which its child node reads, too.

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
            raise misuse.node_given(node, given[0])
        return self._description.add_node(node, entries)

    def add_edge(self, parent: Hashable, child: Hashable, *given: Never, **entries: Place) -> int:
        """Add an edge and return its number; parallel edges are different edges.

        entries : for each potential that the edge reads, the place of its entry: an index or a tuple of indices. The
            weight of the edge is the sum of its entries.

        Raises GraphError for a place that is no entry, for a potential that the graph does not name, and for a node
        that is not hashable.
        """
        if given:
            raise misuse.edge_given(parent, child, given[0])
        return self._description.add_edge((parent,), child, entries)

    def add_hyperedge(self, parents: Sequence[Hashable], child: Hashable, *given: Never, **entries: Place) -> int:
        """Add an edge with two parents and return its number; `add_edge` counts on from it.

        Its score is theta_e plus the values of both parents, x_e = θ_e + v_j + v_k. What `dp_value` then sums up is a
        *derivation*: a tree in which each node has one edge into it, and both parents of that edge are trees, too.

        parents : a pair of nodes, which may be equal. For three parents introduce a node that joins two of them.
        entries : as in `add_edge`.

        Raises GraphError for parents that are no pair, and as `add_edge`.

        Example
        -------
        >>> import dagdp
        >>> grammar = Graph()
        >>> grammar.add_edge("begin", "NP"), grammar.add_edge("begin", "VP"), grammar.add_hyperedge(("NP", "VP"), "S")
        (0, 1, 2)
        >>> float(dagdp.dp_value(dagdp.compile(grammar), [1.0, 2.0, 0.5]))
        3.5
        """
        if given:
            raise misuse.edge_given(parents, child, given[0])
        if isinstance(parents, str) or not isinstance(parents, Sequence) or len(parents) != 2:
            raise misuse.not_a_pair(parents, child)
        return self._description.add_edge(parents, child, entries)

    @classmethod
    def from_edges(
        cls,
        parents: ArrayLike,
        children: ArrayLike,
        num_nodes: int | None = None,
        starts: ArrayLike | None = None,
        ends: ArrayLike | None = None,
        potentials: Mapping[str, tuple[Any, ...]] | None = None,
        *,
        ends_by_length: EndsByLength | None = None,
        minimize: bool = False,
    ) -> Graph:
        """A graph from integer arrays, without a Python loop over edges.

        Parameters
        ----------
        parents, children : integers [edges], node numbers, 0 <= number < num_nodes. Copied, except int32 arrays that
            are read-only and own their memory. Edges with two parents: parents [edges, 2], -1 for "no second parent".
        num_nodes : default 1 + the largest number, which may then be at most 16 x edges + 10^6.
        starts, ends : integers, node numbers. Default: nodes without parents, nodes without children.
        potentials : `{name: (shape, index)}`, index integers [edges] into the flattened array, -1 for "none"; or, for a
            linear potential, `(shape, index, coefficient)`: index is [edges], or [edges, k] for edges that read up to k
            entries, and coefficient a number, [edges] or [edges, k], without unit. An edge's weight is Σ coefficient x
            entry, -inf (+inf when minimising) for a forbidden edge; an entry's gradient is Σ coefficient x probability.
            `dagdp.describe.linear_reads.LinearReads` in place of the index gives the reads as triples.
        ends_by_length : (first, shape), the ends of a ragged batch by the lengths of items, for `dag.ends_of`: node
            `first` for lengths of 1, and the following nodes in row-major order up to lengths of `shape`.
        minimize : as in `Graph`.

        Raises GraphError for arrays of unequal size, without integers, or with numbers far above the number of edges.

        Example
        -------
        >>> Graph.from_edges([0, 0, 1], [1, 2, 2])
        Graph(3 nodes, 3 edges)
        >>> import dagdp
        >>> means = {"cost": (3, [[0, -1], [1, 2], [2, -1]], [[1, 0], [0.5, 0.5], [2, 0]])}  # edge 1: of two costs
        >>> dag = dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 2], potentials=means))
        >>> dagdp.dp_grad(dag, [1.0, 4.0, 8.0], dagdp.HardMax(), minimize=True).tolist()  # 6 against 1 + 16
        [0.0, 0.5, 0.5]
        """
        into = integers("children", children)
        first, second = parents_of("parents", parents, into.size)
        edges = first, into
        if edges[0].shape != edges[1].shape:
            raise GraphError(
                f"parents has {edges[0].size} entries and children {edges[1].size}; expected one of each for every edge"
            )
        read: tuple[Potential, ...] = (of_edges(edges[0].size),)
        if potentials is not None:
            read = tuple(potential_of(name, spec, edges[0].size) for name, spec in potentials.items())
        size = counted_nodes(edges if second is None else (*edges, second)) if num_nodes is None else int(num_nodes)
        source = StoredEdges(EdgeArrays(*edges, tuple(potential.reads for potential in read), second))
        shapes = {potential.name: potential.shape for potential in read}
        sizes, terminals = (size, edges[0].size), terminals_of(starts, ends)
        own = Annotations(ends_by_length=ends_by_length, minimize=bool(minimize))
        return cls.of(Complete(source, sizes, terminals, shapes, own))

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
        minimize: bool = False,
    ) -> Graph:
        """A graph whose edges `make(*arguments)` lists at each access: no array as large as the edges is stored.

        Parameters
        ----------
        make : a function that returns (parents [edges], children [edges], [the index [edges] of each potential]), as
            `from_edges` takes them, or `LinearReads`, with equal results at each call. It pickles if `make` does.
        num_nodes, num_edges : the numbers of nodes and of edges.
        starts, ends, ends_by_length, minimize : as in `from_edges`.
        potentials : `{name: shape}`, in the order of the indices.

        Raises GraphError at an access to the edges if their number differs.

        Example
        -------
        >>> def chain(n):
        ...     return np.arange(n), np.arange(1, n + 1), [np.arange(n)]
        >>> Graph.from_maker(chain, (3,), num_nodes=4, num_edges=3, starts=[0], ends=[3], potentials={"step": 3})
        Graph(4 nodes, 3 edges, potential step (3,))
        """
        shapes = {name: shape_of(name, shape) for name, shape in potentials.items()}
        source = EdgesOnDemand(partial(made_by, make, arguments, num_edges, list(shapes)))
        sizes, terminals = (num_nodes, num_edges), terminals_of(starts, ends)
        own = Annotations(ends_by_length=ends_by_length, minimize=bool(minimize))
        return cls.of(Complete(source, sizes, terminals, shapes, own))

    @property
    def num_nodes(self) -> int:
        """The number of nodes."""
        return self._description.num_nodes

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return self._description.num_edges

    @property
    def nodes(self) -> list[Hashable] | None:
        """The user's names by number, or None where nodes are named by their numbers."""
        return self._description.nodes

    @property
    def minimize(self) -> bool:
        """Whether the weights are costs, as the graph was written: functions of the graph then minimise by default."""
        return self._description.annotations.minimize

    @property
    def added_start(self) -> int | None:
        """The number of the node "(start)" that was added in front of the starts, or None: see `add_node`."""
        return self._description.annotations.added_start

    @property
    def added_end(self) -> int | None:
        """The number of the node "(end)" that `dagdp.recurrence` added behind the cells, or None."""
        return self._description.annotations.added_end

    def edges(self) -> tuple[Numbers, Numbers]:
        """(parents, children), node numbers int64 [edges] each; of a hyperedge the first parent."""
        listed = self.listed()
        return listed.parents.astype(np.int64), listed.children.astype(np.int64)

    def second_parents(self) -> Numbers | None:
        """int64 [edges], the second parent of each edge, -1 for none; None for a graph without hyperedges."""
        second = self.listed().second
        return None if second is None else second.astype(np.int64)

    def listed(self) -> EdgeArrays:
        """Edges and the entries that they read, int32 where the numbers fit. Callers must not write to the arrays."""
        return self._description.listed()

    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        """(starts, ends) as node numbers; None where the default applies."""
        return self._description.terminals()

    @property
    def ends_by_length(self) -> EndsByLength | None:
        """(first, shape) as given to `from_edges`, or None."""
        return self._description.annotations.ends_by_length

    @property
    def recurrence(self) -> Recurrence | None:
        return self._description.annotations.recurrence

    def snapshot(self) -> Graph:
        """A copy of the graph that no later `add_edge` changes; a compiled graph holds such a copy.

        If a start reads entries, one more node, and an edge from it to each start, follow the nodes and edges that were
        added.
        """
        made = self._description.snapshot()
        return self if made is self._description else Graph.of(made)

    def with_own_weights(self) -> Graph:
        """A graph of equal nodes and edges, in which each edge has a weight of its own."""
        return Graph.of(self._description.snapshot().with_own_weights())

    def potentials(self) -> tuple[Potential, ...]:
        """The arrays that edges read, in the order in which they were named. An edge reads its child's entries, too.

        Raises GraphError if an edge and its child node read one potential.
        """
        return self._description.potentials()

    def __repr__(self) -> str:
        return repr(self._description)

    def __str__(self) -> str:
        if self.recurrence is None:
            return repr(self)
        return "\n".join([summary(self.num_nodes, self.num_edges, {}), *self.recurrence.listing])
