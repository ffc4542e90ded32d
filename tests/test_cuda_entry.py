"""The device kernels, run thread by thread, against the float64 reference: values, derivatives, weights, paths.

Every launch is watched, so each is also a test of barriers, bounds and memory.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from cases import GRAPHS, OPERATORS, combinations, one_of_each_solver, random_hypergraph, random_theta, wide
from cuda_interpreter import Machine
from cuda_kernels import SHARED_LIMIT, InterpretedDriver, Problem, solve, with_blocks
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import hyperproblems, problems

from dagdp import Graph, HardMax, Negentropy, SquaredL2, compile, reference
from dagdp.compiler.batch import compile_batch
from dagdp.graphs import dtw_grid, linear_chain
from dagdp.kernels import row_max
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.records import Arrays, State
from dagdp.kernels.cuda.schedule import Given, Passes, launch_of, state_names

ALL = {**GRAPHS, "hyperedges": lambda: random_hypergraph((3, 4, 3), 6)}
BATCH = 3


def joined(theta):
    """[batch, entries] of one array or several."""
    parts = theta.values() if isinstance(theta, dict) else [theta]
    return np.concatenate([np.reshape(part, (BATCH, -1)) for part in parts], axis=1)


def with_registers(launch):
    """Scores of up to eight edges, the most that these graphs have, are kept."""
    return launch._replace(variant=launch.variant._replace(wide=8))


def drawn(name, dtype, seed=0):
    """(graph, compiled graph, theta, z)"""
    graph, rng = ALL[name](), np.random.default_rng(seed)
    theta, z = (random_theta(graph, rng, (BATCH,), dtype) for _ in range(2))
    return graph, compile(graph), theta, z


def close(found, expected, dtype):
    tolerance = 3e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(found, np.reshape(expected, np.shape(found)), rtol=0, atol=tolerance)


def usual(omega, name, dtype, ring):
    small = name in ("tied", "chain", "hyperedges", "grid", "two starts, two ends")
    return small and one_of_each_solver(omega) and (dtype == "float32" or ring == "shared")


@combinations(usual, omega=OPERATORS, name=ALL, dtype=["float32", "float64"], ring=["shared", "in the state"])
def test_all_passes_equal_the_reference(omega, name, dtype, ring):
    _, dag, theta, z = drawn(name, dtype)
    problem = Problem(dag, joined(theta), omega, batch=BATCH)
    limit = SHARED_LIMIT if ring == "shared" else 0
    value, gradient = reference.dp_value_and_grad(dag, theta, omega)
    for passes in (Passes.VALUE, Passes.GRADIENT):
        found = solve(problem, passes, Machine(1), limit)
        close(found.values, value, dtype)
    close(found.gradient, joined(gradient), dtype)
    slope, product = reference.dp_jvp_and_hvp(dag, theta, z, omega)
    problem = problem._replace(z=joined(z))
    for passes in (Passes.SLOPE, Passes.HESSIAN):
        found = solve(problem, passes, Machine(2), limit)
        close(found.values, value, dtype)
        close(found.slopes, slope, dtype)
    close(found.gradient, joined(product), dtype)
    found = solve(problem._replace(z=None), Passes.WEIGHTS, Machine(3), limit)
    close(found.gradient, reference.local_weights(dag, theta, omega), dtype)
    assert found.fault == 0


@pytest.mark.parametrize("name", [name for name in ALL if name != "hyperedges"])
def test_a_best_path_has_the_value(name):
    graph, dag, theta, _ = drawn(name, "float64")
    found = solve(Problem(dag, joined(theta), HardMax(), batch=BATCH), Passes.PATH, Machine(1))
    scores, (parents, children) = np.zeros((BATCH, graph.num_edges)), graph.edges()
    for potential in graph.potentials():
        entries = (theta if isinstance(theta, dict) else {potential.name: theta})[potential.name].reshape(BATCH, -1)
        index = np.asarray(potential.index)
        scores += np.where(index >= 0, entries[:, index], 0.0)
    for item, row in enumerate(found.path):
        edges = row[: np.argmin(np.append(row, -1))][::-1]
        assert (row[len(edges) :] == -1).all()
        assert found.values[item, 0] == pytest.approx(scores[item, edges].sum())
        assert (children[edges[:-1]] == parents[edges[1:]]).all()


@combinations(lambda omega, minimize: one_of_each_solver(omega) and minimize, omega=OPERATORS, minimize=[True, False])
def test_forbidden_entries_and_costs(omega, minimize):
    _, dag, theta, z = drawn("grid", "float64", 4)
    theta[:, 1, 2] = np.inf if minimize else -np.inf
    theta[1, 0, 0] = np.inf if minimize else -np.inf  # no path is left
    problem = Problem(dag, joined(theta), omega, z=joined(z), batch=BATCH, minimize=minimize)
    found = solve(problem, Passes.HESSIAN, Machine(1))
    value = reference.dp_value(dag, theta, omega, minimize=minimize)
    slope, product = reference.dp_jvp_and_hvp(dag, theta, z, omega, minimize=minimize)
    close(found.values, value, "float64")
    close(found.slopes, slope, "float64")
    close(found.gradient, joined(product), "float64")
    gradient = solve(problem._replace(z=None), Passes.GRADIENT, Machine(1)).gradient
    close(gradient, joined(reference.dp_grad(dag, theta, omega, minimize=minimize)), "float64")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("passes", [Passes.GRADIENT, Passes.HESSIAN, Passes.WEIGHTS])
@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5)], ids=["closed form", "Newton"])
def test_a_bad_number_poisons_its_own_item(bad, passes, omega):
    _, dag, theta, z = drawn("chain", "float32")
    problem = Problem(dag, joined(theta), omega, batch=BATCH, z=joined(z) if passes is Passes.HESSIAN else None)
    right = solve(problem, passes, Machine(1))
    problem.theta[1, 4] = bad
    found = solve(problem, passes, Machine(1))
    assert found.fault == 2 and right.fault == 0
    assert np.isnan(found.values[1]).all() and np.isnan(found.gradient[1]).all()
    for item in (0, 2):
        assert found.values[item].tobytes() == right.values[item].tobytes()
        assert found.gradient[item].tobytes() == right.gradient[item].tobytes()


@combinations(lambda omega: one_of_each_solver(omega), omega=OPERATORS)
def test_bits_depend_on_nothing_but_the_item(omega):
    """Neither on the order of threads, nor on the batch, nor on where the ring lies."""
    _, dag, theta, z = drawn("grid", "float32")
    problem = Problem(dag, joined(theta), omega, z=joined(z), batch=BATCH)
    machines = [Machine(1), Machine(2, interleaved=True), Machine(3, watched=False), Machine(4, numpy_integers=True)]
    found = [solve(problem, Passes.HESSIAN, machine) for machine in machines]
    found.append(solve(problem, Passes.HESSIAN, Machine(1), shared_limit=0))
    assert len({one.values.tobytes() + one.slopes.tobytes() + one.gradient.tobytes() for one in found}) == 1
    alone = solve(problem._replace(theta=problem.theta[1], z=problem.z[1], batch=1), Passes.HESSIAN, Machine(1))
    assert alone.gradient.tobytes() == found[0].gradient[1].tobytes()


def without_a_path() -> Graph:
    return Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[3])


#: Graphs of one batch have potentials of one name.
BATCHES = {
    "edges": lambda: [
        *(GRAPHS[name]() for name in ("parallel edges", "two starts, two ends", "one edge")),
        wide(12),
        without_a_path(),
        GRAPHS["dead ends"](),
    ],
    "grids": lambda: [dtw_grid(4, 5), dtw_grid(2, 9), dtw_grid(7, 6, band=1)],
}


@combinations(
    lambda omega, name, passes: one_of_each_solver(omega) and passes is not Passes.VALUE,
    omega=OPERATORS,
    name=BATCHES,
    passes=[Passes.VALUE, Passes.GRADIENT, Passes.HESSIAN, Passes.WEIGHTS],
)
def test_a_batch_of_different_graphs(omega, name, passes):
    """Every graph has the results that it has alone; one without a path has none."""
    graphs = BATCHES[name]()
    together, rng = compile_batch(graphs), np.random.default_rng(6)
    offsets = together.layout.sections[0].offsets
    theta, z = rng.normal(size=(2, BATCH, offsets[-1]))
    found = solve(
        Problem(together, theta, omega, z=z if passes is Passes.HESSIAN else None, batch=BATCH), passes, Machine(1)
    )
    edges = np.cumsum([0, *(graph.num_edges for graph in graphs)])
    for g, graph in enumerate(graphs):
        own = [part[:, offsets[g] : offsets[g + 1]].reshape(BATCH, *graph.potentials()[0].shape) for part in (theta, z)]
        if name == "edges" and g == 4:
            assert (found.values[:, g] == -np.inf).all()
            continue
        dag = compile(graph)
        close(found.values[:, g], reference.dp_value(dag, own[0], omega), "float64")
        if passes is Passes.WEIGHTS:
            close(found.gradient[:, edges[g] : edges[g + 1]], reference.local_weights(dag, own[0], omega), "float64")
        elif passes is Passes.GRADIENT:
            expected = reference.dp_grad(dag, own[0], omega)
            close(found.gradient[:, offsets[g] : offsets[g + 1]], expected, "float64")
        elif passes is Passes.HESSIAN:
            slope, product = reference.dp_jvp_and_hvp(dag, *own, omega)
            close(found.slopes[:, g], slope, "float64")
            close(found.gradient[:, offsets[g] : offsets[g + 1]], product, "float64")


@combinations(lambda omega: one_of_each_solver(omega), omega=OPERATORS)
def test_each_item_has_a_start_and_an_end_of_its_own(omega):
    graph = Graph.from_edges([0, 1, 0, 2, 2, 3, 1, 4], [2, 2, 3, 3, 4, 4, 5, 5], starts=[0, 1], ends=[3, 4, 5])
    dag, rng = compile(graph), np.random.default_rng(3)
    theta, z = rng.normal(size=(2, 6, graph.num_edges))
    start, end = [0, 1, 0, 1, 0, 1], [3, 4, 5, 5, 4, 3]
    numbers = [np.asarray(one, np.int32) for one in dag.terminals(start, end, (6,))[:2]]
    problem = Problem(dag, theta, omega, batch=6, starts=numbers[0], ends=numbers[1])
    between = {"start": start, "end": end}
    value, gradient = reference.dp_value_and_grad(dag, theta, omega, **between)
    found = solve(problem, Passes.GRADIENT, Machine(1))
    close(found.values, value, "float64")
    close(found.gradient, gradient, "float64")
    slope, product = reference.dp_jvp_and_hvp(dag, theta, z, omega, **between)
    found = solve(problem._replace(z=z), Passes.HESSIAN, Machine(1))
    close(found.slopes, slope, "float64")
    close(found.gradient, product, "float64")
    weights = solve(problem, Passes.WEIGHTS, Machine(1)).gradient
    close(weights, reference.local_weights(dag, theta, omega, **between), "float64")


@pytest.mark.parametrize("passes", [Passes.GRADIENT, Passes.HESSIAN])
def test_one_theta_for_all_items(passes):
    _, dag, theta, z = drawn("tied", "float64")
    theta, z = joined(theta)[0], joined(z)
    problem = Problem(dag, theta, Negentropy(0.7), batch=BATCH, z=z if passes is Passes.HESSIAN else None)
    repeated = problem._replace(theta=np.tile(theta, (BATCH, 1)))
    one, all_ = (solve(given, passes, Machine(1)) for given in (problem, repeated))
    assert one.values.tobytes() == all_.values.tobytes() and one.gradient.tobytes() == all_.gradient.tobytes()


@combinations(lambda omega, form: one_of_each_solver(omega), omega=OPERATORS, form=[with_blocks, with_registers])
def test_forms_of_a_launch_have_equal_bits(omega, form):
    """A block for each item in place of a warp; scores in registers in place of scores computed at each use."""
    for name in ("tied", "hyperedges", "grid"):
        _, dag, theta, z = drawn(name, "float32")
        problem = Problem(dag, joined(theta), omega, z=joined(z), batch=BATCH)
        usual, other = solve(problem, Passes.HESSIAN), solve(problem, Passes.HESSIAN, form=form)
        for one, two in zip(usual, other, strict=True):
            assert np.array_equal(one, two)


@pytest.mark.parametrize("watched", [True, False])
def test_the_interpreting_driver_takes_tensors(watched):
    """As the torch layers call it, once from a driver and once from arrays."""
    torch = pytest.importorskip("torch")
    _, dag, theta, _ = drawn("chain", "float32")
    omega, plan = Negentropy(0.7), device_plan(dag)
    launch = launch_of(plan, Passes.GRADIENT, np.float32, BATCH, Given(solver="exponential"), SHARED_LIMIT)
    given = dict.fromkeys(Arrays._fields)
    given |= {"plan": torch.from_numpy(plan.plan), "table": torch.from_numpy(plan.table)}
    given |= {"theta": torch.from_numpy(joined(theta)), "fault": torch.zeros(1, dtype=torch.int32)}
    given |= {"values": torch.empty(BATCH, 1), "gradient": torch.full((BATCH, plan.entries), torch.nan)}
    kept = state_names(launch.variant, omega)
    state = State(*(torch.empty(BATCH, plan.nodes) if name in kept else None for name in State._fields))
    driver = InterpretedDriver(Machine(1, watched=watched))
    driver.launch(launch, omega.data(np.float32), np.float32, Arrays(**given), state, 0)
    expected = solve(Problem(dag, joined(theta), omega, batch=BATCH), Passes.GRADIENT)
    assert driver.launches == 1
    assert np.array_equal(given["values"].numpy(), expected.values)
    assert np.array_equal(given["gradient"].numpy(), expected.gradient)
    gaps = given | {"gradient": given["gradient"].T}
    with pytest.raises(RuntimeError, match="view"):
        driver.launch(launch, omega.data(np.float32), np.float32, Arrays(**gaps), state, 0)


@combinations(lambda omega: one_of_each_solver(omega), omega=OPERATORS)
def test_more_edges_into_a_node_than_a_partial_sum_has(omega):
    count = 2 * row_max.TERMS + 3
    graph = Graph.from_edges([0] * count + [1], [1] * count + [2])
    theta, z = np.random.default_rng(1).normal(size=(2, 1, graph.num_edges)).astype(np.float32) * 2
    dag = compile(graph)
    found = solve(Problem(dag, theta, omega, z=z), Passes.HESSIAN, Machine(watched=False))
    slope, product = reference.dp_jvp_and_hvp(dag, theta[0], z[0], omega)
    close(found.values, reference.dp_value(dag, theta[0], omega), "float32")
    close(found.slopes, slope, "float32")
    close(found.gradient, product, "float32")


def test_float32_along_a_thousand_nodes():
    """A value is kept in two parts, so weights are those of exact differences."""
    dag = compile(linear_chain(1000, 2))
    rng = np.random.default_rng(2)
    theta = np.concatenate([rng.normal(size=p.size) for p in dag.graph.potentials()]).astype(np.float32)[None]
    found = solve(Problem(dag, theta, Negentropy(1.0)), Passes.GRADIENT, Machine(watched=False)).gradient[0]
    exact = solve(Problem(dag, theta.astype(float), Negentropy(1.0)), Passes.GRADIENT, Machine(watched=False)).gradient
    np.testing.assert_allclose(found, exact[0], rtol=1e-6, atol=3e-5)


@combinations(lambda omega: one_of_each_solver(omega), omega=OPERATORS)
def test_a_forbidden_hoisted_entry_forbids_all_edges_into_its_node(omega):
    dag, theta = compile(dtw_grid(4, 5)), np.random.default_rng(5).normal(size=(BATCH, 4, 5))
    theta[0, 2, 1] = theta[1, 3, 4] = -np.inf
    problem = Problem(dag, joined(theta), omega, batch=BATCH)
    weights = solve(problem, Passes.WEIGHTS).gradient
    close(weights, reference.local_weights(dag, theta, omega), "float64")
    if omega == HardMax():
        found = solve(problem, Passes.PATH)
        assert found.values[1, 0] == -np.inf and (found.path[1] == -1).all() and (found.path[0] >= 0).any()


@settings(max_examples=25)
@example(([(1, 4), (0, 2), (0, 3), (0, 1)], np.zeros(4)), HardMax(), False)  # several ends of equal value
@given(st.one_of(problems(), hyperproblems()), st.sampled_from(OPERATORS), st.booleans())
def test_random_graphs(problem, omega, minimize):
    """Parallel edges, ties, forbidden edges, and hyperedges with equal parents."""
    edges, weights = problem
    graph = Graph()
    for parents, child in edges:
        pair = parents if isinstance(parents, tuple) else (parents,)
        _ = graph.add_hyperedge(pair, child) if len(pair) == 2 else graph.add_edge(pair[0], child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # several nodes without children are ends
        dag = compile(graph)
    theta = np.stack([weights, 0.5 * weights]) * (-1.0 if minimize else 1.0)
    z = np.cos(np.arange(theta.size)).reshape(theta.shape)
    posed = Problem(dag, theta, omega, z=z, batch=2, minimize=minimize)
    found = solve(posed, Passes.HESSIAN, Machine(1))
    value = reference.dp_value(dag, theta, omega, minimize=minimize)
    slope, product = reference.dp_jvp_and_hvp(dag, theta, z, omega, minimize=minimize)
    close(found.values, value, "float64")
    close(found.slopes, slope, "float64")
    close(found.gradient, product, "float64")
    gradient = solve(posed._replace(z=None), Passes.GRADIENT, Machine(2)).gradient
    close(gradient, reference.dp_grad(dag, theta, omega, minimize=minimize), "float64")
