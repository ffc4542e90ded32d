"""Edges of alternatives."""

from __future__ import annotations

import numpy as np
import pytest
from recurrences import message_of

from dagdp import recurrence

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "beyond a potential": (
        "v[t] = max(0, v[t-1]) + a[t] + a[t+1]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: a[t+1] reads place 4 of axis 0, at t = 3; a has shape (4,). Give it a larger one by "
            "potentials=, or leave the edge out by when(...). If a table is meant, the tables are v",
            "    v[t] = max(0, v[t-1]) + a[t] + a[t+1]",
            "                                   ^",
        ],
    ),
    "beyond, two indices": (
        "v[t, i] = max(0, v[t-1, i]) + a[t, i-1]\nreturn v[-1, -1]",
        {"t": 4, "i": 2, "potentials": {"a": (4, 2)}},
        [
            "line 1: a[t, i-1] reads place -1 of axis 1, at t = 0, i = 0; a has shape (4, 2). Give it a larger "
            "one by potentials=, or leave the edge out by when(...). If a table is meant, the tables are v",
            "    v[t, i] = max(0, v[t-1, i]) + a[t, i-1]",
            "                                  ^",
        ],
    ),
    "data out of range": (
        "v[t] = max(0, v[t-1]) + a[to[t]]\nreturn v[-1]",
        {"t": 4, "to": [0, 1]},
        [
            "line 1: to[t] is out of range; to has shape (2,). Give longer data, or leave the edge out by when(...)",
            "    v[t] = max(0, v[t-1]) + a[to[t]]",
            "                              ^",
        ],
    ),
    "data out of range in when": (
        "v[t] = when(ok[t+1], max(0, v[t-1]) + a)\nreturn v[-1]",
        {"t": 4, "ok": [True, True, True, True]},
        [
            "line 1: ok[t+1] is out of range; ok has shape (4,). Give longer data, or leave the edge out by when(...)",
            "    v[t] = when(ok[t+1], max(0, v[t-1]) + a)",
            "                ^",
        ],
    ),
    "division by zero": (
        "v[t] = max(0, v[t-1]) + a[4 // t]\nreturn v[-1]",
        {"t": 4, "potentials": {"a": 5}},
        [
            "line 1: 4 // t divides by zero; leave the edge out by when(...)",
            "    v[t] = max(0, v[t-1]) + a[4 // t]",
            "                              ^",
        ],
    ),
    "float subscript": (
        "v[t] = max(0, v[t-1]) + a[w[t]]\nreturn v[-1]",
        {"t": 4, "w": [0.5, 1, 2, 3]},
        [
            "line 1: w[t] is no whole number; expected one in a subscript",
            "    v[t] = max(0, v[t-1]) + a[w[t]]",
            "                              ^",
        ],
    ),
    "infinite coefficient": (
        "v[t] = max(0, v[t-1]) + w[t] * a\nreturn v[-1]",
        {"t": 4, "w": [np.inf, 1, 2, 3]},
        [
            "line 1: w[t] is not finite; expected a finite coefficient",
            "    v[t] = max(0, v[t-1]) + w[t] * a",
            "                            ^",
        ],
    ),
    "unknown length": (
        "v[t] = max(0, v[t-1]) + a[-1]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: no edge tells the length of axis 0 of a; expected its shape by potentials=, such as "
            "potentials={'a': (1,)}. If a table is meant, the tables are v",
            "    v[t] = max(0, v[t-1]) + a[-1]",
            "                            ^",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines


def test_data_out_of_range_is_no_error_where_the_alternative_is_dropped():
    """By a table out of range, or by an earlier operand of `and`."""
    text = "v[0] = 0\nv[t] = when(ok[t-1], v[t-1] + a)\nreturn v[-1]"
    assert recurrence(text, t=4, ok=[True, True, True]).num_edges == 3
    text = "v[0] = 0\nv[t] = when(t > 0 and t < 3 and ok[t], v[0] + a)\nreturn v[2]"
    assert recurrence(text, t=4, ok=[False, True, True]).num_edges == 2


def test_a_later_operand_does_not_excuse_an_earlier_one():
    text = "v[0] = 0\nv[t] = when(ok[t] and t < 3, v[0] + a)\nreturn v[-1]"
    assert message_of(text, {"t": 4, "ok": [True, True, True]})[0].startswith("line 2: ok[t] is out of range")


def test_a_written_negative_number_counts_from_the_end_and_a_computed_one_does_not():
    text = "v[0] = 0\nv[t] = max(v[t-2], when(t > 0, v[-4])) + last[-1] + a[label[-1]]\nreturn v[-1]"
    graph = recurrence(text, {"last": 3}, t=4, label=[0, 0, 2])
    assert graph.edges()[0].tolist() == [0, 0, 0, 1, 0]
    assert {p.name: set(p.index.tolist()) for p in graph.potentials()} == {"last": {2}, "a": {2}}


def test_an_alternative_may_read_a_coefficient_of_zero():
    graph = recurrence("v[0] = 0\nv[t] = v[t-1] + w[t] * a[t]\nreturn v[-1]", t=3, w=[5.0, 0.0, 2.0])
    (potential,) = graph.potentials()
    assert potential.reads.coefficient.tolist() == [2.0] and potential.reads.entry.tolist() == [2]
