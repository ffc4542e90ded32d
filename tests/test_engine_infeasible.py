"""Results that are not finite: which are refused, and with which message."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import InputError
from dagdp.engine.infeasible import narrowed, refuse_infeasible, refuse_overflow, refuses


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_items_without_a_path_are_named(sign):
    values = np.zeros((2, 4))
    refuse_infeasible(values, sign)
    values[1, 2] = sign * np.inf
    refuse_infeasible(values, sign)
    values[0, 1:], values[1, :] = -sign * np.inf, -sign * np.inf
    with pytest.raises(InputError, match=r"^items 0, 1; 0, 2; 0, 3; 1, 0; 1, 1 and 2 more have no path"):
        refuse_infeasible(values, sign)
    with pytest.raises(InputError, match=r"^there is no path"):
        refuse_infeasible(np.array(-sign * np.inf), sign)


@pytest.mark.parametrize(("sign", "sound"), [(1, -np.inf), (-1, np.inf), (0, 0.0)])
def test_sums_beyond_the_largest_number(sign, sound):
    refuse_overflow("value", np.array([1.0, sound]), sign)
    for wrong in {np.nan, np.inf, -np.inf} - {sound}:
        with pytest.raises(InputError, match=r"the value of item 1 is not finite: .* 3\.4e\+38, the largest float32"):
            refuse_overflow("value", np.array([1.0, wrong], np.float32), sign)


def test_half_types_that_cannot_have_a_number():
    numbers = np.array([1.0, -np.inf, 60000.0], np.float32)
    assert narrowed("value", numbers, np.dtype(np.float16)).dtype == np.float16
    assert narrowed("value", numbers, np.dtype(np.float64)).dtype == np.float64
    with pytest.raises(InputError, match=r"the largest float16"):
        narrowed("value", 2 * numbers, np.dtype(np.float16))


def test_the_option():
    assert refuses("raise") and not refuses("value")
    with pytest.raises(InputError, match="on_infeasible is None"):
        refuses(None)
