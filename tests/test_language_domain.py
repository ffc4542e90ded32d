"""Kept values of indices: those of the whole product that satisfy all conditions, in its order, in small blocks."""

from __future__ import annotations

import ast
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagdp.language import domain
from dagdp.language.domain import Domain, Holds, InRange

OK = np.array([True, False, True, True, False])


def expression(text):
    return ast.parse(text, mode="eval").body


def rows_of(made):
    """The kept values of all blocks, as tuples."""
    found = []
    for block in made.blocks():
        columns = [block.spread(block.environment[name]).tolist() for name in made.ranges]
        found += list(zip(*columns, strict=True)) if columns else [()] * block.size
    return found


PLACES = [("i-1", 4), ("j+i", 6), ("k", 2), ("2*i-j", 5), ("-1", 3), ("-4", 3)]
CONDITIONS = ["i < j", "ok[i]", "j != k and ok[k]", "not ok[j] or i == k", "k > 0", "1 < 2"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(PLACES), max_size=3),
    st.lists(st.sampled_from(CONDITIONS), max_size=3),
    st.permutations(["i", "j", "k"]),
    st.integers(1, 30),
)
def test_blocks_list_what_the_whole_product_keeps(places, conditions, names, size):
    ranges = {name: np.arange(5) for name in names}
    made = Domain(
        ranges,
        tuple(InRange(expression(text), extent) for text, extent in places),
        tuple(Holds(expression(text)) for text in conditions),
        {"ok": OK},
    )
    wanted = []
    for values in itertools.product(*(one.tolist() for one in ranges.values())):
        scope = {**dict(zip(names, values, strict=True)), "ok": OK}
        inside = all(
            0 <= (eval(text, {}, scope) + (extent if text.startswith("-") else 0)) < extent for text, extent in places
        )
        if inside and all(eval(text, {}, scope) for text in conditions):
            wanted.append(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain, "AT_ONCE", size)
        assert rows_of(made) == wanted


def test_few_of_the_products_that_conditions_exclude_are_listed():
    """CKY of 40 words and 20 symbols: 85 million edges of 540 million products, at most `AT_ONCE` rows at a time."""
    ranges = {"i": np.arange(40), "k": np.arange(41), "A": np.arange(20), "j": np.arange(41)}
    ranges |= {"B": np.arange(20), "C": np.arange(20)}
    made = Domain(ranges, (), (Holds(expression("i < j")), Holds(expression("j < k"))), {})
    sizes = [block.size for block in itertools.islice(made.blocks(), 3)]
    assert max(sizes) <= domain.AT_ONCE
    small = Domain({**ranges, "B": np.arange(1), "C": np.arange(1), "A": np.arange(1)}, (), made.conditions, {})
    assert sum(block.size for block in small.blocks()) == 41 * 40 * 39 // 6


def test_a_fault_is_kept_until_a_table_drops_it():
    conditions = (Holds(expression("ok[i]")),)
    faulty = Domain({"i": np.arange(7)}, (), conditions, {"ok": OK})
    assert [block.faulty for block in faulty.blocks()] == [True]
    assert faulty.fault(next(faulty.blocks())).node is conditions[0].condition
    dropped = Domain({"i": np.arange(7)}, (InRange(expression("i"), 5),), conditions, {"ok": OK})
    assert [block.faulty for block in dropped.blocks()] == [False] and rows_of(dropped) == [(0,), (2,), (3,)]


def test_nothing_is_listed_for_a_condition_that_never_holds():
    assert rows_of(Domain({"i": np.arange(3)}, (), (Holds(expression("1 > 2")),), {})) == []
    assert rows_of(Domain({}, (InRange(expression("7"), 3),), (), {})) == []
    assert rows_of(Domain({}, (), (), {})) == [()]
