"""The best path of every graph of a batch against `best_path` of the graph alone."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS, random_theta

import dagdp
from dagdp import Graph, InputError, best_path, compile, compile_batch
from dagdp import batch as batch_module
from dagdp.graphs import dtw_grid, linear_chain, trellis

NAMES = ["one edge", "parallel edges", "two starts, two ends", "dead ends", "wide", "grid"]


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("build", [lambda: [GRAPHS[n]() for n in NAMES], lambda: [linear_chain(T, 3) for T in (2, 4)]])
@pytest.mark.parametrize("minimize", [False, True])
def test_a_best_path_for_each_graph(build, batch, minimize, monkeypatch):
    monkeypatch.setattr(batch_module, "UNION_EDGES", 20)
    graphs, rng = build(), np.random.default_rng(0)
    theta = [random_theta(graph, rng, batch) for graph in graphs]
    ours = best_path(compile_batch(graphs), theta, minimize=minimize)
    assert ours.scores.shape == ours.lengths.shape == (*batch, len(graphs))
    for g, graph in enumerate(graphs):
        alone = best_path(compile(graph), theta[g], minimize=minimize)
        np.testing.assert_allclose(ours.scores[..., g], alone.scores, rtol=1e-12)
        np.testing.assert_array_equal(ours.lengths[..., g], alone.lengths)
        size = alone.edges.shape[-1]
        np.testing.assert_array_equal(ours.edges[..., g, :size], alone.edges)
        np.testing.assert_array_equal(ours.nodes[..., g, : size + 1], alone.nodes)
        assert (ours.edges[..., g, size:] == -1).all()


@pytest.mark.parametrize("union_edges", [40, 10**6])
def test_scores_are_the_hard_values_of_the_batch_to_the_bit(union_edges, monkeypatch):
    """Graphs with potentials of edges and of nodes; tenths, whose sums hang on the order of additions."""
    monkeypatch.setattr(batch_module, "UNION_EDGES", union_edges)
    rng = np.random.default_rng(3)
    for graphs in ([linear_chain(T, 3) for T in (2, 9, 5, 7)], [dtw_grid(n, 6) for n in (3, 8)], [trellis(9, 3)] * 3):
        compiled = compile_batch(graphs)
        theta = [random_theta(graph, rng, (20,)) for graph in graphs]
        theta = [{k: a.round(1) for k, a in t.items()} if isinstance(t, dict) else t.round(1) for t in theta]
        for minimize in (False, True):
            value = dagdp.dp_value(compiled, theta, dagdp.HardMax(), minimize=minimize)
            paths = best_path(compiled, theta, minimize=minimize)
            assert (paths.scores == value).all()
            for g, graph in enumerate(graphs):
                alone = best_path(compile(graph), theta[g], minimize=minimize)
                assert (alone.scores == value[:, g]).all()
                assert (alone.edges == paths.edges[:, g, : alone.edges.shape[1]]).all()


def test_names_ends_and_graphs_without_a_path():
    named = Graph()
    for parent, child in ("ab", "ac", "bc", "cd"):
        named.add_edge(parent, child)
    compiled = compile_batch([named, Graph.from_edges([0, 1], [1, 2])])
    theta = [np.array([1.0, 1.5, 1.0, 0.0]), np.array([0.0, -np.inf])]
    paths = best_path(compiled, theta, end=["c", None])
    assert paths.names(compiled) == [["a", "b", "c"], []]
    assert paths.scores.tolist() == [2.0, -np.inf] and paths.lengths.tolist() == [2, 0]
    twice = best_path(compiled, [np.stack([t, t]) for t in theta])
    assert twice.names(compiled) == [[["a", "b", "c", "d"], []]] * 2
    with pytest.raises(InputError, match=r"^theta\[1\]\[0\] is nan"):
        best_path(compiled, [theta[0], np.array([np.nan, 0.0])])


def test_tensors():
    torch = pytest.importorskip("torch")
    compiled = compile_batch([Graph.from_edges([0, 0], [1, 1]), Graph.from_edges([0], [1])])
    paths = best_path(compiled, [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5])])
    assert isinstance(paths.edges, torch.Tensor) and paths.scores.dtype == torch.float32
    assert paths.edges.tolist() == [[1], [0]] and dagdp.dp_value(compiled, [[1.0, 2.0], [0.5]]).shape == (2,)
