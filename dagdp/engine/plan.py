"""PLAN: how calls of one form run on a compiled graph: lanes, ranges of items, variant of the kernel, workspace."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.index_arrays import sizes
from dagdp.engine.inputs import Shape, Weights, WeightsForm
from dagdp.jit.decorators import Kernel
from dagdp.kernels.cpu.memory import KernelForm
from dagdp.kernels.cpu.records import Items, Variant
from dagdp.lanes.rows import ROW_BYTES
from dagdp.omega import Omega

PARTS = 16  # rows of partial sums for the gradient of a shared block: fixed, so that bits do not depend on threads


class PathEnds(NamedTuple):
    """Where paths begin and end, in internal numbers."""

    starts: NDArray[np.int32]  # [items] -1 where no path begins; of length 0: paths begin at every start
    ends: NDArray[np.int32]  # [items * graphs] -1 where no path leads
    lost: bool  # whether no path leads to some end


@dataclass(eq=False)
class GraphPlan:
    """How calls of one form run on one compiled graph: the user's, or a merged graph of a batch of graphs."""

    dag: CompiledDAG
    real: Any  # float32 or float64
    omega: Omega
    lanes: int  # a row of samples, or 1
    tied: bool  # levels that repeat a matrix are multiplied with it
    keeps: bool  # weights of edges may be stored in the gradient between the passes
    batches: list[Items]  # ranges of items
    tables: list[NDArray[np.int64]]  # of theta, and of z: see `dagdp.compiled.index_arrays.sizes`
    terminals: PathEnds  # the graph's own; a call of one graph may name others
    columns: tuple[int, int] = (0, 1)  # of the values [items, graphs], those of this graph
    cuts: Sequence[tuple[int, int]] = ()  # [K] of the entries of each block, those of this graph

    @property
    def together(self) -> bool:
        """Whether a row holds samples of one node, not nodes of one sample."""
        return self.lanes * np.dtype(self.real).itemsize == ROW_BYTES

    @property
    def reads_edges(self) -> bool:
        """Whether edges have potentials of their own."""
        return self.dag.wiring.incoming.potentials.size > 0

    @property
    def reads_nodes(self) -> bool:
        """Whether some potential is hoisted: all edges into a node share it."""
        return self.dag.wiring.hoisted.potentials.size > 0


class GradientForm(NamedTuple):
    """How the gradient with respect to one block is collected and returned."""

    shared: bool  # the batch shares the block: partial sums, which are added up
    rows: tuple[int, int]  # shape of the buffer that kernels add to: [items or parts, entries]
    shape: Shape  # of the result


@dataclass(eq=False)
class Plan(ABC):
    """All that calls of one form (shapes, dtypes and options) have in common; stored with the graph.

    A plan holds no numbers of theta and z."""

    omega: Omega
    names: tuple[str | None, ...]  # [K] of the potentials
    theta: WeightsForm
    z: WeightsForm | None
    batch: Shape
    graphs: list[GraphPlan]  # one, or for a batch of graphs the merged ones
    shape: Shape  # of results: [*batch], or for a batch of graphs [*batch, graphs]
    parts: int  # rows of partial sums for the gradient of a shared block
    minimize: bool
    threads: int
    refuse: bool  # an item without a path is an error
    real: Any = field(init=False)  # float32 or float64, in which kernels compute
    alone: bool = field(init=False)  # whether there is one graph, which has all columns and entries
    items: int = field(init=False)
    count: int = field(init=False)  # of results
    data: Any = field(init=False)  # the operator as kernels take it
    dtype: np.dtype[Any] = field(init=False)  # of results
    sign: float = field(init=False)
    signs: tuple[Any, ...] = field(init=False)  # by which theta, and z, is multiplied
    gradients: list[GradientForm] = field(init=False)  # [K]
    no_seeds: NDArray[Any] = field(init=False)  # weights of the ends where each is 1
    terminals: list[PathEnds] = field(init=False)  # [graphs]
    launchers: dict[Kernel, Any] = field(default_factory=dict)  # [graphs] made at the first launch: see `Launcher`

    def __post_init__(self) -> None:
        real = self.real = self.theta.real
        self.alone = len(self.graphs) == 1
        self.items, self.count = math.prod(self.batch), math.prod(self.shape)
        self.data, self.dtype = self.omega.data(real), self.theta.dtype
        self.sign = -1.0 if self.minimize else 1.0
        self.signs = real(self.sign), real(1.0)
        rows = self.items if self.batch else 1
        self.gradients = [
            GradientForm(shared, (self.parts if shared else rows, block[1]), shape)
            for shared, block, shape in zip(self.theta.shared.tolist(), self.theta.rows, self.theta.shapes, strict=True)
        ]
        self.no_seeds = np.empty(0, real)
        self.terminals = [graph.terminals for graph in self.graphs]

    @abstractmethod
    def in_form_of_theta(self, arrays: list[NDArray[Any]]) -> Any:
        """Gradients [K] in the form and dtypes of theta."""

    @abstractmethod
    def raise_faults(self, number: int, weights: list[Weights], given: tuple[Any, Any], terminals: PathEnds) -> None:
        """Raise InputError for the first entry that is out of range and that a path of graph `number` reads, if any."""


def lanes_of(dag: CompiledDAG, items: int, real: Any) -> int:
    """Samples in a row: as many as fill a cache line, or 1, whichever is faster for so many items."""
    return dag.samples_in_row(items, ROW_BYTES // np.dtype(real).itemsize)


def ranges(items: int, lanes: int, most: int) -> list[tuple[int, int]]:
    """Up to `most` ranges [first, last) of items, cut at borders of blocks of `lanes` items."""
    blocks = -(-items // lanes)
    if blocks <= 1:
        return [(0, items)]
    pieces = min(blocks, most)
    return list(itertools.pairwise([lanes * (blocks * k // pieces) for k in range(pieces)] + [items]))


def batches_of(
    dag: CompiledDAG, omega: Omega, cuts: Sequence[tuple[int, int]], lanes: int, graphs: int = 1
) -> list[Items]:
    """A kernel's argument for each range of items."""
    powers = scaled(dag, omega)
    return [Items(*cut, lanes, part, graphs, lanes > 1 or None, powers) for part, cut in enumerate(cuts)]


def tables_of(entries: Sequence[int], one_row: Iterable[NDArray[np.bool_]]) -> list[NDArray[np.int64]]:
    """The sizes of the blocks of theta, and of z, for kernels; a call adds the addresses.

    entries : [K] of each potential.  one_row : [theta, z][K] whether the block is one row for all items.
    """
    return [sizes(entries, shared) for shared in one_row]


def scaled(dag: CompiledDAG, omega: Omega) -> bool | None:
    """Whether node values are stored as m·2^k: True, or None for no (see `Items`).

    So they are under the closed form where all potentials are hoisted and no factor multiplies the exponentials.
    """
    node_weighted = dag.wiring.incoming.potentials.size == 0 and dag.wiring.hoisted.potentials.size > 0
    return bool(node_weighted and omega.solver == "exponential" and omega.corner == 1) or None


def kernel_form(kernel: Kernel, graph: GraphPlan) -> KernelForm:
    """What the kernel is compiled for on this graph, and what the layout of its memory depends on."""
    edges, nodes = graph.reads_edges or None, graph.reads_nodes or None
    tied = (graph.tied and graph.together) or None
    return KernelForm(
        passes=kernel.passes,
        variant=Variant(tied, _stores(kernel, graph) or None, edges, nodes, graph.dag.has_hyperedges or None),
        closed_form=graph.omega.solver == "exponential",
        newton=graph.omega.solver == "newton",
        scaled=bool(scaled(graph.dag, graph.omega)),
        lanes=graph.lanes,
        itemsize=np.dtype(graph.real).itemsize,
    )


def _stores(kernel: Kernel, graph: GraphPlan) -> bool:
    """Whether weights of edges are stored between the passes.

    In a Hessian product of one sample they are stored only if `Incoming.slot_entries` lists the entries. On a trellis
    of 512 steps and 32 states, where it does not, an edge takes 21.8 ns with stored weights and 12.7 ns with recomputed
    weights.
    """
    passes, listed = kernel.passes, graph.dag.wiring.incoming.slot_entries.size > 0
    return passes.backward and graph.keeps and (not passes.tangent or graph.together or listed)
