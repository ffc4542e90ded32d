"""A level's incoming edges by slots, and the cursor that goes through a level's nodes row by row.

Slot d of a level holds the d-th incoming edge of every node that has one: a prefix of the level's nodes, which stand in
falling order of fan-in. A run is a stretch of a slot whose parents form a progression.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.memory import EDGES, NODE_WEIGHTED_ROWS, RUN_POSITIONS, address_list, most_rows
from dagdp.kernels.cpu.progressions import Progression, advance, progression, term
from dagdp.kernels.cpu.records import Block, Floats, Indices, Workspace
from dagdp.lanes.prefetch import FAR, prefetch_row
from dagdp.lanes.views import get, rows_on_stack, width

RUN_FIRST, RUN_COUNT, RUN_START, RUN_STEP, RUN_NUMBERS = 0, 1, 2, 3, 4  # columns of `Incoming.runs`, and their count
NODES_AHEAD = 4  # a listed parent's row is prefetched so many nodes ahead; 2 and 8 are no faster
ROWS_IN_WORK = 4  # rows of nodes in work at once, at most; 8 cost 7 to 15 % where parents are scattered
# Edges into a node of an alignment grid. With a fan-in known at compile time LLVM unrolls the loops over edges: DTW
# takes 0.82 to 0.95 of the time.
MOVES = 3
rows_of_moves = rows_on_stack(MOVES)


class Cursor(NamedTuple):
    """The next nodes of a level: `node` up to `last`."""

    level: int
    first: int  # the level's first node
    slot: int  # the level's first slot
    depth: int  # the fan-in of `node`; that of later nodes is no larger
    node: int
    last: int
    home: int  # row of the state where a node's v lies: home + node
    edge: int  # the first edge whose potentials are in `Workspace.edge_potentials`


@inlined
def enter_level(incoming: Any, work: Workspace, level: int, node: int) -> Cursor:
    """The cursor at a node of a level, the positions of its runs at their beginning."""
    runs = address_list(work, RUN_POSITIONS)
    first, last = get(incoming.levels, level), get(incoming.levels, level + 1)
    slot = get(incoming.slots, level)
    depth = get(incoming.slots, level + 1) - slot
    for d in range(depth):
        runs[d] = get(incoming.slot_runs, slot + d)
    return Cursor(level, first, slot, depth, node, last, get(incoming.place, level) - first, 0)


@inlined
def fan_in_at(incoming: Any, cursor: Cursor) -> Cursor:
    """The cursor with the fan-in of its node."""
    depth = cursor.depth
    while get(incoming.width, cursor.slot + depth - 1) <= cursor.node - cursor.first:
        depth -= 1
    return with_depth(cursor, depth)


@inlined
def with_depth(cursor: Cursor, depth: int) -> Cursor:
    """The cursor with that fan-in: the caller passes the constant MOVES if it is that, so that LLVM unrolls loops."""
    return Cursor(cursor.level, cursor.first, cursor.slot, depth, cursor.node, cursor.last, cursor.home, cursor.edge)


@inlined
def at_node(cursor: Cursor, node: int) -> Cursor:
    """The cursor at another node with that fan-in."""
    return Cursor(cursor.level, cursor.first, cursor.slot, cursor.depth, node, cursor.last, cursor.home, cursor.edge)


@inlined
def before(cursor: Cursor, last: int, edge: int) -> Cursor:
    """The cursor that ends before the node `last`; potentials in the workspace begin with those of `edge`."""
    return Cursor(cursor.level, cursor.first, cursor.slot, cursor.depth, cursor.node, last, cursor.home, edge)


@inlined
def edge_of_slot(incoming: Any, cursor: Cursor, d: int) -> int:
    """The d-th edge of the cursor's node, in the numbering by slots."""
    return get(incoming.first, cursor.slot + d) + cursor.node - cursor.first


@inlined
def nodes_in_slot(incoming: Any, cursor: Cursor, d: int) -> int:
    """Nodes from the cursor's on that have a d-th edge."""
    return get(incoming.width, cursor.slot + d) - (cursor.node - cursor.first)


@inlined
def run_at(incoming: Any, runs: Indices, d: int, e: int) -> int:
    """The run of slot d that holds edge e. Edges rise from call to call."""
    k = get(runs, d)
    while left_of_run(incoming, k, e) <= 0:
        k += 1
    runs[d] = k
    return k


@inlined
def run_parents(incoming: Any, k: int) -> Progression:
    """Where the parents of run k's edges keep v."""
    at = RUN_NUMBERS * k
    return progression(incoming.parent, get(incoming.runs, at + RUN_START), get(incoming.runs, at + RUN_STEP))


@inlined
def parents_of(incoming: Any, k: int, e: int) -> Progression:
    """Where the parents of run k's edges keep v, from edge e on."""
    return advance(run_parents(incoming, k), e - get(incoming.runs, RUN_NUMBERS * k + RUN_FIRST))


@inlined
def left_of_run(incoming: Any, k: int, e: int) -> int:
    """Edges of run k from edge e on."""
    at = RUN_NUMBERS * k
    return get(incoming.runs, at + RUN_FIRST) + get(incoming.runs, at + RUN_COUNT) - e


@inlined
def prefetch_parent(array: Floats, parents: Progression, k: int, left: int) -> None:
    """Prefetch the row of a parent NODES_AHEAD behind the k-th, of `left` listed ones, if the array is large."""
    if parents.step == LISTED and left > k + NODES_AHEAD and array.shape[0] > FAR:
        prefetch_row(array, term(parents, k + NODES_AHEAD) * width(array))


@inlined
def reads_listed(incoming: Any, block: Block) -> bool:
    """True where rows of one sample gather their potentials themselves, since these lie in no order."""
    return block.lanes_are_samples is None and incoming.slot_entries.shape[0] > 0


@inlined
def stores_by_slots(incoming: Any, block: Block) -> bool:
    """True where one sample's weights are stored slot by slot, in memory of their own: where fan-in is small."""
    return reads_listed(incoming, block) and incoming.reader.shape[0] > 0


@inlined
def most_in_work(incoming: Any, block: Block, work: Workspace, depth: int) -> int:
    """Rows of nodes of that fan-in that are worked on at once."""
    node_weighted = work.edge_potentials is None and block.lanes_are_samples is not None
    return min(NODE_WEIGHTED_ROWS if node_weighted else ROWS_IN_WORK, most_rows(work) // depth)


@inlined
def nodes_read_together(incoming: Any, block: Block, node: int, last: int, row: int) -> int:
    """Nodes from `node` on whose potentials are read together: up to EDGES edges, at least a row."""
    if incoming.potentials.shape[0] == 0 or reads_listed(incoming, block):
        return last - node
    lanes = block.lanes
    count = min(last - node, 1 if block.lanes_are_samples is not None else row)
    limit = get(incoming.edges, node) + EDGES
    while node + count < last and get(incoming.edges, min(last, node + count + row // lanes)) <= limit:
        count = min(last - node, count + row // lanes)
    return count
