"""A digest of everything on which the compiled text of functions depends: equal in all processes until an edit."""

from __future__ import annotations

import builtins
import dis
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

_PLAIN = (bool, int, float, str, type(None))


class _UntraceableError(Exception):
    """A reference whose value can change without changing the digest."""


def fingerprint(functions: dict[str, Callable[..., Any]], *facts: Any) -> str | None:
    """A digest of the functions' bytecode and text, of the values they refer to, and of further facts; else None.

    None if a function refers to anything but numbers, strings, `math` and Python's builtin functions: a change of such
    a value could not be noticed.

    >>> fingerprint({"link": lambda self, y: math.exp(y)}) == fingerprint({"link": lambda self, y: math.exp(y)})
    True
    >>> fingerprint({"link": lambda self, y: some_helper(y)}) is None
    True
    """
    try:
        parts = [(name, *_parts(function)) for name, function in functions.items()]
    except _UntraceableError:
        return None
    return hashlib.sha256(repr((parts, facts)).encode()).hexdigest()[:20]


def _parts(function: Any) -> Iterator[str]:
    """Bytecode, literals, names with their values, and the source text, from which kernels are made where it is found.

    After an edit of an imported file, bytecode and text differ, and no other process has this pair.
    """
    if not isinstance(function, FunctionType):
        raise _UntraceableError
    code = function.__code__
    if any(not isinstance(literal, _PLAIN) for literal in code.co_consts):
        raise _UntraceableError
    yield repr((code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars, function.__defaults__))
    yield _text(function)
    loaded = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for name in sorted(loaded):
        yield f"{name}: {_known(function.__globals__.get(name, vars(builtins).get(name, function)))}"
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name}: {_known(cell.cell_contents)}"
        except ValueError:  # an empty cell is filled later
            raise _UntraceableError from None


def _text(function: FunctionType) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""


def _known(value: Any) -> str:
    if value is math:
        return "math"
    if isinstance(value, _PLAIN):
        return repr(value)
    name = getattr(value, "__name__", "")
    if vars(builtins).get(name) is value:
        return f"builtin {name}"
    raise _UntraceableError
