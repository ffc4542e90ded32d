"""What the types of arguments decide is not compiled: every dropped side here holds what Numba cannot type."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import pytest
from cases import IDS, OPERATORS
from numba import types

from dagdp.jit.linking import WholeCompiler
from dagdp.jit.static_branches import PREDICATES, static_predicate
from dagdp.kernels.recursion import argument
from dagdp.lanes.operators import exponential, first_only

compiled = numba.njit(pipeline_class=WholeCompiler)


class Pair(NamedTuple):
    first: object
    second: object


def is_long(x):
    raise AssertionError("only asked in compiled code")


@static_predicate(is_long)
def _is_long(x):
    return x == types.float64


def untypable(x):
    """Numba knows nothing of this function: where it is compiled, compiling fails."""


def test_an_argument_compared_with_none():
    @compiled
    def if_none(x, way):
        if way is None:
            return x + 1
        return untypable(x)

    @compiled
    def if_not_none(x, way):
        return untypable(x) if way is None else x + 1

    for chosen, kept, dropped in ((if_none, None, True), (if_not_none, True, None)):
        assert chosen(1, kept) == 2
        with pytest.raises(numba.TypingError, match="untypable"):
            chosen(1, dropped)


def test_fields_and_elements():
    @compiled
    def by_field(pair):
        return 1 if pair.second is None else untypable(pair)

    @compiled
    def by_element(given):
        return 1 if given[1] is None else untypable(given)

    @compiled
    def unpacked(given):
        first, second = given
        return first if second is None else untypable(given)

    assert by_field(Pair(7, None)) == by_element((7, None)) == 1
    assert unpacked((7, None)) == 7
    with pytest.raises(numba.TypingError, match="untypable"):
        by_field(Pair(7, 8))


def test_the_truth_of_none_not_and_and():
    @compiled
    def chosen(x, way, other):
        if way:
            return untypable(x)
        if not other and x > 0:
            return x
        return -x if way is None and other is None else untypable(x)

    assert chosen(3, None, None) == 3 and chosen(-3, None, None) == 3


def test_a_question_that_types_answer():
    @compiled
    def chosen(x):
        return untypable(x) if is_long(x) else x

    assert chosen(3) == 3
    with pytest.raises(numba.TypingError, match="untypable"):
        chosen(3.0)
    assert PREDICATES[is_long] is _is_long


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_other_compilers_find_an_answer_too(omega):
    """Numba's own pipeline, and numba-cuda's, know no static predicates: the recursion's text has to be typed there."""

    @numba.njit
    def asked(data):
        return exponential(data), first_only(data), argument(data, -1.0, 2.0, 2.0)

    first = omega.solver == "first"
    assert asked(omega.data(np.float64)) == (omega.solver == "exponential", first, 0.0 if first else 1.0)


def test_what_a_dropped_side_gave_a_variable_is_out_of_the_way():
    @compiled
    def chosen(x, way):
        found = None
        if way is not None:
            found = x
        return untypable(x) if found is not None else x + 1

    assert chosen(1, None) == 2
    with pytest.raises(numba.TypingError, match="untypable"):
        chosen(1, True)


def test_what_only_a_run_decides_stays():
    @compiled
    def chosen(x, flag):
        return x + 1 if flag else x - 1

    assert chosen(1, True) == 2 and chosen(1, False) == 0

    @compiled
    def of_two(x, flag, way):
        y = x if flag else None
        return 0 if y is None else 1 if way is None else 2

    assert of_two(np.float32(1), False, None) == 0 and of_two(np.float32(1), True, None) == 1
