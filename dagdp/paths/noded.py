"""The user's own graph with one more potential, read on entering a node: its gradient is the probability of the node.

Other potentials stay as they are, tied, shared by the batch and hoisted, so that a pass costs what it costs there.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.describe.graph import Graph
from dagdp.paths.arrays import double, namespace
from dagdp.paths.plain import Question

NODE = "node"  # other potentials are named by their number
_known: weakref.WeakKeyDictionary[CompiledDAG, CompiledDAG] = weakref.WeakKeyDictionary()


def noded(dag: CompiledDAG) -> CompiledDAG:
    """The graph with potentials "0", "1", ... as the user's, and "node". Made once a graph."""
    if dag not in _known:
        parents, children = dag.graph.edges()
        size = dag.graph.num_nodes
        read: dict[str, Any] = {str(k): (p.shape, p.index) for k, p in enumerate(dag.potentials)}
        read[NODE] = (size, children)
        graph = Graph.from_edges(parents, children, num_nodes=size, starts=dag.starts, ends=dag.ends, potentials=read)
        _known[dag] = build(graph)
    return _known[dag]


def noded_theta(question: Question) -> dict[str, Any]:
    """The potentials of a question in float64, with their signs, for its `noded` graph; zeros at nodes."""
    first = double(question.arrays[0])
    made = {str(k): own for k, own in enumerate(own_blocks(question))}
    xp = namespace(first)
    made[NODE] = xp.zeros((*question.batch, question.dag.graph.num_nodes), **_like(first))
    return made


class Cover(NamedTuple):
    """A potential of the user's own whose entries stand for nodes: its gradient holds their probabilities."""

    which: int
    entries: NDArray[np.int64]  # [nodes] -1: none


_covers: weakref.WeakKeyDictionary[CompiledDAG, Cover | None] = weakref.WeakKeyDictionary()


def cover(dag: CompiledDAG) -> Cover | None:
    """The potential of which each node, but for starts and the one end, reads an entry of its own, if there is one.

    Such are the costs of a grid and the emissions of a chain. Looked for once a graph.
    """
    if dag not in _covers:
        children, live = dag.graph.edges()[1], dag.edges[dag.edges >= 0]
        entered = np.unique(children[live])
        _covers[dag] = None
        for k in dag.hoisted if dag.ends.size == 1 else ():
            entries = np.full(dag.graph.num_nodes, -1)
            entries[children[live]] = dag.potentials[k].index[live]
            read = entries[entered]
            some = read[read >= 0]
            if np.unique(some).size == some.size and (entered[read < 0] == dag.ends[0]).all():
                _covers[dag] = Cover(k, entries)
    return _covers[dag]


def formed(question: Question, blocks: list[Any]) -> Any:
    """Blocks as `dp_*` take theta on the user's graph."""
    names = [potential.name for potential in question.dag.potentials]
    return blocks[0] if names == [None] else dict(zip(names, blocks, strict=True))


def own_blocks(question: Question) -> list[Any]:
    """The potentials in float64 [*own, *shape]: each carries the whole batch, or none of it as it is shared."""
    blocks = []
    for potential, array in zip(question.dag.potentials, question.arrays, strict=True):
        own = double(array)
        if own.ndim > 1:
            own = namespace(own).broadcast_to(own, (*question.batch, potential.size))
        blocks.append(own.reshape(*own.shape[:-1], *potential.shape))
    return blocks


def _like(array: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"dtype": array.dtype}
    if not isinstance(array, np.ndarray):
        made["device"] = array.device
    return made
