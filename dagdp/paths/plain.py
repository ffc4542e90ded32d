"""The graph as questions about paths see it: one weight on each edge, and one end.

Tied potentials are summed edge by edge, and several ends are joined by edges of their own, so that a path
is a list of edges and its score the sum of their weights. Two potentials of zeros are read beside the
weights: their gradients are the probabilities of nodes.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled import CompiledDAG
from dagdp.compiler import build
from dagdp.compiler.arrays import group
from dagdp.graph import Graph
from dagdp.inputs import batch_of, checked, collect, end_shape
from dagdp.kinds import home_of, is_tensor
from dagdp.omega import HardMax
from dagdp.paths.arrays import answer_type, as_tensor, cast, double, host, like, namespace, repeated
from dagdp.run import dp_value

Numbers = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plain:
    """A compiled graph with one weight on each edge. Nodes are the user's numbers; `joint` edges follow the user's."""

    dag: CompiledDAG  # potentials "edge", "node" (read on entering it) and "start" (read on leaving it)
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
        return self.dag.num_levels - 1

    def theta(self, scores: Any) -> dict[str, Any]:
        """What `dp_*` take for edge scores [*batch, edges + joint]."""
        nothing = repeated(namespace(scores).zeros_like(scores[..., :1]), self.nodes + 1)
        return {"edge": scores, "node": nothing, "start": nothing}


@dataclass(frozen=True)
class Question:
    """Checked input: scores to be maximised, [*batch, edges + joint], and where each item's paths end."""

    plain: Plain
    scores: Any  # the sum of the two below
    end: Any  # None, or the user's numbers [*batch]
    sign: float
    dtype: Any  # of the answer
    loose: Any  # the potentials that kernels add edge by edge, or None where there are none
    shared: Any  # those that they add node by node, as all edges into a node share them, or None

    @property
    def batch(self) -> Shape:
        return tuple(self.scores.shape[:-1])

    @property
    def theta(self) -> dict[str, Any]:
        return self.plain.theta(self.scores)

    def last(self) -> Numbers:
        """[items] the node where each item's paths end."""
        return np.broadcast_to(self.plain.end if self.end is None else self.end, self.batch).ravel().astype(np.int64)

    @property
    def edgeless(self) -> NDArray[np.bool_]:
        """[*batch] whether an item's paths end at a start: the one path, of no edges, has score 0."""
        return np.isin(self.last(), self.plain.starts).reshape(self.batch)

    @functools.cached_property
    def addends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`loose` and `shared` as float64 [items, edges + joint] for compiled loops; [items, 0] in place of None."""
        loose, shared = (
            np.empty((self.last().size, 0))
            if part is None
            else self.rows(np.broadcast_to(host(part), self.scores.shape))
            for part in (self.loose, self.shared)
        )
        return loose, shared

    def rows(self, values: Any) -> NDArray[np.float64]:
        """[*batch, edges + joint] as float64 [items, edges + joint], for compiled loops."""
        plain = np.require(host(values), np.float64, ["C", "W"])  # a read-only array is another type to Numba
        return plain.reshape(-1, self.plain.parents.size)

    def answer(self, values: Any) -> Any:
        """float64 results in theta's dtype, and of its kind."""
        return cast(like(self.scores, values), self.dtype)


def ask(dag: CompiledDAG, theta: Any, minimize: bool, end: Any) -> Question:
    """Sum the potentials on each edge, in float64, and check them as `dp_value` does."""
    known = plain(dag)
    tensors = home_of(None, theta) is not None
    _, arrays, batches = collect(dag, theta, "theta", as_tensor if tensors else None)
    end = host(end) if is_tensor(end) else end
    batch = batch_of(batches, [], end_shape(end, dag))
    xp = namespace(arrays[0])
    joint = np.full(known.parents.size - known.edges, -1)
    sums: list[Any] = [None, None]
    for k, (potential, array, own) in enumerate(zip(dag.potentials, arrays, batches, strict=True)):
        entries = double(array.reshape(*own, potential.size))
        padded = xp.concatenate((entries, xp.zeros_like(entries[..., :1])), -1)  # index -1 reads the zero
        read = padded[..., like(padded, np.concatenate([potential.index, joint]))]
        read, kind = -read if minimize else read, int(k in dag.hoisted)
        sums[kind] = read if sums[kind] is None else sums[kind] + read
    loose, shared = sums
    scores = shared if loose is None else loose if shared is None else loose + shared
    scores = xp.broadcast_to(scores, (*batch, known.parents.size))
    if not (scores < np.inf).all():  # fine behind an item's end; else this names the entry in the user's own array
        dp_value(dag, theta, HardMax(), minimize=minimize, end=end)
    where = None
    if end is not None:
        dag.end_nodes(end, batch)  # refuses what is no end
        where = np.broadcast_to(dag.end_numbers(end), batch)
    return Question(known, scores, where, -1.0 if minimize else 1.0, answer_type(arrays), loose, shared)


def one_end(dag: CompiledDAG, end: Any) -> int:
    """The user's number of the one node that `end=` names."""
    dag.end_nodes(end, ())  # refuses what is no end
    return int(dag.end_numbers(end))


_known: weakref.WeakKeyDictionary[CompiledDAG, Plain] = weakref.WeakKeyDictionary()


def plain(dag: CompiledDAG) -> Plain:
    """The plain form of a graph, made once for each compiled graph."""
    checked(dag, None, None)
    if dag not in _known:
        _known[dag] = _made(dag)
    return _known[dag]


def _made(dag: CompiledDAG) -> Plain:
    nodes = dag.graph.num_nodes
    parents, children = dag.graph.edges()
    several = dag.ends.size > 1
    joint = dag.ends if several else dag.ends[:0]
    tails, heads = np.concatenate([parents, joint]), np.concatenate([children, np.full(joint.size, nodes)])
    end = nodes if several else int(dag.ends[0])
    begins = np.where(np.isin(tails, dag.starts), tails, -1)
    graph = Graph.from_edges(
        tails,
        heads,
        num_nodes=nodes + 1,
        starts=dag.starts,
        ends=[end],
        potentials={
            "edge": (tails.size, np.arange(tails.size)),
            "node": (nodes + 1, heads),
            "start": (nodes + 1, begins),
        },
    )
    compiled = build(graph)
    in_ptr, in_edges = group(heads, nodes + 1)
    return Plain(
        dag=compiled,
        nodes=nodes,
        edges=parents.size,
        parents=tails,
        children=heads,
        starts=dag.starts,
        ends=dag.ends,
        end=end,
        order=compiled.origin.astype(np.int64),
        in_ptr=in_ptr,
        in_edges=in_edges,
    )
