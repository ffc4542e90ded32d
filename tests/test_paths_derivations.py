"""Questions about paths on graphs with hyperedges, against all derivations, enumerated."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from cases import OPERATORS, hypergraph, over_operators
from hypothesis import given
from hypothesis import strategies as st
from strategies import hyperproblems

import dagdp
from dagdp import HardMax, InputError, Negentropy, SquaredL2, Tsallis, compile

SUM = [((0,), 2), ((0, 1), 2), ((2, 2), 3), ((1,), 3), ((3, 2), 4), ((0, 3), 4)]  # starts 0 and 1, end 4


def starts_of(edges) -> list[int]:
    return [node for node in (0, 1) if node not in {child for _, child in edges}]


def rows(found) -> list[tuple[int, ...]]:
    """The edges of unbatched `Derivations` as tuples; none for those of length 0."""
    edges = found.edges if found.edges.ndim > 1 else found.edges[None]
    return [tuple(int(e) for e in row if e >= 0) for row in edges if (row >= 0).any()]


def mean(exact, of) -> float:
    """The mean over a distribution {derivation: probability}."""
    return sum(chance * of(tree) for tree, chance in exact.items() if chance > 0)


def score(weights, tree) -> float:
    return float(sum(weights[e] for e in tree))


@st.composite
def questions(draw):
    """(edges, weights, distribution under a solver) of a graph that has a hyperedge."""
    edges, weights = draw(hyperproblems(most_derivations=60))
    hyper = any(len(parents) == 2 for parents, _ in edges)
    return (edges, weights) if hyper else (SUM, np.resize(weights, len(SUM)))


@given(questions())
def test_the_best_derivations_are_the_best_of_all(problem):
    edges, weights = problem
    dag, starts, end = compile(hypergraph(edges)), starts_of(edges), max(child for _, child in edges)
    trees = oracles.preorders(edges, starts, end)
    assert dagdp.count_paths(dag) == len(trees)
    possible = {tree: score(weights, tree) for tree in trees if score(weights, tree) > -math.inf}
    best, found = dagdp.best_path(dag, weights), dagdp.k_best(dag, weights, 1000)
    assert best.scores == dagdp.dp_value(dag, weights, HardMax())
    assert sorted(rows(found)) == sorted(possible)
    assert rows(best) == rows(found)[:1]
    if possible:
        np.testing.assert_allclose(found.scores, sorted(possible.values(), reverse=True), atol=1e-12)
        np.testing.assert_array_equal(best.counts(dag), dagdp.dp_grad(dag, weights, HardMax()))
        assert rows(dagdp.k_best(dag, weights, 3)) == rows(found)[:3]
        assert best.roots == end and (found.roots == end).all()


@over_operators(OPERATORS)
def test_the_distribution_is_that_of_all_derivations(omega):
    @given(questions())
    def check(problem):
        edges, weights = problem
        end = max(child for _, child in edges)
        exact = oracles.derivation_distribution(edges, weights, starts_of(edges), [end], oracles.row_solver(omega))
        dag, cost = compile(hypergraph(edges)), np.arange(len(edges)) % 3 - 0.5
        likely = {tree for tree, chance in exact.items() if chance > 1e-9}
        probabilities, found = dagdp.support(dag, weights, omega)
        assert likely <= set(rows(found)) <= set(exact)
        assert len(rows(found)) == dagdp.support_size(dag, weights, omega)
        np.testing.assert_allclose(probabilities.sum(), 1.0 if likely else 0.0, atol=1e-9)
        for tree, chance in zip(rows(found), probabilities.tolist(), strict=False):
            assert chance == pytest.approx(exact[tree], abs=1e-8)
            assert np.exp(dagdp.path_log_prob(dag, weights, list(tree), omega)) == pytest.approx(chance, abs=1e-9)
        entropy = -mean(exact, lambda tree: math.log(exact[tree]))
        assert dagdp.entropy(dag, weights, omega) == pytest.approx(entropy, abs=1e-7)
        assert dagdp.expectation(dag, weights, omega, cost) == pytest.approx(
            mean(exact, lambda tree: score(cost, tree)), abs=1e-7
        )
        visits = np.zeros(dag.graph.num_nodes)
        for tree, chance in exact.items():
            visits[end] += chance
            np.add.at(visits, [parent for e in tree for parent in edges[e][0]], chance)
        np.testing.assert_allclose(dagdp.node_marginals(dag, weights, omega), visits, atol=1e-7)
        if likely:
            drawn = dagdp.sample_paths(dag, weights, omega, n=20, seed=0)
            assert set(rows(drawn)) <= set(rows(found))
            np.testing.assert_allclose(drawn.scores, [score(weights, tree) for tree in rows(drawn)], atol=1e-12)

    check()


@over_operators(OPERATORS)
def test_two_distributions(omega):
    @given(questions())
    def check(problem):
        edges, weights = problem
        starts, end, row = starts_of(edges), max(child for _, child in edges), oracles.row_solver(omega)
        other = np.where(weights > -np.inf, np.resize([0.5, -1.0, 0.0], weights.size), -np.inf)
        p, r = (oracles.derivation_distribution(edges, theta, starts, [end], row) for theta in (weights, other))
        if any(1e-14 < q < 1e-7 for q in (*p.values(), *r.values())):
            return  # at a threshold, to rounding
        dag = compile(hypergraph(edges))
        covered = all(r[tree] > 0 for tree in p if p[tree] > 0)
        cross = -mean(p, lambda tree: math.log(r[tree])) if covered else math.inf
        assert dagdp.cross_entropy(dag, weights, other, omega) == pytest.approx(cross, abs=1e-6)
        entropy = dagdp.entropy(dag, weights, omega)
        assert dagdp.kl_divergence(dag, weights, other, omega) == pytest.approx(cross - entropy, abs=1e-6)

    check()


@over_operators(OPERATORS)
def test_draws_have_the_frequencies_of_the_distribution(omega):
    weights = np.array([0.3, 0.1, -0.2, 0.9, 0.2, 0.4])
    exact = oracles.derivation_distribution(SUM, weights, [0, 1], [4], oracles.row_solver(omega))
    drawn = rows(dagdp.sample_paths(compile(hypergraph(SUM)), weights, omega, n=4000, seed=3))
    assert len(drawn) == 4000
    for tree, chance in exact.items():
        assert drawn.count(tree) / 4000 == pytest.approx(chance, abs=0.035)


@given(questions())
def test_values_before_and_behind_a_node(problem):
    """Forward and backward under HardMax: the best derivation through each node and edge."""
    edges, weights = problem
    dag, starts, end = compile(hypergraph(edges)), starts_of(edges), max(child for _, child in edges)
    trees = oracles.preorders(edges, starts, end)
    ahead = dagdp.node_values(dag, weights, HardMax())
    back = dagdp.node_values(dag, weights, HardMax(), direction="backward")
    through, gap = dagdp.max_marginals(dag, weights), dagdp.slack(dag, weights)
    best = max(score(weights, tree) for tree in trees)
    for node in range(dag.graph.num_nodes):
        own = [score(weights, tree) for tree in oracles.preorders(edges, starts, node)]
        assert ahead[node] == pytest.approx(max(own), abs=1e-9)
        visited = [tree for tree in trees if node == end or any(node in edges[e][0] for e in tree)]
        most = max((score(weights, tree) for tree in visited), default=-math.inf)
        assert max(ahead[node] + back[node], -math.inf) == pytest.approx(most, abs=1e-9)
    for e in range(len(edges)):
        most = max((score(weights, tree) for tree in trees if e in tree), default=-math.inf)
        assert through[e] == pytest.approx(most, abs=1e-9)
        assert gap[e] == pytest.approx(best - most if most > -math.inf else math.inf, abs=1e-9)


def test_backward_values_under_negentropy_count_occurrences():
    """forward + backward is the log of the sum over derivations of visits times exp(score)."""
    weights = np.array([0.3, 0.1, -0.2, 0.9, 0.2, 0.4])
    dag = compile(hypergraph(SUM))
    both = sum(dagdp.node_values(dag, weights, Negentropy(1.0), direction=way) for way in ("forward", "backward"))
    for node in range(5):
        total = sum(
            math.exp(score(weights, tree)) * ((node == 4) + sum(SUM[e][0].count(node) for e in tree))
            for tree in oracles.preorders(SUM, [0, 1], 4)
        )
        assert both[node] == pytest.approx(math.log(total), abs=1e-9)


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5), Tsallis(2.0, 1.3)], ids=repr)
def test_the_gap_to_the_hard_value_lies_within_its_bound(omega):
    dag = compile(hypergraph(SUM))
    low, high = dagdp.gap_bound(dag, omega)
    for theta in [np.zeros(6), *np.random.default_rng(0).normal(scale=3, size=(20, 6))]:
        gap = dagdp.dp_value(dag, theta, HardMax()) - dagdp.dp_value(dag, theta, omega)
        assert low - 1e-9 <= gap <= high + 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_ends_and_signs(dtype):
    """Each item is asked alone, too; several ends are joined, and a start may be an end."""
    dag = compile(hypergraph(SUM, ends=[2, 3, 4]))
    theta = np.random.default_rng(1).normal(size=(3, 6)).astype(dtype)
    omega, ends = Negentropy(0.7), np.array([3, 4, 0])
    starts, row = [0, 1], oracles.row_solver(omega)
    for b in range(3):
        joint = oracles.derivation_distribution(SUM, -theta[b].astype(float), starts, [2, 3, 4], row)
        found = dagdp.k_best(dag, theta, 100, minimize=True)
        alone = dagdp.k_best(dag, theta[b], 100, minimize=True)
        np.testing.assert_array_equal(found.edges[b], alone.edges)
        assert found.scores.dtype == np.dtype(dtype) and (np.diff(found.scores[b]) >= 0).all()
        assert sorted(rows(alone)) == sorted(joint)
        assert {SUM[tree[0]][1] for tree in rows(alone)} == set(alone.roots.tolist()) == {2, 3, 4}
        log_p = dagdp.path_log_prob(dag, theta, found, omega, minimize=True)
        for tree, own in zip(rows(alone), log_p[b].tolist(), strict=True):
            assert math.exp(own) == pytest.approx(joint[tree], rel=1e-4)
        assert dagdp.entropy(dag, theta, omega, minimize=True)[b] == pytest.approx(
            -mean(joint, lambda tree, joint=joint: math.log(joint[tree])), rel=1e-4
        )
    best = dagdp.best_path(dag, theta, end=ends)
    assert best.lengths.tolist()[2] == 0 and best.scores[2] == 0 and best.roots.tolist() == [3, 4, 0]
    assert best.names(dag)[2] == (0, ())
    np.testing.assert_array_equal(best.scores, dagdp.dp_value(dag, theta, HardMax(), end=ends))
    drawn = dagdp.sample_paths(dag, theta, omega, n=5, seed=0, end=ends)
    assert drawn.scores.shape == (3, 5) and (drawn.scores[2] == 0).all()
    assert dagdp.path_log_prob(dag, theta, drawn, omega, end=ends)[2].tolist() == [0.0] * 5
    assert dagdp.node_marginals(dag, theta, omega, end=ends)[2].tolist() == [1.0, 0, 0, 0, 0]
    assert [dagdp.count_paths(dag, end=end) for end in (2, 3, 4)] == [2, 5, 15]


@over_operators(OPERATORS)
@pytest.mark.parametrize("end", [None, 2, 3])
def test_a_start_that_another_start_reaches(end, omega):
    """Equal to a graph with one more start, from which an edge of weight 0 enters node 2, before its other edges."""
    theta = np.array([-0.3, 0.1, -0.2, 0.4, 0.2, 0.4])
    dag = compile(hypergraph(SUM, starts=[0, 1, 2]))
    edges, weights = [((5,), 2), *SUM], np.array([0.0, *theta])
    exact = oracles.derivation_distribution(edges, weights, [0, 1, 5], [end or 4], oracles.row_solver(omega))
    users = [(tuple(e - 1 for e in tree if e > 0), tree) for tree in exact]
    found = dagdp.k_best(dag, theta, 100, end=end)
    own = [tuple(int(e) for e in row if e >= 0) for row in found.edges]
    assert sorted(own) == sorted(short for short, _ in users) and len(own) == dagdp.count_paths(dag, end=end)
    assert found.scores[0] == dagdp.dp_value(dag, theta, HardMax(), end=end) and set(found.roots.tolist()) == {end or 4}
    log_p = dagdp.path_log_prob(dag, theta, found, omega, end=end)
    for short, tree in users:
        assert np.exp(log_p[own.index(short)]) == pytest.approx(exact[tree], abs=1e-9)
        assert score(weights, tree) == pytest.approx(found.scores[own.index(short)])
    drawn = dagdp.sample_paths(dag, theta, omega, n=20, seed=0, end=end)
    assert np.isfinite(dagdp.path_log_prob(dag, theta, drawn, omega, end=end)).all()
    entropy = -mean(exact, lambda tree: math.log(exact[tree]))
    assert dagdp.entropy(dag, theta, omega, end=end) == pytest.approx(entropy, abs=1e-9)
    visits = np.zeros(5)
    visits[end or 4] = 1.0
    for tree, chance in exact.items():
        np.add.at(visits, [parent for e in tree if e > 0 for parent in edges[e][0]], chance)
    np.testing.assert_allclose(dagdp.node_marginals(dag, theta, omega, end=end), visits, atol=1e-9)
    for one in (found.names(dag), drawn.names(dag)):
        assert all(tree[0] == (end or 4) for tree in one)


def test_an_item_without_a_derivation():
    dag, forbidden = compile(hypergraph(SUM)), np.array([0.0, 0, 0, 0, -np.inf, -np.inf])
    best = dagdp.best_path(dag, forbidden)
    assert (best.scores, best.lengths, best.roots, best.names(dag)) == (-np.inf, 0, -1, None)
    assert dagdp.k_best(dag, forbidden, 3).lengths.tolist() == [0]
    assert dagdp.entropy(dag, forbidden, SquaredL2(1.0)) == 0.0 and dagdp.support_size(dag, forbidden) == 0
    with pytest.raises(InputError, match="there is no path to draw"):
        dagdp.sample_paths(dag, forbidden)


def test_a_batch_of_different_graphs():
    """A graph of the batch may have no hyperedge: its paths are derivations, from the end back."""
    chain = dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2])
    batch = dagdp.compile_batch([hypergraph(SUM), chain])
    theta = [np.array([0.3, 0.1, -0.2, 0.9, 0.2, 0.4]), np.array([1.0, 2.5, 2.0])]
    for found in (dagdp.best_path(batch, theta), dagdp.k_best(batch, theta, 1)):
        assert isinstance(found, dagdp.Derivations)
        own = [found.of_graph(g) for g in range(2)]
        assert rows(own[0]) == rows(dagdp.best_path(batch.dags[0], theta[0])) and rows(own[1]) == [(2, 0)]
        log_p = [dagdp.path_log_prob(dag, own, alone) for dag, own, alone in zip(batch.dags, theta, own, strict=True)]
        np.testing.assert_allclose(dagdp.path_log_prob(batch, theta, found), log_p, atol=1e-12)
        assert np.exp(log_p[1]) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert dagdp.best_path(batch, theta).names(batch)[1] == (2, ((1, ((0, ()),)),))
    assert dagdp.k_best(batch, theta, 2).names(batch)[1] == [(2, ((1, ((0, ()),)),)), (2, ((0, ()),))]
    probabilities, _ = dagdp.support(batch, theta, SquaredL2(0.5))
    np.testing.assert_allclose(probabilities.sum(-1), [1, 1], atol=1e-9)
    counts = dagdp.count_paths(batch)
    assert counts.tolist() == [dagdp.count_paths(batch.dags[0]), 2]


torch = pytest.importorskip("torch")


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(9.0)], ids=repr)
def test_derivatives_from_torch(omega):
    dag, rng = compile(hypergraph(SUM)), np.random.default_rng(5)
    theta, other = (torch.tensor(0.3 * rng.normal(size=(2, 6)), requires_grad=True) for _ in range(2))
    trees, cost = dagdp.k_best(dag, theta, 3), torch.tensor(rng.normal(size=6))
    calls = [
        lambda t: dagdp.path_log_prob(dag, t, trees, omega),
        lambda t: dagdp.entropy(dag, t, omega),
        lambda t: dagdp.expectation(dag, t, omega, cost),
        lambda t: dagdp.node_marginals(dag, t, omega),
        lambda t: dagdp.cross_entropy(dag, t, other, omega),
        lambda t: dagdp.kl_divergence(dag, other, t, omega),
    ]
    for call in calls:
        assert torch.autograd.gradcheck(call, (theta,))
        np.testing.assert_allclose(call(theta).detach(), call(theta.detach()).detach(), atol=1e-12)
    drawn, listed = dagdp.sample_paths(dag, theta, omega, 4, seed=0), dagdp.support(dag, theta, omega)
    assert isinstance(drawn.scores, torch.Tensor) and isinstance(listed.paths.edges, torch.Tensor)
    np.testing.assert_allclose(listed.probabilities.sum(-1).detach(), 1.0, atol=1e-12)
    assert isinstance(trees.edges, torch.Tensor) and isinstance(trees.counts(dag), torch.Tensor)
