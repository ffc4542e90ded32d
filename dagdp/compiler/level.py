"""LEVEL: the longest path from a start; nodes of one level do not depend on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagdp.compiler.arrays import group, longest_distance
from dagdp.compiler.validate import Numbers, Sound


@dataclass(frozen=True)
class Levelled:
    """Live nodes numbered 0..n-1 in topological order, with the level of each; edges among them."""

    sound: Sound
    origin: Numbers  # the user's number of each node, -1 for the extra end
    level: Numbers
    parents: Numbers
    children: Numbers
    edges: Numbers  # the user's number of each edge, -1 for edges into the extra end
    end: int  # where every path ends unless the caller picks another node


def level(sound: Sound) -> Levelled:
    """Levels of the live nodes. Several ends get one extra node above them all; a single end gets none."""
    size = sound.sequence.size
    compact = np.full(sound.graph.num_nodes, -1, np.int64)
    compact[sound.sequence] = np.arange(size)
    parents, children = compact[sound.parents[sound.edges]], compact[sound.children[sound.edges]]
    origin, edges, end = sound.sequence, sound.edges, int(compact[sound.ends[0]])
    if sound.ends.size > 1:
        end, size = size, size + 1
        parents = np.concatenate([parents, compact[sound.ends]])
        children = np.concatenate([children, np.full(sound.ends.size, end)])
        origin, edges = np.append(origin, -1), np.append(edges, np.full(sound.ends.size, -1))
    ptr, order = group(parents, size)
    levels = longest_distance(children, ptr, order, np.arange(size), size)
    return Levelled(sound, origin, levels, parents, children, edges, end)
