"""Graphs of trees against nltk, inside-outside, brute force over trees and assignments, and loops of messages."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from oracles import inside_outside, projective_trees, row_solver
from scipy.special import logsumexp

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, Negentropy, SquaredL2, compile, dp_value, dp_value_and_grad
from dagdp.graphs import trees

RNG = np.random.default_rng(0)
GRAMMAR = """
    S -> NP VP [1.0]
    NP -> NP PP [0.4] | 'astronomers' [0.1] | 'ears' [0.18] | 'saw' [0.04] | 'stars' [0.18] | 'telescopes' [0.1]
    VP -> V NP [0.7] | VP PP [0.3]
    PP -> P NP [1.0]
    V -> 'saw' [1.0]
    P -> 'with' [1.0]
"""  # Manning & Schuetze 1999, section 11.3


def compare(dag, theta, solutions, **options) -> None:
    """Values and gradients against a list of all solutions (score, {potential: how often each entry is read})."""
    scores = np.array([score for score, _ in solutions])
    assert dp_value(dag, theta, HardMax(), **options) == pytest.approx(scores.max(), abs=1e-12)
    value, grad = dp_value_and_grad(dag, theta, Negentropy(0.7), **options)
    assert value == pytest.approx(0.7 * logsumexp(scores / 0.7), abs=1e-12)
    share = np.exp((scores - value) / 0.7)
    for name in theta:
        expected = sum(p * reads[name] for p, (_, reads) in zip(share, solutions, strict=True))
        np.testing.assert_allclose(grad[name], expected, atol=1e-12)


# ---- CKY ----


def pcfg():
    """(grammar of nltk, its symbols, {word: [K] log-probabilities}, rule [K, K, K])."""
    nltk = pytest.importorskip("nltk")
    weighted = nltk.PCFG.fromstring(GRAMMAR)
    symbols = ["S", "NP", "VP", "PP", "V", "P"]
    lexical: dict[str, np.ndarray] = {}
    rule = np.full((6, 6, 6), -np.inf)
    for production in weighted.productions():
        A, right = symbols.index(str(production.lhs())), production.rhs()
        if len(right) == 1:
            lexical.setdefault(right[0], np.full(6, -np.inf))[A] = math.log(production.prob())
        else:
            rule[A, symbols.index(str(right[0])), symbols.index(str(right[1]))] = math.log(production.prob())
    return weighted, symbols, lexical, rule


def bracketed(tree, symbols, words) -> str:
    """A derivation's tree of names as nltk prints trees."""
    (_, i, _, A), parts = tree
    inside = " ".join(bracketed(part, symbols, words) for part in parts) if parts else words[i]
    return f"({symbols[A]} {inside})"


def test_cky_parses_as_nltk_does():
    from nltk.parse import InsideChartParser, ViterbiParser

    weighted, symbols, lexical, rule = pcfg()
    words = ["astronomers", "saw", "stars", "with", "ears"]
    dag, theta = compile(trees.cky(5, 6)), {"lexical": np.stack([lexical[word] for word in words]), "rule": rule}
    (best,) = ViterbiParser(weighted).parse(words)
    assert best.prob() == pytest.approx(0.0009072)  # the number of the textbook
    assert dp_value(dag, theta, HardMax()) == pytest.approx(math.log(best.prob()), abs=1e-12)
    assert bracketed(dagdp.best_path(dag, theta).names(dag), symbols, words) == best.pformat(margin=1000)
    parses = list(InsideChartParser(weighted).parse(words))
    ranked = dagdp.k_best(dag, theta, 5)
    assert len(parses) == 2 and np.isinf(ranked.scores[2:]).all()
    np.testing.assert_allclose(np.exp(ranked.scores[:2]), [parse.prob() for parse in parses], rtol=1e-12)
    total, expected, counts = inside_outside(theta["lexical"], rule)
    assert total == pytest.approx(math.log(0.0015876))
    value, grad = dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert value == pytest.approx(total, abs=1e-12)
    np.testing.assert_allclose(grad["lexical"], expected, atol=1e-12)
    np.testing.assert_allclose(grad["rule"], counts, atol=1e-12)


def test_sentences_of_several_lengths_share_a_graph():
    """Each item has what a graph of its own gives: no node is added for the ends, and NaN is not read."""
    K, n, lengths, root = 3, 5, np.array([5, 1, 3, 4]), 2
    lexical, rule = RNG.normal(size=(4, n, K)), RNG.normal(size=(K, K, K))
    lexical[np.arange(n) >= lengths[:, None]] = np.nan
    dag = compile(trees.cky(n, K, root))
    end = dag.cell("c", 0, lengths, root)
    value, grad = dp_value_and_grad(dag, {"lexical": lexical, "rule": rule}, Negentropy(0.7), end=end)
    total = 0.0
    for b, m in enumerate(lengths):
        own, alone = {"lexical": lexical[b, :m], "rule": rule}, compile(trees.cky(int(m), K, root))
        expected, slope = dp_value_and_grad(alone, own, Negentropy(0.7))
        assert value[b] == pytest.approx(expected, abs=1e-12)
        np.testing.assert_allclose(grad["lexical"][b, :m], slope["lexical"], atol=1e-12)
        assert not grad["lexical"][b, m:].any()
        total += slope["rule"]
    np.testing.assert_allclose(grad["rule"], total, atol=1e-12)


def test_a_grammar_of_few_rules_is_the_full_one_with_minus_infinity():
    """Also with one rule twice, and for sentences of several lengths, whose root stands below no other symbol."""
    n, K, rules, lengths = 5, 4, [(0, 1, 2), (1, 1, 3), (1, 2, 2), (0, 1, 1), (0, 1, 2)], np.array([5, 3])
    lexical, rule = RNG.normal(size=(2, n, K)), RNG.normal(size=len(rules))
    full = np.full((K, K, K), -np.inf)
    for own, score in zip(rules, rule, strict=True):
        full[own] = 0.7 * np.logaddexp(full[own] / 0.7, score / 0.7)
    dag, large = compile(trees.cky(n, K, rules=rules, ragged=True)), compile(trees.cky(n, K))
    end = dag.cell("c", 0, lengths, 0)
    value, grad = dp_value_and_grad(dag, {"lexical": lexical, "rule": rule}, Negentropy(0.7), end=end)
    end = large.cell("c", 0, lengths, 0)
    expected, slope = dp_value_and_grad(large, {"lexical": lexical, "rule": full}, Negentropy(0.7), end=end)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    np.testing.assert_allclose(grad["lexical"], slope["lexical"], atol=1e-12)
    assert grad["rule"].sum() == pytest.approx(slope["rule"].sum(), abs=1e-12)
    np.testing.assert_allclose(grad["rule"][1:4], [slope["rule"][own] for own in rules[1:4]], atol=1e-12)


def test_cky_under_squared_l2_is_the_recursion():
    K, n, row = 2, 4, row_solver(SquaredL2(0.5))
    lexical, rule = RNG.normal(size=(n, K)), RNG.normal(size=(K, K, K))

    def inside(i: int, k: int, A: int) -> float:
        if k == i + 1:
            return row([lexical[i, A]])[0]
        cuts = itertools.product(range(i + 1, k), range(K), range(K))
        return row([inside(i, j, B) + inside(j, k, C) + rule[A, B, C] for j, B, C in cuts])[0]

    found = dp_value(compile(trees.cky(n, K)), {"lexical": lexical, "rule": rule}, SquaredL2(0.5))
    assert found == pytest.approx(inside(0, n, 0), abs=1e-12)


# ---- spans ----


def bracketings(i: int, k: int) -> list[list[tuple[int, int]]]:
    """The spans of every binary tree over words i to k - 1."""
    if k == i + 1:
        return [[(i, k)]]
    return [
        [(i, k), *left, *right] for j in range(i + 1, k) for left in bracketings(i, j) for right in bracketings(j, k)
    ]


def test_span_parser_against_all_labelled_trees():
    n, K = 4, 2
    span = RNG.normal(size=(n, n + 1, K))
    solutions = []
    for tree in bracketings(0, n):
        for labels in itertools.product(range(K), repeat=len(tree)):
            reads = np.zeros_like(span)
            for (i, k), label in zip(tree, labels, strict=True):
                reads[i, k, label] = 1.0
            solutions.append(((span * reads).sum(), {"span": reads}))
    compare(compile(trees.span_parser(n, K)), {"span": span}, solutions)


def test_span_parser_of_several_lengths():
    span, lengths = RNG.normal(size=(2, 4, 5, 2)), np.array([2, 4])
    span[0, 2:], span[0, :, 3:] = np.nan, np.nan
    dag = compile(trees.span_parser(4, 2))
    value = dp_value(dag, span, Negentropy(0.7), end=dag.cell("c", 0, lengths))
    for b, n in enumerate(lengths):
        alone = dp_value(compile(trees.span_parser(int(n), 2)), span[b, :n, : n + 1], Negentropy(0.7))
        assert value[b] == pytest.approx(alone, abs=1e-12)


# ---- Eisner ----


def arcs_of(heads: tuple[int, ...], n: int) -> np.ndarray:
    reads = np.zeros((n + 1, n + 1))
    reads[list(heads), np.arange(1, len(heads) + 1)] = 1.0
    return reads


@pytest.mark.parametrize("multiroot", [True, False])
@pytest.mark.parametrize("n", [1, 4])
def test_eisner_against_all_projective_trees(n, multiroot):
    arc = RNG.normal(size=(n + 1, n + 1))
    allowed = [heads for heads in projective_trees(n) if multiroot or heads.count(0) == 1]
    solutions = [((arc * arcs_of(heads, n)).sum(), {"arc": arcs_of(heads, n)}) for heads in allowed]
    dag = compile(trees.eisner(n, multiroot))
    assert dagdp.count_paths(dag) == len(allowed)
    compare(dag, {"arc": arc}, solutions)
    ranked = sorted(allowed, key=lambda heads: -(arc * arcs_of(heads, n)).sum())
    assert trees.heads_of(dag, dagdp.k_best(dag, arc, 3)).tolist() == [list(heads) for heads in ranked[:3]]
    assert dagdp.dp_grad(dag, arc, HardMax()).argmax(-2)[1:].tolist() == list(ranked[0])


def test_every_dependency_tree_visits_one_number_of_nodes():
    """Under SquaredL2 a sure tree costs γ/2 for each of 2n nodes, whatever its shape."""
    n, dag = 4, compile(trees.eisner(4))
    assert trees.eisner(4).added_start is None
    for heads in projective_trees(n):
        sure = np.where(arcs_of(heads, n) > 0, 0.0, -np.inf)
        assert dp_value(dag, sure, SquaredL2(0.5)) == -0.25 * 2 * n


def test_dependency_trees_of_several_lengths():
    lengths = np.array([2, 5, 1])
    arc = RNG.normal(size=(3, 6, 6))
    arc[np.arange(6) > lengths[:, None]] = np.nan
    arc.swapaxes(1, 2)[np.arange(6) > lengths[:, None]] = np.nan
    dag = compile(trees.eisner(5, multiroot=False, ragged=True))
    end = dag.cell("right", 0, lengths)
    value, grad = dp_value_and_grad(dag, arc, Negentropy(0.7), end=end)
    heads = trees.heads_of(dag, dagdp.best_path(dag, arc, end=end))
    for b, n in enumerate(lengths):
        own, alone = arc[b, : n + 1, : n + 1], compile(trees.eisner(int(n), multiroot=False))
        assert value[b] == pytest.approx(dp_value(alone, own, Negentropy(0.7)), abs=1e-12)
        np.testing.assert_allclose(grad[b, : n + 1, : n + 1], dagdp.dp_grad(alone, own, Negentropy(0.7)), atol=1e-12)
        assert heads[b, :n].tolist() == trees.heads_of(alone, dagdp.best_path(alone, own)).tolist()
        assert (heads[b, n:] == -1).all()


def test_dependency_trees_from_torch():
    torch = pytest.importorskip("torch")
    dag = compile(trees.eisner(3))
    arc = torch.tensor(RNG.normal(size=(2, 4, 4)), requires_grad=True)
    np.testing.assert_array_equal(
        trees.heads_of(dag, dagdp.best_path(dag, arc)), trees.heads_of(dag, dagdp.best_path(dag, arc.detach().numpy()))
    )
    assert isinstance(trees.heads_of(dag, dagdp.best_path(dag, arc)), torch.Tensor)
    assert torch.autograd.gradcheck(lambda x: dp_value(dag, x), (arc,))


def test_heads_need_arcs():
    dag = compile(trees.span_parser(2, 1))
    with pytest.raises(InputError, match="arc"):
        trees.heads_of(dag, dagdp.best_path(dag, np.zeros((2, 3, 1))))


# ---- models of variables ----


def assignments(unary: np.ndarray, edges: list[tuple[int, int, np.ndarray]]) -> list[tuple[float, dict]]:
    """Every assignment: its score, its unary reads, and its pairwise reads [edge, state, state]."""
    n, S = unary.shape
    made = []
    for states in itertools.product(range(S), repeat=n):
        one, two = np.eye(S)[list(states)], np.zeros((len(edges), S, S))
        score = (one * unary).sum()
        for e, (a, b, pair) in enumerate(edges):
            score += pair[states[a], states[b]]
            two[e, states[a], states[b]] = 1.0
        made.append((score, {"unary": one, "edges": two}))
    return made


@pytest.mark.parametrize(
    "parents",
    [[-1], [1, -1], [-1, 0, 0, 0], [2, 2, -1, 2, 0, 0], [-1, 0, 1, 2, 3]],
    ids=["one", "two", "star", "tree", "chain"],
)
def test_tree_model_against_all_assignments(parents):
    n, S = len(parents), 2
    unary, pairwise = RNG.normal(size=(n, S)), RNG.normal(size=(n, S, S))
    pairwise[parents.index(-1)] = np.nan  # never read
    inner = [v for v in range(n) if parents[v] >= 0]
    solutions = []
    for score, reads in assignments(unary, [(v, parents[v], pairwise[v]) for v in inner]):
        two = np.zeros((n, S, S))
        two[inner] = reads["edges"]
        solutions.append((score, {"unary": reads["unary"], "pairwise": two}))
    compare(compile(trees.tree_model(parents, S)), {"unary": unary, "pairwise": pairwise}, solutions)


def messages(unary, pairwise, edges, rounds):
    """Beliefs after some rounds of sum-product messages, by loops over messages normalised to sum 1."""
    neighbours = {i: [] for i in range(len(unary))}
    for e, (a, b) in enumerate(edges):
        neighbours[a].append((b, np.exp(pairwise[e])))
        neighbours[b].append((a, np.exp(pairwise[e]).T))
    sent = {(i, j): np.ones(unary.shape[1]) for i in neighbours for j, _ in neighbours[i]}
    for _ in range(rounds):
        made = {}
        for i, around in neighbours.items():
            for j, factor in around:
                others = [sent[k, i] for k, _ in around if k != j]
                out = (np.exp(unary[i]) * np.prod(others, axis=0)) @ factor
                made[i, j] = out / out.sum()
        sent = made
    beliefs = [np.exp(unary[i]) * np.prod([sent[k, i] for k, _ in around], axis=0) for i, around in neighbours.items()]
    return np.array([belief / belief.sum() for belief in beliefs])


def beliefs_of(dag, unary, pairwise, omega=None, **options):
    cells = dag.cell("belief", *np.indices(unary.shape[-2:]))
    return dagdp.node_marginals(dag, {"unary": unary, "pairwise": pairwise}, omega, **options)[..., cells]


@pytest.mark.parametrize("rounds", [1, 4])
def test_loopy_beliefs_against_a_loop_of_messages(rounds):
    """A square with a diagonal, a tail, and a variable without an edge: degrees 0 to 3, edges in both directions."""
    edges = [(0, 1), (2, 1), (2, 3), (3, 0), (0, 2), (4, 3)]
    unary, pairwise = RNG.normal(size=(6, 3)), RNG.normal(size=(len(edges), 3, 3))
    dag = compile(trees.belief_propagation(6, 3, edges, rounds))
    expected = messages(unary, pairwise, edges, rounds)
    np.testing.assert_allclose(beliefs_of(dag, unary, pairwise), expected, atol=1e-12)
    one_of_them = beliefs_of(dag, unary, pairwise, end=dag.cell("node", 4))
    np.testing.assert_allclose(one_of_them[4], expected[4], atol=1e-12)


def test_loopy_beliefs_are_marginals_on_a_tree():
    parents, S = [2, 2, -1, 2, 0], 2
    edges = [(v, parent) for v, parent in enumerate(parents) if parent >= 0]
    unary, pairwise = RNG.normal(size=(5, S)), RNG.normal(size=(5, S, S))
    exact = dagdp.dp_grad(compile(trees.tree_model(parents, S)), {"unary": unary, "pairwise": pairwise})["unary"]
    dag = compile(trees.belief_propagation(5, S, edges, rounds=3))
    np.testing.assert_allclose(beliefs_of(dag, unary, pairwise[[v for v, _ in edges]]), exact, atol=1e-12)


def test_beliefs_have_derivatives():
    torch = pytest.importorskip("torch")
    edges = [(0, 1), (1, 2), (2, 0)]
    dag = compile(trees.belief_propagation(3, 2, edges, rounds=3))
    theta = [torch.tensor(RNG.normal(size=(3, 2)), requires_grad=True), torch.zeros(3, 2, 2).double().requires_grad_()]
    assert torch.autograd.gradcheck(lambda unary, pairwise: beliefs_of(dag, unary, pairwise), theta)


def test_a_chosen_beam_is_a_smaller_trellis():
    """What docs/families.md writes in place of beam search: the sum over the kept states of each step."""
    (T, S), kept = (5, 4), np.array([[0, 2], [3, 1], [1, 2], [0, 3], [2, 0]])
    theta = RNG.normal(size=(T, S, S))
    own = theta[np.arange(1, T)[:, None, None], kept[1:, :, None], kept[:-1, None, :]]
    paths = [sum(theta[t, y[t], y[t - 1]] for t in range(1, T)) for y in itertools.product(*kept)]
    found = dagdp.graphs.viterbi_value(own, Negentropy(0.7), initial="all")
    assert found == pytest.approx(0.7 * logsumexp(np.array(paths) / 0.7), abs=1e-12)


# ---- errors ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trees.cky(0, 2), "cky was given n=0; expected a whole number, at least 1"),
        (lambda: trees.cky(3, 2, root=2), "cky was given root=2; expected a symbol, 0 to 1"),
        (lambda: trees.cky(3, 2, root=-1), "cky was given root=-1; expected a symbol, 0 to 1"),
        (lambda: trees.cky(3, 2, rules=[(0, 1)]), r"cky was given rules=\[\(0, 1\)\]; expected triples of symbols"),
        (lambda: trees.cky(3, 2, rules=[(0, 1, 2)]), r"cky was given the rule \(0, 1, 2\); expected symbols 0 to 1"),
        (lambda: trees.span_parser(2, 0), "span_parser was given K=0"),
        (lambda: trees.eisner(0), "eisner was given n=0"),
        (lambda: trees.tree_model([0.5], 2), r"tree_model was given parents=\[0.5\]; expected integers below 1"),
        (lambda: trees.tree_model([-1, 2], 2), r"parents=\[-1, 2\]; expected integers below 2, and -1 for the root"),
        (lambda: trees.tree_model([-1, -1], 2), r"given 2 roots, \[0, 1\]; expected one variable of parent -1"),
        (lambda: trees.tree_model([-1, 2, 1], 2), "variable 1 has no way up to the root 0; expected parents of a tree"),
        (lambda: trees.tree_model([], 2), "tree_model was given variables=0"),
        (
            lambda: trees.belief_propagation(2, 2, [(0, 2)], 1),
            r"edge 0 is \(0, 2\); expected two variables, each below",
        ),
        (lambda: trees.belief_propagation(2, 2, [(1, 1)], 1), r"edge 0 is \(1, 1\); expected two variables"),
        (lambda: trees.belief_propagation(2, 2, [], 1), r"edges=\[\]; expected pairs of variables, at least one"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(GraphError, match=message):
        call()


def test_no_tree_needs_an_added_node_without_a_reason():
    """A start is added where words or leaves read a potential, and nowhere else."""
    added: list[tuple[Graph, bool]] = [
        (trees.cky(3, 2), True),
        (trees.span_parser(3, 2), True),
        (trees.eisner(3), False),
        (trees.tree_model([-1, 0], 2), True),
        (trees.belief_propagation(2, 2, [(0, 1)], 1), False),
    ]
    for graph, start in added:
        assert (graph.added_start is not None) is start and graph.added_end is None
