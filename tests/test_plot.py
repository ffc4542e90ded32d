"""Pictures hold what they were given; none needs a display."""

from __future__ import annotations

import itertools
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


WORKFLOW = {
    "fetch the raw archive": ["check the archive's sums", "unpack", "fit response"],
    "check the archive's sums": ["normalise every spectrum"],
    "unpack": ["normalise every spectrum", "read calibration tables", "write the final catalogue of sources"],
    "read calibration tables": ["fit response"],
    "normalise every spectrum": ["fit response", "estimate the background level"],
    "fit response": ["deconvolve"],
    "estimate the background level": ["deconvolve", "plot residuals"],
    "deconvolve": ["write the final catalogue of sources", "publish"],
    "plot residuals": ["write the final catalogue of sources"],
    "write the final catalogue of sources": ["publish", "done"],
    "publish": ["done"],
}


def named_graph(children):
    found = [child for others in children.values() for child in others]
    graph = dagdp.Graph(ends=[child for child in dict.fromkeys(found) if child not in children])
    for parent, others in children.items():
        for child in others:
            graph.add_edge(parent, child)
    return graph


def apart(first, second):
    return first.x1 <= second.x0 or second.x1 <= first.x0 or first.y1 <= second.y0 or second.y1 <= first.y0


def drawn_boxes(ax):
    """Pixels of each node's box and of each label, after a draw."""
    ax.figure.canvas.draw()
    return [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_text()]


@pytest.mark.parametrize(
    "graph",
    [
        named_graph(WORKFLOW),
        named_graph({"source": [f"branch number {k}" for k in range(14)]}),
        named_graph({k: [k + 1, k + 2] for k in range(25)}),
        named_graph({"one\nname\nof\nfour lines": ["x", "y\nz\nu\nv", "w\nw\nw\nw\nw"]}),
    ],
    ids=["workflow", "one wide level", "many levels", "high names"],
)
def test_a_figure_made_for_a_graph_has_room_for_names_and_labels(graph):
    dag = compile(graph)
    labels = [f"{k}.00" for k in range(graph.num_edges)]
    ax = plot.dag(dag, np.full(graph.num_edges, 0.5), labels=labels)
    boxes = drawn_boxes(ax)
    assert len(boxes) == graph.num_nodes + graph.num_edges
    assert all(apart(*pair) for pair in itertools.combinations(boxes, 2))
    whole = ax.figure.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1 for box in boxes)


def test_steps_are_as_wide_as_the_longest_names_of_two_levels():
    def first_step(name):
        ax = plot.dag(compile(named_graph({name: ["b"], "b": ["c"]})), [1.0, 1.0])
        a, b, c = (text.get_position()[0] for text in ax.texts if text.get_text())
        return b - a, c - b

    assert first_step("a") == (1.0, 1.0)
    assert first_step("n" * 20)[0] > 1.3 and first_step("n" * 20)[1] == 1.0
    assert first_step("n" * 60)[0] - first_step("n" * 40)[0] == pytest.approx(
        first_step("n" * 40)[0] - first_step("n" * 20)[0], rel=0.05
    )


def test_edges_go_around_the_boxes_between_their_ends():
    """0 → 3 passes a long name on a middle level: the arc lies outside its box."""
    graph = named_graph({"a": ["a long name between the two", "z"], "a long name between the two": ["z"]})
    ax = plot.dag(compile(graph), [0.5, 0.5, 0.5])
    ax.figure.canvas.draw()
    box = ax.texts[1].get_bbox_patch().get_window_extent()
    assert ax.texts[1].get_text() == "a long name between the two"
    arcs = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    points = arcs[1].get_transform().transform(arcs[1].get_path().interpolated(50).vertices)
    assert not any(box.contains(*point) for point in points)


def test_words_below_a_trellis_are_slanted_and_numbers_are_not():
    ax = plot.trellis_marginals(np.eye(3), steps=["the", "quick", "fox"])
    assert [text.get_rotation() for text in ax.get_xticklabels()] == [45, 45, 45]
    assert {text.get_ha() for text in ax.get_xticklabels()} == {"right"}
    for steps in (["a", "b", "c"], [98, 99, 100], None):
        ax = plot.trellis_marginals(np.eye(3), steps=steps)
        assert {text.get_rotation() for text in ax.get_xticklabels()} == {0}
    ax = plot.attention_map(np.eye(3), columns=["the", "quick", "fox"])
    assert {(text.get_rotation(), text.get_ha()) for text in ax.get_xticklabels()} == {(45, "left")}


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
@pytest.mark.parametrize("colorbar", [False, True])
def test_alignment_maps_stay_in_their_places_of_a_grid(layout, colorbar):
    figure, axes = plt.subplots(3, 2, figsize=(8, 9), layout=layout)
    a, b = np.sin(np.arange(8.0)), np.cos(np.arange(9.0))
    for ax in axes.flat:
        assert plot.alignment_map(np.eye(8, 9), a, b, path=[[0, 0], [7, 7]], colorbar=colorbar, ax=ax) is ax
    figure.canvas.draw()
    for ax in axes.flat:
        place = ax.get_position(original=True).transformed(figure.transFigure).padded(1.0)
        parts = [ax.get_window_extent(), *(child.get_tightbbox() for child in ax.child_axes[:2])]
        parts += [child.bbox for child in ax.child_axes[2:]]  # the bar, whose numbers stand in the margin as ticks do
        assert len(parts) == 3 + colorbar
        assert all(apart(*pair) for pair in itertools.combinations([part.padded(-1) for part in parts], 2))
        for part in parts:
            assert place.x0 <= part.x0 and part.x1 <= place.x1 and place.y0 <= part.y0 and part.y1 <= place.y1
    whole = [ax.get_tightbbox() for ax in axes.flat]
    assert all(apart(*pair) for pair in itertools.combinations(whole, 2))


def test_axes_that_are_cleared_and_drawn_on_again_keep_their_size():
    figure, ax = plt.subplots()
    full = ax.get_position().bounds
    for _ in range(3):
        ax.clear()
        plot.alignment_map(np.eye(3), np.arange(3), np.arange(3), ax=ax)
        figure.canvas.draw()
        assert ax.get_position().width == pytest.approx(full[2] / 1.25)
        assert ax.get_position().height == pytest.approx(full[3] / 1.25)
    ax.clear()
    plot.alignment_map(np.eye(3), ax=ax)
    figure.canvas.draw()
    assert ax.get_position().bounds == pytest.approx(full)


@pytest.mark.parametrize("draw", [plot.alignment_map, plot.trellis_marginals, plot.attention_map])
def test_a_colour_bar_is_drawn_on_request(draw):
    assert draw(np.eye(3)).images[0].colorbar is None
    ax = draw(np.eye(3), colorbar=True)
    bar = ax.images[0].colorbar
    assert (bar.vmin, bar.vmax) == (0, 1)
    ax.figure.canvas.draw()
    assert apart(bar.ax.get_window_extent(), ax.get_window_extent())
    assert bar.ax.get_window_extent().height == pytest.approx(ax.get_window_extent().height)


def test_tensors_are_drawn_as_arrays_are():
    torch = pytest.importorskip("torch")
    values = [[0.25, 0.75], [0.5, 0.5]]
    weights = torch.tensor(values, requires_grad=True)
    half = torch.tensor(values, dtype=torch.bfloat16, requires_grad=True)
    series, path = torch.arange(2.0, requires_grad=True), torch.tensor([[0, 0], [1, 1], [-1, -1]])
    for tensor in (weights, half, weights.exp().log()):
        drawn = [
            plot.alignment_map(tensor, series, series, path=path),
            plot.trellis_marginals(tensor.T, truth=torch.tensor([0, -1])),
            plot.attention_map(tensor),
        ]
        for ax in drawn:
            np.testing.assert_allclose(ax.images[0].get_array(), values, atol=1e-6)
    assert drawn[0].lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert drawn[0].child_axes[0].lines[0].get_ydata().tolist() == [0, 1]
    ax = plot.dag(compile(GRAPHS["one edge"]()), torch.ones(1, requires_grad=True))
    assert [text.arrow_patch.get_linewidth() for text in ax.texts if getattr(text, "arrow_patch", None)] == [4.0]


def one_edge():
    return compile(GRAPHS["one edge"]())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.alignment_map(np.zeros((2, 3, 4))), "expected a map with two axes: pick one item of the batch"),
        (lambda: plot.alignment_map(np.zeros((3, 4)), a=np.zeros(4)), r"a has shape \(4,\); expected \[3\]"),
        (lambda: plot.attention_map(np.zeros((3, 4)), rows="ab"), "rows has 2 names; expected 3"),
        (lambda: plot.dag(one_edge(), [1.0, 2.0]), "expected one for each of 1 edges"),
        (lambda: plot.dag(GRAPHS["one edge"](), [1.0]), r"given Graph\(2 nodes, 1 edge\); .* compile it first"),
        (lambda: plot.dag(dagdp.compile_batch([one_edge()]), [1.0]), "given a CompiledBatch; expected a CompiledDAG"),
        (lambda: plot.dag(one_edge(), {"cost": [1.0]}), "probabilities is a dict that is no array of numbers"),
        (lambda: plot.dag(one_edge(), [-0.5]), r"probabilities\[0\] is -0.5; expected none below 0"),
        (lambda: plot.dag(one_edge(), [np.nan]), r"probabilities\[0\] is nan; expected finite numbers"),
        (lambda: plot.dag(one_edge(), [1.0], labels=[]), "labels has 0 names; expected 1, one for each edge"),
        (lambda: plot.alignment_map([[0.0, np.nan]]), r"expected\[0, 1\] is nan; expected finite numbers"),
        (lambda: plot.alignment_map([[1.0], [0.0, 1.0]]), "expected is a list that is no array of numbers"),
        (lambda: plot.alignment_map(np.zeros((0, 3))), "expected a row and a column at least"),
        (lambda: plot.alignment_map(np.eye(3), b=np.zeros((3, 2, 2))), r"b has shape \(3, 2, 2\); expected \[3\]"),
        (lambda: plot.alignment_map(np.eye(3), path=[0, 1]), r"path has shape \(2,\); expected \[L, 2\]"),
        (lambda: plot.alignment_map(np.eye(3), path=[[0, 0], [2, 3]]), r"path reaches cell \(2, 3\); expected cells"),
        (lambda: plot.trellis_marginals(np.eye(3), steps=3), "steps is 3; expected a list of 3 names"),
        (lambda: plot.trellis_marginals(np.eye(3), truth=[0, 1]), r"truth has shape \(2,\); expected \[3\]"),
        (lambda: plot.trellis_marginals(np.eye(3), truth=[0, 3, 1]), r"truth\[1\] is 3; expected a state from 0 to 2"),
        (lambda: plot.attention_map(np.eye(2), ax=np.zeros(2)), "ax is a ndarray; expected one Axes of Matplotlib"),
    ],
)
def test_wrong_arguments_are_named_before_a_figure_is_made(call, message):
    with pytest.raises(InputError, match=message):
        call()
    assert plt.get_fignums() == []


def test_an_empty_path_is_no_line():
    for path in ([], np.full((4, 2), -1)):
        assert plot.alignment_map(np.eye(3), path=path).lines[0].get_xydata().size == 0


def test_matplotlib_is_imported_only_when_a_picture_is_drawn():
    code = "import sys, dagdp; dagdp.plot.COLOURS; assert not {'matplotlib', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install dagdp\[plots\]"):
        plot.attention_map(np.eye(2))
