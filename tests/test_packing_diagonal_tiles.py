"""Potentials that cross a band of levels aslant: where sheets are found, and that nobody can tell from the results."""

from __future__ import annotations

import numpy as np
import pytest
from cases import combinations, flat

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, compile, dp_grad, dp_value, dp_value_and_grad
from dagdp.compiled.index_arrays import TILE_COLUMNS
from dagdp.compiler.node_potentials import LEAST_TILE_ROWS
from dagdp.graphs import dtw_grid


def grid(N: int, M: int, index, without=()) -> Graph:
    """The alignment grid whose cells (i, j) pay the entry index(i, j) of each potential; no diagonal into `without`."""
    parents, children = dtw_grid(N, M).edges()
    diagonal = np.isin(children, [1 + i * M + j for i, j in without]) & (children - parents == M + 1)
    parents, children = parents[~diagonal], children[~diagonal]
    i, j = (children - 1) // M, (children - 1) % M
    return Graph.from_edges(
        parents,
        children,
        num_nodes=N * M + 1,
        starts=[0],
        ends=[N * M],
        potentials={name: ((int(entries.max()) + 1,), entries) for name, entries in index(i, j).items()},
    )


GRIDS = {
    "tall": lambda: dtw_grid(70, 33),
    "wide": lambda: dtw_grid(36, 75),
    "banded": lambda: dtw_grid(60, 60, 25),
    "column by column": lambda: grid(50, 45, lambda i, j: {"cost": j * 50 + i}),
    "apart": lambda: grid(40, 45, lambda i, j: {"cost": 7 + i * 100 + j}),
    "two potentials": lambda: grid(
        47, 53, lambda i, j: {"cost": i * 53 + j, "bonus": np.where(i + j > 30, 60 * i + j, -1)}
    ),
    "uneven": lambda: grid(60, 70, lambda i, j: {"cost": i * 70 + j}, without=[(20, 40), (40, 21), (44, 44)]),
}


def read_by_nodes(dag) -> list[dict[int, int]]:
    """For each hoisted potential the entry that each node reads, by internal number, and that none is there twice."""
    hoisted = dag.wiring.hoisted
    bands, made = hoisted.levels.size - 1, []
    for h in range(hoisted.potentials.size):
        listed = slice(hoisted.ptr[h * bands], hoisted.ptr[(h + 1) * bands])
        pairs = list(zip(hoisted.node[listed].tolist(), hoisted.entry[listed].tolist(), strict=True))
        for corner, step, rows, *nodes in hoisted.tiles[
            hoisted.tile_ptr[h * bands] : hoisted.tile_ptr[(h + 1) * bands]
        ].tolist():
            pairs += [(node + r, corner + step * r + c) for r in range(rows) for c, node in enumerate(nodes)]
        made.append(dict(pairs))
        assert len(made[-1]) == len(pairs)
    return made


@pytest.mark.specialised
@pytest.mark.parametrize("name", GRIDS)
def test_every_node_reads_its_entry_in_a_sheet_or_a_list(name):
    dag = compile(GRIDS[name]())
    assert dag.wiring.hoisted.tiles.shape[0] > 0
    for potential, found in zip(dag.potentials, read_by_nodes(dag), strict=True):
        want = dict(zip(dag.rank[dag.graph.edges()[1]].tolist(), potential.index.tolist(), strict=True))
        assert found == {node: entry for node, entry in want.items() if entry >= 0}


@pytest.mark.specialised
def test_sheets_lie_within_bands_and_hold_most_of_a_grid():
    dag = compile(dtw_grid(200, 190))
    hoisted, levels = dag.wiring.hoisted, dag.wiring.incoming.levels
    for band in range(hoisted.levels.size - 1):
        for _, _, rows, *nodes in hoisted.tiles[hoisted.tile_ptr[band] : hoisted.tile_ptr[band + 1]].tolist():
            at = [int(np.searchsorted(levels, node, side="right")) - 1 for node in nodes]
            assert at == list(range(at[0], at[0] + TILE_COLUMNS)) and rows >= LEAST_TILE_ROWS
            assert hoisted.levels[band] <= at[0] and at[-1] < hoisted.levels[band + 1]
            assert all(node + rows <= levels[level + 1] for node, level in zip(nodes, at, strict=True))
    assert hoisted.node.size < 0.15 * 200 * 190


@pytest.mark.specialised
def test_entries_of_several_nodes_are_in_no_sheet():
    dag = compile(grid(80, 80, lambda i, j: {"cost": np.where(i + j == 0, 40 * 80 + 41, i * 80 + j)}))
    hoisted = dag.wiring.hoisted
    assert hoisted.tiles.shape[0] > 0 and np.count_nonzero(hoisted.entry == 40 * 80 + 41) == 2
    assert compile(grid(40, 40, lambda i, j: {"cost": j})).wiring.hoisted.tiles.size == 0


def drawn(dag, batch, dtype, seed=0):
    rng = np.random.default_rng(seed)
    made = {p.name: rng.normal(size=(*batch, *p.shape)).astype(dtype) for p in dag.potentials}
    return made.get(None, made)


@combinations(
    lambda name, omega: isinstance(omega, Negentropy) or name in ("tall", "banded"),
    name=GRIDS,
    omega=[HardMax(), Negentropy(0.7), SquaredL2(0.5)],
)
def test_results_are_the_references(name, omega):
    """One sample, a few one by one, and rows of samples, the last of them not full."""
    dag = compile(GRIDS[name]())
    for batch in ((), (3,), (11,)):
        theta, z = drawn(dag, batch, "float64"), drawn(dag, batch, "float64", seed=1)
        ours = dp_value_and_grad(dag, theta, omega, minimize=True)
        product = dagdp.dp_hvp(dag, theta, z, omega, minimize=True)
        one = [{k: a[-1] for k, a in array.items()} if batch else array for array in (theta, z)]
        want = dagdp.reference.dp_value_and_grad(dag, one[0], omega, minimize=True)
        bent = dagdp.reference.dp_hvp(dag, *one, omega, minimize=True)
        last = [{k: a[-1] for k, a in part.items()} if batch else part for part in (ours[1], product)]
        np.testing.assert_allclose(np.ravel(ours[0])[-1], want[0], rtol=1e-12)
        np.testing.assert_allclose(flat(last[0]), flat(want[1]), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(flat(last[1]), flat(bent), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_by_one_as_in_a_batch(dtype):
    dag = compile(dtw_grid(70, 90))
    theta = np.random.default_rng(3).random((16, 70, 90)).astype(dtype)
    value, path = dp_value_and_grad(dag, theta, minimize=True)
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    for b in (0, 15):
        np.testing.assert_allclose(dp_value(dag, theta[b], minimize=True), value[b], **tolerance)
        np.testing.assert_allclose(dp_grad(dag, theta[b], minimize=True), path[b], **tolerance)


@pytest.mark.parametrize("batch", [(), (9,)], ids=str)
def test_shared_costs_closed_cells_and_ends(batch):
    """A cost for all items, a cell that may not be entered, and NaN behind an item's end."""
    dag, rng = compile(dtw_grid(60, 50)), np.random.default_rng(4)
    cost = rng.random((60, 50))
    cost[30, 10:40] = np.inf
    inside = dp_value(dag, cost, minimize=True)
    assert np.isfinite(inside) and (dp_grad(dag, cost, minimize=True)[30, 10:40] == 0).all()
    np.testing.assert_allclose(inside, dagdp.reference.dp_value(dag, cost, minimize=True), rtol=1e-12)
    end = np.full(batch, 1 + 49 * 50 + 39)
    many = np.broadcast_to(cost, (*batch, 60, 50)).copy()
    many[..., 50:, :] = many[..., 40:] = np.nan
    value, path = dp_value_and_grad(dag, many, minimize=True, end=end)
    want = dagdp.reference.dp_value(dag, np.nan_to_num(cost, posinf=np.inf), minimize=True, end=int(end.flat[0]))
    np.testing.assert_allclose(value, np.full(batch, want), rtol=1e-12)
    assert (path[..., 50:, :] == 0).all() and (path[..., 40:] == 0).all()


@pytest.mark.parametrize("batch", [(), (9,)], ids=str)
def test_a_bad_entry_within_a_sheet_is_named(batch):
    dag = compile(dtw_grid(60, 50))
    cost = np.zeros((*batch, 60, 50))
    cost[..., 41, 22] = np.nan
    with pytest.raises(InputError, match=r"41, 22\] is nan"):
        dp_value(dag, cost, minimize=True)
