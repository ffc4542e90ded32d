"""Compiled loops over derivations in preorder: an edge, then the derivation of its first parent, then of its second."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import helper
from dagdp.kernels.recursion import node_value
from dagdp.paths.derivations.enumeration import entered
from dagdp.paths.loops.walks import Cumulative, draw_edge

TORN, LEFT_OVER = 1, 2  # what `find_faults` says of a derivation


@helper
def write_preorder(trees: Any, entry: int, edges: Any) -> None:
    """Write the edges of a derivation of `Trees`, in preorder."""
    stack = np.empty(trees.edge.shape[0] + 1, np.int64)
    stack[0], depth, at = entry, 1, 0
    while depth > 0:
        depth -= 1
        entry = stack[depth]
        if trees.edge[entry] < 0:
            continue
        edges[at] = trees.edge[entry]
        at += 1
        for parent in (trees.second[entry], trees.first[entry]):
            if parent >= 0:
                stack[depth] = parent
                depth += 1


@helper
def add_up(incoming: Any, scores: Any, edges: Any, out: Any) -> None:
    """out [m] = scores of derivations, edges [m, L]; those of derivations without edges stay as they are.

    Sums are formed as kernels form v, in two parts, from the starts up: the best score is the value under HardMax.
    """
    hi, lo = np.empty(edges.shape[1] + 1), np.empty(edges.shape[1] + 1)
    for row in range(edges.shape[0]):
        depth = 0
        for at in range(edges.shape[1] - 1, -1, -1):  # backwards, both derivations of parents are on the stack
            e = edges[row, at]
            if e < 0:
                continue
            a_hi, a_lo, b_hi, b_lo = 0.0, 0.0, 0.0, 0.0
            if not incoming.is_start[incoming.parents[e]]:
                depth -= 1
                a_hi, a_lo = hi[depth], lo[depth]
            if incoming.seconds[e] >= 0 and not incoming.is_start[incoming.seconds[e]]:
                depth -= 1
                b_hi, b_lo = hi[depth], lo[depth]
            x_hi, x_lo = entered(scores[e], a_hi, a_lo, b_hi, b_lo)
            hi[depth], lo[depth] = node_value(0.0, x_hi, x_lo, 0.0, 0.0, 0.0)
            depth += 1
        if depth > 0:
            out[row] = hi[0]


@helper
def draw_trees(incoming: Any, q: Any, ends: Any, generator: Any, n: int, most: int) -> Any:
    """(edges, lengths [items, n]): n draws for each item in preorder, one behind the other.

    q : [items, edges] weights. ends : [items] nodes. Drawing stops, with a length of -1, before there are more edges
    than `most`.
    """
    workspace = Cumulative(np.empty(incoming.edges.shape[0]), np.full(incoming.ptr.shape[0], -1))
    edges, lengths, used = np.empty(1024, np.int64), np.zeros((ends.shape[0], n), np.int64), 0
    stack = np.empty(incoming.is_start.shape[0] + 1, np.int64)
    for b in range(ends.shape[0]):
        for draw in range(n):
            stack[0], depth, begin = ends[b], 1, used
            while depth > 0:
                depth -= 1
                e = draw_edge(incoming, q[b], stack[depth], generator, workspace, b)
                if e < 0:
                    continue
                if used == most:
                    lengths[b, draw] = -1
                    return edges[:used], lengths
                if used == edges.shape[0]:
                    grown = np.empty(2 * used, np.int64)
                    grown[:used] = edges
                    edges = grown
                edges[used] = e
                used += 1
                if incoming.seconds[e] >= 0:
                    stack[depth] = incoming.seconds[e]
                    depth += 1
                stack[depth] = incoming.parents[e]
                depth += 1
            lengths[b, draw] = used - begin
    return edges[:used], lengths


@helper
def find_faults(incoming: Any, children: Any, leaving: Any, edges: Any, added: Any, faults: Any) -> None:
    """Follow derivations, edges [m, L] of the user's without a gap. The child of the first edge is not judged.

    leaving : [nodes] the edge from the entrance of a start that another start reaches, -1 for other nodes. A derivation
        may end there, unless the next edge enters the node.
    added : [m, L + 1] these edges, filled in behind one another.
    faults : [m, 3] = (kind, place, expected node), or 0. TORN: the edge at the place, or none at the end, where an edge
        into the expected node belongs. LEFT_OVER: the edge at the place follows a complete derivation.
    """
    stack = np.empty(edges.shape[1] + 2, np.int64)
    for row in range(edges.shape[0]):
        depth, at, begun = 0, 0, 0
        while at < edges.shape[1] and edges[row, at] >= 0:
            e = edges[row, at]
            while depth > 0 and stack[depth - 1] != children[e] and leaving[stack[depth - 1]] >= 0:
                depth -= 1
                added[row, begun] = leaving[stack[depth]]
                begun += 1
            if at > 0 and depth == 0:
                faults[row, 0], faults[row, 1] = LEFT_OVER, at
                break
            if at > 0:
                if stack[depth - 1] != children[e]:
                    break
                depth -= 1
            for parent in (incoming.seconds[e], incoming.parents[e]):
                if parent >= 0 and not incoming.is_start[parent]:
                    stack[depth] = parent
                    depth += 1
            at += 1
        while depth > 0 and leaving[stack[depth - 1]] >= 0:
            depth -= 1
            added[row, begun] = leaving[stack[depth]]
            begun += 1
        if depth > 0:
            faults[row, 0], faults[row, 1], faults[row, 2] = TORN, at, stack[depth - 1]
