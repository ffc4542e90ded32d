"""`pytest --compilations`: which kernels the tests launch, which test compiled each, and in how many seconds.

Most of a run on an empty cache compiles kernels, at 2 to 10 s each. A kernel that one test alone launches is a kernel
that this test costs. Seconds are wall time, with whatever else ran. A kernel that was read from the disk has none.
Kernels that a test has other processes compile are not seen.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numba.core import event

from dagdp.jit.decorators import Kernel, Launch

NO_TEST = "between tests"


def kernel_of_launch(kernel: Kernel, omega: Any, arguments: tuple[Any, ...]) -> str:
    """What a launch needs a kernel for: entry point, operator, type of numbers, and the flags that are set.

    A flag is a field of a record of arguments that is True or None.
    """
    numbers = next(argument.dtype.name for argument in arguments if isinstance(argument, np.ndarray))
    records = [argument._asdict() for argument in arguments if hasattr(argument, "_asdict")]
    flags = [name for record in records for name, value in record.items() if value is True]
    entry = kernel.__name__.lstrip("_")  # type: ignore[attr-defined]
    return " ".join([entry, type(omega).__qualname__.removesuffix(".Data"), numbers, *flags])


def watch(config: pytest.Config) -> None:
    """Record every launch and every compilation of this process from here on."""
    record = Compilations()
    config.pluginmanager.register(record, "compilations")
    event.register("numba:compile", record)
    Kernel.__call__ = record.recorded(Kernel.__call__, lambda kernel: kernel)  # type: ignore[method-assign]
    Launch.__call__ = record.recorded(Launch.__call__, lambda launch: launch.kernel)  # type: ignore[method-assign]


class Compilations(event.Listener):
    """A plug-in of pytest: one in each worker, whose record goes to the process that reports."""

    def __init__(self) -> None:
        self.test = NO_TEST
        self.launched: dict[str, set[str]] = defaultdict(set)  # kernel -> tests
        self.compiled: list[tuple[str, str, float]] = []  # kernel, test, seconds
        self._begun: list[float] = []

    # ------------------------------------------------------------------------------------ what is recorded

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function: an entry point, or one that an entry point needs."""
        self._begun.append(time.perf_counter())

    def on_end(self, event: Any) -> None:
        seconds = time.perf_counter() - self._begun.pop()
        if self._begun:
            return  # it counts as its caller's
        function = event.data["dispatcher"].py_func
        label = f"{function.__module__.removeprefix('dagdp.')}.{function.__qualname__}"
        self.compiled.append((f"{label} {event.data['args'][0]}", self.test, seconds))

    def recorded(self, call: Callable[..., Any], kernel_of: Callable[[Any], Kernel]) -> Callable[..., Any]:
        """The call of a kernel or launch, recorded."""

        @functools.wraps(call)
        def recorded(caller: Any, omega: Any, *arguments: Any) -> Any:
            self.launched[kernel_of_launch(kernel_of(caller), omega, arguments)].add(self.test)
            return call(caller, omega, *arguments)

        return recorded

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.test = item.nodeid
        yield
        self.test = NO_TEST

    # ------------------------------------------------------------------------------------ where it goes

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            launched = {kernel: sorted(tests) for kernel, tests in self.launched.items()}
            session.config.workeroutput["compilations"] = launched, self.compiled

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended."""
        launched, compiled = getattr(node, "workeroutput", {}).get("compilations", ({}, []))
        for kernel, tests in launched.items():
            self.launched[kernel].update(tests)
        self.compiled += [tuple(row) for row in compiled]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        write = terminalreporter.write_line
        terminalreporter.section("compilations")
        for kernel, test, seconds in sorted(self.compiled, key=lambda row: -row[2]):
            write(f"{seconds:6.1f} s  {kernel}  {test}")
        terminalreporter.section("kernels that were launched, and by how many tests")
        for kernel, tests in sorted(self.launched.items()):
            only = next(iter(tests)) if len(tests) == 1 else ""
            write(f"{kernel:70} {len(tests):5}  {only}".rstrip())
        total = sum(seconds for _, _, seconds in self.compiled)
        write(f"{len(self.launched)} kernels launched; {len(self.compiled)} functions compiled, {total:.0f} s")
