"""Pictures of expected paths. Axes in, axes out: each function draws on `ax`, or on new axes, and returns them.

Matplotlib (the extra `plots`) is imported when a function is called. Colours run from 0 to 1 in all maps, so that
maps can be compared, and a line is drawn around cells that are not 0: a sparse operator is told from a faint one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.compiled import CompiledDAG
from dagdp.errors import InputError

COLOURS = "Blues"
BORDER = "0.35"  # grey
MARK = "C1"


def alignment_map(
    expected: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    path: ArrayLike | None = None,
    ax: Any = None,
) -> Any:
    """An expected alignment [N_A, N_B] as `dtw_grad` gives it, the two series beside it (the paper's figure 1).

    a, b : [N_A] or [N_A, d], and likewise [N_B]: drawn to the left (time downwards) and above.
    path : index pairs [L, 2] of a hard alignment as `dtw_path` gives it, drawn as a line; rows of -1 are left out.

    >>> import numpy as np
    >>> from dagdp.graphs import dtw_grad
    >>> ax = alignment_map(dtw_grad(np.zeros((3, 4))), a=np.arange(3), b=np.arange(4))
    >>> len(ax.child_axes)
    2
    """
    values = _checked("expected", expected)
    ax = _on(ax)
    _cells(ax, values)
    if path is not None:
        pairs = np.asarray(path)
        pairs = pairs[(pairs >= 0).all(-1)]
        ax.plot(pairs[:, 1], pairs[:, 0], color=MARK, lw=1.5)
    if b is not None:
        above = ax.inset_axes((0.0, 1.03, 1.0, 0.22), sharex=ax)
        above.plot(np.arange(values.shape[1]), _series("b", b, values.shape[1]), lw=1.2)
        above.axis("off")
    if a is not None:
        left = ax.inset_axes((-0.25, 0.0, 0.22, 1.0), sharey=ax)
        left.plot(_series("a", a, values.shape[0]), np.arange(values.shape[0]), lw=1.2)
        left.invert_xaxis()
        left.axis("off")
    ax.tick_params(labelleft=a is None, left=a is None)
    return ax


def trellis_marginals(
    marginals: ArrayLike,
    *,
    states: Sequence[Any] | None = None,
    steps: Sequence[Any] | None = None,
    truth: ArrayLike | None = None,
    ax: Any = None,
) -> Any:
    """Marginals [T, S] of a sequence, one column a step, as `viterbi_marginals` gives them (the paper's figure 6).

    states, steps : what to write at the rows and below the columns.
    truth : [T] the true state at each step, drawn as a dot; -1 for none.

    >>> import numpy as np
    >>> ax = trellis_marginals(np.eye(3), states=["B", "I", "O"], truth=[0, 1, 2])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['B', 'I', 'O']
    """
    values = _checked("marginals", marginals).T
    ax = _on(ax)
    _cells(ax, values)
    _name(ax.set_yticks, "states", states, values.shape[0])
    _name(ax.set_xticks, "steps", steps, values.shape[1])
    if truth is not None:
        at = np.asarray(truth)
        known = np.flatnonzero(at >= 0)
        ax.plot(known, at[known], "o", color=MARK, ms=6, mec="white", mew=1.0)
    return ax


def attention_map(
    weights: ArrayLike, *, rows: Sequence[Any] | None = None, columns: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Attention weights [T_out, T_in] in [0, 1]: which inputs each output attends to (the paper's figure 4).

    rows, columns : the output and the input tokens; columns are written above, slanted where they are words.

    >>> ax = attention_map([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8]], rows=["le", "chat"], columns=["the", "black", "cat"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['the', 'black', 'cat']
    """
    values = _checked("weights", weights)
    ax = _on(ax)
    _cells(ax, values)
    _name(ax.set_yticks, "rows", rows, values.shape[0])
    _name(ax.set_xticks, "columns", columns, values.shape[1])
    ax.xaxis.tick_top()
    if columns is not None and max(len(str(word)) for word in columns) > 2:
        ax.tick_params(axis="x", rotation=45)
        for label in ax.get_xticklabels():
            label.set(ha="left", rotation_mode="anchor")
    return ax


def dag(compiled: CompiledDAG, probabilities: ArrayLike, *, labels: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """A graph from left to right, level by level, each edge as wide and as dark as it is probable.

    probabilities : [edges], as `dp_grad` gives them for a graph whose edges have weights of their own. Edges of
        probability exactly 0 are dotted; dead nodes and edges are not drawn.
    labels : [edges] what to write on each edge of non-zero probability, for example its name or its weight.

    Meant for graphs that can be read, of up to some 100 edges.

    >>> import dagdp
    >>> compiled = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> ax = dag(compiled, [1.0, 0.0, 1.0])
    >>> [text.get_text() for text in ax.texts[:3]]
    ['0', '1', '2']
    """
    from matplotlib import colormaps

    flow = np.asarray(probabilities, float)
    if flow.shape != (compiled.graph.num_edges,):
        raise InputError(
            f"probabilities has shape {flow.shape}; expected one for each of {compiled.graph.num_edges} edges"
        )
    ax = _on(ax)
    spots = _spots(compiled)
    names = compiled.graph.nodes
    boxes = {
        node: ax.text(*spot, str(node if names is None else names[node]), ha="center", va="center", zorder=2, bbox=BOX)
        for node, spot in spots.items()
    }
    parents, children = compiled.graph.edges()
    seen: dict[tuple[int, int], int] = {}
    summits: list[NDArray[np.float64]] = []  # where an edge bows out most
    for e, pair in enumerate(zip(parents.tolist(), children.tolist(), strict=True)):
        if pair[0] not in spots or pair[1] not in spots:
            continue
        others = np.array([spot for node, spot in spots.items() if node not in pair]).reshape(-1, 2)
        bend = _bend(spots[pair[0]], spots[pair[1]], seen.get(pair, 0), others)
        seen[pair] = seen.get(pair, 0) + 1
        shade = colormaps[COLOURS](0.25 + 0.75 * flow[e]) if flow[e] > 0 else "0.6"
        ends = {"patchA": boxes[pair[0]].get_bbox_patch(), "patchB": boxes[pair[1]].get_bbox_patch()}
        line = {"lw": 0.8 + 3.2 * flow[e], "ls": "-" if flow[e] > 0 else ":", "color": shade}
        shape = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 2, "shrinkB": 2}
        tail, head = np.array(spots[pair[0]]), np.array(spots[pair[1]])
        summits.append((tail + head) / 2 + bend / 2 * np.array([head[1] - tail[1], tail[0] - head[0]]))
        ax.annotate("", head, tail, arrowprops={**shape, **ends, **line}, zorder=3 if flow[e] > 0 else 1)
        if labels is not None and flow[e] > 0:
            ax.text(*summits[-1], str(labels[e]), bbox=NOTE, **SMALL)
    _frame(ax, np.array([*spots.values(), *summits]))
    return ax


Spot = tuple[float, float]
BENDS = (0.0, -0.35, 0.35, -0.7, 0.7, -0.9, 0.9)  # of an edge's length; tried in this order
BOX = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": BORDER}
NOTE = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
SMALL: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 4}


def _on(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _checked(what: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, float)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{what} has shape {array.shape}; expected a map with two axes: pick one item of the batch")
    return array


def _series(what: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    array = np.asarray(values, float)
    if array.ndim not in (1, 2) or len(array) != length:
        raise InputError(f"{what} has shape {array.shape}; expected [{length}] or [{length}, d], the size of the map")
    return array


def _cells(ax: Any, values: NDArray[np.float64]) -> None:
    """The map, and a line around what is not 0."""
    from matplotlib.collections import LineCollection

    ax.imshow(values, cmap=COLOURS, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    ax.add_collection(LineCollection(list(_outline(values > 0)), colors=BORDER, linewidths=0.8), autolim=False)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[segments, 2, 2] the sides, as (x, y), where a cell of the mask meets one outside it."""
    padded = np.pad(mask, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    flat = np.stack([column - 0.5, row - 0.5, column + 0.5, row - 0.5], -1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([column - 0.5, row - 0.5, column - 0.5, row + 0.5], -1)
    return np.concatenate([flat, upright]).reshape(-1, 2, 2)


def _name(set_ticks: Any, what: str, names: Sequence[Any] | None, size: int) -> None:
    if names is None:
        return
    if len(names) != size:
        raise InputError(f"{what} has {len(names)} names; expected {size}, one for each line of the map")
    set_ticks(range(size), [str(name) for name in names])


def _spots(compiled: CompiledDAG) -> dict[int, tuple[float, float]]:
    """Where to draw each live node: its level, and a height near the heights of its neighbours."""
    levels, both = compiled.wiring.incoming.levels, (compiled.parents, compiled.children)
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
    origin = compiled.origin.tolist()
    return {node: (float(level[k]), -0.7 * float(height[k])) for k, node in enumerate(origin) if node >= 0}


def _bend(tail: Spot, head: Spot, before: int, others: NDArray[np.float64]) -> float:
    """How far an edge bows out: as little as clears the nodes between its ends; parallel edges apart."""
    step = np.subtract(head, tail)
    time = np.linspace(0.0, 1.0, 21)[:, None]

    def clearance(bend: float) -> float:
        arc = tail + time * step + 2 * time * (1 - time) * bend * np.array([step[1], -step[0]])
        return float(np.linalg.norm(arc[:, None] - others, axis=-1).min(initial=np.inf))

    clear = {bend: clearance(bend) for bend in BENDS}
    over = next((bend for bend in BENDS if clear[bend] > 0.25), max(clear, key=clear.__getitem__))
    return over + 0.3 * ((before + 1) // 2) * (1 if before % 2 else -1)


def _frame(ax: Any, spots: NDArray[np.float64]) -> None:
    low, high = spots.min(0), spots.max(0)
    ax.set(xlim=(low[0] - 0.4, high[0] + 0.4), ylim=(low[1] - 0.4, high[1] + 0.4))
    ax.set_aspect("equal")  # bows are then as high as their labels
    ax.axis("off")
