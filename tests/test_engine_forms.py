"""Forms of calls: what is stored for a form is found for others of its form, and for no others."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Negentropy, SquaredL2
from dagdp.engine.forms import FORMS, form_of, found, remember
from dagdp.engine.inputs import Options

THETA = np.ones((2, 3))


def test_a_form_has_no_numbers_of_arrays():
    options = Options(end=np.array([1, 2]))
    assert form_of(THETA, None, None, options) == form_of(2 * THETA, None, None, options._replace(end=np.array([0, 0])))


@pytest.mark.parametrize(
    "other",
    [
        (THETA.astype("f4"), None, Negentropy(1.0), Options()),
        (THETA[:1], None, Negentropy(1.0), Options()),
        ({"a": THETA}, None, Negentropy(1.0), Options()),
        (THETA, THETA, Negentropy(1.0), Options()),
        (THETA, None, SquaredL2(1.0), Options()),
        (THETA, None, Negentropy(1.0), Options(minimize=True)),
        (THETA, None, Negentropy(1.0), Options(threads=1)),
        (THETA, None, Negentropy(1.0), Options(end=np.array([1, 2]))),
        (THETA, None, Negentropy(1.0), Options(on_infeasible="raise")),
    ],
)
def test_calls_of_other_forms(other):
    assert form_of(*other) != form_of(THETA, None, Negentropy(1.0), Options())


@pytest.mark.parametrize("wrong", [([1.0, 2.0], Options()), (THETA, Options(threads=1.0)), (THETA, Options(end=2))])
def test_what_must_be_checked_in_every_call_has_no_form(wrong):
    theta, options = wrong
    assert form_of(theta, None, None, options) is None


def test_stored_forms_are_bounded_and_an_operator_that_cannot_be_hashed_is_not_stored():
    calls: dict[object, object] = {}
    for number in range(3 * FORMS):
        remember(calls, number, str(number))
        assert found(calls, number) == str(number) and len(calls) <= FORMS
    remember(calls, ["not", "hashable"], "lost")
    assert found(calls, ["not", "hashable"]) is None and "lost" not in calls.values()
