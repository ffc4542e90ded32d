"""Which kind of array a user gave."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dagdp import GraphError, InputError
from dagdp.array_kinds import holds_tensors, is_tensor, plain_array, refuse_mask

TENSOR = torch.ones(2)


def test_tensors():
    assert is_tensor(TENSOR) and is_tensor(torch.nn.Parameter(TENSOR)) and not is_tensor(np.ones(2))
    assert holds_tensors(TENSOR) and holds_tensors({"a": np.ones(2), "b": TENSOR})
    assert not any(map(holds_tensors, (None, np.ones(2), [TENSOR], {"a": [TENSOR]}, {})))


def test_masked_entries_are_refused():
    array = np.ma.masked_invalid([1.0, np.nan])
    with pytest.raises(InputError, match="theta is a masked array, and 1 of its entries are masked"):
        plain_array(array, "theta")
    with pytest.raises(GraphError, match="index is a masked array"):
        refuse_mask(array, "index", GraphError)
    assert plain_array(np.ma.array([1.0, 2.0]), "theta").tolist() == [1.0, 2.0]


def test_values_that_numpy_would_misread():
    array = np.ones(2)
    assert plain_array(array, "theta") is array and plain_array([1, 2], "theta").tolist() == [1, 2]
    with pytest.raises(InputError, match=r"holds tensors; expected one tensor: torch\.stack"):
        plain_array([TENSOR, [TENSOR]], "theta")
    with pytest.raises(InputError, match="theta is no array"):
        plain_array([[1.0], [1.0, 2.0]], "theta")
