"""The graph as questions about paths see it: one weight on each edge, and one end.

Tied potentials are summed edge by edge, and several ends are joined by edges of their own, so that a path
is a list of edges and its score the sum of their weights. Two potentials of zeros are read beside the
weights: their gradients are the probabilities of nodes.
"""

from __future__ import annotations

import functools
import math
import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import holds_tensors, is_tensor
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.compiler.arrays import group
from dagdp.describe.graph import Graph
from dagdp.engine.inputs import batch_of, checked, collect, end_shape
from dagdp.functions import dp_value
from dagdp.omega import HardMax
from dagdp.paths.arrays import (
    answer_type,
    as_tensor,
    cast,
    double,
    host,
    like,
    namespace,
    repeated,
    settled,
    single_or_double,
)

Numbers = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plain:
    """A compiled graph edge by edge. Nodes are the user's numbers; `joint` edges follow the user's."""

    own: CompiledDAG  # the user's
    nodes: int  # the user's; the node that joins several ends comes after them
    edges: int  # the user's; the edges from the ends to the joint follow
    parents: Numbers  # [edges + joint]
    children: Numbers
    starts: Numbers
    ends: Numbers  # the user's ends
    end: int  # the one end, or the joint
    order: Numbers  # live nodes, parents before children
    in_ptr: Numbers  # [nodes + 2] each node's incoming edges, in the user's order
    in_edges: Numbers

    @property
    def longest(self) -> int:
        """Edges on the longest path, one into the joint included."""
        return self.own.num_levels - 1

    @functools.cached_property
    def dag(self) -> CompiledDAG:
        """The graph with potentials "edge", "node" (read on entering it) and "start" (read on leaving it)."""
        begins = np.where(np.isin(self.parents, self.starts), self.parents, -1)
        graph = Graph.from_edges(
            self.parents,
            self.children,
            num_nodes=self.nodes + 1,
            starts=self.starts,
            ends=[self.end],
            potentials={
                "edge": (self.parents.size, np.arange(self.parents.size)),
                "node": (self.nodes + 1, self.children),
                "start": (self.nodes + 1, begins),
            },
        )
        return build(graph)

    def theta(self, scores: Any) -> dict[str, Any]:
        """What `dp_*` take for edge scores [*batch, edges + joint]."""
        nothing = repeated(namespace(scores).zeros_like(scores[..., :1]), self.nodes + 1)
        return {"edge": scores, "node": nothing, "start": nothing}


@dataclass(frozen=True)
class Question:
    """Checked input: the potentials, and where each item's paths end."""

    dag: CompiledDAG
    arrays: tuple[Any, ...]  # of each potential [*own, entries], where `own` broadcasts to the batch, or is ()
    batch: Shape
    end: Any  # None, or the user's numbers [*batch]
    sign: float
    dtype: Any  # of the answer

    @property
    def plain(self) -> Plain:
        return plain(self.dag)

    @property
    def items(self) -> int:
        return math.prod(self.batch)

    @property
    def tensors(self) -> bool:
        """Whether the potentials are tensors."""
        return is_tensor(self.arrays[0])

    @property
    def minimize(self) -> bool:
        return self.sign < 0

    def settled(self) -> Question:
        """The question in NumPy arrays, where no derivative can flow through its tensors; else itself."""
        if not self.tensors or not settled(self.arrays):
            return self
        return replace(self, arrays=tuple(host(single_or_double(array)) for array in self.arrays))

    @functools.cached_property
    def _sums(self) -> tuple[Any, Any]:
        """The potentials that kernels add edge by edge, and those that they add node by node, None: there are none."""
        known, xp = self.plain, namespace(self.arrays[0])
        joint = np.full(known.parents.size - known.edges, -1)
        sums: list[Any] = [None, None]
        for k, (potential, array) in enumerate(zip(self.dag.potentials, self.arrays, strict=True)):
            entries = double(array)
            padded = xp.concatenate((entries, xp.zeros_like(entries[..., :1])), -1)  # index -1 reads the zero
            read = padded[..., like(padded, np.concatenate([potential.index, joint]))]
            read, kind = -read if self.minimize else read, int(k in self.dag.hoisted)
            sums[kind] = read if sums[kind] is None else sums[kind] + read
        return sums[0], sums[1]

    @property
    def loose(self) -> Any:
        """The potentials that kernels add edge by edge, or None where there are none."""
        return self._sums[0]

    @property
    def shared(self) -> Any:
        """Those that they add node by node, as all edges into a node share them, or None."""
        return self._sums[1]

    @functools.cached_property
    def scores(self) -> Any:
        """[*batch, edges + joint] weights of edges, to be maximised, in float64. As large as the batch of graphs."""
        loose, shared = self._sums
        scores = shared if loose is None else loose if shared is None else loose + shared
        return namespace(scores).broadcast_to(scores, (*self.batch, self.plain.parents.size))

    @property
    def theta(self) -> dict[str, Any]:
        """The scores as weights of `plain.dag`."""
        return self.plain.theta(self.scores)

    @functools.cached_property
    def blocks(self) -> list[NDArray[Any]]:
        """For loops over items: of each potential [items, entries], or [1, entries] where items share it."""
        return [self._rows(host(single_or_double(array))) for array in self.arrays]

    def _rows(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim > 1:
            array = np.broadcast_to(array, (*self.batch, array.shape[-1]))
        return array.reshape(-1, array.shape[-1])

    def last(self) -> Numbers:
        """[items] the node where each item's paths end."""
        return np.broadcast_to(self.plain.end if self.end is None else self.end, self.batch).ravel().astype(np.int64)

    @property
    def names(self) -> Any:
        """`end` as `dp_*` take it on the user's graph: by name where nodes have names."""
        return None if self.end is None else self.dag.end_names(self.end)

    @property
    def edgeless(self) -> NDArray[np.bool_]:
        """[*batch] whether an item's paths end at a start: the one path, of no edges, has score 0."""
        return np.isin(self.last(), self.dag.starts).reshape(self.batch)

    @functools.cached_property
    def addends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`loose` and `shared` as float64 [items, edges + joint] for compiled loops; [items, 0] in place of None."""
        loose, shared = (
            np.empty((self.items, 0))
            if part is None
            else self.rows(np.broadcast_to(host(part), (*self.batch, self.plain.parents.size)))
            for part in self._sums
        )
        return loose, shared

    def rows(self, values: Any) -> NDArray[np.float64]:
        """[*batch, edges + joint] as float64 [items, edges + joint], for compiled loops."""
        plain = np.require(host(values), np.float64, ["C", "W"])  # a read-only array is another type to Numba
        return plain.reshape(-1, self.plain.parents.size)

    def like(self, values: Any) -> Any:
        """A NumPy array as an array of the potentials' kind."""
        return like(self.arrays[0], values)

    def answer(self, values: Any) -> Any:
        """float64 results in theta's dtype, and of its kind."""
        return cast(self.like(values), self.dtype)


def ask(dag: Any, theta: Any, minimize: bool, end: Any) -> Question:
    """The potentials checked as `dp_value` checks them; nothing is summed yet."""
    checked(dag, None, None)
    tensors = holds_tensors(theta)
    _, arrays, batches = collect(dag, theta, "theta", as_tensor if tensors else None)
    end = host(end) if is_tensor(end) else end
    batch = batch_of(batches, [], end_shape(end, dag))
    if not all(_in_range(array, minimize) for array in arrays):  # fine where no path reads it
        dp_value(dag, theta, HardMax(), minimize=minimize, end=end)  # names the entry in the user's own array
    where = None
    if end is not None:
        dag.end_nodes(end, batch)  # refuses what is no end
        where = np.broadcast_to(dag.end_numbers(end), batch)
    flat = [a.reshape(*own, p.size) for a, own, p in zip(arrays, batches, dag.potentials, strict=True)]
    return Question(dag, tuple(flat), batch, where, -1.0 if minimize else 1.0, answer_type(arrays))


def _in_range(array: Any, minimize: bool) -> bool:
    """Whether there is no NaN and no infinity of the wrong sign."""
    if 0 in array.shape:
        return True
    return bool(array.min() > -np.inf if minimize else array.max() < np.inf)


def one_end(dag: CompiledDAG, end: Any) -> int:
    """The user's number of the one node that `end=` names."""
    dag.end_nodes(end, ())  # refuses what is no end
    return int(dag.end_numbers(end))


_known: weakref.WeakKeyDictionary[CompiledDAG, Plain] = weakref.WeakKeyDictionary()


def plain(dag: Any) -> Plain:
    """The plain form of a graph, made once for each compiled graph."""
    checked(dag, None, None)
    if dag not in _known:
        _known[dag] = _made(dag)
    return _known[dag]


def _made(dag: CompiledDAG) -> Plain:
    nodes = dag.graph.num_nodes
    parents, children = dag.graph.edges()
    joint = dag.ends if dag.ends.size > 1 else dag.ends[:0]
    tails, heads = np.concatenate([parents, joint]), np.concatenate([children, np.full(joint.size, nodes)])
    in_ptr, in_edges = group(heads, nodes + 1)
    return Plain(
        own=dag,
        nodes=nodes,
        edges=parents.size,
        parents=tails,
        children=heads,
        starts=dag.starts,
        ends=dag.ends,
        end=nodes if joint.size else int(dag.ends[0]),
        order=np.where(dag.origin < 0, nodes, dag.origin).astype(np.int64),
        in_ptr=in_ptr,
        in_edges=in_edges,
    )
