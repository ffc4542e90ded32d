"""The plan of a call of one graph: shapes, dtypes, buffers and threads."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Negentropy, SquaredL2, compile
from dagdp.engine.graph_call import checked_call, lowest
from dagdp.engine.inputs import Options
from dagdp.engine.plan import PARTS
from dagdp.graphs import linear_chain, trellis

CHAIN = compile(linear_chain(5, 3))


def chain(batch, shared=("transition", "start", "end"), **options):
    theta = {p.name: np.zeros((() if p.name in shared else batch) + p.shape, np.float32) for p in CHAIN.potentials}
    return checked_call(CHAIN, theta, None, None, Options(**options)).plan


def test_buffers_of_blocks_that_the_batch_shares_are_partial_sums():
    plan = chain((40,), threads=3)
    assert plan.shape == plan.batch == (40,) and plan.dtype == np.float32 and plan.minimize is False
    ranges = len(plan.graphs[0].batches)
    rows = {name: own.rows[0] for name, own in zip(plan.names, plan.gradients, strict=True)}
    assert rows == {"emission": 40, "transition": ranges, "start": ranges, "end": ranges} and ranges <= PARTS


@pytest.mark.specialised
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ranges_of_a_batch_with_shared_blocks_do_not_depend_on_threads(threads):
    """Else bits would: partial sums are added in the order of ranges."""
    assert len(chain((400,), threads=threads).graphs[0].batches) == PARTS
    assert len(chain((400,), (), threads=threads).graphs[0].batches) == threads


@pytest.mark.specialised
def test_levels_are_tied_where_all_items_share_the_matrix():
    assert chain((8,)).graphs[0].tied and chain(()).graphs[0].tied
    assert not chain((8,), ("start", "end")).graphs[0].tied
    theta = {p.name: np.zeros(p.shape) for p in CHAIN.potentials}
    assert not checked_call(CHAIN, theta, None, SquaredL2(1.0), Options()).plan.graphs[0].tied


def test_results_are_in_the_form_of_theta():
    dag = compile(trellis(3, 2))
    plan = checked_call(dag, np.zeros((2, 3, 2, 2), np.float16), None, Negentropy(), Options(minimize=1)).plan
    made = plan.in_form_of_theta([np.ones((2, 3, 2, 2), np.float32)])
    assert made.dtype == np.float16 and plan.sign == -1.0 and plan.real is np.float32
    assert set(chain(()).in_form_of_theta([np.zeros(p.shape) for p in CHAIN.potentials])) == set(plan_names())


def plan_names():
    return [p.name for p in CHAIN.potentials]


def test_the_lowest_sound_entry():
    assert lowest("theta", np.float32) == -np.inf and lowest("z", np.float32) == np.finfo(np.float32).min
