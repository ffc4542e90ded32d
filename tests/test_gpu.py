"""Device kernels on a real CUDA device; each test skips itself without one. The oracle is `dagdp.reference`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from cases import GRAPHS, IDS, OPERATORS, SMALL, random_theta

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, reference
from dagdp.graphs import dtw_grid, linear_chain
from dagdp.nn import LinearChainCRF, Target
from dagdp.nn.autograd import operators
from dagdp.nn.autograd.operators import Problem

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not dagdp.cuda.is_available(), reason="no CUDA device with packages")]

TOLERANCE = {torch.float32: {"rtol": 2e-5, "atol": 2e-5}, torch.float64: {"rtol": 1e-11, "atol": 1e-11}}
SMOOTH = Negentropy(0.7)


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    """No fault of one test is told in another."""
    yield
    torch.cuda.set_sync_debug_mode(0)
    dagdp.cuda.check()


def on_device(values: Any, dtype: torch.dtype = torch.float64, device: str = "cuda") -> Any:
    """theta as tensors on the device, in its own form."""
    if isinstance(values, dict):
        return {name: on_device(block, dtype, device) for name, block in values.items()}
    return torch.tensor(np.asarray(values), dtype=dtype, device=device)


def close(found: Any, expected: Any, dtype: torch.dtype) -> None:
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, block in expected.items():
            close(found[name], block, dtype)
        return
    assert found.device.type == "cuda"
    np.testing.assert_allclose(found.detach().cpu().double(), expected, **TOLERANCE[dtype])


def rounded(values: Any, dtype: torch.dtype) -> Any:
    """The numbers that the device gets, in float64."""
    if isinstance(values, dict):
        return {name: rounded(block, dtype) for name, block in values.items()}
    return torch.tensor(np.asarray(values)).to(dtype).double().numpy()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
@pytest.mark.parametrize("name", SMALL)
def test_every_pass_against_the_reference(name, omega, dtype):
    graph = GRAPHS[name]()
    dag, rng = dagdp.compile(graph), np.random.default_rng(0)
    theta, z = (rounded(random_theta(graph, rng, (3,)), dtype) for _ in range(2))
    weights, along = on_device(theta, dtype), on_device(z, dtype)
    for minimize in (False, True):
        options = {"minimize": minimize}
        value, path = dagdp.dp_value_and_grad(dag, weights, omega, **options)
        close(value, reference.dp_value(dag, theta, omega, **options), dtype)
        close(path, reference.dp_grad(dag, theta, omega, **options), dtype)
        close(dagdp.dp_value(dag, weights, omega, **options), reference.dp_value(dag, theta, omega, **options), dtype)
        slope, change = dagdp.dp_jvp_and_hvp(dag, weights, along, omega, **options)
        close(slope, reference.dp_jvp(dag, theta, z, omega, **options), dtype)
        close(change, reference.dp_hvp(dag, theta, z, omega, **options), dtype)


def test_best_paths():
    dag = dagdp.compile(dtw_grid(6, 5))
    theta = np.random.default_rng(1).normal(size=(4, 6, 5))
    found, expected = dagdp.best_path(dag, on_device(theta)), dagdp.best_path(dag, theta)
    longest = expected.edges.shape[-1]
    np.testing.assert_array_equal(found.edges.cpu()[:, :longest], expected.edges)
    assert (found.edges.cpu()[:, longest:] == -1).all()
    np.testing.assert_array_equal(found.nodes.cpu()[:, : longest + 1], expected.nodes)
    close(found.scores, expected.scores, torch.float64)


def test_a_batch_of_different_graphs():
    graphs = [dtw_grid(n, n + 1) for n in (2, 7, 4)]
    batch = dagdp.compile_batch(graphs, minimize=True)
    theta = [np.random.default_rng(n).normal(size=(2, *graph.potentials()[0].shape)) for n, graph in enumerate(graphs)]
    weights = [on_device(own).requires_grad_() for own in theta]
    value = dagdp.dp_value(batch, weights, SMOOTH)
    value.sum().backward()
    for g, dag in enumerate(batch.dags):
        close(value[:, g], reference.dp_value(dag, theta[g], SMOOTH, minimize=True), torch.float64)
        close(weights[g].grad, reference.dp_grad(dag, theta[g], SMOOTH, minimize=True), torch.float64)


@pytest.mark.parametrize("omega", [HardMax(), SMOOTH, SquaredL2(0.5)], ids=repr)
def test_equal_bits(omega):
    """Over runs, alone and in a batch, and whatever else runs on the device."""
    dag = dagdp.compile(linear_chain(40, 5))
    blocks = {p.name: torch.randn(64, *p.shape, device="cuda") for p in dag.potentials}
    value, path = dagdp.dp_value_and_grad(dag, blocks, omega)
    for _ in range(20):
        again, repeated = dagdp.dp_value_and_grad(dag, blocks, omega)
        assert torch.equal(value, again) and all(torch.equal(path[name], repeated[name]) for name in path)
    for item in (0, 17, 63):
        own = {name: block[item] for name, block in blocks.items()}
        alone, flow = dagdp.dp_value_and_grad(dag, own, omega)
        assert torch.equal(alone, value[item]) and all(torch.equal(flow[name], path[name][item]) for name in path)


def test_two_streams():
    dag = dagdp.compile(dtw_grid(40, 50))
    first, second = (torch.randn(16, 40, 50, device="cuda") for _ in range(2))
    expected = [dagdp.dp_grad(dag, theta, SMOOTH, minimize=True) for theta in (first, second)]
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream(), torch.cuda.Stream()], [[], []]
    for _ in range(5):
        for stream, theta, results in zip(streams, (first, second), found, strict=True):
            with torch.cuda.stream(stream):
                results.append(dagdp.dp_grad(dag, theta, SMOOTH, minimize=True))
    torch.cuda.synchronize()
    for results, wanted in zip(found, expected, strict=True):
        assert all(torch.equal(result, wanted) for result in results)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_item_is_told_and_touches_no_other(bad):
    dag = dagdp.compile(dtw_grid(8, 9))
    theta = torch.randn(64, 8, 9, device="cuda")
    expected, flow = dagdp.dp_value_and_grad(dag, theta, SMOOTH, minimize=False)
    spoilt = theta.clone()
    spoilt[13, 3, 3] = bad
    value, path = dagdp.dp_value_and_grad(dag, spoilt, SMOOTH, minimize=False)
    with pytest.raises(InputError, match="item 13 of an earlier call"):
        dagdp.cuda.check()
    others = [k for k in range(64) if k != 13]
    assert value[13].isnan() and path[13].isnan().all()
    assert torch.equal(value[others], expected[others]) and torch.equal(path[others], flow[others])


def test_each_call_is_checked_where_the_environment_asks(monkeypatch):
    monkeypatch.setenv("DAGDP_CUDA_CHECK", "1")
    with pytest.raises(InputError, match="item 0 of an earlier call"):
        dagdp.dp_value(dagdp.compile(linear_graph()), torch.full((1, 2), torch.nan, device="cuda"))


def linear_graph() -> Graph:
    return Graph.from_edges([0, 1], [1, 2])


def test_ends_on_the_device():
    dag = dagdp.compile(Graph.from_edges([0, 0, 1, 1, 2], [1, 2, 2, 3, 3]))
    theta = np.random.default_rng(3).normal(size=(4, 5))
    ends = torch.tensor([3, 1, 0, 9], device="cuda")
    value, path = dagdp.dp_value_and_grad(dag, on_device(theta), SMOOTH, end=ends)
    close(value[:3], reference.dp_value(dag, theta[:3], SMOOTH, end=[3, 1, 0]), torch.float64)
    close(path[:3], reference.dp_grad(dag, theta[:3], SMOOTH, end=[3, 1, 0]), torch.float64)
    assert value[3].isnan()
    with pytest.raises(InputError, match="item 3 of an earlier call"):
        dagdp.cuda.check()
    on_host = dagdp.dp_value(dag, on_device(theta), SMOOTH, end=[3, 1, 0, 2])
    close(on_host, reference.dp_value(dag, theta, SMOOTH, end=[3, 1, 0, 2]), torch.float64)


def test_the_hot_path_does_not_wait():
    """Values, gradients, second derivatives, ends and lengths on the device or on the host, a CRF's training step."""
    dag = dagdp.compile(dtw_grid(12, 10))
    theta = torch.randn(8, 12, 10, device="cuda", requires_grad=True)
    lengths = torch.full((8,), 9, device="cuda"), torch.full((8,), 7, device="cuda")
    crf = LinearChainCRF(4, device="cuda")
    emission, tags = torch.randn(8, 6, 4, device="cuda", requires_grad=True), torch.zeros(8, 6, dtype=torch.long).cuda()
    steps = torch.tensor([6, 5, 4, 3, 2, 1, 6, 6], device="cuda")

    def step() -> None:
        value = dagdp.dp_value(dag, theta, SMOOTH, minimize=True)
        (gradient,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
        gradient.square().sum().backward()
        dagdp.dp_jvp_and_hvp(dag, theta.detach(), theta.detach(), SMOOTH, minimize=True)
        dagdp.dp_value(dag, theta, SMOOTH, end=dag.ends_of(lengths))
        dagdp.dp_value(dag, theta, SMOOTH, end=dag.ends_of((9, 7)))
        crf(emission, tags, steps, reduction="mean").backward()
        dagdp.best_path(dag, theta.detach(), minimize=True)

    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(2)
    step()
    torch.cuda.set_sync_debug_mode(0)


def test_a_loss_does_not_wait():
    dag = dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    target, theta = Target(dag, [[0, 2], [1, -1]]), torch.randn(2, 3, device="cuda", requires_grad=True)
    dagdp.nn.crf_loss(dag, theta, target).backward()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(2)
    dagdp.nn.crf_loss(dag, theta, target).backward()
    torch.cuda.set_sync_debug_mode(0)


def test_a_cuda_graph_replays_with_other_numbers():
    dag = dagdp.compile(dtw_grid(20, 20))
    theta = torch.randn(4, 20, 20, device="cuda")
    ends = dag.ends_of((torch.tensor([20, 10, 5, 1], device="cuda"), torch.tensor([20, 3, 9, 1], device="cuda")))
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        dagdp.dp_value_and_grad(dag, theta, SMOOTH, end=ends, minimize=True)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        value, path = dagdp.dp_value_and_grad(dag, theta, SMOOTH, end=ends, minimize=True)
    for seed in (1, 2):
        theta.copy_(torch.randn(4, 20, 20, generator=torch.Generator().manual_seed(seed)))
        captured.replay()
        expected, flow = dagdp.dp_value_and_grad(dag, theta, SMOOTH, end=ends, minimize=True)
        assert torch.equal(value, expected) and torch.equal(path, flow)


def test_a_capture_without_a_call_before_says_so():
    dag, theta = dagdp.compile(dtw_grid(3, 4)), torch.zeros(3, 4, device="cuda")
    captured = torch.cuda.CUDAGraph()
    with pytest.raises(InputError, match="once before the capture"), torch.cuda.graph(captured):
        dagdp.dp_value(dag, theta, SMOOTH)


def test_torch_compile():
    dag = dagdp.compile(dtw_grid(6, 7))
    theta = torch.randn(3, 6, 7, device="cuda", requires_grad=True)
    torch.compile(lambda t: dagdp.dp_value(dag, 2.0 * t, SMOOTH, minimize=True).sum(), fullgraph=True)(theta).backward()
    expected = 2 * dagdp.dp_grad(dag, 2 * theta.detach(), SMOOTH, minimize=True)
    torch.testing.assert_close(theta.grad, expected)


def test_operators_pass_the_checks_of_torch():
    dag = dagdp.compile(dtw_grid(3, 4))
    theta = torch.randn(2, 12, dtype=torch.float64, device="cuda", requires_grad=True)
    z, fixed = torch.randn_like(theta, requires_grad=True), theta.detach()
    rest = (None, *Problem(dag, SMOOTH, True, 0).arguments)
    torch.library.opcheck(operators.value_op, (theta, *rest))
    torch.library.opcheck(operators.gradient_op, (theta, *rest))
    torch.library.opcheck(operators.slope_op, (theta, z, *rest))
    torch.library.opcheck(operators.bend_op, (fixed, z, *rest))


def test_transforms_and_derivatives():
    dag = dagdp.compile(dtw_grid(3, 3))
    theta = torch.randn(2, 3, 3, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: dagdp.dp_value(dag, t, SMOOTH), theta)
    assert torch.autograd.gradgradcheck(lambda t: dagdp.dp_value(dag, t, SMOOTH), theta)
    each = torch.func.vmap(torch.func.grad(lambda t: dagdp.dp_value(dag, t, SMOOTH)))(theta.detach())
    torch.testing.assert_close(each, dagdp.dp_grad(dag, theta.detach(), SMOOTH))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert dagdp.dp_value(dag, theta.detach().bfloat16(), SMOOTH).dtype is torch.float32


def test_a_chain_of_ten_thousand_levels():
    dag = dagdp.compile(linear_chain(10_000, 2))
    blocks = {p.name: torch.randn(*p.shape, device="cuda") for p in dag.potentials}
    path = dagdp.dp_grad(dag, blocks, Negentropy(1.0))
    wanted = dagdp.dp_grad(dag, {name: block.cpu().double().numpy() for name, block in blocks.items()}, Negentropy(1.0))
    assert np.abs(path["emission"].cpu().double() - wanted["emission"]).max() < 1e-5


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_ring_that_shared_memory_cannot_hold(dtype):
    """A wide graph: 40,000 nodes between one start and one end, each of which reads a node of the level before."""
    wide = 40_000
    nodes = np.arange(wide)
    parents = np.concatenate([np.zeros(wide, int), 1 + nodes, 1 + nodes, 1 + wide + nodes])
    children = np.concatenate([1 + nodes, 1 + wide + nodes, 1 + wide + (nodes + 1) % wide, np.full(wide, 1 + 2 * wide)])
    dag = dagdp.compile(Graph.from_edges(parents, children))
    theta = torch.randn(2, parents.size, device="cuda", dtype=dtype)
    value, path = dagdp.dp_value_and_grad(dag, theta, SMOOTH)
    wanted = dagdp.dp_value_and_grad(dag, theta.cpu().double().numpy(), SMOOTH)
    close(value, wanted[0], dtype)
    close(path, wanted[1], dtype)
    slope, change = dagdp.dp_jvp_and_hvp(dag, theta, theta, SMOOTH)
    host = theta.cpu().double().numpy()
    for found, expected in zip((slope, change), dagdp.dp_jvp_and_hvp(dag, host, host, SMOOTH), strict=True):
        close(found, expected, dtype)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device")
def test_the_second_device_while_the_first_is_current():
    dag = dagdp.compile(dtw_grid(5, 6))
    theta = torch.randn(3, 5, 6, dtype=torch.float64)
    assert torch.cuda.current_device() == 0
    value = dagdp.dp_value(dag, theta.to("cuda:1"), SMOOTH)
    assert value.device == torch.device("cuda", 1) and torch.cuda.current_device() == 0
    close(value, reference.dp_value(dag, theta.numpy(), SMOOTH), torch.float64)
    with pytest.raises(InputError, match="expected one device"):
        dagdp.dp_jvp(dag, theta.to("cuda:1"), theta.to("cuda:0"), SMOOTH)


def _train(rank: int, world: int, port: str) -> None:
    """One process of DDP, on a device of its own."""
    import torch.distributed as dist

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    dist.init_process_group("nccl", rank=rank, world_size=world)
    torch.cuda.set_device(rank)
    crf = LinearChainCRF(3, device=rank)
    layer = torch.nn.parallel.DistributedDataParallel(crf, device_ids=[rank])
    emission = torch.randn(4, 5, 3, device=rank, generator=torch.Generator(rank).manual_seed(rank))
    (-layer(emission, torch.zeros(4, 5, dtype=torch.long, device=rank), reduction="mean")).backward()
    gathered = [torch.empty_like(crf.transition.grad) for _ in range(world)]
    dist.all_gather(gathered, crf.transition.grad)
    assert torch.equal(gathered[0], gathered[1]) and torch.isfinite(gathered[0]).all()
    dist.destroy_process_group()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device")
def test_ddp_on_two_devices():
    torch.multiprocessing.spawn(_train, (2, "29517"), nprocs=2)
