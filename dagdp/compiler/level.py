"""LEVEL: the longest path from a start; nodes of one level do not depend on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagdp.compiler.arrays import adjacency, longest_distance, places, survey
from dagdp.compiler.validate import Numbers, Sound

Small = NDArray[np.int32]


@dataclass(frozen=True)
class Levelled:
    """The edges that take part, by the user's node numbers; an extra end has the number behind them.

    An order or numbering of no entries is the identity.
    """

    sound: Sound
    level: Small  # [nodes] 0 also for nodes that take no part: they have no edge
    parents: Numbers
    children: Numbers
    edges: Numbers  # the user's number of each edge, -1 for edges into the extra end
    end: int  # where every path ends unless the caller picks another node
    fan_in: Small
    fan_out: Small
    in_ptr: Small  # incoming edges, node by node
    in_order: Small
    in_parent: Small  # in that order
    slot: Small  # [E] the how many-th edge into its child


def level(sound: Sound) -> Levelled:
    """Levels of the live nodes. Several ends get one extra node above them all; a single end gets none."""
    size = sound.graph.num_nodes
    parents, children, edges, sequence = sound.parents, sound.children, sound.edges, sound.sequence
    end, seen = int(sound.ends[0]), sound.seen
    if sound.ends.size > 1:
        edges = np.arange(parents.size) if edges.size == 0 else edges
        edges = np.concatenate([edges, np.full(sound.ends.size, -1)])
        parents = np.concatenate([parents, sound.ends])
        children = np.concatenate([children, np.full(sound.ends.size, size)])
        sequence = np.append(sequence, size) if sequence.size else sequence
        end, size, seen = size, size + 1, None
    if seen is None:
        fan_in, fan_out, _, _, grouped = survey(parents, children, size)
    else:
        fan_in, fan_out, grouped = seen
    in_ptr, in_order, in_parent = adjacency(children, parents, fan_in, grouped)
    slot = places(in_ptr, in_order)
    levels = longest_distance(in_parent, in_ptr, sequence)
    return Levelled(sound, levels, parents, children, edges, end, fan_in, fan_out, in_ptr, in_order, in_parent, slot)
