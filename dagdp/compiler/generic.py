"""A graph as if nothing had been proved of it: every number listed, for tests to hold specialised graphs against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Incoming, Outgoing
from dagdp.compiled.progressions import COUNT, LISTED, PARENT, expanded


def listed_entries(incoming: Incoming, k: int) -> NDArray[np.int64]:
    """[E] the entries that the k-th edge potential's edges read, node by node."""
    given = incoming.pieces[incoming.piece_ptr[k] : incoming.piece_ptr[k + 1]]
    parts = np.stack([given[:-1, 0], np.diff(given[:, 0]), given[:-1, 1], given[:-1, 2]], 1)
    return expanded(parts, 2, incoming.entry)


def listed_incoming(incoming: Incoming) -> Incoming:
    """Parents, and entries of edge potentials, in lists."""
    first, count, start, step = incoming.runs.astype(np.int64).T
    runs = np.stack([first, count, np.cumsum(count) - count, np.full(count.size, LISTED)], 1)
    columns = np.stack([first, count, start, step], 1)
    pieces, entries, kept = [], [np.empty(0, np.int64)], 0
    for k in range(incoming.blocks.size):
        entries.append(listed_entries(incoming, k))
        pieces += [(0, kept, LISTED), (entries[-1].size, 0, 0)]
        kept += entries[-1].size
    return incoming._replace(
        runs=frozen(runs),
        parent=frozen(expanded(columns, 2, incoming.parent)),
        piece_ptr=frozen(np.arange(0, 2 * incoming.blocks.size + 1, 2)),
        pieces=frozen(np.array(pieces, np.int64).reshape(-1, 3)),
        entry=frozen(np.concatenate(entries)),
    )


def listed_outgoing(outgoing: Outgoing) -> Outgoing:
    """Every quantity of every run in the list."""
    runs, listed = outgoing.runs.astype(np.int64), []
    count, edges = runs[:, COUNT], int(runs[:, COUNT].sum())
    for place, column in enumerate(range(PARENT, runs.shape[1], 2)):
        listed.append(expanded(outgoing.runs, column, outgoing.listed))
        runs[:, column], runs[:, column + 1] = place * edges + np.cumsum(count) - count, LISTED
    return outgoing._replace(runs=frozen(runs), listed=frozen(np.concatenate(listed)))
