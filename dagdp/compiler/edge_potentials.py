"""Potentials that are read on edges: their entries along runs, affine pieces, and orders for scattered edges.

An affine piece is a stretch of edges whose entries rise by one, or that read nothing. A potential of which each edge
reads an entry of its own gives every edge a place in the gradient, where kernels store its weight between the passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import frozen
from dagdp.compiled.index_arrays import Incoming
from dagdp.compiled.progressions import COUNT, EDGE, LISTED, expanded
from dagdp.compiler.arrays import at
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.runs import fold
from dagdp.compiler.validate import Small
from dagdp.jit.decorators import inner, loop

LEAST_PIECE = 8  # edges of a piece: half a 16 x 16 tile of float32
LARGEST_FAN_IN = 8  # edges a node, on average, up to which a block's potentials are gathered to edge order at once
LEAST_ENTRIES = 64  # entries of a potential that is gathered to edge order


def entry_runs(runs: Any, listed: Any, column: int, index: Any) -> Any:
    """Fill `column` of the runs with the entries of their edges; returns the entries to append to `listed`."""
    counts = runs[:, COUNT]
    values, more = np.empty(counts.max(initial=0), np.int32), np.empty(counts.sum(), np.int32)
    return more[: _entry_runs(runs, listed, column, index, values, more)].copy()


@loop
def _entry_runs(runs: Any, listed: Any, column: int, index: Any, values: Any, more: Any) -> int:
    stored = 0
    for r in range(runs.shape[0]):
        start, step, count = runs[r, EDGE], runs[r, EDGE + 1], runs[r, COUNT]
        for k in range(count):
            e = listed[start + k] if step == LISTED else start + step * k
            values[k] = index[e] if e >= 0 else -1
        start, step, stored = fold(values, 0, count, more, stored)
        runs[r, column] = start + listed.shape[0] if step == LISTED else start
        runs[r, column + 1] = step
    return stored


@loop
def is_identity(index: Any) -> bool:
    """Whether every edge reads the entry of its own number."""
    e = 0
    while e < index.shape[0] and index[e] == e:
        e += 1
    return e == index.shape[0]


class AffinePieces(NamedTuple):
    """The entries of all edge potentials, edge by edge in the order of `Incoming.edges`."""

    ptr: NDArray[Any]  # [potentials+1] pieces of a potential; the last piece of each only closes the others
    pieces: NDArray[Any]  # [., 3] first edge, (start, step) of the entries
    listed: NDArray[Any]  # the entries between the pieces


def affine_pieces(done: Renumbered, on_edges: list[int]) -> AffinePieces:
    """The pieces of the potentials numbered `on_edges`, one potential after another."""
    pieces, listed, ptr, taken = [np.empty((0, 3), np.int32)], [np.empty(0, np.int32)], [0], 0
    for k in on_edges:
        found, entries = _pieces_of(done, done.levelled.indices[k], LEAST_PIECE)
        found[found[:, 2] == LISTED, 1] += taken
        pieces.append(found)
        listed.append(entries)
        ptr.append(ptr[-1] + len(found))
        taken += entries.size
    return AffinePieces(np.array(ptr), np.concatenate(pieces), np.concatenate(listed))


def _pieces_of(done: Renumbered, index: Small, least: int) -> Any:
    """(pieces [., 3], listed) of one potential; entries between pieces of at least `least` edges are listed."""
    incoming = done.levelled.incoming
    edges = int(incoming.ptr[-1])
    pieces, listed = np.empty((2 * (edges // least) + 2, 3), np.int32), np.empty(edges, np.int32)
    user = done.levelled.edges
    made, stored = _cut_pieces(done.nodes.order, incoming, user, index, least, pieces, listed)
    return pieces[:made].copy(), listed[:stored].copy()


@inner
def unfold(listed: Any, made: int, start: int, step: int, count: int) -> int:
    """List a progression from listed[made] on; returns the place after its end."""
    for k in range(count):
        listed[made + k] = start + step * k
    return made + count


@loop
def _cut_pieces(nodes: Any, incoming: Any, numbers: Any, index: Any, least: int, pieces: Any, listed: Any) -> Any:
    made = 0
    stored = 0
    first = 0  # the piece that grows
    start = 0
    step = 0
    count = 0
    pending = 0  # edges before the piece that are listed, but belong to no piece yet
    for n in range(nodes.shape[0] + 1):
        closing = n == nodes.shape[0]
        begin = 0 if closing else incoming.ptr[nodes[n]]
        end = 1 if closing else incoming.ptr[nodes[n] + 1]
        for k in range(begin, end):
            e = -1 if closing else at(numbers, at(incoming.order, k))
            entry = -1 if e < 0 else index[e]
            if not closing and count > 0 and entry == start + step * count:
                count += 1
                continue
            if count >= least:
                if pending > 0:
                    pieces[made, 0], pieces[made, 1], pieces[made, 2] = first - pending, stored - pending, LISTED
                    made += 1
                    pending = 0
                pieces[made, 0], pieces[made, 1], pieces[made, 2] = first, start, step
                made += 1
            else:
                stored = unfold(listed, stored, start, step, count)
                pending += count
            first += count
            start, step, count = entry, 0 if entry < 0 else 1, 1
    if pending > 0:
        pieces[made, 0], pieces[made, 1], pieces[made, 2] = first - pending, stored - pending, LISTED
        made += 1
    pieces[made, 0], pieces[made, 1], pieces[made, 2] = first, 0, 0  # closes the others
    return made + 1, stored


def listed_entries(incoming: Incoming, k: int) -> NDArray[np.int64]:
    """[E] the entries that edges read of edge potential number `k`, in the order of `Incoming.edges`."""
    given = incoming.pieces[incoming.piece_ptr[k] : incoming.piece_ptr[k + 1]]
    parts = np.stack([given[:-1, 0], np.diff(given[:, 0]), given[:-1, 1], given[:-1, 2]], 1)
    return expanded(parts, 2, incoming.entry)


def nodes_without_entries(done: Renumbered, index: Small) -> NDArray[np.int32] | None:
    """`Incoming.entryless`: the nodes none of whose edges reads an entry, rising; the other edges read one entry each.

    None where two edges read one entry, or a node has edges of both kinds: the gradient then has no place for weights.
    """
    levelled = done.levelled
    edges = levelled.edges
    if edges.size == 0 and is_identity(index):
        return frozen(np.empty(0))
    read = index if edges.size == 0 else np.where(edges >= 0, index[edges], -1)
    nodes, children = np.zeros(levelled.incoming.ptr.size - 1, bool), levelled.child_of_edges
    nodes[children[read < 0]] = True
    own = read[~nodes[children]]
    fits = own.size > 0 and own.size == np.count_nonzero(read >= 0) and np.bincount(own).max() == 1
    return frozen(np.sort(done.nodes.rank[np.flatnonzero(nodes)])) if fits else None


def entries_by_slot(incoming: Incoming) -> NDArray[np.int32]:
    """`Incoming.slot_entries`: [E] entries of the one edge potential in slot order; empty if few edges are scattered.

    Edges count as scattered where more than half of the parents are listed. Rows of neighbouring nodes of one sample
    then find potentials, and places for weights, without a search through pieces.
    """
    _, counts, _, steps = incoming.runs.T
    edges = int(incoming.edges[-1])
    if 2 * int(counts[steps == LISTED].sum()) <= edges:
        return frozen(np.empty(0))
    level = np.repeat(np.arange(incoming.levels.size - 1), np.diff(incoming.slots))
    depth = np.arange(level.size) - incoming.slots[level]
    node = np.repeat(incoming.levels[level] - incoming.first, incoming.width) + np.arange(edges, dtype=np.int32)
    return frozen(listed_entries(incoming, 0)[incoming.edges[node] + np.repeat(depth, incoming.width)])


def edge_of_entry(incoming: Incoming, entries: int) -> NDArray[np.int32]:
    """`Incoming.reader`: [entries] the edge, node by node, that reads each entry of the one edge potential, -1: none.

    No entries where edges read most of the potential in order, where the fan-in is above `LARGEST_FAN_IN` on average (a
    row for each edge would be many rows for each node), and for a potential below `LEAST_ENTRIES`.
    """
    edges, nodes = int(incoming.edges[-1]), int(incoming.levels[-1])
    counts, listed = np.diff(incoming.pieces[:, 0]), incoming.pieces[:-1, 2] == LISTED
    if 2 * int(counts[listed].sum()) <= edges or edges > LARGEST_FAN_IN * nodes or entries < LEAST_ENTRIES:
        return frozen(np.empty(0))
    read = listed_entries(incoming, 0)
    reader = np.full(entries, -1, np.int32)
    reader[read[read >= 0]] = np.flatnonzero(read >= 0)
    return frozen(reader)
