"""Weights of edges kept in the gradient between the passes: where, and that they are those that are made anew."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BUNDLED, combinations, flat, over_operators, unproved

import dagdp
from dagdp import Graph, Negentropy, SquaredL2, reference
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.lanes.prefetch import FAR

BATCHES = [(), (1,), (3,), (2, 8), (35,)]


def scattered(nodes: int = 150, ends: int = 1) -> Graph:
    """Parents and children at random distances, no node dead, edges in no order."""
    rng = np.random.default_rng(nodes)
    last = nodes - ends
    into, out_of = np.repeat(np.arange(1, nodes), 2), np.arange(last)
    before = np.minimum((into * rng.random(into.size) ** 0.5).astype(int), last - 1)
    behind = rng.integers(out_of + 1, nodes)
    parents, children = np.concatenate([before, out_of]), np.concatenate([into, behind])
    order = rng.permutation(children.size)
    return Graph.from_edges(parents[order], children[order], starts=[0], ends=np.arange(last, nodes))


KEPT = {
    "scattered": scattered,
    "several ends": lambda: scattered(ends=3),
    "trellis": lambda: trellis(9, 5),
    "wide trellis": lambda: trellis(3, 20),
    "parallel edges": lambda: Graph.from_edges([0, 0, 1, 1, 0], [1, 1, 2, 2, 2]),
}


@pytest.mark.specialised
def test_where_weights_are_kept():
    own = np.array([False])
    assert all(dagdp.compile(make()).stores_weights(own) for make in KEPT.values())
    assert not dagdp.compile(scattered()).stores_weights(np.array([True])), (
        "a shared potential has one place for all samples"
    )
    for graph in (
        dtw_grid(4, 4),
        linear_chain(4, 3),
        Graph.from_edges([0, 1], [1, 2], potentials={"t": ((1,), [0, 0])}),
    ):
        assert not dagdp.compile(graph).weights_fit


@pytest.mark.specialised
def test_entries_by_slots_are_listed_where_parents_are_in_no_order():
    assert dagdp.compile(trellis(3, 40)).wiring.incoming.slot_entries.size == 0
    dag = dagdp.compile(scattered())
    incoming = dag.wiring.incoming
    assert incoming.slot_entries.size == dag.num_edges
    first_slots = incoming.slot_entries[incoming.first[incoming.slots[1]] :][: incoming.width[incoming.slots[1]]]
    parents, _ = dag.graph.edges()
    assert set(parents[first_slots]) == {0}, "the first level's only parent is the start"


def small_enough(name, omega, batch):
    """The reference takes most of the time: it goes edge by edge, item by item."""
    return isinstance(omega, Negentropy) and (batch != (35,) or name in ("trellis", "parallel edges"))


@combinations(small_enough, name=KEPT, omega=BUNDLED, batch=BATCHES)
def test_the_same_as_made_anew(name, omega, batch, monkeypatch):
    graph = KEPT[name]()
    theta, z = np.random.default_rng(1).normal(size=(2, *batch, *graph.potentials()[0].shape))
    theta[..., 1] = -np.inf
    proved = dagdp.compile(graph)
    known, expected = reference.dp_value_and_grad(proved, theta, omega)
    known_slope, expected_change = reference.dp_jvp_and_hvp(proved, theta, z, omega)
    for dag in (proved, unproved(graph, monkeypatch)):
        value, path = dagdp.dp_value_and_grad(dag, theta, omega)
        np.testing.assert_allclose(value, known, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(flat(path), flat(expected), rtol=1e-12, atol=1e-12)
        slope, change = dagdp.dp_jvp_and_hvp(dag, theta, z, omega)
        np.testing.assert_allclose(slope, known_slope, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(flat(change), flat(expected_change), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("items", [1, 40])
def test_one_direction_for_the_batch(items):
    """z has entries of its own, shared or not, where theta's place keeps the weights."""
    dag, rng = dagdp.compile(scattered()), np.random.default_rng(items)
    theta, z = rng.normal(size=(items, dag.num_edges)), rng.normal(size=dag.num_edges)
    for omega in (Negentropy(0.7), SquaredL2(1.0)):
        expected = reference.dp_hvp(dag, theta, np.broadcast_to(z, theta.shape), omega)
        np.testing.assert_allclose(dagdp.dp_hvp(dag, theta, z, omega), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.specialised
def test_entries_far_apart():
    """One sample whose entries lie in more than FAR: they are asked for ahead."""
    rng, (parents, children) = np.random.default_rng(2), scattered(900).edges()
    entries = rng.permutation(FAR + 9)[: parents.size]
    dag = dagdp.compile(Graph.from_edges(parents, children, potentials={None: ((FAR + 9,), entries)}))
    assert dag.wiring.incoming.slot_entries.size == parents.size
    theta, z = rng.normal(size=(2, 1, FAR + 9))
    known = *reference.dp_value_and_grad(dag, theta), reference.dp_hvp(dag, theta, z)
    for ours, expected in zip((*dagdp.dp_value_and_grad(dag, theta), dagdp.dp_hvp(dag, theta, z)), known, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-13)


def test_nodes_far_apart():
    """Rows of samples whose state fills more than FAR, where rows of parents are asked for ahead."""
    graph, rng = scattered(9_000), np.random.default_rng(4)
    dag = dagdp.compile(graph)
    theta, z = rng.normal(size=(2, 16, graph.num_edges))
    assert 16 * graph.num_nodes > FAR and dag.samples_in_row(16, 8) == 8
    ours = dagdp.dp_value_and_grad(dag, theta)[1], dagdp.dp_hvp(dag, theta, z)
    for item in (0, 15):
        known = reference.dp_grad(dag, theta[item]), reference.dp_hvp(dag, theta[item], z[item])
        for mine, expected in zip(ours, known, strict=True):
            np.testing.assert_allclose(mine[item], expected, rtol=1e-11, atol=1e-13)


@over_operators(BUNDLED)
def test_bare_nodes_inside(omega):
    """Nodes whose edges read nothing may stand anywhere, and mix with others in a level."""
    rng = np.random.default_rng(5)
    graph = scattered(ends=4)
    parents, children = graph.edges()
    bare = rng.random(graph.num_nodes) < 0.3
    index = np.where(bare[children], -1, 0)
    index[index == 0] = rng.permutation(np.count_nonzero(index == 0))
    potentials = {"score": ((int(index.max()) + 1,), index)}
    mixed = Graph.from_edges(parents, children, starts=[0], ends=graph.terminals()[1], potentials=potentials)
    dag = dagdp.compile(mixed)
    for items in ((), (3,), (9,)):
        theta, z = ({"score": rng.normal(size=(*items, int(index.max()) + 1))} for _ in range(2))
        path, expected = (run(dag, theta, omega)["score"] for run in (dagdp.dp_grad, reference.dp_grad))
        np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)
        change, expected = (run(dag, theta, z, omega)["score"] for run in (dagdp.dp_hvp, reference.dp_hvp))
        np.testing.assert_allclose(change, expected, rtol=1e-11, atol=1e-12)
    index[np.flatnonzero(index >= 0)[0]] = -1
    one = Graph.from_edges(parents, children, starts=[0], ends=graph.terminals()[1], potentials={"s": ((400,), index)})
    assert not dagdp.compile(one).weights_fit, "a node with edges of both kinds"


@pytest.mark.parametrize("items", [1, 5, 40])
def test_ragged_ends(items):
    """What lies behind an item's end holds NaN, and takes no part in its gradient."""
    graph = scattered()
    dag, rng = dagdp.compile(graph), np.random.default_rng(items)
    parents, children = graph.edges()
    ends = rng.integers(1, graph.num_nodes, items)
    before = np.eye(graph.num_nodes, dtype=bool)[ends]  # [items, nodes] whether a path leads from the node to the end
    for e in np.argsort(-children, kind="stable"):
        before[:, parents[e]] |= before[:, children[e]]
    theta = np.where(before[:, children], rng.normal(size=(items, graph.num_edges)), np.nan)
    value, path = dagdp.dp_value_and_grad(dag, theta, Negentropy(0.7), end=ends)
    plain = np.where(np.isnan(theta), 0, theta)
    known, expected = reference.dp_value_and_grad(dag, plain, Negentropy(0.7), end=ends)
    np.testing.assert_allclose(value, known, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)
    z = np.where(np.isnan(theta), np.nan, rng.normal(size=theta.shape))
    change = dagdp.dp_hvp(dag, theta, z, Negentropy(0.7), end=ends)
    expected = reference.dp_hvp(dag, plain, np.where(np.isnan(z), 0, z), Negentropy(0.7), end=ends)
    np.testing.assert_allclose(change, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("batch", [(), (24,)], ids=str)
def test_float32_keeps_the_flow(batch):
    """What arrives at a node leaves it, and one path's worth arrives at the end."""
    graph = scattered(400)
    theta = np.random.default_rng(0).normal(size=(*batch, graph.num_edges), scale=30).astype("f4")
    path = dagdp.dp_grad(dagdp.compile(graph), theta)
    parents, children = graph.edges()
    rows = path.reshape(-1, graph.num_edges)
    arriving = np.stack([np.bincount(children, row, graph.num_nodes) for row in rows])
    leaving = np.stack([np.bincount(parents, row, graph.num_nodes) for row in rows])
    np.testing.assert_allclose(arriving[:, 1:-1], leaving[:, 1:-1], rtol=0, atol=2e-6)
    np.testing.assert_allclose(arriving[:, -1], 1, rtol=0, atol=2e-6)
