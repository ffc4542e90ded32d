"""What this machine has for dagdp: `python -m dagdp.doctor`, and the versions for a report of a fault.

>>> "numba" in versions()
True
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagdp
from dagdp import pool
from dagdp.jit.cache_folder import cache_directory, why_there_is_none

PACKAGES = ("numpy", "numba", "llvmlite", "networkx", "torch", "numba-cuda", "cuda-core", "matplotlib")
FEATURES = ("avx2", "fma", "avx512f", "neon", "sve")


def versions() -> dict[str, str]:
    """The versions of Python, dagdp, and the packages that dagdp uses; "not installed" where one is missing.

    >>> sorted(versions())[:3]
    ['Python', 'cuda-core', 'dagdp']
    """
    found = {"Python": platform.python_version(), "dagdp": dagdp.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def show_versions() -> None:
    """Write the versions and the machine to standard output, a line each, for a report of a fault.

    >>> show_versions()  # doctest: +ELLIPSIS
    Python ...
    """
    for line in (*_version_lines(), *_machine_lines()):
        sys.stdout.write(line + "\n")


def report() -> Iterator[str]:
    """The lines of `python -m dagdp.doctor`, each as soon as the answer is known."""
    yield from _version_lines()
    yield from _machine_lines()
    yield f"kernels on disk: {_cache()}"
    yield f"CUDA: {_device()}"
    yield f"self-test: {_self_test()}"


def main() -> int:
    """Write the report. The exit status is 1 if the self-test failed."""
    line = ""
    for line in report():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return int("passed" not in line)


def _version_lines() -> list[str]:
    return [f"{name} {version}" for name, version in versions().items()]


def _machine_lines() -> list[str]:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    present = [name for name in FEATURES if features.get(name)]
    return [
        f"machine: {platform.system()} {platform.machine()}, {llvm.get_host_cpu_name()}, "
        f"vectors {' '.join(present) or 'of the baseline'}",
        f"threads: {pool.available()} of {os.cpu_count()} processors",
    ]


def _cache() -> str:
    folder = cache_directory()
    if folder is None:
        return f"none, {why_there_is_none()}"
    files = [path for path in Path(folder).glob("*") if path.is_file()] if Path(folder).is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    return f"{len(files)} files, {size:.1f} MB, in {folder}"


def _device() -> str:
    """The devices that kernels can run on, or the reason why there is none."""
    try:
        import torch
    except ImportError:
        return 'not available: torch is not installed; pip install "dagdp[torch,cuda13]"'
    if not torch.cuda.is_available():
        return "not available: torch sees no device"
    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    if not dagdp.cuda.is_available():
        return f'{", ".join(names)}, and no compiler for kernels; pip install "dagdp[cuda13]"'
    return ", ".join(names) + " (experimental)"


def _self_test() -> str:
    """A value and its gradient on three paths, which are known in closed form."""
    begun = time.perf_counter()
    dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1, 2, 0], [1, 2, 3, 3, 3]))
    value, grad = dagdp.dp_value_and_grad(dag, [1.0, 0.5, 1.0, 0.0, 1.5])
    known = math.log(sum(map(math.exp, (2.0, 1.5, 0.5))))
    share = math.exp(1.5 - known)
    passed = math.isclose(value, known, abs_tol=1e-12) and math.isclose(grad[4], share, abs_tol=1e-12)
    seconds = time.perf_counter() - begun
    took = f"{seconds:.2f} s{', most of it to compile' if seconds > 2.0 else ''}"
    return f"passed, {took}" if passed else f"FAILED, value {value}, expected {known}; please report this output"


if __name__ == "__main__":
    sys.exit(main())
