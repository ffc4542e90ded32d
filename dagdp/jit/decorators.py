"""How plain Python becomes compiled code: every decision about Numba is made in this file.

Two kinds of function exist. A *point* function is scalar text that any target can take (CPU lanes, CUDA
threads, the simulator, plain Python); its literals take the precision of its arguments. A *kernel* is a
CPU entry point, callable from Python without the GIL, cached on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numba
import numpy as np
from numba.core.errors import NumbaError

from dagdp.jit.disk_cache import OperatorCache, compiled_by_one, enable_disk_cache
from dagdp.jit.linking import PartCompiler, WholeCompiler, compiled_once
from dagdp.jit.operator_errors import not_compiled

# Not nnan/ninf: infinities carry meaning here. Not reassoc: it folds the rounding trick of exp away.
FASTMATH = {"contract", "nsz", "arcp"}
# With Python's error model the zero check of each division keeps LLVM from vectorising the loop (DESIGN section 5).
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
POINT_OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "pipeline_class": PartCompiler}

SMALL = 60_000  # numbers that a loop goes through in Python before it is compiled

# Reached from kernels only: the wrappers for Python and C cost a quarter of the compile time (11.9 s against 8.8).
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler, **OPTIONS}
# What helpers are made of: may make arrays.
counted = compiled_once(numba.njit(**_INNER))
# Kernels only look into arrays that their caller holds. Counting references to them, at every slice, call and read
# of a field, took more time than the work on narrow levels.
inner = compiled_once(numba.njit(_nrt=False, **_INNER))
inlined = compiled_once(numba.njit(_nrt=False, forceinline=True, **_INNER))


class Kernel:
    """A CPU entry point in two builds, kept on disk in two ways: for bundled operators, and for a user's."""

    def __init__(
        self, function: Callable[..., Any], nodes: int, band: int = 0, passing: bool = False, back: str = ""
    ) -> None:
        functools.update_wrapper(self, function)
        self.nodes, self.band, self.passing, self.back = nodes, band, passing, back
        self.bundled = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)
        enable_disk_cache(self.bundled)
        self.custom = numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)
        self.custom._cache = OperatorCache(function)
        compiled_by_one(self.bundled)
        compiled_by_one(self.custom)

    def ways(self, tying: bool, keeping: bool, edges: bool, nodes: bool) -> tuple[bool | None, ...]:
        """A launch's last arguments: whether levels may be tied, whether weights are kept in the gradient (where there
        is a way back), whether edges have potentials of their own, and whether nodes have, for all edges into them.

        None in the place of False: their types decide branches, of which the other side is not compiled (decided.py).
        """
        asked = (tying, keeping, edges, nodes) if self.back else (tying, edges, nodes)
        return tuple(way or None for way in asked)

    def __call__(self, omega: Any, *arguments: Any) -> Any:
        if omega.bundled:
            return self.bundled(omega, *arguments)
        try:
            return self.custom(omega, *arguments)
        except NumbaError as error:
            raise not_compiled(omega, error) from None  # Numba's own message goes over a hundred lines

    def entry(self, *given: Any) -> Callable[..., Any] | None:
        """What Numba finds for arguments of these types, if it has been found before."""
        found = self._build(given[0]).overloads.get(tuple(map(numba.typeof, given)))
        return None if found is None else cast(Callable[..., Any], found.entry_point)

    def _build(self, omega: Any) -> Any:
        return self.bundled if omega.bundled else self.custom


class Launch:
    """A kernel as calls of one form launch it, with arguments of the same types each time.

    Numba looks at them twice, and then no more: to look takes 2 of the 12 µs of the smallest call.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.known = kernel, False
        self.entry: Callable[..., Any] | None = None

    def __call__(self, omega: Any, *arguments: Any) -> Any:
        if self.entry is not None:
            return self.entry(omega, *arguments)
        if self.known:  # not before: most calls of a form that is not kept launch once, and to find it takes longer
            self.entry = self.kernel.entry(omega, *arguments)
        self.known = True
        return self.kernel(omega, *arguments)


def helper(function: Callable[..., Any]) -> Any:
    """An entry point that no operator enters: always cached."""
    compiled = numba.njit(pipeline_class=WholeCompiler, **OPTIONS)(function)
    enable_disk_cache(compiled)
    return compiled


def loop(function: Callable[..., Any]) -> Any:
    """A helper that goes through the arrays of a graph: Python runs its text as long as graphs are small.

    To compile all loops of the compiler takes 4 s, to read them from disk 0.7 s. So each goes through SMALL numbers in
    Python, about 0.1 µs for each step, before it is compiled. Both ways have the same results.
    """
    compiled, left = helper(function), [SMALL]

    @functools.wraps(function)
    def chosen(*arguments: Any) -> Any:
        if left[0] > 0 and not compiled.overloads:
            left[0] -= max((array.size for array in arguments if isinstance(array, np.ndarray)), default=0)
            if left[0] > 0:
                with np.errstate(over="ignore"):  # a hash is meant to
                    return _in_python(function)(*arguments)
        return compiled(*arguments)

    return chosen


@functools.cache
def _in_python(function: Any) -> Callable[..., Any]:
    """The text of a compiled function, and of those that it calls, for Python to run."""
    text = getattr(function, "py_func", function)
    called = {
        name: _in_python(text.__globals__[name])
        for name in text.__code__.co_names
        if hasattr(text.__globals__.get(name), "py_func")
    }
    return FunctionType(text.__code__, {**text.__globals__, **called}, text.__name__, text.__defaults__)
