"""The value of a batch that shares some of its potentials, for reverse mode: these blocks are never repeated.

The joined route of `dagdp.nn.run` gives every item its own copy of a shared block, since each has its own upstream
gradient. Here the gradient of a shared block is a sum over the batch from the start: with weight 1 in the forward
pass, which serves every loss that adds or averages items, and with the upstream gradients as weights in one more pass
where they differ. A derivative of the gradient takes the joined route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled import CompiledDAG
from dagdp.nn.derivatives import given_away
from dagdp.nn.ops import Problem, unobserved
from dagdp.run import weighted_gradient


class Question(NamedTuple):
    """What is asked, beside the blocks: the same for all blocks of one form."""

    problem: Problem
    names: list[str | None]
    end: Any  # as the NumPy functions take it
    joined: Callable[..., Tensor]  # the same value of the blocks by the joined route
    real: torch.dtype  # of the blocks
    dtype: torch.dtype  # of what is handed back

    def ask(self, blocks: tuple[Tensor, ...], weights: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """(DP_Ω [*batch], the gradient of its sum under `weights` by each block)."""
        arrays = dict(zip(self.names, [block.numpy(force=True) for block in blocks], strict=True))
        dag = self.problem.dag
        assert isinstance(dag, CompiledDAG)
        value, made = weighted_gradient(
            dag,
            arrays.get(None, arrays),
            self.problem.omega,
            minimize=self.problem.minimize,
            end=self.end,
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
    def forward(ctx: Any, question: Question, *blocks: Tensor) -> Tensor:
        value, paths = question.ask(blocks, None)
        ctx.question, ctx.left = question, [True]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*blocks, *paths)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        question: Question = ctx.question
        blocks, paths = ctx.saved_tensors[: len(question.names)], ctx.saved_tensors[len(question.names) :]
        if g is None:
            return None, *(None for _ in blocks)
        again = torch.is_grad_enabled()  # the gradient will be differentiated
        if again or not unobserved(g):  # or several gradients are asked for at once
            needed = [block for block, asked in zip(blocks, ctx.needs_input_grad[1:], strict=True) if asked]
            with torch.enable_grad():
                value = question.joined(*blocks)
            found = iter(torch.autograd.grad(value, needed, g, create_graph=again))
            return None, *(next(found) if asked else None for asked in ctx.needs_input_grad[1:])
        upstream = g.numpy(force=True)
        first = upstream.flat[0] if upstream.size else 0.0
        if not ctx.left or not (upstream == first).all():
            return None, *question.ask(blocks, g)[1]
        ctx.left.clear()  # nobody else has these paths, and a second backward pass asks anew
        return None, *(given_away(path, None if first == 1.0 else float(first)) for path in paths)
