"""The records that kernels pass: what is computed, on which graph, for which items, in which memory.

Each is a NamedTuple, which Numba passes field by field. A field that a call does not need is None by type, and
branches on it are resolved before a kernel is compiled (jit/static_branches.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

Row = Any  # a row of lanes
Floats = Any  # an array of the kernel's dtype
Indices = Any  # an array of int32 or int64


class Items(NamedTuple):
    """The items of one launch: [first, last), in blocks of `lanes`."""

    first: int
    last: int
    lanes: int  # items of a block: a row's width, or 1
    partial: int  # the row of partial sums in which this launch collects gradients of shared potentials
    graphs: int = 1  # graphs of a merged graph: each item has as many ends
    lanes_are_samples: bool | None = None  # True: a row holds samples; None: neighbouring nodes of one sample
    scaled: bool | None = None  # True: v is kept as m·2^k (special/scaled.py); None: as v_hi + v_lo


class Block(NamedTuple):
    """The items [first, min(first + lanes, stop)) that go through all passes together. Other fields: see `Items`."""

    first: int
    stop: int  # behind the last item of the launch
    lanes: int
    partial: int
    graphs: int
    lanes_are_samples: Any
    scaled: Any


class Terminals(NamedTuple):
    """Where paths begin and end: internal numbers of nodes [items, graphs], flat, -1 for none."""

    starts: Indices  # empty: paths begin at every start of the graph
    ends: Indices
    weights: Any  # [items] upstream gradients, empty where all are 1; None in kernels without them


class Source(NamedTuple):
    """θ or z: for each potential an array [items or 1, entries], laid flat."""

    table: Indices  # addresses and sizes of these arrays (compiled/index_arrays.py: `located`)
    sign: Any  # -1 to minimise


class Arrays(NamedTuple):
    """The caller's arrays."""

    theta: Source
    z: Any  # Source of the direction, or None
    gradient: Any  # table of the gradient's arrays; None in a pass that neither writes nor stores weights


class Variant(NamedTuple):
    """What a kernel is compiled for; each field is True or None."""

    tied: bool | None  # tied levels are multiplied with their matrix
    stored: bool | None  # weights are stored between the passes
    edges: bool | None  # edges have potentials of their own
    nodes: bool | None  # nodes have potentials that all their edges share (hoisted)
    pairs: bool | None = None  # edges have two parents, one of them perhaps the neutral start (compiler/hyperedges.py)


class Graph(NamedTuple):
    """The compiled graph: each field is a pointer to the arrays of a part (graph_view.py)."""

    incoming: Any
    outgoing: Any  # None in a forward pass
    untied: Any  # the outgoing edges that no tied level covers
    hoisted: Any
    tied: Any


class State(NamedTuple):
    """What a pass keeps of each node: arrays with a row for each node, or a number for each node of one sample.

    Behind the nodes each array has spare rows. A pass stores the scores x there, and rows copied from scattered nodes.
    """

    v_hi: Floats  # v = v_hi + v_lo; of a scaled value m·2^k the exponent k
    v_lo: Floats  # of a scaled value m
    kappa: Floats  # κ; for HardMax the chosen slot, for a scaled value 1/S. Empty where no later pass reads it
    v_dot: Any  # v̇, or None
    c: Any  # the mean of ẋ under s, or None
    node_potentials: Any  # hoisted potentials of θ, or None; their first element belongs to node 0
    node_directions: Any  # hoisted potentials of z, or None


class Adjoint(NamedTuple):
    """ē of each node, and its tangent (None without a direction)."""

    bar: Any
    bar_dot: Any


class Matrices(NamedTuple):
    """A and A∘Z of every pattern of tied levels, row by row, and memory for products (special/tied_products.py)."""

    a: Floats  # each pattern's rows are padded to a multiple of four
    z: Any
    flow: Floats  # e, or ė, of each entry, summed over the levels done so far
    peak: Floats  # [2 P] θ° of each pattern, and the span of its finite θ
    columns: Floats  # rows p, and p v̇ behind them, for STEPS levels
    rows: Floats  # rows α, and β of a tangent behind them, for STEPS levels
    sums: Floats  # rows of products
    waiting: Indices  # [2] the number of levels in `columns` and `rows`, and their pattern


class Workspace(NamedTuple):
    """The memory in which rows are worked on. Arrays are views of one block (memory.py)."""

    addresses: Indices  # three lists of row addresses, one of run numbers, two counters: see `address_list`
    spare: int  # the first element behind the state where a row may be assembled
    edge_potentials: Any  # θ of edges, edge by edge or row by row; None without potentials on edges
    edge_directions: Any  # z of edges; None without a direction
    y: Floats  # y = (x - m)/γ of the edges of the rows in work; one row if no later step reads y
    row_results: Floats  # see `result_at` of memory.py
    stored: Floats  # weights of one sample's edges, edge by edge; empty where they are stored elsewhere
    tile: Floats
    chunk_potentials: Any  # of a chunk of outgoing edges: θ, z and flows, row by row
    chunk_directions: Any
    chunk_flows: Any
    matrices: Any  # Matrices, or None
    second_rows: Any  # the list of row addresses of second parents; None without hyperedges


class Placement(NamedTuple):
    """Where the operands of the next rows lie: of row r and edge d at PARENT_ROWS[r * jump + d] + r * shift."""

    nodes: int  # nodes that the rows cover
    rows: int
    jump: int
    shift: int


class Target(NamedTuple):
    """Where a row of results goes."""

    at: int  # its place in the state
    own_at: int  # its place among node potentials
    count: int  # lanes that count
