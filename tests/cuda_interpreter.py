"""Runs a kernel text thread by thread, and finds what a device would not tell: races, unwritten memory, divergence.

The text was specialised with the barrier "yield" and the namespace's `cuda` is CUDA. Between two barriers each thread
of a team (a block, or a warp where barriers are those of warps) runs to the next one, in an order drawn from a seed.
Arrays are watched. Threads are ordered only by the barriers of their own team: what two of them touch in one stretch
between barriers, or threads of two teams in the whole launch, must not be written by either.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import numpy as np

INPUTS = ("plan", "table", "starts", "ends", "theta", "z")


class KernelError(AssertionError):
    """What is wrong, with thread, block, array, index and source line."""


class RaceError(KernelError):
    """Two threads touch one element with no barrier of both in between, and one writes."""


class UnwrittenError(KernelError):
    """Memory is read before it is written, or an output is never written."""


class BoundsError(KernelError):
    """An index outside the array. Negative ones are outside, too."""


class BarrierError(KernelError):
    """Not all threads of a team come to one barrier."""


class NumberError(KernelError):
    """A number of another type than the array's: an expression was widened."""


class InputError(KernelError):
    """An input is written."""


class RealMath:
    """The module `math` for a real type: results are of that type, and follow IEEE 754 where `math` raises."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.inf, self.pi, self.e, self.nan = (real(x) for x in (math.inf, math.pi, math.e, math.nan))
        self.isnan, self.isinf, self.isfinite = math.isnan, math.isinf, math.isfinite

    def __getattr__(self, name: str) -> Callable[..., Any]:
        plain, real = getattr(math, name), self._real

        def found(*given: Any) -> Any:
            for one in given:
                if real is np.float32 and type(one) is not np.float32 and not isinstance(one, int):
                    raise NumberError(f"{_place()}: math.{name} of {one!r}, a {type(one).__name__}")
            try:
                return real(plain(*given))
            except OverflowError:
                return real(getattr(np, name)(*map(np.float64, given)))
            except ValueError:
                return real(getattr(np, {"pow": "power"}.get(name, name))(*map(np.float64, given)))

        setattr(self, name, found)
        return found


class _Cuda:
    """The names of numba.cuda that texts use, for the thread that runs now."""

    def __init__(self) -> None:
        self.threadIdx, self.blockDim = SimpleNamespace(x=0), SimpleNamespace(x=0)
        self.blockIdx, self.gridDim = SimpleNamespace(x=0, y=0, z=0), SimpleNamespace(x=0, y=0, z=0)
        self.shared, self.local = SimpleNamespace(array=self._shared), SimpleNamespace(array=self._local)
        self.machine: Any = None
        self.memory: Any = None
        self.real: Any = None

    def _shared(self, size: int, real: Any) -> Any:
        if size != 0 or np.dtype(real) != np.dtype(self.real):
            raise NumberError(f"{_place()}: cuda.shared.array({size}, {real}); expected size 0 and {self.real}")
        return self.memory

    def _local(self, size: int, real: Any) -> Any:
        return self.machine.memory("local array", size, np.dtype(real).type)


CUDA = _Cuda()  # one thread runs at a time


class Grid(NamedTuple):
    """The shape of a launch."""

    blocks: tuple[int, int, int]  # along x, y and z
    threads: int  # of a block
    team: int  # threads that a barrier joins: the block's, or a warp's
    shared_bytes: int  # of a block
    real: Any  # np.float32 or np.float64


class Roles(NamedTuple):
    """What memory is before and after the launch, by names of fields. Any other array begins unwritten."""

    inputs: Collection[str] = INPUTS  # never written
    given: Collection[str] = ("fault",)  # has numbers already, and may be written
    outputs: Collection[str] = ()  # every element is written
    unordered: Collection[str] = ("fault",)  # any thread may write it at any time


USUAL = Roles()


class _Touch(NamedTuple):
    """A thread in a stretch between barriers."""

    stretch: int  # no two stretches of the launch have one number
    team: int
    thread: tuple[tuple[int, int, int], int] | None  # block, and number in the block; None for several threads

    def __str__(self) -> str:
        return f"thread {self.thread[1]} of block {self.thread[0]}" if self.thread else "several threads"


_BEFORE = _Touch(-1, -1, None)  # written before the launch
_MANY = _Touch(-2, -2, None)  # read by several teams


class _Input:
    """A watched array that no thread may write."""

    __slots__ = ("machine", "name", "numbers", "size")

    def __init__(self, name: str, numbers: list[Any], machine: Machine) -> None:
        self.name, self.numbers, self.size, self.machine = name, numbers, len(numbers), machine

    def __getitem__(self, i: int) -> Any:
        if 0 <= i < self.size:
            self.machine.accesses += 1
            return self.numbers[i]
        raise BoundsError(f"{_place()}: {self.name}[{i}] is read, of {self.size}, by {self.machine.now}")

    def __setitem__(self, i: int, number: Any) -> NoReturn:
        raise InputError(f"{_place()}: {self.name}[{i}] is written, an input, by {self.machine.now}")


class _Watched:
    """An array of which each element knows who wrote it last, and who has read it since."""

    __slots__ = ("machine", "name", "numbers", "read", "real", "size", "unordered", "wrote")

    def __init__(self, name: str, numbers: list[Any], real: Any, machine: Machine, written: bool = False) -> None:
        self.name, self.numbers, self.size, self.machine, self.real = name, numbers, len(numbers), machine, real
        self.wrote: list[_Touch | None] = [_BEFORE if written else None] * self.size
        self.read: list[_Touch | None] = [None] * self.size
        self.unordered = False

    def __getitem__(self, i: int) -> Any:
        machine = self.machine
        now = machine.now
        machine.accesses += 1
        if not 0 <= i < self.size:
            raise BoundsError(f"{_place()}: {self.name}[{i}] is read, of {self.size}, by {now}")
        last = self.wrote[i]
        if last is not now and last is not _BEFORE:
            if last is None:
                raise UnwrittenError(f"{_place()}: {self.name}[{i}] is read before it is written, by {now}")
            if (last.stretch == now.stretch or last.team != now.team) and not self.unordered:
                raise RaceError(f"{_place()}: {self.name}[{i}] is read by {now} and was written by {last}")
        old = self.read[i]
        if old is not now:
            if old is None or (old.team == now.team and old.stretch != now.stretch):
                self.read[i] = now
            elif old.team != now.team:
                self.read[i] = _MANY
            else:
                self.read[i] = _Touch(now.stretch, now.team, None)
        return self.numbers[i]

    def __setitem__(self, i: int, number: Any) -> None:
        machine = self.machine
        now = machine.now
        machine.accesses += 1
        if not 0 <= i < self.size:
            raise BoundsError(f"{_place()}: {self.name}[{i}] is written, of {self.size}, by {now}")
        for old, what in ((self.wrote[i], "written"), (self.read[i], "read")):
            ordered = old is now or old is None or old is _BEFORE or self.unordered
            if not ordered and (old.stretch == now.stretch or old.team != now.team):
                raise RaceError(f"{_place()}: {self.name}[{i}] is written by {now} and was {what} by {old}")
        if type(number) is not self.real:
            number = self._converted(i, number)
        self.wrote[i] = now
        self.numbers[i] = number

    def _converted(self, i: int, number: Any) -> Any:
        """A number of another type than the array's, where a device stores it without a loss."""
        exact = isinstance(number, int | np.integer) and not isinstance(number, bool | np.bool_)
        if exact and self.real is int and -(2**31) <= number < 2**31:
            return int(number)
        if self.real is not int and (exact or (self.real is np.float64 and type(number) is float)):
            return self.real(number)
        kind = f"{type(number).__name__} {number!r}"
        expected = "int32" if self.real is int else self.real.__name__
        raise NumberError(f"{_place()}: {self.name}[{i}] is given a {kind} by {self.machine.now}; expected {expected}")

    def unwritten(self) -> list[int]:
        return [i for i, last in enumerate(self.wrote) if last is None]


class Machine:
    """A device with one thread at a time.

    seed : of the order of threads, warps and blocks. watched : otherwise memory is plain lists and no error is found,
    for large graphs. interleaved : teams take turns, a stretch each; otherwise one after another. numpy_integers :
    index arrays give np.int64, with which a product of an integer and a float32 is float64 as on a device.
    """

    def __init__(
        self, seed: int = 0, *, watched: bool = True, interleaved: bool = False, numpy_integers: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.watched, self.interleaved, self.numpy_integers = watched, interleaved, numpy_integers
        self.now = _BEFORE
        self.accesses = self.barriers = self.stretches = 0

    def launch(self, kernel: Callable[..., Any], grid: Grid, records: Sequence[Any], roles: Roles = USUAL) -> None:
        """Run a kernel on NamedTuples of numbers and one-dimensional arrays, which are changed in place."""
        memory: list[tuple[np.ndarray, Any]] = []
        given = []
        for record in records:
            fields = {}
            for name, value in zip(record._fields, record, strict=True):
                if isinstance(value, np.ndarray):
                    fields[name] = self._array(name, value, roles)
                    memory.append((value, fields[name]))
                else:
                    fields[name] = int(value) if isinstance(value, np.integer) else value
            given.append(record._replace(**fields))
        with np.errstate(all="ignore"):  # texts rely on IEEE 754
            self._run(kernel, grid, given)
        for array, numbers in memory:
            self._finish(array, numbers, roles)

    def _array(self, name: str, array: np.ndarray, roles: Roles) -> Any:
        """What threads see of an array."""
        if array.ndim != 1:
            raise ValueError(f"{name} has {array.ndim} axes; expected one")
        real = int if array.dtype.kind == "i" else array.dtype.type
        if real is int:
            numbers = list(array.astype(np.int64)) if self.numpy_integers else array.tolist()
        else:
            numbers = list(array)
        if not self.watched:
            return numbers
        if name in roles.inputs:
            return _Input(name, numbers, self)
        found = _Watched(name, numbers, real, self, written=name in roles.given)
        found.unordered = name in roles.unordered
        return found

    def _finish(self, array: np.ndarray, numbers: Any, roles: Roles) -> None:
        """Write back what threads wrote."""
        if isinstance(numbers, list):
            array[:] = numbers
        elif isinstance(numbers, _Watched):
            left = numbers.unwritten()
            if left and numbers.name in roles.outputs:
                listed = ", ".join(map(str, left[:5])) + (", ..." if len(left) > 5 else "")
                raise UnwrittenError(f"{numbers.name} has {len(left)} of {numbers.size} elements unwritten: {listed}")
            for i, last in enumerate(numbers.wrote):
                if last is not None and last is not _BEFORE:
                    array[i] = numbers.numbers[i]

    def _run(self, kernel: Callable[..., Any], grid: Grid, given: Sequence[Any]) -> None:
        count = grid.shared_bytes // np.dtype(grid.real).itemsize
        if grid.threads % grid.team:
            raise ValueError(f"{grid.threads} threads a block in teams of {grid.team}; expected a multiple")
        blocks = [(x, y, z) for z, y, x in np.ndindex(*grid.blocks[::-1])]
        shared = {block: self.memory(f"shared memory of block {block}", count, grid.real) for block in blocks}
        places = [(block, first) for block in blocks for first in range(0, grid.threads, grid.team)]
        live = [
            self._team(kernel, given, number, (block, range(first, first + grid.team)))
            for number, (block, first) in enumerate(places)
        ]
        order = list(range(len(live)))
        self.random.shuffle(order)
        CUDA.machine, CUDA.real, CUDA.blockDim.x = self, grid.real, grid.threads
        CUDA.gridDim.x, CUDA.gridDim.y, CUDA.gridDim.z = grid.blocks
        while order:
            at = self.random.randrange(len(order)) if self.interleaved else -1
            block, _ = places[order[at]]
            CUDA.memory = shared[block]
            CUDA.blockIdx.x, CUDA.blockIdx.y, CUDA.blockIdx.z = block
            if next(live[order[at]], None) is None:
                del order[at]

    def memory(self, name: str, count: int, real: Any) -> Any:
        """An array that no thread has written."""
        return _Watched(name, [None] * count, real, self) if self.watched else [real(np.nan)] * count

    def _team(
        self, kernel: Callable[..., Any], given: Sequence[Any], number: int, seat: tuple[tuple[int, int, int], range]
    ) -> Iterator[bool]:
        """Run a team; yields True at each barrier."""
        block, threads = seat
        running: dict[int, Any] = dict.fromkeys(threads)
        while True:
            self.stretches += 1
            turn = list(threads)
            self.random.shuffle(turn)
            came: dict[int, tuple[int, ...]] = {}
            for thread in turn:
                self.now = _Touch(self.stretches, number, (block, thread))
                CUDA.threadIdx.x = thread
                try:
                    if running[thread] is None:
                        running[thread] = kernel(*given)
                        if running[thread] is None:  # a text without barriers has run already
                            continue
                    next(running[thread])
                    came[thread] = _stopped_at(running[thread])
                except StopIteration:
                    pass
                except Exception as error:
                    if not isinstance(error, KernelError):
                        error.add_note(f"in {self.now}")
                    raise
            if not came:
                return
            _check_barrier(block, threads, came)
            self.barriers += 1
            yield True


def _check_barrier(block: tuple[int, int, int], threads: range, came: dict[int, tuple[int, ...]]) -> None:
    """All threads of a team came to one barrier, by the same calls."""
    if len(came) < len(threads):
        lines = " and ".join(map(str, sorted({places[-1] for places in came.values()})))
        raise BarrierError(
            f"block {block}: threads {sorted(came)} wait at the barrier of line {lines}, and threads "
            f"{sorted(set(threads) - set(came))} have returned"
        )
    if len(set(came.values())) > 1:
        listed = "; ".join(f"thread {thread}: lines {places}" for thread, places in sorted(came.items()))
        raise BarrierError(f"block {block}: threads wait at different barriers ({listed})")


def _stopped_at(running: Any) -> tuple[int, ...]:
    """The lines at which a thread stands, from the kernel's to the barrier's."""
    lines = []
    while running is not None:
        lines.append(running.gi_frame.f_lineno)
        running = running.gi_yieldfrom
    return tuple(lines)


def _place() -> str:
    """File and line of the text that runs."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
