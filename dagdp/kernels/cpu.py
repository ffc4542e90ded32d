"""The CPU schedule: blocks of samples, level by level, row by row. Entry points of the run layer.

A block of `lanes` samples goes through all passes before the next one starts, so the state (a few numbers
a node) is allocated once a launch and stays warm. Lanes beyond the batch repeat its last sample and
are not handed back. One launch covers a range of blocks; threads take ranges, and no result depends on
how many threads there are.

Each entry point returns whether a NaN, or an infinity of the wrong sign, was read anywhere. Its last arguments say
which ways it goes, True or None: with None, nothing of a way is compiled (see `Kernel.ways`).
"""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from dagdp.kernels.backward import CHUNK, backward, local_weights, seed_all
from dagdp.kernels.bare import backward_bare, window_nodes
from dagdp.kernels.ends import Along
from dagdp.kernels.exchange import Batch, last_at_most
from dagdp.kernels.forward import forward
from dagdp.kernels.hoisted import band_rows
from dagdp.kernels.jit import UNCOUNTED, Kernel, inlined, inner
from dagdp.kernels.kept import backward_kept
from dagdp.kernels.lanes import ROW_BYTES, any_lane, load, store
from dagdp.kernels.matrices import STEPS, fill_matrices, new_matrices, shared_by_all
from dagdp.kernels.operator import exponential, first_only
from dagdp.kernels.ordered import begin_keeping, end_keeping, in_order
from dagdp.kernels.powers import in_powers, told
from dagdp.kernels.rows import fill, to_line
from dagdp.kernels.slots import BARE_TOGETHER, DESK, EDGES, LEAST_ROWS, rows_at_once, spare_at, spare_rows
from dagdp.kernels.team import MEMBER, OTHERS, TEAM, TIED, all_go_on, goes_on_alone, mine, only_one, somebody_told
from dagdp.kernels.vectors import part, pick, row_length
from dagdp.kernels.wires import INCOMING, PASSING, backward_wires, forward_wires


def places_size(most_parents: int) -> int:
    """Length of the array that says where rows of edges lie: four numbers each; then what team.py says."""
    return 4 * max(most_parents, LEAST_ROWS) + TEAM + TIED


def team_numbers(places: Any) -> slice:
    """Where that array says who works on the levels together: see team.py."""
    return slice(places.size - TIED - TEAM, places.size - TIED)


def scratch_size(
    kernel: Kernel, most_parents: int, nodes: int, band_nodes: int, tied: Any, lanes: int, itemsize: int, members: int,
    ordered: int,
) -> int:  # fmt: skip
    """Numbers in the block of memory that a launch of `kernel` works in, on a graph of that shape: see `new_state`.

    ordered : rows of potentials that are brought in the order of edges at once.

    One block, and NumPy's: malloc keeps it for the next call, or the system gives it in huge pages. Page by page,
    DTW 16 x 128 x 128 (float32, value+grad) took 11 ns a cell where it takes 4.1.
    """
    row, rows = ROW_BYTES // itemsize, max(most_parents, LEAST_ROWS)
    spare = members * (rows + 1) * row + 2 * row
    state = kernel.nodes * (nodes * lanes + spare) + kernel.band * (band_nodes * lanes + spare)
    tile = 2 * (max(EDGES * lanes, rows * row) + (rows + 1) * row) + (rows + 2 + DESK * BARE_TOGETHER) * row
    own = tile + ordered * row + 3 * (CHUNK * lanes + row) + (row + 3) * row + matrices_size(tied, row)
    return state + members * own


def matrices_size(tied: Any, row: int) -> int:
    """The same for the matrices of tied levels: see `new_matrices`."""
    if tied.shapes.size == 0:
        return 3 * row
    rows, columns = (-(-size // 4) * 4 for size in tied.shapes.T)
    entries = int((rows * tied.shapes[:, 1]).sum())
    most = int(rows.max()), int(columns.max())
    return 2 * (entries + row) + 2 * len(rows) + row + (2 * STEPS * sum(most) + 3 * max(most)) * row


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


@inlined
def taken(scratch, first, size):
    """(the next `size` numbers of the block, where what is left of it begins)."""
    return part(scratch, first, size), first + size


@inner
def new_state(omega, scratch, places, incoming, hoisted, lanes, keep, tangent, bend, adjoints):
    """v_hi, v_lo; κ, v̇ and c where they are asked for; the hoisted potentials of θ and z; ē and its tangent.

    The last four are those of all nodes where a later pass asks again (`keep`), else of a band of levels. Behind the
    nodes each array has room for the rows that are put together there.
    """
    whole = row_length(scratch)
    spare = (mine(places, OTHERS) + 1) * spare_rows(places, scratch) + whole
    size = incoming.place[-1] * lanes + spare
    size += -size % whole
    band = band_rows(incoming, hoisted) * lanes
    band += spare if band > 0 else 0
    band += -band % whole
    v_hi, first = taken(scratch, to_line(scratch), size)
    v_lo, first = taken(scratch, first, size)
    kappa, first = taken(
        scratch, first, size if keep and (not exponential(omega) or in_powers(omega, incoming, hoisted)) else 0
    )
    v_dot, first = taken(scratch, first, size if tangent else 0)
    c, first = taken(scratch, first, size if bend else 0)
    own, first = taken(scratch, first, size if keep and band > 0 else band)
    own_dot, first = taken(scratch, first, band if tangent else 0)
    bars = size if keep else (window_nodes(incoming, hoisted) + 1) * lanes
    bar, first = taken(scratch, first, bars if adjoints > 0 else 0)
    bar_dot, first = taken(scratch, first, bars if adjoints > 1 else 0)
    rest = (scratch.shape[0] - first) // whole // (mine(places, OTHERS) + 1) * whole  # a member's own
    return (v_hi, v_lo, kappa, v_dot, c, own, own_dot), bar, bar_dot, first + mine(places, MEMBER) * rest


@inner
def new_buffers(omega, scratch, first, places, incoming, lanes, tangent, kept):
    """What a level is worked on in: (places, potentials of θ and of z on edges, y of the solvers, desk); and a square.

    Potentials lie edge by edge; behind them is room for a row of each slot. Behind the desk a row says whether powers
    of two were out of range.
    """
    whole = row_length(scratch)
    deepest = rows_at_once(places)
    edges = max(EDGES * lanes, deepest * whole) + (deepest + 1) * whole
    edges += incoming.edges[-1] * lanes if kept and in_order(incoming, lanes, whole) else 0
    w, first = taken(scratch, first, edges if incoming.blocks.shape[0] > 0 else whole)
    z, first = taken(scratch, first, edges if tangent and incoming.blocks.shape[0] > 0 else whole)
    solved_at_once = exponential(omega) or first_only(omega)
    y, first = taken(scratch, first, (deepest + 1) * whole if tangent or kept or not solved_at_once else whole)
    desk, first = taken(scratch, first, (DESK * BARE_TOGETHER + 1) * whole)
    square, first = taken(scratch, first, (whole + 1) * whole)
    return (places, w, z, y, desk), square, first


@inner
def new_rows(scratch, first, outgoing, lanes, tangent):
    """(θ, z, flow): rows of a chunk of edges, for the backward pass."""
    whole = row_length(scratch)
    size = CHUNK * lanes + whole
    w, first = taken(scratch, first, size if outgoing.blocks.shape[0] > 0 else whole)
    z, first = taken(scratch, first, size if tangent and outgoing.blocks.shape[0] > 0 else whole)
    flow, first = taken(scratch, first, size)
    return w, z, flow


@inlined
def begin_ties(omega, scratch, first, places, incoming, tied, batch, theta, z, tangent):
    """What `new_ties` hands back where levels may be tied."""
    active = batch.lanes == row_length(scratch) and tied.shapes.shape[0] > 0
    active = active and shared_by_all(theta, incoming.blocks) and (not tangent or shared_by_all(z, incoming.blocks))
    made, first = new_matrices(scratch, first, places, tied, active, tangent)
    bad = fill_matrices(tied, incoming.blocks, theta, z, made, made.a.dtype.type(1) / omega.gamma) if active else False
    return (tied, made), bad, first


@inlined
def back_from_kept(omega, graph, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square, along):
    """`go_back` from weights that wait in the gradient."""
    seed_all(graph[0], batch, b0, ends, seeds, state, bar, buffers[0], along)
    if goes_on_alone(buffers[0]):
        backward_kept(omega, graph[0], graph[3], batch, b0, top, theta, state, bar, out, buffers, square, along)


@inlined
def back_by_pushing(omega, graph, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square, along):
    """`go_back` on bare graphs."""
    backward_bare(
        omega, graph[0], graph[3], batch, b0, top, ends, seeds, theta, state, bar, out, buffers, square, along
    )


@inlined
def back_by_pulling(omega, graph, batch, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square, along):
    """`go_back` on all others."""
    places = buffers[0]
    seed_all(graph[0], batch, b0, ends, seeds, state, bar, places, along)
    spare = spare_at(places, graph[0], batch.lanes, bar)
    backward(omega, *graph, batch, b0, top, theta, state, bar, out, rows, square, spare, places, along)


# Chosen by type when a kernel is compiled. `if way is None` would not do: Numba drops a branch where None is passed,
# but where it is not keeps both.
_CHOSEN = {"strict": False, "jit_options": {**UNCOUNTED, "forceinline": True}}


def new_ties(tying, first, *given):
    """((what is tied, its matrices) or None, whether an input was out of range, where the rest of the block begins)."""
    raise AssertionError("only called from compiled code")


@overload(new_ties, **_CHOSEN)
def _new_ties(tying, first, *given):
    if isinstance(tying, types.NoneType):
        return lambda tying, first, *given: (None, False, first)
    return lambda tying, first, *given: begin_ties(given[0], given[1], first, *given[2:])


def kept_in(keeping, out):
    """Where the forward pass leaves weights: the gradient, or nowhere (None)."""
    raise AssertionError("only called from compiled code")


@overload(kept_in, **_CHOSEN)
def _kept_in(keeping, out):
    if isinstance(keeping, types.NoneType):
        return lambda keeping, out: None
    return lambda keeping, out: out


def go_back(keeping, pushing, *given):
    """The backward pass; with `along`, the last of what is given, that of the Hessian product."""
    raise AssertionError("only called from compiled code")


@overload(go_back, **_CHOSEN)
def _go_back(keeping, pushing, *given):
    pulls = back_by_pulling if isinstance(pushing, types.NoneType) else back_by_pushing
    way = pulls if isinstance(keeping, types.NoneType) else back_from_kept
    return lambda keeping, pushing, *given: way(*given)


@inner
def hand_back(omega, out, state, m, batch, b0, incoming, level, ends, sign, square):
    """The state of the end node of each sample that ends at this level; of graphs side by side, of all their ends.

    Where `m` has room, the state is k of powers of two m·2^k.
    """
    node0, node1 = incoming.levels[level], incoming.levels[level + 1]
    lowest = node0 if batch.graphs == 1 else 0
    for b in range(min(batch.lanes, batch.last - b0)):
        for at in range((b0 + b) * batch.graphs, (b0 + b + 1) * batch.graphs):
            if lowest <= ends[at] < node1:
                place = (incoming.place[level] + ends[at] - node0) * batch.lanes + b
                store(square, 0, load(state, place))
                if exponential(omega) and m.shape[0] > 0:
                    store(square, 0, told(omega, load(state, place), load(m, place), square))
                out[at] = sign * pick(square, 0)


@inner
def run_forward(omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope, out):
    """Forward to the block's last end, handing v and v̇ back on the way: (that level, whether input was bad, batch).

    Begun anew where a power of two was out of range; the batch says which it was.
    """
    whole, places, desk, none = row_length(value), buffers[0], buffers[4], state[0][:0]
    beyond = DESK * BARE_TOGETHER * whole
    powers = in_powers(omega, incoming, hoisted)
    batch = Batch(batch.first, batch.last, batch.lanes, batch.part, batch.graphs, powers)
    fill(desk, beyond, whole, 0)
    bad = False
    top = 0
    level = next_end(incoming, batch, b0, ends, 0)
    while level >= 0:
        bad |= forward(omega, incoming, hoisted, batch, b0, top + 1, level, theta, z, state, buffers, square, ties, out)
        top = level
        if only_one(places):
            m = state[1] if batch.powers else none
            hand_back(omega, value, state[0], m, batch, b0, incoming, top, ends, theta.sign, square)
            if slope.shape[0] > 0:
                hand_back(omega, slope, state[3], none, batch, b0, incoming, top, ends, value.dtype.type(1), square)
            all_go_on(places)
        if batch.powers and (somebody_told(places) or any_lane(load(desk, beyond) > value.dtype.type(0))):
            batch = Batch(batch.first, batch.last, batch.lanes, batch.part, batch.graphs, False)
            fill(desk, beyond, whole, 0)
            top = 0
        level = next_end(incoming, batch, b0, ends, top)
    return top, bad, batch


def _value(omega, scratch, places, table, batch, ends, theta, value, tying):
    incoming, hoisted, tied = forward_wires(table, PASSING)
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch.lanes, False, False, False, 0)
    buffers, square, first = new_buffers(omega, scratch, first, places, incoming, batch.lanes, False, False)
    ties, bad, first = new_ties(tying, first, omega, scratch, places, incoming, tied, batch, theta, theta, False)
    none = value[:0]
    for b0 in range(batch.first, batch.last, batch.lanes):
        _, wrong, _ = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, buffers, square, value, none, None
        )
        bad |= wrong
    return bad


def _gradient(omega, scratch, places, table, batch, ends, theta, value, out, seeds, tying, keeping, pushing):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, free = backward_wires(table)
    keep, asked = pushing is None, keeping is not None or pushing is not None
    state, bar, _, first = new_state(omega, scratch, places, incoming, hoisted, batch.lanes, keep, False, False, 1)
    buffers, square, first = new_buffers(omega, scratch, first, places, incoming, batch.lanes, False, asked)
    # what is pushed is made anew on the way back: going forward nobody asks for weights
    going = (*buffers[:3], part(buffers[3], 0, row_length(scratch)), buffers[4]) if not keep else buffers
    ties, bad, first = new_ties(tying, first, omega, scratch, places, incoming, tied, batch, theta, theta, False)
    rows = new_rows(scratch, first, outgoing, batch.lanes, False)
    none = value[:0]
    graph = incoming, outgoing, free, hoisted, ties
    for b0 in range(batch.first, batch.last, batch.lanes):
        if keeping is not None:
            bad |= begin_keeping(incoming, theta, theta, batch, b0, buffers, square)
        top, wrong, form = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, going, square, value, none,
            kept_in(keeping, out),
        )  # fmt: skip
        bad |= wrong
        go_back(
            keeping, pushing, omega, graph, form, b0, top, ends, seeds, theta, state, bar, out, buffers, rows, square,
            None,
        )  # fmt: skip
        if keeping is not None:
            end_keeping(out, incoming, top, theta, batch, b0, buffers, square)
    return bad


def _weights(omega, scratch, places, table, batch, ends, theta, value, out, tying):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, _ = backward_wires(table)
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch.lanes, True, False, False, 0)
    buffers, square, first = new_buffers(omega, scratch, first, places, incoming, batch.lanes, False, False)
    ties, bad, first = new_ties(tying, first, omega, scratch, places, incoming, tied, batch, theta, theta, False)
    rows = new_rows(scratch, first, outgoing, batch.lanes, False)
    spare = spare_at(places, incoming, batch.lanes, scratch)
    none = value[:0]
    for b0 in range(batch.first, batch.last, batch.lanes):
        top, wrong, form = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, theta, state, buffers, square, value, none, None
        )
        bad |= wrong
        if goes_on_alone(places):
            local_weights(omega, outgoing, form, b0, top, theta, state, out, rows, square, spare)
    return bad


def _jvp(omega, scratch, places, table, batch, ends, theta, z, value, slope, tying):
    incoming, hoisted, tied = forward_wires(table, PASSING)
    state, _, _, first = new_state(omega, scratch, places, incoming, hoisted, batch.lanes, False, True, False, 0)
    buffers, square, first = new_buffers(omega, scratch, first, places, incoming, batch.lanes, True, False)
    ties, bad, first = new_ties(tying, first, omega, scratch, places, incoming, tied, batch, theta, z, True)
    for b0 in range(batch.first, batch.last, batch.lanes):
        _, wrong, _ = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope, None
        )
        bad |= wrong
    return bad


def _hessian(omega, scratch, places, table, batch, ends, theta, z, value, slope, out, tying, keeping, pushing):
    incoming, hoisted, tied = forward_wires(table, INCOMING)
    outgoing, free = backward_wires(table)
    keep = pushing is None
    state, bar, bar_dot, first = new_state(omega, scratch, places, incoming, hoisted, batch.lanes, keep, True, keep, 2)
    buffers, square, first = new_buffers(
        omega, scratch, first, places, incoming, batch.lanes, True, keeping is not None
    )
    ties, bad, first = new_ties(tying, first, omega, scratch, places, incoming, tied, batch, theta, z, True)
    rows = new_rows(scratch, first, outgoing, batch.lanes, True)
    graph = incoming, outgoing, free, hoisted, ties
    for b0 in range(batch.first, batch.last, batch.lanes):
        if keeping is not None:
            bad |= begin_keeping(incoming, theta, z, batch, b0, buffers, square)
        top, wrong, form = run_forward(
            omega, incoming, hoisted, ties, batch, b0, ends, theta, z, state, buffers, square, value, slope,
            kept_in(keeping, out),
        )  # fmt: skip
        bad |= wrong
        along = Along(z, state[3], state[4], bar_dot)
        go_back(
            keeping, pushing, omega, graph, form, b0, top, ends, value[:0], theta, state, bar, out, buffers, rows,
            square, along,
        )  # fmt: skip
        if keeping is not None:
            end_keeping(out, incoming, top, theta, batch, b0, buffers, square)
    return bad


# How many numbers a pass keeps for each node (and sample), or for each node of a window of levels where nothing comes
# back to them (`passing`), and for each node of a band.
value_kernel = Kernel(_value, nodes=2, band=1, passing=True)
gradient_kernel = Kernel(_gradient, nodes=5, back="gradient")
weights_kernel = Kernel(_weights, nodes=4)
jvp_kernel = Kernel(_jvp, nodes=3, band=2, passing=True)
hessian_kernel = Kernel(_hessian, nodes=8, band=1, back="tangent")
