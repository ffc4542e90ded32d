"""SPECIALISE: structure proved from the arrays, never guessed from a name.

A potential that all edges into a node share is hoisted to the node: max_Ω(x + c) = max_Ω(x) + c, so it
is read once and its gradient is the node's adjoint (the cost of a DTW cell, the emission of a CRF).
"""

from __future__ import annotations

import numpy as np

from dagdp.compiled import CompiledDAG, Wiring
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.validate import Numbers
from dagdp.graph import Potential


def specialise(done: Renumbered) -> CompiledDAG:
    """Choose for each potential where it is read, and freeze the arrays."""
    sound = done.levelled.sound
    entries = [_entries(potential, done.in_edges) for potential in sound.potentials]
    shared = [_shared_entry(entry, done.child, done.origin.size) for entry in entries]
    on_nodes = [k for k, node_entry in enumerate(shared) if node_entry is not None]
    on_edges = [k for k, node_entry in enumerate(shared) if node_entry is None]
    hoisted = [_rows(node_entry) for node_entry in shared if node_entry is not None]
    nothing = np.empty(0, np.int64)
    wiring = Wiring(
        level_ptr=_frozen(done.level_ptr),
        level_slots=_frozen(done.level_slots),
        slot_first=_frozen(done.slot_first),
        slot_width=_frozen(done.slot_width),
        parent=_frozen(done.parent),
        entry=_frozen(np.array([entries[k] for k in on_edges]).reshape(len(on_edges), -1)),
        out_ptr=_frozen(done.out_ptr),
        out_parent=_frozen(done.out_parent),
        out_child=_frozen(done.out_child),
        out_slot=_frozen(done.out_slot),
        out_entry=_frozen(
            np.array([_entries(sound.potentials[k], done.out_edges) for k in on_edges]).reshape(len(on_edges), -1)
        ),
        edge_blocks=_frozen(np.array(on_edges, np.int64)),
        node_blocks=_frozen(np.array(on_nodes, np.int64)),
        hoist_ptr=_frozen(np.concatenate([[0], np.cumsum([nodes.size for nodes, _ in hoisted])])),
        hoist_node=_frozen(np.concatenate([nothing, *(nodes for nodes, _ in hoisted)])),
        hoist_entry=_frozen(np.concatenate([nothing, *(rows for _, rows in hoisted)])),
    )
    return CompiledDAG(
        graph=sound.graph,
        potentials=sound.potentials,
        wiring=wiring,
        origin=_locked(done.origin),
        rank=_locked(done.rank),
        edges=_locked(done.out_edges),
        end=done.end,
        starts=_locked(sound.starts),
        ends=_locked(sound.ends),
        hoisted=tuple(on_nodes),
    )


def _entries(potential: Potential, edges: Numbers) -> Numbers:
    """Entry of the potential for each edge in the given order; -1 for edges into the extra end."""
    return np.where(edges >= 0, potential.index[edges], -1)


def _shared_entry(entry: Numbers, child: Numbers, size: int) -> Numbers | None:
    """[nodes] the entry that all edges into a node read (-1: none), or None if some node's edges differ."""
    node_entry = np.full(size, -1, np.int64)
    node_entry[child] = entry
    return node_entry if np.array_equal(node_entry[child], entry) else None


def _rows(node_entry: Numbers) -> tuple[Numbers, Numbers]:
    """(nodes, entries) in rising order of entry."""
    nodes = np.flatnonzero(node_entry >= 0)
    nodes = nodes[np.argsort(node_entry[nodes], kind="stable")]
    return nodes, node_entry[nodes]


def _frozen(array: Numbers) -> Numbers:
    """int32, contiguous, read-only: what a kernel gets."""
    made = np.ascontiguousarray(array, np.int32)
    return _locked(made)


def _locked(array: Numbers) -> Numbers:
    array.flags.writeable = False
    return array
