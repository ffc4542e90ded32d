"""Array functions that take NumPy arrays and torch tensors. Results of tensors stay in autograd's graph."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor


def namespace(value: Any) -> Any:
    """The module whose functions take the array: numpy or torch."""
    if is_tensor(value):
        import torch

        return torch
    return np


def as_tensor(value: Any, _label: str) -> Any:
    """The value as a tensor."""
    import torch

    return value if is_tensor(value) else torch.as_tensor(np.asarray(value))


def result_type(arrays: list[Any]) -> Any:
    """The dtype of results: the common type of the floating arrays, float64 for integers."""
    if is_tensor(arrays[0]):
        import torch

        floating = [array.dtype if array.is_floating_point() else torch.float64 for array in arrays]
        return functools.reduce(torch.promote_types, floating)
    return np.result_type(*(array.dtype if array.dtype.kind == "f" else np.float64 for array in arrays))


def double(value: Any) -> Any:
    """The array in float64."""
    return value.double() if is_tensor(value) else value.astype(np.float64, copy=False)


def single_or_double(value: Any) -> Any:
    """A float32 or float64 array unchanged, any other array in float64."""
    return value if value.dtype.itemsize >= 4 and not _integer(value) else double(value)


def _integer(value: Any) -> bool:
    return not value.is_floating_point() if is_tensor(value) else value.dtype.kind != "f"


def cast(value: Any, dtype: Any) -> Any:
    """The array in a dtype; a NumPy scalar if it has no axes."""
    return value.to(dtype) if is_tensor(value) else np.asarray(value).astype(dtype, copy=False)[()]


def detached(value: Any) -> Any:
    """The array without its derivative."""
    return value.detach() if is_tensor(value) else value


def is_constant(arrays: Sequence[Any]) -> bool:
    """Whether no derivative can flow through the arrays, and no tracer or transform of torch is active."""
    if not is_tensor(arrays[0]):
        return True
    import torch
    from torch.autograd import forward_ad

    if torch.compiler.is_compiling() or forward_ad._current_level >= 0 or torch._C._functorch.get_interpreter_stack():
        return False
    plain = all(type(array) in (torch.Tensor, torch.nn.Parameter) for array in arrays)
    return plain and not (torch.is_grad_enabled() and any(array.requires_grad for array in arrays))


def to_numpy(value: Any) -> NDArray[Any]:
    """The array as a NumPy array, without its derivative."""
    return value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)


def like(reference: Any, value: Any) -> Any:
    """A NumPy array as an array of the reference's kind, on the reference's device."""
    if not is_tensor(reference) or is_tensor(value):
        return value
    writable = np.require(value, requirements="W")  # torch warns of a read-only array
    return namespace(reference).as_tensor(writable, device=reference.device)


def repeated(value: Any, size: int) -> Any:
    """An array [*axes, 1] broadcast to [*axes, size]."""
    return namespace(value).broadcast_to(value, (*value.shape[:-1], size))
