"""CTC beside torch's own loss, and beside a list of all class strings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dagdp
from dagdp import GraphError, HardMax, InputError, Negentropy, SquaredL2
from dagdp.graphs import ctc_loss, ctc_marginals, ctc_path, sequences

torch = pytest.importorskip("torch")
native = torch.nn.functional.ctc_loss

T, C = 7, 4
#: labels of each item, and frames: repeated labels, no labels, no frames, targets that do not fit
ITEMS = [([1, 2, 3], 7), ([1, 1, 2], 5), ([3], 1), ([], 4), ([], 0), ([2, 2], 2), ([1], 0), ([1, 2, 1, 2], 6)]
LABELS = [labels for labels, _ in ITEMS]
FRAMES, SIZES = [frames for _, frames in ITEMS], [len(labels) for labels in LABELS]
PADDED = torch.tensor([[*labels, *[-9] * (4 - len(labels))] for labels in LABELS])
FLAT = torch.tensor(list(itertools.chain(*LABELS)))
INFEASIBLE = [5, 6]


@pytest.fixture
def logits():
    chance = torch.Generator().manual_seed(0)
    return torch.randn(T, len(ITEMS), C, dtype=torch.float64, generator=chance, requires_grad=True)


def strings(target, frames, blank=0):
    """Every string of classes that collapses to the target."""
    for string in itertools.product(range(C), repeat=frames):
        if [label for label, _ in itertools.groupby(string) if label != blank] == list(target):
            yield string


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_values_are_torchs(reduction, zero_infinity, logits):
    log_probs, how = logits.log_softmax(-1), {"reduction": reduction, "zero_infinity": zero_infinity}
    want = native(log_probs, PADDED.clamp(0), FRAMES, SIZES, **how)
    for targets in (PADDED, FLAT):
        torch.testing.assert_close(ctc_loss(log_probs, targets, FRAMES, SIZES, **how), want)
        arrays = log_probs.detach().numpy(), targets.numpy(), np.array(FRAMES), torch.tensor(SIZES)
        np.testing.assert_allclose(ctc_loss(*arrays, **how), want.detach().numpy(), rtol=1e-12)
    assert np.isinf(want.detach().numpy()).any() == (not zero_infinity)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients_by_logits_are_torchs(reduction, logits):
    """torch gives NaN for a target that does not fit, unless zero_infinity is set."""
    losses = [
        loss(logits.log_softmax(-1), PADDED.clamp(0), FRAMES, SIZES, reduction=reduction, zero_infinity=True)
        for loss in (native, ctc_loss)
    ]
    want, got = (torch.autograd.grad(loss, logits)[0] for loss in losses)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)
    infinite = ctc_loss(logits.log_softmax(-1), PADDED, FRAMES, SIZES, reduction=reduction)
    assert infinite == np.inf
    torch.testing.assert_close(torch.autograd.grad(infinite, logits)[0], want, atol=1e-12, rtol=0)
    assert (got[:, INFEASIBLE] == 0).all()


def test_one_item_without_a_batch_axis(logits):
    log_probs, target = logits[:, 0].log_softmax(-1), torch.tensor([1, 2, 3])
    for reduction in ("none", "mean"):
        want = native(log_probs, target, torch.tensor(T), torch.tensor(3), reduction=reduction)
        got = ctc_loss(log_probs, target, T, 3, reduction=reduction)
        torch.testing.assert_close(got, want)
        assert ctc_loss(log_probs.detach().numpy(), [1, 2, 3], T, 3, reduction=reduction) == pytest.approx(want.item())
    assert ctc_marginals(log_probs, target, T, 3).shape == (T, C) and ctc_path(log_probs, target, T, 3).shape == (T,)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(1.0), Negentropy(0.5)], ids=repr)
def test_each_item_is_a_list_of_class_strings(omega, logits):
    """Another blank than 0, too: the classes are then renamed."""
    log_probs = logits.detach().log_softmax(-1).numpy()
    for blank in (0, C - 1):
        targets = PADDED.numpy() - (1 if blank else 0)
        given = np.roll(log_probs, -1, -1) if blank else log_probs
        losses = ctc_loss(given, targets, FRAMES, SIZES, blank, "none", omega=omega)
        for b, (labels, frames) in enumerate(ITEMS):
            scores = [log_probs[range(frames), b, list(string)].sum() for string in strings(labels, frames)]
            gamma = getattr(omega, "gamma", 1.0)
            smooth = gamma * np.logaddexp.reduce(np.array(scores) / gamma) if scores else -np.inf
            want = max(scores, default=-np.inf) if omega == HardMax() else smooth
            assert losses[b] == pytest.approx(-want, abs=1e-12)


def test_marginals_count_class_strings(logits):
    log_probs = logits.detach().log_softmax(-1).numpy()
    got = ctc_marginals(log_probs, PADDED.numpy(), FRAMES, SIZES)
    for b, (labels, frames) in enumerate(ITEMS):
        want = np.zeros((T, C))
        found = list(strings(labels, frames))
        weights = [np.exp(log_probs[range(frames), b, list(string)].sum()) for string in found]
        for string, weight in zip(found, weights, strict=True):
            want[range(frames), list(string)] += weight / sum(weights)
        np.testing.assert_allclose(got[:, b], want, atol=1e-12)
    ours = ctc_marginals(logits.log_softmax(-1), PADDED, FRAMES, SIZES)
    np.testing.assert_allclose(ours.detach().numpy(), got, atol=1e-12)


def test_paths_collapse_to_the_target(logits):
    log_probs = logits.detach().log_softmax(-1)
    paths = ctc_path(log_probs, PADDED, FRAMES, SIZES)
    best = ctc_loss(log_probs, PADDED, FRAMES, SIZES, reduction="none", omega=HardMax())
    np.testing.assert_array_equal(paths.numpy(), ctc_path(log_probs.numpy(), PADDED.numpy(), FRAMES, SIZES))
    for b, (labels, frames) in enumerate(ITEMS):
        path = paths[:, b].tolist()
        if b in INFEASIBLE:
            assert path == [-1] * T
            continue
        assert [label for label, _ in itertools.groupby(path[:frames]) if label] == labels
        assert log_probs[range(frames), b, path[:frames]].sum() == pytest.approx(-best[b].item(), abs=1e-12)
        assert path[frames:] == [-1] * (T - frames)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.5), SquaredL2(0.7)], ids=repr)
def test_an_item_of_a_batch_is_the_graph_of_one_target(omega, logits):
    """The value of `ctc` under each operator, the node that joins its ends included."""
    log_probs = logits.detach().numpy()
    losses = ctc_loss(log_probs, FLAT.numpy(), FRAMES, SIZES, reduction="none", omega=omega)
    marginals = ctc_marginals(log_probs, FLAT.numpy(), FRAMES, SIZES, omega=omega)
    for b, (labels, frames) in enumerate(ITEMS):
        if frames and b not in INFEASIBLE:
            dag = dagdp.compile(sequences.ctc(frames, C, labels))
            value, path = dagdp.dp_value_and_grad(dag, log_probs[:frames, b], omega)
            assert losses[b] == pytest.approx(-value, abs=1e-12)
            np.testing.assert_allclose(marginals[:frames, b], path, atol=1e-12)


def test_derivatives_of_both_orders(logits):
    """An item with a repeated label, a short one, and one that does not fit."""
    x = logits.detach()[:4, :3, :3].clone().requires_grad_()
    given = torch.tensor([[1, 1], [2, 0], [1, 1]]), [4, 3, 2], [2, 1, 2]
    assert torch.autograd.gradcheck(lambda x: ctc_loss(x, *given, zero_infinity=True), x)
    assert torch.autograd.gradgradcheck(lambda x: ctc_loss(x, *given, reduction="none", zero_infinity=True), x)
    assert torch.autograd.gradcheck(lambda x: ctc_marginals(x, *given), x)


def test_transforms_of_functions(logits):
    """Inside torch.func targets are plain tensors whose numbers are read."""
    x = logits.detach()[:4, :2].log_softmax(-1)
    given = torch.tensor([[1, 1], [2, 0]]), torch.tensor([4, 3]), torch.tensor([2, 1])
    both = torch.func.vmap(lambda x: ctc_loss(x, *given))(torch.stack([x, x.flip(0)]))
    torch.testing.assert_close(both, torch.stack([ctc_loss(x, *given), ctc_loss(x.flip(0), *given)]))
    hessian = torch.func.hessian(lambda x: ctc_loss(x, *given))(x)
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(lambda x: ctc_loss(x, *given), x))


def test_frames_behind_an_item_s_length_are_never_read(logits):
    padded = logits.detach().log_softmax(-1)
    clean = padded.clone().requires_grad_()
    for b, frames in enumerate(FRAMES):
        padded[frames:, b] = torch.nan
    padded.requires_grad_()
    for function in (ctc_loss, ctc_marginals):
        want, got = (function(x, PADDED, FRAMES, SIZES) for x in (clean, padded))
        torch.testing.assert_close(got, want)
        pairs = (want, clean), (got, padded)
        slopes = [torch.autograd.grad((made if made.ndim == 0 else made.square().sum()), x)[0] for made, x in pairs]
        torch.testing.assert_close(*slopes)
    assert (ctc_path(padded, PADDED, FRAMES, SIZES) == ctc_path(clean, PADDED, FRAMES, SIZES)).all()


def test_float32_and_a_graph_of_a_larger_size(logits):
    """The second size of a process shares the graph of the next powers of two."""
    x = logits.detach().float().log_softmax(-1)
    for frames, size in ((T, 4), (T - 1, 3), (T - 2, 2)):
        lengths = [frames, frames - 1], [size, size - 1]
        got = ctc_loss(x[:frames, :2], PADDED[[0, 7], :size].clamp(1), *lengths, reduction="none")
        want = native(x[:frames, :2], PADDED[[0, 7], :size].clamp(1), *lengths, reduction="none")
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
        assert got.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"log_probs": np.zeros(3)},
            r"log_probs has shape \(3,\); expected \[T, batch, C\], or \[T, C\]",
        ),
        ({"input_lengths": [4, 1]}, r"input_lengths\[0\] is 4; expected 0 to 3"),
        ({"input_lengths": [3]}, "input_lengths has 1 lengths; expected 2, one for each item"),
        ({"target_lengths": [2, 3]}, r"target_lengths\[1\] is 3; expected 0 to 2"),
        ({"targets": [[1, 4], [1, 1]]}, "label 1 of item 0 is 4; expected 0 to 3 without the blank 0"),
        ({"targets": [[1, 0], [1, 1]]}, "label 1 of item 0 is 0; expected 0 to 3 without the blank 0"),
        ({"targets": [1, 2, 3, 1]}, r"targets has shape \(4,\) and target_lengths sum to 3"),
        ({"targets": [[1.0, 2.0], [1.0, 1.0]]}, "targets has dtype float64; expected integers"),
        ({"blank": 4}, "blank=4; expected a class, 0 to 3"),
        ({"reduction": "max"}, "reduction='max'; expected 'none', 'mean' or 'sum'"),
    ],
)
def test_what_is_wrong_is_named(change, said):
    given = {
        "log_probs": np.zeros((3, 2, 4)),
        "targets": [[1, 2], [1, 1]],
        "input_lengths": [3, 3],
        "target_lengths": [2, 1],
    }
    with pytest.raises(InputError, match=said):
        ctc_loss(**{**given, **change})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 3, [1]), "ctc was given T=0; expected a whole number, at least 1"),
        ((4, 3, [1, 3]), "ctc was given a label 3; expected 0 to 2 without the blank 0"),
        ((4, 3, [1, 0]), "ctc was given a label 0; expected 0 to 2 without the blank 0"),
        ((4, 3, [1], 3), "ctc was given blank=3; expected a class, 0 to 2"),
    ],
)
def test_a_builder_names_what_is_wrong(arguments, said):
    with pytest.raises(GraphError, match=said):
        sequences.ctc(*arguments)


def test_infeasible_items_can_be_refused(logits):
    with pytest.raises(InputError, match="items 5; 6 have no path"):
        ctc_loss(logits.detach().numpy(), PADDED, FRAMES, SIZES, on_infeasible="raise")
