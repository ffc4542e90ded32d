"""Probabilities of nodes against enumeration and against shapes of builders."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import BUNDLED, graph_of, over_operators
from hypothesis import given
from strategies import problems

from dagdp import SquaredL2, compile, dp_grad, node_marginals
from dagdp.graphs import dtw_grad, dtw_grid, linear_chain, trellis, viterbi_marginals


@over_operators(BUNDLED)
@given(problem=problems())
def test_marginals_are_summed_over_paths(omega, problem):
    edges, weights = problem
    dag = compile(graph_of(edges))
    expected = np.zeros(dag.graph.num_nodes)
    for path, chance in oracles.distribution(
        edges, weights, *oracles.terminals(edges), oracles.row_solver(omega)
    ).items():
        expected[[edges[path[0]][0], *(edges[e][1] for e in path)]] += chance
    np.testing.assert_allclose(node_marginals(dag, weights, omega), expected, atol=1e-9)


def test_natural_shapes_of_trellises_and_grids():
    rng = np.random.default_rng(0)
    theta, lengths = rng.normal(size=(2, 5, 3, 3)), [5, 3]
    states = viterbi_marginals(theta, SquaredL2(1.0))
    nodes = node_marginals(compile(trellis(5, 3)), theta, SquaredL2(1.0))
    np.testing.assert_allclose(states, nodes[:, 1:-1].reshape(2, 5, 3), atol=1e-12)
    theta[1, 3:] = np.nan
    ragged = viterbi_marginals(theta, SquaredL2(1.0), lengths=lengths)
    np.testing.assert_allclose(ragged.sum(-1), [[1] * 5, [1, 1, 1, 0, 0]], atol=1e-12)
    cost = rng.random((4, 6))
    cells = node_marginals(compile(dtw_grid(4, 6)), cost, minimize=True)
    np.testing.assert_allclose(cells[1:].reshape(4, 6), dtw_grad(cost), atol=1e-12)


def test_ragged_marginals_are_zero_behind_the_end():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (2, 3)]))
    theta = np.array([[1.0, 2, 3, 4], [1.0, 2, np.nan, np.nan], [-np.inf, -np.inf, 0, 0]], np.float32)
    found = node_marginals(dag, theta, end=[3, 1, 3])
    assert found.dtype == np.float32 and found.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_marginals_of_a_chain_are_those_of_its_emissions(ragged, shared):
    """Emissions of the batch or of each item; one end, which reads none, or one after each step."""
    dag, rng = compile(linear_chain(4, 3, ragged=ragged)), np.random.default_rng(2)
    theta = {p.name: rng.normal(size=p.shape) for p in dag.potentials}
    theta["emission"] = rng.normal(size=(4, 3) if shared else (2, 4, 3))
    end = dag.ends_of([4, 2]) if ragged else [13, 13]
    found = node_marginals(dag, theta, SquaredL2(1.0), end=end)
    each = dict(theta, emission=np.broadcast_to(theta["emission"], (2, 4, 3)))
    states = dp_grad(dag, each, SquaredL2(1.0), end=end)["emission"]
    np.testing.assert_allclose(found[:, 1:13].reshape(2, 4, 3), states, atol=1e-12)
    assert (found[:, 0] == 1).all()
    np.testing.assert_allclose(found[:, 13:], [[0, 0, 0, 1], [0, 1, 0, 0]] if ragged else [[1], [1]], atol=1e-12)


def test_an_item_that_ends_at_its_start_visits_it():
    for children in ([1, 2, 2], [1, 2, 1]):
        dag = compile(graph_of(list(zip([0, 1, 0], children, strict=True))))
        assert node_marginals(dag, [1.0, 2.0, 3.0], end=0).tolist() == [1, 0, 0]
