"""What calls on tensors have in common, by compiled kernels or in torch operations: how results are returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.infeasible import refuse_infeasible
from dagdp.errors import InputError
from dagdp.nn.autograd.learnable import scaled, seen

Gradient = Any  # a tensor, or a dict of tensors, shaped and keyed like theta


@dataclass(frozen=True, kw_only=True)
class TensorCall:
    """One checked call on tensors. `JoinedCall` runs compiled kernels, `UnrolledCall` operations of torch.

    `dagdp.engine.call.Call` is the checked call on NumPy arrays.
    """

    dag: CompiledDAG | CompiledBatch  # the user's
    keyed: bool  # theta is a dict
    dtypes: list[torch.dtype]  # [K] of gradients
    gamma: Tensor | None = None  # the temperature, where it is a tensor: theta is divided by it, and γ is 1

    def scalars(self, values: Tensor) -> Tensor:
        """Values or slopes [*batch] in the common dtype of theta."""
        dtype = self.dtypes[0]
        for other in self.dtypes[1:]:
            dtype = torch.promote_types(dtype, other)
        return values.to(dtype)

    def value(self, values: Tensor) -> Tensor:
        """DP_γΩ(θ) [*batch] = γ DP_Ω(θ/γ), from DP_Ω(θ/γ)."""
        return self.scalars(values if self.gamma is None else scaled(values, self.gamma))

    def in_form_of_theta(self, blocks: Sequence[Tensor]) -> Gradient:
        """Gradients [K] keyed and typed like theta."""
        made = [block.to(dtype) for block, dtype in zip(blocks, self.dtypes, strict=True)]
        return {p.name: b for p, b in zip(self.dag.potentials, made, strict=True)} if self.keyed else made[0]


def refuse_unreached(values: Tensor, minimize: bool) -> None:
    """Raise InputError that names the items without a path. The host waits for values on a device.

    values : [*batch], -inf for an item without a path, +inf when minimising.
    """
    numbers = seen(values)
    if numbers is None:
        raise InputError(
            "on_infeasible='raise' looks at values, which are out of sight under torch.compile and in forward mode; "
            "expected 'value' there: look for infinite values outside"
        )
    refuse_infeasible(numbers.numpy(force=True), -1.0 if minimize else 1.0)


def given_direction(z: Any) -> Any:
    """z, or InputError where z is None."""
    if z is None:
        raise InputError("z is None; expected a direction, shaped and keyed like theta")
    return z
