"""What a device kernel is given: the records of its arguments, and the columns of the table of graphs.

Every kernel has four arguments: the operator, `Call`, `Arrays` and `State`. Their fields are the parameters of the
compiled kernel, in this order: numbers by value, arrays by address. An array that a variant does not read is None; its
address is 0.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """What a kernel is compiled for. The names in capitals of the kernel texts are these fields."""

    tangent: bool  # forward passes carry v̇, and the backward pass ē̇: slope and Hessian product
    backward: bool  # a backward pass follows: gradient, or with a tangent the Hessian product
    weights: bool  # a pass over all edges writes q: local weights
    decode: bool  # one thread of an item follows the chosen edges back from the end: a best path
    edge_blocks: int  # potentials that edges read
    node_blocks: int  # hoisted potentials: all edges into a node share them
    pairs: bool  # edges may have a second parent
    readers: bool  # several edges or nodes of an item read one entry
    shared_ring: bool  # values of the last levels lie in shared memory; otherwise in the state
    warp: bool  # an item for each warp, instead of one for each block
    starts: bool  # each item has a start of its own
    wide: int = 0  # scores of a node's edges are kept in registers: at most so many; 0: they are computed at each use
    tied: int = 0  # states of a step of a chain, rounded up, for the kernel of `tied`; 0: the usual kernel
    parts: int = 1  # threads of a state in that kernel; each has a part of the state's row of the matrix
    moves: int = 0  # the edges into a cell of an alignment grid, see `plan/diagonals.py`; 0: any graph
    staged: bool = False  # with moves: potentials and results pass through shared memory, in bands of levels

    @property
    def keeps(self) -> bool:
        """Whether a later pass reads the values of all nodes, which the forward pass then stores in the state."""
        return self.backward or self.weights or not self.shared_ring


class Call(NamedTuple):
    """Numbers of a launch. An item is one graph of one batch item."""

    batch: Any  # int64, batch items
    graphs: Any  # int64, rows of the table
    ring: Any  # int32, numbers of one array in the ring; with `moves` half of an item's numbers in shared memory
    ended: Any  # int32, 1 where each item has an end of its own
    nodes: Any  # int64, nodes of all graphs: the state's stride from one batch item to the next
    entries: Any  # int64, the stride of the gradient, of local weights, or of paths
    theta_stride: Any  # int64, theta's stride; 0 where all batch items share theta
    z_stride: Any  # int64
    sign: Any  # of the kernel's real type, by which theta is multiplied: -1 where costs are minimised


GRAPHS_END, WRONG = -2, -3  # in `Arrays.ends`: the end that the graph has; a node that is no end, found on the device


class Arrays(NamedTuple):
    """Arrays of a launch, one-dimensional and contiguous."""

    plan: Any  # int32, index arrays of all graphs: see `dagdp.kernels.cuda.plan.device_plan`
    table: Any  # int32, a row of `Column`s for each graph
    starts: Any  # int32 [batch, graphs] internal numbers, -1 for no path; None: paths begin at every start
    ends: Any  # int32 [batch, graphs] internal numbers, -1 for no path, GRAPHS_END, WRONG; or None
    theta: Any  # real [batch, entries], or [entries] where the stride is 0
    z: Any  # real, like theta; None without a direction
    values: Any  # real [batch, graphs]
    slopes: Any  # real [batch, graphs]; None without a direction
    gradient: Any  # real [batch, entries]; local weights: [batch, edges of all graphs]
    path: Any  # int32 [batch, edges of a longest path], user's edge numbers from the end back, then -1; only `decode`
    fault: Any  # int32 [1], in host memory: the last item with a bad number, counted from 1


class State(NamedTuple):
    """What passes keep of each node, real [batch, nodes] each; None where no later pass reads it."""

    v_hi: Any
    v_lo: Any
    kappa: Any  # κ, for HardMax the chosen slot; None for the closed form, whose κ is constant
    v_dot: Any  # v̇
    mean: Any  # c, the mean of ẋ under s
    bar: Any  # ē
    bar_dot: Any


class Column(IntEnum):
    """Columns of the table of graphs. Those from LEVEL_PTR on are places in the plan.

    Nodes are numbered graph by graph. Edges are numbered through all graphs, so an array over edges has one place for
    all graphs, and its strides are the counts of all graphs.
    """

    NODES = 0
    EDGES = auto()  # incoming edges of all graphs: the stride of IN_ENTRY
    OUT_EDGES = auto()  # outgoing edges of all graphs: a hyperedge counts for each of its parents
    LEVELS = auto()
    END = auto()  # internal number of the graph's end, -1 where no path leads there
    OUTPUT = auto()  # the graph's number among the user's: where its value goes
    FIRST_NODE = auto()  # nodes of the graphs before it: its place in the state
    MULTIPLE = auto()  # entries with several readers
    LEVEL_PTR = auto()  # [levels+1] first node of each level
    IN_PTR = auto()  # [nodes+1] first incoming edge of each node
    IN_PARENT = auto()  # [edges]
    IN_SECOND = auto()  # [edges] second parent, -1 for none; only with hyperedges
    IN_ENTRY = auto()  # [edge blocks, edges] entry of theta, -1 for none
    NODE_ENTRY = auto()  # [node blocks, nodes of all graphs] hoisted entry, -1 for none
    NODE_TARGET = auto()  # [node blocks, nodes of all graphs] NODE_ENTRY where the node is its one reader, otherwise -1
    OUT_PTR = auto()  # [nodes+1] first outgoing edge; a hyperedge is listed under both parents
    OUT_CHILD = auto()  # [out edges]
    OUT_SLOT = auto()  # [out edges] place among the child's incoming edges
    OUT_OTHER = auto()  # [out edges] the other parent, -1 for none; only with hyperedges
    OUT_ENTRY = auto()  # [edge blocks, out edges] entry of theta, -1 for none
    OUT_TARGET = auto()  # [edge blocks, out edges] OUT_ENTRY where the edge is its one reader, otherwise -1
    EDGE = auto()  # [edges] the user's number of an incoming edge, counted through all graphs; -1 for added ones
    READ_ENTRY = auto()  # [multiple] entries with several readers
    READ_PTR = auto()  # [multiple+1] first reader of each
    READER = auto()  # [readers] an out edge, or -1 for the hoisted entry of a node
    READER_NODE = auto()  # [readers] the edge's parent, or that node
    CHAIN = auto()  # [chain facts] of a chain, see `dagdp.kernels.cuda.plan.chain`
    DIAGONALS = auto()  # see `dagdp.kernels.cuda.plan.diagonals`; only of a graph that has diagonals


COLUMNS = len(Column)
