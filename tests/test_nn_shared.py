"""Potentials that a batch shares, from torch: never repeated, and the same derivatives as with a copy for each item."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dagdp
from dagdp import HardMax, Negentropy, SquaredL2
from dagdp.graphs import linear_chain
from dagdp.nn import LinearChainCRF
from dagdp.nn.autograd import shared_blocks

SIZE = (5, 3)
REGULAR, RAGGED = dagdp.compile(linear_chain(*SIZE)), dagdp.compile(linear_chain(*SIZE, ragged=True))
LENGTHS = torch.tensor([5, 1, 3, 4])


def blocks(batch=4, dtype=torch.float64):
    """Emissions for each item, the other potentials for all."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"emission": (batch, *SIZE), "transition": (3, 3), "start": (3,), "end": (3,)}
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for name, shape in shapes.items()
    }


def repeated(theta, batch=4):
    """The same with a copy for each item."""
    return {name: block if name == "emission" else block.expand(batch, *block.shape) for name, block in theta.items()}


def value_of(theta, omega, ragged):
    dag, end = (RAGGED, SIZE[0] * SIZE[1] + LENGTHS) if ragged else (REGULAR, None)
    return dagdp.dp_value(dag, theta, omega, end=end)


@pytest.fixture
def asked(monkeypatch):
    """How often the shared route was taken, by whether items were weighted."""
    log = []
    computed = shared_blocks.SharedPlan.value_and_paths
    monkeypatch.setattr(
        shared_blocks.SharedPlan,
        "value_and_paths",
        lambda self, end, given, w: (log.append(w is not None), computed(self, end, given, w))[1],
    )
    return log


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5), HardMax()], ids=repr)
@pytest.mark.parametrize("weights", [[1.0, 1, 1, 1], [0.25] * 4, [1.0, -2, 0, 3]], ids=str)
def test_gradients_are_those_of_copies(weights, omega, ragged, asked):
    theta, upstream = blocks(), torch.tensor(weights, dtype=torch.float64)
    value = value_of(theta, omega, ragged)
    found = torch.autograd.grad(value, list(theta.values()), upstream)
    assert asked == ([False] if len(set(weights)) == 1 else [False, True])
    copies = value_of(repeated(theta), omega, ragged)
    assert len(asked) <= 2
    torch.testing.assert_close(value, copies)
    for ours, theirs in zip(found, torch.autograd.grad(copies, list(theta.values()), upstream), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("ragged", [False, True])
def test_gradcheck_twice(ragged):
    names, given = zip(*blocks(3 if not ragged else 4).items(), strict=True)

    def value(*given):
        return value_of(dict(zip(names, given, strict=True)), Negentropy(0.8), ragged)

    assert torch.autograd.gradcheck(value, given)
    assert torch.autograd.gradgradcheck(value, given)


def test_a_gradient_penalty_reaches_shared_blocks():
    """create_graph: the gradient's own derivative is that of copies."""
    results = []
    for form in (lambda theta: theta, repeated):
        theta = blocks()
        value = value_of(form(theta), Negentropy(1.0), False).pow(2).sum()
        grads = torch.autograd.grad(value, list(theta.values()), create_graph=True)
        results.append(torch.autograd.grad(sum(g.pow(2).sum() for g in grads), list(theta.values())))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def test_a_graph_can_be_walked_again_and_gradients_changed_in_place():
    theta = blocks()
    value = value_of(theta, Negentropy(1.0), False).sum()
    value.backward(retain_graph=True)
    first = {name: block.grad.clone() for name, block in theta.items()}
    for block in theta.values():
        block.grad.mul_(3)
        block.grad = None
    value.backward()
    for name, block in theta.items():
        torch.testing.assert_close(block.grad, first[name], atol=0, rtol=0)


def test_only_what_needs_a_gradient_gets_one():
    theta = {name: block.detach() for name, block in blocks().items()}
    theta["transition"].requires_grad_()
    value_of(theta, Negentropy(1.0), False).mean().backward()
    assert theta["transition"].grad.abs().sum() > 0 and theta["emission"].grad is None


def test_an_empty_batch_has_gradient_zero():
    theta = blocks(0)
    value = value_of(theta, Negentropy(1.0), False)
    assert value.shape == (0,)
    value.sum().backward()
    assert theta["emission"].grad.shape == (0, *SIZE) and not theta["transition"].grad.any()


def test_costs_to_minimise():
    theta, upstream = blocks(), torch.tensor([1.0, -2, 0, 3], dtype=torch.float64)
    found = []
    for form in (theta, repeated(theta)):
        value = dagdp.dp_value(REGULAR, form, Negentropy(0.7), minimize=True)
        found.append(torch.autograd.grad(value, list(theta.values()), upstream))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_half_precision_and_mixed_types():
    theta = {name: block.detach() for name, block in blocks(dtype=torch.float32).items()}
    theta["emission"] = theta["emission"].to(torch.float16).requires_grad_()
    theta["transition"].requires_grad_()
    value = value_of(theta, Negentropy(1.0), False)
    assert value.dtype == torch.float32
    value.sum().backward()
    assert theta["emission"].grad.dtype == torch.float16 and theta["transition"].grad.dtype == torch.float32


def test_no_copy_for_each_item(monkeypatch):
    """A layer's training step makes no tensor of batch x entries of a shared block."""
    crf, items, steps, tags = LinearChainCRF(64), 40, 3, 64
    emission = torch.randn(items, steps, tags, requires_grad=True)
    joined = []
    for module in ("dagdp.nn.autograd.functions", "dagdp.nn.autograd.shared_blocks"):
        monkeypatch.setattr(f"{module}.joined", lambda *a: joined.append(a))
    crf(emission, torch.zeros(items, steps, dtype=torch.int64)).sum().backward()
    assert joined == [] and crf.transition.grad.shape == (tags, tags)


def test_errors_are_those_of_the_other_route():
    theta = {name: block.detach().requires_grad_() for name, block in blocks().items()}
    with torch.no_grad():
        theta["transition"][1, 2] = np.nan
    with pytest.raises(dagdp.InputError, match="transition"):
        value_of(theta, Negentropy(1.0), False)
    with pytest.raises(dagdp.InputError, match="end has shape"):
        dagdp.dp_value(RAGGED, blocks(), end=torch.tensor([16, 17, 18]))


def test_a_form_that_was_asked_before_is_not_checked_again(monkeypatch):
    """Other numbers of the same form get their own answer; another form, and what is wrong, are looked at anew."""
    dag, log = dagdp.compile(linear_chain(*SIZE)), []
    check = shared_blocks.collect
    monkeypatch.setattr(shared_blocks, "collect", lambda *given: (log.append(given[2]), check(*given))[1])

    def both(factor, omega=None, **options):
        theta = {name: (factor * block.detach()).requires_grad_() for name, block in blocks().items()}
        values = [dagdp.dp_value(dag, given, omega, **options) for given in (theta, repeated(theta))]
        found = [torch.autograd.grad(value.sum(), list(theta.values())) for value in values]
        torch.testing.assert_close(values[0], values[1])
        torch.testing.assert_close(found[0], found[1])

    both(1.0)
    both(2.5)
    assert log == ["theta"]
    both(1.0, SquaredL2(0.5))
    both(1.0, minimize=True)
    both(1.0, SquaredL2(0.5))
    assert len(log) == 3
    theta = blocks()
    for wrong in ({**theta, "end": torch.zeros(2)}, {name: theta[name] for name in ("emission", "start", "end")}):
        with pytest.raises(dagdp.InputError):
            dagdp.dp_value(dag, wrong)
    float32 = {name: block.detach().float().requires_grad_() for name, block in theta.items()}
    assert dagdp.dp_value(dag, float32).dtype == torch.float32


def test_ends_of_a_form_that_was_asked_before(monkeypatch):
    """Each call has its own ends, also on the way back and where the gradient is differentiated."""
    dag, log, omega = dagdp.compile(linear_chain(*SIZE, ragged=True)), [], Negentropy(0.7)
    check = shared_blocks.collect
    monkeypatch.setattr(shared_blocks, "collect", lambda *given: (log.append(given[2]), check(*given))[1])
    weights = torch.tensor([1.0, -2, 0, 3], dtype=torch.float64)
    theta, values = blocks(), []
    several = [SIZE[0] * SIZE[1] + torch.tensor(lengths) for lengths in ([5, 1, 3, 4], [1, 2, 5, 5], [2, 2, 2, 2])]
    for end in several:
        values.append(dagdp.dp_value(dag, theta, omega, end=end))
    assert log == ["theta"]
    for end, value in zip(several, values, strict=True):
        copies = dagdp.dp_value(dag, repeated(theta), omega, end=end)
        torch.testing.assert_close(value, copies)
        found, wanted = (
            torch.autograd.grad(each, list(theta.values()), weights, create_graph=True) for each in (value, copies)
        )
        torch.testing.assert_close(found, wanted)
        second = [
            torch.autograd.grad(sum(g.square().sum() for g in first), theta["start"]) for first in (found, wanted)
        ]
        torch.testing.assert_close(second[0], second[1])
    for end in (several[0].float(), several[0] + 90, several[0][:3]):
        with pytest.raises(dagdp.InputError, match="end"):
            dagdp.dp_value(dag, theta, omega, end=end)


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray], ids=["tensor", "array"])
def test_ends_that_are_filled_anew_before_the_way_back(kind):
    """Unequal upstream gradients ask again: at the ends of the call, whatever stands in its array by then."""
    theta, weights = blocks(), torch.tensor([1.0, -2, 0, 3], dtype=torch.float64)
    end = kind((SIZE[0] * SIZE[1] + LENGTHS).numpy().copy())
    value = dagdp.dp_value(RAGGED, theta, end=end)
    end[:] = SIZE[0] * SIZE[1] + 2
    found = torch.autograd.grad(value, list(theta.values()), weights)
    wanted = torch.autograd.grad(value_of(repeated(theta), None, True), list(theta.values()), weights)
    torch.testing.assert_close(found, wanted)


def test_inside_a_transform_that_does_not_see_the_blocks():
    """torch.func asks more of a function than reverse mode does."""
    theta = blocks()

    def loss(scale):
        return (
            scale * value_of(theta, None, False).sum().detach()
            + value_of({**theta, "start": theta["start"].detach() * scale}, None, False).sum()
        )

    slope = torch.func.grad(loss)(torch.tensor(1.0, dtype=torch.float64))
    start = theta["start"].detach().requires_grad_()
    value = value_of({**theta, "start": start}, None, False).sum()
    expected = value.detach() + torch.autograd.grad(value, start)[0] @ start.detach()
    torch.testing.assert_close(slope, expected)


def path_of(theta, omega, ragged, function=dagdp.dp_grad, **options):
    dag, end = (RAGGED, SIZE[0] * SIZE[1] + LENGTHS) if ragged else (REGULAR, None)
    return function(dag, theta, omega, end=end, **options)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5), HardMax()], ids=repr)
def test_expected_paths_and_their_derivatives_are_those_of_copies(omega, minimize, ragged):
    """What the batch shares has the sum over items, from which copies differ; both have one derivative."""
    generator = torch.Generator().manual_seed(1)
    read = {name: torch.randn(block.shape, generator=generator).double() for name, block in blocks().items()}
    found = []
    for form in (lambda theta: theta, repeated):
        theta = blocks()
        value, path = path_of(form(theta), omega, ragged, dagdp.dp_value_and_grad, minimize=minimize)
        alone = path_of(form(theta), omega, ragged, minimize=minimize)
        path, alone = (
            {name: E if E.shape == theta[name].shape else E.sum(0) for name, E in each.items()}
            for each in (path, alone)
        )
        torch.testing.assert_close(path, alone)
        loss = sum((path[name] * read[name]).sum() for name in read)
        by_path = torch.autograd.grad(loss, list(theta.values()), retain_graph=True)
        of_one = torch.autograd.grad((alone["emission"] * read["emission"]).sum(), list(theta.values()))
        both = torch.autograd.grad(loss + (value * LENGTHS).sum(), list(theta.values()))
        found.append((value, path, by_path, of_one, both))
    torch.testing.assert_close(found[0], found[1], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("ragged", [False, True])
def test_gradcheck_of_expected_paths(ragged):
    names, given = zip(*blocks().items(), strict=True)

    def paths(*given):
        return tuple(path_of(dict(zip(names, given, strict=True)), Negentropy(0.8), ragged).values())

    assert torch.autograd.gradcheck(paths, given)


def test_an_expected_path_has_one_derivative():
    theta = blocks()
    E = path_of(theta, SquaredL2(0.5), False)["emission"]
    seed = torch.ones_like(E, requires_grad=True)
    first = torch.autograd.grad(E, list(theta.values()), seed, create_graph=True)
    with pytest.raises(dagdp.DerivativeError, match="third derivative"):
        torch.autograd.grad(first[0].sum(), theta["start"])
    empty = blocks(0)
    nothing = dagdp.dp_grad(REGULAR, empty)
    (by_transition,) = torch.autograd.grad(nothing["emission"].sum(), empty["transition"], create_graph=True)
    assert nothing["emission"].shape == (0, *SIZE) and not by_transition.any()


def test_an_expected_path_may_be_changed_in_place():
    theta = blocks()
    value, path = path_of(theta, None, False, dagdp.dp_value_and_grad)
    wanted = {name: E.detach().clone() for name, E in path.items()}
    for E in path.values():
        E.detach().zero_()
    value.sum().backward()
    torch.testing.assert_close({name: block.grad for name, block in theta.items()}, wanted)


def test_several_seeds_at_once():
    theta = blocks()
    E, seeds = path_of(theta, None, True)["emission"], torch.eye(60, dtype=torch.float64).reshape(60, 4, *SIZE)[:5]
    at_once = torch.autograd.grad(E, theta["transition"], seeds, retain_graph=True, is_grads_batched=True)[0]
    each = [torch.autograd.grad(E, theta["transition"], seed, retain_graph=True)[0] for seed in seeds]
    torch.testing.assert_close(at_once, torch.stack(each))


def test_numbers_alone_and_first_derivatives_copy_no_block(monkeypatch):
    for module in ("dagdp.nn.autograd.functions", "dagdp.nn.autograd.shared_blocks"):
        monkeypatch.setattr(f"{module}.joined", None)
    crf, theta = LinearChainCRF(3).double(), blocks()
    z = {name: block.detach() for name, block in theta.items()}
    lengths, emission = [5, 2, 3, 1], theta["emission"]
    for method in (crf.value, crf.marginals):
        method(emission, lengths).sum().backward()
    assert crf.transition.grad.any()
    crf.decode(emission, lengths)
    with torch.no_grad():
        for function in (dagdp.dp_value, dagdp.dp_grad, dagdp.dp_value_and_grad):
            function(RAGGED, theta, end=16)
        for function in (dagdp.dp_jvp, dagdp.dp_hvp, dagdp.dp_jvp_and_hvp):
            function(REGULAR, theta, z)
        crf.marginals(emission)


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64, torch.int64, "mixed"], ids=str)
def test_numbers_alone_have_the_types_of_the_blocks(kind):
    theta = {name: (4 * block.detach()).round() / 4 for name, block in blocks().items()}
    types = {"emission": torch.float16, "transition": torch.float32} if kind == "mixed" else dict.fromkeys(theta, kind)
    theta = {name: block.to(types.get(name, torch.float64)) for name, block in theta.items()}
    z = {name: torch.ones_like(block) for name, block in theta.items()}
    own = {name: torch.float64 if kind is torch.int64 else block.dtype for name, block in theta.items()}
    common, end = torch.float64 if kind == "mixed" else own["emission"], torch.tensor([20, 16, 18, 19])
    for function, asked in [
        (dagdp.dp_value_and_grad, (theta,)),
        (dagdp.dp_jvp_and_hvp, (theta, z)),
        (lambda *given, **end: (dagdp.dp_value(*given, **end), dagdp.dp_grad(*given, **end)), (theta,)),
        (lambda *given, **end: (dagdp.dp_jvp(*given, **end), dagdp.dp_hvp(*given, **end)), (theta, z)),
    ]:
        for dag, own_end in ((REGULAR, None), (RAGGED, end)):
            ours = function(dag, *asked, Negentropy(0.5), end=own_end)
            arrays = [{name: block.double().numpy() for name, block in part.items()} for part in asked]
            theirs = function(dag, *arrays, Negentropy(0.5), end=None if own_end is None else own_end.numpy())
            assert ours[0].dtype == common and {name: E.dtype for name, E in ours[1].items()} == own
            exact = 1e-2 if kind in (torch.float16, "mixed") else 1e-5
            np.testing.assert_allclose(ours[0], theirs[0], atol=exact, rtol=exact)
            for name, E in ours[1].items():
                np.testing.assert_allclose(E, theirs[1][name], atol=exact, rtol=exact)
