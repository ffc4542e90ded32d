"""The support, the paths of non-zero probability: how many they are, and which (section C.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import PerGraphCall, counts, filled_up, for_each_graph
from dagdp.errors import InputError
from dagdp.omega import Omega
from dagdp.paths.arrays import host
from dagdp.paths.best import ranked
from dagdp.paths.density import Density, density
from dagdp.paths.plain import Plain, Question, ask, one_end, plain
from dagdp.paths.result import Paths, assemble, of_graphs


class Support(NamedTuple):
    """Every path of non-zero probability, likeliest first; in a batch filled up with probability 0 and length 0."""

    probabilities: Any  # [*batch, m], theta's dtype; they sum to 1
    paths: Paths  # leading axes [*batch, m]


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
    minimize: bool = False,
    end: Any = None,
) -> Support:
    """Every path of non-zero probability with its probability, likeliest first: what sparse operators are for.

    Under SquaredL2 and Tsallis most local weights are exactly 0, so that few paths are left (section C.1). A weight
    that rounding alone holds above 0 counts as 0: where the edge lies within 8 units of float64 rounding of the
    operator's threshold, in the unit of the scores that lead to it (never where SquaredL2 gives it more than 1e-7).
    Under Negentropy every path without a forbidden edge is in the support.

    Raises InputError where an item has more than `limit` paths, counted beforehand (`support_size`).
    Other parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 0], [1, 1, 1]))
    >>> probabilities, paths = support(dag, [0.2, 1.0, 0.8], dagdp.SquaredL2(0.5))
    >>> probabilities.round(3).tolist(), paths.edges.tolist()
    ([0.7, 0.3], [[1], [2]])
    """
    question = ask(dag, theta, minimize, end)
    found = density(question, omega)
    sizes = _sizes(question, found)
    if max(sizes, default=0) > limit:
        item = next(b for b, size in enumerate(sizes) if size > limit)
        place = [int(i) for i in np.unravel_index(item, question.batch)] if question.batch else ""
        raise InputError(
            f"the support{f' of item {place}' if place else ''} has {sizes[item]} paths; expected at most "
            f"limit={limit}. Raise limit, take a sparser operator or a smaller gamma, or draw from it with sample_paths"
        )
    parts = question.rows(found.part)
    values, edges = ranked(question, (parts, parts[:, :0]), max([1, *sizes]))
    shape = (*question.batch, values.shape[1])
    constants = host(found.constant)[..., None]
    probabilities = np.exp(constants + values.reshape(shape))
    paths = assemble(question, edges.reshape(*shape, question.plain.longest))
    return Support(question.answer(probabilities), paths)


@for_each_graph(counts)
def support_size(
    dag: CompiledDAG | CompiledBatch, theta: Any, omega: Omega | None = None, *, minimize: bool = False, end: Any = None
) -> Any:
    """How many paths have non-zero probability, as in `support`: a Python int, or an object array of them [*batch].

    Counted node by node, without enumeration and without rounding. Parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> from dagdp.graphs import trellis
    >>> dag = dagdp.compile(trellis(100, 3))
    >>> support_size(dag, np.zeros((100, 3, 3))) == 3**100
    True
    """
    question = ask(dag, theta, minimize, end)
    sizes = _sizes(question, density(question, omega))
    made = np.empty(len(sizes), object)
    made[:] = sizes
    return made.reshape(question.batch)[()]


@for_each_graph(counts)
def count_paths(dag: CompiledDAG | CompiledBatch, end: Any = None) -> Any:
    """How many paths lead from a start to an end, exactly, as a Python int of any size; parallel edges count apart.

    Of a batch of different graphs an object array of them [graphs].

    end : the one node where paths end; default: the ends of the graph. Raises InputError as `dp_value` does.

    Example
    -------
    >>> import dagdp
    >>> count_paths(dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 1, 2])))
    2
    """
    known = plain(dag)
    node = known.end if end is None else one_end(known.own, end)
    return _count(known, np.ones(known.parents.size, bool), node)


def _sizes(question: Question, found: Density) -> list[int]:
    possible = question.rows(found.part) > -np.inf
    return [_count(question.plain, row, int(node)) for row, node in zip(possible, question.last(), strict=True)]


def _count(known: Plain, possible: NDArray[np.bool_], end: int) -> int:
    """Paths over possible edges from a start to `end`. Python's integers have no largest one."""
    count = [0] * (known.nodes + 1)
    starts = set(known.starts.tolist())
    parents, in_ptr, in_edges = known.parents.tolist(), known.in_ptr.tolist(), known.in_edges.tolist()
    allowed = possible.tolist()
    for node in known.order.tolist():
        if node in starts:
            count[node] = 1
        else:
            count[node] = sum(count[parents[e]] for e in in_edges[in_ptr[node] : in_ptr[node + 1]] if allowed[e])
    return count[end]
