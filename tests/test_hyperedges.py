"""Hyperedges: described, compiled, and the reference on them, against enumerated derivations."""

from __future__ import annotations

import numpy as np
import pytest
from cases import OPERATORS, hypergraph, over_operators
from hypothesis import given
from oracles import derive_back, row_solver
from strategies import hyperproblems

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, Negentropy, reference


def test_edges_and_hyperedges_share_their_numbers():
    graph = Graph(potentials={"rule": (2,)})
    assert graph.add_edge("s", "a") == 0
    assert graph.add_hyperedge(("a", "s"), "b", rule=1) == 1
    assert graph.add_hyperedge(["b", "b"], "c", rule=0) == 2
    parents, children = graph.edges()
    assert (parents.tolist(), children.tolist()) == ([0, 1, 2], [1, 2, 3])
    assert graph.second_parents().tolist() == [-1, 0, 2]
    assert graph.potentials()[0].index.tolist() == [-1, 1, 0]
    snapshot = dagdp.compile(graph).graph
    assert snapshot.second_parents().tolist() == [-1, 0, 2] and snapshot.nodes == ["s", "a", "b", "c"]


def test_rows_of_parents():
    graph = Graph.from_edges([[0, -1], [0, 1], [1, 1]], [1, 2, 3], ends=[2, 3])
    assert graph.num_nodes == 4 and graph.second_parents().tolist() == [-1, 1, 1]
    assert Graph.from_edges([[0, -1], [1, -1]], [1, 2]).second_parents() is None
    assert Graph.from_edges([[0], [1]], [1, 2]).second_parents() is None
    assert Graph.from_edges([[0, 5]], [1]).num_nodes == 6


@pytest.mark.parametrize("parents", [("a",), ("a", "b", "c"), "ab", 3])
def test_parents_are_a_pair(parents):
    with pytest.raises(GraphError, match=r"expected a pair of nodes.*For three parents introduce a node"):
        Graph().add_hyperedge(parents, "z")


def test_three_parents_in_arrays():
    with pytest.raises(GraphError, match=r"parents has shape \(1, 3\).*For three parents introduce a node"):
        Graph.from_edges([[0, 1, 2]], [3])


@pytest.mark.parametrize(("second", "shown"), [(-2, "-2"), (3, "3")])
def test_second_parent_is_a_node(second, shown):
    graph = Graph.from_edges([[0, -1], [0, second]], [1, 2], num_nodes=3)
    with pytest.raises(GraphError, match=f"edge 1 has second parent {shown}; expected -1"):
        dagdp.compile(graph)


def test_cycle_over_a_second_parent():
    graph = Graph(starts=["s"], ends=["b"])
    graph.add_hyperedge(("s", "b"), "a")
    graph.add_edge("a", "b")
    with pytest.raises(GraphError, match=r"cycle: '[ab]' -> '[ab]' -> '[ab]'"):
        dagdp.compile(graph)


def test_hyperedge_is_live_where_both_parents_are_reached():
    """Edge 1 needs node 4, which no start reaches; node 4 is no start, as starts are named."""
    graph = Graph.from_edges([[0, -1], [0, 4], [1, 2], [2, -1]], [1, 2, 3, 3], starts=[0], ends=[3, 1])
    dag = dagdp.compile(graph)
    assert sorted(dag.edges[dag.edges >= 0].tolist()) == [0] and dag.ends.tolist() == [1]


def test_unreached_partner_leaves_no_path():
    graph = Graph.from_edges([[0, 1], [2, -1]], [2, 3], starts=[0])
    with pytest.raises(GraphError, match="end 3 is reached from no start"):
        dagdp.compile(graph)


def test_levels_are_longest_over_both_parents():
    graph = hypergraph([((0,), 1), ((1,), 2), ((0, 2), 3), ((3, 0), 4)])
    dag = dagdp.compile(graph)
    assert dag.num_levels == 5 and dag.num_nodes == 5
    assert sorted(dag.seconds.tolist()) == [-1, -1, 0, 2]


def test_each_edge_is_listed_once():
    graph = hypergraph([((0,), 1), ((1, 1), 2), ((0, 1), 2), ((2, 1), 3)])
    dag = dagdp.compile(graph)
    assert dag.num_edges == 4 and sorted(dag.edges.tolist()) == [0, 1, 2, 3]
    user = dag.origin
    for number, parent, second, child in zip(dag.edges, dag.parents, dag.seconds, dag.children, strict=True):
        parents, expected = [((0,), 1), ((1, 1), 2), ((0, 1), 2), ((2, 1), 3)][number]
        assert user[child] == expected
        assert tuple(int(user[node]) for node in (parent, second) if node >= 0) == parents


def test_start_at_call_time():
    dag = dagdp.compile(hypergraph([((0, 1), 2)]))
    with pytest.raises(InputError, match="start= was given for a graph with hyperedges"):
        dagdp.dp_value(dag, [1.0], start=0)


@over_operators(OPERATORS)
def test_reference_on_enumerated_derivations(omega):
    @given(hyperproblems())
    def check(problem):
        edges, weights = problem
        starts = [node for node in (0, 1) if node not in {child for _, child in edges}]
        end = max(child for _, child in edges)
        value, expected = derive_back(edges, weights, starts, [end], row_solver(omega))
        dag = dagdp.compile(hypergraph(edges))
        np.testing.assert_allclose(reference.dp_value(dag, weights, omega), value, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(reference.dp_grad(dag, weights, omega), expected, rtol=1e-7, atol=1e-8)

    check()


def test_expected_count_of_a_node_visited_twice():
    """E is an expected count: edge 0 is used by both parents of edge 1."""
    dag = dagdp.compile(hypergraph([((0,), 1), ((1, 1), 2)]))
    assert reference.dp_value(dag, [1.0, 0.5], HardMax()) == 2.5
    assert reference.dp_grad(dag, [1.0, 0.5], Negentropy(1.0)).tolist() == [2.0, 1.0]
