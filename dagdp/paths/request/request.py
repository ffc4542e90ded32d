"""A checked request about paths: the potentials, where each item's paths end, and how results are returned."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor, on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import as_written, batch_of, checked, collect, end_shape
from dagdp.engine.linear import LinearTheta, numpy_front_end
from dagdp.functions import dp_value
from dagdp.omega import HardMax
from dagdp.paths.request.array_functions import (
    as_tensor,
    cast,
    double,
    is_constant,
    like,
    namespace,
    result_type,
    single_or_double,
    to_numpy,
)
from dagdp.paths.request.edge_graph import EdgeGraph, Numbers, edge_graph

Shape = tuple[int, ...]


class EdgeWeights(NamedTuple):
    """The two parts of the edges' weights, float64: an array of size 0 stands for a part that no potential has."""

    on_edges: Any  # [items, edges + added] potentials that kernels add edge by edge
    on_nodes: Any  # [items, edges + added] potentials that kernels add once a node: all edges into a node share them


@dataclass(frozen=True)
class Request:
    """Checked input of one call on one graph."""

    dag: CompiledDAG  # the user's, or where that has linear potentials the graph with a weight for each edge
    arrays: tuple[Any, ...]  # [potentials] of [*own, entries]; `own` broadcasts to the batch, or is () if it is shared
    batch: Shape
    end: Any  # None, or the user's node numbers [*batch]
    sign: float  # 1, or -1 when minimising
    dtype: Any  # of results

    @property
    def edge_graph(self) -> EdgeGraph:
        """The graph edge by edge."""
        return edge_graph(self.dag)

    @property
    def items(self) -> int:
        """Items of the batch."""
        return math.prod(self.batch)

    @property
    def tensors(self) -> bool:
        """Whether the potentials are tensors."""
        return is_tensor(self.arrays[0])

    @property
    def trees(self) -> bool:
        """Whether paths are derivations: the graph has hyperedges."""
        return self.edge_graph.seconds is not None

    @property
    def minimize(self) -> bool:
        """Whether the weights are costs."""
        return self.sign < 0

    def in_numpy(self) -> Request:
        """The request with NumPy arrays if no derivative can flow through its tensors, else the request itself."""
        if not self.tensors or not is_constant(self.arrays):
            return self
        return replace(self, arrays=tuple(to_numpy(single_or_double(array)) for array in self.arrays))

    @functools.cached_property
    def _parts(self) -> tuple[Any, Any]:
        """(potentials that kernels add edge by edge, potentials that they add node by node), None for no potential."""
        graph, xp = self.edge_graph, namespace(self.arrays[0])
        added = np.full(graph.parents.size - graph.edges, -1)
        parts: list[Any] = [None, None]
        for k, (potential, array) in enumerate(zip(self.dag.potentials, self.arrays, strict=True)):
            entries = double(array)
            padded = xp.concatenate((entries, xp.zeros_like(entries[..., :1])), -1)  # index -1 reads the zero
            read = padded[..., like(padded, np.concatenate([potential.index, added]))]
            read, part = -read if self.minimize else read, int(k in self.dag.hoisted)
            parts[part] = read if parts[part] is None else parts[part] + read
        return parts[0], parts[1]

    @property
    def on_edges(self) -> Any:
        """[*own, edges + added] scores that kernels add edge by edge, float64; None without such potentials."""
        return self._parts[0]

    @property
    def on_nodes(self) -> Any:
        """[*own, edges + added] scores that kernels add once a node, float64; None without such potentials."""
        return self._parts[1]

    @functools.cached_property
    def scores(self) -> Any:
        """[*batch, edges + added] weights of edges, to be maximised, float64. As large as the batch of graphs."""
        on_edges, on_nodes = self._parts
        scores = on_nodes if on_edges is None else on_edges if on_nodes is None else on_edges + on_nodes
        return namespace(scores).broadcast_to(scores, (*self.batch, self.edge_graph.parents.size))

    @property
    def theta(self) -> dict[str, Any]:
        """The scores as `dp_*` take theta for `edge_graph.dag`."""
        return self.edge_graph.theta(self.scores)

    @functools.cached_property
    def weights(self) -> EdgeWeights:
        """The parts of the scores as rows [items, edges + added] for compiled loops."""
        parts = [
            np.empty((self.items, 0))
            if part is None
            else self.rows(np.broadcast_to(to_numpy(part), (*self.batch, self.edge_graph.parents.size)))
            for part in self._parts
        ]
        return EdgeWeights(*parts)

    @functools.cached_property
    def blocks(self) -> list[NDArray[Any]]:
        """[potentials] of [items, entries], or [1, entries] where items share it, for loops over items."""
        return [self._block(to_numpy(single_or_double(array))) for array in self.arrays]

    def _block(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim > 1:
            array = np.broadcast_to(array, (*self.batch, array.shape[-1]))
        return array.reshape(-1, array.shape[-1])

    def end_nodes(self) -> Numbers:
        """int64 [items], the node of the edge graph where each item's paths end."""
        end = self.edge_graph.end if self.end is None else self.end
        return np.broadcast_to(end, self.batch).ravel().astype(np.int64)

    @property
    def end_names(self) -> Any:
        """`end` as `dp_*` take it on the user's graph: by name where nodes have names."""
        return None if self.end is None else self.dag.end_names(self.end)

    @property
    def edgeless(self) -> NDArray[np.bool_]:
        """[*batch] whether an item's paths end at a start that no other start reaches: one path, no edges, score 0."""
        return np.isin(self.end_nodes(), self.edge_graph.starts).reshape(self.batch)

    def rows(self, values: Any) -> NDArray[np.float64]:
        """[*batch, edges + added] as float64 [items, edges + added], for compiled loops."""
        plain = np.require(to_numpy(values), np.float64, ["C", "W"])  # Numba gives a read-only array another type
        return plain.reshape(-1, self.edge_graph.parents.size)

    def like(self, values: Any) -> Any:
        """A NumPy array as an array of the potentials' kind."""
        return like(self.arrays[0], values)

    def result(self, values: Any) -> Any:
        """float64 results in theta's dtype, as arrays of theta's kind."""
        return cast(self.like(values), self.dtype)


def make_request(dag: Any, theta: Any, minimize: bool | None, end: Any) -> Request:
    """The potentials, checked as `dp_value` checks them. Raises InputError as `dp_value` does."""
    checked(dag, None, None)
    minimize = as_written(dag, minimize)
    tensors = any(map(is_tensor, theta.values() if isinstance(theta, Mapping) else [theta]))
    if dag.plain is None:
        _, arrays, batches = collect(dag, theta, "theta", as_tensor if tensors else None)
        dtype = result_type(arrays)
    else:
        arrays, batches, dtype = _edge_weights(dag, theta, tensors)
    end = to_numpy(end) if is_tensor(end) else end
    batch = batch_of(batches, [], end_shape(end, dag))
    if not all(_in_range(array, minimize) for array in arrays):  # no error if no path reads the entry
        dp_value(dag, on_host(theta), HardMax(), minimize=minimize, end=end)  # names the entry in the user's own array
    where = None
    if end is not None:
        dag.end_nodes(end, batch)  # raises for a node that is no end
        where = np.broadcast_to(dag.end_numbers(end), batch)
    run = dag if dag.plain is None else dag.plain
    flat = [a.reshape(*own, p.size) for a, own, p in zip(arrays, batches, run.potentials, strict=True)]
    return Request(run, tuple(flat), batch, where, -1.0 if minimize else 1.0, dtype)


def on_host(theta: Any) -> Any:
    """theta with tensors on devices moved to the host, where faults are found at once."""
    if isinstance(theta, Mapping):
        return {name: on_host(block) for name, block in theta.items()}
    if isinstance(theta, list | tuple):
        return [on_host(block) for block in theta]
    return to_numpy(theta) if on_accelerator(theta) else theta


def _edge_weights(dag: CompiledDAG, theta: Any, tensors: bool) -> tuple[list[Any], list[Shape], Any]:
    """([the edge weights, float64 [*batch, edges]], [*batch], the dtype of results) of linear potentials."""
    real: Any = np.float64
    front_end = numpy_front_end
    if tensors:
        import torch

        from dagdp.nn.unrolled.linear import unrolled_front_end

        front_end, real = unrolled_front_end, torch.float64
    given = LinearTheta.of(dag, theta, "theta", front_end.arrays, None)
    weights = given.weights(real)
    return [weights], [tuple(weights.shape[:-1])], result_type(given.blocks)


def _in_range(array: Any, minimize: bool) -> bool:
    """Whether the array has neither NaN nor an infinity of the wrong sign."""
    if 0 in array.shape:
        return True
    return bool(array.min() > -np.inf if minimize else array.max() < np.inf)


def one_end(dag: CompiledDAG, end: Any) -> int:
    """The user's number of the one node that `end=` names."""
    dag.end_nodes(end, ())  # raises for a node that is no end
    return int(dag.end_numbers(end))
