"""Levels whose parents' rows rise with their own: stretches that fill a level, that end within it, and none at all."""

from __future__ import annotations

import numpy as np
import pytest
from cases import combinations, dense, sinks, unproved

import dagdp
from dagdp import Graph, HardMax, Negentropy, SquaredL2, Tsallis, reference
from dagdp.graphs import dtw_grid

WIDTH, DEPTH = 45, 7


def ladder(straight: int, fan: int = 2) -> Graph:
    """Levels of WIDTH nodes. The first `straight` of a level read `fan` runs of neighbours on the level before, and one
    of two levels before; the others one to three nodes anywhere on the level before. All edges into a node share its
    weight.
    """
    rng, edges = np.random.default_rng(straight), []
    for level in range(1, DEPTH):
        here, before, further = (WIDTH * (level - k) for k in range(3))
        for i in range(WIDTH):
            if i < straight:
                parents = [before + (i + k) % WIDTH for k in range(fan)] + ([further + i] if level > 1 else [])
            else:
                parents = [before + int(p) for p in rng.choice(WIDTH, rng.integers(1, 4), replace=False)]
            edges += [(parent, here + i) for parent in parents]
    parents, children = np.array(edges).T
    ends = sinks(parents, children)
    return Graph.from_edges(parents, children, ends=ends, potentials={None: ((WIDTH * DEPTH,), children)})


def star(leaves: int) -> Graph:
    """One node all of whose children stand on the next level; edges from one parent are a run, or listed."""
    children = np.arange(1, leaves + 2)
    parents = np.minimum(children - 1, 1)
    ends = sinks(parents, children)
    return Graph.from_edges(parents, children, ends=ends, potentials={None: ((leaves + 2,), children)})


def answers(module, dag, theta, z, omega, **options):
    value, path = module.dp_value_and_grad(dag, theta, omega, **options)
    slope, change = module.dp_jvp_and_hvp(dag, theta, z, omega, **options)
    return [value, path, slope, change, module.dp_value(dag, theta, omega, **options)]


@combinations(
    lambda omega, straight, **_: isinstance(omega, Negentropy) or straight == 33,
    omega=[Negentropy(0.8), SquaredL2(1.3), HardMax()],
    batch=[(), (9,)],
    straight=[0, 1, 17, 33, WIDTH],
)
def test_equal_to_the_reference(omega, batch, straight):
    rng, graph = np.random.default_rng(1), ladder(straight)
    theta, z = rng.normal(size=(2, *batch, WIDTH * DEPTH))
    theta[..., 3 * WIDTH + 5] = -np.inf  # a node that is never taken, in the middle of a stretch
    dag = dagdp.compile(graph)
    want = answers(reference, dag, theta, z, omega)
    for ours, theirs in zip(answers(dagdp, dag, theta, z, omega), want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("batch", [(), (19,)], ids=str)
@pytest.mark.parametrize(("straight", "fan"), [(33, 2), (WIDTH, 6)])
@pytest.mark.parametrize("offset", [0.0, 4e5])
@combinations(lambda omega: isinstance(omega, Negentropy), omega=[Negentropy(0.8), Tsallis(1.5, 0.7), HardMax()])
def test_equal_where_nothing_is_proved(batch, straight, fan, offset, omega, monkeypatch):
    """In float32; with the offset powers of two are out of range, and v is kept in two parts, for as many rows at once
    as there is room for."""
    rng, graph = np.random.default_rng(2), ladder(straight, fan)
    theta, z = rng.normal(size=(2, *batch, WIDTH * DEPTH)).astype(np.float32)
    theta += np.float32(offset)
    want = answers(dagdp, unproved(graph, monkeypatch), theta.astype(float), z.astype(float), omega)
    for ours, theirs in zip(answers(dagdp, dagdp.compile(graph), theta, z, omega), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.specialised
@pytest.mark.parametrize("items", [1, 16])
@pytest.mark.parametrize("offset", [0.0, 2e6], ids=["powers", "two parts"])
def test_alone_and_beside_another(items, offset):
    """Side by side a level's stretches are cut where the next graph's nodes begin, and follow each other: same bits."""
    rng, graphs = np.random.default_rng(3), [ladder(33), dtw_grid(20, 31), ladder(WIDTH), ladder(0), dense(37, 3)]
    graphs += [star(1), star(3), star(3), star(40), star(33)]
    thetas = [rng.normal(size=(items, graph.potentials()[0].size)) + offset for graph in graphs]
    thetas = [theta.astype(np.float32) for theta in thetas]
    values, paths = dagdp.dp_value_and_grad(dagdp.compile_batch(graphs), np.concatenate(thetas, -1), Negentropy(0.6))
    first = 0
    for k, (graph, theta) in enumerate(zip(graphs, thetas, strict=True)):
        dag, shape = dagdp.compile(graph), graph.potentials()[0].shape
        value, path = dagdp.dp_value_and_grad(dag, theta.reshape(items, *shape), Negentropy(0.6))
        last = first + theta.shape[-1]
        np.testing.assert_array_equal(values[:, k], value)
        np.testing.assert_array_equal(paths[:, first:last], path.reshape(items, -1))
        first = last


@pytest.mark.parametrize("width", [1, 16, 37])
@pytest.mark.parametrize("offset", [0.0, 4e5], ids=["powers", "two parts"])
@combinations(lambda omega: isinstance(omega, Negentropy), omega=[Negentropy(0.8), SquaredL2(1.3)])
def test_one_sample_whose_nodes_share_their_parents(width, offset, omega):
    """Flows of many edges into one parent are summed by lanes."""
    rng, graph = np.random.default_rng(4), dense(width, 5)
    theta, z = rng.normal(size=(2, graph.num_nodes))
    dag = dagdp.compile(graph)
    want = answers(reference, dag, theta, z, omega)
    for ours, theirs in zip(answers(dagdp, dag, theta, z, omega), want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    theta, z = theta.astype(np.float32) + np.float32(offset), z.astype(np.float32)
    want = answers(dagdp, dag, theta.astype(float), z.astype(float), omega)
    for ours, theirs in zip(answers(dagdp, dag, theta, z, omega), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
