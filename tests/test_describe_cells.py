"""Cells: numbers by table and place, and names by number."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, InputError, compile, recurrence
from dagdp.describe.cells import Cell

TEXT = """
    v[0, j] = 0
    v[i, j] = max(v[i-1, j], v[i-1, j-1] + a[i])
    done = max[j](v[-1, j])
    u[1] = done + b
    u[i] = max(u[i-1], b)
    return u[-1]
"""


def test_names_and_numbers_are_inverse():
    graph = recurrence(TEXT, i=3, j=2)
    for table, shape in graph.recurrence.shapes.items():
        for place in np.ndindex(shape):
            if (table, *place) != ("u", 7):
                number = graph.recurrence.numbers(table, place)
                assert graph.name(int(number)) == (table, *place)
    assert repr(graph.name(graph.cell("v", 2, 1))) == "v[2, 1]" and repr(graph.name(graph.cell("done"))) == "done"
    assert Cell(("v", 3, 4)) == ("v", 3, 4)


def test_places_broadcast():
    dag = compile(recurrence(TEXT, i=3, j=2))
    found = dag.cell("v", [[1], [2]], [0, 1])
    assert found.tolist() == [[dag.cell("v", i, j) for j in (0, 1)] for i in (1, 2)]
    assert isinstance(dag.cell("v", 1, 1), int)


def test_live_cells_of_a_compiled_graph_are_found_without_a_list_of_edges(monkeypatch):
    """A ragged batch needs them at each call; a list of the edges of a grid takes as long as the call."""
    dag = compile(recurrence(TEXT, i=3, j=2))
    monkeypatch.setattr(Graph, "edges", lambda self: pytest.fail("all edges were listed"))
    assert dag.graph.name(dag.cell("v", 2, 1)) == ("v", 2, 1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("w", 0), "'w' is no table of the recurrence; expected one of ['v', 'done', 'u']"),
        (("v", 0), "v was given 1 places; expected 2, one for each axis"),
        (("v", 0, 2), "place 1 in v is 2; expected 0 to 1, as v has shape (3, 2)"),
        (("v", -1, 0), "place 0 in v is -1; expected 0 to 2, as v has shape (3, 2)"),
        (("v", 0.5, 0), "place 0 in v has dtype float64; expected integers"),
    ],
)
def test_places_that_are_none(asked, message):
    with pytest.raises(InputError) as caught:
        recurrence(TEXT, i=3, j=2).cell(*asked)
    assert str(caught.value) == message


def test_a_hole_is_an_error():
    graph = recurrence("c[i, i+1] = a[i]\nc[i, k] = c[i, k-1] + b\nreturn c[0, -1]", i=3, k=4)
    with pytest.raises(InputError, match=r"c\[2, 0\] has no alternative, so that no path leads there"):
        graph.cell("c", 2, 0)


def test_a_graph_without_tables_has_no_cells():
    with pytest.raises(InputError, match=r"the graph has no tables; expected one made by dagdp.recurrence"):
        Graph.from_edges([0], [1]).cell("v", 0)
