"""Lengths of ragged batches, as the nodes where items end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dagdp
from dagdp import Graph, HardMax, InputError, SquaredL2, compile, compile_batch, dp_value, graphs
from dagdp.compiled.lengths import checked_lengths
from dagdp.graphs import dtw_grid, linear_chain, trellis


def test_ends_of_lengths_are_nodes_of_the_users_graph():
    """`dag.num_nodes` counts one node more: the joint end. Sequences alone give the values to be met."""
    dag, theta = compile(trellis(5, 3, ragged=True)), np.random.default_rng(0).normal(size=(4, 5, 3, 3))
    lengths = np.array([1, 5, 3, 2])
    assert dag.ends_of(lengths).tolist() == [16, 20, 18, 17] and dag.ends_of(2) == 17
    assert dag.num_nodes == dag.graph.num_nodes + 1
    value = dp_value(dag, theta, SquaredL2(0.5), end=dag.ends_of(lengths))
    for b, n in enumerate(lengths):
        alone = dp_value(compile(trellis(int(n), 3)), theta[b, :n], SquaredL2(0.5))
        assert value[b] == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("initial", ["single", "all"])
def test_every_builder_sets_them(initial):
    dag = compile(trellis(4, 2, initial, ragged=True))
    theta = np.random.default_rng(1).normal(size=(4, 2, 2))
    for n in range(1, 5):
        alone = dp_value(compile(trellis(n, 2, initial)), theta[:n], HardMax())
        assert dp_value(dag, theta, HardMax(), end=dag.ends_of(n)) == alone
    chain = compile(linear_chain(4, 2, ragged=True))
    assert chain.ends_of([[1, 4]]).tolist() == [[9, 12]]
    grid = compile(dtw_grid(3, 4))
    assert grid.ends_of(([1, 3], [1, 4])).tolist() == [1, 12] and grid.ends_of((2, 3)) == 7
    assert grid.ends_of(([[1], [3]], [1, 4])).tolist() == [[1, 4], [9, 12]]


def test_a_graph_of_ones_own_may_have_them():
    dag = compile(Graph.from_edges([0, 1], [1, 2], ends=[1, 2], ends_by_length=(1, (2,))))
    assert dp_value(dag, [3.0, 4.0], HardMax(), end=dag.ends_of([1, 2])).tolist() == [3, 7]
    assert compile_batch([dag]).dags[0].ends_of(2) == 2
    with pytest.raises(InputError, match=r"no ends by length; build it with trellis\(..., ragged=True\)"):
        compile(trellis(3, 2)).ends_of(2)


def test_tensors_and_wrong_lengths():
    dag = compile(dtw_grid(3, 3))
    assert dag.ends_of((torch.tensor([1, 3]), 2)).tolist() == [2, 8]
    with pytest.raises(InputError, match=r"lengths\[1\]\[0\] is 4; expected 1 to 3"):
        dag.ends_of((1, [4]))
    with pytest.raises(InputError, match="lengths has dtype float64; expected integers, 1 to 5"):
        checked_lengths("lengths", [1.0], 5)
    with pytest.raises(InputError, match="expected 2 of them"):
        dag.ends_of([1, 2, 3])
    assert dagdp.dp_value(dag, np.zeros((3, 3)), HardMax(), minimize=True, end=dag.ends_of((1, 1))) == 0


UNEQUAL = [np.zeros((3, 2, 2)), np.zeros((2, 2, 2))]


@pytest.mark.parametrize(
    "call",
    [
        lambda: graphs.viterbi_value(UNEQUAL),
        lambda: graphs.viterbi_decode(UNEQUAL),
        lambda: graphs.dtw_value(UNEQUAL),
        lambda: graphs.dtw_path(UNEQUAL),
        lambda: graphs.dtw_value(x=UNEQUAL, y=UNEQUAL),
        lambda: graphs.erp_distance(UNEQUAL, UNEQUAL),
        lambda: graphs.drop_dtw(UNEQUAL, 1.0, 1.0),
        lambda: graphs.hmm_value(np.zeros(2), np.zeros((2, 2)), UNEQUAL),
    ],
    ids=["viterbi", "decode", "dtw", "path", "series", "erp", "drop", "hmm"],
)
def test_a_list_of_items_of_different_length_is_an_error_that_names_the_remedy(call):
    with pytest.raises(InputError, match=r"rows of equal length: pad shorter items, and pass lengths="):
        call()
