"""True derivations, on graphs with hyperedges, for `Target`: checks, and the derivation that reads marked entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import batch_of, collect, end_shape
from dagdp.errors import InputError
from dagdp.nn import walks
from dagdp.nn.autograd.tensors import end_numbers
from dagdp.paths.best import best_path
from dagdp.paths.derivations.tree_check import faults_of_trees, told
from dagdp.paths.request.edge_graph import edge_graph

Numbers = NDArray[np.int64]


def check_derivation(dag: CompiledDAG, edges: Numbers) -> None:
    """Raise InputError unless every row of edges [*batch, L] is a derivation, in preorder, of any node."""
    wrong = edges >= dag.graph.num_edges
    if wrong.any():
        raise InputError(f"the target has edge {edges[wrong][0]}; expected 0 to {dag.graph.num_edges - 1}")
    graph = edge_graph(dag)
    faults, _ = faults_of_trees(graph, edges)
    torn = np.argwhere(faults[..., 0] > 0)
    if len(torn):
        item = tuple(torn[0])
        raise InputError(f"the target{walks.of_item(item)} {told(graph, edges[item], faults[item])}")


def marked_derivation(dag: CompiledDAG, Y: Any, end: Any) -> Numbers:
    """Edges [*batch, L] of the derivation that reads most entries, of those that read only entries that Y marks.

    Y : shaped and keyed like theta, with batch dimensions or without, > 0 where marked.  end : as in `dp_value`.

    Raises InputError where no derivation reads marked entries alone.
    """
    keyed, arrays, batches = collect(dag, Y, "target", walks.real_array)
    batch = batch_of(batches, [], end_shape(end_numbers(dag, end), dag))
    whole = [
        np.broadcast_to(np.where(array > 0, 1.0, -np.inf), (*batch, *potential.shape))
        for array, potential in zip(arrays, dag.potentials, strict=True)
    ]
    theta = {p.name: array for p, array in zip(dag.potentials, whole, strict=True)} if keyed else whole[0]
    found = best_path(dag, theta, minimize=False, end=end)
    lost = np.argwhere(np.asarray(found.lengths) == 0)
    if len(lost):
        raise InputError(f"the target{walks.of_item(tuple(lost[0]))} is no derivation: none reads marked entries alone")
    edges: Numbers = found.edges
    return edges


def check_reads(dag: CompiledDAG, Y: Any, read: Sequence[NDArray[Any]]) -> None:
    """Raise InputError unless a derivation reads every entry as often as Y says.

    read : [potentials] how often it reads each entry, [*batch, *shape].
    """
    _, arrays, _ = collect(dag, Y, "target", walks.real_array)
    for array, own, potential in zip(arrays, read, dag.potentials, strict=True):
        wrong = np.argwhere(own != array)
        if len(wrong):
            place = tuple(int(k) for k in wrong[0])
            item, entry = place[: own.ndim - len(potential.shape)], place[own.ndim - len(potential.shape) :]
            label = "target" if potential.name is None else f"target[{potential.name!r}]"
            raise InputError(
                f"the target{walks.of_item(item)} is no derivation: {label}{list(entry)} is "
                f"{np.broadcast_to(array, own.shape)[place]}, and the derivation that reads most of the marked entries "
                f"reads it {own[place]:g} times. Where several derivations have one Y, give edges or trees"
            )
