"""Random multi-DAGs and weights for Hypothesis: parallel edges, relabelled nodes, ties, -inf."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


@st.composite
def problems(draw, max_nodes: int = 6, forbidden: bool = True, ties: bool = True):
    """(edges [(parent, child)], weights): every node but the first has an edge in; labels are shuffled."""
    size = draw(st.integers(2, max_nodes))
    pairs = [(draw(st.integers(0, child - 1)), child) for child in range(1, size)]
    extra = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=6))
    pairs += [(min(a, b), max(a, b)) for a, b in extra if a != b]
    order = draw(st.permutations(range(len(pairs))))
    label = draw(st.permutations(range(size)))
    edges = [(label[pairs[k][0]], label[pairs[k][1]]) for k in order]
    kinds = [st.floats(-3, 3, width=32)]
    if ties:
        kinds.append(st.sampled_from([-1.0, 0.0, 1.0]))
    if forbidden:
        kinds.append(st.just(-np.inf))
    weights = draw(st.lists(st.one_of(kinds), min_size=len(edges), max_size=len(edges)))
    return edges, np.array(weights)
