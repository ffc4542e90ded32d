"""Linear potentials on NumPy arrays: against enumerated paths over weights from a dense matrix, and the reference."""

from __future__ import annotations

import pickle

import linear_cases
import numpy as np
import oracles
import pytest
from cases import OPERATORS, SMOOTH, over_operators
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_cases import EDGES, ENDS, edge_weights, entry_gradients, linear
from strategies import problems

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy

DAG = dagdp.compile(linear())


def close(found, wanted, **tolerance):
    assert set(found) == set(wanted)
    for name in wanted:
        assert found[name].shape == np.shape(wanted[name])
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-9, **tolerance)


@over_operators(OPERATORS)
@pytest.mark.parametrize("minimize", [False, True])
def test_value_and_gradient_are_those_of_enumerated_paths(omega, minimize):
    theta = linear_cases.random_theta(np.random.default_rng(1), (3,), shared=["gap"])
    sign = -1.0 if minimize else 1.0
    wanted = [
        oracles.walk_back(EDGES, sign * w, [0], ENDS, oracles.row_solver(omega)) for w in edge_weights(theta, (3,))
    ]
    value, E = dagdp.dp_value_and_grad(DAG, theta, omega, minimize=minimize)
    np.testing.assert_allclose(value, [sign * own for own, _ in wanted], atol=1e-9)
    close(E, entry_gradients(np.array([flow for _, flow in wanted]), theta))
    for own, other in ((dagdp.dp_value, value), (dagdp.reference.dp_value, value)):
        np.testing.assert_allclose(own(DAG, theta, omega, minimize=minimize), other, atol=1e-9)
    close(dagdp.dp_grad(DAG, theta, omega, minimize=minimize), E)
    close(dagdp.reference.dp_grad(DAG, theta, omega, minimize=minimize), E)


@over_operators(SMOOTH)
def test_the_hessian_product_is_the_difference_of_gradients(omega):
    rng = np.random.default_rng(2)
    theta = linear_cases.random_theta(rng, (3,), shared=["gap", "kind"])
    z = linear_cases.random_theta(rng, (3,), shared=["kind"])

    def path(step):
        moved = {name: theta[name] + step * z[name] for name in theta}
        E = dagdp.dp_grad(DAG, moved, omega)
        return {**E, "gap": E["gap"].sum(0)}  # z moves it item by item

    slope, H = dagdp.dp_jvp_and_hvp(DAG, theta, z, omega)
    ahead, behind = path(1e-5), path(-1e-5)
    close(H, {name: (ahead[name] - behind[name]) / 2e-5 for name in H}, rtol=1e-4)
    E = dagdp.dp_grad(DAG, {**theta, "gap": np.full(3, theta["gap"]), "kind": np.tile(theta["kind"], (3, 1))}, omega)
    flat = {name: (E[name] * z[name]).reshape(3, -1).sum(-1) for name in z}
    np.testing.assert_allclose(slope, sum(flat.values()), atol=1e-9)
    np.testing.assert_allclose(dagdp.dp_jvp(DAG, theta, z, omega), slope)
    close(dagdp.dp_hvp(DAG, theta, z, omega), H)
    wanted = dagdp.reference.dp_jvp_and_hvp(DAG, theta, z, omega)
    np.testing.assert_allclose(wanted[0], slope, atol=1e-9)
    close(H, wanted[1])
    close(
        dagdp.dp_hvp(DAG, theta, z, omega, minimize=True), dagdp.reference.dp_hvp(DAG, theta, z, omega, minimize=True)
    )


@given(problems(forbidden=False), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_random_graphs_with_random_reads(problem, seed):
    edges, _ = problem
    rng = np.random.default_rng(seed)
    starts, ends = oracles.terminals(edges)
    k, size = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    index = rng.integers(-1, size, (len(edges), k)).tolist()
    coefficient = rng.choice([0.0, 1.0, -1.0, 0.5, 3.0], (len(edges), k)).tolist()
    matrix, theta = oracles.reading_matrix(size, index, coefficient), rng.normal(size=size)
    parents, children = zip(*edges, strict=True)
    potentials = {"cost": (size, index, coefficient)}
    dag = dagdp.compile(Graph.from_edges(parents, children, starts=starts, ends=ends, potentials=potentials))
    value, flow = oracles.walk_back(edges, matrix @ theta, starts, ends, oracles.row_solver(Negentropy(0.7)))
    found, E = dagdp.dp_value_and_grad(dag, theta, Negentropy(0.7))
    np.testing.assert_allclose(found, value, atol=1e-9)
    np.testing.assert_allclose(E, flow @ matrix, atol=1e-9)


def test_ends_and_starts_of_items():
    theta = linear_cases.random_theta(np.random.default_rng(3), (4,))
    rows = edge_weights(theta, (4,))
    theta["cost"][0, 1] = np.nan  # no edge into node 1, where item 0 ends, reads these entries
    ends = np.array([1, 3, 4, 0])
    dag = dagdp.compile(linear(ends=[1, 2, 3, 4]))
    value, E = dagdp.dp_value_and_grad(dag, theta, Negentropy(), end=ends)
    for b, end in enumerate(ends.tolist()):
        if end == 0:
            assert value[b] == 0 and not any(E[name][b].any() for name in E)
            continue
        total, flow = oracles.walk_back(EDGES, rows[b], [0], [end], oracles.row_solver(Negentropy()))
        np.testing.assert_allclose(value[b], total)
        own = {name: block[b] for name, block in theta.items()}
        close({name: E[name][b] for name in E}, entry_gradients(flow, own))
    with pytest.raises(
        InputError, match=r"^theta\['cost'\]\[0, 1, 0\] is nan, which edge 2 reads 2 times; expected a n"
    ):
        dagdp.dp_value(dag, theta, end=3)


def test_batches_broadcast_and_parameters_get_the_sum():
    theta = linear_cases.random_theta(np.random.default_rng(4))
    ends = np.array([[3], [4]])
    value, E = dagdp.dp_value_and_grad(DAG, theta, end=ends)
    parts = [dagdp.dp_value_and_grad(DAG, theta, end=end) for end in (3, 4)]
    assert value.shape == (2, 1)
    np.testing.assert_allclose(value.ravel(), [own for own, _ in parts])
    close(E, {name: parts[0][1][name] + parts[1][1][name] for name in E})
    alone = dagdp.compile(Graph.from_edges([0, 0], [1, 1], potentials={"cost": (2, [[0, 1], [1, 1]], 0.5)}))
    data = dagdp.dp_grad(alone, [1.0, 2.0], end=np.array([1, 1, 1]))  # an array is data
    assert data.shape == (3, 2) and (data == data[0]).all()
    assert dagdp.dp_grad(alone, {"cost": [1.0, 2.0]}, end=np.array([1, 1, 1]))["cost"].shape == (2,)


def test_a_sum_decides_whether_an_edge_is_forbidden():
    graph = Graph.from_edges([0, 0], [1, 1], potentials={"a": (2, [[0, 1], [1, -1]], [[-1.0, 2.0], [1.0, 1.0]])})
    dag = dagdp.compile(graph)
    assert dagdp.dp_grad(dag, [np.inf, 3.0], HardMax()).tolist() == [0.0, 1.0]  # -1 x inf forbids edge 0
    assert dagdp.dp_grad(dag, [-np.inf, 3.0], HardMax(), minimize=True).tolist() == [0.0, 1.0]
    value, E = dagdp.dp_value_and_grad(dag, [[0.0, -np.inf], [0.0, 1.0]], HardMax())
    assert value.tolist() == [-np.inf, 2.0] and E.tolist() == [[0, 0], [-1, 2]]
    with pytest.raises(InputError, match=r"^theta\[0\] is -inf, which edge 0 reads -1 times; expected less than infin"):
        dagdp.dp_value(dag, [-np.inf, 3.0])
    with pytest.raises(InputError, match=r"^theta\[1, 0\] is -inf, which edge 0 reads -1 times"):
        dagdp.dp_value(dag, [[1.0, 1.0], [-np.inf, -np.inf]])  # inf - inf
    with pytest.raises(InputError, match=r"^theta\[0\] is inf, which edge 0 reads -1 times; expected more than -infin"):
        dagdp.reference.dp_value(dag, [np.inf, 3.0], minimize=True)
    with pytest.raises(InputError, match=r"^z\[1\] is inf, which edge 0 reads 2 times; expected a finite direction"):
        dagdp.dp_jvp(dag, [1.0, 3.0], [0.0, np.inf])
    with pytest.raises(InputError, match=r"the weight of edge 0 is inf: its entries of theta, .* largest float32"):
        dagdp.dp_value(dag, np.array([0.0, 3e38], np.float32))
    with pytest.raises(InputError, match="item 0 has no path"):
        dagdp.dp_value(dag, [[0.0, -np.inf], [0.0, 1.0]], on_infeasible="raise")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_results_have_the_types_of_theta(dtype):
    theta = {
        name: (4 * block).astype(dtype)
        for name, block in linear_cases.random_theta(np.random.default_rng(5), (2,)).items()
    }
    theta["gap"] = theta["gap"][0]
    value, E = dagdp.dp_value_and_grad(DAG, theta)
    kept = np.float64 if dtype == "int64" else dtype
    assert value.dtype == kept and all(E[name].dtype == kept and E[name].shape == theta[name].shape for name in E)
    exact, wanted = dagdp.dp_value_and_grad(DAG, {name: block.astype(float) for name, block in theta.items()})
    np.testing.assert_allclose(value, exact, rtol=1e-3 if dtype == "float16" else 1e-6)
    for name in E:
        np.testing.assert_allclose(E[name], wanted[name], atol=4e-3 if dtype == "float16" else 1e-5)
    mixed = dagdp.dp_grad(DAG, {**theta, "gap": np.float64(1.0)})
    assert mixed["cost"].dtype == kept and mixed["gap"].dtype == np.float64 and mixed["gap"].shape == ()


def test_local_weights_are_those_of_the_sums():
    theta = linear_cases.random_theta(np.random.default_rng(6), (2,))
    q = dagdp.local_weights(DAG, theta)
    np.testing.assert_allclose(q, dagdp.local_weights(DAG.plain, edge_weights(theta, (2,))), atol=1e-12)
    np.testing.assert_allclose(q, dagdp.reference.local_weights(DAG, theta), atol=1e-9)


def test_the_compiled_graph_says_what_it_is():
    text = DAG.explain()
    assert "linear    21 reads make the weights of 9 edges" in text and "potential cost (2, 3): linear" in text
    assert [potential.name for potential in DAG.potentials] == ["cost", "gap", "kind"]
    assert DAG.num_edges == DAG.plain.num_edges and DAG.ends.tolist() == ENDS
    theta = linear_cases.random_theta(np.random.default_rng(7))
    again = pickle.loads(pickle.dumps(DAG))
    assert dagdp.dp_value(again, theta) == dagdp.dp_value(DAG, theta)
    with pytest.raises(InputError, match="expected exactly"):
        dagdp.dp_value(DAG, {"cost": theta["cost"]})
    with pytest.raises(InputError, match="z is None"):
        dagdp.dp_jvp(DAG, theta, None)


def other() -> Graph:
    """A graph with equal names, one of whose potentials is linear."""
    reads = {"cost": ((2, 3), [5, 2, -1]), "gap": ((), [0, 0, -1], 3.0), "kind": ((2,), [0, 1, 1])}
    return Graph.from_edges([0, 0, 1], [1, 2, 2], potentials=reads)


def unreached() -> Graph:
    return Graph.from_edges(
        [0],
        [1],
        num_nodes=3,
        starts=[0],
        ends=[2],
        potentials={"cost": ((2, 3), [[0, 1]]), "gap": ((), [0]), "kind": (2, [0])},
    )


@pytest.mark.parametrize("shared", [[], ["gap"], ["cost", "gap", "kind"]])
def test_a_batch_of_graphs_is_each_graph_alone(shared):
    rng, omega = np.random.default_rng(8), Negentropy(0.7)
    graphs = [linear(), other(), unreached(), linear()]
    batch = dagdp.compile_batch(graphs, shared=shared)
    assert "linear    " in batch.explain()
    batch = pickle.loads(pickle.dumps(batch))
    rows = [linear_cases.random_theta(rng, (3,)) for _ in graphs]
    for name in shared:
        for row in rows:
            row[name] = rows[0][name]
    theta = {name: rows[0][name] if name in shared else [row[name] for row in rows] for name in rows[0]}
    value, E = dagdp.dp_value_and_grad(batch, theta, omega)
    slope, H = dagdp.dp_jvp_and_hvp(batch, theta, theta, omega)
    pairs = list(zip(batch.alone, rows, [None, None, 2, None], strict=True))
    parts = [dagdp.dp_value_and_grad(dag, row, omega, end=end) for dag, row, end in pairs]
    turns = [dagdp.dp_jvp_and_hvp(dag, row, row, omega, end=end) for dag, row, end in pairs]
    np.testing.assert_allclose(value, np.stack([own for own, _ in parts], -1), atol=1e-9)
    np.testing.assert_allclose(slope, np.stack([own for own, _ in turns], -1), atol=1e-9)
    assert (value[:, 2] == -np.inf).all()
    for found, wanted in ((E, parts), (H, turns)):
        for name in theta:
            own = [one[name] for _, one in wanted]
            if name in shared:
                np.testing.assert_allclose(found[name], sum(own), atol=1e-9)
            else:
                for g in range(len(graphs)):
                    np.testing.assert_allclose(found[name][g], own[g], atol=1e-9)
    some = dagdp.dp_value(batch, theta, omega, end=[3, None, None, 4])
    np.testing.assert_allclose(some[:, 0], dagdp.dp_value(batch.alone[0], rows[0], omega, end=3))


def test_faults_of_a_batch_of_graphs_name_the_graph():
    batch = dagdp.compile_batch([other(), linear()])
    theta = [linear_cases.random_theta(np.random.default_rng(9)) for _ in range(2)]
    theta[1]["gap"] = np.float64(np.nan)
    with pytest.raises(InputError, match=r"^theta\[1\]\['gap'\] is nan, which edge 0 reads -1 times"):
        dagdp.dp_value(batch, theta)
    theta[1]["gap"] = np.float64(1.0)
    theta[0]["cost"][0, 2] = np.inf
    with pytest.raises(InputError, match=r"^theta\[0\]\['cost'\]\[0, 2\] is inf; expected less"):
        dagdp.dp_grad(batch, theta)


def test_a_text_with_coefficients_is_dtw_with_a_step_pattern():
    text = """
        v[0, 0] = cost[0, 0]
        v[i, j] = min(v[i-1, j-1] + 2 * cost[i, j], v[i-1, j] + cost[i, j], v[i, j-1] + cost[i, j] - gap)
        return v[-1, -1]
    """
    dag = dagdp.compile(dagdp.recurrence(text, i=5, j=6))
    cost, gap = np.random.default_rng(0).random((5, 6)), 0.1
    least = np.full((6, 7), np.inf)
    least[1, 1] = cost[0, 0]
    for i, j in np.ndindex(5, 6):
        if i or j:
            c = cost[i, j]
            least[i + 1, j + 1] = min(least[i, j] + 2 * c, least[i, j + 1] + c, least[i + 1, j] + c - gap)
    theta = {"cost": cost, "gap": np.float64(gap)}
    found = dagdp.dp_value(dag, theta, HardMax(), minimize=True)
    np.testing.assert_allclose(found, least[-1, -1])
    plain = dagdp.recurrence("v[0] = 1 * cost[0]\nv[i] = v[i-1] + 1.0 * cost[i]\nreturn v[-1]", i=3)
    assert dagdp.compile(plain).plain is None


def test_hyperedges_with_coefficients_that_are_costs():
    text = """
        c[i, i+1] = lexical[i]
        c[i, k] = min[j](when(i < j and j < k, c[i, j] + c[j, k]) + 2 * rule[i, j] - 0.5 * rule[j, k])
        return c[0, -1]
    """
    dag = dagdp.compile(dagdp.recurrence(text, i=5, j=6, k=6))
    rng = np.random.default_rng(0)
    theta = {"lexical": rng.normal(size=5), "rule": rng.normal(size=(6, 6))}
    lexical, rule = theta["lexical"], theta["rule"]

    def least(i, k):
        if k == i + 1:
            return lexical[i]
        inner = range(i + 1, k)
        return -np.logaddexp.reduce([-(least(i, j) + least(j, k) + 2 * rule[i, j] - 0.5 * rule[j, k]) for j in inner])

    value, E = dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))  # the text says that theta are costs
    np.testing.assert_allclose(value, least(0, 5))
    close(E, dagdp.reference.dp_grad(dag, theta, Negentropy(1.0)))
    with pytest.raises(InputError, match=r"^theta\['rule'\]\[0, 1\] is -inf, which edge 1 reads 2 times; exp"):
        dagdp.dp_value(dag, {"lexical": lexical, "rule": np.full((6, 6), -np.inf)})
