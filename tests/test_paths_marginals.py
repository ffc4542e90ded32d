"""Probabilities of nodes, and the bounds of Proposition 2 as corrected."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import BUNDLED, GRAPHS, SMALL, graph_of, over_operators, random_theta
from hypothesis import given
from strategies import problems

from dagdp import HardMax, Negentropy, SquaredL2, Tsallis, compile, dp_grad, dp_value, gap_bound, node_marginals
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


@over_operators(BUNDLED)
@given(problem=problems(forbidden=False))
def test_the_gap_lies_within_its_bounds(omega, problem):
    edges, weights = problem
    dag = compile(graph_of(edges))
    for minimize in (False, True):
        low, high = gap_bound(dag, omega, minimize=minimize)
        for theta in (weights, np.zeros(len(edges))):
            gap = dp_value(dag, theta, HardMax(), minimize=minimize) - dp_value(dag, theta, omega, minimize=minimize)
            assert low - 1e-9 <= gap <= high + 1e-9


@pytest.mark.parametrize("name", SMALL)
@over_operators(BUNDLED[1:])
def test_the_gap_lies_within_its_bounds_on_every_graph(name, omega):
    graph = GRAPHS[name]()
    dag = compile(graph)
    low, high = gap_bound(dag, omega)
    for scale in (0.0, 0.1, 10.0):
        theta = random_theta(graph, np.random.default_rng(1))
        theta = {k: scale * a for k, a in theta.items()} if isinstance(theta, dict) else scale * theta
        gap = dp_value(dag, theta, HardMax()) - dp_value(dag, theta, omega)
        assert low - 1e-9 <= gap <= high + 1e-9


def test_bounds_in_closed_form():
    """Uniform and certain choices attain them: Negentropy γ log D, SquaredL2 γ/(2D) to γ/2, Tsallis(2) in between."""
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1), (1, 2), (1, 2)]))
    assert gap_bound(dag, Negentropy(2.0)) == pytest.approx((-2 * np.log(6), 0), abs=1e-12)
    assert gap_bound(dag, SquaredL2(2.0)) == pytest.approx((1 / 3 + 1 / 2, 2), abs=1e-12)
    assert gap_bound(dag, Tsallis(2.0, 2.0)) == pytest.approx((1 / 3 + 1 / 2 - 2, 0), abs=1e-12)
    assert gap_bound(dag, HardMax()) == (0, 0)
    assert gap_bound(dag, SquaredL2(2.0), end=1) == pytest.approx((1 / 3, 1), abs=1e-12)
    assert gap_bound(dag, SquaredL2(2.0), minimize=True) == pytest.approx((-2, -1 / 3 - 1 / 2), abs=1e-12)
    uniform = dp_value(dag, np.zeros(5), SquaredL2(2.0))
    assert -uniform == pytest.approx(1 / 3 + 1 / 2, abs=1e-12)


def test_the_counterexample_of_the_erratum():
    """Source, ten middle nodes, sink, and a direct edge: shortest path 1 choice of 11, longest 2 choices."""
    edges = [(0, k) for k in range(1, 11)] + [(k, 11) for k in range(1, 11)] + [(0, 11)]
    low, high = gap_bound(compile(graph_of(edges)), SquaredL2(1.0))
    assert (low, high) == pytest.approx((1 / 22, 1.0), abs=1e-12)
    assert low <= 17 / 44 <= high
