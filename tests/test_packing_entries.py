"""Reading and writing rows of samples: stretches of every length, at every place in a row, for every batch."""

from __future__ import annotations

import numpy as np
import pytest

import dagdp


def fan(entries, size):
    """One choice among parallel edges that read these entries of a potential of that size."""
    nothing = np.zeros(len(entries), np.int64)
    potentials = {"w": ((size,), np.array(entries))}
    return dagdp.compile(dagdp.Graph.from_edges(nothing, nothing + 1, potentials=potentials))


def softmax(x):
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("items", [1, 5, 9, 16, 20, 33])
def test_stretches_of_every_length_are_read_and_written_beside_nan(items, dtype):
    """Squares reach beyond a short stretch: what lies there is neither used nor checked nor changed."""
    rng = np.random.default_rng(items)
    for count in (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 40):
        for first, behind in ((0, 0), (2, 0), (0, 3), (5, 17)):
            dag = fan(range(first, first + count), first + count + behind)
            theta = rng.standard_normal((items, first + count + behind)).astype(dtype)
            expected = np.zeros_like(theta)
            expected[:, first : first + count] = softmax(theta[:, first : first + count])
            theta[:, :first] = theta[:, first + count :] = np.nan
            path = dagdp.dp_grad(dag, {"w": theta})["w"]
            np.testing.assert_allclose(path, expected, atol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("items", [1, 16, 20])
def test_scattered_entries_and_shared_rows(items):
    """Entries that jump, fall and repeat; and the same row for every item."""
    rng = np.random.default_rng(0)
    entries = [9, 8, 7, 3, 4, 5, 6, 7, 30, 0, 0, 2, 11, 12, 13, 14, 15, 16]
    dag = fan(entries, 31)
    theta = rng.standard_normal((items, 31))
    expected = np.zeros_like(theta)
    for k, weight in zip(entries, softmax(theta[:, entries]).T, strict=True):
        expected[:, k] += weight
    np.testing.assert_allclose(dagdp.dp_grad(dag, {"w": theta})["w"], expected, atol=1e-14)
    ends = np.ones(items, np.int64)
    shared = dagdp.dp_grad(dag, {"w": theta[0]}, end=ends)["w"]
    np.testing.assert_allclose(shared, items * expected[0], atol=1e-13)


def test_an_entry_out_of_range_inside_a_square_is_named():
    dag = fan(range(2, 12), 14)
    theta = np.zeros((20, 14))
    theta[17, 11] = np.nan
    with pytest.raises(dagdp.InputError, match=r"17.*11|11.*17"):
        dagdp.dp_value(dag, {"w": theta})
