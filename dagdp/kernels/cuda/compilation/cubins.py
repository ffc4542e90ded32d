"""Compiled device kernels, kept in memory and on disk.

A file lies in the folder of all kernels (jit/cache_folder.py), and holds its whole key, the kernel's name, its
parameters and the cubin. A user's operator is found by what it is made of, as on the CPU; one that cannot be identified
is kept in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dagdp.jit.cache_folder import (
    alone,
    cache_directory,
    device_texts,
    digest,
    drop,
    warn_not_kept,
    why_there_is_none,
    write,
)
from dagdp.kernels.cuda.compilation.packages import compilers
from dagdp.kernels.cuda.records import Variant
from dagdp.omega import storable

logger = logging.getLogger("dagdp")

_kept: dict[str, Cubin] = {}
_lock = threading.Lock()


class Cubin(NamedTuple):
    """A compiled kernel for one compute capability."""

    name: str  # as the compiler named the kernel
    parameters: tuple[str, ...]  # types, as PTX names them
    code: bytes


class Key(NamedTuple):
    """What a cubin is made for."""

    omega: Any  # the operator's `Omega.Data`
    real: type
    variant: Variant
    capability: tuple[int, int]

    def text(self) -> str:
        """All that determines the cubin, except the sources that the folder's name covers."""
        omega = self.omega
        operator = omega.label if omega.bundled or not storable(omega) else omega.made_of
        variant = {name: int(value) for name, value in self.variant._asdict().items()}
        facts = [operator, self.real.__name__, variant, self.capability, compilers(), digest(device_texts())]
        return json.dumps(facts)

    def file(self, text: str) -> Path | None:
        """The file of the cubin, whether it exists or not; None where no other process may find the cubin."""
        folder = cache_directory()
        if folder is None or not (self.omega.bundled or storable(self.omega)):
            return None
        architecture = "sm_{}{}".format(*self.capability)
        found = hashlib.sha256(text.encode()).hexdigest()[:16]
        return folder / f"{self.omega.omega.__name__}-{self.real.__name__}-{architecture}-{found}.cubin"


def kept(key: Key, build: Callable[[], Cubin]) -> Cubin:
    """The cubin of a key from memory, else from disk, else from `build`, called once for all threads and processes."""
    text = key.text()
    with _lock:
        if text not in _kept:
            _kept[text] = _from_disk(key, text, build)
        return _kept[text]


def _from_disk(key: Key, text: str, build: Callable[[], Cubin]) -> Cubin:
    file = key.file(text)
    if file is None:
        if cache_directory() is None:
            warn_not_kept(why_there_is_none())
        return build()
    cubin = _read(file, text)
    if cubin is None:
        with alone(file.stem):  # another process may have written the file in the meantime
            cubin = _read(file, text)
            if cubin is None:
                cubin = build()
                write(file, _content(text, cubin))
    return cubin


def _content(text: str, cubin: Cubin) -> bytes:
    """A line that describes the cubin, then its bytes."""
    head = {
        "key": text,
        "name": cubin.name,
        "parameters": cubin.parameters,
        "sha256": hashlib.sha256(cubin.code).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + cubin.code


def _read(file: Path, text: str) -> Cubin | None:
    """The cubin in a file; None without the file. A broken file is removed."""
    try:
        line, _, code = file.read_bytes().partition(b"\n")
    except OSError as error:
        logger.debug("%s cannot be read: %s", file.name, error)
        return None
    try:
        head = json.loads(line)
        if head["key"] != text or head["sha256"] != hashlib.sha256(code).hexdigest():
            raise ValueError("the file is truncated, or of another key")
        return Cubin(head["name"], tuple(head["parameters"]), code)
    except (ValueError, KeyError, TypeError) as error:
        drop(file, error)
        return None
