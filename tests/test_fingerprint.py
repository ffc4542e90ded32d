"""Digests of functions: equal text is equal, and nothing that compiled code hangs on changes unnoticed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dagdp.fingerprint import fingerprint

RATE, TABLE = 0.5, np.ones(3)


def helper(y):
    return y


def scaled(rate):
    def link(y):
        return rate * y

    return link


def with_rate(self, y):
    return RATE * math.exp(y) if y > 0.0 else abs(y)


def of(function, *facts):
    return fingerprint({"link": function}, *facts)


def indented():
    def with_rate(self, y):
        return RATE * math.exp(y) if y > 0.0 else abs(y)

    return with_rate


def test_the_same_text_has_the_same_digest():
    assert of(with_rate) == of(with_rate) == of(indented()) is not None
    assert of(scaled(2.0)) == of(scaled(2.0)) is not None


def test_what_is_referred_to_is_in_it(monkeypatch):
    before = of(with_rate)
    monkeypatch.setitem(globals(), "RATE", 0.25)
    assert of(with_rate) != before
    assert of(scaled(2.0)) != of(scaled(3.0))


def test_so_are_literals_names_and_facts():
    texts = [
        lambda y: y + 1.0,
        lambda y: y + 2.0,
        lambda y: y - 1.0,
        lambda x: x + 1.0,
        lambda y: y + 0.0,
        lambda y: y + -0.0,
    ]
    assert len({of(text) for text in texts}) == len(texts)
    assert len({of(with_rate, *facts) for facts in ((), (1,), ("newton",), (1, "newton"))}) == 4
    assert fingerprint({"link": with_rate}) != fingerprint({"slope": with_rate})


def test_a_text_that_was_edited_since_is_another(monkeypatch):
    before = of(with_rate)
    monkeypatch.setattr("inspect.getsource", lambda function: "def with_rate(self, y): return y")
    assert of(with_rate) != before


@pytest.mark.parametrize(
    "function",
    [
        lambda y: helper(y),
        lambda y: TABLE[0] * y,
        lambda y: np.exp(y),
        lambda y: not_yet_there(y),  # noqa: F821
        lambda y: [y for y in (1.0, 2.0)][0],  # noqa: C416, RUF015
        np.exp,
    ],
)
def test_what_cannot_be_followed_has_none(function):
    assert of(function) is None
