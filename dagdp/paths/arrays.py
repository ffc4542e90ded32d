"""What questions about paths do to arrays, for NumPy arrays and for tensors. Tensors stay in autograd's graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor, told without importing torch."""
    return type(value).__module__.split(".")[0] == "torch"


def namespace(value: Any) -> Any:
    """The module whose functions take the array: numpy, or torch."""
    if is_tensor(value):
        import torch

        return torch
    return np


def double(value: Any) -> Any:
    """In float64."""
    return value.double() if is_tensor(value) else value.astype(np.float64, copy=False)


def cast(value: Any, dtype: Any) -> Any:
    """In the dtype of an answer; a NumPy scalar where there are no axes."""
    return value.to(dtype) if is_tensor(value) else np.asarray(value).astype(dtype, copy=False)[()]


def constant(value: Any) -> Any:
    """The same numbers, through which no derivative flows."""
    return value.detach() if is_tensor(value) else value


def host(value: Any) -> NDArray[Any]:
    """As a NumPy array."""
    return value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)


def like(reference: Any, value: Any) -> Any:
    """A NumPy array as an array of the reference's kind, on its device."""
    return namespace(reference).as_tensor(value, device=reference.device) if is_tensor(reference) else value


def repeated(value: Any, size: int) -> Any:
    """[*axes, 1] as [*axes, size]."""
    return namespace(value).broadcast_to(value, (*value.shape[:-1], size))
