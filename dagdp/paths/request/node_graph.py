"""Probabilities of nodes as gradients: the user's graph with one more potential, read on entering a node.

The other potentials stay as they are: tied, shared by the batch and hoisted, so that a pass costs as much as before.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.describe.graph import Graph
from dagdp.paths.request.array_functions import double, namespace
from dagdp.paths.request.request import Request

NODE = "node"  # the other potentials are named by their number
_made: weakref.WeakKeyDictionary[CompiledDAG, CompiledDAG] = weakref.WeakKeyDictionary()


def node_graph(dag: CompiledDAG) -> CompiledDAG:
    """The graph with the user's potentials, named "0", "1", ..., and "node" [nodes]. Made once a graph."""
    if dag not in _made:
        parents, children = dag.graph.edges()
        size = dag.graph.num_nodes
        read: dict[str, Any] = {str(k): (p.shape, p.index) for k, p in enumerate(dag.potentials)}
        read[NODE] = (size, children)
        graph = Graph.from_edges(parents, children, num_nodes=size, starts=dag.starts, ends=dag.ends, potentials=read)
        _made[dag] = build(graph)
    return _made[dag]


def node_graph_theta(request: Request) -> dict[str, Any]:
    """The potentials of a request in float64 as theta of its `node_graph`, with zeros at nodes."""
    first = double(request.arrays[0])
    made = {str(k): block for k, block in enumerate(double_blocks(request))}
    xp = namespace(first)
    made[NODE] = xp.zeros((*request.batch, request.dag.graph.num_nodes), **_type_of(first))
    return made


class NodeEntries(NamedTuple):
    """A potential of the user's graph whose entries stand for nodes: its gradient is the nodes' probabilities."""

    which: int  # number of the potential
    entries: NDArray[np.int64]  # [nodes] the entry of each node, -1 for none


_found: weakref.WeakKeyDictionary[CompiledDAG, NodeEntries | None] = weakref.WeakKeyDictionary()


def node_entries(dag: CompiledDAG) -> NodeEntries | None:
    """A potential of which every node, except starts and the end, reads a different entry; None if the graph has none.

    Examples are the costs of a grid and the emissions of a chain. Searched once a graph.
    """
    if dag not in _found:
        children, live = dag.graph.edges()[1], dag.edges[dag.edges >= 0]
        entered = np.unique(children[live])
        _found[dag] = None
        for k in dag.hoisted if dag.ends.size == 1 else ():
            entries = np.full(dag.graph.num_nodes, -1)
            entries[children[live]] = dag.potentials[k].index[live]
            read = entries[entered]
            some = read[read >= 0]
            if np.unique(some).size == some.size and (entered[read < 0] == dag.ends[0]).all():
                _found[dag] = NodeEntries(k, entries)
    return _found[dag]


def as_theta(request: Request, blocks: list[Any]) -> Any:
    """Blocks, one for each potential, as `dp_*` take theta on the user's graph."""
    names = [potential.name for potential in request.dag.potentials]
    return blocks[0] if names == [None] else dict(zip(names, blocks, strict=True))


def double_blocks(request: Request) -> list[Any]:
    """[potentials] of float64 [*own, *shape]: each block has all batch dimensions, or none if the batch shares it."""
    blocks = []
    for potential, array in zip(request.dag.potentials, request.arrays, strict=True):
        block = double(array)
        if block.ndim > 1:
            block = namespace(block).broadcast_to(block, (*request.batch, potential.size))
        blocks.append(block.reshape((*block.shape[:-1], *potential.shape)))
    return blocks


def _type_of(array: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"dtype": array.dtype}
    if not isinstance(array, np.ndarray):
        made["device"] = array.device
    return made
