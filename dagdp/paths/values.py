"""v at every node, and the best path through every edge: tables of scores, and slack for schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, of_edges, of_nodes
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.omega import Omega
from dagdp.paths.loops.sample_blocks import best_through, values_of_nodes, visited_before
from dagdp.paths.request.request import Request, make_request


@for_each_graph(of_nodes)
def node_values(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    direction: str = "forward",
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """v_i at every node: array [*batch, nodes], nodes in the user's order, in theta's unit, sign and dtype.

    forward: v = 0 at the starts, v_i = max_Ω over parents j of θ_ij + v_j (equation 6): the smoothed highest score of
    a path from a start to the node, as forward scores of a CRF or the accumulated cost matrix of an alignment.
    backward: v = 0 where the item ends, v_j = max_Ω over children i of θ_ij + v_i: the smoothed highest score of a path
    from the node to the end. Under HardMax and Negentropy forward + backward is the value of all paths through the
    node; under other operators the reversed graph has another distribution.

    On a graph with hyperedges forward scores are those of derivations of the node. backward: v_j = max_Ω over the edges
    e out of j of θ_e + v_i, plus the forward v of the other parent: of what lies around the node in a derivation.

    -inf (+inf when minimising) where no path leads: on nodes that no start reaches or that lead to no end; with `end=`,
    on nodes from which the item's end is not reached, whose potentials are not read and may hold NaN.

    Computed in float64. From torch the result is a constant to autograd; `dp_value(dag, theta, omega, end=node)` is the
    value at one node with its derivative. Of a batch of different graphs: a list with an array for each graph.

    direction : "forward" or "backward". With several ends and no `end=`, backward paths may stop at each end.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError and OmegaError as `dp_value` does, and InputError for any other direction.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> node_values(dag, [1.0, 2.5, 2.0], dagdp.HardMax()).tolist()
    [0.0, 1.0, 3.0]
    >>> node_values(dag, [1.0, 2.5, 2.0], dagdp.HardMax(), direction="backward").tolist()
    [3.0, 2.0, 0.0]
    """
    if direction not in ("forward", "backward"):
        raise InputError(f"direction is {direction!r}; expected 'forward' (from the starts) or 'backward' (to the end)")
    request = make_request(dag, theta, minimize, end)
    values = values_of_nodes(request, checked(dag, omega, None), direction == "backward")
    if direction == "forward" and end is not None:
        values[~visited_before(request)] = -np.inf
    return _signed(request, values)


@for_each_graph(of_edges)
def max_marginals(
    dag: CompiledDAG | CompiledBatch, theta: Any, *, minimize: bool | None = None, end: Any = None
) -> Any:
    """The score of the best path through each edge: array [*batch, edges], in the order of `add_edge`.

    The sum, under HardMax, of forward v at the edge's parent (at both parents of a hyperedge), the edge's weight, and
    backward v at its child. The largest (the smallest when minimising) is the score of `best_path`; -inf (+inf when
    minimising) where no path to the item's end takes the edge. In theta's unit, sign and dtype, summed in about 106
    bits and rounded once. From torch the result is a constant to autograd. Of a batch of different graphs: a list with
    an array for each graph.

    theta, minimize, end : as in `dp_value`. Raises InputError as `dp_value` does.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> max_marginals(dag, [1.0, 2.5, 2.0]).tolist()
    [3.0, 2.5, 3.0]
    """
    request = make_request(dag, theta, minimize, end)
    return _signed(request, best_through(request)[1])


@for_each_graph(of_edges)
def slack(dag: CompiledDAG | CompiledBatch, theta: Any, *, minimize: bool | None = None, end: Any = None) -> Any:
    """How far each edge is from optimal: array [*batch, edges] in the order of `add_edge`, >= 0.

    The score of the best path less the score of the best path through the edge (`max_marginals`; with opposite sign
    when minimising): the amount that the edge's weight lacks to change the best score. 0 on the edges of a best path,
    the critical path of a schedule whose weights are durations; +inf where no path to the item's end takes the edge.
    In theta's unit and dtype. Of a batch of different graphs: a list with an array for each graph.

    theta, minimize, end : as in `dp_value`. Raises InputError as `dp_value` does.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> slack(dag, [1.0, 2.5, 2.0]).tolist()
    [0.0, 0.5, 0.0]
    """
    request = make_request(dag, theta, minimize, end)
    best, own = best_through(request)
    some = own > -np.inf
    found = np.full(own.shape, np.inf)
    np.subtract(best[:, None], own, out=found, where=some)
    found = np.maximum(found, 0.0)
    return request.result(found.reshape(*request.batch, found.shape[1]))


def _signed(request: Request, values: NDArray[np.float64]) -> Any:
    """Scores to be maximised [items, n] as the user's [*batch, n]: with theta's sign, dtype and kind of array."""
    return request.result((request.sign * values + 0.0).reshape(*request.batch, values.shape[1]))
