"""The best path and the k best against all paths, sorted."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import GRAPHS, SMALL, graph_of, listed, random_theta
from hypothesis import given
from hypothesis import strategies as st
from strategies import problems

from dagdp import (
    Graph,
    HardMax,
    InputError,
    best_path,
    compile,
    count_paths,
    dp_grad,
    dp_value,
    k_best,
    sample_paths,
    support,
)
from dagdp.graphs import dtw_grid, dtw_path, linear_chain, trellis, viterbi_decode


def all_paths(edges, weights):
    """(score, path) of every path without a forbidden edge, best first."""
    paths = oracles.paths(edges, *oracles.terminals(edges))
    scored = [(sum(weights[e] for e in path), path) for path in paths]
    return sorted((pair for pair in scored if pair[0] > -np.inf), key=lambda pair: -pair[0])


@given(problem=problems(), k=st.integers(1, 40))
def test_k_best_are_the_first_of_all_paths(problem, k):
    edges, weights = problem
    expected, found = all_paths(edges, weights), k_best(compile(graph_of(edges)), weights, k)
    paths = listed(found)
    assert len(paths) == len(set(paths)) == min(k, len(expected))
    assert set(paths) <= {path for _, path in expected}
    scores = found.scores[: len(paths)]
    np.testing.assert_allclose(scores, [score for score, _ in expected[:k]], atol=1e-12)
    np.testing.assert_allclose(scores, [sum(weights[e] for e in path) for path in paths], atol=1e-12)
    assert (np.diff(scores) <= 0).all()


@given(problem=problems(), k=st.integers(2, 20))
def test_k_best_begins_with_the_k_minus_1_best_and_with_the_best_path(problem, k):
    edges, weights = problem
    dag = compile(graph_of(edges))
    longer = listed(k_best(dag, weights, k))
    assert listed(k_best(dag, weights, k - 1)) == longer[: k - 1]
    assert listed(best_path(dag, weights)) == longer[:1]


@given(problem=problems(forbidden=False))
def test_ties_go_to_the_first_edge_as_in_the_gradient(problem):
    edges, weights = problem
    dag = compile(graph_of(edges))
    weights = np.round(weights)
    marked = dp_grad(dag, weights, HardMax())
    assert set(best_path(dag, weights).edges.tolist()) - {-1} == set(np.flatnonzero(marked).tolist())


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)], ids=str)
def test_best_path_has_the_hard_value_on_every_graph(name, minimize, batch):
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(5), batch)
    path = best_path(dag, theta, minimize=minimize)
    np.testing.assert_allclose(path.scores, dp_value(dag, theta, HardMax(), minimize=minimize), atol=1e-12)
    assert path.edges.shape[:-1] == path.lengths.shape == batch
    parents, children = graph.edges()
    for edges, nodes, length in zip(
        path.edges.reshape(-1, path.edges.shape[-1]),
        path.nodes.reshape(-1, path.nodes.shape[-1]),
        np.ravel(path.lengths),
        strict=True,
    ):
        assert nodes[: length + 1].tolist() == [parents[edges[0]], *children[edges[:length]]]
        assert (edges[length:] == -1).all() and (nodes[length + 1 :] == -1).all()


@pytest.mark.parametrize("name", SMALL)
def test_more_paths_than_there_are(name):
    """Every path of every graph, once; tied potentials and several ends included."""
    graph = GRAPHS[name]()
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(6), (2,))
    total = count_paths(dag)
    found = k_best(dag, theta, 10**9)
    assert found.edges.shape[:2] == (2, total) and (found.lengths > 0).all()
    for b in range(2):
        assert len({tuple(row) for row in found.edges[b].tolist()}) == total
        assert (np.diff(found.scores[b]) <= 0).all()


def test_items_with_fewer_paths_are_filled_up():
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1)]))
    theta = np.array([[3.0, 1, 2], [-np.inf, 5, -np.inf], [-np.inf] * 3], np.float32)
    found = k_best(dag, theta, 2)
    assert found.scores.tolist() == [[3, 2], [5, -np.inf], [-np.inf, -np.inf]] and found.scores.dtype == np.float32
    assert found.edges[..., 0].tolist() == [[0, 2], [1, -1], [-1, -1]]
    assert found.lengths.tolist() == [[1, 1], [1, 0], [0, 0]]
    cheapest = best_path(dag, -theta, minimize=True)
    assert cheapest.scores.tolist() == [-3, -5, np.inf] and cheapest.nodes.tolist() == [[0, 1], [0, 1], [-1, -1]]


def test_ragged_batch_never_reads_behind_its_ends():
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2), (0, 2)]))
    theta = np.array([[1.0, 2, 3, 4.5, 9], [1.0, 2, np.nan, np.inf, np.nan]])
    found = k_best(dag, theta, 3, end=[2, 1])
    assert found.edges[0].tolist() == [[4, -1], [1, 3], [0, 3]]
    assert found.edges[1].tolist() == [[1, -1], [0, -1], [-1, -1]]
    assert found.scores.tolist() == [[9, 6.5, 5.5], [2, 1, -np.inf]]


def test_names_are_the_users():
    graph = Graph()
    for edge in [("home", "cafe"), ("home", "park"), ("cafe", "work"), ("park", "work")]:
        graph.add_edge(*edge)
    dag = compile(graph)
    assert best_path(dag, [1.0, 0, 0, 0]).names(dag) == ["home", "cafe", "work"]
    assert k_best(dag, [[1.0, 0, 0, 0]], 2).names(dag) == [[["home", "cafe", "work"], ["home", "park", "work"]]]


@pytest.mark.parametrize("k", [1, 5, 200])
def test_k_best_of_a_long_chain_has_exact_scores(k):
    """20 steps, 5 states: the k best of 5^20 by brute force over the k best prefixes of each state."""
    graph, rng = linear_chain(20, 5), np.random.default_rng(7)
    theta = {name: a.round(3) for name, a in random_theta(graph, rng).items()}
    prefixes = [[theta["start"][s] + theta["emission"][0, s]] for s in range(5)]
    for t in range(1, 20):
        steps = [
            [x + theta["transition"][s, r] + theta["emission"][t, s] for r in range(5) for x in prefixes[r]]
            for s in range(5)
        ]
        prefixes = [sorted(scores, reverse=True)[:k] for scores in steps]
    everything = sorted((x + theta["end"][s] for s in range(5) for x in prefixes[s]), reverse=True)[:k]
    np.testing.assert_allclose(k_best(compile(graph), theta, k).scores, everything, atol=1e-11)


def test_shortcuts_are_the_best_paths_of_their_graphs():
    rng = np.random.default_rng(8)
    theta, cost = rng.normal(size=(3, 6, 4, 4)), rng.integers(0, 3, (3, 5, 7)).astype(float)
    states = best_path(compile(trellis(6, 4)), theta).nodes[:, 1:-1]
    assert viterbi_decode(theta).tolist() == ((states - 1) % 4).tolist()
    cells = best_path(compile(dtw_grid(5, 7)), cost, minimize=True)
    pairs = dtw_path(cost)
    for b in range(3):
        nodes = cells.nodes[b][1 : cells.lengths[b] + 1] - 1
        assert pairs[b][: nodes.size].tolist() == np.stack(np.divmod(nodes, 7), -1).tolist()


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_k_must_be_a_number(k):
    with pytest.raises(InputError, match="expected a positive number of paths"):
        k_best(compile(graph_of([(0, 1)])), [1.0], k)


def test_a_bad_entry_is_named_in_the_users_own_array():
    theta = np.zeros((2, 3, 3))
    theta[1, 2, 0] = np.nan
    with pytest.raises(InputError, match=r"theta\[1, 2, 0\] is nan"):
        best_path(compile(dtw_grid(3, 3)), theta, minimize=True)


def test_repr_says_sizes_and_a_single_score():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    assert repr(best_path(dag, [1.0, 0.0, 0.25])) == "Paths(2 edges, score 1.25)"
    assert repr(best_path(dag, np.float32([-1.0, 0.1, 0.25]))) == "Paths(1 edge, score 0.1)"
    assert repr(best_path(dag, np.full(3, -np.inf))) == "Paths(0 edges, score -inf)"
    assert repr(k_best(dag, np.zeros((500, 7, 3)), 2)) == "Paths(shape (500, 7, 2), at most 2 edges)"


def mixed(rng: np.random.Generator) -> Graph:
    """A random graph whose edges read potentials of each kind: of the edge, of the node, and tied."""
    size = int(rng.integers(3, 10))
    parents = np.concatenate([np.arange(size - 1), rng.integers(0, size - 1, 2 * size)])
    children = np.concatenate([np.arange(1, size), [rng.integers(p + 1, size) for p in parents[size - 1 :]]])
    kinds = {
        "edge": (parents.size, np.arange(parents.size)),
        "node": (size, children),
        "tied": (3, rng.integers(-1, 3, parents.size)),
        "other": (4, rng.integers(-1, 4, parents.size)),
    }
    chosen = [name for name in kinds if rng.random() < 0.6] or ["edge"]
    return Graph.from_edges(parents, children, num_nodes=size, potentials={name: kinds[name] for name in chosen})


def with_weights(rng: np.random.Generator, count: int):
    """(graph, theta, whether to minimise): tenths, in which sums tie but for rounding, or of all magnitudes."""
    families = [trellis(5, 3), trellis(3, 4, initial="all"), dtw_grid(5, 6), dtw_grid(7, 6, band=1), linear_chain(5, 3)]
    for number in range(count):
        graph = families[number % 10] if number % 10 < 5 else mixed(rng)
        scale = (lambda a: a.round(1)) if number % 2 else (lambda a: a * 10.0 ** rng.integers(-8, 8, a.shape))
        arrays = {p.name: scale(rng.normal(size=p.shape)) for p in graph.potentials()}
        keyed = len(arrays) > 1 or (None not in arrays and "cost" not in arrays and "theta" not in arrays)
        yield graph, arrays if keyed else next(iter(arrays.values())), bool(number % 3 == 0)


def test_scores_are_the_hard_value_to_the_bit_and_the_path_is_the_one_the_gradient_marks():
    for graph, theta, minimize in with_weights(np.random.default_rng(17), 300):
        dag = compile(graph)
        path = best_path(dag, theta, minimize=minimize)
        value = dp_value(dag, theta, HardMax(), minimize=minimize)
        assert path.scores == value
        marks = dp_grad(dag, theta, HardMax(), minimize=minimize)
        taken = path.edges[path.edges >= 0]
        for potential in graph.potentials():
            read = potential.index[taken]
            uses = np.bincount(read[read >= 0], minlength=potential.size)
            assert (marks[potential.name] if isinstance(marks, dict) else marks).ravel().tolist() == uses.tolist()


def test_k_best_samples_and_support_sum_as_the_best_path_does():
    for graph, theta, minimize in with_weights(np.random.default_rng(18), 60):
        dag = compile(graph)
        value = dp_value(dag, theta, HardMax(), minimize=minimize)
        assert k_best(dag, theta, 3, minimize=minimize).scores[0] == value
        assert sample_paths(dag, theta, HardMax(), n=2, minimize=minimize).scores.tolist() == [value] * 2
        assert support(dag, theta, HardMax(), minimize=minimize).paths.scores.tolist() == [value]


def test_a_chain_of_tenths():
    dag, weights = compile(graph_of([(0, 1), (1, 2), (2, 3)])), [0.1, 0.2, 0.3]
    assert best_path(dag, weights).scores == dp_value(dag, weights, HardMax()) == 0.6
    assert k_best(dag, weights, 2).scores.tolist() == support(dag, weights).paths.scores.tolist() == [0.6]


@pytest.mark.parametrize("name", ["trellis", "grid", "parallel edges"])
def test_float32_scores_are_within_a_unit_of_the_hard_value(name):
    """One potential: both sum the weights as they are, in more bits than float32 has, and round."""
    graph, rng = GRAPHS[name](), np.random.default_rng(19)
    dag, theta = compile(graph), random_theta(graph, rng, (50,), "float32")
    path, value = best_path(dag, theta), dp_value(dag, theta, HardMax())
    assert path.scores.dtype == np.float32
    assert (np.abs(path.scores - value) <= np.spacing(np.abs(value))).all()
    exact = np.append(theta.reshape(50, -1).astype(np.float64), np.zeros((50, 1)), 1)
    index = np.append(graph.potentials()[0].index, -1)[path.edges]
    assert (path.scores == np.take_along_axis(exact, index, 1).sum(-1).astype(np.float32)).all()
