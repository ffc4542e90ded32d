"""The edges that attain the maximum at their node, and what follows from them: how many best paths, and their shares.

Scores are summed and compared as `enumerate_paths` does, so that edges tie here where paths tie there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import enter_second, exceeds
from dagdp.paths.loops.path_scores import arrive, enter_edge


@allocating
def _entered(incoming: Any, weights: Any, e: int, v_hi: Any, v_lo: Any) -> Any:
    """x_e, by which edges into a node are compared; -inf where no path reaches a parent."""
    parent = incoming.parents[e]
    hi, lo = enter_edge(weights, e, v_hi[parent], v_lo[parent])
    if incoming.seconds.shape[0] > 0 and incoming.seconds[e] >= 0:
        hi, lo = enter_second(hi, lo, v_hi[incoming.seconds[e]], v_lo[incoming.seconds[e]])
    return hi, lo


@helper
def mark_ties(incoming: Any, weights: Any, tied: Any) -> None:
    """tied [edges + added] = whether the edge attains the maximum at its node, and a path leads over the edge."""
    nodes = incoming.is_start.shape[0]
    v_hi, v_lo = np.full(nodes, -np.inf), np.zeros(nodes)
    for node in incoming.order:
        if incoming.is_start[node]:
            v_hi[node] = 0.0
            continue
        m_hi, m_lo, last = -np.inf, 0.0, -1
        for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[place]
            hi, lo = _entered(incoming, weights, e, v_hi, v_lo)
            if exceeds(hi, lo, m_hi, m_lo):
                m_hi, m_lo, last = hi, lo, e
        if last < 0:
            continue
        for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[place]
            hi, lo = _entered(incoming, weights, e, v_hi, v_lo)
            tied[e] = hi > -np.inf and not exceeds(m_hi, m_lo, hi, lo)
        v_hi[node], v_lo[node] = arrive(weights, last, m_hi, m_lo)
        if v_hi[node] == -np.inf:  # the weight of the node forbids it
            for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
                tied[incoming.edges[place]] = False


@helper
def count_tied(incoming: Any, tied: Any, end: int) -> Any:
    """The number of best paths into `end`, as a float: exact up to 2^53."""
    count = np.zeros(incoming.is_start.shape[0])
    for node in incoming.order:
        if incoming.is_start[node]:
            count[node] = 1.0
            continue
        for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
            e = incoming.edges[place]
            if tied[e]:
                below = count[incoming.parents[e]]
                if incoming.seconds.shape[0] > 0 and incoming.seconds[e] >= 0:
                    below *= count[incoming.seconds[e]]
                count[node] += below
    return count[end]


@helper
def share_ties(incoming: Any, tied: Any, end: int, share: Any) -> None:
    """share [edges + added] of a unit that flows from `end` back, divided evenly by the tied edges of each node."""
    flow = np.zeros(incoming.is_start.shape[0])
    flow[end] = 1.0
    for node in incoming.order[::-1]:
        first, stop = incoming.ptr[node], incoming.ptr[node + 1]
        ties = 0
        for place in range(first, stop):
            ties += tied[incoming.edges[place]]
        for place in range(first, stop):
            e = incoming.edges[place]
            if tied[e]:
                share[e] = flow[node] / ties
                flow[incoming.parents[e]] += share[e]
                if incoming.seconds.shape[0] > 0 and incoming.seconds[e] >= 0:
                    flow[incoming.seconds[e]] += share[e]
