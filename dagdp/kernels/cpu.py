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

from dagdp.kernels import tiles
from dagdp.kernels.backward import backward, backward_tangent, edge_rows, local_weights, seed
from dagdp.kernels.exchange import hand_back, last_at_most, new_room
from dagdp.kernels.forward import band_rows, forward, tile_buffers
from dagdp.kernels.jit import Kernel, inner
from dagdp.kernels.operator import exponential
from dagdp.kernels.rows import to_line


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


@inner
def cut(scratch, sizes, k):
    """The k-th of the arrays that lie in `scratch` one after the other, the first on a cache line."""
    first = to_line(scratch)
    for i in range(k):
        first += sizes[i]
    return scratch[first : first + sizes[k]]


@inner
def new_state(omega, scratch, incoming, hoisted, lanes, keep, tangent, bend, adjoints):
    """v_hi, v_lo; κ, v̇ and c where they are asked for; the hoisted potentials of θ and z; ē and its tangent.

    The potentials are those of all nodes where a later pass asks again (`keep`), else of a band of levels.
    """
    size = incoming.place[-1] * lanes
    band = band_rows(incoming, hoisted) * lanes
    sizes = (
        size,
        size,
        size if keep and not exponential(omega) else 0,
        size if tangent else 0,
        size if bend else 0,
        size if keep and band > 0 else band,
        band if tangent else 0,
        size if adjoints > 0 else 0,
        size if adjoints > 1 else 0,
    )
    v_hi, v_lo, kappa = cut(scratch, sizes, 0), cut(scratch, sizes, 1), cut(scratch, sizes, 2)
    v_dot, c = cut(scratch, sizes, 3), cut(scratch, sizes, 4)
    own, own_dot = cut(scratch, sizes, 5), cut(scratch, sizes, 6)
    return (v_hi, v_lo, kappa, v_dot, c, own, own_dot), cut(scratch, sizes, 7), cut(scratch, sizes, 8)


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


def _value(omega, scratch, incoming, hoisted, batch, ends, theta, value):
    state, _, _ = new_state(omega, scratch, incoming, hoisted, batch.lanes, False, False, False, 0)
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


def _gradient(omega, scratch, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    state, bar, _ = new_state(omega, scratch, incoming, hoisted, batch.lanes, True, False, False, 1)
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


def _weights(omega, scratch, incoming, hoisted, outgoing, batch, ends, theta, value, out):
    state, _, _ = new_state(omega, scratch, incoming, hoisted, batch.lanes, True, False, False, 0)
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


def _jvp(omega, scratch, incoming, hoisted, batch, ends, theta, z, value, slope):
    state, _, _ = new_state(omega, scratch, incoming, hoisted, batch.lanes, False, True, False, 0)
    buffers = tile_buffers(value, incoming, batch.lanes, True)
    room = new_room(value)
    bad = False
    for b0 in range(batch.first, batch.last, batch.lanes):
        _, wrong = run_forward(omega, incoming, hoisted, batch, b0, ends, theta, z, state, buffers, room, value, slope)
        bad |= wrong
    return bad


def _hessian(omega, scratch, incoming, hoisted, outgoing, batch, ends, theta, z, value, slope, out):
    state, bar, bar_dot = new_state(omega, scratch, incoming, hoisted, batch.lanes, True, True, True, 2)
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


# How many numbers a pass keeps for each node (and sample), and for each node of a band.
value_kernel = Kernel(_value, nodes=2, band=1)
gradient_kernel = Kernel(_gradient, nodes=5)
weights_kernel = Kernel(_weights, nodes=4)
jvp_kernel = Kernel(_jvp, nodes=3, band=2)
hessian_kernel = Kernel(_hessian, nodes=8, band=1)
