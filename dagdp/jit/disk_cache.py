"""Compiled kernels on disk: the folder, the key of a kernel, and the rules for a user's operator.

Numba's own key covers one source file. The folder's name therefore has a digest of all kernel sources. That suffices
for bundled operators and for the compiler's loops. For a user's operator Numba's key would name the class alone and
miss an edit; `OperatorCache` goes by the content of the operator (fingerprint.py), and supplies the class when a
kernel is read.

A kernel is one file, which is written whole or not at all. A file that cannot be read is removed, and the kernel is
compiled again. Files are run as code, so a folder into which other users may write is not used.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.compiler import CompileResult
from numba.core.serialize import NumbaPickler, dumps

from dagdp.jit.bounds import CHECKED
from dagdp.omega import storable

try:
    import fcntl
except ImportError:  # not on Windows, where kernels are kept without locks
    fcntl = None

logger = logging.getLogger("dagdp")

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("jit", "kernels", "lanes")  # with all folders in them
TEXTS = ("omega.py", "compiled/index_arrays.py", "compiled/progressions.py")

MEND = (
    "They stay in memory, and every process compiles anew. Set DAGDP_CACHE_DIR to a folder that only you can write to"
)
_warned = threading.Event()  # one warning a process


def cache_directory() -> Path | None:
    """The folder of compiled kernels, or None where there is none. It need not be writable.

    It lies in $DAGDP_CACHE_DIR, else $XDG_CACHE_HOME/dagdp, else ~/.cache/dagdp. Its name has a digest of the kernel
    sources, since a cached caller holds the code of its callees. The key of a helper outside the kernels has a digest
    of its own part of the package besides: an edit of the compiler leaves kernels valid.
    """
    return _found()[0]


@functools.cache
def _found() -> tuple[Path | None, str]:
    """(the folder, "") or (None, the reason why there is none)."""
    root = os.environ.get("DAGDP_CACHE_DIR")
    if not root:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        if not os.path.isabs(base):
            return None, f"in {base}/dagdp: that is not an absolute path"
        root = os.path.join(base, "dagdp")
    build = "-checked" if CHECKED else ""
    folder = Path(root) / f"{sys.implementation.cache_tag}-{numba.__version__}-{_sources()}{build}"
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
            if _open_to_others(path):
                return None, f"in {path}: others can write there, and what lies there is run as code"
    except OSError as error:
        return None, f"in {root}: {error}"
    return folder, ""


def _sources(package: Path = PACKAGE) -> str:
    """A digest of every file whose text is compiled into kernels, or decides how it is compiled."""
    texts = [package / name for name in TEXTS]
    return _digest([*texts, *(file for folder in FOLDERS for file in (package / folder).rglob("*.py"))])[:16]


@functools.cache
def _package_of(folder: Path) -> str:
    """A digest of the sources of the part of dagdp in which a folder lies, or of the folder where that is elsewhere."""
    inside = folder.relative_to(PACKAGE).parts if folder.is_relative_to(PACKAGE) else ()
    return _digest((PACKAGE / inside[0]).rglob("*.py") if inside else folder.glob("*.py"))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for source in sorted(files):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _open_to_others(path: Path) -> bool:
    """True where users other than this one and root may write. Windows has no such permission bits."""
    if not hasattr(os, "getuid"):
        return False
    state = path.stat()
    return bool(state.st_mode & 0o022) or state.st_uid not in (0, os.getuid())


def _not_kept(why: str) -> None:
    """Warn, once a process, that a kernel was compiled for this process alone. An import never warns."""
    if not _warned.is_set():
        _warned.set()
        warnings.warn(f"compiled kernels cannot be kept {why}. {MEND}", stacklevel=2)


def _keep(file: Path, content: bytes) -> None:
    """Write a file through a temporary one, so that it appears whole or not at all."""
    part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        try:
            part.write_bytes(content)
            os.replace(part, file)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        _not_kept(f"in {file.parent}: {error}")


def _drop(file: Path, error: Exception) -> None:
    """Remove a file that cannot be read, if that is permitted."""
    logger.debug("%s cannot be read, and is compiled again: %s", file.name, error)
    try:
        file.unlink(missing_ok=True)
    except OSError as refused:
        logger.debug("%s cannot be removed: %s", file.name, refused)


class _Locator(caching._CacheLocator):
    """Numba's locator of cache files: the folder, and a stamp that changes with the sources."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = str(folder)
        self._line = str(function.__code__.co_firstlineno)
        # the folder's name covers the kernels; a helper elsewhere also calls functions of its own part of the package
        self._source = _package_of(Path(function.__code__.co_filename).parent)

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


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """A lock on `name` among processes and threads, where the system and the folder have locks.

    The lock file is never removed: a waiting process has it open.
    """
    folder = cache_directory()
    if folder is None or fcntl is None:
        yield
        return
    with ExitStack() as held:
        try:
            file = held.enter_context(open(folder / f"{name}.lock", "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            held.callback(fcntl.flock, file, fcntl.LOCK_UN)  # a forked child may keep the file open
        except OSError as error:
            logger.debug("%s is not locked: %s", name, error)
        yield


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
        _keep(self.file(key), dumps((self._stamp, key, data)))

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
            _drop(self._cache_file.file(self._index_key(signature, target_context.codegen())), error)
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
        _not_kept(_found()[1])

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
        with _alone(hashlib.sha256(wanted.encode()).hexdigest()[:16]):
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
            _drop(file, error)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a kernel, if its operator can be identified by content."""
        data = _data_of(signature)
        file = self._file(data, signature, result.target_context)
        if cache_directory() is None:
            _not_kept(_found()[1])
        if file is None or result.lifted or result.library.has_dynamic_globals:
            return
        written = io.BytesIO()
        _Writer(written, data).dump(result._reduce())
        _keep(file, written.getvalue())

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
