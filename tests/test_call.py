"""Which ways a launch goes: kernels are compiled for one each.

A way is (whether levels are tied, weights kept, whether edges have potentials, whether nodes have).
"""

from __future__ import annotations

import numpy as np
import pytest

import dagdp
from dagdp import HardMax, Negentropy, SquaredL2
from dagdp.engine.call import prepare, to_the_end, ways_of
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.jit.decorators import Kernel
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, value_kernel
from dagdp.kernels.cpu.packing.entries import Batch

TIED, KEPT, OF_NODES = (True, None, True, True), (None, True, True, None), (None, None, None, True)
LARGE = 8  # items: a row of samples in float64


def ways(graph, items, omega, kernel=gradient_kernel, shared=()):
    dag = dagdp.compile(graph)
    batch = (items,) if items > 1 else ()
    theta = {p.name: np.zeros((() if p.name in shared else batch) + p.shape) for p in dag.potentials}
    call = prepare(dag, theta.get(None, theta), omega, None, False, (None, None), 1)
    kept = dag.stores_weights(call.weights.shared)
    return ways_of(kernel, dag, omega, call.tasks[0].lanes, call.real, kept, call.tied)


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
    call = prepare(dag, np.zeros((items, 9, 9)), Negentropy(), None, False, (None, None), 1)
    assert [batch.together for batch in call.tasks] == [True if items == LARGE else None]


@pytest.mark.specialised
@pytest.mark.parametrize("items", [1, LARGE])
def test_powers_of_two_are_for_the_closed_form_on_bare_graphs(items):
    grid, own = dagdp.compile(dtw_grid(9, 9)), dagdp.compile(trellis(6, 5))
    of_grid, of_edges = np.zeros((items, 9, 9)), np.zeros((items, *own.potentials[0].shape))
    asked = [(grid, of_grid, Negentropy()), (grid, of_grid, SquaredL2()), (own, of_edges, Negentropy())]
    calls = [prepare(dag, theta, omega, None, False, (None, None), 1) for dag, theta, omega in asked]
    assert [{batch.powers for batch in call.tasks} for call in calls] == [{True}, {None}, {None}]


@pytest.mark.parametrize("beyond", [(), (0,), (4,), (8,), (0, 4), (4, 8), (0, 4, 8)], ids=str)
def test_blocks_beyond_powers_of_two_are_done_without_them(beyond):
    """Every item is launched once to the end, in order, and what an input is wrong in is told whoever read it."""
    done = []

    def launched(batch, bad=None):
        for first in range(batch.first, batch.last, 4):
            if batch.powers and first in beyond:
                return first, first == bad
            done.append((first, min(first + 4, batch.last), batch.powers))
        return batch.last, batch.first <= 9 < batch.last and bad is None

    assert to_the_end(launched, Batch(0, 11, 4, 0, powers=True)), "item 9 is wrong"
    assert done == [(b, min(b + 4, 11), None if b in beyond else True) for b in (0, 4, 8)]
    for bad in beyond:
        assert to_the_end(lambda batch, bad=bad: launched(batch, bad), Batch(0, 11, 4, 0, powers=True))


def test_a_form_that_is_kept_finds_its_kernel_once(monkeypatch):
    """From the third launch on Numba is not asked; results are those of calls that ask it."""
    dag = dagdp.compile(trellis(4, 3))
    theta = np.random.default_rng(0).random(dag.potentials[0].shape)
    first = dagdp.dp_value_and_grad(dag, theta)
    dagdp.dp_value_and_grad(dag, theta)

    def asked(self, *given):
        raise AssertionError("Numba was asked again")

    monkeypatch.setattr(Kernel, "__call__", asked)
    value, path = dagdp.dp_value_and_grad(dag, theta)
    assert value == first[0] and np.array_equal(path, first[1])
    assert np.isfinite(dagdp.dp_value_and_grad(dag, 2 * theta)[0])
    with pytest.raises(AssertionError, match="asked again"):
        dagdp.dp_value_and_grad(dag, theta.astype(np.float32))
