"""What lies at the two ends of a row of outgoing edges, from which their weights are made anew.

A row is one edge of all samples, or neighbouring edges of one sample. Rows that lie nowhere as rows are put together
behind the state (`spare`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.progressions import CHILD, LISTED, PARENT, SLOT
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.outgoing_runs import quantity
from dagdp.kernels.cpu.packing.entries import Source
from dagdp.kernels.cpu.row_max import weighed
from dagdp.kernels.cpu.rows import number
from dagdp.kernels.cpu.special.scaled import power_weight
from dagdp.kernels.recursion import argument, difference, join, rejoined
from dagdp.lanes.gather import gather_pair, gather_vector
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rows import load, row_of, store
from dagdp.lanes.views import expect_row, pick, row_length


class Ends(NamedTuple):
    """Where the rows at the two ends of a row of edges lie, and how many lanes are edges."""

    parent: Any
    child: Any
    slot: Any  # row: the edges' places among their siblings
    count: Any


class Along(NamedTuple):
    """What the Hessian product's backward pass has beside the gradient's."""

    z: Source
    v_dot: Any
    c: Any
    bar_dot: Any


@inlined
def gather(array: Any, at: int, nodes: Any, count: int) -> None:
    """One sample's numbers at some nodes, as a row at `at`."""
    if array is None or array.shape[0] == 0:
        return
    if nodes[2] == 0:
        store(array, at, row_of(array, pick(array, nodes[1])))
        return
    if nodes[2] == LISTED:
        store(array, at, gather_vector(array, nodes[0], nodes[1], 0, count))
        return
    for w in range(count):
        array[at + w] = pick(array, number(nodes, w))


@inlined
def gather_value(v_hi: Any, v_lo: Any, at: int, nodes: Any, count: int) -> None:
    """The same of v, a number kept as two."""
    if nodes[2] == LISTED:
        hi, lo = gather_pair(v_hi, v_lo, nodes[0], nodes[1], count)
        store(v_hi, at, hi)
        store(v_lo, at, lo)
    else:
        gather(v_hi, at, nodes, count)
        gather(v_lo, at, nodes, count)


@inlined
def row_ends(
    omega: Any, outgoing: Any, run: int, skip: int, left: int, batch: Any, spare: int, state: Any, bars: Any
) -> Ends:
    """The ends of the edges of a run from the edge `skip` on, `left` of them to come."""
    v_hi, v_lo, kappa, v_dot, c, own, _ = state
    real = v_hi.dtype.type
    whole = row_length(v_hi)
    parents, children = quantity(outgoing, run, PARENT, skip), quantity(outgoing, run, CHILD, skip)
    slots = quantity(outgoing, run, SLOT, skip)
    slot = row_of(v_hi, 0)
    if batch.together is not None:
        if first_only(omega):
            slot = row_of(v_hi, real(number(slots, 0)))
        return Ends(number(parents, 0) * whole, number(children, 0) * whole, slot, whole)
    count = min(left, whole)
    j, i = parents[1], children[1]
    if parents[2] != 1:
        j = spare
        gather_value(v_hi, v_lo, j, parents, count)
        gather(v_dot, j, parents, count)
    if children[2] != 1:
        i = spare + whole
        gather_value(v_hi, v_lo, i, children, count)
        gather(kappa, i, children, count)
        gather(own, i, children, count)
        gather(c, i, children, count)
        gather(bars[0], i, children, count)
        gather(bars[1], i, children, count)
    if first_only(omega):
        at = spare + 2 * whole
        for w in range(count):
            v_hi[at + w] = real(number(slots, w))
        slot = load(v_hi, at)
    return Ends(j, i, slot, count)


@inlined
def argument_of(omega: Any, state: Any, ends: Ends, potentials: Any, at: int) -> Any:
    """What `weighed` asks, for a row of edges: (x_e - v_i)/γ and κ_i, or HardMax's place among siblings."""
    v_hi, v_lo, kappa, _, _, own, _ = state
    if first_only(omega):
        return argument(omega, row_of(v_hi, 0), ends.slot, load(kappa, ends.child))
    hi, lo = difference(load(v_hi, ends.parent), load(v_hi, ends.child))
    if potentials is not None:
        hi, lo = join(hi, lo, load(potentials, at))
    if own is not None:
        hi, lo = join(hi, lo, load(own, ends.child))
    real = v_hi.dtype.type
    y = rejoined(hi, lo, load(v_lo, ends.parent), load(v_lo, ends.child), real(1) / omega.gamma)
    if exponential(omega):
        return y + (real(1) - omega.corner)  # κ is 1
    return argument(omega, y, ends.slot, load(kappa, ends.child))


@inlined
def edge_weight(omega: Any, powers: bool | None, state: Any, ends: Ends, potentials: Any, at: int) -> Any:
    """(q, s) of a row of edges."""
    if powers is not None:
        q = power_weight(state, ends.parent, ends.child)
        return q, q
    return weighed(omega, argument_of(omega, state, ends, potentials, at))


@inlined
def expect_ends(state: Any, bar: Any, ends: Ends, below: int) -> None:
    """Ask for what the next level's edges will read: no processor guesses that levels are left downwards."""
    v_hi, v_lo, kappa, _, _, own, _ = state
    parent, child = ends.parent - below, ends.child - below
    if parent >= 0:
        expect_row(v_hi, parent)
        expect_row(v_lo, parent)
        expect_row(bar, parent)
        if kappa.shape[0] > 0:
            expect_row(kappa, child)
        if own is not None:
            expect_row(own, child)


@inlined
def expect_tangents(along: Along, ends: Ends, below: int) -> None:
    """The same for what the Hessian product reads besides."""
    if ends.parent >= below:
        expect_row(along.v_dot, ends.parent - below)
        expect_row(along.bar_dot, ends.parent - below)
        expect_row(along.c, ends.child - below)
