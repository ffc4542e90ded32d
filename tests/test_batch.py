"""compile_batch: how graphs are joined, what it refuses, and that its errors speak of graphs in their own numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from cases import GRAPHS

import dagdp
from dagdp import Graph, GraphError, InputError, compile, compile_batch
from dagdp.compiler import batch as batch_module
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
        (CHAIN, (), "compile_batch was given one graph; expected a list of graphs"),
        ([CHAIN, linear_chain(2, 2)], (), r"graph 1 has potentials \['emission'.*graph 0 no named potential"),
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
    monkeypatch.setattr(batch_module, "MERGED_EDGES", 5)
    made = compile_batch([CHAIN] * 7)
    assert [(union.first, union.last) for union in made.merged] == [(0, 3), (3, 6), (6, 7)]
    assert made.num_edges == 14 and len(made) == 7
    assert "7 graphs, 14 edges" in made.explain() and "3 of 1 to 3 graphs" in made.explain()


def test_compiled_graphs_are_taken_too():
    made = compile_batch([compile(CHAIN), CHAIN])
    assert made.graphs[0] is CHAIN and made.dags[1].graph is CHAIN


def apart() -> Graph:
    """No start reaches an end."""
    return Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[3])


def none_of(minimize: bool) -> float:
    return np.inf if minimize else -np.inf


@pytest.mark.parametrize("omega", [dagdp.HardMax(), dagdp.Negentropy(1.0), dagdp.SquaredL2(1.0)], ids=repr)
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
def test_a_graph_without_a_path_is_an_item_without_one(omega, minimize):
    """Value -inf, gradient 0, and the bits of the others those that they have beside a graph with a path."""
    rng = np.random.default_rng(0)
    chain, grid = CHAIN, GRAPHS["two starts, two ends"]()
    theta = [rng.normal(size=(3, n)) for n in (2, 2, 6)]
    z = [rng.normal(size=(3, n)) for n in (2, 2, 6)]
    mixed, whole = compile_batch([chain, apart(), grid]), compile_batch([chain, chain, grid])
    for function, directions in ((dagdp.dp_value_and_grad, []), (dagdp.dp_jvp_and_hvp, [z])):
        values, paths = function(mixed, theta, *directions, omega, minimize=minimize)
        others, other_paths = function(whole, theta, *directions, omega, minimize=minimize)
        none = none_of(minimize) if not directions else 0.0
        assert values[:, 1].tolist() == [none] * 3 and not paths[1].any()
        np.testing.assert_array_equal(values[:, ::2], others[:, ::2])
        for g in (0, 2):
            np.testing.assert_array_equal(paths[g], other_paths[g])
    with pytest.raises(InputError, match=r"items 0, 1; 1, 1; 2, 1 have no path"):
        dagdp.dp_grad(mixed, theta, omega, minimize=minimize, on_infeasible="raise")
    best = dagdp.best_path(mixed, theta, minimize=minimize)
    assert best.lengths[:, 1].tolist() == [0] * 3 and best.scores[0, 1] == none_of(minimize)
    alone = compile_batch([apart()] * 2)
    assert dagdp.dp_value(alone, theta[:2], omega, minimize=minimize).tolist() == [[none_of(minimize)] * 2] * 3
    assert not any(path.any() for path in dagdp.dp_grad(alone, theta[:2], omega, minimize=minimize))


def test_best_paths_of_a_batch_warn_of_nothing_again():
    forked = Graph.from_edges([0, 0], [1, 2])
    with pytest.warns(UserWarning, match="graph 0 was given no ends="):
        batch = compile_batch([forked])
    assert dagdp.best_path(batch, [np.array([1.0, 2.0])]).edges.tolist() == [[1]]


def test_ends_of_a_graph_in_a_batch_that_no_start_reaches_are_no_part_of_its_joint_end():
    """Under SquaredL2 a node more would cost gamma/2."""
    graph = Graph.from_edges([0, 0, 2], [1, 1, 3], starts=[0], ends=[1, 3])
    batch, theta = compile_batch([CHAIN, graph]), [np.zeros(2), np.zeros(3)]
    expected = [
        dagdp.dp_value(compile(own), block, dagdp.SquaredL2(1.0))
        for own, block in ((CHAIN, theta[0]), (graph, theta[1]))
    ]
    assert dagdp.dp_value(batch, theta, dagdp.SquaredL2(1.0)).tolist() == expected == [-1.0, -0.25]


def test_an_end_in_a_batch_may_be_a_start_or_out_of_reach():
    graphs = [CHAIN, Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[1]), CHAIN]
    batch, theta = compile_batch(graphs), [np.ones(2), np.ones(2), np.ones(2)]
    assert dagdp.dp_value(batch, theta, dagdp.HardMax(), end=[0, 3, None]).tolist() == [0, -np.inf, 2]
    assert [path.tolist() for path in dagdp.dp_grad(batch, theta, end=[0, 3, None])] == [[0, 0], [0, 0], [1, 1]]
    dead = compile_batch([GRAPHS["dead ends"]()])
    with pytest.raises(InputError, match=r"end 4 of graph 0 leads to no end .* Name it in ends= to keep it"):
        dagdp.dp_value(dead, [np.zeros(6)], end=[4])


def test_a_batch_of_no_graphs_has_empty_results():
    nothing = compile_batch([])
    assert len(nothing) == 0 and "0 graphs" in nothing.explain() and nothing.num_edges == 0
    assert dagdp.dp_value(nothing, []).shape == (0,) and dagdp.dp_value(nothing, np.zeros((3, 0))).shape == (3, 0)
    value, path = dagdp.dp_value_and_grad(nothing, {"w": np.ones((2, 2))}, dagdp.HardMax())
    assert value.shape == (0,) and path["w"].tolist() == [[0, 0], [0, 0]]
    assert dagdp.dp_jvp_and_hvp(nothing, [], [])[0].shape == (0,)
    assert compile_batch([], shared=["w"]).graphs == ()


def test_one_array_is_data_and_a_named_block_a_parameter():
    """An array without the batch is expanded to it; a block of a dict is shared, and gets the sum."""
    named = Graph.from_edges([0, 1], [1, 2], potentials={"w": (2, [0, 1])})
    z = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    product = dagdp.dp_hvp(compile_batch([CHAIN, CHAIN]), np.zeros(4), z, dagdp.Negentropy(1.0))
    assert product.shape == (3, 4)
    batch, blocks = compile_batch([named] * 2), {"w": np.zeros(4)}
    assert dagdp.dp_jvp(batch, blocks, {"w": z}).tolist() == [[1, 1], [1, 1], [2, 2]]
    assert dagdp.dp_hvp(batch, blocks, {"w": z})["w"].shape == (4,)


def test_pickles_and_copies():
    made = compile_batch([GRAPHS["dead ends"](), linear_chain(2, 2)][:1])
    theta = [np.arange(6.0)]
    twin = pickle.loads(pickle.dumps(made))
    assert twin.serial != made.serial and copy.deepcopy(made) is made
    np.testing.assert_array_equal(dagdp.dp_value(twin, theta), dagdp.dp_value(made, theta))


def test_graphs_of_a_batch_that_were_asked_for_are_in_its_pickle():
    """So that what was made with them and pickled beside the batch, such as a Target, belongs to its copy."""
    made = compile_batch([CHAIN, CHAIN])
    assert "dags" not in pickle.loads(pickle.dumps(made)).__dict__
    twin, dags = pickle.loads(pickle.dumps((made, list(made.dags))))
    assert all(own is beside for own, beside in zip(twin.dags, dags, strict=True))
