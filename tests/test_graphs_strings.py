"""Edit distances against rapidfuzz and against all edits; the longest common subsequence against rapidfuzz."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from rapidfuzz.distance import OSA, DamerauLevenshtein, Indel, LCSseq, Levenshtein

import dagdp
from dagdp import GraphError, HardMax, InputError, Negentropy
from dagdp.graphs import edit_distance
from dagdp.graphs.strings import levenshtein, longest_common_subsequence

OPERATIONS = ("insertion", "deletion", "substitution", "transposition")


def random_strings(seed: int, count: int = 40, longest: int = 9, letters: str = "abc") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), rng.integers(0, longest + 1))) for _ in range(count)]


def edits(a: str, b: str, transpositions: bool) -> list[tuple[int, int, int, int]]:
    """(insertions, deletions, substitutions, transpositions) of every edit: none of our recurrence, letters go first.

    A letter takes part in one operation; equal letters may also be deleted and inserted.
    """

    @functools.cache
    def rest(i: int, j: int) -> list[tuple[int, int, int, int]]:
        if i == len(a) and j == len(b):
            return [(0, 0, 0, 0)]
        found = []
        if j < len(b):
            found += [(n + 1, d, s, t) for n, d, s, t in rest(i, j + 1)]
        if i < len(a):
            found += [(n, d + 1, s, t) for n, d, s, t in rest(i + 1, j)]
        if i < len(a) and j < len(b):
            found += [(n, d, s + (a[i] != b[j]), t) for n, d, s, t in rest(i + 1, j + 1)]
        if transpositions and a[i : i + 2] == b[j : j + 2][::-1] and len(set(a[i : i + 2])) == 2:
            found += [(n, d, s, t + 1) for n, d, s, t in rest(i + 2, j + 2)]
        return found

    return rest(0, 0)


def test_the_distance_is_that_of_rapidfuzz():
    a, b = random_strings(0), random_strings(1)
    assert edit_distance(a, b).tolist() == [Levenshtein.distance(*pair) for pair in zip(a, b, strict=True)]
    swapped = edit_distance(a, b, transpositions=True)
    assert swapped.tolist() == [OSA.distance(*pair) for pair in zip(a, b, strict=True)]
    indel = edit_distance(a, b, {"substitution": np.inf})
    assert indel.tolist() == [Indel.distance(*pair) for pair in zip(a, b, strict=True)]
    weighted = edit_distance(a, b, {"insertion": 2, "deletion": 3, "substitution": 4})
    assert weighted.tolist() == [Levenshtein.distance(*pair, weights=(2, 3, 4)) for pair in zip(a, b, strict=True)]


def test_transpositions_are_the_restricted_ones():
    assert edit_distance("ca", "abc", transpositions=True) == OSA.distance("ca", "abc") == 3
    assert DamerauLevenshtein.distance("ca", "abc") == 2
    assert edit_distance("ab", "ba") == 2 and edit_distance("ab", "ba", transpositions=True) == 1


@pytest.mark.parametrize("transpositions", [False, True])
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.7)], ids=repr)
def test_a_value_is_that_of_all_edits(omega, transpositions):
    costs = dict(zip(OPERATIONS, (1.1, 0.8, 1.3, 0.6), strict=True))
    if not transpositions:
        del costs["transposition"]
    numbers = np.array([*costs.values(), 0.0][:4])
    for a, b in (("abca", "bac"), ("", "ab"), ("ba", ""), ("", ""), ("ab", "ba")):
        sums = np.array(edits(a, b, transpositions)) @ numbers
        wanted = sums.min() if omega == HardMax() else -0.7 * np.log(np.exp(-sums / 0.7).sum())
        assert edit_distance(a, b, costs, omega, transpositions=transpositions) == pytest.approx(wanted, abs=1e-12)


def test_the_gradient_by_costs_counts_operations():
    """Of several best edits ours is one, and rapidfuzz's may be another."""
    a, b = random_strings(2, 20), random_strings(3, 20)
    numbers = torch.ones(3, dtype=torch.float64, requires_grad=True)
    costs = dict(zip(OPERATIONS, numbers, strict=False))
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        (counts,) = torch.autograd.grad(edit_distance(x, y, costs), numbers)
        tags = [step.tag for step in Levenshtein.editops(x, y)]
        assert counts.sum() == len(tags) and counts[0] - counts[1] == len(y) - len(x), k
        best = [np.array(edit) for edit in set(edits(x, y, False)) if sum(edit) == len(tags)]
        assert any((counts.numpy() == edit[:3]).all() for edit in best)
        if len(best) == 1:
            assert counts.tolist() == [tags.count(tag) for tag in ("insert", "delete", "replace")]


def test_expected_counts_are_those_of_all_edits():
    a, b, gamma = "abcab", "bacb", 0.5
    numbers = torch.tensor([1.0, 0.7, 1.2, 0.4], dtype=torch.float64, requires_grad=True)
    costs = dict(zip(OPERATIONS, numbers, strict=True))
    value = edit_distance(a, b, costs, Negentropy(gamma), transpositions=True)
    table = np.array(edits(a, b, True))
    chances = np.exp(-table @ numbers.detach().numpy() / gamma)
    (counts,) = torch.autograd.grad(value, numbers)
    np.testing.assert_allclose(counts, chances @ table / chances.sum(), atol=1e-12)


def test_costs_by_letters_can_be_learnt():
    rng, size = np.random.default_rng(4), 4
    costs = {
        "insertion": rng.uniform(0.5, 1, size),
        "deletion": rng.uniform(0.5, 1, size),
        "substitution": rng.uniform(0.5, 1, (size, size)),
        "transposition": rng.uniform(0.3, 0.6, (size, size)),
    }
    a, b = rng.integers(0, size, (3, 4)), rng.integers(0, size, (3, 5))
    leaves = [torch.as_tensor(cost).requires_grad_() for cost in costs.values()]

    def smooth(*numbers):
        named = dict(zip(costs, numbers, strict=True))
        return edit_distance(a, b, named, Negentropy(1.0), transpositions=True, lengths=([4, 2, 0], [5, 5, 1]))

    assert torch.autograd.gradcheck(smooth, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(smooth, leaves, fast_mode=True)
    for pair in ("ab", "ba", "aabb"):
        numbers = {"insertion": np.arange(128.0), "deletion": np.ones(128), "substitution": np.full((128, 128), 9.0)}
        assert edit_distance(pair, "b", numbers) == len(pair) - 1
        assert edit_distance("b", pair, numbers) == sum(map(ord, pair)) - ord("b")


def test_batches_of_all_kinds_agree():
    a, b = ["cat", "", "hat"], ["at", "cat", "hats"]
    padded = np.full((2, 3, 6), -1)
    for k, words in enumerate((a, b)):
        for row, word in enumerate(words):
            padded[k, row, : len(word)] = list(map(ord, word))
    lengths = tuple([len(word) for word in words] for words in (a, b))
    wanted = [1.0, 3.0, 1.0]
    assert edit_distance(a, b).tolist() == edit_distance(*padded, lengths=lengths).tolist() == wanted
    tensors = edit_distance(*map(torch.as_tensor, padded), lengths=tuple(map(torch.tensor, lengths)))
    assert isinstance(tensors, torch.Tensor) and tensors.tolist() == wanted
    assert edit_distance([list(map(ord, word)) for word in a], b).tolist() == wanted
    assert edit_distance("cat", b).tolist() == [edit_distance("cat", word) for word in b] == [1.0, 0.0, 2.0]
    assert edit_distance(padded[0][:, None], padded[1], lengths=(np.array(lengths[0])[:, None], lengths[1])).shape == (
        3,
        3,
    )
    assert edit_distance([1, 2, 3], [1, 3]) == 1.0
    assert edit_distance([["the", "cat", "sat"]], [["the", "cat", "sat", "down"]]).tolist() == [1.0]
    assert edit_distance([], []) == 0.0 and edit_distance(["", ""], "").tolist() == [0.0, 0.0]
    narrow = edit_distance(a, b, {"insertion": np.float32(1.0)}, Negentropy(0.5))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, edit_distance(a, b, omega=Negentropy(0.5)), atol=1e-5)


def test_an_edit_that_nothing_allows_has_no_value():
    costs = {"insertion": np.inf, "substitution": np.inf}
    assert edit_distance(["ab", "ab"], ["a", "abc"], costs).tolist() == [1.0, np.inf]
    with pytest.raises(InputError, match="item 1 has no path"):
        edit_distance(["ab", "ab"], ["a", "abc"], costs, on_infeasible="raise")


def test_the_longest_common_subsequence_is_that_of_rapidfuzz():
    dag = dagdp.compile(longest_common_subsequence(9, 9))
    for a, b in zip(random_strings(5), random_strings(6), strict=True):
        equal = np.array([[x == y for y in b.ljust(9, "?")] for x in a.ljust(9, "!")])
        match = np.where(equal, 1.0, -np.inf)
        value = dagdp.dp_value(dag, match, HardMax(), end=dag.cell("v", len(a), len(b)))
        assert value == LCSseq.similarity(a, b)


def test_the_smoothed_subsequence_counts_every_order():
    """Two letters that do not match: passed over in two orders, beside one pairing of equal letters."""
    dag = dagdp.compile(longest_common_subsequence(1, 1))
    assert dagdp.dp_value(dag, np.array([[-np.inf]]), Negentropy(1.0)) == pytest.approx(np.log(2))
    assert dagdp.dp_value(dag, np.array([[1.0]]), Negentropy(1.0)) == pytest.approx(np.log(2 + np.e))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: levenshtein(0, 2), GraphError, "levenshtein was given N=0; expected a whole number, at least 1"),
        (lambda: longest_common_subsequence(2, 1.5), GraphError, "longest_common_subsequence was given M=1.5"),
        (lambda: edit_distance(3, "a"), InputError, "a is 3; expected a string, a sequence of integers, or a list of"),
        (lambda: edit_distance("a", [1.5]), InputError, r"b\[0\] is 1.5; expected a string"),
        (lambda: edit_distance(np.zeros(()), "a"), InputError, "a is 0.0; expected a string"),
        (lambda: edit_distance([["a"], [None]], "a"), InputError, r"a\[1\] is None; expected a string"),
        (lambda: edit_distance(np.array(3), "a"), InputError, "a is array.3.; expected a string"),
        (lambda: edit_distance(["a"] * 2, ["a"] * 3), InputError, r"a has batch axes \(2,\) and b \(3,\)"),
        (
            lambda: edit_distance("a", "b", {"insert": 1}),
            InputError,
            "costs has 'insert'; expected insertion, deletion",
        ),
        (
            lambda: edit_distance("a", "b", {"transposition": 1}),
            InputError,
            r"expected insertion, deletion, substitution \(transposition needs transpositions=True\)",
        ),
        (
            lambda: edit_distance("a", "b", {"substitution": np.ones(2)}),
            InputError,
            r"costs\['substitution'\] has shape \(2,\); expected a number, or an array \[letters, letters\]",
        ),
        (
            lambda: edit_distance("a", [0, 1], {"deletion": np.ones(2)}),
            InputError,
            r"costs\['deletion'\] has 2 letters, and a string has letter number 97; expected letters 0 to 1",
        ),
        (lambda: edit_distance([["to", "do"]], "a", {"deletion": np.ones(128)}), InputError, "a string has a word"),
        (lambda: edit_distance("a", "b", lengths=1), InputError, r"lengths is 1; expected a pair \(n_a, n_b\)"),
        (lambda: edit_distance("a", "b", lengths=(1.0, 1)), InputError, "lengths of a have dtype float64"),
        (lambda: edit_distance("a", "bc", lengths=(1, 3)), InputError, "lengths of b have 3; expected 0 to 2"),
        (
            lambda: edit_distance(["a", "b"], "c", lengths=([1, 1, 1], 1)),
            InputError,
            r"lengths of a have shape \(3,\) and a has batch axes \(2,\)",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
