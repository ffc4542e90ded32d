"""A compiled graph with its added nodes and edges under numbers of their own, for those who need a number for each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class ExplicitEdges(NamedTuple):
    """The user's edges, then the edges into the extra end, then an edge from each entrance.

    The user's nodes keep their numbers. The next number is the extra end's, also where there is none; the entrances
    follow.
    """

    parents: Numbers  # [edges + added]
    children: Numbers  # [edges + added]
    num_nodes: int
    starts: Numbers  # nodes without parents where paths begin: the other starts, and the entrances
    entered: Numbers  # starts that another start reaches; those who begin there begin at `entrances`
    entrances: Numbers
    end: int  # the one end, or the extra end
    joined: int  # edges into the extra end

    @property
    def tie_order(self) -> Numbers:
        """[edges + added] the edges in the order in which HardMax decides ties: those from entrances come first."""
        rest = self.parents.size - self.entrances.size
        return np.concatenate([np.arange(rest, self.parents.size), np.arange(rest)])

    def leaving_entrance(self, starts: Numbers) -> Numbers:
        """[...] the edge from the entrance in front of each of these starts; -1 for other nodes."""
        first = self.parents.size - self.entrances.size
        place = np.minimum(np.searchsorted(self.entered, starts), max(0, self.entered.size - 1))
        if not self.entered.size:
            return np.full(starts.shape, -1)
        return np.where(self.entered[place] == starts, first + place, -1)


def explicit_edges(dag: Any) -> ExplicitEdges:
    """The edges of a CompiledDAG, those of dead nodes included, and the edges that compilation added."""
    nodes = dag.graph.num_nodes
    parents, children = dag.graph.edges()
    joined = dag.ends if dag.ends.size > 1 else dag.ends[:0]
    entered = dag.entrances[:, 0].astype(np.int64)
    entrances = nodes + 1 + np.arange(entered.size)
    return ExplicitEdges(
        parents=np.concatenate([parents, joined, entrances]),
        children=np.concatenate([children, np.full(joined.size, nodes), entered]),
        num_nodes=nodes + 1 + entrances.size,
        starts=np.concatenate([np.setdiff1d(dag.starts, entered), entrances]) if entered.size else dag.starts,
        entered=entered,
        entrances=entrances,
        end=nodes if joined.size else int(dag.ends[0]),
        joined=joined.size,
    )
