"""Entropy, divergences and expectations against sums over all paths."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import BUNDLED, GRAPHS, SMALL, combinations, graph_of, one_of_each_solver, over_operators, random_theta
from hypothesis import given
from strategies import problems

from dagdp import (
    HardMax,
    InputError,
    Negentropy,
    SquaredL2,
    compile,
    count_paths,
    cross_entropy,
    dp_jvp,
    entropy,
    expectation,
    k_best,
    kl_divergence,
    path_log_prob,
    sample_paths,
)


def distributions(edges, weights, omega):
    terminals = oracles.terminals(edges)
    exact = oracles.distribution(edges, weights, *terminals, oracles.row_solver(omega))
    return list(oracles.paths(edges, *terminals)), exact


def log(p):
    return np.log(p) if p > 0 else -np.inf


@over_operators(BUNDLED)
@given(problem=problems())
def test_entropy_and_expectation_are_sums_over_paths(omega, problem):
    edges, weights = problem
    paths, p = distributions(edges, weights, omega)
    dag, cost = compile(graph_of(edges)), np.arange(1.0, len(edges) + 1)
    expected = -sum(p.get(path, 0) * log(p[path]) for path in paths if p.get(path, 0) > 0)
    assert entropy(dag, weights, omega) == pytest.approx(expected, abs=1e-7)
    expected = sum(p.get(path, 0) * cost[list(path)].sum() for path in paths)
    assert expectation(dag, weights, omega, cost) == pytest.approx(expected, abs=1e-8)


@over_operators(BUNDLED)
@given(problem=problems(ties=False))
def test_divergences_are_sums_over_paths(omega, problem):
    """Against a distribution with full support, and against one with weights in another order."""
    edges, weights = problem
    dag = compile(graph_of(edges))
    paths, p = distributions(edges, weights, omega)
    for others, other_omega in ((np.where(weights > -np.inf, -weights, 0.0), Negentropy(0.9)), (weights[::-1], omega)):
        _, r = distributions(edges, others, other_omega)
        live = [path for path in paths if p.get(path, 0) > 1e-12]
        crossed = sum(-p[path] * log(r.get(path, 0)) for path in live)
        least = min((p[path] for path in p if p[path] > 0), default=1)
        least = min([least, *(r[path] for path in r if r[path] > 0)])
        if least < 1e-9:
            continue  # on the border of a support the oracle's bisection and the kernels may disagree
        found = cross_entropy(dag, weights, others, omega, other_omega)
        assert found == pytest.approx(crossed, rel=1e-6, abs=1e-6)
        found = kl_divergence(dag, weights, others, omega, other_omega)
        assert found == pytest.approx(crossed + sum(p[path] * log(p[path]) for path in live), rel=1e-6, abs=1e-6)


@combinations(one_of_each_solver, minimize=[False, True], omega=BUNDLED, name=SMALL)
def test_averages_agree_with_all_paths_on_every_graph(minimize, omega, name):
    graph, rng = GRAPHS[name](), np.random.default_rng(3)
    dag = compile(graph)
    theta, other = random_theta(graph, rng, (2,)), random_theta(graph, rng, (2,))
    everything = k_best(dag, theta, count_paths(dag), minimize=minimize)
    logs = path_log_prob(dag, theta, everything, omega, minimize=minimize)
    p = np.exp(logs)
    own = -(p * np.where(p > 0, logs, 0)).sum(-1)
    np.testing.assert_allclose(entropy(dag, theta, omega, minimize=minimize), own, atol=1e-9)
    soft = path_log_prob(dag, other, everything, Negentropy(1.0), minimize=minimize)
    crossed = cross_entropy(dag, theta, other, omega, Negentropy(1.0), minimize=minimize)
    np.testing.assert_allclose(crossed, -(p * soft).sum(-1), atol=1e-9)
    divergence = kl_divergence(dag, theta, other, omega, Negentropy(1.0), minimize=minimize)
    np.testing.assert_allclose(divergence, crossed - own, atol=1e-9)
    cost = rng.normal(size=(2, graph.num_edges))
    sums = np.where(everything.edges >= 0, cost[np.arange(2)[:, None, None], everything.edges], 0).sum(-1)
    mean = expectation(dag, theta, omega, cost, minimize=minimize)
    np.testing.assert_allclose(mean, (p * sums).sum(-1), atol=1e-9)


def test_a_cost_shaped_like_theta_is_a_direction():
    graph, rng = GRAPHS["chain"](), np.random.default_rng(4)
    dag, theta, cost = compile(graph), random_theta(graph, rng, (3,)), random_theta(graph, rng)
    found = expectation(dag, theta, SquaredL2(1.0), cost)
    np.testing.assert_array_equal(found, dp_jvp(dag, theta, cost, SquaredL2(1.0)))
    lengths = expectation(dag, theta, SquaredL2(1.0), np.ones(graph.num_edges))
    np.testing.assert_allclose(lengths, [5, 5, 5], atol=1e-12)
    with pytest.raises(InputError, match=rf"cost has shape \(3,\); expected \[\*batch, {graph.num_edges}\]"):
        expectation(dag, theta, None, np.ones(3))


def test_one_distribution_against_a_batch_of_others():
    dag, rng = compile(GRAPHS["grid"]()), np.random.default_rng(5)
    one, many = rng.normal(size=(4, 5)), rng.normal(size=(3, 4, 5))
    for omega in (Negentropy(1.0), SquaredL2(3.0)):
        forth = kl_divergence(dag, one, many, omega, Negentropy(1.0))
        back = kl_divergence(dag, many, one, omega, Negentropy(1.0))
        for b in range(3):
            assert forth[b] == pytest.approx(kl_divergence(dag, one, many[b], omega, Negentropy(1.0)), abs=1e-12)
            assert back[b] == pytest.approx(kl_divergence(dag, many[b], one, omega, Negentropy(1.0)), abs=1e-12)


def test_zero_and_infinite_divergence():
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1)]))
    theta = np.array([1.0, 0.9, -5.0], np.float32)
    for omega in (HardMax(), Negentropy(1.0), SquaredL2(1.0)):
        assert kl_divergence(dag, theta, theta, omega) == 0.0
    assert kl_divergence(dag, theta, theta, Negentropy(1.0), SquaredL2(1.0)) == np.inf
    assert cross_entropy(dag, theta, [-np.inf, 0, 0]) == np.inf
    assert entropy(dag, theta, HardMax()) == 0.0
    assert entropy(dag, theta).dtype == np.float32


def test_items_without_a_path_and_padding_leave_the_others_alone():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2)]))
    theta = np.array([[1.0, 2, 3, 4], [1.0, 2, np.nan, np.inf], [-np.inf, -np.inf, 1, 1]])
    other = np.array([[0.0, 0, 0, 0], [0.0, 0, np.nan, np.nan], [0, 0, 0, 0]])
    two = entropy(compile(graph_of([(0, 1), (0, 1)])), [1.0, 2.0])
    for found, one in (
        (entropy(dag, theta, end=[2, 1, 2]), two),
        (cross_entropy(dag, theta, other, end=[2, 1, 2]), np.log(2)),
        (kl_divergence(dag, theta, other, end=[2, 1, 2]), np.log(2) - two),
    ):
        np.testing.assert_allclose(found, [2 * one, one, 0], atol=1e-12)


def test_entropy_of_uniform_chains_is_the_log_of_their_number():
    graph = GRAPHS["trellis"]()
    assert entropy(compile(graph), np.zeros((4, 3, 3))) == pytest.approx(4 * np.log(3), abs=1e-12)


@over_operators(BUNDLED[1:])
def test_entropy_is_the_mean_of_minus_log_p_over_samples(omega):
    graph = GRAPHS["grid"]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(6))
    logs = path_log_prob(dag, theta, sample_paths(dag, theta, omega, n=4000, seed=0), omega)
    assert entropy(dag, theta, omega) == pytest.approx(-logs.mean(), abs=4.5 * logs.std() / np.sqrt(4000) + 1e-12)
