"""RENUMBER: level by level, and inside a level by falling fan-in, so that equal shapes are neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagdp.compiler.arrays import group, lay_slots
from dagdp.compiler.level import Levelled
from dagdp.compiler.validate import Numbers


@dataclass(frozen=True)
class Renumbered:
    """Internal numbers, and the edges in both orders. `edges` arrays hold the user's edge numbers."""

    levelled: Levelled
    origin: Numbers  # [nodes] the user's number, -1 for the extra end
    rank: Numbers  # [user's nodes] the internal number, -1 for a pruned node
    end: int
    level_ptr: Numbers
    level_slots: Numbers
    slot_first: Numbers
    slot_width: Numbers
    parent: Numbers  # incoming edges, slot by slot
    child: Numbers
    in_ptr: Numbers  # [nodes+1]
    in_edges: Numbers  # incoming edges, node by node
    in_child: Numbers
    out_ptr: Numbers  # [levels+1] outgoing edges of a level's nodes, each node's first, then each one's second, ...
    out_parent: Numbers
    out_child: Numbers
    out_slot: Numbers
    out_edges: Numbers


def renumber(levelled: Levelled) -> Renumbered:
    """Nodes sorted by (level, -fan-in, user's number); edges by child and slot, and again by parent."""
    size = levelled.level.size
    fan_in = np.bincount(levelled.children, minlength=size)
    visible = _in_users_order(levelled)
    order = visible[_sorted_within(levelled.level[visible], -fan_in[visible])]
    new = np.empty(size, np.int64)
    new[order] = np.arange(size)
    origin = levelled.origin[order]
    rank = np.full(levelled.sound.graph.num_nodes, -1, np.int64)
    rank[origin[origin >= 0]] = np.flatnonzero(origin >= 0)
    level_ptr = np.concatenate([[0], np.cumsum(np.bincount(levelled.level))])

    parents, children = new[levelled.parents], new[levelled.children]
    in_ptr, by_child = group(children, size)  # stable: a node's edges stay in the user's order
    level_slots, slot_first, slot_width, place = lay_slots(level_ptr, in_ptr)
    incoming = np.empty_like(by_child)
    incoming[place] = by_child
    slot = np.empty(by_child.size, np.int64)
    slot[by_child] = np.arange(by_child.size) - np.repeat(in_ptr[:-1], np.diff(in_ptr))

    out_ptr, by_parent = group(parents, size)
    rank_out = np.arange(by_parent.size) - np.repeat(out_ptr[:-1], np.diff(out_ptr))
    level = np.repeat(np.arange(level_ptr.size - 1), np.diff(out_ptr[level_ptr]))
    outgoing = by_parent[_sorted_within(level, rank_out)]
    return Renumbered(
        levelled=levelled,
        origin=origin,
        rank=rank,
        end=int(new[levelled.end]),
        level_ptr=level_ptr,
        level_slots=level_slots,
        slot_first=slot_first,
        slot_width=slot_width,
        parent=parents[incoming],
        child=children[incoming],
        in_ptr=in_ptr,
        in_edges=levelled.edges[by_child],
        in_child=children[by_child],
        out_ptr=out_ptr[level_ptr],
        out_parent=parents[outgoing],
        out_child=children[outgoing],
        out_slot=slot[outgoing],
        out_edges=levelled.edges[outgoing],
    )


def _in_users_order(levelled: Levelled) -> Numbers:
    """Nodes by the user's number, the extra end last."""
    place = np.full(levelled.sound.graph.num_nodes + 1, -1, np.int64)
    place[levelled.origin] = np.arange(levelled.origin.size)  # an origin of -1 is the last place
    return place[place >= 0]


def _sorted_within(level: Numbers, key: Numbers) -> Numbers:
    """The order by (level, key, place): a counting sort, as keys are few within a level."""
    levels = int(level.max()) + 1
    low = np.full(levels, np.iinfo(np.int64).max)
    high = np.full(levels, np.iinfo(np.int64).min)
    np.minimum.at(low, level, key)
    np.maximum.at(high, level, key)
    first = np.concatenate([[0], np.cumsum(high - low + 1)])
    return group(first[level] + key - low[level], int(first[-1]))[1]
