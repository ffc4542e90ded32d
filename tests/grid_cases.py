"""Alignment grids that a user writes edge by edge, and graphs that look like grids and are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagdp import Graph

DIAGONAL, DOWN, RIGHT = (1, 1), (1, 0), (0, 1)


def written_grid(
    rows: int,
    columns: int,
    moves: Sequence[tuple[int, int]] = (RIGHT, DIAGONAL, DOWN),
    *,
    by_columns: bool = False,
    before: bool = False,
    seed: int | None = None,
    without: Sequence[int] = (),
) -> Graph:
    """Cells (i, j), with the edges into a cell in the order of moves.

    by_columns : the matrix of costs is transposed. before : a start lies before the first cell, which has a cost, too.
    seed : the cells' numbers are shuffled. without : numbers of edges that are left out.
    """
    number = np.arange(rows * columns).reshape(rows, columns)
    names = np.arange(rows * columns) if seed is None else np.random.default_rng(seed).permutation(rows * columns)
    edges, entries = [], []
    for i in range(rows):
        for j in range(columns):
            for a, b in moves:
                if i >= a and j >= b:
                    edges.append((names[number[i - a, j - b]], names[number[i, j]]))
                    entries.append(j * rows + i if by_columns else i * columns + j)
    first, last = int(names[0]), int(names[-1])
    if before:
        edges.append((rows * columns, first))
        entries.append(0)
        first = rows * columns
    kept = np.setdiff1d(np.arange(len(edges)), without)
    parents, children = np.array(edges)[kept].T
    potentials = {None: ((rows * columns,), np.array(entries)[kept])}
    return Graph.from_edges(parents, children, starts=[first], ends=[last], potentials=potentials)
