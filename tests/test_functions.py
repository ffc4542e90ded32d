"""The choice of a front end, by the graph, the backend and the arrays."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dagdp  # noqa: E402
import dagdp.nn.autograd.functions as autograd  # noqa: E402
import dagdp.nn.unrolled.functions as unrolled  # noqa: E402
from dagdp import Graph, InputError, compile, compile_batch  # noqa: E402
from dagdp.engine import empty_batch, run  # noqa: E402
from dagdp.functions import front_end_for  # noqa: E402

DAG, BATCH = compile(Graph.from_edges([0, 0, 1], [1, 2, 2])), compile_batch([Graph.from_edges([0], [1])] * 2)
ARRAY, TENSOR = np.ones(3), torch.ones(3)


@pytest.mark.parametrize(
    ("arrays", "front"),
    [
        ((ARRAY,), run),
        (([1.0, 2.0, 3.0],), run),
        (({"a": ARRAY},), run),
        ((TENSOR,), autograd),
        ((ARRAY, TENSOR), autograd),
        (({"a": ARRAY, "b": TENSOR},), autograd),
    ],
)
def test_arrays_choose_the_front_end(arrays, front):
    assert front_end_for(DAG, None, *arrays) is front
    assert front_end_for(BATCH, None, *arrays) is front
    if front is autograd:
        assert front_end_for(DAG, "torch", *arrays) is unrolled
    else:
        with pytest.raises(InputError, match="theta is no tensor"):
            front_end_for(DAG, "torch", *arrays)


def test_batches_of_graphs():
    assert front_end_for(BATCH, None, [ARRAY, TENSOR]) is autograd and front_end_for(BATCH, None, [ARRAY] * 2) is run
    assert front_end_for(compile_batch([]), None, TENSOR) is empty_batch
    with pytest.raises(InputError, match="takes one graph at a time"):
        front_end_for(BATCH, "torch", TENSOR)


def test_an_unknown_backend():
    with pytest.raises(InputError, match="backend is 'numba'; expected None"):
        front_end_for(DAG, "numba", ARRAY)


def test_front_ends_have_all_functions_with_equal_parameters():
    for name in ("value", "grad", "value_and_grad", "jvp", "hvp", "jvp_and_hvp"):
        wanted = ["theta", "z", "omega", "options"] if "jvp" in name or "hvp" in name else ["theta", "omega", "options"]
        for front in (run, empty_batch, autograd, unrolled):
            assert list(inspect.signature(getattr(front, name)).parameters)[1:] == wanted
        assert {"minimize", "start", "end", "on_infeasible", "threads", "backend"} <= set(
            inspect.signature(getattr(dagdp, f"dp_{name}")).parameters
        )
