"""Functions of one graph, for a batch of graphs: how arguments are split, and results joined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dagdp import Graph, InputError, compile_batch
from dagdp.engine.each_graph import PerGraphCall, counts, filled_up, for_each_graph, like_theta, one_each, pack, scalars

GRAPHS = [Graph.from_edges([0, 1], [1, 2]), Graph.from_edges([0, 0, 1], [1, 2, 2])]
BATCH = compile_batch(GRAPHS)


@for_each_graph(scalars)
def weight(dag, theta, *, minimize=False, end=None):
    """The sum of all weights."""
    return theta.sum(-1)


def test_arguments_are_split_and_results_joined():
    theta = [np.ones((4, 2)), np.ones((4, 3))]
    assert weight(BATCH, theta).tolist() == [[2.0, 3.0]] * 4
    assert weight(BATCH, np.ones(5)).tolist() == weight(dag=BATCH, theta=torch.ones(5)).tolist() == [2.0, 3.0]
    assert weight(BATCH.dags[0], np.ones(2)) == 2.0
    assert weight(compile_batch([]), []).shape == (0,)


def test_one_run_for_all_graphs_where_it_can():
    def at_once(dag, theta):
        return "all" if len(theta) == 5 else None

    @for_each_graph(one_each, at_once=at_once)
    def taken(dag, theta, *, end=None):
        return 0

    assert taken(BATCH, np.ones(5)) == "all" and taken(BATCH, [np.ones(2), np.ones(3)]) == [0, 0]


def test_an_error_names_the_graph():
    @for_each_graph(one_each)
    def refuse(dag, theta, *, end=None):
        raise InputError("no")

    with pytest.raises(InputError, match=r"^graph 0: no$"):
        refuse(BATCH, np.ones(5))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_bad_entry_is_named_if_a_path_reads_it(kind, listed):
    flat = np.array([0.0, 1.0, np.nan, 0.0, 0.0])
    values = [kind(flat[:2]), kind(flat[2:])] if listed else kind(flat)
    with pytest.raises(InputError, match=r"\[0\] is nan"):
        pack(BATCH, values, "theta", {})
    packed, shapes = pack(BATCH, kind(np.nan_to_num(flat)), "theta", {"end": [None, 1]})
    assert packed[0].shape == (5,) and shapes == [()]
    pack(BATCH, kind(np.array([0.0, 0, 0, np.nan, 0])), "theta", {"end": [None, 1]})  # only the path to node 2 reads it


def test_costs_like_theta():
    assert like_theta(BATCH, np.ones((2, 5))) and like_theta(BATCH, [np.ones(2), np.ones(3)])
    assert not like_theta(BATCH, np.ones(4)) and like_theta(BATCH, {"a": 1})


def test_results_of_unequal_axes():
    call = PerGraphCall(BATCH, {}, ())
    with pytest.raises(InputError, match="results of graph 1 have axes"):
        scalars(call, [np.ones(2), np.ones(3)])
    assert counts(call, [10**30, 1]).tolist() == [10**30, 1]
    assert filled_up([np.ones(2), np.zeros(3)], 0, -1).tolist() == [[1, 1, -1], [0, 0, 0]]
    assert filled_up([torch.ones(2), torch.zeros(3)], 0, -1).tolist() == [[1, 1, -1], [0, 0, 0]]
