"""Paths of a compiled graph as arrays of numbers: padding, look-up, and checks with messages."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.describe.edge_arrays import EdgeArrays, Potential
from dagdp.describe.graph import Graph
from dagdp.describe.linear_reads import LinearReads
from dagdp.engine.inputs import broadcast
from dagdp.errors import InputError
from dagdp.nn.autograd.tensors import on_device, real_tensor
from dagdp.nn.unrolled.memory import once_a_graph
from dagdp.paths.derivations.tree_check import faults_of_trees, told
from dagdp.paths.request.edge_graph import edge_graph

Shape = tuple[int, ...]
Numbers = NDArray[np.int64]


def padded(values: Any, what: str) -> Numbers:
    """Integers [*batch, L], -1 behind the end of each row. Lists of unequal length are padded with -1."""
    values = in_numpy(values)
    if isinstance(values, list | tuple) and values and all(isinstance(row, list | tuple) for row in values):
        longest = max(map(len, values))
        values = [[*row, *[-1] * (longest - len(row))] for row in values]
    array = integers(values, what)
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"{what} has shape {array.shape}; expected integers [*batch, length], at least one a row")
    if (array < -1).any() or ((array[..., :-1] < 0) & (array[..., 1:] >= 0)).any() or (array[..., 0] < 0).any():
        raise InputError(f"{what} has negative entries; expected numbers from 0, then -1 behind a path's end only")
    return array


def with_added_nodes(dag: CompiledDAG, nodes: Numbers) -> Numbers:
    """Rows of cells [*batch, L], with the start and the end that `dagdp.recurrence` added where a row lacks them."""
    start, end = dag.graph.added_start, dag.graph.added_end
    if dag.graph.recurrence is None or (start is None and end is None):
        return nodes
    wider = np.concatenate([nodes, np.full((*nodes.shape[:-1], 2), -1)], -1)
    if start is not None:
        enters = ~np.isin(nodes[..., :1], dag.starts)
        wider = np.where(enters, np.concatenate([np.full_like(wider[..., :1], start), wider[..., :-1]], -1), wider)
    if end is not None:
        behind = (wider >= 0).sum(-1, keepdims=True)
        leaves = np.take_along_axis(wider, behind - 1, -1) != end
        np.put_along_axis(wider, behind, np.where(leaves, end, -1), -1)
    return wider[..., : (wider >= 0).sum(-1).max()]


def integers(values: Any, what: str) -> Numbers:
    """An int64 array from an array, tensor or list. Raises InputError for values that are not integers."""
    try:
        array = np.asarray(in_numpy(values))
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} is no array ({error}); expected integers, in rows of equal length") from None
    if array.dtype.kind not in "iu":
        raise InputError(f"{what} has shape {array.shape}, dtype {array.dtype}; expected integers")
    return array.astype(np.int64)


def check_path(dag: CompiledDAG, edges: Numbers) -> None:
    """Raise InputError unless every row of edges [*batch, L] begins at a start and is unbroken."""
    wrong = np.argwhere(edges >= dag.graph.num_edges)
    if len(wrong):
        raise InputError(f"the target has edge {edges[tuple(wrong[0])]}; expected 0 to {dag.graph.num_edges - 1}")
    listed = listed_of(dag)
    parents, children = listed.parents, listed.children
    first = parents[edges[..., 0]]
    wrong = np.argwhere(~np.isin(first, dag.starts))
    if len(wrong):
        item = tuple(wrong[0])
        starts = [node_name(dag, start) for start in dag.starts[:5]]
        raise InputError(
            f"the target{of_item(item)} begins with edge {edges[item][0]} from node {node_name(dag, first[item])!r}; "
            f"expected a start, one of {starts}"
        )
    follows = edges[..., 1:] >= 0
    arrived, leaving = children[edges[..., :-1]], parents[edges[..., 1:]]
    wrong = np.argwhere(follows & (arrived != leaving))
    if len(wrong):
        place = tuple(wrong[0])
        raise InputError(
            f"the target{of_item(place[:-1])} is no path: edge {edges[..., :-1][place]} leads to node "
            f"{node_name(dag, arrived[place])!r} and edge {edges[..., 1:][place]} leaves node "
            f"{node_name(dag, leaving[place])!r}; expected each edge to leave where the one before arrives"
        )


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
        raise InputError(f"the target{of_item(item)} {told(graph, edges[item], faults[item])}")


def edges_between(dag: CompiledDAG, parents: Numbers, children: Numbers) -> Numbers:
    """The number of the edge from each parent to each child. Raises InputError for no edge, or several."""
    keys, order, size = _sorted_pairs(dag)
    wanted = parents * size + children
    place = np.searchsorted(keys, wanted)
    found = keys[np.minimum(place, keys.size - 1)] == wanted
    if not found.all():
        a, b = (node_name(dag, side[~found][0]) for side in (parents, children))
        raise InputError(f"the target is no path: no edge leads from node {a!r} to node {b!r}")
    several = np.searchsorted(keys, wanted, side="right") - place > 1
    if several.any():
        a, b = (node_name(dag, side[several][0]) for side in (parents, children))
        raise InputError(f"several edges lead from node {a!r} to node {b!r}; expected the target as edge numbers")
    return order[place]


@once_a_graph
def listed_of(dag: CompiledDAG) -> EdgeArrays:
    """The graph's edges and entries as arrays, stored with the graph: every target reads them."""
    return dag.graph.listed()


@once_a_graph
def readers_of_entries(dag: CompiledDAG) -> tuple[Numbers, Numbers]:
    """(entries, rising; for each the child of all edges that read it); empty if edges into several nodes read one.

    Empty for a linear potential, too.
    """
    listed = listed_of(dag)
    reads = listed.indices[0]
    if isinstance(reads, LinearReads):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs = np.sort(reads.astype(np.int64) * dag.graph.num_nodes + listed.children)
    entries, nodes = np.divmod(pairs[np.append(True, np.diff(pairs) > 0)], dag.graph.num_nodes)
    one_each = entries[0] >= 0 and (np.diff(entries) > 0).all() and np.bincount(nodes).max() == 1
    return (entries, nodes) if one_each else (entries[:0], nodes[:0])


@once_a_graph
def _sorted_pairs(dag: CompiledDAG) -> tuple[Numbers, Numbers, int]:
    parents, children = dag.graph.edges()
    keys = parents * dag.graph.num_nodes + children
    order = np.argsort(keys, kind="stable")
    return keys[order], order, dag.graph.num_nodes


def node_numbers(dag: CompiledDAG, nodes: Any) -> Any:
    """Names, in lists, as lists of numbers, behind the graph's added start if there is one; numbers unchanged."""
    names = dag.numbers
    if names is None:
        return dag.graph.cell_numbers(nodes)

    def number(node: Any) -> int:
        if not isinstance(node, Hashable) or node not in names:
            raise InputError(f"the target visits {node!r}, which is no node of the graph")
        return names[node]

    def path(row: Iterable[Any]) -> list[int]:
        found, added = [number(node) for node in row], dag.graph.added_start
        return found if added is None or added in found[:1] else [added, *found]

    if not isinstance(nodes, Iterable):
        raise InputError(f"nodes is {nodes!r}; expected a list of nodes, or a list of such lists")
    rows = list(nodes)
    if rows and isinstance(rows[0], Hashable) and rows[0] in names:
        return path(rows)
    for row in rows:
        if not isinstance(row, Iterable):
            raise InputError(f"the target visits {row!r}, which is no node of the graph, and no list of nodes")
    return [path(row) for row in rows]


def node_name(dag: CompiledDAG, number: Any) -> Any:
    """The user's name of a node, or the number in a graph without names."""
    return dag.graph.name(int(number))


def steps_and_states(dag: CompiledDAG) -> tuple[int, int]:
    """(T, S) of a trellis with one start, or of a linear chain."""
    by_name = {potential.name: potential.shape for potential in dag.potentials}
    shape = by_name.get("emission") or by_name.get("theta") or ()
    T, S = (*shape, 0, 0)[:2]
    ends = dag.graph.num_nodes - 1 - T * S
    if T < 1 or ends not in (1, T) or dag.starts.tolist() != [0]:
        raise InputError(
            "tags name the states of a linear_chain or of a trellis with one start (initial='single'); "
            "this graph is another: give nodes or edges"
        )
    return T, S


def counts(lengths: Any, batch: Shape, most: int) -> Numbers:
    """Lengths, each from 1 to `most`: the broadcast of their shape and `batch`. Raises InputError."""
    array = integers(lengths, "lengths")
    if (array < 1).any() or (array > most).any():
        raise InputError(f"lengths is {array.tolist()}; expected integers from 1 to {most}")
    return np.broadcast_to(array, broadcast([("tags", batch), ("lengths", array.shape)]))


@once_a_graph
def plain(dag: CompiledDAG) -> CompiledDAG:
    """The graph compiled with one potential, of one weight an edge."""
    parents, children = dag.graph.edges()
    second = dag.graph.second_parents()
    tails = parents if second is None else np.stack([parents, second], 1)
    return build(Graph.from_edges(tails, children, dag.graph.num_nodes, starts=dag.starts, ends=dag.ends))


def reads(dag: CompiledDAG, marked: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """[items, edges] the number of entries that an edge reads; -inf where an entry is not marked.

    marked : [potentials] arrays [items, entries], > 0 where marked.
    """
    total = np.zeros((marked[0].shape[0], dag.graph.num_edges))
    for potential, rows in zip(dag.potentials, marked, strict=True):
        index = potential.index
        used = index >= 0
        total[:, used] += np.where(rows[:, index[used]] > 0, 1.0, -np.inf)
    return total


def check_marks(
    dag: CompiledDAG, marked: Sequence[NDArray[Any]], weights: NDArray[Any], taken: NDArray[np.bool_]
) -> None:
    """Raise InputError unless each item's path reads every entry as often as the mark says.

    marked : [potentials] arrays [items, entries].  weights : from `reads`.  taken : [items, edges] the edges of paths.
    """
    parents, children = dag.graph.edges()
    for item in np.flatnonzero(~taken.any(-1)):
        reached = np.isin(np.arange(dag.graph.num_nodes), dag.starts)
        allowed = np.flatnonzero(weights[item] > -np.inf)
        for edge in allowed[np.argsort(dag.rank[children[allowed]])]:  # level by level, dead edges first
            reached[children[edge]] |= reached[parents[edge]]
        last = np.flatnonzero(reached)[dag.rank[reached].argmax()]
        raise InputError(
            f"the target{of_item((item,))} is no path: the marked entries lead as far as node "
            f"{node_name(dag, last)!r} and on to no end"
        )
    for potential, rows in zip(dag.potentials, marked, strict=True):
        index = potential.index
        for number, (path, row) in enumerate(zip(taken, rows, strict=True)):
            entries = index[path]
            times = np.bincount(entries[entries >= 0], minlength=potential.size)
            wrong = np.flatnonzero(times != row)
            if wrong.size:
                label = "target" if potential.name is None else f"target[{potential.name!r}]"
                place = [int(k) for k in np.unravel_index(wrong[0], potential.shape)]
                raise InputError(
                    f"the target{of_item((number,))} is no path: {label}{place} is {row[wrong[0]]}, and the best path "
                    f"over marked entries reads it {times[wrong[0]]} times. Where entries are tied, give edges or nodes"
                )


def potential_of(dag: CompiledDAG, name: str | None) -> Potential:
    """The potential of this name, or the one potential. Raises InputError for another name, and a linear potential."""
    names = [potential.name for potential in dag.potentials]
    if name not in names and (name is not None or len(names) > 1):
        raise InputError(f"name is {name!r}; expected one of the graph's potentials {names}")
    k = 0 if name is None else names.index(name)
    if isinstance(listed_of(dag).indices[k], LinearReads):
        raise InputError(
            f"potential {names[k]!r} is linear, and an edge may read several of its entries; expected nodes or edges"
        )
    return dag.potentials[k]


def flat_entries(entries: Any, potential: Potential) -> Numbers:
    """Entries [*batch, L, axes] of a potential as numbers [*batch, L] in its flattened form, -1 for rows of -1."""
    places, shape = integers(entries, "entries"), potential.shape
    if places.ndim < 2 or places.shape[-1] != len(shape):
        raise InputError(
            f"entries has shape {places.shape}; expected integers [*batch, L, {len(shape)}], since potential "
            f"{potential.name!r} has shape {shape}"
        )
    behind = (places == -1).all(-1)
    wrong = np.argwhere(~behind & ((places < 0) | (places >= np.array(shape))).any(-1))
    if len(wrong):
        place = tuple(int(k) for k in wrong[0])
        raise InputError(
            f"entries{list(place)} is {places[place].tolist()}; expected an entry of potential {potential.name!r} of "
            f"shape {shape}, or -1 throughout"
        )
    numbers = np.ravel_multi_index(tuple(np.moveaxis(np.maximum(places, 0), -1, 0)), shape)
    flat: Numbers = np.where(behind, -1, numbers)
    return flat


def check_entries(potential: Potential, edges: Numbers, marked: Numbers) -> None:
    """Raise InputError unless paths, edges [items, L], read every entry as often as marked [items, entries + 1] says.

    The last entry stands for edges that read nothing.
    """
    for item, (path, wanted) in enumerate(zip(edges, marked, strict=True)):
        times = np.bincount(np.append(potential.index, -1)[path] % wanted.size, minlength=wanted.size)
        wrong = np.flatnonzero(times[:-1] != wanted[:-1])
        if wrong.size:
            place = [int(k) for k in np.unravel_index(wrong[0], potential.shape)]
            raise InputError(
                f"the target of item {item} is no path: no path reads these entries, once each, and no other of "
                f"potential {potential.name!r}. The path that reads most of them reads {place} {times[wrong[0]]} "
                f"times; expected {wanted[wrong[0]]}"
            )


def in_numpy(values: Any) -> Any:
    """Tensors, also in dicts and lists, as arrays; other values unchanged."""
    if isinstance(values, dict):
        return {name: in_numpy(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [in_numpy(value) for value in values]
    if not isinstance(values, Tensor):
        return values
    tensor = on_device(real_tensor(values, "the target"), "the target", "cpu")
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy(force=True)


def real_array(value: Any, label: str) -> NDArray[Any]:
    """An array of real numbers from a tensor, array or list. Raises InputError for other values."""
    array: NDArray[Any] = in_numpy(real_tensor(value, label))
    return array


def of_item(item: Sequence[Any]) -> str:
    """The place of an item in a batch, for messages; "" without a batch."""
    return f" of item {', '.join(str(int(k)) for k in item)}" if len(item) else ""
