"""Kernel texts for tests: written to a file of their own, imported, and specialised."""

from __future__ import annotations

import dis
import importlib.util
import textwrap
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from dagdp.kernels.cuda.compilation.specialise import specialised


def module_of(text: str, folder: Path) -> ModuleType:
    """The module of a text, imported from text.py in a folder."""
    path = folder / "text.py"
    path.write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_file_location("text", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def functions_of(module: ModuleType) -> list[FunctionType]:
    """The functions that a module defines."""
    values = vars(module).values()
    return [value for value in values if isinstance(value, FunctionType) and value.__module__ == module.__name__]


def made(text: str, folder: Path, names: dict[str, Any] | None = None, barrier: Any = "block", **static: Any) -> Any:
    """The functions of a text, specialised."""
    space = {"REAL": np.float32, "cuda": SimpleNamespace(), **(names or {})}
    return specialised(functions_of(module_of(text, folder)), space, static, barrier)


def loaded(function: FunctionType) -> set[str]:
    """The global names that a function uses."""
    return {step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}
