"""A call: results of kernels in the user's shape and dtype, and the values of items without a path."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, HardMax, InputError, compile, compile_batch
from dagdp.engine.inputs import Options
from dagdp.engine.prepare import prepare
from dagdp.kernels.cpu.entry import gradient_kernel, jvp_kernel, value_kernel

GRAPH = Graph.from_edges([0, 0, 1], [1, 2, 2])
THETA = np.array([1.0, 2.5, 2.0])


def run(theta, kernel=value_kernel, z=None, dag=None, **options):
    call = prepare(dag or compile(GRAPH), theta, z, HardMax(), Options(**options))
    out = call.gradient_buffers() if kernel is gradient_kernel else None
    return call, call.run(kernel, 1 if z is None else 2, out), out


@pytest.mark.parametrize(
    ("dtype", "kind"), [("f4", np.float32), ("f8", np.float64), ("i8", np.float64), ("f2", np.float16)]
)
def test_values_have_the_users_shape_and_dtype(dtype, kind):
    theta = (2 * THETA).astype(dtype)
    call, (values,), _ = run(theta)
    assert type(call.values(values)) is kind
    call, (values,), _ = run(np.broadcast_to(theta, (2, 4, 3)))
    assert call.values(values).shape == (2, 4) and call.values(values).dtype == kind


def test_a_cost_of_zero_is_not_negative():
    call, (values,), _ = run(np.zeros(3), minimize=True)
    assert not np.signbit(call.values(values))


def test_gradients_have_the_form_of_theta_and_a_sign():
    call, _, out = run(np.stack([THETA, -THETA]), gradient_kernel)
    assert call.gradient(out, 1.0).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert call.gradient(out, -1.0).tolist() == [[-1, 0, -1], [0, -1, 0]]


def test_weights_of_the_ends():
    call = prepare(compile(GRAPH), np.stack([THETA, -THETA]), None, HardMax(), Options())
    out = call.gradient_buffers()
    call.run(gradient_kernel, 1, out, np.array([2.0, -1.0]))
    assert call.gradient(out, 1.0).tolist() == [[2, 0, 2], [0, -1, 0]]


@pytest.mark.parametrize("minimize", [False, True])
def test_items_without_a_path(minimize):
    lost = np.inf if minimize else -np.inf
    theta = np.stack([THETA, np.full(3, lost)])
    call, values, _ = run(theta, jvp_kernel, np.ones((2, 3)), minimize=minimize)
    assert call.slopes(*values).tolist() == [1.0 if minimize else 2.0, 0.0] and call.values(values[0])[1] == lost
    call, (values,), _ = run(theta, minimize=minimize, on_infeasible="raise")
    with pytest.raises(InputError, match="item 1 has no path"):
        call.values(values)


def test_columns_of_merged_graphs(monkeypatch):
    """Graphs in several merged graphs have separate arrays, which are copied back."""
    import dagdp.compiler.batch as module

    limit = next(name for name in ("UNION_EDGES", "MERGED_EDGES") if hasattr(module, name))
    monkeypatch.setattr(module, limit, 1)
    batch = compile_batch([GRAPH, Graph.from_edges([0], [1]), GRAPH])
    for items in (1, 3):
        theta = np.broadcast_to([1.0, 2.5, 2.0, 4.0, 0.0, 5.0, 0.0], (items, 7))
        call, (values,), out = run(theta, gradient_kernel, dag=batch)
        assert call.values(values).tolist() == [[3.0, 4.0, 5.0]] * items
        assert call.gradient(out, 1.0).tolist() == [[1, 0, 1, 1, 0, 1, 0]] * items


def test_no_items():
    call, (values,), out = run(np.ones((0, 3)), gradient_kernel)
    assert call.values(values).shape == (0,) and call.gradient(out, 1.0).shape == (0, 3)
