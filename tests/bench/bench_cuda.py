"""CUDA: constants of the device, our values and gradients in float32, and packages that solve the same problems.

Usage: python tests/bench/bench_cuda.py --out FOLDER [--part constants|ours|rivals] [--write] [--dry] [case ...]

Each part writes FOLDER/PART.json after every row, and takes minutes. A time on the device is that between two events,
the median of 20 calls after 5; the host's time is that until the call returns. Bytes are those that every method moves:
leaves read, gradients written. Rivals are compared first; Maghoumi's pytorch-softdtw-cuda is a file, soft_dtw_cuda.py,
that PYTHONPATH leads to. --dry runs all code on the CPU, on tiny problems and without a clock.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from cuda_barriers import barrier_text, barrier_variant
from cuda_clock import REPEATS, WARM, Clock, DeviceClock, StillClock, Timing
from cuda_problems import CASES, CannotError, Problem
from harness import PAGE, Table, figure, origin, replaced
from torch import Tensor

import dagdp
from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.schedule import Launch

TOLERANCE = 1e-3
RIVALS = ("Maghoumi", "pysdtw", "ddtw", "pytorch-crf", "torch ctc_loss")
VERSIONS = ("numba-cuda", "cuda-core", "pysdtw", "ddtw", "pytorch-crf")
OURS = ("problem", "levels", "device ms", "goal ms", "host ms", "least bytes a second", "peak MB")


class Options(NamedTuple):
    """What the command line asked for."""

    out: Path
    parts: tuple[str, ...]
    only: tuple[str, ...]
    dry: bool
    write: bool

    def chosen(self) -> dict[str, Any]:
        """The cases whose names have one of the given parts."""
        return {name: case for name, case in CASES.items() if not self.only or any(part in name for part in self.only)}


# ---- Constants of the device


class Barriers(NamedTuple):
    """Launches of the kernel `barriers`: one block of some warps."""

    clock: Clock
    driver: Any

    def starter(self, count: int, warps: int, warp: bool = False) -> Callable[[], None]:
        """What starts a kernel in which threads meet `count` times; all else is prepared."""
        numbers = {**dict.fromkeys(Call._fields, np.int64(1)), "ring": np.int32(count), "ended": np.int32(0)}
        call = Call(**{**numbers, "sign": np.float32(1.0)})
        launch = Launch(barrier_variant(warp), call, (1, 1, 1), 32 * warps, 0)
        nothing = Arrays(*[None] * len(Arrays._fields)), State(*[None] * len(State._fields))
        omega = dagdp.Negentropy().data(np.float32)
        return lambda: self.driver.launch(launch, omega, np.float32, *nothing, self.clock.stream())

    def seconds(self, count: int, warps: int, warp: bool = False) -> float:
        """Of one barrier."""
        many, none = (self.clock.time(self.starter(n, warps, warp)).device for n in (count, 0))
        return (many - none) / count


def constants(clock: Clock, options: Options) -> Iterator[dict[str, Any]]:
    """Rows {"constant", "value", "unit"}."""
    many, size = (3, 1 << 10) if options.dry else (1000, 1 << 30)
    own = Barriers(clock, clock.driver(barrier_text))

    start = own.starter(0, 1)

    def launches() -> None:
        for _ in range(many):
            start()

    empty = clock.time(launches)
    yield {"constant": "empty launch, device", "value": 1e6 * empty.device / many, "unit": "µs"}
    yield {"constant": "empty launch, host", "value": 1e6 * empty.host / many, "unit": "µs"}
    replay = clock.time(clock.captured(launches))
    yield {"constant": "empty launch in a CUDA graph", "value": 1e6 * replay.device / many, "unit": "µs"}
    yield {"constant": f"replay of {many} launches, host", "value": 1e6 * replay.host, "unit": "µs"}
    yield {"constant": "barrier of a warp", "value": 1e9 * own.seconds(10 * many, 1, True), "unit": "ns"}
    for warps in (1, 4, 8, 16):
        what = f"barrier of a block of {32 * warps} threads"
        yield {"constant": what, "value": 1e9 * own.seconds(10 * many, warps), "unit": "ns"}
    source = torch.zeros(size, dtype=torch.uint8, device=clock.device)
    target = torch.empty_like(source)
    copied = clock.time(lambda: target.copy_(source))
    yield {"constant": f"copy of {size >> 20} MiB", "value": 2e-9 * size / copied.device, "unit": "GB/s"}


# ---- Our problems, and the rivals


def ours(clock: Clock, options: Options) -> Iterator[dict[str, Any]]:
    """Rows of value and gradient."""
    for name, case in options.chosen().items():
        problem = case.problem(clock, options.dry)
        call = problem.step(problem.ours)
        timing = clock.time(call)
        facts = {"problem": name, "levels": problem.levels, "goal_ms": case.goal, "bytes": problem.least_bytes}
        yield {**facts, **milliseconds(timing), "peak": clock.peak(call)}


def rivals(clock: Clock, options: Options) -> Iterator[dict[str, Any]]:
    """Rows {"problem", "ours", and each rival's time or why there is none}."""
    for name, case in options.chosen().items():
        problem = case.problem(clock, options.dry)
        if not problem.rivals:
            continue
        call = problem.step(problem.ours)
        want = call()
        row: dict[str, Any] = {"problem": name, "ours": milliseconds(clock.time(call))}
        for rival, load in problem.rivals.items():
            row[rival] = timed(clock, problem, load, want)
        yield row


def timed(
    clock: Clock, problem: Problem, load: Callable[[], Callable[..., Tensor]], want: tuple[Tensor, ...]
) -> dict[str, Any]:
    """A rival's times, and how far its answers are from ours; or the reason why there are none."""
    try:
        call = problem.step(load())
        apart = difference(call(), want)
        found = {"apart": apart if math.isfinite(apart) else None, "differs": not apart <= TOLERANCE}
        return {**milliseconds(clock.time(call)), **found}
    except CannotError as error:
        return {"failed": str(error)}
    except ImportError as error:
        return {"failed": "not installed", "error": str(error)}
    except Exception as error:  # of another package, out of memory included
        return {"failed": f"fails: {type(error).__name__}", "error": str(error)[:500]}


def difference(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> float:
    """The largest difference of numbers, as a part of 1 + the largest number; infinite for NaN."""
    found = 0.0
    for one, other in zip(got, want, strict=True):
        apart = (one - other).abs().max() / (1 + other.abs().max())
        found = max(found, float(torch.nan_to_num(apart, nan=torch.inf)))
    return found


def milliseconds(timing: Timing) -> dict[str, float]:
    """The times as JSON has them."""
    return {"device_ms": 1e3 * timing.device, "host_ms": 1e3 * timing.host}


# ---- Tables


def constant_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["constant"], f"{figure(row['value'])} {row['unit']}"


def our_cells(row: dict[str, Any]) -> tuple[str, ...]:
    rate = f"{figure(1e-6 * row['bytes'] / row['device_ms'])} GB/s"
    times = [figure(row[name]) for name in ("device_ms", "goal_ms", "host_ms")]
    return row["problem"], str(row["levels"]), *times, rate, figure(row["peak"] / 1e6)


def rival_cells(row: dict[str, Any]) -> tuple[str, ...]:
    cells = [row["problem"], figure(row["ours"]["device_ms"])]
    for name in RIVALS:
        found = row.get(name, {"failed": "-"})
        differs = " (differs)" if found.get("differs") else ""
        cells.append(found["failed"] if "failed" in found else f"{figure(found['device_ms'])}{differs}")
    sound = [row[name]["device_ms"] for name in RIVALS if row.get(name, {}).get("differs") is False]
    cells.append(f"{figure(min(sound) / row['ours']['device_ms'])}x" if sound else "-")
    return tuple(cells)


PARTS: dict[str, tuple[Callable[..., Iterator[dict[str, Any]]], tuple[str, ...], Callable[..., tuple[str, ...]]]] = {
    "constants": (constants, ("constant", "measured"), constant_cells),
    "ours": (ours, OURS, our_cells),
    "rivals": (rivals, ("problem", "ours ms", *(f"{name} ms" for name in RIVALS), "best rival / ours"), rival_cells),
}


def measured(part: str, clock: Clock, options: Options) -> Table:
    """The table of a part; its file is written anew after each row."""
    measure, head, cells = PARTS[part]
    table, rows = Table(head), []
    for row in measure(clock, options):
        rows.append(row)
        content = {"part": part, "dry": options.dry, **clock.facts(), "versions": versions(), "rows": rows}
        (options.out / f"{part}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False))
        table.add(*cells(row))
    return table


def versions() -> dict[str, str]:
    """Of packages that the harness does not name."""
    found = {"torch": torch.__version__}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def parsed(doc: str | None) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="parts of the names of problems; default all")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the JSON files")
    parser.add_argument("--part", choices=PARTS, action="append", help="default all; may be repeated")
    parser.add_argument("--dry", action="store_true", help="tiny problems on the CPU, and no clock")
    parser.add_argument("--write", action="store_true", help="write the section of docs/benchmarks.md")
    given = parser.parse_args(sys.argv[1:])
    if given.write and (given.only or given.part or given.dry):
        parser.error("--write writes a whole section; give no problems, no --part and not --dry with it")
    return Options(given.out, tuple(given.part or PARTS), tuple(given.only), given.dry, given.write)


def main(doc: str | None, section: str) -> None:
    """Measure, print, and with --write replace the section of the page."""
    options = parsed(doc)
    if not options.dry and not torch.cuda.is_available():
        sys.exit("no CUDA device was found, and nothing was measured; --dry runs the benchmark's code without one")
    clock: Clock = StillClock() if options.dry else DeviceClock()
    options.out.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    tables = [measured(part, clock, options) for part in options.parts]
    facts = ", ".join(f"{name} {value}" for name, value in {**clock.facts(), **versions()}.items())
    note = f"{origin((load, os.getloadavg()[0]))} {facts}. Medians of {REPEATS} calls after {WARM}."
    print(f"\n{note}")
    if options.write:
        text = "\n\n".join([*(table.markdown() for table in tables), note])
        PAGE.write_text(replaced(PAGE.read_text(), section, text))


if __name__ == "__main__":
    main(__doc__, "cuda")
