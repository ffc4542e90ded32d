"""The score of a path, added up as the kernels add v: in two parts, and at each node in the order of recursion.py.

So the score of the best path is the value under HardMax to the bit, and the paths that tie there tie here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.kernels.jit import counted, helper
from dagdp.kernels.recursion import enter, node_value
from dagdp.paths.plain import Question


@counted
def entered(weights: Any, e: int, hi: float, lo: float) -> Any:
    """x_e, by which the edges into a node are compared: v of the parent and the potentials of the edge's own."""
    loose = weights[0]
    return enter(loose[e] if loose.shape[0] > 0 else 0.0, hi, lo)


@counted
def arrived(weights: Any, e: int, hi: float, lo: float) -> Any:
    """v of a node that is reached over e: x_e and the potentials that all edges into the node share."""
    shared = weights[1]
    return node_value(shared[e] if shared.shape[0] > 0 else 0.0, hi, lo, 0.0, 0.0, 0.0)


@helper
def _add_up(loose: Any, shared: Any, edges: Any, scores: Any) -> None:
    """scores [items, m] of paths [items, m, longest]; those of no edges are left as they are."""
    for b in range(edges.shape[0]):
        weights = loose[b], shared[b]
        for m in range(edges.shape[1]):
            hi, lo, at = 0.0, 0.0, 0
            while at < edges.shape[2] and edges[b, m, at] >= 0:
                e = edges[b, m, at]
                x_hi, x_lo = entered(weights, e, hi, lo)
                hi, lo = arrived(weights, e, x_hi, x_lo)
                at += 1
            if at > 0:
                scores[b, m] = hi


def path_scores(question: Question, edges: NDArray[np.int64], draws: bool) -> NDArray[np.float64]:
    """[*axes] scores, to be maximised, of paths [*axes, longest] of the plain graph; -inf for those of no edges.

    Where an item ends at a start, its path of no edges has score 0: each of its draws, or the first of ranked paths.
    """
    loose, shared = question.addends
    scores = np.full(edges.shape[:-1], -np.inf)
    items = loose.shape[0]
    size = scores.size // max(items, 1)
    rows = np.ascontiguousarray(edges).reshape(items, size, edges.shape[-1])
    own = scores.reshape(items, size)
    own[question.edgeless.ravel(), : size if draws else 1] = 0.0
    _add_up(loose, shared, rows, own)
    return scores
