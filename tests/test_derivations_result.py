"""Derivations as a record, checks of derivations that users pass, and parsers against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import projective_trees

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, compile


def grammar(words: int) -> Graph:
    """Every binary tree over a number of words; node (i, k) derives words i to k - 1."""
    graph = Graph(potentials={"word": (words,), "span": (words, words + 1)}, ends=[(0, words)])
    for i in range(words):
        graph.add_edge("start", (i, i + 1), word=i)
    for width in range(2, words + 1):
        for i in range(words - width + 1):
            for j in range(i + 1, i + width):
                graph.add_hyperedge(((i, j), (j, i + width)), (i, i + width), span=(i, i + width))
    return graph


def dependency(words: int) -> Graph:
    """Eisner's algorithm: items are spans with the head at their left or right end, with or without room for more."""
    graph = Graph(potentials={"arc": (words + 1, words + 1)}, ends=[("right", 0, words)])
    for width in range(1, words + 1):
        for i in range(words + 1 - width):
            j = i + width
            for k in range(i, j):
                halves = ("right", i, k), ("left", k + 1, j)
                graph.add_hyperedge(halves, ("arc right", i, j), arc=(i, j))
                if i > 0:
                    graph.add_hyperedge(halves, ("arc left", i, j), arc=(j, i))
            for k in range(i + 1, j + 1):
                graph.add_hyperedge((("arc right", i, k), ("right", k, j)), ("right", i, j))
                if i > 0:
                    graph.add_hyperedge((("left", i, k - 1), ("arc left", k - 1, j)), ("left", i, j))
    return graph


def heads_of(dag, derivations) -> list[tuple[int, ...]]:
    """For each derivation the head of every word."""
    found = []
    for arcs in derivations.entries(dag, "arc").reshape(-1, derivations.edges.shape[-1], 2):
        heads = {word: head for head, word in arcs.tolist() if word > 0}
        found.append(tuple(heads[word] for word in sorted(heads)))
    return found


@pytest.mark.parametrize("words", [1, 2, 5, 20])
def test_binary_trees_are_counted_by_catalan(words):
    assert dagdp.count_paths(compile(grammar(words))) == math.comb(2 * words - 2, words - 1) // words


@pytest.mark.parametrize("words", [2, 4, 6])
def test_eisner_finds_the_projective_trees(words):
    dag, arc = compile(dependency(words)), np.random.default_rng(words).normal(size=(words + 1, words + 1))
    trees = projective_trees(words)
    scores = {heads: sum(arc[head, word] for word, head in enumerate(heads, 1)) for heads in trees}
    assert dagdp.count_paths(dag) == len(trees) == math.comb(3 * words, words) // (2 * words + 1)
    best = dagdp.k_best(dag, {"arc": arc}, 10)
    ranked = sorted(trees, key=scores.get, reverse=True)[:10]  # type: ignore[arg-type]
    assert heads_of(dag, best) == ranked
    np.testing.assert_allclose(best.scores, [scores[heads] for heads in ranked], atol=1e-12)
    assert heads_of(dag, dagdp.best_path(dag, {"arc": arc})) == ranked[:1]
    total = np.logaddexp.reduce(list(scores.values()))
    assert dagdp.dp_value(dag, {"arc": arc}, Negentropy(1.0)) == pytest.approx(total)
    expected = np.zeros_like(arc)
    for heads, own in scores.items():
        for word, head in enumerate(heads, 1):
            expected[head, word] += math.exp(own - total)
    np.testing.assert_allclose(dagdp.dp_grad(dag, {"arc": arc}, Negentropy(1.0))["arc"], expected, atol=1e-12)
    drawn = dagdp.sample_paths(dag, {"arc": arc}, Negentropy(1.0), n=2000, seed=0)
    share = np.array([heads == ranked[0] for heads in heads_of(dag, drawn)]).mean()
    assert share == pytest.approx(math.exp(scores[ranked[0]] - total), abs=0.04)


def test_a_node_derived_twice():
    """Both parents of the hyperedge are one node, which may draw two different edges."""
    dag = compile(Graph.from_edges([[0, -1], [0, -1], [1, 1]], [1, 1, 2]))
    found = dagdp.k_best(dag, [1.0, 0.5, 0.25], 9)
    assert found.edges.tolist() == [[2, 0, 0], [2, 0, 1], [2, 1, 0], [2, 1, 1]]
    assert found.scores.tolist() == [2.25, 1.75, 1.75, 1.25]
    assert found.counts(dag).tolist()[0] == [2, 0, 1]
    assert dagdp.node_marginals(dag, [1.0, 0.5, 0.25]).tolist() == [2.0, 2.0, 1.0]
    assert found.names(dag)[0] == (2, ((1, ((0, ()),)), (1, ((0, ()),))))


def test_ties_go_to_the_first_edge():
    dag = compile(Graph.from_edges([[0, 0], [0, -1], [0, -1]], [1, 1, 1]))
    assert dagdp.k_best(dag, [0.5, 0.5, 0.5], 3).edges.tolist() == [[0], [1], [2]]


def doubling(levels: int) -> Graph:
    """Each node is derived twice by the next one: 2^levels - 1 edges in a derivation."""
    return Graph.from_edges(np.repeat(np.arange(levels), 2).reshape(-1, 2), np.arange(1, levels + 1))


def test_derivations_that_are_too_long_to_be_written():
    dag, theta = compile(doubling(60)), np.full(60, 0.5)
    assert dagdp.dp_value(dag, theta, HardMax()) == 0.5 * (2.0**60 - 1)
    for ask in (lambda: dagdp.best_path(dag, theta), lambda: dagdp.k_best(dag, theta, 2)):
        with pytest.raises(InputError, match=r"derivations of up to 1\.15e\+18 edges, 1 of them"):
            ask()
    assert dagdp.entropy(dag, theta) == 0.0 and dagdp.count_paths(dag) == 1
    small = compile(doubling(10))
    assert dagdp.best_path(small, theta[:10]).counts(small).tolist() == [2**k for k in range(9, -1, -1)]


def test_draws_that_are_too_long_to_be_written(monkeypatch):
    monkeypatch.setattr("dagdp.paths.derivations.ranked.MOST", 1000)
    dag = compile(doubling(9))
    assert dagdp.sample_paths(dag, np.zeros(9)).lengths.tolist() == [511]
    with pytest.raises(InputError, match="expected at most 1e\\+03 edges"):
        dagdp.sample_paths(dag, np.zeros(9), n=2)


def test_the_added_start_is_left_out_of_trees():
    graph = Graph(potentials={"word": (2,)})
    graph.add_node("a", word=0)
    graph.add_node("b", word=1)
    graph.add_hyperedge(("a", "b"), "ab")
    dag = compile(graph)
    assert dagdp.best_path(dag, {"word": [1.0, 2.0]}).names(dag) == ("ab", (("a", ()), ("b", ())))


WRONG = [
    ([9], r"paths\[0\] is 9; expected an edge, 0 to 3"),
    ([3, -1, 0], r"paths\[2\] is 0, behind a -1"),
    ([3, 1], r"is no derivation: it stops where an edge into 'c' was expected"),
    ([3, 2, 1], r"edge 2 \('b', 'b' -> 'c'\) stands where an edge into 'b' was expected"),
    ([3, 1, 2, 1, 0, 0], r"is no derivation: edge 0 \('a' -> 'b'\) follows where it is complete"),
    ([2, 0, 0], r"is no derivation of an end: it begins with edge 2 \('b', 'b' -> 'c'\)"),
]


@pytest.mark.parametrize(("edges", "told"), WRONG)
def test_what_is_no_derivation(edges, told):
    graph = Graph()
    for parents, child in [(("a",), "b"), (("a",), "b"), (("b", "b"), "c"), (("b", "c"), "d")]:
        graph.add_edge(*parents, child) if len(parents) == 1 else graph.add_hyperedge(parents, child)
    dag = compile(graph)
    assert np.isfinite(dagdp.path_log_prob(dag, np.zeros(4), [3, 1, 2, 1, 0]))
    with pytest.raises(InputError, match=told):
        dagdp.path_log_prob(dag, np.zeros(4), edges)
    place = [[3, 1, 2, 1, 0, -1], edges + [-1] * (6 - len(edges))]
    with pytest.raises(InputError, match=r"paths\[1"):
        dagdp.path_log_prob(dag, np.zeros(4), place)


def test_methods_want_the_graph_of_the_derivations():
    dag = compile(doubling(3))
    found = dagdp.best_path(dag, np.zeros(3))
    assert repr(found) == "Derivations(7 edges, score 0)"
    assert repr(dagdp.k_best(dag, np.zeros(3), 4)) == "Derivations(shape (1,), at most 7 edges)"
    with pytest.raises(InputError, match="paths have edge 2, and dag has 2 edges"):
        found.counts(compile(doubling(2)))
    with pytest.raises(InputError, match="counts takes one graph"):
        found.counts(dagdp.compile_batch([doubling(3)]))
    with pytest.raises(InputError, match="these derivations are of one graph"):
        found.of_graph(0)
