"""The front end for torch tensors and the compiled kernels: check, join the potentials, run, split.

The potentials of an item are joined into one tensor [*batch, n], and blocks that the batch shares are repeated: every
item needs an E of its own, since each has its own upstream gradient. Torch does the broadcasting, casting and joining,
so autograd sums and casts the gradients. Three cases need no joined tensor: numbers without derivatives
(by_numpy.py), reverse mode through blocks that the batch shares (shared_blocks.py), and a batch of graphs, whose
weights come joined (batches.py). Tensors on a device are always joined, there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import run
from dagdp.engine.infeasible import refuses
from dagdp.engine.inputs import (
    Options,
    Shape,
    batch_of,
    checked,
    checked_options,
    collect,
    refuse_start,
    terminal_shape,
)
from dagdp.errors import InputError
from dagdp.kernels.cuda.schedule import Passes
from dagdp.nn.autograd import alpha, derivatives, operators
from dagdp.nn.autograd.batches import Packed, packed
from dagdp.nn.autograd.by_numpy import all_plain, by_numpy, only_reverse_mode, without_derivatives
from dagdp.nn.autograd.learnable import Learnable, scaled
from dagdp.nn.autograd.operators import Problem
from dagdp.nn.autograd.shared_blocks import path_of_shared, some_shared, value_and_path_of_shared, value_of_shared
from dagdp.nn.autograd.tensor_call import Gradient, TensorCall, given_direction, refuse_unreached
from dagdp.nn.autograd.tensors import (
    as_tensor,
    floating,
    joined,
    numbers_beside,
    on_one_device,
    over_batch,
    result_dtype,
    terminals,
)
from dagdp.omega import HardMax, Omega

Graphs = CompiledDAG | CompiledBatch


def value(dag: Graphs, theta: Any, omega: Omega | Learnable | None, options: Options) -> Tensor:
    """DP_Ω(θ): tensor [*batch], twice differentiable. See `dagdp.dp_value`.

    Where no tensor requires a gradient, only the forward pass runs, in memory of the order of the graph's nodes.

    >>> import dagdp, torch
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta = torch.tensor([1.0, 2.5, 2.0], requires_grad=True)
    >>> dagdp.dp_value(dag, theta, dagdp.HardMax()).backward()
    >>> theta.grad
    tensor([1., 0., 1.])
    """
    if without_derivatives(dag, omega, theta, options.start, options.end):
        return by_numpy(run.value, dag, (theta,), omega, options)
    if refuses(options.on_infeasible):
        found = value(dag, theta, omega, options._replace(on_infeasible="value"))
        refuse_unreached(found, options.minimize)
        return found
    if _shares(dag, theta, omega, options):
        return value_of_shared(dag, theta, omega, options)
    call = _prepare(dag, theta, None, omega, options)
    return call.value(_value(call))


def grad(dag: Graphs, theta: Any, omega: Omega | Learnable | None, options: Options) -> Gradient:
    """∇DP_Ω(θ) = E, differentiable once. See `dagdp.dp_grad`.

    >>> import dagdp, torch
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta = torch.tensor([1.0, 2.5, 2.0], requires_grad=True)
    >>> dagdp.dp_grad(dag, theta, dagdp.SquaredL2(1.0))[1].backward()
    >>> theta.grad
    tensor([-0.5000,  0.5000, -0.5000])
    """
    if refuses(options.on_infeasible) or without_derivatives(dag, omega, theta, options.start, options.end):
        return value_and_grad(dag, theta, omega, options)[1]
    if _shares(dag, theta, omega, options):
        return path_of_shared(dag, theta, omega, options)
    call = _prepare(dag, theta, None, omega, options)
    return call.gradient(derivatives.expected_path(call.theta, call.end, call.problem))


def value_and_grad(
    dag: Graphs, theta: Any, omega: Omega | Learnable | None, options: Options
) -> tuple[Tensor, Gradient]:
    """(`value`, `grad`) from one forward and one backward pass; derivatives as of each function."""
    if without_derivatives(dag, omega, theta, options.start, options.end):
        return by_numpy(run.value_and_grad, dag, (theta,), omega, options)
    if _shares(dag, theta, omega, options):
        found, path = value_and_path_of_shared(dag, theta, omega, options)
        if refuses(options.on_infeasible):
            refuse_unreached(found, options.minimize)
        return found, path
    call = _prepare(dag, theta, None, omega, options)
    found, known = derivatives.value(call.theta, call.end, call.problem)
    if call.alpha is not None:
        found = _value(call)
    if refuses(options.on_infeasible):
        refuse_unreached(found, options.minimize)
    return call.value(found), call.gradient(derivatives.path(call.theta, known, call.end, call.problem))


def jvp(dag: Graphs, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options) -> Tensor:
    """<∇DP_Ω(θ), Z>: tensor [*batch], differentiable once in theta and in z. See `dagdp.dp_jvp`."""
    if without_derivatives(dag, omega, theta, given_direction(z), options.start, options.end):
        return by_numpy(run.jvp, dag, (theta, z), omega, options)
    call = _prepare(dag, theta, given_direction(z), omega, options)
    if refuses(options.on_infeasible):
        refuse_unreached(_value(call), options.minimize)
    return call.scalars(derivatives.slope(call.theta, call.direction, call.end, call.problem))


def hvp(dag: Graphs, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options) -> Gradient:
    """∇²DP_Ω(θ) Z, differentiable in z only: by theta it would be a third derivative. See `dagdp.dp_hvp`."""
    if without_derivatives(dag, omega, theta, given_direction(z), options.start, options.end):
        return by_numpy(run.jvp_and_hvp, dag, (theta, z), omega, options)[1]
    call = _prepare(dag, theta, given_direction(z), omega, options)
    if refuses(options.on_infeasible):
        refuse_unreached(_value(call), options.minimize)
    return call.hessian(derivatives.bend(call.theta, call.direction, call.end, call.problem)[1])


def jvp_and_hvp(
    dag: Graphs, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options
) -> tuple[Tensor, Gradient]:
    """(`jvp`, `hvp`); from one forward and one backward pass where no tensor requires a gradient."""
    if without_derivatives(dag, omega, theta, given_direction(z), options.start, options.end):
        return by_numpy(run.jvp_and_hvp, dag, (theta, z), omega, options)
    call = _prepare(dag, theta, given_direction(z), omega, options)
    if refuses(options.on_infeasible):
        refuse_unreached(_value(call), options.minimize)
    slope, change = derivatives.bend(call.theta, call.direction, call.end, call.problem)
    if derivatives.differentiable(call.theta, call.direction):
        slope = derivatives.slope(call.theta, call.direction, call.end, call.problem)
    return call.scalars(slope), call.hessian(change)


def best_edges(dag: CompiledDAG, theta: Any, options: Options) -> tuple[Tensor, Tensor]:
    """(scores [*batch], edges int32 [*batch, L]) of the best path of each item, by one launch on theta's device.

    Edges have the user's numbers, from the end back, -1 behind the start; L is the longest path of the graph. Both are
    constants to autograd.
    """
    with torch.no_grad():
        call = _prepare(dag, theta, None, HardMax(), options)
        made = call.problem.launch(Passes.PATH, call.theta.detach(), None, call.end)
    return call.scalars(made.values), operators.asked_for(made.path)


def local_weights(dag: CompiledDAG, theta: Any, omega: Omega | None, options: Options) -> Tensor:
    """q of every edge, [*batch, edges], by one launch on theta's device. See `dagdp.local_weights`.

    Raises InputError where theta requires a gradient: q has no derivative.
    """
    call = _prepare(dag, theta, None, omega, options)
    if derivatives.differentiable(call.theta):
        raise InputError(
            "theta requires a gradient, and local_weights has no derivative; pass theta.detach(), or take dp_grad or "
            "path_log_prob, which have one"
        )
    return call.scalars(operators.asked_for(call.problem.launch(Passes.WEIGHTS, call.theta, None, call.end).gradient))


@dataclass(frozen=True, kw_only=True)
class JoinedCall(TensorCall):
    """One checked call by compiled kernels: potentials joined in one tensor, and how results are split again."""

    problem: Problem  # its graph is the user's, or where alpha is a tensor the twin of it
    batch: Shape
    batches: list[Shape]  # [K] () for a block that the batch shares
    theta: Tensor  # [*batch, n], divided by the temperature where that is a tensor
    z: Tensor | None
    end: Tensor | None  # [*batch], or with starts [*batch, 2]: see `terminals`
    alpha: Tensor | None = None
    packed: Packed | None = None  # of a batch of graphs: how theta was given

    @property
    def direction(self) -> Tensor:
        """z, in functions that have one."""
        assert self.z is not None
        return self.z

    def hessian(self, flat: Tensor) -> Gradient:
        """∇²DP_γΩ(θ) Z = ∇²DP_Ω(θ/γ) Z / γ; the gradient needs no factor."""
        return self.gradient(flat if self.gamma is None else flat / self.gamma)

    def gradient(self, flat: Tensor) -> Gradient:
        """[*batch, n] as the user's tensors: a block that the batch shares gets the sum."""
        made, first = [], 0
        for potential, own in zip(self.dag.potentials, self.batches, strict=True):
            size = math.prod(potential.shape)  # spelt out: torch.compile cannot follow a property of a constant
            block = flat[..., first : first + size]
            first += size
            if own == () and self.batch != ():
                block = block.reshape(-1, size).sum(0)
            made.append(block.reshape((*own, *potential.shape)))
        if self.packed is not None:
            return self.packed.unpack([block.to(dtype) for block, dtype in zip(made, self.dtypes, strict=True)])
        return self.in_form_of_theta(made)


def _prepare(dag: Any, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options) -> JoinedCall:
    minimize, start, end, _, threads = options
    operator, packed_graphs = omega.operator() if isinstance(omega, Learnable) else omega, None
    if isinstance(dag, CompiledBatch):
        chosen = checked_options(operator, threads)
        refuse_start(start)
        packed_graphs = packed(dag, theta, z, end, as_tensor, result_dtype)
        dag, theta, z, end = packed_graphs.batch, packed_graphs.theta, packed_graphs.z, None
    else:
        chosen = checked(dag, operator, threads)
    keyed, blocks, batches = collect(dag, theta, "theta", as_tensor)
    _, z_blocks, z_batches = (False, [], []) if z is None else collect(dag, z, "z", as_tensor)
    on_one_device(_labelled(dag, ("theta", keyed, blocks), ("z", keyed, z_blocks)))
    begins, numbers = (numbers_beside(blocks[0], dag, *given) for given in ((start, "start"), (end, "end")))
    batch = batch_of(batches, z_batches, terminal_shape(begins, numbers, dag))
    parameters = keyed if packed_graphs is None else packed_graphs.parameters
    blocks, batches = over_batch(dag, parameters, blocks, batches, batch)
    dtypes = [result_dtype(block) for block in blocks]
    real = torch.float64 if any(floating(b).itemsize > 4 for b in blocks + z_blocks) else torch.float32
    call = JoinedCall(
        problem=Problem(dag, chosen, bool(minimize), threads or 0),
        dag=dag,
        keyed=keyed,
        batch=batch,
        batches=batches,
        dtypes=dtypes,
        theta=joined(dag, blocks, batch, real),
        z=None if z is None else joined(dag, z_blocks, batch, real),
        end=terminals(begins, numbers, batch),
        packed=packed_graphs,
    )
    return _at(call, omega) if isinstance(omega, Learnable) else call


def _labelled(dag: Any, *given: tuple[str, bool, list[Tensor]]) -> list[tuple[str, Tensor]]:
    """(name in a message, block) for all blocks of theta and z."""
    return [
        (f"{what}[{p.name!r}]" if keyed else what, block)
        for what, keyed, blocks in given
        for p, block in zip(dag.potentials, blocks, strict=bool(blocks))
    ]


def _at(call: JoinedCall, omega: Learnable) -> JoinedCall:
    """The call where the temperature, or alpha, is a tensor."""
    gamma = omega.on_device_of(call.theta).temperature().to(call.theta.dtype)
    call = replace(call, gamma=gamma, theta=scaled(call.theta, 1.0 / gamma))
    if omega.learnt_alpha is None:
        return call
    number = omega.learnt_alpha.to(call.theta.dtype)
    twin = alpha.twin_of(call.dag)
    problem = replace(call.problem, dag=twin.dag)
    end = call.end
    if end is not None and end.dim() > len(call.batch):  # starts, too
        end = alpha.at_entrances(twin, end)
    theta = alpha.with_own_weights(call.theta, end, problem, number, twin.heads(call.theta))
    own = torch.zeros_like(theta[..., call.theta.shape[-1] :])
    z = None if call.z is None else torch.cat([call.z, own], -1)
    return replace(call, problem=problem, theta=theta, z=z, end=end, alpha=number)


def _shares(dag: Any, theta: Any, omega: Any, options: Options) -> bool:
    """True where the batch shares some of the potentials, and only reverse mode can take a derivative by them."""
    if options.start is not None or not isinstance(theta, Mapping) or not (omega is None or isinstance(omega, Omega)):
        return False
    return only_reverse_mode() and all_plain(dag, theta, options.end) and some_shared(dag, theta)


def _value(call: JoinedCall) -> Tensor:
    """DP_Ω(θ/γ) [*batch]; by the forward pass alone where no derivative can be taken."""
    if call.alpha is not None:
        heads = alpha.twin_of(call.dag).heads(call.theta)
        return alpha.value(call.theta, call.end, call.problem, call.alpha, heads)
    if derivatives.differentiable(call.theta):
        return derivatives.value(call.theta, call.end, call.problem)[0]
    if operators.unobserved(call.theta, call.end):
        return call.problem.value(call.theta, call.end)
    return operators.value_op(call.theta, call.end, *call.problem.arguments)
