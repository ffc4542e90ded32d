"""Other packages, where installed: the same values where they are right, and where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import Graph, HardMax, Negentropy, Tsallis, compile, dp_grad, dp_value
from dagdp.graphs import dtw_grad, dtw_path, dtw_value, viterbi_grad, viterbi_value

torch = pytest.importorskip("torch")
from dagdp.nn import LinearChainCRF, squared_euclidean  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def test_pytorch_crf():
    """Transitions are [from, to] there. A tag that may not follow any other makes its gradients NaN."""
    torchcrf = pytest.importorskip("torchcrf")
    torch.manual_seed(0)
    ours, theirs = LinearChainCRF(4), torchcrf.CRF(4, batch_first=True)

    def share():
        with torch.no_grad():
            theirs.transitions.copy_(ours.transition.T)
            theirs.start_transitions.copy_(ours.start)
            theirs.end_transitions.copy_(ours.end)

    emission, tags, lengths = torch.randn(3, 5, 4), torch.randint(0, 4, (3, 5)), torch.tensor([5, 2, 4])
    mask = torch.arange(5) < lengths[:, None]
    share()
    want = theirs(emission, tags, mask=mask, reduction="none")
    torch.testing.assert_close(ours(emission, tags, lengths), want)
    best = [path[:n] for path, n in zip(ours.decode(emission, lengths).tolist(), lengths, strict=True)]
    assert best == theirs.decode(emission, mask=mask)
    with torch.no_grad():
        ours.transition[1] = -torch.inf  # tag 1 may begin a sequence, and never follows
    share()
    leaf, other = emission.clone().requires_grad_(), emission.clone().requires_grad_()
    ours(leaf, torch.zeros_like(tags)).sum().backward()
    theirs(other, torch.zeros_like(tags)).sum().backward()
    assert torch.isfinite(leaf.grad).all() and torch.isnan(other.grad).any()


@pytest.mark.parametrize("name", ["entmax15", "sparsemax"])
def test_entmax(name):
    """One node with parallel edges is their mapping. Its second derivatives are NaN where a weight is 0."""
    entmax = pytest.importorskip("entmax")
    omega, dag = Tsallis(1.5 if name == "entmax15" else 2.0), compile(Graph.from_edges([0] * 6, [1] * 6))
    theirs = getattr(entmax, name)
    x = torch.randn(8, 6, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    weights = dp_grad(dag, x, omega)
    assert (weights == 0).any()
    torch.testing.assert_close(weights, theirs(x, dim=-1))
    z = torch.randn_like(x)
    torch.testing.assert_close(
        torch.autograd.grad((weights * z).sum(), x), torch.autograd.grad((theirs(x, dim=-1) * z).sum(), x)
    )


def test_entmax_second_derivative_of_the_loss():
    """Their loss has the right gradient, but its Hessian is NaN for sparse weights: ours is the value's."""
    entmax = pytest.importorskip("entmax")
    dag = compile(Graph.from_edges([0] * 6, [1] * 6))
    x = torch.randn(6, dtype=torch.float64, generator=torch.manual_seed(0)) * 3
    x.requires_grad_()
    (first,) = torch.autograd.grad(dp_value(dag, x, Tsallis(1.5)), x, create_graph=True)
    torch.testing.assert_close(first, entmax.entmax15(x, dim=-1))
    assert torch.autograd.gradgradcheck(lambda t: dp_value(dag, t, Tsallis(1.5)), (x,))
    leaf = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(entmax.entmax15(leaf, dim=-1).square().sum(), leaf, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), leaf)
    assert torch.isnan(bend).any()


def test_soft_dtw():
    """pysdtw: the value and gradient agree, to its float32; its Hessian product is wrong without an error."""
    pysdtw = pytest.importorskip("pysdtw")
    torch.manual_seed(0)
    x, y = torch.randn(1, 6, 2, dtype=torch.float64), torch.randn(1, 5, 2, dtype=torch.float64)
    theirs = pysdtw.SoftDTW(gamma=1.0, use_cuda=False)

    def ours(x):
        return dtw_value((x[:, :, None] - y[:, None]).square().sum(-1), Negentropy(1.0)).sum()

    def other(x):
        return theirs(x, y).sum()

    z, products = torch.randn_like(x), []
    for function in (ours, other):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(function(leaf), leaf, create_graph=True)
        products.append((function(x), first.detach(), torch.autograd.grad((first * z).sum(), leaf)[0]))
    torch.testing.assert_close(products[0][:2], products[1][:2], atol=1e-4, rtol=1e-5)
    step = 1e-5
    exact = (torch.func.grad(ours)(x + step * z) - torch.func.grad(ours)(x - step * z)) / (2 * step)
    torch.testing.assert_close(products[0][2], exact, atol=1e-6, rtol=1e-6)
    assert (products[1][2] - exact).norm() > 0.1 * exact.norm()


def test_tslearn():
    """The value, its gradients, and hard DTW's path agree; the Hessian product of its torch loss is wrong, silently."""
    metrics = pytest.importorskip("tslearn.metrics")
    torch.manual_seed(0)
    x, y = torch.randn(6, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    cost = squared_euclidean(x, y)
    for gamma in (0.1, 1.0):
        assert dtw_value(cost, Negentropy(gamma)).item() == pytest.approx(metrics.soft_dtw(x.numpy(), y.numpy(), gamma))
        soft = metrics.SoftDTW(cost.numpy(), gamma)
        soft.compute()
        np.testing.assert_allclose(dtw_grad(cost, Negentropy(gamma)), soft.grad(), atol=1e-12)
    path, distance = metrics.dtw_path(x.numpy(), y.numpy())
    assert dtw_value(cost, HardMax()).item() == pytest.approx(distance**2)  # theirs is rooted
    assert [tuple(pair) for pair in dtw_path(cost).tolist() if pair[0] >= 0] == path

    theirs = metrics.SoftDTWLossPyTorch(gamma=1.0)
    values, firsts, seconds, z = [], [], [], torch.randn_like(x)
    for loss in (
        lambda a: dtw_value(squared_euclidean(a, y), Negentropy(1.0)),
        lambda a: theirs(a[None], y[None]).sum(),
    ):
        leaf = x.clone().requires_grad_()
        values.append(loss(leaf))
        (first,) = torch.autograd.grad(values[-1], leaf, create_graph=True)
        firsts.append(first.detach())
        seconds.append(torch.autograd.grad((first * z).sum(), leaf)[0])
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(firsts[0], firsts[1], atol=1e-5, rtol=1e-5)  # single precision inside
    step = 1e-5
    slope = torch.func.grad(lambda a: dtw_value(squared_euclidean(a, y), Negentropy(1.0)))
    exact = (slope(x + step * z) - slope(x - step * z)) / (2 * step)
    torch.testing.assert_close(seconds[0], exact, atol=1e-6, rtol=1e-6)
    assert (seconds[1] - exact).norm() > 0.1 * exact.norm(), (seconds[1] - exact).norm() / exact.norm()


def test_torch_struct():
    """Its linear chain indexes [t, to, from] as ours does; a chain without any path gets a finite value there."""
    torch_struct = pytest.importorskip("torch_struct")
    theta = torch.randn(2, 4, 3, 3, generator=torch.manual_seed(0))
    crf = torch_struct.LinearChainCRF(theta)
    torch.testing.assert_close(viterbi_value(theta, initial="all"), crf.partition)
    torch.testing.assert_close(viterbi_grad(theta, initial="all"), crf.marginals)
    none = torch.full((1, 3, 2, 2), -torch.inf)
    assert viterbi_value(none, initial="all").item() == -torch.inf
    assert torch.isfinite(torch_struct.LinearChainCRF(none).partition)
