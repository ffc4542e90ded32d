"""From a user's arguments to blocks that kernels read: batches, parameters, dtypes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, HardMax, InputError, OmegaError, compile, compile_batch
from dagdp.engine.inputs import (
    arrange,
    batch_of,
    broadcast,
    check_carried,
    checked,
    collect,
    end_shape,
    real_type,
    refuse_start,
    terminal_shape,
)
from dagdp.graphs import linear_chain

DAG = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
CHAIN = compile(linear_chain(4, 3))


def test_broadcast_is_numpys():
    for shapes in ([(2, 1), (3,)], [(), (4, 2)], [(1,), (5, 1), (5, 7)]):
        assert broadcast([("x", shape) for shape in shapes]) == np.broadcast_shapes(*shapes)
    with pytest.raises(InputError, match=r"at z: theta \(2,\), z \(3,\); expected equal sizes"):
        broadcast([("theta", (2,)), ("z", (3,))])


def test_the_batch_is_that_of_theta_z_and_the_ends():
    assert batch_of([(), (2, 1)], [(3,)], ()) == (2, 3)
    assert batch_of([()], [], (4,)) == batch_of([(1,)], [], (4,)) == (4,)
    with pytest.raises(InputError, match=r"end has shape \(3,\); expected one node, or one for each batch item"):
        batch_of([(2,)], [], (3,))


def test_blocks_of_a_dict_have_all_batch_dimensions_or_none():
    check_carried([(), (2, 3), (2, 3)], "theta", ["a", "b", "c"])
    with pytest.raises(InputError, match=r"the arrays of theta have {'a': \(3,\), 'b': \(2, 3\)}"):
        check_carried([(3,), (2, 3)], "theta", ["a", "b"])


@pytest.mark.parametrize(("theta", "message"), [({"a": [1.0]}, "is a dict"), ([1.0, 2.0], r"shape \(2,\)")])
def test_forms_of_theta_are_checked(theta, message):
    with pytest.raises(InputError, match=message):
        collect(DAG, theta)


def test_data_is_expanded_to_the_batch_and_a_parameter_is_one_row():
    theta = {p.name: np.ones(((5,) if p.name == "emission" else ()) + p.shape, np.float32) for p in CHAIN.potentials}
    keyed, arrays, batches = collect(CHAIN, theta)
    weights = arrange(keyed, arrays, batches, (2, 5), real_type(arrays))
    named = dict(
        zip((p.name for p in CHAIN.potentials), zip(weights.form.shared, weights.blocks, strict=True), strict=True)
    )
    assert named["emission"][0] == False and named["emission"][1].shape == (10, 12)  # noqa: E712
    assert named["transition"][0] == True and named["transition"][1].shape == (1, 9)  # noqa: E712
    assert weights.form.expanded and weights.form.real is np.float32 and weights.form.dtype == np.float32


@pytest.mark.parametrize(("dtype", "real", "back"), [("f2", "f4", "f2"), ("f4", "f4", "f4"), ("i4", "f8", "f8")])
def test_dtypes_that_are_computed_in_and_returned(dtype, real, back):
    _, arrays, batches = collect(DAG, np.ones((2, 3), dtype))
    weights = arrange(False, arrays, batches, (2,), real_type(arrays))
    assert weights.blocks[0].dtype == real and weights.form.dtype == back == weights.form.dtypes[0]


def test_other_arrays_of_one_form_are_arranged_alike():
    rng = np.random.default_rng(0)
    first, other = ({p.name: rng.normal(size=(3, *p.shape)) for p in CHAIN.potentials} for _ in range(2))
    names = [p.name for p in CHAIN.potentials]
    keyed, arrays, batches = collect(CHAIN, first)
    filled = arrange(keyed, arrays, batches, (2, 3), np.float64).form.filled(names, other)
    keyed, arrays, batches = collect(CHAIN, other)
    arranged = arrange(keyed, arrays, batches, (2, 3), np.float64)
    for a, b in zip((*filled.given, *filled.blocks), (*arranged.given, *arranged.blocks), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_array_that_kernels_can_read_is_not_copied():
    array = np.ones((2, 3))
    assert np.shares_memory(arrange(False, [array], [(2,)], (2,), np.float64).blocks[0], array)
    unaligned = np.frombuffer(bytes(49), np.uint8)[1:].view(np.float64).reshape(2, 3)
    block = arrange(False, [unaligned], [(2,)], (2,), np.float64).blocks[0]
    assert block.flags.aligned and not np.shares_memory(block, unaligned)


def test_graph_operator_and_threads_are_checked():
    assert checked(DAG, HardMax(), 2) == HardMax() and checked(DAG, None, None).gamma == 1.0
    for dag, omega, threads, error, message in (
        (DAG.graph, None, None, InputError, "dag is a Graph"),
        (compile_batch([DAG]), None, None, InputError, "takes one graph"),
        (DAG, "hardmax", None, OmegaError, "omega is 'hardmax'"),
        (DAG, None, 0, InputError, "threads is 0"),
    ):
        with pytest.raises(error, match=message):
            checked(dag, omega, threads)


def test_shapes_of_starts_and_ends():
    assert end_shape(None, DAG) == terminal_shape(None, 2, DAG) == () and end_shape([2, 1], DAG) == (2,)
    assert terminal_shape([0, 0], [[2], [1]], DAG) == (2, 2)
    with pytest.raises(InputError, match="start= takes one graph"):
        refuse_start(0)
