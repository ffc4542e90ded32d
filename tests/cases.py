"""The two lists that tests are parametrised over, OPERATORS and small GRAPHS, and which of their products are run.

A kernel is compiled for one entry point, operator, type of number, way of filling the lanes, and set of potentials: a
product over these costs 2 to 5 s of a processor for each of its cells. `make test` runs the cells that prove something;
`make test-all` runs all of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

import dagdp
from dagdp import Graph, HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.compiled.dag import CompiledDAG
from dagdp.graphs import dtw_grid, linear_chain, trellis


@dataclass(frozen=True)
class Tsallis15(Omega):
    """A user's operator, Tsallis 3/2 by hand: ω(q) = (4/3)(q^1.5 - q). The docstring of `Omega` has its kernels."""

    gamma: float = 1.0
    corner = 2.0 / 3.0

    def link(self, y):
        base = 0.5 * y + 2.0 / 3.0
        return base * base if base > 0.0 else 0.0

    def slope(self, y):
        base = 0.5 * y + 2.0 / 3.0
        return base if base > 0.0 else 0.0

    def conjugate(self, y):
        base = 0.5 * y + 2.0 / 3.0
        return 2.0 / 3.0 * base * base * base if base > 0.0 else 0.0


OPERATORS: list[Omega] = [
    HardMax(),
    Negentropy(0.7),
    SquaredL2(0.5),
    Tsallis(1.5, 0.8),
    Tsallis(2.0, 1.3),
    Tsallis15(0.6),
]
SMOOTH = OPERATORS[1:]
BUNDLED = OPERATORS[:-1]  # for tests in which a user's operator would say nothing new
IDS = [repr(op) for op in OPERATORS]
SMOOTH_IDS = IDS[1:]
BUNDLED_IDS = IDS[:-1]


# Of GRAPHS the two whose kernels no other has: potentials on edges and on nodes at once, and on edges without stored
# weights.
KERNELS_OF_THEIR_OWN = ("chain", "tied")


def one_of_each_solver(omega: Omega, name: str = "", **_others: Any) -> bool:
    """The three solvers are three texts of a kernel; operators of one solver differ in three scalar functions.

    name : of a graph. On those with kernels of their own the closed form alone.
    """
    return isinstance(omega, Negentropy if name in KERNELS_OF_THEIR_OWN else HardMax | Negentropy | SquaredL2)


def one_of_each_solver_and_type(omega: Omega, dtype: str, name: str = "", **_others: Any) -> bool:
    """As `one_of_each_solver` in float64; in float32 the closed form, on graphs without kernels of their own."""
    if np.dtype(dtype) == np.float64:
        return one_of_each_solver(omega, name)
    return isinstance(omega, Negentropy) and name not in KERNELS_OF_THEIR_OWN


def combinations(usual: Callable[..., bool], **axes: Iterable[Any]) -> pytest.MarkDecorator:
    """`parametrize` over the product of the axes. Combinations that are not `usual` are run by `make test-all` alone.

    usual : takes a value of each axis, by name.
    """
    rows = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    made = [
        pytest.param(
            *row.values(),
            id="-".join(map(_label, row.values())),
            marks=() if usual(**row) else pytest.mark.exhaustive,
        )
        for row in rows
    ]
    return pytest.mark.parametrize(tuple(axes), made)


def _label(value: Any) -> str:
    return repr(value) if isinstance(value, Omega) else getattr(value, "__name__", str(value))


def over_operators(of: Iterable[Omega] = OPERATORS) -> pytest.MarkDecorator:
    """`parametrize` omega over operators, of which `make test` runs one of each solver."""
    return combinations(one_of_each_solver, omega=of)


def parallel_edges() -> Graph:
    """Two edges between the same nodes, twice."""
    return Graph.from_edges([0, 0, 1, 1, 0], [1, 1, 2, 2, 2])


def two_starts_two_ends() -> Graph:
    """Several starts; two ends, one of which has an outgoing edge."""
    return Graph.from_edges([0, 1, 0, 2, 2, 3], [2, 2, 3, 3, 4, 4], starts=[0, 1], ends=[3, 4])


def with_dead_ends() -> Graph:
    """Node 4 leads nowhere, node 5 comes from nowhere."""
    return Graph.from_edges([0, 0, 1, 2, 1, 5], [1, 2, 3, 3, 4, 3], starts=[0], ends=[3])


def tied() -> Graph:
    """A chain of five choices that share two entries, and an edge that reads nothing."""
    graph = Graph(potentials={"step": (2,), "bias": (1,)})
    for t in range(5):
        graph.add_edge(t, t + 1, step=0)
        graph.add_edge(t, t + 1, step=1, bias=0)
    graph.add_edge(0, 5)
    return graph


def wide(width: int = 70) -> Graph:
    """One wide level of unequal fan-in, beyond one tile of a small batch."""
    rng = np.random.default_rng(3)
    parents = [np.zeros(width, int), 1 + rng.integers(0, width, 3 * width), width + 1 + np.arange(width)]
    children = [1 + np.arange(width), width + 1 + rng.integers(0, width, 3 * width), np.full(width, 2 * width + 1)]
    return Graph.from_edges(np.concatenate(parents), np.concatenate(children), starts=[0], ends=[2 * width + 1])


GRAPHS: dict[str, Callable[[], Graph]] = {
    "one edge": lambda: Graph.from_edges([0], [1]),
    "parallel edges": parallel_edges,
    "two starts, two ends": two_starts_two_ends,
    "dead ends": with_dead_ends,
    "tied": tied,
    "wide": wide,
    "trellis": lambda: trellis(4, 3),
    "trellis, all": lambda: trellis(3, 4, initial="all"),
    "chain": lambda: linear_chain(4, 3),
    "grid": lambda: dtw_grid(4, 5),
    "banded grid": lambda: dtw_grid(7, 6, band=1),
}
SMALL = [name for name in GRAPHS if name != "wide"]


def dense(width: int, depth: int) -> Graph:
    """Each node of a level from all of the one before; the first and the last level are one node."""
    widths = [1, *[width] * depth, 1]
    first = np.cumsum([0, *widths])
    pairs = [np.indices((b, a)).reshape(2, -1) for a, b in pairwise(widths)]
    children = np.concatenate([first[k + 1] + child for k, (child, _) in enumerate(pairs)])
    parents = np.concatenate([first[k] + parent for k, (_, parent) in enumerate(pairs)])
    return Graph.from_edges(parents, children, potentials={None: ((int(first[-1]),), children)})


def hypergraph(edges, **terminals) -> Graph:
    """The graph of (parents, child) pairs, of one or two parents, nodes being numbers."""
    rows = [(*parents, -1)[:2] for parents, _ in edges]
    return Graph.from_edges(rows, [child for _, child in edges], **terminals)


def random_hypergraph(widths: tuple[int, ...], edges: int, seed: int = 5) -> Graph:
    """Levels of those widths and one end, `edges` into each level, of one or two parents in any level before."""
    rng, below = np.random.default_rng(seed), widths[0]
    parents, children = [], []
    for width in (*widths[1:], 1):
        own = rng.integers(0, below, (edges, 2))
        own[rng.random(edges) < 0.3, 1] = -1
        parents.append(own)
        children.append(below + np.append(np.arange(width), rng.integers(0, width, edges - width)))
        below += width
    return Graph.from_edges(np.concatenate(parents), np.concatenate(children), num_nodes=below, ends=[below - 1])


def cky(n: int, symbols: int) -> Graph:
    """A grammar in Chomsky form: lexical [n, K] of the words, rule [K, K, K] as [A, B, C]; the root is symbol 0."""
    graph = Graph(ends=[(0, n, 0)], potentials={"lexical": (n, symbols), "rule": (symbols,) * 3})
    for i, A in product(range(n), range(symbols)):
        graph.add_edge("begin", (i, i + 1, A), lexical=(i, A))
    for width in range(2, n + 1):
        for i, j in product(range(n + 1 - width), range(1, width)):
            for A, B, C in product(range(symbols), repeat=3):
                graph.add_hyperedge(((i, i + j, B), (i + j, i + width, C)), (i, i + width, A), rule=(A, B, C))
    return graph


def random_theta(graph: Graph, rng: np.random.Generator, batch: tuple[int, ...] = (), dtype: str = "float64"):
    """Weights for a graph: an array, or a dict where it names several potentials."""
    arrays = {p.name: rng.normal(size=(*batch, *p.shape)).astype(dtype) for p in graph.potentials()}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def flat(theta):
    """All entries as one vector."""
    return np.concatenate([np.ravel(a) for a in (theta.values() if isinstance(theta, dict) else [theta])])


def unproved(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> CompiledDAG:
    """The graph with every index listed, nothing hoisted, nothing tied and no weight kept."""
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["dagdp.compiler.specialise"], "PROVE", False)
        return dagdp.compile(graph)


def sinks(parents, children) -> np.ndarray:
    """Nodes without children: the default ends, named so that `compile` does not warn of them."""
    return np.setdiff1d(children, parents)


def graph_of(edges) -> Graph:
    """The graph of (parent, child) pairs, nodes being numbers; paths end at all nodes without children."""
    parents, children = ([edge[k] for edge in edges] for k in (0, 1))
    return Graph.from_edges(parents, children, ends=sinks(parents, children))


def listed(paths) -> list[tuple[int, ...]]:
    """The edges of unbatched `Paths` as tuples, without padding; none for paths of length 0."""
    rows = paths.edges if paths.edges.ndim > 1 else paths.edges[None]
    return [tuple(int(e) for e in row if e >= 0) for row in rows if (row >= 0).any()]


def from_threads(call: Callable[[], np.ndarray]) -> list[np.ndarray]:
    """What five calls from each of four Python threads at once give, in any order."""
    found: list[np.ndarray] = []
    callers = [threading.Thread(target=lambda: found.extend(call() for _ in range(5))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return found
