"""Hoisted potentials: read into the state by bands, and adjoints added back to the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_texts import compiled, form, launch_memory, one_sample, samples

import dagdp
from dagdp.compiled.index_arrays import located, sizes
from dagdp.graphs import dtw_grid
from dagdp.kernels.cpu.graph_view import whole_graph
from dagdp.kernels.cpu.memory import workspace_of
from dagdp.kernels.cpu.packing.node_potentials import read_hoisted, write_hoisted
from dagdp.kernels.cpu.records import Source


@compiled
def there_and_back(memory, addresses, table, variant, block, theta, gradient, x):
    graph = whole_graph(table)
    work = workspace_of(memory, table, addresses, graph.incoming, block.lanes, None, variant)
    for band in range(graph.hoisted.levels.shape[0] - 1):
        read_hoisted(x, work.tile, theta, graph, band, block)
        write_hoisted(gradient, work.tile, theta, graph.hoisted, band, block, x)


@pytest.mark.specialised
@pytest.mark.parametrize("shape", [(5, 7), (40, 33)])
@pytest.mark.parametrize("items", [3, 8])
def test_each_node_reads_its_entry_and_gives_it_back(shape, items):
    """x [nodes, lanes] is theta at each cell; as an adjoint it adds theta to the gradient. Costs change the sign."""
    dag = dagdp.compile(dtw_grid(*shape))
    entries = dag.potentials[0].size
    theta = np.random.default_rng(0).normal(size=(items, entries))
    cells = dag.origin[: dag.num_nodes] - 1  # the start, node 0 of the graph, reads nothing
    for block in (samples(0, items), *(one_sample(b) for b in range(items))):
        gradient, given = np.zeros_like(theta), form(dag, block.lanes)
        x = np.full((dag.num_nodes + 16) * block.lanes, np.nan)
        known = sizes([entries], [False])
        source = Source(located(known, [theta]), -1.0)
        there_and_back(*launch_memory(dag, given), given.variant, block, source, located(known, [gradient]), x)
        rows = x.reshape(-1, block.lanes)[1 : dag.num_nodes]
        here = slice(block.first, block.stop)
        np.testing.assert_array_equal(rows[:, : block.stop - block.first].T, -theta[here][:, cells[1:]])
        np.testing.assert_array_equal(gradient[here], -theta[here])
        assert not np.delete(gradient, np.arange(block.first, block.stop), 0).any()
