"""Sweeps over the nodes of a graph in rows of eight samples, in float64: results that the kernels do not return.

Kernels return v at an item's end, and gradients. These sweeps store v of every node, the edge that attains a maximum,
or the entropy of the paths into a node. The formulas are those of the kernels (dagdp/kernels/recursion.py).
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import Kernel, helper, inlined
from dagdp.kernels.cpu.edge_rows import Scores
from dagdp.kernels.cpu.node_rows import improve, solve
from dagdp.kernels.recursion import anchor, enter, enter_second, exceeds, node_value
from dagdp.kernels.row_max import finish_solution, maximum, row_weight
from dagdp.lanes.exp_log import log
from dagdp.lanes.operators import first_only
from dagdp.lanes.rows import load, select, splat, store
from dagdp.lanes.views import view

ROW = 8  # samples: a row of float64


class NodeValues(NamedTuple):
    """v of every node, as v_hi + v_lo, [nodes x 8] each."""

    hi: Any
    lo: Any


class RowSpace(NamedTuple):
    """Memory for the edges into one node."""

    places: Any  # [largest fan-in] 0, 8, 16 and so on: where the row of each edge lies
    rows: Any  # three rows for each place, and 2 more rows


@inlined
def table_sum(reads, at, table):
    """A row: the sum of the entries that an edge, or a node, reads."""
    first, more_ptr, more = reads
    total = load(table, np.int64(first[at]) * ROW)
    if more.shape[0] > 0:
        for k in range(more_ptr[at], more_ptr[at + 1]):
            total = total + load(table, np.int64(more[k]) * ROW)
    return total


@inlined
def begin_at_source(node, begins, v_hi):
    """v of a node without incoming edges: 0, or -inf for items whose paths begin at another node."""
    for b in range(ROW):
        v_hi[node * ROW + b] = 0.0 if begins[b] < 0 else -np.inf


@inlined
def begin_inside(node, begins, v):
    """v = 0 for the items whose paths begin at this node."""
    for b in range(ROW):
        if begins[b] == node:
            v.hi[node * ROW + b] = 0.0
            v.lo[node * ROW + b] = 0.0


@inlined
def enter_row(edges, p, table, v, side):
    """x of the edge at place p; -inf where no path reaches a parent, whatever entries the edge reads.

    side : v of the other parents of hyperedges.
    """
    at = np.int64(edges.parent[p]) * ROW
    v_hi = load(v.hi, at)
    hi, lo = enter(table_sum(edges.on_edges, p, table), v_hi, load(v.lo, at))
    hi = select(v_hi > -np.inf, hi, splat(v.hi, -np.inf))
    if edges.second.shape[0] > 0 and edges.second[p] >= 0:
        other = np.int64(edges.second[p]) * ROW
        other_hi = load(side.hi, other)
        hi, lo = enter_second(hi, lo, other_hi, load(side.lo, other))
        hi = select(other_hi > -np.inf, hi, splat(v.hi, -np.inf))
    return hi, lo


@helper
def highest(edges, table, begins, v, side, choice):
    """v under HardMax at every node, and `choice` [nodes x 8], the incoming edge that attains it, -1 for none.

    begins : [8] the node where each item's paths begin, -1 for all nodes without incoming edges. side : v forward, for
    hyperedges. choice counts the edges into a node from 0.
    """
    ptr = edges.ptr
    inside = False
    for b in range(ROW):
        inside |= begins[b] >= 0
    for node in range(ptr.shape[0] - 1):
        at = node * ROW
        if ptr[node] == ptr[node + 1]:
            begin_at_source(node, begins, v.hi)
            store(v.lo, at, splat(v.lo, 0))
            store(choice, at, splat(choice, -1))
        else:
            m_hi, m_lo, taken = splat(v.hi, -np.inf), splat(v.hi, 0), splat(choice, -1)
            for p in range(ptr[node], ptr[node + 1]):
                hi, lo = enter_row(edges, p, table, v, side)
                larger = exceeds(hi, lo, m_hi, m_lo)
                m_hi, m_lo = select(larger, hi, m_hi), select(larger, lo, m_lo)
                taken = select(larger, splat(choice, p - ptr[node]), taken)
            hi, lo = node_value(table_sum(edges.on_nodes, node, table), m_hi, m_lo, 0.0, 0.0, 0.0)
            store(v.hi, at, hi)
            store(v.lo, at, lo)
            store(choice, at, taken)
        if inside:
            begin_inside(node, begins, v)


@helper
def trace_back(edges, choice, v_hi, ends, count, path_edges, scores):
    """Scores [count] and edges [count, longest] of the paths that `highest` chose, from their start on."""
    ptr, edge = edges.ptr, edges.edge
    for b in range(count):
        if ends[b] < 0 or v_hi[ends[b] * ROW + b] == -np.inf:
            scores[b] = -np.inf
            continue
        scores[b] = v_hi[ends[b] * ROW + b]
        node, length = np.int64(ends[b]), 0
        while ptr[node] < ptr[node + 1]:
            p = ptr[node] + np.int64(choice[node * ROW + b])
            if edge[p] >= 0:
                path_edges[b, length] = edge[p]
                length += 1
            node = np.int64(edges.parent[p])
        for k in range(length // 2):
            path_edges[b, k], path_edges[b, length - 1 - k] = path_edges[b, length - 1 - k], path_edges[b, k]


def _smoothed(omega, edges, table, begins, v, side, surprise, space):
    """v at every node; if `surprise` [nodes x 8] has entries also the entropy of the walk from each node back."""
    places, workspace = space.places, space.rows
    ptr, width = edges.ptr, places.shape[0] * ROW
    x_hi, x_lo, y = view(workspace, 0, width), view(workspace, width, width), view(workspace, 2 * width, width)
    scores = Scores(x_hi, x_lo, places, y)
    row_results = view(workspace, 3 * width, 2 * ROW)
    inside = False
    for b in range(ROW):
        inside |= begins[b] >= 0
    for node in range(ptr.shape[0] - 1):
        at = node * ROW
        base, depth = np.int64(ptr[node]), np.int64(ptr[node + 1]) - np.int64(ptr[node])
        if depth == 0:
            begin_at_source(node, begins, v.hi)
            store(v.lo, at, splat(v.lo, 0))
            if surprise.shape[0] > 0:
                store(surprise, at, splat(surprise, 0))
        else:
            for d in range(depth):
                hi, lo = enter_row(edges, base + d, table, v, side)
                store(x_hi, d * ROW, hi)
                store(x_lo, d * ROW, lo)
            m_hi, m_lo = maximum(scores, depth)
            found, energy = solve(omega, scores, depth, anchor(m_hi), m_lo)
            store(row_results, 0, found)
            store(row_results, ROW, energy)
            improve(omega, depth, 1, y, row_results, 2 * ROW)
            turn, shift, energy = finish_solution(omega, load(row_results, 0), load(row_results, ROW))
            gamma = 0.0 if first_only(omega) else omega.gamma
            hi, lo = node_value(table_sum(edges.on_nodes, node, table), m_hi, m_lo, -shift, energy, gamma)
            store(v.hi, at, hi)
            store(v.lo, at, lo)
            if surprise.shape[0] > 0:
                total = splat(v.hi, 0)
                for d in range(depth):
                    q, _ = row_weight(omega, scores, d, turn)
                    before = load(surprise, np.int64(edges.parent[base + d]) * ROW)
                    if edges.second.shape[0] > 0 and edges.second[base + d] >= 0:
                        before = before + load(surprise, np.int64(edges.second[base + d]) * ROW)
                    positive = select(q > 0.0, q, splat(v.hi, 1))
                    total = total + select(q > 0.0, q * (before - log(positive)), splat(v.hi, 0))
                store(surprise, at, total)
        if inside:
            begin_inside(node, begins, v)


# The disk cache finds kernels for a user's operator by this name, in a folder named by the sources of the kernels
# alone. The name therefore carries a digest of this file.
_smoothed.__qualname__ += hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
smoothed = Kernel(_smoothed)


@helper
def best_over_edges(edges, table, back, front, count, out):
    """out [count, user's edges] = the highest score of a path over each live edge; entries of other edges stay.

    edges, back : of the backward direction. front : v of the forward direction, which numbers nodes in reverse.
    """
    ptr, edge = edges.ptr, edges.edge
    size = ptr.shape[0] - 1
    row = np.empty(ROW)
    for node in range(size):
        f_hi, f_lo = load(front.hi, (size - 1 - node) * ROW), load(front.lo, (size - 1 - node) * ROW)
        for p in range(ptr[node], ptr[node + 1]):
            if edge[p] >= 0:
                x_hi, x_lo = enter_row(edges, p, table, back, front)
                hi, lo = enter(x_hi, f_hi, f_lo)
                store(row, 0, select(x_hi > -np.inf, hi + (lo + x_lo), x_hi))
                for b in range(count):
                    out[b, edge[p]] = row[b]
