"""Tsallis's alpha as a tensor: derivatives against finite differences over fixed alphas."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from cases import GRAPHS, combinations, random_theta

from dagdp import (
    DerivativeError,
    Negentropy,
    OmegaError,
    Tsallis,
    compile,
    dp_grad,
    dp_hvp,
    dp_jvp,
    dp_value,
    dp_value_and_grad,
)

torch = pytest.importorskip("torch")
from dagdp.nn import DPGrad, Learnable  # noqa: E402

ALPHAS = [1.3, 1.5]  # the second has kernels of its own


def at(alpha, gamma=None):
    return Learnable(Tsallis(1.2, 0.8), alpha=alpha, gamma=gamma)


def scalar(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def leaves(graph, batch):
    theta = random_theta(graph, np.random.default_rng(0), batch)
    theta = theta if isinstance(theta, dict) else {None: theta}
    return {k: torch.tensor(a, requires_grad=True) for k, a in theta.items()}


MINIMISED = ("grid", "tied", "dead ends")


def one_sample_on_edges(alpha, batch, name):
    """docs/pytorch.md has these kernels."""
    return alpha == ALPHAS[0] and batch == (1,) and name not in ("chain", "grid", "tied")


@combinations(
    one_sample_on_edges,
    alpha=ALPHAS,
    batch=[(1,), (2,)],
    name=["parallel edges", "tied", "chain", "grid", "two starts, two ends", "dead ends"],
)
def test_derivatives_by_alpha(alpha, batch, name):
    """First, second and mixed with weights and temperature; of the value and of the path."""
    dag, minimize = compile(GRAPHS[name]()), name in MINIMISED
    theta, start, alpha, gamma = leaves(dag.graph, batch), alpha, scalar(alpha), scalar(0.8)

    def of(function):
        def call(alpha, gamma, *blocks):
            given = dict(zip(theta, blocks, strict=True))
            result = function(dag, given.get(None, given), at(alpha, gamma), minimize=minimize)
            return tuple(result.values()) if isinstance(result, dict) else result

        return call

    inputs = (alpha, gamma, *theta.values())
    assert torch.autograd.gradcheck(of(dp_value), inputs)
    assert torch.autograd.gradgradcheck(of(dp_value), inputs)
    assert torch.autograd.gradcheck(of(dp_grad), inputs)
    plain = {k: t.detach().numpy() for k, t in theta.items()}
    by_value = oracles.central(
        lambda t: dp_value(dag, plain.get(None, plain), Tsallis(start + t, 0.8), minimize=minimize), 1e-4
    )
    (first,) = torch.autograd.grad(of(dp_value)(*inputs).sum(), alpha)
    assert first.item() == pytest.approx(by_value.sum(), abs=1e-7)


@combinations(
    one_sample_on_edges,
    alpha=ALPHAS,
    batch=[(1,), (2,)],
    name=["dead ends", "tied", "chain", "grid", "two starts, two ends"],
)
def test_same_numbers_as_a_fixed_alpha(alpha, batch, name):
    dag, minimize = compile(GRAPHS[name]()), name in MINIMISED
    theta, z = leaves(dag.graph, batch), leaves(dag.graph, batch)
    theta, z = theta.get(None, theta), z.get(None, z)
    for function, given in ((dp_value_and_grad, (theta,)), (dp_jvp, (theta, z)), (dp_hvp, (theta, z))):
        want = function(dag, *given, Tsallis(alpha, 0.8), minimize=minimize)
        torch.testing.assert_close(function(dag, *given, at(scalar(alpha)), minimize=minimize), want)


def test_ragged_forbidden_and_learnt():
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(3, 5, dtype=torch.float64, generator=torch.manual_seed(3))
    theta[0, 1], theta[1] = -torch.inf, -torch.inf
    theta[2, 2:] = torch.nan
    alpha = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    layer = DPGrad(dag, at(alpha))
    assert list(layer.state_dict()) == ["omega.alpha"]
    theta.requires_grad_()
    value = dp_value(dag, theta, layer.omega, end=[2, 2, 1])
    (first,) = torch.autograd.grad(value[[0, 2]].sum(), alpha, create_graph=True)
    mixed, second = torch.autograd.grad(first, (theta, alpha))
    assert torch.isfinite(first) and torch.isfinite(second) and torch.isfinite(mixed).all()
    path = layer(theta, end=[2, 2, 1])
    path.square().sum().backward()
    assert torch.isfinite(alpha.grad) and torch.isfinite(theta.grad).all()


@combinations(
    one_sample_on_edges, alpha=ALPHAS, batch=[(1,), (3,)], name=["tied", "chain", "grid", "two starts, two ends"]
)
def test_transforms_over_the_weights(alpha, batch, name):
    """torch.func and vmap, in reverse and forward mode: as with the same alpha as a number."""
    dag, minimize, func = compile(GRAPHS[name]()), name in MINIMISED, torch.func
    theta = {k: t.detach() for k, t in leaves(dag.graph, batch).items()}
    sizes = [p.size for p in dag.potentials]
    rows = torch.cat([t.flatten(1) for t in theta.values()], -1)

    def value(omega):
        def of_flat(flat):
            parts = zip(dag.potentials, flat.split(sizes), strict=True)
            given = {p.name: part.reshape(p.shape) for p, part in parts}
            return dp_value(dag, given.get(None, given), omega, minimize=minimize)

        return of_flat

    learnt, fixed = value(at(scalar(alpha))), value(Tsallis(alpha, 0.8))
    z = torch.randn_like(rows[0])
    transforms = {
        "grad": lambda f: func.grad(f)(rows[0]),
        "vmap": lambda f: func.vmap(f)(rows),
        "vmap of grad": lambda f: func.vmap(func.grad(f))(rows),
        "jvp": lambda f: func.jvp(f, (rows[0],), (z,))[1],
        **{
            f"{outer.__name__} of {inner.__name__}": lambda f, o=outer, i=inner: o(i(f))(rows[0])
            for outer, inner in ((func.jacfwd, func.jacrev), (func.jacrev, func.jacfwd), (func.jacrev, func.jacrev))
        },
    }
    for what, transform in transforms.items():
        torch.testing.assert_close(transform(learnt), transform(fixed), msg=lambda m, what=what: f"{what}: {m}")
    with pytest.raises(DerivativeError, match="third derivative"):  # forward mode differentiates E twice unasked
        func.jacfwd(func.jacfwd(learnt))(rows[0])


def test_mistakes_are_named():
    dag = compile(GRAPHS["parallel edges"]())
    with pytest.raises(OmegaError, match="neither gamma nor alpha"):
        Learnable(Tsallis())
    with pytest.raises(OmegaError, match="expected Tsallis, the operator that has it"):
        Learnable(Negentropy(), alpha=scalar(1.5))
    with pytest.raises(OmegaError, match="expected 1 < alpha <= 2"):
        dp_value(dag, torch.zeros(5), at(scalar(2.5)))
    inside = r"alpha is a tensor inside torch\.compile or torch\.func"
    for route in (torch.func.vmap, torch.func.grad):
        numbers = torch.full((3,) if route is torch.func.vmap else (), 1.5)
        with pytest.raises(OmegaError, match=inside):
            route(lambda a: dp_value(dag, torch.zeros(5), at(a)))(numbers)
