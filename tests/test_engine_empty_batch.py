"""A batch without graphs: no values, and gradients of zeros, of theta's kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dagdp import InputError, compile_batch, dp_grad, dp_hvp, dp_jvp, dp_jvp_and_hvp, dp_value, dp_value_and_grad

EMPTY = compile_batch([])


@pytest.mark.parametrize(
    "theta", [[], np.zeros((2, 0)), {"a": np.zeros((2, 0))}, torch.zeros(2, 0), {"a": torch.ones(0)}]
)
def test_results_have_the_kind_of_theta(theta):
    for value in (dp_value(EMPTY, theta), dp_jvp(EMPTY, theta, theta)):
        tensor = isinstance(theta, torch.Tensor) or (isinstance(theta, dict) and isinstance(theta["a"], torch.Tensor))
        assert isinstance(value, torch.Tensor) == tensor and value.shape[-1] == 0
    for path in (dp_grad(EMPTY, theta), dp_hvp(EMPTY, theta, theta)):
        assert isinstance(path, dict) == isinstance(theta, dict)
    for pair in (dp_value_and_grad(EMPTY, theta), dp_jvp_and_hvp(EMPTY, theta, theta)):
        assert len(pair) == 2 and pair[0].shape[-1] == 0


def test_options_that_no_batch_takes():
    with pytest.raises(InputError, match="start= takes one graph"):
        dp_value(EMPTY, [], start=0)
    with pytest.raises(InputError, match=r"loop over batch\.dags"):
        dp_value(EMPTY, [], backend="torch")
