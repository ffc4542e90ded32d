"""Layers, losses, shortcuts and paths on tensors of a device: CPU tensors take its place (tests/device.py)."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from device import EDGES, SMOOTH
from device import dag as dag  # fixtures
from device import device as device
from device import theta as theta
from linear_cases import linear, random_theta

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, Tsallis, reference
from dagdp.graphs import dtw_path, dtw_value, linear_chain, trellis, viterbi_grad, viterbi_hvp, viterbi_value
from dagdp.nn import DTW, DPGrad, DPValue, Learnable, LinearChainCRF, Target, Viterbi
from dagdp.nn.autograd.device import faults


def test_layers_of_a_graph(device, dag, theta):
    np.testing.assert_allclose(DPValue(dag, SMOOTH)(torch.tensor(theta)), reference.dp_value(dag, theta, SMOOTH))
    np.testing.assert_allclose(DPGrad(dag, SMOOTH)(torch.tensor(theta)), reference.dp_grad(dag, theta, SMOOTH))
    assert len(device.launches) == 2


@pytest.mark.parametrize("lengths", [None, [1, 3], torch.tensor([1, 3]), torch.tensor([1, 3], dtype=torch.int32)])
def test_viterbi(device, lengths):
    theta = np.random.default_rng(1).normal(size=(2, 3, 2, 2))
    weights = torch.tensor(theta, requires_grad=True)
    layer = Viterbi(SMOOTH)
    layer(weights, lengths).sum().backward()
    plain = None if lengths is None else np.array([1, 3])
    dag = dagdp.compile(trellis(3, 2, ragged=plain is not None))
    end = None if plain is None else dag.ends_of(plain)
    np.testing.assert_allclose(weights.grad, reference.dp_grad(dag, theta, SMOOTH, end=end))
    np.testing.assert_allclose(viterbi_grad(weights.detach(), SMOOTH, lengths=lengths), weights.grad)
    states = layer.decode(weights, lengths)
    best = reference.dp_grad(dag, theta, HardMax(), end=end).sum(-1)
    np.testing.assert_array_equal(states, np.where(best.max(-1) > 0.5, best.argmax(-1), -1))


@pytest.mark.parametrize("bad", [0, 4, -3])
def test_a_length_on_the_device_that_is_out_of_range(device, bad):
    value = viterbi_value(torch.zeros(2, 3, 2, 2), SMOOTH, lengths=torch.tensor([2, bad]))
    assert value.isnan().tolist() == [False, True]
    with pytest.raises(InputError, match="item 1 of an earlier call"):
        dagdp.cuda.check()


def test_lengths_that_are_wrong_at_once(device):
    dag = dagdp.compile(trellis(3, 2, ragged=True))
    for wrong in (torch.tensor([1.0]), torch.tensor([True])):
        with pytest.raises(InputError, match=r"lengths\[0\] has dtype torch.*; expected integers"):
            dag.ends_of(wrong)
    with pytest.raises(InputError, match="expected one length for all items, or one for each"):
        viterbi_value(torch.zeros(2, 3, 2, 2), SMOOTH, lengths=torch.tensor([1, 2, 3]))


def test_dtw(device):
    cost = np.random.default_rng(2).random((2, 3, 4))
    lengths = torch.tensor([2, 3]), [4, 2]
    weights = torch.tensor(cost, requires_grad=True)
    layer = DTW(SMOOTH)
    layer(weights, lengths).sum().backward()
    np.testing.assert_allclose(layer(weights.detach()), dtw_value(cost, SMOOTH), atol=1e-12)
    np.testing.assert_allclose(weights.grad, dagdp.graphs.dtw_grad(cost, SMOOTH, lengths=([2, 3], [4, 2])), atol=1e-12)
    np.testing.assert_array_equal(dtw_path(weights.detach()), dtw_path(cost))
    banded = dtw_value(weights.detach(), SMOOTH, lengths=lengths, band=1)
    np.testing.assert_allclose(banded, dtw_value(cost, SMOOTH, lengths=([2, 3], [4, 2]), band=1), atol=1e-12)


def test_a_crf(device):
    crf = LinearChainCRF(3, dtype=torch.float64)
    emission = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tags, lengths = torch.tensor([[0, 1, 2, 0], [1, 1, 7, 7]]), torch.tensor([4, 2])
    likelihood = crf(emission, tags, lengths)
    likelihood.sum().backward()
    own = {name: getattr(crf, name).detach().numpy() for name in ("transition", "start", "end")}
    dag = dagdp.compile(linear_chain(4, 3, ragged=True))
    given = {"emission": emission.numpy(), **own}
    value = reference.dp_value(dag, given, end=dag.ends_of([4, 2]))
    path = emission[0, range(4), tags[0]].sum() + crf.transition[tags[0, 1:], tags[0, :-1]].sum()
    score = path + crf.start[0] + crf.end[0]
    np.testing.assert_allclose(likelihood[0].item(), score.item() - value[0])
    np.testing.assert_allclose(crf.value(emission, lengths).detach(), value)
    expected = reference.dp_grad(dag, given, end=dag.ends_of([4, 2]))["emission"]
    np.testing.assert_allclose(crf.marginals(emission, lengths).detach(), expected, atol=1e-12)
    decoded = crf.decode(emission, lengths)
    assert decoded.shape == (2, 4) and (decoded[1, 2:] == -1).all()
    ranked, scores = crf.k_best(emission, 2, lengths)
    assert (ranked[:, 0] == decoded).all() and (scores[:, 0] >= scores[:, 1]).all()
    assert crf.sample(emission, 2, lengths, seed=0).shape == (2, 2, 4)
    assert faults.flags_of(emission.device).seen.sum() == 0


def test_tags_out_of_range_are_told_late(device):
    crf, emission = LinearChainCRF(3), torch.zeros(2, 2, 3)
    assert crf.score(emission, torch.tensor([[0, 1], [0, 3]])).isnan().tolist() == [False, True]
    with pytest.raises(
        InputError, match=r"item 1 of an earlier call \(a method of LinearChainCRF\) has tags that are not"
    ):
        crf.value(emission)
    mask = torch.tensor([[True, True], [False, True]])
    with pytest.raises(InputError, match=r"item 1 of an earlier call .*no run of True followed by False"):
        crf.value(emission, mask=mask)


def test_losses(device, dag, theta):
    weights, target = (
        torch.tensor(theta),
        Target.from_nodes(dag, [[0, 1, 3], [0, 2, 3], [0, 1, 2, 3]]),
    )
    on_cpu = {}
    for name, options in (
        ("crf_loss", {}),
        ("perceptron_loss", {}),
        ("fenchel_young_loss", {"omega": SquaredL2(0.5)}),
        ("relaxed_loss", {"omega": SMOOTH}),
        ("hinge_loss", {"cost": dagdp.nn.hamming_cost(target, weights)}),
    ):
        own = weights.clone().requires_grad_()
        loss = getattr(dagdp.nn, name)(dag, own, target, reduction="none", **options)
        loss.sum().backward()
        on_cpu[name] = loss.detach(), own.grad
    score = (target.indicator([weights])[0] * weights).sum(-1)
    np.testing.assert_allclose(on_cpu["crf_loss"][0], reference.dp_value(dag, theta, Negentropy(1.0)) - score.numpy())
    expected = reference.dp_grad(dag, theta, Negentropy(1.0)) - target.indicator([weights])[0].numpy()
    np.testing.assert_allclose(on_cpu["crf_loss"][1], expected, atol=1e-12)
    assert all((loss >= -1e-12).all() for loss, _ in on_cpu.values())
    E, Y = reference.dp_grad(dag, theta, SMOOTH), target.indicator([weights])[0].numpy()
    np.testing.assert_allclose(on_cpu["relaxed_loss"][0], ((E - Y) ** 2).sum(-1))
    z = 2 * (E - Y)
    np.testing.assert_allclose(on_cpu["relaxed_loss"][1], reference.dp_hvp(dag, theta, z, SMOOTH), atol=1e-12)


def test_losses_of_a_batch_of_graphs(device):
    batch = dagdp.compile_batch([Graph.from_edges(*EDGES), Graph.from_edges([0, 1], [1, 2])])
    theta = [torch.zeros(5, requires_grad=True), torch.zeros(2, requires_grad=True)]
    targets = [Target(own, edges) for own, edges in zip(batch.dags, ([0, 3], [0, 1]), strict=True)]
    loss = dagdp.nn.crf_loss(batch, theta, targets, reduction="none")
    np.testing.assert_allclose(loss.detach(), [np.log(3), 0.0], atol=1e-6)
    loss.sum().backward()
    assert theta[1].grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("tensor", [True, False])
def test_a_learnt_temperature(device, dag, theta, tensor):
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(theta, requires_grad=True)
    value = dagdp.dp_value(dag, weights, Learnable(Negentropy(), gamma=gamma))
    np.testing.assert_allclose(value.detach(), reference.dp_value(dag, theta, SMOOTH))
    value.sum().backward()
    step = 1e-6
    around = [reference.dp_value(dag, theta, Negentropy(0.7 + s)).sum() for s in (step, -step)]
    np.testing.assert_allclose(gamma.grad, (around[0] - around[1]) / (2 * step), rtol=1e-6)


def test_a_temperature_on_the_device_is_not_read(device, dag, theta):
    value = dagdp.dp_value(dag, torch.tensor(theta), Learnable(Negentropy(), gamma=torch.tensor(-1.0)))
    assert value.isnan().all()
    with pytest.raises(InputError, match="of an earlier call"):
        dagdp.cuda.check()


def test_a_learnt_alpha(device, dag, theta):
    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(theta, requires_grad=True)
    value = dagdp.dp_value(dag, weights, Learnable(Tsallis(), alpha=alpha))
    np.testing.assert_allclose(value.detach(), reference.dp_value(dag, theta, Tsallis(1.5)))
    value.sum().backward()
    step = 1e-6
    around = [reference.dp_value(dag, theta, Tsallis(1.5 + s)).sum() for s in (step, -step)]
    np.testing.assert_allclose(alpha.grad, (around[0] - around[1]) / (2 * step), rtol=1e-5)


def test_linear_potentials(device):
    dag = dagdp.compile(linear())
    theta = random_theta(np.random.default_rng(3), (2,))
    weights = {name: torch.tensor(block, requires_grad=True) for name, block in theta.items()}
    value = dagdp.dp_value(dag, weights, SMOOTH)
    value.sum().backward()
    np.testing.assert_allclose(value.detach(), reference.dp_value(dag, theta, SMOOTH))
    for name, expected in reference.dp_grad(dag, theta, SMOOTH).items():
        np.testing.assert_allclose(weights[name].grad, expected, atol=1e-12)
    again = [torch.autograd.grad(dagdp.dp_grad(dag, weights, SMOOTH)[name].sum(), weights[name]) for name in weights]
    assert all(torch.isfinite(own[0]).all() for own in again)


def test_axis_functions(device):
    x = np.random.default_rng(4).normal(size=(2, 3))
    np.testing.assert_allclose(SMOOTH.max(torch.tensor(x)), 0.7 * np.log(np.exp(x / 0.7).sum(-1)))
    weights = SMOOTH.argmax(torch.tensor(x), axis=0)
    np.testing.assert_allclose(weights, np.exp(x / 0.7) / np.exp(x / 0.7).sum(0))


def test_the_best_path_is_found_by_one_launch(device, dag, theta):
    for minimize in (False, True):
        for end in (None, [3, 1, 0], torch.tensor([3, 1, 0])):
            device.launches.clear()
            found = dagdp.best_path(dag, torch.tensor(theta), minimize=minimize, end=end)
            expected = dagdp.best_path(dag, theta, minimize=minimize, end=None if end is None else np.asarray(end))
            (launched,) = device.launches
            assert launched[0].variant.decode and found.edges.shape == (3, 3)
            for name in ("edges", "nodes", "lengths", "scores"):
                mine, other = getattr(found, name), getattr(expected, name)
                padded = np.full(mine.shape, -1) if other.ndim > 1 else other
                padded = np.array(padded, other.dtype)
                if other.ndim > 1:
                    padded[:, : other.shape[1]] = other
                np.testing.assert_allclose(mine, padded, err_msg=name)


def test_other_paths_are_found_on_the_host(device, dag, theta):
    weights = torch.tensor(theta)
    for mine, other in (
        (dagdp.k_best(dag, weights, 2).edges, dagdp.k_best(dag, theta, 2).edges),
        (dagdp.sample_paths(dag, weights, SMOOTH, 2, 0).edges, dagdp.sample_paths(dag, theta, SMOOTH, 2, 0).edges),
        (dagdp.entropy(dag, weights, SMOOTH), dagdp.entropy(dag, theta, SMOOTH)),
        (dagdp.node_marginals(dag, weights, SMOOTH), dagdp.node_marginals(dag, theta, SMOOTH)),
        (dagdp.max_marginals(dag, weights), dagdp.max_marginals(dag, theta)),
    ):
        assert isinstance(mine, torch.Tensor)
        np.testing.assert_allclose(mine, other)
    with pytest.raises(InputError, match=r"theta\[0, 1\] is nan"):
        dagdp.k_best(dag, torch.tensor([[0.0, torch.nan, 0.0, 0.0, 0.0]]), 2)


class FakeArray:
    """A device array of another library: DLPack's protocol around a CPU tensor."""

    def __init__(self, tensor):
        self.tensor, self.shape = tensor, tuple(tensor.shape)

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


@pytest.mark.parametrize("returns", [True, False])
def test_arrays_of_other_libraries_come_back_as_they_came(device, monkeypatch, theta, returns):
    library = types.ModuleType("fakelib")
    if returns:
        library.from_dlpack = FakeArray
    monkeypatch.setitem(sys.modules, "fakelib", library)
    monkeypatch.setattr(FakeArray, "__module__", "fakelib.core")
    dag = dagdp.compile(Graph.from_edges(*EDGES, potentials={"w": (5, np.arange(5))}))
    kind = FakeArray if returns else torch.Tensor
    given = {"w": FakeArray(torch.tensor(theta))}
    value, path = dagdp.dp_value_and_grad(dag, given, SMOOTH, end=FakeArray(torch.tensor([3, 3, 1])))
    assert type(value) is kind and type(path["w"]) is kind
    numbers = value.tensor if returns else value
    np.testing.assert_allclose(numbers, reference.dp_value(dag, {"w": theta}, SMOOTH, end=[3, 3, 1]))
    product = dagdp.dp_hvp(dag, given, given, SMOOTH)["w"]
    assert type(product) is kind
    batch = dagdp.compile_batch([Graph.from_edges([0], [1])] * 2)
    both = dagdp.dp_grad(batch, [FakeArray(torch.zeros(1)), FakeArray(torch.ones(1))], SMOOTH)
    assert [type(own) for own in both] == [kind, kind]
    layer = DPValue(dagdp.compile(Graph.from_edges(*EDGES)), SMOOTH)
    assert isinstance(layer(FakeArray(torch.tensor(theta))), torch.Tensor)


def test_shortcuts_take_arrays_of_other_libraries(device, monkeypatch):
    library = types.ModuleType("fakelib")
    library.from_dlpack = FakeArray
    monkeypatch.setitem(sys.modules, "fakelib", library)
    monkeypatch.setattr(FakeArray, "__module__", "fakelib.core")
    rng = np.random.default_rng(2)
    costs, scores, z = rng.random((2, 3, 4)), rng.random((2, 3, 2, 2)), rng.random((2, 3, 2, 2))
    lengths = (np.array([3, 2]), np.array([4, 3]))
    found = dtw_value(FakeArray(torch.tensor(costs)), SMOOTH, lengths=lengths)
    assert type(found) is FakeArray
    np.testing.assert_allclose(found.tensor, dtw_value(costs, SMOOTH, lengths=lengths))
    product = viterbi_hvp(FakeArray(torch.tensor(scores)), FakeArray(torch.tensor(z)), omega=SMOOTH)
    assert type(product) is FakeArray
    np.testing.assert_allclose(product.tensor, viterbi_hvp(scores, z, SMOOTH), atol=1e-12)
