"""Samples against exact probabilities of enumerated paths."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import oracles
import pytest
from cases import (
    BUNDLED,
    GRAPHS,
    SMALL,
    combinations,
    graph_of,
    listed,
    one_of_each_solver,
    over_operators,
    random_theta,
)

from dagdp import HardMax, InputError, Negentropy, SquaredL2, best_path, compile, dp_grad, sample_paths

EDGES = [(0, 1), (0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 3), (3, 4), (1, 4), (2, 5), (3, 5)]  # two ends, 4 and 5
WEIGHTS = np.array([0.3, 0.0, 0.8, 0.4, -0.2, 0.1, -np.inf, 0.5, 0.6, 0.2, 0.1])


def chi_square_quantile(freedom: int) -> float:
    """What a chi-square variable exceeds with probability 1e-4 (Wilson and Hilferty's approximation)."""
    return freedom * (1 - 2 / (9 * freedom) + 3.719 * math.sqrt(2 / (9 * freedom))) ** 3


def chi_square(counts: np.ndarray, chances: np.ndarray) -> tuple[float, int]:
    """The statistic and its degrees of freedom, rare outcomes (expected less than 5 times) taken together."""
    expected = chances * counts.sum()
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return float(((counts - expected)[kept] ** 2 / expected[kept]).sum()), int(kept.sum()) - 1


@over_operators(BUNDLED)
def test_frequencies_are_the_probabilities(omega):
    """4000 draws; the choice of the end is drawn too; a path of probability 0 never is."""
    exact = oracles.distribution(EDGES, WEIGHTS, *oracles.terminals(EDGES), oracles.row_solver(omega))
    drawn = listed(sample_paths(compile(graph_of(EDGES)), WEIGHTS, omega, n=4000, seed=1))
    assert set(drawn) <= {path for path, chance in exact.items() if chance > 1e-12}
    paths = sorted(exact)
    counts = np.array([drawn.count(path) for path in paths])
    statistic, freedom = chi_square(counts, np.array([exact[path] for path in paths]))
    assert counts.sum() == 4000
    assert statistic <= (chi_square_quantile(freedom) if freedom else 1e-9)


@combinations(one_of_each_solver, omega=[Negentropy(0.7), SquaredL2(0.5)], name=SMALL)
def test_the_expected_path_is_the_mean_of_samples(omega, name):
    graph, n = GRAPHS[name](), 3000
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(2), (2,))
    E = dp_grad(dag, theta, omega)
    drawn = sample_paths(dag, theta, omega, n=n, seed=3)
    for potential in graph.potentials():
        index = np.append(potential.index, -1)[drawn.edges]  # -1, behind the end, reads the appended -1
        expected = (E[potential.name] if isinstance(E, dict) else E).reshape(2, -1)
        uses = np.bincount(potential.index[potential.index >= 0], minlength=potential.size).max()
        for b in range(2):
            mean = np.bincount(index[b][index[b] >= 0], minlength=potential.size) / n
            # a sum of up to `uses` indicators has a standard deviation of at most uses / 2
            np.testing.assert_allclose(mean, expected[b], atol=4.5 * uses / 2 / math.sqrt(n))


def test_the_seed_decides_and_scores_are_those_of_the_paths():
    dag, theta = compile(graph_of(EDGES)), np.stack([WEIGHTS, WEIGHTS + 1]).astype(np.float32)
    first, again, other = (sample_paths(dag, theta, n=50, seed=seed) for seed in (1, 1, 2))
    assert first.edges.tolist() == again.edges.tolist() != other.edges.tolist()
    assert first.edges.shape[:2] == first.lengths.shape == first.scores.shape == (2, 50)
    assert first.scores.dtype == np.float32
    taken = np.where(first.edges >= 0, theta[np.arange(2)[:, None, None], first.edges], 0)
    np.testing.assert_allclose(first.scores, taken.sum(-1), rtol=1e-6)
    generator = np.random.default_rng(1)
    assert sample_paths(dag, theta, n=50, seed=generator).edges.tolist() == first.edges.tolist()
    assert sample_paths(dag, theta, n=50, seed=generator).edges.tolist() != first.edges.tolist()
    assert sample_paths(dag, theta).edges.shape[:2] == (2, 1)


def test_under_hardmax_every_draw_is_the_best_path():
    dag = compile(graph_of(EDGES))
    drawn = sample_paths(dag, WEIGHTS, HardMax(), n=20, seed=0)
    assert set(listed(drawn)) == set(listed(best_path(dag, WEIGHTS)))


def test_draws_do_not_suffer_where_flow_underflows():
    """Two fair choices behind an edge of probability e^-1000, which is the only way to the item's end."""
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (0, 3), (2, 3), (1, 3)]))
    theta = np.array([0.0, 0.0, -1000.0, 0.0, 0.0, -1000.0])
    drawn = sample_paths(dag, theta, Negentropy(1.0), n=2000, seed=4, end=2)
    assert (drawn.edges[:, 1] == 2).all() and (drawn.scores == -1000).all()
    assert abs((drawn.edges[:, 0] == 0).mean() - 0.5) < 0.05


def test_ragged_minimised_and_infeasible_items():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2)]))
    theta = np.array([[1.0, 2, 3, 4], [1.0, np.inf, np.nan, np.nan], [np.nan] * 4])
    drawn = sample_paths(dag, theta, n=30, seed=5, minimize=True, end=[2, 1, 0])
    assert (drawn.lengths == [[2], [1], [0]]).all()
    assert (drawn.edges[1, :, 0] == 0).all() and set(drawn.edges[0].ravel()) == {0, 1, 2, 3}
    # the last item ends where it starts: the path of no edges
    assert (drawn.edges[2] == -1).all() and (drawn.scores[2] == 0).all() and (drawn.nodes[2, :, 0] == 0).all()
    theta[2] = [np.inf, np.inf, 0, 0]
    with pytest.raises(InputError, match="item 2 has no path to draw: no start reaches its end, or every path"):
        sample_paths(dag, theta, n=30, seed=5, minimize=True, end=[2, 1, 2])


@pytest.mark.parametrize("n", [0, 2.0, True])
def test_n_must_be_a_number(n):
    with pytest.raises(InputError, match="expected a positive number of draws"):
        sample_paths(compile(graph_of([(0, 1)])), [1.0], n=n)


def test_a_torch_generator_is_a_seed_that_goes_on():
    torch = pytest.importorskip("torch")
    dag = compile(graph_of(EDGES))
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    drawn = [sample_paths(dag, WEIGHTS, n=50, seed=generator).edges.tolist() for generator in (first, second)]
    assert drawn[0] == drawn[1] != sample_paths(dag, WEIGHTS, n=50, seed=first).edges.tolist()
    assert sample_paths(dag, torch.tensor(WEIGHTS), n=50, seed=second).edges.shape[0] == 50


@pytest.mark.parametrize("seed", [-1, 1.5, "one", object(), [1, -2]], ids=lambda seed: str(seed)[:7])
def test_a_wrong_seed_is_named_with_what_is_expected(seed):
    with pytest.raises(InputError, match=r"seed is .*; expected None, an integer >= 0 .* or a generator"):
        sample_paths(compile(graph_of([(0, 1)])), [1.0], seed=seed)


def test_no_seed_needs_torch():
    """Whoever has not imported it draws without it."""
    code = "import sys; from dagdp.paths.sampling import _generator; _generator(3); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
