"""LEVEL: the longest path from a start; nodes of one level do not depend on each other.

Nodes that compilation adds to a graph, the extra end and entrances, are added here. Paths lead over both parents of a
hyperedge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagdp.compiler.arrays import GroupedEdges, adjacency, longest_distance, places, survey
from dagdp.compiler.validate import Numbers, Small, Sound
from dagdp.describe.edge_arrays import arcs_of


@dataclass
class Levelled:
    """The live edges, by the user's node numbers. Behind them come the entrances, then the extra end if there is one.

    An order or a list of edge numbers without entries is the identity. Not frozen: the next steps empty the arrays
    that are not read again, to free memory.
    """

    sound: Sound
    level: Small  # [nodes] 0 also for nodes without live edges
    indices: list[Small]  # [potentials] the entry that each of the user's edges reads
    parents: Small  # [E]
    children: Small  # [E]; without entries where edges are grouped by child: `incoming.ptr` has the children
    second: Small | None  # [E] the second parents of hyperedges, -1 for none; None for a graph without hyperedges
    edges: Small  # [E] the user's number of each edge, -1 for edges from entrances and into the extra end
    end: int  # the node where paths end if the caller names no other
    fan_in: Small  # [nodes]
    fan_out: Small  # [nodes] how often the node is a parent of an edge
    incoming: GroupedEdges  # by child; `other` holds the parents
    slot: Small  # [E] how many edges into the same child come before each edge; empty where edges are grouped by child

    @property
    def child_of_edges(self) -> Small:
        """[E] the child of each edge."""
        return self.children if self.children.size else np.repeat(self.nodes, np.diff(self.incoming.ptr))

    @property
    def nodes(self) -> Small:
        """[nodes] 0, 1, 2 ..."""
        return np.arange(self.incoming.ptr.size - 1, dtype=np.int32)


def level(sound: Sound) -> Levelled:
    """Levels of the live nodes. Several ends get one extra node after them all; a single end gets none.

    A start that another start reaches gets an entrance: a start of its own, and an edge from there, the first into it.
    """
    size = sound.graph.num_nodes + sound.entered.size
    parents, children, edges, sequence = sound.parents, sound.children, sound.edges, sound.sequence
    end, seen, second = int(sound.ends[0]), sound.seen, sound.second
    joined = sound.ends if sound.ends.size > 1 else sound.ends[:0]
    if joined.size or sound.entered.size:
        entrances = np.arange(sound.graph.num_nodes, size)
        of_entrances, of_end = np.full(entrances.size, -1), np.full(joined.size, -1)
        live = edges if edges.size else np.arange(parents.size)
        edges = _compact(of_entrances, live, of_end)
        parents = _compact(entrances, parents, joined)
        children = _compact(sound.entered, children, np.full(joined.size, size))
        second = None if second is None else _compact(of_entrances, second, of_end)
        if sequence.size or entrances.size:
            given = sequence if sequence.size else np.arange(sound.graph.num_nodes)
            sequence = np.concatenate([entrances, given, np.full(min(1, joined.size), size)])
        seen = None
    if joined.size:
        end, size = size, size + 1
    if seen is None:
        fan_in, fan_out, _, _, grouped = survey(parents, children, size)
    else:
        fan_in, fan_out, grouped = seen
    incoming = before = adjacency(children, parents, fan_in, grouped)
    if second is not None:
        tails, heads = arcs_of(parents, children, second)
        arcs_in, fan_out, _, _, _ = survey(tails, heads, size)
        before = adjacency(heads, tails, arcs_in, False)
    return Levelled(
        sound=sound.without_edges(),
        level=longest_distance(before.other, before.ptr, sequence),
        indices=list(sound.indices),
        parents=parents,
        children=children[:0].copy() if grouped else children,
        second=second,
        edges=edges,
        end=end,
        fan_in=fan_in,
        fan_out=fan_out,
        incoming=incoming,
        slot=places(incoming.ptr, incoming.order),
    )


def _compact(*parts: Numbers | Small) -> Small:
    return np.concatenate(parts).astype(np.int32)
