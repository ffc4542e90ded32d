"""Textbooks' dynamic programs against published numbers, and against lists of all their solutions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracles import matrix_chain
from scipy.special import logsumexp

import dagdp
from dagdp import GraphError, HardMax, Negentropy, SquaredL2, compile, dp_grad, dp_value, dp_value_and_grad
from dagdp.graphs import classics

RNG = np.random.default_rng(0)
GAMMA = 0.7


def compare(dag, theta, solutions, **options) -> None:
    """Values and gradients against a list of all solutions (score, how often each entry is read)."""
    sign = -1.0 if dag.graph.minimize else 1.0
    scores = sign * np.array([score for score, _ in solutions])
    assert dp_value(dag, theta, HardMax(), **options) == pytest.approx(sign * scores.max(), abs=1e-12)
    value, grad = dp_value_and_grad(dag, theta, Negentropy(GAMMA), **options)
    total = GAMMA * logsumexp(scores / GAMMA)
    assert value == pytest.approx(sign * total, abs=1e-12)
    expected = sum(np.exp((own - total) / GAMMA) * reads for own, (_, reads) in zip(scores, solutions, strict=True))
    np.testing.assert_allclose(grad, expected, atol=1e-12)


def products(i: int, j: int) -> list[list[tuple[int, int, int]]]:
    """Every way to compute the product of matrices i to j: its splits (i, k, j)."""
    if i == j:
        return [[]]
    return [[(i, k, j), *left, *right] for k in range(i, j) for left in products(i, k) for right in products(k + 1, j)]


def test_matrix_chain():
    sizes = np.array([30.0, 35, 15, 5, 10, 20, 25])
    cost = sizes[:-1, None, None] * sizes[None, 1:, None] * sizes[None, None, 1:]
    dag = compile(classics.matrix_chain(6))
    assert dp_value(dag, cost, HardMax()) == matrix_chain([30, 35, 15, 5, 10, 20, 25]) == 15125  # CLRS, section 15.2
    assert sorted(map(tuple, np.argwhere(dp_grad(dag, cost, HardMax())))) == [  # ((A1 (A2 A3)) ((A4 A5) A6))
        (0, 0, 2),
        (0, 2, 5),
        (1, 1, 2),
        (3, 3, 4),
        (3, 4, 5),
    ]
    cost, solutions = RNG.random((5, 5, 5)), []
    for splits in products(0, 4):
        reads = np.zeros_like(cost)
        reads[tuple(zip(*splits, strict=True))] = 1.0
        solutions.append(((cost * reads).sum(), reads))
    compare(compile(classics.matrix_chain(5)), cost, solutions)


def depths(i: int, j: int) -> list[dict[str, int]]:
    """Every search tree of keys i to j - 1, as the depth of each key "p0" and gap "q0", the root's being 1."""
    if i == j:
        return [{f"q{i}": 1}]
    made = []
    for r in range(i, j):
        for left, right in itertools.product(depths(i, r), depths(r + 1, j)):
            made.append({f"p{r}": 1, **{name: depth + 1 for name, depth in (left | right).items()}})
    return made


def weights_of(p, q):
    """Knuth's weights of intervals, from probabilities of keys and gaps."""
    N = len(p)
    weight = np.full((N + 1, N + 1), np.nan)
    for i, j in itertools.combinations_with_replacement(range(N + 1), 2):
        weight[i, j] = p[i:j].sum() + q[i : j + 1].sum()
    return weight


def test_search_tree():
    p, q = np.array([0.15, 0.10, 0.05, 0.10, 0.20]), np.array([0.05, 0.10, 0.05, 0.05, 0.05, 0.10])
    dag = compile(classics.search_tree(5))
    assert dp_value(dag, weights_of(p, q), HardMax()) == pytest.approx(2.75)  # CLRS, section 15.5
    best = dagdp.k_best(dag, weights_of(p, q), 3)
    np.testing.assert_allclose(best.scores, [2.75, 2.75, 2.8], atol=1e-12)
    roots = [left[0][2] + 1 for _, (left, _) in best.names(dag)[:2]]
    assert sorted(roots) == [2, 4]  # CLRS draws the tree with root k2; the tree with root k4 costs as much


def test_search_trees_have_the_expected_depths_of_all_trees():
    p, q = RNG.random(4), RNG.random(5)
    trees = depths(0, 4)
    costs = np.array([sum((p if name[0] == "p" else q)[int(name[1:])] * n for name, n in own.items()) for own in trees])
    dag = compile(classics.search_tree(4))
    assert dp_value(dag, weights_of(p, q), HardMax()) == pytest.approx(costs.min(), abs=1e-12)
    value, grad = dp_value_and_grad(dag, weights_of(p, q), Negentropy(GAMMA))
    assert value == pytest.approx(-GAMMA * logsumexp(-costs / GAMMA), abs=1e-12)
    share = np.exp((value - costs) / GAMMA)
    for key in range(4):  # the depth of a key is the number of subtrees that hold it
        holding = grad[: key + 1, key + 1 :].sum()
        assert holding == pytest.approx(sum(w * own[f"p{key}"] for w, own in zip(share, trees, strict=True)), abs=1e-12)


def structures(i: int, j: int, loop: int) -> list[list[tuple[int, int]]]:
    """The pairs of every structure of bases i to j - 1 without crossing pairs, each structure once."""
    found = []
    pairs = [(a, b) for a, b in itertools.combinations(range(i, j), 2) if b - a > loop]
    for size in range(len(pairs) + 1):
        for chosen in itertools.combinations(pairs, size):
            ends = [base for pair in chosen for base in pair]
            crossing = any(a < c < b < d for (a, b), (c, d) in itertools.permutations(chosen, 2))
            if len(set(ends)) == len(ends) and not crossing:
                found.append(list(chosen))
    return found


@pytest.mark.parametrize(("N", "loop"), [(7, 1), (8, 3), (4, 0)])
def test_rna_folding_against_all_structures(N, loop):
    pair, solutions = RNG.normal(size=(N, N)), []
    for chosen in structures(0, N, loop):
        reads = np.zeros((N, N))
        for i, k in chosen:
            reads[i, k] = 1.0
        solutions.append(((pair * reads).sum(), reads))
    dag = compile(classics.rna_folding(N, loop))
    assert dagdp.count_paths(dag) == len(solutions)
    compare(dag, pair, solutions)


def test_nussinovs_number_of_pairs():
    """The largest number of pairs, by the four cases of the paper of 1978."""
    bases, loop = "GGGAAAUCCUUAGC", 3
    allowed = {"AU", "UA", "GC", "CG", "GU", "UG"}
    N = len(bases)
    most = np.zeros((N + 1, N + 1), int)
    for width in range(1, N):
        for i in range(N - width):
            j = i + width
            joined = most[i + 1, j - 1] + 1 if width > loop and bases[i] + bases[j] in allowed else 0
            split = max(most[i, k] + most[k + 1, j] for k in range(i, j))
            most[i, j] = max(most[i + 1, j], most[i, j - 1], joined, split)
    pair = np.array([[0.0 if a + b in allowed else -np.inf for b in bases] for a in bases]) + 1.0
    dag = compile(classics.rna_folding(N, loop))
    assert dp_value(dag, pair, HardMax()) == most[0, N - 1] > 2
    assert dp_value(dag, pair, HardMax(), end=dag.cell("fold", 0, [5, 9])).tolist() == [most[0, 4], most[0, 8]]


def test_folding_adds_no_node():
    """Under SquaredL2 a sure structure costs γ/2 for each base that is alone, and each pair."""
    pair = np.full((5, 5), -np.inf)
    assert dp_value(compile(classics.rna_folding(5)), pair, SquaredL2(0.5)) == -0.25 * 5


def test_knapsack_against_all_subsets():
    weights, capacity = [3, 1, 4, 2], 6
    value = RNG.normal(size=4)
    dag = compile(classics.knapsack(weights, capacity))
    subsets = [np.array(taken) for taken in itertools.product([0.0, 1.0], repeat=4)]
    solutions = [(value @ taken, taken) for taken in subsets if taken @ weights <= capacity]
    assert dagdp.count_paths(dag) == len(solutions)
    compare(dag, value, solutions)
    assert classics.knapsack(weights, capacity).added_start is None


@pytest.mark.parametrize("x", [[3, 1, 2, 2, 5, 4], [5, 4, 3], [0.5], [1, 2, 3, 4]])
def test_increasing_subsequence_against_all_subsequences(x):
    score, solutions = RNG.normal(size=len(x)), []
    for size in range(1, len(x) + 1):
        for places in itertools.combinations(range(len(x)), size):
            if all(x[a] < x[b] for a, b in itertools.pairwise(places)):
                reads = np.zeros(len(x))
                reads[list(places)] = 1.0
                solutions.append((score @ reads, reads))
    dag = compile(classics.increasing_subsequence(x))
    assert dagdp.count_paths(dag) == len(solutions)
    compare(dag, score, solutions)
    assert dp_value(dag, np.ones(len(x)), HardMax()) == max(reads.sum() for _, reads in solutions)


def layouts(widths, line, space):
    """(summed squared slack, where lines begin) of every layout."""
    made = []
    for breaks in itertools.product([False, True], repeat=len(widths) - 1):
        begins = [0, *(k + 1 for k, here in enumerate(breaks) if here), len(widths)]
        slack = [line - sum(widths[a:b]) - space * (b - a - 1) for a, b in itertools.pairwise(begins)]
        if min(slack) >= 0:
            made.append((sum(own**2 for own in slack[:-1]), begins))
    return made


def test_justification_against_all_layouts():
    widths, line, space = [3.0, 2.0, 2.0, 5.0, 1.0, 4.0, 2.5], 7.5, 1.0
    dag, found = compile(classics.justification(widths, line, space)), layouts(widths, line, space)
    price = np.array(0.3)
    compare(dag, price, [(0.3 * squared, np.array(squared)) for squared, _ in found])
    best = dagdp.best_path(dag, price).names(dag)
    assert [j for _, j in best] == min(found)[1]
    costs = 0.3 * np.array([squared for squared, _ in found])
    share = np.exp(-(costs - costs.min())) / np.exp(-(costs - costs.min())).sum()
    marginal = dagdp.node_marginals(dag, price, Negentropy(1.0))[dag.cell("lines", np.arange(len(widths) + 1))]
    for j in range(len(widths) + 1):
        assert marginal[j] == pytest.approx(sum(share[k] for k, (_, own) in enumerate(found) if j in own), abs=1e-12)


def test_coin_change_against_all_multisets():
    coins, amount, price = [1, 3, 4], 10, RNG.random(3)
    counts = [np.array(n) for n in itertools.product(range(11), repeat=3) if np.dot(n, coins) == amount]
    dag = compile(classics.coin_change(coins, amount))
    assert dagdp.count_paths(dag) == len(counts)
    compare(dag, price, [(price @ n, n) for n in counts])
    assert dp_value(dag, np.ones(3), HardMax()) == 3.0
    dollar = compile(classics.coin_change([1, 5, 10, 25, 50], 100))
    assert dagdp.count_paths(dollar) == 292  # Polya 1956


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classics.matrix_chain(0), "matrix_chain was given N=0; expected a whole number, at least 1"),
        (lambda: classics.search_tree(-1), "search_tree was given N=-1"),
        (lambda: classics.rna_folding(4, -1), "rna_folding was given min_loop=-1; expected a whole number, at least 0"),
        (
            lambda: classics.knapsack([1.5], 3),
            r"knapsack was given weights=\[1.5\]; expected whole numbers, at least 0",
        ),
        (lambda: classics.knapsack([1], -1), r"knapsack was given capacity=\[-1\]; expected whole numbers, at least 0"),
        (lambda: classics.increasing_subsequence([]), r"given x=\[\]; expected finite numbers, at least one"),
        (lambda: classics.increasing_subsequence([np.nan]), r"given x=\[nan\]; expected finite numbers"),
        (lambda: classics.justification([3, 9], 8), "justification: word 1 is 9 wide; expected at most line=8"),
        (lambda: classics.coin_change([0, 1], 3), r"coin_change was given coins=\[0, 1\]; expected whole numbers"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(GraphError, match=message):
        call()
