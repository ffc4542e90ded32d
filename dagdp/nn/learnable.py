"""A smoothed maximum whose temperature is a tensor: learnt, or the output of a network."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from dagdp.errors import OmegaError
from dagdp.omega import Omega


class Learnable(nn.Module):
    """An operator with gamma given as a tensor, for any function or layer of tensors that takes `omega`.

    The value is positively homogeneous in potentials and temperature together, DP_γΩ(θ) = γ DP_Ω(θ/γ), as Ω is
    γ Σ ω(q). So nothing new is computed: the derivatives by γ, mixed and second ones included, follow from those by
    θ. By the dual formula d DP/dγ = -Σ_i ē_i Ω(q_i), Ω at temperature 1: minus the expected penalty of a path.

    omega : the operator; its own gamma is not used.
    gamma : tensor without dimensions, > 0, in the unit of the potentials. A Parameter is learnt and saved. To keep
        it positive in training, parametrise it: `torch.nn.utils.parametrize`, or gamma=softplus(raw) at each call.

    Raises OmegaError where gamma is not positive, or the operator has no temperature (HardMax).

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1]))
    >>> gamma = torch.tensor(2.0, requires_grad=True)
    >>> dagdp.dp_value(dag, torch.zeros(2), Learnable(dagdp.Negentropy(), gamma=gamma)).backward()
    >>> gamma.grad  # log 2, the entropy of a fair choice
    tensor(0.6931)
    """

    def __init__(self, omega: Omega, *, gamma: Tensor) -> None:
        super().__init__()
        if not isinstance(omega, Omega) or "gamma" not in type(omega).__match_args__:  # type: ignore[attr-defined]
            raise OmegaError(f"omega is {omega!r}; expected an operator with a temperature, such as Negentropy()")
        if gamma.shape != () or not gamma.is_floating_point():
            raise OmegaError(
                f"gamma is a tensor of shape {tuple(gamma.shape)} and dtype {gamma.dtype}; expected one floating "
                "number without dimensions: one temperature for each item goes through torch.func.vmap"
            )
        self.omega = dataclasses.replace(omega, gamma=1.0)  # type: ignore[type-var]
        self.gamma = gamma

    def temperature(self) -> Tensor:
        """gamma, seen to be positive where its number can be seen: not inside torch.compile or torch.func."""
        gamma = self.gamma
        hidden = torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(gamma)
        if not hidden and not (gamma > 0 and torch.isfinite(gamma)):
            raise OmegaError(f"gamma is {gamma.item()}; expected a finite gamma > 0: parametrise it, as by softplus")
        return gamma

    def extra_repr(self) -> str:
        return f"{type(self.omega).__name__}, gamma={self.gamma}"


def scaled(values: Tensor, factor: Tensor) -> Tensor:
    """values·factor; infinities and NaN pass through and have no part in the factor's derivative (0·∞)."""
    finite = torch.isfinite(values)
    return torch.where(finite, torch.where(finite, values, 0.0) * factor, values)
