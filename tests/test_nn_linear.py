"""Linear potentials on tensors: both front ends against arrays, derivatives of both orders, losses, layers."""

from __future__ import annotations

import linear_cases
import numpy as np
import pytest
from linear_cases import edge_weights, linear

import dagdp
from dagdp import InputError, Negentropy, SquaredL2

torch = pytest.importorskip("torch")
from dagdp.nn import (  # noqa: E402
    DPGrad,
    DPValue,
    Learnable,
    Target,
    crf_loss,
    fenchel_young_loss,
    hamming_cost,
    hinge_loss,
    relaxed_loss,
    structured_loss,
)

DAG = dagdp.compile(linear())
PATHS = np.array([[0, 3, 5], [8, -1, -1]])  # to the ends 3 and 4
SHARED = ("gap", "kind")


def tensors(seed=0, dtype=torch.float64, requires_grad=True):
    theta = linear_cases.random_theta(np.random.default_rng(seed), (2,), SHARED)
    return {name: torch.tensor(block, dtype=dtype, requires_grad=requires_grad) for name, block in theta.items()}


def of(blocks):
    return dict(zip(linear_cases.READS, blocks, strict=True))


def arrays(theta):
    return {name: block.detach().numpy() for name, block in theta.items()}


@pytest.mark.parametrize("backend", [None, "torch"])
def test_derivatives_are_those_of_the_values(backend):
    blocks = tuple(tensors().values())

    def value(*blocks):
        return dagdp.dp_value(DAG, of(blocks), Negentropy(0.7), backend=backend)

    def path(*blocks):
        return tuple(dagdp.dp_grad(DAG, of(blocks), Negentropy(0.7), backend=backend).values())

    assert torch.autograd.gradcheck(value, blocks) and torch.autograd.gradgradcheck(value, blocks)
    assert torch.autograd.gradcheck(path, blocks)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_results_are_those_of_arrays(backend, requires_grad):
    theta, z = tensors(requires_grad=requires_grad), tensors(1, requires_grad=False)
    for omega, options in ((Negentropy(0.7), {}), (SquaredL2(), {"minimize": True, "end": np.array([3, 4])})):
        value, E = dagdp.dp_value_and_grad(DAG, theta, omega, backend=backend, **options)
        slope, H = dagdp.dp_jvp_and_hvp(DAG, theta, z, omega, backend=backend, **options)
        wanted = dagdp.dp_value_and_grad(DAG, arrays(theta), omega, **options)
        turn = dagdp.dp_jvp_and_hvp(DAG, arrays(theta), arrays(z), omega, **options)
        for found, own in ((value, wanted[0]), (slope, turn[0])):
            np.testing.assert_allclose(found.detach(), own, atol=1e-9)
        for found, own in ((E, wanted[1]), (H, turn[1])):
            for name in theta:
                assert found[name].shape == theta[name].shape and found[name].dtype == theta[name].dtype
                np.testing.assert_allclose(found[name].detach(), own[name], atol=1e-9)


def test_types_and_lists():
    theta = tensors(dtype=torch.float16)
    value, E = dagdp.dp_value_and_grad(DAG, theta)
    assert value.dtype == torch.float16 and {block.dtype for block in E.values()} == {torch.float16}
    value.sum().backward()
    np.testing.assert_allclose(theta["cost"].grad.float(), E["cost"].detach().float(), atol=2e-3)
    mixed = {**theta, "gap": 1.0}
    assert isinstance(dagdp.dp_value(DAG, mixed), torch.Tensor)


def test_transforms_and_compilation():
    theta = tensors(requires_grad=False)
    rest = {name: theta[name] for name in SHARED}

    def one(cost):
        return dagdp.dp_value(DAG, {"cost": cost, **rest})

    together = dagdp.dp_value(DAG, theta)
    torch.testing.assert_close(torch.func.vmap(one)(theta["cost"]), together)
    E = dagdp.dp_grad(DAG, theta)["cost"]
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(one))(theta["cost"]), E)
    traced = torch.compile(one, backend="aot_eager", fullgraph=True)
    cost = theta["cost"].clone().requires_grad_()
    traced(cost).sum().backward()
    torch.testing.assert_close(cost.grad, E)


@pytest.mark.parametrize("backend", [None, "torch"])
def test_faults_are_named_in_the_users_tensor(backend):
    theta = tensors()
    theta["cost"].data[1, 0, 2] = torch.nan
    with pytest.raises(InputError, match=r"^theta\['cost'\]\[1, 0, 2\] is nan, which edge 1 reads 0.75 times"):
        dagdp.dp_value(DAG, theta, backend=backend)
    dagdp.dp_grad(DAG, theta, end=[3, 0], backend=backend)  # item 1 ends at its start


def test_a_batch_of_graphs_is_twice_differentiable():
    batch = dagdp.compile_batch([linear(), linear(ends=[4])], shared=["gap"])
    first, second = tensors(), tensors(1)
    blocks = (first["cost"], first["kind"], second["cost"], second["kind"], first["gap"])

    def theta(cost, kind, other_cost, other_kind, gap):
        kinds = [one.expand(2, 2) for one in (kind, other_kind)]
        return {"cost": [cost, other_cost], "kind": kinds, "gap": gap}

    def value(*blocks):
        return dagdp.dp_value(batch, theta(*blocks), Negentropy(0.7))

    assert torch.autograd.gradcheck(value, blocks) and torch.autograd.gradgradcheck(value, blocks)
    E = dagdp.dp_grad(batch, theta(*blocks))
    wanted = dagdp.dp_grad(DAG, {**first, "kind": first["kind"].expand(2, 2)})
    torch.testing.assert_close(E["cost"][0], wanted["cost"])
    assert E["gap"].shape == ()


def test_a_learnt_temperature():
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    theta = tensors(requires_grad=False)
    assert torch.autograd.gradcheck(lambda g: dagdp.dp_value(DAG, theta, Learnable(Negentropy(), gamma=g)), (gamma,))
    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    learnt = dagdp.dp_grad(DAG, theta, Learnable(dagdp.Tsallis(1.5), alpha=alpha))
    torch.testing.assert_close(learnt["cost"].detach(), dagdp.dp_grad(DAG, theta, dagdp.Tsallis(1.5))["cost"])


def test_layers():
    theta = tensors(requires_grad=False)
    value, E = dagdp.dp_value_and_grad(DAG, theta)
    torch.testing.assert_close(DPValue(DAG)(theta), value)
    torch.testing.assert_close(DPValue(DAG)(arrays(theta)), value)
    torch.testing.assert_close(DPGrad(DAG)(theta)["cost"], E["cost"])


def test_losses_subtract_the_score_with_coefficients():
    theta, target = tensors(), Target(DAG, PATHS)
    weights = edge_weights(arrays(theta), (2,))
    score = np.array([weights[0, [0, 3, 5]].sum(), weights[1, 8]])
    np.testing.assert_allclose(target.score(list(theta.values())).detach(), score)
    ends = target.end
    value, E = dagdp.dp_value_and_grad(
        DAG, {**theta, "gap": theta["gap"].expand(2), "kind": theta["kind"].expand(2, 2)}, end=ends
    )
    loss = crf_loss(DAG, theta, target, reduction="none", end=ends)
    np.testing.assert_allclose(loss.detach(), value.detach().numpy() - score)
    loss.sum().backward()
    Y = dict(zip(theta, target.indicator(list(theta.values())), strict=True))
    flows = np.zeros((2, 9))
    flows[0, [0, 3, 5]] = flows[1, 8] = 1.0
    for name, matrix in linear_cases.MATRICES.items():
        np.testing.assert_allclose(Y[name].reshape(2, -1), flows @ matrix)
    np.testing.assert_allclose(theta["cost"].grad, (E["cost"] - Y["cost"]).detach(), atol=1e-9)
    np.testing.assert_allclose(theta["gap"].grad, (E["gap"] - Y["gap"]).sum().detach(), atol=1e-9)
    torch.testing.assert_close(fenchel_young_loss(DAG, theta, target, end=ends, reduction="none"), loss)
    C = hamming_cost(target, theta, "cost")
    assert C["cost"].tolist() == [[[0, 0, 1], [1, 0, 0]], [[1, 1, 1], [1, 0, 1]]]
    raised = {**arrays(theta), "cost": arrays(theta)["cost"] + C["cost"].detach().numpy()}
    best = np.array([dagdp.dp_value(DAG, raised, dagdp.HardMax(), end=ends)]) - score
    found = hinge_loss(DAG, theta, target, C, end=ends, reduction="none")
    np.testing.assert_allclose(found.detach(), best[0], atol=1e-9)
    loss = relaxed_loss(DAG, theta, target, end=ends, reduction="none")
    np.testing.assert_allclose(loss.detach(), sum(((E[n] - Y[n]) ** 2).reshape(2, -1).sum(-1).detach() for n in E))
    with pytest.raises(InputError, match="has linear potentials, whose sums tell no path"):
        structured_loss(DAG, theta, Y)
    batch = dagdp.compile_batch([linear(ends=[3]), linear(ends=[4])])
    pair = [
        {
            name: block[g] if block.ndim == len(linear_cases.READS[name][0]) + 1 else block
            for name, block in theta.items()
        }
        for g in range(2)
    ]
    targets = [Target(dag, row) for dag, row in zip(batch.dags, ([0, 3, 5], [8]), strict=True)]
    found = crf_loss(batch, pair, targets, reduction="none")
    np.testing.assert_allclose(found.detach(), value.detach().numpy() - score)
