"""The block of memory that a launch works in: how large it is, and how it is shared out."""

# No annotations: this text is compiled, and Numba reads types off the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import Kernel, inlined, inner
from dagdp.kernels.cpu.backward import CHUNK
from dagdp.kernels.cpu.cursor import BARE_TOGETHER, DESK, EDGES, LEAST_ROWS, TIED, by_slots, rows_at_once, spare_rows
from dagdp.kernels.cpu.packing.edge_order import in_order
from dagdp.kernels.cpu.packing.node_potentials import band_rows
from dagdp.kernels.cpu.rows import to_line
from dagdp.kernels.cpu.special.push import window_nodes
from dagdp.kernels.cpu.special.tied_products import STEPS
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.rows import ROW_BYTES
from dagdp.lanes.views import part, row_length


def places_size(most_parents: int) -> int:
    """Length of the array that says where rows of edges lie: four numbers each."""
    return 4 * max(most_parents, LEAST_ROWS) + TIED


def scratch_size(
    kernel: Kernel, most_parents: int, nodes: int, band_nodes: int, tied: Any, lanes: int, itemsize: int, kept: int
) -> int:
    """Numbers in the block of memory that a launch of `kernel` works in, on a graph of that shape: see `new_state`.

    kept : numbers that have a place of their own for each edge.

    One block, and NumPy's: malloc keeps it for the next call, or the system gives it in huge pages. Page by page,
    DTW 16 x 128 x 128 (float32, value+grad) took 11 ns a cell where it takes 4.1.
    """
    row, rows = ROW_BYTES // itemsize, max(most_parents, LEAST_ROWS)
    spare = (rows + 1) * row + 2 * row
    state = kernel.nodes * (nodes * lanes + spare) + kernel.band * (band_nodes * lanes + spare)
    tile = 2 * (max(EDGES * lanes, rows * row) + (rows + 1) * row) + (rows + 2 + DESK * BARE_TOGETHER) * row
    own = tile + 3 * (CHUNK * lanes + row) + (row + 3) * row + matrices_size(tied, row)
    return state + own + kept + row


def matrices_size(tied: Any, row: int) -> int:
    """The same for the matrices of tied levels: see `new_matrices`."""
    if tied.shapes.size == 0:
        return 4 * row
    rows, columns = (-(-size // 4) * 4 for size in tied.shapes.T)
    entries = int((rows * tied.shapes[:, 1]).sum())
    most = int(rows.max()), int(columns.max())
    return 3 * (entries + row) + 2 * len(rows) + row + (2 * STEPS * sum(most) + 3 * max(most)) * row


@inlined
def taken(scratch, first, size):
    """(the next `size` numbers of the block, where what is left of it begins)."""
    return part(scratch, first, size), first + size


@inlined
def taken_for(way, scratch, first, size):
    """The same, or None where the kernel does not go that way."""
    if way is None:
        return None, first
    return taken(scratch, first, size)


@inner
def part_held(scratch, incoming, batch, keeping):
    """(what is left of the block, room for the weights of one sample's edges)."""
    held = 0
    if keeping is not None and by_slots(incoming, batch):
        held = incoming.edges[-1] + row_length(scratch)
    left = scratch.shape[0] - held
    return part(scratch, 0, left), part(scratch, left, held)


@inner
def new_state(omega, scratch, places, incoming, hoisted, batch, keep, tangent, bend, back, nodes):
    """v_hi, v_lo; κ, v̇ and c where they are asked for; the hoisted potentials of θ and z; ē and its tangent.

    The last four are those of all nodes where a later pass asks again (`keep`), else of a band of levels. Behind the
    nodes each array has room for the rows that are put together there.
    """
    whole, lanes = row_length(scratch), batch.lanes
    spare = spare_rows(places, scratch) + whole
    size = incoming.place[-1] * lanes + spare
    size += -size % whole
    band = band_rows(incoming, hoisted) * lanes + spare
    band += -band % whole
    v_hi, first = taken(scratch, to_line(scratch), size)
    v_lo, first = taken(scratch, first, size)
    asked = batch.powers is not None or not exponential(omega)
    kappa, first = taken(scratch, first, size if keep and asked else 0)
    v_dot, first = taken_for(tangent, scratch, first, size)
    c, first = taken_for(bend, scratch, first, size)
    own, first = taken_for(nodes, scratch, first, size if keep else band)
    own_dot, first = taken_for(None if nodes is None else tangent, scratch, first, band)
    bars = size
    if not keep:
        bars = window_nodes(incoming, hoisted) * lanes + 2 * whole
        bars += -bars % whole
    bar, first = taken_for(back, scratch, first, bars)
    bar_dot, first = taken_for(None if back is None else tangent, scratch, first, bars)
    return (v_hi, v_lo, kappa, v_dot, c, own, own_dot), bar, bar_dot, first


@inner
def new_buffers(omega, scratch, first, places, incoming, batch, tangent, kept, edges, held):
    """What a level is worked on in: (places, potentials of θ and of z on edges, y of the solvers, desk, `held`); and a
    square.

    Potentials lie edge by edge; behind them is room for a row of each slot. Behind the desk a row says whether powers
    of two were out of range.
    """
    whole = row_length(scratch)
    deepest = rows_at_once(places)
    size = max(EDGES * batch.lanes, deepest * whole) + (deepest + 1) * whole
    if edges is not None:
        size += incoming.edges[-1] * batch.lanes if kept and in_order(incoming, batch) else 0
    w, first = taken_for(edges, scratch, first, size)
    z, first = taken_for(None if edges is None else tangent, scratch, first, size)
    solved_at_once = exponential(omega) or first_only(omega)
    asked = kept or not solved_at_once or tangent is not None
    y, first = taken(scratch, first, (deepest + 1) * whole if asked else whole)
    desk, first = taken(scratch, first, (DESK * BARE_TOGETHER + 1) * whole)
    square, first = taken(scratch, first, (whole + 1) * whole)
    return (places, w, z, y, desk, held), square, first


@inner
def new_rows(scratch, first, batch, tangent, edges):
    """(θ, z, flow): rows of a chunk of edges, for the backward pass."""
    size = CHUNK * batch.lanes + row_length(scratch)
    w, first = taken_for(edges, scratch, first, size)
    z, first = taken_for(None if edges is None else tangent, scratch, first, size)
    flow, first = taken(scratch, first, size)
    return w, z, flow
