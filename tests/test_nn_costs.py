"""Pairwise costs against the naive broadcast, their derivatives, and the memory they must not take."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from dagdp import InputError  # noqa: E402
from dagdp.nn.costs import cosine, euclidean, l1, negative_dot, squared_euclidean  # noqa: E402


def naive_cosine(a, b):
    norms = np.sqrt((a * a).sum(-1)), np.sqrt((b * b).sum(-1))
    product = norms[0] * norms[1]
    return 1 - np.divide((a * b).sum(-1), product, out=np.zeros(product.shape), where=product > 0)


NAIVE = {
    squared_euclidean: lambda a, b: ((a - b) ** 2).sum(-1),
    euclidean: lambda a, b: np.sqrt(((a - b) ** 2).sum(-1)),
    l1: lambda a, b: np.abs(a - b).sum(-1),
    cosine: naive_cosine,
    negative_dot: lambda a, b: -(a * b).sum(-1),
}
COSTS = list(NAIVE)
each_cost = pytest.mark.parametrize("cost", COSTS, ids=lambda f: f.__name__)


def series(*shape, seed=0, dtype=torch.float64, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_(**options)


@each_cost
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_equals_the_naive_broadcast(cost, batch):
    x, y = series(*batch, 7, 4).detach(), series(*batch, 5, 4, seed=1).detach()
    x[..., 2, :] = 0.0  # a frame of zeros
    y[..., 1, :] = x[..., 3, :]  # two equal frames
    want = NAIVE[cost](x.numpy()[..., :, None, :], y.numpy()[..., None, :, :])
    np.testing.assert_allclose(cost(x, y), want, rtol=1e-12, atol=1e-12)


@each_cost
def test_arrays_and_lists_follow_the_tensor_beside_them(cost):
    x, y = series(3, 4, dtype=torch.float32).detach(), series(5, 4, seed=1, dtype=torch.float32).detach()
    want = cost(x, y)
    for given in ((x.double().numpy(), y), (x, y.double().numpy()), (x.tolist(), y), (x, y.tolist())):
        got = cost(*given)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want)
    both = cost(x.double().numpy(), y.numpy())
    assert both.dtype == torch.float64
    torch.testing.assert_close(both.float(), want)


@pytest.mark.parametrize("wrong", [None, "abc", [[1.0], [1.0, 2.0]], torch.zeros(2, 2).to_sparse(), [torch.zeros(2)]])
def test_what_is_no_series_is_named(wrong):
    for given, name in (((wrong, torch.zeros(2, 2)), "x"), ((torch.zeros(2, 2), wrong), "y")):
        with pytest.raises(InputError, match=rf"^{name} (is|has) .*expected "):
            squared_euclidean(*given)


@each_cost
def test_derivatives_in_both_series(cost):
    x, y = series(2, 3, 2, requires_grad=True), series(2, 4, 2, seed=1, requires_grad=True)
    assert gradcheck(cost, (x, y))
    assert gradgradcheck(cost, (x, y))
    assert gradgradcheck(lambda x, y: cost(x, y) ** 2, (x, y))  # a second derivative that is not 0 for L1


@each_cost
def test_equal_and_zero_frames_have_finite_derivatives(cost):
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    (gx, gy) = torch.autograd.grad(cost(x, y).square().sum(), (x, y), create_graph=True)
    second = torch.autograd.grad(gx.square().sum() + gy.square().sum(), (x, y), materialize_grads=True)
    assert all(t.isfinite().all() for t in (gx, gy, *second))


@each_cost
def test_padding_may_hold_nan(cost):
    x, y = series(5, 3), series(4, 3, seed=1)
    clean = [t.detach().clone().requires_grad_() for t in (x, y)]
    padded = [torch.cat([t.detach(), torch.full((2, 3), torch.nan).double()]).requires_grad_() for t in (x, y)]
    cost(*clean).sum().backward()
    costs = cost(*padded)
    assert costs[5:].isnan().all() and costs[:, 4:].isnan().all()
    costs[:5, :4].sum().backward()
    for a, b in zip(padded, clean, strict=True):
        np.testing.assert_allclose(a.grad[: len(b)], b.grad, rtol=1e-12)
        assert (a.grad[len(b) :] == 0).all()


def test_squared_distances_near_zero_and_far_from_the_origin():
    x = (1e4 + series(6, 8, dtype=torch.float32)).detach()
    y = x + 1e-2
    exact = NAIVE[squared_euclidean](x.double().numpy()[:, None], y.double().numpy()[None])
    np.testing.assert_allclose(squared_euclidean(x, y), exact, atol=1e-4)
    assert (squared_euclidean(x, x) >= 0).all()


def test_cosine_of_tiny_and_huge_frames():
    x = torch.tensor([[3e-30, 4e-30], [3e30, 4e30]], requires_grad=True)
    values = cosine(x, torch.tensor([[4.0, 3.0]]))
    np.testing.assert_allclose(values.detach(), [[0.04], [0.04]], rtol=1e-5)
    values.sum().backward()
    assert x.grad.isfinite().all()


@each_cost
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types_are_computed_in_float32(cost, dtype):
    x, y = series(4, 3).detach().to(dtype).requires_grad_(), series(5, 3, seed=1).detach().to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        costs = cost(x, y)
    assert costs.dtype == torch.float32
    want = NAIVE[cost](x.detach().double().numpy()[:, None], y.double().numpy()[None])
    np.testing.assert_allclose(costs.detach(), want, rtol=1e-5, atol=1e-5)
    costs.sum().backward()
    assert x.grad.dtype == dtype


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, function, kinds, arguments=(), options=None):
        out = function(*arguments, **(options or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.elements = max(self.elements, storage)
        return out


@each_cost
def test_nothing_of_size_n_m_d_is_ever_made(cost):
    n, m, d = 30, 40, 20
    x, y = series(n, d, requires_grad=True), series(m, d, seed=1, requires_grad=True)
    with Largest() as largest:
        grads = torch.autograd.grad(cost(x, y).square().sum(), (x, y), create_graph=True)
        torch.autograd.grad(sum(g.square().sum() for g in grads), (x, y))
    assert n * m <= largest.elements <= n * m + (n + m) * d


MEMORY = """
import resource, torch
from dagdp import nn
x, y = (torch.randn(1, 900, 64, requires_grad=True) for _ in range(2))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nn.l1(x[:, :9], y[:, :9]).sum().backward()
before = peak()
nn.l1(x, y).sum().backward()
print((peak() - before) * 1024 / (900 * 900 * 4))
"""


def test_the_process_does_not_grow_by_n_m_d_either():
    """64 matrices would be N x M x D: taken one by one, small results between them kept the allocator from reuse."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20  # matrices


def test_what_is_no_pair_of_series_is_refused():
    with pytest.raises(InputError, match=r"shapes \(3,\) and \(4,\); expected .* pass x.unsqueeze\(-1\)"):
        l1(torch.zeros(3), torch.zeros(4))
    with pytest.raises(InputError, match=r"batch dimensions do not broadcast, at y: x \(2,\), y \(3,\)"):
        cosine(torch.zeros(2, 5, 1), torch.zeros(3, 4, 1))
    with pytest.raises(InputError, match=r"x has dtype torch\.complex64 .*; expected real numbers"):
        negative_dot(torch.zeros(5, 1, dtype=torch.complex64), torch.zeros(4, 1))
    with pytest.raises(InputError, match="x is on cpu and y is on meta; expected one device"):
        negative_dot(torch.zeros(5, 1), torch.zeros(4, 1, device="meta"))
