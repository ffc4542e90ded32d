"""The two ends of rows of outgoing edges, and weights recomputed from them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS
from kernel_texts import compiled, form, launch_memory, one_sample, samples

import dagdp
from dagdp.compiled.progressions import FIRST
from dagdp.kernels.cpu.edge_ends import row_ends
from dagdp.kernels.cpu.graph_view import whole_graph
from dagdp.kernels.cpu.memory import state_of, workspace_of
from dagdp.kernels.cpu.outgoing_runs import Chunk, columns_of, edges_of
from dagdp.kernels.cpu.records import Adjoint
from dagdp.lanes.views import get


@compiled
def visit(omega, memory, addresses, table, variant, block, found):
    """found [edges, 2] = the numbers of parent and child of every edge, as rows of v hold them."""
    graph = whole_graph(table)
    incoming, outgoing = graph.incoming, graph.outgoing
    state = state_of(omega, memory, table, None, None, None, variant.nodes)
    work = workspace_of(memory, table, addresses, incoming, block.lanes, None, variant)
    for node in range(incoming.levels[-1]):
        for b in range(block.lanes):
            state.v_hi[node * block.lanes + b] = node
            state.v_lo[node * block.lanes + b] = 0
    for run in range(outgoing.level_runs[-1]):
        count = edges_of(outgoing, run)
        first = get(outgoing.runs, run * columns_of(outgoing) + FIRST)
        step = 1 if block.lanes_are_samples is not None else 8
        for e in range(0, count, step):
            ends = row_ends(omega, outgoing, Chunk(run, 0, count, 0), e, block, state, Adjoint(None, None), work)
            for lane in range(1 if block.lanes_are_samples is not None else ends.count):
                found[first + e + lane, 0] = state.v_hi[ends.parent + lane]
                found[first + e + lane, 1] = state.v_hi[ends.child + lane]


@pytest.mark.parametrize("block", [samples(0, 8), one_sample(0)], ids=["samples", "one sample"])
@pytest.mark.parametrize("name", GRAPHS)
def test_rows_hold_the_ends_of_their_edges(name, block):
    dag = dagdp.compile(GRAPHS[name]())
    given = form(dag, block.lanes, closed_form=False, newton=True)
    found = np.full((dag.num_edges, 2), np.nan)
    omega = dagdp.SquaredL2(1.0).data(np.float64)
    visit(omega, *launch_memory(dag, given), given.variant, block, found)
    assert found[:, 0].tolist() == dag.parents.tolist() and found[:, 1].tolist() == dag.children.tolist()
