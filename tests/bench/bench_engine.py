"""How many nanoseconds an edge costs in each pass, beside a plain scalar Numba loop over the same graph.

Usage: python tests/bench/bench_engine.py [--quick] [--write] [case ...]

Each operator, both types, one thread, from NumPy: nanoseconds per edge (per cell for DTW, which has three edges a
cell); in brackets those of the loop of scalar_loop.py and its time as a multiple of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scalar_loop
from cases import random_dag
from harness import Result, Table, Turns, figure, main

import dagdp
from dagdp import Graph, HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.graphs import dtw_grid, trellis

PASSES = ("value", "value+grad", "hvp")
OMEGAS: tuple[Omega, ...] = (HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5, 1.0))

#: name -> (graph, batch, minimise): entries of theta are counted, cells or edges
CASES: dict[str, tuple[Callable[[], Graph], int, bool]] = {
    "DTW 32 x 256²": (lambda: dtw_grid(256, 256), 32, True),
    "DTW 1 x 1024²": (lambda: dtw_grid(1024, 1024), 1, True),
    "trellis 32 x 128 x 16": (lambda: trellis(128, 16), 32, False),
    "trellis 32 x 512 x 5": (lambda: trellis(512, 5), 32, False),
    "random 1 x 1e6 edges": (lambda: random_dag(10**6), 1, False),
    "random 16 x 1e6 edges": (lambda: random_dag(10**6), 16, False),
}


def compare(turns: Turns, name: str, omega: Omega, dtype: str) -> dict[str, Result]:
    """The three passes of both."""
    build, batch, minimize = CASES[name]
    graph = build()
    dag, shape = dagdp.compile(graph), graph.potentials()[0].shape
    rng = np.random.default_rng(0)
    theta, z = (rng.normal(size=(batch, *shape)).astype(dtype) for _ in range(2))
    options: dict[str, Any] = {"minimize": minimize, "threads": 1}

    def value_and_grad() -> tuple[Any, ...]:
        value, E = dagdp.dp_value_and_grad(dag, theta, omega, **options)
        return value[:, None], E.reshape(batch, -1)

    ours = {
        "value": lambda: dagdp.dp_value(dag, theta, omega, **options)[:, None],
        "value+grad": value_and_grad,
        "hvp": lambda: dagdp.dp_hvp(dag, theta, z, omega, **options).reshape(batch, -1),
    }
    loop = scalar_loop.calls([graph], theta.reshape(batch, -1), z.reshape(batch, -1), omega, minimize)
    # the loop's own rounding and, under HardMax, its ties of sums in float32: values are compared
    results = {what: turns({"ours": ours[what], "loop": loop[what]}) for what in PASSES[1:]}
    return {"value": turns({"ours": ours["value"], "loop": loop["value"]}, tolerance=1e-3), **results}


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case, operator and type."""
    table = Table(("case", "operator", "dtype", *(f"{what} ns (loop, ratio)" for what in PASSES)))
    for name, (build, batch, _) in CASES.items():
        entries = batch * math.prod(build().potentials()[0].shape)
        for omega in OMEGAS if turns.chosen(name) else ():
            for dtype in ("float32", "float64"):
                cells = []
                for result in compare(turns, name, omega, dtype).values():
                    us, loop = (figure(1e9 * result.seconds[who] / entries) for who in ("ours", "loop"))
                    cells.append(f"{us} ({loop}, {result.ratio('ours')})")
                table.add(name, repr(omega), dtype, *cells)
    yield table


if __name__ == "__main__":
    main(__doc__, "engine", measure)
