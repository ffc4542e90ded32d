"""A graph without specialisation: every number listed. Tests compare specialised graphs with generic ones."""

from __future__ import annotations

import numpy as np

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Incoming, Outgoing
from dagdp.compiled.progressions import COUNT, LISTED, PARENT, expanded
from dagdp.compiler.edge_potentials import listed_entries


def listed_incoming(incoming: Incoming) -> Incoming:
    """Incoming edges with parents and entries of edge potentials in lists."""
    first, count, start, step = incoming.runs.astype(np.int64).T
    runs = np.stack([first, count, np.cumsum(count) - count, np.full(count.size, LISTED)], 1)
    columns = np.stack([first, count, start, step], 1)
    pieces, entries, stored = [], [np.empty(0, np.int64)], 0
    for k in range(incoming.potentials.size):
        entries.append(listed_entries(incoming, k))
        pieces += [(0, stored, LISTED), (entries[-1].size, 0, 0)]
        stored += entries[-1].size
    return incoming._replace(
        runs=frozen(runs),
        parent=frozen(expanded(columns, 2, incoming.parent)),
        piece_ptr=frozen(np.arange(0, 2 * incoming.potentials.size + 1, 2)),
        pieces=frozen(np.array(pieces, np.int64).reshape(-1, 3)),
        entry=frozen(np.concatenate(entries)),
    )


def listed_outgoing(outgoing: Outgoing) -> Outgoing:
    """Outgoing edges with every quantity of every run in the list."""
    runs, listed = outgoing.runs.astype(np.int64), []
    count, edges = runs[:, COUNT], int(runs[:, COUNT].sum())
    for place, column in enumerate(range(PARENT, runs.shape[1], 2)):
        listed.append(expanded(outgoing.runs, column, outgoing.listed))
        runs[:, column], runs[:, column + 1] = place * edges + np.cumsum(count) - count, LISTED
    return outgoing._replace(runs=frozen(runs), listed=frozen(np.concatenate(listed)))
