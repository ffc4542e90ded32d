"""Chains with more structure, against the scores of all their paths listed one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import dagdp
from dagdp import GraphError, Negentropy
from dagdp.graphs.sequences import allowed_chain, factorial_chain, hmm, linear_chain, second_order_chain, semi_markov

#: what a path reads: (potential, entry), an entry as often as it is read
Reads = list[tuple[str, tuple[int, ...]]]


def second_order_paths(T: int, S: int) -> Iterator[Reads]:
    for y in itertools.product(range(S), repeat=T):
        reads = [("start", (y[0],)), *(("emission", (t, y[t])) for t in range(T))]
        reads += [("second", (y[1], y[0]))] if T > 1 else []
        yield reads + [("transition", (y[t], y[t - 1], y[t - 2])) for t in range(2, T)]


def semi_markov_paths(T: int, S: int, L: int) -> Iterator[Reads]:
    for cuts in itertools.product([False, True], repeat=T - 1):
        borders = [0, *(t + 1 for t, cut in enumerate(cuts) if cut), T]
        pieces = [(first, after - first - 1) for first, after in itertools.pairwise(borders)]
        if all(extra < L for _, extra in pieces):
            for y in itertools.product(range(S), repeat=len(pieces)):
                reads = [("segment", (*piece, state)) for piece, state in zip(pieces, y, strict=True)]
                yield reads + [("transition", (to, source)) for source, to in itertools.pairwise(y)]


def factorial_paths(T: int, A: int, B: int) -> Iterator[Reads]:
    for y, z in itertools.product(itertools.product(range(A), repeat=T), itertools.product(range(B), repeat=T)):
        reads = [("first", (t, y[t])) for t in range(T)] + [("second", (t, z[t])) for t in range(T)]
        reads += [("coupling", (t, y[t], z[t])) for t in range(T)]
        reads += [("first_transition", (to, source)) for source, to in itertools.pairwise(y)]
        yield reads + [("second_transition", (to, source)) for source, to in itertools.pairwise(z)]


def chain_paths(allowed: np.ndarray) -> Iterator[Reads]:
    T, S = allowed.shape
    for y in itertools.product(range(S), repeat=T):
        if allowed[range(T), y].all():
            reads = [("start", (y[0],)), ("end", (y[-1],)), *(("emission", (t, y[t])) for t in range(T))]
            yield reads + [("transition", (to, source)) for source, to in itertools.pairwise(y)]


ALLOWED = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 1, 1]], bool)
FAMILIES = {
    "second order": (second_order_chain(4, 3), list(second_order_paths(4, 3))),
    "second order, two steps": (second_order_chain(2, 3), list(second_order_paths(2, 3))),
    "second order, one step": (second_order_chain(1, 3), list(second_order_paths(1, 3))),
    "semi-Markov": (semi_markov(5, 2, 3), list(semi_markov_paths(5, 2, 3))),
    "semi-Markov, longer segments than steps": (semi_markov(2, 2, 4), list(semi_markov_paths(2, 2, 4))),
    "factorial": (factorial_chain(3, 2, 3), list(factorial_paths(3, 2, 3))),
    "allowed": (allowed_chain(ALLOWED), list(chain_paths(ALLOWED))),
}


def random_theta(graph: dagdp.Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {potential.name: rng.normal(size=potential.shape) for potential in graph.potentials()}


def listed(theta: dict[str, np.ndarray], paths: list[Reads], gamma: float) -> tuple[float, dict[str, np.ndarray]]:
    """(value, expected counts of each entry) over all paths, under Negentropy(gamma)."""
    scores = scores_of(theta, paths)
    weights = np.exp((scores - scores.max()) / gamma)
    counts = {name: np.zeros(block.shape) for name, block in theta.items()}
    for chance, path in zip(weights / weights.sum(), paths, strict=True):
        for name, entry in path:
            counts[name][entry] += chance
    return scores.max() + gamma * np.log(weights.sum()), counts


def scores_of(theta: dict[str, np.ndarray], paths: list[Reads]) -> np.ndarray:
    return np.array([sum(theta[name][entry] for name, entry in path) for path in paths])


@pytest.mark.parametrize("family", FAMILIES)
def test_value_and_gradient_are_those_of_all_paths(family):
    graph, paths = FAMILIES[family]
    theta = random_theta(graph)
    value, grad = dagdp.dp_value_and_grad(dagdp.compile(graph), theta, Negentropy(0.7))
    wanted, counts = listed(theta, paths, 0.7)
    assert value == pytest.approx(wanted, abs=1e-12)
    for name, block in counts.items():
        np.testing.assert_allclose(grad[name], block, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_path_is_the_best_of_all(family):
    graph, paths = FAMILIES[family]
    theta, dag = random_theta(graph), dagdp.compile(graph)
    best, scores = dagdp.best_path(dag, theta), scores_of(theta, paths)
    assert best.scores == pytest.approx(scores.max(), abs=1e-12)
    read = [
        (name, tuple(entry))
        for name in theta
        for entry in best.entries(dag, name).tolist()
        if all(k >= 0 for k in entry)
    ]
    assert sorted(read) == sorted(paths[scores.argmax()])


@pytest.mark.parametrize("family", FAMILIES)
def test_paths_are_counted(family):
    graph, paths = FAMILIES[family]
    assert dagdp.count_paths(dagdp.compile(graph)) == len(paths)


STEPS = {
    "hmm": (hmm, (2,), ("emission",)),
    "second order": (second_order_chain, (2,), ("emission",)),
    "semi-Markov": (semi_markov, (2, 3), ("segment",)),
    "factorial": (factorial_chain, (2, 2), ("first", "second", "coupling")),
}


@pytest.mark.parametrize("family", STEPS)
def test_one_graph_serves_all_lengths(family):
    builder, sizes, by_step = STEPS[family]
    dag, omega, lengths = dagdp.compile(builder(5, *sizes, ragged=True)), Negentropy(1.0), np.array([5, 1, 3])
    theta = random_theta(dag.graph)
    for name in by_step:
        theta[name] = np.stack([theta[name]] * 3) * np.arange(1, 4).reshape(3, *[1] * theta[name].ndim)
    values = dagdp.dp_value(dag, theta, omega, end=dag.ends_of(lengths))
    for k, n in enumerate(lengths):
        alone = {name: block[k, :n] if name in by_step else block for name, block in theta.items()}
        assert values[k] == pytest.approx(dagdp.dp_value(dagdp.compile(builder(n, *sizes)), alone, omega), abs=1e-12)


def test_allowed_tags_are_a_linear_chain_with_forbidden_emissions():
    dag, full = dagdp.compile(allowed_chain(ALLOWED)), dagdp.compile(linear_chain(*ALLOWED.shape))
    theta = random_theta(dag.graph)
    unread = {**theta, "emission": np.where(ALLOWED, theta["emission"], np.nan)}
    forbidden = {**theta, "emission": np.where(ALLOWED, theta["emission"], -np.inf)}
    value, grad = dagdp.dp_value_and_grad(dag, unread, Negentropy(1.0))
    wanted, expected = dagdp.dp_value_and_grad(full, forbidden, Negentropy(1.0))
    assert value == pytest.approx(wanted, abs=1e-12)
    np.testing.assert_allclose(grad["emission"], expected["emission"], atol=1e-12)


def test_a_hidden_markov_model_is_a_linear_chain_without_scores_of_an_end():
    model = dagdp.compile(hmm(4, 3))
    theta = random_theta(model.graph)
    for omega in (Negentropy(1.0), dagdp.SquaredL2(0.5)):
        chain = dagdp.dp_value(dagdp.compile(linear_chain(4, 3)), {**theta, "end": np.zeros(3)}, omega)
        assert dagdp.dp_value(model, theta, omega) == chain


@pytest.mark.specialised
def test_transitions_are_tied():
    """So that hidden and semi-Markov chains reach the kernels of the linear chain."""
    for graph in (hmm(9, 4), hmm(9, 4, ragged=True), semi_markov(9, 4, 3)):
        assert "levels by 1 matrix of" in dagdp.compile(graph).explain()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hmm(0, 2), "hmm was given T=0; expected a whole number, at least 1"),
        (lambda: second_order_chain(2, 0), "second_order_chain was given S=0"),
        (lambda: semi_markov(2, 2, 0), "semi_markov was given L=0"),
        (lambda: factorial_chain(2, 2, 1.0), "factorial_chain was given B=1.0"),
        (lambda: allowed_chain(np.ones((2, 3))), r"allowed of shape \(2, 3\) and type float64; expected booleans"),
        (lambda: allowed_chain([True]), r"allowed of shape \(1,\) and type bool; expected booleans \[T, S\]"),
        (lambda: allowed_chain([[True], [False]]), "step 1 of allowed has no tag; expected one or more at each step"),
    ],
)
def test_bad_sizes_are_named(call, message):
    with pytest.raises(GraphError, match=message):
        call()
