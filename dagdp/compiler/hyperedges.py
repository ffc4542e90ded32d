"""Graphs with hyperedges, for the generic schedule alone: nothing is hoisted or tied, and every number is listed.

Kernels know no edge without a second parent. Such an edge of a graph with hyperedges gets the neutral start, node 0,
whose v is 0 at all times, and to whose ē it adds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Incoming, Outgoing
from dagdp.compiled.progressions import CHILD, COUNT, EDGE, ENTRY, FIRST, LISTED, PARENT, SLOT
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.validate import Numbers

NEUTRAL = 0


def with_second_parents(done: Renumbered, incoming: Incoming) -> Incoming:
    """`incoming` with the second parents, in the order of slots."""
    edges = done.levelled.incoming
    level = np.repeat(np.arange(incoming.levels.size - 1), np.diff(incoming.slots))
    depth = np.arange(level.size) - incoming.slots[level]
    node = np.repeat(incoming.levels[level] - incoming.first, incoming.width) + np.arange(edges.other.size)
    place = edges.ptr[done.nodes.order[node]] + np.repeat(depth, incoming.width)
    return incoming._replace(second=frozen(_second(done)[edges.order[place] if edges.order.size else place]))


def listed_twice(done: Renumbered, on_edges: list[int]) -> tuple[Outgoing, Numbers]:
    """(outgoing edges, [levels] the largest child of each level's nodes).

    Each level has a run of edges under their first parents, and a run of hyperedges under their second parents.
    """
    levelled, levels = done.levelled, done.nodes.level_ptr
    rank, child = done.nodes.rank, levelled.child_of_edges
    edges = np.arange(child.size)
    slot = levelled.slot if levelled.slot.size else edges - levelled.incoming.ptr[child]
    user = levelled.edges if levelled.edges.size else edges
    first, second = rank[levelled.parents], _second(done)
    pairs = np.flatnonzero(levelled.second >= 0)  # type: ignore[operator]
    listed, again = np.concatenate([edges, pairs]), np.repeat([0, 1], [edges.size, pairs.size])
    parent, other = np.concatenate([first, second[pairs]]), np.concatenate([second, first[pairs]])
    level = np.searchsorted(levels, parent, side="right") - 1
    order = np.lexsort((again, level))
    listed, parent, other = listed[order], parent[order], other[order]
    key, begin, count = np.unique(2 * level[order] + again[order], return_index=True, return_counts=True)
    columns = {PARENT: parent, CHILD: rank[child][listed], SLOT: slot[listed], EDGE: user[listed]}
    for place, k in enumerate(on_edges):
        read = user[listed]
        columns[ENTRY + 2 * place] = np.where(read >= 0, levelled.indices[k][read], -1)
    runs = np.zeros((key.size, ENTRY + 2 * len(on_edges)), np.int64)
    own = np.where(key % 2 == 0, count, 0)
    runs[:, FIRST], runs[:, COUNT] = np.cumsum(own) - own, count
    for place, column in enumerate(columns):
        runs[:, column], runs[:, column + 1] = place * listed.size + begin, LISTED
    farthest = np.zeros(levels.size - 1, np.int64)
    np.maximum.at(farthest, level[order], columns[CHILD])
    made = Outgoing(
        level_runs=frozen(np.searchsorted(key, 2 * np.arange(levels.size))),
        runs=frozen(runs),
        listed=frozen(np.concatenate(list(columns.values()))),
        potentials=frozen(np.array(on_edges, np.int64)),
        other=frozen(other),
        pairing=frozen(np.stack([begin, key % 2], 1)),
    )
    return made, farthest


def _second(done: Renumbered) -> Any:
    """[E] the internal number of the second parent of each edge, NEUTRAL for none."""
    second: Any = done.levelled.second
    return np.where(second >= 0, done.nodes.rank[second], NEUTRAL)
