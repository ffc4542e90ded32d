"""The front end for NumPy arrays: bodies of the functions, for one graph and for a batch of graphs."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, InputError, Negentropy, SquaredL2, compile, compile_batch, reference
from dagdp.engine import run
from dagdp.engine.inputs import Options

GRAPH = Graph.from_edges([0, 0, 1], [1, 2, 2])
DAG, BATCH, OMEGA = compile(GRAPH), compile_batch([GRAPH, GRAPH]), SquaredL2(1.0)
THETA, Z = np.random.default_rng(0).normal(size=(2, 4, 3))


def test_bodies_agree_with_the_reference_and_with_each_other():
    options = Options(minimize=True)
    value, path = run.value_and_grad(DAG, THETA, OMEGA, options)
    np.testing.assert_allclose(value, reference.dp_value(DAG, THETA, OMEGA, minimize=True))
    np.testing.assert_array_equal(run.value(DAG, THETA, OMEGA, options), value)
    np.testing.assert_array_equal(run.grad(DAG, THETA, OMEGA, options), path)
    slope, change = run.jvp_and_hvp(DAG, THETA, Z, OMEGA, options)
    np.testing.assert_allclose(change, reference.dp_hvp(DAG, THETA, Z, OMEGA, minimize=True), atol=1e-12)
    np.testing.assert_array_equal(run.jvp(DAG, THETA, Z, OMEGA, options), slope)
    np.testing.assert_array_equal(run.hvp(DAG, THETA, Z, OMEGA, options), change)
    for a, b in zip(run.value_and_slope(DAG, THETA, Z, OMEGA, options), (value, slope), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_of_graphs_has_one_more_axis():
    twice = np.concatenate([THETA, THETA], -1), np.concatenate([Z, Z], -1)
    value, slope = run.value_and_slope(BATCH, *twice, OMEGA, Options())
    wanted = run.value_and_slope(DAG, THETA, Z, OMEGA, Options())
    for ours, theirs in zip((value, slope), wanted, strict=True):
        np.testing.assert_allclose(ours, np.stack([theirs, theirs], -1), atol=1e-12)


def test_weighted_gradients_of_a_shared_block_are_summed():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"a": (3, [0, 1, 2]), "b": (1, [0, -1, -1])}))
    theta, weights = {"a": THETA, "b": np.array([0.5])}, np.array([1.0, -2.0, 0.0, 3.0])
    value, path = run.weighted_gradient(dag, theta, Negentropy(1.0), Options(), weights)
    single, each = run.value_and_grad(dag, {"a": THETA, "b": np.full((4, 1), 0.5)}, Negentropy(1.0), Options())
    np.testing.assert_allclose(value, single)
    np.testing.assert_allclose(path["a"], weights[:, None] * each["a"], atol=1e-12)
    np.testing.assert_allclose(path["b"], weights @ each["b"], atol=1e-12)


@pytest.mark.parametrize("function", [run.jvp, run.hvp, run.jvp_and_hvp, run.value_and_slope])
def test_a_direction_is_needed(function):
    with pytest.raises(InputError, match="z is None; expected a direction"):
        function(DAG, THETA, None, OMEGA, Options())
