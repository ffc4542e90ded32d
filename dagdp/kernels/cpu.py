"""The CPU schedule: blocks of samples, level by level, in tiles of lanes. Entry points of the run layer.

A block of `lanes` samples goes through all passes before the next one starts, so the state (a few numbers
a node) is allocated once a launch and stays warm. Lanes beyond the batch repeat its last sample and
are not handed back. One launch covers a range of blocks; threads take ranges, and no result depends on
how many threads there are.

Each entry point returns whether a NaN, or an infinity of the wrong sign, was read anywhere.
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from dagdp.kernels import tiles
from dagdp.kernels.backward import backward, backward_tangent, edge_rows, local_weights, seed
from dagdp.kernels.exchange import hand_back, new_room
from dagdp.kernels.forward import forward, tile_buffers
from dagdp.kernels.jit import Kernel, inner


@inner
def last_level(incoming, batch, b0, ends):
    """The level of the last end among the block's samples: nothing beyond it is visited."""
    node = 0
    for b in range(min(batch.lanes, batch.last - b0)):
        node = max(node, ends[b0 + b])
    low = 0
    high = incoming.levels.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if incoming.levels[middle] <= node:
            low = middle
        else:
            high = middle
    return low


@inner
def new_state(like, size, keep, tangent, bend, hoists):
    """v_hi, v_lo; and where a later pass reads them κ, v̇, c and the hoisted potentials."""
    return (
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.zeros(size if keep else 0, like.dtype),
        np.empty(size if tangent else 0, like.dtype),
        np.zeros(size if bend else 0, like.dtype),
        np.empty(size if keep and hoists else 0, like.dtype),
    )


def _value(omega, incoming, hoisted, batch, ends, theta, value):
    state = new_state(value, incoming.levels[-1] * batch.lanes, False, False, False, hoisted.blocks.shape[0] > 0)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(incoming, batch, b0, ends)
        bad |= forward(omega, incoming, hoisted, batch, b0, top, theta, theta, state, buffers, room)
        hand_back(value, state[0], batch, b0, ends, theta.sign)
    return bad


def _gradient(omega, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    size = incoming.levels[-1] * batch.lanes
    state = new_state(value, size, True, False, False, hoisted.blocks.shape[0] > 0)
    bar = np.empty(size, value.dtype)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(incoming, batch, b0, ends)
        bad |= forward(omega, incoming, hoisted, batch, b0, top, theta, theta, state, buffers, room)
        hand_back(value, state[0], batch, b0, ends, theta.sign)
        seed(bar, batch, b0, ends, state[0])
        backward(omega, outgoing, hoisted, batch, b0, top, theta, state, bar, out, rows, room)
    return bad


def _weights(omega, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    size = incoming.levels[-1] * batch.lanes
    state = new_state(value, size, True, False, False, hoisted.blocks.shape[0] > 0)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(incoming, batch, b0, ends)
        bad |= forward(omega, incoming, hoisted, batch, b0, top, theta, theta, state, buffers, room)
        local_weights(omega, outgoing, batch, b0, top, theta, state, out, rows, room)
    return bad


def _jvp(omega, incoming, hoisted, batch, ends, theta, z, value, slope):
    state = new_state(value, incoming.levels[-1] * batch.lanes, False, True, False, hoisted.blocks.shape[0] > 0)
    buffers = tile_buffers(value, incoming, batch.lanes, True)
    room = new_room(value)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(incoming, batch, b0, ends)
        bad |= forward(omega, incoming, hoisted, batch, b0, top, theta, z, state, buffers, room)
        hand_back(value, state[0], batch, b0, ends, theta.sign)
        hand_back(slope, state[3], batch, b0, ends, value.dtype.type(1))
    return bad


def _hessian(omega, incoming, hoisted, outgoing, batch, ends, theta, z, value, slope, out):
    size = incoming.levels[-1] * batch.lanes
    state = new_state(value, size, True, True, True, hoisted.blocks.shape[0] > 0)
    bar = np.empty(size, value.dtype)
    bar_dot = np.empty(size, value.dtype)
    buffers = tile_buffers(value, incoming, batch.lanes, True)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top = last_level(incoming, batch, b0, ends)
        bad |= forward(omega, incoming, hoisted, batch, b0, top, theta, z, state, buffers, room)
        hand_back(value, state[0], batch, b0, ends, theta.sign)
        hand_back(slope, state[3], batch, b0, ends, value.dtype.type(1))
        seed(bar, batch, b0, ends, state[0])
        tiles.fill(bar_dot, value.dtype.type(0))
        backward_tangent(omega, outgoing, hoisted, batch, b0, top, theta, z, state, bar, bar_dot, out, rows, room)
    return bad


value_kernel = Kernel(_value)
gradient_kernel = Kernel(_gradient)
weights_kernel = Kernel(_weights)
jvp_kernel = Kernel(_jvp)
hessian_kernel = Kernel(_hessian)
