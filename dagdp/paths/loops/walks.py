"""Draws from the path distribution: the walk from the end back, in compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.jit.decorators import allocating, helper


class Cumulative(NamedTuple):
    """Workspace: cumulative weights of a node's incoming edges, computed when an item's walk first visits the node."""

    sums: Any  # [places]
    item: Any  # [nodes] the item for which the node's sums hold, -1 for none


@allocating
def _sum_up(incoming: Any, q: Any, node: int, sums: Any) -> None:
    """sums[p] = the weights of the node's edges up to place p."""
    total = 0.0
    for p in range(incoming.ptr[node], incoming.ptr[node + 1]):
        total += q[incoming.edges[p]]
        sums[p] = total


@allocating
def draw_edge(incoming: Any, q: Any, node: int, generator: Any, workspace: Any, item: int) -> Any:
    """An edge into the node, drawn by its weight; -1 for a node without edges, and where all weights are 0."""
    base, stop, sums = incoming.ptr[node], incoming.ptr[node + 1], workspace.sums
    if base == stop:
        return -1
    if workspace.item[node] != item:
        _sum_up(incoming, q, node, sums)
        workspace.item[node] = item
    if sums[stop - 1] <= 0.0:
        return -1
    level = generator.random() * sums[stop - 1]
    # an edge of weight 0 has the sum of the edge before it, and so is never the first above the level
    place = min(base + np.searchsorted(sums[base:stop], level, side="right"), stop - 1)
    while q[incoming.edges[place]] == 0.0:  # the product was rounded up to the whole sum
        place -= 1
    return np.int64(incoming.edges[place])


@helper
def _walk_back(incoming: Any, q: Any, end: int, generator: Any, edges: Any, workspace: Any, item: int) -> None:
    """Draw edges [n, longest] from the end back, and reverse each path."""
    for draw in range(edges.shape[0]):
        node, length = end, 0
        e = draw_edge(incoming, q, node, generator, workspace, item)
        while e >= 0:
            edges[draw, length] = e
            length += 1
            node = incoming.parents[e]
            e = draw_edge(incoming, q, node, generator, workspace, item)
        if length > 0:
            edges[draw, :length] = edges[draw, :length][::-1].copy()


@helper
def draw_paths(incoming: Any, q: Any, ends: Any, generator: Any, edges: Any) -> None:
    """Fill edges [items, n, longest] with draws. q : [items, edges] weights. ends : [items] where paths end."""
    workspace = Cumulative(np.empty(incoming.edges.shape[0]), np.full(incoming.ptr.shape[0], -1))
    for b in range(ends.shape[0]):
        _walk_back(incoming, q[b], ends[b], generator, edges[b], workspace, b)
