"""How calls of one form run: variants of kernels, rows of samples or of nodes, ranges of items.

A variant is (whether levels are tied, weights stored, whether edges have potentials, whether nodes have).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dagdp
from dagdp import HardMax, Negentropy, SquaredL2
from dagdp.engine.inputs import Options
from dagdp.engine.plan import kernel_form, ranges
from dagdp.engine.prepare import prepare
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, value_kernel
from dagdp.kernels.cpu.records import Variant

TIED, STORED = Variant(True, None, True, True), Variant(None, True, True, None)
OF_NODES, OF_EDGES = Variant(None, None, None, True), Variant(None, None, True, None)
LARGE = 8  # items: a row of samples in float64


def variant(graph, items, omega, kernel=gradient_kernel, shared=()):
    dag = dagdp.compile(graph)
    batch = (items,) if items > 1 else ()
    theta = {p.name: np.zeros((() if p.name in shared else batch) + p.shape) for p in dag.potentials}
    call = prepare(dag, theta.get(None, theta), None, omega, Options(threads=1))
    return kernel_form(kernel, call.plan.graphs[0]).variant


@pytest.mark.specialised
@pytest.mark.parametrize("kernel", [gradient_kernel, hessian_kernel], ids=["gradient", "Hessian"])
def test_each_graph_has_one_variant(kernel):
    grid, chain, own = dtw_grid(9, 9), linear_chain(6, 5), trellis(6, 5)
    everything, untied = ("transition", "start", "end"), Variant(None, None, True, True)
    assert variant(grid, LARGE, Negentropy(), kernel) == variant(grid, LARGE, SquaredL2(), kernel) == OF_NODES
    assert variant(grid, 1, Negentropy(), kernel) == OF_NODES
    assert variant(chain, LARGE, Negentropy(), kernel, everything) == TIED
    assert variant(chain, LARGE, HardMax(), kernel, everything) == variant(chain, LARGE, Negentropy(), kernel) == untied
    assert variant(own, LARGE, Negentropy(), kernel) == variant(own, LARGE, SquaredL2(), kernel) == STORED


@pytest.mark.specialised
def test_one_sample_stores_weights_for_the_gradient():
    assert variant(trellis(6, 5), 1, Negentropy(), gradient_kernel) == STORED
    assert variant(trellis(6, 5), 1, Negentropy(), hessian_kernel) == OF_EDGES, "recomputed in less time"


@pytest.mark.specialised
def test_the_value_alone_stores_nothing():
    shared = ("transition", "start", "end")
    assert variant(linear_chain(6, 5), LARGE, Negentropy(), value_kernel, shared) == TIED
    assert variant(dtw_grid(9, 9), LARGE, Negentropy(), value_kernel) == OF_NODES
    assert variant(trellis(6, 5), LARGE, Negentropy(), value_kernel) == OF_EDGES


@pytest.mark.parametrize("items", [1, LARGE])
def test_rows_are_of_samples_or_of_nodes(items):
    dag = dagdp.compile(dtw_grid(9, 9))
    call = prepare(dag, np.zeros((items, 9, 9)), None, Negentropy(), Options(threads=1))
    assert [piece.lanes_are_samples for piece in call.plan.graphs[0].batches] == [True if items == LARGE else None]


@pytest.mark.specialised
@pytest.mark.parametrize("items", [1, LARGE])
def test_values_are_scaled_for_the_closed_form_on_node_weighted_graphs(items):
    grid, own = dagdp.compile(dtw_grid(9, 9)), dagdp.compile(trellis(6, 5))
    of_grid, of_edges = np.zeros((items, 9, 9)), np.zeros((items, *own.potentials[0].shape))
    given = [(grid, of_grid, Negentropy()), (grid, of_grid, SquaredL2()), (own, of_edges, Negentropy())]
    calls = [prepare(dag, theta, None, omega, Options(threads=1)) for dag, theta, omega in given]
    assert [{piece.scaled for piece in call.plan.graphs[0].batches} for call in calls] == [{True}, {None}, {None}]


@pytest.mark.parametrize("items", [0, 1, 8, 9, 100])
@pytest.mark.parametrize("most", [1, 3, 16])
def test_ranges_cover_all_items_and_are_cut_at_borders_of_blocks(items, most):
    cuts = ranges(items, 8, most)
    assert cuts[0][0] == 0 and cuts[-1][1] == items and len(cuts) <= most
    assert all(a[1] == b[0] and b[0] % 8 == 0 for a, b in itertools.pairwise(cuts))
