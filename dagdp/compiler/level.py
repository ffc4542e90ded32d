"""LEVEL: the longest path from a start; nodes of one level do not depend on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagdp.compiler.arrays import adjacency, longest_distance, places, survey
from dagdp.compiler.validate import Small, Sound


@dataclass
class Levelled:
    """The edges that take part, by the user's node numbers; an extra end has the number behind them.

    An order or numbering of no entries is the identity. Not frozen: what nobody will ask for again is given up.
    """

    sound: Sound
    level: Small  # [nodes] 0 also for nodes that take no part: they have no edge
    indices: list[Small]  # [potentials] the entry that each of the user's edges reads
    parents: Small
    children: Small  # nothing where edges are grouped: then `in_ptr` tells
    edges: Small  # the user's number of each edge, -1 for edges into the extra end
    end: int  # where every path ends unless the caller picks another node
    fan_in: Small
    fan_out: Small
    in_ptr: Small  # incoming edges, node by node
    in_order: Small
    in_parent: Small  # in that order
    slot: Small  # [E] the how many-th edge into its child

    @property
    def child_of_edges(self) -> Small:
        """[E] where each edge leads."""
        return self.children if self.children.size else np.repeat(self.nodes, np.diff(self.in_ptr))

    @property
    def nodes(self) -> Small:
        """[nodes] their numbers."""
        return np.arange(self.in_ptr.size - 1, dtype=np.int32)


def level(sound: Sound) -> Levelled:
    """Levels of the live nodes. Several ends get one extra node above them all; a single end gets none."""
    size = sound.graph.num_nodes
    parents, children, edges, sequence = sound.parents, sound.children, sound.edges, sound.sequence
    end, seen = int(sound.ends[0]), sound.seen
    if sound.ends.size > 1:
        edges = np.arange(parents.size, dtype=np.int32) if edges.size == 0 else edges
        edges = np.concatenate([edges, np.full(sound.ends.size, -1, np.int32)])
        parents = np.concatenate([parents, sound.ends.astype(np.int32)])
        children = np.concatenate([children, np.full(sound.ends.size, size, np.int32)])
        sequence = np.append(sequence, size) if sequence.size else sequence
        end, size, seen = size, size + 1, None
    if seen is None:
        fan_in, fan_out, _, _, grouped = survey(parents, children, size)
    else:
        fan_in, fan_out, grouped = seen
    in_ptr, in_order, in_parent = adjacency(children, parents, fan_in, grouped)
    slot = places(in_ptr, in_order)
    levels = longest_distance(in_parent, in_ptr, sequence)
    if grouped:
        children = children[:0].copy()
    facts, indices = sound.without_edges(), list(sound.indices)
    return Levelled(
        facts, levels, indices, parents, children, edges, end, fan_in, fan_out, in_ptr, in_order, in_parent, slot
    )
