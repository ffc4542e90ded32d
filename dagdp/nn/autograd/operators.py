"""Five operators of `torch.library` on one joined tensor of potentials, and the `Problem` that they compute.

An operator takes tensors, numbers and strings. So a compiled graph is passed as its serial number, and a smoothed
maximum as the name of its class and its fields. The potentials of an item are joined along the last axis: theta is
[*batch, n]. The operators run the bodies of `dagdp.engine.run` on NumPy views of the tensors, and for tensors on a
device the kernels of `dagdp.nn.autograd.device`.

Operators have no derivatives here: `dagdp.nn.autograd.derivatives` registers them, and only that module calls the
operators. An operator that is called alone under forward mode raises DerivativeError, where torch would take its
derivative for 0.
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

from dagdp.array_kinds import on_accelerator
from dagdp.compiled.dag import CompiledDAG, living
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import run
from dagdp.engine.inputs import Options
from dagdp.errors import DerivativeError, OmegaError
from dagdp.kernels.cuda.schedule import Passes
from dagdp.nn.autograd.device import accelerator
from dagdp.nn.autograd.device.launches import Answers, DeviceProblem
from dagdp.nn.autograd.indexing import added, gathered
from dagdp.nn.autograd.tensors import array_of
from dagdp.omega import Omega

TRANSFORMED = (
    "torch.func.grad, torch.func.jvp or forward mode met a function under torch.compile, which torch cannot serve for "
    "operators from outside; compile dp_grad, dp_jvp or dp_hvp, or transform the function without compiling it"
)

F = TypeVar("F", bound=Callable[..., Any])

PLAIN = (Tensor, torch.nn.Parameter)  # not their subclasses, which may intercept operators
#: dag, omega, parameters, minimize, threads: a `Problem` as operators take it
Arguments = tuple[int, str, list[float], bool, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A graph, an operator and options: all arguments of a computation but its tensors, passed to torch as five values.

    It refers to the graph, since a serial number alone would not keep the graph alive. A `Problem` is no call: it has
    no arrays, no batch, and no user's forms (see `JoinedCall`).
    """

    dag: CompiledDAG | CompiledBatch  # values are [*batch], of a batch of graphs [*batch, graphs]
    omega: Omega
    minimize: bool
    threads: int  # 0 for the default

    @property
    def arguments(self) -> Arguments:
        """The five last arguments of an operator."""
        kind = type(self.omega)
        parameters = [float(getattr(self.omega, name)) for name in kind.__match_args__]  # type: ignore[attr-defined]
        # operator.index: a tracer may pass integers as symbols, but a trace is valid for one graph only
        serial, threads = operator.index(self.dag.serial), operator.index(self.threads)
        return serial, kind.Data.label, parameters, self.minimize, threads

    @classmethod
    def of(cls, dag: int, omega: str, parameters: Sequence[float], minimize: bool, threads: int) -> Problem:
        """The `Problem` from the five last arguments of an operator."""
        return cls(living(dag), _class_named(omega)(*parameters), minimize, threads)

    def call(self, function: Callable[..., Any], end: Tensor | None, *tensors: Tensor) -> Any:
        """The result of `function`, of `dagdp.engine.run`, on NumPy views of the tensors [*batch, n].

        end : node numbers, see `dagdp.nn.autograd.tensors.terminals`.
        """
        _refuse_tangents(tensors)
        arrays = [self.split(array_of(tensor)) for tensor in tensors]
        start = stop = None
        if end is not None and isinstance(self.dag, CompiledDAG):
            numbers = end.numpy(force=True)
            if end.ndim == tensors[0].ndim:
                start, numbers = self.dag.end_names(numbers[..., 0]), numbers[..., 1]
            if not (numbers == -2).any():  # either all items have an end, or no item has
                stop = self.dag.end_names(numbers)
        return function(
            self.dag, *arrays, self.omega, Options(self.minimize, start, stop, "value", self.threads or None)
        )

    def launch(self, passes: Passes, theta: Tensor, z: Tensor | None, end: Tensor | None) -> Answers:
        """The results of one launch on theta's device."""
        _refuse_tangents([theta] if z is None else [theta, z])
        return DeviceProblem(self.dag, self.omega, self.minimize).run(passes, theta, z, end)

    def value(self, theta: Tensor, end: Tensor | None) -> Tensor:
        """DP_Ω(θ) [*batch], from the forward pass alone."""
        if on_accelerator(theta):
            return self.launch(Passes.VALUE, theta, None, end).values
        return _scalars(self.call(run.value, end, theta))

    def gradient(self, theta: Tensor, end: Tensor | None) -> tuple[Tensor, Tensor]:
        """DP_Ω(θ) [*batch] and E [*batch, n]."""
        if on_accelerator(theta):
            made = self.launch(Passes.GRADIENT, theta, None, end)
            return made.values, asked_for(made.gradient)
        value, path = self.call(run.value_and_grad, end, theta)
        return _scalars(value), self.join(path, theta)

    def slope(self, theta: Tensor, z: Tensor, end: Tensor | None) -> Tensor:
        """<E, Z> [*batch]."""
        if on_accelerator(theta):
            return asked_for(self.launch(Passes.SLOPE, theta, z, end).slopes)
        return _scalars(self.call(run.jvp, end, theta, z))

    def bend(self, theta: Tensor, z: Tensor, end: Tensor | None) -> tuple[Tensor, Tensor]:
        """<E, Z> [*batch] and ∇²DP_Ω(θ) Z [*batch, n]."""
        if on_accelerator(theta):
            made = self.launch(Passes.HESSIAN, theta, z, end)
            return asked_for(made.slopes), asked_for(made.gradient)
        slope, change = self.call(run.jvp_and_hvp, end, theta, z)
        return _scalars(slope), self.join(change, theta)

    def spread(self, scalars: Tensor) -> Tensor:
        """Numbers of values as factors of entries [*batch, n]: [*batch, 1], or for a batch of graphs [*batch, n]."""
        if isinstance(self.dag, CompiledBatch):
            return gathered(scalars, self._owner(scalars))
        return scalars.unsqueeze(-1)

    def total(self, rows: Tensor) -> Tensor:
        """[*batch, n] summed over the entries of each value: [*batch], or for a batch of graphs [*batch, graphs]."""
        if isinstance(self.dag, CompiledBatch):
            return added(rows, self._owner(rows), len(self.dag))
        return rows.sum(-1)

    def _owner(self, like: Tensor) -> Tensor:
        """The graph of each entry of a batch of graphs, on the device of `like`."""
        assert isinstance(self.dag, CompiledBatch)
        return accelerator.constant_beside(like, self.dag.owner, "the table of graphs")

    def split(self, flat: np.ndarray[Any, Any]) -> Any:
        """[*batch, n] as the user's form: an array [*batch, *shape], or a dict of arrays."""
        blocks, first = {}, 0
        for potential in self.dag.potentials:
            block = flat[..., first : first + potential.size]
            blocks[potential.name] = block.reshape((*flat.shape[:-1], *potential.shape))
            first += potential.size
        return blocks.get(None, blocks)

    def join(self, blocks: Any, like: Tensor) -> Tensor:
        """The inverse of `split`, as a new tensor shaped like `like`."""
        arrays = list(blocks.values()) if isinstance(blocks, dict) else [blocks]
        flat = [array.reshape(*like.shape[:-1], p.size) for p, array in zip(self.dag.potentials, arrays, strict=True)]
        return torch.from_numpy(flat[0] if len(flat) == 1 else np.concatenate(flat, -1))


@functools.cache
def _class_named(name: str) -> type[Omega]:
    """The operator class whose `Data` has that label; labels are unique."""
    found = [Omega]
    for kind in found:
        if kind is not Omega and kind.Data.label == name:
            return kind
        found += kind.__subclasses__()
    raise OmegaError(f"the operator class {name} is gone; keep a reference to it while a traced function uses it")


def _refuse_tangents(tensors: Sequence[Tensor]) -> None:
    """Raise DerivativeError if a tensor has a tangent.

    That happens only where a compiled function calls an operator alone. An `autograd.Function` gets tensors without
    tangents, and torch switches forward mode off inside it.
    """
    if forward_ad._current_level < 0 or not forward_ad._is_fwd_grad_enabled():
        return
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        raise DerivativeError(TRANSFORMED)


def constant_when_traced(function: F) -> F:
    """Decorator like `torch.compiler.assume_constant_result`: torch.compile takes the result as a constant.

    torch's own decorator imports the compiler, which takes as long as the import of torch, in every process.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant_when_traced
def transformed() -> bool:
    """Whether the traced code runs inside torch.func.grad or torch.func.jvp, or in forward mode."""
    layers = torch._C._functorch.get_interpreter_stack() or ()
    kinds = torch._C._functorch.TransformType
    return forward_ad._current_level >= 0 or any(layer.key() in (kinds.Grad, kinds.Jvp) for layer in layers)


def unobserved(*tensors: Tensor | None) -> bool:
    """Whether all tensors are plain, and no tracer or dispatch mode is active. None counts as plain.

    The `Problem` can then compute directly. A call through an operator of torch takes 60 µs more.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state():
        return False
    return all(t is None or (type(t) in PLAIN and (_keys(t) in PLAIN_KEYS or _plain_on_device(t))) for t in tensors)


def _keys(tensor: Tensor) -> int:
    """The tensor's dispatch keys: its device, autograd, and whether vmap (the old or the new one) wraps the tensor."""
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()
    return keys


PLAIN_KEYS = {_keys(torch.empty(0, device="cpu"))}


def _plain_on_device(tensor: Tensor) -> bool:
    """Whether the keys are those of plain tensors on the tensor's device, learnt from the first tensor there."""
    if not on_accelerator(tensor):
        return False
    with torch.inference_mode(False):
        own = _keys(torch.empty(0, device=tensor.device))
    PLAIN_KEYS.add(own)
    return _keys(tensor) == own


def asked_for(made: Tensor | None) -> Tensor:
    """A result that the pass computes."""
    assert made is not None
    return made


def copied(path: Tensor) -> Tensor:
    """A copy, since an operator must not return its input."""
    return path.clone(memory_format=torch.contiguous_format)


def _scalars(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values))


@torch.library.custom_op("dagdp::value", mutates_args=(), device_types=("cpu", "cuda"))
def value_op(
    theta: Tensor, end: Tensor | None, dag: int, omega: str, parameters: Sequence[float], minimize: bool, threads: int
) -> Tensor:
    """`Problem.value`."""
    return Problem.of(dag, omega, parameters, minimize, threads).value(theta, end)


@torch.library.custom_op("dagdp::gradient", mutates_args=(), device_types=("cpu", "cuda"))
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
    """E as a function of θ. `path` is E; only the derivative needs a kernel."""
    return copied(path)


@torch.library.custom_op("dagdp::slope", mutates_args=(), device_types=("cpu", "cuda"))
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


@torch.library.custom_op("dagdp::bend", mutates_args=(), device_types=("cpu", "cuda"))
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
    """The vmap rule of `op`: one more batch dimension in front. Tensors that are not mapped are repeated.

    Every item needs an E of its own, since each has its own upstream gradient.
    """

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
