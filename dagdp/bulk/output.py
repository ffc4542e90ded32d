"""Where a matrix is written: an array in memory, a .npy file or a zarr folder, with a record of finished blocks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from dagdp.errors import InputError

Array = NDArray[Any]


class Output:
    """A matrix that blocks are written into, and the numbers of the blocks that are finished."""

    def __init__(self, array: Any, record: Record | None = None) -> None:
        self.array = array
        self._record = record
        self.finished: frozenset[int] = record.finished if record else frozenset()

    def write(self, number: int, places: list[tuple[slice, slice, Array]]) -> None:
        """Write the parts of one block, then record the block: a kill in between means that it is computed again."""
        for rows, columns, values in places:
            self.array[rows, columns] = values
        if self._record is None:
            return
        if isinstance(self.array, np.memmap):
            self.array.flush()
        self._record.add(number)

    def close(self) -> None:
        """Close the record. The array stays open."""
        if self._record is not None:
            self._record.close()


class Record:
    """The file beside an output: a line with the digests of data and options, then the number of each finished block.

    A line is complete if it ends with a newline; what a kill left of the last one is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished: frozenset[int] = frozenset()
        self._file = path.open("a+", encoding="ascii", newline="\n")
        try:
            _lock(self._file, path)
        except BaseException:
            self._file.close()
            raise

    def resume(self, facts: Mapping[str, str]) -> bool:
        """Read the finished blocks; False where a kill came before the first line was written.

        Raises InputError where the record is of other data or options.
        """
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        self._file.truncate(len(whole))
        if not whole:
            return False
        head, *lines = whole.splitlines()
        try:
            found, numbers = dict(json.loads(head)), frozenset(map(int, lines))
        except (TypeError, ValueError):
            raise InputError(f"{self.path} is no record of a matrix; {_REMEDY}") from None
        differing = [name for name in facts if found.get(name) != facts[name]]
        if differing:
            raise InputError(
                f"{self.path} is the record of a matrix with other values of {', '.join(differing)}; expected those "
                f"of this call, to resume; {_REMEDY}"
            )
        self.finished = numbers
        return True

    def clear(self) -> None:
        """Forget all blocks."""
        self._file.truncate(0)

    def begin(self, facts: Mapping[str, str]) -> None:
        """Write the first line."""
        self._append(json.dumps(dict(facts)))

    def add(self, number: int) -> None:
        """One more block is finished."""
        self._append(str(number))

    def close(self) -> None:
        """Close the file, which gives up the lock."""
        self._file.close()

    def _append(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


_REMEDY = "give another out=, or resume=False to compute the matrix anew"


def output_for(
    out: str | os.PathLike[str] | None,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    chunk: int,
    resume: bool,
    facts: Mapping[str, str],
) -> Output:
    """An array in memory, or the file or folder `out`, new or as an earlier call left it.

    facts : {name: digest} of all that the numbers depend on.

    Raises InputError for a path that ends neither in .npy nor in .zarr, for an output of other data or options, for one
    without a record, and for one that another process writes.

    >>> output_for(None, (2, 2), np.dtype(float), 1, True, {}).array.shape
    (2, 2)
    """
    if out is None:
        return Output(np.empty(shape, dtype))
    path = Path(out)
    if path.suffix not in (".npy", ".zarr"):
        raise InputError(
            f"out={str(out)!r}; expected a path that ends in .npy or .zarr, or None for an array in memory"
        )
    beside = path.with_name(path.name + ".blocks")
    if path.exists() and resume and not beside.exists():
        raise InputError(f"{path} exists and {beside.name}, the record of its blocks, does not; {_REMEDY}")
    facts = {**facts, "shape": repr(tuple(shape)), "dtype": dtype.str}
    record = Record(beside)
    try:
        if resume and path.exists() and record.resume(facts):
            return Output(_opened(path), record)
        record.clear()
        array = _new(path, shape, dtype, chunk)
        record.begin(facts)
    except BaseException:
        record.close()
        raise
    return Output(array, record)


def _opened(path: Path) -> Any:
    """The array that an earlier call made."""
    if path.suffix == ".npy":
        return np.lib.format.open_memmap(path, mode="r+")
    return _zarr().open_array(str(path), mode="r+")


def _new(path: Path, shape: tuple[int, int], dtype: np.dtype[Any], chunk: int) -> Any:
    """An array in place of what the path holds."""
    if path.suffix == ".npy":
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    zarr = _zarr()
    if path.exists():
        shutil.rmtree(path)
    chunks = min(chunk, shape[0]), min(chunk, shape[1])
    return zarr.create_array(store=str(path), shape=shape, chunks=chunks, dtype=dtype, fill_value=float("nan"))


def _zarr() -> Any:
    try:
        import zarr
    except ModuleNotFoundError as error:
        if error.name != "zarr":
            raise
        raise ImportError(
            "out= ends in .zarr where zarr is not installed; run `pip install dagdp[dask]`", name="zarr"
        ) from error
    return zarr


def _lock(file: TextIO, path: Path) -> None:
    """One process at a time. Raises InputError where another process writes; disks without locks are not locked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{path} is locked: another process writes this matrix; wait for it, or give another out="
        ) from None
    except OSError:
        return
