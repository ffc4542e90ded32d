"""CompiledDAG, the result of compile(): frozen arrays, and facts about the graph that calls read."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.explain import explained
from dagdp.compiled.index_arrays import Wiring, addresses
from dagdp.compiled.linear_map import LinearMap
from dagdp.compiled.progressions import CHILD, COUNT, EDGE, LISTED, PARENT, SLOT, expanded
from dagdp.compiled.terminals import EVERY_START as EVERY_START
from dagdp.compiled.terminals import PRUNED as PRUNED
from dagdp.compiled.terminals import UNREACHED as UNREACHED
from dagdp.compiled.terminals import TerminalNodes
from dagdp.describe.graph import Graph, Potential
from dagdp.errors import InputError

Numbers = NDArray[np.int64]
NEAR = 1 << 16  # nodes: the state of a row of samples stays in the cache, or close to it
SMALL = 100_000  # edges x samples from which a call uses a second thread: a guess, not tuned
EXTRA_END, ENTRANCE = -1, -2  # in `CompiledDAG.origin`: nodes that compilation added
_serials = itertools.count()
_living: WeakValueDictionary[int, Any] = WeakValueDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class CompiledDAG(TerminalNodes):
    """A graph made ready to run: immutable, reusable, safe to share between threads.

    `print(dag.explain())` shows the structure that compilation found.

    graph : a copy of the user's `Graph`.
    potentials : of the graph, with name, shape and index; of a linear one with `reads` in place of the index.
    minimize : of the graph: whether its functions minimise by default.
    starts, ends : int64, the user's numbers of the live starts, and of the ends that a start reaches.
    """

    graph: Graph
    potentials: tuple[Potential, ...]
    wiring: Wiring
    origin: NDArray[np.int32]  # [nodes] the user's number of each internal node; EXTRA_END or ENTRANCE for added nodes
    rank: NDArray[np.int32]  # [user's nodes] the internal number; PRUNED or UNREACHED for dead nodes
    end: int
    starts: Numbers
    entrances: NDArray[np.int32]  # [., 2] a start that another start reaches, internal number of its entrance
    ends: Numbers
    hoisted: tuple[int, ...]
    weights_fit: bool  # whether the gradient has a place for each edge's weight: its entry of the one edge potential
    #: Of a graph with linear potentials: the graph in which each edge has a weight of its own, which kernels run. All
    #: arrays here but `potentials` are those of `plain`, and `linear` makes its weights.
    plain: CompiledDAG | None = None
    linear: LinearMap | None = None
    serial: int = field(init=False)  # names the graph where only a number can be passed
    calls: dict[Any, Any] = field(init=False)  # plans and layouts of `dagdp.engine`, by the form of a call
    named: bool = field(init=False)  # whether nodes have names; a field, as torch.compile traces fields
    ends_by_length: Any = field(init=False)  # of the graph
    minimize: bool = field(init=False)  # of the graph

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", {})
        object.__setattr__(self, "named", self.graph.nodes is not None)
        object.__setattr__(self, "ends_by_length", self.graph.ends_by_length)
        object.__setattr__(self, "minimize", self.graph.minimize)
        wiring = self.wiring
        object.__setattr__(self, "serial", enrolled(self, (*wiring.incoming, *wiring.tied, self.origin)))

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the graph and its arrays; the unpickled graph gets a new serial number."""
        return _restored, tuple(getattr(self, part.name) for part in fields(self) if part.init)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledDAG:
        """The graph itself, as it is immutable."""
        return self

    @property
    def num_nodes(self) -> int:
        """Live nodes, those that compilation added included: the extra end of several ends, and entrances."""
        return int(self.origin.size)

    @cached_property
    def num_edges(self) -> int:
        """Live edges, those that compilation added included: into the extra end, and from entrances."""
        return int(self._runs[:, COUNT].sum())

    @cached_property
    def edges(self) -> Numbers:
        """int64 [E], the user's number of each edge, by the level of the parent; -1 for added edges."""
        return self._of_edges(EDGE)

    @cached_property
    def parents(self) -> Numbers:
        """int64 [E], the internal number of each edge's parent, the first of two, in the order of `edges`."""
        return self._of_edges(PARENT)

    @cached_property
    def children(self) -> Numbers:
        """int64 [E], the internal number of each edge's child, in the order of `edges`."""
        return self._of_edges(CHILD)

    @property
    def slots(self) -> Numbers:
        """int64 [E], how many edges into its child come before each edge, in the order of `edges`."""
        return self._of_edges(SLOT)

    @cached_property
    def seconds(self) -> Numbers | None:
        """int64 [E], the second parent of each edge, -1 for none, in the order of `edges`; None without hyperedges."""
        second = self.graph.second_parents()
        if second is None:
            return None
        of_edges = np.where(self.edges >= 0, second[self.edges], -1)
        return np.where(of_edges >= 0, self.rank[of_edges].astype(np.int64), -1)

    @property
    def _runs(self) -> NDArray[np.int32]:
        """The runs of outgoing edges that list each edge once."""
        outgoing = self.wiring.outgoing
        return outgoing.runs[outgoing.pairing[:, 1] == 0] if outgoing.pairing.size else outgoing.runs

    def _of_edges(self, column: int) -> Numbers:
        made = expanded(self._runs, column, self.wiring.outgoing.listed)
        made.flags.writeable = False
        return made

    @property
    def num_levels(self) -> int:
        """The number of levels: one more than the edges of the longest path."""
        return int(self.wiring.incoming.levels.size - 1)

    @property
    def nbytes(self) -> int:
        """Bytes of all index arrays that kernels read."""
        return sum(array.nbytes for array in {id(a): a for part in self.wiring for a in part}.values())

    @cached_property
    def entry_counts(self) -> Numbers:
        """int64 [potentials], the number of entries of each."""
        return np.array([math.prod(potential.shape) for potential in self.potentials], np.int64)

    @cached_property
    def addresses(self) -> Numbers:
        """Addresses of the index arrays, as kernels take them: see `dagdp.compiled.index_arrays.addresses`."""
        return addresses(self.wiring)

    def explain(self) -> str:
        """Levels, widths, fan-in, dead nodes, bytes and the structure that was found, as a few lines of text."""
        return explained(self)

    def __repr__(self) -> str:
        return f"CompiledDAG({self.num_nodes} nodes, {self.num_edges} edges, {self.num_levels} levels)"

    # ---- Facts by which a call chooses its schedule (dagdp/engine/plan.py): lanes, stored weights, tied levels

    def samples_in_row(self, items: int, row: int) -> int:
        """Samples of a batch in one row: `row` of them, or 1, where the lanes of a row are neighbouring nodes.

        One sample at a time visits all rows of nodes once for each item; a row of samples visits every node once. Rows
        of nodes take at least twice as long, as they cross cache lines and are often gathered. But threads can share
        items, not lanes, so large items form rows of samples only where that is much faster on one thread: where they
        fill more than half a row, or half of 16 lanes if their state stays in the cache. The number of threads must
        not decide: results would differ in their last bits.
        """
        twice = self._scattered or items * self.num_edges < SMALL
        visits = items * self._rows_of_nodes[row] * (2 if twice else 1)
        least = row // 2 if row == 16 and self.num_nodes < NEAR else row // 2 + 1
        return row if items > 1 and (items >= least or visits > self.num_nodes) else 1

    @cached_property
    def _scattered(self) -> bool:
        """Whether most rows of nodes of one sample are gathered."""
        _, counts, _, steps = self.wiring.incoming.runs.T
        return 2 * int(counts[steps == LISTED].sum()) > self.num_edges

    @cached_property
    def _rows_of_nodes(self) -> dict[int, int]:
        """{lanes of a row: rows of nodes of one sample}."""
        widths = np.diff(self.wiring.incoming.levels)
        return {row: int(-(-widths // row).sum()) for row in (8, 16)}

    def stores_weights(self, shared: NDArray[np.bool_]) -> bool:
        """Whether the weights of edges are stored in the gradient between the passes.

        The gradient of a shared potential has one place for all samples, and so stores no weights.

        shared : [potentials] whether the batch shares the potential.
        """
        return self.weights_fit and not shared[self.wiring.incoming.potentials[0]]

    def ties_levels(self, shared: Iterable[NDArray[np.bool_]]) -> bool:
        """Whether tied levels may be multiplied with their matrix: all samples have to share its entries.

        shared : for theta, and for z if given: [potentials] whether the batch shares the potential.
        """
        blocks = self.wiring.incoming.potentials
        return self.wiring.tied.shapes.size > 0 and all(own[blocks].all() for own in shared)

    @cached_property
    def most_parents(self) -> int:
        """The largest fan-in."""
        return int(np.diff(self.wiring.incoming.slots).max())


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array as kernels take it: int32, contiguous, read-only."""
    return locked(np.ascontiguousarray(array, np.int32))


def locked(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself, read-only from now on."""
    array.flags.writeable = False
    return array


def enrolled(compiled: Any, content: Iterable[NDArray[Any]]) -> int:
    """A serial number for a compiled graph or batch; `living` returns the graph while it exists.

    Upper half: a checksum of the content. A program of torch.export holds the number, and must not find another graph
    in the process that loads it. Lower half: a count, so that torch's caches on disk hit when a script runs again.
    """
    checksum = 0
    for array in content:
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    serial = (checksum >> 1) << 32 | next(_serials)
    _living[serial] = compiled
    return serial


def living(serial: int) -> Any:
    """The compiled graph or batch of a serial number. Raises InputError if it exists no longer."""
    try:
        return _living[serial]
    except KeyError:
        raise InputError(
            f"compiled graph number {serial} is gone; keep a reference to the CompiledDAG for as long as "
            "a traced or compiled function uses it, and load an exported one in the process that made the graph"
        ) from None


def _restored(*parts: Any) -> CompiledDAG:
    """The graph from its pickled parts, with read-only arrays."""
    dag = CompiledDAG(*parts)
    for array in (*itertools.chain(*dag.wiring), dag.origin, dag.rank, dag.starts, dag.entrances, dag.ends):
        array.flags.writeable = False
    return dag
