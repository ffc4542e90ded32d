"""compile_batch: how graphs are joined, what it refuses, and that its errors speak of graphs in their own numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from cases import GRAPHS

import dagdp
from dagdp import Graph, GraphError, compile, compile_batch
from dagdp import batch as batch_module
from dagdp.graphs import linear_chain

CHAIN = Graph.from_edges([0, 1], [1, 2])


def named_cycle() -> Graph:
    graph = Graph()
    for parent, child in ("ab", "bc", "cb"):
        graph.add_edge(parent, child)
    return graph


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (named_cycle(), "graph 2: the graph has a cycle: '[bc]' -> '[bc]' -> '[bc]'"),
        (Graph(), "graph 2: the graph has no edge"),
        (Graph.from_edges([0, 1], [1, 7], num_nodes=3), "graph 2: edge 1 has child 7; expected 0 <= child < num_nodes"),
        (Graph.from_edges([0, -1], [1, 2]), "graph 2: edge 1 has parent -1"),
        (Graph.from_edges([0], [1], starts=[5]), "graph 2: start 5 is no node"),
        (Graph.from_edges([0], [1], ends=[]), "graph 2: ends is empty"),
        (Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[1, 3]), "graph 2: end 3 is reached from no start"),
        (Graph.from_edges([0, 1], [1, 2], starts=[0, 1]), "graph 2: start 1 is also reached from another start"),
        (Graph.from_edges([0, 0], [1, 2], ends=[1, 1]), "graph 2: ends names a node twice"),
        (7, "graph 2 is int; expected a Graph"),
    ],
)
def test_a_wrong_graph_is_named(wrong, message):
    with pytest.raises(GraphError, match=message):
        compile_batch([CHAIN, CHAIN, wrong, CHAIN])


@pytest.mark.parametrize(
    ("graphs", "shared", "message"),
    [
        ([], (), "the batch has no graph"),
        ([CHAIN, linear_chain(2, 2)], (), r"graph 1 has potentials \['emission'.*graph 0 \[None\]"),
        ([linear_chain(2, 2)], ["emision"], "shared is .* expected a list of names among"),
        ([linear_chain(2, 2)], "emission", "shared is 'emission'"),
        ([linear_chain(2, 2), linear_chain(3, 2)], ["emission"], r"shape \(2, 2\) in graph 0, \(3, 2\) in graph 1"),
        (
            [CHAIN, Graph.from_edges([0], [1], potentials={"w": (2, [2])})][1:],
            (),
            "graph 0: edge 0 reads entry 2 of potential 'w'",
        ),
    ],
)
def test_batches_that_do_not_fit(graphs, shared, message):
    with pytest.raises(GraphError, match=message):
        compile_batch(graphs, shared=shared)


def test_graphs_are_joined_up_to_a_bounded_size(monkeypatch):
    """A cut depends on sizes alone, and no union is closed early."""
    monkeypatch.setattr(batch_module, "UNION_EDGES", 5)
    made = compile_batch([CHAIN] * 7)
    assert [(union.first, union.last) for union in made.unions] == [(0, 3), (3, 6), (6, 7)]
    assert made.num_edges == 14 and len(made) == 7
    assert "7 graphs, 14 edges" in made.explain() and "3 of 1 to 3 graphs" in made.explain()


def test_compiled_graphs_are_taken_too():
    made = compile_batch([compile(CHAIN), CHAIN])
    assert made.graphs[0] is CHAIN and made.dags[1].graph is CHAIN


def test_pickles_and_copies():
    made = compile_batch([GRAPHS["dead ends"](), linear_chain(2, 2)][:1])
    theta = [np.arange(6.0)]
    twin = pickle.loads(pickle.dumps(made))
    assert twin.serial != made.serial and copy.deepcopy(made) is made
    np.testing.assert_array_equal(dagdp.dp_value(twin, theta), dagdp.dp_value(made, theta))
