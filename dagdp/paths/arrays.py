"""What questions about paths do to arrays, for NumPy arrays and for tensors. Tensors stay in autograd's graph."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor


def namespace(value: Any) -> Any:
    """The module whose functions take the array: numpy, or torch."""
    if is_tensor(value):
        import torch

        return torch
    return np


def as_tensor(value: Any, _label: str) -> Any:
    """The value as a tensor."""
    import torch

    return value if is_tensor(value) else torch.as_tensor(np.asarray(value))


def answer_type(arrays: list[Any]) -> Any:
    """What answers come back in: the common type of the floating arrays, float64 for integers."""
    if is_tensor(arrays[0]):
        import torch

        floating = [array.dtype if array.is_floating_point() else torch.float64 for array in arrays]
        return functools.reduce(torch.promote_types, floating)
    return np.result_type(*(array.dtype if array.dtype.kind == "f" else np.float64 for array in arrays))


def double(value: Any) -> Any:
    """In float64."""
    return value.double() if is_tensor(value) else value.astype(np.float64, copy=False)


def single_or_double(value: Any) -> Any:
    """The array itself where its type is float32 or float64, else in float64."""
    return value if value.dtype.itemsize >= 4 and not _whole(value) else double(value)


def _whole(value: Any) -> bool:
    return not value.is_floating_point() if is_tensor(value) else value.dtype.kind != "f"


def cast(value: Any, dtype: Any) -> Any:
    """In the dtype of an answer; a NumPy scalar where there are no axes."""
    return value.to(dtype) if is_tensor(value) else np.asarray(value).astype(dtype, copy=False)[()]


def constant(value: Any) -> Any:
    """The same numbers, through which no derivative flows."""
    return value.detach() if is_tensor(value) else value


def settled(arrays: Sequence[Any]) -> bool:
    """Whether no derivative can flow through them, and nobody traces or transforms what is done to them."""
    if not is_tensor(arrays[0]):
        return True
    import torch
    from torch.autograd import forward_ad

    if torch.compiler.is_compiling() or forward_ad._current_level >= 0 or torch._C._functorch.get_interpreter_stack():
        return False
    plain = all(type(array) in (torch.Tensor, torch.nn.Parameter) for array in arrays)
    return plain and not (torch.is_grad_enabled() and any(array.requires_grad for array in arrays))


def host(value: Any) -> NDArray[Any]:
    """As a NumPy array."""
    return value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)


def like(reference: Any, value: Any) -> Any:
    """A NumPy array as an array of the reference's kind, on its device."""
    if not is_tensor(reference) or is_tensor(value):
        return value
    writable = np.require(value, requirements="W")  # torch warns of any other
    return namespace(reference).as_tensor(writable, device=reference.device)


def repeated(value: Any, size: int) -> Any:
    """[*axes, 1] as [*axes, size]."""
    return namespace(value).broadcast_to(value, (*value.shape[:-1], size))
