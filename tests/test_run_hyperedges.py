"""Kernels on graphs with hyperedges: against the reference, enumerated derivations, and programs of the textbooks."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from cases import (
    OPERATORS,
    SMOOTH,
    cky,
    combinations,
    hypergraph,
    one_of_each_solver_and_type,
    over_operators,
    random_hypergraph,
    random_theta,
)
from hypothesis import given, settings
from oracles import central, derive_back, inside_outside, matrix_chain, row_solver
from strategies import hyperproblems

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, Negentropy, SquaredL2, reference

TOLERANCE = {"float64": 1e-9, "float32": 2e-5}
solver_and_type = {"omega": OPERATORS, "dtype": TOLERANCE}


def close(found, expected, dtype="float64"):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@combinations(one_of_each_solver_and_type, **solver_and_type)
def test_value_and_gradient_on_enumerated_derivations(omega, dtype):
    """One sample, whose rows hold nodes; and a batch, whose rows hold samples."""

    @settings(max_examples=25)
    @given(hyperproblems())
    def check(problem):
        edges, weights = problem
        weights = weights.astype(dtype)
        starts = [node for node in (0, 1) if node not in {child for _, child in edges}]
        end = max(child for _, child in edges)
        expected = derive_back(edges, weights.astype(float), starts, [end], row_solver(omega))
        dag = dagdp.compile(hypergraph(edges))
        for found, right in zip(dagdp.dp_value_and_grad(dag, weights, omega), expected, strict=True):
            close(found, right, dtype)
        for found, right in zip(dagdp.dp_value_and_grad(dag, np.tile(weights, (17, 1)), omega), expected, strict=True):
            close(found, np.broadcast_to(right, found.shape), dtype)

    check()


@combinations(one_of_each_solver_and_type, **solver_and_type)
def test_all_functions_against_the_reference(omega, dtype):
    """Levels wider than a row, more edges than a chunk, and items that end at different nodes."""
    dag = dagdp.compile(random_hypergraph((30, 40, 25), 300))
    rng = np.random.default_rng(1)
    theta, z = rng.normal(size=(2, 17, dag.graph.num_edges)).astype(dtype)
    end = rng.choice(dag.origin[dag.origin >= 30], 17)
    for rows, own in ((slice(None), end), (0, None)):
        one, direction = theta[rows], z[rows]
        found, right = (
            (
                *functions.dp_value_and_grad(dag, one, omega, end=own),
                *functions.dp_jvp_and_hvp(dag, one, direction, omega, end=own),
            )
            for functions in (dagdp, reference)
        )
        for result, expected in zip(found, right, strict=True):
            close(result, expected, dtype)


def test_value_slope_and_local_weights_alone():
    dag, omega = dagdp.compile(random_hypergraph((30, 40, 25), 300)), Negentropy(0.7)
    theta, z = np.random.default_rng(2).normal(size=(2, 9, dag.graph.num_edges))
    for rows in (slice(None), 0):
        close(dagdp.dp_value(dag, theta[rows], omega), reference.dp_value(dag, theta[rows], omega))
        close(dagdp.dp_jvp(dag, theta[rows], z[rows], omega), reference.dp_jvp(dag, theta[rows], z[rows], omega))
        q = dagdp.local_weights(dag, theta[rows], omega)
        close(q, reference.local_weights(dag, theta[rows], omega))
        into = np.zeros((dag.graph.num_nodes, q.shape[-1]))
        into[dag.graph.edges()[1], np.arange(q.shape[-1])] = 1
        sums = q @ into.T
        close(sums[np.abs(sums) > 0.5], 1.0)


def test_local_weights_before_an_inner_end():
    dag, omega = dagdp.compile(hypergraph([((0,), 1), ((0,), 2), ((1, 2), 3), ((0,), 4), ((3, 4), 5)])), Negentropy(0.7)
    q = dagdp.local_weights(dag, np.zeros(5), omega, end=3)
    assert q.tolist() == [1, 1, 1, 0, 0]


def test_hvp_is_the_derivative_of_the_gradient():
    dag = dagdp.compile(random_hypergraph((3, 4, 3), 9))
    theta, z = np.random.default_rng(3).normal(size=(2, dag.graph.num_edges))
    for omega in (Negentropy(0.7), SquaredL2(0.5)):
        slope = central(lambda t, omega=omega: dagdp.dp_grad(dag, theta + t * z, omega), 1e-4)
        np.testing.assert_allclose(dagdp.dp_hvp(dag, theta, z, omega), slope, atol=1e-6)


def test_values_of_both_parents_have_double_length():
    """In float32: v_j + v_k is about 20,000 for all splits of two chains, whose scores differ by about 1."""
    n, end = 2000, 2 * 2001
    steps = np.repeat(np.arange(n), 2)
    chains = [np.concatenate([steps + first, steps + first + 1]) for first in (0, n + 1)]
    single = np.concatenate([chain[: 2 * n] for chain in chains])
    parents = np.concatenate(
        [
            np.stack([single, np.full(single.size, -1)], 1),
            np.stack([np.arange(n + 1), n + 1 + np.arange(n, -1, -1)], 1),
        ]
    )
    children = np.concatenate([*(chain[2 * n :] for chain in chains), np.full(n + 1, end)])
    dag = dagdp.compile(Graph.from_edges(parents, children))
    theta = np.random.default_rng(4).normal(10, 0.02, dag.graph.num_edges).astype(np.float32)
    exact = dagdp.dp_grad(dag, theta.astype(float), Negentropy(1.0))
    np.testing.assert_allclose(dagdp.dp_grad(dag, theta, Negentropy(1.0)), exact, atol=1e-5)
    assert exact[-n:].max() < 0.9, "several splits count"


@over_operators()
def test_forbidden_edges(omega):
    """-inf at one of both parents forbids the hyperedge; an item without a derivation has value -inf."""
    dag = dagdp.compile(hypergraph([((0,), 1), ((0,), 2), ((1, 2), 3), ((2, 2), 3)]))
    theta = np.array([-np.inf, 1.0, 5.0, 0.5])
    value, E = dagdp.dp_value_and_grad(dag, np.stack([theta, [1.0, -np.inf, 0.0, 0.0]]), omega)
    alone = omega.gamma * 0 if isinstance(omega, HardMax) else reference.dp_value(dag, theta, omega) - 2.5
    close(value, [2.5 + alone, -np.inf])
    assert E.tolist() == [[0, 2, 0, 1], [0, 0, 0, 0]]


def test_ties_go_to_the_first_edge():
    dag = dagdp.compile(hypergraph([((0,), 1), ((1, 1), 2), ((0, 1), 2), ((1, 1), 2)]))
    assert dagdp.dp_grad(dag, [0.0, 0.0, 0.0, 0.0], HardMax()).tolist() == [2, 1, 0, 0]
    assert dagdp.dp_grad(dag, [0.0, -1.0, 0.0, 0.0], HardMax()).tolist() == [1, 0, 1, 0]


def test_several_ends_are_joined():
    graph = hypergraph([((0,), 1), ((1, 1), 2), ((1, 0), 3)], ends=[2, 3])
    theta, omega = np.array([0.3, -0.2, 0.9]), SquaredL2(0.5)
    expected = derive_back([((0,), 1), ((1, 1), 2), ((1, 0), 3)], theta, [0], [2, 3], row_solver(omega))
    for found, right in zip(dagdp.dp_value_and_grad(dagdp.compile(graph), theta, omega), expected, strict=True):
        close(found, right)


def test_start_that_another_start_reaches():
    """A derivation of node 1 is nothing, or edge 0; the parents of edge 1 choose for themselves."""
    theta, omega = np.array([0.7, -0.4]), Negentropy(1.0)
    dag = dagdp.compile(hypergraph([((0,), 1), ((1, 1), 2)], starts=[0, 1]))
    value, E = dagdp.dp_value_and_grad(dag, theta, omega)
    inner = math.exp(0.7) / (1 + math.exp(0.7))
    close(value, 2 * math.log(1 + math.exp(0.7)) - 0.4)
    close(E, [2 * inner, 1])
    for found, right in zip((value, E), reference.dp_value_and_grad(dag, theta, omega), strict=True):
        close(found, right)


def test_entries_out_of_range():
    """An entry counts where a derivation of the item's end reads it, over first or second parents."""
    dag = dagdp.compile(hypergraph([((0,), 1), ((0,), 2), ((1, 2), 3), ((3, 2), 4)]))
    theta = np.zeros((2, 4))
    theta[0, 3] = np.nan
    assert dagdp.dp_value(dag, theta, HardMax(), end=[3, 4]).tolist() == [0, 0]
    for backend in (None, "torch"):
        for entry in (0, 1):
            theta[0, entry] = np.inf
            given = theta if backend is None else pytest.importorskip("torch").as_tensor(theta)
            with pytest.raises(InputError, match=rf"theta\[0, {entry}\] is inf"):
                dagdp.dp_value(dag, given, end=[3, 4], backend=backend)
            theta[0, entry] = 0


def test_grammar_against_inside_outside():
    """Tied potentials, one of which the batch shares."""
    n, K = 5, 2
    dag, rng = dagdp.compile(cky(n, K)), np.random.default_rng(6)
    theta = {"lexical": rng.normal(size=(9, n, K)), "rule": rng.normal(size=(K, K, K))}
    value, E = dagdp.dp_value_and_grad(dag, theta, Negentropy(1.0))
    found = [inside_outside(words, theta["rule"]) for words in theta["lexical"]]
    close(value, [item[0] for item in found])
    close(E["lexical"], [item[1] for item in found])
    close(E["rule"], sum(item[2] for item in found))
    close(E["lexical"].sum((1, 2)), n)
    close(E["rule"].sum(), 9 * (n - 1))


def test_number_of_derivations_is_catalan():
    for n in (2, 6, 20):
        dag = dagdp.compile(cky(n, 1))
        value = dagdp.dp_value(dag, {"lexical": np.zeros((n, 1)), "rule": np.zeros((1, 1, 1))}, Negentropy(1.0))
        close(math.exp(value), math.comb(2 * n - 2, n - 1) // n)


def test_matrix_chain_order():
    """The textbook's example: ((A1 (A2 A3)) ((A4 A5) A6)), 15,125 multiplications."""
    sizes = [30, 35, 15, 5, 10, 20, 25]
    graph, costs = Graph(ends=[(0, 6)]), []
    for width in range(2, 7):
        for i in range(7 - width):
            for j in range(i + 1, i + width):
                graph.add_hyperedge(((i, j), (j, i + width)), (i, i + width))
                costs.append(sizes[i] * sizes[j] * sizes[i + width])
    dag = dagdp.compile(graph)
    value, E = dagdp.dp_value_and_grad(dag, np.array(costs, float), HardMax(), minimize=True)
    assert value == matrix_chain(sizes) == 15125
    parents, children = graph.edges()
    made = {(graph.nodes[children[e]], graph.nodes[parents[e]][1]) for e in np.flatnonzero(E)}
    assert made == {((0, 6), 3), ((0, 3), 1), ((1, 3), 2), ((3, 6), 5), ((3, 5), 4)}


def test_batch_of_graphs():
    graphs = [cky(3, 1), Graph.from_edges([0, 0, 1], [1, 2, 2]), hypergraph([((0,), 1), ((1, 1), 2)]), cky(4, 1)]
    graphs = [Graph.from_edges(*rows) for rows in map(unnamed, graphs)]
    omega, rng = Negentropy(1.0), np.random.default_rng(7)
    theta = [random_theta(graph, rng, (9,)) for graph in graphs]
    batch = dagdp.compile_batch(graphs)
    value, E = dagdp.dp_value_and_grad(batch, theta, omega)
    for k, graph in enumerate(graphs):
        found = reference.dp_value_and_grad(dagdp.compile(graph), theta[k], omega)
        close(value[:, k], found[0])
        close(E[k], found[1])


def unnamed(graph: Graph):
    """Parents [edges, 2] or [edges], and children."""
    (parents, children), second = graph.edges(), graph.second_parents()
    return (parents if second is None else np.stack([parents, second], 1)), children


def test_batch_with_a_graph_without_a_derivation():
    lost = Graph.from_edges([[0, 1], [2, -1]], [2, 3], starts=[0])
    batch = dagdp.compile_batch([lost, hypergraph([((0,), 1), ((1, 1), 2)])])
    assert dagdp.dp_value(batch, [np.zeros(2), np.ones(2)], HardMax()).tolist() == [-np.inf, 3]
    assert dagdp.dp_value(dagdp.compile_batch([lost]), [np.zeros(2)], HardMax()).tolist() == [-np.inf]
    wrong = Graph.from_edges([[0, 9]], [1], num_nodes=2)
    with pytest.raises(GraphError, match="graph 1: edge 0 has second parent 9"):
        dagdp.compile_batch([lost, wrong])


def test_empty_batch_pickle_and_explain():
    dag = pickle.loads(pickle.dumps(dagdp.compile(cky(3, 1))))
    theta = {"lexical": np.zeros((0, 3, 1)), "rule": np.zeros((1, 1, 1))}
    value, E = dagdp.dp_value_and_grad(dag, theta)
    assert value.shape == (0,) and E["rule"].tolist() == [[[0.0]]]
    assert "of these  4 edges have two parents" in dag.explain()


@over_operators(SMOOTH)
def test_derivatives_in_torch(omega):
    torch = pytest.importorskip("torch")
    dag = dagdp.compile(random_hypergraph((3, 4, 3), 9))
    theta = torch.as_tensor(np.random.default_rng(8).normal(size=dag.graph.num_edges)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: dagdp.dp_value(dag, t, omega), theta)
    assert torch.autograd.gradgradcheck(lambda t: dagdp.dp_value(dag, t, omega), theta, atol=1e-4)


@over_operators()
def test_torch_backend(omega):
    torch = pytest.importorskip("torch")
    dag = dagdp.compile(random_hypergraph((6, 8, 5), 30))
    theta, z = (torch.as_tensor(a) for a in np.random.default_rng(9).normal(size=(2, 3, dag.graph.num_edges)))
    end = np.array([dag.origin[-1], dag.origin[-2], dag.origin[-1]])
    expected = (
        *reference.dp_value_and_grad(dag, theta.numpy(), omega, end=end),
        *reference.dp_jvp_and_hvp(dag, theta.numpy(), z.numpy(), omega, end=end),
    )
    found = (
        *dagdp.dp_value_and_grad(dag, theta, omega, end=end, backend="torch"),
        *dagdp.dp_jvp_and_hvp(dag, theta, z, omega, end=end, backend="torch"),
    )
    for one, right in zip(found, expected, strict=True):
        close(one.numpy(), right)


def test_learnable_alpha():
    """The copy of the graph by which alpha is differentiated has hyperedges, too."""
    torch = pytest.importorskip("torch")
    dag = dagdp.compile(random_hypergraph((3, 4, 3), 9))
    theta = torch.as_tensor(np.random.default_rng(10).normal(size=dag.graph.num_edges))
    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    dagdp.dp_value(dag, theta, dagdp.nn.Learnable(dagdp.Tsallis(1.2, 0.8), alpha=alpha)).backward()
    slope = central(lambda t: dagdp.dp_value(dag, theta.numpy(), dagdp.Tsallis(1.5 + t, 0.8)), 1e-4)
    np.testing.assert_allclose(alpha.grad.numpy(), slope, atol=1e-6)


def test_picture():
    pytest.importorskip("matplotlib")
    dag = dagdp.compile(hypergraph([((0,), 1), ((1, 0), 2), ((1, 1), 2)]))
    ax = dagdp.plot.dag(dag, dagdp.dp_grad(dag, np.zeros(3)))
    assert sum(getattr(text, "arrow_patch", None) is not None for text in ax.texts) == 5, "two for a hyperedge"
