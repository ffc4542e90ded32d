"""Tensors on a device, as far as a launch: CPU tensors take their place (tests/device.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import IDS, OPERATORS
from device import EDGES, SMOOTH
from device import dag as dag  # fixtures
from device import device as device
from device import interpreted as interpreted
from device import theta as theta

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, Tsallis, reference
from dagdp.nn.autograd.device import accelerator, faults, launches


@pytest.fixture
def z():
    return np.random.default_rng(1).normal(size=(3, 5))


@pytest.fixture
def named():
    """Two potentials, one of them read by several edges, and one entry that no edge reads."""
    tied = {"own": (5, np.arange(5)), "tied": (4, [0, 1, 1, 2, 0])}
    return dagdp.compile(Graph.from_edges(*EDGES, potentials=tied))


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_values_and_gradients_come_from_one_launch(device, dag, theta, omega):
    weights = torch.tensor(theta, requires_grad=True)
    value = dagdp.dp_value(dag, weights, omega)
    value.sum().backward()
    np.testing.assert_allclose(value.detach(), reference.dp_value(dag, theta, omega))
    np.testing.assert_allclose(weights.grad, reference.dp_grad(dag, theta, omega))
    (launched,) = device.launches
    assert launched[0].variant.backward and not launched[0].variant.tangent


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.7), Tsallis(1.5, 0.8)], ids=repr)
@pytest.mark.parametrize("real", [torch.float32, torch.float64])
def test_the_kernels_own_text_answers(interpreted, dag, theta, z, omega, real):
    tolerance = {"atol": 1e-5 if real is torch.float32 else 1e-12}
    weights, along = torch.tensor(theta, dtype=real, requires_grad=True), torch.tensor(z, dtype=real)
    value = dagdp.dp_value(dag, weights, omega)
    value.sum().backward()
    slope, change = dagdp.dp_jvp_and_hvp(dag, weights.detach(), along, omega)
    np.testing.assert_allclose(value.detach(), reference.dp_value(dag, theta, omega), **tolerance)
    np.testing.assert_allclose(weights.grad, reference.dp_grad(dag, theta, omega), **tolerance)
    np.testing.assert_allclose(slope, reference.dp_jvp(dag, theta, z, omega), **tolerance)
    np.testing.assert_allclose(change, reference.dp_hvp(dag, theta, z, omega), **tolerance)
    with torch.no_grad():
        np.testing.assert_allclose(
            dagdp.dp_value(dag, weights, omega), reference.dp_value(dag, theta, omega), **tolerance
        )


def test_local_weights_stay_on_the_device(interpreted, dag, theta):
    """They are constants: a tensor that requires a gradient is refused."""
    given = torch.tensor(theta)
    q = dagdp.local_weights(dag, given, Negentropy(0.7))
    assert q.dtype is given.dtype and len(interpreted.launches) == 1
    np.testing.assert_allclose(q.numpy(), dagdp.reference.local_weights(dag, theta, Negentropy(0.7)), atol=1e-5)
    with pytest.raises(InputError, match=r"local_weights has no derivative; pass theta\.detach\(\), or"):
        dagdp.local_weights(dag, given.requires_grad_(), Negentropy(0.7))


def test_the_kernels_own_text_finds_faults_and_ends(interpreted, dag, theta):
    weights = torch.tensor(theta)
    weights[1, 0] = torch.nan
    value = dagdp.dp_value(dag, weights, SMOOTH, end=torch.tensor([3, 3, 1]))
    np.testing.assert_allclose(value[[0, 2]], reference.dp_value(dag, theta[[0, 2]], SMOOTH, end=[3, 1]))
    assert value[1].isnan()
    with pytest.raises(InputError, match="item 1 of an earlier call"):
        dagdp.cuda.check()


def test_derivatives_are_those_that_torch_checks(device, dag, theta):
    weights = torch.tensor(theta[:2], requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: dagdp.dp_value(dag, t, SMOOTH), weights)
    assert torch.autograd.gradgradcheck(lambda t: dagdp.dp_value(dag, t, SMOOTH), weights)
    assert torch.autograd.gradcheck(lambda t: dagdp.dp_grad(dag, t, SMOOTH), weights, check_forward_ad=True)


@pytest.mark.parametrize("minimize", [False, True])
def test_every_function_without_derivatives_is_one_launch(device, dag, theta, z, minimize):
    options = {"omega": SMOOTH, "minimize": minimize}
    weights, along = torch.tensor(theta), torch.tensor(z)
    for name in ("dp_value", "dp_grad", "dp_value_and_grad", "dp_jvp", "dp_hvp", "dp_jvp_and_hvp"):
        given = [theta, z] if "jvp" in name or "hvp" in name else [theta]
        device.launches.clear()
        found = getattr(dagdp, name)(dag, *[weights, along][: len(given)], **options)
        expected = getattr(dagdp, name)(dag, *given, **options)
        pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        for mine, other in pairs:
            np.testing.assert_allclose(mine, other, atol=1e-12)
        assert len(device.launches) == 1, name


def test_hessian_products_and_third_derivatives(device, dag, theta, z):
    weights, along = torch.tensor(theta, requires_grad=True), torch.tensor(z)
    (gradient,) = torch.autograd.grad(dagdp.dp_value(dag, weights, SMOOTH).sum(), weights, create_graph=True)
    (product,) = torch.autograd.grad((gradient * along).sum(), weights)
    np.testing.assert_allclose(product, reference.dp_hvp(dag, theta, z, SMOOTH), atol=1e-12)
    with pytest.raises(dagdp.DagError, match="third derivative"):
        dagdp.dp_hvp(dag, weights, along, SMOOTH).sum().backward()


def test_a_second_backward_pass(device, dag, theta):
    weights = torch.tensor(theta, requires_grad=True)
    value = dagdp.dp_value(dag, weights, SMOOTH)
    value.backward(torch.tensor([1.0, 2.0, 3.0]).double(), retain_graph=True)
    first = weights.grad.clone()
    value.backward(torch.tensor([1.0, 2.0, 3.0]).double())
    np.testing.assert_allclose(first, reference.dp_grad(dag, theta, SMOOTH) * [[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(weights.grad, 2 * first)


def test_transforms(device, dag, theta, z):
    weights, along = torch.tensor(theta), torch.tensor(z)

    def value(row):
        return dagdp.dp_value(dag, row, SMOOTH)

    np.testing.assert_allclose(torch.func.vmap(value)(weights), reference.dp_value(dag, theta, SMOOTH))
    np.testing.assert_allclose(torch.func.vmap(torch.func.grad(value))(weights), reference.dp_grad(dag, theta, SMOOTH))
    _, slope = torch.func.jvp(value, (weights[0],), (along[0],))
    np.testing.assert_allclose(slope, reference.dp_jvp(dag, theta[0], z[0], SMOOTH))
    hessian = torch.func.hessian(value)(weights[0])
    np.testing.assert_allclose(hessian @ along[0], reference.dp_hvp(dag, theta[0], z[0], SMOOTH), atol=1e-12)
    ends = torch.tensor([3, 1, 2])
    over_ends = torch.func.vmap(lambda row, end: dagdp.dp_value(dag, row, SMOOTH, end=end))(weights, ends)
    np.testing.assert_allclose(over_ends, reference.dp_value(dag, theta, SMOOTH, end=[3, 1, 2]))


def test_compiled_functions_call_the_operator(device, dag, theta):
    weights = torch.tensor(theta, requires_grad=True)
    run = torch.compile(lambda t: dagdp.dp_value(dag, 2.0 * t, SMOOTH).sum(), fullgraph=True, backend="aot_eager")
    run(weights).backward()
    np.testing.assert_allclose(weights.grad, 2 * dagdp.dp_grad(dag, 2 * theta, SMOOTH))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(device, dag, theta, half):
    weights = torch.tensor(theta, dtype=half)
    assert dagdp.dp_value(dag, weights, SMOOTH).dtype is half
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = dagdp.dp_value(dag, weights, SMOOTH)
    assert value.dtype is torch.float32
    np.testing.assert_allclose(value, dagdp.dp_value(dag, weights.float().numpy(), SMOOTH), rtol=1e-6)
    assert {launched[2] for launched in device.launches} == {np.float32}


def test_a_row_that_the_batch_shares_is_not_repeated(device, dag, theta, z):
    row = torch.tensor(theta[0])
    value = dagdp.dp_value(dag, row, SMOOTH, end=torch.tensor([3, 1, 2]))
    np.testing.assert_allclose(value, reference.dp_value(dag, theta[0], SMOOTH, end=[3, 1, 2]))
    products = dagdp.dp_hvp(dag, row, torch.tensor(z), SMOOTH)
    np.testing.assert_allclose(products, reference.dp_hvp(dag, theta[0], z, SMOOTH), atol=1e-12)
    for launched in device.launches:
        assert launched[0].call.theta_stride == 0 and launched[3].theta.shape == (5,)
    assert device.launches[1][0].call.z_stride == 5


@pytest.mark.parametrize("axes", [(), (2,), (2, 3), (0,)])
def test_batches_of_every_shape(device, dag, axes):
    theta = np.random.default_rng(2).normal(size=(*axes, 5))
    value, path = dagdp.dp_value_and_grad(dag, torch.tensor(theta), SMOOTH)
    assert value.shape == axes
    np.testing.assert_allclose(value, reference.dp_value(dag, theta, SMOOTH))
    np.testing.assert_allclose(path, reference.dp_grad(dag, theta, SMOOTH))


def test_tensors_that_are_not_contiguous(device, dag):
    wide = np.random.default_rng(3).normal(size=(5, 8))
    for mine, other in ((torch.tensor(wide).T, wide.T), (torch.tensor(wide)[:, 1:6], wide[:, 1:6])):
        np.testing.assert_allclose(dagdp.dp_grad(dag, mine, SMOOTH), reference.dp_grad(dag, other, SMOOTH))


def test_parameters_of_a_dict_are_shared_and_summed(device, named):
    own, tied = np.random.default_rng(4).normal(size=(3, 5)), np.random.default_rng(5).normal(size=4)
    given = {"own": torch.tensor(own, requires_grad=True), "tied": torch.tensor(tied, requires_grad=True)}
    dagdp.dp_value(named, given, SMOOTH).sum().backward()
    expected = reference.dp_grad(named, {"own": own, "tied": tied}, SMOOTH)
    for name, block in given.items():
        np.testing.assert_allclose(block.grad, expected[name])
    assert len(device.launches) == 1


def test_ends_on_the_device_are_not_read_on_the_host(device, dag, theta, monkeypatch):
    ends = torch.tensor([1, 3, 2])
    expected = reference.dp_value(dag, theta, SMOOTH, end=[1, 3, 2])
    monkeypatch.setattr(dagdp.CompiledDAG, "end_nodes", None)  # the check of ends on the host
    np.testing.assert_allclose(dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, end=ends), expected)


@pytest.mark.parametrize("bad", [-1, -2, -7, 4, 2**40])
def test_a_wrong_end_on_the_device_is_told_late(device, dag, theta, bad):
    value = dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, end=torch.tensor([1, bad, 2]))
    assert value.isnan().tolist() == [False, True, False]
    with pytest.raises(InputError, match=r"item 1 of an earlier call .*end that is no node"):
        dagdp.dp_value(dag, torch.tensor(theta), SMOOTH)


def test_a_wrong_end_on_the_host_is_told_at_once(device, dag, theta):
    with pytest.raises(InputError, match="end 9 is no node"):
        dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, end=np.array([1, 9, 2]))
    with pytest.raises(InputError, match="expected one node, or one for each"):
        dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, end=torch.tensor([1, 2]))
    assert not device.launches


def test_a_pruned_end(device):
    dag = dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 3], ends=[2]))
    value = dagdp.dp_value(dag, torch.zeros(2, 3), SMOOTH, end=torch.tensor([2, 3]))
    assert value.isnan().tolist() == [False, True]
    assert faults.flags_of(value.device).seen.any()


def test_an_end_that_no_path_reaches(device):
    dag = dagdp.compile(Graph.from_edges([0, 1], [2, 3], starts=[0], ends=[2, 3]))
    value, path = dagdp.dp_value_and_grad(dag, torch.zeros(2, 2), SMOOTH, end=torch.tensor([2, 3]))
    assert value.tolist() == [0.0, -np.inf] and path.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    with pytest.raises(InputError, match="item 1 has no path"):
        dagdp.dp_value(dag, torch.zeros(2, 2), SMOOTH, end=torch.tensor([2, 3]), on_infeasible="raise")


@pytest.mark.parametrize(
    "start", [np.array([0, 1, 4]), torch.tensor([0, 1, 4]), [0, 1, 4]], ids=["array", "tensor", "list"]
)
def test_starts(device, start):
    dag = dagdp.compile(Graph.from_edges([0, 1, 1, 2, 4], [1, 2, 3, 3, 3], starts=[0, 1, 4]))
    theta = np.random.default_rng(6).normal(size=(3, 5))
    for end in (None, 3, [3, 2, 4], torch.tensor([3, 2, 4]), torch.tensor([3, 1, 3])):
        expected = dagdp.dp_value_and_grad(
            dag, theta, SMOOTH, start=[0, 1, 4], end=None if end is None else np.asarray(end)
        )
        found = dagdp.dp_value_and_grad(dag, torch.tensor(theta), SMOOTH, start=start, end=end)
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other)
    with pytest.raises(InputError, match="start 2 is no start"):
        dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, start=2)


def test_nodes_with_names(device):
    graph = Graph()
    for parent, child in (("s", "a"), ("s", "b"), ("a", "t"), ("b", "t")):
        graph.add_edge(parent, child)
    dag = dagdp.compile(graph)
    theta = np.random.default_rng(7).normal(size=(2, 4))
    expected = reference.dp_value(dag, theta, SMOOTH, end=["t", "a"])
    np.testing.assert_allclose(dagdp.dp_value(dag, torch.tensor(theta), SMOOTH, end=["t", "a"]), expected)


def test_a_bad_item_answers_nan_and_the_next_call_says_which(device, dag, theta):
    weights = torch.tensor(theta)
    weights[2, 1] = torch.inf
    weights.requires_grad_()
    value = dagdp.dp_value(dag, weights, SMOOTH)
    value.sum().backward()
    assert value.isnan().tolist() == [False, False, True]
    np.testing.assert_allclose(weights.grad[:2], reference.dp_grad(dag, theta[:2], SMOOTH))
    assert weights.grad[2].isnan().all()
    with pytest.raises(InputError, match=r"item 2 of an earlier call .*expected path of CompiledDAG.*has NaN"):
        dagdp.dp_value(dag, torch.tensor(theta), SMOOTH)
    dagdp.dp_value(dag, torch.tensor(theta), SMOOTH)  # it is told once
    dagdp.cuda.check()


def test_the_error_names_the_call_to_which_the_item_belongs(device, dag, theta):
    bad = torch.full((2, 2, 5), torch.nan)
    bad[0] = bad[1, 1] = 0.0
    dagdp.dp_jvp(dag, bad, torch.ones(5), SMOOTH)
    with pytest.raises(InputError, match=r"item 1, 0 of an earlier call \(the slope"):
        dagdp.cuda.check(torch.device("cpu"))


def test_each_call_is_checked_where_the_environment_asks(device, dag, monkeypatch):
    monkeypatch.setenv("DAGDP_CUDA_CHECK", "1")
    with pytest.raises(InputError, match="the one item of an earlier call"):
        dagdp.dp_value(dag, torch.full((5,), torch.nan), SMOOTH)


def test_a_capture_needs_a_call_before(device, dag, theta, monkeypatch):
    weights = torch.tensor(theta)
    monkeypatch.setattr(accelerator, "capturing", lambda: True)
    with pytest.raises(InputError, match="make the same call once before the capture"):
        dagdp.dp_value(dag, weights, SMOOTH)
    monkeypatch.setattr(accelerator, "capturing", lambda: False)
    dagdp.dp_value(dag, weights, SMOOTH)
    monkeypatch.setattr(accelerator, "capturing", lambda: True)
    dagdp.dp_value(dag, weights, SMOOTH)
    with pytest.raises(InputError, match="expected the same call once before the capture"):
        dagdp.dp_grad(dag, weights, SMOOTH)
    with pytest.raises(InputError, match="end= lies on the host"):
        dagdp.dp_value(dag, weights, SMOOTH, end=3)


def test_a_captured_launch_has_a_slot_of_its_own(device, dag, theta, monkeypatch):
    weights = torch.tensor(theta)
    dagdp.dp_value(dag, weights, SMOOTH)
    monkeypatch.setattr(accelerator, "capturing", lambda: True)
    dagdp.dp_value(dag, weights, SMOOTH)
    one, captured = (launched[3].fault for launched in device.launches)
    own = faults.flags_of(weights.device)
    assert captured.data_ptr() == own.slots.data_ptr() and one.data_ptr() == own.slots.data_ptr() + 4
    captured.fill_(2)  # as a replay would
    monkeypatch.setattr(accelerator, "capturing", lambda: False)
    with pytest.raises(InputError, match=r"item 1 of an earlier call \(a call in a CUDA graph\)"):
        dagdp.cuda.check()


def test_the_plan_is_sent_once_and_freed_with_its_graph(device, theta):
    dag = dagdp.compile(Graph.from_edges(*EDGES))
    dagdp.dp_value(dag, torch.tensor(theta), SMOOTH)
    first = device.launches[-1][3].plan.data_ptr()
    dagdp.dp_grad(dag, torch.tensor(theta), SMOOTH)
    assert device.launches[-1][3].plan.data_ptr() == first
    del dag
    assert not len(launches._ready)


def test_the_memory_of_a_launch(device, named, dag, theta):
    """Results and state come from theta's allocator; only entries that no edge reads need zeros."""
    given = {"own": torch.zeros(2, 5), "tied": torch.zeros(2, 4)}
    assert (dagdp.dp_grad(named, given, SMOOTH)["tied"][:, 3] == 0).all()
    value = dagdp.dp_value(dag, torch.tensor(theta), SMOOTH)
    arrays, state = device.launches[-1][3:5]
    assert arrays.values.data_ptr() == value.data_ptr() and arrays.gradient is None and arrays.slopes is None
    assert [part is None for part in state] == [True] * len(state)


def test_errors_of_shape_and_kind_come_at_once(device, dag):
    with pytest.raises(InputError, match=r"theta has shape \(2, 4\)"):
        dagdp.dp_value(dag, torch.zeros(2, 4), SMOOTH)
    with pytest.raises(InputError, match="theta is on cpu and z is on meta; expected one device"):
        dagdp.dp_jvp(dag, torch.zeros(5), torch.zeros(5, device="meta"), SMOOTH)
    with pytest.raises(InputError, match="expected real numbers"):
        dagdp.dp_value(dag, torch.zeros(5, dtype=torch.complex64), SMOOTH)
    with pytest.raises(dagdp.OmegaError):
        dagdp.dp_value(dag, torch.zeros(5), SquaredL2(1e-60))
    assert not device.launches


def test_missing_packages_are_named_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(InputError, match=r'pip install "dagdp\[cuda1[23]\]"'):
        accelerator.driver_of(torch.device("cuda", 7))
    assert not dagdp.cuda.is_available()


def test_a_batch_of_different_graphs(device):
    graphs = [Graph.from_edges(*EDGES), Graph.from_edges([0, 1], [1, 2])]
    batch = dagdp.compile_batch(graphs)
    theta = [np.random.default_rng(8).normal(size=(2, edges)) for edges in (5, 2)]
    weights = [torch.tensor(own, requires_grad=True) for own in theta]
    value = dagdp.dp_value(batch, weights, SMOOTH)
    (value * torch.tensor([1.0, 2.0])).sum().backward()
    np.testing.assert_allclose(value.detach(), dagdp.dp_value(batch, theta, SMOOTH))
    for k, (mine, other) in enumerate(zip(weights, dagdp.dp_grad(batch, theta, SMOOTH), strict=True)):
        np.testing.assert_allclose(mine.grad, other * (k + 1))
    (launched,) = device.launches
    assert launched[0].call.graphs == 2 and launched[0].call.batch == 2


def test_a_potential_that_graphs_share(device):
    def chain(T):
        return dagdp.graphs.linear_chain(T, 2)

    batch = dagdp.compile_batch([chain(2), chain(3)], shared=["transition", "start", "end"])
    rng = np.random.default_rng(9)
    theta = {
        "emission": [rng.normal(size=(T, 2)) for T in (2, 3)],
        **{name: rng.normal(size=shape) for name, shape in (("transition", (2, 2)), ("start", 2), ("end", 2))},
    }
    mine = {
        name: [torch.tensor(a) for a in own] if isinstance(own, list) else torch.tensor(own)
        for name, own in theta.items()
    }
    found, expected = (dagdp.dp_grad(batch, given, SMOOTH) for given in (mine, theta))
    np.testing.assert_allclose(found["transition"], expected["transition"])
    np.testing.assert_allclose(found["emission"][1], expected["emission"][1])
