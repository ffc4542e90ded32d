"""A compiled graph edge by edge: every edge has one weight, and all paths have one end.

Entries that an edge reads are summed. Several ends are joined by edges to one more node, the joint end. A path is then
a list of edges, and its score the sum of their weights. Two potentials of zeros are read besides the weights; their
gradients are the probabilities of nodes.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.compiler.arrays import group
from dagdp.describe.graph import Graph
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.paths.request.array_functions import namespace, repeated

Numbers = NDArray[np.int64]


class IncomingEdges(NamedTuple):
    """The edges into each node, for compiled loops over nodes in topological order."""

    order: Any  # [live nodes] parents before children
    is_start: Any  # [nodes + 1]
    ptr: Any  # [nodes + 2] a node's edges are edges[ptr[node] : ptr[node + 1]], in the user's order
    edges: Any  # [edges + joint]
    parents: Any  # [edges + joint] by edge


@dataclass(frozen=True)
class EdgeGraph:
    """A compiled graph edge by edge. Nodes have the user's numbers; edges to the joint end follow the user's edges."""

    own: CompiledDAG  # the user's graph
    nodes: int  # the user's nodes; the joint end has the next number
    edges: int  # the user's edges; the edges to the joint end follow
    parents: Numbers  # [edges + joint]
    children: Numbers  # [edges + joint]
    starts: Numbers
    ends: Numbers  # the user's ends
    end: int  # the one end, or the joint end
    order: Numbers  # live nodes, parents before children
    in_ptr: Numbers  # [nodes + 2] each node's incoming edges, in the user's order
    in_edges: Numbers

    @property
    def longest(self) -> int:
        """Edges on the longest path, an edge to the joint end included."""
        return self.own.num_levels - 1

    @functools.cached_property
    def incoming(self) -> IncomingEdges:
        """The edges into each node."""
        is_start = np.zeros(self.nodes + 1, np.bool_)
        is_start[self.starts] = True
        return IncomingEdges(self.order, is_start, self.in_ptr, self.in_edges, self.parents)

    @functools.cached_property
    def dag(self) -> CompiledDAG:
        """The graph with potentials "edge", "node" (read on entering a node) and "start" (read on leaving a start)."""
        begins = np.where(np.isin(self.parents, self.starts), self.parents, -1)
        graph = Graph.from_edges(
            self.parents,
            self.children,
            num_nodes=self.nodes + 1,
            starts=self.starts,
            ends=[self.end],
            potentials={
                "edge": (self.parents.size, np.arange(self.parents.size)),
                "node": (self.nodes + 1, self.children),
                "start": (self.nodes + 1, begins),
            },
        )
        return build(graph)

    def theta(self, scores: Any) -> dict[str, Any]:
        """Edge scores [*batch, edges + joint] as `dp_*` take theta for `dag`."""
        nothing = repeated(namespace(scores).zeros_like(scores[..., :1]), self.nodes + 1)
        return {"edge": scores, "node": nothing, "start": nothing}


_made: weakref.WeakKeyDictionary[CompiledDAG, EdgeGraph] = weakref.WeakKeyDictionary()


def edge_graph(dag: Any) -> EdgeGraph:
    """The edge graph of a compiled graph, made once for each. Raises InputError for anything but a CompiledDAG."""
    checked(dag, None, None)
    refuse_hyperedges(dag)
    if dag not in _made:
        _made[dag] = _edge_graph(dag)
    return _made[dag]


def refuse_hyperedges(dag: CompiledDAG) -> None:
    """Raise InputError for a graph with hyperedges."""
    if dag.has_hyperedges:
        raise InputError(
            "the graph has hyperedges, so its solutions are derivations, and no paths; expected a graph made by "
            "add_edge alone. dp_value, dp_grad, dp_hvp and local_weights take hyperedges"
        )


def _edge_graph(dag: CompiledDAG) -> EdgeGraph:
    nodes = dag.graph.num_nodes
    parents, children = dag.graph.edges()
    joint = dag.ends if dag.ends.size > 1 else dag.ends[:0]
    tails, heads = np.concatenate([parents, joint]), np.concatenate([children, np.full(joint.size, nodes)])
    in_ptr, in_edges = group(heads, nodes + 1)
    return EdgeGraph(
        own=dag,
        nodes=nodes,
        edges=parents.size,
        parents=tails,
        children=heads,
        starts=dag.starts,
        ends=dag.ends,
        end=nodes if joint.size else int(dag.ends[0]),
        order=np.where(dag.origin < 0, nodes, dag.origin).astype(np.int64),
        in_ptr=in_ptr,
        in_edges=in_edges,
    )
