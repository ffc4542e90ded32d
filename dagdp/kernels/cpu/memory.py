"""The block of memory in which a launch works: its layout, made once in Python, and the kernel's views of it.

`layout` gives each array of the state and of the workspace its offset and its size. The offsets follow the graph's
addresses in the table that a kernel receives, and the kernel makes views at these offsets: no size is computed twice.

One block is allocated a launch, by NumPy: malloc keeps it for the next call, or the system gives it in huge pages.
Page by page, DTW 16 x 128 x 128 (float32, value and gradient) took 11 ns a cell instead of 4.1 ns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.index_arrays import Wiring
from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.graph_view import TABLE_NUMBERS
from dagdp.kernels.cpu.records import Adjoint, Floats, Indices, Matrices, State, Variant, Workspace
from dagdp.kernels.cpu.rows import fill, first_aligned
from dagdp.lanes.operators import exponential
from dagdp.lanes.rows import ROW_BYTES
from dagdp.lanes.views import get, offset_view, view, width

EDGES = 512  # rows of edge potentials that are read together: 32 KiB, which stay in L2 beside the state
CHUNK = 256  # rows of outgoing edges whose potentials are read, and flows written, together: 16 KiB each
LEAST_EDGE_ROWS = 32  # rows of edges that the workspace holds, or as many as a node has parents
NODE_WEIGHTED_ROWS = 8  # rows of nodes in work at once on node-weighted graphs; see also ROWS_IN_WORK in cursor.py
RESULTS = 4  # rows of results for a row in work; in the row FOUND first what the solver found, then what turns y into q
MAXIMUM_HI, MAXIMUM_LO, FOUND, FOUND_KAPPA = range(RESULTS)
LARGEST = RESULTS * NODE_WEIGHTED_ROWS  # the row behind them: the largest |k| of scaled values
STEPS = 8  # tied levels whose products are summed in registers before they reach the gradient
TIED_NUMBERS = 2  # integers behind the addresses: `Matrices.waiting`
STEPS_WAITING, PATTERN = 0, 1  # their positions


class Passes(NamedTuple):
    """What an entry point computes."""

    every_node: bool = False  # a later pass, or the caller, reads the state of every node
    tangent: bool = False  # along a direction z
    backward: bool = False


class Sizes(NamedTuple):
    """The arrays of a launch's memory, in the order of their positions, with their sizes in numbers."""

    v_hi: int = 0
    v_lo: int = 0
    kappa: int = 0
    v_dot: int = 0
    c: int = 0
    node_potentials: int = 0
    node_directions: int = 0
    bar: int = 0
    bar_dot: int = 0
    edge_potentials: int = 0
    edge_directions: int = 0
    y: int = 0
    row_results: int = 0
    stored: int = 0
    tile: int = 0
    chunk_potentials: int = 0
    chunk_directions: int = 0
    chunk_flows: int = 0
    matrix_a: int = 0
    matrix_z: int = 0
    matrix_flow: int = 0
    matrix_peak: int = 0
    matrix_columns: int = 0
    matrix_rows: int = 0
    matrix_sums: int = 0


# Positions of the arrays in a layout.
(
    V_HI, V_LO, KAPPA, V_DOT, C, NODE_POTENTIALS, NODE_DIRECTIONS, BAR, BAR_DOT, EDGE_POTENTIALS, EDGE_DIRECTIONS,
    Y, ROW_RESULTS, STORED, TILE, CHUNK_POTENTIALS, CHUNK_DIRECTIONS, CHUNK_FLOWS, MATRIX_A, MATRIX_Z, MATRIX_FLOW,
    MATRIX_PEAK, MATRIX_COLUMNS, MATRIX_ROWS, MATRIX_SUMS,
) = range(len(Sizes._fields))  # fmt: skip


class KernelForm(NamedTuple):
    """The facts on which the layout of a launch depends, beside the graph."""

    passes: Passes
    variant: Variant
    closed_form: bool  # the operator's solver is "exponential"
    newton: bool
    scaled: bool  # values may be kept as m·2^k
    lanes: int
    itemsize: int

    @property
    def row(self) -> int:
        """Numbers of a row."""
        return ROW_BYTES // self.itemsize

    @property
    def pushes(self) -> bool:
        """Whether the backward pass pushes, and needs nothing of a node but v: see `pushes` in entry.py."""
        return self.closed_form and not self.variant.edges


def rows_of_edges(most_parents: int) -> int:
    """Rows of edges that the workspace holds."""
    return max(most_parents, LEAST_EDGE_ROWS)


def addresses_size(most_parents: int, pairs: bool | None = None) -> int:
    """Length of the memory for addresses: four lists, the numbers of tied levels, and a list of second parents."""
    return (4 if pairs is None else 5) * rows_of_edges(most_parents) + TIED_NUMBERS


def layout(form: KernelForm, wiring: Wiring, most_parents: int) -> tuple[int, NDArray[np.int64]]:
    """(numbers of the block, [2 x arrays] offset and size of each array of `Sizes`), for one launch.

    Sizes are multiples of a row, counted from the first cache line of the block.
    """
    sizes = _sizes(form, wiring, most_parents)
    table, offset = [], 0
    for size in sizes:
        table += [offset, size]
        offset += _full_rows(size, form.row)
    return offset + form.row, np.array(table, np.int64)


def _sizes(form: KernelForm, wiring: Wiring, most_parents: int) -> Sizes:
    """The sizes of all arrays; 0 for those that the form does without."""
    row, rows, lanes = form.row, rows_of_edges(most_parents), form.lanes
    passes, variant = form.passes, form.variant
    tangent, edges, nodes = passes.tangent, bool(variant.edges), bool(variant.nodes)
    keep = passes.every_node and not (passes.backward and form.pushes)
    incoming = wiring.incoming if passes.every_node else wiring.window
    spare = ((2 * rows if variant.pairs else rows) + 1) * row + row
    state = _full_rows(int(incoming.place[-1]) * lanes + spare, row)
    band = _full_rows(_band_nodes(wiring) * lanes + spare, row)
    window = _full_rows(_window_nodes(wiring) * lanes + 2 * row, row)
    bar = (state if keep else window) if passes.backward else 0
    samples, listed, order = lanes == row, incoming.slot_entries.size > 0, incoming.reader.size > 0
    in_order = bool(variant.stored) and samples and order
    edge_rows = max(EDGES * lanes, rows * row) + (rows + 1) * row + (int(incoming.edges[-1]) * lanes if in_order else 0)
    chunk = CHUNK * lanes + row if passes.every_node else 0
    read_later = variant.stored or (passes.backward and form.pushes) or form.newton or tangent
    sizes = Sizes(
        v_hi=state,
        v_lo=state,
        kappa=state if keep and (form.scaled or not form.closed_form) else 0,
        v_dot=state if tangent else 0,
        c=state if tangent and not form.pushes else 0,
        node_potentials=(state if keep else band) if nodes else 0,
        node_directions=band if nodes and tangent else 0,
        bar=bar,
        bar_dot=bar if tangent else 0,
        edge_potentials=edge_rows if edges else 0,
        edge_directions=edge_rows if edges and tangent else 0,
        y=(rows + 1) * row if read_later else row,
        row_results=(LARGEST + 1) * row,
        stored=int(incoming.edges[-1]) + row if variant.stored and not samples and listed and order else 0,
        tile=(row + 1) * row,
        chunk_potentials=chunk if edges else 0,
        chunk_directions=chunk if edges and tangent else 0,
        chunk_flows=chunk,
    )
    return sizes._replace(**_matrix_sizes(wiring.tied.shapes, row, tangent)) if variant.tied else sizes


def _full_rows(size: int, row: int) -> int:
    """The size rounded up to full rows."""
    return -(-size // row) * row


def _matrix_sizes(shapes: NDArray[np.int32], row: int, tangent: bool) -> dict[str, int]:
    """The sizes of the matrices of tied levels; shapes [2 P]: rows and columns of each pattern."""
    rows, columns = shapes.reshape(-1, 2).T.astype(np.int64)
    rows_padded, columns_padded = (-(-size // 4) * 4 for size in (rows, columns))
    entries = int((rows_padded * columns).sum())
    most_rows, most_columns = int(rows_padded.max()), int(columns_padded.max())
    return {
        "matrix_a": entries + row,
        "matrix_z": entries + row if tangent else 0,
        "matrix_flow": entries + row,
        "matrix_peak": 2 * len(rows) + row,
        "matrix_columns": 2 * STEPS * most_columns * row,
        "matrix_rows": 2 * STEPS * most_rows * row,
        "matrix_sums": 3 * max(most_rows, most_columns) * row,
    }


def _band_nodes(wiring: Wiring) -> int:
    """Nodes of the largest band of levels."""
    return int(np.diff(wiring.incoming.levels[wiring.hoisted.levels]).max())


def _window_nodes(wiring: Wiring) -> int:
    """Nodes, at most, of a band and of the levels from which edges lead into it."""
    return int((wiring.incoming.levels[wiring.hoisted.levels[1:]] - wiring.hoisted.floor).max())


@inlined
def array_of(scratch: Floats, table: Indices, position: int) -> Floats:
    """The array at that position of the layout."""
    at = TABLE_NUMBERS + 2 * position
    return view(scratch, get(table, at), get(table, at + 1))


@inner
def aligned(scratch: Floats) -> Floats:
    """The block from its first cache line on."""
    return offset_view(scratch, first_aligned(scratch))


@inner
def state_of(omega: Any, scratch: Floats, table: Indices, scaled: Any, tangent: Any, bend: Any, nodes: Any) -> State:
    """The state. tangent, bend, nodes : True where v̇, c, and potentials on nodes are wanted, else None."""
    kappa = array_of(scratch, table, KAPPA)
    if scaled is None and exponential(omega):  # κ is 1
        kappa = view(scratch, 0, 0)
    return State(
        array_of(scratch, table, V_HI),
        array_of(scratch, table, V_LO),
        kappa,
        None if tangent is None else array_of(scratch, table, V_DOT),
        None if bend is None else array_of(scratch, table, C),
        None if nodes is None else array_of(scratch, table, NODE_POTENTIALS),
        None if nodes is None or tangent is None else array_of(scratch, table, NODE_DIRECTIONS),
    )


@inlined
def adjoint_of(scratch: Floats, table: Indices, tangent: Any) -> Adjoint:
    """ē, and its tangent where one is wanted."""
    return Adjoint(array_of(scratch, table, BAR), None if tangent is None else array_of(scratch, table, BAR_DOT))


@inlined
def matrices_of(tied: Any, scratch: Floats, table: Indices, addresses: Indices, tangent: Any) -> Any:
    """The matrices of tied levels, their sums 0; None where no level is tied."""
    if tied is None:
        return None
    waiting = view(addresses, addresses.shape[0] - TIED_NUMBERS, TIED_NUMBERS)
    waiting[STEPS_WAITING] = 0
    made = Matrices(
        array_of(scratch, table, MATRIX_A),
        None if tangent is None else array_of(scratch, table, MATRIX_Z),
        array_of(scratch, table, MATRIX_FLOW),
        array_of(scratch, table, MATRIX_PEAK),
        array_of(scratch, table, MATRIX_COLUMNS),
        array_of(scratch, table, MATRIX_ROWS),
        array_of(scratch, table, MATRIX_SUMS),
        waiting,
    )
    fill(made.flow, 0, made.flow.shape[0] - width(scratch), 0)
    fill(made.columns, 0, made.columns.shape[0], 0)
    fill(made.rows, 0, made.rows.shape[0], 0)
    return made


@inlined
def own_addresses(addresses: Indices, pairs: Any) -> Indices:
    """`Workspace.addresses`."""
    if pairs is None:
        return addresses
    return view(addresses, 0, addresses.shape[0] - (addresses.shape[0] - TIED_NUMBERS) // 5)


@inlined
def second_addresses(addresses: Indices, pairs: Any) -> Any:
    """`Workspace.second_rows`, which lie behind the other addresses; None without hyperedges."""
    if pairs is None:
        return None
    rows = (addresses.shape[0] - TIED_NUMBERS) // 5
    return view(addresses, addresses.shape[0] - rows, rows)


@inner
def workspace_of(
    scratch: Floats, table: Indices, addresses: Indices, incoming: Any, lanes: int, tangent: Any, variant: Variant
) -> Workspace:
    """The workspace of a launch."""
    nodes = get(incoming.place, incoming.place.shape[0] - 1)
    return Workspace(
        own_addresses(addresses, variant.pairs),
        nodes * lanes + width(scratch),  # behind a row that is written back with the last node (`store_lanes`)
        None if variant.edges is None else array_of(scratch, table, EDGE_POTENTIALS),
        None if variant.edges is None or tangent is None else array_of(scratch, table, EDGE_DIRECTIONS),
        array_of(scratch, table, Y),
        array_of(scratch, table, ROW_RESULTS),
        array_of(scratch, table, STORED),
        array_of(scratch, table, TILE),
        None if variant.edges is None else array_of(scratch, table, CHUNK_POTENTIALS),
        None if variant.edges is None or tangent is None else array_of(scratch, table, CHUNK_DIRECTIONS),
        array_of(scratch, table, CHUNK_FLOWS),
        matrices_of(variant.tied, scratch, table, addresses, tangent),
        second_addresses(addresses, variant.pairs),
    )


@inlined
def with_one_row_of_y(work: Workspace) -> Workspace:
    """The workspace of a forward pass whose y is not read later; it keeps one row of y."""
    return Workspace(
        work.addresses,
        work.spare,
        work.edge_potentials,
        work.edge_directions,
        view(work.y, 0, width(work.y)),
        work.row_results,
        work.stored,
        work.tile,
        work.chunk_potentials,
        work.chunk_directions,
        work.chunk_flows,
        work.matrices,
        work.second_rows,
    )


@inlined
def most_rows(work: Workspace) -> int:
    """Rows of edges that the workspace holds."""
    return (work.addresses.shape[0] - TIED_NUMBERS) // 4


# The lists of `Workspace.addresses`: where the rows of the parents' v lie, of the edges' own potentials, and those of
# x = θ + v where edges have potentials; and for each slot of a level the run that the next row belongs to.
PARENT_ROWS, POTENTIAL_ROWS, SCORE_ROWS, RUN_POSITIONS = range(4)


@inlined
def result_at(results: Floats, r: int, which: int) -> int:
    """Where one of the RESULTS of row r lies in `Workspace.row_results`."""
    return (RESULTS * r + which) * width(results)


@inlined
def address_list(work: Workspace, which: int) -> Indices:
    """One of the lists of addresses."""
    size = most_rows(work)
    return view(work.addresses, which * size, size)
