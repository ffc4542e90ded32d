"""The score of a path, added up as the kernels add v: in two parts, and at each node in the order of recursion.py.

So the score of the best path is the value under HardMax to the bit, and the paths that tie there tie here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.jit.decorators import allocating, helper
from dagdp.kernels.recursion import enter, node_value
from dagdp.paths.plain import Question


@allocating
def entered(weights: Any, e: int, hi: float, lo: float) -> Any:
    """x_e, by which the edges into a node are compared: v of the parent and the potentials of the edge's own."""
    loose = weights[0]
    return enter(loose[e] if loose.shape[0] > 0 else 0.0, hi, lo)


@allocating
def arrived(weights: Any, e: int, hi: float, lo: float) -> Any:
    """v of a node that is reached over e: x_e and the potentials that all edges into the node share."""
    shared = weights[1]
    return node_value(shared[e] if shared.shape[0] > 0 else 0.0, hi, lo, 0.0, 0.0, 0.0)


@helper
def _add_up(loose: Any, shared: Any, edges: Any, scores: Any) -> None:
    """scores [items, m] of paths [items, m, longest]; those of no edges are left as they are.

    loose, shared : the weights of these edges, [items, m, longest], or [items, m, 0] where there are none.
    """
    for b in range(edges.shape[0]):
        for m in range(edges.shape[1]):
            weights = loose[b, m], shared[b, m]
            hi, lo, at = 0.0, 0.0, 0
            while at < edges.shape[2] and edges[b, m, at] >= 0:
                x_hi, x_lo = entered(weights, at, hi, lo)
                hi, lo = arrived(weights, at, x_hi, x_lo)
                at += 1
            if at > 0:
                scores[b, m] = hi


def path_scores(question: Question, edges: NDArray[np.int64], draws: bool) -> NDArray[np.float64]:
    """[*axes] scores, to be maximised, of paths [*axes, longest] of the plain graph; -inf for those of no edges.

    Where an item ends at a start, its path of no edges has score 0: each of its draws, or the first of ranked paths.
    """
    scores = np.full(edges.shape[:-1], -np.inf)
    items = question.items
    size = scores.size // max(items, 1)
    rows = np.ascontiguousarray(edges).reshape(items, size, edges.shape[-1])
    own = scores.reshape(items, size)
    own[question.edgeless.ravel(), : size if draws else 1] = 0.0
    _add_up(*_read(question, rows), rows, own)
    return scores


def _read(question: Question, edges: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights that kernels add edge by edge, and node by node, of the edges of paths [items, m, longest]."""
    dag, nothing = question.dag, np.empty((*edges.shape[:-1], 0))
    parts = [nothing, nothing]
    offset_view = np.full(question.plain.parents.size - question.plain.edges + 1, -1)  # edges into the joint, and -1
    for k, (potential, block) in enumerate(zip(dag.potentials, question.blocks, strict=True)):
        entry = np.concatenate([potential.index, offset_view])[edges]
        item = np.arange(len(edges))[:, None, None] if block.shape[0] != 1 else 0
        read = np.where(entry >= 0, block[item, np.maximum(entry, 0)].astype(np.float64), 0.0) * question.sign
        kind = int(k in dag.hoisted)
        parts[kind] = read if parts[kind] is nothing else parts[kind] + read
    return parts[0], parts[1]
