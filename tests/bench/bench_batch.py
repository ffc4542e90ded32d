"""What does a batch of different graphs gain? 500 word lattices in one call, beside a loop of single calls.

Usage: python tests/bench/bench_batch.py [--quick]

The lattices are those of examples/word_lattice.py (every dictionary word an edge), over random sentences of words
drawn from jieba's dictionary by their frequency. The second rival is a plain scalar Numba loop over all lattices, one
after the other, as in bench_engine.py: incoming edges in CSR, Q on every edge, libm's exp; compiled with the same
flags, its arrays allocated once. All run on one thread, turn by turn; each figure is a median of ns an edge.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from bench_engine import OPTIONS, in_csr, solve_hard, solve_negentropy, solve_squared

import dagdp
from dagdp import Graph, HardMax, Negentropy, SquaredL2

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from word_lattice import LONGEST, dictionary

SENTENCES = 500


def lattices() -> tuple[list[Graph], list[np.ndarray]]:
    """Graphs and log frequencies of their edges."""
    words = dictionary()
    rng = np.random.default_rng(0)
    names, weights = np.array(list(words)), np.exp(list(words.values()))
    graphs, thetas = [], []
    for _ in range(SENTENCES):
        sentence = "".join(rng.choice(names, rng.integers(8, 40), p=weights / weights.sum()))
        spans = [
            (begin, end)
            for begin in range(len(sentence))
            for end in range(begin + 1, min(begin + LONGEST, len(sentence)) + 1)
            if sentence[begin:end] in words or end == begin + 1
        ]
        graphs.append(Graph.from_edges(*np.array(spans).T))
        thetas.append(np.array([words.get(sentence[a:b], -20.0) for a, b in spans]))
    return graphs, thetas


def rival(solve: Any) -> Callable[..., Any]:
    """Value and gradient of graphs whose in-CSR arrays lie one after the other."""

    @numba.njit(**OPTIONS)
    def grad(nodes, ptr, parent, entry, theta, gamma, out, E, v, bar, Q, x, s):
        for g in range(nodes.size - 1):
            first, last = nodes[g], nodes[g + 1]
            v[first] = 0
            for i in range(first + 1, last):
                d = ptr[i + 1] - ptr[i]
                for k in range(d):
                    x[k] = v[parent[ptr[i] + k]] + theta[entry[ptr[i] + k]]
                v[i] = solve(x, d, Q[ptr[i] : ptr[i + 1]], s, gamma)
            out[g] = v[last - 1]
            bar[first:last] = 0
            bar[last - 1] = 1
            for i in range(last - 1, first, -1):
                for k in range(ptr[i], ptr[i + 1]):
                    flow = Q[k] * bar[i]
                    bar[parent[k]] += flow
                    E[entry[k]] = flow

    return grad


RIVALS = {HardMax: rival(solve_hard), Negentropy: rival(solve_negentropy), SquaredL2: rival(solve_squared)}


def side_by_side(graphs: list[Graph]) -> tuple[np.ndarray, ...]:
    """(nodes, ptr, parent, entry) of all graphs, as the rival wants them."""
    nodes = np.cumsum([0, *(graph.num_nodes for graph in graphs)])
    edges = np.cumsum([0, *(graph.num_edges for graph in graphs)])
    parts = [in_csr(graph) for graph in graphs]
    ptr = np.concatenate([[0], *(part[1][1:] + e for part, e in zip(parts, edges[:-1], strict=True))])
    parent = np.concatenate([part[2] + n for part, n in zip(parts, nodes[:-1], strict=True)])
    entry = np.concatenate([part[3] + e for part, e in zip(parts, edges[:-1], strict=True)])
    return nodes, ptr.astype(np.int64), parent.astype(np.int32), entry.astype(np.int32)


def medians(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each, turn by turn, each time after a call that brings its arrays into the cache."""
    logs: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, log in zip(calls, logs, strict=True):
            call()
            begin = time.perf_counter()
            call()
            log.append(time.perf_counter() - begin)
    return [statistics.median(log) for log in logs]


def row(graphs: list[Graph], thetas: list[np.ndarray], omega: Any, dtype: str, repeats: int) -> str:
    """One line of the table: value and gradient."""
    thetas = [theta.astype(dtype) for theta in thetas]
    theta = np.concatenate(thetas)
    batch, dags = dagdp.compile_batch(graphs), [dagdp.compile(graph) for graph in graphs]
    arrays, gamma = side_by_side(graphs), theta.dtype.type(omega.gamma)
    value, path = np.empty(len(graphs), dtype), np.empty_like(theta)
    rooms = [np.empty(n, dtype) for n in (arrays[0][-1], arrays[0][-1], theta.size, 64, 64)]
    calls = [
        lambda: dagdp.dp_value_and_grad(batch, theta, omega, threads=1),
        lambda: dagdp.dp_value_and_grad(batch, thetas, omega, threads=1),
        lambda: RIVALS[type(omega)](*arrays, theta, gamma, value, path, *rooms),
        lambda: [dagdp.dp_value_and_grad(dag, t, omega, threads=1) for dag, t in zip(dags, thetas, strict=True)],
    ]
    ours, expected = calls[0]()
    calls[2]()
    assert np.allclose(ours, value, rtol=1e-4), "the rival computes something else"
    assert np.allclose(expected, path, atol=1e-3) or isinstance(omega, HardMax), "the rival's path is another"
    flat, listed, scalar, loop = (1e9 * seconds / theta.size for seconds in medians(calls, repeats))
    return (
        f"| {type(omega).__name__} | {dtype} | {flat:.1f} | {listed:.1f} | {scalar:.1f}, {scalar / flat:.1f}x | "
        f"{loop:.0f}, {loop / flat:.0f}x |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 15")
    repeats = 3 if parser.parse_args().quick else 15
    graphs, thetas = lattices()
    edges = sum(graph.num_edges for graph in graphs)
    together, alone = medians(
        [lambda: dagdp.compile_batch(graphs), lambda: [dagdp.compile(graph) for graph in graphs]], 3
    )
    print(f"{len(graphs)} lattices, {edges} edges; compiled together in {1e3 * together:.1f} ms, one by one in "
          f"{1e3 * alone:.0f} ms\n")  # fmt: skip
    print("| operator | dtype | one array, ns an edge | a list of arrays | scalar loop, ratio | single calls, ratio |")
    print("|---|---|---|---|---|---|")
    for omega in (HardMax(), Negentropy(1.0), SquaredL2(1.0)):
        for dtype in ("float32", "float64"):
            print(row(graphs, thetas, omega, dtype, repeats), flush=True)


if __name__ == "__main__":
    main()
