"""How plain Python becomes compiled code: every decision about Numba is made in this file.

Two kinds of function exist. A *point* function is scalar text that any target can take (CPU lanes, CUDA
threads, the simulator, plain Python); its literals take the precision of its arguments. A *kernel* is a
CPU entry point, callable from Python without the GIL, cached on disk for the bundled operators.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from dagdp.kernels.parts import PartCompiler, WholeCompiler, compiled_once

# Not nnan/ninf: infinities carry meaning here. Not reassoc: it folds the rounding trick of exp away.
FASTMATH = {"contract", "nsz", "arcp"}
# With Python's error model the zero check of each division keeps LLVM from vectorising the loop (DESIGN section 5).
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
POINT_OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "pipeline_class": PartCompiler}

# Reached from kernels only: the wrappers for Python and C cost a quarter of the compile time (11.9 s against 8.8).
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler, **OPTIONS}
# What helpers are made of: may make arrays.
counted = compiled_once(numba.njit(**_INNER))
# Kernels only look into arrays that their caller holds. Counting references to them, at every slice, call and read
# of a field, took more time than the work on narrow levels.
UNCOUNTED = {"_nrt": False, **_INNER}
inner = compiled_once(numba.njit(**UNCOUNTED))
inlined = compiled_once(numba.njit(forceinline=True, **UNCOUNTED))
logger = logging.getLogger("dagdp")


class Kernel:
    """A CPU entry point in two builds: disk-cached for bundled operators, memory only for a user's.

    The cache key of Numba covers the kernel's own file only; a user's operator may change without it.
    """

    def __init__(self, function: Callable[..., Any], nodes: int, band: int = 0, passing: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.nodes, self.band, self.passing = nodes, band, passing
        self.bundled = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)
        _enable_disk_cache(self.bundled)
        self.custom = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)

    def __call__(self, omega: Any, *arguments: Any) -> Any:
        build = self.bundled if omega.bundled else self.custom
        return build(omega, *arguments)


def helper(function: Callable[..., Any]) -> Any:
    """An entry point that no operator enters (the compiler's loops): always cached."""
    compiled = numba.njit(pipeline_class=WholeCompiler, **OPTIONS)(function)
    _enable_disk_cache(compiled)
    return compiled


@functools.cache
def cache_directory() -> Path | None:
    """Where compiled kernels are kept, or None where nothing can be written.

    $DAGDP_CACHE_DIR, else $XDG_CACHE_HOME/dagdp, else ~/.cache/dagdp; inside it one folder for each
    content of the kernel sources, since a cached caller would keep an edited callee's old code.
    """
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    files = [*(package / f"{name}.py" for name in ("omega", "progressions", "wiring")), *package.glob("kernels/*.py")]
    for source in sorted([*files, *package.glob("compiler/*.py")]):
        digest.update(source.read_bytes())
    try:
        root = os.environ.get("DAGDP_CACHE_DIR")
        if not root:
            base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
            if not os.path.isabs(base):
                return None
            root = os.path.join(base, "dagdp")
        folder = Path(root) / f"{sys.implementation.cache_tag}-{numba.__version__}-{digest.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        logger.debug("kernels are not cached on disk: %s", error)
        return None


class _Locator(caching._CacheLocator):
    """Numba's question "where, and is it stale?" answered by the folder, whose name is the content."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = str(folder)
        self._line = str(function.__code__.co_firstlineno)
        # the folder's name covers kernels and compiler; a helper elsewhere is covered by its own file
        self._source = hashlib.sha256(Path(function.__code__.co_filename).read_bytes()).hexdigest()

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return self._source

    def get_disambiguator(self) -> str:
        return self._line

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator | None:
        folder = cache_directory()
        return None if folder is None else cls(folder, py_func)


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _DiskCache(caching.FunctionCache):
    _impl_class = _Implementation


def _enable_disk_cache(dispatcher: Any) -> None:
    if cache_directory() is not None:
        dispatcher._cache = _DiskCache(dispatcher.py_func)
