"""What the benchmark scripts share: turns, verdicts, tables, and the page they write.

A script asks one question and owns one section of docs/benchmarks.md, between `<!-- bench: NAME -->` and
`<!-- end: NAME -->`. Prose outside the markers is written by hand and stays.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
VERSIONS = (
    *("numpy", "numba", "torch", "tslearn", "pysdtw", "ddtw", "pytorch-crf", "torch-struct", "rustworkx"),
    *("parasail", "biopython", "hmmlearn"),
)

Call = Callable[[], Any]


@dataclass
class Result:
    """Median seconds of each call, and what kept the others from being timed."""

    seconds: dict[str, float]
    failed: dict[str, str] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    def cell(self, name: str, unit: float = 1e3) -> str:
        """The time in milliseconds (unit=1e3), or why there is none."""
        if name not in self.seconds:
            return self.failed.get(name, "-")
        return f"{figure(unit * self.seconds[name])}{' (differs)' if name in self.wrong else ''}"

    def ratio(self, ours: str = "ours", goal: float | None = None, against: str = "") -> str:
        """The best rival's time, or one rival's, as a multiple of ours, with the goal where it is missed."""
        sound = {name: s for name, s in self.seconds.items() if not name.startswith("ours") and name not in self.wrong}
        rivals = [s for name, s in sound.items() if against in name]
        return verdict(min(rivals) / self.seconds[ours], goal) if rivals else "-"


@dataclass
class Turns:
    """How often calls are repeated: `most` times, less often (never below `least`) where that takes too long."""

    most: int = 15
    least: int = 3
    budget: float = 15.0  # seconds for the repetitions of one comparison
    burst: float = 0.0  # seconds that a turn repeats its call for, of which it takes the median
    only: tuple[str, ...] = ()

    def chosen(self, name: str) -> bool:
        """Whether the user asked for this case."""
        return not self.only or any(part in name for part in self.only)

    def __call__(self, calls: Mapping[str, Call], tolerance: float | None = None) -> Result:
        """Time the calls turn by turn, the first being the one that the others are held to.

        Each turn has an order of its own: who always follows the same large rival always finds its caches cold.

        tolerance : calls return arrays, or tuples of them, that must agree with the first's within tolerance x
            (1 + the largest). Each is run once before the clock starts, which compiles what is compiled.
        """
        result, want, first = Result({}), None, next(iter(calls))
        began = time.perf_counter()
        for name, call in calls.items():
            try:
                got = call()
                began = time.perf_counter() if name == first else began
                seconds_of(call)
            except Exception as error:
                if name == first:
                    raise
                result.failed[name] = f"fails: {type(error).__name__}"
                continue
            want = got if name == first else want
            if tolerance is not None and not agree(got, want, tolerance):
                result.wrong.add(name)
        running = {name: call for name, call in calls.items() if name not in result.failed}
        turn = sum(seconds_of(call) for call in running.values())
        repeats = max(self.least, min(self.most, int(self.budget / turn)))
        times: dict[str, list[float]] = {name: [] for name in running}
        order, chance = list(running), random.Random(0)
        for _ in range(repeats):
            chance.shuffle(order)
            for name in order:
                times[name].append(self.in_turn(running[name]))
        result.seconds = {name: statistics.median(log) for name, log in times.items()}
        return result

    def in_turn(self, call: Call) -> float:
        """Seconds of one call right after the others', or with `burst` among its own."""
        log = [seconds_of(call)]
        while sum(log) < self.burst:
            log.append(seconds_of(call))
        return statistics.median(log)


@dataclass
class Table:
    """A markdown table that is printed as it grows."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        print(f"\n{self.line(self.head)}\n|{'---|' * len(self.head)}", flush=True)

    def add(self, *cells: str) -> None:
        """One row."""
        assert len(cells) == len(self.head), f"{len(cells)} cells for {len(self.head)} columns"
        self.rows.append(cells)
        print(self.line(cells), flush=True)

    @staticmethod
    def line(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(cells)} |"

    def markdown(self) -> str:
        """The whole table."""
        return "\n".join([self.line(self.head), f"|{'---|' * len(self.head)}", *map(self.line, self.rows)])


def seconds_of(call: Call) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def agree(got: Any, want: Any, tolerance: float) -> bool:
    """Whether arrays, or tuples of arrays, are equal within tolerance x (1 + the largest)."""
    if isinstance(want, tuple):
        return len(got) == len(want) and all(agree(g, w, tolerance) for g, w in zip(got, want, strict=True))
    a, b = (np.asarray(array.detach() if hasattr(array, "detach") else array, np.float64) for array in (got, want))
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= tolerance * (1 + np.abs(b).max(initial=0)))


def figure(number: float) -> str:
    """Three digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def verdict(ratio: float, goal: float | None = None, *, most: bool = False) -> str:
    """The ratio, and the goal where it is missed: at least `goal`, or with most=True at most."""
    said = f"{figure(ratio)}x"
    missed = goal is not None and (ratio > goal if most else ratio < goal)
    return f"{said} (missed: {goal:g}x)" if missed else said


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Everybody's threads: Numba's, torch's and, by the argument, ours."""
    import torch

    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def origin(load: tuple[float, float]) -> str:
    """Where and when figures come from."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    vector = ", AVX-512" if any("avx512f" in line for line in lines) else ""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit}, {os.cpu_count()} cores of {model}{vector}, load "
        f"{load[0]:.1f} before and {load[1]:.1f} after. Python {platform.python_version()}, {', '.join(installed())}."
    )


def provenance(load: tuple[float, float], turns: Turns) -> str:
    """Where and when the figures come from, and how often calls were repeated."""
    return (
        f"{origin(load)} Medians of up to {turns.most} interleaved repetitions, at least {turns.least}"
        f"{f', each the median of {1e3 * turns.burst:.0f} ms of calls' if turns.burst else ''}."
    )


def installed() -> list[str]:
    """Names and versions, absent rivals included."""
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return found


def replaced(page: str, section: str, text: str) -> str:
    """The page with what stands between the section's two markers replaced."""
    begin, end = f"<!-- bench: {section} -->\n", f"<!-- end: {section} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no section {section!r}; expected the lines {begin!r} and {end!r}")
    return f"{before}{begin}\n{text.strip()}\n\n{end}{after}"


COLD = "One call a turn, right after the others': caches are cold."
WARM = "Each turn repeats its call for 50 ms: calls among their own."


def main(doc: str | None, section: str, measure: Callable[[Turns], Iterator[Table]], *, small: bool = False) -> None:
    """Run one script: measure, print, and with --write replace its section of the page.

    small : calls are so short that caches decide: the section has them right after other programs', and among their
        own.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="parts of the names of cases; default all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument(
        "--warm", action="store_true", help="a turn repeats its call for 50 ms: caches hold its own data"
    )
    parser.add_argument("--write", action="store_true", help="write the section of docs/benchmarks.md")
    options = parser.parse_args(sys.argv[1:])
    if options.write and (options.only or options.warm):
        parser.error("--write writes a whole section; give no cases and not --warm with it")
    parts = []
    for warm in (False, True) if options.write and small else (options.warm,):
        turns = Turns(3, 2, 3.0, tuple(options.only)) if options.quick else Turns()
        turns.burst = 0.05 if warm else 0.0
        load = os.getloadavg()[0]
        tables = list(measure(turns))
        note = provenance((load, os.getloadavg()[0]), turns)
        print(f"\n{note}")
        parts += [WARM if warm else COLD] * small + [table.markdown() for table in tables if table.rows] + [note]
    if options.write:
        PAGE.write_text(replaced(PAGE.read_text(), section, "\n\n".join(parts)))
