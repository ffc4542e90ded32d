"""Launches of a kernel: all items of a range are done, and the compiled kernel of a form is looked up once."""

from __future__ import annotations

import numpy as np
import pytest

import dagdp
from dagdp.engine.launch import to_the_end
from dagdp.graphs import trellis
from dagdp.jit.decorators import Kernel
from dagdp.kernels.cpu.records import Items


@pytest.mark.parametrize("beyond", [(), (0,), (4,), (8,), (0, 4), (4, 8), (0, 4, 8)], ids=str)
def test_blocks_out_of_the_scaled_range_are_done_without_scaled_values(beyond):
    """Every item is launched once to the end, in order, and what an input is wrong in is told whoever read it."""
    done = []

    def launched(batch, bad=None):
        for first in range(batch.first, batch.last, 4):
            if batch.scaled and first in beyond:
                return first, first == bad
            done.append((first, min(first + 4, batch.last), batch.scaled))
        return batch.last, batch.first <= 9 < batch.last and bad is None

    assert to_the_end(launched, Items(0, 11, 4, 0, scaled=True)), "item 9 is wrong"
    assert done == [(b, min(b + 4, 11), None if b in beyond else True) for b in (0, 4, 8)]
    for bad in beyond:
        assert to_the_end(lambda batch, bad=bad: launched(batch, bad), Items(0, 11, 4, 0, scaled=True))


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
