"""One line in the log when a kernel takes longer than half a second to compile.

A first call is silent for seconds otherwise. On a terminal and in a notebook the line is shown on standard error,
unless the user has given the logger "dagdp" a handler or a level.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import types

from dagdp.jit.cache_folder import cache_directory

logger = logging.getLogger("dagdp")

PATIENCE = 0.5  # seconds
_announced: set[str] = set()  # one line for each operator and type of numbers


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Say once a process that `what` is being compiled, when the block has run for half a second.

    >>> with announced("an operator, float64"):
    ...     pass
    """
    timer = threading.Timer(PATIENCE, _announce, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def announce_compilation(dispatcher: Any) -> None:
    """Announce whatever a dispatcher of Numba compiles from here on. What it reads from disk is not announced."""
    compile_here: Callable[..., Any] = dispatcher._compiler.compile

    def compiled(arguments: Any, returned: Any) -> Any:
        with announced(described(arguments)):
            return compile_here(arguments, returned)

    dispatcher._compiler.compile = compiled


def described(arguments: tuple[Any, ...]) -> str:
    """The operator and the type of numbers in the Numba types of arguments, for the user.

    >>> described((types.float64[::1],))
    'graphs, float64'
    """
    first = getattr(arguments[0], "instance_class", None) if arguments else None
    operator = getattr(first, "__qualname__", "")
    name = operator.removesuffix(".Data") if operator.endswith(".Data") else "graphs"
    if name.startswith("_"):  # the data of one alpha: _Tsallis15
        name = name.strip("_0123456789")
    numbers = next((str(dtype) for dtype in _dtypes(arguments) if isinstance(dtype, types.Float)), None)
    return name if numbers is None else f"{name}, {numbers}"


def _dtypes(arguments: Any) -> Iterator[Any]:
    """The dtypes of all arrays among types, those in tuples included."""
    for argument in arguments:
        if isinstance(argument, types.Array):
            yield argument.dtype
        else:
            yield from _dtypes(getattr(argument, "types", ()))  # of a tuple


def _announce(what: str) -> None:
    if what in _announced:
        return
    _announced.add(what)
    _show_on_terminals()
    folder = cache_directory()
    kept = "in this process only" if folder is None else f"once on this machine, kept in {folder}"
    logger.info("dagdp compiles kernels for %s: %s", what, kept)


def _show_on_terminals() -> None:
    """Give the logger a handler where someone can read it, unless the user has set the logger up."""
    untouched = logger.level == logging.NOTSET and not logger.handlers and not logging.root.handlers
    notebook = "ipykernel" in sys.modules
    if untouched and (notebook or (sys.stderr is not None and sys.stderr.isatty())):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
