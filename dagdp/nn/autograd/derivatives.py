"""The derivatives of DP_Ω for autograd: value -> expected path -> Hessian product. There is no third derivative.

Each class is a `torch.autograd.Function` around one operator of `operators.py`. Autograd in all its forms (reverse
mode, forward mode, torch.func, second derivatives) uses these classes. A function under torch.compile calls the
operator alone, for which the formulas of these classes are registered: neither route serves both
(docs/decisions/torch.md).

Inputs are theta [*batch, n], a direction z [*batch, n] where there is a direction, the end nodes [*batch] or None, and
the `Problem`, or for an operator its five values. Outputs that only serve a later pass are marked as not
differentiable: `Path` gives E its derivative.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dagdp.array_kinds import on_accelerator
from dagdp.errors import DerivativeError
from dagdp.nn.autograd import operators
from dagdp.nn.autograd.operators import Problem

THIRD = (
    "a third derivative was asked for: dp_value can be differentiated twice, dp_grad and dp_jvp once, dp_hvp only in "
    "its direction z. The passes of the paper end with the Hessian product; detach() what need not be differentiated"
)


def value(theta: Tensor, end: Tensor | None, problem: Problem) -> tuple[Tensor, Tensor]:
    """(DP_Ω(θ), differentiable; E as a constant)."""
    if _traced():
        return operators.gradient_op(theta, end, *problem.arguments)
    if _plain_on_device(theta, end):
        return problem.gradient(theta, end)
    return Value.apply(theta, end, problem)


def path(theta: Tensor, known: Tensor, end: Tensor | None, problem: Problem) -> Tensor:
    """E, differentiable, from its value `known`; `known` itself where no derivative can be taken."""
    if _traced():
        return operators.path_op(theta, known, end, *problem.arguments)
    return Path.apply(theta, known, end, problem) if differentiable(theta) else known


def slope(theta: Tensor, z: Tensor, end: Tensor | None, problem: Problem) -> Tensor:
    """<E, Z>, differentiable in both."""
    if _traced():
        return operators.slope_op(theta, z, end, *problem.arguments)
    if _plain_on_device(theta, z, end):
        return problem.slope(theta, z, end)
    return Slope.apply(theta, z, end, problem)


def bend(theta: Tensor, z: Tensor, end: Tensor | None, problem: Problem) -> tuple[Tensor, Tensor]:
    """(<E, Z> as a constant; ∇²DP_Ω(θ) Z, differentiable in z)."""
    if _traced():
        return operators.bend_op(theta, z, end, *problem.arguments)
    if _plain_on_device(theta, z, end):
        return problem.bend(theta, z, end)
    return Bend.apply(theta, z, end, problem)


def differentiable(*tensors: Tensor) -> bool:
    """Whether a derivative may be taken, in reverse or in forward mode."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    if torch.compiler.is_compiling():
        return operators.transformed()
    # a tensor that vmap or another transform wraps does not show whether the wrapped one requires a gradient
    hidden = torch._C._functorch.is_functorch_wrapped_tensor
    return any(hidden(tensor) or forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def _plain_on_device(*tensors: Tensor | None) -> bool:
    """Whether plain tensors on a device have no derivative, and the call needs no autograd around it.

    Such tensors on the CPU never come here: `dagdp.nn.autograd.by_numpy` serves them.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    return on_accelerator(given[0]) and not differentiable(*given) and operators.unobserved(*given)


def _traced() -> bool:
    """Whether torch.compile is tracing, and the operator is to be called alone. In a transform: DerivativeError.

    The frame that calls the operator must call this: torch.compile traces each frame below a graph break by itself.
    """
    if not torch.compiler.is_compiling():
        return False
    if operators.transformed():
        raise DerivativeError(operators.TRANSFORMED)
    return True


def _remember(ctx: Any, tensors: tuple[Tensor | None, ...], given: tuple[Any, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.problem = given[0] if isinstance(given[0], Problem) else Problem.of(*given)
    ctx.nothing = (None,) * (1 + len(given))  # gradients of end and problem: there are none


def forward_mode(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The jvp of a Function, from rule(saved tensors, problem, *tangents); forward mode can differentiate it again.

    torch switches forward mode off inside a jvp, so a derivative in two directions would silently be 0. Here it is
    switched on again. The saved tensors lose their tangents, which the rule gets as arguments.
    """

    @functools.wraps(rule)
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        with forward_ad._set_fwd_grad_enabled(True):
            saved = [None if t is None else forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors]
            return rule(saved, ctx.problem, *tangents)

    return jvp


def scaled_in_place(path: Tensor, factor: Tensor | float | None) -> Tensor:
    """The path times the upstream gradient (None: 1), computed in the path's memory. The caller must not read it again.

    A product in new memory would take a third of a large backward pass. `data` has a separate version counter: torch
    would refuse to unpack a saved tensor that was changed in place.
    """
    rows = path.data
    return rows if factor is None else rows.mul_(factor)


def _weighted(scalars: Tensor, rows: Tensor, problem: Problem) -> Tensor:
    return problem.spread(scalars) * rows


class Value(torch.autograd.Function):
    """DP_Ω(θ), and E, which one backward pass of the kernels gives with it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, end: Tensor | None, problem: Problem) -> tuple[Tensor, Tensor]:
        if operators.unobserved(theta, end):
            return problem.gradient(theta, end)
        return operators.gradient_op(theta, end, *problem.arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        theta, end, *given = inputs
        ctx.mark_non_differentiable(output[1])
        _remember(ctx, (theta, output[1], end), tuple(given))
        # The caller of an operator has E, too. E of this class is private: `path` copies it before a backward pass.
        ctx.private, ctx.left = isinstance(given[0], Problem), [True]

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, _: Any) -> tuple[Any, ...]:
        theta, known, end = ctx.saved_tensors
        if g is None:
            return None, *ctx.nothing
        if not ctx.left:
            known = value(theta, end, ctx.problem)[1]
        elif ctx.private and not torch.is_grad_enabled() and operators.unobserved(g, known):
            ctx.left.clear()
            ones = not on_accelerator(g) and (g.numpy(force=True) == 1.0).all()  # a look at g would wait for a device
            return scaled_in_place(known, None if ones else ctx.problem.spread(g)), *ctx.nothing
        return _weighted(g, path(theta, known, end, ctx.problem), ctx.problem), *ctx.nothing

    @staticmethod
    @forward_mode
    def jvp(saved: list[Any], problem: Problem, theta_dot: Tensor, *_: Any) -> tuple[Any, ...]:
        theta, known, end = saved
        return problem.total(path(theta, known, end, problem) * theta_dot), None


class Path(torch.autograd.Function):
    """E as a function of θ: `known` if given, else computed. Its derivative is the Hessian product."""

    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, known: Tensor | None, end: Tensor | None, problem: Problem) -> Tensor:
        if known is None:  # E is private: no copy
            return Value.forward(theta, end, problem)[1]
        if operators.unobserved(theta, known):
            return operators.copied(known)
        return operators.path_op(theta, known, end, *problem.arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        theta, _, end, *given = inputs
        _remember(ctx, (theta, end), tuple(given))

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Any, ...]:
        theta, end = ctx.saved_tensors
        return (None if g is None else bend(theta, g, end, ctx.problem)[1], None, *ctx.nothing)

    @staticmethod
    @forward_mode
    def jvp(saved: list[Any], problem: Problem, theta_dot: Tensor, *_: Any) -> Tensor:
        theta, end = saved
        return bend(theta, theta_dot, end, problem)[1]


class Slope(torch.autograd.Function):
    """<E, Z>. Its derivative by Z is E, and by θ the Hessian product."""

    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, z: Tensor, end: Tensor | None, problem: Problem) -> Tensor:
        if operators.unobserved(theta, z, end):
            return problem.slope(theta, z, end)
        return operators.slope_op(theta, z, end, *problem.arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        theta, z, end, *given = inputs
        _remember(ctx, (theta, z, end), tuple(given))

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Any, ...]:
        theta, z, end = ctx.saved_tensors
        if g is None:
            return None, None, *ctx.nothing
        by_theta = _weighted(g, bend(theta, z, end, ctx.problem)[1], ctx.problem) if ctx.needs_input_grad[0] else None
        by_z = _weighted(g, expected_path(theta, end, ctx.problem), ctx.problem) if ctx.needs_input_grad[1] else None
        return by_theta, by_z, *ctx.nothing

    @staticmethod
    @forward_mode
    def jvp(saved: list[Any], problem: Problem, theta_dot: Tensor | None, z_dot: Tensor | None, *_: Any) -> Tensor:
        theta, z, end = saved
        change = torch.zeros_like(z)
        if theta_dot is not None:
            change = change + bend(theta, z, end, problem)[1] * theta_dot
        if z_dot is not None:
            change = change + expected_path(theta, end, problem) * z_dot
        return problem.total(change)


class Bend(torch.autograd.Function):
    """∇²DP_Ω(θ) Z, symmetric and linear in Z, and <E, Z>. It has no derivative by θ: DerivativeError."""

    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, z: Tensor, end: Tensor | None, problem: Problem) -> tuple[Tensor, Tensor]:
        if operators.unobserved(theta, z, end):
            return problem.bend(theta, z, end)
        return operators.bend_op(theta, z, end, *problem.arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        theta, _, end, *given = inputs
        ctx.mark_non_differentiable(output[0])
        _remember(ctx, (theta, end), tuple(given))

    @staticmethod
    def backward(ctx: Any, _: Any, g: Tensor | None) -> tuple[Any, ...]:
        if g is None:
            return None, None, *ctx.nothing
        if ctx.needs_input_grad[0]:
            raise DerivativeError(THIRD)
        theta, end = ctx.saved_tensors
        return None, bend(theta, g, end, ctx.problem)[1], *ctx.nothing

    @staticmethod
    @forward_mode
    def jvp(saved: list[Any], problem: Problem, theta_dot: Tensor | None, z_dot: Tensor, *_: Any) -> Any:
        if theta_dot is not None:
            raise DerivativeError(THIRD)
        theta, end = saved
        return None, bend(theta, z_dot, end, problem)[1]


def expected_path(theta: Tensor, end: Tensor | None, problem: Problem) -> Tensor:
    """E [*batch, n], differentiable once in θ."""
    if _traced():
        known = operators.gradient_op(theta, end, *problem.arguments)[1]
        return operators.path_op(theta, known, end, *problem.arguments)
    return Path.apply(theta, None, end, problem) if differentiable(theta) else value(theta, end, problem)[1]


def _remember_theta(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    theta, end, *given = inputs
    _remember(ctx, (theta, end), tuple(given))


def _value_alone(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    """The backward pass of `value_op`, which a traced function calls for the value alone: computes E now."""
    theta, end = ctx.saved_tensors
    return _weighted(g, expected_path(theta, end, ctx.problem), ctx.problem), *ctx.nothing


for _rule in (Value, Path, Slope, Bend):  # apply() computes the signature in every call: a tenth of a small call
    _rule.forward.__signature__ = inspect.signature(_rule.forward)  # type: ignore[union-attr]
operators.value_op.register_autograd(_value_alone, setup_context=_remember_theta)
for _op, _rule in (
    (operators.gradient_op, Value),
    (operators.path_op, Path),
    (operators.slope_op, Slope),
    (operators.bend_op, Bend),
):
    _op.register_autograd(_rule.backward, setup_context=_rule.setup_context)
