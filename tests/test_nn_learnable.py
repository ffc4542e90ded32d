"""A temperature that is a tensor: derivatives by it against finite differences and the dual formula."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import GRAPHS, combinations, random_theta

from dagdp import (
    DerivativeError,
    HardMax,
    InputError,
    Negentropy,
    OmegaError,
    SquaredL2,
    Tsallis,
    compile,
    dp_grad,
    dp_hvp,
    dp_jvp,
    dp_value,
    dp_value_and_grad,
)

torch = pytest.importorskip("torch")
from dagdp.nn import DPValue, Learnable  # noqa: E402

KINDS = {"Negentropy": Negentropy, "SquaredL2": SquaredL2, "Tsallis": lambda gamma: Tsallis(1.5, gamma)}
kinds = combinations(lambda kind: kind != "Tsallis", kind=KINDS)  # whose solver is SquaredL2's


def at(kind, gamma):
    return Learnable(KINDS[kind](1.0), gamma=gamma)


def scalar(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@combinations(
    lambda kind, name: kind == "Negentropy" or (kind == "SquaredL2" and name != "chain"),
    kind=KINDS,
    name=["chain", "grid", "two starts, two ends"],
)
def test_same_numbers_as_a_fixed_temperature(kind, name):
    graph = GRAPHS[name]()
    dag, rng, minimize = compile(graph), np.random.default_rng(0), name == "grid"
    draw = lambda: {k: torch.tensor(a) for k, a in items(random_theta(graph, rng, (2,))).items()}  # noqa: E731
    theta, z = draw(), draw()
    theta, z = theta.get(None, theta), z.get(None, z)
    fixed, learnt = KINDS[kind](0.6), at(kind, scalar(0.6))
    for function, given in ((dp_value_and_grad, (theta,)), (dp_jvp, (theta, z)), (dp_hvp, (theta, z))):
        want = function(dag, *given, fixed, minimize=minimize)
        torch.testing.assert_close(function(dag, *given, learnt, minimize=minimize), want)


def items(theta):
    return theta if isinstance(theta, dict) else {None: theta}


@kinds
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
def test_derivatives_by_gamma(kind, minimize):
    """First, second and mixed, of the value and of the path: the finite differences use a fixed gamma."""
    dag = compile(GRAPHS["grid"]())
    theta = torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.manual_seed(1), requires_grad=True)
    gamma = scalar(0.6)
    by_value = oracles.central(
        lambda t: dp_value(dag, theta.detach().numpy(), KINDS[kind](0.6 + t), minimize=minimize), 1e-4
    )
    by_path = oracles.central(
        lambda t: dp_grad(dag, theta.detach().numpy(), KINDS[kind](0.6 + t), minimize=minimize), 1e-4
    )
    value = dp_value(dag, theta, at(kind, gamma), minimize=minimize)
    (first,) = torch.autograd.grad(value.sum(), gamma, create_graph=True)
    assert first.item() == pytest.approx(by_value.sum(), abs=1e-7)
    (mixed,) = torch.autograd.grad(first, theta, retain_graph=True)
    np.testing.assert_allclose(mixed.numpy(), by_path, atol=1e-6)

    def function(theta, gamma):
        return dp_value(dag, theta, at(kind, gamma), minimize=minimize)

    assert torch.autograd.gradcheck(function, (theta, gamma), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (theta, gamma))
    assert torch.autograd.gradcheck(lambda t, g: dp_grad(dag, t, at(kind, g), minimize=minimize), (theta, gamma))
    hessian = torch.func.hessian(function, argnums=1)(theta.detach()[0], gamma.detach())
    curvature = oracles.central(
        lambda t: float(torch.func.grad(function, argnums=1)(theta.detach()[0], gamma.detach() + t)), 1e-4
    )
    assert hessian.item() == pytest.approx(curvature, abs=1e-6)


def test_the_dual_formula():
    """d DP/dγ = -Σ_i ē_i Ω(q_i): for Negentropy the entropy of the walk, by enumerated paths."""
    dag = compile(GRAPHS["parallel edges"]())
    theta, gamma = torch.randn(5, dtype=torch.float64, generator=torch.manual_seed(2)), scalar(0.6)
    dp_value(dag, theta, at("Negentropy", gamma)).backward()
    parents, children = dag.graph.edges()
    edges = [(int(p), int(c)) for p, c in zip(parents, children, strict=True)]
    scores = np.array([sum(float(theta[e]) for e in path) for path in oracles.paths(edges, [0], [2])])
    chances = oracles.softmax(scores, 0.6)[1]
    assert gamma.grad.item() == pytest.approx(-(chances * np.log(chances)).sum(), abs=1e-10)


@kinds
def test_forbidden_edges_and_padding_have_no_part(kind):
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(3, 5, dtype=torch.float64, generator=torch.manual_seed(3))
    theta[0, 1], theta[1] = -torch.inf, -torch.inf
    theta[2, 2:] = torch.nan
    gamma = scalar(0.6)
    value = dp_value(dag, theta.requires_grad_(), at(kind, gamma), end=[2, 2, 1])
    assert value[1] == -torch.inf
    value.sum().backward()
    assert torch.isfinite(theta.grad).all() and (theta.grad[1] == 0).all()
    alone = scalar(0.6)
    rest = dp_value(dag, theta.detach()[[0, 2]], at(kind, alone), end=[2, 1])
    rest.sum().backward()
    torch.testing.assert_close(gamma.grad, alone.grad)


def test_one_temperature_for_each_item_by_vmap():
    dag = compile(GRAPHS["parallel edges"]())
    theta, gammas = torch.randn(3, 5).double(), torch.tensor([0.3, 1.0, 2.0])
    got = torch.func.vmap(lambda t, g: dp_value(dag, t, at("SquaredL2", g)))(theta, gammas)
    want = [dp_value(dag, t, SquaredL2(float(g))) for t, g in zip(theta, gammas, strict=True)]
    torch.testing.assert_close(got, torch.stack(want))


def test_gamma_is_learnt_in_a_compiled_layer():
    dag = compile(GRAPHS["parallel edges"]())
    layer = DPValue(dag, at("Negentropy", torch.nn.Parameter(torch.tensor(0.6))))
    theta = torch.randn(2, 5)
    eager, traced = layer(theta), torch.compile(layer, fullgraph=True, backend="aot_eager")(theta)
    torch.testing.assert_close(traced, eager)
    gradients = [torch.autograd.grad(value.sum(), layer.omega.gamma)[0] for value in (eager, traced)]
    torch.testing.assert_close(*gradients)
    torch._dynamo.reset()


def test_mistakes_are_named():
    dag = compile(GRAPHS["parallel edges"]())
    with pytest.raises(OmegaError, match=r"omega is HardMax\(\); expected an operator with a temperature"):
        Learnable(HardMax(), gamma=scalar(1.0))
    with pytest.raises(OmegaError, match=r"gamma is a tensor of shape \(2,\).*torch.func.vmap"):
        Learnable(Negentropy(), gamma=torch.ones(2))
    with pytest.raises(OmegaError, match=r"gamma is -0\.5; expected a finite gamma > 0: parametrise it"):
        dp_value(dag, torch.zeros(5), at("Negentropy", torch.tensor(-0.5)))
    gamma = scalar(0.6)
    product = dp_hvp(dag, torch.zeros(5), torch.ones(5), at("Negentropy", gamma))
    with pytest.raises(DerivativeError, match="third derivative"):
        torch.autograd.grad(product.sum(), gamma)


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), 1, np.int64(2)], ids=repr)
def test_a_number_is_a_constant(number):
    """The value, path and gradients are those of the operator with that gamma, or alpha."""
    dag, theta = compile(GRAPHS["parallel edges"]()), torch.randn(2, 5, requires_grad=True)
    constant = Learnable(Negentropy(), gamma=number)
    assert isinstance(constant.gamma, torch.Tensor) and not list(constant.parameters()) and not constant.state_dict()
    for backend in (None, "torch"):
        value = dp_value(dag, theta, constant, backend=backend)
        torch.testing.assert_close(value, dp_value(dag, theta, Negentropy(float(number))))
    got = torch.autograd.grad(value.sum(), theta)[0]
    torch.testing.assert_close(got, dp_grad(dag, theta.detach(), Negentropy(float(number))))


def test_an_alpha_that_is_a_number():
    """It costs no copy of the graph, so that backend="torch" takes it."""
    dag, theta = compile(GRAPHS["parallel edges"]()), torch.randn(5).double()
    constant = Learnable(Tsallis(1.2, 0.3), gamma=torch.tensor(0.5), alpha=1.3)
    assert constant.alpha.item() == 1.3 and repr(constant) == "Learnable(Tsallis, gamma=0.5, alpha=1.3)"
    for backend in (None, "torch"):
        torch.testing.assert_close(
            dp_value(dag, theta, constant, backend=backend), dp_value(dag, theta, Tsallis(1.3, 0.5))
        )
    assert Learnable(Tsallis(1.2, 0.3), alpha=1.3).gamma.item() == 0.3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gamma": 0}, r"gamma=0\.0; expected a finite gamma > 0"),
        ({"gamma": -1.5}, r"gamma=-1\.5; expected a finite gamma > 0"),
        ({"gamma": float("nan")}, r"gamma=nan; expected a finite gamma > 0"),
        ({"alpha": 1.0}, r"alpha=1\.0; expected 1 < alpha <= 2"),
        ({"alpha": 2.5}, r"alpha=2\.5; expected 1 < alpha <= 2"),
        ({"gamma": "hot"}, "gamma is 'hot'; expected a tensor without dimensions, or a number"),
        ({"gamma": True}, "gamma is True; expected a tensor without dimensions, or a number"),
        ({"gamma": torch.tensor(1)}, r"shape \(\) and dtype torch\.int64; expected one floating number"),
        ({"alpha": torch.tensor(2)}, r"alpha is a tensor of shape \(\) and dtype torch\.int64"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused_at_construction(given, said):
    with pytest.raises(OmegaError, match=said):
        Learnable(Tsallis(), **given)


def test_a_temperature_on_another_device():
    dag, layer = (
        compile(GRAPHS["parallel edges"]()),
        Learnable(Negentropy(), gamma=torch.nn.Parameter(torch.tensor(1.0))),
    )
    layer.to("meta")
    for backend in (None, "torch"):
        with pytest.raises(InputError, match=r"gamma is on meta and theta is on cpu; .*gamma\.to\('cpu'\)"):
            dp_value(dag, torch.zeros(5), layer, backend=backend)
    with pytest.raises(OmegaError, match=r"alpha is a tensor .* or on the meta device"):
        dp_value(dag, torch.zeros(5), Learnable(Tsallis(), alpha=torch.tensor(1.5, device="meta")))
