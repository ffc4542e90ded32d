"""Compiled kernels on disk: where, under which name, and for a user's operator, whether.

Numba's cache serves bundled operators and the compiler's loops; its key covers one file, so the folder's name covers
the rest. It would find a user's operator by the name of its class and never notice an edit. `OperatorCache` goes by
what the operator is made of (fingerprint.py), and hands the class in when it reads a kernel back.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.compiler import CompileResult
from numba.core.serialize import NumbaPickler

from dagdp.omega import storable

try:
    import fcntl
except ImportError:  # not on Windows, where kernels are kept without locks
    fcntl = None

logger = logging.getLogger("dagdp")


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


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """No two processes (or threads) are in here under one name, where system and folder can see to it.

    The file stays: whoever waits for it has it open.
    """
    folder = cache_directory()
    if folder is None or fcntl is None:
        yield
        return
    with ExitStack() as held:
        try:
            file = held.enter_context(open(folder / f"{name}.lock", "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            held.callback(fcntl.flock, file, fcntl.LOCK_UN)  # closing would not do beside a forked child
        except OSError as error:
            logger.debug("%s is not locked: %s", name, error)
        yield


class _DiskCache(caching.FunctionCache):
    _impl_class = _Implementation

    def save_overload(self, signature: Any, result: Any) -> None:
        """Numba reads an index, adds to it and writes it: what two processes add at once would not all stay."""
        with _alone(self._impl.filename_base):
            super().save_overload(signature, result)


def enable_disk_cache(dispatcher: Any) -> None:
    """For an entry point that bundled operators enter, or none."""
    if cache_directory() is not None:
        dispatcher._cache = _DiskCache(dispatcher.py_func)


def compiled_by_one(dispatcher: Any) -> None:
    """Of several processes that ask for a kernel at once one compiles it; the others wait, and read it.

    Not for what compiled code calls: that would be locked under Numba's lock, which who has it here waits for.
    """
    compile_here = dispatcher.compile

    def compiled(signature: Any) -> Any:
        asked = repr((dispatcher.py_func.__qualname__, str(signature)))
        with _alone(hashlib.sha256(asked.encode()).hexdigest()[:16]):
            return compile_here(signature)

    dispatcher.compile = compiled


class OperatorCache(caching._Cache):
    """For an entry point that a user's operators enter, as first argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__qualname__

    @property
    def cache_path(self) -> str:
        return str(cache_directory())

    def _file(self, data: type, signature: Any, context: Any) -> Path | None:
        folder = cache_directory()
        if folder is None or not storable(data):
            return None
        kind = hashlib.sha256(repr((self._name, str(signature), context.codegen().magic_tuple())).encode())
        return folder / f"{data.__name__}-{kind.hexdigest()[:16]}.kernel"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The kernel, or None: then it is compiled."""
        target_context.refresh()
        data = _data_of(signature)
        file = self._file(data, signature, target_context)
        if file is None or not file.exists():
            return None
        try:
            return CompileResult._rebuild(target_context, *_Reader(io.BytesIO(file.read_bytes()), data).load())
        except Exception as error:  # half written, or of another build: pickle may raise anything
            logger.debug("%s cannot be read, and is compiled again: %s", file.name, error)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a kernel, whole or not at all."""
        data = _data_of(signature)
        file = self._file(data, signature, result.target_context)
        if file is None or result.lifted or result.library.has_dynamic_globals:
            return
        written = io.BytesIO()
        _Writer(written, data).dump(result._reduce())
        part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            part.write_bytes(written.getvalue())
            os.replace(part, file)
        except OSError as error:
            logger.debug("%s cannot be written: %s", file.name, error)

    def enable(self) -> None:
        """Always on."""

    def disable(self) -> None:
        """Always on."""

    def flush(self) -> None:
        """Nothing is held back."""


def _data_of(signature: Any) -> type:
    """The operator's `Omega.Data`."""
    arguments = signature if isinstance(signature, tuple) else signature.args
    kind: type = arguments[0].instance_class
    return kind


class _Writer(NumbaPickler):
    """Leaves out the operator's class, which Python would look for by its name, or copy."""

    def __init__(self, file: Any, data: type) -> None:
        super().__init__(file, protocol=4)
        self._data = data

    def persistent_id(self, value: Any) -> str | None:
        return "operator" if value is self._data else None


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, data: type) -> None:
        super().__init__(file)
        self._data = data

    def persistent_load(self, name: str) -> type:
        return self._data
