"""The folder of compiled kernels on disk, and how files in it are written, read by one process at a time, and dropped.

A kernel is one file, which is written whole or not at all. A file that cannot be read is removed, and the kernel is
compiled again. Files are run as code, so a folder into which other users may write is not used.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numba

from dagdp.jit.bounds import CHECKED

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


def why_there_is_none() -> str:
    """The reason why `cache_directory` is None, as the end of a sentence; otherwise an empty string."""
    return _found()[1]


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
    folder = Path(root) / f"{sys.implementation.cache_tag}-{numba.__version__}-{sources()}{build}"
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
            if _open_to_others(path):
                return None, f"in {path}: others can write there, and what lies there is run as code"
    except OSError as error:
        return None, f"in {root}: {error}"
    return folder, ""


def sources(package: Path = PACKAGE) -> str:
    """A digest of every file whose text is compiled into CPU kernels, or decides how it is compiled."""
    texts = [package / name for name in TEXTS]
    files = {file for folder in FOLDERS for file in (package / folder).rglob("*.py")}
    return digest([*texts, *files.difference(device_texts(package))])[:16]


def device_texts(package: Path = PACKAGE) -> list[Path]:
    """The files of device kernels. No CPU kernel is made of them, so that an edit leaves CPU kernels where they are."""
    return list((package / "kernels" / "cuda").rglob("*.py"))


@functools.cache
def package_of(folder: Path) -> str:
    """A digest of the sources of the part of dagdp in which a folder lies, or of the folder where that is elsewhere."""
    inside = folder.relative_to(PACKAGE).parts if folder.is_relative_to(PACKAGE) else ()
    return digest((PACKAGE / inside[0]).rglob("*.py") if inside else folder.glob("*.py"))


def digest(files: Iterable[Path]) -> str:
    """A digest of the contents of files, in the order of their paths."""
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.read_bytes())
    return found.hexdigest()


def _open_to_others(path: Path) -> bool:
    """True where users other than this one and root may write. Windows has no such permission bits."""
    if not hasattr(os, "getuid"):
        return False
    state = path.stat()
    return bool(state.st_mode & 0o022) or state.st_uid not in (0, os.getuid())


def warn_not_kept(why: str) -> None:
    """Warn, once a process, that a kernel was compiled for this process alone. An import never warns."""
    if not _warned.is_set():
        _warned.set()
        warnings.warn(f"compiled kernels cannot be kept {why}. {MEND}", stacklevel=2)


def write(file: Path, content: bytes) -> None:
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
        warn_not_kept(f"in {file.parent}: {error}")


def drop(file: Path, error: Exception) -> None:
    """Remove a file that cannot be read, if that is permitted."""
    logger.debug("%s cannot be read, and is compiled again: %s", file.name, error)
    try:
        file.unlink(missing_ok=True)
    except OSError as refused:
        logger.debug("%s cannot be removed: %s", file.name, refused)


@contextmanager
def alone(name: str) -> Iterator[None]:
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
