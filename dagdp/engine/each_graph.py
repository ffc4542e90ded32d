"""Functions of one graph, for a batch of graphs: arguments are split by graph, and results are joined."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from dagdp.array_kinds import is_tensor
from dagdp.compiled.layout import NUMPY, Kind, leaves
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import empty_batch, run
from dagdp.engine.inputs import Options, Shape, as_written
from dagdp.errors import InputError
from dagdp.omega import HardMax

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PerGraphCall:
    """A call of one function on each graph of a batch: what `Join` functions read beside the results."""

    batch: CompiledBatch
    arguments: Mapping[str, Any]  # by name, as the user gave them; "minimize" from `as_written`
    shape: Shape  # the batch dimensions of theta; () where the function takes no theta

    @property
    def sign(self) -> float:
        """1.0 for scores, -1.0 for costs."""
        return -1.0 if self.arguments.get("minimize") else 1.0


Join = Callable[[PerGraphCall, list[Any]], Any]


def for_each_graph(
    join: Join,
    at_once: Callable[..., Any] | None = None,
    once: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Callable[[F], F]:
    """Decorator: a function of a CompiledDAG that takes a CompiledBatch, too, and is then called graph by graph.

    join : makes the batch's result from a `PerGraphCall` and the results of all graphs.
    at_once : a function of equal parameters that computes all graphs in one run, or returns None where it cannot.
    once : by the name of an argument, a function of its value; all graphs get what that function returns.
    """

    def decorated(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def chosen(*given: Any, **named: Any) -> Any:
            if not isinstance(given[0] if given else named.get("dag"), CompiledBatch):
                return function(*given, **named)
            arguments = dict(signature.bind(*given, **named).arguments)
            if "minimize" in signature.parameters:
                arguments["minimize"] = as_written(arguments["dag"], arguments.get("minimize"))
            for name in set(once or ()) & set(arguments):
                arguments[name] = (once or {})[name](arguments[name])
            answer = at_once(**arguments) if at_once is not None and len(arguments["dag"]) else None
            return _looped(function, join, arguments) if answer is None else answer

        return chosen  # type: ignore[return-value]

    return decorated


def _looped(function: Callable[..., Any], join: Join, arguments: dict[str, Any]) -> Any:
    batch = arguments["dag"]
    if len(batch) == 0:
        return join(PerGraphCall(batch, arguments, ()), [])
    shape: Shape = ()
    split: dict[str, list[Any]] = {"dag": list(batch.alone), "end": _ends(batch, arguments.get("end"))}
    for what in ("theta", "other"):
        if what in arguments:
            packed, shapes = pack(batch, arguments[what], what, arguments)
            split[what] = [batch.layout.of_graph(arguments[what], packed, g) for g in range(len(batch))]
            shape = shape or max(shapes, key=len)
    if "cost" in arguments:
        split["cost"] = _costs(batch, arguments["cost"])
    if "paths" in arguments:
        split["paths"] = _paths(batch, arguments["paths"], shape)
    results = []
    for g in range(len(batch)):
        try:
            results.append(function(**{**arguments, **{name: own[g] for name, own in split.items()}}))
        except InputError as error:
            raise InputError(f"graph {g}: {error}") from None
    return join(PerGraphCall(batch, arguments, shape), results)


def pack(batch: CompiledBatch, values: Any, what: str, arguments: Mapping[str, Any]) -> tuple[list[Any], list[Shape]]:
    """(arrays [*batch, entries of all graphs], their batch shapes), for each section of the batch's layout.

    The arrays are tensors if `values` has tensors. Raises InputError for a NaN, or an infinity of the wrong sign, that
    a path reads, with the index in the user's array (of a tensor: in the graph's entries). With linear potentials,
    whose sums decide, functions of one graph raise it.
    """
    tensors = any(is_tensor(leaf) for leaf in leaves(values))
    _, packed, shapes = batch.layout.pack(values, what, TENSORS if tensors else NUMPY)
    minimize, end = bool(arguments.get("minimize")), arguments.get("end")
    if batch.plain is None and not all(_in_range(array, minimize) for array in packed):
        if tensors:
            batch = batch if end is None else batch.ending(end)
            names = [part.name for part in batch.layout.sections]
            numbers = [array.double().numpy(force=True) for array in packed]
            named = dict(zip(names, numbers, strict=True))
            batch, values, end = batch.packed, named.get(None, named), None
        run.value(batch, values, HardMax(), Options(minimize=minimize, end=end))
    return packed, shapes


def _in_range(array: Any, minimize: bool) -> bool:
    if 0 in array.shape:
        return True
    return bool(array.min() > -np.inf if minimize else array.max() < np.inf)


def _ends(batch: CompiledBatch, end: Any) -> list[Any]:
    """`end=` of each graph, for a call of that graph alone."""
    chosen = [None] * len(batch)
    if end is not None:
        batch.ending(end)  # raises for a node that cannot be an end
        chosen = end.tolist() if hasattr(end, "tolist") else list(end)
    # A graph without a path is compiled with one edge more than the user's: its paths must not end at that edge.
    return [
        int(dag.graph.terminals()[1][0]) if dag.graph.num_nodes > graph.num_nodes else own  # type: ignore[index]
        for dag, graph, own in zip(batch.alone, batch.graphs, chosen, strict=True)
    ]


def like_theta(batch: CompiledBatch, cost: Any) -> bool:
    """Whether costs are keyed and shaped like theta, and not an array with a number for each edge."""
    listed = isinstance(cost, list | tuple)
    if isinstance(cost, Mapping) or (listed and any(isinstance(own, Mapping) for own in cost)):
        return True
    if len(batch.layout.sections) > 1:
        return False
    (part,) = batch.layout.sections
    if not listed:
        return tuple(np.shape(cost))[-1:] == (part.size,)
    return len(cost) == len(batch) and all(
        tuple(np.shape(own))[-len(shape) :] == shape for own, shape in zip(cost, part.shapes, strict=True)
    )


def _costs(batch: CompiledBatch, cost: Any) -> list[Any]:
    """Costs of edges, [*batch, edges], for each graph: from a list, or from an array [*batch, edges of all graphs]."""
    counts = [graph.num_edges for graph in batch.graphs]
    if isinstance(cost, list | tuple):
        if len(cost) != len(batch):
            raise InputError(f"cost is a list of {len(cost)}; expected an array for each of the {len(batch)} graphs")
        own = list(cost)
    else:
        shape = tuple(np.shape(cost))
        if shape[-1:] != (sum(counts),):
            raise InputError(
                f"cost has shape {shape}; expected [*batch, {sum(counts)}], one number for each edge of all graphs, a "
                "list with an array for each graph, or the form of theta"
            )
        whole = cost if is_tensor(cost) else np.asarray(cost)
        cuts = np.cumsum([0, *counts]).tolist()
        own = [whole[..., a:b] for a, b in itertools.pairwise(cuts)]
    for g, dag in enumerate(batch.alone):
        if dag.graph.num_edges > counts[g]:  # a graph without a path: see `CompiledBatch.alone`
            shape = tuple(np.shape(own[g]))
            if shape[-1:] != (counts[g],):
                raise InputError(f"graph {g}: cost has shape {shape}; expected [*batch, {counts[g]}]")
            own[g] = np.zeros((*shape[:-1], dag.graph.num_edges))
    return own


def _paths(batch: CompiledBatch, paths: Any, shape: Shape) -> list[Any]:
    """Paths for each graph: from a list, or from edge numbers [*batch, graphs, *axes, L], -1 behind the last edge."""
    if isinstance(paths, list | tuple):
        if len(paths) != len(batch):
            raise InputError(f"paths is a list of {len(paths)}; expected paths of each of the {len(batch)} graphs")
        return list(paths)
    edges: Any = getattr(paths, "edges", paths)
    edges = edges if is_tensor(edges) else np.asarray(edges)
    given = tuple(edges.shape)
    for front in (shape, ()):
        if given[: len(front) + 1] == (*front, len(batch)) and len(given) > len(front) + 1:
            behind = (slice(None),) * len(front)
            return [edges[(*behind, g)] for g in range(len(batch))]
    raise InputError(
        f"paths has shape {given}; expected [*batch, graphs, *axes, L] with {list(shape)} for *batch and {len(batch)} "
        "graphs, or a list with the paths of each graph"
    )


def scalars(call: PerGraphCall, results: list[Any]) -> Any:
    """The results of all graphs, arrays [*batch], as one array [*batch, graphs]."""
    return _stacked(call, results, -1)


def scalars_of_paths(call: PerGraphCall, results: list[Any]) -> Any:
    """The results of all graphs, arrays [*batch, *axes], as one array [*batch, graphs, *axes]."""
    return _stacked(call, results, len(call.shape))


def _stacked(call: PerGraphCall, results: list[Any], axis: int) -> Any:
    if not results:
        return empty_batch.value(call.batch, call.arguments["theta"], None, Options())
    shapes = [tuple(np.shape(own)) for own in results]
    for g, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise InputError(
                f"results of graph {g} have axes {shape}, those of graph 0 {shapes[0]}; expected the same batch "
                "dimensions, and axes of paths, for all graphs"
            )
    return _namespace(results[0]).stack(results, axis)


def counts(_: PerGraphCall, results: list[Any]) -> Any:
    """Integers of Python, which have no upper bound, as an array of objects [*batch, graphs]."""
    if not results:
        return np.empty(0, object)
    return np.stack([np.asarray(own, object) for own in results], -1)


def one_each(_: PerGraphCall, results: list[Any]) -> list[Any]:
    """The results of all graphs as a list."""
    return results


def of_nodes(call: PerGraphCall, results: list[Any]) -> list[Any]:
    """The results of all graphs, arrays [*batch, nodes], as a list: nodes that are not the user's are cut off."""
    return [own[..., : graph.num_nodes] for own, graph in zip(results, call.batch.graphs, strict=True)]


def of_edges(call: PerGraphCall, results: list[Any]) -> list[Any]:
    """The results of all graphs, arrays [*batch, edges], as a list: edges that are not the user's are cut off."""
    return [own[..., : graph.num_edges] for own, graph in zip(results, call.batch.graphs, strict=True)]


def filled_up(arrays: list[Any], axis: int, fill: float) -> Any:
    """Arrays of one type stacked along a new axis, each padded with `fill` to the largest extents."""
    extents = [max(sizes) for sizes in zip(*(tuple(array.shape) for array in arrays), strict=True)]
    whole = (len(arrays), *extents)
    first = arrays[0]
    made: Any = first.new_full(whole, fill) if is_tensor(first) else np.full(whole, fill, first.dtype)
    for g, array in enumerate(arrays):
        made[(g, *(slice(size) for size in array.shape))] = array
    return _namespace(first).moveaxis(made, 0, axis)


def _namespace(value: Any) -> Any:
    if is_tensor(value):
        import torch

        return torch
    return np


def _as_tensor(value: Any, label: str) -> Any:
    import torch

    return value if is_tensor(value) else torch.as_tensor(NUMPY.as_array(value, label))


#: Packing of tensors; autograd can differentiate through it. A shared potential is not packed: graphs get the tensor.
TENSORS = Kind(
    as_array=_as_tensor,
    join=lambda pieces: _namespace(pieces[0]).cat(pieces, -1),
    cast=lambda array, dtype: array.to(dtype),
    dtype=lambda array: array.dtype,
    gather=lambda array, places: array[..., _as_tensor(places, "").to(array.device)],
    scatter=NUMPY.scatter,
)
