"""Pictures hold what they were given; none needs a display."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from cases import GRAPHS

import dagdp
from dagdp import InputError, SquaredL2, compile, dp_grad, plot

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def segments(ax):
    (lines,) = ax.collections
    return {tuple(map(tuple, part)) for part in lines.get_segments()}


def test_borders_run_around_the_cells_that_are_not_zero():
    ax = plot.attention_map([[0.0, 1.0], [0.0, 1e-9]])
    sides = segments(ax)
    assert ((0.5, -0.5), (1.5, -0.5)) in sides and ((0.5, 0.5), (0.5, 1.5)) in sides
    assert ((0.5, 0.5), (1.5, 0.5)) not in sides  # between two cells that are not 0
    assert len(sides) == 6
    assert ax.images[0].get_array().tolist() == [[0, 1], [0, 1e-9]]
    assert ax.images[0].get_clim() == (0, 1)


def test_alignment_map_has_both_series_and_the_path():
    a, b = np.arange(3.0), np.ones((4, 2))
    ax = plt.subplots()[1]
    assert plot.alignment_map(np.eye(3, 4), a, b, path=[[0, 0], [1, 1], [2, 2], [2, 3], [-1, -1]], ax=ax) is ax
    above, left = ax.child_axes
    assert len(above.lines) == 2 and left.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1], [2, 2], [3, 2]]


def test_trellis_marginals_have_one_column_a_step_and_dots_for_the_truth():
    ax = plot.trellis_marginals([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]], steps=["a", "b", "c"], truth=[0, 1, -1])
    assert ax.images[0].get_array().tolist() == [[1, 0.5, 0], [0, 0.5, 0]]
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("name", ["one edge", "parallel edges", "two starts, two ends", "dead ends"])
def test_graphs_of_all_kinds_are_drawn(name):
    graph = GRAPHS[name]()
    dag = compile(graph)
    flow = dp_grad(dag, np.linspace(-1, 1, graph.num_edges), SquaredL2(0.5))
    ax = plot.dag(dag, flow, labels=range(graph.num_edges))
    live = int((dag.rank >= 0).sum())
    named = [text for text in ax.texts if text.get_text()]
    assert len(named) == live + int((flow > 0).sum())
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == int((dag.edges >= 0).sum())
    widths = sorted(arrow.get_linewidth() for arrow in arrows)
    assert widths[-1] == pytest.approx(0.8 + 3.2 * flow.max())
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.alignment_map(np.zeros((2, 3, 4))), "expected a map with two axes: pick one item of the batch"),
        (lambda: plot.alignment_map(np.zeros((3, 4)), a=np.zeros(4)), r"a has shape \(4,\); expected \[3\]"),
        (lambda: plot.attention_map(np.zeros((3, 4)), rows="ab"), "rows has 2 names; expected 3"),
        (lambda: plot.dag(compile(GRAPHS["one edge"]()), [1.0, 2.0]), "expected one for each of 1 edges"),
    ],
)
def test_wrong_shapes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_matplotlib_is_imported_only_when_a_picture_is_drawn():
    code = "import sys, dagdp, dagdp.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=dagdp.__path__[-1])
