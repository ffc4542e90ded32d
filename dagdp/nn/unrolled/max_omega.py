"""max_Ω of tensor rows in torch operations, for every operator, from its scalar functions in `dagdp.omega`.

The three scalar functions of an operator are rewritten to work on tensors: `math` becomes torch, and a conditional
expression computes both sides and selects elementwise. Autograd does not differentiate their operations, since the side
that is not selected may be NaN: the derivative of `conjugate` is `link`, and the derivative of `link` is `slope`. First
and second derivatives need no more.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dagdp.errors import DerivativeError, OmegaError
from dagdp.omega import POINT_FUNCTIONS, Omega


def max_omega(x: Tensor, omega: Omega) -> Tensor:
    """max_Ω over the last axis: [..., d] -> [...]; twice differentiable, -inf entries are never taken.

    max_Ω(x) = min_τ τ + γ Σ ω*((x - τ)/γ) (docs/maths.md). τ is computed without autograd and then gets its derivative,
    τ̇ = Σ s ẋ / Σ s, which is enough for second derivatives of the value. A row of only -inf has value -inf and
    gradient 0.

    >>> import dagdp
    >>> max_omega(torch.tensor([0.5, 1.0, -torch.inf], dtype=torch.float64), dagdp.SquaredL2(1.0)).item()
    0.5625
    """
    edges = x > -torch.inf
    reached = edges.any(-1, keepdim=True)
    m = torch.where(reached, x.detach().amax(-1, keepdim=True), 0.0)
    y = (torch.where(edges, x, m) - m) / omega.gamma
    if omega.solver == "first":
        first = torch.where(edges, y, -torch.inf).max(-1, keepdim=True)  # ties: the first entry gets the gradient
        value = first.values * omega.gamma
    elif omega.solver == "exponential":
        entries = torch.where(edges | ~reached, y, -torch.inf)
        value = omega.gamma * (entries.logsumexp(-1, keepdim=True) + (1.0 - omega.corner))
    else:
        a, s = _newton(y, edges, omega)
        share = s / torch.where(reached, s.sum(-1, keepdim=True), 1.0)
        a = a + (share * (y - y.detach())).sum(-1, keepdim=True)
        value = omega.gamma * (a + _sum("conjugate", y - a, edges, omega))
    return torch.where(reached, m + value, -torch.inf).squeeze(-1)


@torch.no_grad()
def _newton(y: Tensor, edges: Tensor, omega: Omega) -> tuple[Tensor, Tensor]:
    """(a = (τ - m)/γ [..., 1], s = slope(y - a) [..., d]). Newton begins at -corner, a bound below, and a rises."""
    a = torch.full_like(y[..., :1], -omega.corner)
    tolerance = 8.0 * torch.finfo(y.dtype).eps
    for _ in range(y.shape[-1] + 64):
        total, slope = _sum("link", y - a, edges, omega), _sum("slope", y - a, edges, omega)
        step = torch.where(total > 1.0, (total - 1.0) / slope, 0.0)
        a = a + step
        if bool((step <= tolerance).all()):
            break
    return a, _at("slope", y - a, edges, omega)


def _at(name: str, u: Tensor, edges: Tensor, omega: Omega) -> Tensor:
    return torch.where(edges, _point(u, omega, POINT_FUNCTIONS.index(name)), 0.0)


def _sum(name: str, u: Tensor, edges: Tensor, omega: Omega) -> Tensor:
    return _at(name, u, edges, omega).sum(-1, keepdim=True)


class _Point(torch.autograd.Function):
    """conjugate, link or slope (order 0, 1, 2) at every entry; the derivative of each is the next one."""

    @staticmethod
    def forward(u: Tensor, omega: Omega, order: int) -> Tensor:
        function = on_tensors(type(omega), POINT_FUNCTIONS[order])  # type: ignore[arg-type]
        try:
            values = function(omega, u)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise OmegaError(
                f"{type(omega).__name__}.{POINT_FUNCTIONS[order]} does not run on tensors ({error}); the torch backend "
                "expects arithmetic, math.* of tensors and conditional expressions (a if y > 0.0 else b)"
            ) from error
        return torch.as_tensor(values, dtype=u.dtype, device=u.device).expand_as(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Omega, int], output: Tensor) -> None:
        u, ctx.omega, ctx.order = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.order + 1 == len(POINT_FUNCTIONS):
            raise DerivativeError(
                f"a third derivative through {ctx.omega!r} was asked for; an operator defines its first two "
                "(link, slope): call backward at most twice, and without create_graph the second time"
            )
        (u,) = ctx.saved_tensors
        return gradient * _point(u, ctx.omega, ctx.order + 1), None, None


def _point(u: Tensor, omega: Omega, order: int) -> Tensor:
    return _Point.apply(u, omega, order)


@functools.cache
def on_tensors(owner: type[Omega], name: str) -> Callable[[Any, Tensor], Any]:
    """An operator's scalar method as a function (self, tensor) -> tensor or number, made from its source text.

    >>> from dagdp import Tsallis
    >>> link = on_tensors(Tsallis, "link")
    >>> link(Tsallis(2.0), torch.tensor([-9.0, 0.0, 0.5])).tolist()
    [0.0, 0.5, 1.0]
    """
    method = getattr(owner, name)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    except (OSError, TypeError) as error:
        raise OmegaError(
            f"the source text of {owner.__name__}.{name} was not found, and the torch backend is made from it; "
            "define the operator in a file"
        ) from error
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list, definition.returns = [], None
    for argument in definition.args.args:
        argument.annotation = None
    tree = ast.fix_missing_locations(_Choices(definition.args.args[1].arg).visit(tree))
    outer = inspect.getclosurevars(method).nonlocals
    names = {**method.__globals__, **outer, "math": torch, "_choose": _choose}
    exec(compile(tree, f"<{owner.__name__} on tensors>", "exec"), names)
    return names[definition.name]


class _Choices(ast.NodeTransformer):
    """`a if test else b` becomes `_choose(test, lambda: a, lambda: b, y)`."""

    def __init__(self, argument: str) -> None:
        self.argument = argument

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        sides = [ast.Lambda(_no_arguments(), side) for side in (node.body, node.orelse)]
        call = [node.test, *sides, ast.Name(self.argument, ast.Load())]
        return ast.Call(ast.Name("_choose", ast.Load()), call, [])


def _no_arguments() -> ast.arguments:
    return ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def _choose(test: Any, yes: Callable[[], Any], no: Callable[[], Any], like: Tensor) -> Any:
    if not isinstance(test, Tensor):
        return yes() if test else no()
    sides = (torch.as_tensor(side(), dtype=like.dtype, device=like.device) for side in (yes, no))
    return torch.where(test, *sides)
