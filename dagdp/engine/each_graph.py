"""What takes one graph at a time, asked of every graph of a batch: arguments are split, results put together."""

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
from dagdp.engine.inputs import Options, Shape
from dagdp.errors import InputError
from dagdp.omega import HardMax

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PerGraphCall:
    """A call of one function for every graph of a batch."""

    batch: CompiledBatch
    arguments: Mapping[str, Any]  # by name, as the user gave them
    shape: Shape  # the batch dimensions of theta; () where the function takes none

    @property
    def sign(self) -> float:
        """-1 when minimising."""
        return -1.0 if self.arguments.get("minimize") else 1.0


Join = Callable[[PerGraphCall, list[Any]], Any]


def for_each_graph(
    join: Join,
    at_once: Callable[..., Any] | None = None,
    once: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Callable[[F], F]:
    """A function of one CompiledDAG that takes a CompiledBatch, too: called for each graph with its own arguments.

    join : what makes the answer of the results, one for each graph.
    at_once : takes the same arguments, and answers by one run over all graphs where it can; else it returns None.
    once : of some arguments, what makes of them the one value that all graphs take.
    """

    def decorated(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def chosen(*given: Any, **named: Any) -> Any:
            if not isinstance(given[0] if given else named.get("dag"), CompiledBatch):
                return function(*given, **named)
            arguments = dict(signature.bind(*given, **named).arguments)
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
    """(arrays side by side, their batch shapes), one for each section of the layout; tensors where one was given.

    A NaN, or an infinity of the wrong sign, is named in the user's own array, if a path reads it.
    """
    tensors = any(is_tensor(leaf) for leaf in leaves(values))
    _, packed, shapes = batch.layout.pack(values, what, TENSORS if tensors else NUMPY)
    minimize, end = bool(arguments.get("minimize")), arguments.get("end")
    if not all(_in_range(array, minimize) for array in packed):
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
    """Where each graph's paths end, as a call for the graph alone takes it."""
    chosen = [None] * len(batch)
    if end is not None:
        batch.ending(end)  # refuses what is no end
        chosen = end.tolist() if hasattr(end, "tolist") else list(end)
    # a graph without a path is compiled beside one edge that is not the user's: its paths must not end there
    return [
        int(dag.graph.terminals()[1][0]) if dag.graph.num_nodes > graph.num_nodes else own  # type: ignore[index]
        for dag, graph, own in zip(batch.alone, batch.graphs, chosen, strict=True)
    ]


def like_theta(batch: CompiledBatch, cost: Any) -> bool:
    """Whether costs are keyed and shaped like theta, and do not have a number for each edge."""
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
    """Costs of edges by graph: from a list, or from one array [*batch, edges of all graphs]."""
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
    """Paths by graph: from a list, or from edge numbers [*batch, graphs, *axes, L], -1 behind the last edge."""
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


def scalars(asked: PerGraphCall, results: list[Any]) -> Any:
    """Results [*batch] as one array [*batch, graphs]."""
    return _stacked(asked, results, -1)


def scalars_of_paths(asked: PerGraphCall, results: list[Any]) -> Any:
    """Results [*batch, *axes] as one array [*batch, graphs, *axes]."""
    return _stacked(asked, results, len(asked.shape))


def _stacked(asked: PerGraphCall, results: list[Any], axis: int) -> Any:
    if not results:
        return empty_batch.value(asked.batch, asked.arguments["theta"], None, Options())
    shapes = [tuple(np.shape(own)) for own in results]
    for g, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise InputError(
                f"results of graph {g} have axes {shape}, those of graph 0 {shapes[0]}; expected the same batch "
                "dimensions, and axes of paths, for all graphs"
            )
    return _namespace(results[0]).stack(results, axis)


def counts(_: PerGraphCall, results: list[Any]) -> Any:
    """Python's integers, which have no largest one, as an array of objects [*batch, graphs]."""
    if not results:
        return np.empty(0, object)
    return np.stack([np.asarray(own, object) for own in results], -1)


def one_each(_: PerGraphCall, results: list[Any]) -> list[Any]:
    """A list with the result of each graph."""
    return results


def of_nodes(asked: PerGraphCall, results: list[Any]) -> list[Any]:
    """Results [*batch, nodes] as a list with one for each graph."""
    return [own[..., : graph.num_nodes] for own, graph in zip(results, asked.batch.graphs, strict=True)]


def of_edges(asked: PerGraphCall, results: list[Any]) -> list[Any]:
    """Results [*batch, edges] as a list with one for each graph."""
    return [own[..., : graph.num_edges] for own, graph in zip(results, asked.batch.graphs, strict=True)]


def filled_up(arrays: list[Any], axis: int, fill: float) -> Any:
    """Arrays of one type side by side along a new axis, each filled up to the largest extents."""
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


#: Packing of tensors, through which autograd takes gradients. What is shared is cut as it was given, not packed.
TENSORS = Kind(
    as_array=_as_tensor,
    join=lambda pieces: _namespace(pieces[0]).cat(pieces, -1),
    cast=lambda array, dtype: array.to(dtype),
    dtype=lambda array: array.dtype,
    gather=lambda array, places: array[..., _as_tensor(places, "").to(array.device)],
    scatter=NUMPY.scatter,
)
