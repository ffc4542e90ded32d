"""warm_up compiles what later calls need, and nothing is compiled after it."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from numba.core import event

import dagdp
from dagdp import Graph, HardMax, InputError, warm_up
from dagdp.graphs import dtw_value, trellis


class Count(event.Listener):
    def __init__(self):
        self.compiled = 0

    def on_start(self, event):
        self.compiled += 1

    def on_end(self, event):
        pass


def test_a_call_after_it_compiles_nothing():
    warm_up("dtw", omegas=[HardMax()], dtypes=["float64"], functions=["dp_value"], batches=[None], progress=False)
    count = Count()
    with event.install_listener("numba:compile", count):
        assert dtw_value(np.ones((3, 4)), HardMax()) == 4.0
    assert count.compiled == 0


def test_each_function_is_called_for_each_dtype_and_batch(monkeypatch):
    calls = []
    for name in ("dp_value", "dp_hvp"):

        def record(dag, *given, name=name, end=None):
            calls.append((name, given[0].dtype.name, given[0].shape, end))

        monkeypatch.setattr(dagdp, name, record)
    dag = dagdp.compile(Graph.from_edges([0, 0], [1, 1]))
    warm_up(dag, functions=["dp_value", "dp_hvp"], progress=False)
    assert calls == [
        (name, dtype, shape, None)
        for dtype in ("float32", "float64")
        for shape in ((2,), (2, 2))
        for name in ("dp_value", "dp_hvp")
    ]


def test_ragged_graphs_are_called_with_ends(monkeypatch):
    ends = []
    monkeypatch.setattr(dagdp, "dp_value", lambda dag, theta, omega, end: ends.append(end))
    warm_up(trellis(2, 3, ragged=True), dtypes=["float64"], functions=["dp_value"], progress=False)
    assert ends[0] == 8 and ends[1].tolist() == [8, 8]


def test_progress_is_a_bar_or_lines_in_the_log(monkeypatch, capsys, caplog):
    dag = dagdp.compile(Graph.from_edges([0], [1]))
    asked = {"omegas": [HardMax()], "dtypes": ["float64"], "functions": ["dp_value"], "batches": [None]}
    warm_up(dag, **asked)
    assert "dagdp.warm_up: 100%" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with caplog.at_level(logging.INFO, logger="dagdp"):
        warm_up(dag, **asked)
    assert [record.getMessage() for record in caplog.records] == ["dagdp.warm_up: 1 of 1, dp_value, HardMax(), float64"]


def test_other_names_are_refused():
    with pytest.raises(InputError, match=r"warm_up was given 'soft-dtw'; expected a graph, a compiled one, or one of"):
        warm_up("soft-dtw")
    with pytest.raises(InputError, match=r"functions has 'value'; expected names from \('dp_value',"):
        warm_up("dtw", functions=["value"])
