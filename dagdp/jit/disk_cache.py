"""Numba's caches of compiled kernels on disk: the key of a kernel, and the rules for a user's operator.

Numba's own key covers one source file. The folder's name therefore has a digest of all kernel sources
(cache_folder.py). That suffices for bundled operators and for the compiler's loops. For a user's operator Numba's key
would name the class alone and miss an edit; `OperatorCache` goes by the content of the operator (fingerprint.py), and
supplies the class when a kernel is read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching
from numba.core.compiler import CompileResult
from numba.core.serialize import NumbaPickler, dumps

from dagdp.jit.cache_folder import alone, cache_directory, drop, package_of, warn_not_kept, why_there_is_none, write
from dagdp.omega import storable

logger = logging.getLogger("dagdp")


class _Locator(caching._CacheLocator):
    """Numba's locator of cache files: the folder, and a stamp that changes with the sources."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = str(folder)
        self._line = str(function.__code__.co_firstlineno)
        # the folder's name covers the kernels; a helper elsewhere also calls functions of its own part of the package
        self._source = package_of(Path(function.__code__.co_filename).parent)

    def ensure_cache_path(self) -> None:
        """The folder exists. Permission to write shows at the first write."""

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


class _Files:
    """One file a kernel, instead of Numba's index and data files. The file holds its whole key, too."""

    def __init__(self, folder: Path, base: str, stamp: str) -> None:
        self._folder, self._base, self._stamp = folder, base, stamp

    def file(self, key: Any) -> Path:
        """The path of the kernel with that key."""
        digest = hashlib.sha256(repr((self._stamp, key)).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{digest}.nbc"

    def save(self, key: Any, data: Any) -> None:
        """Write a kernel."""
        write(self.file(key), dumps((self._stamp, key, data)))

    def load(self, key: Any) -> Any:
        """The kernel with that key, or None. Unpickling may raise any exception."""
        try:
            content = self.file(key).read_bytes()
        except OSError:
            return None
        stamp, known, data = pickle.loads(content)
        return data if (stamp, known) == (self._stamp, key) else None


class _DiskCache(caching.FunctionCache):
    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Files(Path(locator.get_cache_path()), self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The kernel from disk, or None: Numba then compiles it."""
        try:
            return super().load_overload(signature, target_context)
        except Exception as error:  # a truncated file, or another build's
            drop(self._cache_file.file(self._index_key(signature, target_context.codegen())), error)
            return None


class _Nowhere(caching._Cache):
    """The cache where no folder can be used."""

    @property
    def cache_path(self) -> str:
        return ""

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """None: Numba compiles the kernel."""
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Warn that the kernel is not kept."""
        warn_not_kept(why_there_is_none())

    def enable(self) -> None:
        """Do nothing."""

    def disable(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


def enable_disk_cache(dispatcher: Any) -> None:
    """Switch the disk cache on for an entry point that takes a bundled operator, or none."""
    dispatcher._cache = _Nowhere() if cache_directory() is None else _DiskCache(dispatcher.py_func)


def compiled_by_one(dispatcher: Any) -> None:
    """Of several processes that need a kernel, let one compile it while the others wait and then read it.

    Only for entry points: a function called by compiled code would be locked inside Numba's own lock, in the other
    order, and two threads could deadlock.
    """
    compile_here = dispatcher.compile

    def compiled(signature: Any) -> Any:
        wanted = repr((dispatcher.py_func.__qualname__, str(signature)))
        with alone(hashlib.sha256(wanted.encode()).hexdigest()[:16]):
            return compile_here(signature)

    dispatcher.compile = compiled


class OperatorCache(caching._Cache):
    """The disk cache of an entry point whose first argument is a user's operator."""

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
        """The kernel from disk, or None: Numba then compiles it."""
        target_context.refresh()
        data = _data_of(signature)
        file = self._file(data, signature, target_context)
        if file is None or not file.exists():
            return None
        try:
            content = file.read_bytes()
        except OSError as error:
            logger.debug("%s cannot be read: %s", file.name, error)
            return None
        try:
            return CompileResult._rebuild(target_context, *_Reader(io.BytesIO(content), data).load())
        except Exception as error:  # a truncated file, or another build's: unpickling may raise any exception
            drop(file, error)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a kernel, if its operator can be identified by content."""
        data = _data_of(signature)
        file = self._file(data, signature, result.target_context)
        if cache_directory() is None:
            warn_not_kept(why_there_is_none())
        if file is None or result.lifted or result.library.has_dynamic_globals:
            return
        written = io.BytesIO()
        _Writer(written, data).dump(result._reduce())
        write(file, written.getvalue())

    def enable(self) -> None:
        """Do nothing."""

    def disable(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


def _data_of(signature: Any) -> type:
    """The operator's `Omega.Data`, from a kernel's signature."""
    arguments = signature if isinstance(signature, tuple) else signature.args
    kind: type = arguments[0].instance_class
    return kind


class _Writer(NumbaPickler):
    """A pickler that leaves out the operator's class, which Python would look up by name, or copy."""

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
