"""The finite support against enumeration; exact counts."""

from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
from cases import (
    BUNDLED,
    GRAPHS,
    SMALL,
    Tsallis15,
    combinations,
    graph_of,
    listed,
    one_of_each_solver,
    over_operators,
    random_theta,
)
from hypothesis import given
from strategies import problems

import dagdp
from dagdp import (
    Graph,
    HardMax,
    InputError,
    Negentropy,
    SquaredL2,
    Tsallis,
    compile,
    count_paths,
    support,
    support_size,
)
from dagdp.graphs import dtw_grid, linear_chain, trellis


@over_operators(BUNDLED)
@given(problem=problems())
def test_support_is_every_path_of_non_zero_probability(omega, problem):
    edges, weights = problem
    exact = oracles.distribution(edges, weights, *oracles.terminals(edges), oracles.row_solver(omega))
    dag = compile(graph_of(edges))
    probabilities, paths = support(dag, weights, omega)
    found = dict(zip(listed(paths), probabilities.tolist(), strict=False))
    assert len(found) == support_size(dag, weights, omega)
    assert {path for path, chance in exact.items() if chance > 1e-9} <= set(found) <= set(exact)
    for path, chance in found.items():
        assert chance > 0 and chance == pytest.approx(exact[path], abs=1e-8)
    assert (np.diff(probabilities) <= 0).all()
    assert probabilities.sum() == pytest.approx(1 if exact else 0, abs=1e-9)
    np.testing.assert_allclose(paths.scores[: len(found)], [sum(weights[list(path)]) for path in found], atol=1e-12)


@combinations(one_of_each_solver, omega=[SquaredL2(0.5), Tsallis(1.5, 0.5)], name=SMALL)
def test_probabilities_sum_to_one_on_every_graph(omega, name):
    graph, minimize = GRAPHS[name](), "grid" in name
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(1), (3,))
    probabilities, paths = support(dag, theta, omega, minimize=minimize)
    np.testing.assert_allclose(probabilities.sum(-1), np.ones(3), atol=1e-9)
    sizes = support_size(dag, theta, omega, minimize=minimize)
    assert ((probabilities > 0).sum(-1) == sizes).all() and ((paths.lengths > 0).sum(-1) == sizes).all()
    assert probabilities.shape[1] == max(sizes) <= count_paths(dag)


def test_sizes_under_negentropy_and_hardmax():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2), (1, 2)]))
    theta = np.array([[0.0, 0, 0, 0, 0], [-np.inf, 0, 0, -np.inf, 0], [-np.inf, -np.inf, 0, 0, 0]])
    assert support_size(dag, theta, Negentropy(1.0)).tolist() == [6, 2, 0]
    assert support_size(dag, theta, HardMax()).tolist() == [1, 1, 0]
    assert support_size(dag, theta * np.array(1e4), Negentropy(1.0)).tolist() == [6, 2, 0]
    padded = np.array([[0.0, 0, np.nan, np.nan, np.inf]])
    assert support_size(dag, padded, SquaredL2(1.0), end=[1]).tolist() == [2]
    probabilities, paths = support(dag, theta, Negentropy(1.0))
    np.testing.assert_allclose(probabilities, [[1 / 6] * 6, [0.5] * 2 + [0] * 4, [0] * 6], atol=1e-12)
    assert (paths.lengths > 0).sum(-1).tolist() == [6, 2, 0]


def test_more_than_the_limit_is_refused_with_the_number():
    dag = compile(trellis(100, 3))
    theta = np.zeros((2, 100, 3, 3))
    assert support_size(dag, theta[0]) == 3**100 and support_size(dag, theta).tolist() == [3**100] * 2
    with pytest.raises(InputError, match=rf"the support has {3**100} paths; expected at most limit=1000"):
        support(dag, theta[0])
    theta[0, :, 0] = 10.0
    with pytest.raises(InputError, match=rf"the support of item \[1\] has {3**100} paths; expected at most limit=5"):
        support(dag, theta, SquaredL2(1.0), limit=5)


@pytest.mark.parametrize("name", SMALL)
def test_counts_are_those_of_enumeration(name):
    graph = GRAPHS[name]()
    edges = list(zip(*(array.tolist() for array in graph.edges()), strict=True))
    starts, ends = graph.terminals()
    default = oracles.terminals(edges)
    starts = default[0] if starts is None else starts.tolist()
    ends = default[1] if ends is None else ends.tolist()
    assert count_paths(compile(graph)) == len(list(oracles.paths(edges, starts, ends)))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (30, 40), (80, 80)])
def test_alignments_are_delannoy_numbers(size):
    assert count_paths(compile(dtw_grid(*size))) == oracles.delannoy(*size)


def test_chains_have_states_to_the_power_of_steps():
    assert count_paths(compile(linear_chain(50, 4))) == 4**50 > 2**63
    assert count_paths(compile(trellis(20, 3, ragged=True))) == sum(3**n for n in range(1, 21))


def test_counting_towards_one_node():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]))
    assert [count_paths(dag, end=node) for node in (0, 1, 2, 3)] == [1, 2, 4, 4]
    apart = compile(Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[1]))
    assert count_paths(apart, end=3) == 0
    with pytest.raises(InputError, match="end 9 is no node"):
        count_paths(dag, end=9)


def entries_at_the_threshold(omega):
    """Two scores of weight 1/2, and one whose weight is 0 in exact arithmetic, with no room to spare."""
    return np.array([0.0, 0.0, -above_threshold(omega, 0.5)])


def above_threshold(omega, q):
    """How far above the threshold t the weight is q: q = [(α-1)(y - t)]^(1/(α-1)), SquaredL2 as α = 2."""
    power = 0.5 if "15" in repr(omega) or "1.5" in repr(omega) else 1.0
    return omega.gamma * q**power / power


@pytest.mark.parametrize("shift", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3])
@pytest.mark.parametrize("kind", [SquaredL2, lambda g: Tsallis(2.0, g), lambda g: Tsallis(1.5, g), Tsallis15])
def test_what_rounding_left_at_a_threshold_is_not_in_the_support(kind, scale, shift):
    """Where a weight of 1e-6 is in it."""
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1), (1, 2)]))
    omega = kind(0.1 * scale)
    row = entries_at_the_threshold(omega) + (3.0 + shift) * scale
    for order in itertools.permutations(range(3)):
        theta = np.append(row[list(order)], 0.0)
        probabilities, paths = support(dag, theta, omega)
        assert support_size(dag, theta, omega) == 2
        assert sorted(paths.edges[:, 0].tolist()) == sorted(order.index(k) for k in (0, 1))
        np.testing.assert_allclose(probabilities, [0.5, 0.5], atol=1e-7)
        outside = [[order.index(2), 3]]
        assert dagdp.path_log_prob(dag, theta, outside, omega) == -np.inf

        theta[order.index(2)] += above_threshold(omega, 1.5e-6)
        probabilities, _ = support(dag, theta, omega)
        assert support_size(dag, theta, omega) == 3
        assert probabilities[2] == pytest.approx(1e-6, rel=0.6)


def test_the_example_of_three_parallel_edges():
    """The projection of [30, 30, 29.5] on the simplex is [.5, .5, 0]."""
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1)]))
    probabilities, paths = support(dag, [3, 3, 2.95], SquaredL2(0.1))
    np.testing.assert_allclose(probabilities, [0.5, 0.5], atol=1e-14)
    assert paths.edges.tolist() == [[0], [1]]
    assert support_size(dag, [3, 3, 2.95], SquaredL2(0.1)) == 2


def test_a_threshold_behind_a_long_way():
    """The scores that are compared are sums of 200 tenths: their rounding is what decides."""
    edges = [(t, t + 1) for t in range(200)] + [(0, 201)] + [(t, t + 1) for t in range(201, 400)]
    edges += [(200, 401), (400, 401), (400, 401)]
    theta = np.full(len(edges), 0.1)
    theta[-1] += 0.1 - 0.15
    omega = Tsallis(2.0, 0.1)
    assert support_size(compile(graph_of(edges)), theta, omega) == 2
    theta[-1] += 1e-6
    assert support_size(compile(graph_of(edges)), theta, omega) == 3


def test_improbable_is_not_impossible_without_a_threshold():
    """exp(-700) is a weight; 8 units of rounding of scores of 1e6 do not reach to where exp underflows."""
    dag = compile(graph_of([(0, 1), (0, 1)]))
    theta = np.array([1e6, 1e6 - 700.0])
    assert support_size(dag, theta, Negentropy(1.0)) == 2
