"""A smoothed maximum whose temperature, or alpha, is a tensor: a parameter, or the output of a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dagdp.array_kinds import on_accelerator
from dagdp.errors import InputError, OmegaError
from dagdp.nn.autograd.tensors import as_tensor
from dagdp.omega import Omega, Tsallis, along_axis

HIDDEN_ALPHA = (
    "alpha is a tensor inside torch.compile or torch.func, or on the meta device, where kernels cannot see its "
    "number; expected plain tensors, or a number in Tsallis(alpha)"
)


class Learnable(nn.Module):
    """An operator with gamma, or Tsallis's alpha, as tensors: an `omega` for all functions and layers on tensors.

    The value is homogeneous in potentials and temperature together, DP_γΩ(θ) = γ DP_Ω(θ/γ), because Ω is γ Σ ω(q). So
    all derivatives by γ, mixed and second ones included, follow from derivatives by θ. By the dual formula,
    d DP/dγ = -Σ_i ē_i Ω(q_i) with Ω at temperature 1: minus the expected penalty of a path.

    alpha has no rule of this kind: `dagdp.nn.autograd.alpha` runs one more pass, with memory for each edge.

    omega : the operator. A gamma or alpha given here replaces the operator's.
    gamma : tensor (), > 0, in the unit of the potentials. A Parameter is trained and saved. To keep gamma positive in
        training, parametrise it: `torch.nn.utils.parametrize`, or gamma=softplus(raw) in each call. A number of
        Python or NumPy is a constant.
    alpha : for Tsallis, tensor (), 1 < alpha <= 2. Kernels need the number: alpha may be a Parameter while torch.func
        transforms a function of the potentials, but torch.func must not transform alpha, nor torch.compile trace it.
        The host waits for an alpha on a device. A number of Python or NumPy is a constant, and no derivative by it is
        prepared.

    Raises OmegaError where gamma or alpha is out of range, or the operator has no such parameter.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0], [1, 1]))
    >>> gamma = torch.tensor(2.0, requires_grad=True)
    >>> dagdp.dp_value(dag, torch.zeros(2), Learnable(dagdp.Negentropy(), gamma=gamma)).backward()
    >>> gamma.grad  # log 2, the entropy of a fair choice
    tensor(0.6931)
    """

    def __init__(self, omega: Omega, *, gamma: Any = None, alpha: Any = None) -> None:
        super().__init__()
        if gamma is None and alpha is None:
            raise OmegaError("Learnable was given neither gamma nor alpha; expected a tensor for one of them")
        if not isinstance(omega, Omega) or "gamma" not in type(omega).__match_args__:  # type: ignore[attr-defined]
            raise OmegaError(f"omega is {omega!r}; expected an operator with a temperature, such as Negentropy()")
        if alpha is not None and not isinstance(omega, Tsallis):
            raise OmegaError(f"alpha was given with {omega!r}; expected Tsallis, the operator that has it")
        fixed: dict[str, float] = {"gamma": omega.gamma} if gamma is None else {}
        for name, given in (("gamma", gamma), ("alpha", alpha)):
            if isinstance(given, Tensor):
                _check_tensor(name, given)
            elif given is not None:
                fixed[name] = _number(name, given)
        constant: Any = dataclasses.replace(omega, **fixed)  # type: ignore[type-var]  # checks their range
        self.base: Any = dataclasses.replace(constant, gamma=1.0)
        self.alpha_is_fixed = "alpha" in fixed
        self.gamma = torch.tensor(fixed["gamma"], dtype=torch.float64) if "gamma" in fixed else gamma
        self.alpha = torch.tensor(fixed["alpha"], dtype=torch.float64) if self.alpha_is_fixed else alpha

    @property
    def learnt_alpha(self) -> Tensor | None:
        """alpha where it is a tensor, else None: a number has no derivative."""
        return None if self.alpha_is_fixed else self.alpha

    def on_device_of(self, theta: Tensor) -> Learnable:
        """Itself. Raises InputError unless gamma and alpha are on theta's device or on the CPU."""
        for name, number in (("gamma", self.gamma), ("alpha", self.alpha)):
            if number is not None and number.device != theta.device and number.device.type != "cpu":
                raise InputError(
                    f"{name} is on {number.device} and theta is on {theta.device}; expected one device: pass "
                    f"{name}.to({str(theta.device)!r})"
                )
        return self

    def temperature(self) -> Tensor:
        """gamma. Raises OmegaError unless it is positive; inside torch.compile and torch.func that is not checked.

        On a device the host does not look at it: a wrong one becomes NaN, a bad number to the kernel.
        """
        gamma = self.gamma
        if on_accelerator(gamma) and not hidden(gamma):
            return torch.where((gamma > 0) & torch.isfinite(gamma), gamma, torch.nan)
        if not hidden(gamma) and not gamma.is_meta and not (gamma > 0 and torch.isfinite(gamma)):
            raise OmegaError(f"gamma is {gamma.item()}; expected a finite gamma > 0: parametrise it, as by softplus")
        return gamma

    def operator(self) -> Omega:
        """The operator at temperature 1, with the current alpha as a number."""
        if self.learnt_alpha is None:
            return self.base
        if hidden(self.learnt_alpha) or self.learnt_alpha.is_meta:
            raise OmegaError(HIDDEN_ALPHA)
        operator: Omega = dataclasses.replace(self.base, alpha=self.learnt_alpha.item())
        return operator

    def max(self, x: Any, axis: int = -1) -> Tensor:
        """max_Ω(x) along an axis, x without that axis; differentiable in x and gamma. See `dagdp.Omega.max`."""
        made: Tensor = along_axis().maximum(self, as_tensor(x, "x"), axis)
        return made

    def argmax(self, x: Any, axis: int = -1) -> Tensor:
        """∇max_Ω(x) along an axis, shaped like x; differentiable in x and gamma. See `dagdp.Omega.argmax`."""
        made: Tensor = along_axis().weights(self, as_tensor(x, "x"), axis)
        return made

    def extra_repr(self) -> str:
        fields: dict[str, Any] = {"gamma": self.gamma} | ({} if self.alpha is None else {"alpha": self.alpha})
        numbers = (f"{name}={'?' if value.is_meta else format(value.item(), 'g')}" for name, value in fields.items())
        return f"{type(self.base).__name__}, " + ", ".join(numbers)


def _check_tensor(name: str, given: Tensor) -> None:
    if given.shape != () or not given.is_floating_point():
        raise OmegaError(
            f"{name} is a tensor of shape {tuple(given.shape)} and dtype {given.dtype}; expected one floating "
            "number without dimensions: one temperature for each item goes through torch.func.vmap"
        )


def _number(name: str, given: Any) -> float:
    """A number of Python or NumPy as a float. Raises OmegaError for other values."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        raise OmegaError(f"{name} is {given!r}; expected a tensor without dimensions, or a number")
    return float(given)


def hidden(tensor: Tensor) -> bool:
    """Whether the tensor's numbers cannot be read: torch.compile traces it, or torch.func wraps it."""
    return torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def seen(tensor: Tensor) -> Tensor | None:
    """The numbers of a tensor, for elementwise checks; None where torch.compile traces it or the device is meta.

    Inside torch.func.vmap it has the numbers of all samples, with the sample dimension at any place.
    """
    if torch.compiler.is_compiling() or tensor.is_meta:
        return None
    functorch = torch._C._functorch
    while functorch.is_batchedtensor(tensor) or functorch.is_gradtrackingtensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return None if functorch.is_functorch_wrapped_tensor(tensor) else tensor.detach()


def scaled(values: Tensor, factor: Tensor) -> Tensor:
    """values·factor; infinities and NaN stay as they are and add nothing to the factor's derivative (0·∞)."""
    finite = torch.isfinite(values)
    return torch.where(finite, torch.where(finite, values, 0.0) * factor, values)
