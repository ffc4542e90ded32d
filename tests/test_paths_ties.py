"""Tied best paths against all paths, sorted: listed, and shared edge by edge."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracles
import pytest
from cases import graph_of, listed
from hypothesis import given
from hypothesis import strategies as st
from strategies import problems

import dagdp
from dagdp import Graph, InputError, best_path, compile, compile_batch
from dagdp.graphs import dtw_grid


def best_of(edges, weights):
    """Every path of the highest score."""
    scored = [(sum(weights[e] for e in path), path) for path in oracles.paths(edges, *oracles.terminals(edges))]
    highest = max((score for score, _ in scored), default=-np.inf)
    return {path for score, path in scored if score == highest > -np.inf}


def shared(edges, weights):
    """Each edge's share, in fractions: from the ends back, the edges of best paths into a node divide its flow."""
    best, flow = best_of(edges, weights), {}
    share = [Fraction(0)] * len(edges)
    starts, ends = oracles.terminals(edges)
    reached = {edges[path[-1]][1] for path in best}
    flow = {node: Fraction(1, len(reached)) for node in reached}
    used = {e for path in best for e in path}
    pending = list(flow)
    order = sorted({node for edge in edges for node in edge}, key=lambda node: -depth(edges, node))
    assert set(pending) <= set(ends) and not set(starts) & set(pending)
    for node in order:
        into = [e for e in used if edges[e][1] == node]
        for e in into:
            share[e] = flow[node] / len(into)
            flow[edges[e][0]] = flow.get(edges[e][0], Fraction(0)) + share[e]
    return share


def depth(edges, node):
    """Edges on the longest path into a node."""
    return max((1 + depth(edges, parent) for parent, child in edges if child == node), default=0)


few = st.sampled_from([0.0, 1.0, 2.0, -np.inf])


@given(problem=problems(), data=st.data())
def test_every_best_path_is_listed_once_and_the_first_leads(problem, data):
    edges, _ = problem
    weights = data.draw(st.lists(few, min_size=len(edges), max_size=len(edges)))
    dag = compile(graph_of(edges))
    paths = listed(best_path(dag, weights, ties="list"))
    assert set(paths) == best_of(edges, weights) and len(paths) == len(set(paths))
    assert paths[:1] == listed(best_path(dag, weights))


@given(problem=problems(), data=st.data())
def test_shares_are_divided_evenly_at_each_node(problem, data):
    edges, _ = problem
    weights = data.draw(st.lists(few, min_size=len(edges), max_size=len(edges)))
    found = best_path(compile(graph_of(edges)), weights, ties="share")
    np.testing.assert_allclose(found, [float(part) for part in shared(edges, weights)], atol=1e-15)


def test_shares_are_the_gradient_of_torchs_amin():
    torch = pytest.importorskip("torch")
    cost = torch.tensor(np.random.default_rng(0).integers(0, 2, size=(6, 7)).astype(float), requires_grad=True)
    v = {}
    for i, j in np.ndindex(*cost.shape):
        before = [v[at] for at in [(i - 1, j - 1), (i - 1, j), (i, j - 1)] if at in v]
        v[i, j] = (torch.stack(before).amin(0) if before else 0.0) + cost[i, j]
    v[5, 6].backward()

    dag = compile(dtw_grid(6, 7))
    share = best_path(dag, cost.detach().numpy(), minimize=True, ties="share")
    entries = dag.potentials[0].index
    by_cell = np.bincount(entries[entries >= 0], share[entries >= 0], cost.numel()).reshape(cost.shape)
    np.testing.assert_allclose(by_cell, cost.grad, atol=1e-15)
    assert len(set(share.tolist())) > 3


def test_derivations_tie():
    """Two binary trees over three words of equal score, and each has a part of the flow."""
    text = """
        c[i, i+1] = word[i]
        c[i, k] = max[j](when(i < j and j < k, c[i, j] + c[j, k]))
        return c[0, -1]
    """
    dag = compile(dagdp.recurrence(text, i=3, j=4, k=4))
    trees = best_path(dag, np.zeros(3), ties="list")
    assert trees.edges.shape[0] == 2 and trees.scores.tolist() == [0.0, 0.0]
    assert len({str(tree) for tree in trees.names(dag)}) == 2
    share = best_path(dag, np.zeros(3), ties="share")
    assert share.tolist() == [1.0 / 2 if count == 1 else 1.0 for count in _uses(trees)]


def _uses(trees):
    """[edges] in how many of the trees each edge stands."""
    flat = trees.edges[trees.edges >= 0]
    return np.bincount(flat).tolist()


def test_a_batch_of_items_and_of_graphs():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    theta = np.array([[1.0, 3.0, 2.0], [1.0, 0.0, 2.0], [-np.inf, -np.inf, 0.0]])
    paths = best_path(dag, theta, ties="list")
    assert paths.edges.tolist() == [[[1, -1], [0, 2]], [[0, 2], [-1, -1]], [[-1, -1], [-1, -1]]]
    assert paths.scores.tolist() == [[3.0, 3.0], [3.0, -np.inf], [-np.inf, -np.inf]]
    assert best_path(dag, theta, ties="share").tolist() == [[0.5, 0.5, 0.5], [1.0, 0.0, 1.0], [0.0] * 3]

    batch = compile_batch([Graph.from_edges([0, 0, 1], [1, 2, 2]), Graph.from_edges([0], [1])])
    both = best_path(batch, [theta[0], np.zeros(1)], ties="list")
    assert both.edges.tolist() == [[[1, -1], [0, 2]], [[0, -1], [-1, -1]]]
    assert both.of_graph(0).names(batch.dags[0]) == paths.names(dag)[0]
    assert [own.tolist() for own in best_path(batch, [theta[0], np.zeros(1)], ties="share")] == [[0.5] * 3, [1.0]]


def test_end_and_dtype():
    dag = compile(Graph.from_edges([0, 0, 1, 2], [1, 1, 2, 3], ends=[1, 3]))
    share = best_path(dag, np.zeros((2, 4), np.float32), end=[1, 3], ties="share")
    assert share.dtype == np.float32 and share.tolist() == [[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 1.0, 1.0]]
    assert best_path(dag, np.zeros(4), end=3, ties="list").lengths.tolist() == [3, 3]


def test_tensors_give_tensors():
    torch = pytest.importorskip("torch")
    dag = compile(Graph.from_edges([0, 0], [1, 1]))
    share = best_path(dag, torch.zeros(2, requires_grad=True), ties="share")
    assert share.tolist() == [0.5, 0.5] and not share.requires_grad


def test_what_ties_cannot_be():
    dag = compile(Graph.from_edges([0], [1]))
    with pytest.raises(InputError, match=r"ties is 'all'; expected one of \('first', 'list', 'share'\)"):
        best_path(dag, [0.0], ties="all")


def test_too_many_paths_are_refused_before_they_are_made():
    dag = compile(dtw_grid(60, 60))
    with pytest.raises(InputError, match="best paths tie, of up to 119 edges in each of 1 items; expected at most"):
        best_path(dag, np.zeros((60, 60)), ties="list")
    assert best_path(dag, np.zeros((60, 60)), ties="share")[-3:].sum() == pytest.approx(1.0)
