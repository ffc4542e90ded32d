"""Which kind of array was given: NumPy runs here, tensors in `dagdp.nn`, which imports torch and is imported last."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor of any class. Without torch imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def home_of(*values: Any) -> ModuleType | None:
    """The module whose functions take these arrays, or dicts of them: None for NumPy, `dagdp.nn.run` for tensors."""
    for value in values:
        members = value.values() if isinstance(value, Mapping) else (value,)
        if any(is_tensor(member) for member in members):
            import dagdp.nn.run as home  # a statement: torch.compile can follow it

            return home
    return None
