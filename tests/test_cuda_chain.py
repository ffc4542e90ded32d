"""What is proved of chains, and which graphs are none."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS

import dagdp
from dagdp import Graph, compile
from dagdp.graphs import linear_chain, trellis
from dagdp.kernels.cuda.plan.chain import ChainFact
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.records import Column

pytestmark = pytest.mark.specialised  # of graphs of which nothing is proved, no kernel of this kind is taken

T, S = 6, 4
SIZES = {"t": T, "i": S, "j": S}

CHAINS = {
    "linear_chain": lambda: linear_chain(T, S),
    "ragged": lambda: linear_chain(T, S, ragged=True),
    "a matrix by rows of parents": lambda: dagdp.recurrence(
        """
        v[0, i] = emission[0, i]
        v[t, i] = max[j](v[t-1, j] + transition[j, i]) + emission[t, i]
        return max[i](v[-1, i])
        """,
        **SIZES,
    ),
    "emissions by state": lambda: dagdp.recurrence(
        """
        v[0, i] = start[i] + emission[i, 0]
        v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[i, t]
        return max[i](v[-1, i] + end[i])
        """,
        **SIZES,
    ),
}

OTHERS = {
    "a matrix for each step": lambda: trellis(T, S),
    "no entry of a state's own": lambda: dagdp.recurrence(
        """
        v[0, i] = start[i]
        v[t, i] = max[j](v[t-1, j] + transition[i, j])
        return max[i](v[-1, i])
        """,
        **SIZES,
    ),
    "an end that reads the matrix": lambda: dagdp.recurrence(
        """
        v[0, i] = start[i] + emission[0, i]
        v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
        return max[i](v[-1, i] + transition[0, i])
        """,
        **SIZES,
    ),
    "a start that reads the matrix": lambda: dagdp.recurrence(
        """
        v[0, i] = transition[0, i] + emission[0, i]
        v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
        return max[i](v[-1, i])
        """,
        **SIZES,
    ),
    "emissions of all states in one": lambda: dagdp.recurrence(
        """
        v[0, i] = start[i]
        v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t]
        return max[i](v[-1, i])
        """,
        **SIZES,
    ),
    "two steps": lambda: linear_chain(2, S),
    "two states": lambda: linear_chain(T, 2),
    **{name: make for name, make in GRAPHS.items() if name != "chain"},
}


@pytest.mark.parametrize("name", CHAINS)
def test_places_of_a_chain_are_those_of_the_lists(name):
    graph = CHAINS[name]()
    dag = compile(graph)
    plan = device_plan(dag)
    assert plan.states == S
    at = int(plan.table[0, Column.CHAIN])
    fact = {one: int(plan.plan[at + one]) for one in ChainFact}
    assert (fact[ChainFact.STATES], fact[ChainFact.STEPS], fact[ChainFact.FIRST]) == (S, T - 1, 1)
    first, found = {}, 0
    for potential in graph.potentials():
        first[potential.name] = found
        found += int(np.prod(potential.shape))
    read = {}  # the entries that edges into each node read, by internal numbers of the node and of the parent
    for potential in graph.potentials():
        index = np.asarray(potential.index)
        for edge, parent, child in zip(dag.edges, dag.parents, dag.children, strict=True):
            if edge >= 0 and index[edge] >= 0:
                read.setdefault((child, parent), set()).add(int(first[potential.name] + index[edge]))
    for step in range(T - 1):
        before = fact[ChainFact.NODE] + (step - 1) * fact[ChainFact.WIDTH] if step else fact[ChainFact.FIRST]
        for i in range(S):
            own = fact[ChainFact.OWN] + step * fact[ChainFact.OWN_STEP] + i * fact[ChainFact.OWN_STATE]
            for j in range(S):
                element = fact[ChainFact.MATRIX] + i * fact[ChainFact.ROW] + j * fact[ChainFact.COLUMN]
                child = fact[ChainFact.NODE] + step * fact[ChainFact.WIDTH] + i
                assert read[child, before + j] == {own, element}


@pytest.mark.parametrize("name", OTHERS)
def test_graphs_that_are_no_chains(name):
    assert device_plan(compile(OTHERS[name]())).states == 0


def test_nodes_that_read_a_step_and_a_start_are_no_ends():
    """A second path into the end, beside the states."""
    chain = linear_chain(T, S)
    parents, children = chain.edges()
    more = Graph.from_edges([*parents, parents[0]], [*children, max(children)], ends=[max(children)])
    assert device_plan(compile(more)).states == 0
