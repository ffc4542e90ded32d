"""The front end for backend="torch": check, run `dagdp.nn.unrolled.recursion`, return results in the user's form.

All tensors are on one device, of any kind. Half types are computed in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.infeasible import refuses
from dagdp.engine.inputs import Options, batch_of, checked, collect, terminal_shape
from dagdp.errors import InputError, OmegaError
from dagdp.nn.autograd.learnable import Learnable, scaled
from dagdp.nn.autograd.tensor_call import Gradient, TensorCall, given_direction, refuse_unreached
from dagdp.nn.autograd.tensors import end_numbers, on_one_device, over_batch, real_tensor, spread, start_numbers
from dagdp.nn.unrolled import recursion
from dagdp.omega import Omega


def value(dag: CompiledDAG, theta: Any, omega: Omega | Learnable | None, options: Options) -> Tensor:
    """DP_Ω(θ): tensor [*batch], differentiable at least twice. See `dagdp.dp_value`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dagdp.dp_value(dag, torch.tensor([1.0, 2.5, 2.0]), dagdp.HardMax(), backend="torch")
    tensor(3.)
    """
    call = UnrolledCall.of(dag, theta, None, omega, options)
    found = recursion.value(dag, call.blocks, call.omega, **call.options)
    call.check_reached(found)
    return call.value(found)


def grad(dag: CompiledDAG, theta: Any, omega: Omega | Learnable | None, options: Options) -> Gradient:
    """∇DP_Ω(θ) = E, differentiable once at least. See `dagdp.dp_grad`."""
    return value_and_grad(dag, theta, omega, options)[1]


def value_and_grad(
    dag: CompiledDAG, theta: Any, omega: Omega | Learnable | None, options: Options
) -> tuple[Tensor, Gradient]:
    """(`value`, `grad`), differentiable like each of them."""
    call = UnrolledCall.of(dag, theta, None, omega, options)
    found, E = recursion.gradient(dag, call.blocks, call.omega, **call.options)
    call.check_reached(found)
    return call.value(found), call.in_form_of_theta(E)


def jvp(dag: CompiledDAG, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options) -> Tensor:
    """<∇DP_Ω(θ), Z>, a constant. See `dagdp.dp_jvp`."""
    return jvp_and_hvp(dag, theta, z, omega, options)[0]


def hvp(dag: CompiledDAG, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options) -> Gradient:
    """∇²DP_Ω(θ) Z, a constant. See `dagdp.dp_hvp`."""
    return jvp_and_hvp(dag, theta, z, omega, options)[1]


def jvp_and_hvp(
    dag: CompiledDAG, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options
) -> tuple[Tensor, Gradient]:
    """(`jvp`, `hvp`), constants, by backpropagation through backpropagation."""
    call = UnrolledCall.of(dag, theta, given_direction(z), omega, options)
    slope, change = recursion.hessian_product(
        dag, call.blocks, call.z, call.omega, minimize=call.minimize, start=call.start, end=call.end
    )
    if call.refuse:
        call.check_reached(recursion.value(dag, call.blocks, call.omega, **call.options))
    if call.gamma is not None:
        change = tuple(scaled(block, 1.0 / call.gamma.detach()) for block in change)
    return call.scalars(slope), call.in_form_of_theta(change)


@dataclass(frozen=True, kw_only=True)
class UnrolledCall(TensorCall):
    """One checked call in torch operations: blocks stay separate, in one real type, divided by a learnt temperature."""

    omega: Omega
    blocks: list[Tensor]
    minimize: bool
    start: Any
    end: Any
    z: list[Tensor]  # the direction's blocks; none where none was given
    refuse: bool  # an item without a path is an error

    @classmethod
    def of(
        cls, dag: CompiledDAG, theta: Any, z: Any, omega: Omega | Learnable | None, options: Options
    ) -> UnrolledCall:
        minimize, start, end, on_infeasible, threads = options
        chosen = checked(dag, omega.operator() if isinstance(omega, Learnable) else omega, threads)
        if threads is not None:
            raise InputError("threads= is for the compiled kernels; backend='torch' runs on torch's own threads")
        if isinstance(omega, Learnable) and omega.learnt_alpha is not None:
            raise OmegaError("alpha is a tensor, and backend='torch' has no derivative by it; expected Tsallis(alpha)")
        keyed, given, batches = collect(dag, theta, "theta", real_tensor)
        _, along, z_batches = (False, [], []) if z is None else collect(dag, z, "z", real_tensor)
        labels = [f"{'theta' if k < len(given) else 'z'}" for k in range(len(given) + len(along))]
        on_one_device(zip(labels, [*given, *along], strict=True))
        numbers, begins = end_numbers(dag, end), start_numbers(dag, start)
        batch = batch_of(batches, z_batches, terminal_shape(begins, numbers, dag))
        given, _ = over_batch(dag, keyed, given, batches, batch)
        along, _ = over_batch(dag, keyed, along, z_batches, batch) if along else ([], [])
        dtypes = [block.dtype if block.is_floating_point() else torch.float64 for block in given]
        real = torch.float64 if any(dtype.itemsize > 4 for dtype in dtypes) else torch.float32
        blocks = [block.to(real) for block in given]
        gamma = omega.on_device_of(blocks[0]).temperature().to(real) if isinstance(omega, Learnable) else None
        if gamma is not None:  # DP_γΩ(θ) = γ DP_Ω(θ/γ)
            blocks = [scaled(block, 1.0 / gamma) for block in blocks]
        starts, ends = (
            None if nodes is None else dag.end_names(spread(nodes, batch, what).numpy(force=True))
            for what, nodes in (("start", begins), ("end", numbers))
        )
        return cls(
            dag=dag,
            omega=chosen,
            keyed=keyed,
            blocks=blocks,
            dtypes=dtypes,
            minimize=minimize,
            start=starts,
            end=ends,
            gamma=gamma,
            z=[block.to(real) for block in along],
            refuse=refuses(on_infeasible),
        )

    @property
    def options(self) -> dict[str, Any]:
        """Options of the functions of `dagdp.nn.unrolled.recursion`."""
        return {"minimize": self.minimize, "start": self.start, "end": self.end}

    def check_reached(self, values: Tensor) -> None:
        """Raise InputError for items without a path, if on_infeasible is "raise"."""
        if self.refuse:
            refuse_unreached(values, self.minimize)
