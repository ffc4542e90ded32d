"""The backward pass (Algorithms 1 and 2) that pulls over outgoing edges: a node's edges read ē of their children.

An edge's weight is recomputed from what its two ends keep, a row at a time: one edge of all samples, or neighbouring
edges of one sample (edge_ends.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.progressions import CHILD, FIRST, LISTED, PARENT, SLOT
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.edge_ends import EdgeEnds, edge_weight, prefetch_ends, prefetch_tangents, row_ends
from dagdp.kernels.cpu.memory import CHUNK
from dagdp.kernels.cpu.outgoing_runs import Chunk, columns_of, edges_of, lists_again, quantity, read_run, write_run
from dagdp.kernels.cpu.packing.node_potentials import write_hoisted
from dagdp.kernels.cpu.progressions import last_at_most, term
from dagdp.kernels.cpu.records import Adjoint, Arrays, Block, Floats, Graph, Row, State, Workspace
from dagdp.kernels.cpu.rows import add_to, fill, store_lanes
from dagdp.kernels.cpu.special.tied_levels import tied_backward, tied_flush, write_tied
from dagdp.kernels.recursion import flow, flow_tangent, weight_tangent
from dagdp.lanes.gather import scatter_add
from dagdp.lanes.operators import first_only
from dagdp.lanes.prefetch import FAR
from dagdp.lanes.rows import fenced, load, splat, store
from dagdp.lanes.views import get, offset_view, width


@inlined
def scatter_add_row(
    bar: Floats, outgoing: Any, run: int, e: int, ends: EdgeEnds, flows: Row, block: Block, chunk_flows: Floats
) -> None:
    """Add a row of flows, of a run's edges from e on, to their parents' ē, in the order of edges.

    chunk_flows : memory of a row, which keeps the flows where edges have potentials of their own.
    """
    if block.lanes_are_samples is None or outgoing.potentials.shape[0] > 0:
        store(chunk_flows, 0, flows)
    if block.lanes_are_samples is not None:
        add_to(bar, ends.parent, flows)
        return
    parents = quantity(outgoing, run, PARENT, e)
    if parents.step == 1:
        store_lanes(bar, ends.parent, load(bar, ends.parent) + flows, ends.count)
    elif parents.step == LISTED:
        scatter_add(bar, parents.listed, parents.start, 0, ends.count, flows)
    else:
        for w in range(ends.count):
            bar[term(parents, w)] += get(chunk_flows, w)


@inner
def longest_run(outgoing: Any, level: int) -> int:
    """The longest run of those that leave a level."""
    found, most = -1, 0
    for run in range(outgoing.level_runs[level], outgoing.level_runs[level + 1]):
        if edges_of(outgoing, run) > most:
            found, most = run, edges_of(outgoing, run)
    return found


@inlined
def levels_of(hoisted: Any, band: int, top: int) -> Any:
    """(first, last): the band's levels below `top`."""
    return min(top, get(hoisted.levels, band)), min(top, get(hoisted.levels, band + 1))


@inlined
def contiguous_edges(omega: Any, outgoing: Any, chunk: Chunk, block: Block, w: Any, bar: Floats) -> Any:
    """(edges of a chunk that make full rows whose parents and children rise with them, the ends of the first row).

    These rows need no list of ends. There are none where edges have potentials of their own.
    """
    row = width(bar)
    parents = quantity(outgoing, chunk.run, PARENT, chunk.first)
    children = quantity(outgoing, chunk.run, CHILD, chunk.first)
    slots = quantity(outgoing, chunk.run, SLOT, chunk.first)
    ends = EdgeEnds(parents.start * block.lanes, children.start * block.lanes, splat(bar, slots.start), row, None)
    if w is not None or parents.step != 1 or children.step != 1 or (first_only(omega) and slots.step != 0):
        return 0, ends
    return (chunk.count if block.lanes_are_samples is not None else chunk.count - chunk.count % row), ends


@inlined
def row_flow(
    omega: Any, block: Block, state: State, adjoint: Adjoint, ends: EdgeEnds, w: Any, at: int, below: int
) -> Row:
    """e = q ē on a row of edges."""
    if below > 0:
        prefetch_ends(state, adjoint.bar, ends, below)
    q, _ = edge_weight(omega, block.scaled, state, ends, w, at)
    return fenced(flow(q, load(adjoint.bar, ends.child)))


@inlined
def row_tangent(
    omega: Any, block: Block, state: State, adjoint: Adjoint, ends: EdgeEnds, work: Workspace, at: int, below: int
) -> Any:
    """(e, ė) on a row of edges: e = q ē, ė = q̇ ē + q ē̇."""
    bar, bar_dot = adjoint.bar, adjoint.bar_dot
    if below > 0:
        prefetch_ends(state, bar, ends, below)
        prefetch_tangents(state, bar_dot, ends, below)
    q, s = edge_weight(omega, block.scaled, state, ends, work.chunk_potentials, at)
    x_dot = load(state.v_dot, ends.parent)
    if ends.other is not None:
        x_dot = x_dot + load(state.v_dot, ends.other)
    if work.chunk_potentials is not None:
        x_dot = x_dot + load(work.chunk_directions, at)
    q_dot = weight_tangent(s, x_dot, load(state.c, ends.child), bar.dtype.type(1) / omega.gamma)
    above, above_dot = load(bar, ends.child), load(bar_dot, ends.child)
    return fenced(flow(q, above)), fenced(flow_tangent(q, q_dot, above, above_dot))


@inlined
def pull_chunk(
    omega: Any, outgoing: Any, block: Block, chunk: Chunk, arrays: Arrays, state: State, adjoint: Adjoint,
    work: Workspace,
) -> None:  # fmt: skip
    """e on a chunk of edges, added to their parents' ē and to the gradient."""
    w, flows, bar = work.chunk_potentials, work.chunk_flows, adjoint.bar
    lanes, row = block.lanes, width(bar)
    if w is not None and not first_only(omega):
        fill(w, 0, chunk.count * lanes, 0)
        read_run(w, work.tile, arrays.theta, outgoing, block, chunk)
    done, first = contiguous_edges(omega, outgoing, chunk, block, w, bar)
    for at in range(0, done * lanes, row):
        near = EdgeEnds(first.parent + at, first.child + at, first.slot, row, None)
        add_to(bar, near.parent, row_flow(omega, block, state, adjoint, near, w, at, chunk.below))
    for at in range(done * lanes, chunk.count * lanes, row):
        e = chunk.first + at // lanes
        ends = row_ends(omega, outgoing, chunk, e, block, state, adjoint, work)
        values = row_flow(omega, block, state, adjoint, ends, w, at, chunk.below)
        scatter_add_row(bar, outgoing, chunk.run, e, ends, values, block, offset_view(flows, at))
    if w is not None and not lists_again(outgoing, chunk.run, work.second_rows):
        write_run(arrays.gradient, flows, work.tile, arrays.theta, outgoing, block, chunk)


@inlined
def pull_chunk_tangent(
    omega: Any, outgoing: Any, block: Block, chunk: Chunk, arrays: Arrays, state: State, adjoint: Adjoint,
    work: Workspace,
) -> None:  # fmt: skip
    """e and ė on a chunk of edges, added to their parents' ē and ē̇; ė is added to the gradient."""
    w, w_dot, flows = work.chunk_potentials, work.chunk_directions, work.chunk_flows
    bar, bar_dot, lanes, row = adjoint.bar, adjoint.bar_dot, block.lanes, width(adjoint.bar)
    if w is not None:
        fill(w, 0, chunk.count * lanes, 0)
        read_run(w, work.tile, arrays.theta, outgoing, block, chunk)
        fill(w_dot, 0, chunk.count * lanes, 0)
        read_run(w_dot, work.tile, arrays.z, outgoing, block, chunk)
    done, first = contiguous_edges(omega, outgoing, chunk, block, w, bar)
    for at in range(0, done * lanes, row):
        near = EdgeEnds(first.parent + at, first.child + at, first.slot, row, None)
        values, tangents = row_tangent(omega, block, state, adjoint, near, work, at, chunk.below)
        add_to(bar, near.parent, values)
        add_to(bar_dot, near.parent, tangents)
    for at in range(done * lanes, chunk.count * lanes, row):
        e = chunk.first + at // lanes
        ends = row_ends(omega, outgoing, chunk, e, block, state, adjoint, work)
        values, tangents = row_tangent(omega, block, state, adjoint, ends, work, at, chunk.below)
        here = offset_view(flows, at)
        scatter_add_row(bar, outgoing, chunk.run, e, ends, values, block, here)
        scatter_add_row(bar_dot, outgoing, chunk.run, e, ends, tangents, block, here)
    if w is not None and not lists_again(outgoing, chunk.run, work.second_rows):
        write_run(arrays.gradient, flows, work.tile, arrays.theta, outgoing, block, chunk)


@inlined
def pull_level(
    omega: Any, graph: Graph, block: Block, level: int, arrays: Arrays, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """The flows on the edges that leave a level."""
    incoming, outgoing = graph.incoming, graph.outgoing
    n0, n1 = get(incoming.levels, level), get(incoming.levels, level + 1)
    longest = longest_run(outgoing, level) if adjoint.bar.shape[0] > FAR else -1
    for run in range(outgoing.level_runs[level + 1] - 1, outgoing.level_runs[level] - 1, -1):
        below = (n1 - n0) * block.lanes if run == longest else 0
        edges = edges_of(outgoing, run)
        for first in range(0, edges, CHUNK):
            chunk = Chunk(run, first, min(CHUNK, edges - first), below)
            if adjoint.bar_dot is None:
                pull_chunk(omega, outgoing, block, chunk, arrays, state, adjoint, work)
            else:
                pull_chunk_tangent(omega, outgoing, block, chunk, arrays, state, adjoint, work)


@inner
def backward(
    omega: Any, graph: Graph, block: Block, top: int, arrays: Arrays, state: State, adjoint: Adjoint, work: Workspace
) -> None:
    """E, and ē of every node (Algorithm 1); with a direction Ė, and the tangents of ē (Algorithm 2, A3)."""
    incoming, hoisted = graph.incoming, graph.hoisted
    bar = adjoint.bar if adjoint.bar_dot is None else adjoint.bar_dot
    for band in range(last_at_most(hoisted.levels, top), -1, -1):
        oldest, newest = levels_of(hoisted, band, top)
        for level in range(newest - 1, oldest - 1, -1):
            served = False
            if work.matrices is not None:
                served = tied_backward(omega, graph, level + 1, block, state, adjoint, work.matrices)
            outgoing = graph.untied if served else graph.outgoing
            here = Graph(incoming, outgoing, graph.untied, hoisted, graph.tied)
            pull_level(omega, here, block, level, arrays, state, adjoint, work)
        if state.node_potentials is not None:
            write_hoisted(arrays.gradient, work.tile, arrays.theta, hoisted, band, block, bar)
    if work.matrices is not None:
        tied_flush(omega, graph.tied, work.matrices)
        write_tied(graph.tied, work.matrices, graph.outgoing.potentials, block, arrays)


@inner
def local_weights(
    omega: Any, graph: Graph, block: Block, top: int, arrays: Arrays, state: State, work: Workspace
) -> None:
    """q of every edge that leaves a level before `top`.

    arrays.gradient : the result [items, edges in the order of `outgoing`]. q is 0 at a node that no path reaches.
    HardMax would give it a weight of 1, so its value is tested, too.
    """
    v_hi, outgoing, out = state.v_hi, graph.outgoing, arrays.gradient
    w, weights = work.chunk_potentials, work.chunk_flows
    lanes, row = block.lanes, width(v_hi)
    lowest = v_hi.dtype.type(-np.inf)
    for run in range(outgoing.level_runs[top] - 1, -1, -1):
        edges = 0 if lists_again(outgoing, run, work.second_rows) else edges_of(outgoing, run)
        for skip in range(0, edges, CHUNK):
            chunk = Chunk(run, skip, min(CHUNK, edges - skip), 0)
            if w is not None:
                fill(w, 0, chunk.count * lanes, 0)
                read_run(w, work.tile, arrays.theta, outgoing, block, chunk)
            for at in range(0, chunk.count * lanes, row):
                ends = row_ends(omega, outgoing, chunk, skip + at // lanes, block, state, Adjoint(None, None), work)
                q, _ = edge_weight(omega, block.scaled, state, ends, w, at)
                store(weights, at, q)
            children = quantity(outgoing, run, CHILD, skip)
            first = get(outgoing.runs, run * columns_of(outgoing) + FIRST) + skip
            for b in range(min(lanes, block.stop - block.first)):
                for e in range(chunk.count):
                    if v_hi[term(children, e) * lanes + b] > lowest:
                        out[block.first + b, first + e] = weights[e * lanes + b]
