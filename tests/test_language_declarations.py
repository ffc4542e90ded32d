"""What keywords declare."""

from __future__ import annotations

import numpy as np
import pytest
from recurrences import message_of

from dagdp.language.declarations import declared

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "empty index": (
        "v[t] = a\nreturn v[-1]",
        {"t": 0},
        [
            "t=0 has no value; expected an index of at least one value, such as t=3",
        ],
    ),
    "string": (
        "v[t] = a\nreturn v[-1]",
        {"t": "4"},
        [
            "t='4' declares nothing; expected an index (a number n, a range, or a pair of numbers) or data (a "
            "list or an array of numbers). A name whose numbers theta holds is a potential, and is not declared",
        ],
    ),
    "None": (
        "v[t] = a\nreturn v[-1]",
        {"t": None},
        [
            "t=None declares nothing; expected an index (a number n, a range, or a pair of numbers) or data (a "
            "list or an array of numbers). A name whose numbers theta holds is a potential, and is not declared",
        ],
    ),
    "tuple": (
        "v[t] = a\nreturn v[-1]",
        {"t": (1, 2, 3)},
        [
            "t=(1, 2, 3) declares nothing; expected an index (a number n, a range, or a pair of numbers) or "
            "data (a list or an array of numbers). A name whose numbers theta holds is a potential, and is not "
            "declared",
        ],
    ),
    "text data": (
        "v[t] = a[w[t]]\nreturn v[-1]",
        {"t": 2, "w": ["x", "y"]},
        [
            "w has dtype <U1; expected an index (a number n, a range, or a pair of numbers) or data (a list or "
            "an array of numbers). A name whose numbers theta holds is a potential, and is not declared",
        ],
    ),
    "keyword max": (
        "v[t] = a\nreturn v[-1]",
        {"t": 2, "max": 3},
        [
            "max= declares a name that every text knows as a function; choose another name",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines


@pytest.mark.parametrize(
    ("given", "values"),
    [(3, [0, 1, 2]), (np.int64(2), [0, 1]), (range(1, 7, 2), [1, 3, 5]), ((2, 5), [2, 3, 4]), (range(-1, 1), [-1, 0])],
)
def test_indices(given, values):
    found = declared({"i": given})
    assert found.indices["i"].tolist() == values and found.extent("i") == values[-1] + 1


@pytest.mark.parametrize("given", [[1, 2], np.array([1.5, 2]), np.array(3), 0.5, True, [[True, False]]])
def test_data_is_a_copy_that_nobody_writes_to(given):
    found = declared({"w": given}).data["w"]
    assert np.array_equal(found, given) and not found.flags.writeable
