"""What the compiled text of functions hangs on, as a digest: the same in another process, another after an edit."""

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
    """Something that can change without a trace here."""


def fingerprint(functions: dict[str, Callable[..., Any]], *facts: Any) -> str | None:
    """A digest of the functions' bytecode and text, of all they refer to, and of plain facts beside them.

    None where one of them refers to something that this cannot follow: anything but numbers, texts, `math` and Python's
    own functions.

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
    """Bytecode, literals, names and the values behind them; and the text, of which kernels are made where it is found.

    The file may have been edited since it was imported: bytecode and text then belong to no other process.
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
        except ValueError:  # empty: filled later
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
