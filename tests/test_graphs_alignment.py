"""The builders of alignments, against alignments that are listed one by one, and textbooks' loops."""

from __future__ import annotations

import itertools

import alignments as listed
import numpy as np
import pytest

import dagdp
from dagdp import GraphError, HardMax, Negentropy
from dagdp.graphs.alignment import GAPS, MODES, letter_alignment, pair_hmm, pairwise_alignment

PRICES = {
    "linear": {"gap": np.array(-0.7)},
    "affine": {"gap_open": np.array(-1.3), "gap_extend": np.array(-0.4)},
    "two_piece": {"gap_open": np.array([-0.9, -1.6]), "gap_extend": np.array([-0.8, -0.2])},
}


def prices_of(gaps: str, n: int) -> list[float]:
    """The prices of a gap of n letters, one for each piece."""
    price = PRICES[gaps]
    if gaps == "linear":
        return [n * float(price["gap"])]
    pieces = zip(price["gap_open"].ravel(), price["gap_extend"].ravel(), strict=True)
    return [first + (n - 1) * more for first, more in pieces]


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "band"), [((3, 4), None), ((4, 2), None), ((1, 1), None), ((3, 4), 1), ((4, 3), 2)])
def test_values_are_over_all_alignments(size, band, mode, gaps):
    scores = np.random.default_rng(0).normal(size=size)
    dag = dagdp.compile(pairwise_alignment(*size, mode, gaps, band))
    theta = {"score": scores, **PRICES[gaps]}
    walks = list(listed.alignments(*size, mode, band))
    best = max(listed.score_of(walk, scores, lambda n: max(prices_of(gaps, n))) for walk in walks)
    assert dagdp.dp_value(dag, theta, HardMax()) == pytest.approx(best, abs=1e-12)
    value, expected = listed.smooth(walks, scores, lambda n: np.logaddexp.reduce(prices_of(gaps, n)))
    found, grad = dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert found == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(grad["score"], expected, atol=1e-12)


def test_a_band_that_holds_all_cells_changes_nothing():
    scores = np.random.default_rng(1).normal(size=(5, 7))
    theta = {"score": scores, **PRICES["affine"]}
    full, wide = (dagdp.compile(pairwise_alignment(5, 7, band=band)) for band in (None, 7))
    assert dagdp.dp_value(wide, theta) == dagdp.dp_value(full, theta)


def test_a_band_that_is_narrow_keeps_few_nodes():
    banded = dagdp.compile(pairwise_alignment(200, 200, gaps="linear", band=3))
    assert banded.num_nodes == 201 * 7 - 2 * (3 + 2 + 1)


@pytest.mark.parametrize("gaps", GAPS)
def test_every_price_of_gaps_has_its_gradient(gaps):
    """By finite differences of the sum over all alignments."""
    rng = np.random.default_rng(2)
    dag = dagdp.compile(pairwise_alignment(3, 4, "semiglobal", gaps))
    theta = {"score": rng.normal(size=(3, 4)), **PRICES[gaps]}
    grad = dagdp.dp_grad(dag, theta)
    for name, block in PRICES[gaps].items():
        for entry in np.ndindex(block.shape):
            step = np.zeros(block.shape)
            step[entry] = 1e-5
            up, down = (dagdp.dp_value(dag, theta | {name: block + sign * step}) for sign in (1, -1))
            assert grad[name][entry] == pytest.approx((up - down) / 2e-5, abs=1e-8)


def test_a_substitution_matrix_is_read_by_letters():
    """The value is that of scores gathered by hand; the gradient counts pairs of letters."""
    rng, x, y = np.random.default_rng(3), [0, 2, 1, 2], [2, 2, 0]
    pair = rng.normal(size=(3, 3))
    theta = {"pair": pair, **PRICES["affine"]}
    for mode in MODES:
        strings = dagdp.compile(letter_alignment(x, y, 3, mode))
        value, grad = dagdp.dp_value_and_grad(strings, theta)
        scores = pair[np.ix_(x, y)]
        expected, by_place = listed.smooth(
            list(listed.alignments(4, 3, mode)), scores, lambda n: prices_of("affine", n)[0]
        )
        assert value == pytest.approx(expected, abs=1e-12)
        counts = np.zeros((3, 3))
        np.add.at(counts, np.ix_(x, y), by_place)
        np.testing.assert_allclose(grad["pair"], counts, atol=1e-12)


@pytest.fixture
def hmm():
    """A pair HMM of 2 letters, with x = 0 1 1 and y = 1 1 0 1: probabilities by name."""
    rng, x, y = np.random.default_rng(4), [0, 1, 1], [1, 1, 0, 1]
    rows = rng.dirichlet(np.ones(4), size=3)  # from a state to M, X, Y, the end
    return {
        "match": rng.dirichlet(np.ones(4)).reshape(2, 2)[np.ix_(x, y)],
        "x_alone": rng.dirichlet(np.ones(2))[x],
        "y_alone": rng.dirichlet(np.ones(2))[y],
        "transition": rows[:, :3].T,
        "start": rng.dirichlet(np.ones(3)),
        "end": rows[:, 3],
    }


def state_paths(n: int, m: int) -> list[listed.Steps]:
    return list(listed.alignments(n, m, "global"))


def test_a_pair_hmm_is_durbins(hmm):
    """Viterbi and forward by listing every sequence of states: products of probabilities, no logarithm."""
    probabilities, pairs = [], []
    for walk in state_paths(3, 4):
        states = ["PXY".index(kind) for kind, *_ in walk]
        product = hmm["start"][states[0]] * hmm["end"][states[-1]]
        for before, after in itertools.pairwise(states):
            product *= hmm["transition"][after, before]
        for kind, i, j in walk:
            product *= {"P": hmm["match"][i - 1, j - 1], "X": hmm["x_alone"][i - 1], "Y": hmm["y_alone"][j - 1]}[kind]
        probabilities.append(product)
        pairs.append(product * listed.matches(walk, 3, 4))
    dag = dagdp.compile(pair_hmm(3, 4))
    theta = {name: np.log(block) for name, block in hmm.items()}
    assert np.exp(dagdp.dp_value(dag, theta, HardMax())) == pytest.approx(max(probabilities), rel=1e-12)
    value, grad = dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert np.exp(value) == pytest.approx(sum(probabilities), rel=1e-12)
    np.testing.assert_allclose(grad["match"], sum(pairs) / sum(probabilities), atol=1e-12)


def test_a_profile_is_aligned_by_its_expected_scores():
    """The score of two columns is a sum over letters, so the gradient by the substitution matrix is one, too."""
    rng, letters = np.random.default_rng(5), 3
    p, q = rng.dirichlet(np.ones(letters), 4), rng.dirichlet(np.ones(letters), 3)
    pair, h = rng.normal(size=(letters, letters)), 1e-5
    walks = list(listed.alignments(4, 3, "global"))
    dag = dagdp.compile(pairwise_alignment(4, 3))

    def summed(pair):
        scores = np.array([[sum(u[a] * v[b] * pair[a, b] for a in range(3) for b in range(3)) for v in q] for u in p])
        return listed.smooth(walks, scores, lambda n: prices_of("affine", n)[0])[0]

    value, grad = dagdp.dp_value_and_grad(dag, {"score": p @ pair @ q.T, **PRICES["affine"]})
    assert value == pytest.approx(summed(pair), abs=1e-12)
    by_pair = p.T @ grad["score"] @ q
    for a, b in np.ndindex(3, 3):
        step = h * np.outer(np.eye(3)[a], np.eye(3)[b])
        assert by_pair[a, b] == pytest.approx((summed(pair + step) - summed(pair - step)) / (2 * h), abs=1e-8)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pairwise_alignment(0, 3), "pairwise_alignment was given N=0; expected a whole number, at least 1"),
        (lambda: pairwise_alignment(3, 3, "glocal"), "mode='glocal'; expected one of 'global', 'local', 'semiglobal'"),
        (lambda: pairwise_alignment(3, 3, gaps="convex"), "gaps='convex'; expected one of 'linear', 'affine'"),
        (lambda: pairwise_alignment(3, 6, band=2), "band=2 excludes every global alignment of 3 with 6 letters"),
        (lambda: pairwise_alignment(6, 3, "semiglobal", band=2), "band=2 excludes every semiglobal alignment"),
        (lambda: pairwise_alignment(3, 3, band=-1), "band=-1; expected a whole number of cells, at least 0"),
        (lambda: letter_alignment([], [0], 2), r"letter_alignment was given len\(x\)=0; expected a whole number"),
        (lambda: letter_alignment([0, 2], [0], 2), r"pair"),
        (lambda: pair_hmm(1, 0), "pair_hmm was given M=0; expected a whole number, at least 1"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(GraphError, match=message):
        build()
