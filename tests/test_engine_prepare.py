"""From arguments to a call: a plan is made once for a form, and calls of one form do not share their arrays."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, InputError, compile, compile_batch
from dagdp.engine.inputs import Options
from dagdp.engine.prepare import prepare

GRAPH = Graph.from_edges([0, 0, 1], [1, 2, 2], ends=[1, 2])
ONE = Options(threads=1)


@pytest.mark.parametrize("make", [compile, lambda graph: compile_batch([graph, graph])], ids=["graph", "batch"])
def test_calls_of_one_form_have_one_plan_and_their_own_arrays(make):
    dag = make(GRAPH)
    size = 3 if make is compile else 6
    theta, z = np.ones((2, size)), np.zeros((2, size))
    first, second = prepare(dag, theta, z, None, ONE), prepare(dag, 2 * theta, z + 1, None, ONE)
    assert first.plan is second.plan and len(dag.calls) == 1
    assert [float(own.blocks[0][0, 0]) for own in second.weights] == [2.0, 1.0]
    assert prepare(dag, theta.astype("f4"), None, None, ONE).plan.real is np.float32
    assert prepare(dag, theta, None, None, ONE).plan is not first.plan


def test_plans_of_a_graph_are_stored_for_one_thread_and_some_items():
    dag = compile(GRAPH)
    prepare(dag, np.ones((0, 3)), None, None, ONE)
    prepare(dag, np.ones((2, 3)), None, None, Options(threads=2))
    prepare(dag, [1.0, 2.0, 3.0], None, None, ONE)
    assert not dag.calls
    prepare(dag, np.ones(3), None, None, Options())
    assert len(dag.calls) == 1


def test_ends_are_read_in_every_call():
    dag = compile(GRAPH)
    ends = [prepare(dag, np.ones(3), None, None, Options(end=np.array(end))).terminals[0].ends for end in (1, 2, 1)]
    assert len(dag.calls) == 1 and ends[0] == ends[2] != ends[1]
    with pytest.raises(InputError, match="end 7 is no node"):
        prepare(dag, np.ones(3), None, None, Options(end=np.array(7)))


def test_a_batch_with_ends_of_its_own_or_a_shared_potential_is_checked_in_every_call():
    step = {"step": (2, [0, 1, 0])}
    graphs = [Graph.from_edges([0, 0, 1], [1, 2, 2], potentials=step)] * 2
    batch, shared = compile_batch(graphs), compile_batch(graphs, shared=["step"])
    prepare(batch, {"step": np.ones(4)}, None, None, Options(end=[2, 2]))
    prepare(shared, {"step": np.ones(2)}, None, None, Options())
    assert not batch.calls and not shared.calls
    with pytest.raises(InputError, match="start= takes one graph"):
        prepare(batch, {"step": np.ones(4)}, None, None, Options(start=0))
