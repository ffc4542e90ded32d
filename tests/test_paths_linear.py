"""Questions about paths of graphs with linear potentials: against enumerated paths over weights from dense matrices."""

from __future__ import annotations

import linear_cases
import numpy as np
import oracles
import pytest
from linear_cases import EDGES, ENDS, edge_weights, linear

import dagdp
from dagdp import InputError, Negentropy, SquaredL2

DAG = dagdp.compile(linear())
THETA = linear_cases.random_theta(np.random.default_rng(3), (2,), ["gap"])
WEIGHTS = edge_weights(THETA, (2,))


def ranked(weights, ends=ENDS):
    """[(score, path)], best first."""
    return sorted(((weights[list(path)].sum(), path) for path in oracles.paths(EDGES, [0], ends)), reverse=True)


def rows(edges):
    return [tuple(e for e in row if e >= 0) for row in edges.tolist()]


@pytest.mark.parametrize("minimize", [False, True])
def test_best_paths(minimize):
    sign = -1.0 if minimize else 1.0
    wanted = [ranked(sign * w) for w in WEIGHTS]
    best, three = dagdp.best_path(DAG, THETA, minimize=minimize), dagdp.k_best(DAG, THETA, 3, minimize=minimize)
    np.testing.assert_allclose(best.scores, [sign * own[0][0] for own in wanted])
    assert rows(best.edges) == [own[0][1] for own in wanted]
    for b, own in enumerate(wanted):
        np.testing.assert_allclose(three.scores[b], [sign * score for score, _ in own[:3]])
        assert rows(three.edges[b]) == [path for _, path in own[:3]]
    np.testing.assert_array_equal(best.scores, dagdp.dp_value(DAG, THETA, dagdp.HardMax(), minimize=minimize))
    through = dagdp.max_marginals(DAG, THETA, minimize=minimize)
    for b, own in enumerate(wanted):
        for e in range(len(EDGES)):
            np.testing.assert_allclose(through[b, e], sign * max(score for score, path in own if e in path))
    np.testing.assert_allclose(dagdp.slack(DAG, THETA, minimize=minimize), sign * (best.scores[:, None] - through))


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(2.0)])
def test_the_distribution(omega):
    chances = [oracles.distribution(EDGES, w, [0], ENDS, oracles.row_solver(omega)) for w in WEIGHTS]
    paths = list(chances[0])
    padded = np.array([[*path, *[-1] * (4 - len(path))] for path in paths])
    given = np.stack([padded, padded])
    found = np.exp(dagdp.path_log_prob(DAG, THETA, given, omega))
    np.testing.assert_allclose(found, [[own[path] for path in paths] for own in chances], atol=1e-9)
    log = [np.array([p for p in own.values() if p > 0]) for own in chances]
    np.testing.assert_allclose(dagdp.entropy(DAG, THETA, omega), [-(p * np.log(p)).sum() for p in log], atol=1e-9)
    assert dagdp.support_size(DAG, THETA, omega).tolist() == [len(p) for p in log]
    support = dagdp.support(DAG, THETA, omega)
    np.testing.assert_allclose(support.probabilities.sum(-1), 1.0)
    drawn = dagdp.sample_paths(DAG, THETA, omega, n=50, seed=0)
    assert all(own[path] > 0 for own, edges in zip(chances, drawn.edges, strict=True) for path in rows(edges))
    cost = np.arange(9.0)
    mean = [sum(p * cost[list(path)].sum() for path, p in own.items()) for own in chances]
    np.testing.assert_allclose(dagdp.expectation(DAG, THETA, omega, cost), mean)
    np.testing.assert_allclose(
        dagdp.expectation(DAG, THETA, omega, THETA),
        [sum(p * w[list(path)].sum() for path, p in own.items()) for own, w in zip(chances, WEIGHTS, strict=True)],
    )
    visits = [sum(p for path, p in own.items() if any(EDGES[e][1] == 2 for e in path)) for own in chances]
    np.testing.assert_allclose(dagdp.node_marginals(DAG, THETA, omega)[:, 2], visits)
    np.testing.assert_allclose(dagdp.kl_divergence(DAG, THETA, THETA, omega), 0.0, atol=1e-12)
    value = dagdp.node_values(DAG, THETA, omega)[:, 3]
    np.testing.assert_allclose(value, dagdp.dp_value(DAG, THETA, omega, end=3))
    low, high = dagdp.gap_bound(DAG, omega)
    gap = dagdp.dp_value(DAG, THETA, dagdp.HardMax()) - dagdp.dp_value(DAG, THETA, omega)
    assert (low <= gap).all() and (gap <= high).all()
    assert dagdp.count_paths(DAG) == len(paths)


def test_results_have_the_type_of_theta_and_faults_its_names():
    single = {name: block.astype(np.float32) for name, block in THETA.items()}
    best = dagdp.best_path(DAG, single)
    assert best.scores.dtype == np.float32
    np.testing.assert_allclose(best.scores, dagdp.best_path(DAG, THETA).scores, rtol=1e-6)
    assert dagdp.entropy(DAG, single).dtype == np.float32
    broken = {**THETA, "gap": np.float64(np.nan)}
    with pytest.raises(InputError, match=r"^theta\['gap'\] is nan, which edge 0 reads -1 times"):
        dagdp.best_path(DAG, broken)
    dagdp.entropy(DAG, broken, end=0)  # no edge is read


def test_entries_of_paths():
    best = dagdp.best_path(DAG, THETA)
    with pytest.raises(InputError, match="potential 'cost' is linear, and an edge may read several"):
        best.entries(DAG, "cost")
    kinds = best.entries(DAG, "kind")[..., 0]
    wanted = np.append(linear_cases.READS["kind"][1], -1)[best.edges]
    np.testing.assert_array_equal(kinds, wanted)


def test_a_batch_of_graphs():
    batch = dagdp.compile_batch([linear(), linear(ends=[3])], shared=["gap"])
    theta = {"cost": [THETA["cost"]] * 2, "kind": [THETA["kind"]] * 2, "gap": THETA["gap"]}
    best, entropy = dagdp.best_path(batch, theta), dagdp.entropy(batch, theta)
    for g, dag in enumerate(batch.dags):
        own = dagdp.best_path(dag, THETA)
        np.testing.assert_allclose(best.scores[:, g], own.scores)
        assert rows(best.edges[:, g]) == rows(own.edges)
        np.testing.assert_allclose(entropy[:, g], dagdp.entropy(dag, THETA))
    theta["cost"] = [THETA["cost"], np.full_like(THETA["cost"], np.nan)]
    for question in (dagdp.best_path, dagdp.entropy, dagdp.node_values):
        with pytest.raises(InputError, match=r"\['cost'\].* is nan"):
            question(batch, theta)


def test_entropy_of_tensors_has_a_derivative():
    torch = pytest.importorskip("torch")
    theta = {name: torch.tensor(block, requires_grad=True) for name, block in THETA.items()}
    for omega in (Negentropy(0.7), SquaredL2(4.0)):
        assert torch.autograd.gradcheck(
            lambda *blocks, omega=omega: dagdp.entropy(DAG, dict(zip(theta, blocks, strict=True)), omega),
            tuple(theta.values()),
        )
    value = dagdp.path_log_prob(DAG, theta, [8])
    assert value.requires_grad and isinstance(dagdp.best_path(DAG, theta).scores, torch.Tensor)


def test_networks_show_the_sums():
    pytest.importorskip("networkx")
    theta = {name: block if name == "gap" else block[0] for name, block in THETA.items()}
    G = dagdp.to_networkx(DAG, theta=theta)
    assert [weight for *_, weight in sorted(G.edges(data="edge"), key=lambda e: e[2])] == list(range(9))
    weights = {own["edge"]: own["weight"] for *_, own in G.edges(data=True)}
    np.testing.assert_allclose([weights[e] for e in range(9)], WEIGHTS[0])
