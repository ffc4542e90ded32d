"""Which graphs have diagonals, and that parents, children, entries and places follow from them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS
from grid_cases import DIAGONAL, DOWN, RIGHT, written_grid

from dagdp import Graph, compile
from dagdp.graphs import dtw_grid
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.plan.diagonals import BAND, FENCE, LINE_NUMBERS, LINES, Header, Line
from dagdp.kernels.cuda.records import Column

pytestmark = pytest.mark.specialised  # of graphs of which nothing is proved, no kernel of this kind is taken

GRIDS = {
    **{f"{n} x {m}": lambda n=n, m=m: dtw_grid(n, m) for n, m in [(1, 2), (5, 1), (2, 2), (2, 3), (3, 2), (9, 7)]},
    "far from square": lambda: dtw_grid(40, 3),
    "band 1": lambda: dtw_grid(6, 6, band=1),
    "slanted band": lambda: dtw_grid(8, 19, band=3),
    "without a start before it": lambda: written_grid(5, 4),
    "by columns": lambda: written_grid(5, 4, by_columns=True, before=True),
    "shuffled numbers": lambda: written_grid(5, 4, (DOWN, RIGHT, DIAGONAL), before=True, seed=2),
    "no diagonal moves": lambda: written_grid(4, 6, (DOWN, RIGHT)),
}


class Grid:
    """Levels, rows and moves, as kernels read them."""

    def __init__(self, plan):
        self.plan, self.place = plan, {column: int(plan.table[0][column]) for column in Column}
        self.header = self.array(Column.DIAGONALS, len(Header))
        levels, nodes = self.place[Column.LEVELS], self.place[Column.NODES]
        lines = plan.plan[self.header[Header.LINES_AT] :][: LINE_NUMBERS * (levels + 1)]
        self.lines = lines.reshape(-1, LINE_NUMBERS).astype(int)
        self.places = plan.plan[self.header[Header.PLACES_AT] :][:nodes].astype(int)
        code = plan.diagonals.moves
        self.moves = [((code >> 8 * d) & 15, ((code >> 8 * d + 4) & 15) - 8) for d in range(plan.diagonals.depth)]
        self.cells = {}  # (level, row) -> node
        node_of = np.argsort(self.places)
        for level in range(levels):
            low, high, before = self.lines[level][: Line.MOVES]
            self.cells |= {(level, row): int(node_of[before + row]) for row in range(low, high)}

    def array(self, column, count):
        return self.plan.plan[self.place[column] :][:count].astype(int)

    def neighbours(self, level, row, sign, bit):
        """The nodes that moves lead from (-1) or to (+1), in their order."""
        moves = [move for d, move in enumerate(self.moves) if self.lines[level][Line.MOVES] >> (bit + d) & 1]
        found = [self.cells.get((level + sign * far, row + sign * across)) for far, across in moves]
        return [node for node in found if node is not None]


@pytest.mark.parametrize("name", GRIDS)
def test_edges_and_entries_follow_from_levels_and_rows(name):
    dag = compile(GRIDS[name]())
    plan = device_plan(dag)
    grid = Grid(plan)
    assert sorted(grid.places) == list(range(dag.num_nodes)) and len(grid.cells) == dag.num_nodes
    in_ptr, out_ptr = (grid.array(column, dag.num_nodes + 1) for column in (Column.IN_PTR, Column.OUT_PTR))
    parents, children = grid.array(Column.IN_PARENT, in_ptr[-1]), grid.array(Column.OUT_CHILD, out_ptr[-1])
    entries = grid.array(Column.NODE_ENTRY, dag.num_nodes)
    first, level_step, row_step, stride, mask = grid.header[: Header.LINES_AT]
    for (level, row), node in grid.cells.items():
        assert grid.neighbours(level, row, -1, 0) == parents[in_ptr[node] : in_ptr[node + 1]].tolist()
        found = grid.neighbours(level, row, +1, 8)
        assert sorted(found) == sorted(children[out_ptr[node] : out_ptr[node + 1]].tolist())
        if node > 0:
            assert first + level_step * level + row_step * row == entries[node]
    assert plan.diagonals.stride == stride
    for low, high in grid.lines[:-1, : Line.BEFORE]:
        in_line = (np.arange(low - FENCE, high + FENCE) + FENCE) & mask
        assert np.unique(in_line).size == high - low + 2 * FENCE and in_line.max() < stride


@pytest.mark.parametrize("name", GRIDS)
def test_a_band_has_the_rows_of_its_levels(name):
    plan = device_plan(compile(GRIDS[name]()))
    lines, most = Grid(plan).lines[:-1], 0
    for first in range(0, len(lines), BAND):
        band = lines[first : first + BAND]
        assert (band[:, Line.BAND_LOW] == band[:, Line.LOW].min()).all()
        assert (band[:, Line.BAND_HIGH] == band[:, Line.HIGH].max()).all()
        most = max(most, band[0, Line.BAND_HIGH] - band[0, Line.BAND_LOW])
    assert plan.diagonals.band_rows == most


@pytest.mark.parametrize("name", GRIDS)
def test_what_a_level_looks_at_lies_in_the_ring(name):
    grid = Grid(device_plan(compile(GRIDS[name]())))
    assert all(0 < far < LINES for far, _ in grid.moves)
    for (level, row), sign, bit in [(cell, *way) for cell in grid.cells for way in ((-1, 0), (+1, 8))]:
        for d, (far, across) in enumerate(grid.moves):
            if grid.lines[level][Line.MOVES] >> (bit + d) & 1:
                low, high = grid.lines[level + sign * far][: Line.BEFORE]
                assert low - FENCE <= row + sign * across < high + FENCE


def narrow_grid_of_edges():
    """A potential on every edge."""
    grid = written_grid(3, 4)
    return Graph.from_edges(*grid.edges(), starts=[0], ends=[11])


def shared_costs():
    grid = written_grid(3, 4)
    parents, children = grid.edges()
    potentials = {None: ((3,), np.asarray(children) % 3)}
    return Graph.from_edges(parents, children, starts=[0], ends=[11], potentials=potentials)


OTHERS = {
    "one cell": lambda: dtw_grid(1, 1),
    "the narrowest band": lambda: dtw_grid(3, 5, band=0),
    "an edge is missing": lambda: written_grid(4, 5, without=[20]),
    "moves of a knight": lambda: written_grid(6, 6, (DOWN, RIGHT, (2, 1), (1, 2))),
    "four rows at a time": lambda: written_grid(9, 3, (DOWN, RIGHT, (4, 0))),
    "potentials on edges": narrow_grid_of_edges,
    "shared costs": shared_costs,
    **{name: GRAPHS[name] for name in GRAPHS if "grid" not in name},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_graphs_have_none(name):
    assert device_plan(compile(OTHERS[name]())).diagonals is None


@pytest.mark.parametrize("entries", [lambda k: k ^ 1, lambda k: k * 5 % 12], ids=["pairs exchanged", "no rows"])
def test_entries_in_no_order_of_rows(entries):
    """The costs of a grid, under other numbers: each level's must advance by one step, and that of all levels."""
    grid = written_grid(3, 4)
    parents, children = grid.edges()
    potentials = {None: ((12,), entries(np.asarray(children)))}
    graph = Graph.from_edges(parents, children, starts=[0], ends=[11], potentials=potentials)
    assert device_plan(compile(graph)).diagonals is None


def test_a_cell_with_fewer_moves_than_its_level():
    """A row of cells in the middle is entered from above alone: one edge of every level is missing."""
    grid = written_grid(5, 6)
    parents, children = map(np.asarray, grid.edges())
    without = np.flatnonzero((children // 6 == 2) & (parents == children - 1))
    assert without.size == 5
    assert device_plan(compile(written_grid(5, 6, without=without.tolist()))).diagonals is None
