"""DTW as a divergence between series."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import BUNDLED, over_operators  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402

from dagdp import HardMax, InputError, Negentropy, Tsallis  # noqa: E402
from dagdp.graphs import dtw_value  # noqa: E402
from dagdp.nn.costs import l1, squared_euclidean  # noqa: E402
from dagdp.nn.divergence import dtw_divergence  # noqa: E402


def series(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True)


@over_operators(BUNDLED)
def test_divergence_is_the_debiased_value_and_vanishes_at_equality(omega):
    x, y = series(2, 4, 3), series(2, 5, 3, seed=1)
    D = [dtw_value(squared_euclidean(a, b), omega) for a, b in ((x, y), (x, x), (y, y))]
    want = (D[0] - D[1] / 2 - D[2] / 2).detach()
    np.testing.assert_allclose(dtw_divergence(x, y, omega, reduction="none").detach(), want, rtol=1e-12)
    same = dtw_divergence(x, x.detach().clone(), omega)
    assert abs(same.item()) < 1e-12


def test_soft_dtw_is_negative_where_the_divergence_is_not():
    x, y = series(6, 2, seed=3), series(6, 2, seed=3).detach() + 0.01
    assert dtw_value(squared_euclidean(x, y), Negentropy(1.0)) < 0 < dtw_divergence(x, y, Negentropy(1.0))


@over_operators([Negentropy(0.5), Tsallis(1.5)])
@pytest.mark.parametrize("cost", [squared_euclidean, l1], ids=lambda f: f.__name__)
def test_gradients_in_both_series(omega, cost):
    assert gradcheck(lambda x, y: dtw_divergence(x, y, omega, cost=cost), (series(2, 3, 2), series(2, 4, 2, seed=1)))


def test_equal_series_are_a_stationary_point():
    x, y = series(1, 5, 2), series(1, 5, 2)  # the same numbers
    gradients = torch.autograd.grad(dtw_divergence(x, y, Negentropy(1.0)), (x, y))
    assert all(g.abs().max() < 1e-12 for g in gradients)
    biased = torch.autograd.grad(dtw_value(squared_euclidean(x, y), Negentropy(1.0)).sum(), x)[0]
    assert biased.abs().max() > 0.1  # soft-DTW is not


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.5)], ids=repr)
def test_ragged_batch_equals_single_pairs(omega):
    n, m = [4, 2, 3], [1, 5, 3]
    x, y = series(3, 4, 2), series(3, 5, 2, seed=1)
    padded_x, padded_y = x.detach().clone(), y.detach().clone()
    for item in range(3):
        padded_x[item, n[item] :] = torch.nan
        padded_y[item, m[item] :] = torch.nan
    padded_x.requires_grad_()
    padded_y.requires_grad_()
    got = dtw_divergence(padded_x, padded_y, omega, lengths=(n, m), reduction="none")
    want = torch.stack([dtw_divergence(x[k, : n[k]], y[k, : m[k]], omega) for k in range(3)])
    np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-12)
    gradients = torch.autograd.grad(got.sum(), (padded_x, padded_y))
    exact = torch.autograd.grad(want.sum(), (x, y))
    for g, e in zip(gradients, exact, strict=True):
        np.testing.assert_allclose(g, e, atol=1e-12)


def test_arrays_give_what_tensors_give():
    x, y = series(2, 4, 3).detach(), series(2, 5, 3, seed=1).detach()
    torch.testing.assert_close(dtw_divergence(x.numpy(), y), dtw_divergence(x, y))


def test_mistakes_are_named():
    x = series(4, 2).detach()
    with pytest.raises(InputError, match=r"dtw_divergence was given weight=; expected some of .*'band'"):
        dtw_divergence(x, x, weight=2)
    with pytest.raises(InputError, match=r"lengths is 4; expected a pair \(n_x, n_y\)"):
        dtw_divergence(x, x, lengths=4)


def test_step_patterns_windows_and_penalties_are_handed_on():
    x, y = series(1, 5, 2), series(1, 5, 2, seed=1)
    options = {"steps": "symmetric2", "window": 2, "penalty": 0.1}
    assert dtw_divergence(x, x, **options).item() == pytest.approx(0.0, abs=1e-12)
    own = [dtw_value(squared_euclidean(a, b), **options) for a, b in ((x, y), (x, x), (y, y))]
    torch.testing.assert_close(dtw_divergence(x, y, **options), (own[0] - 0.5 * (own[1] + own[2])).mean())
