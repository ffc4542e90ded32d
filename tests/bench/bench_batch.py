"""What a batch of different graphs gains: 500 word lattices in one call, each operator, value and gradient.

Usage: python tests/bench/bench_batch.py [--quick] [--write] [case ...]

One thread, from NumPy, nanoseconds per edge. Weights as one array, and as a list with an array for each lattice; beside
them a loop of 500 calls, and the scalar loop of scalar_loop.py over all lattices side by side. Ratios are to one array.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scalar_loop
from cases import lattices
from harness import Table, Turns, figure, main

import dagdp
from dagdp import HardMax, Negentropy, SquaredL2, Tsallis

NAMES = ("ours", "ours, a list", "scalar loop", "500 calls")
OMEGAS = (HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5, 1.0))
GOAL = 3.0  # against the scalar loop


def calls(dags: list[Any], thetas: list[Any], omega: Any) -> dict[str, Any]:
    """Value and gradient of all lattices in each way: [1, graphs] and [1, edges]."""
    batch, flat = dagdp.compile_batch(dags), np.concatenate(thetas)[None]

    def joined(values: Any, paths: Any) -> tuple[Any, Any]:
        return np.asarray(values)[None], np.concatenate(paths)[None]

    return {
        "ours": lambda: dagdp.dp_value_and_grad(batch, flat, omega, threads=1),
        "ours, a list": lambda: joined(*dagdp.dp_value_and_grad(batch, thetas, omega, threads=1)),
        "scalar loop": scalar_loop.calls([dag.graph for dag in dags], flat, flat, omega, False)["value+grad"],
        "500 calls": lambda: joined(
            *zip(
                *(dagdp.dp_value_and_grad(dag, t, omega, threads=1) for dag, t in zip(dags, thetas, strict=True)),
                strict=True,
            )
        ),
    }


def measure(turns: Turns) -> Iterator[Table]:
    """A row for each operator and type, then compilation."""
    dags, thetas = map(list, zip(*lattices(), strict=True))
    edges = sum(dag.graph.num_edges for dag in dags)
    table = Table(("operator", "dtype", *(f"{name} ns" for name in NAMES), "scalar loop / ours", "500 calls / ours"))
    for omega in OMEGAS if turns.chosen("run") else ():
        for dtype in ("float32", "float64"):
            # HardMax: lattices have ties, which float32 sums of the loop break otherwise
            tolerance = None if isinstance(omega, HardMax) else 1e-3
            result = turns(calls(dags, [theta.astype(dtype) for theta in thetas], omega), tolerance)
            cells = (figure(1e9 * result.seconds[name] / edges) for name in NAMES)
            ratios = result.ratio(goal=GOAL, against="scalar"), result.ratio(against="500")
            table.add(repr(omega), dtype, *cells, *ratios)
    yield table
    table = Table(("compiling", "ours ms", "500 graphs, one by one, ms", "one by one / ours"))
    if turns.chosen("compile"):
        graphs = [dag.graph for dag in dags]
        result = turns(
            {
                "ours": lambda: dagdp.compile_batch(graphs),
                "one by one": lambda: [dagdp.compile(graph) for graph in graphs],
            }
        )
        table.add(f"{len(graphs)} lattices, {edges} edges", *map(result.cell, result.seconds), result.ratio())
    yield table


if __name__ == "__main__":
    main(__doc__, "batch", measure, small=True)
