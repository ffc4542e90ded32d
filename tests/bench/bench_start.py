"""What a call costs before it computes: import, compilation, loading from the disk cache, and overhead.

Usage: python tests/bench/bench_start.py [--quick] [--write] [case ...]

Every start is a fresh process. "Cold" is one with an empty DAGDP_CACHE_DIR, and its first call compiles; "second
process" finds what the cold one left there. The first call is timed alone, imports and the graph's compilation left
out; its processor time says what other work on the machine added. Overhead is the median time of a whole call on one
edge, the check of arguments included, and of the part of it before the first kernel's first instruction: the clock is
read where `Kernel` is called, and a compiled function that does nothing is timed with the same arguments.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from harness import Table, Turns, figure, main

#: Each prints seconds. The clock starts after Python's own start.
IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
FIRST = """
import time
import numpy as np
import dagdp
from dagdp.graphs import dtw_grid
dag, theta = dagdp.compile(dtw_grid(20, 20)), np.ones((4, 20, 20), "{dtype}")
t, cpu = time.perf_counter(), time.process_time()
dagdp.{function}(dag, theta{z}, dagdp.{omega}, threads=1)
print(time.perf_counter() - t, time.process_time() - cpu)
"""
OVERHEAD = """
import statistics, time
import numba
import numpy as np
import dagdp
from dagdp.jit.decorators import OPTIONS, Launch
{setup}
def timed(call, since=lambda t: time.perf_counter() - t):
    times = []
    for k in range(200 + {repeats}):
        entered.clear()
        t = time.perf_counter()
        call()
        times.append(since(t))
    return statistics.median(times[200:])
def entering(self, *given):
    entered.append((time.perf_counter(), given))
    return launch(self, *given)
entered, launch = [], Launch.__call__
def call(): {call}
whole = timed(call)
Launch.__call__ = entering
before = timed(call, lambda t: entered[0][0] - t)
given = entered[0][1]
exec("def nothing(" + ", ".join(f"a{{k}}" for k in range(len(given))) + "): return False")
nothing = numba.njit(_nrt=False, **OPTIONS)(nothing)
nothing(*given)
entry = nothing.overloads[tuple(map(numba.typeof, given))].entry_point
print(whole, before + timed(lambda: entry(*given)))
"""
ONE_EDGE = "dag = dagdp.compile(dagdp.Graph.from_edges([0], [1])); theta = np.ones(1, np.float32)"
TORCH = f"import torch; torch.set_num_threads(1); {ONE_EDGE}; theta = torch.ones(1)"
# setup, call, and the goal for what comes before the kernel
CALLS = {
    "value, NumPy": (ONE_EDGE, "dagdp.dp_value(dag, theta)", 20e-6),
    "value and gradient, NumPy": (ONE_EDGE, "dagdp.dp_value_and_grad(dag, theta)", 20e-6),
    "value, torch": (TORCH, "dagdp.dp_value(dag, theta)", 40e-6),
    "value and backward, torch": (
        f"{TORCH}; leaf = torch.ones(1, requires_grad=True)",
        "dagdp.dp_value(dag, leaf).backward()",
        None,
    ),
}
COMPILED = [
    ("dp_value_and_grad", "Negentropy(1.0)", "float32"),
    ("dp_value_and_grad", "Negentropy(1.0)", "float64"),
    ("dp_value_and_grad", "HardMax()", "float32"),
    ("dp_value_and_grad", "SquaredL2(1.0)", "float32"),
    ("dp_value_and_grad", "Tsallis(1.5)", "float32"),
    ("dp_hvp", "Negentropy(1.0)", "float32"),
]
IMPORTS = {"numpy, numba": None, "dagdp": 0.3, "dagdp.nn": None}
COLD, SECOND = 5.0, 0.5


def seconds(script: str, cache: str | None = None) -> list[float]:
    """What a fresh process prints."""
    env = {**os.environ, **({"DAGDP_CACHE_DIR": cache} if cache else {})}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True)
    return [float(number) for number in done.stdout.split()]


def said(taken: float, unit: float, goal: float | None) -> str:
    """The time in its unit, with the goal where it is missed."""
    missed = goal is not None and taken > goal
    return f"{figure(taken * unit)} (missed: {goal * unit:g})" if missed and goal else figure(taken * unit)


def measure(turns: Turns) -> Iterator[Table]:
    """Imports, first calls, overheads."""
    table = Table(("import", "s"))
    logs: dict[str, list[float]] = {name: [] for name in IMPORTS if turns.chosen("import")}
    for turn in range(turns.least + 1):
        for name, log in logs.items():
            taken = seconds(IMPORT.format(name))
            log.extend(taken if turn else [])  # the first reads the disk
    for name, log in logs.items():
        table.add(name, said(statistics.median(log), 1.0, IMPORTS[name]))
    yield table
    table = Table(("first call", "operator", "dtype", "cold s", "cold, CPU s", "second process s"))
    for function, omega, dtype in COMPILED if turns.chosen("first call") else ():
        script = FIRST.format(function=function, omega=omega, dtype=dtype, z=", theta" if function == "dp_hvp" else "")
        with tempfile.TemporaryDirectory() as cache:
            cold, cpu = seconds(script, cache)
            second = statistics.median(seconds(script, cache)[0] for _ in range(turns.least))
        table.add(function, omega, dtype, said(cold, 1.0, COLD), figure(cpu), said(second, 1.0, SECOND))
    yield table
    table = Table(("call on one edge", "µs", "before the kernel µs"))
    for name, (setup, call, goal) in CALLS.items() if turns.chosen("call on one edge") else ():
        script = OVERHEAD.format(setup=setup, call=call, repeats=200 * turns.most)
        whole, before = (
            statistics.median(part) for part in zip(*(seconds(script) for _ in range(turns.least)), strict=True)
        )
        table.add(name, figure(1e6 * whole), said(before, 1e6, goal))
    yield table


if __name__ == "__main__":
    main(__doc__, "start", measure)
