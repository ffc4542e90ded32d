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
from dagdp.engine.plan import ranges, variant_of
from dagdp.engine.prepare import prepare
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.jit.decorators import Kernel
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, value_kernel

TIED, KEPT, OF_NODES = (True, None, True, True), (None, True, True, None), (None, None, None, True)
LARGE = 8  # items: a row of samples in float64


def ways(graph, items, omega, kernel=gradient_kernel, shared=()):
    dag = dagdp.compile(graph)
    batch = (items,) if items > 1 else ()
    theta = {p.name: np.zeros((() if p.name in shared else batch) + p.shape) for p in dag.potentials}
    return variant_of(kernel, prepare(dag, theta.get(None, theta), None, omega, Options(threads=1)).plan.graphs[0])


@pytest.mark.specialised
@pytest.mark.parametrize("kernel", [gradient_kernel, hessian_kernel], ids=["gradient", "Hessian"])
def test_each_graph_goes_one_way(kernel):
    grid, chain, own = dtw_grid(9, 9), linear_chain(6, 5), trellis(6, 5)
    everything, untied = ("transition", "start", "end"), (None, None, True, True)
    assert ways(grid, LARGE, Negentropy(), kernel) == ways(grid, LARGE, SquaredL2(), kernel) == OF_NODES
    assert ways(grid, 1, Negentropy(), kernel) == OF_NODES
    assert ways(chain, LARGE, Negentropy(), kernel, everything) == TIED
    assert ways(chain, LARGE, HardMax(), kernel, everything) == ways(chain, LARGE, Negentropy(), kernel) == untied
    assert ways(own, LARGE, Negentropy(), kernel) == ways(own, LARGE, SquaredL2(), kernel) == KEPT


@pytest.mark.specialised
def test_one_sample_keeps_weights_for_the_gradient():
    assert ways(trellis(6, 5), 1, Negentropy(), gradient_kernel) == KEPT
    assert ways(trellis(6, 5), 1, Negentropy(), hessian_kernel) == (None, None, True, None), "made anew in less time"


@pytest.mark.specialised
def test_the_value_alone_keeps_nothing():
    shared = ("transition", "start", "end")
    assert ways(linear_chain(6, 5), LARGE, Negentropy(), value_kernel, shared) == (True, True, True)
    assert ways(dtw_grid(9, 9), LARGE, Negentropy(), value_kernel) == (None, None, True)
    assert ways(trellis(6, 5), LARGE, Negentropy(), value_kernel) == (None, True, None)


def test_a_way_that_is_not_gone_is_none():
    """None is what branches are dropped by; False would compile them."""
    assert Kernel(lambda: None, nodes=1).ways(False, True, True, False) == (None, True, None)
    assert Kernel(lambda: None, nodes=1, back="gradient").ways(False, True, False, True) == (None, True, None, True)


@pytest.mark.parametrize("items", [1, LARGE])
def test_rows_are_of_samples_or_of_nodes(items):
    dag = dagdp.compile(dtw_grid(9, 9))
    call = prepare(dag, np.zeros((items, 9, 9)), None, Negentropy(), Options(threads=1))
    assert [batch.together for batch in call.plan.graphs[0].batches] == [True if items == LARGE else None]


@pytest.mark.specialised
@pytest.mark.parametrize("items", [1, LARGE])
def test_powers_of_two_are_for_the_closed_form_on_bare_graphs(items):
    grid, own = dagdp.compile(dtw_grid(9, 9)), dagdp.compile(trellis(6, 5))
    of_grid, of_edges = np.zeros((items, 9, 9)), np.zeros((items, *own.potentials[0].shape))
    asked = [(grid, of_grid, Negentropy()), (grid, of_grid, SquaredL2()), (own, of_edges, Negentropy())]
    calls = [prepare(dag, theta, None, omega, Options(threads=1)) for dag, theta, omega in asked]
    assert [{batch.powers for batch in call.plan.graphs[0].batches} for call in calls] == [{True}, {None}, {None}]


@pytest.mark.parametrize("items", [0, 1, 8, 9, 100])
@pytest.mark.parametrize("most", [1, 3, 16])
def test_ranges_cover_all_items_and_are_cut_at_borders_of_blocks(items, most):
    cuts = ranges(items, 8, most)
    assert cuts[0][0] == 0 and cuts[-1][1] == items and len(cuts) <= most
    assert all(a[1] == b[0] and b[0] % 8 == 0 for a, b in itertools.pairwise(cuts))
