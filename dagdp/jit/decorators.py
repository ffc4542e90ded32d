"""Decorators that make compiled code of Python functions, with all options for Numba.

*Point* and *looped* functions are scalar text for any target (CPU lanes, CUDA threads, the simulator, plain Python),
whose literals take the dtype of their arguments (lanes/rewrite.py). A *kernel* is a CPU entry point: Python calls it
without the GIL, and the disk keeps it. `inner` and `inlined` are for functions that only kernels call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numba
import numpy as np
from numba.core.errors import NumbaError

from dagdp.jit.announcements import announce_compilation
from dagdp.jit.bounds import CHECKED
from dagdp.jit.disk_cache import OperatorCache, compiled_by_one, enable_disk_cache
from dagdp.jit.linking import PartCompiler, WholeCompiler, compiled_once
from dagdp.jit.operator_errors import not_compiled

# Not nnan or ninf: infinities have a meaning. Not reassoc: LLVM would cancel the constant by which exp rounds k.
FASTMATH = {"contract", "nsz", "arcp"}
# Under Python's error model the test of each divisor keeps LLVM from vectorising a loop (20 ns against 2.8 ns a cell).
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True, "boundscheck": CHECKED}
POINT_OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "pipeline_class": PartCompiler}

SMALL = 60_000  # numbers that a `loop` processes in Python before it is compiled

# Wrappers for Python and C would cost a quarter of the compile time (11.9 s against 8.8 s). Kernels need none.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler, **OPTIONS}
# For functions that helpers call: they may allocate arrays.
allocating = compiled_once(numba.njit(**_INNER))
# Kernels only use arrays that their caller owns. Reference counts, at every slice, call and field access, took more
# time than the work itself on narrow levels.
inner = compiled_once(numba.njit(_nrt=False, **_INNER))
INLINED_OPTIONS = {"_nrt": False, "forceinline": True, **_INNER}
inlined = compiled_once(numba.njit(**INLINED_OPTIONS))


class Kernel:
    """A CPU entry point. It exists twice, with two disk caches: for bundled operators and for a user's operators.

    passes : what it computes, for the engine (kernels/cpu/memory.py: `Passes`).
    """

    def __init__(self, function: Callable[..., Any], passes: Any = None) -> None:
        functools.update_wrapper(self, function)
        self.passes = passes
        self.bundled = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)
        enable_disk_cache(self.bundled)
        self.custom = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)
        self.custom._cache = OperatorCache(function)
        for build in (self.bundled, self.custom):
            compiled_by_one(build)
            announce_compilation(build)

    def __call__(self, omega: Any, *arguments: Any) -> Any:
        if omega.bundled:
            return self.bundled(omega, *arguments)
        try:
            return self.custom(omega, *arguments)
        except NumbaError as error:
            raise not_compiled(omega, error) from None  # Numba's own message has a hundred lines

    def entry(self, *given: Any) -> Callable[..., Any] | None:
        """The compiled code for arguments of these types, or None where it is not compiled yet."""
        found = self._build(given[0]).overloads.get(tuple(map(numba.typeof, given)))
        return None if found is None else cast(Callable[..., Any], found.entry_point)

    def _build(self, omega: Any) -> Any:
        return self.bundled if omega.bundled else self.custom


class Launch:
    """A kernel launched with arguments of the same types each time.

    From the third launch on Numba's dispatch by type is left out. It takes 2 of the 12 µs of the smallest call.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.known = kernel, False
        self.entry: Callable[..., Any] | None = None

    def __call__(self, omega: Any, *arguments: Any) -> Any:
        if self.entry is not None:
            return self.entry(omega, *arguments)
        if self.known:  # not at the first launch: most forms are launched once, and the lookup takes longer
            self.entry = self.kernel.entry(omega, *arguments)
        self.known = True
        return self.kernel(omega, *arguments)


def helper(function: Callable[..., Any]) -> Any:
    """An entry point that takes no operator. The disk keeps it."""
    compiled = numba.njit(pipeline_class=WholeCompiler, **OPTIONS)(function)
    enable_disk_cache(compiled)
    announce_compilation(compiled)
    return compiled


def loop(function: Callable[..., Any]) -> Any:
    """A helper over the arrays of a graph, which Python runs as long as graphs are small.

    All loops of the compiler take 4 s to compile and 0.7 s to read from disk. Each therefore processes SMALL numbers in
    Python, at about 0.1 µs a step, before it is compiled. Results are equal.
    """
    compiled, left = helper(function), [SMALL]

    @functools.wraps(function)
    def chosen(*arguments: Any) -> Any:
        if left[0] > 0 and not compiled.overloads:
            left[0] -= max((array.size for array in arguments if isinstance(array, np.ndarray)), default=0)
            if left[0] > 0:
                with np.errstate(over="ignore"):  # a hash overflows by design
                    return _in_python(function)(*arguments)
        return compiled(*arguments)

    return chosen


@functools.cache
def _in_python(function: Any) -> Callable[..., Any]:
    """The Python text of a compiled function, which calls the Python text of its callees."""
    text = getattr(function, "py_func", function)
    called = {
        name: _in_python(text.__globals__[name])
        for name in text.__code__.co_names
        if hasattr(text.__globals__.get(name), "py_func")
    }
    return FunctionType(text.__code__, {**text.__globals__, **called}, text.__name__, text.__defaults__)
