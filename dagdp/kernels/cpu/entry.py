"""The entry points of the CPU schedule: blocks of samples, level by level, row by row.

A block of `lanes` samples goes through all passes before the next one starts, so the state, a few numbers a node, is
allocated once a launch and stays in the caches. Lanes behind the batch repeat its last sample and are not returned. A
launch covers a range of blocks. Threads take ranges, and no result depends on their number.

Each entry point returns (the first item that is not done, whether a returned value is +inf or NaN: an entry out of
range reached it, or a sum overflowed). All items are done, unless a scaled value m·2^k left its range
(special/scaled.py). The entry point then returns before the block has added anything to a gradient, and the engine
computes this block without scaled values.
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from dagdp.jit.decorators import Kernel, inlined, inner
from dagdp.jit.static_branches import static_predicate
from dagdp.kernels.cpu.adjoints import seed_all
from dagdp.kernels.cpu.backward import backward, local_weights
from dagdp.kernels.cpu.forward import begin, forward
from dagdp.kernels.cpu.graph_view import WINDOW, forward_graph, whole_graph
from dagdp.kernels.cpu.memory import (
    LARGEST,
    Passes,
    adjoint_of,
    aligned,
    state_of,
    with_one_row_of_y,
    workspace_of,
)
from dagdp.kernels.cpu.packing.edge_order import begin_storing, end_storing
from dagdp.kernels.cpu.progressions import last_at_most
from dagdp.kernels.cpu.records import Arrays, Block
from dagdp.kernels.cpu.rows import fill
from dagdp.kernels.cpu.special.push import backward_push
from dagdp.kernels.cpu.special.scaled import out_of_range, value_of_scaled
from dagdp.kernels.cpu.special.stored_weights import backward_stored
from dagdp.kernels.cpu.special.tied_products import fill_matrices
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import get, width


class Context(NamedTuple):
    """What all blocks of a launch share."""

    graph: Any
    terminals: Any
    arrays: Any
    state: Any
    adjoint: Any  # None in a forward pass
    work: Any


class Results(NamedTuple):
    """Arrays [items, graphs], flat: what is returned of each end."""

    value: Any
    derivative: Any  # along z, or None


class Reported(NamedTuple):
    """What is returned of the state at an item's end."""

    out: Any
    values: Any  # of a derivative: the values, where an infinite derivative is sound if the value is infinite; or None
    numbers: Any  # the state's array
    mantissa: Any  # of scaled values, whose exponent `numbers` then is; or None
    sign: Any


@inlined
def block_at(items, first):
    """The block of items from `first` on."""
    return Block(first, items.last, items.lanes, items.partial, items.graphs, items.lanes_are_samples, items.scaled)


@inner
def next_end(incoming, block, ends, level):
    """The first level beyond `level` at which an item of the block ends; -1 if there is none.

    In a merged graph v is kept for all nodes, so the forward pass goes to the last end at once: that level is returned.
    """
    found = -1
    last = min(block.stop, block.first + block.lanes)
    for end in ends[block.first * block.graphs : last * block.graphs]:
        at = last_at_most(incoming.levels, end)
        if at > level and (found < 0 or (at > found) == (block.graphs > 1)):
            found = at
    return found


def pushes(omega, edges):
    """True where the backward pass is that of special/push.py: the closed form, without potentials on edges."""
    raise AssertionError("only called in compiled code")


@static_predicate(pushes)
def _pushes(omega, edges):
    return omega.instance_class.omega.solver == "exponential" and edges == types.none


@inlined
def begin_launch(omega, context):
    """Fill the matrices of tied levels, if any; whether an entry that they read is out of range."""
    bad = False
    if context.work.matrices is not None:
        work, graph = context.work, context.graph
        rate = work.tile.dtype.type(1) / omega.gamma
        bad = fill_matrices(graph.tied, graph.incoming.potentials, context.arrays, work.matrices, rate)
    return bad


@inner
def report(omega, incoming, block, ends, level, reported, tile):
    """Copy the state at the end of each item that ends at this level; in a merged graph, at all its ends.

    Returns whether a value is +inf or NaN, or a derivative of a finite value is.
    """
    out, values = reported.out, reported.values
    node0, node1 = incoming.levels[level], incoming.levels[level + 1]
    lowest = node0 if block.graphs == 1 else 0
    inf, zero = out.dtype.type(np.inf), out.dtype.type(0)
    sound = True
    for b in range(min(block.lanes, block.stop - block.first)):
        for at in range((block.first + b) * block.graphs, (block.first + b + 1) * block.graphs):
            if lowest <= ends[at] < node1:
                place = (incoming.place[level] + ends[at] - node0) * block.lanes + b
                row = load(reported.numbers, place)
                if reported.mantissa is None:
                    store(tile, 0, row)
                else:
                    store(tile, 0, value_of_scaled(omega, row, load(reported.mantissa, place), tile))
                number = get(tile, 0)
                if values is None:
                    sound &= number < inf
                else:
                    sound &= number - number == zero or values[at] - values[at] != zero
                out[at] = reported.sign * number
    return not sound


@inlined
def report_values(omega, context, block, level, out):
    """`report` the values."""
    state, tile, ends, sign = context.state, context.work.tile, context.terminals.ends, context.arrays.theta.sign
    if block.scaled is None:
        reported = Reported(out, None, state.v_hi, None, sign)
        return report(omega, context.graph.incoming, block, ends, level, reported, tile)
    scaled = Reported(out, None, state.v_hi, state.v_lo, sign)
    return report(omega, context.graph.incoming, block, ends, level, scaled, tile)


@inner
def run_forward(omega, context, block, results):
    """The forward pass to the block's last end, which returns v and v̇ on the way: (that level, whether one is bad).

    The level is -1 where a scaled value was out of range.
    """
    graph, terminals, arrays, state, _, work = context
    row, incoming = width(work.tile), graph.incoming
    if block.scaled is not None:
        fill(work.row_results, LARGEST * row, row, 0)
    bad = False
    top = 0
    level = next_end(incoming, block, terminals.ends, 0)
    if level >= 0:
        begin(incoming, block, terminals, state)
    while level >= 0:
        forward(omega, graph, block, top + 1, level, arrays, state, work)
        top = level
        bad |= report_values(omega, context, block, top, results.value)
        if results.derivative is not None:
            one = results.value.dtype.type(1)
            slopes = Reported(results.derivative, results.value, state.v_dot, None, one)
            bad |= report(omega, incoming, block, terminals.ends, top, slopes, work.tile)
        if block.scaled is not None and out_of_range(work):
            return -1, False  # the engine computes the block again
        level = next_end(incoming, block, terminals.ends, top)
    return top, bad


@inlined
def run_backward(omega, variant, context, block, top):
    """The backward pass, by the sweep that fits; with a direction that of the Hessian product."""
    graph, terminals, arrays, state, adjoint, work = context
    if variant.stored is not None:
        seed_all(graph.incoming, block, terminals, state, adjoint)
        backward_stored(omega, graph, block, top, arrays, state, adjoint, work)
        end_storing(graph.incoming, block, top, arrays, work)
    elif pushes(omega, variant.edges):
        backward_push(omega, graph, block, top, terminals, arrays, state, adjoint, work)
    else:
        seed_all(graph.incoming, block, terminals, state, adjoint)
        backward(omega, graph, block, top, arrays, state, adjoint, work)


@inlined
def forward_arrays(variant, arrays):
    """The arrays of a forward pass: with the gradient where weights are stored in it."""
    if variant.stored is None:
        return Arrays(arrays.theta, arrays.z, None)
    return arrays


def _value(omega, memory, addresses, table, items, terminals, theta, value, variant):
    graph, scratch = forward_graph(table, WINDOW), aligned(memory)
    state = state_of(omega, scratch, table, items.scaled, None, None, variant.nodes)
    work = workspace_of(scratch, table, addresses, graph.incoming, items.lanes, None, variant)
    context = Context(graph, terminals, Arrays(theta, None, None), state, None, work)
    bad = begin_launch(omega, context)
    for first in range(items.first, items.last, items.lanes):
        top, wrong = run_forward(omega, context, block_at(items, first), Results(value, None))
        bad |= wrong
        if top < 0:
            return first, bad
    return items.last, bad


def _gradient(omega, memory, addresses, table, items, terminals, theta, value, gradient, variant):
    graph, scratch = whole_graph(table), aligned(memory)
    state = state_of(omega, scratch, table, items.scaled, None, None, variant.nodes)
    adjoint = adjoint_of(scratch, table, None)
    work = workspace_of(scratch, table, addresses, graph.incoming, items.lanes, None, variant)
    arrays = Arrays(theta, None, gradient)
    # a backward pass that pushes recomputes weights: the forward pass need not keep scores
    forward_work = with_one_row_of_y(work) if pushes(omega, variant.edges) else work
    going = Context(graph, terminals, forward_arrays(variant, arrays), state, adjoint, forward_work)
    returning = Context(graph, terminals, arrays, state, adjoint, work)
    bad = begin_launch(omega, going)
    for first in range(items.first, items.last, items.lanes):
        block = block_at(items, first)
        if variant.stored is not None:
            begin_storing(graph.incoming, block, arrays, work)
        top, wrong = run_forward(omega, going, block, Results(value, None))
        bad |= wrong
        if top < 0:
            return first, bad
        run_backward(omega, variant, returning, block, top)
    return items.last, bad


def _weights(omega, memory, addresses, table, items, terminals, theta, value, weights, variant):
    graph, scratch = whole_graph(table), aligned(memory)
    state = state_of(omega, scratch, table, items.scaled, None, None, variant.nodes)
    work = workspace_of(scratch, table, addresses, graph.incoming, items.lanes, None, variant)
    context = Context(graph, terminals, Arrays(theta, None, None), state, None, work)
    bad = begin_launch(omega, context)
    for first in range(items.first, items.last, items.lanes):
        block = block_at(items, first)
        top, wrong = run_forward(omega, context, block, Results(value, None))
        bad |= wrong
        if top < 0:
            return first, bad
        local_weights(omega, graph, block, top, Arrays(theta, None, weights), state, work)
    return items.last, bad


def _jvp(omega, memory, addresses, table, items, terminals, theta, z, value, slope, variant):
    graph, scratch = forward_graph(table, WINDOW), aligned(memory)
    bend = None if pushes(omega, variant.edges) else True  # as in the Hessian's pass, so that both have equal bits
    state = state_of(omega, scratch, table, items.scaled, True, bend, variant.nodes)
    work = workspace_of(scratch, table, addresses, graph.incoming, items.lanes, True, variant)
    context = Context(graph, terminals, Arrays(theta, z, None), state, None, work)
    bad = begin_launch(omega, context)
    for first in range(items.first, items.last, items.lanes):
        top, wrong = run_forward(omega, context, block_at(items, first), Results(value, slope))
        bad |= wrong
        if top < 0:
            return first, bad
    return items.last, bad


def _hessian(omega, memory, addresses, table, items, terminals, theta, z, value, slope, gradient, variant):
    graph, scratch = whole_graph(table), aligned(memory)
    bend = None if pushes(omega, variant.edges) else True
    state = state_of(omega, scratch, table, items.scaled, True, bend, variant.nodes)
    adjoint = adjoint_of(scratch, table, True)
    work = workspace_of(scratch, table, addresses, graph.incoming, items.lanes, True, variant)
    arrays = Arrays(theta, z, gradient)
    going = Context(graph, terminals, forward_arrays(variant, arrays), state, adjoint, work)
    returning = Context(graph, terminals, arrays, state, adjoint, work)
    bad = begin_launch(omega, going)
    for first in range(items.first, items.last, items.lanes):
        block = block_at(items, first)
        if variant.stored is not None:
            begin_storing(graph.incoming, block, arrays, work)
        top, wrong = run_forward(omega, going, block, Results(value, slope))
        bad |= wrong
        if top < 0:
            return first, bad
        run_backward(omega, variant, returning, block, top)
    return items.last, bad


value_kernel = Kernel(_value, Passes())
gradient_kernel = Kernel(_gradient, Passes(every_node=True, backward=True))
weights_kernel = Kernel(_weights, Passes(every_node=True))
jvp_kernel = Kernel(_jvp, Passes(tangent=True))
hessian_kernel = Kernel(_hessian, Passes(every_node=True, backward=True, tangent=True))
