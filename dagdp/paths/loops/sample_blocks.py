"""Sweeps over a batch: blocks of eight samples, which several threads share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL
from dagdp.engine.faults import nodes_before
from dagdp.omega import Omega
from dagdp.paths.loops.node_edges import Direction, backward, forward
from dagdp.paths.loops.sweeps import ROW, NodeValues, RowSpace, best_over_edges, highest, smoothed, trace_back
from dagdp.paths.request.request import Request

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Up to eight items of a request."""

    request: Request
    first: int
    count: int

    def table(self) -> Reals:
        """[(entries + 1) x 8] the potentials of these items, to be maximised, as rows, and a row of zeros behind."""
        sizes = [block.shape[1] for block in self.request.blocks]
        table, at = np.zeros((sum(sizes) + 1, ROW)), 0
        for block, size in zip(self.request.blocks, sizes, strict=True):
            rows = block[self.first : self.first + self.count] if block.shape[0] > 1 else block
            np.multiply(rows.T, self.request.sign, out=table[at : at + size, : self.count])
            at += size
        return table.reshape(-1)

    def of(self, items: Numbers) -> Numbers:
        """[8] the numbers of these items, -1 in unused lanes."""
        made = np.full(ROW, -1)
        made[: self.count] = items[self.first : self.first + self.count]
        return made


def in_blocks(request: Request, work: Callable[[Block], None]) -> None:
    """Do the work for all items, on as many threads as `dp_value` takes by default."""
    threads = 1 if request.dag.num_edges * request.items < SMALL else pool.available()
    firsts = range(0, request.items, ROW)
    pool.run(work, [Block(request, first, min(ROW, request.items - first)) for first in firsts], threads)


def ends_in(direction: Direction, request: Request) -> Numbers:
    """[items] where each item's paths end, in the numbers of the direction; -1 where no path leads."""
    dag = request.dag
    ends = np.full(request.items, dag.end) if request.end is None else dag.rank[request.end.ravel()]
    return np.where(ends >= 0, direction.number[ends], -1)


def best_edges(request: Request) -> tuple[Reals, Numbers]:
    """(scores [items], edges [items, longest]) of the best path of each item: user's edge numbers, padded with -1."""
    ahead = forward(request.dag)
    ends, everywhere = ends_in(ahead, request), np.full(ROW, -1)
    scores, edges = np.empty(request.items), np.full((request.items, request.edge_graph.longest), -1)

    def work(block: Block) -> None:
        v, choice = _values(ahead), np.empty(ahead.size * ROW)
        highest(ahead.edges, block.table(), everywhere, v, v, choice)
        own = slice(block.first, block.first + block.count)
        trace_back(ahead.edges, choice, v.hi, block.of(ends), block.count, edges[own], scores[own])

    in_blocks(request, work)
    return scores, edges


def entropies(request: Request, omega: Omega) -> Reals:
    """[items] the entropy of the walk from each item's end back, in nats; 0 where there is no path."""
    ahead = forward(request.dag)
    ends, found = ends_in(ahead, request), np.zeros(request.items)
    sweep = _smoothing(ahead, omega)

    def work(block: Block) -> None:
        v, surprise = _values(ahead), np.empty(ahead.size * ROW)
        sweep(block.table(), np.full(ROW, -1), v, v, surprise)
        lanes = np.arange(block.count)
        at = block.of(ends)[: block.count]
        reached = v.hi.reshape(-1, ROW)[at, lanes] > -np.inf
        own = surprise.reshape(-1, ROW)[at, lanes]
        found[block.first : block.first + block.count] = np.where((at >= 0) & reached, own, 0.0)

    in_blocks(request, work)
    return found


def values_of_nodes(request: Request, omega: Omega, back: bool) -> Reals:
    """[items, user's nodes] v at every node, to be maximised; -inf where no path leads."""
    direction = backward(request.dag) if back else forward(request.dag)
    begins = _begins(direction, request) if back else np.full(request.items, -1)
    found = np.full((request.items, direction.nodes.size), -np.inf)
    live = np.flatnonzero(direction.nodes >= 0)
    sweep = _smoothing(direction, omega)
    inside = _smoothing(forward(request.dag), omega) if back and request.trees else None

    def work(block: Block) -> None:
        v = front = _values(direction)
        if inside is not None:
            front = _values(direction)
            inside(block.table(), np.full(ROW, -1), front, front, front.hi[:0])
        sweep(block.table(), block.of(begins), v, front, v.hi[:0])
        rows = v.hi.reshape(-1, ROW)[direction.nodes[live], : block.count]
        found[block.first : block.first + block.count, live] = rows.T

    in_blocks(request, work)
    return found


def visited_before(request: Request) -> NDArray[np.bool_]:
    """[items, user's nodes] whether the node lies on a path to the item's end."""
    dag = request.dag
    ends = dag.end_nodes(request.end_names, request.batch)
    found = np.zeros((ends.size, dag.graph.num_nodes), bool)
    for end in np.unique(ends[ends >= 0]):
        before = nodes_before(dag, int(end))
        found[ends == end] = np.where(dag.rank >= 0, before[dag.rank], False)
    return found


def best_through(request: Request) -> tuple[Reals, Reals]:
    """(scores [items] of the best paths, [items, edges] of the best path over each edge); -inf without a path."""
    dag = request.dag
    ahead, back = forward(dag), backward(dag)
    ends, begins, everywhere = ends_in(ahead, request), _begins(back, request), np.full(ROW, -1)
    best, found = np.full(request.items, -np.inf), np.full((request.items, dag.graph.num_edges), -np.inf)

    def work(block: Block) -> None:
        table = block.table()
        front, rear, choice = _values(ahead), _values(back), np.empty(ahead.size * ROW)
        highest(ahead.edges, table, everywhere, front, front, choice)
        highest(back.edges, table, block.of(begins), rear, front, choice)
        own = slice(block.first, block.first + block.count)
        best_over_edges(back.edges, table, rear, front, block.count, found[own])
        at = block.of(ends)[: block.count]
        scores = front.hi.reshape(-1, ROW)[at, np.arange(block.count)]
        best[own] = np.where(at >= 0, scores, -np.inf)

    in_blocks(request, work)
    return best, found


def _values(direction: Direction) -> NodeValues:
    """Memory for v of every node."""
    return NodeValues(np.empty(direction.size * ROW), np.empty(direction.size * ROW))


def _begins(direction: Direction, request: Request) -> Numbers:
    """[items] where backward paths begin: the item's end, or `size` if no path leads there; -1 for all ends."""
    if request.end is None:
        return np.full(request.items, -1)
    ends = ends_in(direction, request)
    return np.where(ends < 0, direction.size, ends)


def _smoothing(direction: Direction, omega: Omega) -> Callable[..., None]:
    """The sweep `smoothed` in this direction; each call has a workspace of its own."""
    most = int(np.diff(direction.edges.ptr).max())
    data, places = omega.data(np.float64), np.arange(0, most * ROW, ROW)

    def sweep(table: Reals, begins: Numbers, v: NodeValues, side: NodeValues, surprise: Reals) -> None:
        space = RowSpace(places, np.empty((3 * most + 2) * ROW))
        smoothed(data, direction.edges, table, begins, v, side, surprise, space)

    return sweep
