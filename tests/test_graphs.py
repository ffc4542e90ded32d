"""Builders and shortcuts against the textbooks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import oracles
import pytest

import dagdp
from dagdp import GraphError, HardMax, InputError, Negentropy, SquaredL2, compile, dp_value
from dagdp.graphs import (
    dtw_grad,
    dtw_grid,
    dtw_hvp,
    dtw_path,
    dtw_value,
    linear_chain,
    trellis,
    viterbi_decode,
    viterbi_grad,
    viterbi_hvp,
    viterbi_marginals,
    viterbi_value,
)
from dagdp.graphs.ragged import compiled_cache


def test_sizes_are_those_of_the_paper():
    assert trellis(7, 3).num_edges == 6 * 9 + 2 * 3
    assert trellis(7, 3, initial="all").num_edges == 7 * 9 + 3
    assert linear_chain(7, 3).num_edges == 6 * 9 + 2 * 3
    assert dtw_grid(5, 6).num_nodes == 31


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 2), (3, 3)])
def test_viterbi_is_the_textbooks(size):
    T, S = size
    theta = np.random.default_rng(T).normal(size=(5, T, S, S))
    values, states = viterbi_value(theta, HardMax()), viterbi_decode(theta)
    for b in range(5):
        score, best = oracles.textbook_viterbi(theta[b])
        assert values[b] == pytest.approx(score, abs=1e-12) and states[b].tolist() == best


def test_initial_all_is_algorithm_3():
    theta = np.random.default_rng(0).normal(size=(4, 3, 3))
    v = np.zeros(3)
    for t in range(4):
        v = np.array([np.logaddexp.reduce(theta[t, i] + v) for i in range(3)])
    assert viterbi_value(theta, Negentropy(1.0), initial="all") == pytest.approx(np.logaddexp.reduce(v), abs=1e-12)
    assert viterbi_grad(theta, initial="all").sum((1, 2)) == pytest.approx(np.ones(4), abs=1e-12)


def test_linear_chain_is_a_trellis_with_tied_weights():
    rng, T, S = np.random.default_rng(1), 5, 3
    theta = {
        "emission": rng.normal(size=(T, S)),
        "transition": rng.normal(size=(S, S)),
        "start": rng.normal(size=S),
        "end": rng.normal(size=S),
    }
    full = theta["emission"][:, :, None] + np.where(
        np.arange(T)[:, None, None] > 0, theta["transition"], theta["start"][:, None]
    )
    full[-1] += theta["end"][:, None]
    for omega in (Negentropy(0.7), SquaredL2(0.3), HardMax()):
        expected = viterbi_value(full, omega)
        if isinstance(
            omega, Negentropy | HardMax
        ):  # end scores enter one node later: the same maximum where it associates
            assert dp_value(compile(linear_chain(T, S)), theta, omega) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5), HardMax()], ids=repr)
def test_ragged_viterbi_equals_each_sequence_alone(omega):
    rng, lengths = np.random.default_rng(2), np.array([5, 1, 3, 2] * 5)
    theta, z = np.full((20, 5, 3, 3), np.nan), np.full((20, 5, 3, 3), np.nan)
    for b, n in enumerate(lengths):
        theta[b, :n], z[b, :n] = rng.normal(size=(2, n, 3, 3))
    value, path = viterbi_value(theta, omega, lengths=lengths), viterbi_grad(theta, omega, lengths=lengths)
    product, states = viterbi_hvp(theta, z, omega, lengths=lengths), viterbi_decode(theta, lengths=lengths)
    for b, n in enumerate(lengths):
        assert value[b] == pytest.approx(viterbi_value(theta[b, :n], omega), abs=1e-12)
        np.testing.assert_allclose(path[b, :n], viterbi_grad(theta[b, :n], omega), atol=1e-12)
        np.testing.assert_allclose(product[b, :n], viterbi_hvp(theta[b, :n], z[b, :n], omega), atol=1e-11)
        assert (path[b, n:] == 0).all() and (product[b, n:] == 0).all()
        assert states[b].tolist() == [*viterbi_decode(theta[b, :n]), *[-1] * (5 - n)]


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (6, 4), (9, 9)])
def test_dtw_is_the_textbooks(size):
    cost = np.random.default_rng(3).integers(0, 4, (3, *size)).astype(float)
    values, paths = dtw_value(cost, HardMax()), dtw_path(cost)
    for b in range(3):
        assert values[b] == oracles.textbook_dtw(cost[b])
        pairs = paths[b][paths[b, :, 0] >= 0]
        assert pairs[0].tolist() == [0, 0] and pairs[-1].tolist() == [size[0] - 1, size[1] - 1]
        assert set(map(tuple, np.diff(pairs, axis=0))) <= {(0, 1), (1, 0), (1, 1)}
        assert cost[b][tuple(pairs.T)].sum() == values[b]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (8, 6), (12, 12)])
def test_zero_costs_count_alignments(size):
    """γ log of the number of paths: Delannoy numbers."""
    value = dtw_value(np.zeros(size), Negentropy(1.0))
    assert np.exp(-value) == pytest.approx(oracles.delannoy(*size), rel=1e-10)


@pytest.mark.parametrize("size", [(6, 6), (4, 9), (9, 4), (2, 30), (1, 5)])
@pytest.mark.parametrize("band", [0, 1, 2, 5])
def test_bands_are_feasible_symmetric_and_never_read_outside(size, band):
    rng = np.random.default_rng(4)
    cost = rng.random(size)
    inside = dtw_grad(np.zeros(size), Negentropy(1.0), band=band) > 0
    assert inside[0, 0] and inside[-1, -1]
    np.testing.assert_array_equal(inside, (dtw_grad(np.zeros(size[::-1]), Negentropy(1.0), band=band) > 0).T)
    masked = np.where(inside, cost, np.inf)
    assert dtw_value(cost, SquaredL2(0.5), band=band) == pytest.approx(dtw_value(masked, SquaredL2(0.5)), abs=1e-12)
    assert np.isfinite(dtw_value(np.where(inside, cost, np.nan), SquaredL2(0.5), band=band))
    assert dtw_value(cost, HardMax(), band=100) == dtw_value(cost, HardMax())


def test_a_band_of_0_is_the_corner_line():
    cost = np.random.default_rng(0).random((5, 5))
    assert dtw_value(cost, HardMax(), band=0) == pytest.approx(np.trace(cost), abs=1e-14)
    np.testing.assert_allclose(dtw_grad(cost, Negentropy(1.0), band=0), np.eye(5), atol=1e-14)
    inside = dtw_grad(np.zeros((3, 5)), Negentropy(1.0), band=0) > 0
    assert inside.tolist() == [[1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 1, 1]]  # half a cell to each side
    np.testing.assert_array_equal(dtw_path(cost, band=0)[:5], np.stack([np.arange(5)] * 2, -1))


def test_an_axis_that_only_lengths_carry_is_in_every_result():
    """One theta with several lengths: what each length alone gives."""
    theta, lengths = np.random.default_rng(2).normal(size=(6, 4, 4)), [2, 4, 6]
    states = viterbi_decode(theta, lengths=lengths)
    assert states.tolist() == [[1, 2, -1, -1, -1, -1], [1, 2, 0, 2, -1, -1], [1, 1, 2, 0, 0, 2]]
    sums = viterbi_marginals(theta, lengths=lengths).sum(-1)
    np.testing.assert_allclose(sums, np.arange(6) < np.array(lengths)[:, None], atol=1e-12)
    path, value = (
        viterbi_grad(theta, SquaredL2(0.5), lengths=lengths),
        viterbi_value(theta, SquaredL2(0.5), lengths=lengths),
    )
    change = viterbi_hvp(theta, theta, SquaredL2(0.5), lengths=lengths)
    for b, n in enumerate(lengths):
        assert value[b] == pytest.approx(viterbi_value(theta[:n], SquaredL2(0.5)), abs=1e-12)
        np.testing.assert_allclose(path[b, :n], viterbi_grad(theta[:n], SquaredL2(0.5)), atol=1e-12)
        np.testing.assert_allclose(change[b, :n], viterbi_hvp(theta[:n], theta[:n], SquaredL2(0.5)), atol=1e-11)
        assert not path[b, n:].any() and not change[b, n:].any()
    table = viterbi_value(np.stack([theta, 2 * theta])[:, None], HardMax(), lengths=lengths)
    assert table.shape == (2, 3)
    np.testing.assert_allclose(table[1], viterbi_value(2 * theta, HardMax(), lengths=lengths), atol=1e-12)


def test_an_axis_that_only_lengths_carry_is_in_every_result_of_dtw():
    cost, sizes = np.random.default_rng(3).random((4, 5)), [(4, 5), (1, 3), (2, 2)]
    lengths = [n for n, _ in sizes], [m for _, m in sizes]
    value, path = dtw_value(cost, SquaredL2(0.5), lengths=lengths), dtw_grad(cost, SquaredL2(0.5), lengths=lengths)
    change, pairs = dtw_hvp(cost, cost, SquaredL2(0.5), lengths=lengths), dtw_path(cost, lengths=lengths)
    for b, (n, m) in enumerate(sizes):
        own = cost[:n, :m]
        assert value[b] == pytest.approx(dtw_value(own, SquaredL2(0.5)), abs=1e-12)
        np.testing.assert_allclose(path[b, :n, :m], dtw_grad(own, SquaredL2(0.5)), atol=1e-12)
        np.testing.assert_allclose(change[b, :n, :m], dtw_hvp(own, own, SquaredL2(0.5)), atol=1e-12)
        np.testing.assert_array_equal(pairs[b, : n + m - 1], dtw_path(own))


def test_every_direction_has_its_own_hessian_product():
    cost, eye = np.random.default_rng(4).random((2, 3)), np.eye(6).reshape(6, 2, 3)
    columns = dtw_hvp(cost, eye).reshape(6, 6)
    np.testing.assert_allclose(columns, [dtw_hvp(cost, z).ravel() for z in eye], atol=1e-15)
    np.testing.assert_allclose(columns, columns.T, atol=1e-15)
    theta, steps = np.random.default_rng(5).normal(size=(3, 2, 2)), np.eye(12).reshape(12, 3, 2, 2)
    np.testing.assert_allclose(viterbi_hvp(theta, steps), [viterbi_hvp(theta, z) for z in steps], atol=1e-15)


def test_on_infeasible_reaches_the_shortcuts():
    theta = np.zeros((2, 2, 2, 2))
    theta[1, 1] = -np.inf
    assert viterbi_value(theta)[1] == -np.inf and not viterbi_grad(theta)[1].any()
    assert viterbi_decode(theta).tolist() == [[0, 0], [-1, -1]]
    for call in (viterbi_value, viterbi_grad, viterbi_marginals, viterbi_decode):
        with pytest.raises(InputError, match="item 1 has no path"):
            call(theta, on_infeasible="raise")
    costs = np.full((2, 2), np.inf)
    assert dtw_value(costs) == np.inf and (dtw_path(costs) == -1).all()
    for call in (dtw_value, dtw_grad, dtw_path):
        with pytest.raises(InputError, match="there is no path"):
            call(costs, on_infeasible="raise")
    with pytest.raises(InputError, match="there is no path"):
        dtw_hvp(costs, np.zeros((2, 2)), on_infeasible="raise")


def test_ties_prefer_the_diagonal_then_down_then_right():
    """As tslearn and dtw-python."""
    assert dtw_path(np.zeros((3, 2))).tolist() == [[0, 0], [1, 0], [2, 1], [-1, -1]]
    assert dtw_path(np.zeros((2, 3))).tolist() == [[0, 0], [0, 1], [1, 2], [-1, -1]]
    cost = np.array([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0], [9.0, 0.0, 0.0]])
    assert dtw_path(cost)[:4].tolist() == [[0, 0], [0, 1], [1, 2], [2, 2]]  # down into the last cell, not right


@pytest.mark.parametrize("band", [0, 1, 3])
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.7), SquaredL2(0.5)], ids=repr)
def test_a_band_with_lengths_is_each_items_own(band, omega):
    rng, sizes = np.random.default_rng(6), [(9, 7), (1, 1), (4, 7), (9, 3), (1, 5), (6, 1), (7, 7)]
    theta = np.full((len(sizes), 9, 7), np.nan)
    for b, (n, m) in enumerate(sizes):
        theta[b, :n, :m] = rng.random((n, m))
    options = {"lengths": ([n for n, _ in sizes], [m for _, m in sizes]), "band": band}
    value, path, pairs = (
        dtw_value(theta, omega, **options),
        dtw_grad(theta, omega, **options),
        dtw_path(theta, **options),
    )
    product = dtw_hvp(theta, theta, omega, **options)
    for b, (n, m) in enumerate(sizes):
        own = theta[b, :n, :m]
        assert value[b] == pytest.approx(dtw_value(own, omega, band=band), abs=1e-12)
        np.testing.assert_allclose(path[b, :n, :m], dtw_grad(own, omega, band=band), atol=1e-12)
        np.testing.assert_allclose(product[b, :n, :m], dtw_hvp(own, own, omega, band=band), atol=1e-11)
        np.testing.assert_array_equal(pairs[b, : n + m - 1], dtw_path(own, band=band))
        assert not path[b, n:].any() and not path[b, :, m:].any() and (pairs[b, n + m - 1 :] == -1).all()


def test_one_matrix_with_several_lengths_and_a_band():
    cost, sizes = np.random.default_rng(3).random((6, 5)), [(6, 5), (2, 3)]
    value = dtw_value(cost, HardMax(), lengths=([6, 2], [5, 3]), band=1)
    assert value.tolist() == [dtw_value(cost[:n, :m], HardMax(), band=1) for n, m in sizes]
    assert dtw_value(cost, HardMax(), lengths=(2, 3), band=1) == value[1]


@pytest.mark.specialised
def test_a_band_costs_its_cells():
    """Nodes are the band's cells, and no array has the size of the matrix."""
    compile(dtw_grid(3000, 3000, 3))  # loops that are compiled, or read from disk, are no memory of the graph
    tracemalloc.start()
    dag = compile(dtw_grid(3000, 3000, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dag.num_nodes == 1 + 9 * 3000 - 20 and dag.graph.num_nodes == dag.num_nodes
    assert peak < 9_000_000  # measured: 5; one int32 a cell of the matrix is 36


@pytest.mark.specialised
def test_a_compiled_grid_keeps_few_bytes_a_cell():
    compile(dtw_grid(20, 20))
    tracemalloc.start()
    dag = compile(dtw_grid(700, 700))
    stored_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stored_bytes < 12 * dag.num_nodes  # measured: 10.4; 112 where the lists of edges stay


def test_sizes_share_a_graph_and_find_what_their_own_graphs_do():
    """The first size has its own graph, others that of the next powers of two: with the same numbers."""
    rng, cache = np.random.default_rng(7), compiled_cache._cache
    for n, m in [(11, 6), (7, 12), (1, 9), (8, 16), (13, 13)]:
        cost, grid = rng.random((2, n, m)), compile(dtw_grid(n, m))
        value, path = dagdp.dp_value_and_grad(grid, cost, SquaredL2(0.5), minimize=True)
        np.testing.assert_allclose(dtw_value(cost, SquaredL2(0.5)), value, atol=1e-13)
        found = dtw_grad(cost, SquaredL2(0.5))
        np.testing.assert_allclose(found, path, atol=1e-13)
        held = found.size if found.base is None else found.base.size
        assert found.shape == cost.shape and held == cost.size and dtw_path(cost).shape == (2, n + m - 1, 2)
        change = dagdp.dp_hvp(grid, cost, cost, SquaredL2(0.5), minimize=True)
        np.testing.assert_allclose(dtw_hvp(cost, cost, SquaredL2(0.5)), change, atol=1e-13)
        assert cache.serving(dtw_grid, (n, m), (), ()).potentials[0].shape in {
            (n, m),
            (16, 8),
            (8, 16),
            (16, 16),
            (1, 16),
        }
    for T in (9, 5, 7, 3):
        theta, own = rng.normal(size=(2, T, 3, 3)), compile(trellis(T, 3))
        np.testing.assert_allclose(viterbi_value(theta), dp_value(own, theta), atol=1e-13)
        np.testing.assert_allclose(viterbi_marginals(theta), dagdp.dp_grad(own, theta).sum(-1), atol=1e-13)
        np.testing.assert_allclose(viterbi_hvp(theta, theta), dagdp.dp_hvp(own, theta, theta), atol=1e-13)
        assert viterbi_decode(theta).tolist() == [viterbi_decode(one).tolist() for one in theta]
        assert viterbi_value(theta[0], lengths=2) == pytest.approx(viterbi_value(theta[0, :2]), abs=1e-13)
        with pytest.raises(InputError, match=f"lengths is {T + 1}; expected 1 to {T}"):
            viterbi_value(theta[0], lengths=T + 1)
        with pytest.raises(InputError, match=r"theta\[1, 2, 1, 0\] is nan"):
            viterbi_value(np.where(np.arange(2 * T * 9).reshape(theta.shape) == T * 9 + 21, np.nan, theta))


def test_the_cache_is_bounded_in_bytes(monkeypatch):
    cache = compiled_cache.GraphCache()
    size = compiled_cache.bytes_of(cache.graph(dtw_grid, 30, 30))
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", 5 * size // 2)
    graphs = [cache.graph(dtw_grid, 30, 30 + k) for k in (0, 1, 2)]
    assert list(cache._graphs.values()) == graphs[1:] and cache.graph(dtw_grid, 30, 30) is not graphs[0]
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", 1)
    assert cache.graph(dtw_grid, 9, 9) is cache.graph(dtw_grid, 9, 9) and len(cache._graphs) == 1


def test_a_size_that_stays_gets_a_graph_of_its_own():
    cache, sizes = compiled_cache.GraphCache(), lambda dag: dag.potentials[0].shape[0]
    assert [sizes(cache.serving(trellis, (T,), (2,), (2, "single", True))) for T in (4, 9, 5)] == [4, 16, 8]
    asked = [sizes(cache.serving(trellis, (9,), (2,), (2, "single", True))) for _ in range(compiled_cache.REPEATS + 1)]
    assert asked == [16] * (compiled_cache.REPEATS - 1) + [9] * 2


def test_ragged_dtw_equals_each_pair_alone():
    rng, sizes = np.random.default_rng(5), [(4, 6), (1, 2), (3, 3)]
    theta = np.full((3, 4, 6), np.nan)
    for b, (n, m) in enumerate(sizes):
        theta[b, :n, :m] = rng.random((n, m))
    lengths = ([n for n, _ in sizes], [m for _, m in sizes])
    value, paths = dtw_value(theta, SquaredL2(0.1), lengths=lengths), dtw_path(theta, lengths=lengths)
    product = dtw_hvp(theta, theta, SquaredL2(0.1), lengths=lengths)
    for b, (n, m) in enumerate(sizes):
        own = theta[b, :n, :m]
        assert value[b] == pytest.approx(dtw_value(own, SquaredL2(0.1)), abs=1e-12)
        np.testing.assert_allclose(product[b, :n, :m], dtw_hvp(own, own, SquaredL2(0.1)), atol=1e-12)
        np.testing.assert_array_equal(paths[b, : n + m - 1], dtw_path(own))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trellis(0, 3), GraphError, "trellis was given T=0; expected a whole number, at least 1"),
        (lambda: trellis(3, 3, initial="both"), GraphError, "initial='both'; expected 'single'"),
        (lambda: dtw_grid(3, 3, band=-1), GraphError, "band=-1; expected a whole number of cells, at least 0"),
        (lambda: dtw_grid(3, 3, band=True), GraphError, "band=True; expected a whole number of cells"),
        (lambda: viterbi_value(np.zeros((3, 2, 4))), InputError, r"shape \(3, 2, 4\); expected \[\*batch, T, S, S\]"),
        (
            lambda: viterbi_value(np.zeros((2, 3, 2, 2)), lengths=[3, 4]),
            InputError,
            r"lengths\[1\] is 4; expected 1 to 3",
        ),
        (lambda: viterbi_value(np.zeros((2, 3, 2, 2)), lengths=[3, 1.5]), InputError, "lengths has dtype float64"),
        (lambda: dtw_value(np.zeros(3)), InputError, r"shape \(3,\); expected costs \[\*batch, N_A, N_B\]"),
        (lambda: dtw_value(np.zeros((3, 3)), lengths=3), InputError, r"lengths is 3; expected a pair \(n_a, n_b\)"),
        (lambda: dtw_value(np.zeros((3, 3)), lengths=(3, 0)), InputError, r"lengths\[1\] is 0; expected 1 to 3"),
        (
            lambda: viterbi_value(np.zeros((2, 3, 2, 2)), lengths=[3, 3, 3]),
            InputError,
            r"lengths have shape \(3,\) and the data has batch dimensions \(2,\); expected one length for all items",
        ),
        (
            lambda: dtw_grad(np.zeros((2, 3, 3)), lengths=([3, 3, 3], 3)),
            InputError,
            r"lengths have shape \(3,\) and the data has batch dimensions \(2,\)",
        ),
        (
            lambda: dtw_value(np.zeros((3, 3)), lengths=([3, 3], [3, 3, 3])),
            InputError,
            r"lengths have shapes \[\(2,\), \(3,\)\]; expected shapes that broadcast",
        ),
        (
            lambda: viterbi_decode(np.zeros((3, 2, 2)), lengths=np.ma.masked_equal([3, 1], 1)),
            InputError,
            "lengths is a masked array",
        ),
        (
            lambda: dtw_value(np.zeros((3, 3)), lengths=(3, 4), band=1),
            InputError,
            r"lengths\[1\] has 4; expected 1 to 3",
        ),
        (lambda: dtw_value(np.zeros((3, 3)), lengths=(3, 3.0), band=1), InputError, r"lengths\[1\] has dtype float64"),
        (
            lambda: dtw_grad(np.zeros((2, 3, 3)), lengths=([3, 3, 3], 3), band=1),
            InputError,
            r"lengths have shapes .* and the data has batch dimensions \(2,\)",
        ),
        (
            lambda: dtw_value(np.full((2, 3, 3), np.nan), lengths=([1, 3], 3), band=0),
            InputError,
            r"theta\[0, 0, 0\] is nan; expected a number",
        ),
        (
            lambda: dtw_hvp(np.zeros((2, 3, 3)), np.zeros((2, 3, 4)), lengths=([1, 3], 3), band=0),
            InputError,
            r"z has shape \(2, 3, 4\); expected \[\*batch, 3, 3\]",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
