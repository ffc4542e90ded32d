"""Questions about paths in every graph of a batch, against the same question about the graph alone."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS, combinations, random_theta

import dagdp
from dagdp import Graph, InputError, Negentropy, SquaredL2, best_path, compile, compile_batch
from dagdp.compiler import batch as batch_module
from dagdp.graphs import dtw_grid, linear_chain, trellis

NAMES = ["one edge", "parallel edges", "two starts, two ends", "dead ends", "wide", "grid"]


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("build", [lambda: [GRAPHS[n]() for n in NAMES], lambda: [linear_chain(T, 3) for T in (2, 4)]])
@pytest.mark.parametrize("minimize", [False, True])
def test_a_best_path_for_each_graph(build, batch, minimize, monkeypatch):
    monkeypatch.setattr(batch_module, "MERGED_EDGES", 20)
    graphs, rng = build(), np.random.default_rng(0)
    theta = [random_theta(graph, rng, batch) for graph in graphs]
    ours = best_path(compile_batch(graphs), theta, minimize=minimize)
    assert ours.scores.shape == ours.lengths.shape == (*batch, len(graphs))
    for g, graph in enumerate(graphs):
        alone = best_path(compile(graph), theta[g], minimize=minimize)
        np.testing.assert_allclose(ours.scores[..., g], alone.scores, rtol=1e-12)
        np.testing.assert_array_equal(ours.lengths[..., g], alone.lengths)
        size = alone.edges.shape[-1]
        np.testing.assert_array_equal(ours.edges[..., g, :size], alone.edges)
        np.testing.assert_array_equal(ours.nodes[..., g, : size + 1], alone.nodes)
        assert (ours.edges[..., g, size:] == -1).all()


@pytest.mark.parametrize("union_edges", [40, 10**6])
def test_scores_are_the_hard_values_of_the_batch_to_the_bit(union_edges, monkeypatch):
    """Graphs with potentials of edges and of nodes; tenths, whose sums hang on the order of additions."""
    monkeypatch.setattr(batch_module, "MERGED_EDGES", union_edges)
    rng = np.random.default_rng(3)
    for graphs in ([linear_chain(T, 3) for T in (2, 9, 5, 7)], [dtw_grid(n, 6) for n in (3, 8)], [trellis(9, 3)] * 3):
        compiled = compile_batch(graphs)
        theta = [random_theta(graph, rng, (20,)) for graph in graphs]
        theta = [{k: a.round(1) for k, a in t.items()} if isinstance(t, dict) else t.round(1) for t in theta]
        for minimize in (False, True):
            value = dagdp.dp_value(compiled, theta, dagdp.HardMax(), minimize=minimize)
            paths = best_path(compiled, theta, minimize=minimize)
            assert (paths.scores == value).all()
            for g, graph in enumerate(graphs):
                alone = best_path(compile(graph), theta[g], minimize=minimize)
                assert (alone.scores == value[:, g]).all()
                assert (alone.edges == paths.edges[:, g, : alone.edges.shape[1]]).all()


def test_names_ends_and_graphs_without_a_path():
    named = Graph()
    for parent, child in ("ab", "ac", "bc", "cd"):
        named.add_edge(parent, child)
    compiled = compile_batch([named, Graph.from_edges([0, 1], [1, 2])])
    theta = [np.array([1.0, 1.5, 1.0, 0.0]), np.array([0.0, -np.inf])]
    paths = best_path(compiled, theta, end=["c", None])
    assert paths.names(compiled) == [["a", "b", "c"], []]
    assert paths.scores.tolist() == [2.0, -np.inf] and paths.lengths.tolist() == [2, 0]
    twice = best_path(compiled, [np.stack([t, t]) for t in theta])
    assert twice.names(compiled) == [[["a", "b", "c", "d"], []]] * 2
    with pytest.raises(InputError, match=r"^theta\[1\]\[0\] is nan"):
        best_path(compiled, [theta[0], np.array([np.nan, 0.0])])


def test_tensors():
    torch = pytest.importorskip("torch")
    compiled = compile_batch([Graph.from_edges([0, 0], [1, 1]), Graph.from_edges([0], [1])])
    paths = best_path(compiled, [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5])])
    assert isinstance(paths.edges, torch.Tensor) and paths.scores.dtype == torch.float32
    assert paths.edges.tolist() == [[1], [0]] and dagdp.dp_value(compiled, [[1.0, 2.0], [0.5]]).shape == (2,)


# ---- the other questions about paths, against a loop over graphs ----

OMEGAS = [Negentropy(0.7), SquaredL2(1.5)]
QUESTIONS = {
    "k_best": lambda d, t, o, **k: dagdp.k_best(d, t, 3, **k),
    "entropy": dagdp.entropy,
    "expectation": lambda d, t, o, **k: dagdp.expectation(d, t, o, bounded(t), **k),
    "kl_divergence": lambda d, t, o, **k: dagdp.kl_divergence(d, t, halved(t), o, **k),
    "cross_entropy": lambda d, t, o, **k: dagdp.cross_entropy(d, t, halved(t), o, Negentropy(1.0), **k),
    "path_log_prob": lambda d, t, o, **k: dagdp.path_log_prob(d, t, dagdp.k_best(d, t, 2, **k), o, **k),
    "node_marginals": dagdp.node_marginals,
    "node_values": dagdp.node_values,
    "backward": lambda d, t, o, **k: dagdp.node_values(d, t, o, direction="backward", **k),
    "max_marginals": lambda d, t, o, **k: dagdp.max_marginals(d, t, **k),
    "slack": lambda d, t, o, **k: dagdp.slack(d, t, **k),
    "local_weights": dagdp.local_weights,
    "support": dagdp.support,
    "support_size": dagdp.support_size,
    "count_paths": lambda d, t, o, **k: dagdp.count_paths(d, end=k["end"]),
    "gap_bound": lambda d, t, o, **k: dagdp.gap_bound(d, o, **k),
}


def halved(theta):
    """Weights in any form, half as large: the same paths are possible."""
    if isinstance(theta, list):
        return [halved(own) for own in theta]
    return {name: halved(own) for name, own in theta.items()} if isinstance(theta, dict) else 0.5 * theta


def bounded(theta):
    """Weights in any form, all finite."""
    if isinstance(theta, list):
        return [bounded(own) for own in theta]
    if isinstance(theta, dict):
        return {name: bounded(own) for name, own in theta.items()}
    return theta.clip(-9.0, 9.0)


def flattened(answer) -> list:
    """The arrays of an answer in any form."""
    if isinstance(answer, dagdp.Paths):
        return [answer.scores, answer.edges, answer.nodes, answer.lengths]
    if isinstance(answer, dagdp.Support):
        return [answer.probabilities, *flattened(answer.paths)]
    return [answer]


def assert_same(ours, alone) -> None:
    """Equal where `alone` has entries, and nothing but filling behind them."""
    ours, alone = np.asarray(ours), np.asarray(alone)
    shown = tuple(map(slice, alone.shape))
    if alone.dtype.kind in "iO":
        np.testing.assert_array_equal(ours[shown], alone)
    else:
        np.testing.assert_allclose(ours[shown], alone, rtol=1e-9, atol=1e-12)
    behind = np.ones(ours.shape, bool)
    behind[shown] = False
    assert np.isin(ours[behind].astype(float), [-1, 0, -np.inf, np.inf]).all()


def assert_as_alone(ask, graphs, theta, omega, shape, ends=None, minimize=False):
    compiled = compile_batch(graphs)
    found = ask(compiled, theta, omega, end=ends, minimize=minimize)
    for g, graph in enumerate(graphs):
        alone = ask(compile(graph), theta[g], omega, end=None if ends is None else ends[g], minimize=minimize)
        if isinstance(found, list):
            assert_same(found[g], alone)
            assert np.shape(found[g]) == np.shape(alone)
            continue
        for whole, own in zip(flattened(found), flattened(alone), strict=True):
            axis = len(shape) if ask is not QUESTIONS["count_paths"] else 0
            assert_same(np.take(np.asarray(whole), g, axis), own)


@combinations(lambda omega, **_: isinstance(omega, Negentropy), question=QUESTIONS, omega=OMEGAS)
def test_a_question_of_a_batch_is_that_of_each_graph(question, omega, monkeypatch):
    monkeypatch.setattr(batch_module, "MERGED_EDGES", 20)
    rng = np.random.default_rng(1)
    ask = QUESTIONS[question]
    graphs = [GRAPHS[name]() for name in NAMES if name != "wide"]
    for shape, minimize in (((), True), ((2,), False)):
        theta = [random_theta(graph, rng, shape) for graph in graphs]
        theta[1][..., 0] = np.inf if minimize else -np.inf  # a forbidden edge
        assert_as_alone(ask, graphs, theta, omega, shape, None, minimize)
    chains = [linear_chain(T, 2) for T in (2, 3)]
    assert_as_alone(ask, chains, [random_theta(graph, rng, (2,)) for graph in chains], omega, (2,))
    assert_as_alone(ask, [trellis(2, 2)] * 2, list(rng.normal(size=(2, 3, 2, 2, 2))), omega, (3,), [None, 3])


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name != "gap_bound"])
def test_a_graph_none_of_whose_ends_is_reached_is_an_item_without_a_path(question):
    lost = Graph.from_edges([0, 2], [1, 3], starts=[0], ends=[3])
    compiled = compile_batch([lost, Graph.from_edges([0, 1], [1, 2])])
    ask, named = QUESTIONS[question], {"end": [3, None]}
    theta = [np.array([1.0, 2.0]), np.array([1.0, -1.0])]
    of_forbidden = ask(compile(Graph.from_edges([0, 1], [1, 2])), np.array([0.0, -np.inf]), OMEGAS[0], end=None)
    for found in (ask(compiled, theta, OMEGAS[0], end=None), ask(compiled, theta, OMEGAS[0], **named)):
        if isinstance(found, list):
            assert np.shape(found[0]) == ((4,) if "node" in question or question == "backward" else (2,))
            assert set(found[0].tolist()) <= {0.0, -np.inf, np.inf}
        elif question != "count_paths":
            for whole, own in zip(flattened(found), flattened(of_forbidden), strict=True):
                assert_same(whole[0], own)
        else:
            assert found.tolist() == [0, 1]


def test_shared_potentials_and_one_array_for_all(monkeypatch):
    rng, graphs = np.random.default_rng(2), [linear_chain(T, 2) for T in (3, 2)]
    own = [random_theta(graph, rng) for graph in graphs]
    common = ["transition", "start", "end"]
    for name in common:
        own[1][name] = own[0][name]
    theta = {name: own[0][name] for name in common} | {"emission": [each["emission"] for each in own]}
    flat = theta | {"emission": np.concatenate([each["emission"].ravel() for each in own])}
    for given in (theta, flat):
        for ask in (dagdp.entropy, dagdp.support_size, dagdp.node_marginals, dagdp.k_best):
            more = (2,) if ask is dagdp.k_best else (SquaredL2(1.0),)
            found = ask(compile_batch(graphs, shared=common), given, *more)
            for g, graph in enumerate(graphs):
                alone = ask(compile(graph), own[g], *more)
                for whole, part in zip(flattened(found), flattened(alone), strict=True):
                    assert_same(whole[g], part)


def test_costs_of_edges():
    graphs, rng = [linear_chain(2, 2), linear_chain(3, 2)], np.random.default_rng(3)
    compiled, theta = compile_batch(graphs), [random_theta(graph, rng, (2,)) for graph in graphs]
    costs = [rng.normal(size=graph.num_edges) for graph in graphs]
    want = [dagdp.expectation(compile(graphs[g]), theta[g], SquaredL2(1.0), costs[g]) for g in range(2)]
    for cost in (costs, np.concatenate(costs)):
        np.testing.assert_allclose(dagdp.expectation(compiled, theta, SquaredL2(1.0), cost), np.stack(want, -1))
    for wrong in (costs[:1], costs[0]):
        with pytest.raises(InputError, match=r"^cost (is a list of 1|has shape \(\d+,\)); expected"):
            dagdp.expectation(compiled, theta, SquaredL2(1.0), wrong)


def test_draws_of_one_generator():
    graphs = [GRAPHS["parallel edges"](), trellis(2, 2), GRAPHS["parallel edges"]()]
    compiled, theta = compile_batch(graphs), [np.zeros(compile(g).potentials[0].shape) for g in graphs]
    theta[1] = np.zeros((2, 2, 2))
    paths = dagdp.sample_paths(compiled, theta, n=200, seed=0)
    assert paths.lengths.shape == (3, 200) and paths.inner == 1
    assert (paths.edges == dagdp.sample_paths(compiled, theta, n=200, seed=0).edges).all()
    assert (paths.edges[0] != paths.edges[2]).any()  # the generator goes on
    one = dagdp.sample_paths(compile(graphs[0]), theta[0], n=200, seed=0)
    assert (paths.of_graph(0).edges[:, : one.edges.shape[1]] == one.edges).all()
    with pytest.raises(InputError, match=r"^graph 1: there is no path to draw"):
        dagdp.sample_paths(compiled, [theta[0], theta[1] - np.inf, theta[2]])


def test_names_and_tags_of_several_paths_a_graph():
    graphs = [trellis(2, 2), trellis(3, 2)]
    compiled, rng = compile_batch(graphs), np.random.default_rng(4)
    theta = [random_theta(graph, rng, (2,)) for graph in graphs]
    paths = dagdp.k_best(compiled, theta, 2)
    assert paths.lengths.shape == (2, 2, 2)
    for g, dag in enumerate(compiled.dags):
        alone = dagdp.k_best(dag, theta[g], 2)
        assert [row[g] for row in paths.names(compiled)] == alone.names(dag)
        assert (paths.of_graph(g).tags(dag) == alone.tags(dag)).all()
    with pytest.raises(InputError, match=r"^tags takes one graph"):
        paths.tags(compiled)
    with pytest.raises(InputError, match="of one graph"):
        best_path(compiled.dags[0], theta[0][0]).of_graph(0)


def test_messages_name_the_graph():
    compiled = compile_batch([Graph.from_edges([0, 0], [1, 1]), Graph.from_edges([0], [1])])
    for ask in (dagdp.entropy, dagdp.node_values, dagdp.support_size, dagdp.slack, dagdp.local_weights):
        with pytest.raises(InputError, match=r"^theta\[0\]\[1\] is nan"):
            ask(compiled, [np.array([0.0, np.nan]), np.zeros(1)])
    with pytest.raises(InputError, match=r"^graph 0: the support has 2 paths"):
        dagdp.support(compiled, [np.zeros(2), np.zeros(1)], limit=1)
    with pytest.raises(InputError, match=r"^graph 1: paths\[0\] is 7; expected an edge"):
        dagdp.path_log_prob(compiled, [np.zeros(2), np.zeros(1)], [[0], [7]])
    with pytest.raises(InputError, match=r"^paths has shape \(3, 1\)"):
        dagdp.path_log_prob(compiled, [np.zeros(2), np.zeros(1)], np.zeros((3, 1), int))
    with pytest.raises(InputError, match=r"^end is 1; expected a list"):
        dagdp.slack(compiled, [np.zeros(2), np.zeros(1)], end=1)


def test_no_graphs():
    nothing = compile_batch([])
    assert dagdp.entropy(nothing, []).shape == dagdp.support_size(nothing, []).shape == (0,)
    assert dagdp.node_values(nothing, []) == [] and dagdp.count_paths(nothing).shape == (0,)
    assert dagdp.k_best(nothing, [], 2).lengths.shape == best_path(nothing, []).lengths.shape == (0,)
    assert dagdp.support(nothing, []).paths.lengths.shape == (0,)


@combinations(lambda omega: isinstance(omega, Negentropy), omega=OMEGAS)
def test_derivatives_of_tensors(omega):
    torch = pytest.importorskip("torch")
    graphs, rng = [trellis(2, 2), dtw_grid(2, 3)], np.random.default_rng(5)
    theta = [torch.tensor(random_theta(graph, rng, (2,)), requires_grad=True) for graph in graphs]
    compiled = compile_batch(graphs)
    for name in ("entropy", "expectation", "kl_divergence", "path_log_prob", "node_marginals"):
        ask = QUESTIONS[name]
        found = ask(compiled, theta, omega)
        alone = [ask(dag, own, omega) for dag, own in zip(compiled.dags, theta, strict=True)]
        whole = [(found[g] if isinstance(found, list) else found.select(1, g)) for g in range(2)]
        total = sum((own.where(own.isfinite(), 0.0) ** 2).sum() for own in whole)
        apart = sum((own.where(own.isfinite(), 0.0) ** 2).sum() for own in alone)
        for ours, others in zip(torch.autograd.grad(total, theta), torch.autograd.grad(apart, theta), strict=True):
            torch.testing.assert_close(ours, others, rtol=1e-8, atol=1e-10)
    still = [own.detach().float() for own in theta]
    assert dagdp.entropy(compiled, still, omega).dtype == torch.float32
    assert dagdp.k_best(compiled, still, 2).scores.dtype == torch.float32
    assert dagdp.slack(compiled, still)[1].dtype == torch.float32
