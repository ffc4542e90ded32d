"""The six functions against enumerated paths, finite differences and algebra."""

from __future__ import annotations

import gc
import math
import re
import sys
import weakref

import numpy as np
import oracles
import pytest
import torch
from cases import (
    GRAPHS,
    OPERATORS,
    SMALL,
    SMOOTH,
    combinations,
    flat,
    graph_of,
    one_of_each_solver,
    one_of_each_solver_and_type,
    over_operators,
    random_theta,
)
from hypothesis import given, settings
from strategies import problems

import dagdp
from dagdp import (
    Graph,
    HardMax,
    InputError,
    Negentropy,
    OmegaError,
    SquaredL2,
    Tsallis,
    compile,
    dp_grad,
    dp_hvp,
    dp_jvp,
    dp_jvp_and_hvp,
    dp_value,
    dp_value_and_grad,
    local_weights,
    reference,
)
from dagdp.graphs import dtw_grid, linear_chain, trellis

FUNCTIONS = ("dp_value", "dp_grad", "dp_value_and_grad")


def of_one_text(omega):
    """Tsallis(1.5) is the user's operator in other words, Tsallis(2.0) has the weights of SquaredL2."""
    return not isinstance(omega, Tsallis)


def shifted(theta, z, t):
    """theta + t z, array or dict."""
    return {k: theta[k] + t * z[k] for k in theta} if isinstance(theta, dict) else theta + t * z


@combinations(of_one_text, omega=OPERATORS)
@given(problem=problems())
def test_value_and_expected_path_equal_enumeration(omega, problem):
    edges, weights = problem
    starts, ends = oracles.terminals(edges)
    value, expected = oracles.walk_back(edges, weights, starts, ends, oracles.row_solver(omega))
    ours, path = dp_value_and_grad(compile(graph_of(edges)), weights, omega)
    np.testing.assert_allclose(ours, value, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(path, expected, atol=1e-9)


@given(problem=problems())
def test_negentropy_is_the_log_partition_over_all_paths(problem):
    edges, weights = problem
    scores = [sum(weights[e] for e in path) for path in oracles.paths(edges, *oracles.terminals(edges))]
    expected = oracles.softmax(np.array(scores), 0.7)[0]
    np.testing.assert_allclose(dp_value(compile(graph_of(edges)), weights, Negentropy(0.7)), expected, atol=1e-10)


@combinations(of_one_text, omega=OPERATORS)
@given(problem=problems(forbidden=False))
def test_expected_path_is_a_unit_flow(omega, problem):
    """Rule 3: 1 out of the starts, 1 into the ends, conserved between, every entry in [0, 1]."""
    edges, weights = problem
    path = dp_grad(compile(graph_of(edges)), weights, omega)
    starts, ends = oracles.terminals(edges)
    out, into = np.zeros(10), np.zeros(10)
    for (parent, child), flow in zip(edges, path, strict=True):
        out[parent] += flow
        into[child] += flow
    assert path.min() >= 0 and path.max() <= 1 + 1e-12
    assert out[starts].sum() == pytest.approx(1, abs=1e-12) and into[ends].sum() == pytest.approx(1, abs=1e-12)
    between = [n for n in range(10) if n not in starts and n not in ends]
    np.testing.assert_allclose(out[between], into[between], atol=1e-12)


def compiled_anyway(omega):
    """All but Tsallis(1.5): the user's operator is that in other words, and other tests launch the kernels of that."""
    return omega != Tsallis(1.5, 0.8)


def on_every_graph(batch, omega, name):
    """One operator of each solver; the others on one graph, a sample at a time."""
    return one_of_each_solver(omega, name) or (name == "parallel edges" and batch == () and compiled_anyway(omega))


@combinations(on_every_graph, batch=[(), (3,), (2, 9), (33,)], omega=OPERATORS, name=GRAPHS)
def test_agrees_with_the_reference(batch, omega, name):
    """Batches below, at and beyond a row of samples, on every graph, maximising and minimising."""
    graph = GRAPHS[name]()
    dag, rng = compile(graph), np.random.default_rng(len(name))
    theta, z = random_theta(graph, rng, batch), random_theta(graph, rng, batch)
    minimize = name in ("grid", "wide")
    pairs = zip(
        (
            *dp_value_and_grad(dag, theta, omega, minimize=minimize),
            *dp_jvp_and_hvp(dag, theta, z, omega, minimize=minimize),
        ),
        (
            *reference.dp_value_and_grad(dag, theta, omega, minimize=minimize),
            *reference.dp_jvp_and_hvp(dag, theta, z, omega, minimize=minimize),
        ),
        strict=True,
    )
    for ours, exact in pairs:
        np.testing.assert_allclose(flat(ours), flat(exact), atol=1e-9)


@over_operators()
@given(problem=problems())
def test_local_weights_equal_the_rows_of_the_oracle(omega, problem):
    """q at every node that a path leads through, one row at a time; siblings sum to 1."""
    edges, weights = problem
    starts, ends = oracles.terminals(edges)
    expected = oracles.walk_weights(edges, weights, starts, ends, oracles.row_solver(omega))[0]
    np.testing.assert_allclose(local_weights(compile(graph_of(edges)), weights, omega), expected, atol=1e-9)


@combinations(on_every_graph, batch=[(), (2, 9), (33,)], omega=OPERATORS, name=GRAPHS)
def test_local_weights_agree_with_the_reference(batch, omega, name):
    graph, minimize = GRAPHS[name](), name in ("grid", "wide")
    dag, theta = compile(graph), random_theta(graph, np.random.default_rng(len(name)), batch)
    ours = local_weights(dag, theta, omega, minimize=minimize)
    assert ours.shape == (*batch, graph.num_edges)
    exact = reference.local_weights(dag, theta, omega, minimize=minimize)
    np.testing.assert_allclose(ours, exact, atol=1e-9)


def test_local_weights_stop_at_each_items_end_and_keep_precision_at_improbable_nodes():
    """Nodes 2 and 3 are reached with probability e^-2000: no flow is left there, the weights are."""
    graph = Graph.from_edges([0, 0, 1, 2, 2, 3], [1, 2, 4, 3, 3, 4])
    theta = np.array([[0.0, -2000, 0, 1, 0, 0], [0.0, 0, 0, 1, 0, np.nan]])
    q = local_weights(compile(graph), theta, Negentropy(1.0), end=[4, 3])
    share = np.e / (1 + np.e)
    np.testing.assert_allclose(q, [[1, 1, 1, share, 1 - share, 0], [0, 1, 0, share, 1 - share, 0]], atol=1e-15)


@over_operators()
def test_an_item_without_a_path_has_slope_zero_where_z_is_hoisted(omega):
    dag, theta = compile(graph_of([(0, 1)])), np.array([[-np.inf], [2.0]])
    assert dp_jvp(dag, theta, [[1.0], [1.0]], omega).tolist() == [0, 1]
    assert dp_jvp_and_hvp(dag, theta, [[1.0], [1.0]], omega)[0].tolist() == [0, 1]


@combinations(
    lambda omega, name, **_: one_of_each_solver(omega, name) or (name == "parallel edges" and compiled_anyway(omega)),
    minimize=[False, True],
    omega=SMOOTH,
    name=SMALL,
)
def test_derivatives_match_finite_differences(minimize, omega, name):
    graph = GRAPHS[name]()
    dag, rng = compile(graph), np.random.default_rng(7)
    theta, z = random_theta(graph, rng), random_theta(graph, rng)
    slope, product = dp_jvp_and_hvp(dag, theta, z, omega, minimize=minimize)
    by_value = oracles.central(lambda t: dp_value(dag, shifted(theta, z, t), omega, minimize=minimize), 1e-5)
    by_grad = oracles.central(lambda t: flat(dp_grad(dag, shifted(theta, z, t), omega, minimize=minimize)), 1e-5)
    assert slope == pytest.approx(by_value, abs=1e-7)
    assert slope == pytest.approx(flat(dp_grad(dag, theta, omega, minimize=minimize)) @ flat(z), abs=1e-10)
    assert slope == pytest.approx(dp_jvp(dag, theta, z, omega, minimize=minimize), abs=1e-12)
    np.testing.assert_allclose(flat(product), by_grad, atol=2e-6)


@combinations(of_one_text, omega=OPERATORS)
@given(problem=problems(forbidden=False))
@settings(max_examples=30)
def test_hessian_is_symmetric_and_positive(omega, problem):
    edges, weights = problem
    dag, rng = compile(graph_of(edges)), np.random.default_rng(0)
    a, b = rng.normal(size=(2, len(edges)))
    assert a @ dp_hvp(dag, weights, b, omega) == pytest.approx(b @ dp_hvp(dag, weights, a, omega), abs=1e-9)
    assert a @ dp_hvp(dag, weights, a, omega) >= -1e-9  # DP_Ω is convex


@combinations(of_one_text, omega=OPERATORS)
@given(problem=problems())
@settings(max_examples=30)
def test_relabelling_nodes_and_reordering_edges_changes_nothing(omega, problem):
    edges, weights = problem
    rng = np.random.default_rng(1)
    order, label = rng.permutation(len(edges)), rng.permutation(6)
    other = [(label[edges[e][0]], label[edges[e][1]]) for e in order]
    value, path = dp_value_and_grad(compile(graph_of(edges)), weights, omega)
    again, moved = dp_value_and_grad(compile(graph_of(other)), weights[order], omega)
    np.testing.assert_allclose(again, value, atol=1e-12)
    if not isinstance(omega, HardMax):  # whose ties go by the user's order
        np.testing.assert_allclose(moved, path[order], atol=1e-12)


@over_operators()
def test_subdividing_an_edge_costs_half_gamma_under_squared_l2_only(omega):
    direct = dp_value(compile(Graph.from_edges([0], [1])), [1.5], omega)
    split = dp_value(compile(Graph.from_edges([0, 1], [1, 2])), [1.0, 0.5], omega)
    cost = omega.gamma / 2 if isinstance(omega, SquaredL2) else 0.0
    assert direct - split == pytest.approx(cost, abs=1e-12)


def test_squared_l2_on_dtw_is_tsallis_2_with_half_gamma_a_cell():
    cost = np.random.default_rng(0).random((9, 7))
    a = dagdp.graphs.dtw_value(cost, SquaredL2(0.8)), dagdp.graphs.dtw_grad(cost, SquaredL2(0.8))
    b = dagdp.graphs.dtw_value(cost + 0.4, Tsallis(2.0, 0.8)), dagdp.graphs.dtw_grad(cost + 0.4, Tsallis(2.0, 0.8))
    assert a[0] == pytest.approx(b[0], abs=1e-12)
    np.testing.assert_allclose(a[1], b[1], atol=1e-12)


@given(problem=problems(forbidden=False))
def test_smoothing_paths_and_smoothing_nodes(problem):
    """LP_Ω >= DP_Ω for SquaredL2, the reverse for Tsallis(2), whose corners are free."""
    edges, weights = problem
    scores = np.array([sum(weights[e] for e in path) for path in oracles.paths(edges, *oracles.terminals(edges))])
    dag = compile(graph_of(edges))
    assert oracles.projection(scores, 0.5)[0] >= dp_value(dag, weights, SquaredL2(0.5)) - 1e-9
    assert oracles.tsallis(2.0)(scores, 0.5)[0] <= dp_value(dag, weights, Tsallis(2.0, 0.5)) + 1e-9


@over_operators([Negentropy(1e-9), SquaredL2(1e-9), Tsallis(1.5, 1e-9)])
@given(problem=problems(forbidden=False))
@settings(max_examples=30)
def test_vanishing_gamma_is_the_hard_maximum(omega, problem):
    edges, weights = problem
    dag = compile(graph_of(edges))
    assert dp_value(dag, weights, omega) == pytest.approx(dp_value(dag, weights, HardMax()), abs=1e-6)


def test_known_values_of_tiny_graphs():
    """Worked by hand, in exact numbers."""
    two = compile(Graph.from_edges([0, 0], [1, 1]))
    assert dp_value(two, [0.0, 0.0], Negentropy(1.0)) == pytest.approx(math.log(2), abs=1e-15)
    assert dp_value(two, [0.0, 0.0], SquaredL2(1.0)) == -0.25  # <q, x> - 1/2 (1/4 + 1/4)
    assert dp_value(two, [0.5, 0.0], SquaredL2(1.0)) == pytest.approx(0.5 * 0.75 - 0.5 * (9 + 1) / 16, abs=1e-15)
    assert dp_grad(two, [0.5, 0.0], SquaredL2(1.0)).tolist() == [0.75, 0.25]
    assert dp_value(two, [0.0, 0.0], Tsallis(2.0, 1.0)) == pytest.approx(0.25, abs=1e-15)
    assert dp_grad(two, [1.0, 0.0], SquaredL2(1.0)).tolist() == [1.0, 0.0]
    assert dp_hvp(two, [0.5, 0.0], [1.0, 0.0], SquaredL2(1.0)).tolist() == [0.5, -0.5]
    three = compile(Graph.from_edges([0, 0, 0], [1, 1, 1]))
    # Tsallis 3/2, x = 0: q = 1/3 each, Ω = (4/3)(3·3^(-3/2) - 1)
    assert dp_value(three, np.zeros(3), Tsallis(1.5, 1.0)) == pytest.approx(-(4 / 3) * (3 * 3**-1.5 - 1), abs=1e-14)
    chain = compile(Graph.from_edges([0, 1, 2], [1, 2, 3]))
    assert dp_value(chain, [1.0, 2.0, 3.0], SquaredL2(1.0)) == 6.0 - 1.5


def test_the_printed_proposition_2_fails_and_path_lengths_mend_it():
    """docs/maths.md: source, ten middle nodes, sink, and a direct edge, all weights 0."""
    edges = [(0, k) for k in range(1, 11)] + [(k, 11) for k in range(1, 11)] + [(0, 11)]
    dag = compile(graph_of(edges))
    value = dp_value(dag, np.zeros(21), SquaredL2(1.0))
    assert value == pytest.approx(-0.386, abs=5e-4)
    # Lemma 1 for N = 12 entries: 1/(2N) <= Ω(q) <= 1/2, so LP - DP should lie in 11·[1/24, 1/2]
    low, high = 1 / 24, 1 / 2
    assert not 11 * low <= 0 - value <= 11 * high
    # at most `low` a node of a path: the shortest path has one edge; at most `high` a node of the longest, two
    assert 1 * low <= 0 - value <= 2 * high


@given(problem=problems(forbidden=False))
def test_proposition_2_with_path_lengths(problem):
    edges, weights = problem
    starts, ends = oracles.terminals(edges)
    dag = compile(graph_of(edges))
    lengths = [len(path) + (len(ends) > 1) for path in oracles.paths(edges, starts, ends)]
    hard, width = dp_value(dag, weights, HardMax()), 16
    for omega, low, high in (
        (SquaredL2(1.0), 1 / (2 * width), 1 / 2),
        (Negentropy(1.0), -math.log(width), 0.0),
        (Tsallis(2.0, 1.0), (1 / width - 1) / 2, 0.0),
    ):
        gap = hard - dp_value(dag, weights, omega)
        least = low * (min(lengths) if low > 0 else max(lengths))
        most = high * (max(lengths) if high > 0 else min(lengths))
        assert least - 1e-9 <= gap <= most + 1e-9


# ------------------------------------------------------------------------------- batches, blocks, ends


@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5), HardMax()], ids=repr)
def test_each_item_of_a_batch_is_its_own_problem(omega):
    dag, rng = compile(GRAPHS["wide"]()), np.random.default_rng(2)
    theta, z = rng.normal(size=(2, 19, dag.graph.num_edges)), rng.normal(size=(2, 19, dag.graph.num_edges))
    value, path = dp_value_and_grad(dag, theta, omega)
    product = dp_hvp(dag, theta, z, omega)
    assert value.shape == (2, 19) and path.shape == theta.shape
    for item in np.ndindex(2, 19):
        np.testing.assert_allclose(value[item], dp_value(dag, theta[item], omega), atol=1e-12)
        np.testing.assert_allclose(path[item], dp_grad(dag, theta[item], omega), atol=1e-12)
        np.testing.assert_allclose(product[item], dp_hvp(dag, theta[item], z[item], omega), atol=1e-11)


@pytest.mark.parametrize("items", [2, 16, 40])
def test_a_shared_block_gets_the_sum_over_the_batch(items):
    graph = GRAPHS["chain"]()
    dag, rng = compile(graph), np.random.default_rng(3)
    theta = random_theta(graph, rng, (items,))
    theta["transition"], theta["end"] = theta["transition"][0], theta["end"][0]
    shared = ("transition", "end")
    spread = {k: np.broadcast_to(a, (items, *a.shape)) if k in shared else a for k, a in theta.items()}
    value, path = dp_value_and_grad(dag, theta, SquaredL2(0.5))
    exact, each = dp_value_and_grad(dag, spread, SquaredL2(0.5))
    np.testing.assert_allclose(value, exact, atol=1e-12)
    for name in theta:
        assert path[name].shape == theta[name].shape
        total = each[name].sum(0) if name in shared else each[name]
        np.testing.assert_allclose(path[name], total, atol=1e-11)


def test_a_direction_may_carry_the_batch_that_theta_lacks():
    """The columns of a Hessian in one call."""
    dag, theta = compile(GRAPHS["parallel edges"]()), np.array([0.3, -0.2, 0.1, 0.4, 0.2])
    slopes = dp_jvp(dag, theta, np.eye(5), Negentropy(1.0))
    np.testing.assert_allclose(slopes, dp_grad(dag, theta, Negentropy(1.0)), atol=1e-14)
    columns = dp_hvp(dag, theta, np.eye(5), Negentropy(1.0))
    np.testing.assert_allclose(columns, [dp_hvp(dag, theta, z, Negentropy(1.0)) for z in np.eye(5)], atol=1e-15)
    np.testing.assert_allclose(columns, columns.T, atol=1e-14)


@over_operators([Negentropy(0.5), SquaredL2(0.5), HardMax(), Tsallis(1.5)])
def test_end_picks_a_node_for_each_item_and_nothing_behind_it_is_read(omega):
    """Rule 1 and 2 of ragged batches: NaN behind an item's end changes nothing."""
    rng = np.random.default_rng(4)
    dag, sizes = compile(dtw_grid(6, 5)), [(6, 5), (3, 4), (1, 1), (6, 1), (2, 5)] * 4
    theta, z = np.full((20, 6, 5), np.nan), np.full((20, 6, 5), np.nan)
    for b, (n, m) in enumerate(sizes):
        theta[b, :n, :m], z[b, :n, :m] = rng.random((n, m)), rng.random((n, m))
    ends = np.array([1 + (n - 1) * 5 + m - 1 for n, m in sizes])
    value, path = dp_value_and_grad(dag, theta, omega, minimize=True, end=ends)
    slope, product = dp_jvp_and_hvp(dag, theta, z, omega, minimize=True, end=ends)
    for b, (n, m) in enumerate(sizes):
        small, cut = compile(dtw_grid(n, m)), (theta[b, :n, :m], z[b, :n, :m])
        assert value[b] == pytest.approx(dp_value(small, cut[0], omega, minimize=True), abs=1e-12)
        assert slope[b] == pytest.approx(dp_jvp(small, *cut, omega, minimize=True), abs=1e-12)
        for ours, exact in (
            (path[b], dp_grad(small, cut[0], omega, minimize=True)),
            (product[b], dp_hvp(small, *cut, omega, minimize=True)),
        ):
            np.testing.assert_allclose(ours[:n, :m], exact, atol=1e-11)
            rest = ours.copy()
            rest[:n, :m] = 0
            assert (rest == 0).all()


def test_end_is_named_in_the_users_words():
    graph = Graph(ends=["b", ("c", 1)])
    graph.add_edge("a", "b")
    graph.add_edge("b", ("c", 1))
    dag = compile(graph)
    assert dp_value(dag, [1.0, 2.0], HardMax(), end="b") == 1.0
    assert dp_value(dag, [1.0, 2.0], HardMax(), end=("c", 1)) == 3.0
    assert dp_value(dag, [[1.0, 2.0], [1.0, 5.0]], HardMax(), end=["b", ("c", 1)]).tolist() == [1.0, 6.0]
    with pytest.raises(InputError, match="'x' is no node of the graph"):
        dp_value(dag, [1.0, 2.0], HardMax(), end="x")
    assert dp_value(dag, [1.0, 2.0], HardMax(), end="a") == 0.0


def test_empty_batch_and_scalar_results():
    dag = compile(GRAPHS["parallel edges"]())
    assert dp_value(dag, np.zeros((0, 5)), SquaredL2(1.0)).shape == (0,)
    assert dp_grad(dag, np.zeros((0, 3, 5)), SquaredL2(1.0)).shape == (0, 3, 5)
    assert np.ndim(dp_value(dag, np.zeros(5), SquaredL2(1.0))) == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_results_come_back_in_the_inputs_dtype(dtype):
    dag, theta = compile(GRAPHS["parallel edges"]()), np.linspace(0, 1, 5).astype(dtype)
    value, path = dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert value.dtype == dtype and path.dtype == dtype
    np.testing.assert_allclose(path, dp_grad(dag, np.linspace(0, 1, 5), Negentropy(1.0)), atol=2e-3)
    assert dp_grad(dag, np.arange(5), Negentropy(1.0)).dtype == np.float64


def test_any_memory_layout_is_read_and_inputs_stay_untouched():
    dag, rng = compile(GRAPHS["grid"]()), np.random.default_rng(5)
    theta = rng.random((3, 4, 5))
    exact = dp_grad(dag, theta, SquaredL2(0.5), minimize=True)
    frozen = theta.copy()
    frozen.flags.writeable = False
    for other in (
        np.asfortranarray(theta),
        theta[::-1][::-1],
        np.repeat(theta, 2, -1)[..., ::2],
        frozen,
        theta.tolist(),
    ):
        before = np.array(other)
        np.testing.assert_array_equal(dp_grad(dag, other, SquaredL2(0.5), minimize=True), exact)
        np.testing.assert_array_equal(np.array(other), before)


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        (np.zeros(4), r"theta has shape \(4,\); expected \[\*batch, 5\] \(one entry for each of the 5 edges\)"),
        ("five", "theta has dtype <U4; expected float64"),
        ([0.0, [1.0, 2.0], 3.0], "theta is no array .*; expected numbers in rows of equal length"),
        ([torch.zeros(())] * 5, "theta is a list that holds tensors; expected one tensor: torch.stack it"),
        (np.zeros(5, complex), "theta has dtype complex128"),
        ({"a": np.zeros(5)}, "theta is a dict; the graph names no potentials"),
        (np.array([0, 0, np.nan, 0, 0]), r"theta\[2\] is nan; expected a number"),
        (np.array([0, 0, 0, np.inf, 0]), r"theta\[3\] is inf; expected less than infinity: when maximising"),
        (np.array([[0, 0, 0, 0, 0], [0, np.nan, 0, 0, 0]]), r"theta\[1, 1\] is nan"),
    ],
    ids=lambda x: str(x)[:20],
)
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(1.0), SquaredL2(1.0)], ids=repr)
def test_bad_theta_is_named(theta, message, omega):
    dag = compile(GRAPHS["parallel edges"]())
    with pytest.raises(InputError, match=message):
        dp_value(dag, theta, omega)
    with pytest.raises(InputError, match=message):
        reference.dp_value(dag, theta, omega)


def test_other_bad_arguments_are_named():
    dag, chain = compile(GRAPHS["parallel edges"]()), compile(GRAPHS["chain"]())
    with pytest.raises(InputError, match="dag is a Graph; expected a CompiledDAG"):
        dp_value(GRAPHS["one edge"](), np.zeros(1))
    with pytest.raises(OmegaError, match="omega is 'entropy'; expected an operator"):
        dp_value(dag, np.zeros(5), "entropy")
    with pytest.raises(InputError, match="threads is 0; expected a positive number"):
        dp_value(dag, np.zeros(5), threads=0)
    with pytest.raises(InputError, match=r"theta\[0\] is -inf; expected more than -infinity: when minimising.*\+inf"):
        dp_value(dag, np.array([-np.inf, 0, 0, 0, 0]), minimize=True)
    with pytest.raises(InputError, match=r"z\[1\] is inf; expected a finite direction"):
        dp_hvp(dag, np.zeros(5), np.array([0, np.inf, 0, 0, 0]))
    with pytest.raises(InputError, match="theta is one ndarray; the graph has potentials"):
        dp_value(chain, np.zeros(5))
    with pytest.raises(
        InputError,
        match=r"theta has keys \['emission'\]; expected exactly .*: missing are \['transition', 'start', 'end'\]",
    ):
        dp_value(chain, {"emission": np.zeros((4, 3))})
    uneven = {**random_theta(chain.graph, np.random.default_rng(0), (2,)), "start": np.zeros((3, 3))}
    with pytest.raises(InputError, match=r"batch dimensions disagree: the arrays of theta have .*'start': \(3,\)"):
        dp_value(chain, uneven)
    with pytest.raises(InputError, match="end 99 is no node"):
        dp_value(dag, np.zeros(5), end=99)
    with pytest.raises(InputError, match="end has dtype float64; expected node numbers"):
        dp_value(dag, np.zeros(5), end=1.0)
    with pytest.raises(InputError, match=r"end has shape \(3,\); expected one node, or one for each batch item"):
        dp_value(dag, np.zeros((2, 5)), end=[2, 2, 2])
    with pytest.raises(InputError, match=r"do not broadcast, at z: theta \(2,\), z \(3,\); expected equal sizes"):
        dp_jvp(dag, np.zeros((2, 5)), np.zeros((3, 5)))
    dead = compile(GRAPHS["dead ends"]())
    with pytest.raises(InputError, match=r"end 4 leads to no end .* Name it in ends= to keep it"):
        dp_value(dead, np.zeros(6), end=4)


# ------------------------------------------------------------------------------------------ padding


def entries_on_paths(dag, end):
    """[potentials] which entries are read on some path to a node of the user's, found by walking back from it."""
    parents, children = dag.graph.edges()
    starts = set(np.asarray(dag.starts).tolist())
    ahead = starts.copy()  # nodes that a start reaches
    while True:
        more = {int(c) for p, c in zip(parents, children, strict=True) if int(p) in ahead} - ahead
        if not more:
            break
        ahead |= more
    before, waiting = set(), {int(end)}
    while waiting:
        node = waiting.pop()
        edges = [e for e in np.flatnonzero(children == node) if int(parents[e]) in ahead and node not in starts]
        before.update(edges)
        waiting |= {int(parents[e]) for e in edges}
    found = []
    for potential in dag.graph.potentials():
        read = np.zeros(potential.size, bool)
        entries = potential.index[sorted(before)]
        read[entries[entries >= 0]] = True
        found.append(read.reshape(potential.shape))
    return found


RAGGED = {
    "ragged trellis": lambda: trellis(5, 4, ragged=True),
    "ragged chain": lambda: linear_chain(6, 3, ragged=True),
    "grid": lambda: dtw_grid(6, 7),
}
PADDED = {**{name: GRAPHS[name] for name in ("two starts, two ends", "wide", "trellis, all", "tied")}, **RAGGED}


def mapped(function, theta):
    """The function of an array, or of each in a dict."""
    return {name: function(array) for name, array in theta.items()} if isinstance(theta, dict) else function(theta)


def blocks_of(dag, theta):
    return [theta[p.name] if isinstance(theta, dict) else theta for p in dag.potentials]


def in_range(items, dtype, omega, name, minimize):
    """One sample and a row of them, by one solver each; in float32 on graphs of each form."""
    if dtype == "float32":
        return items == 19 and isinstance(omega, Negentropy) and name in ("wide", "grid")
    solver = {1: Negentropy, 5: HardMax, 19: SquaredL2 | Negentropy}[items]
    return one_of_each_solver(omega, name.removeprefix("ragged ")) and isinstance(omega, solver)


@combinations(
    in_range,
    items=[1, 5, 19],
    dtype=["float32", "float64"],
    omega=OPERATORS,
    name=PADDED,
    minimize=[False, True],
)
def test_an_entry_out_of_range_counts_where_a_path_to_the_end_reads_it(items, dtype, omega, name, minimize):
    """And nowhere else: results are those of any sound numbers in its place, to the bit."""
    dag, rng = compile(PADDED[name]()), np.random.default_rng(0)
    live = np.flatnonzero((dag.rank >= 0) & ~np.isin(np.arange(dag.rank.size), dag.starts))
    ends = rng.choice(live, items)
    read = [entries_on_paths(dag, end) for end in ends]
    theta, z = (random_theta(dag.graph, rng, (items,), dtype) for _ in range(2))
    bad, along = mapped(np.copy, theta), mapped(np.copy, z)
    for own in (bad, along):
        for k, block in enumerate(blocks_of(dag, own)):
            for b in range(items):
                block[b][~read[b][k]] = rng.choice([np.nan, -np.inf if minimize else np.inf])
    options = {"end": ends, "minimize": minimize}
    for ours, theirs in zip(
        (*dp_value_and_grad(dag, bad, omega, **options), *dp_jvp_and_hvp(dag, bad, along, omega, **options)),
        (*dp_value_and_grad(dag, theta, omega, **options), *dp_jvp_and_hvp(dag, theta, z, omega, **options)),
        strict=True,
    ):
        np.testing.assert_array_equal(flat(ours), flat(theirs))
    np.testing.assert_array_equal(dp_value(dag, bad, omega, **options), dp_value(dag, theta, omega, **options))
    for own, what in ((bad, "theta"), (along, "z")):
        for k, block in enumerate(blocks_of(dag, own)):
            item = int(rng.integers(items))
            for entry in rng.permutation(np.argwhere(read[item][k]))[:1].tolist():
                place = (item, *entry)
                kept, block[place] = block[place], np.nan
                label = rf"{what}\['{dag.potentials[k].name}'\]" if isinstance(own, dict) else what
                with pytest.raises(InputError, match=rf"^{label}\[{', '.join(map(str, place))}\] is nan"):
                    dp_hvp(dag, bad, along, omega, **options)
                block[place] = kept


@over_operators()
def test_padding_is_not_looked_into(omega, monkeypatch):
    """To find out which entries lie on a path takes longer than the call; with sound values nobody does."""
    dag, rng = compile(RAGGED["grid"]()), np.random.default_rng(0)
    theta = np.full((20, 6, 7), np.nan)
    theta[:, :3, :4] = rng.normal(size=(20, 3, 4))
    monkeypatch.setattr("dagdp.engine.graph_call.raise_first_fault", None)
    assert np.isfinite(dp_value(dag, theta, omega, end=dag.ends_of((3, 4)))).all()


# ------------------------------------------------------------------------------------------ starts


@over_operators()
@pytest.mark.parametrize("items", [3, 20])
def test_a_start_of_its_own_forbids_the_others(omega, items):
    dag, rng = compile(trellis(4, 3, "all")), np.random.default_rng(0)
    theta, z = rng.normal(size=(2, items, 4, 3, 3))
    starts = rng.integers(0, 3, items)
    other = np.zeros((items, 4, 3, 3), bool)
    other[:, 0] = np.arange(3) != starts[:, None, None]
    forbidden = np.where(other, -np.inf, theta)
    value, path = dp_value_and_grad(dag, theta, omega, start=starts)
    want, edges = dp_value_and_grad(dag, forbidden, omega)
    np.testing.assert_array_equal(value, want)
    np.testing.assert_array_equal(path, edges)
    np.testing.assert_array_equal(dp_value(dag, np.where(other, np.nan, theta), omega, start=starts), value)
    np.testing.assert_allclose(reference.dp_value(dag, theta, omega, start=starts), value)
    for ours, theirs in zip(
        dp_jvp_and_hvp(dag, theta, z, omega, start=starts), dp_jvp_and_hvp(dag, forbidden, z, omega), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    q = local_weights(dag, theta, omega, start=starts)
    np.testing.assert_allclose(q, reference.local_weights(dag, theta, omega, start=starts), atol=1e-9)


def test_starts_with_names_one_for_all_and_beside_ends():
    graph = Graph(ends=["c", "d"])
    for edge in [("a", "c"), ("b", "c"), ("b", "d"), ("x", "y")]:
        graph.add_edge(*edge)
    dag, theta = compile(graph), np.array([1.0, 2.0, 4.0, 8.0])
    assert dp_value(dag, theta, HardMax()) == 4.0
    assert dp_value(dag, theta, HardMax(), start="a") == 1.0
    assert dp_value(dag, theta, HardMax(), start=["a", "b"], end="c").tolist() == [1.0, 2.0]
    assert dp_value(dag, theta, HardMax(), start="a", end="d") == -np.inf
    assert dp_value(dag, theta, HardMax(), start=["a", "b"], end=["a", "a"]).tolist() == [0.0, -np.inf]
    assert dp_value(dag, theta, HardMax(), start="x") == -np.inf, "it leads to no end"
    assert not dp_grad(dag, theta, HardMax(), start="x").any()
    assert dp_value(dag, theta, HardMax(), start=[["a"], ["b"]], end=["c", "d"]).tolist() == [
        [1.0, -np.inf],
        [2.0, 4.0],
    ]
    with pytest.raises(InputError, match=r"start 'c' is no start of the graph; expected one of 3, such as \['a', 'b'"):
        dp_value(dag, theta, start="c")
    with pytest.raises(InputError, match=r"do not broadcast, at end: start \(3,\), end \(2,\)"):
        dp_value(dag, theta, start=["a"] * 3, end=["c"] * 2)
    with pytest.raises(InputError, match="item 1 has no path"):
        dp_value(dag, theta, start=["a", "x"], on_infeasible="raise")
    with pytest.raises(InputError, match="start= takes one graph at a time"):
        dp_value(dagdp.compile_batch([dag]), [theta], start="a")


# ------------------------------------------------------------------------------------------ the batch


def one_by_one(function, dag, theta, others, ends):
    """What the function gives for each item alone."""
    return [function(dag, theta[k], *(z[k] for z in others), SquaredL2(0.5), end=ends[k]) for k in range(len(ends))]


@combinations(lambda items, dtype: dtype == "float64", items=[3, 17], dtype=["float32", "float64"])
def test_the_batch_is_the_broadcast_of_theta_z_and_end(items, dtype):
    """One array is data: it is expanded to the batch, and so are its gradients."""
    dag, rng = compile(trellis(4, 2, ragged=True)), np.random.default_rng(0)
    theta, z = (rng.normal(size=(items, 4, 2, 2)).astype(dtype) for _ in range(2))
    ends = dag.ends_of(rng.integers(1, 5, items))
    for one, own_z, own_end in (
        (theta[0], z, ends),
        (theta[:1], z, int(ends[0])),
        (theta, z[0], ends),
        (theta[0], z[0], ends),
    ):
        full = np.broadcast_to(one, theta.shape), np.broadcast_to(own_z, z.shape), np.broadcast_to(own_end, items)
        value, path = dp_value_and_grad(dag, np.broadcast_to(one, theta.shape), SquaredL2(0.5), end=own_end)
        slope, change = dp_jvp_and_hvp(dag, one, own_z, SquaredL2(0.5), end=own_end)
        assert slope.shape == (items,) and change.shape == theta.shape and change.dtype == dtype
        alone = one_by_one(dp_hvp, dag, full[0], [full[1]], full[2])
        np.testing.assert_allclose(change, alone, atol=1e-5 if dtype == "float32" else 1e-12)
        if one.ndim == 3 and np.ndim(own_end):
            assert dp_value(dag, one, SquaredL2(0.5), end=own_end).tolist() == value.tolist()
            np.testing.assert_array_equal(dp_grad(dag, one, SquaredL2(0.5), end=own_end), path)
            assert dagdp.local_weights(dag, one, SquaredL2(0.5), end=own_end).shape == (items, dag.graph.num_edges)
            np.testing.assert_allclose(reference.dp_grad(dag, one, SquaredL2(0.5), end=own_end), path, atol=1e-5)
    table = dp_value(dag, theta[:, None], SquaredL2(0.5), end=ends)  # every theta with every end
    assert table.shape == (items, items)
    assert np.diagonal(table).tolist() == dp_value(dag, theta, SquaredL2(0.5), end=ends).tolist()


def test_a_fault_is_named_by_its_place_in_the_users_own_array():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2], ends=[1, 2]))
    with pytest.raises(InputError, match=r"theta\[1\] is nan"):
        dp_value(dag, np.array([1.0, np.nan, 2.0]), end=[1, 2])
    with pytest.raises(InputError, match=r"theta\[0, 1\] is nan"):
        dp_value(dag, np.array([[1.0, np.nan, 2.0]]), end=[1, 1, 2])
    with pytest.raises(InputError, match=r"theta\[1, 0, 1\] is nan"):
        dp_value(dag, np.array([[[1.0, 3.0, 2.0]], [[1.0, np.nan, 2.0]]]), end=[1, 1, 2])


# ------------------------------------------------------------------------------------------ items without a path


@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
@pytest.mark.parametrize("items", [(), (4,), (17,)], ids=str)
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(1.0), SquaredL2(1.0)], ids=repr)
@pytest.mark.parametrize("name", ["edges", "nodes"])
def test_an_end_may_be_a_start_or_out_of_reach(name, omega, items, minimize):
    """A path of no edges has value 0; an item without a path -inf; both gradients 0, and the others' as they are."""
    edges, potentials = ([0, 0, 1, 4], [1, 2, 2, 5]), {"w": (6, [1, 2, 2, 5])}
    graph = Graph.from_edges(*edges, starts=[0], ends=[1, 2], potentials=potentials if name == "nodes" else None)
    dag, rng = compile(graph), np.random.default_rng(1)
    lead = [1 if items == () else items[0]][0]
    theta, z = (rng.normal(size=(lead, 6 if name == "nodes" else 4)) for _ in range(2))
    ends = np.resize([2, 0, 5, 1], lead) if items else 5
    if items == ():
        theta, z = theta[0], z[0]
    theta, z = (theta, z) if name == "edges" else ({"w": theta}, {"w": z})
    none = np.inf if minimize else -np.inf
    made = [dp_value_and_grad(dag, theta, omega, end=ends, minimize=minimize)]
    made.append(dp_jvp_and_hvp(dag, theta, z, omega, end=ends, minimize=minimize))
    oracle = [reference.dp_value_and_grad(dag, theta, omega, end=ends, minimize=minimize)]
    oracle.append(reference.dp_jvp_and_hvp(dag, theta, z, omega, end=ends, minimize=minimize))
    for (number, path), (expected, other) in zip(made, oracle, strict=True):
        np.testing.assert_allclose(number, expected, atol=1e-12)
        path, other = (p["w"] if isinstance(p, dict) else p for p in (path, other))
        np.testing.assert_allclose(path, other, atol=1e-12)
        empty = np.isin(np.broadcast_to(ends, items), [0, 5])
        assert not path[empty].any() and np.signbit(path[empty]).sum() == 0
    value = made[0][0]
    assert (value == np.where(np.broadcast_to(ends, items) == 5, none, value)).all()
    assert (value == np.where(np.broadcast_to(ends, items) == 0, 0.0, value)).all()
    q = dagdp.local_weights(dag, theta, omega, end=ends, minimize=minimize)
    np.testing.assert_allclose(q, reference.local_weights(dag, theta, omega, end=ends, minimize=minimize), atol=1e-12)


def test_nan_behind_a_start_is_never_read():
    dag, theta = compile(Graph.from_edges([0, 0, 1], [1, 2, 2], ends=[1, 2])), np.full((2, 3), np.nan)
    theta[1] = [1.0, 2.0, 5.0]
    value, path = dp_value_and_grad(dag, theta, Negentropy(1.0), end=[0, 1])
    assert value.tolist() == [0, 1] and path.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert dp_value(dag, theta[0], end=0) == 0 and dp_grad(dag, theta[0], end=0).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "function", [dp_value, dp_grad, dp_value_and_grad, dp_jvp, dp_hvp, dp_jvp_and_hvp], ids=lambda f: f.__name__
)
def test_on_infeasible_names_the_items(function):
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    theta = np.zeros((2, 3, 3))
    theta[1, 2] = theta[0, 1] = -np.inf
    directions = [np.zeros(3)] if "jvp" in function.__name__ or "hvp" in function.__name__ else []
    for own in (dagdp, reference):
        call = getattr(own, function.__name__)
        with pytest.raises(InputError, match=r"items 0, 1; 1, 2 have no path: .* on_infeasible='raise' was given"):
            call(dag, theta, *directions, on_infeasible="raise")
        with pytest.raises(InputError, match="there is no path"):
            call(dag, -theta[1, 2], *directions, minimize=True, on_infeasible="raise")
        call(dag, theta[1, 1], *directions, on_infeasible="raise")
        with pytest.raises(InputError, match="on_infeasible is 'nan'; expected 'value'"):
            call(dag, theta, *directions, on_infeasible="nan")


# ------------------------------------------------------------------------------------------ the range of floats


def of_the_type(omega, items, shape, dtype):
    """The closed form on edges alone: test_special_scaled.py passes its range on nodes."""
    return one_of_each_solver_and_type(omega, dtype) and (shape == "edges" or not isinstance(omega, Negentropy))


@combinations(of_the_type, omega=OPERATORS, items=[1, 17], shape=["nodes", "edges"], dtype=["float32", "float64"])
def test_a_sum_beyond_the_largest_float_is_an_error_and_never_nan(omega, items, shape, dtype):
    """The other way round, towards -inf, the limit is right: no path."""
    potentials = {"w": (5, [1, 2, 2, 3])} if shape == "nodes" else None
    dag = compile(Graph.from_edges([0, 0, 1, 2], [1, 2, 2, 3], potentials=potentials))
    largest = np.finfo(dtype).max
    huge = np.full((items, 5 if potentials else 4), largest / 1.7, dtype)

    def given(array):
        return {"w": array} if potentials else array

    for function, directions in ((dp_value, []), (dp_grad, []), (dp_hvp, [given(huge * 0)])):
        more = re.escape(f"more than {largest:.2g}, the largest {dtype}")
        with pytest.raises(InputError, match=f"value of item 0 is not finite: .* {more}"):
            function(dag, given(huge), *directions, omega)
    with pytest.raises(InputError, match="derivative in the direction of z of item 0 is not finite"):
        dp_jvp(dag, given(huge * 0), given(huge), omega)
    value, path = dp_value_and_grad(dag, given(-huge), omega)
    path = path["w"] if potentials else path
    assert value.tolist() == [-np.inf] * items and not path.any()
    half = dp_grad(dag, given(huge / 4), omega)
    assert np.isfinite(half["w"] if potentials else half).all()


def test_the_range_is_that_of_the_type():
    dag, huge = compile(Graph.from_edges([0, 0, 1, 2], [1, 2, 2, 3])), np.full(4, 2e38, np.float32)
    with pytest.raises(InputError, match=r"more than 3.4e\+38, the largest float32"):
        dp_value(dag, huge, Negentropy(1.0))
    assert np.isfinite(dp_value(dag, huge.astype(np.float64), Negentropy(1.0)))


def test_half_types_have_a_range_of_their_own():
    """They are computed in float32, and handed back in float16, whose largest number is 65504."""
    dag, theta = compile(Graph.from_edges([0, 1], [1, 2])), np.full(2, 6e4, np.float16)
    for call in (dp_value, lambda dag, theta: dp_value(dagdp.compile_batch([dag]), [theta])):
        with pytest.raises(InputError, match=r"sum to more than 6.6e\+04, the largest float16"):
            call(dag, theta)
    assert dp_value(dag, theta / 2) == 6e4 and dp_value(dag, np.full(2, -np.inf, np.float16)) == -np.inf


def test_overflow_in_a_batch_of_graphs_is_named():
    graph = Graph.from_edges([0, 1], [1, 2])
    theta = [np.zeros(2, np.float32), np.full(2, 2e38, np.float32)]
    with pytest.raises(InputError, match="value of item 1 is not finite"):
        dp_value(dagdp.compile_batch([graph, graph]), theta, Negentropy(1.0))


def test_overflow_behind_an_end_is_nobodys():
    dag = compile(Graph.from_edges([0, 1, 2], [1, 2, 3], ends=[1, 3]))
    theta = np.array([[1.0, 1e308, 1e308], [1.0, 2.0, 3.0]])
    assert dp_value(dag, theta, HardMax(), end=[1, 3]).tolist() == [1, 6]


@over_operators()
def test_zeros_have_no_sign_when_minimising(omega):
    dag = compile(dtw_grid(3, 3))
    results = (
        dp_value(dag, np.zeros((3, 3)), omega, minimize=True),
        *dp_jvp_and_hvp(dag, np.zeros((3, 3)), np.zeros((3, 3)), omega, minimize=True),
    )
    assert not any(np.signbit(result[result == 0]).any() for result in map(np.asarray, results))


def test_masked_entries_are_refused():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    masked = np.ma.masked_greater([1.0, 2.5, 2.0], 2.2)
    for function, arrays in ((dp_value, [masked]), (dp_hvp, [np.zeros(3), masked]), (reference.dp_grad, [masked])):
        with pytest.raises(
            InputError, match=r"is a masked array, and 1 of its entries are masked; .* \.filled\(value\)"
        ):
            function(dag, *arrays)
    with pytest.raises(InputError, match=r"theta\[0\] is a masked array"):
        dp_value(dagdp.compile_batch([dag]), [masked])
    assert dp_value(dag, masked.filled(-np.inf), HardMax()) == 3
    assert dp_value(dag, np.ma.array([1.0, 2.5, 2.0]), HardMax()) == 3


def test_what_only_dead_edges_read_may_be_nan():
    dag = compile(GRAPHS["dead ends"]())
    theta = np.array([1.0, 2.0, 3.0, 4.0, np.nan, np.nan])
    value, path = dp_value_and_grad(dag, theta, Negentropy(1.0))
    assert np.isfinite(value) and path[4:].tolist() == [0, 0]


def calls_made(function):
    """How many functions, of Python or C, one call of `function` calls: the same on every machine, busy or not."""
    function(), function()
    count = 0

    def see(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # others hang functions on the collector
    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return count


def test_a_small_call_is_mostly_its_kernel():
    """Time before the kernel starts is Python's; on one machine 143 calls took 18 µs and 174 took 28."""
    dag, theta = compile(Graph.from_edges([0, 0, 1], [1, 2, 2])), np.array([1.0, 2.5, 2.0])
    assert calls_made(lambda: dp_value(dag, theta, threads=1)) < 50
    assert calls_made(lambda: dp_value_and_grad(dag, theta, threads=1)) < 70


def test_a_call_of_a_form_that_was_met_is_checked_again():
    """What hangs on the numbers, or on options that only look alike."""
    dag, theta = compile(Graph.from_edges([0, 0, 1], [1, 2, 2])), np.array([1.0, 2.5, 2.0])
    for _ in range(2):
        assert dp_value(dag, theta, HardMax(), threads=1) == 3
        assert dp_value(dag, theta, HardMax(), minimize=True, threads=1) == 2.5
        assert dp_value(dag, theta.astype("f4"), HardMax()).dtype == "f4"
        assert dp_value(dag, np.stack([theta, 2 * theta]), HardMax()).tolist() == [3, 6]
        assert (
            dp_value(dag, theta, SquaredL2(1.0))
            == dp_value(dag, theta, SquaredL2(1))
            == dp_value(dag, [*theta], SquaredL2(1.0))
        )
        assert dp_value(dag, theta, SquaredL2(2.0)) != dp_value(dag, theta, SquaredL2(1.0))
        np.testing.assert_array_equal(
            dp_hvp(dag, theta, theta, SquaredL2(1.0)), dp_hvp(dag, [*theta], [*theta], SquaredL2(1.0))
        )
        with pytest.raises(InputError, match=r"theta\[1\] is nan"):
            dp_value(dag, np.array([1.0, np.nan, 2.0]), HardMax(), threads=1)
        with pytest.raises(InputError, match=r"z\[1\] is inf"):
            dp_hvp(dag, theta, np.array([1.0, np.inf, 2.0]), SquaredL2(1.0))
        for threads in (1.0, 0):
            with pytest.raises(InputError, match="threads is"):
                dp_value(dag, theta, HardMax(), threads=threads)
    locked = theta.copy()
    locked.flags.writeable = False
    assert dp_value(dag, locked, HardMax(), threads=1) == 3


def test_ends_of_a_form_that_was_met_are_looked_at_anew():
    """Other nodes, nodes that are none, and names."""
    graph, theta = Graph.from_edges([0, 0, 1], [1, 2, 2], ends=[1, 2]), np.array([1.0, 2.5, 2.0])
    dag, both = compile(graph), np.stack([theta, 2 * theta])
    for _ in range(2):
        for ends, values in (([1, 2], [1, 6]), ([2, 1], [3, 2]), ([2, 2], [3, 6])):
            assert dp_value(dag, both, HardMax(), end=np.array(ends)).tolist() == values
            assert dp_value(dag, theta, HardMax(), end=np.array(ends)).tolist() == [{1: 1, 2: 3}[e] for e in ends]
            assert dp_value(dag, theta, HardMax(), end=np.array(ends[0])) == {1: 1, 2: 3}[ends[0]]
            paths = dp_grad(dag, both, HardMax(), end=np.array(ends))
            assert paths.tolist() == [[1.0, 0, 0] if e == 1 else [1.0, 0, 1] for e in ends]
        with pytest.raises(InputError, match="end 7 is no node"):
            dp_value(dag, both, HardMax(), end=np.array([1, 7]))
        assert dp_value(dag, both, HardMax(), end=np.array([0, 1])).tolist() == [0, 2]
        with pytest.raises(InputError, match="end has dtype float64"):
            dp_value(dag, both, HardMax(), end=np.array([1.0, 2.0]))
    assert any(form[3] is not None for form in dag.calls)
    graph = Graph(ends=["b", "c"])
    graph.add_edge("a", "b")
    graph.add_edge("b", "c")
    named = compile(graph)
    for ends, values in ((["b", "c"], [1, 6]), (["c", "b"], [3, 1]), (["b", "b"], [1, 1])):
        assert dp_value(named, [[1.0, 2.0], [1.0, 5.0]], HardMax(), end=np.array(ends)).tolist() == values
        assert dp_value(named, np.array([[1.0, 2.0], [1.0, 5.0]]), HardMax(), end=np.array(ends)).tolist() == values


def test_forms_of_calls_are_few_and_hold_no_array():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    for items in range(1, 100):
        theta = np.ones((items, 3))
        dp_value(dag, theta)
        dp_hvp(dag, theta, theta)
    assert 1 < len(dag.calls) <= 32
    seen = weakref.ref(theta)
    del theta
    assert seen() is None


def test_named_potentials_in_any_order_have_their_own_arrays():
    graph = Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"a": ((2,), [0, 1, -1]), "b": ((3,), [0, -1, 2])})
    dag, a, b = compile(graph), np.array([1.0, 4.0]), np.array([2.0, 0.0, 3.0])
    for _ in range(2):
        assert dp_value(dag, {"a": a, "b": b}, HardMax()) == dp_value(dag, {"b": b, "a": a}, HardMax()) == 6
        path = dp_grad(dag, {"b": b, "a": a}, HardMax())
        assert path["a"].tolist() == [1, 0] and path["b"].tolist() == [1, 0, 1]
