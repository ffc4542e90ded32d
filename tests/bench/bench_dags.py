"""Graphs of no special form, value and gradient: word lattices and random DAGs.

Usage: python tests/bench/bench_dags.py [--quick] [--write] [case ...]

float32, Negentropy, one thread, from NumPy. Word lattices: 500 different graphs, one sentence each, in one call
through `compile_batch` and in a loop of 500 calls. Random DAGs: two or more parents a node, three on average, most of
them near. Rivals: a scalar Numba loop over CSR arrays (scalar_loop.py; for the lattices one call over all 500 side by
side), and `backend="torch"`. For HardMax's value also the longest paths of rustworkx and networkx, on graphs that are
built before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scalar_loop
import torch
from cases import lattices, random_dag
from harness import Table, Turns, main, threads

import dagdp
from dagdp import CompiledDAG, HardMax, Negentropy

BATCHED, SINGLE = 3.0, 1.5  # goals against the scalar loop
LARGEST = 10**7  # edges x samples up to which autograd's memory and time are borne
SIZES = (10**4, 10**5, 10**6)
OMEGA = Negentropy(1.0)


def unrolled(dag: CompiledDAG, theta: np.ndarray) -> tuple[Any, Any]:
    leaf = torch.from_numpy(theta).requires_grad_()
    value = dagdp.dp_value(dag, leaf, OMEGA, backend="torch")
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


def sentences() -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """(how ours is called, calls) for the lattices."""
    pairs = [(dag, theta.astype(np.float32)) for dag, theta in lattices()]
    dags, thetas = zip(*pairs, strict=True)
    flat = np.concatenate(thetas)[None]
    loop = scalar_loop.calls([dag.graph for dag in dags], flat, flat, OMEGA, False)["value+grad"]

    def joined(results: Any) -> tuple[np.ndarray, np.ndarray]:
        values, paths = zip(*results, strict=True)
        return np.stack(values)[None], np.concatenate([np.asarray(E) for E in paths])[None]

    union = dagdp.compile_batch(dags)
    yield (
        "compile_batch, one call",
        {"ours": lambda: dagdp.dp_value_and_grad(union, flat, OMEGA, threads=1), "loop": loop},
    )
    yield (
        "a loop of 500 calls",
        {
            "ours": lambda: joined(dagdp.dp_value_and_grad(dag, theta, OMEGA, threads=1) for dag, theta in pairs),
            "loop": loop,
            "torch backend": lambda: joined(unrolled(dag, theta) for dag, theta in pairs),
        },
    )


def sizes(edges: int, batch: int) -> dict[str, Callable[[], Any]]:
    """The calls for a random DAG."""
    graph = random_dag(edges)
    dag = dagdp.compile(graph)
    theta = np.random.default_rng(1).normal(size=(batch, graph.num_edges)).astype(np.float32)
    loop = scalar_loop.calls([graph], theta, theta, OMEGA, False)["value+grad"]

    def ours() -> tuple[Any, Any]:
        value, E = dagdp.dp_value_and_grad(dag, theta, OMEGA, threads=1)
        return value[:, None], E

    def rival() -> tuple[Any, Any]:
        value, E = unrolled(dag, theta)
        return value[:, None], E

    calls = {"ours": ours, "loop": loop, "torch backend": rival}
    if graph.num_edges * batch > LARGEST:
        del calls["torch backend"]
    return calls


def longest(edges: int) -> dict[str, Callable[[], Any]]:
    """HardMax's value beside the longest paths of two graph packages; weights are not negative, as they assume."""
    import networkx as nx

    graph = random_dag(edges)
    dag, weights = dagdp.compile(graph), np.random.default_rng(1).random(graph.num_edges)
    triples = list(zip(*(array.tolist() for array in (*graph.edges(), weights)), strict=True))
    netx = nx.MultiDiGraph()
    netx.add_weighted_edges_from(triples)
    rust: list[Any] = []

    def rustworkx() -> Any:
        import rustworkx as rx

        if not rust:
            rust.append(rx.PyDiGraph())
            rust[0].add_nodes_from(range(graph.num_nodes))
            rust[0].add_edges_from(triples)
        return rx.dag_weighted_longest_path_length(rust[0], lambda source, target, weight: weight)

    return {
        "ours": lambda: dagdp.dp_value(dag, weights, HardMax(), threads=1),
        "rustworkx": rustworkx,
        "networkx": lambda: nx.dag_longest_path_length(netx),
    }


def measure(turns: Turns) -> Iterator[Table]:
    """Value and gradient, then the longest path."""
    names = ("ours", "loop", "torch backend")
    table = Table(("graphs", "called", *(f"{name} ms" for name in names), "loop / ours"))
    with threads(1):
        if turns.chosen("500 word lattices"):
            for how, calls in sentences():
                result = turns(calls, tolerance=1e-3)
                ratio = result.ratio(goal=BATCHED, against="loop")
                table.add("500 word lattices", how, *map(result.cell, names), ratio)
        for edges in SIZES:
            for batch in (1, 32) if turns.chosen(f"random {edges:.0e}") else ():
                result = turns(sizes(edges, batch), tolerance=1e-3)
                goal = SINGLE if batch == 1 else BATCHED
                ratio = result.ratio(goal=goal, against="loop")
                table.add(f"random, {edges:,} edges", f"batch {batch}", *map(result.cell, names), ratio)
    yield table
    names = ("ours", "rustworkx", "networkx")
    table = Table(("longest path, HardMax, float64", *(f"{name} ms" for name in names), "best rival / ours"))
    for edges in SIZES if turns.chosen("longest") else ():
        result = turns(longest(edges), tolerance=1e-9)
        table.add(f"random, {edges:,} edges", *map(result.cell, names), result.ratio())
    yield table


if __name__ == "__main__":
    main(__doc__, "dags", measure, small=True)
