"""The text of a recurrence, and its errors."""

from __future__ import annotations

import ast

from dagdp.language.source import Source


def test_common_indentation_and_empty_lines_around_are_left_out():
    assert Source.of("\n\n    v[0] = 0\n\n    return v[-1]\n\n").text == "v[0] = 0\n\nreturn v[-1]"


def test_a_caret_stands_below_the_node_behind_letters_of_several_bytes():
    source = Source.of("\n  v[t] = max(θ[t],\n      γ + a)\n  return v[-1]")
    call = source.parsed()[0].value
    assert isinstance(call, ast.Call)
    assert str(source.error(call.args[1].right, "wrong")).split("\n") == ["line 2: wrong", "    γ + a)", "        ^"]
    assert str(source.error(call.args[0], "wrong")).split("\n")[1:] == ["    v[t] = max(θ[t],", "               ^"]


def test_a_node_is_shown_as_written():
    source = Source.of("v[t] = max(a[t-1],\n   b)")
    assert source.written(source.parsed()[0].value) == "max(a[t-1], b)"
