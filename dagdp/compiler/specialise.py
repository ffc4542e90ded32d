"""SPECIALISE: structure proved from the arrays, never guessed from a name.

A potential that all edges into a node share is hoisted to the node: max_Ω(x + c) = max_Ω(x) + c, so the entry is read
once, and its gradient is the node's adjoint (the cost of a DTW cell, the emission of a CRF). Edges whose two nodes
advance in step form runs, which kernels read without indices: step 1 is a level of a grid, step 0 a level of a trellis.
A user's own graph with such structure gains as DTW does. Graphs with hyperedges are left as they are.
"""

from __future__ import annotations

import numpy as np

import dagdp.pool as pool
from dagdp.compiled.dag import ENTRANCE, EXTRA_END, UNREACHED, CompiledDAG, frozen, locked
from dagdp.compiled.index_arrays import Incoming, Outgoing, Wiring
from dagdp.compiled.progressions import EDGE, ENTRY
from dagdp.compiler.arrays import by_parent
from dagdp.compiler.edge_potentials import (
    affine_pieces,
    edge_of_entry,
    entries_by_slot,
    entry_runs,
    is_identity,
    nodes_without_entries,
)
from dagdp.compiler.generic import listed_incoming, listed_outgoing
from dagdp.compiler.hyperedges import listed_twice, with_second_parents
from dagdp.compiler.node_potentials import hoisted_entries, shared_entries
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.repeated_levels import tie
from dagdp.compiler.runs import EdgeNumbers, incoming_runs, lay_slots, outgoing_runs
from dagdp.compiler.validate import Numbers
from dagdp.compiler.value_window import in_window, last_readers

PROVE = True  # False in tests alone (pytest --generic): then nothing is specialised
LEAST_RUN = 32  # edges: a shorter run is read by index. Chosen with trellises of 16 states in mind, not tuned
LARGE = 1 << 17  # edges from which the two sides of a graph are cut into runs on two threads, a millisecond each


def specialise(done: Renumbered) -> CompiledDAG:
    """Choose for each potential where it is read, fold away what advances by a constant step, freeze the arrays."""
    levelled, sound, nodes = done.levelled, done.levelled.sound, done.nodes
    prove = PROVE and levelled.second is None
    shared = [shared_entries(done, index) for index in levelled.indices]
    on_nodes = [k for k, (everywhere, _) in enumerate(shared) if everywhere and prove]
    on_edges = [k for k in range(len(shared)) if k not in on_nodes]
    nothing = nodes.order[:0].copy()
    for k in on_nodes:
        levelled.indices[k] = nothing  # not read again
    threads = min(2, pool.available()) if levelled.parents.size > LARGE else 1
    incoming, (outgoing, farthest) = pool.run(lambda side: side(done, on_edges), [_incoming, _outgoing], threads)
    entryless = nodes_without_entries(done, levelled.indices[on_edges[0]]) if prove and len(on_edges) == 1 else None
    if entryless is not None:
        size = sound.potentials[on_edges[0]].size
        by_slot, reader = entries_by_slot(incoming), edge_of_entry(incoming, size)
        incoming = incoming._replace(slot_entries=by_slot, reader=reader, entryless=entryless)
    if not on_edges:
        levelled.parents = nothing
        levelled.incoming = levelled.incoming._replace(order=nothing, other=nothing)
    sizes, last_reader = [sound.potentials[k].size for k in on_nodes], last_readers(nodes.level_ptr, farthest)
    hoisted = hoisted_entries(on_nodes, [shared[k][1] for k in on_nodes], sizes, nodes.level_ptr, last_reader)
    if not PROVE:
        incoming, outgoing = listed_incoming(incoming), listed_outgoing(outgoing)
    tied, untied = tie(done, on_edges if prove else [], outgoing)
    windowed = in_window(incoming, last_reader) if prove else incoming
    wiring = Wiring(incoming, outgoing, hoisted, tied, untied, windowed)
    users, end = sound.graph.num_nodes, int(nodes.rank[levelled.end])
    origin = nodes.order
    if sound.ends.size > 1 or sound.entered.size:
        origin = np.where(origin < users, origin, np.int32(ENTRANCE))
        origin[end] = EXTRA_END if sound.ends.size > 1 else origin[end]
    entrances = np.stack([sound.entered, nodes.rank[users : users + sound.entered.size]], 1)
    rank = nodes.rank[:users]
    if rank.min() < 0:
        rank = np.where((rank < 0) & ~sound.reached, np.int32(UNREACHED), rank)
    return CompiledDAG(
        graph=sound.graph,
        potentials=sound.potentials,
        wiring=wiring,
        origin=locked(origin),
        rank=locked(rank),
        end=end,
        starts=locked(sound.starts),
        entrances=frozen(entrances),
        ends=locked(sound.ends),
        hoisted=tuple(on_nodes),
        weights_fit=entryless is not None,
    )


def _incoming(done: Renumbered, on_edges: list[int]) -> Incoming:
    nodes, edges = done.nodes, done.levelled.incoming
    slots = lay_slots(nodes.level_ptr, nodes.order, edges.ptr)
    slot_runs, runs, parent = incoming_runs(nodes, slots, edges, LEAST_RUN)
    entries = affine_pieces(done, on_edges)
    fan_in = np.diff(edges.ptr)[nodes.order] if on_edges else nodes.order[:0]
    made = Incoming(
        levels=frozen(nodes.level_ptr),
        place=frozen(nodes.level_ptr),
        slots=frozen(slots.level_ptr),
        first=frozen(slots.first),
        width=frozen(slots.width),
        slot_runs=frozen(slot_runs),
        runs=frozen(runs),
        parent=frozen(parent),
        edges=frozen(np.concatenate([[0], np.cumsum(fan_in)])),
        piece_ptr=frozen(entries.ptr),
        pieces=frozen(entries.pieces),
        entry=frozen(entries.listed),
        slot_entries=frozen(np.empty(0)),
        reader=frozen(np.empty(0)),
        entryless=frozen(np.empty(0)),
        potentials=frozen(np.array(on_edges, np.int64)),
        second=frozen(np.empty(0)),
    )
    return made if done.levelled.second is None else with_second_parents(done, made)


def _outgoing(done: Renumbered, on_edges: list[int]) -> tuple[Outgoing, Numbers]:
    """(outgoing edges, [levels] the largest child of each level's nodes)."""
    levelled, in_ptr = done.levelled, done.levelled.incoming.ptr
    if levelled.second is not None:
        return listed_twice(done, on_edges)
    edges = by_parent(levelled.parents, levelled.children, levelled.fan_out, in_ptr)
    numbers = EdgeNumbers(levelled.edges, in_ptr, levelled.slot)
    levels, runs, listed = outgoing_runs(done.nodes, edges, numbers, LEAST_RUN, ENTRY + 2 * len(on_edges))
    for place, k in enumerate(on_edges):
        index, column = levelled.indices[k], ENTRY + 2 * place
        if is_identity(index):
            runs[:, column : column + 2] = runs[:, EDGE : EDGE + 2]
        else:
            more = entry_runs(runs, listed, column, index)
            listed = np.concatenate([listed, more]) if more.size else listed
    blocks, none = frozen(np.array(on_edges, np.int64)), frozen(np.empty(0))
    return Outgoing(frozen(levels.ptr), frozen(runs), frozen(listed), blocks, none, none), levels.farthest
