"""A compiled graph edge by edge: every edge has one weight, and all paths have one end.

Entries that an edge reads are summed. Several ends are joined by edges to one more node, the joint end. A start that
another start reaches is entered by an edge from one more node, its entrance. A path is then a list of edges, and its
score the sum of their weights. On a graph with hyperedges a path is a derivation, a tree of edges. Two potentials of
zeros are read besides the weights; their gradients are the probabilities of nodes.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import EXTRA_END, CompiledDAG
from dagdp.compiled.explicit import ExplicitEdges, explicit_edges
from dagdp.compiler import build
from dagdp.compiler.arrays import group
from dagdp.describe.graph import Graph
from dagdp.engine.inputs import checked
from dagdp.paths.request.array_functions import namespace, repeated

Numbers = NDArray[np.int64]


class IncomingEdges(NamedTuple):
    """The edges into each node, for compiled loops over nodes in topological order."""

    order: Any  # [live nodes] parents before children
    is_start: Any  # [nodes]
    ptr: Any  # [nodes + 1] a node's edges are edges[ptr[node] : ptr[node + 1]], in the user's order
    edges: Any  # [edges + added]
    parents: Any  # [edges + added] by edge
    seconds: Any  # [edges + added] the second parent, -1 for none; [0] without hyperedges


@dataclass(frozen=True)
class EdgeGraph:
    """A compiled graph edge by edge, with its added nodes and edges (see `ExplicitEdges`) behind the user's."""

    own: CompiledDAG  # the user's graph
    explicit: ExplicitEdges
    users: int  # the user's nodes
    edges: int  # the user's edges
    ends: Numbers  # the user's ends
    order: Numbers  # live nodes, parents before children
    in_ptr: Numbers  # [nodes + 1] each node's incoming edges: from an entrance, then in the user's order
    in_edges: Numbers
    seconds: Numbers | None  # [edges + added] the second parent, -1 for none; None without hyperedges

    @property
    def nodes(self) -> int:
        """The user's nodes and the added ones."""
        return self.explicit.num_nodes

    @property
    def parents(self) -> Numbers:
        """[edges + added]."""
        return self.explicit.parents

    @property
    def children(self) -> Numbers:
        """[edges + added]."""
        return self.explicit.children

    @property
    def starts(self) -> Numbers:
        """Where paths begin: nodes without parents."""
        return self.explicit.starts

    @property
    def end(self) -> int:
        """The one end, or the joint end."""
        return self.explicit.end

    @property
    def longest(self) -> int:
        """Edges on the longest path, added ones included."""
        return self.own.num_levels - 1

    @functools.cached_property
    def is_start(self) -> NDArray[np.bool_]:
        """[user's nodes] whether paths may begin at the node."""
        return np.isin(np.arange(self.users), self.own.starts)

    @functools.cached_property
    def incoming(self) -> IncomingEdges:
        """The edges into each node."""
        is_start = np.zeros(self.nodes, np.bool_)
        is_start[self.starts] = True
        seconds = np.empty(0, np.int64) if self.seconds is None else self.seconds
        return IncomingEdges(self.order, is_start, self.in_ptr, self.in_edges, self.parents, seconds)

    @functools.cached_property
    def dag(self) -> CompiledDAG:
        """The graph with potentials "edge", "node" (read on entering a node) and "start" (read on leaving a start).

        Its edges are listed in `tie_order`. A hyperedge that leaves a start on its second side reads "second start".
        """
        parents, children = self.parents[self.tie_order], self.children[self.tie_order]
        potentials = {
            "edge": (parents.size, self.tie_order),
            "node": (self.nodes, children),
            "start": (self.nodes, self._begins(parents)),
        }
        if self.seconds is not None:
            seconds = self.seconds[self.tie_order]
            potentials["second start"] = self.nodes, self._begins(seconds)
            parents = np.stack([parents, seconds], 1)
        graph = Graph.from_edges(
            parents, children, num_nodes=self.nodes, starts=self.starts, ends=[self.end], potentials=potentials
        )
        return build(graph)

    def _begins(self, parents: Numbers) -> Numbers:
        """[edges + added] the parent where it is a start, else -1."""
        return np.where(np.isin(parents, self.starts), parents, -1)

    def node_name(self, node: Any) -> str:
        """The user's name of a node, as messages show it."""
        return repr(self.own.graph.name(node))

    def edge_name(self, e: Any) -> str:
        """The number of an edge and the names of its nodes, as messages show them."""
        tails = [self.parents[e]]
        if self.seconds is not None and self.seconds[e] >= 0:
            tails.append(self.seconds[e])
        return f"edge {e} ({', '.join(map(self.node_name, tails))} -> {self.node_name(self.children[e])})"

    @functools.cached_property
    def tie_order(self) -> Numbers:
        """[edges + added] the edges in the order in which HardMax decides ties."""
        return self.explicit.tie_order

    def by_edge(self, values: Any) -> Any:
        """[*batch, edges + added] values by the number of the edge, from those in the order of `dag`'s edges."""
        return values[..., np.argsort(self.tie_order)] if self.explicit.entrances.size else values

    def of_the_user(self, edges: Numbers) -> Numbers:
        """The user's edges of paths [*axes, longest], padded with -1 behind the last one."""
        if self.explicit.entrances.size and edges.shape[-1]:
            entered = edges[..., :1] >= self.edges + self.explicit.joined
            edges = np.where(entered, np.concatenate([edges[..., 1:], np.full_like(edges[..., :1], -1)], -1), edges)
        return np.where(edges < self.edges, edges, -1)

    def theta(self, scores: Any) -> dict[str, Any]:
        """Edge scores [*batch, edges + added] as `dp_*` take theta for `dag`."""
        nothing = repeated(namespace(scores).zeros_like(scores[..., :1]), self.nodes)
        made = {"edge": scores, "node": nothing, "start": nothing}
        return made if self.seconds is None else {**made, "second start": nothing}


_made: weakref.WeakKeyDictionary[CompiledDAG, EdgeGraph] = weakref.WeakKeyDictionary()


def edge_graph(dag: Any) -> EdgeGraph:
    """The edge graph of a compiled graph, made once for each. Raises InputError for anything but a CompiledDAG."""
    checked(dag, None, None)
    if dag not in _made:
        _made[dag] = _edge_graph(dag)
    return _made[dag]


def _edge_graph(dag: CompiledDAG) -> EdgeGraph:
    explicit = explicit_edges(dag)
    in_ptr, place = group(explicit.children[explicit.tie_order], explicit.num_nodes)
    order = np.where(dag.origin == EXTRA_END, explicit.end, dag.origin).astype(np.int64)
    order[dag.entrances[:, 1]] = explicit.entrances
    second = dag.graph.second_parents() if dag.has_hyperedges else None
    added = np.full(explicit.parents.size - dag.graph.num_edges, -1)
    return EdgeGraph(
        own=dag,
        explicit=explicit,
        users=dag.graph.num_nodes,
        edges=dag.graph.num_edges,
        ends=dag.ends,
        order=order,
        in_ptr=in_ptr,
        in_edges=explicit.tie_order[place],
        seconds=None if second is None else np.concatenate([second, added]),
    )
