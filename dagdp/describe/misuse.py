"""Errors for arguments that users pass to a graph by mistake, mostly weights; each says where they belong."""

from __future__ import annotations

from typing import Any

from dagdp.describe.edge_arrays import MORE_PARENTS
from dagdp.errors import GraphError


def graph_given(value: Any) -> GraphError:
    """For `Graph(edges)`."""
    return GraphError(
        f"Graph was given {short(value)}; expected options by name only, starts=, ends= and potentials=. "
        "Add edges one by one with add_edge(parent, child), or all at once with "
        "Graph.from_edges(parents, children); a networkx graph enters through dagdp.from_networkx(G)"
    )


def node_given(node: Any, value: Any) -> GraphError:
    """For `add_node(node, 3.0)`."""
    return GraphError(
        f"node {node!r} was given {short(value)}; expected entries of potentials by name: with "
        "Graph(potentials={'cost': number_of_nodes}), add_node(node, cost=k) reads theta['cost'][k]"
    )


def node_without_potentials(node: Any, name: str, value: Any) -> GraphError:
    """For `add_node(node, cost=3)` where the graph names no potential."""
    return GraphError(
        f"node {node!r} was given {name}={short(value)}, and the graph has no potential of that name. Name the "
        f"array, Graph(potentials={{{name!r}: number_of_nodes}}), and for each node its place in it, "
        f"add_node(node, {name}=k). The weights are theta, handed to dp_value(dag, theta) and its relatives"
    )


def edge_given(parent: Any, child: Any, value: Any) -> GraphError:
    """For `add_edge(parent, child, 3.0)`."""
    return GraphError(
        f"edge {parent!r} -> {child!r} was given {short(value)}; expected (parent, child) alone, and "
        "entries of potentials by name. The numbers on edges are theta: one for each edge, in the order of "
        "add_edge, handed to dp_value(dag, theta) and its relatives"
    )


def not_a_pair(parents: Any, child: Any) -> GraphError:
    """For `add_hyperedge(parent, child)` and for three parents."""
    return GraphError(
        f"the hyperedge into {child!r} was given the parents {short(parents)}; expected a pair of nodes, "
        f"add_hyperedge((left, right), child). One parent is add_edge(parent, child). {MORE_PARENTS}"
    )


def edge_without_potentials(parent: Any, child: Any, name: str, value: Any) -> GraphError:
    """For `add_edge(parent, child, weight=3.0)` where the graph names no potential."""
    return GraphError(
        f"edge {parent!r} -> {child!r} was given {name}={value!r}, and the graph has no "
        "potential of that name. The numbers on edges are theta: one for each edge, in the order of add_edge, "
        "handed to dp_value(dag, theta) and its relatives. For entries that edges share, name the array: "
        f"Graph(potentials={{{name!r}: shape}})"
    )


def added_to_complete(what: str) -> GraphError:
    """For `add_node` and `add_edge` on a graph from arrays."""
    return GraphError(
        f"a graph from arrays, or of a compiled graph, is complete; build with Graph() to add {what}s one by one"
    )


def short(value: Any) -> str:
    """The repr of a value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
