"""Tensors on a device, as far as a launch: CPU tensors take its place (tests/device.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import OPERATORS
from device import device as device  # a fixture

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2


@pytest.fixture
def dag():
    return dagdp.compile(Graph.from_edges([0, 0, 1, 1, 2], [1, 2, 2, 3, 3]))


@pytest.mark.parametrize("omega", OPERATORS, ids=repr)
def test_values_and_gradients_are_those_of_the_cpu(device, dag, omega):
    theta = np.random.default_rng(0).normal(size=(3, 5))
    weights = torch.tensor(theta, requires_grad=True)
    value = dagdp.dp_value(dag, weights, omega)
    value.sum().backward()
    np.testing.assert_allclose(value.detach(), dagdp.dp_value(dag, theta, omega))
    np.testing.assert_allclose(weights.grad, dagdp.dp_grad(dag, theta, omega))
    assert len(device.launches) == 1  # value and gradient
