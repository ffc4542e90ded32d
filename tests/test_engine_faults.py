"""The entry that is out of range: found where a path of its item reads it, and named in the user's array."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, InputError, compile
from dagdp.engine.faults import edges_before, nodes_before, nodes_behind, raise_first_fault
from dagdp.engine.inputs import arrange, collect

# 0 -> 1 -> 3, 0 -> 2 -> 3 and the end 1
DAG = compile(Graph.from_edges([0, 0, 1, 2], [1, 2, 3, 3], ends=[1, 3]))


def look(theta, end=None, sign=1.0, what="theta", lowest=-np.inf):
    keyed, arrays, batches = collect(DAG, theta)
    batch = batches[0]
    raise_first_fault(
        DAG, arrange(keyed, arrays, batches, batch, np.float64), DAG.end_nodes(end, batch), what, lowest, sign
    )


def test_nodes_and_edges_on_paths():
    inner = DAG.rank[1]
    assert DAG.origin[nodes_before(DAG, inner)].tolist() == [0, 1]
    assert DAG.edges[edges_before(DAG, inner)].tolist() == [0]
    assert 2 not in DAG.origin[nodes_behind(DAG, inner)] and 3 in DAG.origin[nodes_behind(DAG, inner)]
    assert not nodes_before(DAG, -1).any() and not edges_before(DAG, -1).any() and not nodes_behind(DAG, -1).any()


@pytest.mark.parametrize(
    ("number", "sign", "message"),
    [(np.nan, 1.0, "expected a number"), (np.inf, 1.0, "less than infinity"), (-np.inf, -1.0, "more than -infinity")],
)
def test_an_entry_on_a_path_is_named(number, sign, message):
    theta = np.zeros((2, 3, 4))
    look(theta, sign=sign)
    theta[1, 2, 3] = number
    with pytest.raises(InputError, match=rf"^theta\[1, 2, 3\] is .*{message}"):
        look(theta, sign=sign)
    look(np.full((2, 4), -sign * np.inf), sign=sign)


def test_entries_that_no_path_of_the_item_reads_may_be_any_number():
    theta = np.zeros((2, 4))
    theta[0, 1:] = np.nan
    look(theta, end=[1, 3])
    with pytest.raises(InputError, match=r"^theta\[0, 1\] is nan"):
        look(theta, end=[3, 3])


def test_a_direction_must_be_finite():
    with pytest.raises(InputError, match=r"^z\[0\] is -inf; expected a finite direction"):
        look(np.array([-np.inf, 0, 0, 0]), what="z", lowest=np.finfo(float).min)
