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

from dagdp.compiled import CompiledDAG, Hoisted, Incoming, Outgoing, Wiring
from dagdp.compiler.arrays import cut_runs
from dagdp.compiler.bands import cut_bands, sorted_in_bands, window
from dagdp.compiler.renumber import Renumbered
from dagdp.compiler.validate import Numbers
from dagdp.graph import Potential

LEAST_RUN = 32  # edges: a shorter run is read by index. Chosen with trellises of 16 states in mind, not tuned


def specialise(done: Renumbered) -> CompiledDAG:
    """Choose for each potential where it is read, and freeze the arrays."""
    sound = done.levelled.sound
    entries = [_entries(potential, done.in_edges) for potential in sound.potentials]
    shared = [_shared_entry(entry, done.in_child, done.origin.size) for entry in entries]
    on_nodes = [k for k, node_entry in enumerate(shared) if node_entry is not None]
    on_edges = [k for k, node_entry in enumerate(shared) if node_entry is None]
    slot_runs, runs = cut_runs(np.append(done.slot_first, done.parent.size), done.parent, done.child, LEAST_RUN)
    out_level_runs, out_runs = cut_runs(done.out_ptr, done.out_parent, done.out_child, LEAST_RUN)
    out_entries = [_entries(sound.potentials[k], done.out_edges) for k in on_edges]
    blocks = _frozen(np.array(on_edges, np.int64))
    incoming = Incoming(
        levels=_frozen(done.level_ptr),
        place=_frozen(done.level_ptr),
        slots=_frozen(done.level_slots),
        first=_frozen(done.slot_first),
        width=_frozen(done.slot_width),
        slot_runs=_frozen(slot_runs),
        runs=_frozen(runs[:, :3]),
        parent=_frozen(done.parent),
        edges=_frozen(done.in_ptr),
        entry=_stacked([entries[k] for k in on_edges], done.parent.size),
        blocks=blocks,
    )
    outgoing = Outgoing(
        level_runs=_frozen(out_level_runs),
        runs=_frozen(out_runs),
        parent=_frozen(done.out_parent),
        child=_frozen(done.out_child),
        slot=_frozen(done.out_slot),
        entry=_stacked(out_entries, done.parent.size),
        blocks=blocks,
    )
    sizes = [sound.potentials[k].size for k in on_nodes]
    hoisted = _hoisted(on_nodes, [entry for entry in shared if entry is not None], sizes, done.level_ptr)
    wiring = Wiring(incoming, outgoing, hoisted, _passing(incoming, done))
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


def _hoisted(blocks: list[int], node_entries: list[Numbers], sizes: list[int], level_ptr: Numbers) -> Hoisted:
    bands = cut_bands(level_ptr)
    lists = [sorted_in_bands(entry, size, level_ptr, bands) for entry, size in zip(node_entries, sizes, strict=True)]
    counts = [np.diff(ptr) for ptr, _ in lists]
    nothing = np.empty(0, np.int64)
    return Hoisted(
        blocks=_frozen(np.array(blocks, np.int64)),
        levels=_frozen(bands),
        ptr=_frozen(np.cumsum(np.concatenate([[0], *counts]))),
        node=_frozen(np.concatenate([nothing, *(nodes for _, nodes in lists)])),
        entry=_frozen(
            np.concatenate([nothing, *(e[nodes] for e, (_, nodes) in zip(node_entries, lists, strict=True))])
        ),
    )


def _passing(incoming: Incoming, done: Renumbered) -> Incoming:
    """`incoming` for a pass that nobody looks back at: v of a level is kept until its last child is done."""
    farthest = np.maximum.reduceat(done.out_child, done.out_ptr[:-2])
    last_reader = np.searchsorted(done.level_ptr, farthest, side="right") - 1
    place = window(done.level_ptr, np.append(last_reader, last_reader.size))
    if place is None:
        return incoming
    parent = done.parent + np.repeat(place[:-1] - done.level_ptr[:-1], np.diff(done.level_ptr))[done.parent]
    first, count, _ = incoming.runs[incoming.runs[:, 2] == 1].T
    in_one_level = np.array_equal(parent[first + count - 1], parent[first] + count - 1)
    return incoming._replace(place=_frozen(place), parent=_frozen(parent)) if in_one_level else incoming


def _stacked(rows: list[Numbers], size: int) -> Numbers:
    """[len(rows), size], also where there is no row."""
    return _frozen(np.array(rows, np.int32).reshape(len(rows), size))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """int32, contiguous, read-only: what a kernel gets."""
    made = np.ascontiguousarray(array, np.int32)
    return _locked(made)


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
