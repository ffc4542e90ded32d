"""Potentials of a block of samples brought in the order of edges: where, and that nothing but time changes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from cases import BUNDLED, combinations, one_of_each_solver_and_type, sinks
from test_special_stored_weights import scattered

import dagdp
from dagdp import Graph, InputError, Negentropy
from dagdp.graphs import trellis
from dagdp.lanes.prefetch import FAR


def sparse(nodes: int = 200, entries: int = 700) -> Graph:
    """A scattered graph that reads some of the entries, and none at a sixth of its nodes."""
    rng = np.random.default_rng(nodes)
    parents, children = scattered(nodes, ends=2).edges()
    index = rng.permutation(entries)[: parents.size]
    index[children % 6 == 0] = -1
    ends = sinks(parents, children)
    return Graph.from_edges(parents, children, starts=[0], ends=ends, potentials={None: ((entries,), index)})


def edge_by_edge(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> dagdp.CompiledDAG:
    """The graph compiled without an order of its entries."""
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["dagdp.compiler.edge_potentials"], "LARGEST_FAN_IN", 0)
        return dagdp.compile(graph)


@pytest.mark.specialised
def test_the_reader_of_each_entry():
    graph = sparse()
    dag, index = dagdp.compile(graph), graph.potentials()[0].index
    incoming = dag.wiring.incoming
    assert (np.flatnonzero(incoming.reader >= 0) == np.sort(index[index >= 0])).all()
    edges = np.sort(incoming.reader[incoming.reader >= 0])
    assert np.unique(edges).size == edges.size and edges[-1] < dag.num_edges
    first_edge = incoming.reader[index[np.flatnonzero(index >= 0)[0]]]
    node = np.searchsorted(incoming.edges, first_edge, side="right") - 1
    assert dag.origin[node] == graph.edges()[1][np.flatnonzero(index >= 0)[0]]


@pytest.mark.specialised
def test_where_entries_are_not_brought_in_order():
    parents, children = trellis(3, 20).edges()
    entries = np.random.default_rng(0).permutation(parents.size)
    wide = Graph.from_edges(parents, children, potentials={"w": ((parents.size,), entries)})
    for graph in (trellis(3, 40), scattered(20), wide):  # in order; few; many edges a node
        dag = dagdp.compile(graph)
        assert dag.weights_fit and dag.wiring.incoming.reader.size == 0


@pytest.mark.specialised
@combinations(one_of_each_solver_and_type, make=[scattered, sparse], omega=BUNDLED, dtype=["float32", "float64"])
def test_the_same_as_edge_by_edge(make, omega, dtype, monkeypatch):
    """To the bit, but where nodes read nothing: edge by edge their weights are made anew from v."""
    graph, rng = make(), np.random.default_rng(1)
    ordered, plain = dagdp.compile(graph), edge_by_edge(graph, monkeypatch)
    (potential,) = ordered.potentials
    assert ordered.wiring.incoming.reader.size == potential.size and plain.wiring.incoming.reader.size == 0
    tolerance = 0 if make is scattered else 100 * np.finfo(dtype).eps
    for items in (9, 16, 37):
        theta = rng.normal(size=(items, potential.size)).astype(dtype)
        theta[rng.random(theta.shape) < 0.1] = -np.inf
        for end in (None, rng.choice(np.flatnonzero(ordered.rank > 50), items)):
            (value, path), known = (dagdp.dp_value_and_grad(dag, theta, omega, end=end) for dag in (ordered, plain))
            np.testing.assert_array_equal(value, known[0])
            np.testing.assert_allclose(path, known[1], rtol=tolerance, atol=tolerance / 100)
            for z in (rng.normal(size=theta.shape).astype(dtype), rng.normal(size=potential.size).astype(dtype)):
                found, known = (dagdp.dp_jvp_and_hvp(dag, theta, z, omega, end=end) for dag in (ordered, plain))
                np.testing.assert_array_equal(found[0], known[0])
                np.testing.assert_allclose(found[1], known[1], rtol=100 * tolerance, atol=10 * tolerance)


def test_entries_that_no_edge_reads_may_hold_anything():
    graph, rng = sparse(), np.random.default_rng(2)
    dag, index = dagdp.compile(graph), graph.potentials()[0].index
    theta = np.full((20, 700), np.nan)
    theta[:, index[index >= 0]] = rng.normal(size=(20, np.count_nonzero(index >= 0)))
    value, path = dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert np.isfinite(value).all() and (path[np.isnan(theta)] == 0).all()
    theta[13, index[index >= 0][5]] = np.nan
    with pytest.raises(InputError, match=rf"theta\[13, {index[index >= 0][5]}\] is nan"):
        dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))


def test_rows_far_apart(monkeypatch):
    """More than FAR numbers in a block's rows: they are asked for ahead."""
    graph = sparse(4_000, 12_345)
    dag, plain = dagdp.compile(graph), edge_by_edge(graph, monkeypatch)
    assert 16 * dag.num_edges > FAR
    theta = np.random.default_rng(3).normal(size=(17, 12_345)).astype(np.float32)
    for ours, known in zip(*(dagdp.dp_value_and_grad(each, theta) for each in (dag, plain)), strict=True):
        np.testing.assert_allclose(ours, known, rtol=1e-5, atol=1e-7)
