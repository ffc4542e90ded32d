"""The RNN transducer beside Graves's recursion, a list of all alignments, and numbers that torchaudio's tests hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dagdp
from dagdp import HardMax, InputError, Negentropy, SquaredL2
from dagdp.graphs import rnnt_loss, sequences

T, U, C = 4, 3, 4
FRAMES, LABELS = [4, 2, 3, 1, 4], [3, 2, 0, 3, 1]
TARGETS = np.array([[1, 1, 2], [3, 0, -9], [-9, -9, -9], [0, 1, 3], [2, 9, 9]])
BLANKS = 2, -1
#: other labels where the blank is the class 2
TARGETS_OF = {-1: np.where(TARGETS == 3, 0, TARGETS), 2: np.where(TARGETS == 2, 3, TARGETS)}


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(5, T, U + 1, C))


def normalised(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def graves(log_probs, target, blank):
    """The forward recursion of the paper, equations 16 and 17, for one item."""
    frames, labels = log_probs.shape[0], len(target)
    alpha = np.full((frames, labels + 1), -np.inf)
    alpha[0, 0] = 0.0
    for t, u in itertools.product(range(frames), range(labels + 1)):
        if t:
            alpha[t, u] = np.logaddexp(alpha[t, u], alpha[t - 1, u] + log_probs[t - 1, u, blank])
        if u:
            alpha[t, u] = np.logaddexp(alpha[t, u], alpha[t, u - 1] + log_probs[t, u - 1, target[u - 1]])
    return alpha[-1, -1] + log_probs[-1, labels, blank]


def alignments(log_probs, target, blank):
    """The score of each order of labels and blanks that ends with a blank."""
    frames, labels = log_probs.shape[0], len(target)
    for places in itertools.combinations(range(frames - 1 + labels), labels):
        t = u = 0
        score = 0.0
        for step in range(frames - 1 + labels):
            if step in places:
                score, u = score + log_probs[t, u, target[u]], u + 1
            else:
                score, t = score + log_probs[t, u, blank], t + 1
        yield score + log_probs[t, u, blank]


@pytest.mark.parametrize("blank", BLANKS)
def test_losses_are_graves_s(blank, logits):
    targets, log_probs = TARGETS_OF[blank], normalised(logits)
    want = [
        -graves(log_probs[b, :frames, : labels + 1], targets[b, :labels], blank)
        for b, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True))
    ]
    given = targets, FRAMES, LABELS, blank
    np.testing.assert_allclose(rnnt_loss(logits, *given, reduction="none"), want, rtol=1e-12)
    assert rnnt_loss(logits, *given) == pytest.approx(np.mean(want))
    assert rnnt_loss(logits, *given, reduction="sum") == pytest.approx(np.sum(want))
    outside = rnnt_loss(log_probs, *given, -1, "none", False)
    np.testing.assert_allclose(outside, want, rtol=1e-12)
    one = rnnt_loss(logits[0], targets[0], FRAMES[0], LABELS[0], blank)
    assert one == pytest.approx(want[0], abs=1e-12)
    three_axes = rnnt_loss(logits[None], targets[None], [FRAMES], [LABELS], blank, reduction="none")
    np.testing.assert_allclose(three_axes, [want], rtol=1e-12)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.5)], ids=repr)
def test_each_item_is_a_list_of_alignments(omega, logits):
    targets, log_probs = TARGETS_OF[-1], normalised(logits)
    got = rnnt_loss(logits, targets, FRAMES, LABELS, reduction="none", omega=omega)
    for b, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
        scores = np.array(list(alignments(log_probs[b, :frames, : labels + 1], targets[b, :labels], -1)))
        want = scores.max() if omega == HardMax() else 0.5 * np.logaddexp.reduce(scores / 0.5)
        assert got[b] == pytest.approx(-want, abs=1e-12)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(1.0), SquaredL2(1.0)], ids=repr)
def test_the_graph_of_one_item_has_the_value_of_the_batch(omega, logits):
    """The last blank of the graph enters a node of its own, which costs γ/2 under SquaredL2."""
    log_probs, target = normalised(logits[0]), TARGETS_OF[-1][0]
    theta = {"blank": log_probs[..., -1], "label": log_probs[:, range(U), target]}
    value, path = dagdp.dp_value_and_grad(dagdp.compile(sequences.rnnt(T, U)), theta, omega)
    extra = 0.5 if omega == SquaredL2(1.0) else 0.0
    assert rnnt_loss(logits[0], target, T, U, omega=omega) == pytest.approx(-(value + extra), abs=1e-12)
    assert path["blank"].sum() == pytest.approx(T) and path["label"].sum() == pytest.approx(U)


def test_numbers_of_torchaudio_s_tests():
    """test/torchaudio_unittest/rnnt/utils.py: made by the CPU code of warp-transducer, blank last and blank first."""
    logits = np.full((1, 2, 3, 5), 0.1, np.float32)
    logits[0, 0, 0, 1] = logits[0, 0, 1, 2] = logits[0, 1, 0, 1] = 0.6
    logits[0, 0, 2, 2:4] = 0.2, 0.8
    logits[0, 1, 1, 2], logits[0, 1, 2, 0], logits[0, 1, 2, 2] = 0.2, 0.7, 0.2
    assert rnnt_loss(logits, [[1, 2]], [2], [2], blank=0) == pytest.approx(4.495666, abs=1e-5)
    logits[0, 0, 1] = 0.1, 0.1, 0.6, 0.1, 0.1
    logits[0, 0, 2] = 0.1, 0.1, 0.2, 0.8, 0.1
    got = rnnt_loss(logits, [[1, 2]], [2], [2], blank=-1)
    assert got == pytest.approx(5.09566688538, abs=1e-5)


def test_tensors_have_two_derivatives(logits):
    torch = pytest.importorskip("torch")
    x = torch.tensor(logits[:3, :3, :3], requires_grad=True)
    given = torch.tensor(TARGETS_OF[-1][:3, :2]), torch.tensor([3, 2, 3]), torch.tensor([2, 2, 0])
    got = rnnt_loss(x, *given, reduction="none")
    np.testing.assert_allclose(
        got.detach().numpy(), rnnt_loss(logits[:3, :3, :3], *given, reduction="none"), rtol=1e-12
    )
    assert torch.autograd.gradcheck(lambda x: rnnt_loss(x, *given), x)
    small = x.detach()[:2, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: rnnt_loss(x, given[0][:2, :1], [2, 1], [1, 1]), small)
    half = rnnt_loss(x.detach().float(), *given)
    assert half.dtype == torch.float32 and half.item() == pytest.approx(got.mean().item(), abs=1e-5)


def test_what_lies_behind_lengths_is_never_read(logits):
    torch = pytest.importorskip("torch")
    clean, padded = (torch.tensor(logits) for _ in range(2))
    for b, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
        padded[b, frames:], padded[b, :, labels + 1 :] = torch.nan, torch.nan
    given = TARGETS_OF[-1], FRAMES, LABELS
    assert rnnt_loss(padded.numpy(), *given) == pytest.approx(rnnt_loss(logits, *given))
    losses = [rnnt_loss(x.requires_grad_(), *given) for x in (clean, padded)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, x)[0] for loss, x in zip(losses, (clean, padded), strict=True))
    )


def test_no_labels_at_all(logits):
    got = rnnt_loss(logits[:2, :, :1], np.zeros((2, 0), int), [4, 2], [0, 0], reduction="none")
    blanks = normalised(logits)[:2, :, 0, -1]
    np.testing.assert_allclose(got, [-blanks[0].sum(), -blanks[1, :2].sum()], rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"logits": np.zeros((2, 3))}, r"logits has shape \(2, 3\); expected \[\*batch, T, U \+ 1, C\]"),
        ({"targets": [[1, 2], [1, 1]]}, r"targets has shape \(2, 2\); expected \[2, 1\], as logits has it"),
        ({"targets": [[3], [1]]}, "label 0 of item 0 is 3; expected 0 to 3 without the blank 3"),
        ({"logit_lengths": [3, 0]}, r"logit_lengths\[1\] is 0; expected 1 to 3"),
        ({"target_lengths": [1, 2]}, r"target_lengths\[1\] is 2; expected 0 to 1"),
        ({"blank": 4}, "blank=4; expected a class, 0 to 3, or -1 for the last class"),
        ({"clamp": 1.0}, "clamp=1.0; expected no limit of gradients: use torch.nn.utils.clip_grad_value_"),
        ({"reduction": "token"}, "reduction='token'; expected 'none', 'mean' or 'sum'"),
    ],
)
def test_what_is_wrong_is_named(change, said):
    given = {
        "logits": np.zeros((2, 3, 2, 4)),
        "targets": [[1], [2]],
        "logit_lengths": [3, 2],
        "target_lengths": [1, 1],
    }
    with pytest.raises(InputError, match=said):
        rnnt_loss(**{**given, **change})
