"""Where rows of parents lie: contiguous where they rise with their children, listed or assembled elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_texts import compiled, form, launch_memory, one_sample, samples

import dagdp
from dagdp.graphs import dtw_grid
from dagdp.kernels.cpu.cursor import enter_level, fan_in_at
from dagdp.kernels.cpu.graph_view import whole_graph
from dagdp.kernels.cpu.memory import PARENT_ROWS, address_list, state_of, workspace_of
from dagdp.kernels.cpu.operands import next_rows
from dagdp.lanes.views import get


@compiled
def place(omega, memory, addresses, table, variant, block, level, at, v):
    """The first rows of a level: (nodes, rows, jump, shift, depth); at = their addresses, v = node numbers there."""
    graph = whole_graph(table)
    state = state_of(omega, memory, table, None, None, None, variant.nodes)
    work = workspace_of(memory, table, addresses, graph.incoming, block.lanes, None, variant)
    for node in range(graph.incoming.levels[-1]):
        for b in range(block.lanes):
            state.v_hi[node * block.lanes + b] = node
            state.v_lo[node * block.lanes + b] = 0
    cursor = fan_in_at(graph.incoming, enter_level(graph.incoming, work, level, get(graph.incoming.levels, level)))
    placed = next_rows(graph.incoming, block, cursor, 4, work.spare, state, work)
    rows = address_list(work, PARENT_ROWS)
    for k in range(at.shape[0]):
        at[k] = rows[k]
    for r in range(placed.rows):
        for d in range(cursor.depth):
            first = rows[r * placed.jump + d] + r * placed.shift
            for lane in range(8):
                v[r, d, lane] = state.v_hi[first + lane]
    return placed.nodes, placed.rows, placed.jump, placed.shift, cursor.depth


def placed(dag, block, level):
    given = form(dag, block.lanes)
    at, v = np.zeros(12, np.int64), np.full((4, dag.most_parents, 8), np.nan)
    made = place(dagdp.Negentropy(1.0).data(np.float64), *launch_memory(dag, given), given.variant, block, level, at, v)
    return made, at, v


def parents_of(dag, node):
    edges = np.flatnonzero(dag.children == node)
    return dag.parents[edges[np.argsort(dag.slots[edges])]]


def check(dag, made, v, level, samples_in_lanes):
    """Every lane of every row holds the number of the node's parent."""
    nodes, rows, _, _, depth = made
    first = int(dag.wiring.incoming.levels[level])
    for r in range(rows):
        for lane in range(1 if samples_in_lanes else min(8, nodes - 8 * r)):
            node = first + (r if samples_in_lanes else 8 * r + lane)
            assert v[r, :depth, lane].tolist() == parents_of(dag, node)[:depth].tolist()


@pytest.mark.specialised
def test_a_level_of_a_grid_is_contiguous():
    dag = dagdp.compile(dtw_grid(40, 40))
    level = 40  # a full diagonal
    for block in (samples(0, 8), one_sample(0)):
        made, _, v = placed(dag, block, level)
        assert made[2:4] == (0, 8), "no list; each row of parents follows the one before"
        check(dag, made, v, level, block.lanes_are_samples)


def test_scattered_parents_are_listed_or_assembled():
    rng = np.random.default_rng(0)
    parents = np.concatenate([np.zeros(30, int), 1 + rng.permutation(30), 1 + rng.permutation(30)])
    children = np.concatenate([1 + np.arange(30), 31 + np.arange(30), 31 + np.arange(30)])
    ends = np.arange(31, 61)
    index = np.concatenate([np.full(30, -1), np.arange(30), np.arange(30)])
    graph = dagdp.Graph.from_edges(parents, children, starts=[0], ends=ends, potentials={"own": ((30,), index)})
    dag = dagdp.compile(graph)
    for block in (samples(0, 8), one_sample(0)):
        made, at, v = placed(dag, block, 2)
        _, rows, jump, shift, depth = made
        assert (jump, shift, depth) == (2, 0, 2) and (at[: rows * jump] > 0).all()
        check(dag, made, v, 2, block.lanes_are_samples)
