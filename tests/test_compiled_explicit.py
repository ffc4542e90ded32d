"""Starts that other starts reach. The oracle has such a start's extra edge in the graph, from a node of its own."""

from __future__ import annotations

import pickle

import numpy as np
import oracles
import pytest
from cases import listed, over_operators
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, reference
from dagdp.compiled.explicit import explicit_edges

EDGES = [(0, 1), (0, 2), (1, 2), (2, 3), (2, 3), (1, 4), (2, 4), (3, 4)]
WEIGHTS = np.array([2.0, 1, 2, 1, 1, 2, 3, 2])
STARTS, ENDS = [0, 1], [3, 4]
ENTERED = [(5, 1), *EDGES]  # node 5 begins the paths that begin at node 1


def graph(starts=STARTS, ends=ENDS, edges=EDGES) -> Graph:
    return Graph.from_edges(*zip(*edges, strict=True), starts=starts, ends=ends)


DAG = dagdp.compile(graph())


def by_hand(weights, omega, ends=ENDS, starts=(0, 5)):
    """(value, expected path) where the extra edge is the first of the graph."""
    value, flow = oracles.walk_back(ENTERED, np.append(0.0, weights), list(starts), ends, oracles.row_solver(omega))
    return value, flow[1:]


def test_the_value_of_the_issue():
    assert dagdp.dp_value(DAG, WEIGHTS) == pytest.approx(8.36931853580106, abs=1e-13)
    assert dagdp.dp_value(DAG, WEIGHTS, HardMax()) == 7.0
    every = [WEIGHTS[list(path)].sum() for path in oracles.paths(EDGES, STARTS, ENDS)]
    assert dagdp.count_paths(DAG) == len(every) == 17
    assert dagdp.dp_value(DAG, WEIGHTS) == pytest.approx(np.log(np.exp(every).sum()))
    assert dagdp.k_best(DAG, WEIGHTS, 20).scores.tolist() == sorted(every, reverse=True)
    assert "  starts    2; 1 start is reached from another start: 1 more node and edge each" in DAG.explain()


@over_operators()
@pytest.mark.parametrize("options", [{}, {"end": 1}, {"start": 1}, {"start": 0}, {"start": 1, "end": 3}])
def test_derivatives_by_hand(omega, options):
    starts = {None: [0, 5], 0: [0], 1: [5]}[options.get("start")]
    ends = [options["end"]] if "end" in options else ENDS
    theta, z = WEIGHTS + np.random.default_rng(1).normal(size=8) / 5, np.arange(8.0)  # no ties
    value, flow = by_hand(theta, omega, ends, starts)
    change = oracles.central(lambda t: by_hand(theta + t * z, omega, ends, starts)[1], 1e-4)
    for functions in (dagdp, reference):
        got = functions.dp_value_and_grad(DAG, theta, omega, **options)
        np.testing.assert_allclose(got[0], value, atol=1e-12)
        np.testing.assert_allclose(got[1], flow, atol=1e-12)
        slope, product = functions.dp_jvp_and_hvp(DAG, theta, z, omega, **options)
        np.testing.assert_allclose(slope, flow @ z, atol=1e-11)
        np.testing.assert_allclose(product, change, atol=1e-6)


def test_float32_batches_starts_and_ends_by_item():
    rng = np.random.default_rng(0)
    theta, starts, ends = rng.normal(size=(20, 8)), rng.integers(0, 2, 20), rng.integers(1, 5, 20)
    value, flow = dagdp.dp_value_and_grad(DAG, theta.astype(np.float32), start=starts, end=ends)
    for row, start, end, v, e in zip(theta, starts, ends, value, flow, strict=True):
        want = by_hand(row, Negentropy(1.0), [end], [5 if start else 0])
        np.testing.assert_allclose(v, want[0], rtol=1e-5)
        np.testing.assert_allclose(e, want[1], atol=1e-5)
    with pytest.raises(InputError, match="start 2 is no start of the graph; expected one of 2, such as \\[0, 1\\]"):
        dagdp.dp_value(DAG, theta, start=2)


@settings(max_examples=40, deadline=None)
@given(problems(), st.data())
def test_random_starts(problem, data):
    """Any nodes but the ends may be starts: values, flows, counts, and the order of paths."""
    edges, weights = problem
    nodes = sorted({node for edge in edges for node in edge})
    ends = [node for node in nodes if node not in {parent for parent, _ in edges}]
    starts = data.draw(st.lists(st.sampled_from([n for n in nodes if n not in ends]), min_size=1, unique=True))
    every = list(oracles.paths(edges, starts, ends))
    dag = dagdp.compile(graph(starts, ends, edges))
    assert dagdp.count_paths(dag) == len(every)
    scores = [weights[list(path)].sum() for path in every]
    with np.errstate(divide="ignore"):
        assert dagdp.dp_value(dag, weights) == pytest.approx(np.log(np.exp(scores).sum()), abs=1e-9)
    best = dagdp.best_path(dag, weights)
    assert best.scores == max(scores) == dagdp.dp_value(dag, weights, HardMax())
    if max(scores) > -np.inf:
        assert listed(best)[0] in every
        assert np.flatnonzero(dagdp.dp_grad(dag, weights, HardMax())).tolist() == sorted(listed(best)[0])
        assert listed(dagdp.k_best(dag, weights, 1)) == listed(best)
    ranked = dagdp.k_best(dag, weights, len(every))
    assert sorted(listed(ranked)) == sorted(p for p, s in zip(every, scores, strict=True) if s > -np.inf)


def test_ties_prefer_to_begin_here():
    dag = dagdp.compile(graph(ends=[4], edges=[(0, 1), (0, 1), (1, 4)]))
    for function in (dagdp.dp_grad, reference.dp_grad):
        assert function(dag, [0.0, 0.0, 1.0], HardMax()).tolist() == [0.0, 0.0, 1.0]
    assert dagdp.k_best(dag, [0.0, 0.0, 1.0], 5).names(dag) == [[1, 4], [0, 1, 4], [0, 1, 4]]
    assert dagdp.best_path(dag, [0.0, 0.0, 1.0]).names(dag) == [1, 4]
    assert dagdp.local_weights(dag, [0.0, 0.0, 1.0], HardMax()).tolist() == [0.0, 0.0, 1.0]


@over_operators()
def test_questions_about_paths(omega):
    value, flow = by_hand(WEIGHTS, omega)
    found, paths = dagdp.support(DAG, WEIGHTS, omega)
    rows = listed(paths)
    assert set(rows) <= set(oracles.paths(EDGES, STARTS, ENDS)) and len(rows) == dagdp.support_size(DAG, WEIGHTS, omega)
    mean = sum(p * np.bincount(row, minlength=8) for p, row in zip(found, rows, strict=True))
    np.testing.assert_allclose(mean, flow, atol=1e-12)
    np.testing.assert_allclose(np.exp(dagdp.path_log_prob(DAG, WEIGHTS, paths, omega)), found, atol=1e-12)
    np.testing.assert_allclose(dagdp.entropy(DAG, WEIGHTS, omega), -(found * np.log(found)).sum(), atol=1e-12)
    np.testing.assert_allclose(dagdp.expectation(DAG, WEIGHTS, omega, np.arange(8.0)), flow @ np.arange(8.0))
    visited = sum(
        p * np.bincount([EDGES[row[0]][0], *(EDGES[e][1] for e in row)], minlength=5)
        for p, row in zip(found, rows, strict=True)
    )
    np.testing.assert_allclose(dagdp.node_marginals(DAG, WEIGHTS, omega), visited, atol=1e-12)
    draws = dagdp.sample_paths(DAG, WEIGHTS, omega, n=3000, seed=0)
    assert set(listed(draws)) <= set(rows)
    assert abs((draws.nodes[:, 0] == 1).mean() - sum(found[paths.nodes[:, 0] == 1])) < 0.03
    low, high = dagdp.gap_bound(DAG, omega)
    assert low - 1e-9 <= dagdp.dp_value(DAG, WEIGHTS, HardMax()) - value <= high + 1e-9


def test_where_an_item_ends_at_such_a_start():
    """The path without edges is one of its paths; under SquaredL2 it visits the start and pays for it."""
    ranked = dagdp.k_best(DAG, WEIGHTS, 3, end=1)
    assert ranked.names(DAG) == [[0, 1], [1]] and ranked.lengths.tolist() == [1, 0] and ranked.scores.tolist() == [2, 0]
    assert np.exp(dagdp.path_log_prob(DAG, WEIGHTS, ranked, end=1)).sum() == pytest.approx(1)
    assert dagdp.best_path(DAG, -WEIGHTS, end=1).names(DAG) == [1] and dagdp.count_paths(DAG, end=1) == 2
    assert dagdp.dp_value(DAG, WEIGHTS, SquaredL2(1.0), start=1, end=1) == -0.5
    draws = dagdp.sample_paths(DAG, -WEIGHTS, n=50, seed=0, end=[1])
    assert sorted(map(tuple, np.unique(draws.nodes[0], axis=0).tolist())) == [(0, 1), (1, -1)]
    visits = dagdp.node_marginals(DAG, WEIGHTS, end=[0, 1])[:, :2]
    np.testing.assert_allclose(visits, [[1, 0], [1 / (1 + np.exp(-2)), 1]], atol=1e-12)


def test_v_of_nodes_and_best_paths_through_edges():
    every = list(oracles.paths(EDGES, STARTS, ENDS))
    through = [max(WEIGHTS[list(path)].sum() for path in every if e in path) for e in range(8)]
    assert dagdp.max_marginals(DAG, WEIGHTS).tolist() == through
    assert dagdp.slack(DAG, WEIGHTS).tolist() == [7 - score for score in through]
    forward = dagdp.node_values(DAG, -WEIGHTS, HardMax())
    assert forward.tolist() == [0, 0, -1, -2, -2]
    assert dagdp.node_values(DAG, WEIGHTS, HardMax(), direction="backward").tolist() == [7, 5, 3, 2, 0]


def test_a_batch_of_graphs_holds_one():
    other = Graph.from_edges([0, 0, 1], [1, 2, 2])
    batch, theta = dagdp.compile_batch([graph(), other, graph()]), [WEIGHTS, np.ones(3), WEIGHTS[::-1].copy()]
    value, flow = dagdp.dp_value_and_grad(batch, theta)
    for g in (0, 2):
        want = by_hand(theta[g], Negentropy(1.0))
        assert value[g] == pytest.approx(want[0])
        np.testing.assert_allclose(flow[g], want[1], atol=1e-12)
    assert dagdp.best_path(batch, theta).of_graph(0).names(DAG) == [0, 1, 2, 4]
    assert dagdp.k_best(batch, theta, 2).of_graph(2).scores.tolist() == dagdp.k_best(DAG, theta[2], 2).scores.tolist()


def test_named_potentials_keep_their_entries():
    tied = Graph(starts=["a", "b"], ends=["c"], potentials={"w": (2,)})
    for parent, child, w in [("a", "b", 0), ("b", "c", 1), ("a", "c", 0)]:
        tied.add_edge(parent, child, w=w)
    dag = dagdp.compile(tied)
    value, flow = dagdp.dp_value_and_grad(dag, {"w": np.array([1.0, 2.0])}, start=["a", "b"])
    np.testing.assert_allclose(value, [np.logaddexp(3.0, 1.0), 2.0])
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(flow["w"], [1.0, p + 1])
    assert dagdp.best_path(dag, [1.0, 2.0]).names(dag) == ["a", "b", "c"]
    assert dagdp.best_path(pickle.loads(pickle.dumps(dag)), [-1.0, 2.0]).names(dag) == ["b", "c"]


def test_numbers_of_added_nodes_follow_the_user_s():
    edges = explicit_edges(DAG)
    assert (edges.num_nodes, edges.end, edges.starts.tolist(), edges.joined) == (7, 5, [0, 6], 2)
    assert list(zip(edges.parents.tolist(), edges.children.tolist(), strict=True)) == [*EDGES, (3, 5), (4, 5), (6, 1)]
    assert edges.tie_order.tolist() == [10, *range(10)]
    assert edges.leaving_entrance(np.array([0, 1, 4])).tolist() == [-1, 10, -1]
    plain = explicit_edges(dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 2])))
    assert plain.tie_order.tolist() == [0, 1, 2] and plain.leaving_entrance(np.array([0])).tolist() == [-1]


@over_operators([HardMax(), Negentropy(1.0), SquaredL2(1.0)])
@pytest.mark.parametrize("options", [{}, {"end": [0, 1, 4]}, {"start": [0, 1, 1]}])
def test_tensors(omega, options):
    torch = pytest.importorskip("torch")
    theta = np.stack([WEIGHTS, WEIGHTS[::-1], -WEIGHTS])
    value, flow = dagdp.dp_value_and_grad(DAG, theta, omega, **options)
    for backend in (None, "torch"):
        given = torch.tensor(theta, requires_grad=True)
        got = dagdp.dp_value(DAG, given, omega, backend=backend, **options)
        np.testing.assert_allclose(got.detach(), value, atol=1e-12)
        np.testing.assert_allclose(torch.autograd.grad(got.sum(), given)[0], flow, atol=1e-12)


def test_tensors_for_alpha_and_true_paths():
    torch = pytest.importorskip("torch")
    from dagdp.nn import Learnable, Target, crf_loss

    alpha = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    for options in ({}, {"start": [0, 1]}, {"end": [1, 4]}):
        value = dagdp.dp_value(DAG, torch.tensor(WEIGHTS), Learnable(dagdp.Tsallis(1.2), alpha=alpha), **options)
        slope = oracles.central(
            lambda t, own=options: dagdp.dp_value(DAG, WEIGHTS, dagdp.Tsallis(1.3 + t), **own).sum(), 1e-4
        )
        assert torch.autograd.grad(value.sum(), alpha)[0].item() == pytest.approx(slope, abs=1e-7)
    target = Target.from_nodes(DAG, [[1, 4], [0, 1]])
    loss = crf_loss(DAG, torch.tensor(WEIGHTS).expand(2, 8), target, end=target.end)
    np.testing.assert_allclose(loss.item(), (dagdp.dp_value(DAG, WEIGHTS, end=[4, 1]) - 2).mean(), atol=1e-12)
