"""Bounds on the difference between the hard and the smoothed value, whatever the weights are."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, one_each
from dagdp.engine.inputs import as_written, checked
from dagdp.errors import InputError
from dagdp.functions import dp_value
from dagdp.omega import HardMax, Omega
from dagdp.paths.request.edge_graph import edge_graph
from dagdp.paths.request.request import one_end
from dagdp.reference import max_omega


@for_each_graph(one_each)
def gap_bound(
    dag: CompiledDAG | CompiledBatch, omega: Omega | None = None, *, minimize: bool | None = None, end: Any = None
) -> Any:
    """(low, high), floats with low <= hard value - smoothed value <= high for every theta, in theta's unit.

    The hard value is `dp_value` under HardMax, the smoothed value under `omega`. Proposition 2 in its corrected form
    (docs/maths.md): with L <= Ω <= U at a node of fan-in D, low is the least sum of L along a path and high the
    greatest sum of U. When minimising, the bounds are (-high, -low). Of a batch of different graphs: a list of pairs.

    end : one node where paths end, as in `dp_value`.

    Raises InputError where `end` is no node of the graph, or no path leads there.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 1, 2]))
    >>> gap_bound(dag, dagdp.SquaredL2(1.0))  # 1/4 to 1/2 where there is a choice, 1/2 where there is none
    (0.75, 1.0)
    """
    chosen, graph = checked(dag, omega, None), edge_graph(dag)
    dag = graph.own
    if end is not None and dag.end_nodes(end, ())[0] < 0:
        raise InputError(
            f"no path leads to end {end!r}, so there is no value to bound; expected a node that is reached"
        )
    at = None if end is None else one_end(dag, end)
    live = np.isin(graph.parents, graph.order) & np.isin(graph.children, graph.order)
    if graph.seconds is not None:
        live &= (graph.seconds < 0) | np.isin(graph.seconds, graph.order)
    fan_in = np.bincount(graph.children[live], minlength=graph.nodes)[graph.children]
    bound = {D: -max_omega([0.0] * D, chosen)[0] for D in {1, *fan_in.tolist()} - {0}}
    L = np.array([bound.get(D, 0.0) for D in fan_in.tolist()])
    U = np.full(L.size, bound[1])
    low = dp_value(graph.dag, graph.theta(L), HardMax(), minimize=True, end=at)
    high = dp_value(graph.dag, graph.theta(U), HardMax(), end=at)
    return (-float(high), -float(low)) if as_written(dag, minimize) else (float(low), float(high))
