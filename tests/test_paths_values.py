"""v at every node and the best path through every edge, against values at ends and all paths."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BUNDLED, GRAPHS, SMALL, combinations, graph_of, one_of_each_solver, over_operators, random_theta
from hypothesis import given
from strategies import problems

from dagdp import (
    Graph,
    HardMax,
    InputError,
    Negentropy,
    SquaredL2,
    best_path,
    compile,
    count_paths,
    dp_value,
    k_best,
    max_marginals,
    node_values,
    slack,
)
from dagdp.graphs import dtw_grid, dtw_path, linear_chain, trellis, viterbi_decode


def signed(theta, sign):
    return {name: sign * a for name, a in theta.items()} if isinstance(theta, dict) else sign * theta


@combinations(one_of_each_solver, omega=BUNDLED, name=SMALL)
def test_forward_values_are_the_values_of_paths_that_end_there(omega, name):
    """A batch of 11: a block of eight samples, and three more."""
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(1), (11,))
    for minimize in (False, True):
        found = node_values(dag, theta, omega, minimize=minimize)
        assert found.shape == (11, graph.num_nodes)
        for node in np.flatnonzero(dag.rank >= 0):
            end = node if graph.nodes is None else graph.nodes[node]
            exact = dp_value(dag, theta, omega, minimize=minimize, end=end)
            np.testing.assert_allclose(found[:, node], exact, atol=1e-11)
        assert (found[:, dag.rank < 0] == (np.inf if minimize else -np.inf)).all()


@over_operators(BUNDLED)
@given(problem=problems())
def test_backward_values_are_those_of_the_reversed_graph(omega, problem):
    edges, weights = problem
    dag, back = compile(graph_of(edges)), compile(graph_of([(j, i) for i, j in edges]))
    if dag.ends.size > 1 or dag.starts.size > 1:
        return  # a start has v = 0, an end that one of several is goes through the extra one
    found = node_values(dag, weights, omega, direction="backward")
    np.testing.assert_allclose(found[dag.starts[0]], dp_value(back, weights, omega), atol=1e-9)
    assert found[dag.ends[0]] == 0.0


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.7)], ids=repr)
def test_backward_values_at_the_starts_join_to_the_value(name, omega):
    """Where smoothing nodes is smoothing paths; several ends without `end=`, and theta that differs between items."""
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(2), (3,))
    found = node_values(dag, theta, omega, direction="backward")[:, dag.starts]
    joined = found.max(-1)
    if isinstance(omega, Negentropy):
        joined = joined + 0.7 * np.log(np.exp((found - joined[:, None]) / 0.7).sum(-1))
    np.testing.assert_allclose(joined, dp_value(dag, theta, omega), atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
def test_max_marginals_are_the_best_of_the_paths_over_each_edge(name, minimize):
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(3), (2,))
    everything = k_best(dag, theta, count_paths(dag), minimize=minimize)
    worst, best = (np.inf, np.min) if minimize else (-np.inf, np.max)
    exact = np.full((2, graph.num_edges), worst)
    for b in range(2):
        for e in range(graph.num_edges):
            over = everything.scores[b][(everything.edges[b] == e).any(-1)]
            exact[b, e] = best(over, initial=worst)
    np.testing.assert_allclose(max_marginals(dag, theta, minimize=minimize), exact, atol=1e-11)
    first = best_path(dag, theta, minimize=minimize)
    short = np.abs(first.scores[:, None] - exact)
    found = slack(dag, theta, minimize=minimize)
    np.testing.assert_allclose(found, short, atol=1e-11)
    for b in range(2):
        np.testing.assert_allclose(found[b][first.edges[b][: first.lengths[b]]], 0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_items_end_where_they_end_and_padding_is_not_read(dtype):
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2), (0, 2)]))
    theta = np.array([[1, 2, 3, 4.5, 9], [1, 2, np.nan, np.inf, np.nan], [-np.inf, -np.inf, 1, 1, -np.inf]], dtype)
    end, no = [2, 1, 2], -np.inf
    hard = HardMax()
    forward, backward = (node_values(dag, theta, hard, direction=d, end=end) for d in ("forward", "backward"))
    assert forward.dtype == dtype
    assert forward.tolist() == [[0, 2, 9], [0, 2, no], [0, no, no]]
    assert backward.tolist() == [[9, 4.5, 0], [2, 0, no], [no, 1, 0]]
    assert max_marginals(dag, theta, end=end).tolist() == [[5.5, 6.5, 5, 6.5, 9], [1, 2, no, no, no], [no] * 5]
    assert slack(dag, theta, end=end).tolist() == [[3.5, 2.5, 4, 2.5, 0], [1, 0, *[np.inf] * 3], [np.inf] * 5]


def test_values_of_nodes_by_name_and_of_an_end_that_paths_pass():
    graph = Graph(ends=["b", "c"])
    for edge in [("a", "b"), ("b", "c")]:
        graph.add_edge(*edge)
    dag = compile(graph)
    assert node_values(dag, [1.0, -2.0], HardMax(), direction="backward").tolist() == [1.0, 0.0, 0.0]
    assert node_values(dag, [1.0, -2.0], HardMax(), direction="backward", end="c").tolist() == [-1.0, -2.0, 0.0]
    assert node_values(dag, [1.0, -2.0], HardMax(), direction="backward", end="a").tolist() == [0.0, -np.inf, -np.inf]
    assert max_marginals(dag, [1.0, -2.0]).tolist() == [1.0, -1.0]


def test_accumulated_costs_of_an_alignment():
    cost = np.random.default_rng(4).random((4, 6))
    table = np.full((5, 7), np.inf)
    table[0, 0] = 0
    for i in range(4):
        for j in range(6):
            table[i + 1, j + 1] = cost[i, j] + min(table[i, j], table[i, j + 1], table[i + 1, j])
    found = node_values(compile(dtw_grid(4, 6)), cost, HardMax(), minimize=True)
    np.testing.assert_allclose(found[1:].reshape(4, 6), table[1:, 1:], atol=1e-12)


def test_tags_and_cells_are_those_of_the_shortcuts():
    rng = np.random.default_rng(5)
    theta, cost = rng.normal(size=(3, 6, 4, 4)), rng.random((3, 5, 7))
    dag = compile(trellis(6, 4, ragged=True))
    assert best_path(dag, theta, end=dag.ends_of(6)).tags(dag).tolist() == viterbi_decode(theta).tolist()
    short = best_path(dag, theta, end=dag.ends_of([6, 2, 1])).tags(dag)
    assert (short >= 0).sum(-1).tolist() == [6, 2, 1] and short[1, :2].tolist() == viterbi_decode(theta[1, :2]).tolist()
    grid = compile(dtw_grid(5, 7))
    cells, pairs = best_path(grid, cost, minimize=True).cells(grid), dtw_path(cost)
    assert cells.tolist() == pairs[:, : cells.shape[1]].tolist() and (pairs[:, cells.shape[1] :] == -1).all()
    ranked = k_best(grid, cost, 3, minimize=True).cells(grid)[:, 0]
    assert ranked[:, : cells.shape[1]].tolist() == cells.tolist()


def test_tags_and_entries_of_a_linear_chain():
    graph, rng = linear_chain(4, 3), np.random.default_rng(6)
    dag, theta = compile(graph), random_theta(graph, rng, (2,))
    path = best_path(dag, theta)
    tags = path.tags(dag)
    assert tags.tolist() == ((path.nodes[:, 1:-1] - 1) % 3).tolist()
    moves = path.entries(dag, "transition")
    assert (moves[:, 0] == -1).all() and (moves[:, -1] == -1).all()
    assert moves[:, 1:-1].tolist() == np.stack([tags[:, 1:], tags[:, :-1]], -1).tolist()
    with pytest.raises(InputError, match="expected one of the graph's potentials"):
        path.entries(dag)
    with pytest.raises(InputError, match=r"expected one of shape \(N_A, N_B\)"):
        path.cells(dag)
    other = compile(graph_of([(0, 1)]))
    with pytest.raises(InputError, match=r"expected 'emission' \(T, S\), or one potential"):
        best_path(other, [1.0]).tags(other)
    with pytest.raises(InputError, match="expected the graph that the paths are of"):
        path.entries(other)


def test_torch_gives_constant_tensors_of_the_same_numbers():
    torch = pytest.importorskip("torch")
    dag, theta = compile(trellis(4, 3)), np.random.default_rng(7).normal(size=(2, 4, 3, 3)).astype(np.float32)
    tensor = torch.tensor(theta, requires_grad=True)
    for function in (node_values, max_marginals, slack, lambda d, t: best_path(d, t).tags(d)):
        found = function(dag, tensor)
        assert isinstance(found, torch.Tensor) and not found.requires_grad
        assert found.tolist() == function(dag, theta).tolist()


def test_a_wrong_direction_is_named():
    with pytest.raises(InputError, match="direction is 'up'; expected 'forward'"):
        node_values(compile(graph_of([(0, 1)])), [1.0], SquaredL2(1.0), direction="up")


def test_nothing_depends_on_the_number_of_threads(monkeypatch):
    from dagdp import pool

    dag, theta = compile(trellis(30, 12)), np.random.default_rng(8).normal(size=(40, 30, 12, 12))
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(pool, "available", lambda threads=threads: threads)
        found.append([best_path(dag, theta).edges, node_values(dag, theta), max_marginals(dag, theta)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
