"""`pytest --compilations`: which kernels the tests launch, which test compiled each, and in how many seconds.

Most of a run on an empty cache goes into kernels, 2 to 10 s each, and a kernel that one test alone launches is a kernel
that this test costs. Seconds are of wall time, with whatever else ran; where a kernel was read from the disk there are
none. Kernels that other processes compile, started by a test, are not seen.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from numba.core import event

from dagdp.jit.decorators import Kernel, Launch
from dagdp.kernels.cpu.records import Items

NO_TEST = "between tests"


class Build(NamedTuple):
    """What a kernel is compiled for."""

    entry: str
    operator: str
    dtype: str
    lanes: str  # "samples" or "nodes"
    scaled: str  # "scaled" where the state holds powers of two
    variant: str  # the fields of `Variant` that are set


def build_of(kernel: Kernel, omega: Any, arguments: tuple[Any, ...]) -> Build:
    """The build that one launch needs."""
    entry = kernel.__name__.lstrip("_")  # type: ignore[attr-defined]
    operator = type(omega).__qualname__.removesuffix(".Data")
    items = next((argument for argument in arguments if isinstance(argument, Items)), None)
    if items is None:  # a sweep of dagdp/paths, compiled for an operator alone
        return Build(entry, operator, "float64", "", "", "")
    memory, variant = arguments[0], arguments[-1]
    return Build(
        entry,
        operator,
        memory.dtype.name,
        "samples" if items.lanes_are_samples else "nodes",
        "scaled" if items.scaled else "",
        "+".join(name for name, flag in variant._asdict().items() if flag),
    )


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
        self.launched: dict[Build, set[str]] = defaultdict(set)  # kernel -> tests
        self.compiled: list[tuple[str, str, float]] = []  # kernel, test, seconds
        self._begun: dict[int, float] = {}

    # ------------------------------------------------------------------------------------ what is recorded

    def on_start(self, event: Any) -> None:
        """Numba begins to compile an entry point. What kernels call is compiled without such a notice."""
        self._begun[id(event.data["dispatcher"])] = time.perf_counter()

    def on_end(self, event: Any) -> None:
        dispatcher = event.data["dispatcher"]
        seconds = time.perf_counter() - self._begun.pop(id(dispatcher))
        function = dispatcher.py_func
        label = f"{function.__module__.removeprefix('dagdp.')}.{function.__qualname__}"
        self.compiled.append((f"{label} {event.data['args'][0]}", self.test, seconds))

    def recorded(self, call: Callable[..., Any], kernel_of: Callable[[Any], Kernel]) -> Callable[..., Any]:
        @functools.wraps(call)
        def recorded(caller: Any, omega: Any, *arguments: Any) -> Any:
            self.launched[build_of(kernel_of(caller), omega, arguments)].add(self.test)
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
            launched = [(tuple(kernel), sorted(tests)) for kernel, tests in self.launched.items()]
            session.config.workeroutput["compilations"] = launched, self.compiled

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """xdist: a worker has ended."""
        launched, compiled = getattr(node, "workeroutput", {}).get("compilations", ([], []))
        for kernel, tests in launched:
            self.launched[Build(*kernel)].update(tests)
        self.compiled += [tuple(row) for row in compiled]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        write = terminalreporter.write_line
        terminalreporter.section("compilations")
        for kernel, test, seconds in sorted(self.compiled, key=lambda row: -row[2]):
            write(f"{seconds:6.1f} s  {kernel}  {test}")
        terminalreporter.section("kernels that were launched, and by how many tests")
        for kernel, tests in sorted(self.launched.items()):
            only = next(iter(tests)) if len(tests) == 1 else ""
            write(f"{' '.join(filter(None, kernel)):70} {len(tests):5}  {only}".rstrip())
        total = sum(seconds for _, _, seconds in self.compiled)
        write(f"{len(self.launched)} kernels launched; {len(self.compiled)} functions compiled, {total:.0f} s")
