"""Sizes of tables and potentials, and names that nothing reads."""

from __future__ import annotations

import pytest
from recurrences import message_of

from dagdp import recurrence

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "potentials= is no dict": (
        "v[t] = a[t]\nreturn v[-1]",
        {"t": 2, "potentials": 3},
        ["potentials is 3; expected a dict {name: shape}"],
    ),
    "axis without length": (
        "v[t, 0] = a\nreturn v[-1, 0]",
        {"t": 4},
        [
            "line 1: axis 1 of v has no length; expected a line with an index alone in this place on the left "
            "side, such as v[t, t] = ...",
            "    v[t, 0] = a",
            "         ^",
        ],
    ),
    "potential axes": (
        "v[t] = v[t-1] + a[t] + a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: a is read with 0 subscripts here and with 1 above; expected one number",
            "    v[t] = v[t-1] + a[t] + a",
            "                           ^",
        ],
    ),
    "potential shape": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "potentials": {"a": (4, 2)}},
        [
            "line 1: a is read with 1 subscript; potentials= gives it the shape (4, 2), 2 axes",
            "    v[t] = v[t-1] + a[t]",
            "                    ^",
        ],
    ),
    "potential not read": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "potentials": {"b": 4}},
        [
            "potentials= names 'b', which the text does not read; it reads a",
        ],
    ),
    "potential is a table": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "potentials": {"v": 4}},
        [
            "potentials= names 'v', which is a table; expected a name for each role",
        ],
    ),
    "potential is data": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "potentials": {"t": 4}},
        [
            "potentials= names 't', which is an index of 4 values; expected a name for each role",
        ],
    ),
    "not used": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "j": 3},
        [
            "j= declares an index of 3 values that the text does not use; leave it out, or use j",
        ],
    ),
    "data not used": (
        "v[t] = v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4, "skip": [True]},
        [
            "skip= declares data of shape (1,) that the text does not use; leave it out, or use skip",
        ],
    ),
    "cells": (
        "v[i, j] = a\nreturn v[-1, -1]",
        {"i": 100000, "j": 100000},
        [
            "the tables {'v': (100000, 100000)} have 10000000000 nodes; expected fewer than 2^31 of each, "
            "nodes and edges. Split the problem: a batch of smaller graphs has no such limit",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines


def shapes(text, **keywords):
    return {p.name: p.shape for p in recurrence(text, **keywords).potentials()}


def test_a_table_is_as_long_as_the_largest_lone_index_and_the_largest_number():
    assert recurrence("v[9] = a\nv[t] = v[t-1] + b\nreturn v[-1]", t=4).recurrence.shapes == {"v": (10,)}
    assert recurrence("v[t] = 0\nv[s] = v[s-1] + b\nreturn v[-1]", t=4, s=(3, 7)).recurrence.shapes == {"v": (7,)}


def test_a_potential_is_as_long_as_a_lone_index_or_the_largest_entry_that_an_edge_reads():
    text = "v[0] = 0\nv[t] = v[t-1] + lone[t] + read[t//2] + number[2] + block\nreturn v[-1]"
    assert shapes(text, t=6) == {"lone": (6,), "read": (3,), "number": (3,), "block": ()}


def test_what_potentials_says_goes_first_and_stands_first():
    found = shapes("v[0] = 0\nv[t] = v[t-1] + a[t] + b[t//2]\nreturn v[-1]", t=6, potentials={"b": 9})
    assert list(found.items()) == [("b", (9,)), ("a", (6,))]
