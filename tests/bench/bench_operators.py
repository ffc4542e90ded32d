"""What a sparse operator costs beside Negentropy, value and gradient.

Usage: python tests/bench/bench_operators.py [--quick] [--write] [case ...]

The same graph, the same weights, one thread, from NumPy, turn by turn. Goal: SquaredL2 and Tsallis(1.5) within three
times Negentropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from cases import random_dag
from harness import Table, Turns, main, verdict

import dagdp
from dagdp import Graph, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.graphs import dtw_grid, linear_chain, trellis

GOAL = 3.0
OPERATORS: dict[str, Omega] = {
    "Negentropy": Negentropy(1.0),
    "SquaredL2": SquaredL2(1.0),
    "Tsallis(1.5)": Tsallis(1.5),
}
CASES: dict[str, tuple[Callable[[], Graph], int]] = {
    "soft-DTW 32 x 128²": (partial(dtw_grid, 128, 128), 32),
    "soft-DTW 1 x 2048²": (partial(dtw_grid, 2048, 2048), 1),
    "trellis 32 x 128 x 16": (partial(trellis, 128, 16), 32),
    "CRF B=32 T=128 S=32": (partial(linear_chain, 128, 32), 32),
    "random 100,000 edges, batch 32": (partial(random_dag, 10**5), 32),
    "random 1,000,000 edges, batch 1": (partial(random_dag, 10**6), 1),
}


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case and type."""
    names = list(OPERATORS)
    table = Table(("work", "dtype", *(f"{name} ms" for name in names), *(f"{name} / Negentropy" for name in names[1:])))
    for name, (build, batch) in CASES.items():
        if not turns.chosen(name):
            continue
        dag = dagdp.compile(build())
        for dtype in ("float32", "float64"):
            rng = np.random.default_rng(0)
            given = {p.name: rng.normal(size=(batch, *p.shape)).astype(dtype) for p in dag.potentials}
            theta = given if len(given) > 1 else next(iter(given.values()))
            minimize = name.startswith("soft-DTW")
            result = turns(
                {
                    who: partial(dagdp.dp_value_and_grad, dag, theta, omega, minimize=minimize, threads=1)
                    for who, omega in OPERATORS.items()
                }
            )
            times = result.seconds
            ratios = [verdict(times[who] / times["Negentropy"], GOAL, most=True) for who in names[1:]]
            table.add(name, dtype, *map(result.cell, names), *ratios)
    yield table


if __name__ == "__main__":
    main(__doc__, "operators", measure)
