"""Monotonic alignment beside the loop of Glow-TTS, and beside a list of all alignments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dagdp
from dagdp import HardMax, InputError, Negentropy
from dagdp.graphs import monotonic_alignment, sequences


def maximum_path(scores):
    """Glow-TTS, algorithm 1, for one item [text, frames] with at least as many frames as positions."""
    N, T = scores.shape
    Q = np.full((N, T), -np.inf)
    Q[0, 0] = scores[0, 0]
    for t in range(1, T):
        for i in range(min(t + 1, N)):
            Q[i, t] = scores[i, t] + max(Q[i, t - 1], Q[i - 1, t - 1] if i else -np.inf)
    path, i = np.zeros((N, T)), N - 1
    for t in reversed(range(T)):
        path[i, t] = 1.0
        if t and i and Q[i, t - 1] < Q[i - 1, t - 1]:
            i -= 1
    return path


def alignments(N, T):
    """Every alignment as a matrix: the frames in which positions 1 to N - 1 begin."""
    for begins in itertools.combinations(range(1, T), N - 1):
        owner = np.searchsorted(begins, np.arange(T), side="right")
        yield (np.arange(N)[:, None] == owner).astype(float)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 4), (3, 9), (6, 7)])
def test_alignments_are_those_of_glow_tts(size):
    """Ties are frequent among small integers."""
    scores = np.random.default_rng(0).integers(0, 3, (20, *size)).astype(float)
    got = monotonic_alignment(scores)
    for b in range(20):
        np.testing.assert_array_equal(got[b], maximum_path(scores[b]))


@pytest.mark.parametrize("omega", [Negentropy(1.0), Negentropy(0.2)], ids=repr)
def test_the_expected_alignment_is_a_mean_of_all(omega):
    scores = np.random.default_rng(1).normal(size=(3, 6))
    every = np.array(list(alignments(3, 6)))
    weights = np.exp((every * scores).sum((1, 2)) / omega.gamma)
    want = np.tensordot(weights / weights.sum(), every, 1)
    np.testing.assert_allclose(monotonic_alignment(scores, omega=omega), want, atol=1e-12)
    value = dagdp.dp_value(dagdp.compile(sequences.monotonic_alignment(3, 6)), scores, omega)
    assert value == pytest.approx(omega.gamma * np.log(weights.sum()), abs=1e-12)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(1.0)], ids=repr)
def test_an_item_of_a_batch_is_aligned_as_if_alone(omega):
    rng, text, frames = np.random.default_rng(2), np.array([[4, 1, 2], [3, 4, 2]]), np.array([[7, 7, 3], [3, 2, 6]])
    scores = np.full((2, 3, 4, 7), np.nan)
    for b in np.ndindex(2, 3):
        scores[b][: text[b], : frames[b]] = rng.normal(size=(text[b], frames[b]))
    got = monotonic_alignment(scores, (text, frames), omega)
    for b in np.ndindex(2, 3):
        alone = np.zeros((4, 7))
        corner = scores[b][: text[b], : frames[b]]
        if text[b] <= frames[b]:  # the item [1, 1] has more positions than frames
            alone[: text[b], : frames[b]] = monotonic_alignment(corner, omega=omega)
        np.testing.assert_allclose(got[b], alone, atol=1e-12)
    assert not got[1, 1].any() and got[0, 0].sum() == pytest.approx(7)


def test_tensors_and_their_derivative():
    torch = pytest.importorskip("torch")
    scores = np.random.default_rng(3).normal(size=(2, 3, 4))
    x, lengths = torch.tensor(scores, requires_grad=True), (torch.tensor([3, 2]), 4)
    for omega in (HardMax(), Negentropy(1.0)):
        made = monotonic_alignment(x, lengths, omega)
        np.testing.assert_allclose(made.detach().numpy(), monotonic_alignment(scores, ([3, 2], 4), omega), atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: monotonic_alignment(x, lengths, Negentropy(1.0)), x)
    assert monotonic_alignment(x.detach().float()).dtype == torch.float32


def test_a_forbidden_cell_is_avoided():
    scores = np.array([[0.0, 1.0, 9.0], [0.0, 0.0, 0.0]])
    assert monotonic_alignment(scores)[0].tolist() == [1.0, 1.0, 0.0]
    scores[0, 1] = -np.inf
    assert monotonic_alignment(scores)[0].tolist() == [1.0, 0.0, 0.0]


def test_what_is_wrong_is_named():
    with pytest.raises(InputError, match=r"scores has shape \(3,\); expected \[\*batch, text, frames\]"):
        monotonic_alignment(np.zeros(3))
    with pytest.raises(InputError, match=r"lengths is 3; expected a pair \(text, frames\)"):
        monotonic_alignment(np.zeros((2, 3)), 3)
    with pytest.raises(InputError, match=r"lengths\[1\]"):
        monotonic_alignment(np.zeros((2, 3)), (2, 4))
