"""What constant folding leaves of a text."""

from __future__ import annotations

from enum import IntEnum

import pytest
from cuda_texts import loaded, made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("YES", True),
        ("not YES", False),
        ("YES and NO", False),
        ("NO or TWO > 1", True),
        ("1 if YES else missing", 1),
        ("missing if NO else 1", 1),
        ("1 if x > 0 and NO else 2", 2),
        ("1 if x > 0 or YES else 2", 1),
        ("NO and missing", False),
        ("YES or missing", True),
        ("x and TWO", 2),
        ("TWO and x", 5),
        ("x and YES and 7", 7),
        ("TWO == 2 != 3", True),
        ("TWO < 2", False),
        ("kind(x)", True),
        ("not kind(missing)", False),
        ("2 * TWO + 1", 5),
        ("-TWO", -2),
        ("(x > 0) and YES", True),
        ("1 if not (x > 0 and NO) else missing", 1),
    ],
)
def test_expressions_mean_what_they_meant(tmp_path, expression, value):
    text = f"def f(x):\n    return {expression}\n"
    function = made(text, tmp_path, YES=True, NO=False, TWO=2, kind=True)["f"]
    found = function(5)
    assert found == value and type(found) is type(value)
    assert not loaded(function)


def test_dead_statements_vanish(tmp_path):
    text = """
    def f(x):
        if NO:
            return missing
        elif YES:
            x += 1
        else:
            missing
        while NO:
            missing
        for k in range(BLOCKS):
            missing
        for k in range(BLOCKS, BLOCKS + 2):
            x += 10
        if x < 0:
            if NO:
                missing
        if YES:
            return x
        missing
    """
    function = made(text, tmp_path, YES=True, NO=False, BLOCKS=0)["f"]
    assert function(1) == 22 and loaded(function) == {"range"}


def test_a_call_is_not_dropped_for_its_truth_alone(tmp_path):
    seen = []
    text = "def f(x):\n    if act(x) and NO:\n        return 1\n    return 0\n"
    assert made(text, tmp_path, {"act": seen.append}, NO=False)["f"](3) == 0
    assert seen == [3]


class Part(IntEnum):
    FIRST = 0
    LAST = 7


def test_members_of_enumerations_are_integers(tmp_path):
    text = "def f(x):\n    if Part.LAST > 7:\n        return missing\n    return (Part.LAST, x + 2 * Part.LAST)\n"
    function = made(text, tmp_path, {"Part": Part})["f"]
    assert function(1) == (7, 15) and type(function(1)[0]) is int and not loaded(function)
    with pytest.raises(TypeError, match=r"text.py:2: f names Part.NEXT; expected one of .'FIRST', 'LAST'."):
        made("def f(x):\n    return Part.NEXT\n", tmp_path, {"Part": Part})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(x):\n    YES = 1\n", "text.py:2: f assigns to YES"),
        ("def f(x):\n    for YES in range(3):\n        x += 1\n", "text.py:2: f assigns to YES"),
        ("def f(YES):\n    return 1\n", "f has the parameter YES"),
    ],
)
def test_static_names_are_never_assigned(tmp_path, text, message):
    with pytest.raises(TypeError, match=message):
        made(text, tmp_path, YES=True)
