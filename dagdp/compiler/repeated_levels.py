"""Levels that repeat one matrix: dense, and reading the same entries as another level does.

A CRF with shared transitions takes the same S x S weights at every step. Where that is proved, kernels may compute
exp(transition) once, and need S exponentials a step in place of S². A level counts whose first nodes (those of the
largest fan-in) all have the same parents, neighbours in the level before, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Outgoing, Tied
from dagdp.compiled.progressions import CHILD, COUNT, LISTED, PARENT, expanded
from dagdp.compiler.arrays import at
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.validate import Numbers, Small
from dagdp.jit.decorators import loop

LEAST_COLUMNS = 3  # parents: with two there are as many exponentials either way
LEAST_ROWS = 2


def tie(done: Renumbered, on_edges: list[int], outgoing: Outgoing) -> tuple[Tied, Outgoing]:
    """The levels that share a matrix with another, these matrices, and the edges that are left."""
    levels = done.level_ptr.size - 1
    rows, first = np.zeros(levels, np.int32), np.zeros(levels, np.int32)
    levelled = done.levelled
    if on_edges:
        nodes = done.level_ptr, done.order, done.rank
        _dense_levels(*nodes, levelled.in_ptr, levelled.in_parent, LEAST_COLUMNS, LEAST_ROWS, rows, first)
    dense = np.flatnonzero(rows)
    columns = np.diff(levelled.in_ptr)[done.order[done.level_ptr[dense]]] if dense.size else dense
    marks = np.zeros((len(on_edges), levels), np.uint64)
    for place, k in enumerate(on_edges):
        csr, index = (levelled.in_ptr, levelled.in_order), levelled.indices[k]
        _fingerprints(dense, done.level_ptr, done.order, *csr, levelled.edges, rows, index, marks[place])
    found: dict[tuple[Any, ...], list[int]] = {}
    for level, width in zip(dense.tolist(), columns.tolist(), strict=True):
        found.setdefault((rows[level], width, *marks[:, level].tolist()), []).append(level)
    pattern = np.full(levels, -1, np.int32)
    shapes: list[tuple[int, int]] = []
    entries: list[Numbers] = []
    for (m, width, *_), members in found.items():
        if len(members) > 1:
            matrices = _matrices(done, on_edges, np.array(members), m, width)
            same = (matrices == matrices[:, :1]).all(axis=(0, 2, 3))  # a fingerprint may lie
            if np.count_nonzero(same) > 1:
                pattern[np.array(members)[same]] = len(shapes)
                shapes.append((m, width))
                entries.append(matrices[:, 0].ravel())
    rows[pattern < 0] = 0
    tied = Tied(
        frozen(pattern),
        frozen(np.where(pattern < 0, 0, first)),
        frozen(np.array(shapes).reshape(-1, 2)),
        frozen(np.cumsum([0, *(m * d for m, d in shapes)])),
        frozen(np.concatenate([np.empty(0, np.int32), *entries])),
    )
    return tied, _left_over(done.level_ptr, rows, outgoing)


def _left_over(level_ptr: Small, rows: Small, outgoing: Outgoing) -> Outgoing:
    """The outgoing edges that lead to no tied node; levels that have none of these as they are."""
    if not rows.any():
        return outgoing
    above = np.append(rows, 0)[1:]  # [L] how many nodes of the next level are tied
    level_of_run = np.repeat(np.arange(above.size), np.diff(outgoing.level_runs))
    touched = above[level_of_run] > 0
    runs, listed = outgoing.runs[touched], outgoing.listed
    level = np.repeat(level_of_run[touched], runs[:, COUNT])
    child = expanded(runs, CHILD, listed) - level_ptr[level + 1]
    free = (child < 0) | (child >= above[level])
    counts = np.bincount(level[free], minlength=above.size)
    some = np.flatnonzero(counts)
    made = np.zeros((some.size, runs.shape[1]), np.int64)
    made[:, COUNT] = counts[some]
    more = [expanded(runs, column, listed)[free] for column in range(PARENT, runs.shape[1], 2)]
    for place, column in enumerate(range(PARENT, runs.shape[1], 2)):
        made[:, column] = listed.size + place * counts.sum() + (np.cumsum(counts) - counts)[some]
        made[:, column + 1] = LISTED
    levels = np.concatenate([level_of_run[~touched], some])
    order = np.argsort(levels, kind="stable")
    level_runs = np.cumsum([0, *np.bincount(levels, minlength=above.size)])
    joined = np.concatenate([outgoing.runs[~touched], made])[order]
    return Outgoing(frozen(level_runs), frozen(joined), frozen(np.concatenate([listed, *more])), outgoing.blocks)


@loop
def _dense_levels(
    level_ptr: Any, nodes: Any, rank: Any, in_ptr: Any, in_parent: Any, least_columns: int, least_rows: int, rows: Any,
    first: Any,
) -> None:  # fmt: skip
    """rows[level] = how many of a level's first nodes have the same block of parents, beginning with node `first`."""
    for level in range(1, level_ptr.shape[0] - 1):
        n0, n1 = level_ptr[level], level_ptr[level + 1]
        begin = in_ptr[nodes[n0]]
        columns = in_ptr[nodes[n0] + 1] - begin
        p0 = rank[in_parent[begin]]
        if columns < least_columns or p0 < level_ptr[level - 1] or p0 + columns > n0:
            continue
        m = 0
        dense = True
        while dense and n0 + m < n1 and in_ptr[nodes[n0 + m] + 1] - in_ptr[nodes[n0 + m]] == columns:
            begin = in_ptr[nodes[n0 + m]]
            d = 0
            while d < columns and rank[in_parent[begin + d]] == p0 + d:
                d += 1
            dense = d == columns
            m += 1
        if dense and m >= least_rows:
            rows[level] = m
            first[level] = p0


@loop
def _fingerprints(
    levels: Any, level_ptr: Any, nodes: Any, in_ptr: Any, in_order: Any, numbers: Any, rows: Any, index: Any, marks: Any
) -> None:
    """A hash of the entries that each dense level reads, in the order of its matrix."""
    for level in levels:
        mark = np.uint64(14695981039346656037)
        for k in range(level_ptr[level], level_ptr[level] + rows[level]):
            for place in range(in_ptr[nodes[k]], in_ptr[nodes[k] + 1]):
                e = at(numbers, at(in_order, place))
                entry = index[e] if e >= 0 else -1
                mark = (mark ^ np.uint64(entry + 2)) * np.uint64(1099511628211)
        marks[level] = mark


def _matrices(done: Renumbered, on_edges: list[int], levels: Numbers, m: int, width: int) -> Numbers:
    """[K, levels, rows, columns] the entries of the edge potentials that dense levels read, -1 for none."""
    levelled = done.levelled
    nodes = done.order[done.level_ptr[levels][:, None] + np.arange(m)]
    places = levelled.in_ptr[nodes][:, :, None] + np.arange(width)
    edges = levelled.in_order[places] if levelled.in_order.size else places
    edges = levelled.edges[edges] if levelled.edges.size else edges
    read = [np.where(edges >= 0, levelled.indices[k][edges], -1) for k in on_edges]
    return np.stack(read)
