"""The value of a batch that shares some of its potentials, for reverse mode: these blocks are never repeated.

The joined route of `dagdp.nn.run` gives every item its own copy of a shared block, since each has its own upstream
gradient. Here the gradient of a shared block is a sum over the batch from the start: with weight 1 in the forward
pass, which serves every loss that adds or averages items, and with the upstream gradients as weights in one more pass
where they differ. A derivative of the gradient takes the joined route.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagdp.call import DEFAULT
from dagdp.compiled import CompiledDAG
from dagdp.inputs import Shape, batch_of, checked, collect, end_shape
from dagdp.nn.derivatives import given_away
from dagdp.nn.derivatives import value as value_of_joined
from dagdp.nn.ops import PLAIN, Problem, unobserved
from dagdp.nn.tensors import (
    NUMPYS,
    as_tensor,
    end_numbers,
    floating,
    handed_back,
    joined,
    over_batch,
    spread,
)
from dagdp.omega import Omega
from dagdp.repeat import found, remember
from dagdp.run import weighted_gradient


class Question(NamedTuple):
    """What is asked, beside the blocks and where paths end: the same for all of one form."""

    problem: Problem
    names: list[str | None]
    joined: Callable[..., Tensor]  # the same value, of the end and the blocks, by the joined route
    wide: dict[int, Shape]  # blocks that lack batch dimensions which `end` brings, and their shape with these
    real: torch.dtype  # of the blocks
    dtype: torch.dtype  # of what is handed back

    def ask(self, end: Any, blocks: tuple[Tensor, ...], weights: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """(DP_Ω [*batch], the gradient of its sum under `weights` by each block); `end` as NumPy functions take it."""
        arrays = dict(zip(self.names, [block.numpy(force=True) for block in blocks], strict=True))
        dag = self.problem.dag
        assert isinstance(dag, CompiledDAG)
        value, made = weighted_gradient(
            dag,
            arrays.get(None, arrays),
            self.problem.omega,
            minimize=self.problem.minimize,
            start=None,
            end=end,
            threads=self.problem.threads or None,
            weights=None if weights is None else weights.numpy(force=True),
        )
        paths = made.values() if isinstance(made, dict) else [made]
        return torch.from_numpy(np.asarray(value)), [torch.from_numpy(path) for path in paths]


class SharedValue(torch.autograd.Function):
    """DP_Ω of blocks, some of which lack the batch dimensions.

    Of the kind that torch.func cannot follow, and need not: `unobserved` says that nobody watches. torch binds the
    arguments of the other kind by their names, which takes a tenth of a small training step.
    """

    @staticmethod
    def forward(ctx: Any, question: Question, end: Any, *blocks: Tensor) -> Tensor:
        value, paths = question.ask(end, blocks, None)
        ctx.question, ctx.end, ctx.left = question, end, [True]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*blocks, *paths)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        question: Question = ctx.question
        blocks, paths = ctx.saved_tensors[: len(question.names)], ctx.saved_tensors[len(question.names) :]
        if g is None:
            return None, None, *(None for _ in blocks)
        again = torch.is_grad_enabled()  # the gradient will be differentiated
        if again or not unobserved(g):  # or several gradients are asked for at once
            needed = [block for block, asked in zip(blocks, ctx.needs_input_grad[2:], strict=True) if asked]
            with torch.enable_grad():
                value = question.joined(ctx.end, *blocks)
            found = iter(torch.autograd.grad(value, needed, g, create_graph=again))
            return None, None, *(next(found) if asked else None for asked in ctx.needs_input_grad[2:])
        upstream = g.numpy(force=True)
        first = upstream.flat[0] if upstream.size else 0.0
        if not ctx.left or not (upstream == first).all():
            return None, None, *question.ask(ctx.end, blocks, g)[1]
        ctx.left.clear()  # nobody else has these paths, and a second backward pass asks anew
        return None, None, *(given_away(path, None if first == 1.0 else float(first)) for path in paths)


def some_shared(dag: Any, theta: Mapping[str, Any]) -> bool:
    """Whether the batch shares some of the potentials, but not all."""
    if not isinstance(dag, CompiledDAG):
        return False
    given = [(theta[p.name], len(p.shape)) for p in dag.potentials if p.name is not None and p.name in theta]
    try:
        return len({np.ndim(block) > dimensions for block, dimensions in given}) == 2
    except ValueError:  # lists that are no arrays: the other route names them
        return False


def value_of_shared(
    dag: CompiledDAG, theta: Mapping[str, Any], omega: Omega | None, minimize: bool, end: Any, threads: int | None
) -> Tensor:
    """DP_Ω(θ) without a copy of what the batch shares. What hangs on the form of the blocks alone is kept with the
    graph, as in `dagdp.call`: to work it out takes a tenth of a small training step.
    """
    form = _form_of(theta, omega, minimize, end, threads)
    question: Question | None = None if form is None else found(dag.calls, form)
    if question is not None:
        blocks = [theta[name] for name in question.names if name is not None]
    else:
        question, blocks = _question_of_shared(dag, theta, omega, minimize, end, threads)
        if form is not None:
            remember(dag.calls, form, question)
    for place, shape in question.wide.items():
        blocks[place] = blocks[place].expand(shape)
    ends = end.numpy(force=True) if isinstance(end, Tensor) else end
    if isinstance(ends, np.ndarray):
        ends = ends.copy()  # asked again on the way back, when the user may have filled theirs anew
    value: Tensor = SharedValue.apply(question, ends, *blocks)
    return value if value.dtype is question.dtype else value.to(question.dtype)


def _form_of(theta: Mapping[str, Any], omega: Omega | None, minimize: bool, end: Any, threads: int | None) -> Any:
    """What `value_of_shared` hangs on beside the numbers in its blocks; None where it may be wrong, or blocks are not
    taken as they are."""
    if type(theta) is not dict or not (threads is None or type(threads) is int):
        return None
    if end is not None and type(end) not in (Tensor, np.ndarray):
        return None
    dtypes = {block.dtype if type(block) in PLAIN else None for block in theta.values()}
    if len(dtypes) != 1 or dtypes.isdisjoint(NUMPYS):
        return None
    shapes = tuple([(name, block.shape) for name, block in theta.items()])
    where = None if end is None else (end.shape, end.dtype)
    return Question, shapes, dtypes.pop(), omega, minimize, where, threads


def _question_of_shared(
    dag: CompiledDAG, theta: Mapping[str, Any], omega: Omega | None, minimize: bool, end: Any, threads: int | None
) -> tuple[Question, list[Tensor]]:
    """(what `SharedValue` asks, of which blocks), checked."""
    chosen = checked(dag, DEFAULT if omega is None else omega, threads)
    _, blocks, batches = collect(dag, theta, "theta", as_tensor)
    batch = batch_of(batches, [], end_shape(end_numbers(dag, end), dag))
    expanded, _ = over_batch(dag, True, blocks, batches, batch)
    wide = {k: tuple(a.shape) for k, (a, b) in enumerate(zip(expanded, blocks, strict=True)) if a is not b}
    real = torch.float64 if any(floating(block).itemsize > 4 for block in blocks) else torch.float32
    names = [potential.name for potential in dag.potentials]

    def side_by_side(own_end: Any, *given: Tensor) -> Tensor:
        numbers = end_numbers(dag, own_end)
        ends = None if numbers is None else spread(numbers, batch)
        return value_of_joined(joined(dag, list(given), batch, real), ends, problem)[0]

    problem = Problem(dag, chosen, bool(minimize), threads or 0)
    dtype = functools.reduce(torch.promote_types, {handed_back(block) for block in blocks})
    return Question(problem, names, side_by_side, wide, real, dtype), [block.to(real) for block in blocks]
