"""A level's edges by slots and runs, and the cursor through its nodes, against the lists of the compiled graph."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS
from kernel_texts import compiled, form, launch_memory, one_sample, samples

import dagdp
from dagdp.kernels.cpu.cursor import (
    at_node,
    edge_of_slot,
    enter_level,
    fan_in_at,
    left_of_run,
    nodes_in_slot,
    nodes_read_together,
    parents_of,
    run_at,
)
from dagdp.kernels.cpu.graph_view import whole_graph
from dagdp.kernels.cpu.memory import RUN_POSITIONS, address_list, workspace_of
from dagdp.kernels.cpu.progressions import term
from dagdp.lanes.views import get


@compiled
def walk(memory, addresses, table, variant, level, found):
    """found [nodes, 1 + slots] = fan-in and parents of each node of a level; edges of runs that are still to come."""
    graph = whole_graph(table)
    work = workspace_of(memory, table, addresses, graph.incoming, 8, None, variant)
    incoming, runs, left = graph.incoming, address_list(work, RUN_POSITIONS), 0
    cursor = enter_level(incoming, work, level, get(incoming.levels, level))
    while cursor.node < cursor.last:
        cursor = fan_in_at(incoming, cursor)
        row = cursor.node - cursor.first
        found[row, 0] = cursor.depth
        for d in range(cursor.depth):
            e = edge_of_slot(incoming, cursor, d)
            k = run_at(incoming, runs, d, e)
            found[row, 1 + d] = term(parents_of(incoming, k, e), 0)
            left += left_of_run(incoming, k, e) + nodes_in_slot(incoming, cursor, d)
        cursor = at_node(cursor, cursor.node + 1)
    return left


@pytest.mark.parametrize("name", GRAPHS)
def test_the_cursor_meets_every_edge_of_a_level(name):
    dag = dagdp.compile(GRAPHS[name]())
    given = form(dag)
    memory, addresses, table = launch_memory(dag, given)
    levels, slots = dag.wiring.incoming.levels, np.diff(dag.wiring.incoming.slots)
    parents, children, order = dag.parents, dag.children, dag.slots
    for level in range(1, dag.num_levels):
        found = np.full((levels[level + 1] - levels[level], 1 + slots[level]), -1)
        assert walk(memory, addresses, table, given.variant, level, found) > 0
        for row, node in enumerate(range(levels[level], levels[level + 1])):
            edges = np.flatnonzero(children == node)
            edges = edges[np.argsort(order[edges])]
            assert found[row, 0] == edges.size
            assert found[row, 1 : 1 + edges.size].tolist() == parents[edges].tolist()
        assert (np.diff(found[:, 0]) <= 0).all(), "nodes stand in falling order of fan-in"


def test_nodes_are_read_together_up_to_the_limit():
    @compiled
    def together(table, block, node, last, row):
        return nodes_read_together(whole_graph(table).incoming, block, node, last, row)

    dag = dagdp.compile(dagdp.graphs.trellis(3, 40))
    _, _, table = launch_memory(dag, form(dag))
    levels, edges = dag.wiring.incoming.levels, dag.wiring.incoming.edges
    first, last = int(levels[2]), int(levels[3])
    count = together(table, samples(0, 8), first, last, 8)
    assert edges[first + count] - edges[first] <= 512 < edges[first + count + 1] - edges[first]
    assert together(table, one_sample(0), first, last, 8) % 8 == 0, "rows of neighbouring nodes"
    grid = dagdp.compile(dagdp.graphs.dtw_grid(5, 5))
    _, _, table = launch_memory(grid, form(grid))
    assert together(table, samples(0, 8), 3, 6, 8) == 3, "no potentials to read: all nodes"
