"""Names in subscripts, conditions and coefficients."""

from __future__ import annotations

import pytest
from recurrences import message_of

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "undeclared": (
        "v[t] = v[k-1] + a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: k is not declared; declare it, as by recurrence(text, k=...)",
            "    v[t] = v[k-1] + a",
            "             ^",
        ],
    ),
    "undeclared in max": (
        "v[t] = max[k](v[t-1] + a)\nreturn v[-1]",
        {"t": 4, "s": 3},
        [
            "line 1: k is not declared; declare it, as by recurrence(text, k=...)",
            "    v[t] = max[k](v[t-1] + a)",
            "               ^",
        ],
    ),
    "unbound": (
        "v[t] = v[t-1] + a[j]\nreturn v[-1]",
        {"t": 4, "j": 2},
        [
            "line 1: j has no value here; bind it on the left side, or by max[j](...) around this term. If a constant "
            "is meant, declare data: j=np.array(...)",
            "    v[t] = v[t-1] + a[j]",
            "                      ^",
        ],
    ),
    "unbound min": (
        "v[t] = min(v[t-1] + a[j], v[t-2])\nreturn v[-1]",
        {"t": 4, "j": 2},
        [
            "line 1: j has no value here; bind it on the left side, or by min[j](...) around this term. If a constant "
            "is meant, declare data: j=np.array(...)",
            "    v[t] = min(v[t-1] + a[j], v[t-2])",
            "                          ^",
        ],
    ),
    "an index as data": (
        "v[t] = v[t-1] + a[x[t]]\nreturn v[-1]",
        {"t": 4, "x": (0, 1)},
        [
            "line 1: x is an index, as it was given a number, a range or a pair; for data give a list",
            "    v[t] = v[t-1] + a[x[t]]",
            "                      ^",
        ],
    ),
    "slice": (
        "v[t] = v[:, t]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: : cannot stand in a subscript, a condition or a coefficient; expected numbers, indices "
            "and data with + - * // %, abs, comparisons, and, or, not",
            "    v[t] = v[:, t]",
            "             ^",
        ],
    ),
    "table in a subscript": (
        "v[t] = v[v[t]]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: v is a table; subscripts and conditions read data alone",
            "    v[t] = v[v[t]]",
            "             ^",
        ],
    ),
    "power": (
        "v[t] = v[t**2] + a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: t**2 cannot stand in a subscript, a condition or a coefficient; expected numbers, indices "
            "and data with + - * // %, abs, comparisons, and, or, not",
            "    v[t] = v[t**2] + a",
            "             ^",
        ],
    ),
    "data without subscripts": (
        "v[t] = v[t-1] + a[to]\nreturn v[-1]",
        {"t": 4, "to": [0, 1, 2, 3]},
        [
            "line 1: to is read without subscripts; the data has 1 subscript",
            "    v[t] = v[t-1] + a[to]",
            "                      ^",
        ],
    ),
    "data axes": (
        "v[t] = v[t-1] + a[to[t, 0]]\nreturn v[-1]",
        {"t": 4, "to": [0, 1, 2, 3]},
        [
            "line 1: to is read with 2 subscripts; the data has 1 subscript",
            "    v[t] = v[t-1] + a[to[t, 0]]",
            "                      ^",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines
