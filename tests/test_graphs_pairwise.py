"""align_* and alignment_text, against biopython, parasail, and alignments that are listed one by one."""

from __future__ import annotations

import itertools
import warnings

import alignments as listed
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dagdp
from dagdp import GraphError, HardMax, InputError, Negentropy, SquaredL2, Tsallis
from dagdp.graphs import align_grad, align_hvp, align_path, align_value, alignment, alignment_text

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    Align = pytest.importorskip("Bio.Align")
    parasail = pytest.importorskip("parasail")

MODES = alignment.MODES
LETTERS = "ARNDCQEGHILKMFPSTWYV"
MATRIX = np.array(Align.substitution_matrices.load("BLOSUM62").select(LETTERS))
OPERATORS = [HardMax(), Negentropy(0.7), SquaredL2(0.5)]
#: What biopython calls the modes: attributes of its aligner.
BIOPYTHON = {
    "global": {"mode": "global"},
    "local": {"mode": "local"},
    "semiglobal": {"mode": "global", "end_insertion_score": 0.0},
    "overlap": {"mode": "global", "end_gap_score": 0.0},
}
PARASAIL = {"global": "nw", "local": "sw", "semiglobal": "sg_dx", "overlap": "sg"}


def blosum(a: str, b: str) -> np.ndarray:
    return MATRIX[np.ix_([LETTERS.index(letter) for letter in a], [LETTERS.index(letter) for letter in b])]


def words(rng: np.random.Generator, count: int, longest: int) -> list[tuple[str, str]]:
    def word() -> str:
        return "".join(rng.choice(list(LETTERS), rng.integers(1, longest + 1)))

    return [(word(), word()) for _ in range(count)]


def biopython(mode: str, gap_open: float, gap_extend: float, **scores):
    aligner = Align.PairwiseAligner()
    aligner.open_gap_score, aligner.extend_gap_score = gap_open, gap_extend
    for name, value in {**scores, **BIOPYTHON[mode]}.items():
        setattr(aligner, name, value)
    return aligner


def score_of(pairs: np.ndarray, scores: np.ndarray, mode: str, gap_open: float, gap_extend: float) -> float:
    """The score of an alignment by its pairs: gaps are what lies between two pairs, or before or behind all of them."""
    n, m = scores.shape
    pairs = pairs[pairs[:, 0] >= 0]
    if not len(pairs) and mode in ("local", "overlap"):
        return 0.0

    def price(length: int) -> float:
        return gap_open + (length - 1) * gap_extend if length else 0.0

    total = sum(scores[i, j] for i, j in pairs)
    for (i, j), (next_i, next_j) in itertools.pairwise(pairs.tolist()):
        total += price(next_i - i - 1) + price(next_j - j - 1)
    if not len(pairs):
        return price(n) + (price(m) if mode == "global" else 0.0)
    (i, j), (last_i, last_j) = pairs[0], pairs[-1]
    before, behind = (price(i), price(j)), (price(n - 1 - last_i), price(m - 1 - last_j))
    return (
        total
        + {
            "global": sum(before) + sum(behind),
            "local": 0.0,
            "semiglobal": before[0] + behind[0],
            "overlap": max(before) + max(behind),  # the other end of a pair of gaps is free
        }[mode]
    )


@pytest.mark.parametrize("mode", MODES)
def test_scores_are_those_of_biopython_and_parasail(mode):
    rng = np.random.default_rng(0)
    matrix = parasail.blosum62
    substitution = Align.substitution_matrices.load("BLOSUM62")
    for a, b in words(rng, 25, 30):
        for gap_open, gap_extend in ((-11, -1), (-3, -2), (-4, -4)):
            ours = align_value(blosum(a, b), gap_open, gap_extend, HardMax(), mode)
            aligner = biopython(mode, gap_open, gap_extend, substitution_matrix=substitution)
            assert ours == aligner.score(a, b)
            theirs = getattr(parasail, PARASAIL[mode])(a, b, -gap_open, -gap_extend, matrix).score
            assert ours == (max(theirs, 0) if mode == "overlap" else theirs)  # parasail's overlap has a letter or more
        assert align_value(blosum(a, b), -4, None, HardMax(), mode) == ours


def test_bands_of_equal_sequences_are_those_of_parasail():
    """parasail moves the band where lengths differ."""
    rng, matrix = np.random.default_rng(12), parasail.matrix_create("ACGT", 2, -3)
    for _ in range(20):
        length, band = int(rng.integers(2, 12)), int(rng.integers(1, 4))
        a, b = ("".join(rng.choice(list("ACGT"), length)) for _ in range(2))
        dag = dagdp.compile(alignment.pairwise_alignment(length, length, band=band))
        scores = np.where(np.array(list(a))[:, None] == np.array(list(b)), 2.0, -3.0)
        theta = {"score": scores, "gap_open": np.array(-2.0), "gap_extend": np.array(-1.0)}
        assert dagdp.dp_value(dag, theta, HardMax()) == parasail.nw_banded(a, b, 2, 1, band, matrix).score


@pytest.mark.parametrize("mode", MODES)
@given(
    a=st.text("AC", min_size=1, max_size=5),
    b=st.text("AC", min_size=1, max_size=5),
    numbers=st.tuples(*[st.integers(-4, 3)] * 2, *[st.integers(-4, 1)] * 2),
)
@settings(max_examples=60, deadline=None)
def test_any_scores_are_those_of_biopython(mode, a, b, numbers):
    """Gaps that open for less than they extend, too: then two gaps, one in each sequence, may be better than one."""
    match, mismatch, gap_open, gap_extend = map(float, numbers)
    scores = np.where(np.array(list(a))[:, None] == np.array(list(b)), match, mismatch)
    ours = align_value(scores, gap_open, gap_extend, HardMax(), mode)
    theirs = biopython(mode, gap_open, gap_extend, match_score=match, mismatch_score=mismatch).score(a, b)
    if mode != "local" or max(gap_open, gap_extend) <= 0:  # biopython's local alignments may end in a gap that pays
        assert ours == theirs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extend", [-0.5, None])
def test_values_and_matches_are_over_all_alignments(mode, extend):
    rng, sizes = np.random.default_rng(1), [(3, 4), (4, 3), (1, 1), (1, 4), (2, 3)]
    for n, m in sizes:
        scores = rng.normal(size=(n, m))
        value, expected = listed.smooth(
            list(listed.alignments(n, m, mode)), scores, lambda k: -1.2 + (k - 1) * (-1.2 if extend is None else extend)
        )
        assert align_value(scores, -1.2, extend, mode=mode) == pytest.approx(value, abs=1e-12)
        np.testing.assert_allclose(align_grad(scores, -1.2, extend, mode=mode), expected, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extend", [-1.0, None])
def test_a_path_has_the_score_of_the_value(mode, extend):
    rng = np.random.default_rng(2)
    scores = rng.integers(-4, 5, (40, 7, 9)).astype(float)
    value, paths = align_value(scores, -2.0, extend, HardMax(), mode), align_path(scores, -2.0, extend, mode)
    assert paths.shape == (40, 7, 2) and paths.dtype == np.int64
    for b in range(40):
        assert score_of(paths[b], scores[b], mode, -2.0, -2.0 if extend is None else extend) == value[b]
        pairs = paths[b][paths[b, :, 0] >= 0]
        assert (np.diff(pairs, axis=0) >= 1).all()


@pytest.mark.parametrize("omega", OPERATORS, ids=repr)
@pytest.mark.parametrize("mode", MODES)
def test_functions_are_the_builders_graphs(mode, omega):
    """Constants of nodes included, under every operator, on graphs of other sizes."""
    rng = np.random.default_rng(3)
    for n, m in ((5, 4), (3, 6)):
        scores, z = rng.normal(size=(2, n, m))
        dag = dagdp.compile(alignment.pairwise_alignment(n, m, mode))
        theta = {"score": scores, "gap_open": np.array(-1.2), "gap_extend": np.array(-0.5)}
        value, grad = dagdp.dp_value_and_grad(dag, theta, omega)
        assert align_value(scores, -1.2, -0.5, omega, mode) == pytest.approx(value, abs=1e-12)
        found = align_grad(scores, -1.2, -0.5, omega, mode, gaps=True)
        for made, name in zip(found, ("score", "gap_open", "gap_extend"), strict=True):
            np.testing.assert_allclose(made, grad[name], atol=1e-12)
        if isinstance(omega, HardMax):
            continue
        zeros = {"score": z, "gap_open": np.array(0.0), "gap_extend": np.array(0.0)}
        product = dagdp.dp_hvp(dag, theta, zeros, omega)["score"]
        np.testing.assert_allclose(align_hvp(scores, z, -1.2, -0.5, omega, mode), product, atol=1e-12)


def test_a_fourth_operator_has_values_and_matches():
    """Of Tsallis: an alignment is random, and its gaps leave the letters that its pairs do not take."""
    scores, omega = np.random.default_rng(3).normal(size=(5, 4)), Tsallis(1.5, 0.8)
    grad = align_grad(scores, -1.2, -0.5, omega, gaps=True)
    assert 2 * grad.scores.sum() + grad.gap_open + grad.gap_extend == pytest.approx(9.0, abs=1e-12)
    step = 1e-5 * np.random.default_rng(4).normal(size=(5, 4))
    up, down = (align_value(scores + sign * step, -1.2, -0.5, omega) for sign in (1, -1))
    assert (grad.scores * step).sum() == pytest.approx((up - down) / 2, abs=1e-13)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("omega", "extend"),
    [(HardMax(), -0.5), (Negentropy(0.7), -0.5), (SquaredL2(0.5), -0.5), (Negentropy(0.7), None)],
    ids=str,
)
def test_a_ragged_batch_is_each_pair_alone(mode, omega, extend):
    rng, pairs = np.random.default_rng(4), [(5, 6), (1, 1), (3, 2), (1, 6), (5, 1), (4, 4)]
    scores, z = np.full((6, 5, 6), np.nan), np.full((6, 5, 6), np.nan)
    for b, (n, m) in enumerate(pairs):
        scores[b, :n, :m], z[b, :n, :m] = rng.normal(size=(2, n, m))
    lengths = [n for n, _ in pairs], [m for _, m in pairs]
    value = align_value(scores, -1.2, extend, omega, mode, lengths)
    grad = align_grad(scores, -1.2, extend, omega, mode, lengths)
    smooth = not isinstance(omega, HardMax)
    product = align_hvp(scores, z, -1.2, extend, omega, mode, lengths) if smooth else np.zeros_like(grad)
    paths = align_path(scores, -1.2, extend, mode, lengths)
    for b, (n, m) in enumerate(pairs):
        own = scores[b, :n, :m]
        assert value[b] == pytest.approx(align_value(own, -1.2, extend, omega, mode), abs=1e-12)
        np.testing.assert_allclose(grad[b, :n, :m], align_grad(own, -1.2, extend, omega, mode), atol=1e-12)
        if smooth:
            alone = align_hvp(own, z[b, :n, :m], -1.2, extend, omega, mode)
            np.testing.assert_allclose(product[b, :n, :m], alone, atol=1e-11)
        np.testing.assert_array_equal(paths[b, : min(n, m)], align_path(own, -1.2, extend, mode))
        for made in (grad, product):
            assert not made[b, n:].any() and not made[b, :, m:].any()
        assert (paths[b, min(n, m) :] == -1).all()


@pytest.mark.parametrize("mode", MODES)
def test_prices_by_item_and_by_cell(mode):
    """By item: each item alone. By cell: each step reads the cell that the documentation names."""
    rng = np.random.default_rng(5)
    scores, by_item = rng.normal(size=(3, 3, 4)), rng.normal(size=3) - 1
    value = align_value(scores, by_item, -0.5, mode=mode)
    alone = [align_value(one, price, -0.5, mode=mode) for one, price in zip(scores, by_item, strict=True)]
    np.testing.assert_allclose(value, alone, atol=1e-12)
    cells = rng.normal(size=(3, 3, 4)) - 1
    for b in range(3):
        totals = []
        for walk in listed.alignments(3, 4, mode):
            total = listed.score_of(walk, scores[b], lambda n: 0.0)
            for kind, i, j in walk:
                if kind != "P":
                    total += cells[b, max(i - 1, 0), max(j - 1, 0)]
            totals.append(total)
        assert align_value(scores[b], cells[b], mode=mode) == pytest.approx(np.logaddexp.reduce(totals), abs=1e-12)
    np.testing.assert_allclose(
        align_value(scores, cells, mode=mode),
        [align_value(s, c, mode=mode) for s, c in zip(scores, cells, strict=True)],
    )
    full = np.full((3, 3, 4), -0.5)
    np.testing.assert_allclose(align_value(scores, by_item, full, mode=mode), value, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_prices_by_cell_behind_a_length_are_not_read(mode):
    rng = np.random.default_rng(6)
    scores, cells = np.full((2, 4, 5), np.nan), np.full((2, 4, 5), np.nan)
    scores[0], cells[0] = rng.normal(size=(2, 4, 5))
    scores[1, :2, :3], cells[1, :2, :3] = rng.normal(size=(2, 2, 3))
    grad = align_grad(scores, cells, cells, mode=mode, lengths=([4, 2], [5, 3]), gaps=True)
    for b, (n, m) in enumerate([(4, 5), (2, 3)]):
        own = cells[b, :n, :m]
        alone = align_grad(scores[b, :n, :m], own, own, mode=mode, gaps=True)
        for made, one in zip(grad, alone, strict=True):
            np.testing.assert_allclose(made[b, :n, :m], one, atol=1e-12)
            assert not made[b, n:].any() and not made[b, :, m:].any()


@pytest.mark.parametrize("shape", [(), (2,), (2, 3, 4), (3, 4)], ids=str)
@pytest.mark.parametrize("extend", [True, False])
def test_gradients_by_prices_have_their_shapes(shape, extend):
    """By finite differences of the sum of the values."""
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(2, 3, 4))
    prices = [rng.normal(size=shape) - 1, rng.normal(size=2) - 1][: 1 + extend]
    grad = align_grad(scores, *prices, mode="overlap", gaps=True)
    assert extend or grad.gap_extend is None
    for k, (price, found) in enumerate(zip(prices, grad[1:], strict=False)):
        assert found.shape == price.shape
        for entry in np.ndindex(price.shape):
            step = np.zeros(price.shape)
            step[entry] = 1e-5
            up, down = (
                align_value(scores, *prices[:k], price + sign * step, *prices[k + 1 :], mode="overlap").sum()
                for sign in (1, -1)
            )
            assert found[entry] == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("mode", "shapes"),
    [
        ("global", [(), ()]),
        ("global", [(2,)]),
        ("local", [(2, 2, 3), ()]),
        ("semiglobal", [(), (2,)]),
        ("overlap", [()]),
    ],
)
def test_torch_differentiates_twice_by_scores_and_prices(mode, shapes):
    torch.manual_seed(0)
    scores = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    prices = [(torch.randn(shape, dtype=torch.float64) - 1).requires_grad_() for shape in shapes]
    lengths = [2, 1], [3, 2]

    def value(*given):
        return align_value(*given, omega=Negentropy(0.7), mode=mode, lengths=lengths)

    assert torch.autograd.gradcheck(value, (scores, *prices))
    assert torch.autograd.gradgradcheck(value, (scores, *prices))
    assert torch.autograd.gradcheck(
        lambda *given: align_grad(*given, omega=Negentropy(0.7), mode=mode, lengths=lengths), (scores, *prices)
    )


@pytest.mark.parametrize("mode", MODES)
def test_tensors_give_what_arrays_give(mode):
    rng = np.random.default_rng(8)
    scores, z, gap = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 5)), rng.normal(size=2) - 1
    tensors = [torch.as_tensor(values) for values in (scores, z, gap)]
    lengths = [4, 3], [2, 5]
    options = {"mode": mode, "lengths": lengths}
    for made, wanted in (
        (align_value(tensors[0], tensors[2], -0.5, **options), align_value(scores, gap, -0.5, **options)),
        (align_grad(tensors[0], gap, -0.5, **options), align_grad(scores, gap, -0.5, **options)),
        (align_value(scores, tensors[2], -0.5, **options), align_value(scores, gap, -0.5, **options)),
        (align_hvp(*tensors, -0.5, **options), align_hvp(scores, z, gap, -0.5, **options)),
        (align_path(tensors[0], -1.0, **options), align_path(scores, -1.0, **options)),
    ):
        assert isinstance(made, torch.Tensor)
        np.testing.assert_allclose(made.numpy(), wanted, atol=1e-12)


def test_float32_stays_float32():
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(2, 6, 7))
    grad = align_grad(scores.astype(np.float32), -1.2, -0.5, gaps=True)
    wanted = align_grad(scores, -1.2, -0.5, gaps=True)
    for made, exact in zip(grad, wanted, strict=True):
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, exact, atol=1e-5)
    assert align_value(np.arange(4).reshape(2, 2), -1).dtype == np.float64


def test_an_item_without_an_alignment_has_gradient_0():
    scores = np.zeros((2, 2, 2))
    scores[1] = -np.inf
    value, grad = align_value(scores, -np.inf), align_grad(scores, -np.inf)
    assert value.tolist() == [0.0, -np.inf] and not grad[1].any() and grad[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert (align_path(scores, -np.inf)[1] == -1).all()
    assert not align_hvp(scores, np.ones((2, 2)), -np.inf)[1].any()
    assert align_value(scores, -np.inf, mode="local")[1] == 0.0  # the empty alignment
    for call in (align_value, align_grad, align_path):
        with pytest.raises(InputError, match="item 1 has no path"):
            call(scores, -np.inf, on_infeasible="raise")
    tensor = torch.tensor(scores, requires_grad=True)
    align_value(tensor, -np.inf).sum().backward()
    assert not tensor.grad[1].any()


def test_axes_of_lengths_and_directions_are_in_the_batch():
    scores = np.random.default_rng(10).normal(size=(3, 4))
    value = align_value(scores, -1.0, lengths=([3, 2], 4))
    assert value.tolist() == [align_value(scores, -1.0), align_value(scores[:2], -1.0)]
    eye = np.eye(12).reshape(12, 3, 4)
    columns = align_hvp(scores, eye, -1.0, -0.5).reshape(12, 12)
    np.testing.assert_allclose(columns, columns.T, atol=1e-14)
    np.testing.assert_allclose(columns, [align_hvp(scores, z, -1.0, -0.5).ravel() for z in eye], atol=1e-14)


def test_a_list_of_scores_is_an_array():
    assert align_value([[1, 0], [0, 1]], -1, None, HardMax()) == 2.0


@pytest.mark.specialised
def test_a_large_alignment_keeps_few_bytes_a_cell():
    dag = dagdp.compile(alignment.pairwise_alignment(300, 300))
    assert dag.nbytes < 25 * dag.num_nodes  # measured: 21


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: align_value(np.zeros(3), -1), InputError, r"scores have shape \(3,\); expected \[\*batch, N, M\]"),
        (lambda: align_value(np.zeros((0, 3)), -1), InputError, r"scores have shape \(0, 3\)"),
        (lambda: align_value(np.zeros((2, 3)), -1, mode="glocal"), GraphError, "mode='glocal'; expected one of"),
        (
            lambda: align_value(np.zeros((2, 3)), -1, [1, 2], lengths=([2, 1, 1], 3)),
            InputError,
            r"batch dimensions \(\), \(3,\), \(\), \(\), \(2,\); expected shapes that broadcast",
        ),
        (
            lambda: align_value(np.zeros((2, 2, 3)), -1, np.zeros(3)),
            InputError,
            r"gap_extend has shape \(3,\) beside scores \[2, 2, 3\]; expected a number, \[2\]",
        ),
        (lambda: align_value(np.zeros((2, 3)), -1, lengths=2), InputError, r"lengths is 2; expected a pair \(n, m\)"),
        (
            lambda: align_value(np.zeros((2, 3)), -1, lengths=(2, 4)),
            InputError,
            r"lengths\[1\] has 4; expected 1 to 3",
        ),
        (lambda: align_hvp(np.zeros((2, 3)), np.zeros((3, 3)), -1), InputError, r"z has shape \(3, 3\); expected"),
        (lambda: align_value(np.full((2, 3), np.nan), -1), InputError, "score.*is nan"),
        (lambda: align_value(np.zeros((2, 3)), np.nan), InputError, "gap.*is nan"),
        (lambda: align_value(np.ma.masked_equal(np.eye(2), 1), -1), InputError, "scores are a masked array"),
        (lambda: alignment_text("AC", "A", [[2, 0]]), InputError, "expected pairs .* with i below 2 and j below 1"),
        (lambda: alignment_text("AC", "AC", [[1, 0], [0, 1]]), InputError, "expected pairs .* that rise"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("mode", ["global", "semiglobal", "overlap"])
def test_the_picture_is_biopythons(mode):
    """The rows of letters and gaps, where the best alignment is unique, and marks between the first and last pair."""
    aligner = biopython(mode, -2.0, -1.0, match_score=2.0, mismatch_score=-1.0)
    seen = 0
    for a, b in words(np.random.default_rng(11), 200, 12):
        a, b = a[:2] + b[:5] + a[2:], b
        found = aligner.align(a, b)
        if len(found) > 1:
            continue
        scores = np.where(np.array(list(a))[:, None] == np.array(list(b)), 2.0, -1.0)
        one, marks, other = alignment_text(a, b, align_path(scores, -2.0, -1.0, mode), 10**6).splitlines()
        assert [one, other] == [found[0][0], found[0][1]]
        assert len(marks) == len(one)
        seen += 1
    assert seen > 20


def test_the_picture_has_blocks_of_a_width():
    text = alignment_text(
        "GATTACA", "GACA", align_path(np.equal.outer(list("GATTACA"), list("GACA")) * 2.0 - 1, -1.0), 4
    )
    blocks = text.split("\n\n")
    assert [len(line) for line in blocks[0].splitlines()] == [4, 4, 4] and len(blocks) == 2
    rows = ["".join(block.splitlines()[k] for block in blocks) for k in range(3)]
    assert rows[0] == "GATTACA" and rows[2].replace("-", "") == "GACA"
