"""Tensors in, tensors out: kinds, shapes, dtypes, memory layouts, threads and processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from cases import GRAPHS, over_operators, random_theta

import dagdp
import dagdp.reference
from dagdp import Graph, HardMax, InputError, Negentropy, OmegaError, SquaredL2, Tsallis, compile, dp_grad, dp_value
from dagdp.graphs import (
    dtw_grad,
    dtw_hvp,
    dtw_path,
    dtw_value,
    linear_chain,
    trellis,
    viterbi_decode,
    viterbi_grad,
    viterbi_hvp,
    viterbi_marginals,
    viterbi_value,
)
from dagdp.jit.decorators import Launch

torch = pytest.importorskip("torch")
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import dagdp.nn  # noqa: E402

OMEGAS = [HardMax(), Negentropy(0.7), SquaredL2(0.5), Tsallis(1.5, 0.8)]
SIX = ("dp_value", "dp_grad", "dp_value_and_grad", "dp_jvp", "dp_hvp", "dp_jvp_and_hvp")


def tensors(theta):
    return {k: torch.tensor(a) for k, a in theta.items()} if isinstance(theta, dict) else torch.tensor(theta)


def arrays(result):
    if isinstance(result, tuple):
        return [array for part in result for array in arrays(part)]
    return [t.detach().numpy() for t in (result.values() if isinstance(result, dict) else [result])]


def numbers(result):
    if isinstance(result, tuple):
        return [array for part in result for array in numbers(part)]
    return list(result.values()) if isinstance(result, dict) else [np.asarray(result)]


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("function", SIX)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
def test_same_numbers_as_from_numpy(name, function, batch):
    graph = GRAPHS[name]()
    dag, rng = compile(graph), np.random.default_rng(1)
    given = [random_theta(graph, rng, batch) for _ in range(2 if "jvp" in function or "hvp" in function else 1)]
    run = getattr(dagdp, function)
    for minimize in (False, True):
        want = numbers(run(dag, *given, Negentropy(0.7), minimize=minimize))
        for grad in (False, True):
            leaves = [tensors(a) for a in given]
            for leaf in leaves[0].values() if isinstance(leaves[0], dict) else leaves[:1]:
                leaf.requires_grad_(grad)
            got = arrays(run(dag, *leaves, Negentropy(0.7), minimize=minimize))
            for ours, numpys in zip(got, want, strict=True):
                assert ours.dtype == numpys.dtype and ours.shape == numpys.shape
                np.testing.assert_allclose(ours, numpys, atol=1e-12)


def test_shortcuts_take_tensors():
    theta = torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    z, lengths = torch.randn_like(theta), torch.tensor([4, 2])
    for function in (viterbi_value, viterbi_grad, viterbi_decode):
        got, want = function(theta, lengths=lengths), function(theta.numpy(), lengths=[4, 2])
        np.testing.assert_allclose(got.numpy(), want)
    np.testing.assert_allclose(viterbi_hvp(theta, z).numpy(), viterbi_hvp(theta.numpy(), z.numpy()))
    cost, w = torch.rand(2, 4, 5, dtype=torch.float64), torch.rand(2, 4, 5, dtype=torch.float64)
    sizes = (torch.tensor([4, 2]), 5)
    for function in (dtw_value, dtw_grad, dtw_path):
        got, want = function(cost, lengths=sizes), function(cost.numpy(), lengths=([4, 2], 5))
        assert isinstance(got, torch.Tensor)
        np.testing.assert_allclose(got.numpy(), want)
    np.testing.assert_allclose(dtw_hvp(cost, w).numpy(), dtw_hvp(cost.numpy(), w.numpy()))
    cost.requires_grad_()
    dtw_value(cost, SquaredL2(0.5)).sum().backward()
    torch.testing.assert_close(cost.grad, dtw_grad(cost.detach(), SquaredL2(0.5)))


def test_shortcuts_choose_a_backend():
    """The recursion in torch operations gives the same numbers, and counts as chosen: arrays are refused."""
    theta = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    cost, lengths, sizes = theta.reshape(2, 4, 3), torch.tensor([3, 2]), ([4, 2], 3)
    cases = [
        *((f, (theta, SquaredL2(0.5)), {"lengths": lengths}) for f in (viterbi_value, viterbi_grad, viterbi_marginals)),
        (viterbi_hvp, (theta, torch.ones_like(theta)), {}),
        (viterbi_decode, (theta,), {"lengths": lengths}),
        *((f, (cost, SquaredL2(0.5)), {"lengths": sizes}) for f in (dtw_value, dtw_grad)),
        (dtw_hvp, (cost, cost), {}),
        (dtw_path, (cost,), {"lengths": sizes}),
    ]
    for function, given, options in cases:
        torch.testing.assert_close(function(*given, **options, backend="torch"), function(*given, **options))
        with pytest.raises(InputError, match="backend='torch' was asked for, and theta is no tensor"):
            function(
                *(part.numpy() if isinstance(part, torch.Tensor) else part for part in given),
                **options,
                backend="torch",
            )


def test_the_reference_refuses_tensors():
    dag = compile(GRAPHS["parallel edges"]())
    with pytest.raises(InputError, match=r"theta is a tensor; this takes arrays: pass theta\.detach"):
        dagdp.reference.dp_value(dag, torch.zeros(5))
    with pytest.raises(InputError, match="z is a tensor"):
        dagdp.reference.dp_hvp(dag, np.zeros(5), torch.zeros(5))


def test_arrays_and_tensors_may_meet():
    dag = compile(GRAPHS["chain"]())
    theta = random_theta(dag.graph, np.random.default_rng(0), (2,))
    mixed = {**theta, "transition": torch.tensor(theta["transition"], requires_grad=True)}
    dp_value(dag, mixed).sum().backward()
    np.testing.assert_allclose(mixed["transition"].grad, dp_grad(dag, theta)["transition"])


def test_only_what_requires_a_gradient_gets_one():
    dag = compile(GRAPHS["chain"]())
    theta = tensors(random_theta(dag.graph, np.random.default_rng(0), (2,)))
    theta["transition"] = theta["transition"][0].requires_grad_()
    dp_value(dag, theta).sum().backward()
    assert all(t.grad is None for k, t in theta.items() if k != "transition")
    want = dp_grad(dag, {k: t.detach() for k, t in theta.items()})["transition"]
    torch.testing.assert_close(theta["transition"].grad, want)


def test_shared_blocks_with_an_upstream_gradient_of_each_item():
    dag = compile(GRAPHS["tied"]())
    step = torch.randn(2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    (dp_value(dag, {"step": step, "bias": bias}, Negentropy(0.5)) * weights).sum().backward()
    rows = [dp_grad(dag, {"step": step.detach(), "bias": row}, Negentropy(0.5)) for row in bias.detach()]
    torch.testing.assert_close(step.grad, sum(w * row["step"] for w, row in zip(weights, rows, strict=True)))
    torch.testing.assert_close(bias.grad, torch.stack([w * row["bias"] for w, row in zip(weights, rows, strict=True)]))
    both = dp_grad(dag, {"step": step.detach(), "bias": bias.detach()}, Negentropy(0.5))
    torch.testing.assert_close(both["step"], sum(row["step"] for row in rows))


def test_any_memory_layout():
    dag, source = compile(GRAPHS["grid"]()), torch.randn(5, 4, 3, dtype=torch.float64, requires_grad=True)
    one = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    wide = torch.randn(3, 4, 10, dtype=torch.float64, requires_grad=True)
    strange = {
        "transposed": (source, lambda t: t.permute(2, 1, 0)),
        "expanded": (one, lambda t: t.expand(3, 4, 5)),
        "every second": (wide, lambda t: t[..., ::2]),
        "imaginary part": (one, lambda t: torch.complex(t, -t).conj().imag.expand(2, 4, 5)),
    }
    for leaf, view in strange.values():
        plain = view(leaf).detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        (want,) = torch.autograd.grad(dp_value(dag, plain, minimize=True).square().sum(), plain)
        (got,) = torch.autograd.grad(dp_value(dag, view(leaf), minimize=True).square().sum(), leaf)
        torch.testing.assert_close(got, torch.autograd.grad(view(leaf), leaf, want)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_results_and_gradients_come_back_in_the_inputs_dtype(dtype):
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.linspace(0, 1, 5).to(dtype).requires_grad_()
    value, path = dagdp.dp_value_and_grad(dag, theta)
    value.backward()
    assert value.dtype == path.dtype == theta.grad.dtype == dtype
    exact = dp_grad(dag, theta.detach().double())
    torch.testing.assert_close(path.double(), exact, atol=4e-3 if dtype.itemsize == 2 else 1e-6, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (first,) = torch.autograd.grad(dp_value(dag, theta), theta, create_graph=True)
        value = dp_value(dag, theta)
    assert value.dtype == torch.float32  # as torch's own losses under autocast
    assert first.dtype == dtype
    assert dp_value(dag, torch.arange(5)).dtype == torch.float64


def test_a_network_under_autocast():
    net, dag = torch.nn.Linear(4, 5), compile(GRAPHS["parallel edges"]())
    x = torch.randn(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = net(x)
        assert scores.dtype == torch.bfloat16
        loss = dp_value(dag, scores).mean() + dp_grad(dag, scores).square().sum()
    loss.backward()
    assert net.weight.grad.dtype == torch.float32 and torch.isfinite(net.weight.grad).all()


def test_a_value_without_gradients_repeats_no_shared_block(monkeypatch):
    rng = np.random.default_rng(0)
    dag = compile(GRAPHS["chain"]())
    theta = {name: torch.from_numpy(block) for name, block in random_theta(dag.graph, rng, (3,)).items()}
    theta["transition"] = theta["transition"][0].to(torch.float32)
    end = torch.tensor([dag.graph.num_nodes - 1] * 3)
    expected = dp_value(dag, {name: block.requires_grad_() for name, block in theta.items()}, minimize=True)
    monkeypatch.setattr(dagdp.nn.autograd.functions, "joined", None)
    plain = {name: block.detach() for name, block in theta.items()}
    for given in ({}, {"end": dag.end_names(end.numpy())}):
        value = dp_value(dag, plain, minimize=True, **given)
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, expected.detach())
    with torch.no_grad():
        torch.testing.assert_close(dp_value(dag, theta, minimize=True), expected.detach())


def test_without_gradients_only_the_value_kernel_is_launched(monkeypatch):
    """Launches are counted where all go through; with gradients there is one more kernel, once."""
    dag, launched = compile(GRAPHS["parallel edges"]()), []
    launch = Launch.__call__

    def counted(self, *arguments):
        launched.append(self.kernel.__name__)
        return launch(self, *arguments)

    monkeypatch.setattr(Launch, "__call__", counted)
    theta = torch.zeros(2, 5, requires_grad=True)
    with torch.no_grad():
        assert dp_value(dag, theta).grad_fn is None
    with torch.inference_mode():
        dp_value(dag, theta)
    dp_value(dag, theta.detach())
    assert launched == ["_value"] * 3
    launched.clear()
    value = dp_value(dag, theta)
    (first,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    assert launched == ["_gradient"]
    first.square().sum().backward()
    assert launched == ["_gradient", "_hessian"]


def test_what_autograd_keeps():
    """theta, E and the ends, and for the second derivative theta, the ends and g: nothing of a kernel's state."""
    dag = compile(GRAPHS["grid"]())
    theta, end = torch.randn(3, 4, 5, requires_grad=True), torch.tensor([20, 13, 7])

    def kept(function):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            result = function()
        return result, sorted(sizes)

    value, sizes = kept(lambda: dp_value(dag, theta, end=end, minimize=True))
    assert sizes == [3, 60, 60]
    with torch.no_grad():
        assert kept(lambda: dp_value(dag, theta, end=end, minimize=True))[1] == []
    assert kept(lambda: torch.autograd.grad(value.sum(), theta, create_graph=True))[1] == [3, 3, 60]


def test_empty_batches_and_ends():
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.zeros(0, 5, requires_grad=True)
    dp_value(dag, theta).sum().backward()
    assert theta.grad.shape == (0, 5)
    named = Graph(ends=["b", ("c", 1)])
    named.add_edge("a", "b")
    named.add_edge("b", ("c", 1))
    dag = compile(named)
    assert dp_value(dag, torch.tensor([1.0, 2.0]).double(), HardMax(), end="b") == 1
    theta = torch.tensor([[1.0, 2.0], [1.0, 5.0]], dtype=torch.float64, requires_grad=True)
    value = dp_value(dag, theta, HardMax(), end=["b", ("c", 1)])
    value.sum().backward()
    assert value.tolist() == [1, 6] and theta.grad.tolist() == [[1, 0], [1, 1]]
    assert dp_value(dag, theta[0].detach(), HardMax(), end=["b", ("c", 1)]).tolist() == [1, 3]


def test_mistakes_are_named():
    dag, chain = compile(GRAPHS["parallel edges"]()), compile(GRAPHS["chain"]())
    with pytest.raises(InputError, match=r"theta has shape \(4,\); expected \[\*batch, 5\]"):
        dp_value(dag, torch.zeros(4))
    with pytest.raises(InputError, match="theta is one Tensor; the graph has potentials"):
        dp_value(chain, torch.zeros(5))
    with pytest.raises(InputError, match=r"theta\[1, 2\] is nan; expected a number"):
        dp_value(dag, torch.tensor([[0, 0, 0, 0, 0], [0, 0, torch.nan, 0, 0]], requires_grad=True))
    with pytest.raises(InputError, match=r"dtype torch.complex64 and layout torch.strided; expected real numbers"):
        dp_value(dag, torch.zeros(5, dtype=torch.complex64))
    with pytest.raises(InputError, match=r"layout torch.sparse_coo"):
        dp_value(dag, torch.zeros(5).to_sparse())
    with pytest.raises(InputError, match=r"end has dtype torch.float32; expected node numbers"):
        dp_value(dag, torch.zeros(5), end=torch.tensor(1.0))
    with pytest.raises(InputError, match=r"end has shape \(3,\); expected one node, or one for each batch item"):
        dp_value(dag, torch.zeros(2, 5), end=[2, 2, 2])
    with pytest.raises(InputError, match="end 9 is no node"):
        dp_value(dag, torch.zeros(2, 5, requires_grad=True), end=9)
    with pytest.raises(InputError, match="dag is a Graph; expected a CompiledDAG"):
        dp_value(GRAPHS["one edge"](), torch.zeros(1))
    with pytest.raises(OmegaError, match="omega is 'entropy'; expected an operator"):
        dp_value(dag, torch.zeros(5), "entropy")
    with FakeTensorMode(), pytest.raises(InputError, match=r"theta is on xpu:0; .* run on the CPU and on CUDA devices"):
        dp_value(dag, torch.zeros(5, device="xpu"))
    theta = torch.zeros(5, requires_grad=True)
    with pytest.raises(InputError, match=r"z\[0\] is nan; expected a finite direction"):
        (dp_grad(dag, theta) * torch.nan).sum().backward()
    with pytest.raises(InputError, match="threads is 0"):
        dp_value(dag, torch.zeros(5), threads=0)


backends = pytest.mark.parametrize("backend", [None, "torch"])


@backends
@pytest.mark.parametrize(
    ("of_theta", "of_z", "of_end", "batch"),
    [
        ((), (), (3,), (3,)),
        ((), (2,), (), (2,)),
        ((1,), (4,), None, (4,)),
        ((4,), (), (1,), (4,)),
        ((3, 1), (2,), (3, 2), (3, 2)),
        ((3, 1), (), (2,), (3, 2)),
        ((2,), (3, 1), (), (3, 2)),
    ],
    ids=str,
)
def test_an_array_is_data_and_expanded_to_the_batch(of_theta, of_z, of_end, batch, backend):
    """Each item has its own path and product, also where its weights are those of its neighbours."""
    rng = np.random.default_rng(0)
    dag, omega = compile(Graph.from_edges([0, 0, 1, 1], [1, 2, 2, 3], ends=[2, 3])), SquaredL2(0.5)
    theta, z = (torch.tensor(rng.normal(size=(*front, 4))) for front in (of_theta, of_z))
    end = None if of_end is None else torch.tensor(rng.choice([2, 3], of_end))
    options = {"end": end, "backend": backend}
    got = dp_grad(dag, theta, omega, **options), dagdp.dp_jvp_and_hvp(dag, theta, z, omega, **options)
    front = torch.broadcast_shapes(of_theta, of_end or ())
    value = dp_value(dag, theta, omega, **options)
    assert value.shape == front and got[0].shape == (*front, 4)
    assert got[1][0].shape == batch and got[1][1].shape == (*batch, 4)
    leaf = theta.clone().requires_grad_()
    (summed,) = torch.autograd.grad(dp_value(dag, leaf, omega, **options).sum(), leaf)
    torch.testing.assert_close(summed, got[0].sum_to_size(theta.shape))
    rows, directions = theta.expand(*batch, 4), z.expand(*batch, 4)
    ends = None if end is None else end.expand(batch)
    for item in np.ndindex(batch):
        alone = {"end": None if ends is None else int(ends[item])}
        slope, change = dagdp.dp_jvp_and_hvp(dag, rows[item], directions[item], omega, **alone)
        torch.testing.assert_close(got[1][0][item], slope)
        torch.testing.assert_close(got[1][1][item], change)
        torch.testing.assert_close(value.expand(batch)[item], dp_value(dag, rows[item], omega, **alone))
        torch.testing.assert_close(got[0].expand(*batch, 4)[item], dp_grad(dag, rows[item], omega, **alone))


@backends
def test_in_a_dict_what_has_no_batch_is_a_parameter_and_the_rest_follows_the_ends(backend):
    """Ends bring a dimension: emissions are expanded, and the gradient of transitions is the sum over items."""
    rng, omega = np.random.default_rng(1), Negentropy(0.5)
    dag = compile(linear_chain(3, 2, ragged=True))
    theta = tensors(random_theta(dag.graph, rng))
    theta["emission"] = torch.tensor(rng.normal(size=(2, 3, 2)))
    end = 3 * 2 + torch.tensor([[1], [2], [3]])
    items = [(dag, {**theta, "emission": theta["emission"][j]}, omega) for _ in range(3) for j in range(2)]
    ends = [int(end[i]) for i in range(3) for _ in range(2)]
    values = torch.stack([dp_value(*item, end=e) for item, e in zip(items, ends, strict=True)]).reshape(3, 2)
    paths = [dp_grad(*item, end=e) for item, e in zip(items, ends, strict=True)]
    torch.testing.assert_close(dp_value(dag, theta, omega, end=end, backend=backend), values)
    path = dp_grad(dag, theta, omega, end=end, backend=backend)
    torch.testing.assert_close(path["emission"], torch.stack([p["emission"] for p in paths]).reshape(3, 2, 3, 2))
    torch.testing.assert_close(path["transition"], sum(p["transition"] for p in paths))
    leaves = {name: block.clone().requires_grad_() for name, block in theta.items()}
    for _ in range(2):  # the second call is of a form that is known
        value = dp_value(dag, leaves, omega, end=end, backend=backend)
        torch.testing.assert_close(value, values)
        found = torch.autograd.grad(value.sum(), list(leaves.values()))
        want = {name: block if name != "emission" else block.sum(0) for name, block in path.items()}
        torch.testing.assert_close(dict(zip(leaves, found, strict=True)), want)
    shared = {**theta, "emission": theta["emission"][0]}
    whole = dp_grad(dag, shared, omega, end=end[:, 0], backend=backend)
    torch.testing.assert_close(whole["emission"], sum(p["emission"] for p in paths[::2]))


@backends
def test_batches_that_do_not_broadcast_and_devices_that_differ_are_named(backend):
    dag, chain = compile(GRAPHS["parallel edges"]()), compile(GRAPHS["chain"]())
    with pytest.raises(InputError, match=r"batch dimensions do not broadcast, at z: theta \(2,\), z \(3,\)"):
        dagdp.dp_hvp(dag, torch.zeros(2, 5), torch.zeros(3, 5), backend=backend)
    with pytest.raises(InputError, match=r"end has shape \(3,\); expected one node, .* shape \(2,\)"):
        dp_value(dag, torch.zeros(2, 5), end=[2, 2, 2], backend=backend)
    with pytest.raises(InputError, match="theta is on cpu and z is on meta; expected one device"):
        dagdp.dp_jvp(dag, torch.zeros(5), torch.zeros(5, device="meta"), backend=backend)
    with pytest.raises(InputError, match="z is None; expected a direction, shaped and keyed like theta"):
        dagdp.dp_hvp(dag, torch.zeros(5), None, backend=backend)
    blocks = {p.name: torch.zeros(p.shape) for p in chain.potentials}
    blocks["transition"] = blocks["transition"].to("meta")
    with pytest.raises(InputError, match=r"is on cpu and theta.* is on meta; expected one device: .*\.to\(device\)"):
        dp_value(chain, blocks, backend=backend)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
@over_operators(OMEGAS)
def test_items_without_a_path_have_infinite_values_and_no_gradient(backend, minimize, omega):
    """An end that is a start, one out of reach, and an item whose every path is forbidden; the others as alone."""
    dag = compile(Graph.from_edges([0, 0, 1, 4], [1, 2, 2, 5], starts=[0], ends=[1, 2]))
    none = np.inf if minimize else -np.inf
    theta = torch.tensor(np.random.default_rng(0).normal(size=(4, 4)))
    theta[3, 0] = theta[3, 1] = none
    ends, options = torch.tensor([2, 0, 5, 2]), {"minimize": minimize, "backend": backend}
    theta.requires_grad_()
    value = dp_value(dag, theta, omega, end=ends, **options)
    assert value[1] == 0 and value[2:].tolist() == [none] * 2
    (gradient,) = torch.autograd.grad(value[:2].sum(), theta)
    path = dp_grad(dag, theta, omega, end=ends, **options)
    assert not gradient[1:].any() and not path[1:].any()
    torch.testing.assert_close(gradient[0], dp_grad(dag, theta[0], omega, end=2, **options), atol=1e-12, rtol=0)
    (all_of_it,) = torch.autograd.grad(dp_value(dag, theta, omega, end=ends, **options).sum(), theta)
    torch.testing.assert_close(all_of_it, path.detach(), atol=1e-12, rtol=0)
    change = dagdp.dp_hvp(dag, theta, torch.ones(4, dtype=theta.dtype), omega, end=ends, **options)
    assert not change[1:].any()


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("function", SIX)
def test_on_infeasible_names_the_items(function, backend):
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    theta = torch.zeros(2, 3)
    theta[1] = -torch.inf
    directions = [torch.zeros(3)] if "vp" in function else []
    call = getattr(dagdp, function)
    for given in (theta, theta.clone().requires_grad_()):
        with pytest.raises(InputError, match="item 1 has no path"):
            call(dag, given, *directions, on_infeasible="raise", backend=backend)
        call(dag, given[:1], *directions, on_infeasible="raise", backend=backend)
        with pytest.raises(InputError, match="on_infeasible is None; expected 'value'"):
            call(dag, given, *directions, on_infeasible=None, backend=backend)
    if backend is None:
        batch = dagdp.compile_batch([dag, dag])
        with pytest.raises(InputError, match="item 1 has no path"):
            call(batch, list(theta), *[list(d.expand(2, 3)) for d in directions], on_infeasible="raise")


def test_on_infeasible_from_shortcuts_and_under_compile():
    costs = torch.full((2, 2), torch.inf)
    with pytest.raises(InputError, match="there is no path"):
        dtw_value(costs, on_infeasible="raise")
    compiled = torch.compile(lambda t: dtw_value(t, on_infeasible="raise"), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=r"out of sight under torch\.compile"):
        compiled(costs)
    torch._dynamo.reset()


def test_a_sum_beyond_the_largest_float_is_an_error():
    dag = compile(Graph.from_edges([0, 1], [1, 2]))
    huge = torch.full((2,), 2e38, requires_grad=True)
    for call in (dp_value, dp_grad, lambda dag, theta: dagdp.dp_hvp(dag, theta, torch.zeros(2))):
        with pytest.raises(InputError, match=r"is not finite: the weights along a path sum to more than 3\.4e"):
            call(dag, huge)
    assert dp_value(dag, huge.detach().double()).isfinite()


def test_masked_arrays_beside_tensors_are_refused():
    dag = compile(Graph.from_edges([0, 0], [1, 1]))
    with pytest.raises(InputError, match="z is a masked array, and 1 of its entries are masked"):
        dagdp.dp_jvp(dag, torch.zeros(2), np.ma.masked_equal([1.0, 2.0], 2.0))


def test_edges_may_be_index_tensors():
    parents, children = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2], dtype=torch.int32)
    graph = Graph.from_edges(parents, children, potentials={"a": (2, torch.tensor([0, 1, -1]))})
    assert dp_value(compile(graph), torch.tensor([1.0, 5.0]), HardMax()) == 5
    with pytest.raises(dagdp.GraphError, match=r"dtype .*float32; expected integers"):
        Graph.from_edges(parents.float(), children)


def test_a_graph_pickles_under_a_new_serial_and_is_shared_by_deep_copies():
    dag = compile(GRAPHS["chain"]())
    other = pickle.loads(pickle.dumps(dag))
    assert other.serial != dag.serial and copy.deepcopy(dag) is dag
    assert not any(array.flags.writeable for part in other.wiring for array in part)
    theta = tensors(random_theta(dag.graph, np.random.default_rng(0)))
    torch.testing.assert_close(dp_grad(other, theta), dp_grad(dag, theta))
    twin = pickle.loads(pickle.dumps(dag))  # of one that has run, whose addresses are its own
    assert not set(twin.addresses[::2]) & set(dag.addresses[::2])


def test_two_python_threads():
    dag, errors = compile(GRAPHS["grid"]()), []
    theta = torch.randn(64, 4, 5, generator=torch.manual_seed(0))
    want = dp_grad(dag, theta, minimize=True)

    def work():
        try:
            for _ in range(20):
                leaf = theta.clone().requires_grad_()
                dp_value(dag, leaf, minimize=True, threads=2).sum().backward()
                assert torch.equal(leaf.grad, want)
        except Exception as error:
            errors.append(error)

    both = [threading.Thread(target=work) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert not errors


class Aligned(torch.utils.data.Dataset):
    """Values and gradients computed by a DataLoader's worker."""

    def __init__(self, dag):
        self.dag = dag

    def __len__(self):
        return 4

    def __getitem__(self, k):
        cost = torch.full((2, 4, 5), float(k), requires_grad=True)
        value = dp_value(self.dag, cost, minimize=True, threads=2)
        value.sum().backward()
        return value.detach(), cost.grad


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_dataloader_workers(start):
    if start == "fork" and torch.cuda.is_available():
        pytest.skip("where there are devices, torch refuses a backward pass in a fork of a process that ran one")
    dag = compile(GRAPHS["grid"]())
    here = [Aligned(dag)[k] for k in range(4)]  # the parent's pool and kernels exist before the fork
    loader = torch.utils.data.DataLoader(Aligned(dag), batch_size=None, num_workers=1, multiprocessing_context=start)
    for (value, path), (other_value, other_path) in zip(loader, here, strict=True):
        assert torch.equal(value, other_value) and torch.equal(path, other_path)


def test_torch_comes_with_the_first_tensor_and_keeps_its_settings():
    code = """
import sys
import dagdp, dagdp.graphs, numpy as np
dag = dagdp.compile(dagdp.Graph.from_edges([0], [1]))
dagdp.dp_value(dag, np.zeros(1))
assert "torch" not in sys.modules
import torch
before = torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
assert "dagdp.nn" not in sys.modules
dagdp.dp_value(dag, torch.zeros(1, requires_grad=True)).backward()
assert before == (
    torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_small_call_stays_out_of_torchs_dispatcher():
    """Eager plain tensors skip torch.library, 60 µs a call; whoever intercepts operators still sees them."""
    seen = []

    class Listener(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    dag, theta = compile(Graph.from_edges([0, 0, 1], [1, 2, 2])), torch.tensor([1.0, 2.5, 2.0], requires_grad=True)
    with torch.profiler.profile(acc_events=True) as profile:  # without it torch 2.11 warns
        dp_value(dag, theta.detach()), dp_value(dag, theta).backward()
    assert not [event.name for event in profile.events() if event.name.startswith("dagdp::")]
    with Listener():
        dp_value(dag, theta.detach()), dp_value(dag, theta).backward()
    assert "dagdp.value.default" in seen and "dagdp.gradient.default" in seen


@pytest.mark.parametrize("omega", [Negentropy(0.5), SquaredL2(0.5)], ids=repr)
def test_starts_of_items_are_those_of_numpy(omega):
    dag, rng = dagdp.compile(trellis(4, 3, "all")), np.random.default_rng(0)
    theta, z = (torch.tensor(rng.normal(size=(6, 4, 3, 3))) for _ in range(2))
    starts = torch.tensor(rng.integers(0, 3, 6))
    options = {"start": starts, "end": torch.tensor([3, 5, 12, 14, 3, 15])}
    ours = {"start": starts.numpy(), "end": options["end"].numpy()}
    for leaf in (theta, theta.clone().requires_grad_()):
        value, path = dagdp.dp_value_and_grad(dag, leaf, omega, **options)
        want, edges = dagdp.dp_value_and_grad(dag, theta.numpy(), omega, **ours)
        torch.testing.assert_close(value.detach(), torch.tensor(want))
        torch.testing.assert_close(path.detach(), torch.tensor(edges))
        change = dagdp.dp_hvp(dag, leaf, z, omega, **options)
        torch.testing.assert_close(
            change.detach(), torch.tensor(dagdp.dp_hvp(dag, theta.numpy(), z.numpy(), omega, **ours))
        )
        torch.testing.assert_close(
            dagdp.dp_value(dag, leaf, omega, start=1), dagdp.dp_value(dag, leaf, omega, start=[1] * 6)
        )
    leaf = theta.clone().requires_grad_()
    torch.testing.assert_close(dagdp.dp_value(dag, leaf, omega, backend="torch", **options), value)
    assert torch.autograd.gradgradcheck(lambda x: dagdp.dp_value(dag, x, omega, start=starts), leaf)
    mapped = torch.func.vmap(lambda x, start: dagdp.dp_value(dag, x, omega, start=start))(theta, starts)
    torch.testing.assert_close(mapped, dagdp.dp_value(dag, theta, omega, start=starts))
    compiled = torch.compile(lambda x, start: dagdp.dp_value(dag, x, omega, start=start), fullgraph=True)
    torch.testing.assert_close(compiled(theta, starts), dagdp.dp_value(dag, theta, omega, start=starts))
    layer = dagdp.nn.DPGrad(dag, omega)
    torch.testing.assert_close(layer(leaf, start=starts), dagdp.dp_grad(dag, leaf, omega, start=starts))
    with pytest.raises(InputError, match=r"start 7 is no start of the graph"):
        dagdp.dp_value(dag, leaf, omega, start=7)
    with pytest.raises(InputError, match="start= takes one graph at a time"):
        dagdp.dp_value(dagdp.compile_batch([dag]), [leaf], start=0)
