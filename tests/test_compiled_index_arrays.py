"""How kernels find arrays: by address, however many there are and whatever they allow."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, HardMax, compile, dp_value, dp_value_and_grad
from dagdp.compiled.index_arrays import COLUMNS, ENTRIES, SHARED, located, sizes
from dagdp.kernels.cpu.entry import value_kernel


def test_a_table_says_where_arrays_lie():
    locked = np.arange(6.0)
    locked.flags.writeable = False
    arrays = [np.zeros((2, 3)), locked, np.zeros((4, 0), np.float32)]
    table = sizes([3, 6, 0], [False, True, False])
    rows = located(table, arrays).reshape(-1, COLUMNS)
    for row, array, entries, shared in zip(rows, arrays, (3, 6, 0), (0, 1, 0), strict=True):
        assert row.tolist() == [array.ctypes.data, array.size, entries, shared]
        assert (row[ENTRIES], row[SHARED]) == (entries, shared)
    assert not table.reshape(-1, COLUMNS)[:, :2].any()  # the form itself keeps no address


def test_arrays_that_kernels_cannot_read_are_refused():
    table = sizes([3], [False])
    with pytest.raises(AssertionError):
        located(table, [np.zeros((3, 2)).T])
    with pytest.raises(AssertionError):
        located(table, [np.frombuffer(bytes(25), np.float64, 3, offset=1)])


def test_inputs_that_are_not_aligned_are_read():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    for dtype in (np.float32, np.float64):
        theta = np.array([1.0, 2.5, 2.0], dtype)
        odd = np.frombuffer(b"." + theta.tobytes(), dtype, 3, offset=1)
        assert not odd.flags.aligned
        for _ in range(2):  # the second call goes by the first one's form
            value, path = dp_value_and_grad(dag, odd, HardMax())
            assert value == 3 and path.tolist() == [1, 0, 1]


def test_one_kernel_serves_any_number_of_potentials():
    heads, tails = [0, 0, 1], [1, 2, 2]
    compiled = set()
    for count in range(1, 12):
        names = {f"p{k}": ((3,), [0, 1, 2]) for k in range(count)}
        dag = compile(Graph.from_edges(heads, tails, potentials=names))
        assert dp_value(dag, {name: np.array([1.0, 2.5, 2.0]) for name in names}, HardMax()) == 3 * count
        compiled.add(len(value_kernel.bundled.signatures))
    assert len(compiled) == 1
