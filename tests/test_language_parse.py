"""Parsing: what a text says, and what its syntax forbids."""

from __future__ import annotations

import pytest
from recurrences import message_of

from dagdp.language.declarations import declared
from dagdp.language.parse import parse
from dagdp.language.source import Source

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "syntax": (
        "v[0] = \nreturn v[-1]",
        {},
        [
            "line 1: the text cannot be read: invalid syntax",
            "    v[0] = ",
            "           ^",
        ],
    ),
    "no return": (
        "v[0] = 0\nv[t] = v[t-1] + a[t]",
        {"t": 4},
        [
            "the text has no `return`; expected a last line such as",
            "    return v[-1]",
            "that says which cells hold the value",
        ],
    ),
    "empty": (
        "",
        {},
        [
            "the text has no `return`; expected a last line such as",
            "    return v[-1]",
            "that says which cells hold the value",
        ],
    ),
    "return early": (
        "v[0] = 0\nreturn v[-1]\nv[t] = v[t-1] + a",
        {"t": 4},
        [
            "line 2: `return` stands before other lines; expected it once, as the last line",
            "    return v[-1]",
            "    ^",
        ],
    ),
    "return nothing": (
        "v[t] = 0\nreturn",
        {"t": 4},
        [
            "line 2: `return` says nothing; expected cells, such as return v[-1]",
            "    return",
            "    ^",
        ],
    ),
    "other statement": (
        "v[0] = 0\nv[t] += a\nreturn v[-1]",
        {"t": 4},
        [
            "line 2: expected a line such as v[t, i] = ..., or return ...",
            "    v[t] += a",
            "    ^",
        ],
    ),
    "left side": (
        "v[0].x = 0\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: expected one cell on the left of =, such as v[t, i] = ...",
            "    v[0].x = 0",
            "    ^",
        ],
    ),
    "two targets": (
        "v[t] = u[t] = a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: expected one cell on the left of =, such as v[t, i] = ...",
            "    v[t] = u[t] = a",
            "    ^",
        ],
    ),
    "table and index": (
        "t[t] = a\nreturn t[-1]",
        {"t": 4},
        [
            "line 1: t is a table here and an index of 4 values elsewhere; expected two names",
            "    t[t] = a",
            "    ^",
        ],
    ),
    "table named max": (
        "max[t] = a\nreturn max[-1]",
        {"t": 4},
        [
            "line 1: max is a table here and a function elsewhere; expected two names",
            "    max[t] = a",
            "    ^",
        ],
    ),
    "axes of a table": (
        "v[t] = a\nv[t, t] = a\nreturn v[-1]",
        {"t": 4},
        [
            "line 2: v has 2 subscripts here and 1 subscript above; expected one number",
            "    v[t, t] = a",
            "    ^",
        ],
    ),
    "axes read": (
        "v[t] = v[t-1, 0] + a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: v is read with 2 subscripts; the table has 1 subscript",
            "    v[t] = v[t-1, 0] + a",
            "           ^",
        ],
    ),
    "bound twice left": (
        "v[t] = max[t](v[t-1] + a)\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: t is bound twice; it has a value here. Bind another index",
            "    v[t] = max[t](v[t-1] + a)",
            "               ^",
        ],
    ),
    "bound twice in a sum": (
        "v[t] = max[j](v[t-1] + a[j]) + max[j](b[j])\nreturn v[-1]",
        {"t": 4, "j": 2},
        [
            "line 1: j is bound twice in one sum; bind another index on one side",
            "    v[t] = max[j](v[t-1] + a[j]) + max[j](b[j])",
            "                                       ^",
        ],
    ),
    "bound no name": (
        "v[t] = max[1](v[t-1] + a)\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: 1 is no index; expected names, such as max[j](...)",
            "    v[t] = max[1](v[t-1] + a)",
            "               ^",
        ],
    ),
    "no alternatives": (
        "v[t] = max()\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: max lists nothing; expected alternatives",
            "    v[t] = max()",
            "           ^",
        ],
    ),
    "max and min": (
        "v[t] = max(v[t-1], a)\nreturn min[t](v[t])",
        {"t": 4},
        [
            "line 2: min stands beside the max of line 1; expected one of them: a text is a maximum of scores, "
            "or a minimum of costs",
            "    return min[t](v[t])",
            "           ^",
        ],
    ),
    "keyword": (
        "v[t] = max(v[t-1], key=a)\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: max takes alternatives, one after another",
            "    v[t] = max(v[t-1], key=a)",
            "           ^",
        ],
    ),
    "when": (
        "v[t] = when(t > 1, v[t-1], a)\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: expected when(condition, term)",
            "    v[t] = when(t > 1, v[t-1], a)",
            "           ^",
        ],
    ),
    "function": (
        "v[t] = exp(v[t-1])\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: exp(...) is unknown; expected max, min or when",
            "    v[t] = exp(v[t-1])",
            "           ^",
        ],
    ),
    "number": (
        "v[t] = v[t-1] + 3\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: 3 is a number as a term; expected a potential: give it a name, and its value in theta",
            "    v[t] = v[t-1] + 3",
            "                    ^",
        ],
    ),
    "data as a term": (
        "v[t] = v[t-1] + bonus[t]\nreturn v[-1]",
        {"t": 4, "bonus": [1, 2, 3, 4]},
        [
            "line 1: bonus[t] is a number as a term; expected a potential: give it a name, and its value in theta",
            "    v[t] = v[t-1] + bonus[t]",
            "                    ^",
        ],
    ),
    "product": (
        "v[t] = v[t-1] + a[t] * b[t]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: a[t] * b[t] multiplies two terms; expected a sum: scores are linear in tables and "
            "potentials. A coefficient is a number, or data that a keyword declares",
            "    v[t] = v[t-1] + a[t] * b[t]",
            "                    ^",
        ],
    ),
    "coefficient on a table": (
        "v[t] = 2 * v[t-1] + a[t]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: v[t-1] has a coefficient; expected it at a potential: a path counts a cell once",
            "    v[t] = 2 * v[t-1] + a[t]",
            "               ^",
        ],
    ),
    "minus a table": (
        "v[t] = a[t] - v[t-1]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: v[t-1] has a coefficient; expected it at a potential: a path counts a cell once",
            "    v[t] = a[t] - v[t-1]",
            "                  ^",
        ],
    ),
    "coefficient on max": (
        "v[t] = v[t-1] - max(a[t], b[t])\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: a coefficient stands before max; expected it at the potentials inside, such as -gap",
            "    v[t] = v[t-1] - max(a[t], b[t])",
            "                    ^",
        ],
    ),
    "three tables": (
        "v[t] = v[t-1] + v[t-2] + v[t-3]\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: v[t-3] is a third table in one sum; expected two at most: introduce a table for the sum "
            "of two of them",
            "    v[t] = v[t-1] + v[t-2] + v[t-3]",
            "                             ^",
        ],
    ),
    "division": (
        "v[t] = v[t-1] + a[t] / 2\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: a[t] / 2 divides a term; expected a coefficient in front of it, such as 0.5 * a",
            "    v[t] = v[t-1] + a[t] / 2",
            "                    ^",
        ],
    ),
    "comparison as a term": (
        "v[t] = v[t-1] + (t > 1)\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: t > 1 is no term; expected cells of tables, potentials with coefficients, 0, max(...), "
            "min(...) or when(condition, term), joined by + and -",
            "    v[t] = v[t-1] + (t > 1)",
            "                     ^",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines


def alternatives(text, **keywords):
    """The alternatives of the first line, each as text: bound indices, conditions, terms with coefficients."""
    source = Source.of(f"{text}\nreturn v[-1]")
    line = parse(source, declared({"t": 4, "j": 2, "k": 3, **keywords})).lines[0]
    return [
        (
            [name.id for name in one.bound],
            [source.written(condition) for condition in one.conditions],
            [source.written(read.node) for read in one.tables],
            [
                (source.written(read.node), read.scale, [source.written(factor) for factor in read.factors])
                for read in one.potentials
            ],
        )
        for one in line.alternatives
    ]


def test_plus_distributes_over_lists_the_left_one_slowest():
    found = alternatives("v[t] = max(v[t-1], a) + max(b, c)")
    assert [(tables, [name for name, _, _ in reads]) for _, _, tables, reads in found] == [
        (["v[t-1]"], ["b"]),
        (["v[t-1]"], ["c"]),
        ([], ["a", "b"]),
        ([], ["a", "c"]),
    ]


def test_nested_maxima_are_one_list_and_bind_outer_indices_first():
    found = alternatives("v[t] = max[j](a[j], max[k](v[t-1] + b[j, k]))")
    assert [bound for bound, _, _, _ in found] == [["j"], ["j", "k"]]


def test_conditions_stand_with_every_alternative_inside_the_outermost_first():
    found = alternatives("v[t] = when(t > 1, max(a, when(t < 3, v[t-1])))")
    assert [conditions for _, conditions, _, _ in found] == [["t > 1"], ["t > 1", "t < 3"]]


def test_coefficients_multiply():
    ((_, _, tables, reads),) = alternatives("v[t] = v[t-1] - 2 * (w[t] * a[t] - 3 * -b) + +c", w=[1, 2, 3, 4])
    assert tables == ["v[t-1]"]
    assert reads == [("a[t]", -2.0, ["w[t]"]), ("b", -6.0, []), ("c", 1.0, [])]


def test_zero_reads_nothing():
    assert alternatives("v[t] = 0") == [([], [], [], [])]
    assert alternatives("v[t] = a[t] + 0") == [([], [], [], [("a[t]", 1.0, [])])]


def test_min_says_that_a_text_minimises():
    for text, minimize in (("v[t] = min(v[t-1], a)", True), ("v[t] = max(v[t-1], a)", False), ("v[t] = a", False)):
        source = Source.of(f"{text}\nreturn v[-1]")
        assert parse(source, declared({"t": 4})).minimize is minimize
