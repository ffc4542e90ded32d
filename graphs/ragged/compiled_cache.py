"""A cache of compiled graphs, and the choice of the graph that serves data of a given size."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dagdp import CompiledDAG, Graph, compile
from dagdp.array_kinds import saves_through_hooks

MOST_BYTES = 1 << 30  # of index arrays in the cache; the graph that was used last is cached in any case
LARGEST_SHARED = 1 << 26  # edges of a graph that serves smaller sizes: 4096 x 4096 cells of DTW
REPEATS = 8  # calls with one size, one after another, before the size gets a graph of its own
Builder = Callable[..., Graph]
Key = tuple[Any, ...]


class GraphCache:
    """Compiled graphs by (builder, *arguments); beyond MOST_BYTES those that were not used the longest are dropped.

    >>> from dagdp.graphs import trellis
    >>> cache = GraphCache()
    >>> cache.graph(trellis, 3, 2) is cache.graph(trellis, 3, 2)
    True
    >>> [cache.serving(trellis, (T,), (2,), (2, "single", True)).potentials[0].shape[0] for T in (100, 5, 6, 100)]
    [100, 8, 8, 100]
    """

    def __init__(self) -> None:
        self._graphs: OrderedDict[Key, CompiledDAG] = OrderedDict()
        self._calls: dict[Key, tuple[tuple[int, ...], int]] = {}  # by family: sizes, and how often in succession
        self._kept: dict[Key, tuple[Any, ...]] = {}  # the choice for a size that activation checkpointing met
        self._lock = threading.RLock()

    def graph(self, builder: Builder, *arguments: Any) -> CompiledDAG:
        """`compile(builder(*arguments))`, cached."""
        key = (builder, *arguments)
        with self._lock:
            found = self._graphs.get(key)
            if found is None:
                found = self._graphs[key] = compile(builder(*arguments))
                self._drop_oldest()
            self._graphs.move_to_end(key)
            return found

    def serving(
        self,
        builder: Builder,
        sizes: tuple[int, ...],
        others: tuple[Any, ...],
        of_grown: tuple[Any, ...],
        edges: int = 1,
    ) -> CompiledDAG:
        """A graph for data of these sizes: `builder(*sizes, *others)`, or `builder(*larger, *of_grown)`.

        edges : of a graph whose sizes are 1; their product multiplies it.

        The first sizes of a family get a graph of their own, and so do sizes that are requested REPEATS times in
        succession: data of one size is then not copied. Other sizes share the graph of the next powers of two. Under
        activation checkpointing a size keeps its first graph: the recomputation must save tensors of equal shapes.
        """
        if not saves_through_hooks():
            return self.graph(builder, *self._choice(builder, sizes, others, of_grown, edges))
        key = (builder, *sizes, *others)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._choice(builder, sizes, others, of_grown, edges)
            return self.graph(builder, *self._kept[key])

    def _choice(
        self, builder: Builder, sizes: tuple[int, ...], others: tuple[Any, ...], of_grown: tuple[Any, ...], edges: int
    ) -> tuple[Any, ...]:
        """The arguments of `builder` for the graph that serves these sizes."""
        family = (builder, others)
        with self._lock:
            before, times = self._calls.get(family, (sizes, REPEATS))
            times = times + 1 if before == sizes else 1
            self._calls[family] = sizes, times
            exact = (*sizes, *others)
            if times >= REPEATS or (builder, *exact) in self._graphs:
                return exact
            grown = (*(power_of_two(size) for size in sizes), *of_grown)
            fits = (builder, *grown) in self._graphs or edges * math.prod(grown[: len(sizes)]) <= LARGEST_SHARED
            return grown if fits else exact

    def _drop_oldest(self) -> None:
        total = sum(map(bytes_of, self._graphs.values()))
        while total > MOST_BYTES and len(self._graphs) > 1:
            total -= bytes_of(self._graphs.popitem(last=False)[1])


_cache = GraphCache()


def compiled(
    builder: Builder, *arguments: Any, axes: int = 0, grown: tuple[Any, ...] = (), edges: int = 1
) -> CompiledDAG:
    """`compile(builder(*arguments))`, cached for later calls with equal arguments.

    axes : how many of the arguments, from the first on, are sizes of data. A graph of larger sizes may serve these
        data, built with `grown` in place of the other arguments: see `GraphCache.serving`. 0: the arguments alone.
    edges : of a graph whose sizes are 1.

    >>> from dagdp.graphs import trellis
    >>> compiled(trellis, 3, 2) is compiled(trellis, 3, 2)
    True
    """
    if not axes:
        return _cache.graph(builder, *arguments)
    return _cache.serving(builder, arguments[:axes], arguments[axes:], grown, edges)


def bytes_of(dag: CompiledDAG) -> int:
    """Bytes of a compiled graph's index arrays, those that translate node numbers included.

    >>> from dagdp.graphs import trellis
    >>> bytes_of(compile(trellis(3, 2))) > 8 * trellis(3, 2).num_nodes
    True
    """
    return int(dag.nbytes + dag.origin.nbytes + dag.rank.nbytes)


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`.

    >>> [power_of_two(n) for n in (1, 2, 3, 64, 65)]
    [1, 2, 4, 64, 128]
    """
    return 1 << (size - 1).bit_length()
