"""The order of edges: a stable counting sort by child."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dagdp.language.order import placed, places_by_child


@given(st.lists(st.integers(0, 9)))
def test_edges_stand_by_child_and_as_before_inside_a_child(children):
    given = np.array(children, np.int32)
    places = places_by_child(given, 10)
    order = np.argsort(given, kind="stable")
    numbers = np.arange(given.size, dtype=np.int32)
    assert placed(numbers, places).tolist() == order.tolist()
    pairs = np.stack([numbers, -numbers], 1)
    assert placed(pairs, places).tolist() == pairs[order].tolist()
    assert (places is None) == (np.diff(given) >= 0).all()
