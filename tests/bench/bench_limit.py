"""How far from what the machine can do: the least time for the bytes and for the exponentials, measured here.

Usage: python tests/bench/bench_limit.py [--quick] [--write] [case ...]

Value and gradient under Negentropy, one thread, from NumPy, beside two rates measured turn by turn with it:

bytes          theta is read and the gradient is written, once each, whatever the method; over the rate of copying
               arrays far larger than the caches (each byte copied counts twice: it is read and written).
exponentials   a node with D incoming edges needs D - 1 (that of the largest is 1) and one logarithm, which is
               counted as one; none in the backward pass, as a method may store its weights. Over the rate of our own
               exp or of NumPy's, whichever is faster, on an array that stays in L1.

The limit is the larger of the two. Potentials that many edges share (a CRF's transitions) need one exponential an
entry, and then one and a logarithm a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
from cases import random_dag
from harness import Table, Turns, figure, main, verdict
from scalar_loop import OPTIONS

import dagdp
from dagdp import CompiledDAG, Graph
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.lanes.exp_log import exp
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import width

FAR = 1 << 28  # bytes: beyond the caches
NEAR = 2048  # numbers: 8 to 16 KiB, inside L1
ROUNDS = 200
CASES: dict[str, tuple[Callable[[], Graph], int, float | None]] = {
    "soft-DTW 32 x 512²": (partial(dtw_grid, 512, 512), 32, 3.0),
    "soft-DTW 32 x 128²": (partial(dtw_grid, 128, 128), 32, None),
    "soft-DTW 1 x 2048²": (partial(dtw_grid, 2048, 2048), 1, None),
    "trellis 32 x 128 x 16": (partial(trellis, 128, 16), 32, None),
    "CRF B=32 T=128 S=32": (partial(linear_chain, 128, 32), 32, None),
    "random 1,000,000 edges, batch 1": (partial(random_dag, 10**6), 1, None),
}


@numba.njit(**OPTIONS)
def ours(x: Any, y: Any, rounds: int) -> None:
    """y = exp(x), many times."""
    for _ in range(rounds):
        for i in range(0, x.size, width(x)):
            store(y, i, exp(load(x, i)))


def numpys(x: Any, y: Any, rounds: int) -> None:
    """The same by NumPy."""
    for _ in range(rounds):
        np.exp(x, out=y)


def needed(dag: CompiledDAG, batch: int, size: int) -> tuple[float, float]:
    """(bytes, exponentials) of value and gradient; potentials beyond the first are shared by the batch."""
    entries = [math.prod(p.shape) * (batch if k == 0 else 1) for k, p in enumerate(dag.potentials)]
    on_edges = [p for k, p in enumerate(dag.potentials) if k not in dag.hoisted]
    shared = [p for p in on_edges if np.bincount(p.index[p.index >= 0]).max() > 1]
    if shared:
        exponentials = 2 * dag.num_nodes * batch + sum(math.prod(p.shape) for p in shared)
    else:
        exponentials = dag.num_edges * batch
    return 2.0 * sum(entries) * size, float(exponentials)


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case and type."""
    table = Table(
        ("work", "dtype", "ours ms", "copy GB/s", "bytes ms", "exp ns", "exponentials ms", "ours / the larger")
    )
    for name, (build, batch, goal) in CASES.items():
        if not turns.chosen(name):
            continue
        dag = dagdp.compile(build())
        for dtype in ("float32", "float64"):
            rng = np.random.default_rng(0)
            blocks = {
                p.name: rng.normal(size=(batch, *p.shape) if k == 0 else p.shape).astype(dtype)
                for k, p in enumerate(dag.potentials)
            }
            theta = blocks if len(blocks) > 1 else next(iter(blocks.values()))
            minimize = name.startswith("soft-DTW")
            source, target = np.ones(FAR, np.uint8), np.empty(FAR, np.uint8)
            x, y = rng.uniform(-5, 0, NEAR).astype(dtype), np.empty(NEAR, dtype)
            seconds = turns(
                {
                    "ours": partial(dagdp.dp_value_and_grad, dag, theta, minimize=minimize, threads=1),
                    "copy": partial(np.copyto, target, source),
                    "exp": partial(ours, x, y, ROUNDS),
                    "exp of NumPy": partial(numpys, x, y, ROUNDS),
                }
            ).seconds
            rate = 2 * FAR / seconds["copy"]
            each = min(seconds["exp"], seconds["exp of NumPy"]) / (NEAR * ROUNDS)
            moved, exponentials = needed(dag, batch, np.dtype(dtype).itemsize)
            floors = moved / rate, exponentials * each
            table.add(
                name,
                dtype,
                figure(1e3 * seconds["ours"]),
                figure(1e-9 * rate),
                figure(1e3 * floors[0]),
                figure(1e9 * each),
                figure(1e3 * floors[1]),
                verdict(seconds["ours"] / max(floors), goal if dtype == "float32" else None, most=True),
            )
    yield table


if __name__ == "__main__":
    main(__doc__, "limit", measure)
