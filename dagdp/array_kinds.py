"""Which kind of array was given: NumPy runs here, tensors in `dagdp.nn`, which imports torch and is imported last."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from dagdp.errors import DagError, InputError


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor of any class. Without torch imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def refuse_mask(value: Any, label: str, error: type[DagError] = InputError) -> None:
    """Raise where entries of a NumPy masked array are masked: as a plain array it would show the numbers below."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise error(
            f"{label} is a masked array, and {masked} of its entries are masked; expected plain numbers: fill them "
            "with .filled(value). In theta -inf forbids an edge, +inf when minimising"
        )


def plain_array(value: Any, label: str) -> np.ndarray[Any, Any]:
    """`np.asarray` of arrays, numbers and lists of numbers; InputError for what it would read in another sense."""
    if type(value) is np.ndarray:
        return value
    refuse_mask(value, label)
    if isinstance(value, list | tuple) and _holds_tensors(value):
        raise InputError(f"{label} is a {type(value).__name__} that holds tensors; expected one tensor: torch.stack it")
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{label} is no array ({error}); expected numbers in rows of equal length") from None


def _holds_tensors(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(_holds_tensors(value) for value in values)
    return is_tensor(values)


def home_of(backend: str | None, *values: Any) -> ModuleType | None:
    """The module whose functions take these arrays, or dicts of them: None for NumPy, one of `dagdp.nn` for tensors.

    backend : None for compiled kernels, "torch" for the recursion in torch operations (`dagdp.nn.unrolled.functions`).
    """
    if backend not in (None, "torch"):
        raise InputError(f"backend is {backend!r}; expected None (compiled kernels) or 'torch' (torch operations)")
    for value in values:
        if value is None or type(value) is np.ndarray:
            continue
        if is_tensor(value) or (isinstance(value, Mapping) and any(is_tensor(member) for member in value.values())):
            # statements: torch.compile can follow them
            if backend == "torch":
                import dagdp.nn.unrolled.functions as unrolled

                return unrolled
            import dagdp.nn.autograd.functions as home

            return home
    if backend == "torch":
        import dagdp.nn.unrolled.functions  # noqa: F401  # where torch is missing this says what to install

        raise InputError("backend='torch' was asked for, and theta is no tensor; pass torch.as_tensor(theta)")
    return None
