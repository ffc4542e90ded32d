"""Starts, ends, and the order of nodes and edges."""

from __future__ import annotations

import numpy as np
import pytest
from recurrences import message_of

from dagdp import HardMax, compile, dp_value, recurrence

#: {what is wrong: (text, keywords, the lines of the message)}
ERRORS = {
    "return reads no cell": (
        "v[t] = a[t]\nreturn v[7]",
        {"t": 4},
        [
            "line 2: `return` reads no cell; expected one inside its table",
            "    return v[7]",
            "    ^",
        ],
    ),
    "no start": (
        "v[t] = v[t-1] + a\nreturn v[-1]",
        {"t": 4},
        [
            "line 1: no cell begins a path; expected a line whose right side reads no table, such as v[0] = 0, "
            "or a 0 in max(...)",
            "    v[t] = v[t-1] + a",
            "    ^",
        ],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_messages_word_for_word(name):
    text, keywords, lines = ERRORS[name]
    assert message_of(text, keywords) == lines


def nodes_and_terminals(text, **keywords):
    graph = recurrence(text, **keywords)
    starts, ends = graph.terminals()
    named = [graph.name(int(node)) for node in range(graph.num_nodes)]
    return [str(name) for name in named], [str(named[k]) for k in starts], [str(named[k]) for k in ends]


def test_a_cell_whose_only_alternative_is_zero_is_a_start_and_no_node_is_added():
    nodes, starts, ends = nodes_and_terminals("v[0] = 0\nv[t] = v[t-1] + a\nreturn v[-1]", t=3)
    assert nodes == ["v[0]", "v[1]", "v[2]"] and starts == ["v[0]"] and ends == ["v[2]"]


def test_potentials_at_the_beginning_and_zeros_beside_others_need_one_start_node():
    nodes, starts, _ = nodes_and_terminals("v[t] = max(0, v[t-1] + a)\nu[t] = b\nreturn max(v[-1], u[-1])", t=2)
    assert nodes == ["(start)", "v[0]", "v[1]", "u[0]", "u[1]"] and starts == ["(start)", "v[0]"]


def test_cells_in_return_are_ends():
    _, _, ends = nodes_and_terminals("v[0] = 0\nv[t] = v[t-1] + a\nreturn max(v[2], v[1])", t=3)
    assert ends == ["v[2]", "v[1]"]


@pytest.mark.parametrize("result", ["max[t](v[t] + b[t])", "max(0, v[-1])", "max(v[-1], v[2])", "v[0]", "v[1] + v[2]"])
def test_anything_else_in_return_needs_one_end_node(result):
    nodes, _, ends = nodes_and_terminals(f"v[0] = 0\nv[t] = v[t-1] + a\nreturn {result}", t=3)
    assert nodes[-1] == "(end)" and ends == ["(end)"] and nodes.count("(end)") == 1


def test_edges_stand_cell_by_cell_then_line_by_line_then_alternative_by_alternative():
    text = """
        v[0] = 0
        v[t] = max[j](v[t-1] + a[j], v[t-2] + b[j])
        v[t] = when(t > 0, v[0] + c)
        return v[-1]
    """
    graph = recurrence(text, t=4, j=2)
    reads = {p.name: p.index.tolist() for p in graph.potentials()}
    assert graph.edges()[1].tolist() == [1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    assert reads["a"] == [0, 1, -1, 0, 1, -1, -1, -1, 0, 1, -1, -1, -1]
    assert reads["b"] == [-1, -1, -1, -1, -1, 0, 1, -1, -1, -1, 0, 1, -1]
    assert reads["c"] == [-1, -1, 0, -1, -1, -1, -1, 0, -1, -1, -1, -1, 0]


def test_an_index_that_nothing_reads_makes_parallel_edges():
    assert recurrence("v[0] = 0\nv[t] = max[j](v[t-1] + a)\nreturn v[-1]", t=2, j=3).edges()[0].tolist() == [0, 0, 0]


def test_tables_stand_by_their_first_definition_row_by_row():
    nodes, _, _ = nodes_and_terminals(
        "v[0, i] = 0\nu[i] = v[0, i] + a\nv[t, i] = when(t == 1, u[i] + a)\nreturn v[-1, -1]", t=2, i=2
    )
    assert nodes == ["v[0, 0]", "v[0, 1]", "v[1, 0]", "v[1, 1]", "u[0]", "u[1]"]


def test_cells_beyond_the_extents_are_left_out():
    graph = recurrence("c[i, k] = when(i == k, 0)\nc[i, i+1] = c[i, i] + a[i]\nreturn c[1, 2]", i=3, k=3)
    assert graph.edges()[0].size == 2


def test_an_index_twice_on_the_left_is_a_diagonal():
    """Matrix-chain order: the cheapest product of the textbook's six matrices."""
    text = """
        m[i, i] = 0
        m[i, k] = min[j](when(i <= j and j < k, m[i, j] + m[j+1, k]) + cost[i, j, k])
        return m[0, -1]
    """
    sizes = np.array([30, 35, 15, 5, 10, 20, 25])
    i, j, k = np.indices((6, 6, 6))
    cost = (sizes[i] * sizes[j + 1] * sizes[k + 1]).astype(float)
    dag = compile(recurrence(text, i=6, j=6, k=6))
    assert dag.starts.size == 6 and dp_value(dag, cost, HardMax()) == 15125
