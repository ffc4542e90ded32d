"""Random graphs and weights for Hypothesis: parallel edges, relabelled nodes, hyperedges, ties, -inf."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume
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


@st.composite
def hyperproblems(draw, most_derivations: int = 300):
    """(edges [(parents, child)], weights): one or two parents, which may be equal; nodes are in topological order.

    Node 0 and perhaps node 1 have no parents, and the last node alone has no child.
    """
    size, starts = draw(st.integers(3, 5)), draw(st.integers(1, 2))
    edges, trees = [], [1] * starts
    for child in range(starts, size):
        node = st.integers(0, child - 1)
        own = draw(st.lists(st.lists(node, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3))
        edges += [(parents, child) for parents in own]
        trees.append(sum(math.prod(trees[parent] for parent in parents) for parents in own))
    used = {parent for parents, _ in edges for parent in parents}
    edges += [((node,), size - 1) for node in range(size - 1) if node not in used]
    assume(max(trees) <= most_derivations)
    edges = draw(st.permutations(edges))
    weight = st.one_of(st.floats(-3, 3, width=32), st.sampled_from([-1.0, 0.0, 1.0]), st.just(-np.inf))
    weights = draw(st.lists(weight, min_size=len(edges), max_size=len(edges)))
    return edges, np.array(weights)
