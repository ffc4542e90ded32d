"""Which kind of array a user gave: a NumPy array, a tensor, or values that NumPy would misread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from dagdp.errors import DagError, InputError

#: Types of torch devices on which device kernels run. Every decision for or against them asks `on_accelerator`.
ACCELERATORS = frozenset({"cuda"})
#: Types of devices in DLPack's numbering whose arrays go through torch: CUDA's memory, and CUDA's managed memory.
DLPACK_ACCELERATORS = frozenset({2, 13})


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor of any class. No value is, before torch is imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def holds_tensors(value: Any) -> bool:
    """Whether the value is a torch tensor, or a dict with a tensor among its values."""
    return is_tensor(value) or (isinstance(value, Mapping) and any(is_tensor(one) for one in value.values()))


def saves_through_hooks() -> bool:
    """Whether torch saves tensors for backward through hooks, as inside `torch.utils.checkpoint`, which then computes
    the forward pass again and refuses saved tensors of other shapes.
    """
    torch = sys.modules.get("torch")
    return torch is not None and torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def on_accelerator(value: Any) -> bool:
    """Whether the value is a tensor on a device that has kernels: they run there, and no number is read on the host."""
    return is_tensor(value) and value.device.type in ACCELERATORS


def is_foreign(value: Any) -> bool:
    """Whether the value is a device array of another library than torch, such as CuPy's, that speaks DLPack."""
    if type(value) is np.ndarray or is_tensor(value) or not hasattr(value, "__dlpack_device__"):
        return False
    return hasattr(value, "__dlpack__") and int(value.__dlpack_device__()[0]) in DLPACK_ACCELERATORS


def holds_foreign(value: Any) -> bool:
    """Whether the value is a device array of another library, or a dict or list with one among its values."""
    if value is None or type(value) is np.ndarray or is_tensor(value):  # nearly all values
        return False
    if isinstance(value, Mapping):
        return any(holds_foreign(one) for one in value.values())
    if isinstance(value, list | tuple):
        return any(holds_foreign(one) for one in value)
    return is_foreign(value)


def refuse_mask(value: Any, label: str, error: type[DagError] = InputError) -> None:
    """Raise `error` for a NumPy array with masked entries: `np.asarray` would uncover the numbers under the mask."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise error(
            f"{label} is a masked array, and {masked} of its entries are masked; expected plain numbers: fill them "
            "with .filled(value). In theta -inf forbids an edge, +inf when minimising"
        )


def plain_array(value: Any, label: str) -> np.ndarray[Any, Any]:
    """`np.asarray` of arrays, numbers and lists of numbers.

    Raises InputError for masked entries, for lists of tensors, and for rows of unequal length.
    """
    if type(value) is np.ndarray:
        return value
    refuse_mask(value, label)
    if isinstance(value, list | tuple) and _lists_tensors(value):
        raise InputError(f"{label} is a {type(value).__name__} that holds tensors; expected one tensor: torch.stack it")
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{label} is no array ({error}); expected numbers in rows of equal length: pad shorter items, and pass "
            "lengths= or end="
        ) from None


def _lists_tensors(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(_lists_tensors(value) for value in values)
    return is_tensor(values)
