"""Tied levels: dense levels that read the same entries as another level, and so repeat one matrix of weights.

A CRF with shared transitions takes the same S x S weights at every step. Where this is proved, kernels may compute
exp(transition) once, and need S exponentials a step instead of S². A level qualifies if its first nodes (those of the
largest fan-in) all have the same parents, in the same order, and these are neighbours in the level before.
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

LEAST_COLUMNS = 3  # parents: with two, a matrix needs as many exponentials as separate edges
LEAST_ROWS = 2  # nodes


def tie(done: Renumbered, on_edges: list[int], outgoing: Outgoing) -> tuple[Tied, Outgoing]:
    """(the tied levels and their matrices, the outgoing edges that lead to no tied node)."""
    nodes, levelled = done.nodes, done.levelled
    levels = nodes.level_ptr.size - 1
    rows, first = np.zeros(levels, np.int32), np.zeros(levels, np.int32)
    if on_edges:
        edges = levelled.incoming
        _dense_levels(nodes, edges.ptr, edges.other, LEAST_COLUMNS, LEAST_ROWS, rows, first)
    dense = np.flatnonzero(rows)
    columns = np.diff(levelled.incoming.ptr)[nodes.order[nodes.level_ptr[dense]]] if dense.size else dense
    marks = np.zeros((len(on_edges), levels), np.uint64)
    for place, k in enumerate(on_edges):
        _hash_levels(dense, nodes, levelled.incoming, levelled.edges, rows, levelled.indices[k], marks[place])
    found: dict[tuple[Any, ...], list[int]] = {}
    for level, width in zip(dense.tolist(), columns.tolist(), strict=True):
        found.setdefault((rows[level], width, *marks[:, level].tolist()), []).append(level)
    pattern = np.full(levels, -1, np.int32)
    shapes: list[tuple[int, int]] = []
    entries: list[Numbers] = []
    for (m, width, *_), members in found.items():
        if len(members) > 1:
            matrices = _matrices(done, on_edges, np.array(members), m, width)
            equal = (matrices == matrices[:, :1]).all(axis=(0, 2, 3))  # hashes may collide
            if np.count_nonzero(equal) > 1:
                pattern[np.array(members)[equal]] = len(shapes)
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
    return tied, _untied(nodes.level_ptr, rows, outgoing)


def _untied(level_ptr: Small, rows: Small, outgoing: Outgoing) -> Outgoing:
    """The outgoing edges that lead to no tied node; runs of levels without edges to tied nodes stay as they are.

    rows : [levels] how many of a level's first nodes are tied.
    """
    if not rows.any():
        return outgoing
    above = np.append(rows, 0)[1:]  # [levels] tied nodes of the next level
    level_of_run = np.repeat(np.arange(above.size), np.diff(outgoing.level_runs))
    touched = above[level_of_run] > 0
    runs, listed = outgoing.runs[touched], outgoing.listed
    level = np.repeat(level_of_run[touched], runs[:, COUNT])
    child = expanded(runs, CHILD, listed) - level_ptr[level + 1]
    untied = (child < 0) | (child >= above[level])
    counts = np.bincount(level[untied], minlength=above.size)
    some = np.flatnonzero(counts)
    made = np.zeros((some.size, runs.shape[1]), np.int64)
    made[:, COUNT] = counts[some]
    more = [expanded(runs, column, listed)[untied] for column in range(PARENT, runs.shape[1], 2)]
    for place, column in enumerate(range(PARENT, runs.shape[1], 2)):
        made[:, column] = listed.size + place * counts.sum() + (np.cumsum(counts) - counts)[some]
        made[:, column + 1] = LISTED
    levels = np.concatenate([level_of_run[~touched], some])
    order = np.argsort(levels, kind="stable")
    level_runs = np.cumsum([0, *np.bincount(levels, minlength=above.size)])
    joined = np.concatenate([outgoing.runs[~touched], made])[order]
    every = frozen(np.concatenate([listed, *more]))
    return outgoing._replace(level_runs=frozen(level_runs), runs=frozen(joined), listed=every)


@loop
def _dense_levels(
    nodes: Any, in_ptr: Any, in_parent: Any, least_columns: int, least_rows: int, rows: Any, first: Any
) -> None:
    """rows[level] = how many of a level's first nodes have the same consecutive parents, from node first[level] on."""
    level_ptr, order, rank = nodes.level_ptr, nodes.order, nodes.rank
    for level in range(1, level_ptr.shape[0] - 1):
        n0, n1 = level_ptr[level], level_ptr[level + 1]
        begin = in_ptr[order[n0]]
        columns = in_ptr[order[n0] + 1] - begin
        p0 = rank[in_parent[begin]]
        if columns < least_columns or p0 < level_ptr[level - 1] or p0 + columns > n0:
            continue
        m = 0
        dense = True
        while dense and n0 + m < n1 and in_ptr[order[n0 + m] + 1] - in_ptr[order[n0 + m]] == columns:
            begin = in_ptr[order[n0 + m]]
            d = 0
            while d < columns and rank[in_parent[begin + d]] == p0 + d:
                d += 1
            dense = d == columns
            m += 1
        if dense and m >= least_rows:
            rows[level] = m
            first[level] = p0


@loop
def _hash_levels(levels: Any, nodes: Any, incoming: Any, numbers: Any, rows: Any, index: Any, marks: Any) -> None:
    """marks[level] = a hash (FNV-1a) of the entries that a dense level reads, in the order of its matrix."""
    for level in levels:
        mark = np.uint64(14695981039346656037)
        for k in range(nodes.level_ptr[level], nodes.level_ptr[level] + rows[level]):
            node = nodes.order[k]
            for place in range(incoming.ptr[node], incoming.ptr[node + 1]):
                e = at(numbers, at(incoming.order, place))
                entry = index[e] if e >= 0 else -1
                mark = (mark ^ np.uint64(entry + 2)) * np.uint64(1099511628211)
        marks[level] = mark


def _matrices(done: Renumbered, on_edges: list[int], levels: Numbers, m: int, width: int) -> Numbers:
    """[K, levels, m rows, width columns] the entries that dense levels read of the K edge potentials, -1 for none."""
    levelled, nodes = done.levelled, done.nodes
    rows = nodes.order[nodes.level_ptr[levels][:, None] + np.arange(m)]
    places = levelled.incoming.ptr[rows][:, :, None] + np.arange(width)
    edges = levelled.incoming.order[places] if levelled.incoming.order.size else places
    edges = levelled.edges[edges] if levelled.edges.size else edges
    read = [np.where(edges >= 0, levelled.indices[k][edges], -1) for k in on_edges]
    return np.stack(read)
