"""Texts of warping paths, and the subsequence."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import GraphError, HardMax, Negentropy, best_path, compile, dp_value
from dagdp.graphs import dtw_subsequence, dtw_value, time_series
from dagdp.graphs.warping.steps import NAMED, moves_of

COST = np.random.default_rng(0).random((4, 9))


def test_the_text_of_a_pattern_by_hand():
    assert time_series.warping(3, 4, "asymmetric", "row", "row").text.splitlines() == [
        "v[0, j] = cost[0, j]",
        "v[i, j] = min(",
        "    v[i-1, j] + cost[i, j],",
        "    v[i-1, j-1] + cost[i, j],",
        "    v[i-1, j-2] + cost[i, j])",
        "return min[j](v[-1, j])",
    ]


def test_a_subsequence_is_that_of_the_drop_in():
    dag = compile(time_series.subsequence_dtw(4, 9))
    assert dp_value(dag, COST, HardMax()) == dtw_subsequence(COST, HardMax()).value
    assert dp_value(dag, COST, Negentropy(0.5)) == pytest.approx(
        dtw_value(COST, Negentropy(0.5), open_begin=True, open_end=True), abs=1e-12
    )
    cells = best_path(dag, COST).cells(dag)
    found = dtw_subsequence(COST)
    assert cells[cells[:, 0] >= 0].tolist() == found.path[found.path[:, 0] >= 0].tolist()


def test_every_named_pattern_has_distinct_moves_and_a_text():
    for name in NAMED:
        moves = moves_of(name)
        assert len(set(moves)) == len(moves)
        assert time_series.warping(9, 9, name).minimize


def test_bad_arguments_are_named():
    with pytest.raises(GraphError, match="warping was given N_A=0; expected a whole number, at least 1"):
        time_series.warping(0, 3)
    with pytest.raises(GraphError, match="begin='left'; expected one of 'corner', 'row', 'border'"):
        time_series.warping(3, 3, begin="left")
    with pytest.raises(GraphError, match="drop_dtw was given N_B=0"):
        time_series.drop_dtw(3, 0)
