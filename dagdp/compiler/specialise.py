"""SPECIALISE: structure proved from the arrays, never guessed from a name.

A potential that all edges into a node share is hoisted to the node: max_Ω(x + c) = max_Ω(x) + c, so it
is read once and its gradient is the node's adjoint (the cost of a DTW cell, the emission of a CRF).
Edges whose ends advance in step form runs, which kernels read without indices: step 1 is a grid's level,
step 0 a trellis'. A graph of the user's own that has such structure profits as DTW does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import dagdp.pool as pool
from dagdp.compiled.dag import UNREACHED, CompiledDAG, frozen, locked
from dagdp.compiled.index_arrays import SHEET_COLUMNS, Hoisted, Incoming, Outgoing, Wiring
from dagdp.compiled.progressions import EDGE, ENTRY, LISTED
from dagdp.compiler.arrays import by_parent
from dagdp.compiler.bands import cut_bands, floors, places_among_read, sorted_in_bands, window
from dagdp.compiler.diagonal_tiles import find_sheets
from dagdp.compiler.generic import listed_entries, listed_incoming, listed_outgoing
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.repeated_levels import tie
from dagdp.compiler.runs import (
    entry_runs,
    incoming_runs,
    is_identity,
    lay_slots,
    outgoing_runs,
    pieces_of,
    shared_entries,
)
from dagdp.compiler.validate import Numbers, Small

PROVE = True  # off in tests alone (pytest --generic): then nothing is specialised
LEAST_RUN = 32  # edges: a shorter run is read by index. Chosen with trellises of 16 states in mind, not tuned
LARGE = 1 << 17  # edges from which the two sides of a graph are cut into runs on two threads, a millisecond each
LARGEST_FAN_IN = 8  # edges a node, on average, up to which a block's potentials are brought in their order at once
LEAST_ENTRIES = 64
LEAST_PIECE = 8  # entries: half a square of float32


def specialise(done: Renumbered) -> CompiledDAG:
    """Choose for each potential where it is read, fold away what advances by a constant step, freeze the rest."""
    levelled, sound = done.levelled, done.levelled.sound
    csr = levelled.in_ptr, levelled.in_order, levelled.edges
    shared = [shared_entries(*csr, index, done.rank, done.order.size) for index in levelled.indices]
    on_nodes = [k for k, (same, _) in enumerate(shared) if same and PROVE]
    on_edges = [k for k in range(len(shared)) if k not in on_nodes]
    for k in on_nodes:
        levelled.indices[k] = done.order[:0].copy()  # nobody asks again
    threads = min(2, pool.available()) if levelled.parents.size > LARGE else 1
    incoming, (outgoing, farthest) = pool.run(lambda side: side(done, on_edges), [_incoming, _outgoing], threads)
    bare = _bare(done, levelled.indices[on_edges[0]]) if PROVE and len(on_edges) == 1 else None
    if bare is not None:
        size = sound.potentials[on_edges[0]].size
        incoming = incoming._replace(direct=_direct(incoming), reader=_reader(incoming, size), bare=bare)
    if not on_edges:
        levelled.parents = levelled.in_parent = levelled.in_order = done.order[:0].copy()
    sizes = [sound.potentials[k].size for k in on_nodes]
    hoisted = _hoisted(on_nodes, [shared[k][1] for k in on_nodes], sizes, done.level_ptr, farthest)
    if not PROVE:
        incoming, outgoing = listed_incoming(incoming), listed_outgoing(outgoing)
    tied, free = tie(done, on_edges if PROVE else [], outgoing)
    passing = _passing(incoming, farthest) if PROVE else incoming
    wiring = Wiring(incoming, outgoing, hoisted, tied, free, passing)
    users = sound.graph.num_nodes
    origin = done.order if sound.ends.size == 1 else np.where(done.order < users, done.order, np.int32(-1))
    rank = done.rank[:users]
    if rank.min() < 0:
        rank = np.where((rank < 0) & ~sound.reached, np.int32(UNREACHED), rank)
    return CompiledDAG(
        graph=sound.graph,
        potentials=sound.potentials,
        wiring=wiring,
        origin=locked(origin),
        rank=locked(rank),
        end=int(done.rank[levelled.end]),
        starts=locked(sound.starts),
        ends=locked(sound.ends),
        hoisted=tuple(on_nodes),
        weights_fit=bare is not None,
    )


def _bare(done: Renumbered, index: Small) -> NDArray[np.int32] | None:
    """The nodes none of whose edges reads an entry, where every other edge reads one of its own; None where not."""
    levelled = done.levelled
    edges = levelled.edges
    if edges.size == 0 and is_identity(index):
        return frozen(np.empty(0))
    read = index if edges.size == 0 else np.where(edges >= 0, index[edges], -1)
    nodes, children = np.zeros(levelled.in_ptr.size - 1, bool), levelled.child_of_edges
    nodes[children[read < 0]] = True
    own = read[~nodes[children]]
    fits = own.size > 0 and own.size == np.count_nonzero(read >= 0) and np.bincount(own).max() == 1
    return frozen(np.sort(done.rank[np.flatnonzero(nodes)])) if fits else None


def _incoming(done: Renumbered, on_edges: list[int]) -> Incoming:
    levelled = done.levelled
    csr = levelled.in_ptr, levelled.in_order
    slots = lay_slots(done.level_ptr, done.order, levelled.in_ptr)
    slot_runs, runs, parent = incoming_runs(
        done.level_ptr,
        done.order,
        done.rank,
        slots,
        levelled.in_parent,
        levelled.in_ptr,
        LEAST_RUN,
    )
    pieces, listed, ptr, taken = [np.empty((0, 3), np.int32)], [np.empty(0, np.int32)], [0], 0
    for k in on_edges:
        index = levelled.indices[k]
        found, entries = pieces_of(done.order, *csr, levelled.edges, index, LEAST_PIECE)
        found[found[:, 2] == LISTED, 1] += taken
        pieces.append(found)
        listed.append(entries)
        ptr.append(ptr[-1] + len(found))
        taken += entries.size
    fan_in = np.diff(levelled.in_ptr)[done.order] if on_edges else done.order[:0]
    return Incoming(
        levels=frozen(done.level_ptr),
        place=frozen(done.level_ptr),
        slots=frozen(slots[0]),
        first=frozen(slots[1]),
        width=frozen(slots[2]),
        slot_runs=frozen(slot_runs),
        runs=frozen(runs),
        parent=frozen(parent),
        edges=frozen(np.concatenate([[0], np.cumsum(fan_in)])),
        piece_ptr=frozen(np.array(ptr)),
        pieces=frozen(np.concatenate(pieces)),
        entry=frozen(np.concatenate(listed)),
        direct=frozen(np.empty(0)),
        reader=frozen(np.empty(0)),
        bare=frozen(np.empty(0)),
        blocks=frozen(np.array(on_edges, np.int64)),
    )


def _direct(incoming: Incoming) -> NDArray[np.int32]:
    """[E] the entries of the one potential on edges slot by slot; nothing where half of the parents follow a rule.

    Then one sample's rows of neighbouring nodes find their potentials, and places for their weights, at once.
    """
    _, counts, _, steps = incoming.runs.T
    edges = int(incoming.edges[-1])
    if 2 * int(counts[steps == LISTED].sum()) <= edges:
        return frozen(np.empty(0))
    level = np.repeat(np.arange(incoming.levels.size - 1), np.diff(incoming.slots))
    depth = np.arange(level.size) - incoming.slots[level]
    node = np.repeat(incoming.levels[level] - incoming.first, incoming.width) + np.arange(edges, dtype=np.int32)
    return frozen(listed_entries(incoming, 0)[incoming.edges[node] + np.repeat(depth, incoming.width)])


def _reader(incoming: Incoming, entries: int) -> NDArray[np.int32]:
    """[entries] the edge, node by node, that reads an entry of the one potential on edges, -1: none.

    Nothing where edges read most entries in their order, or where a row for each edge would be many for each node.
    """
    edges, nodes = int(incoming.edges[-1]), int(incoming.levels[-1])
    counts, listed = np.diff(incoming.pieces[:, 0]), incoming.pieces[:-1, 2] == LISTED
    if 2 * int(counts[listed].sum()) <= edges or edges > LARGEST_FAN_IN * nodes or entries < LEAST_ENTRIES:
        return frozen(np.empty(0))
    read = listed_entries(incoming, 0)
    reader = np.full(entries, -1, np.int32)
    reader[read[read >= 0]] = np.flatnonzero(read >= 0)
    return frozen(reader)


def _outgoing(done: Renumbered, on_edges: list[int]) -> tuple[Outgoing, Numbers]:
    levelled = done.levelled
    out_ptr, out_order, out_child = by_parent(levelled.parents, levelled.children, levelled.fan_out, levelled.in_ptr)
    level_runs, runs, listed, farthest = outgoing_runs(
        done.level_ptr,
        done.order,
        done.rank,
        levelled.edges,
        levelled.in_ptr,
        levelled.slot,
        out_ptr,
        out_order,
        out_child,
        LEAST_RUN,
        ENTRY + 2 * len(on_edges),
    )
    for place, k in enumerate(on_edges):
        index, column = levelled.indices[k], ENTRY + 2 * place
        if is_identity(index):
            runs[:, column : column + 2] = runs[:, EDGE : EDGE + 2]
        else:
            more = entry_runs(runs, listed, column, index)
            listed = np.concatenate([listed, more]) if more.size else listed
    blocks = frozen(np.array(on_edges, np.int64))
    return Outgoing(frozen(level_runs), frozen(runs), frozen(listed), blocks), farthest


def _hoisted(
    blocks: list[int], node_entries: list[NDArray[Any]], sizes: list[int], level_ptr: Any, farthest: Numbers
) -> Hoisted:
    bands = cut_bands(level_ptr)
    found, lists = [], []
    for entry, size in zip(node_entries, sizes, strict=True):
        place, room = places_among_read(entry, size)
        ptr, sheets, left = find_sheets(entry, place, room, level_ptr, bands)
        found.append((ptr, sheets))
        lists.append(sorted_in_bands(left, room, level_ptr, bands))
    nothing, no_sheet = np.empty(0, np.int64), np.empty((0, 3 + SHEET_COLUMNS), np.int64)
    return Hoisted(
        blocks=frozen(np.array(blocks, np.int64)),
        levels=frozen(bands),
        floor=frozen(floors(level_ptr, _last_readers(level_ptr, farthest), bands)),
        ptr=frozen(_joined([ptr for ptr, _ in lists])),
        node=frozen(np.concatenate([nothing, *(nodes for _, nodes in lists)])),
        entry=frozen(np.concatenate([nothing, *(e[nodes] for e, (_, nodes) in zip(node_entries, lists, strict=True))])),
        sheet_ptr=frozen(_joined([ptr for ptr, _ in found])),
        sheets=frozen(np.concatenate([no_sheet, *(sheets for _, sheets in found)])),
    )


def _joined(pointers: list[Numbers]) -> Numbers:
    """Pointers into one list behind another as pointers into both."""
    return np.cumsum(np.concatenate([[0], *(np.diff(ptr) for ptr in pointers)]))


def _last_readers(levels: Numbers, farthest: Numbers) -> Numbers:
    """[levels] the last level to which an edge leads from each; itself for the last of them."""
    readers = np.searchsorted(levels, farthest[:-1], side="right") - 1
    return np.append(readers, readers.size)


def _passing(incoming: Incoming, farthest: Numbers) -> Incoming:
    """`incoming` for a pass that nobody looks back at: v of a level is kept until its last child is done."""
    levels = incoming.levels
    place = window(levels, _last_readers(levels, farthest))
    if place is None:
        return incoming
    shift = (place - levels)[:-1]

    def moved(nodes: Numbers) -> Numbers:
        return nodes + shift[np.searchsorted(levels, nodes, side="right") - 1]

    runs, by_rule = incoming.runs.copy(), incoming.runs[:, 3] != LISTED
    _, count, start, step = runs[by_rule].T
    runs[by_rule, 2] = moved(start)
    in_one_level = np.array_equal(moved(start + step * (count - 1)), runs[by_rule, 2] + step * (count - 1))
    changed = {"place": frozen(place), "runs": frozen(runs), "parent": frozen(moved(incoming.parent))}
    return incoming._replace(**changed) if in_one_level else incoming
