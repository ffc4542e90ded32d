"""Weights at the threshold of a sparse operator: which of them are 0, and only rounding made them more.

An operator with a threshold has link(y) = 0 up to some y = t. An edge whose y is t in exact arithmetic comes out a few
units of rounding above or below. max_Ω is no steeper than the maximum, so that the error of v_i is at most the largest
of |θ_e| + that of v_j over the edges that count, in units of rounding: y_e is known to some of them, divided by γ, and
a weight that link does not reach beyond that is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.functions import local_weights
from dagdp.jit.decorators import helper
from dagdp.omega import Omega
from dagdp.paths.arrays import host
from dagdp.paths.noded import formed, own_blocks
from dagdp.paths.plain import Question

UNITS = 8 * float(np.finfo(np.float64).eps)
MOST = 1e-7  # y is never taken to be less certain: where it is, nothing can be said


def walk_weights(question: Question, omega: Omega) -> NDArray[np.float64]:
    """`local_weights` of the plain graph [*batch, edges + joint], 0 where only rounding lies between y and a threshold.

    The threshold is found by bisection; of an operator that has none it is where link underflows.
    """
    known = question.plain
    q = _weights(question, omega)
    if omega.solver != "newton":
        return q
    data = omega.data()
    threshold = _threshold(data)
    small = np.flatnonzero((q > 0) & (q <= data.link(threshold + MOST)))
    if small.size > 0:
        rows, scores = question.rows(q), question.rows(question.scores)
        size = np.zeros((len(rows), known.nodes + 1))
        _sizes(known.order, known.in_ptr, known.in_edges, known.parents, rows, scores, data.gamma, size)
        reach = UNITS / data.gamma * size[:, known.children].ravel()[small]
        limit = [data.link(threshold + min(own, MOST)) for own in reach.tolist()]
        q.flat[small[q.flat[small] <= limit]] = 0.0
    return q


def _weights(question: Question, omega: Omega) -> NDArray[np.float64]:
    """q of the user's own graph where paths have one end, whose choice it would not report; else of the plain one."""
    known = question.plain
    if question.end is None and known.parents.size > known.edges:
        return local_weights(known.dag, _theta(question), omega)
    theta = formed(question, [host(block) for block in own_blocks(question)])
    q = local_weights(question.dag, theta, omega, minimize=question.minimize, end=question.names)
    return np.concatenate([q, np.zeros((*question.batch, known.parents.size - known.edges))], -1)


def _theta(question: Question) -> dict[str, NDArray[np.float64]]:
    """The scores as kernels add them in the user's own graph, edge by edge and node by node: ties are those there."""
    known, shape = question.plain, (*question.batch, question.plain.parents.size)
    made = known.theta(np.zeros(shape) if question.loose is None else np.broadcast_to(host(question.loose), shape))
    if question.shared is not None:
        live = known.dag.edges[known.dag.edges >= 0]
        made["node"] = np.zeros((*shape[:-1], known.nodes + 1))
        made["node"][..., known.children[live]] = np.broadcast_to(host(question.shared), shape)[..., live]
    return made


def _threshold(data: Any) -> float:
    """The largest y at which link is 0."""
    high = float(data.corner)
    low = high - 1.0
    while data.link(low) > 0.0:
        low = high - 2.0 * (high - low)
        if not math.isfinite(low):  # a link that does not vanish: check_omega refuses it
            return low
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return low
        low, high = (middle, high) if data.link(middle) == 0.0 else (low, middle)


@helper
def _sizes(order: Any, in_ptr: Any, in_edges: Any, parents: Any, q: Any, scores: Any, gamma: float, size: Any) -> None:
    """size [items, nodes]: the largest sum of |θ_e| and a γ a node along paths of edges that have weight."""
    for b in range(q.shape[0]):
        for node in order:
            for place in range(in_ptr[node], in_ptr[node + 1]):
                e = in_edges[place]
                if q[b, e] > 0.0:
                    size[b, node] = max(size[b, node], abs(scores[b, e]) + size[b, parents[e]] + gamma)
