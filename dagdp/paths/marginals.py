"""Probabilities of nodes, and bounds on what smoothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, of_nodes, one_each
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.functions import dp_grad, dp_value, dp_value_and_grad
from dagdp.omega import HardMax, Omega
from dagdp.paths.arrays import host, namespace
from dagdp.paths.noded import NODE, Cover, cover, formed, noded, noded_theta, own_blocks
from dagdp.paths.plain import Question, ask, one_end, plain
from dagdp.reference import max_omega


@for_each_graph(of_nodes)
def node_marginals(
    dag: CompiledDAG | CompiledBatch, theta: Any, omega: Omega | None = None, *, minimize: bool = False, end: Any = None
) -> Any:
    """ē, the probability that the walk visits each node: array [*batch, nodes], nodes as the user numbered them.

    The sum of the expected path over the edges into a node, for a start over those out of it; 0 on nodes that lie
    on no path. Differentiable from torch. For states of a trellis see `dagdp.graphs.viterbi_marginals`; for the
    cells of an alignment grid they are `dagdp.graphs.dtw_grad` itself.

    Parameters and errors are those of `dp_value`. Algorithm 1.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> node_marginals(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0)).tolist()
    [1.0, 0.5, 1.0]
    """
    asked = ask(dag, theta, minimize, end)
    question, dag = asked.settled(), asked.dag
    if dag.starts.size > 1:
        flow = dp_grad(question.plain.dag, question.theta, omega, end=question.end)
        return asked.answer((flow["node"] + flow["start"])[..., : question.plain.nodes])
    read, options = cover(dag), {"minimize": minimize, "end": question.names}
    if read is None:
        value, found = dp_value_and_grad(noded(dag), noded_theta(question), omega, **options)
        flow, sure = found[NODE], dag.starts
    else:
        value, flow, sure = _of_entries(question, omega, read, options)
    nodes = np.arange(dag.graph.num_nodes)
    certain = (nodes == question.last().reshape(*question.batch, 1)) & np.isin(nodes, sure)
    certain = (certain | (nodes == dag.starts[0])) & np.isfinite(host(value))[..., None]
    return asked.answer(flow + question.like(certain.astype(np.float64)))


def _of_entries(
    question: Question, omega: Omega | None, read: Cover, options: dict[str, Any]
) -> tuple[Any, Any, NDArray[np.int64]]:
    """(value, ē of nodes that read an entry of their own and 0 of others, those of the ends that do not)."""
    dag, blocks, xp = question.dag, own_blocks(question), namespace(question.arrays[0])
    potential = dag.potentials[read.which]
    blocks[read.which] = xp.broadcast_to(blocks[read.which], (*question.batch, *potential.shape))
    value, found = dp_value_and_grad(dag, formed(question, blocks), omega, **options)
    own = found[potential.name] if isinstance(found, dict) else found
    flat = own.reshape(*question.batch, potential.size)
    padded = xp.concatenate((flat, xp.zeros_like(flat[..., :1])), -1)  # index -1 reads the zero
    return value, padded[..., question.like(read.entries)], dag.ends[read.entries[dag.ends] < 0]


@for_each_graph(one_each)
def gap_bound(
    dag: CompiledDAG | CompiledBatch, omega: Omega | None = None, *, minimize: bool = False, end: Any = None
) -> Any:
    """(low, high), floats such that hard value - smoothed value lies between them, whatever theta is; in theta's unit.

    The hard value is `dp_value` under HardMax, the smoothed one under `omega`; Proposition 2 in its corrected form
    (docs/maths.md): with L <= Ω <= U at a node of fan-in D, low is the least sum of L along a path and high
    the greatest sum of U. When minimising, the signs turn.

    end : one node where paths end, as in `dp_value`.  Raises InputError where it is none, or no path leads there.
    Of a batch of different graphs: a list of pairs.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 1, 2]))
    >>> gap_bound(dag, dagdp.SquaredL2(1.0))  # 1/4 to 1/2 where there is a choice, 1/2 where there is none
    (0.75, 1.0)
    """
    chosen, known = checked(dag, omega, None), plain(dag)
    dag = known.own
    if end is not None and dag.end_nodes(end, ())[0] < 0:
        raise InputError(
            f"no path leads to end {end!r}, so there is no value to bound; expected a node that is reached"
        )
    at = None if end is None else one_end(dag, end)
    taken = np.isin(known.parents, known.order) & np.isin(known.children, known.order)
    fan_in = np.bincount(known.children[taken], minlength=known.nodes + 1)[known.children]
    bound = {D: -max_omega([0.0] * D, chosen)[0] for D in {1, *fan_in.tolist()} - {0}}
    L = np.array([bound.get(D, 0.0) for D in fan_in.tolist()])
    U = np.full(L.size, bound[1])
    low = dp_value(known.dag, known.theta(L), HardMax(), minimize=True, end=at)
    high = dp_value(known.dag, known.theta(U), HardMax(), end=at)
    return (-float(high), -float(low)) if minimize else (float(low), float(high))
