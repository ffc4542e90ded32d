"""What PyTorch calls: five operators over one flat tensor of potentials, without derivatives of their own.

An operator of `torch.library` takes tensors, numbers and strings, so a compiled graph travels as its serial
and a smoothed maximum as the name of its class and its fields. The potentials of an item stand side by side
in theta [*batch, n]; each works on NumPy views of its tensors, through the same functions a NumPy user calls.

Derivatives are in `dagdp.nn.autograd.derivatives`, which is also where these are to be called from: an operator alone
knows nothing of forward-mode derivatives, and raises where torch would take them for 0.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from dagdp.compiled.dag import CompiledDAG, living
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import run
from dagdp.engine.inputs import Options
from dagdp.errors import DerivativeError, OmegaError
from dagdp.omega import Omega

TRANSFORMED = (
    "torch.func.grad, torch.func.jvp or forward mode met a function under torch.compile, which torch cannot serve for "
    "operators from outside; compile dp_grad, dp_jvp or dp_hvp, or transform the function without compiling it"
)

F = TypeVar("F", bound=Callable[..., Any])

PLAIN = (Tensor, torch.nn.Parameter)  # not their subclasses, which may see operators
#: dag, omega, parameters, minimize, threads: what a run is about, besides its tensors
Arguments = tuple[int, str, list[float], bool, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What a run is about, besides its tensors. Holds the graph: a serial alone would not keep it alive."""

    dag: CompiledDAG | CompiledBatch  # a batch of graphs has values [*batch, graphs]
    omega: Omega
    minimize: bool
    threads: int  # 0 for the default

    @property
    def arguments(self) -> Arguments:
        """As operators take it."""
        kind = type(self.omega)
        parameters = [float(getattr(self.omega, name)) for name in kind.__match_args__]  # type: ignore[attr-defined]
        # as indices: a tracer may hold whole numbers as symbols, and nothing here works for any graph
        serial, threads = operator.index(self.dag.serial), operator.index(self.threads)
        return serial, kind.Data.label, parameters, self.minimize, threads

    @classmethod
    def of(cls, dag: int, omega: str, parameters: Sequence[float], minimize: bool, threads: int) -> Problem:
        """From what an operator was given."""
        return cls(living(dag), _class_named(omega)(*parameters), minimize, threads)

    def call(self, function: Callable[..., Any], end: Tensor | None, *tensors: Tensor) -> Any:
        """`function` of `dagdp.engine.run` on tensors [*batch, n]; end : node numbers, see `tensors.terminals`."""
        _refuse_tangents(tensors)
        arrays = [self.split(tensor.numpy(force=True)) for tensor in tensors]
        start = stop = None
        if end is not None and isinstance(self.dag, CompiledDAG):
            numbers = end.numpy(force=True)
            if end.ndim == tensors[0].ndim:
                start, numbers = self.dag.end_names(numbers[..., 0]), numbers[..., 1]
            if not (numbers == -2).any():  # of one item all have an end of their own, or none has
                stop = self.dag.end_names(numbers)
        return function(
            self.dag, *arrays, self.omega, Options(self.minimize, start, stop, "value", self.threads or None)
        )

    def value(self, theta: Tensor, end: Tensor | None) -> Tensor:
        """DP_Ω(θ) [*batch], and nothing kept."""
        return _scalars(self.call(run.value, end, theta))

    def gradient(self, theta: Tensor, end: Tensor | None) -> tuple[Tensor, Tensor]:
        """DP_Ω(θ) [*batch] and E [*batch, n]."""
        value, path = self.call(run.value_and_grad, end, theta)
        return _scalars(value), self.join(path, theta)

    def slope(self, theta: Tensor, z: Tensor, end: Tensor | None) -> Tensor:
        """<E, Z> [*batch]."""
        return _scalars(self.call(run.jvp, end, theta, z))

    def bend(self, theta: Tensor, z: Tensor, end: Tensor | None) -> tuple[Tensor, Tensor]:
        """<E, Z> [*batch] and ∇²DP_Ω(θ) Z [*batch, n]."""
        slope, change = self.call(run.jvp_and_hvp, end, theta, z)
        return _scalars(slope), self.join(change, theta)

    def spread(self, scalars: Tensor) -> Tensor:
        """The number of each value beside its entries: [*batch, 1], or for a batch of graphs [*batch, n]."""
        if isinstance(self.dag, CompiledBatch):
            return scalars.index_select(-1, torch.from_numpy(self.dag.owner))
        return scalars.unsqueeze(-1)

    def total(self, rows: Tensor) -> Tensor:
        """[*batch, n] summed over the entries that belong to each value."""
        if isinstance(self.dag, CompiledBatch):
            nothing = rows.new_zeros((*rows.shape[:-1], len(self.dag)))
            return nothing.index_add(-1, torch.from_numpy(self.dag.owner), rows)
        return rows.sum(-1)

    def split(self, flat: np.ndarray[Any, Any]) -> Any:
        """[*batch, n] as an array a potential."""
        blocks, first = {}, 0
        for potential in self.dag.potentials:
            block = flat[..., first : first + potential.size]
            blocks[potential.name] = block.reshape(*flat.shape[:-1], *potential.shape)
            first += potential.size
        return blocks.get(None, blocks)

    def join(self, blocks: Any, like: Tensor) -> Tensor:
        """The other way round, as a new tensor shaped like `like`."""
        arrays = list(blocks.values()) if isinstance(blocks, dict) else [blocks]
        flat = [array.reshape(*like.shape[:-1], p.size) for p, array in zip(self.dag.potentials, arrays, strict=True)]
        return torch.from_numpy(flat[0] if len(flat) == 1 else np.concatenate(flat, -1))


@functools.cache
def _class_named(name: str) -> type[Omega]:
    """The operator class whose `Data` has that label, which no two classes share."""
    found = [Omega]
    for kind in found:
        if kind is not Omega and kind.Data.label == name:
            return kind
        found += kind.__subclasses__()
    raise OmegaError(f"the operator class {name} is gone; keep a reference to it while a traced function uses it")


def _refuse_tangents(tensors: Sequence[Tensor]) -> None:
    """Forward mode stands open here only for an operator that is called alone, which is what a compiled function does.

    A `Function` takes the tangents off, and torch closes forward mode while it computes.
    """
    if forward_ad._current_level < 0 or not forward_ad._is_fwd_grad_enabled():
        return
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        raise DerivativeError(TRANSFORMED)


def constant_when_traced(function: F) -> F:
    """What `torch.compiler.assume_constant_result` does: torch.compile takes the answer as it is, not its making.

    torch's own function imports the compiler, which takes as long as torch itself, in every process.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant_when_traced
def transformed() -> bool:
    """Whether what is being traced stands inside torch.func's grad or jvp, or in forward mode."""
    layers = torch._C._functorch.get_interpreter_stack() or ()
    kinds = torch._C._functorch.TransformType
    return forward_ad._current_level >= 0 or any(layer.key() in (kinds.Grad, kinds.Jvp) for layer in layers)


def unobserved(*tensors: Tensor | None) -> bool:
    """Whether these are plain tensors and nobody traces or intercepts operators: then the `Problem` may be asked
    itself. torch takes 60 µs to find that out, with the class and the parameters of the operator on the way.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state():
        return False
    return all(t is None or (type(t) in PLAIN and _keys(t) == PLAIN_KEYS) for t in tensors)


def _keys(tensor: Tensor) -> int:
    """What torch dispatches by: the device, autograd, and whether the tensor stands for others (vmap, old and new)."""
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()
    return keys


PLAIN_KEYS = _keys(torch.empty(0, device="cpu"))


def handed_through(path: Tensor) -> Tensor:
    """A copy: an operator must not return what it was given."""
    return path.clone(memory_format=torch.contiguous_format)


def _scalars(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values))


@torch.library.custom_op("dagdp::value", mutates_args=(), device_types="cpu")
def value_op(
    theta: Tensor, end: Tensor | None, dag: int, omega: str, parameters: Sequence[float], minimize: bool, threads: int
) -> Tensor:
    """`Problem.value`."""
    return Problem.of(dag, omega, parameters, minimize, threads).value(theta, end)


@torch.library.custom_op("dagdp::gradient", mutates_args=(), device_types="cpu")
def gradient_op(
    theta: Tensor, end: Tensor | None, dag: int, omega: str, parameters: Sequence[float], minimize: bool, threads: int
) -> tuple[Tensor, Tensor]:
    """`Problem.gradient`."""
    return Problem.of(dag, omega, parameters, minimize, threads).gradient(theta, end)


@torch.library.custom_op("dagdp::path", mutates_args=())
def path_op(
    theta: Tensor,
    path: Tensor,
    end: Tensor | None,
    dag: int,
    omega: str,
    parameters: Sequence[float],
    minimize: bool,
    threads: int,
) -> Tensor:
    """E as a function of θ: it is known already, and only its derivative needs a kernel."""
    return handed_through(path)


@torch.library.custom_op("dagdp::slope", mutates_args=(), device_types="cpu")
def slope_op(
    theta: Tensor,
    z: Tensor,
    end: Tensor | None,
    dag: int,
    omega: str,
    parameters: Sequence[float],
    minimize: bool,
    threads: int,
) -> Tensor:
    """`Problem.slope`."""
    return Problem.of(dag, omega, parameters, minimize, threads).slope(theta, z, end)


@torch.library.custom_op("dagdp::bend", mutates_args=(), device_types="cpu")
def bend_op(
    theta: Tensor,
    z: Tensor,
    end: Tensor | None,
    dag: int,
    omega: str,
    parameters: Sequence[float],
    minimize: bool,
    threads: int,
) -> tuple[Tensor, Tensor]:
    """`Problem.bend`."""
    return Problem.of(dag, omega, parameters, minimize, threads).bend(theta, z, end)


def _scalar_like(theta: Tensor, *_: Any) -> Tensor:
    return theta.new_empty(theta.shape[:-1])


def _flat_like(theta: Tensor, *_: Any) -> Tensor:
    return theta.new_empty(theta.shape)


def _both_like(theta: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _scalar_like(theta), _flat_like(theta)


value_op.register_fake(_scalar_like)
gradient_op.register_fake(_both_like)
path_op.register_fake(_flat_like)
slope_op.register_fake(_scalar_like)
bend_op.register_fake(_both_like)


def _mapped(op: Callable[..., Any]) -> Callable[..., Any]:
    """vmap is one more batch dimension in front; what is not mapped is repeated, as every item needs its own E."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        spread = [
            argument
            if not isinstance(argument, Tensor)
            else argument.expand(info.batch_size, *argument.shape)
            if dim is None
            else argument.movedim(dim, 0)
            for argument, dim in zip(arguments, in_dims, strict=True)
        ]
        output = op(*spread)
        return output, (0,) * len(output) if isinstance(output, tuple) else 0

    return rule


for _op in (value_op, gradient_op, path_op, slope_op, bend_op):
    _op.register_vmap(_mapped(_op))
