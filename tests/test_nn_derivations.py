"""Losses of parses: against all trees of short sentences, with derivatives, and targets that are no derivations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracles import preorders, projective_trees  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import dagdp  # noqa: E402
from dagdp import HardMax, InputError, Negentropy, SquaredL2  # noqa: E402
from dagdp.graphs import trees  # noqa: E402
from dagdp.nn import Target, crf_loss, fenchel_young_loss, hinge_loss, perceptron_loss, structured_loss  # noqa: E402
from dagdp.nn.losses import hamming_cost, relaxed_loss  # noqa: E402

RNG = np.random.default_rng(0)
N = 3


@pytest.fixture(scope="module")
def parser():
    return dagdp.compile(trees.eisner(N))


@pytest.fixture(scope="module")
def grammar():
    return dagdp.compile(trees.cky(N, 2))


def arcs(heads) -> list[tuple[int, int]]:
    """The entries of a dependency tree: (head, modifier) of each word."""
    return [(head, word) for word, head in enumerate(heads, 1)]


def marks(heads, n: int = N) -> np.ndarray:
    """Y of a dependency tree: 1 for each of its arcs."""
    Y = np.zeros((n + 1, n + 1))
    Y[list(heads), np.arange(1, len(heads) + 1)] = 1.0
    return Y


def tensor(*shape: int):
    return torch.tensor(RNG.normal(size=shape), requires_grad=True)


def test_losses_of_dependency_trees_by_enumeration(parser):
    arc = tensor(N + 1, N + 1)
    scores = {heads: (arc.detach().numpy() * marks(heads)).sum() for heads in projective_trees(N)}
    total = np.logaddexp.reduce([own / 0.7 for own in scores.values()])
    for heads, score in scores.items():
        target = Target.from_array(parser, marks(heads))
        np.testing.assert_array_equal(Target.from_entries(parser, arcs(heads)).edges, target.edges)
        assert crf_loss(parser, arc, target, 0.7).item() == pytest.approx(0.7 * total - score, abs=1e-12)
        assert perceptron_loss(parser, arc, target).item() == pytest.approx(max(scores.values()) - score, abs=1e-12)
        wrong = {other: own + sum(a != b for a, b in zip(other, heads, strict=True)) for other, own in scores.items()}
        hinge = hinge_loss(parser, arc, target, hamming_cost(target, arc))
        assert hinge.item() == pytest.approx(max(wrong.values()) - score, abs=1e-12)
        (slope,) = torch.autograd.grad(crf_loss(parser, arc, target), arc)
        expected = dagdp.dp_grad(parser, arc.detach().numpy()) - marks(heads)
        np.testing.assert_allclose(slope.numpy(), expected, atol=1e-12)


def test_losses_of_parses_by_enumeration(grammar):
    """Every derivation as edges in preorder, from the graph's edges; theta has two blocks, of which one is shared."""
    parents = [tuple(k for k in pair if k >= 0) for pair in zip(*second_and_first(grammar), strict=True)]
    edges = list(zip(parents, grammar.graph.edges()[1].tolist(), strict=True))
    (end,) = grammar.ends.tolist()
    derivations = preorders(edges, grammar.starts.tolist(), end)
    assert len(derivations) == 2 * 2**4  # two binary trees, and a symbol at each node but the root
    theta = {"lexical": tensor(N, 2), "rule": tensor(2, 2, 2)}
    listed = {potential.name: potential.index for potential in grammar.potentials}

    def score(tree) -> float:
        read = [(theta[name].detach().numpy().ravel(), index[list(tree)]) for name, index in listed.items()]
        return sum(block[index[index >= 0]].sum() for block, index in read)

    scores = np.array([score(tree) for tree in derivations])
    target = Target(grammar, np.array(derivations))
    losses = crf_loss(grammar, theta, target, reduction="none")
    np.testing.assert_allclose(losses.detach(), np.logaddexp.reduce(scores) - scores, atol=1e-12)
    likelihood = dagdp.path_log_prob(grammar, theta, np.array(derivations)).detach()
    np.testing.assert_allclose(-likelihood, losses.detach(), atol=1e-12)
    hard = perceptron_loss(grammar, theta, target, reduction="none")
    np.testing.assert_allclose(hard.detach(), scores.max() - scores, atol=1e-12)


def second_and_first(dag) -> tuple[list[int], list[int]]:
    return dag.graph.edges()[0].tolist(), dag.graph.second_parents().tolist()


def test_fenchel_young_losses_are_zero_where_a_tree_is_sure(grammar):
    """Under SquaredL2, too: the constant counts every node of the derivation."""
    theta = {"lexical": RNG.normal(size=(N, 2)), "rule": RNG.normal(size=(2, 2, 2))}
    best = dagdp.best_path(grammar, theta)
    target = Target.from_trees(grammar, best.names(grammar))
    np.testing.assert_array_equal(target.edges, best.edges)
    lost = Target(grammar, dagdp.k_best(grammar, theta, 3).edges[2])
    sure = {name: torch.tensor(100.0 * block) for name, block in theta.items()}
    for omega in (SquaredL2(0.5), Negentropy(0.5)):
        assert fenchel_young_loss(grammar, sure, target, omega).item() == pytest.approx(0.0, abs=1e-9)
        assert fenchel_young_loss(grammar, sure, lost, omega).item() > 1.0


def test_losses_of_a_ragged_batch_have_two_derivatives(parser):
    omega, heads, arc = Negentropy(0.7), [(2, 0), (0, 1, 1)], tensor(2, N + 1, N + 1)
    end = parser.cell("right", 0, [2, 3])
    entries = np.array([[*arcs(heads[0]), (-1, -1)], arcs(heads[1])])
    target = Target.from_entries(parser, entries, "arc", end=end)
    by_array = Target.from_array(parser, np.stack([marks(own) for own in heads]), end=end)
    np.testing.assert_array_equal(target.edges, by_array.edges)
    assert target.end.tolist() == end.tolist() and target.lengths.tolist() == [4, 6]

    def loss(theta):
        return structured_loss(parser, theta, target, omega, end=target.end, reduction="none")

    for b, own in enumerate(heads):
        alone = dagdp.compile(trees.eisner(len(own)))
        part = arc[b, : len(own) + 1, : len(own) + 1]
        found = structured_loss(alone, part, marks(own, len(own)), omega)
        assert loss(arc)[b].item() == pytest.approx(found.item(), abs=1e-12)
    assert gradcheck(loss, (arc,)) and gradgradcheck(loss, (arc,))


def test_losses_of_parses_have_two_derivatives(grammar):
    target = Target(grammar, dagdp.best_path(grammar, {"lexical": np.eye(3, 2), "rule": np.zeros((2, 2, 2))}).edges)
    theta = tensor(2, N, 2), tensor(2, 2, 2)

    def loss(lexical, rule):
        return fenchel_young_loss(grammar, {"lexical": lexical, "rule": rule}, target)

    assert gradcheck(loss, theta) and gradgradcheck(loss, theta)
    close = relaxed_loss(grammar, {"lexical": theta[0], "rule": theta[1]}, target)
    assert close.item() > 0 and torch.autograd.grad(close, theta)[0].shape == theta[0].shape


def test_a_batch_of_different_parsers():
    dags = [dagdp.compile(trees.eisner(n)) for n in (2, 3)]
    batch = dagdp.compile_batch([dag.graph for dag in dags])
    heads, arcs = [(2, 0), (0, 1, 1)], [tensor(3, 3), tensor(4, 4)]
    targets = [Target.from_array(dag, marks(own, len(own))) for dag, own in zip(batch.dags, heads, strict=True)]
    losses = crf_loss(batch, arcs, targets, reduction="none")
    for g, own in enumerate(heads):
        assert losses[g].item() == pytest.approx(crf_loss(dags[g], arcs[g], marks(own, len(own))).item(), abs=1e-12)


def test_costs_are_minimised():
    dag = dagdp.compile(dagdp.graphs.classics.matrix_chain(3))
    cost, order = tensor(3, 3, 3), (("product", 0, 2), ((("product", 0, 0), ()), (("product", 1, 2), ())))
    order = (("product", 0, 2), (order[1][0], (("product", 1, 2), ((("product", 1, 1), ()), (("product", 2, 2), ())))))
    split = [cost[0, 0, 2] + cost[1, 1, 2], cost[0, 1, 2] + cost[0, 0, 1]]
    loss = crf_loss(dag, cost, Target.from_trees(dag, order))
    assert loss.item() == pytest.approx((torch.stack(split).neg().logsumexp(0) + split[0]).item(), abs=1e-12)


def test_trees_by_name_go_to_the_log_probability(grammar):
    theta = {"lexical": RNG.normal(size=(2, N, 2)), "rule": RNG.normal(size=(2, 2, 2))}
    ranked = dagdp.k_best(grammar, theta, 3)
    named = ranked.names(grammar)
    expected = dagdp.path_log_prob(grammar, theta, ranked)
    np.testing.assert_array_equal(dagdp.path_log_prob(grammar, theta, named), expected)
    one = dagdp.path_log_prob(grammar, theta, named[0][0])
    assert one.shape == (2,) and one[0] == expected[0, 0]
    assert Target.from_trees(grammar, named).batch == (2, 3)


def test_names_of_the_user_and_an_added_end():
    """A graph made edge by edge, and a recurrence whose `return` reads two tables."""
    graph = dagdp.Graph()
    edges = [("word", "noun"), ("word", "verb"), ("word", "verb")]
    for edge in edges:
        graph.add_edge(*edge)
    graph.add_hyperedge(("noun", "verb"), "sentence")
    dag = dagdp.compile(graph)
    tree = dagdp.best_path(dag, [1.0, 2.0, 0.5, 0.0]).names(dag)
    with pytest.raises(InputError, match=r"2 edges lead from 'word' to 'verb'; expected the derivation as edge number"):
        Target.from_trees(dag, tree)
    joined = dagdp.compile(dagdp.recurrence("v[i] = w[i]\nreturn v[0] + v[1]", i=2))
    tree = dagdp.best_path(joined, np.zeros(2)).names(joined)
    assert tree[0] == "(end)" and Target.from_trees(joined, tree).lengths == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda dag: Target(dag, [99999]), r"the target has edge 99999; expected 0 to \d+"),
        (lambda dag: Target(dag, [[0, 0]]), "the target of item 0 is no derivation"),
        (lambda dag: Target.from_nodes(dag, [("c", 0, 3, 0)]), "expected a target from edges in preorder"),
        (lambda dag: Target.from_trees(dag, (("c", 0, 3, 0), ())), r"no edge leads from a start to \('c', 0, 3, 0\)"),
        (lambda dag: Target.from_trees(dag, (("d", 0), ())), "'d' is no table of the recurrence"),
        (lambda dag: Target.from_trees(dag, ("c", 0, 3, 0)), r"\('c', 0, 3, 0\) is no tree; expected \(node, "),
        (lambda dag: Target.from_trees(dag, (7.5, ())), "a tree has 7.5, which is no node of the graph"),
        (lambda dag: Target.from_array(dag, theta(0)), "the target of item 0 is no path: no path reads these entries"),
        (lambda dag: Target.from_array(dag, theta(1)), "of potential 'lexical'. The path that reads most of"),
        (lambda dag: Target.from_trees(dag, (("c", 0, 2, 0), tuple((("c", k, k + 1, 0), ()) for k in range(2)))), None),
    ],
)  # fmt: skip
def test_what_is_no_derivation_is_named(grammar, make, message):
    if message is None:  # a derivation of a node that is no end: the loss names it
        with pytest.raises(InputError, match=r"stops at node c\[0, 2, 0\], which is"):
            crf_loss(grammar, theta(1), make(grammar))
        return
    with pytest.raises(InputError, match=message):
        make(grammar)


def theta(marked: int) -> dict:
    return {"lexical": np.full((N, 2), float(marked)), "rule": np.ones((2, 2, 2))}


def test_the_perceptron_learns_a_tree(parser):
    """A few steps of the perceptron rule make each of the projective trees the best tree."""
    for heads in itertools.islice(projective_trees(N), 4):
        arc, target = torch.zeros(N + 1, N + 1, dtype=torch.double, requires_grad=True), marks(heads)
        for _ in range(5):
            (slope,) = torch.autograd.grad(perceptron_loss(parser, arc, target), arc)
            arc = (arc - slope).detach().requires_grad_()
        assert dagdp.dp_grad(parser, arc.detach().numpy(), HardMax()).argmax(0)[1:].tolist() == list(heads)
