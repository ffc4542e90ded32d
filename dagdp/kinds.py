"""Which kind of array was given: NumPy runs here, tensors in `dagdp.nn`, which imports torch and is imported last."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from dagdp.errors import InputError


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor of any class. Without torch imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def home_of(backend: str | None, *values: Any) -> ModuleType | None:
    """The module whose functions take these arrays, or dicts of them: None for NumPy, `dagdp.nn.run` for tensors.

    backend : None for compiled kernels, "torch" for the recursion in torch operations (`dagdp.nn.unrolled`).
    """
    if backend not in (None, "torch"):
        raise InputError(f"backend is {backend!r}; expected None (compiled kernels) or 'torch' (torch operations)")
    for value in values:
        if value is None or type(value) is np.ndarray:
            continue
        if is_tensor(value) or (isinstance(value, Mapping) and any(is_tensor(member) for member in value.values())):
            # statements: torch.compile can follow them
            if backend == "torch":
                import dagdp.nn.unrolled as unrolled

                return unrolled
            import dagdp.nn.run as home

            return home
    if backend == "torch":
        raise InputError("backend='torch' was asked for, and theta is no tensor; pass torch.as_tensor(theta)")
    return None
