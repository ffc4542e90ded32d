"""Derivatives through autograd in all its forms, against finite differences and the NumPy functions."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS, Tsallis15, combinations, one_of_each_solver, over_operators, random_theta

import dagdp
from dagdp import DerivativeError, HardMax, Negentropy, SquaredL2, Tsallis, compile, dp_grad, dp_hvp, dp_jvp, dp_value

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from dagdp.nn.autograd import operators  # noqa: E402

OMEGAS = [HardMax(), Negentropy(0.7), SquaredL2(0.5), Tsallis(1.5, 0.8)]
omegas = over_operators(OMEGAS)


def leaves(graph, batch, seed=0, shared=()):
    """Potentials as leaf tensors that require gradients; those in `shared` lack the batch dimensions."""
    theta = random_theta(graph, np.random.default_rng(seed), batch)
    theta = theta if isinstance(theta, dict) else {graph.potentials()[0].name: theta}
    made = {k: a[(0,) * len(batch)] if k in shared else a for k, a in theta.items()}
    return {k: torch.tensor(a, requires_grad=True) for k, a in made.items()}


def of_leaves(function, dag, keys, **options):
    """A function of separate tensors, as gradcheck wants it."""

    def call(*tensors):
        theta = dict(zip(keys, tensors, strict=True))
        result = function(dag, theta.get(None, theta), **options)
        return tuple(result.values()) if isinstance(result, dict) else result

    return call


@combinations(
    lambda omega, batch, name: one_of_each_solver(omega, name) and (batch != (1,) or isinstance(omega, Negentropy)),
    batch=[(), (1,), (3,)],
    name=["chain", "grid", "two starts, two ends", "tied"],
    omega=OMEGAS,
)
def test_value_twice_and_path_once(batch, name, omega):
    """gradcheck draws upstream gradients for each output; gradgradcheck draws random ones."""
    graph = GRAPHS[name]()
    dag, minimize = compile(graph), name == "grid"
    theta = leaves(graph, batch, shared=("transition", "step") if batch else ())
    value = of_leaves(dp_value, dag, theta, omega=omega, minimize=minimize)
    path = of_leaves(dp_grad, dag, theta, omega=omega, minimize=minimize)
    inputs = tuple(theta.values())
    assert gradcheck(value, inputs, check_forward_ad=True)
    assert gradgradcheck(value, inputs, check_fwd_over_rev=True)
    assert gradcheck(path, inputs, check_forward_ad=True)


@combinations(
    lambda name, batch: name != "chain" and batch == (), name=["chain", "grid", "parallel edges"], batch=[(), (2,)]
)
def test_an_operator_of_ones_own(name, batch):
    """Value, path and their derivatives under a user's class; with a batch some potentials are shared."""
    graph, omega = GRAPHS[name](), Tsallis15(0.6)
    dag, minimize = compile(graph), name == "grid"
    theta = leaves(graph, batch, shared=("transition",) if batch else ())
    value = of_leaves(dp_value, dag, theta, omega=omega, minimize=minimize)
    path = of_leaves(dp_grad, dag, theta, omega=omega, minimize=minimize)
    inputs = tuple(theta.values())
    assert gradcheck(value, inputs, check_forward_ad=True)
    assert gradgradcheck(value, inputs, check_fwd_over_rev=True)
    assert gradcheck(path, inputs, check_forward_ad=True)


def test_batched_derivatives():
    graph = GRAPHS["chain"]()
    theta = leaves(graph, (2,), shared=("transition",))
    value = of_leaves(dp_value, compile(graph), theta, omega=Negentropy(0.7))
    inputs = tuple(theta.values())
    assert gradcheck(value, inputs, check_batched_grad=True, check_forward_ad=True, check_batched_forward_grad=True)
    assert gradgradcheck(value, inputs, check_batched_grad=True)


@omegas
@pytest.mark.parametrize("batch", [(1,), (2,), (3,)], ids=str)
def test_ragged_batches(omega, batch):
    """Each item ends elsewhere; padding holds NaN and gets gradient 0."""
    dag = compile(dagdp.graphs.trellis(4, 2, ragged=True))
    lengths = np.arange(1, 1 + batch[0])
    end = torch.tensor(dag.graph.num_nodes - 4 + lengths - 1)
    theta = torch.randn(*batch, 4, 2, 2, dtype=torch.float64, generator=torch.manual_seed(1), requires_grad=True)

    def value(theta):
        padded = torch.stack([torch.cat([row[:n], row[n:] * torch.nan]) for row, n in zip(theta, lengths, strict=True)])
        return dp_value(dag, padded, omega, end=end)

    inside = torch.zeros_like(theta)
    for item, n in enumerate(lengths):
        inside[item, :n] = 1
    real = theta.detach().requires_grad_()
    assert gradcheck(lambda t: dp_value(dag, t, omega, end=end), (real,), check_forward_ad=True)
    assert gradgradcheck(lambda t: dp_value(dag, t, omega, end=end), (real,))
    padded = theta.detach().masked_fill(inside == 0, torch.nan).requires_grad_()
    (path,) = torch.autograd.grad(dp_value(dag, padded, omega, end=end).sum(), padded, create_graph=True)
    assert (path[inside == 0] == 0).all() and torch.isfinite(path).all()
    if path.requires_grad:
        (change,) = torch.autograd.grad((path * inside).square().sum(), padded)
        assert torch.isfinite(change).all() and (change[inside == 0] == 0).all()


@omegas
def test_direction_functions(omega):
    dag = compile(GRAPHS["grid"]())
    theta = torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.manual_seed(2), requires_grad=True)
    z = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    options = {"omega": omega, "minimize": True}
    assert gradcheck(lambda t, z: dp_jvp(dag, t, z, **options), (theta, z), check_forward_ad=True)
    assert gradcheck(lambda z: dp_hvp(dag, theta.detach(), z, **options), (z,), check_forward_ad=True)
    both = dagdp.dp_jvp_and_hvp(dag, theta, z, **options)
    assert torch.equal(both[0], dp_jvp(dag, theta, z, **options))
    assert torch.equal(both[1], dp_hvp(dag, theta, z, **options))
    assert gradcheck(lambda t, z: dagdp.dp_jvp_and_hvp(dag, t, z, **options)[0], (theta, z))


@combinations(lambda omega: isinstance(omega, Negentropy), omega=OMEGAS)
def test_every_route_to_the_hessian(omega):
    """Reverse over reverse, forward over reverse, forward over forward: columns are Hessian products."""
    dag = compile(GRAPHS["chain"]())
    sizes = {p.name: p.shape for p in dag.potentials}
    flat = torch.randn(sum(p.size for p in dag.potentials), dtype=torch.float64, generator=torch.manual_seed(3))

    def unflat(x):
        parts = x.split([p.size for p in dag.potentials])
        return {name: part.reshape(sizes[name]) for name, part in zip(sizes, parts, strict=True)}

    def value(x):
        return dp_value(dag, unflat(x), omega)

    columns = [
        torch.cat([b.ravel() for b in dp_hvp(dag, unflat(flat), unflat(z), omega).values()])
        for z in torch.eye(27).double()
    ]
    hessian = torch.stack(columns, 1)
    func = torch.func
    for route in (func.hessian, lambda f: func.jacrev(func.jacrev(f)), lambda f: func.jacfwd(func.jacfwd(f))):
        torch.testing.assert_close(route(value)(flat), hessian)
    for vectorize in (False, True):
        torch.testing.assert_close(torch.autograd.functional.hessian(value, flat, vectorize=vectorize), hessian)
    z = torch.randn_like(flat)
    torch.testing.assert_close(func.jvp(func.grad(value), (flat,), (z,))[1], hessian @ z)
    torch.testing.assert_close(func.grad(lambda x: func.grad(value)(x) @ z)(flat), hessian @ z)
    with forward_ad.dual_level():
        slope = forward_ad.unpack_dual(value(forward_ad.make_dual(flat, z))).tangent
    torch.testing.assert_close(slope, dp_jvp(dag, unflat(flat), unflat(z), omega))


@pytest.mark.parametrize("route", ["rrr", "fff", "ffr", "frf", "rff", "frr", "rfr", "rrf"])
def test_third_derivative_raises(route):
    dag = compile(GRAPHS["parallel edges"]())
    function = lambda x: dp_value(dag, x)  # noqa: E731
    for letter in route:
        function = {"r": torch.func.jacrev, "f": torch.func.jacfwd}[letter](function)
    with pytest.raises(DerivativeError, match="a third derivative was asked for"):
        function(torch.zeros(5, dtype=torch.float64))


def test_third_derivative_raises_from_each_function():
    dag = compile(GRAPHS["parallel edges"]())
    theta, z = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)
    for second in (
        lambda: dp_hvp(dag, theta, z),
        lambda: torch.autograd.grad(dp_jvp(dag, theta, z), theta, create_graph=True)[0],
        lambda: torch.autograd.grad(dp_grad(dag, theta) @ z, theta, create_graph=True)[0],
    ):
        with pytest.raises(DerivativeError, match="third derivative"):
            second().square().sum().backward()


@omegas
def test_forbidden_edges_never_give_nan(omega):
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(3, 5, dtype=torch.float64, generator=torch.manual_seed(4))
    theta[0, 1] = theta[0, 3] = -torch.inf
    theta[1] = -torch.inf  # no path at all
    theta.requires_grad_()
    value, path = dagdp.dp_value_and_grad(dag, theta, omega)
    assert value[1] == -torch.inf and torch.isfinite(value[[0, 2]]).all()
    (first,) = torch.autograd.grad(value[[0, 2]].sum() + 0 * value[1].exp(), theta, create_graph=True)
    assert torch.isfinite(first).all() and (first[1] == 0).all() and first[0, 1] == 0
    (second,) = torch.autograd.grad((path * torch.randn(3, 5)).sum(), theta)
    assert torch.isfinite(second).all() and (second[1] == 0).all() and second[0, 1] == 0


@combinations(lambda omega: isinstance(omega, Negentropy), omega=[Negentropy(0.7), SquaredL2(0.5)])
def test_vmap_over_each_argument(omega):
    dag = compile(GRAPHS["chain"]())
    rng = np.random.default_rng(5)
    one = {k: torch.tensor(a) for k, a in random_theta(dag.graph, rng).items()}
    many = {k: torch.tensor(a) for k, a in random_theta(dag.graph, rng, (3,)).items()}
    for mapped in ([*one], *([k] for k in one)):
        theta = {k: many[k] if k in mapped else one[k] for k in one}
        dims = {k: 0 if k in mapped else None for k in one}
        rows = [{k: many[k][i] if k in mapped else one[k] for k in one} for i in range(3)]
        for function in (dp_value, dp_grad):
            got = torch.func.vmap(lambda t, f=function: f(dag, t, omega), in_dims=(dims,))(theta)
            want = [function(dag, row, omega) for row in rows]
            if function is dp_value:
                torch.testing.assert_close(got, torch.stack(want))
            else:
                torch.testing.assert_close(got, {k: torch.stack([w[k] for w in want]) for k in one})
        got = torch.func.vmap(lambda t: dp_hvp(dag, t, one, omega), in_dims=(dims,))(theta)
        torch.testing.assert_close(got["emission"], torch.stack([dp_hvp(dag, r, one, omega)["emission"] for r in rows]))


def test_vmap_is_differentiable_nests_and_maps_the_end():
    dag = compile(GRAPHS["grid"]())
    theta = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.manual_seed(6), requires_grad=True)
    value = lambda t: dp_value(dag, t, minimize=True)  # noqa: E731
    nested = torch.func.vmap(torch.func.vmap(value))(theta)
    torch.testing.assert_close(nested, value(theta))
    (path,) = torch.autograd.grad(nested.sum(), theta)
    torch.testing.assert_close(path, dp_grad(dag, theta.detach(), minimize=True))
    torch.testing.assert_close(
        torch.func.vmap(torch.func.grad(value), in_dims=1)(theta[0].detach().movedim(0, 1)), path[0]
    )
    ends = torch.tensor([7, 20, 13])
    got = torch.func.vmap(lambda t, e: dp_value(dag, t, end=e))(theta[0], ends)
    torch.testing.assert_close(got, dp_value(dag, theta[0], end=ends))
    got = torch.func.vmap(lambda e: dp_value(dag, theta[0, 0], end=e))(ends)
    torch.testing.assert_close(got, torch.stack([dp_value(dag, theta[0, 0], end=int(e)) for e in ends]))


def test_a_user_can_drop_the_graph_before_backward():
    def value(theta):
        return dp_value(compile(GRAPHS["parallel edges"]()), theta)

    theta = torch.zeros(5, requires_grad=True)
    value(theta).backward()
    assert torch.isfinite(theta.grad).all()


def test_anomaly_mode_and_untouched_saved_tensors():
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    before = theta.detach().clone()

    def both():
        with torch.autograd.detect_anomaly(check_nan=True):
            (first,) = torch.autograd.grad(dp_value(dag, theta).sum(), theta, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), theta, retain_graph=True)
            return second, torch.autograd.grad(first.square().sum(), theta)[0]

    with pytest.warns(UserWarning, match="Anomaly Detection"):
        second, again = both()
    assert torch.equal(second, again) and torch.equal(theta.detach(), before)
    value = dp_value(dag, theta)
    with torch.no_grad():
        theta.mul_(2)  # torch notices a change between forward and backward
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()


@pytest.mark.parametrize("shared", [(), ("transition",)], ids=["own", "shared"])
@pytest.mark.parametrize("upstream", [[1.0, 1.0], [2.0, 2.0], [0.5, -3.0]], ids=str)
def test_a_retained_graph_gives_the_same_again(upstream, shared):
    """The first plain backward pass hands out the memory in which the path was kept; whoever asks again asks anew."""
    graph = GRAPHS["chain"]()
    theta = leaves(graph, (2,), shared=shared)
    dag, inputs = compile(graph), list(theta.values())
    weights = torch.tensor(upstream, dtype=torch.float64, requires_grad=True)
    value = dp_value(dag, theta)
    loss = (value * weights).sum()

    def gradients(**how):
        return torch.autograd.grad(loss, inputs, retain_graph=True, **how)

    twice = gradients(create_graph=True)
    first = gradients()
    kept = [tensor.clone() for tensor in first]
    for tensor in first:
        tensor.zero_()  # it belongs to the caller
    for again in (gradients(), gradients(create_graph=True), gradients()):
        for got, want in zip(again, kept, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    bent = torch.autograd.grad(sum((t**2).sum() for t in twice), inputs, retain_graph=True)
    later = torch.autograd.grad(sum((t**2).sum() for t in gradients(create_graph=True)), inputs)
    for got, want in zip(later, bent, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_the_path_that_the_caller_holds_stays_his():
    """A backward pass through the value leaves the E of `dp_value_and_grad`, and an operator's own, as they were."""
    theta = torch.rand(3, 4, 4, dtype=torch.float64, requires_grad=True)
    dag = compile(dagdp.graphs.dtw_grid(4, 4))
    value, path = dagdp.dp_value_and_grad(dag, theta, minimize=True)
    before = path.detach().clone()
    (5.0 * value).sum().backward()
    assert torch.equal(path, before) and torch.allclose(theta.grad, 5.0 * before)
    problem = operators.Problem(dag, Negentropy(), False, 1)
    value, path = operators.gradient_op(theta.flatten(1), None, *problem.arguments)
    before = path.detach().clone()
    (5.0 * value).sum().backward()
    assert torch.equal(path, before)


def test_gradients_gather_in_a_leaf():
    """Two losses of one value, as with gradient accumulation, and a hook that moves what was saved."""
    theta = torch.rand(2, 5, 5, requires_grad=True)
    dag = compile(dagdp.graphs.dtw_grid(5, 5))
    want = dp_grad(dag, theta.detach(), minimize=True)
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
        value = dp_value(dag, theta, minimize=True)
    value.sum().backward(retain_graph=True)
    value.sum().backward()
    torch.testing.assert_close(theta.grad, 2 * want)
