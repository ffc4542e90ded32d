"""The error for a user's operator that Numba cannot compile: it names the method and the name at fault."""

from __future__ import annotations

import dis
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from dagdp.errors import OmegaError
from dagdp.omega import POINT_FUNCTIONS

_REASON = re.compile(r"Untyped global name.*|Unknown attribute.*|No implementation of function.*|Cannot unify.*")


def foreign(function: Callable[..., Any]) -> dict[str, Any]:
    """The objects that a function refers to by name, except numbers, strings, `math` and Python's builtins."""
    code, named = function.__code__, dict[str, Any]()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in function.__globals__:
            named[step.argval] = function.__globals__[step.argval]
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        named[name] = cell.cell_contents
    plain = (int, float, str, np.number, type(None))
    return {
        name: value
        for name, value in named.items()
        if not isinstance(value, plain) and not (value is math and name == "math")
    }


def not_compiled(data: Any, error: Exception) -> OmegaError:
    """The OmegaError for an operator, given as its `Omega.Data`, that raised `error` in Numba."""
    kind = data.omega
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Numba's messages have colour codes
    reasons = [*text.splitlines()[:1], *_REASON.findall(text)]
    used = [
        f"{kind.__name__}.{name} refers to {', '.join(sorted(names))}"
        for name in POINT_FUNCTIONS
        if (names := foreign(getattr(kind, name)))
    ]
    return OmegaError(
        f"{kind.__name__} cannot be compiled: {'; '.join([*used, reasons[-1].strip() if reasons else 'no reason'])}. "
        f"Expected plain scalar Python in {', '.join(POINT_FUNCTIONS)}: arithmetic, comparisons, conditional "
        "expressions, fields, properties, these three methods, numbers, and math.exp and its like. Write the formula "
        "out with those"
    )
