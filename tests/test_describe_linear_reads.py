"""Reads of linear potentials: checked, brought to one form, and plain wherever an index says the same."""

from __future__ import annotations

import numpy as np
import pytest
from linear_cases import MATRICES, READS, linear

import dagdp
from dagdp import Graph, GraphError
from dagdp.describe.linear_reads import LinearReads, reads_of, triples, with_more_edges


def dense(reads, edges, size):
    made, own = np.zeros((edges, size)), triples(reads)
    np.add.at(made, (own.edge, own.entry), own.coefficient)
    return made


@pytest.mark.parametrize("name", READS)
def test_reads_are_those_of_the_matrix_sorted_and_without_zeros(name):
    _, *given = READS[name]
    made = reads_of(name, *given, edges=9)
    np.testing.assert_array_equal(dense(made, 9, MATRICES[name].shape[1]), MATRICES[name])
    assert isinstance(made, LinearReads) == (name != "kind")
    own = triples(made)
    assert (own.coefficient != 0).all() and own.edge.size == (MATRICES[name] != 0).sum()
    assert (np.diff(own.edge * 100 + own.entry) > 0).all()


def test_triples_in_any_order_are_the_same_reads():
    matrix = MATRICES["cost"]
    edge, entry = np.nonzero(matrix)
    order = np.random.default_rng(0).permutation(edge.size)
    repeated = np.concatenate([order, order[:3]])
    numbers = matrix[edge, entry][repeated]
    numbers[:3] -= 1.0
    numbers[-3:] = 1.0
    made = reads_of("cost", LinearReads(edge[repeated], entry[repeated], numbers), edges=9)
    np.testing.assert_allclose(dense(made, 9, 6), matrix, rtol=1e-15)


@pytest.mark.parametrize(
    "given",
    [
        ([2, -1, 0],),
        ([2, -1, 0], 1),
        ([2, -1, 0], [1, 5, 1]),
        ([[2, -1], [-1, -1], [-1, 0]],),
        ([[2, 1], [3, -1], [0, -1]], [[1, 0], [0, 9], [1, 9]]),
        ([[1, 2], [-1, -1], [0, -1]], [[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
        ([[2, 2], [1, 1], [0, 0]], [[0.25, 0.75], [1.0, -1.0], [0.5, 0.5]]),
        (LinearReads(np.array([2, 0]), np.array([0, 2]), np.array([1.0, 1.0])),),
    ],
)
def test_what_an_index_can_say_is_an_index(given):
    graph = Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"cost": (4, *given)})
    assert graph.potentials()[0].index.tolist() == [2, -1, 0]
    dag = dagdp.compile(graph)
    assert dag.plain is None and dag.linear is None and "linear" not in dag.explain()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0, 1],), r"has 2 entries; expected one for each of the 3 edges"),
        (([[0, 1], [1, 0]],), r"has 4 entries; expected one for each of the 3 edges"),
        (([0, 1, 2], [1.0, 2.0]), r"has shape \(2,\); expected a number, \[3\] or \[3, 1\]"),
        (([0, 1, 2], [1.0, np.nan, 2.0]), r"at \[1\] is nan; expected finite numbers"),
        (([0, 1, 2], "twice"), r"has dtype <U5; expected real numbers"),
        ((LinearReads(np.array([3]), np.array([0]), np.array([1.0])),), r"has edge 3; expected 0 to 2"),
        ((LinearReads(np.array([1, 2]), np.array([0]), np.array([1.0])),), r"has 2 edges, 1 entries"),
        ((LinearReads(np.array([1]), np.array([0]), np.array([1.0])), 2.0), "a coefficient was given besides"),
        ((), r"expected \(shape, index\), or \(shape, index, coefficient\)"),
    ],
)
def test_errors_say_what_was_expected(given, message):
    with pytest.raises(GraphError, match=message):
        Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"cost": (3, *given)})


@pytest.mark.parametrize("entry", [3, -2])
def test_an_entry_that_does_not_exist_is_found_by_compile(entry):
    spec = (3, [[0, 1], [1, entry], [2, -1]], 0.5)
    graph = Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"cost": spec})
    message = rf"edge 1 reads entry {entry} of potential 'cost'; expected -1 \(none\) or an index below 3"
    with pytest.raises(GraphError, match=message):
        dagdp.compile(graph)
    with pytest.raises(GraphError, match=f"graph 1: {message}"):
        dagdp.compile_batch([Graph.from_edges([0], [1], potentials={"cost": (3, [0])}), graph])


def test_the_index_of_a_linear_potential_is_an_error():
    with pytest.raises(GraphError, match="potential 'cost' is linear"):
        linear().potentials()[0].index  # noqa: B018


def test_a_maker_lists_linear_reads():
    def make(n):
        edge = np.arange(n)
        return edge, edge + 1, [LinearReads(np.repeat(edge, 2), np.tile([0, 1], n), np.tile([1.0, -2.0], n)), edge % 2]

    graph = Graph.from_maker(
        make, (4,), num_nodes=5, num_edges=4, starts=[0], ends=[4], potentials={"cost": 2, "plain": 2}
    )
    dag = dagdp.compile(graph)
    theta = {"cost": np.array([3.0, 1.0]), "plain": np.array([1.0, 10.0])}
    assert dagdp.dp_value(dag, theta, dagdp.HardMax()) == 4 * (3.0 - 2.0) + 22.0


def test_edges_that_read_nothing_may_follow():
    assert with_more_edges(np.array([1, 0], np.int32), 2).tolist() == [1, 0, -1, -1]
    reads = reads_of("cost", [0, 1], 2.0, edges=2)
    assert with_more_edges(reads, 2) is reads
