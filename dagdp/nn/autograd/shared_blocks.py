"""Values and expected paths of a batch that shares some of its potentials, for reverse mode, without copies of them.

`JoinedCall` in `functions.py` gives every item a copy of a shared block, since each item has its own upstream gradient.
Here kernels sum the gradient of a shared block over the batch. The forward pass sums with weight 1, which serves every
loss that adds or averages items. If the upstream gradients differ, one more pass sums with these as weights. The sum is
E; its derivative is the Hessian product of the sum of values. Further derivatives use copies, as `JoinedCall` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine import run
from dagdp.engine.forms import found, remember
from dagdp.engine.graph_call import DEFAULT
from dagdp.engine.inputs import Options, Shape, batch_of, checked, collect, end_shape
from dagdp.nn.autograd import derivatives
from dagdp.nn.autograd.derivatives import scaled_in_place
from dagdp.nn.autograd.operators import PLAIN, Problem, copied, unobserved
from dagdp.nn.autograd.tensors import (
    NUMPYS,
    array_of,
    as_tensor,
    end_numbers,
    floating,
    joined,
    over_batch,
    result_dtype,
    spread,
)
from dagdp.omega import Omega


class SharedPlan(NamedTuple):
    """What calls of one form have in common where a batch shares some potentials; stored with the graph.

    `dagdp.engine.plan.Plan` is the plan of a NumPy call. This one holds what torch needs around such calls.
    """

    problem: Problem
    names: list[str | None]
    joined: Callable[..., tuple[Tensor, Tensor | None]]  # (end, *blocks) -> theta [*batch, n], ends
    wide: dict[int, Shape]  # by number, blocks to expand to batch dimensions that only `end` has
    real: torch.dtype  # of the blocks
    dtype: torch.dtype  # of values
    dtypes: tuple[torch.dtype, ...]  # [K] of gradients

    def value_by_copies(self, end: Any, blocks: Sequence[Tensor]) -> Tensor:
        """DP_Ω(θ) [*batch] with copies of shared blocks: has all derivatives."""
        theta, ends = self.joined(end, *blocks)
        return derivatives.value(theta, ends, self.problem)[0]

    def paths_by_copies(self, end: Any, blocks: Sequence[Tensor]) -> list[Tensor]:
        """E of each block, with copies of shared blocks: has all derivatives."""
        theta, ends = self.joined(end, *blocks)
        flat = derivatives.expected_path(theta, ends, self.problem)
        made, first = [], 0
        for potential, block in zip(self.problem.dag.potentials, blocks, strict=True):
            piece = flat[..., first : first + potential.size].reshape((*flat.shape[:-1], *potential.shape))
            made.append(piece if piece.shape == block.shape else piece.flatten(0, flat.ndim - 2).sum(0))
            first += potential.size
        return made

    def bend(self, end: Any, blocks: Sequence[Tensor], along: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian product of the sum of values, for each block; `along` is a direction shaped like the blocks."""
        theta, z = (dict(zip(self.names, [array_of(b) for b in part], strict=True)) for part in (blocks, along))
        problem = self.problem
        made = run.hvp(problem.dag, theta, z, problem.omega, self._options(end))
        return [torch.from_numpy(change) for change in made.values()]

    def value_and_paths(
        self, end: Any, blocks: tuple[Tensor, ...], weights: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """(v = DP_Ω(θ) [*batch], the gradient of Σ_b weights_b v_b by each block).

        end : as NumPy bodies take it.  weights : [*batch]; None where each is 1.
        """
        arrays = dict(zip(self.names, [array_of(block) for block in blocks], strict=True))
        problem, seeds = self.problem, None if weights is None else weights.numpy(force=True)
        given = arrays.get(None, arrays)
        value, made = run.weighted_gradient(problem.dag, given, problem.omega, self._options(end), seeds)
        paths = made.values() if isinstance(made, dict) else [made]
        return torch.from_numpy(np.asarray(value)), [torch.from_numpy(path) for path in paths]

    def _options(self, end: Any) -> Options:
        return Options(minimize=self.problem.minimize, end=end, threads=self.problem.threads or None)


class SharedValue(torch.autograd.Function):
    """DP_Ω of blocks, some of which lack the batch dimensions. Copies of E are added to `shown`, if that is a list.

    It has no setup_context, so torch.func cannot transform it: callers use it only for `unobserved` tensors. With
    setup_context torch binds arguments by name in every call, a tenth of a small training step.
    """

    @staticmethod
    def forward(ctx: Any, plan: SharedPlan, end: Any, shown: list[Tensor] | None, *blocks: Tensor) -> Tensor:
        value, paths = plan.value_and_paths(end, blocks, None)
        if shown is not None:
            shown.extend(map(copied, paths))
        ctx.plan, ctx.end, ctx.left = plan, end, [True]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*blocks, *paths)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: SharedPlan = ctx.plan
        saved = ctx.saved_tensors  # read once: torch.utils.checkpoint allows no more
        blocks, paths = saved[: len(plan.names)], saved[len(plan.names) :]
        if g is None:
            return None, None, None, *(None for _ in blocks)
        again = torch.is_grad_enabled()  # the gradient will be differentiated
        if again or not unobserved(g):  # or vmap computes several gradients at once
            needed = [block for block, asked in zip(blocks, ctx.needs_input_grad[3:], strict=True) if asked]
            with torch.enable_grad():
                value = plan.value_by_copies(ctx.end, blocks)
            found = iter(torch.autograd.grad(value, needed, g, create_graph=again))
            return None, None, None, *(next(found) if asked else None for asked in ctx.needs_input_grad[3:])
        upstream = g.numpy(force=True)
        first = upstream.flat[0] if upstream.size else 0.0
        if not ctx.left or not (upstream == first).all():
            return None, None, None, *plan.value_and_paths(ctx.end, blocks, g)[1]
        ctx.left.clear()  # these paths are private; a second backward pass computes them again
        return None, None, None, *(scaled_in_place(path, None if first == 1.0 else float(first)) for path in paths)


class SharedPath(torch.autograd.Function):
    """E of each block; a shared block has the sum over the batch.

    E is the gradient of the sum of values, so its derivative is the Hessian product of that sum. Like `SharedValue`, it
    has no setup_context, and torch.func cannot transform it.
    """

    @staticmethod
    def forward(ctx: Any, plan: SharedPlan, end: Any, known: list[Tensor] | None, *blocks: Tensor) -> Any:
        ctx.plan, ctx.end = plan, end
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*blocks)
        return tuple(plan.value_and_paths(end, blocks, None)[1] if known is None else known)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: SharedPlan = ctx.plan
        blocks, asked = ctx.saved_tensors, ctx.needs_input_grad[3:]
        if all(g is None for g in upstream):
            return None, None, None, *(None for _ in blocks)
        again = torch.is_grad_enabled()  # the derivative will be differentiated
        if not again and unobserved(*upstream):
            along = [torch.zeros_like(b) if g is None else g for b, g in zip(blocks, upstream, strict=True)]
            return None, None, None, *plan.bend(ctx.end, blocks, along)
        needed = [block for block, wanted in zip(blocks, asked, strict=True) if wanted]
        with torch.enable_grad():
            paths = plan.paths_by_copies(ctx.end, blocks)
        pairs = [(path, g) for path, g in zip(paths, upstream, strict=True) if g is not None]
        outputs, seeds = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(outputs, needed, seeds, create_graph=again))
        return None, None, None, *(next(found) if wanted else None for wanted in asked)


def some_shared(dag: Any, theta: Mapping[str, Any]) -> bool:
    """Whether the batch shares some of the potentials of one graph, but not all."""
    if not isinstance(dag, CompiledDAG):
        return False
    given = [(theta[p.name], len(p.shape)) for p in dag.potentials if p.name is not None and p.name in theta]
    try:
        return len({np.ndim(block) > dimensions for block, dimensions in given}) == 2
    except ValueError:  # lists that are no arrays: `JoinedCall` raises an error that names them
        return False


def value_of_shared(dag: Any, theta: Mapping[str, Any], omega: Any, options: Options) -> Tensor:
    """DP_Ω(θ) [*batch] without copies of shared blocks."""
    plan, ends, blocks = _planned(dag, theta, omega, options)
    value: Tensor = SharedValue.apply(plan, ends, None, *blocks)
    return value if value.dtype is plan.dtype else value.to(plan.dtype)


def path_of_shared(dag: Any, theta: Mapping[str, Any], omega: Any, options: Options) -> dict[str | None, Tensor]:
    """E, keyed like theta, without copies of shared blocks."""
    plan, ends, blocks = _planned(dag, theta, omega, options)
    return _keyed(plan, SharedPath.apply(plan, ends, None, *blocks))


def value_and_path_of_shared(
    dag: Any, theta: Mapping[str, Any], omega: Any, options: Options
) -> tuple[Tensor, dict[str | None, Tensor]]:
    """(DP_Ω(θ) [*batch], E keyed like theta) from one forward and one backward pass."""
    plan, ends, blocks = _planned(dag, theta, omega, options)
    known: list[Tensor] = []
    value: Tensor = SharedValue.apply(plan, ends, known, *blocks)
    return value.to(plan.dtype), _keyed(plan, SharedPath.apply(plan, ends, known, *blocks))


def _keyed(plan: SharedPlan, paths: tuple[Tensor, ...]) -> dict[str | None, Tensor]:
    """Paths by the names of potentials, in the dtypes of gradients."""
    typed = [path.to(dtype) for path, dtype in zip(paths, plan.dtypes, strict=True)]
    return dict(zip(plan.names, typed, strict=True))


def _planned(
    dag: CompiledDAG, theta: Mapping[str, Any], omega: Omega | None, options: Options
) -> tuple[SharedPlan, Any, list[Tensor]]:
    """(the plan, `end` as NumPy bodies take it, the blocks).

    The plan is stored with the graph by the form of the blocks: to make it takes a tenth of a small training step.
    """
    form, end = _form_of(theta, omega, options), options.end
    plan: SharedPlan | None = None if form is None else found(dag.calls, form)
    if plan is not None:
        blocks = [theta[name] for name in plan.names if name is not None]
    else:
        plan, blocks = _checked_plan(dag, theta, omega, options)
        if form is not None:
            remember(dag.calls, form, plan)
    for place, shape in plan.wide.items():
        blocks[place] = blocks[place].expand(shape)
    ends = end.numpy(force=True) if isinstance(end, Tensor) else end
    if isinstance(ends, np.ndarray):
        ends = ends.copy()  # the backward pass reads them again, and the user may have changed the array by then
    return plan, ends, blocks


def _form_of(theta: Mapping[str, Any], omega: Omega | None, options: Options) -> Any:
    """Everything about a call but the numbers in its blocks; None where an argument may be wrong or must be cast."""
    end, threads = options.end, options.threads
    if type(theta) is not dict or not (threads is None or type(threads) is int):
        return None
    if end is not None and type(end) not in (Tensor, np.ndarray):
        return None
    dtypes = {block.dtype if type(block) in PLAIN else None for block in theta.values()}
    if len(dtypes) != 1 or dtypes.isdisjoint(NUMPYS):
        return None
    shapes = tuple([(name, block.shape) for name, block in theta.items()])
    where = None if end is None else (end.shape, end.dtype)
    return SharedPlan, shapes, dtypes.pop(), omega, options.minimize, where, threads


def _checked_plan(
    dag: CompiledDAG, theta: Mapping[str, Any], omega: Omega | None, options: Options
) -> tuple[SharedPlan, list[Tensor]]:
    """(the plan, the blocks in one real type), all arguments checked."""
    chosen = checked(dag, DEFAULT if omega is None else omega, options.threads)
    _, blocks, batches = collect(dag, theta, "theta", as_tensor)
    batch = batch_of(batches, [], end_shape(end_numbers(dag, options.end), dag))
    expanded, _ = over_batch(dag, True, blocks, batches, batch)
    wide = {k: tuple(a.shape) for k, (a, b) in enumerate(zip(expanded, blocks, strict=True)) if a is not b}
    real = torch.float64 if any(floating(block).itemsize > 4 for block in blocks) else torch.float32
    names = [potential.name for potential in dag.potentials]

    def join(own_end: Any, *given: Tensor) -> tuple[Tensor, Tensor | None]:
        numbers = end_numbers(dag, own_end)
        return joined(dag, list(given), batch, real), None if numbers is None else spread(numbers, batch)

    problem = Problem(dag, chosen, bool(options.minimize), options.threads or 0)
    dtypes = tuple(result_dtype(block) for block in blocks)
    dtype = functools.reduce(torch.promote_types, dtypes)
    return SharedPlan(problem, names, join, wide, real, dtype, dtypes), [block.to(real) for block in blocks]
