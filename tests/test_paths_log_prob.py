"""Probabilities of paths against enumeration."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import BUNDLED, GRAPHS, SMALL, combinations, graph_of, one_of_each_solver, over_operators, random_theta
from hypothesis import given
from strategies import problems

from dagdp import (
    Graph,
    HardMax,
    InputError,
    Negentropy,
    OmegaError,
    SquaredL2,
    Tsallis,
    best_path,
    compile,
    count_paths,
    entropy,
    gap_bound,
    k_best,
    kl_divergence,
    local_weights,
    node_marginals,
    path_log_prob,
    sample_paths,
    support,
    support_size,
)


def padded(paths):
    """Tuples of edges as one array, -1 behind each."""
    made = np.full((len(paths), max(map(len, paths))), -1)
    for row, path in zip(made, paths, strict=True):
        row[: len(path)] = path
    return made


@over_operators(BUNDLED)
@given(problem=problems())
def test_probabilities_are_products_of_weights(omega, problem):
    edges, weights = problem
    weights = np.round(weights * 2.0**20) / 2.0**20  # sums are exact in float64, so that ties are the oracle's
    terminals = oracles.terminals(edges)
    exact = oracles.distribution(edges, weights, *terminals, oracles.row_solver(omega))
    paths = list(oracles.paths(edges, *terminals))
    found = np.exp(path_log_prob(compile(graph_of(edges)), weights, padded(paths), omega))
    np.testing.assert_allclose(found, [exact.get(path, 0.0) for path in paths], atol=1e-9)


@combinations(one_of_each_solver, minimize=[False, True], omega=BUNDLED, name=SMALL)
def test_probabilities_of_all_paths_sum_to_one(minimize, omega, name):
    """Tied potentials, several starts and ends, a batch of two axes."""
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(1), (2, 3))
    everything = k_best(dag, theta, count_paths(dag), minimize=minimize)
    found = path_log_prob(dag, theta, everything, omega, minimize=minimize)
    assert found.shape == everything.scores.shape and (found <= 1e-12).all()
    np.testing.assert_allclose(np.exp(found).sum(-1), np.ones((2, 3)), atol=1e-9)


def test_under_negentropy_it_is_the_score_less_the_log_partition_function():
    graph, rng = GRAPHS["grid"](), np.random.default_rng(2)
    dag, theta = compile(graph), random_theta(graph, rng)
    scores = k_best(dag, theta, 10**6).scores
    found = path_log_prob(dag, theta, k_best(dag, theta, 5), Negentropy(0.7))
    np.testing.assert_allclose(found, scores[:5] / 0.7 - np.logaddexp.reduce(scores / 0.7), atol=1e-11)


@pytest.mark.parametrize("omega", [Negentropy(1.0), Tsallis(1.5, 1.0)], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_improbable_paths_do_not_underflow(omega, dtype):
    """400 steps down where each goes up with a large probability: log p is a sum of 400 equal terms."""
    steps = 400
    dag = compile(Graph.from_edges(np.repeat(np.arange(steps), 2), np.repeat(np.arange(steps), 2) + 1))
    theta = np.tile([1.0, 0.0], steps).astype(dtype)
    one = path_log_prob(compile(graph_of([(0, 1), (0, 1)])), theta[:2], [1], omega)
    down = path_log_prob(dag, theta, 2 * np.arange(steps) + 1, omega)
    assert down.dtype == dtype and down < -500 if isinstance(omega, Negentropy) else down < -700
    assert down == pytest.approx(steps * one, rel=1e-6 if dtype == "float32" else 1e-12)


def test_weights_beyond_the_range_of_exp_are_exact_under_negentropy():
    dag = compile(graph_of([(0, 1), (0, 1)]))
    assert path_log_prob(dag, [0.0, -5000.0], [1]) == -5000.0
    assert path_log_prob(dag, np.array([0.0, -5000.0], np.float32), [[1], [0]]).tolist() == [-5000.0, 0.0]


def test_outside_the_support():
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1)]))
    theta = np.array([[0.0, 5, -np.inf], [-np.inf] * 3])
    for omega in (HardMax(), SquaredL2(1.0), Negentropy(1.0)):
        found = path_log_prob(dag, theta, [[[0], [1], [2], [-1]]] * 2, omega)
        assert found[0, 1] == pytest.approx(0, abs=0.01) and (found[0, 2:] == -np.inf).all()
        assert (found[1] == -np.inf).all()
        assert np.isfinite(found[0, 0]) == isinstance(omega, Negentropy)


def test_ragged_items_and_one_path_for_all():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2)]))
    theta = np.array([[1.0, 2, 3, 4], [1.0, 2, np.nan, np.inf]])
    paths = sample_paths(dag, theta, n=7, seed=0, end=[2, 1])
    found = path_log_prob(dag, theta, paths, end=[2, 1])
    first, second = (np.array([1.0, 2]), np.array([3.0, 4]))
    assert found.shape == (2, 7)
    for n in range(7):
        e, f = paths.edges[0, n]
        chances = first[e] - np.logaddexp(1, 2), second[f - 2] - np.logaddexp(3, 4)
        assert found[0, n] == pytest.approx(sum(chances), abs=1e-12)
        assert found[1, n] == pytest.approx(first[paths.edges[1, n, 0]] - np.logaddexp(1, 2), abs=1e-12)
    same = path_log_prob(dag, theta[[0, 0]], [1, 3])
    assert same.shape == (2,) and same[0] == same[1]


def named():
    graph = Graph()
    for edge in [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")]:
        graph.add_edge(*edge)
    return compile(graph)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([0, 3], r"paths is no path: edge 3 \('c' -> 'd'\) cannot follow edge 0 \('a' -> 'b'\)"),
        ([[2, 3, -1], [1, 3, -1]], r"paths\[1\] is no path: it begins with edge 1 \('b' -> 'c'\), not at a start"),
        ([0, 1], "paths is no path: it stops at 'c', which is not its end"),
        ([2, 4], r"paths\[1\] is 4; expected an edge, 0 to 3"),
        ([2, -2], r"paths\[1\] is -2; expected an edge, 0 to 3"),
        ([2, -1, 3], r"paths\[2\] is 3, behind a -1"),
        ([2.0, 3.0], "paths has dtype float64"),
        (2, r"shape \(\); expected edge numbers"),
    ],
)
def test_what_is_no_path_is_named(paths, message):
    with pytest.raises(InputError, match=message):
        path_log_prob(named(), np.zeros(4), paths)


def test_a_graph_and_a_name_are_told_from_what_is_expected():
    graph = Graph.from_edges([0], [1])
    for call in (
        lambda: k_best(graph, [1.0], 1),
        lambda: count_paths(graph),
        lambda: gap_bound(graph),
        lambda: path_log_prob(graph, [1.0], [0]),
    ):
        with pytest.raises(InputError, match="dag is a Graph; expected a CompiledDAG"):
            call()
    for call in (lambda: path_log_prob(compile(graph), [1.0], [0], "hard"), lambda: gap_bound(compile(graph), "hard")):
        with pytest.raises(OmegaError, match="omega is 'hard'; expected an operator"):
            call()


def test_the_batch_of_paths_must_be_that_of_theta():
    with pytest.raises(InputError, match=r"expected \[\*batch, \*axes, L\] with \[2\] for \*batch"):
        path_log_prob(named(), np.zeros((2, 4)), [[2, 3]])
    with pytest.raises(InputError, match="it stops at 'd', which is not its end"):
        path_log_prob(named(), np.zeros(4), [2, 3], end="c")


def test_an_empty_batch_has_empty_answers():
    dag, theta = compile(Graph.from_edges([0, 0, 1], [1, 1, 2])), np.zeros((0, 3))
    assert best_path(dag, theta).edges.shape == (0, 0) and k_best(dag, theta, 3).scores.shape[0] == 0
    assert sample_paths(dag, theta, n=4).scores.shape == (0, 4)
    assert support(dag, theta).probabilities.shape[0] == support_size(dag, theta).size == 0
    assert path_log_prob(dag, theta, np.zeros((0, 5, 2), int)).shape == (0, 5)
    assert entropy(dag, theta).shape == kl_divergence(dag, theta, theta).shape == (0,)
    assert node_marginals(dag, theta).shape == local_weights(dag, theta).shape == (0, 3)
