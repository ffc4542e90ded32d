"""Describing a graph: every door, and every error with its message."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

import dagdp
from dagdp import Graph, GraphError, HardMax, compile, dp_grad, dp_value, from_networkx


def test_edges_are_numbered_in_order_and_parallel_edges_kept_apart():
    graph = Graph()
    assert [graph.add_edge("a", "b"), graph.add_edge("a", "b"), graph.add_edge("b", (1, 2))] == [0, 1, 2]
    assert graph.num_nodes == 3 and graph.nodes == ["a", "b", (1, 2)]
    assert dp_grad(compile(graph), [1.0, 2.0, 0.0], HardMax()).tolist() == [0, 1, 1]


def test_both_doors_lead_to_the_same_graph():
    slow = Graph(potentials={"w": (2, 2), "b": 3})
    for parent, child, entries in ((0, 1, {"w": (1, 0)}), (0, 2, {"b": 2}), (1, 2, {"w": (0, 1), "b": 0})):
        slow.add_edge(parent, child, **entries)
    fast = Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"w": ((2, 2), [2, -1, 1]), "b": (3, [-1, 2, 0])})
    theta = {"w": np.array([[1.0, 5.0], [2.0, 9.0]]), "b": np.array([10.0, 20.0, 3.0])}
    for graph in (slow, fast):
        assert dp_value(compile(graph), theta, HardMax()) == 2.0 + 5.0 + 10.0
        assert dp_grad(compile(graph), theta, HardMax())["w"].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph().add_edge([1], 2), r"node \[1\] is not hashable; use a string"),
        (lambda: Graph().add_edge(0, 1, w=0), "edge 0 -> 1 reads potential 'w', which the graph does not have"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=(0, 2)), r"w=\(0, 2\) is no entry of potential 'w'"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=1), r"w=1 is no entry of potential 'w', whose shape"),
        (lambda: Graph(potentials={"w": (0,)}), r"potential 'w' has shape \(0,\); expected positive integers"),
        (lambda: Graph.from_edges([0, 1], [1]), "parents has 2 entries and children 1; expected one of each"),
        (lambda: Graph.from_edges([0.5], [1]), "parents has dtype float64; expected integers"),
        (lambda: Graph.from_edges([0], [1]).add_edge(1, 2), "made by Graph.from_edges is complete; build with Graph"),
        (
            lambda: Graph.from_edges([0], [1], potentials={"w": (2, [0, 1])}),
            "the index of potential 'w' has 2 entries; expected one for each of the 1 edges",
        ),
        (lambda: from_networkx(networkx.Graph()), "given Graph; expected a DiGraph or a MultiDiGraph"),
    ],
)
def test_a_wrong_description_is_named(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_networkx_theta_follows_the_edges_of_g():
    G = networkx.MultiDiGraph()
    G.add_edge("b", "c", cost=3.0)
    G.add_edge("a", "b", cost=1.0)
    G.add_edge("a", "b", cost=2.0)
    G.add_edge("a", "c", cost=4.0)
    graph, theta = from_networkx(G, weight="cost")
    assert theta.tolist() == [d for _, _, d in G.edges(data="cost")]
    path = dict(zip(G.edges, dp_grad(compile(graph), theta, HardMax()), strict=True))
    assert {edge for edge, flow in path.items() if flow} == {("a", "b", 1), ("b", "c", 0)}


def test_networkx_names_the_edge_without_the_attribute():
    G = networkx.DiGraph([("a", "b", {"weight": 1.0}), ("b", "c")])
    with pytest.raises(GraphError, match=r"edge \('b', 'c'\) has no attribute 'weight'; set it on every edge"):
        from_networkx(G)
    H = networkx.MultiDiGraph([("a", "b", {"weight": "x"})])
    with pytest.raises(GraphError, match=r"edge \('a', 'b', 0\) has 'x', not a number, as 'weight'"):
        from_networkx(H)


def test_repr_says_sizes_and_potentials():
    assert repr(Graph()) == "Graph(0 nodes, 0 edges)"
    assert repr(Graph.from_edges([0], [1])) == "Graph(2 nodes, 1 edge)"
    assert repr(dagdp.graphs.dtw_grid(3, 4)) == "Graph(13 nodes, 24 edges, potential cost (3, 4))"
    named = Graph(potentials={"emission": (4, 3), "transition": (3, 3), "bias": ()})
    named.add_edge("a", "b", emission=(0, 1), transition=(2, 2))
    shown = "Graph(2 nodes, 1 edge, potentials emission (4, 3), transition (3, 3), bias ())"
    assert repr(named) == shown
    shapes = {"emission": ((4, 3), [1]), "transition": ((3, 3), [8]), "bias": ((), [-1])}
    assert repr(Graph.from_edges([0], [1], potentials=shapes)) == shown
