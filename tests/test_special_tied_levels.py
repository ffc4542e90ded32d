"""Levels that repeat a matrix: what is found, and that products in the exponential domain equal the edges' own sums."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BUNDLED, GRAPHS, combinations, flat, random_theta, sinks, unproved

import dagdp
from dagdp import Graph, Negentropy, reference
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import generic
from dagdp.graphs import dtw_grid, linear_chain, trellis


def tied_levels(dag: CompiledDAG) -> list[int]:
    return np.flatnonzero(dag.wiring.tied.pattern >= 0).tolist()


def answers(dag, theta, z, omega, **options):
    """Everything there is to ask, each as one vector."""
    value, path = dagdp.dp_value_and_grad(dag, theta, omega, **options)
    slope, change = dagdp.dp_jvp_and_hvp(dag, theta, z, omega, **options)
    alone = dagdp.dp_value(dag, theta, omega, **options), dagdp.dp_jvp(dag, theta, z, omega, **options)
    return [np.ravel(value), flat(path), np.ravel(slope), flat(change), *map(np.ravel, alone)]


def crf_weights(graph, rng, batch, dtype="float64", scale=1.0):
    """Emissions for each item, the rest shared."""
    return {
        p.name: (scale * rng.normal(size=(*batch, *p.shape) if p.name == "emission" else p.shape)).astype(dtype)
        for p in graph.potentials()
    }


def shuffled(graph: Graph, rng) -> Graph:
    """The same graph with its nodes renumbered."""
    number = rng.permutation(graph.num_nodes)
    potentials = {p.name: (p.shape, p.index) for p in graph.potentials()}
    parents, children = graph.edges()
    parents, children = number[parents], number[children]
    return Graph.from_edges(parents, children, ends=sinks(parents, children), potentials=potentials)


@pytest.mark.specialised
def test_what_is_found():
    assert tied_levels(dagdp.compile(linear_chain(6, 4))) == [2, 3, 4, 5, 6]
    ragged = dagdp.compile(linear_chain(6, 4, ragged=True))
    assert tied_levels(ragged) == [2, 3, 4, 5, 6] and ragged.wiring.tied.shapes.tolist() == [[5, 4]]
    for graph in (trellis(6, 4), linear_chain(2, 4), linear_chain(6, 2), dtw_grid(9, 9)):
        assert tied_levels(dagdp.compile(graph)) == []


@pytest.mark.specialised
def test_near_misses():
    """One entry, one edge or one parallel edge: only levels that really repeat the matrix are tied."""
    whole = linear_chain(6, 3)
    potentials = {p.name: (p.shape, p.index.copy()) for p in whole.potentials()}
    parents, children = whole.edges()
    step = np.flatnonzero((parents == 1 + 2 * 3) & (children == 1 + 3 * 3 + 1))  # state 0 at 2 to 1 at 3
    potentials["transition"][1][step] += 1
    other = Graph.from_edges(parents, children, potentials=potentials)
    assert tied_levels(dagdp.compile(other)) == [2, 3, 5, 6]
    kept = np.delete(np.arange(whole.num_edges), step)
    fewer = {name: (shape, index[kept]) for name, (shape, index) in potentials.items()}
    dag = dagdp.compile(Graph.from_edges(parents[kept], children[kept], potentials=fewer))
    assert 4 not in tied_levels(dag) or dag.wiring.tied.shapes.tolist() != [[3, 3]]
    twice = np.append(np.arange(whole.num_edges), step)
    more = {name: (shape, index[twice]) for name, (shape, index) in potentials.items()}
    dag = dagdp.compile(Graph.from_edges(parents[twice], children[twice], potentials=more))
    assert 4 not in tied_levels(dag)


def alternating(scores: bool = False) -> Graph:
    """Steps that take one of two matrices in turn, and a detour past a tied level; `scores`: of nodes, too."""
    graph = Graph(potentials={"a": (3, 3), "b": (3, 3), "own": (9,), **({"emission": (8, 3)} if scores else {})})
    for t in range(8):
        for to in range(3):
            for source in range(3):
                reads = {"a" if t % 2 else "b": (to, source), **({"emission": (t, to)} if scores else {})}
                graph.add_edge((t, source), (t + 1, to), **reads)
    for source in range(3):
        graph.add_edge("start", (0, source), own=source)
        graph.add_edge((8, source), "end", own=3 + source)
        graph.add_edge((2, source), ("detour", source), own=6 + source)
        graph.add_edge(("detour", source), "end")
    return graph


CASES = {
    "chain": lambda: linear_chain(12, 5),
    "ragged": lambda: linear_chain(9, 4, ragged=True),
    "wide": lambda: linear_chain(3, 37),
    "shuffled": lambda: shuffled(linear_chain(7, 6), np.random.default_rng(4)),
    "alternating": alternating,
    "alternating, scored": lambda: alternating(scores=True),
}


@pytest.mark.specialised
@combinations(lambda name, **_: name != "alternating", batch=[(), (3,), (2, 9)], name=CASES)
def test_products_equal_the_reference(batch, name, monkeypatch):
    graph, rng, omega = CASES[name](), np.random.default_rng(0), Negentropy(0.7)
    dag = dagdp.compile(graph)
    assert tied_levels(dag) or name == "shuffled"  # whose parents stand in another order at every node
    theta = {
        p.name: rng.normal(size=(*batch, *p.shape) if p.name == "emission" else p.shape) for p in graph.potentials()
    }
    if "own" in theta:
        theta["own"] = rng.normal(size=(*batch, 9))
    z = {key: rng.normal(size=block.shape) for key, block in theta.items()}
    value, path = reference.dp_value_and_grad(dag, theta, omega)
    slope, change = reference.dp_jvp_and_hvp(dag, theta, z, omega)
    exact = [np.ravel(value), flat(path), np.ravel(slope), flat(change), np.ravel(value), np.ravel(slope)]
    for ours, theirs in zip(answers(dag, theta, z, omega), exact, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reach", [0.5, 0.99, 1.01, 1.5])
def test_at_the_bound_and_beyond(dtype, reach, monkeypatch):
    """Products below, at and above the span from which they would underflow: as exact as edge by edge."""
    graph, rng = linear_chain(8, 5), np.random.default_rng(2)
    dag, plain = dagdp.compile(graph), unproved(graph, monkeypatch)
    limit = 80.0 if dtype == "float32" else 700.0
    theta = crf_weights(graph, rng, (18,), dtype)
    theta["transition"][3, 1] = reach * limit - 4
    z = crf_weights(graph, rng, (18,), dtype)
    exact = ({name: block.astype(float) for name, block in given.items()} for given in (theta, z))
    want = answers(plain, *exact, Negentropy(1.0))
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for ours, theirs in zip(answers(dag, theta, z, Negentropy(1.0)), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.abs(theirs).max()))


def test_forbidden_transitions_and_padding(monkeypatch):
    """Rule 1 and ragged ends: -inf is never taken, NaN behind an item's end is never read."""
    graph, rng = linear_chain(7, 4, ragged=True), np.random.default_rng(3)
    dag, plain = dagdp.compile(graph), unproved(graph, monkeypatch)
    lengths = rng.integers(1, 8, 21)
    theta, z = crf_weights(graph, rng, (21,)), crf_weights(graph, rng, (21,))
    theta["transition"][2, :] = -np.inf
    theta["emission"][5, 0] = -np.inf  # no path at all
    for b, length in enumerate(lengths):
        theta["emission"][b, length:], z["emission"][b, length:] = np.nan, np.nan
    end = 7 * 4 + lengths
    with np.errstate(invalid="ignore"):
        for ours, theirs in zip(
            answers(dag, theta, z, Negentropy(0.5), end=end),
            answers(plain, theta, z, Negentropy(0.5), end=end),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
    path = dagdp.dp_grad(dag, theta, Negentropy(0.5), end=end)
    assert (path["transition"][2] == 0).all() and (path["emission"][5] == 0).all()


def test_a_bad_entry_of_a_matrix_is_named():
    graph = linear_chain(5, 3)
    theta = crf_weights(graph, np.random.default_rng(0), (4,))
    theta["transition"][1, 2] = np.nan
    with pytest.raises(dagdp.InputError, match="transition"):
        dagdp.dp_value(dagdp.compile(graph), theta, Negentropy(1.0))


def test_weights_far_below_the_largest_are_summed_over_many_steps():
    """All states are as likely, one by transitions that are e^-79.5 of the others: α p is 4e33 there, 8000 times."""
    T, scores, far = 8000, np.zeros(3, np.float32), 79.5
    emission, transition = np.zeros((16, T, 3), np.float32), np.zeros((3, 3), np.float32)
    emission[:, 1:, 0], transition[0] = far, -far
    theta = {"emission": emission, "transition": transition, "start": scores, "end": scores}
    path = dagdp.dp_grad(dagdp.compile(linear_chain(T, 3)), theta, Negentropy(1.0))
    np.testing.assert_allclose(path["transition"], np.full((3, 3), 16 * (T - 1) / 9), rtol=1e-3)


def test_a_long_chain_keeps_its_precision():
    """Rule 4 on shared transitions: 10,000 steps in float32, gradient within 1e-5 of float64."""
    graph, rng = linear_chain(10_000, 4), np.random.default_rng(5)
    dag, theta = dagdp.compile(graph), crf_weights(graph, rng, (2,))
    exact = dagdp.dp_grad(dag, theta, Negentropy(1.0))["emission"]
    single = {name: block.astype(np.float32) for name, block in theta.items()}
    double = dagdp.dp_grad(dag, {k: v.astype(float) for k, v in single.items()}, Negentropy(1.0))["emission"]
    assert np.abs(dagdp.dp_grad(dag, single, Negentropy(1.0))["emission"] - double).max() < 1e-5
    assert np.abs(exact - double).max() < 1e-3


@pytest.mark.specialised
@combinations(lambda omega, **_: isinstance(omega, Negentropy), batch=[(), (3,), (33,)], omega=BUNDLED, name=GRAPHS)
def test_nothing_changes_where_nothing_is_proved(batch, omega, name, monkeypatch):
    """Every specialised path against the generic gather path."""
    graph, rng = GRAPHS[name](), np.random.default_rng(1)
    dag, plain = dagdp.compile(graph), unproved(graph, monkeypatch)
    assert (plain.wiring.incoming.runs[:, 3] < 0).all() and plain.hoisted == ()
    theta, z = random_theta(graph, rng, batch), random_theta(graph, rng, batch)
    for ours, theirs in zip(answers(dag, theta, z, omega), answers(plain, theta, z, omega), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11)


@pytest.mark.specialised
def test_listing_keeps_every_number():
    dag = dagdp.compile(linear_chain(5, 40))
    made = generic.listed_outgoing(dag.wiring.outgoing)
    assert (made.runs[:, 3::2] < 0).all() and made.listed.size > dag.wiring.outgoing.listed.size
