"""Packages for CUDA devices: an extra of dagdp, imported when a device array arrives."""

from __future__ import annotations

import functools
import importlib
import sys
from importlib import metadata
from typing import Any

from dagdp.errors import InputError

COMPILERS = (
    "numba-cuda",  # a text becomes NVVM's intermediate form
    "llvmlite",
    "nvidia-nvvm",  # which becomes PTX
    "nvidia-cuda-nvcc-cu12",  # NVVM of CUDA 12
    "nvidia-nvjitlink",  # which becomes a cubin
    "nvidia-nvjitlink-cu12",
)


def imported(module: str) -> Any:
    """A module of these packages. Raises InputError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"a CUDA device was asked for, and {module} cannot be imported ({error}); expected the packages of an "
            f"extra: {how_to_install()}. Or call .cpu() on the tensors"
        ) from error


def how_to_install() -> str:
    """The command that installs the packages for the CUDA version that torch was built for, where it is imported."""
    version = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None) or ""
    return f'pip install "dagdp[{"cuda12" if version.startswith("12.") else "cuda13"}]"'


@functools.cache
def compilers() -> tuple[str, ...]:
    """Names and versions of what makes cubins, read without an import (12 ms, once a process)."""
    found = []
    for name in COMPILERS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
