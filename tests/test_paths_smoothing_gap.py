"""Bounds on hard minus smoothed value: Proposition 2 as corrected."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BUNDLED, GRAPHS, SMALL, combinations, graph_of, one_of_each_solver, over_operators, random_theta
from hypothesis import given
from strategies import problems

from dagdp import HardMax, Negentropy, SquaredL2, Tsallis, compile, dp_value, gap_bound


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


@combinations(one_of_each_solver, omega=BUNDLED[1:], name=SMALL)
def test_the_gap_lies_within_its_bounds_on_every_graph(omega, name):
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
