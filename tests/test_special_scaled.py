"""Graphs without potentials on edges, where the closed form keeps v in powers of two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from cases import combinations, flat, random_theta, sinks, unproved

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, Omega, reference
from dagdp.graphs import dtw_grad, dtw_grid, dtw_value
from dagdp.kernels.cpu.special.scaled import WIDEST_4, WIDEST_8

LIMITS = {"float32": WIDEST_4 * math.log(2), "float64": WIDEST_8 * math.log(2)}  # of |v|/γ


def on_nodes(seed: int, shared: bool = False) -> Graph:
    """Random edges, parallel ones too; each node's weight, and one of five more if `shared`, on all edges into it."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, 60, (300, 2)), 1)
    parents, children = ends[ends[:, 0] < ends[:, 1]].T
    potentials = {"own": ((60,), children)}
    if shared:
        potentials["kind"] = ((5,), children % 5)
    return Graph.from_edges(parents, children, ends=sinks(parents, children), potentials=potentials)


CASES = {
    "grid": lambda: dtw_grid(9, 21),
    "band": lambda: dtw_grid(14, 14, band=2),
    "random": lambda: on_nodes(0),
    "two potentials": lambda: on_nodes(1, shared=True),
}


def answers(module, dag, theta, z, omega, **options):
    """Everything there is to ask, each as one vector."""
    value, path = module.dp_value_and_grad(dag, theta, omega, **options)
    slope, change = module.dp_jvp_and_hvp(dag, theta, z, omega, **options)
    alone = module.dp_value(dag, theta, omega, **options), module.dp_jvp(dag, theta, z, omega, **options)
    return [np.ravel(value), flat(path), np.ravel(slope), flat(change), *map(np.ravel, alone)]


@pytest.mark.specialised
@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name):
    wiring = dagdp.compile(CASES[name]()).wiring
    assert wiring.incoming.potentials.size == 0 and wiring.hoisted.potentials.size > 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 9)], ids=str)
@pytest.mark.parametrize("minimize", [False, True])
def test_equal_to_the_reference(name, batch, minimize):
    graph, rng = CASES[name](), np.random.default_rng(0)
    dag = dagdp.compile(graph)
    theta, z = random_theta(graph, rng, batch), random_theta(graph, rng, batch)
    for array in theta.values() if isinstance(theta, dict) else [theta]:
        array[..., 3] = np.inf if minimize else -np.inf  # a node that is never taken
    want = answers(reference, dag, theta, z, Negentropy(0.7), minimize=minimize)
    for ours, theirs in zip(answers(dagdp, dag, theta, z, Negentropy(0.7), minimize=minimize), want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


in_float32 = combinations(lambda dtype: dtype == "float32", dtype=LIMITS)  # the kernels beyond are others in float64


@in_float32
@pytest.mark.parametrize("reach", [-0.5, 0.99, -1.01, 1.5, 100.0])
@pytest.mark.parametrize("items", [3, 20])
def test_at_the_bound_and_beyond(dtype, reach, items, monkeypatch):
    """One item reaches the largest exponent, or passes it: as exact as without powers, and so are the others."""
    graph, rng, omega = dtw_grid(6, 7), np.random.default_rng(1), Negentropy(0.5)
    dag, plain = dagdp.compile(graph), unproved(graph, monkeypatch)
    theta, z = (rng.normal(size=(items, 6, 7)).astype(dtype) for _ in range(2))
    theta[2, 0, 0] = reach * LIMITS[dtype] * 0.5
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    want = answers(dagdp, plain, theta.astype(float), z.astype(float), omega)
    for ours, theirs in zip(answers(dagdp, dag, theta, z, omega), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@in_float32
def test_blocks_beyond_the_bound_leave_the_others_as_they_are(dtype):
    """Three blocks of samples, of which the first and the last pass the bound: each has the bits that it has alone."""
    dag, rng, omega = dagdp.compile(dtw_grid(6, 7)), np.random.default_rng(5), Negentropy(0.5)
    row = 64 // np.dtype(dtype).itemsize
    theta, z = (rng.normal(size=(3 * row - 2, 6, 7)).astype(dtype) for _ in range(2))
    theta[[2, -1], 0, 0] = 1.5 * LIMITS[dtype]
    apart = [answers(dagdp, dag, theta[b : b + row], z[b : b + row], omega) for b in range(0, len(theta), row)]
    for whole, parts in zip(answers(dagdp, dag, theta, z, omega), zip(*apart, strict=True), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("items", [40, 600], ids=["one block a launch", "three"])
def test_blocks_beyond_the_bound_and_a_potential_that_the_batch_shares(items, monkeypatch):
    """What they add to its gradient is there once."""
    graph, rng, omega = on_nodes(1, shared=True), np.random.default_rng(6), Negentropy(0.5)
    dag, plain = dagdp.compile(graph), unproved(graph, monkeypatch)
    own, kind = rng.normal(size=(items, 60)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    own[[2, items // 2, -1]] *= 1e6
    ours = dagdp.dp_value_and_grad(dag, {"own": own, "kind": kind}, omega)
    theirs = dagdp.dp_value_and_grad(plain, {"own": own.astype(float), "kind": kind.astype(float)}, omega)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(ours[1]["own"], theirs[1]["own"], atol=1e-5)
    np.testing.assert_allclose(ours[1]["kind"], theirs[1]["kind"], rtol=1e-5)


@pytest.mark.parametrize("items", [1, 20])
def test_local_weights_beyond_the_bound(items, monkeypatch):
    graph, rng, omega = dtw_grid(6, 7), np.random.default_rng(8), Negentropy(0.5)
    theta = rng.normal(size=(items, 6, 7))
    theta[0, 2, 3] = -2 * LIMITS["float64"]
    ours, theirs = (
        dagdp.local_weights(dag, theta, omega) for dag in (dagdp.compile(graph), unproved(graph, monkeypatch))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-11)


@pytest.mark.parametrize("items", [1, 40])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_bad_entry_beside_one_beyond_the_bound_is_named(items, bad):
    """In the block that is done again, or in one behind it."""
    theta = np.random.default_rng(9).normal(size=(items, 6, 7)).astype(np.float32)
    theta[0, 0, 0] = 2 * LIMITS["float32"]
    for item in {0, items - 1}:
        given = theta.copy()
        given[item, 4, 5] = bad
        with pytest.raises(InputError, match=rf"theta\[{item}, 4, 5\] is {bad}"):
            dagdp.dp_value_and_grad(dagdp.compile(dtw_grid(6, 7)), given, Negentropy(0.5), minimize=True)


@pytest.mark.parametrize("items", [1, 16])
def test_one_form_within_the_bound_and_beyond(items):
    """What is kept of a form's calls is what they launch, and beyond the bound that is another kernel."""
    dag, rng, omega = dagdp.compile(dtw_grid(6, 7)), np.random.default_rng(7), Negentropy(0.5)
    near = rng.normal(size=(items, 6, 7)).astype(np.float32)
    far = near.copy()
    far[0, 0, 0] = 2 * LIMITS["float32"]
    want = [answers(dagdp, dagdp.compile(dtw_grid(6, 7)), theta, near, omega) for theta in (near, far)]
    for turn in [0, 0, 0, 1, 1, 1, 0, 1]:
        for ours, first in zip(answers(dagdp, dag, (near, far)[turn], near, omega), want[turn], strict=True):
            np.testing.assert_array_equal(ours, first)


def test_a_temperature_too_small_for_powers():
    theta = np.random.default_rng(2).normal(size=(2, 8, 8)).astype(np.float32)
    assert (dtw_grad(theta, Negentropy(1e-37)) == dtw_grad(theta.astype(float), HardMax())).all()
    np.testing.assert_allclose(
        dtw_value(theta, Negentropy(1e-37)), dtw_value(theta.astype(float), HardMax()), rtol=1e-6
    )


@pytest.mark.parametrize("beyond", [np.nan, np.inf, -np.inf, 3e38])
def test_what_stands_behind_an_end(beyond):
    """Rule 1: it is not read, and what kernels make of it reaches nobody."""
    rng = np.random.default_rng(3)
    theta = rng.normal(size=(20, 9, 9)).astype(np.float32)
    lengths = rng.integers(1, 10, 20), rng.integers(1, 10, 20)
    clean = theta.copy()
    for b, (n, m) in enumerate(zip(*lengths, strict=True)):
        theta[b, n:], theta[b, :, m:] = beyond, beyond
        clean[b, n:], clean[b, :, m:] = 0, 0
    for function in (dtw_value, dtw_grad):
        want = function(clean, lengths=lengths)
        np.testing.assert_allclose(function(theta, lengths=lengths), want, rtol=1e-5, atol=1e-6)


def test_values_in_float32_are_rounded_once():
    """Values from 1 to 10^6, of up to 400 steps, within 2e-7 of float64."""
    for scale in (0.01, 1.0, 1e3):
        theta = np.abs(np.random.default_rng(4).normal(size=(4, 200, 200)) * scale).astype(np.float32)
        exact = dtw_value(theta.astype(float), Negentropy(scale))
        np.testing.assert_allclose(dtw_value(theta, Negentropy(scale)), exact, rtol=2e-7)


@dataclass(frozen=True)
class Unshifted(Omega):
    """q log q - q: the closed form at another corner, so that every node costs γ more."""

    gamma: float = 1.0
    corner = 0.0
    solver = "exponential"

    def link(self, y):
        return math.exp(y)

    def slope(self, y):
        return math.exp(y)

    def conjugate(self, y):
        return math.exp(y)


@combinations(lambda items: items == 1, items=[1, 9])
def test_a_closed_form_of_ones_own(items):
    graph, rng = on_nodes(2), np.random.default_rng(5)
    dag = dagdp.compile(graph)
    theta = random_theta(graph, rng, (items,))
    value, path = dagdp.dp_value_and_grad(dag, theta, Unshifted(0.7))
    want, wanted = reference.dp_value_and_grad(dag, theta, Unshifted(0.7))
    np.testing.assert_allclose(value, want, atol=1e-10)
    np.testing.assert_allclose(path, wanted, atol=1e-10)
