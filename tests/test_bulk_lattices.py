"""`dagdp.bulk.map_graphs` on threads: order, bounded memory, and items that fail."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dagdp

pytest.importorskip("dask")

from dagdp.bulk import Failure, map_graphs
from dagdp.graphs import trellis

DAG = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))


def value(dag, theta):
    return float(dagdp.dp_value(dag, theta, dagdp.HardMax(), threads=1))


@pytest.mark.parametrize("chunk", [None, 4])
def test_results_come_in_order(chunk):
    thetas = np.random.default_rng(0).normal(size=(30, 3))
    want = np.maximum(thetas[:, 1], thetas[:, 0] + thetas[:, 2])
    np.testing.assert_allclose(list(map_graphs(value, DAG, thetas, chunk=chunk)), want)


def test_each_item_may_have_a_graph_of_its_own():
    chance = np.random.default_rng(0)
    lengths = [2, 5, 3]
    graphs = [dagdp.compile(trellis(T, 2)) for T in lengths]
    thetas = [chance.normal(size=(T, 2, 2)) for T in lengths]
    found = list(map_graphs(value, iter(graphs), iter(thetas), threads=2))
    assert found == [value(*item) for item in zip(graphs, thetas, strict=True)]


def test_an_endless_iterator_is_read_no_further_than_ahead():
    read = []
    thetas = (read.append(1) or np.ones(3) for _ in itertools.count())
    results = map_graphs(value, DAG, thetas, ahead=5, threads=2)
    assert [next(results) for _ in range(20)] == [2.0] * 20
    assert len(read) <= 20 + 5
    results.close()


def test_a_bad_item_is_reported_in_its_place():
    thetas = [np.ones(3), np.full(3, np.nan), np.ones(2), np.ones(3)]
    good, nan, short, last = map_graphs(value, DAG, thetas)
    assert good == last == 2.0
    assert isinstance(nan, Failure) and nan.index == 1 and isinstance(nan.error, dagdp.InputError)
    assert short.index == 2 and str(short).startswith("item 2: InputError: theta")


def test_a_bad_item_is_raised_where_that_is_wanted():
    with pytest.raises(dagdp.InputError) as caught:
        list(map_graphs(value, DAG, [np.ones(3), np.ones(2)], on_error="raise"))
    assert "item 1" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_pickled_keeps_its_text():
    class OddError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def odd(dag, theta):
        raise OddError(1, 2)

    (failure,) = map_graphs(odd, DAG, [np.ones(3)])
    assert str(failure.error) == "OddError: 1 and 2"


def test_what_the_iterator_raises_is_raised():
    def thetas():
        yield np.ones(3)
        raise OSError("disk")

    results = map_graphs(value, DAG, thetas(), ahead=1)
    assert next(results) == 2.0
    with pytest.raises(OSError, match="disk"):
        list(results)


def test_no_items_give_no_results():
    assert list(map_graphs(value, DAG, [])) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"chunk": 0}, "chunk=0"),
        ({"ahead": 0}, "ahead=0"),
        ({"function": 3}, "function is a int"),
        ({"thetas": 3}, "thetas is a int"),
        ({"graphs": 3}, "graphs is a int"),
        ({"client": 3}, "client is a int"),
    ],
)
def test_bad_options_are_errors_at_once(given, message):
    with pytest.raises(dagdp.InputError, match=message):
        map_graphs(**{"function": value, "graphs": DAG, "thetas": [], **given})


@pytest.mark.parametrize(("graphs", "thetas", "shorter"), [(1, 2, "graphs"), (2, 1, "thetas")])
def test_graphs_and_thetas_of_different_number(graphs, thetas, shorter):
    results = map_graphs(value, [DAG] * graphs, [np.ones(3)] * thetas, ahead=1)
    assert next(results) == 2.0
    with pytest.raises(dagdp.InputError, match=f"{shorter} has 1 items"):
        next(results)


def test_the_bar_counts_items(capsys):
    pytest.importorskip("tqdm")
    list(map_graphs(value, DAG, np.ones((3, 3)), progress=True))
    assert "3item" in capsys.readouterr().err
