"""A level's incoming edges by slots: the d-th edges of its nodes, and the runs that their parents form."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.progressions import LISTED
from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.rows import later, number
from dagdp.lanes.views import FAR, expect_row, pick, row_length, rows_on_stack, rule

EDGES = 512  # rows of potentials that are read at once: 32 KiB, beside the state they meet in L2
NODES_AHEAD = 4  # rows of how many nodes in front are asked for; 2 and 8 are no faster
TOGETHER = 4  # rows of nodes that are worked on at once, at most; 8 cost 7 to 15 % where parents are scattered
BARE_TOGETHER = 8  # the same of samples without potentials on edges
# Edges into a node of an alignment grid. A number that is known when the kernel is compiled makes straight code of the
# loops over edges: DTW takes 0.82 to 0.95 of the time.
MOVES = 3
rows_of_moves = rows_on_stack(MOVES)
TIED = 2  # numbers behind the places of rows, for tied levels
LEAST_ROWS = 32  # rows of edges that they may have, if no node has more
DESK = 4  # numbers of a row between the phases: the maximum as (hi, lo), what the solver found, and its κ


@inlined
def rows_at_once(places: Any) -> int:
    """How many rows of edges there is room for."""
    return (places.shape[0] - TIED) // 4


@inlined
def spare_rows(places: Any, like: Any) -> int:
    """Numbers behind the state in which rows are put together, the last of which is overrun."""
    return (rows_at_once(places) + 1) * row_length(like)


@inlined
def spare_at(places: Any, incoming: Any, lanes: int, like: Any) -> int:
    """Where these begin: behind all nodes, and a row that is written back with the last of them (see `put`)."""
    nodes = pick(incoming.place, incoming.place.shape[0] - 1)
    return nodes * lanes + row_length(like)


@inlined
def run_at(incoming: Any, run: Any, d: int, e: int) -> int:
    """The run of a slot that holds edge e, which rises from row to row."""
    k = pick(run, d)
    while e >= pick(incoming.runs, 4 * k) + pick(incoming.runs, 4 * k + 1):
        k += 1
    run[d] = k
    return k


@inlined
def parents_of(incoming: Any, k: int, e: int) -> Any:
    """The rule of the parents of the edges of run k, from edge e on."""
    parents = rule(incoming.parent, pick(incoming.runs, 4 * k + 2), pick(incoming.runs, 4 * k + 3))
    return later(parents, e - pick(incoming.runs, 4 * k))


@inlined
def left_of_run(incoming: Any, k: int, e: int) -> int:
    """How many edges run k has from edge e on."""
    return pick(incoming.runs, 4 * k) + pick(incoming.runs, 4 * k + 1) - e


@inlined
def expect_parents(array: Any, parents: Any, k: int, left: int) -> None:
    """Ask for the row of a parent that comes up soon after the k-th, of `left` listed, if the state is large."""
    if parents[2] == LISTED and left > k + NODES_AHEAD and array.shape[0] > FAR:
        expect_row(array, number(parents, k + NODES_AHEAD) * row_length(array))


@inlined
def directly(incoming: Any, batch: Any) -> bool:
    """Whether rows read their potentials themselves: of one sample, where entries are in no order."""
    return batch.together is None and incoming.direct.shape[0] > 0


@inlined
def by_slots(incoming: Any, batch: Any) -> bool:
    """Whether such a sample's weights are kept slot by slot, in memory of their own: where few edges enter a node."""
    return directly(incoming, batch) and incoming.reader.shape[0] > 0


@inlined
def edges_before(incoming: Any, node: int, last: int, batch: Any, whole: int) -> int:
    """How many nodes from `node` on have their potentials read together: up to EDGES edges, at least a row."""
    if incoming.blocks.shape[0] == 0 or directly(incoming, batch):
        return last - node
    lanes = batch.lanes
    count = min(last - node, 1 if batch.together is not None else whole)
    limit = pick(incoming.edges, node) + EDGES
    while node + count < last and pick(incoming.edges, min(last, node + count + whole // lanes)) <= limit:
        count = min(last - node, count + whole // lanes)
    return count
