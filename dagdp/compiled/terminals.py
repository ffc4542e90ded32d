"""The nodes where paths begin and end, by the user's names and numbers: what `start=` and `end=` mean."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor
from dagdp.compiled.index_arrays import Wiring
from dagdp.compiled.lengths import ends_of_lengths
from dagdp.describe.graph import Graph
from dagdp.errors import InputError

Numbers = NDArray[np.int64]
EVERY_START = np.empty(0, np.int32)  # instead of a start for each item: paths begin at any start
PRUNED, UNREACHED = -1, -2  # ranks of dead nodes: no path leads on to an end; no path leads there
WRONG = -3  # in tables that device kernels read: a node where paths must not begin, or end


class TerminalNodes:
    """The part of `CompiledDAG` that reads `start=` and `end=`."""

    graph: Graph
    wiring: Wiring
    rank: NDArray[np.int32]
    end: int
    entrances: Any
    ends_by_length: Any

    @property
    def has_hyperedges(self) -> bool:
        """Whether a live edge may have two parents."""
        return self.wiring.incoming.second.size > 0

    @cached_property
    def numbers(self) -> dict[Hashable, int] | None:
        """{node name: the user's number}, or None where nodes are named by their numbers."""
        names = self.graph.nodes
        return None if names is None else {name: k for k, name in enumerate(names)}

    def cell(self, table: str, *places: Any) -> Any:
        """The nodes of cells of a recurrence's table, as `end=` takes them: see `Graph.cell`.

        Example
        -------
        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.recurrence('''
        ...     v[0] = 0
        ...     v[t] = v[t-1] + step[t]
        ...     return v[-1]
        ... ''', t=4))
        >>> dagdp.dp_value(dag, np.arange(4.0), end=dag.cell("v", [1, 3])).tolist()
        [1.0, 6.0]
        """
        if self.graph.recurrence is not None:
            numbers = self.graph.recurrence.numbers(table, places)
            if (self.rank[numbers] >= 0).all():  # live, and so defined: the graph would list all edges to see as much
                return numbers if numbers.ndim else int(numbers)
        return self.graph.cell(table, *places)

    def end_names(self, numbers: Numbers) -> Any:
        """Node numbers as `end=` takes them: names, in nested lists, if nodes have names."""
        names = self.graph.nodes
        return numbers if names is None else _named(names, numbers.tolist())

    def end_numbers(self, end: Any) -> Numbers:
        """int64, the user's number of the node that `end=` names, or an array of numbers for several nodes."""
        return self._user_numbers(end)

    def start_numbers(self, start: Any) -> Numbers:
        """int64, the user's number of the node that `start=` names, or an array of numbers for several nodes."""
        return self._user_numbers(start, "start")

    def ends_of(self, lengths: Any, most: tuple[int, ...] | None = None) -> Numbers:
        """The nodes where the items of a ragged batch end, for `end=`: int64 [*batch], in the user's numbers.

        lengths : integers [*batch], at least 1; for a graph with two lengths, such as an alignment grid, a pair
            (n_a, n_b) of integers or arrays [*batch].
        most : the largest lengths of data that are smaller than the graph. Default: the lengths of the graph.

        Raises InputError where a length is out of range, or the graph was built without ends by length: `trellis` and
        `linear_chain` have them with ragged=True, `dtw_grid` without a band, other graphs by
        `Graph.from_edges(ends_by_length=)`.

        Example
        -------
        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.trellis(3, 2, ragged=True))
        >>> theta = np.zeros((2, 3, 2, 2))
        >>> np.exp(dagdp.dp_value(dag, theta, end=dag.ends_of([1, 3]))).round(6).tolist()  # 2 and 8 state sequences
        [2.0, 8.0]
        """
        return ends_of_lengths(self.ends_by_length, lengths, most)

    def end_nodes(self, end: Any, batch: tuple[int, ...]) -> NDArray[np.int32]:
        """int32 [items], the internal number of each item's end, from the user's `end=`; -1 where no path leads."""
        return self.ends_reached(end, batch)[0]

    def ends_reached(self, end: Any, batch: tuple[int, ...]) -> tuple[NDArray[np.int32], bool]:
        """(`end_nodes`, whether one of them is -1). Raises InputError for a node that is no end."""
        if end is None:
            ends = np.empty(math.prod(batch), np.int32)
            ends.fill(self.end)
            return ends, False
        chosen = _of_items(self._user_numbers(end, "end"), batch, "end")
        wrong = chosen.view(np.uint64) >= self.rank.size  # as unsigned numbers, negative ones are the largest
        if np.logical_or.reduce(wrong):
            raise InputError(f"end {chosen[wrong][0]} is no node; expected 0 <= end < {self.rank.size}")
        ranks = self.rank[chosen]
        if np.minimum.reduce(ranks, initial=0) >= 0:
            return ranks, False
        pruned = np.flatnonzero(ranks == PRUNED)
        if pruned.size:
            node = self.graph.name(int(chosen[pruned[0]]))
            raise InputError(
                f"end {node!r} leads to no end that the graph was compiled with, so its edges were dropped; expected a "
                f"node on a path. Name it in ends= to keep it{self.graph.in_text('list it in `return`')}"
            )
        return np.maximum(ranks, -1), True

    def start_nodes(self, start: Any, batch: tuple[int, ...]) -> NDArray[np.int32]:
        """int32 [items], the internal number of each item's start, from the user's `start=`; -1 if it leads to no end.

        A start that another start reaches is replaced by its entrance.

        Raises InputError for a node that is no start of the graph.
        """
        if self.has_hyperedges:
            raise InputError(
                "start= was given for a graph with hyperedges; leave it out: derivations have several starts"
            )
        chosen = _of_items(self._user_numbers(start, "start"), batch, "start")
        wrong = ~np.isin(chosen, self._own_starts)
        if wrong.any():
            node = int(chosen[wrong][0])
            names = self.graph.nodes
            shown = node if names is None or not 0 <= node < len(names) else names[node]
            cells = self.graph.recurrence is not None and 0 <= node < self.graph.num_nodes
            which = f" ({shown} is {self.graph.name(node)})" if cells else ""
            some = [self.graph.name(n) for n in self._own_starts[:5].tolist()]
            raise InputError(
                f"start {shown!r} is no start of the graph{which}; expected one of {self._own_starts.size}, such as "
                f"{some}: nodes without parents, or those that starts= names where the graph is made"
            )
        found = np.maximum(self.rank[chosen], -1)
        for node, entrance in self.entrances:
            found[chosen == node] = entrance
        return found

    @cached_property
    def _own_starts(self) -> Numbers:
        """int64, the user's numbers of all starts, also of those that lead to no end."""
        named = self.graph.terminals()[0]
        if named is not None:
            return named
        fan_out, fan_in = (np.bincount(nodes, minlength=self.rank.size) for nodes in self.graph.listed().arcs())
        return np.flatnonzero((fan_in == 0) & (fan_out > 0))

    @cached_property
    def end_table(self) -> NDArray[np.int32]:
        """int32 [user's nodes + 3], the internal number of each node: -1 where no path leads, WRONG if pruned.

        The last three places are the answers to numbers that are no nodes, -2 and -1; -2 stands for the graph's end.
        """
        own = np.where(self.rank == PRUNED, WRONG, np.where(self.rank == UNREACHED, -1, self.rank))
        return np.concatenate([own, [WRONG, -2, WRONG]]).astype(np.int32)

    @cached_property
    def start_table(self) -> NDArray[np.int32]:
        """int32 [user's nodes + 3], the internal number of each start, or of its entrance: -1 if it leads to no end.

        WRONG for nodes that are no starts, and in the last three places, which are the answers to numbers of no nodes.
        """
        own = np.full(self.rank.size + 3, WRONG, np.int32)
        own[self._own_starts] = self.start_nodes(self.end_names(self._own_starts), self._own_starts.shape)
        return own

    def terminals(
        self, start: Any, end: Any, batch: tuple[int, ...]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], bool]:
        """(starts, ends, whether an item has no path): internal numbers int32 [items]; EVERY_START for `start` None.

        An item that begins at one start and ends at another has no path: its end is -1.
        """
        ends, lost = self.ends_reached(end, batch)
        if start is None:
            return EVERY_START, ends, lost
        starts = self.start_nodes(start, batch)
        apart = (starts < 0) | ((ends >= 0) & (ends < self.wiring.incoming.levels[1]) & (ends != starts))
        return starts, np.where(apart, np.int32(-1), ends), lost or bool(apart.any())

    def _user_numbers(self, nodes: Any, what: str = "end") -> Numbers:
        if is_tensor(nodes):
            nodes = nodes.numpy(force=True)
        if self.numbers is None:
            array = np.asarray(self.graph.cell_numbers(nodes))
            if array.dtype.kind not in "iu":
                raise InputError(f"{what} has dtype {array.dtype}; expected node numbers (integers)")
            return array.astype(np.int64)
        if isinstance(nodes, Hashable) and nodes in self.numbers:
            return np.array(self.numbers[nodes])
        names = nodes.tolist() if isinstance(nodes, np.ndarray) else nodes
        if not isinstance(names, list | tuple):
            raise InputError(f"{what} {nodes!r} is no node of the graph")
        numbers = np.array([self._user_numbers(name, what) for name in names], np.int64)
        return numbers


def _of_items(nodes: Numbers, batch: tuple[int, ...], what: str) -> Numbers:
    """[items] node numbers, from one number or an array that broadcasts to the batch."""
    try:
        return np.broadcast_to(nodes, batch).ravel()
    except ValueError:
        raise InputError(
            f"{what} has shape {nodes.shape}; expected one node, or one for each batch item, shape {batch}"
        ) from None


def _named(names: list[Hashable], numbers: Any) -> Any:
    return [_named(names, number) for number in numbers] if isinstance(numbers, list) else names[numbers]
