"""Pictures of expected paths. Each function draws on `ax`, or on new axes, and returns the axes.

Matplotlib (the extra `plots`) is imported when a function is called; without it ImportError names the extra. Colours
run from 0 to 1 in all maps, so that maps can be compared, and a line surrounds the cells that are not 0: a sparse map
differs visibly from a faint one. Arrays may be tensors on any device, with or without grad. Every function raises
InputError for an argument that does not fit, before it draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.describe.edge_arrays import arcs_of
from dagdp.errors import InputError
from dagdp.plot_checks import checked_flow, checked_map, checked_names, checked_path, checked_series, checked_states

COLOURS = "Blues"
BORDER = "0.35"  # grey
MARK = "C1"


def alignment_map(
    expected: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    path: ArrayLike | None = None,
    colorbar: bool = False,
    ax: Any = None,
) -> Any:
    """An expected alignment as a map, with the two series at its sides (the paper's figure 1).

    expected : [N_A, N_B] in [0, 1], the result of `dtw_grad`.
    a, b : series [N_A] or [N_A, d], and [N_B] or [N_B, d], drawn to the left (time downwards) and above. Map and series
        together fill the area of `ax`.
    path : index pairs [L, 2] of a hard alignment, the result of `dtw_path`, drawn as a line; rows of -1 are left out.
    colorbar : True draws a colour bar at the right, inside the area of `ax`.

    Returns the axes of the map; its first `child_axes` are the series, b before a. Raises InputError for an array of
    another shape, numbers that are not finite, and a path outside the map.

    >>> import numpy as np
    >>> from dagdp.graphs import dtw_grad
    >>> ax = alignment_map(dtw_grad(np.zeros((3, 4))), a=np.arange(3), b=np.arange(4))
    >>> len(ax.child_axes)
    2
    """
    values = checked_map("expected", expected)
    pairs = None if path is None else checked_path(path, values.shape)
    beside = None if a is None else checked_series("a", a, values.shape[0])
    over = None if b is None else checked_series("b", b, values.shape[1])
    ax = _on(ax)
    _shrink(ax, SIDE * (beside is not None), SIDE * (over is not None), BAR * colorbar)
    image = _cells(ax, values)
    if pairs is not None:
        ax.plot(pairs[:, 1], pairs[:, 0], color=MARK, lw=1.5)
    if over is not None:
        above = ax.inset_axes((0.0, 1.0 + GAP, 1.0, SIDE - GAP), sharex=ax)
        above.plot(np.arange(values.shape[1]), over, lw=1.2)
        above.axis("off")
    if beside is not None:
        left = ax.inset_axes((-SIDE, 0.0, SIDE - GAP, 1.0), sharey=ax)
        left.plot(beside, np.arange(values.shape[0]), lw=1.2)
        left.invert_xaxis()
        left.axis("off")
    if colorbar:
        _bar(image)
    ax.tick_params(labelleft=a is None, left=a is None)
    return ax


def trellis_marginals(
    marginals: ArrayLike,
    *,
    states: Sequence[Any] | None = None,
    steps: Sequence[Any] | None = None,
    truth: ArrayLike | None = None,
    colorbar: bool = False,
    ax: Any = None,
) -> Any:
    """Marginals of the states of a sequence as a map with one column a step (the paper's figure 6).

    marginals : [T, S] in [0, 1], the result of `viterbi_marginals`.
    states, steps : names [S] of the rows and [T] of the columns; words below the columns are slanted.
    truth : integers [T], the true state at each step, drawn as a dot; -1 for none.
    colorbar : True draws a colour bar at the right, inside the area of `ax`.

    Returns the axes. Raises InputError for arguments of another shape, and for states out of range.

    >>> import numpy as np
    >>> ax = trellis_marginals(np.eye(3), states=["B", "I", "O"], truth=[0, 1, 2])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['B', 'I', 'O']
    """
    values = checked_map("marginals", marginals).T
    rows, columns = checked_names("states", states, values.shape[0]), checked_names("steps", steps, values.shape[1])
    at = None if truth is None else checked_states(truth, values.shape)
    ax = _on(ax)
    _shrink(ax, 0.0, 0.0, BAR * colorbar)
    image = _cells(ax, values)
    _write(ax, rows, columns, "right")
    if colorbar:
        _bar(image)
    if at is not None:
        known = np.flatnonzero(at >= 0)
        ax.plot(known, at[known], "o", color=MARK, ms=6, mec="white", mew=1.0)
    return ax


def attention_map(
    weights: ArrayLike,
    *,
    rows: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    colorbar: bool = False,
    ax: Any = None,
) -> Any:
    """Attention weights as a map: the inputs to which each output attends (the paper's figure 4).

    weights : [T_out, T_in] in [0, 1].
    rows, columns : names [T_out] of the output tokens and [T_in] of the input tokens; columns are named above the map,
        words slanted.
    colorbar : True draws a colour bar at the right, inside the area of `ax`.

    Returns the axes. Raises InputError for arguments of another shape.

    >>> ax = attention_map([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8]], rows=["le", "chat"], columns=["the", "black", "cat"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['the', 'black', 'cat']
    """
    values = checked_map("weights", weights)
    down, across = checked_names("rows", rows, values.shape[0]), checked_names("columns", columns, values.shape[1])
    ax = _on(ax)
    _shrink(ax, 0.0, 0.0, BAR * colorbar)
    image = _cells(ax, values)
    ax.xaxis.tick_top()
    _write(ax, down, across, "left")
    if colorbar:
        _bar(image)
    return ax


def dag(compiled: CompiledDAG, probabilities: ArrayLike, *, labels: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """A graph from left to right, level by level; the width and darkness of an edge show its probability.

    probabilities : [edges] in [0, 1], the result of `dp_grad` for a graph whose edges have weights of their own. Edges
        of probability exactly 0 are dotted; dead nodes and edges are not drawn. A hyperedge is two arrows, one from
        each parent; a count above 1 is drawn as 1.
    labels : [edges] texts to write on edges of non-zero probability, for example names or weights.
    ax : default: a new figure, large enough for the graph's levels and names.

    Returns the axes. Raises InputError for anything but a CompiledDAG, and for arrays of another shape. A graph of more
    than about 100 edges cannot be read.

    >>> import dagdp
    >>> compiled = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> ax = dag(compiled, [1.0, 0.0, 1.0])
    >>> [text.get_text() for text in ax.texts[:3]]
    ['0', '1', '2']
    """
    flow = checked_flow(compiled, probabilities)
    written = checked_names("labels", labels, flow.size, "edge")
    own = ax is None
    ax = _on(ax)
    note = _largest(ax, [written[e] for e in flow.nonzero()[0]] if written else [])
    boxes, spots, halves = _nodes(ax, compiled, max(0.5, 2 * note[0] + 0.4))
    corners = [spot + sign * halves[node] for node, spot in spots.items() for sign in (-1, 1)]
    seen: dict[tuple[int, int], int] = {}
    taken = [np.array([spot, halves[node]]) for node, spot in spots.items()]
    arcs = zip(*(ends.tolist() for ends in compiled.graph.listed().arcs()), strict=True)
    second = compiled.graph.second_parents()
    paired = np.flatnonzero(second >= 0).tolist() if second is not None else []
    for e, pair in zip([*range(flow.size), *paired], arcs, strict=True):
        if pair[0] not in spots or pair[1] not in spots:
            continue
        # from side to side: an edge from middle to middle would run behind a long name
        inner = [np.array([max(halves[node][0] - INSET, 0.0), 0.0]) for node in pair]
        ends = spots[pair[0]] + inner[0], spots[pair[1]] - inner[1]
        others = np.array([[spot, halves[node]] for node, spot in spots.items() if node not in pair]).reshape(-1, 2, 2)
        bend = _bend(*ends, seen.get(pair, 0), others)
        seen[pair] = seen.get(pair, 0) + 1
        corners.append(_arc(*ends, bend, 0.5))
        _arrow(ax, ends, [boxes[node] for node in pair], bend, min(flow[e], 1.0))
        if written is not None and flow[e] > 0:
            taken.append(_free(*ends, bend, note, np.array(taken)))
            ax.text(*taken[-1][0], written[e], bbox=NOTE, **SMALL)
    _frame(ax, np.array(corners), own)
    return ax


Pair = NDArray[np.float64]  # [2], x and y
GAP, SIDE, BAR = 0.03, 0.25, 0.14  # fractions of the map's size: space between parts, a series, a colour bar
INCH = 1.1  # inches of one unit of coordinates, in a figure made for a graph
STEP, ROW, CLEAR = 1.0, 0.7, 0.12  # least units between levels, between nodes of a level, from an edge to a box
BENDS = (
    0.0,
    *(sign * bend for bend in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9) for sign in (-1, 1)),
)  # of an edge, as fractions of its length; tried in this order
INSET = 0.15  # units by which an edge begins inside its box; at most half the box
SPOTS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)  # places of a label, as fractions of the edge; tried in this order
BOX_PAD = 0.35  # as a fraction of the font's size
BOX = {"boxstyle": f"round,pad={BOX_PAD}", "fc": "white", "ec": BORDER}
NOTE = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
MIDDLE: dict[str, Any] = {"ha": "center", "va": "center"}
SMALL: dict[str, Any] = {**MIDDLE, "fontsize": 8, "zorder": 4}


def _on(ax: Any) -> Any:
    try:
        from matplotlib.axes import Axes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            "dagdp.plot draws with Matplotlib, which is not installed; run `pip install dagdp[plots]`", name=error.name
        ) from error
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise InputError(
            f"ax is a {type(ax).__name__}; expected one Axes of Matplotlib; of a grid, pick one: ax=axes[0]"
        )
    return ax


class _MapArea:
    """The area of a map inside the area of its axes. Computed at each draw, as layouts move axes."""

    def __init__(self, ax: Any, before: Any, left: float, top: float, right: float) -> None:
        self.before, self.left, self.top, self.right = before, left, top, right
        self.get_subplotspec = ax.get_subplotspec if before is None else getattr(before, "get_subplotspec", None)

    def __call__(self, ax: Any, renderer: Any) -> Any:
        place = ax.get_position(original=True) if self.before is None else self.before(ax, renderer)
        width, height = place.width / (1 + self.left + self.right), place.height / (1 + self.top)
        return place.from_bounds(place.x0 + self.left * width, place.y0, width, height)


def _shrink(ax: Any, left: float, top: float, right: float) -> None:
    """Shrink the map, for a series to the left and above, and a colour bar at the right."""
    before = ax.get_axes_locator()
    if isinstance(before, _MapArea):  # axes that are cleared and drawn on again
        before = before.before
    area = _MapArea(ax, before, left, top, right) if left or top or right else before
    ax.set_axes_locator(area)
    if area is not None:
        ax.apply_aspect(area(ax, None))


def _cells(ax: Any, values: NDArray[np.float64]) -> Any:
    """Draw the map, and a line around the cells that are not 0."""
    from matplotlib.collections import LineCollection

    image = ax.imshow(values, cmap=COLOURS, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    ax.add_collection(LineCollection(list(_outline(values > 0)), colors=BORDER, linewidths=0.8), autolim=False)
    return image


def _bar(image: Any) -> None:
    ax = image.axes
    ax.figure.colorbar(image, cax=ax.inset_axes((1.0 + GAP, 0.0, 0.05, 1.0)), ticks=(0.0, 0.5, 1.0))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[segments, 2, (x, y)] the sides between a cell inside the mask and a cell outside."""
    padded = np.pad(mask, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    flat = np.stack([column - 0.5, row - 0.5, column + 0.5, row - 0.5], -1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([column - 0.5, row - 0.5, column - 0.5, row + 0.5], -1)
    return np.concatenate([flat, upright]).reshape(-1, 2, 2)


def _write(ax: Any, rows: list[str] | None, columns: list[str] | None, end: str) -> None:
    """Write names of rows and columns. Slanted words of columns have their `end` at the tick."""
    if rows is not None:
        ax.set_yticks(range(len(rows)), rows)
    if columns is not None:
        words = any(len(name) > 2 and not name.isdecimal() for name in columns)
        slant = {"rotation": 45, "ha": end, "rotation_mode": "anchor"} if words else {}
        ax.set_xticks(range(len(columns)), columns, **slant)


def _nodes(ax: Any, compiled: CompiledDAG, gap: float) -> tuple[dict[int, Any], dict[int, Pair], dict[int, Pair]]:
    """Each live node's text, its place, and half its width and height. Names decide the distance of levels."""
    level, height = _places(compiled)
    origin = compiled.origin.tolist()
    boxes, halves = {}, {}
    for node in (node for node in origin if node >= 0):
        boxes[node] = ax.text(0, 0, str(compiled.graph.name(node)), zorder=2, bbox=BOX, **MIDDLE)
        halves[node] = _half(ax, boxes[node]) + BOX_PAD * boxes[node].get_fontsize() / 72 / INCH
    wide = np.zeros(int(level.max()) + 1)
    for k, node in enumerate(origin):
        wide[level[k]] = max(wide[level[k]], halves[node][0] if node >= 0 else 0.0)
    steps = np.maximum(STEP, wide[:-1] + wide[1:] + gap)
    x = np.concatenate([[0.0], steps.cumsum()])
    row = max(ROW, 2 * max(half[1] for half in halves.values()) + 0.35)
    spots = {node: np.array([x[level[k]], -row * height[k]]) for k, node in enumerate(origin) if node >= 0}
    for node, spot in spots.items():
        boxes[node].set_position(spot)
    return boxes, spots, halves


def _largest(ax: Any, labels: list[str]) -> Pair:
    """Half the width and half the height of the largest label; 0 without labels."""
    notes = [ax.text(0, 0, label, **SMALL) for label in labels]
    halves = [_half(ax, note) for note in notes]
    for note in notes:
        note.remove()
    return np.max(halves, axis=0, initial=0.0) if halves else np.zeros(2)


def _half(ax: Any, text: Any) -> Pair:
    extent = text.get_window_extent()
    return np.array([extent.width, extent.height]) / (2 * ax.figure.dpi * INCH)


def _places(compiled: CompiledDAG) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(level, height) of each internal node; the height is close to the heights of its neighbours."""
    levels = compiled.wiring.incoming.levels
    both = arcs_of(compiled.parents, compiled.children, compiled.seconds)
    level = np.repeat(np.arange(levels.size - 1), np.diff(levels))
    place = np.arange(level.size) - levels[level]
    height = place - (np.diff(levels)[level] - 1) / 2
    for _ in range(8):
        for ends in (both, both[::-1]):
            pull = np.bincount(ends[0], height[ends[1]], level.size) / np.maximum(
                np.bincount(ends[0], minlength=level.size), 1
            )
            order = np.lexsort((place, pull, level))
            place[order] = np.arange(level.size) - levels[level]
            height = place - (np.diff(levels)[level] - 1) / 2
    return level, height


def _arc(tail: Pair, head: Pair, bend: float, at: Any) -> NDArray[np.float64]:
    """The points (x, y) of an edge at a fraction of its length, or at fractions [..., 1]."""
    step = head - tail
    return tail + at * step + 2 * at * (1 - at) * bend * np.array([step[1], -step[0]])


def _arrow(ax: Any, ends: tuple[Pair, Pair], boxes: list[Any], bend: float, flow: float) -> None:
    from matplotlib import colormaps

    shade = colormaps[COLOURS](0.25 + 0.75 * flow) if flow > 0 else "0.6"
    patches = {"patchA": boxes[0].get_bbox_patch(), "patchB": boxes[1].get_bbox_patch()}
    line = {"lw": 0.8 + 3.2 * flow, "ls": "-" if flow > 0 else ":", "color": shade}
    shape = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 2, "shrinkB": 2}
    ax.annotate("", ends[1], ends[0], arrowprops={**shape, **patches, **line}, zorder=3 if flow > 0 else 1)


def _bend(tail: Pair, head: Pair, before: int, others: NDArray[np.float64]) -> float:
    """The curvature of an edge: the least that avoids the boxes between its ends; parallel edges differ.

    before : the number of parallel edges drawn already. others : [nodes, (middle, half), (x, y)] the boxes.
    """
    time = np.linspace(0.0, 1.0, 41)[:, None]

    def clearance(bend: float) -> float:
        outside = np.abs(_arc(tail, head, bend, time)[:, None] - others[:, 0]) - others[:, 1]
        return float(np.linalg.norm(np.maximum(outside, 0.0), axis=-1).min(initial=np.inf))

    clear = {bend: clearance(bend) for bend in BENDS}
    over = next((bend for bend in BENDS if clear[bend] > CLEAR), max(clear, key=clear.__getitem__))
    return over + 0.3 * ((before + 1) // 2) * (1 if before % 2 else -1)


def _free(tail: Pair, head: Pair, bend: float, half: Pair, taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """[(middle, half), (x, y)] the place of a label: as near the edge's middle as boxes and other labels allow."""

    def distance(at: float) -> float:
        between = np.abs(_arc(tail, head, bend, at) - taken[:, 0]) - taken[:, 1] - half
        return float(between.max(-1).min())

    at = next((at for at in SPOTS if distance(at) > 0), max(SPOTS, key=distance))
    return np.array([_arc(tail, head, bend, at), half])


def _frame(ax: Any, corners: NDArray[np.float64], own: bool) -> None:
    low, high = corners.min(0) - 0.2, corners.max(0) + 0.2
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set_aspect("equal")  # so that curved edges are as high as their labels expect
    ax.axis("off")
    if own:
        ax.figure.set_size_inches(np.maximum((2.4, 1.6), INCH * (high - low) + 0.15))
