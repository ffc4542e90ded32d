"""The CPU schedule: blocks of samples, level by level, row by row. Entry points of the run layer.

A block of `lanes` samples goes through all passes before the next one starts, so the state (a few numbers
a node) is allocated once a launch and stays warm. Lanes beyond the batch repeat its last sample and
are not handed back. One launch covers a range of blocks; threads take ranges, and no result depends on
how many threads there are.

Each entry point returns (the first sample that is not done, whether a value that was handed back is +inf or NaN: an
entry out of range reached it, or a sum overflowed). All samples are done, but where powers of two were out of range
(powers.py): there it ends, before anything of that block is added to a gradient, and whoever launched it goes on
without them. Its last arguments say which ways it goes, True or None, as `batch.together` and `batch.powers` do: of a
way that is None nothing is compiled (decided.py).
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import types

from dagdp.jit.decorators import Kernel, inlined, inner
from dagdp.jit.static_branches import fact
from dagdp.kernels.cpu.backward import backward, local_weights, seed_all
from dagdp.kernels.cpu.cursor import BARE_TOGETHER, DESK, spare_at
from dagdp.kernels.cpu.edge_ends import Along
from dagdp.kernels.cpu.forward import forward
from dagdp.kernels.cpu.graph_view import INCOMING, PASSING, backward_wires, forward_wires
from dagdp.kernels.cpu.memory import new_buffers, new_rows, new_state, part_held
from dagdp.kernels.cpu.packing.edge_order import begin_keeping, end_keeping
from dagdp.kernels.cpu.packing.entries import last_at_most
from dagdp.kernels.cpu.rows import fill
from dagdp.kernels.cpu.special.push import backward_bare
from dagdp.kernels.cpu.special.scaled import out_of_range, told
from dagdp.kernels.cpu.special.stored_weights import backward_kept
from dagdp.kernels.cpu.special.tied_products import fill_matrices, new_matrices, shared_by_all
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import part, pick, row_length


@inner
def next_end(incoming, batch, b0, ends, level):
    """The first level beyond `level` at which a sample of the block ends, or -1: then nothing more is visited.

    Of graphs side by side v is kept for all nodes, so they go to the last level in one stretch.
    """
    found = -1
    last = min(batch.last, b0 + batch.lanes)
    for end in ends[b0 * batch.graphs : last * batch.graphs]:
        at = last_at_most(incoming.levels, end)
        if at > level and (found < 0 or (at > found) == (batch.graphs > 1)):
            found = at
    return found


def pushes(omega, edges):
    """Whether the backward pass is that of bare.py, which makes anew what it asks of a node."""
    raise AssertionError("only asked in compiled code")


@fact(pushes)
def _pushes(omega, edges):
    return omega.instance_class.omega.solver == "exponential" and edges == types.none


@inlined
def new_ties(tying, omega, scratch, first, places, incoming, tied, theta, z, tangent):
    """((what is tied, its matrices) or None, whether an input was out of range, where the rest of the block begins)."""
    if tying is None:
        return None, False, first
    active = tied.shapes.shape[0] > 0 and shared_by_all(theta, incoming.blocks)
    active = active and (tangent is None or shared_by_all(z, incoming.blocks))
    made, first = new_matrices(scratch, first, places, tied, active, tangent)
    bad = fill_matrices(tied, incoming.blocks, theta, z, made, made.a.dtype.type(1) / omega.gamma) if active else False
    return (tied, made), bad, first


@inlined
def go_back(
    keeping, edges, omega, graph, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square, along
):
    """The backward pass; with `along` that of the Hessian product."""
    incoming, hoisted, places = graph[0], graph[3], buffers[0]
    if keeping is not None:
        seed_all(incoming, batch, b0, ends, seeds, state, bar, along)
        backward_kept(omega, incoming, hoisted, batch, b0, top, theta, state, bar, out, buffers, square, along)
    elif pushes(omega, edges):
        backward_bare(
            omega, incoming, hoisted, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, square, along
        )
    else:
        seed_all(incoming, batch, b0, ends, seeds, state, bar, along)
        spare = spare_at(places, incoming, batch.lanes, bar)
        backward(omega, *graph, batch, b0, top, theta, state, bar, out, rows, square, spare, along)


@inner
def hand_back(omega, out, values, state, m, batch, b0, incoming, level, ends, sign, square):
    """The state of the end node of each sample that ends at this level; of graphs side by side, of all their ends.

    Where there is an `m`, the state is k of powers of two m·2^k. Returns whether a sum overflowed: a value is +inf or
    NaN; or with `values`, a tangent is infinite or NaN where the value is finite.
    """
    node0, node1 = incoming.levels[level], incoming.levels[level + 1]
    lowest = node0 if batch.graphs == 1 else 0
    inf, zero = out.dtype.type(np.inf), out.dtype.type(0)
    sound = True
    for b in range(min(batch.lanes, batch.last - b0)):
        for at in range((b0 + b) * batch.graphs, (b0 + b + 1) * batch.graphs):
            if lowest <= ends[at] < node1:
                place = (incoming.place[level] + ends[at] - node0) * batch.lanes + b
                row = load(state, place)
                store(square, 0, row if m is None else told(omega, row, load(m, place), square))
                number = pick(square, 0)
                if values is None:
                    sound &= number < inf
                else:
                    sound &= number - number == zero or values[at] - values[at] != zero
                out[at] = sign * number
    return not sound


@inner
def run_forward(omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope, out):
    """Forward to the block's last end, handing v and v̇ back on the way: (that level, whether one was +inf or NaN).

    The level is -1 where a power of two was out of range.
    """
    whole, desk = row_length(value), buffers[4]
    beyond = DESK * BARE_TOGETHER * whole
    if batch.powers is not None:
        fill(desk, beyond, whole, 0)
    bad = False
    top = 0
    level = next_end(incoming, batch, b0, ends, 0)
    while level >= 0:
        forward(omega, incoming, hoisted, batch, b0, top + 1, level, theta, z, state, buffers, square, ties, out)
        top = level
        m = None if batch.powers is None else state[1]
        bad |= hand_back(omega, value, None, state[0], m, batch, b0, incoming, top, ends, theta.sign, square)
        if slope is not None:
            one = value.dtype.type(1)
            bad |= hand_back(omega, slope, value, state[3], None, batch, b0, incoming, top, ends, one, square)
        if batch.powers is not None and out_of_range(desk, beyond):
            return -1, False  # the block is done again
        level = next_end(incoming, batch, b0, ends, top)
    return top, bad


def _value(omega, scratch, places, table, batch, ends, theta, value, tying, edges, nodes):
    incoming, hoisted, tied = forward_wires(table, PASSING)
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch, False, None, None, None, nodes)
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch, None, False, edges, scratch[:0]
    )
    ties, bad, first = new_ties(tying, omega, scratch, first, places, incoming, tied, theta, theta, None)
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, buffers, square, value, None, None
        )
        bad |= wrong
        if top < 0:
            return b0, bad
    return batch.last, bad


def _gradient(omega, scratch, places, table, batch, ends, theta, value, out, seeds, tying, keeping, edges, nodes):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, free = backward_wires(table)
    keep = not pushes(omega, edges)
    scratch, held = part_held(scratch, incoming, batch, keeping)
    state, bar, _, first = new_state(omega, scratch, places, incoming, hoisted, batch, keep, None, None, True, nodes)
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch, None, keeping is not None or not keep, edges, held
    )
    # what is pushed is made anew on the way back: going forward nobody asks for weights
    going = buffers if keep else (*buffers[:3], part(buffers[3], 0, row_length(scratch)), *buffers[4:])
    ties, bad, first = new_ties(tying, omega, scratch, first, places, incoming, tied, theta, theta, None)
    rows = new_rows(scratch, first, batch, None, edges)
    graph = incoming, outgoing, free, hoisted, ties
    for b0 in range(batch.first, batch.last, batch.lanes):
        if keeping is not None:
            begin_keeping(incoming, theta, theta, batch, b0, buffers, square)
        top, wrong = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, going, square, value, None,
            None if keeping is None else out,
        )  # fmt: skip
        bad |= wrong
        if top < 0:
            return b0, bad
        go_back(
            keeping, edges, omega, graph, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square,
            None,
        )  # fmt: skip
        if keeping is not None:
            end_keeping(out, incoming, top, theta, batch, b0, buffers, square)
    return batch.last, bad


def _weights(omega, scratch, places, table, batch, ends, theta, value, out, tying, edges, nodes):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, _ = backward_wires(table)
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch, True, None, None, None, nodes)
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch, None, False, edges, scratch[:0]
    )
    ties, bad, first = new_ties(tying, omega, scratch, first, places, incoming, tied, theta, theta, None)
    rows = new_rows(scratch, first, batch, None, edges)
    spare = spare_at(places, incoming, batch.lanes, scratch)
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, buffers, square, value, None, None
        )
        bad |= wrong
        if top < 0:
            return b0, bad
        local_weights(omega, outgoing, batch, b0, top, theta, state, out, rows, square, spare)
    return batch.last, bad


def _jvp(omega, scratch, places, table, batch, ends, theta, z, value, slope, tying, edges, nodes):
    incoming, hoisted, tied = forward_wires(table, PASSING)
    bend = None if pushes(omega, edges) else True  # as in the Hessian's pass, so that both have the same bits
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch, False, True, bend, None, nodes)
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch, True, False, edges, scratch[:0]
    )
    ties, bad, first = new_ties(tying, omega, scratch, first, places, incoming, tied, theta, z, True)
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope, None
        )
        bad |= wrong
        if top < 0:
            return b0, bad
    return batch.last, bad


def _hessian(omega, scratch, places, table, batch, ends, theta, z, value, slope, out, tying, keeping, edges, nodes):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, free = backward_wires(table)
    keep = not pushes(omega, edges)
    scratch, held = part_held(scratch, incoming, batch, keeping)
    bend = True if keep else None
    state, bar, bar_dot, first = new_state(
        omega, scratch, places, incoming, hoisted, batch, keep, True, bend, True, nodes
    )
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch, True, keeping is not None, edges, held
    )
    ties, bad, first = new_ties(tying, omega, scratch, first, places, incoming, tied, theta, z, True)
    rows = new_rows(scratch, first, batch, True, edges)
    graph = incoming, outgoing, free, hoisted, ties
    for b0 in range(batch.first, batch.last, batch.lanes):
        if keeping is not None:
            begin_keeping(incoming, theta, z, batch, b0, buffers, square)
        top, wrong = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope,
            None if keeping is None else out,
        )  # fmt: skip
        bad |= wrong
        if top < 0:
            return b0, bad
        along = Along(z, state[3], state[4], bar_dot)
        go_back(
            keeping, edges, omega, graph, batch, b0, top, ends, value[:0], theta, state, bar, out, buffers, rows,
            square, along,
        )  # fmt: skip
        if keeping is not None:
            end_keeping(out, incoming, top, theta, batch, b0, buffers, square)
    return batch.last, bad


# How many numbers a pass keeps for each node (and sample), or for each node of a window of levels where nothing comes
# back to them (`passing`), and for each node of a band.
value_kernel = Kernel(_value, nodes=2, band=1, passing=True)
gradient_kernel = Kernel(_gradient, nodes=5, back="gradient")
weights_kernel = Kernel(_weights, nodes=4)
jvp_kernel = Kernel(_jvp, nodes=4, band=2, passing=True)
hessian_kernel = Kernel(_hessian, nodes=8, band=1, back="tangent")
