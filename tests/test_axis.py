"""`Omega.max` and `Omega.argmax`: a smoothed maximum of an array along an axis, and its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import OPERATORS, combinations, one_of_each_solver_and_type

import dagdp
from dagdp import HardMax, InputError, Negentropy, SquaredL2
from dagdp.nn import Learnable
from dagdp.reference import max_omega


@combinations(one_of_each_solver_and_type, dtype=["float32", "float64"], axis=[0, 1, -1], omega=OPERATORS)
def test_rows_along_an_axis_are_those_of_the_reference(dtype, axis, omega):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(dtype)
    x[0, 0, 1] = -np.inf
    value, weights = omega.max(x, axis), omega.argmax(x, axis)
    rows = np.moveaxis(x, axis, -1)
    assert value.shape == rows.shape[:-1] and weights.shape == x.shape and value.dtype == weights.dtype == dtype
    for place in np.ndindex(value.shape):
        want, q, _ = max_omega([float(entry) for entry in rows[place]], omega)
        assert value[place] == pytest.approx(want, abs=1e-6 if dtype == "float32" else 1e-12)
        np.testing.assert_allclose(np.moveaxis(weights, axis, -1)[place], q, atol=2e-6 if dtype == "float32" else 1e-9)


def test_softmax_and_sparsemax():
    x = np.array([[1.0, 2.0, -3.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(Negentropy(1.0).argmax(x), torch.tensor(x).softmax(-1).numpy(), rtol=1e-12)
    np.testing.assert_allclose(SquaredL2(1.0).argmax(x), [[0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert HardMax().argmax(x).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert Negentropy(1.0).max(np.full((2, 2), -np.inf)).tolist() == [-np.inf, -np.inf]
    assert not Negentropy(1.0).argmax(np.full((2, 2), -np.inf)).any()


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(2.0)], ids=repr)
def test_tensors_are_differentiable(omega):
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: omega.max(x, 0), x)
    assert torch.autograd.gradgradcheck(lambda x: omega.max(x, 0), x)
    assert torch.autograd.gradcheck(lambda x: omega.argmax(x, 1), x)


def test_a_learnt_temperature():
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for along in (
        lambda x, g: Learnable(Negentropy(), gamma=g).max(x, 0),
        lambda x, g: Learnable(SquaredL2(), gamma=g).max(x),
    ):
        assert torch.autograd.gradcheck(along, (x, gamma))
    learnt = Learnable(Negentropy(), gamma=gamma)
    torch.testing.assert_close(learnt.argmax(x, axis=0), (x / gamma).softmax(0))


def test_what_is_wrong_is_named():
    x = np.zeros((2, 3))
    with pytest.raises(InputError, match=r"x has shape \(2, 3\) and axis is 2; expected one of its 2 axes"):
        Negentropy().max(x, 2)
    with pytest.raises(InputError, match="axis is 'rows'; expected the number of one axis"):
        Negentropy().argmax(x, "rows")
    with pytest.raises(InputError, match=r"shape \(2, 0\) and axis is -1; expected at least one entry"):
        Negentropy().max(np.zeros((2, 0)))
    for given in (np.array([[0.0, 1.0], [np.nan, 0.0]]), torch.tensor([[0.0, 1.0], [np.nan, 0.0]])):
        with pytest.raises(InputError, match=r"x\[1, 0\] is nan; expected a number below infinity"):
            Negentropy().max(given, 0)
    assert dagdp.Negentropy().max(np.zeros((0, 3))).shape == (0,)
