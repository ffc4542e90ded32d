"""Passes over nodes for a batch: eight samples at a time, blocks of them on several threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL
from dagdp.engine.faults import edges_before
from dagdp.omega import Omega
from dagdp.paths.plain import Question
from dagdp.paths.sweep import ROW, highest, smoothed, through, traced
from dagdp.paths.wires import Wires, backward, forward

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Up to eight items of a question."""

    question: Question
    first: int
    count: int

    def table(self) -> Reals:
        """[(entries + 1) * 8] the potentials of these items, to be maximised, as rows, and a row of zeros behind."""
        sizes = [block.shape[1] for block in self.question.blocks]
        table, at = np.zeros((sum(sizes) + 1, ROW)), 0
        for block, size in zip(self.question.blocks, sizes, strict=True):
            rows = block[self.first : self.first + self.count] if block.shape[0] > 1 else block
            own = table[at : at + size, : self.count]
            np.multiply(rows.T, self.question.sign, out=own)
            at += size
        return table.reshape(-1)

    def of(self, items: Numbers) -> Numbers:
        """[8] numbers of these items, -1 beyond them."""
        made = np.full(ROW, -1)
        made[: self.count] = items[self.first : self.first + self.count]
        return made


def in_blocks(question: Question, work: Callable[[Block], None]) -> None:
    """Do the work for all items, on as many threads as `dp_value` takes by default."""
    threads = 1 if question.dag.num_edges * question.items < SMALL else pool.available()
    firsts = range(0, question.items, ROW)
    pool.run(work, [Block(question, first, min(ROW, question.items - first)) for first in firsts], threads)


def ends_in(wires: Wires, question: Question) -> Numbers:
    """[items] where each item's paths end, as the wires number nodes; -1 where no path leads."""
    dag = question.dag
    ends = np.full(question.items, dag.end) if question.end is None else dag.rank[question.end.ravel()]
    return np.where(ends >= 0, wires.number[ends], -1)


def best_edges(question: Question) -> tuple[Reals, Numbers]:
    """(scores [items], edges [items, longest] in the user's numbers, -1 behind) of the best path of each item."""
    wires = forward(question.dag)
    ends, nowhere = ends_in(wires, question), np.full(ROW, -1)
    scores, edges = np.empty(question.items), np.full((question.items, question.plain.longest), -1)

    def work(block: Block) -> None:
        v_hi, v_lo, choice = (np.empty(wires.size * ROW) for _ in range(3))
        highest(wires.arrays, block.table(), nowhere, v_hi, v_lo, choice)
        own = slice(block.first, block.first + block.count)
        traced(wires.arrays, choice, v_hi, block.of(ends), block.count, edges[own], scores[own])

    in_blocks(question, work)
    return scores, edges


def entropies(question: Question, omega: Omega) -> Reals:
    """[items] the entropy of the walk from each item's end back, 0 where there is no path."""
    wires = forward(question.dag)
    ends, found = ends_in(wires, question), np.zeros(question.items)
    launch = _smoothing(wires, omega)

    def work(block: Block) -> None:
        v_hi, v_lo, surprise = (np.empty(wires.size * ROW) for _ in range(3))
        launch(block.table(), np.full(ROW, -1), v_hi, v_lo, surprise)
        lanes = np.arange(block.count)
        at = block.of(ends)[: block.count]
        reached = v_hi.reshape(-1, ROW)[at, lanes] > -np.inf
        own = surprise.reshape(-1, ROW)[at, lanes]
        found[block.first : block.first + block.count] = np.where((at >= 0) & reached, own, 0.0)

    in_blocks(question, work)
    return found


def values_of_nodes(question: Question, omega: Omega, back: bool) -> Reals:
    """[items, user's nodes] v at every node, to be maximised; -inf where no path leads."""
    wires = backward(question.dag) if back else forward(question.dag)
    begins = _begins(wires, question) if back else np.full(question.items, -1)
    found = np.full((question.items, wires.nodes.size), -np.inf)
    live = np.flatnonzero(wires.nodes >= 0)
    launch = _smoothing(wires, omega)

    def work(block: Block) -> None:
        v_hi, v_lo = (np.empty(wires.size * ROW) for _ in range(2))
        launch(block.table(), block.of(begins), v_hi, v_lo, v_hi[:0])
        rows = v_hi.reshape(-1, ROW)[wires.nodes[live], : block.count]
        found[block.first : block.first + block.count, live] = rows.T

    in_blocks(question, work)
    return found


def visited_before(question: Question) -> NDArray[np.bool_]:
    """[items, user's nodes] whether the node lies on a path to the item's end."""
    dag = question.dag
    ends = dag.end_nodes(question.names, question.batch)
    found = np.zeros((ends.size, dag.graph.num_nodes), bool)
    for end in np.unique(ends[ends >= 0]):
        before = np.zeros(dag.num_nodes, bool)
        before[dag.parents[edges_before(dag, int(end))]] = True
        before[end] = True
        found[ends == end] = np.where(dag.rank >= 0, before[dag.rank], False)
    return found


def best_through(question: Question) -> tuple[Reals, Reals]:
    """(scores [items] of the best paths, [items, edges] of the best ones over each edge); -inf where there is none."""
    dag = question.dag
    ahead, back = forward(dag), backward(dag)
    ends, begins, nowhere = ends_in(ahead, question), _begins(back, question), np.full(ROW, -1)
    best, found = np.full(question.items, -np.inf), np.full((question.items, dag.graph.num_edges), -np.inf)

    def work(block: Block) -> None:
        table = block.table()
        front_hi, front_lo, v_hi, v_lo, choice = (np.empty(ahead.size * ROW) for _ in range(5))
        highest(ahead.arrays, table, nowhere, front_hi, front_lo, choice)
        highest(back.arrays, table, block.of(begins), v_hi, v_lo, choice)
        own = slice(block.first, block.first + block.count)
        through(back.arrays, table, v_hi, v_lo, front_hi, front_lo, block.count, found[own])
        at = block.of(ends)[: block.count]
        scores = front_hi.reshape(-1, ROW)[at, np.arange(block.count)]
        best[own] = np.where(at >= 0, scores, -np.inf)

    in_blocks(question, work)
    return best, found


def _begins(wires: Wires, question: Question) -> Numbers:
    """[items] where backward paths begin: at the item's end, which may be nowhere; -1: at every end of the graph."""
    if question.end is None:
        return np.full(question.items, -1)
    ends = ends_in(wires, question)
    return np.where(ends < 0, wires.size, ends)


def _smoothing(wires: Wires, omega: Omega) -> Callable[..., None]:
    """The pass `smoothed` along these wires, in room of its own."""
    most = int(np.diff(wires.arrays.ptr).max())
    data, places = omega.data(np.float64), np.arange(0, most * ROW, ROW)

    def launch(table: Reals, last: Numbers, v_hi: Reals, v_lo: Reals, surprise: Reals) -> None:
        smoothed(data, wires.arrays, table, last, v_hi, v_lo, surprise, places, np.empty((3 * most + 2) * ROW))

    return launch
