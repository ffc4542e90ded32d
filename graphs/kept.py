"""Compiled graphs that are kept for the next call, and which of them serves data of which size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dagdp import CompiledDAG, Graph, compile

ROOM = 1 << 30  # bytes of index arrays that are kept in all, the one graph that was asked for last at least
LARGEST_GROWN = 1 << 26  # edges of a graph that stands in for smaller ones: 4096 x 4096 cells of DTW
IN_A_ROW = 8  # times that a size is asked for before it gets a graph of its own
Builder = Callable[..., Graph]
Key = tuple[Any, ...]


class Shelf:
    """Compiled graphs by (builder, *arguments), those that were not asked for the longest given up beyond ROOM bytes.

    >>> from dagdp.graphs import trellis
    >>> shelf = Shelf()
    >>> shelf.graph(trellis, 3, 2) is shelf.graph(trellis, 3, 2)
    True
    >>> [shelf.serving(trellis, (T,), (2,), (2, "single", True)).potentials[0].shape[0] for T in (100, 5, 6, 100)]
    [100, 8, 8, 100]
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, CompiledDAG] = OrderedDict()
        self._asked: dict[Key, tuple[tuple[int, ...], int]] = {}  # by family: sizes, and how often in a row
        self._lock = threading.RLock()

    def graph(self, builder: Builder, *arguments: Any) -> CompiledDAG:
        """`compile(builder(*arguments))`, made once for as long as it is kept."""
        key = (builder, *arguments)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = compile(builder(*arguments))
            self._kept.move_to_end(key)
            found = self._kept[key]
            self._give_up()
            return found

    def serving(
        self, builder: Builder, sizes: tuple[int, ...], others: tuple[Any, ...], of_grown: tuple[Any, ...]
    ) -> CompiledDAG:
        """A graph for data of these sizes: `builder(*sizes, *others)`, or `builder(*larger, *of_grown)`.

        The first sizes that are asked for get their own graph, and so do those that are asked for several times in a
        row: data of one size is not copied. Other sizes share the graph of the next powers of two.
        """
        family = (builder, others)
        with self._lock:
            before, times = self._asked.get(family, (sizes, IN_A_ROW))
            times = times + 1 if before == sizes else 1
            self._asked[family] = sizes, times
            exact = (*sizes, *others)
            if times >= IN_A_ROW or (builder, *exact) in self._kept:
                return self.graph(builder, *exact)
            grown = (*(power_of_two(size) for size in sizes), *of_grown)
            fits = (builder, *grown) in self._kept or builder(*grown).num_edges <= LARGEST_GROWN
            return self.graph(builder, *(grown if fits else exact))

    def _give_up(self) -> None:
        total = sum(map(bytes_of, self._kept.values()))
        while total > ROOM and len(self._kept) > 1:
            total -= bytes_of(self._kept.popitem(last=False)[1])


def bytes_of(dag: CompiledDAG) -> int:
    """Of a compiled graph's index arrays, those that translate node numbers included.

    >>> from dagdp.graphs import trellis
    >>> bytes_of(compile(trellis(3, 2))) > 8 * trellis(3, 2).num_nodes
    True
    """
    return int(dag.nbytes + dag.origin.nbytes + dag.rank.nbytes)


def power_of_two(size: int) -> int:
    """The smallest that is not below `size`.

    >>> [power_of_two(n) for n in (1, 2, 3, 64, 65)]
    [1, 2, 4, 64, 128]
    """
    return 1 << (size - 1).bit_length()
