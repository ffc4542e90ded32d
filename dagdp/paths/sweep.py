"""Passes over the nodes of a graph in rows of eight samples, in float64: what the kernels do not hand back.

Kernels return v at an item's end and gradients. These keep v of every node, the edge that attains a maximum, or the
entropy of the paths into a node. The mathematics is the kernels' own text.
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from dagdp.jit.decorators import Kernel, helper, inlined
from dagdp.kernels.cpu.row_max import finish_solution, improve, maximum, row_weight, solve
from dagdp.kernels.recursion import anchor, enter, exceeds, node_value
from dagdp.lanes.exp_log import log
from dagdp.lanes.operators import first_only
from dagdp.lanes.rows import load, select, splat, store
from dagdp.lanes.views import view

ROW = 8  # samples: a row of float64


@inlined
def gathered(reads, at, table):
    """The sum of what an edge, or a node, reads."""
    first, more_ptr, more = reads
    total = load(table, np.int64(first[at]) * ROW)
    if more.shape[0] > 0:
        for k in range(more_ptr[at], more_ptr[at + 1]):
            total = total + load(table, np.int64(more[k]) * ROW)
    return total


@inlined
def begun(node, last, v_hi):
    """v where paths begin: 0, or -inf for items whose paths begin at another node."""
    for b in range(ROW):
        v_hi[node * ROW + b] = 0.0 if last[b] < 0 else -np.inf


@inlined
def begun_here(node, last, v_hi, v_lo):
    """0 for the items whose paths begin at this node."""
    for b in range(ROW):
        if last[b] == node:
            v_hi[node * ROW + b] = 0.0
            v_lo[node * ROW + b] = 0.0


@inlined
def entered_row(wires, p, table, v_hi, v_lo):
    """x of an edge; -inf where no path reaches its parent, whatever the edge reads there."""
    at = np.int64(wires[1][p]) * ROW
    v = load(v_hi, at)
    hi, lo = enter(gathered(wires[3], p, table), v, load(v_lo, at))
    return select(v > -np.inf, hi, splat(v_hi, -np.inf)), lo


@helper
def highest(wires, table, last, v_hi, v_lo, choice):
    """v under HardMax at every node, and which of the edges into it attains that, -1: none; both [nodes x 8].

    last [8]: the node where each item's paths begin, -1 for all nodes without edges.
    """
    ptr = wires[0]
    somewhere = False
    for b in range(ROW):
        somewhere |= last[b] >= 0
    for node in range(ptr.shape[0] - 1):
        at = node * ROW
        if ptr[node] == ptr[node + 1]:
            begun(node, last, v_hi)
            store(v_lo, at, splat(v_lo, 0))
            store(choice, at, splat(choice, -1))
        else:
            m_hi, m_lo, taken = splat(v_hi, -np.inf), splat(v_hi, 0), splat(choice, -1)
            for p in range(ptr[node], ptr[node + 1]):
                hi, lo = entered_row(wires, p, table, v_hi, v_lo)
                larger = exceeds(hi, lo, m_hi, m_lo)
                m_hi, m_lo = select(larger, hi, m_hi), select(larger, lo, m_lo)
                taken = select(larger, splat(choice, p - ptr[node]), taken)
            hi, lo = node_value(gathered(wires[4], node, table), m_hi, m_lo, 0.0, 0.0, 0.0)
            store(v_hi, at, hi)
            store(v_lo, at, lo)
            store(choice, at, taken)
        if somewhere:
            begun_here(node, last, v_hi, v_lo)


@helper
def traced(wires, choice, v_hi, ends, count, edges, scores):
    """Scores [count], and edges [count, longest] of the paths that `highest` chose, from their start on."""
    ptr, parent, edge = wires[0], wires[1], wires[2]
    for b in range(count):
        if ends[b] < 0 or v_hi[ends[b] * ROW + b] == -np.inf:
            scores[b] = -np.inf
            continue
        scores[b] = v_hi[ends[b] * ROW + b]
        node, length = np.int64(ends[b]), 0
        while ptr[node] < ptr[node + 1]:
            p = ptr[node] + np.int64(choice[node * ROW + b])
            if edge[p] >= 0:
                edges[b, length] = edge[p]
                length += 1
            node = np.int64(parent[p])
        for k in range(length // 2):
            edges[b, k], edges[b, length - 1 - k] = edges[b, length - 1 - k], edges[b, k]


def _smoothed(omega, wires, table, last, v_hi, v_lo, surprise, places, room):
    """v at every node [nodes x 8]; with `surprise` [nodes x 8] also the entropy of the walk from each node back.

    places: 0, 8, 16 and so on, for each of the most edges into a node. room: three rows for each of them, and 2 more.
    """
    ptr, whole = wires[0], places.shape[0] * ROW
    x_hi, x_lo, y = view(room, 0, whole), view(room, whole, whole), view(room, 2 * whole, whole)
    desk = view(room, 3 * whole, 2 * ROW)
    somewhere = False
    for b in range(ROW):
        somewhere |= last[b] >= 0
    for node in range(ptr.shape[0] - 1):
        at = node * ROW
        base, depth = np.int64(ptr[node]), np.int64(ptr[node + 1]) - np.int64(ptr[node])
        if depth == 0:
            begun(node, last, v_hi)
            store(v_lo, at, splat(v_lo, 0))
            if surprise.shape[0] > 0:
                store(surprise, at, splat(surprise, 0))
        else:
            for d in range(depth):
                hi, lo = entered_row(wires, base + d, table, v_hi, v_lo)
                store(x_hi, d * ROW, hi)
                store(x_lo, d * ROW, lo)
            m_hi, m_lo = maximum(x_hi, x_lo, places, depth)
            found, energy = solve(omega, x_hi, x_lo, places, depth, anchor(m_hi), m_lo, y)
            store(desk, 0, found)
            store(desk, ROW, energy)
            improve(omega, depth, 1, y, desk, 2 * ROW)
            turn, shift, energy = finish_solution(omega, load(desk, 0), load(desk, ROW), y)
            gamma = 0.0 if first_only(omega) else omega.gamma
            hi, lo = node_value(gathered(wires[4], node, table), m_hi, m_lo, -shift, energy, gamma)
            store(v_hi, at, hi)
            store(v_lo, at, lo)
            if surprise.shape[0] > 0:
                total = splat(v_hi, 0)
                for d in range(depth):
                    q, _ = row_weight(omega, y, d, turn)
                    some = load(surprise, np.int64(wires[1][base + d]) * ROW)
                    sure = select(q > 0.0, q, splat(v_hi, 1))
                    total = total + select(q > 0.0, q * (some - log(sure)), splat(v_hi, 0))
                store(surprise, at, total)
        if somewhere:
            begun_here(node, last, v_hi, v_lo)


# Kernels for a user's operator are found on disk by this name, in a folder that goes by the sources of kernels alone.
_smoothed.__qualname__ += hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
smoothed = Kernel(_smoothed)


@helper
def through(wires, table, v_hi, v_lo, front_hi, front_lo, count, out):
    """out [count, edges]: the highest score of a path over each edge; the user's edges that take no part are left.

    wires, v : of the backward direction. front : v of the forward one, whose nodes are numbered the other way round.
    """
    ptr, edge = wires[0], wires[2]
    size = ptr.shape[0] - 1
    row = np.empty(ROW)
    for node in range(size):
        f_hi, f_lo = load(front_hi, (size - 1 - node) * ROW), load(front_lo, (size - 1 - node) * ROW)
        for p in range(ptr[node], ptr[node + 1]):
            if edge[p] >= 0:
                x_hi, x_lo = entered_row(wires, p, table, v_hi, v_lo)
                hi, lo = enter(x_hi, f_hi, f_lo)
                store(row, 0, select(x_hi > -np.inf, hi + (lo + x_lo), x_hi))
                for b in range(count):
                    out[b, edge[p]] = row[b]
