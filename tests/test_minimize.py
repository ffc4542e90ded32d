"""minimize=None, the default everywhere: as the graph was written. True and False decide."""

from __future__ import annotations

import inspect
import pickle
from functools import partial

import networkx
import numpy as np
import pytest

import dagdp
from dagdp import Graph, GraphError, Negentropy, compile, compile_batch, reference
from dagdp.engine.inputs import as_written

PARENTS, CHILDREN = [0, 0, 1, 1, 2], [1, 2, 2, 3, 3]
COSTS, SCORES = (
    compile(Graph.from_edges(PARENTS, CHILDREN, starts=[0], ends=[3], minimize=sign)) for sign in (True, False)
)
THETA = np.array([1.0, 2.5, 2.0, 4.0, 0.5])
Z = np.arange(5.0)
OMEGA = Negentropy(0.7)

SPARSE = dagdp.SquaredL2(2.0)


# {function: its arguments behind dag and theta}; numbers for each edge are doubled for a batch of two graphs
DP = {
    "dp_value": (OMEGA,),
    "dp_grad": (OMEGA,),
    "dp_value_and_grad": (OMEGA,),
    "dp_jvp": (Z, OMEGA),
    "dp_hvp": (Z, OMEGA),
    "dp_jvp_and_hvp": (Z, OMEGA),
    "local_weights": (OMEGA,),
}
PATHS = {
    "best_path": (),
    "k_best": (3,),
    "sample_paths": (OMEGA, 5, 0),
    "path_log_prob": (np.array([0, 3]), OMEGA),
    "entropy": (OMEGA,),
    "cross_entropy": (Z, OMEGA),
    "kl_divergence": (Z, OMEGA),
    "expectation": (OMEGA, Z),
    "support": (SPARSE,),
    "support_size": (SPARSE,),
    "node_marginals": (OMEGA,),
    "node_values": (OMEGA,),
    "max_marginals": (),
    "slack": (),
}


def leaves(found):
    """All numbers of a result, as one list of arrays."""
    if isinstance(found, dagdp.Paths):
        return leaves([found.scores, found.edges])
    if isinstance(found, dict):
        return leaves(list(found.values()))
    if isinstance(found, list | tuple):
        return [one for part in found for one in leaves(part)]
    return [np.asarray(found.detach() if hasattr(found, "detach") else found, float)]


def equal(one, other) -> bool:
    one, other = leaves(one), leaves(other)
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(one, other, strict=True))


def check(function, theta=THETA, costs=COSTS, scores=SCORES):
    """Both graphs answer alike where the call decides, and each by its own sign where it does not."""
    low, high = function(scores, theta, minimize=True), function(scores, theta, minimize=False)
    assert not equal(low, high)
    assert equal(function(costs, theta), low) and equal(function(scores, theta), high)
    assert equal(function(costs, theta, minimize=False), high) and equal(function(costs, theta, minimize=True), low)


@pytest.mark.parametrize("name", [*DP, *PATHS])
def test_functions_and_questions_about_paths(name):
    rest = (DP | PATHS)[name]
    check(lambda dag, theta, **sign: getattr(dagdp, name)(dag, theta, *rest, **sign))


@pytest.mark.parametrize("name", DP)
def test_the_reference(name):
    check(lambda dag, theta, **sign: getattr(reference, name)(dag, theta, *DP[name], **sign))


@pytest.mark.parametrize("name", [*DP, *PATHS])
def test_batches_of_graphs(name):
    rest = [[one, one] if isinstance(one, np.ndarray) else one for one in (DP | PATHS)[name]]
    batches = [compile_batch([dag, dag]) for dag in (COSTS, SCORES)]
    check(lambda dag, theta, **sign: getattr(dagdp, name)(dag, theta, *rest, **sign), [THETA, THETA], *batches)


def test_bounds():
    check(lambda dag, theta, **sign: dagdp.gap_bound(dag, SPARSE, **sign))


def test_tensors_layers_and_losses():
    torch = pytest.importorskip("torch")
    from dagdp.nn import DPGrad, DPValue, Target, fenchel_young_loss, perceptron_loss, relaxed_loss, structured_loss

    theta = torch.tensor(THETA, requires_grad=True)
    for backend in (None, "torch"):
        check(partial(dagdp.dp_value_and_grad, omega=OMEGA, backend=backend), theta)
    for layer in (DPValue, DPGrad):
        check(lambda dag, theta, made=layer, **sign: made(dag, OMEGA, **sign)(theta), theta)
    for loss in (structured_loss, fenchel_young_loss, relaxed_loss):
        check(lambda dag, theta, ask=loss, **sign: ask(dag, theta, Target(dag, [0, 3]), OMEGA, **sign), theta)
    check(lambda dag, theta, **sign: perceptron_loss(dag, theta, Target(dag, [0, 3]), **sign), theta)
    batches = [compile_batch([dag, dag]) for dag in (COSTS, SCORES)]
    check(
        lambda dag, theta, **sign: structured_loss(dag, theta, [Target(own, [0, 3]) for own in dag.dags], **sign),
        [theta, theta],
        *batches,
    )


def test_every_function_that_takes_a_graph_has_the_default():
    signatures = {name: inspect.signature(getattr(dagdp, name)).parameters for name in [*DP, *PATHS, "gap_bound"]}
    signatures |= {f"reference.{name}": inspect.signature(getattr(reference, name)).parameters for name in DP}
    assert {name for name, options in signatures.items() if options["minimize"].default is not None} == set()


def chain():
    return [0], [1], [[0]]


def test_the_sign_stays_with_the_graph():
    by_hand = Graph(minimize=True)
    by_hand.add_edge("a", "b")
    sizes = {"num_nodes": 2, "num_edges": 1, "starts": [0], "ends": [1], "potentials": {"w": 1}}
    made = Graph.from_maker(chain, (), **sizes, minimize=True)
    for graph in (by_hand, made, by_hand.snapshot(), pickle.loads(pickle.dumps(by_hand))):
        dag = compile(graph)
        assert graph.minimize and dag.minimize and pickle.loads(pickle.dumps(dag)).minimize
        assert "costs: minimised" in dag.explain()
    assert not Graph().minimize and not SCORES.minimize and "costs" not in SCORES.explain()
    G = networkx.DiGraph()
    G.add_edge("a", "b", weight=1.0)
    assert dagdp.from_networkx(G, minimize=True)[0].minimize and not dagdp.from_networkx(G)[0].minimize
    assert not as_written(COSTS, False) and as_written(SCORES, True) and as_written(COSTS, None)


def test_a_text_with_min_is_minimised():
    text = "v[0] = cost[0]\nv[i] = min[k](v[i-1] + step[i, k])\nreturn v[-1]"
    low = compile(dagdp.recurrence(text, i=3, k=2))
    high = compile(dagdp.recurrence(text.replace("min", "max"), i=3, k=2))
    theta = {"cost": np.zeros(1), "step": np.array([[0.0, 0], [1, 2], [5, 3]])}
    assert low.minimize and not high.minimize
    assert dagdp.dp_value(low, theta, dagdp.HardMax()) == 4.0 and dagdp.dp_value(high, theta, dagdp.HardMax()) == 7.0


def test_a_batch_has_one_sign():
    with pytest.raises(GraphError, match="graph 1 has costs to be minimised, graph 0 scores to be maximised; expected"):
        compile_batch([SCORES, COSTS])
    for sign in (True, False):
        batch = compile_batch([SCORES, COSTS], minimize=sign)
        assert batch.minimize == pickle.loads(pickle.dumps(batch)).minimize == sign
        want = dagdp.dp_value(SCORES, THETA, minimize=sign)
        np.testing.assert_allclose(dagdp.dp_value(batch, [THETA, THETA]), [want, want], atol=1e-12)
        assert equal(dagdp.k_best(batch, [THETA] * 2, 1).of_graph(1), dagdp.k_best(COSTS, THETA, 1, minimize=sign))
        best = dagdp.best_path(SCORES, THETA, minimize=sign).scores
        assert dagdp.best_path(batch, [THETA] * 2).scores.tolist() == [best, best]
    assert not compile_batch([]).minimize


def test_torch_compile_follows_the_graph():
    torch = pytest.importorskip("torch")
    theta = torch.tensor(THETA)
    traced = torch.compile(lambda theta: dagdp.dp_value(COSTS, theta, OMEGA), fullgraph=True, backend="eager")
    assert traced(theta).item() == pytest.approx(float(dagdp.dp_value(SCORES, THETA, OMEGA, minimize=True)))
