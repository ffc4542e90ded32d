"""From a text to a graph: a recurrence beside a builder by hand that computes every index with NumPy.

Usage: python tests/bench/bench_recurrence.py [--quick] [--write] [case ...]

float32, Negentropy, one thread. "To a compiled graph" builds and compiles; "with value and gradient" adds one call.
Both builders list equal edges in equal order, and reach equal kernels. 2048 x 2048 cells are 12.6 million edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Table, Turns, main, threads

import dagdp
from dagdp import Graph
from dagdp.graphs import dtw_grid, linear_chain

MOST = 1.1  # goal: the text's time as a multiple of the builder's
GRIDS = ((512, 32), (1000, 4), (2048, 1))
CHAINS = ((128, 32, 32), (512, 64, 8))


def grid_by_hand(n: int, m: int) -> Graph:
    """The alignment grid, cell by cell: diagonal, down, right."""
    node = 1 + np.arange(n * m, dtype=np.int32).reshape(n, m)
    parents = np.stack([node - m - 1, node - m, node - 1], -1)
    kept = np.ones((n, m, 3), bool)
    kept[0, :, :2] = kept[:, 0, ::2] = False
    kept[0, 0, 2] = True  # the edge from the start
    parents[0, 0, 2] = 0
    children = np.broadcast_to(node[..., None], kept.shape)[kept]
    cost = {"cost": ((n, m), children - 1)}
    return Graph.from_edges(parents[kept], children, 1 + n * m, [0], [n * m], cost)


def chain_by_hand(T: int, S: int) -> Graph:
    """The linear chain: from the start, from state to state, to the end."""
    state = np.arange(1, 1 + T * S, dtype=np.int32).reshape(T, S)
    between = np.broadcast_to(state[:-1, None, :], (T - 1, S, S)).ravel(), np.repeat(state[1:].ravel(), S)
    parents = np.concatenate([np.zeros(S, np.int32), between[0], state[-1]])
    children = np.concatenate([state[0], between[1], np.full(S, 1 + T * S, np.int32)])
    emission, transition, start, end = (np.full(parents.size, -1, np.int32) for _ in range(4))
    emission[:-S] = children[:-S] - 1
    transition[S:-S].reshape(T - 1, -1)[:] = np.arange(S * S)
    start[:S] = end[-S:] = np.arange(S)
    read = {
        "emission": ((T, S), emission),
        "transition": ((S, S), transition),
        "start": ((S,), start),
        "end": ((S,), end),
    }
    return Graph.from_edges(parents, children, 2 + T * S, [0], [1 + T * S], read)


def calls(build: dict[str, Callable[[], Graph]], theta: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(from nothing to the compiled graph, and on to value and gradient) for each builder."""

    def whole(make: Callable[[], Graph]) -> Any:
        value, path = dagdp.dp_value_and_grad(dagdp.compile(make()), theta, threads=1)
        return value, np.concatenate([np.ravel(part) for part in (path.values() if isinstance(path, dict) else [path])])

    def graph(make: Callable[[], Graph]) -> Any:
        return np.array([dagdp.compile(make()).num_edges])

    return tuple({name: lambda make=make, job=job: job(make) for name, make in build.items()} for job in (graph, whole))


def measure(turns: Turns) -> Iterator[Table]:
    """Grids, then chains."""
    rng = np.random.default_rng(0)
    names = ("ours, a text", "by hand")
    table = Table(("graph", "from nothing", *(f"{name} ms" for name in names), "ours / by hand"))
    cases: list[tuple[str, dict[str, Callable[[], Graph]], Any]] = []
    for n, batch in GRIDS:
        both = {names[0]: lambda n=n: dtw_grid(n, n), names[1]: lambda n=n: grid_by_hand(n, n)}
        cases.append((f"DTW {batch} x {n} x {n}", both, rng.random((batch, n, n), np.float32)))
    for T, S, batch in CHAINS:
        both = {names[0]: lambda T=T, S=S: linear_chain(T, S), names[1]: lambda T=T, S=S: chain_by_hand(T, S)}
        shapes = {"emission": (batch, T, S), "transition": (S, S), "start": (S,), "end": (S,)}
        theta = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
        cases.append((f"chain {batch} x {T} steps x {S} states", both, theta))
    with threads(1):
        for label, both, theta in cases:
            if not turns.chosen(label):
                continue
            for how, timed in zip(("to a compiled graph", "with value and gradient"), calls(both, theta), strict=True):
                result = turns(timed, tolerance=0)
                ratio = result.seconds[names[0]] / result.seconds[names[1]]
                goal = MOST if how.startswith("with") else None
                said = f"{ratio:.2f}{f' (missed: {MOST})' if goal and ratio > goal else ''}"
                table.add(label, how, *map(result.cell, names), said)
    yield table


if __name__ == "__main__":
    main(__doc__, "recurrence", measure)
