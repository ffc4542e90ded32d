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
from dagdp.kernels.exchange import hand_back, last_at_most, new_room
from dagdp.kernels.forward import band_rows, forward, tile_buffers
from dagdp.kernels.jit import Kernel, inner


@inner
def next_end(incoming, batch, b0, ends, level):
    """The first level beyond `level` at which a sample of the block ends, or -1: then nothing more is visited."""
    found = -1
    for b in range(min(batch.lanes, batch.last - b0)):
        end = last_at_most(incoming.levels, ends[b0 + b])
        if end > level and (found < 0 or end < found):
            found = end
    return found


@inner
def new_state(like, incoming, hoisted, lanes, keep, tangent, bend):
    """v_hi, v_lo; κ, v̇ and c where they are asked for; and the hoisted potentials of θ and z.

    Where a later pass asks again (`keep`), of every node, else of a band of levels.
    """
    size = incoming.place[-1] * lanes
    band = band_rows(incoming, hoisted) * lanes
    return (
        np.empty(size, like.dtype),
        np.empty(size, like.dtype),
        np.zeros(size if keep else 0, like.dtype),
        np.empty(size if tangent else 0, like.dtype),
        np.zeros(size if bend else 0, like.dtype),
        np.empty(size if keep and band > 0 else band, like.dtype),
        np.empty(band if tangent else 0, like.dtype),
    )


@inner
def run_forward(omega, incoming, hoisted, batch, b0, ends, theta, z, state, buffers, room, value, slope):
    """Forward to the block's last end, handing v and v̇ back on the way: (that level, whether input was bad)."""
    bad = False
    top = 0
    level = next_end(incoming, batch, b0, ends, 0)
    while level >= 0:
        bad |= forward(omega, incoming, hoisted, batch, b0, top + 1, level, theta, z, state, buffers, room)
        top = level
        hand_back(value, state[0], batch, b0, incoming, top, ends, theta.sign)
        if slope.shape[0] > 0:
            hand_back(slope, state[3], batch, b0, incoming, top, ends, value.dtype.type(1))
        level = next_end(incoming, batch, b0, ends, top)
    return top, bad


def _value(omega, incoming, hoisted, batch, ends, theta, value):
    state = new_state(value, incoming, hoisted, batch.lanes, False, False, False)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    none = value[:0]
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        _, wrong = run_forward(
            omega, incoming, hoisted, batch, b0, ends, theta, theta, state, buffers, room, value, none
        )
        bad |= wrong
    return bad


def _gradient(omega, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    state = new_state(value, incoming, hoisted, batch.lanes, True, False, False)
    bar = np.empty(state[0].shape[0], value.dtype)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    none = value[:0]
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, batch, b0, ends, theta, theta, state, buffers, room, value, none
        )
        bad |= wrong
        seed(bar, batch, b0, ends, state[0])
        backward(omega, outgoing, hoisted, batch, b0, top, theta, state, bar, out, rows, room)
    return bad


def _weights(omega, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    state = new_state(value, incoming, hoisted, batch.lanes, True, False, False)
    buffers = tile_buffers(value, incoming, batch.lanes, False)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    none = value[:0]
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, batch, b0, ends, theta, theta, state, buffers, room, value, none
        )
        bad |= wrong
        local_weights(omega, outgoing, batch, b0, top, theta, state, out, rows, room)
    return bad


def _jvp(omega, incoming, hoisted, batch, ends, theta, z, value, slope):
    state = new_state(value, incoming, hoisted, batch.lanes, False, True, False)
    buffers = tile_buffers(value, incoming, batch.lanes, True)
    room = new_room(value)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        _, wrong = run_forward(omega, incoming, hoisted, batch, b0, ends, theta, z, state, buffers, room, value, slope)
        bad |= wrong
    return bad


def _hessian(omega, incoming, hoisted, outgoing, batch, ends, theta, z, value, slope, out):
    state = new_state(value, incoming, hoisted, batch.lanes, True, True, True)
    bar = np.empty(state[0].shape[0], value.dtype)
    bar_dot = np.empty(state[0].shape[0], value.dtype)
    buffers = tile_buffers(value, incoming, batch.lanes, True)
    room = new_room(value)
    rows = edge_rows(value, batch.lanes)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong = run_forward(
            omega, incoming, hoisted, batch, b0, ends, theta, z, state, buffers, room, value, slope
        )
        bad |= wrong
        seed(bar, batch, b0, ends, state[0])
        tiles.fill(bar_dot, value.dtype.type(0))
        backward_tangent(omega, outgoing, hoisted, batch, b0, top, theta, z, state, bar, bar_dot, out, rows, room)
    return bad


value_kernel = Kernel(_value)
gradient_kernel = Kernel(_gradient)
weights_kernel = Kernel(_weights)
jvp_kernel = Kernel(_jvp)
hessian_kernel = Kernel(_hessian)
