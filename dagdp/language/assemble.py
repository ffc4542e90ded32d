"""ASSEMBLE: from the edges of all alternatives to the arrays of a graph.

No node is added that would count: a cell whose only alternative is `0` is a start, and cells in `return` are ends. One
start node before all cells is added where edges lead out of it, and one end node behind them where `return` adds
potentials, or anything but a cell, to a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.describe.edge_arrays import LARGEST, Shape
from dagdp.errors import GraphError
from dagdp.language.check import Program
from dagdp.language.enumerate import NONE, Edges, Enumeration
from dagdp.language.order import placed, places_by_child
from dagdp.language.syntax import Alternative, Line

Array = NDArray[Any]


class Reading(NamedTuple):
    """What the edges read of one potential."""

    shape: Shape
    entries: Array  # [edges], or [edges, reads] where an edge reads several entries; NONE for no read
    coefficient: Any  # like the entries; None where each is 1


class Assembly(NamedTuple):
    """The arrays of a graph."""

    parents: Array  # [edges], or [edges, 2] with hyperedges
    children: Array  # [edges], rising: edges stand cell by cell
    starts: Array
    ends: Array
    potentials: dict[str, Reading]
    nodes: int
    added_start: bool


class Columns(NamedTuple):
    """The columns of the readings: for each potential how many entries an edge reads, and whether with coefficients."""

    counts: dict[str, int]
    weighted: frozenset[str]


def assemble(listing: Enumeration) -> Assembly:
    """The graph of a program. Raises GraphError where `return` reads no cell."""
    program = listing.program
    columns = _columns(program)
    *lines, result = program.lines
    made = [(one, edges) for line in lines for one, edges in _listed(listing, line)]
    final = [(one, edges) for one, edges in _listed(listing, result)]
    starts = _starts([edges for _, edges in made], [edges for one, edges in made if one.begins], listing.cells)
    ends = _ends(final, starts)
    if not final:
        raise program.source.error(result.node, "`return` reads no cell; expected one inside its table")
    parts = [_without(edges, starts) if one.begins else edges for one, edges in made]
    parts += [] if ends is not None else [edges for _, edges in final]
    return _joined(listing, columns, parts, starts, ends)


def _listed(listing: Enumeration, line: Line) -> Iterator[tuple[Alternative, Edges]]:
    listed = 0
    for alternative in line.alternatives:
        for edges in listing.edges(line, alternative):
            listed += edges.children.size
            if listed > LARGEST:
                raise listing.program.source.error(
                    line.node, "this line has more than 2^31 edges; expected fewer. Split the problem into smaller ones"
                )
            yield alternative, edges


def _columns(program: Program) -> Columns:
    counts, weighted = dict.fromkeys(program.potentials, 1), set()
    for line in program.lines:
        for one in line.alternatives:
            for name in {read.name for read in one.potentials}:
                counts[name] = max(counts[name], sum(read.name == name for read in one.potentials))
            weighted |= {read.name for read in one.potentials if read.weighted}
    return Columns(counts, frozenset(weighted))


def _starts(every: list[Edges], begins: list[Edges], cells: int) -> Array:
    """[cells] whether a cell is a start: its only alternative is `0`."""
    alone = np.zeros(cells, bool)
    if begins:
        fan_in = np.zeros(cells, np.int64)
        for edges in every:
            np.add.at(fan_in, edges.children, 1)
        for edges in begins:
            alone[edges.children] = fan_in[edges.children] == 1
    return alone


def _without(edges: Edges, starts: Array) -> Edges:
    """The edges of `0` alternatives but those into starts."""
    kept = ~starts[edges.children]
    return edges._replace(children=edges.children[kept], parents=edges.parents[kept])


def _ends(final: list[tuple[Alternative, Edges]], starts: Array) -> Array | None:
    """The cells that `return` declares as ends; None where it needs an end node.

    It needs one for potentials, for `0`, for sums of two cells, for a cell that is listed twice, and for a start, whose
    path would have no edge.
    """
    if any(len(one.tables) != 1 or one.potentials for one, _ in final) or not final:
        return None
    cells = np.concatenate([edges.parents for _, edges in final])
    return None if np.unique(cells).size < cells.size or starts[cells].any() else cells


def _joined(listing: Enumeration, columns: Columns, parts: list[Edges], starts: Array, ends: Array | None) -> Assembly:
    """The arrays of all parts, with the node numbers of the graph, edges cell by cell."""
    cells = listing.cells
    children = np.concatenate([edges.children for edges in parts]) if parts else np.empty(0, np.int32)
    parents = np.concatenate([edges.parents for edges in parts]) if parts else np.empty(0, np.int32)
    seconds = _seconds(parts)
    added = bool((parents == NONE).any())
    begins = np.flatnonzero(starts)
    if added:
        children += 1
        parents += 1  # NONE becomes the added start, node 0
        begins = np.concatenate([[0], begins + 1])
        seconds = None if seconds is None else np.where(seconds == NONE, NONE, seconds + 1)
    last = cells + added
    own_ends = np.array([last]) if ends is None else ends + added
    if not begins.size:
        raise _without_start(listing.program)
    if seconds is not None:
        parents = np.stack([parents, seconds], -1)
    nodes = last + (ends is None)
    places = places_by_child(children, nodes)
    potentials = {name: _reading(shape, name, columns, parts, places) for name, shape in listing.shapes.items()}
    return Assembly(
        placed(parents, places),
        placed(children, places),
        begins,
        own_ends,
        potentials,
        nodes,
        added,
    )


def _without_start(program: Program) -> GraphError:
    return program.source.error(
        program.lines[0].node,
        "no cell begins a path; expected a line whose right side reads no table, such as v[0] = 0, or a 0 in max(...)",
    )


def _seconds(parts: list[Edges]) -> Array | None:
    """[edges] the second parents, NONE for none; None without hyperedges."""
    if all(edges.seconds is None for edges in parts):
        return None
    return np.concatenate(
        [np.full(edges.children.size, NONE) if edges.seconds is None else edges.seconds for edges in parts]
    )


def _reading(shape: Shape, name: str, columns: Columns, parts: list[Edges], places: Any) -> Reading:
    """What the edges read of a potential: as many columns as an alternative reads entries."""
    count, weighted = columns.counts[name], name in columns.weighted
    indices: list[Array] = []
    coefficients: list[Any] = []
    for column in range(count):
        entries, scales = [np.empty(0, np.int32)], [np.empty(0)]
        for edges in parts:
            own = edges.reads.get(name, ())
            size = edges.children.size
            entries.append(own[column].entries if column < len(own) else np.full(size, NONE, np.int32))
            scales.append(np.broadcast_to(own[column].coefficients if column < len(own) else 1.0, size))
        indices.append(placed(np.concatenate(entries), places))
        coefficients.append(placed(np.concatenate(scales), places) if weighted else None)
    if count == 1:
        return Reading(shape, indices[0], coefficients[0])
    return Reading(shape, np.stack(indices, -1), np.stack(coefficients, -1) if weighted else None)
