"""The torch backend against the compiled kernels, against finite differences, and where it must refuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import (  # noqa: E402
    BUNDLED,
    GRAPHS,
    IDS,
    OPERATORS,
    SMALL,
    combinations,
    graph_of,
    over_operators,
    random_theta,
)
from hypothesis import given, settings  # noqa: E402
from oracles import row_solver  # noqa: E402
from strategies import problems  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map  # noqa: E402

import dagdp  # noqa: E402
from dagdp import (  # noqa: E402
    DerivativeError,
    Graph,
    HardMax,
    InputError,
    Negentropy,
    Omega,
    OmegaError,
    SquaredL2,
    Tsallis,
    reference,
)
from dagdp.graphs import linear_chain, trellis  # noqa: E402
from dagdp.nn import Learnable  # noqa: E402
from dagdp.nn.unrolled import recursion  # noqa: E402
from dagdp.nn.unrolled.max_omega import max_omega  # noqa: E402

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def blocks_of(theta) -> list:
    return [torch.tensor(array) for array in (theta.values() if isinstance(theta, dict) else [theta])]


def assert_same(got, want) -> None:
    want = list(want.values()) if isinstance(want, dict) else [want]
    for tensor, array in zip(got, want, strict=True):
        np.testing.assert_allclose(tensor.numpy(), array, **CLOSE)


def assert_parity(dag, theta, z, omega, **options) -> None:
    """Value, gradient, slope and Hessian product equal those of kernels under Negentropy, else the reference's."""
    other = dagdp if isinstance(omega, Negentropy) else reference
    value, E = recursion.gradient(dag, blocks_of(theta), omega, **options)
    slope, change = recursion.hessian_product(dag, blocks_of(theta), blocks_of(z), omega, **options)
    want_slope = reference.dp_jvp(dag, theta, z, omega, **options)
    np.testing.assert_allclose(value.numpy(), other.dp_value(dag, theta, omega, **options), **CLOSE)
    np.testing.assert_allclose(slope.numpy(), want_slope, **CLOSE)
    assert_same(E, other.dp_grad(dag, theta, omega, **options))
    assert_same(change, other.dp_hvp(dag, theta, z, omega, **options))


@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
@pytest.mark.parametrize("name", SMALL)
def test_parity_on_graphs(name, omega, minimize):
    dag, rng = dagdp.compile(GRAPHS[name]()), np.random.default_rng(7)
    theta, z = (random_theta(dag.graph, rng, (2,)) for _ in range(2))
    assert_parity(dag, theta, z, omega, minimize=minimize)


@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
@combinations(lambda omega: isinstance(omega, Negentropy), omega=OPERATORS[:4])
def test_chosen_by_name_in_the_six_functions(omega, minimize):
    """`backend="torch"` gives what the compiled kernels give, in the user's form and dtype."""
    dag, rng = dagdp.compile(linear_chain(4, 3, ragged=True)), np.random.default_rng(4)
    end = dag.graph.num_nodes - torch.tensor([1, 3])
    theta, z = (
        {name: torch.tensor(array) for name, array in random_theta(dag.graph, rng, (2,)).items()} for _ in range(2)
    )
    theta["start"] = theta["start"][0].float()  # shared, and of another type
    for name in ("dp_value", "dp_grad", "dp_value_and_grad", "dp_jvp", "dp_hvp", "dp_jvp_and_hvp"):
        given = (theta, z) if "jvp" in name or "hvp" in name else (theta,)
        options = {"minimize": minimize, "end": end}
        want = getattr(dagdp, name)(dag, *given, omega, **options)
        got = getattr(dagdp, name)(dag, *given, omega, **options, backend="torch")
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
        if name == "dp_grad":
            assert {k: v.dtype for k, v in got.items()} == {k: v.dtype for k, v in theta.items()}


@over_operators([Negentropy(), SquaredL2(), Tsallis(1.5)])
def test_a_learnt_temperature(omega):
    dag, rng = dagdp.compile(trellis(3, 2)), np.random.default_rng(4)
    theta, z = torch.tensor(rng.normal(size=(2, 3, 2, 2))), torch.tensor(rng.normal(size=(2, 3, 2, 2)))
    results = []
    for backend_name in (None, "torch"):
        gamma = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
        learnt = Learnable(omega, gamma=gamma)
        value, E = dagdp.dp_value_and_grad(dag, theta, learnt, backend=backend_name)
        by_gamma = torch.autograd.grad(value.sum() + (E * z).sum(), gamma)
        product = dagdp.dp_jvp_and_hvp(dag, theta, z, learnt, backend=backend_name)
        results.append([t.detach() for t in (value, E, *by_gamma, *product)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def test_a_learnt_alpha_is_refused():
    learnt = Learnable(Tsallis(), alpha=torch.tensor(1.5))
    with pytest.raises(OmegaError, match="backend='torch' has no derivative by it"):
        dagdp.dp_value(dagdp.compile(trellis(3, 2)), torch.zeros(3, 2, 2), learnt, backend="torch")


def test_the_choice_is_explicit():
    dag = dagdp.compile(trellis(3, 2))
    with pytest.raises(InputError, match=r"backend is 'cuda'; expected None \(compiled kernels\) or 'torch'"):
        dagdp.dp_value(dag, torch.zeros(3, 2, 2), backend="cuda")
    with pytest.raises(InputError, match=r"theta is no tensor; pass torch\.as_tensor\(theta\)"):
        dagdp.dp_value(dag, np.zeros((3, 2, 2)), backend="torch")
    with pytest.raises(InputError, match="runs on torch's own threads"):
        dagdp.dp_grad(dag, torch.zeros(3, 2, 2), threads=2, backend="torch")
    with pytest.raises(OmegaError, match="expected an operator such as Negentropy"):
        dagdp.dp_hvp(dag, torch.zeros(3, 2, 2), torch.zeros(3, 2, 2), Negentropy, backend="torch")
    half = torch.zeros(2, 3, 2, 2, dtype=torch.bfloat16)
    assert dagdp.dp_grad(dag, half, backend="torch").dtype == torch.bfloat16


@settings(max_examples=15)
@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
@given(problem=problems())
def test_parity_on_random_dags_with_ties_and_forbidden_edges(problem, omega):
    edges, weights = problem
    dag = dagdp.compile(graph_of(edges))
    assert_parity(dag, weights, np.linspace(-1, 2, weights.size), omega)


@pytest.mark.parametrize("omega", OPERATORS[:4], ids=IDS[:4])
def test_parity_on_a_wide_level_and_on_skips(omega):
    rng = np.random.default_rng(5)
    parents = rng.integers(0, 60, 400)
    children = parents + 1 + rng.integers(0, 60, 400)  # edges over many levels
    for graph in (GRAPHS["wide"](), Graph.from_edges(parents, children, starts=[0], ends=[int(children.max())])):
        dag = dagdp.compile(graph)
        assert_parity(dag, *(random_theta(graph, rng, (2, 2)) for _ in range(2)), omega)


def test_parity_for_shared_blocks_and_ragged_ends():
    dag, rng = dagdp.compile(linear_chain(5, 3, ragged=True)), np.random.default_rng(1)
    theta = random_theta(dag.graph, rng, (3,))
    theta["transition"] = theta["transition"][0]  # shared: its gradient is summed over the batch
    z = {name: rng.normal(size=array.shape) for name, array in theta.items()}
    z["emission"] = z["emission"][0]  # a direction may be shared where theta is not
    ends = dag.graph.num_nodes - 5 + np.array([5, 1, 3]) - 1
    theta["emission"][1, 1:] = theta["emission"][2, 3:] = np.nan  # padding
    assert_parity(dag, theta, z, Tsallis(1.5), end=ends)
    assert_parity(dag, theta, z, Negentropy(), end=ends)


def test_end_alone_gives_the_batch_and_names_work():
    graph = Graph()
    for parent, child in ["ab", "bc", "ac", "cd"]:
        graph.add_edge(parent, child)
    dag, theta = dagdp.compile(graph), torch.arange(4.0, dtype=torch.float64)
    value = recursion.value(dag, [theta], HardMax(), end=["c", "d", "b"])
    assert value.tolist() == [2.0, 5.0, 0.0]
    assert recursion.value(dag, [theta], HardMax(), end="c").item() == 2.0


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_one_row_against_the_oracle(omega):
    rows = np.random.default_rng(0).normal(size=(40, 5)) * 2
    rows[3:9, 1] = -np.inf
    rows[9, :] = -np.inf
    value = max_omega(torch.tensor(rows), omega).numpy()
    np.testing.assert_allclose(value, [row_solver(omega)(row)[0] for row in rows], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("omega", OPERATORS[1:], ids=IDS[1:])
def test_first_and_second_derivatives(omega):
    dag = dagdp.compile(trellis(3, 2))
    theta = torch.tensor(random_theta(dag.graph, np.random.default_rng(3), (2,)), requires_grad=True)

    def value(theta):
        return recursion.value(dag, [theta], omega, end=[dag.graph.num_nodes - 1] * 2)

    assert gradcheck(value, (theta,))
    if not isinstance(omega, SquaredL2):  # kinks are met by finite differences too often
        assert gradgradcheck(value, (theta,))


def test_gradient_stays_differentiable_where_it_should():
    dag = dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    theta = torch.tensor([1.0, 2.5, 2.0], dtype=torch.float64, requires_grad=True)
    _, (E,) = recursion.gradient(dag, [2 * theta], Negentropy())
    (E[0] ** 2).backward()
    want = 2 * E[0].item() * 2 * dagdp.dp_hvp(dag, 2 * theta.detach().numpy(), [1.0, 0.0, 0.0])
    np.testing.assert_allclose(theta.grad.numpy(), want, atol=1e-12)
    with torch.no_grad():
        assert not recursion.gradient(dag, [2 * theta], Negentropy())[1][0].requires_grad


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_forbidden_edges_and_infeasible_items(omega):
    dag = dagdp.compile(trellis(3, 2))
    theta = np.zeros((2, 3, 2, 2))
    theta[0, 1, 0, 1] = theta[1, 2] = -np.inf  # one edge of item 0; every edge into the last step of item 1
    leaf, z = torch.tensor(theta), torch.arange(12.0, dtype=torch.float64).reshape(3, 2, 2)
    value, (E,) = recursion.gradient(dag, [leaf], omega)
    slope, (change,) = recursion.hessian_product(dag, [leaf], [z], omega)
    assert value[1] == -torch.inf and value[0].isfinite()
    assert E[0, 1, 0, 1] == 0 and (E[1] == 0).all() and (change[1] == 0).all()
    assert E.isfinite().all() and change.isfinite().all() and slope[1] == 0


@pytest.mark.parametrize("end", [0, 2, [0, 2]], ids=["start", "no path", "both"])
def test_values_without_edges_have_gradient_0(end):
    dag = dagdp.compile(Graph.from_edges([0, 3], [1, 2], starts=[0], ends=[1, 2]))
    theta = torch.ones(2, dtype=torch.float64, requires_grad=True)
    value, flow = dagdp.dp_value_and_grad(dag, theta, end=end, backend="torch")
    assert set(value.reshape(-1).tolist()) <= {0.0, -np.inf} and not flow.any()
    assert torch.autograd.grad(value.sum(), theta)[0].tolist() == [0, 0]
    assert not dagdp.dp_hvp(dag, theta, theta, end=end, backend="torch").any()


def test_what_a_path_reads_is_checked():
    dag = dagdp.compile(trellis(3, 2))
    theta = torch.zeros(2, 3, 2, 2)
    theta[1, 2, 0, 1] = torch.nan
    with pytest.raises(InputError, match=r"theta\[1, 2, 0, 1\] is nan; expected a number"):
        recursion.value(dag, [theta], Negentropy())
    theta[1, 2, 0, 1] = torch.inf
    with pytest.raises(InputError, match=r"is inf; expected less than infinity"):
        recursion.value(dag, [theta], Negentropy())
    theta[:, 0, :, 1] = torch.nan  # no edge reads it
    assert recursion.value(dag, [theta], Negentropy(), minimize=True).isfinite().all()


def test_a_third_derivative_raises():
    x = torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)
    (q,) = torch.autograd.grad(max_omega(x, Tsallis(1.5)), x, create_graph=True)
    (s,) = torch.autograd.grad(q[0], x, create_graph=True)
    with pytest.raises(DerivativeError, match="third derivative through Tsallis"):
        torch.autograd.grad(s[0], x)


@dataclass(frozen=True)
class Branching(Omega):
    """Written against the rules: an if block on y."""

    gamma: float = 1.0

    def link(self, y):
        if y > 0.0:
            return y
        return 0.0

    slope = conjugate = link


def test_an_operator_that_cannot_run_on_tensors_says_so():
    with pytest.raises(OmegaError, match=r"Branching\.link does not run on tensors .*conditional expressions"):
        max_omega(torch.zeros(3), Branching())


def test_an_operator_without_source_says_so():
    space = {"Omega": Omega, "dataclass": dataclass}
    exec("@dataclass(frozen=True)\nclass Hidden(Omega):\n gamma: float = 1.0\n def link(self, y): return y\n"
         " slope = conjugate = link", space)  # fmt: skip
    with pytest.raises(OmegaError, match=r"source text of Hidden\.link was not found.*define the operator in a file"):
        max_omega(torch.zeros(3), space["Hidden"]())


def test_float32_stays_float32():
    dag = dagdp.compile(trellis(4, 3))
    theta = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    for omega in OPERATORS:
        value, (E,) = recursion.gradient(dag, [theta], omega)
        assert value.dtype == E.dtype == torch.float32
        np.testing.assert_allclose(E, reference.dp_grad(dag, theta.numpy(), omega), atol=2e-5)


@pytest.fixture
def device() -> str:
    """The CUDA device, if there is one."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return "cuda"


@pytest.mark.gpu
@over_operators(BUNDLED)
@pytest.mark.parametrize("name", SMALL)
def test_on_a_device_as_on_the_cpu(name, omega, device):
    """The six functions give, on the device that theta is on, what the compiled kernels give."""
    dag, rng = dagdp.compile(GRAPHS[name]()), np.random.default_rng(7)
    given = [random_theta(dag.graph, rng, (2,)) for _ in range(2)]
    there, here = ([tree_map(lambda a, to=to: torch.tensor(a, device=to), g) for g in given] for to in (device, "cpu"))
    for function in ("dp_value", "dp_grad", "dp_value_and_grad", "dp_jvp", "dp_hvp", "dp_jvp_and_hvp"):
        count = 2 if "jvp" in function or "hvp" in function else 1
        got = getattr(dagdp, function)(dag, *there[:count], omega, backend="torch")
        assert all(leaf.device.type == device for leaf in tree_leaves(got))
        want = getattr(dagdp, function)(dag, *here[:count], omega)
        torch.testing.assert_close(tree_map(torch.Tensor.cpu, got), want, **CLOSE)


@pytest.mark.gpu
def test_a_ragged_batch_trains_on_a_device(device):
    """The gradient reaches the tensors on the device, a padding of NaN is not read, two backward passes agree."""
    dag, rng = dagdp.compile(linear_chain(6, 3, ragged=True)), np.random.default_rng(4)
    theta = {name: torch.tensor(array) for name, array in random_theta(dag.graph, rng, (2,)).items()}
    theta["emission"][1, 4:] = torch.nan
    end = dag.graph.num_nodes - torch.tensor([1, 3])
    results = []
    for to, chosen in (("cpu", None), (device, "torch")):
        leaves = {name: tensor.to(to).requires_grad_() for name, tensor in theta.items()}
        value = dagdp.dp_value(dag, leaves, end=end.to(to), backend=chosen)
        first = torch.autograd.grad(value.sum(), list(leaves.values()), create_graph=True)
        second = torch.autograd.grad(sum((g**2).nansum() for g in first), list(leaves.values()))
        results.append([tensor.detach().cpu() for tensor in (value, *first, *second)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


@pytest.mark.gpu
def test_gradients_follow_a_copy_to_the_cpu(device):
    dag, theta = dagdp.compile(trellis(3, 2)), torch.rand(3, 2, 2, device=device, requires_grad=True)
    (E,) = torch.autograd.grad(dagdp.dp_value(dag, theta.cpu()), theta)
    assert E.device == theta.device
    torch.testing.assert_close(E, dagdp.dp_grad(dag, theta.detach(), backend="torch"), rtol=1e-5, atol=1e-6)
