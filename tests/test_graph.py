"""Describing a graph: every door, and every error with its message."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import networkx
import numpy as np
import pytest

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, compile, dp_grad, dp_value, from_networkx


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
        (lambda: Graph([("a", "b")]), r"Graph was given \[\('a', 'b'\)\]; expected options by name only"),
        (lambda: Graph().add_edge(0, 1, 1.5), r"was given 1.5; expected \(parent, child\) alone, .* are theta"),
        (lambda: Graph(ends="end"), r"ends is the text 'end'; expected a list of nodes: ends=\['end'\]"),
        (lambda: Graph().add_edge(0, 1, weight=1.0), "was given weight=1.0, .* The numbers on edges are theta"),
        (lambda: Graph(potentials={"v": 2}).add_edge(0, 1, w=0), "reads potential 'w', which the graph does not have"),
        (lambda: Graph.from_edges(np.ma.masked_equal([0, 1], 1), [1, 2]), "parents is a masked array, and 1 of its"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=(0, 2)), r"w=\(0, 2\) is no entry of potential 'w'"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=1), r"w=1 is no entry of potential 'w', whose shape"),
        (lambda: Graph(potentials={"w": (0,)}), r"potential 'w' has shape \(0,\); expected positive integers"),
        (lambda: Graph.from_edges([0, 1], [1]), "parents has 2 entries and children 1; expected one of each"),
        (lambda: Graph.from_edges([0.5], [1]), "parents has dtype float64; expected integers"),
        (lambda: Graph.from_edges([0], [1]).add_edge(1, 2), "a graph from arrays, .* is complete; build with Graph"),
        (lambda: compile(Graph.from_edges([0], [1])).graph.add_node(2), "or of a compiled graph, is complete"),
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


@pytest.mark.parametrize("far", [10**8, 10**9, 5 * 10**9])
def test_node_numbers_far_above_the_number_of_edges_are_refused_before_anything_is_allocated(far):
    tracemalloc.start()
    with pytest.raises(GraphError, match=f"largest node number is {far} and there are 2 edges; .*return_inverse=True"):
        Graph.from_edges([0, far], [far, 5])
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert Graph.from_edges([0, 10**6], [10**6, 5]).num_nodes == 10**6 + 1
    assert Graph.from_edges([0, far], [far, 5], num_nodes=far + 1).num_nodes == far + 1
    names, numbers = np.unique([[0, far], [far, 5]], return_inverse=True)  # the mend that the message names
    parents, children = numbers.reshape(2, -1)
    value = dp_value(compile(Graph.from_edges(parents, children)), [1.0, 2.0], HardMax())
    assert names.tolist() == [0, 5, far] and value == 3


def test_a_builder_goes_on_and_what_was_compiled_stays():
    graph = Graph(potentials={"w": 4})
    graph.add_edge("a", "b", w=0)
    graph.add_edge("b", "c", w=1)
    dag, theta = compile(graph), {"w": np.array([1.0, 2.0, 4.0, 8.0])}
    batch = dagdp.compile_batch([graph])
    graph.add_edge("c", "d", w=2)
    graph.add_edge("b", "d", w=3)
    assert dag.graph.num_edges == 2 and dag.graph.nodes == ["a", "b", "c"] and "2 edges" in dag.explain()
    assert dagdp.local_weights(dag, theta, HardMax()).tolist() == [1, 1]
    assert dagdp.best_path(dag, theta).names(dag) == ["a", "b", "c"] and dp_value(dag, theta, HardMax()) == 3
    assert dp_value(dag, theta, HardMax(), end="b") == 1
    with pytest.raises(InputError, match="end 'd' is no node"):
        dp_value(dag, theta, HardMax(), end="d")
    assert dp_value(batch, [theta], HardMax()).tolist() == [3] and len(batch.graphs[0].nodes) == 3
    assert dp_value(compile(graph), theta, HardMax()) == 9  # the builder has the new edges: 1 + 8 against 1 + 2 + 4


def test_networkx_takes_starts_and_ends():
    G = networkx.DiGraph()
    G.add_weighted_edges_from([("a", "b", 1.0), ("b", "c", 2.0), ("b", "d", 4.0), ("x", "c", 9.0)])
    graph, theta = from_networkx(G, starts=["a"], ends=["c"])
    assert dp_value(compile(graph), theta, HardMax()) == 3


def chain(n):
    return np.arange(n), np.arange(1, n + 1), [np.arange(n) % 2]


def made_chain(n, edges=None):
    sizes = {"num_nodes": n + 1, "num_edges": n if edges is None else edges}
    return Graph.from_maker(chain, (n,), **sizes, starts=[0], ends=[n], potentials={"w": 2})


def test_a_made_graph_keeps_no_edge_and_answers_what_a_listed_one_does():
    dag, theta = compile(made_chain(5)), np.array([1.0, 10.0])
    listed = compile(Graph.from_edges(*chain(5)[:2], potentials={"w": (2, chain(5)[2][0])}))
    assert not any(isinstance(part, np.ndarray) for part in vars(dag.graph).values())
    copies = [dag, pickle.loads(pickle.dumps(dag)), compile(copy.deepcopy(dag.graph)), compile(dag.graph)]
    for one in copies:
        assert dp_value(one, theta, HardMax()) == dp_value(listed, theta, HardMax()) == 23
        assert [nodes.tolist() for nodes in one.graph.edges()] == [nodes.tolist() for nodes in listed.graph.edges()]
        assert one.potentials[0].index.tolist() == listed.potentials[0].index.tolist()
        assert dagdp.best_path(one, theta).edges.tolist() == dagdp.best_path(listed, theta).edges.tolist()
        assert one.explain() == listed.explain()
    assert dp_value(dagdp.compile_batch([dag.graph] * 2), [theta, -theta], HardMax()).tolist() == [23, -23]
    for bad in (np.array([1.0, np.nan]), np.array([np.inf, 0.0])):
        with pytest.raises(InputError, match=r"theta.* is (nan|inf)"):
            dp_value(dag, bad)


def test_readings_of_a_made_graph_share_its_arrays_while_one_holds_them():
    graph = made_chain(4)
    first = graph.listed()
    assert graph.listed() is first and graph.potentials()[0].index is first.indices[0]
    del first
    assert graph._made() is None


def test_a_maker_that_lists_another_number_of_edges_is_named():
    with pytest.raises(GraphError, match=r"chain made 1 indices and .* edges; expected .* and 7 edges"):
        compile(made_chain(5, edges=7))


def test_arrays_that_nobody_else_writes_to_are_not_copied():
    edges = np.array([0, 1], np.int32), np.array([1, 2], np.int32)
    edges[1].flags.writeable = False
    listed = Graph.from_edges(*edges).listed()
    assert listed.parents is not edges[0] and listed.children is edges[1] and listed.indices[0].dtype == np.int32


def test_a_potential_beyond_32_bits_is_refused():
    with pytest.raises(GraphError, match=r"potential 'w' has shape \(65536, 65536\).*; expected fewer than 2\^31"):
        compile(Graph.from_edges([0], [1], potentials={"w": ((65536, 65536), [2])}))
    with pytest.raises(GraphError, match=r"3600000001 nodes .* expected fewer than 2\^31 of each"):
        compile(dagdp.graphs.dtw_grid(60_000, 60_000))  # before any array is made
