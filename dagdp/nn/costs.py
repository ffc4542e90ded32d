"""Pairwise costs between two series, for DTW: [*batch, N, D] and [*batch, M, D] to [*batch, N, M].

No cost stores N x M x D numbers, forward or backward. Each can be differentiated twice in both series. Results are
tensors. An array beside a tensor is cast to the dtype and device of the tensor. Half types are computed and returned in
float32, under autocast too: differences of half-precision products are mostly rounding errors. A frame with NaN or an
infinity gets NaN for all its costs, and gradient 0. So padding of a ragged batch may hold NaN, which
`dagdp.graphs.dtw_value(..., lengths=)` never reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dagdp.engine.inputs import broadcast
from dagdp.errors import InputError
from dagdp.nn.autograd.tensors import beside, on_one_device, real_tensor

Cost = Callable[[Tensor, Tensor], Tensor]


def squared_euclidean(x: Tensor, y: Tensor) -> Tensor:
    """||x_i - y_j||² [*batch, N, M] of x [*batch, N, D] and y [*batch, M, D]; by one matrix product, never negative.

    Both series are centred first, on their mean, which is a constant to autograd: ||x||² + ||y||² - 2<x, y> loses as
    many digits as the norms exceed the difference. The error is about eps (||x_i||² + ||y_j||²) of centred frames.

    >>> squared_euclidean(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0], [2.0]])).tolist()
    [[0.0, 1.0, 4.0], [4.0, 1.0, 0.0]]
    """

    def cost(x: Tensor, y: Tensor) -> Tensor:
        frames = torch.cat([x.detach(), y.detach()], -2)
        centre = frames.mean(-2, keepdim=True) if frames.shape[-2] else 0.0
        x, y = x - centre, y - centre
        squares = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
        return _lifted(squares - 2.0 * (x @ y.mT))

    return _between(cost, x, y)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """||x_i - y_j|| [*batch, N, M] of x [*batch, N, D] and y [*batch, M, D]; derivative 0 at equal frames.

    From differences of features, and no matrix product: near frames keep all digits.

    >>> euclidean(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[5.0, 0.0]]
    """

    def cost(x: Tensor, y: Tensor) -> Tensor:
        squares = _Squares.apply(x, y)
        apart = squares > 0.0
        return torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), 0.0)

    return _between(cost, x, y)


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Σ_d |x_id - y_jd| [*batch, N, M] of x [*batch, N, D] and y [*batch, M, D]; derivative 0 at equal entries.

    >>> l1(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [[3.0, 0.0]]
    """
    return _between(_Manhattan.apply, x, y)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """1 - <x_i, y_j> / (||x_i|| ||y_j||) [*batch, N, M] of x [*batch, N, D] and y [*batch, M, D], in [0, 2].

    A frame of zeros has cost 1 to every frame, also to another frame of zeros, and gradient 0.

    >>> cosine(torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])).tolist()
    [[0.0, 1.0, 2.0, 1.0]]
    """
    return _between(lambda x, y: _lifted(1.0 - _directions(x) @ _directions(y).mT), x, y)


def negative_dot(x: Tensor, y: Tensor) -> Tensor:
    """-<x_i, y_j> [*batch, N, M] of x [*batch, N, D] and y [*batch, M, D]: DTW, which minimises, finds large products.

    >>> negative_dot(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0], [0.0, -1.0]])).tolist()
    [[-5.0, 2.0]]
    """
    return _between(lambda x, y: -(x @ y.mT), x, y)


def _between(cost: Cost, x: Any, y: Any) -> Tensor:
    """The cost of checked series: at least float32, expanded to one batch, NaN for frames that are not finite."""
    given = [series for series in (x, y) if isinstance(series, Tensor)]
    x, y = (
        beside(series, name, given[0]) if given else real_tensor(series, name) for name, series in (("x", x), ("y", y))
    )
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"the series have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected [*batch, N, D] and [*batch, M, D] "
            "with the same D. A series of plain numbers has D = 1: pass x.unsqueeze(-1)"
        )
    on_one_device([("x", x), ("y", y)])
    batch = broadcast([("x", tuple(x.shape[:-2])), ("y", tuple(y.shape[:-2]))])
    real = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = (series.to(real).expand(*batch, *series.shape[-2:]) for series in (x, y))
    sound_x, sound_y = x.isfinite().all(-1, keepdim=True), y.isfinite().all(-1, keepdim=True)
    with torch.autocast(x.device.type, enabled=False):
        costs = cost(torch.where(sound_x, x, 0.0), torch.where(sound_y, y, 0.0))
    return torch.where(sound_x & sound_y.mT, costs, torch.nan)


def _lifted(cost: Tensor) -> Tensor:
    """Costs that rounding made negative set to 0, with the derivatives of the formula before that."""
    return cost + (cost.clamp(min=0.0) - cost).detach()


def _directions(x: Tensor) -> Tensor:
    """x / ||x||, and 0 for a frame of zeros. Scaled first, so that squares of tiny and huge numbers are in range."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    some = largest > 0.0
    scaled = torch.where(some, x / torch.where(some, largest, 1.0), 1.0)
    return torch.where(some, scaled / scaled.norm(dim=-1, keepdim=True), 0.0)


class _Squares(torch.autograd.Function):
    """||x_i - y_j||² of differences, with derivatives by matrix products; torch's cdist has no second derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        of_x = g.sum(-1, keepdim=True) * x - g @ y
        of_y = g.sum(-2).unsqueeze(-1) * y - g.mT @ x
        return 2.0 * of_x, 2.0 * of_y


class _Manhattan(torch.autograd.Function):
    """torch.cdist(p=1) with a second derivative; torch's own has only the first."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, p=1.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return _Pull.apply(g, x, y), _Pull.apply(g.mT, y, x)


class _Pull(torch.autograd.Function):
    """Σ_j g_ij sign(x_id - y_jd), [*batch, N, D]: linear in g, constant in x and y between kinks."""

    generate_vmap_rule = True

    @staticmethod
    def forward(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        # torch's own first derivative of cdist; the distances, its last argument, are not read for p = 1
        return torch.ops.aten._cdist_backward(g.contiguous(), x.contiguous(), y.contiguous(), 1.0, g.contiguous())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor, None, None]:
        x, y = ctx.saved_tensors
        total = x.new_zeros(*x.shape[:-1], y.shape[-2])
        for d, signs in enumerate(_signs(x, y)):
            total = total + G[..., d, None] * signs
        return total, None, None


def _signs(x: Tensor, y: Tensor) -> Any:
    """sign(x_id - y_jd) [*batch, N, M] for each feature d in turn."""
    for d in range(x.shape[-1]):
        yield (x[..., :, None, d] - y[..., None, :, d]).sign()


#: The costs that `dagdp.graphs.dtw_value(x=, y=, cost=)` knows by name.
NAMED: dict[str, Cost] = {cost.__name__: cost for cost in (squared_euclidean, euclidean, l1, cosine, negative_dot)}
