"""Sequences of different lengths as one array."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import InputError

torch = pytest.importorskip("torch")
from dagdp.nn import LinearChainCRF, pad_ragged  # noqa: E402


def test_a_padded_batch_has_the_values_of_its_items():
    torch.manual_seed(0)
    crf = LinearChainCRF(3, dtype=torch.float64)
    emissions = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 1, 6)]
    padded, lengths = pad_ragged(emissions, value=torch.nan)
    assert padded.shape == (3, 6, 3) and lengths.tolist() == [4, 1, 6] and padded[1, 1:].isnan().all()
    together = crf.value(padded, lengths)
    alone = torch.stack([crf.value(emission) for emission in emissions])
    assert torch.allclose(together, alone)
    together.sum().backward()
    for emission in emissions:
        assert torch.allclose(emission.grad.sum(-1), torch.ones(len(emission), dtype=torch.float64))


def test_arrays_and_lists_are_padded():
    padded, lengths = pad_ragged([np.ones((2, 1), np.float32), [[5.0]]])
    assert padded.tolist() == [[[1.0], [1.0]], [[5.0], [0.0]]] and lengths.tolist() == [2, 1]
    assert pad_ragged([[1, 2], [3]])[0].dtype == torch.int64
    assert pad_ragged([[1, 2], [0.5]])[0].tolist() == [
        [1.0, 2.0],
        [0.5, 0.0],
    ]  # not cut to the first type
    single, double = torch.ones(2), torch.full((1,), 0.1, dtype=torch.float64)
    assert pad_ragged([single, double])[0].tolist() == [[1.0, 1.0], [0.1, 0.0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "sequences is empty; expected at least one"),
        ([[1.0], []], r"sequences\[1\] has shape \(0,\); expected \[T\] with T of at least 1"),
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            r"sequences\[1\] has shape \(2, 4\); expected \[T, 3\] with T",
        ),
        ([1.0], r"sequences\[0\] has shape \(\); expected \[T\]"),
        ([["a"]], r"sequences\[0\]"),
    ],
    ids=str,
)
def test_what_is_no_sequence_is_named(given, said):
    with pytest.raises(InputError, match=said):
        pad_ragged(given)
