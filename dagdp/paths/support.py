"""The support, the paths of non-zero probability: their number, and the paths themselves (section C.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import PerGraphCall, counts, filled_up, for_each_graph
from dagdp.errors import InputError
from dagdp.omega import Omega
from dagdp.paths.derivations.ranked import ranked_trees, trees_of
from dagdp.paths.derivations.result import of_graphs
from dagdp.paths.k_best import ranked
from dagdp.paths.log_prob import Density, density
from dagdp.paths.request.array_functions import to_numpy
from dagdp.paths.request.edge_graph import EdgeGraph, edge_graph
from dagdp.paths.request.request import EdgeWeights, Request, make_request, one_end
from dagdp.paths.result import assemble


class Support(NamedTuple):
    """Every path of non-zero probability, likeliest first; items of a batch are padded with probability 0 and length 0.

    probabilities : [*batch, m] in theta's dtype; they sum to 1.
    paths : `Paths` with axes [*batch, m]; `Derivations` on a graph with hyperedges.
    """

    probabilities: Any
    paths: Any


def _supports(asked: PerGraphCall, results: list[Support]) -> Support:
    paths = of_graphs(asked, [own.paths for own in results])
    if not results:
        return Support(np.zeros((0, 0)), paths)
    return Support(filled_up([own.probabilities for own in results], len(asked.shape), 0.0), paths)


@for_each_graph(_supports)
def support(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    limit: int = 1000,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Support:
    """Every path of non-zero probability with its probability, likeliest first: `Support` with axes [*batch, m].

    Under SquaredL2 and Tsallis most local weights are exactly 0, so few paths have positive probability (section C.1).
    A weight that rounding alone holds above 0 counts as 0: where the edge lies within 8 units of float64 rounding of
    the operator's threshold, in the unit of the scores that lead to it (never where SquaredL2 gives it more than 1e-7).
    Under Negentropy every path without a forbidden edge is in the support.

    limit : the largest number of paths of an item.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError and OmegaError as `dp_value` does, and InputError where an item has more than `limit` paths,
    counted beforehand (`support_size`).

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 0], [1, 1, 1]))
    >>> probabilities, paths = support(dag, [0.2, 1.0, 0.8], dagdp.SquaredL2(0.5))
    >>> probabilities.round(3).tolist(), paths.edges.tolist()
    ([0.7, 0.3], [[1], [2]])
    """
    request = make_request(dag, theta, minimize, end)
    found = density(request, omega)
    sizes = _sizes(request, found)
    if max(sizes, default=0) > limit:
        item = next(b for b, size in enumerate(sizes) if size > limit)
        place = [int(i) for i in np.unravel_index(item, request.batch)] if request.batch else ""
        raise InputError(
            f"the support{f' of item {place}' if place else ''} has {sizes[item]} paths; expected at most "
            f"limit={limit}. Raise limit, take a sparser operator or a smaller gamma, or draw from it with sample_paths"
        )
    terms = request.rows(found.terms)
    most = max([1, *sizes])
    if request.trees:
        values, edges = ranked_trees(request, terms, most)
    else:
        values, edges = ranked(request, EdgeWeights(terms, terms[:, :0]), most)
    shape = (*request.batch, values.shape[1])
    constants = to_numpy(found.constant)[..., None]
    probabilities = np.exp(constants + values.reshape(shape))
    if request.trees:
        return Support(request.result(probabilities), trees_of(request, edges))
    paths = assemble(request, edges.reshape(*shape, request.edge_graph.longest))
    return Support(request.result(probabilities), paths)


@for_each_graph(counts)
def support_size(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """The number of paths of non-zero probability, as in `support`: a Python int, or an object array [*batch] of ints.

    Counted node by node, without enumeration and without rounding. theta, omega, minimize, end : as in `dp_value`.
    Raises InputError and OmegaError as `dp_value` does.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> from dagdp.graphs import trellis
    >>> dag = dagdp.compile(trellis(100, 3))
    >>> support_size(dag, np.zeros((100, 3, 3))) == 3**100
    True
    """
    request = make_request(dag, theta, minimize, end)
    sizes = _sizes(request, density(request, omega))
    made = np.empty(len(sizes), object)
    made[:] = sizes
    return made.reshape(request.batch)[()]


@for_each_graph(counts)
def count_paths(dag: CompiledDAG | CompiledBatch, end: Any = None) -> Any:
    """The number of paths from a start to an end, exactly: a Python int of any size; parallel edges count apart.

    On a graph with hyperedges the number of derivations.

    Of a batch of different graphs: an object array [graphs] of ints.

    end : the one node where paths end; default: the ends of the graph.

    Raises InputError where `end` is no node of the graph.

    Example
    -------
    >>> import dagdp
    >>> count_paths(dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 1, 2])))
    2
    """
    graph = edge_graph(dag)
    node = graph.end if end is None else one_end(graph.own, end)
    return _count(graph, np.ones(graph.parents.size, bool), node)


def _sizes(request: Request, found: Density) -> list[int]:
    possible = request.rows(found.terms) > -np.inf
    ends = request.end_nodes()
    return [_count(request.edge_graph, row, int(node)) for row, node in zip(possible, ends, strict=True)]


def _count(graph: EdgeGraph, possible: NDArray[np.bool_], end: int) -> int:
    """The number of paths over possible edges from a start to `end`, in Python integers, which cannot overflow."""
    count = [0] * graph.nodes + [1]
    starts = set(graph.starts.tolist())
    parents, in_ptr, in_edges = graph.parents.tolist(), graph.in_ptr.tolist(), graph.in_edges.tolist()
    # a hyperedge has a product of two counts; edges without a second parent, -1, read the 1 behind the last node
    seconds = [] if graph.seconds is None else graph.seconds.tolist()
    allowed = possible.tolist()
    for node in graph.order.tolist():
        if node in starts:
            count[node] = 1
        else:
            entering = [e for e in in_edges[in_ptr[node] : in_ptr[node + 1]] if allowed[e]]
            count[node] = sum(count[parents[e]] * (count[seconds[e]] if seconds else 1) for e in entering)
    return count[end]
