"""Questions about paths from torch: the same numbers, as tensors, and derivatives by gradcheck."""

from __future__ import annotations

import numpy as np
import pytest
from cases import (
    BUNDLED,
    GRAPHS,
    combinations,
    graph_of,
    one_of_each_solver_and_type,
    random_theta,
)

import dagdp
from dagdp import HardMax, InputError, Negentropy, SquaredL2, Tsallis, compile

torch = pytest.importorskip("torch")

SMOOTH = [Negentropy(0.7), SquaredL2(9.0), Tsallis(1.5, 2.0), Tsallis(2.0, 3.0)]
NAMES = ["parallel edges", "two starts, two ends", "tied", "chain", "grid"]


def tensors(theta, **options):
    if isinstance(theta, dict):
        return {name: tensors(array, **options) for name, array in theta.items()}
    return torch.tensor(theta, **options)


def values(theta):
    return tuple(theta.values()) if isinstance(theta, dict) else (theta,)


def keyed(theta, given):
    """The tensors given, in the form of theta."""
    return dict(zip(theta, given, strict=True)) if isinstance(theta, dict) else given[0]


def numbers(result):
    """NumPy arrays of what a function returned."""
    if isinstance(result, dagdp.Paths):
        return [numbers(a) for a in (result.scores, result.edges, result.nodes, result.lengths)]
    if isinstance(result, tuple):
        return [numbers(a) for a in result]
    return result.numpy() if isinstance(result, torch.Tensor) else np.asarray(result)


@combinations(one_of_each_solver_and_type, dtype=["float32", "float64"], omega=BUNDLED, name=NAMES)
def test_tensors_give_the_numbers_of_numpy(dtype, omega, name):
    graph, rng = GRAPHS[name](), np.random.default_rng(1)
    dag, theta, other = compile(graph), *(random_theta(graph, rng, (2,), dtype) for _ in range(2))
    cost = rng.normal(size=graph.num_edges)
    calls = [
        lambda t, o: dagdp.best_path(dag, t),
        lambda t, o: dagdp.k_best(dag, t, 3),
        lambda t, o: dagdp.sample_paths(dag, t, omega, 5, 0),
        lambda t, o: dagdp.path_log_prob(dag, t, dagdp.k_best(dag, t, 3), omega),
        lambda t, o: dagdp.entropy(dag, t, omega),
        lambda t, o: dagdp.cross_entropy(dag, t, o, omega),
        lambda t, o: dagdp.kl_divergence(dag, t, o, omega, Negentropy(1.0)),
        lambda t, o: dagdp.expectation(dag, t, omega, cost),
        lambda t, o: dagdp.support(dag, t, omega, limit=10**5),
        lambda t, o: dagdp.node_marginals(dag, t, omega),
    ]
    for call in calls:
        ours, exact = call(tensors(theta), tensors(other)), call(theta, other)
        for found, wanted in zip(_flat(numbers(ours)), _flat(numbers(exact)), strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)
    assert isinstance(dagdp.best_path(dag, tensors(theta)).edges, torch.Tensor)
    assert dagdp.support_size(dag, tensors(theta), omega).tolist() == dagdp.support_size(dag, theta, omega).tolist()


def _flat(nested):
    return [leaf for part in nested for leaf in _flat(part)] if isinstance(nested, list) else [nested]


# Under SquaredL2 some edge of "tied" has a weight of 0, at a kink.
CASES = [(name, omega) for name in NAMES for omega in SMOOTH if name != "tied" or not isinstance(omega, SquaredL2)]


def differentiated(minimize, case):
    """Two graphs of costs, the others of scores."""
    name, omega = case
    return isinstance(omega, Negentropy) and minimize == (name in ("tied", "grid"))


@combinations(differentiated, minimize=[False, True], case=CASES)
def test_gradients(minimize, case):
    """Of entropy, both divergences in both arguments, log-probability and expectation, per-item weights on top."""
    name, omega = case
    graph, rng = GRAPHS[name](), np.random.default_rng(2)
    dag, (theta, other) = compile(graph), (random_theta(graph, rng, (2,)) for _ in range(2))
    # So small that both have one support under a sparse operator: a divergence of another support is infinite.
    theta, other = (
        tensors({name: a / 40 for name, a in t.items()} if isinstance(t, dict) else t / 40) for t in (theta, other)
    )
    paths = dagdp.sample_paths(dag, theta, omega, 3, 0, minimize=minimize)
    cost = torch.tensor(rng.normal(size=(2, graph.num_edges)), requires_grad=True)
    n = len(values(theta))
    for tensor in (*values(theta), *values(other)):
        tensor.requires_grad_()

    def check(function, *given):
        assert torch.autograd.gradcheck(function, given, eps=1e-6, atol=1e-5)

    both = (*values(theta), *values(other))
    sign = {"minimize": minimize}
    check(lambda *t: dagdp.entropy(dag, keyed(theta, t), omega, **sign), *values(theta))
    check(lambda *t: dagdp.path_log_prob(dag, keyed(theta, t), paths, omega, **sign), *values(theta))
    check(lambda c, *t: dagdp.expectation(dag, keyed(theta, t), omega, c, **sign), cost, *values(theta))
    check(lambda *t: dagdp.node_marginals(dag, keyed(theta, t), omega, **sign), *values(theta))
    for function in (dagdp.cross_entropy, dagdp.kl_divergence):
        check(lambda *t, f=function: f(dag, keyed(theta, t[:n]), keyed(other, t[n:]), omega, **sign), *both)


def test_a_support_that_does_not_cover_the_other_is_infinite_with_finite_gradients():
    dag = compile(graph_of([(0, 1), (0, 1), (0, 1)]))
    theta = torch.tensor([1.0, 0.9, -5.0], requires_grad=True)
    other = torch.tensor([1.0, 0.9, -5.0], requires_grad=True)
    found = dagdp.kl_divergence(dag, theta, other, Negentropy(1.0), SquaredL2(1.0))
    assert found == torch.inf
    log = dagdp.path_log_prob(dag, theta, [[0], [2]], SquaredL2(1.0))
    assert log[1] == -torch.inf and torch.isfinite(torch.autograd.grad(log[0], theta)[0]).all()
    minus = torch.tensor([0.0, -torch.inf, 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(dagdp.entropy(dag, minus), minus)
    assert gradient[1] == 0 and torch.isfinite(gradient).all()


@combinations(lambda omega: isinstance(omega, Negentropy), omega=SMOOTH)
def test_ragged_and_infeasible_items_have_clean_gradients(omega):
    dag = compile(graph_of([(0, 1), (0, 1), (1, 2), (1, 2)]))
    given = [[1.0, 2, 3, 4], [1.0, 2, torch.nan, torch.inf], [-torch.inf, -torch.inf, 1, 1]]
    end = torch.tensor([2, 1, 2])
    theta = torch.tensor(given, dtype=torch.float64, requires_grad=True)
    paths = dagdp.best_path(dag, theta, end=end)
    log = dagdp.path_log_prob(dag, theta, paths.edges[:, None], omega, end=end)
    total = dagdp.entropy(dag, theta, omega, end=end).sum() + log[:2].sum()
    (gradient,) = torch.autograd.grad(total, theta)
    assert torch.isfinite(gradient).all() and (gradient[1, 2:] == 0).all() and (gradient[2] == 0).all()
    assert log[2] == -torch.inf


def test_a_derivative_that_would_need_an_underflowed_probability_is_refused():
    """The walk visits node 1 with probability q^500 = 0 in float64; log p itself is exact."""
    steps = 500
    edges = [(k, k + 1) for k in range(steps)] + [(0, k + 1) for k in range(1, steps)] + [(0, 1)]
    dag, omega = compile(graph_of(edges)), SquaredL2(1.0)
    theta = np.zeros(len(edges))
    theta[1:steps] = -0.4
    paths = np.arange(steps)
    log = dagdp.path_log_prob(dag, theta, paths, omega)
    assert -np.inf < log < -1000
    tensor = torch.tensor(theta)
    assert float(dagdp.path_log_prob(dag, tensor, paths, omega)) == pytest.approx(log, rel=1e-13)
    with pytest.raises(InputError, match="probability is below the smallest float64"):
        dagdp.path_log_prob(dag, tensor.requires_grad_(), paths, omega)


def test_mixed_kinds_become_tensors():
    dag, theta = compile(graph_of([(0, 1), (0, 1)])), np.array([1.0, 2.0])
    tensor = torch.tensor(theta)
    for function in (dagdp.kl_divergence, dagdp.cross_entropy):
        for pair in ((theta, tensor), (tensor, theta)):
            assert isinstance(function(dag, *pair), torch.Tensor)
            assert float(function(dag, *pair)) == pytest.approx(function(dag, theta, theta), abs=1e-12)
    found = dagdp.expectation(dag, theta, HardMax(), torch.tensor([3.0, 4.0], dtype=torch.float64))
    assert isinstance(found, torch.Tensor) and found == 4


def test_local_weights_refuse_tensors_rather_than_cut_them_off():
    with pytest.raises(InputError, match="local_weights has no derivative"):
        dagdp.local_weights(compile(graph_of([(0, 1)])), torch.zeros(1))
