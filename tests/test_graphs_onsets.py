"""Alignments from onsets and back."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import HardMax, InputError, Negentropy
from dagdp.graphs import alignment_from_onsets, dtw_grad, dtw_path, onsets_from_alignment


def test_each_frame_belongs_to_the_last_note_that_has_begun():
    onsets = np.array([0, 2, 2, 5])
    Y = alignment_from_onsets(onsets, 7)
    assert Y.dtype == np.float64 and Y.shape == (7, 4)
    assert Y.argmax(-1).tolist() == [0, 0, 2, 2, 2, 3, 3]
    assert (Y.sum(-1) == 1).all() and Y[:, 1].sum() == 0  # note 1 begins together with note 2
    assert onsets_from_alignment(Y).tolist() == onsets.tolist()


def test_batches_and_the_way_back():
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.integers(0, 30, (5, 3, 9)), -1)
    onsets[..., 0] = 0
    Y = alignment_from_onsets(onsets, 30)
    assert Y.shape == (5, 3, 30, 9)
    assert (onsets_from_alignment(Y) == onsets).all()
    assert (alignment_from_onsets(onsets[2, 1], 30) == Y[2, 1]).all()


def test_a_hard_path_gives_the_frames_in_which_it_enters_each_note():
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(12, 8))
    found = onsets_from_alignment(dtw_grad(theta, HardMax()))
    pairs = [pair for pair in dtw_path(theta).tolist() if pair != [-1, -1]]
    assert found.tolist() == [min(i for i, j in pairs if j == note) for note in range(8)]


def test_an_expected_alignment_gives_the_frames_of_a_clear_path():
    Y = alignment_from_onsets([0, 3, 4, 8], 10)
    soft = dtw_grad(5.0 * (1.0 - Y), Negentropy(0.5))
    assert 0 < np.abs(soft - Y).max() < 0.5
    assert onsets_from_alignment(soft).tolist() == [0, 3, 4, 8]


def test_the_area_between_two_alignments_counts_cells():
    torch = pytest.importorskip("torch")
    from dagdp.nn import alignment_area

    early, late = (alignment_from_onsets(torch.tensor(frames), 9) for frames in ([0, 2, 2, 5], [0, 4, 5, 5]))
    assert early.dtype == torch.float32
    assert onsets_from_alignment(late).tolist() == [0, 4, 5, 5]
    assert onsets_from_alignment(late).dtype == torch.int64
    assert alignment_area(early, late).item() == 2 + 3  # onsets differ by 2 and 3 frames


@pytest.mark.parametrize(
    ("onsets", "num_frames", "said"),
    [
        ([1, 2], 4, "first onset is frame 1; expected 0"),
        ([0, 3, 2], 4, "decrease"),
        ([0, 4], 4, "expected it below num_frames = 4"),
        ([0.0, 1.5], 4, "expected integers"),
        ([], 4, "one note or more"),
        (3, 4, "expected integers"),
        ([0, 1], 0, "num_frames is 0"),
        ([0, 1], 2.5, r"num_frames is 2\.5"),
    ],
)
def test_bad_onsets(onsets, num_frames, said):
    with pytest.raises(InputError, match=said):
        alignment_from_onsets(onsets, num_frames)


@pytest.mark.parametrize(
    ("Y", "said"),
    [
        ([1.0, 0.0], "shape"),
        ([["a"]], "expected numbers"),
        ([[1.0, 0.0], [np.nan, 1.0]], "negative or NaN"),
        ([[1.0, 0.0], [-1.0, 1.0]], "negative or NaN"),
        ([[0.0, 0.0], [0.0, 1.0]], "first frame"),
        ([[1.0, 0.0], [1.0, 0.0]], "never reaches the last note"),
    ],
)
def test_bad_alignments(Y, said):
    with pytest.raises(InputError, match=said):
        onsets_from_alignment(Y)
