"""The two ends of a row of outgoing edges, and the edges' weights, recomputed from what the ends keep.

A row holds one edge of all samples, or neighbouring edges of one sample. Ends that do not form a row are assembled
behind the state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.progressions import CHILD, LISTED, PARENT, SLOT
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.outgoing_runs import Chunk, quantity
from dagdp.kernels.cpu.progressions import Progression, progression, term
from dagdp.kernels.cpu.records import Adjoint, Block, Floats, Row, State, Workspace
from dagdp.kernels.cpu.special.scaled import scaled_weight
from dagdp.kernels.recursion import argument, difference, join, rejoined
from dagdp.kernels.row_max import weight_at
from dagdp.lanes.gather import gather, gather_pair
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.prefetch import prefetch_row
from dagdp.lanes.rows import load, splat, store
from dagdp.lanes.views import get, width


class EdgeEnds(NamedTuple):
    """Where the rows at the two ends of a row of edges lie."""

    parent: int
    child: int
    slot: Row  # the edges' places among their siblings
    count: int  # lanes that are edges
    other: Any  # where the row of the other parents lies; None without hyperedges


@inlined
def assemble(array: Any, at: int, nodes: Progression, count: int) -> None:
    """Store one sample's numbers at some nodes as a row at `at`; nothing for an array that is absent or empty."""
    if array is None or array.shape[0] == 0:
        return
    if nodes.step == 0:
        store(array, at, splat(array, get(array, nodes.start)))
        return
    if nodes.step == LISTED:
        store(array, at, gather(array, nodes.listed, nodes.start, 0, count))
        return
    for w in range(count):
        array[at + w] = get(array, term(nodes, w))


@inlined
def assemble_value(v_hi: Floats, v_lo: Floats, at: int, nodes: Progression, count: int) -> None:
    """`assemble` for v, a number kept as two."""
    if nodes.step == LISTED:
        hi, lo = gather_pair(v_hi, v_lo, nodes.listed, nodes.start, count)
        store(v_hi, at, hi)
        store(v_lo, at, lo)
    else:
        assemble(v_hi, at, nodes, count)
        assemble(v_lo, at, nodes, count)


@inlined
def row_of_others(outgoing: Any, chunk: Chunk, e: int, count: int, block: Block, state: State, work: Workspace) -> Any:
    """Where the row of the other parents of a run's edges from e on lies; None without hyperedges."""
    if work.second_rows is None:
        return None
    listed, place = outgoing.other, get(outgoing.pairing, 2 * chunk.run) + e
    if block.lanes_are_samples is not None:
        return get(listed, place) * width(state.v_hi)
    at = work.spare + 3 * width(state.v_hi)
    others = progression(listed, place, LISTED)
    assemble_value(state.v_hi, state.v_lo, at, others, count)
    assemble(state.v_dot, at, others, count)
    return at


@inlined
def row_ends(
    omega: Any, outgoing: Any, chunk: Chunk, e: int, block: Block, state: State, adjoint: Adjoint, work: Workspace
) -> EdgeEnds:
    """The ends of the edges of a chunk from the run's edge e on; a row of them, or as many as are left."""
    v_hi, v_lo, spare = state.v_hi, state.v_lo, work.spare
    dtype, row = v_hi.dtype.type, width(v_hi)
    parents, children = quantity(outgoing, chunk.run, PARENT, e), quantity(outgoing, chunk.run, CHILD, e)
    slots = quantity(outgoing, chunk.run, SLOT, e)
    slot = splat(v_hi, 0)
    if block.lanes_are_samples is not None:
        if first_only(omega):
            slot = splat(v_hi, dtype(term(slots, 0)))
        other = row_of_others(outgoing, chunk, e, row, block, state, work)
        return EdgeEnds(term(parents, 0) * row, term(children, 0) * row, slot, row, other)
    count = min(chunk.first + chunk.count - e, row)
    parent, child = parents.start, children.start
    if parents.step != 1:
        parent = spare
        assemble_value(v_hi, v_lo, parent, parents, count)
        assemble(state.v_dot, parent, parents, count)
    if children.step != 1:
        child = spare + row
        assemble_value(v_hi, v_lo, child, children, count)
        assemble(state.kappa, child, children, count)
        assemble(state.node_potentials, child, children, count)
        assemble(state.c, child, children, count)
        assemble(adjoint.bar, child, children, count)
        assemble(adjoint.bar_dot, child, children, count)
    if first_only(omega):
        at = spare + 2 * row
        for w in range(count):
            v_hi[at + w] = dtype(term(slots, w))
        slot = load(v_hi, at)
    return EdgeEnds(parent, child, slot, count, row_of_others(outgoing, chunk, e, count, block, state, work))


@inlined
def argument_of(omega: Any, state: State, ends: EdgeEnds, potentials: Any, at: int) -> Row:
    """The argument of `weight_at` for a row of edges: (c_i + x_e - v_i)/γ + κ_i, with c_i hoisted.

    For HardMax it compares the edges' slots with the chosen slot, which `State.kappa` then holds.

    potentials : the edges' own, a row at `at`, or None.
    """
    v_hi, v_lo, kappa, own = state.v_hi, state.v_lo, state.kappa, state.node_potentials
    if first_only(omega):
        return argument(omega, splat(v_hi, 0), ends.slot, load(kappa, ends.child))
    hi, lo = difference(load(v_hi, ends.parent), load(v_hi, ends.child))
    if ends.other is not None:
        hi, lo = join(hi, lo, load(v_hi, ends.other))
        lo = lo + load(v_lo, ends.other)
    if potentials is not None:
        hi, lo = join(hi, lo, load(potentials, at))
    if own is not None:
        hi, lo = join(hi, lo, load(own, ends.child))
    dtype = v_hi.dtype.type
    y = rejoined(hi, lo, load(v_lo, ends.parent), load(v_lo, ends.child), dtype(1) / omega.gamma)
    if exponential(omega):
        return y + (dtype(1) - omega.corner)  # κ is 1
    return argument(omega, y, ends.slot, load(kappa, ends.child))


@inlined
def edge_weight(omega: Any, scaled: bool | None, state: State, ends: EdgeEnds, potentials: Any, at: int) -> Any:
    """(q, s) of a row of edges."""
    if scaled is not None:
        q = scaled_weight(state, ends.parent, ends.child)
        return q, q
    return weight_at(omega, argument_of(omega, state, ends, potentials, at))


@inlined
def prefetch_ends(state: State, bar: Floats, ends: EdgeEnds, below: int) -> None:
    """Prefetch what the next level's edges read. Levels are left downwards, which processors do not foresee."""
    parent, child = ends.parent - below, ends.child - below
    if parent >= 0:
        prefetch_row(state.v_hi, parent)
        prefetch_row(state.v_lo, parent)
        prefetch_row(bar, parent)
        if state.kappa.shape[0] > 0:
            prefetch_row(state.kappa, child)
        if state.node_potentials is not None:
            prefetch_row(state.node_potentials, child)


@inlined
def prefetch_tangents(state: State, bar_dot: Floats, ends: EdgeEnds, below: int) -> None:
    """Prefetch what the Hessian product reads besides."""
    if ends.parent >= below:
        prefetch_row(state.v_dot, ends.parent - below)
        prefetch_row(bar_dot, ends.parent - below)
        prefetch_row(state.c, ends.child - below)
