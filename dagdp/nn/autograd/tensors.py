"""A user's values for one graph as tensors: checked, cast, expanded to the batch, joined."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dagdp.array_kinds import ACCELERATORS, is_foreign, on_accelerator, plain_array
from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import Shape
from dagdp.errors import InputError
from dagdp.kernels.cuda.records import GRAPHS_END
from dagdp.nn.autograd.device import accelerator

NUMPYS = (torch.float32, torch.float64)  # dtypes that NumPy bodies return without a cast


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor's numbers as an array on its memory, without a derivative.

    `Tensor.numpy` forbids for good that torch frees or grows the memory, which FSDP does with parameters after use.
    DLPack does not forbid it, and takes 7 µs longer: it is used in processes that have FSDP.
    """
    if "torch.distributed.fsdp" not in sys.modules or tensor.device.type != "cpu":
        return tensor.numpy(force=True)
    array = np.from_dlpack(tensor.detach())
    return array if array.flags.writeable else array.copy()  # NumPy below 2.1 cannot write there: other kernels


def as_tensor(value: Any, label: str) -> Tensor:
    """A dense tensor of real numbers on the CPU, a CUDA device (or meta), from a tensor, array or list.

    Raises InputError.
    """
    tensor = real_tensor(value, label)
    if tensor.device.type not in ("cpu", "meta") and not on_accelerator(tensor):
        raise InputError(
            f"{label} is on {tensor.device}; the compiled kernels run on the CPU and on CUDA devices: pass "
            f"{label}.cpu(), which gradients follow back, or call dp_* with backend='torch'"
        )
    return tensor


def real_tensor(value: Any, label: str) -> Tensor:
    """A dense tensor of real numbers on any device; arrays and lists are copied. Raises InputError.

    A device array of another library becomes a tensor on its memory.
    """
    tensor = value if isinstance(value, Tensor) else _from_array(value, label)
    if tensor.is_complex() or tensor.layout is not torch.strided or tensor.is_nested:
        raise InputError(
            f"{label} has dtype {tensor.dtype} and layout {tensor.layout}; expected real numbers in a dense tensor, "
            f"such as {label}.real or {label}.to_dense()"
        )
    return tensor


def beside(value: Any, label: str, like: Tensor) -> Tensor:
    """A tensor from `value`; an array or a list gets the floating dtype and the device of `like`."""
    made = real_tensor(value, label)
    if isinstance(value, Tensor):
        return made
    return made.to(like.device, like.dtype if like.is_floating_point() else made.dtype)


def whole_tensor(value: Any, label: str, device: torch.device | str) -> Tensor:
    """An int64 tensor on the device. Raises InputError for values that are not integers."""
    tensor = on_device(real_tensor(value, label), label, device)
    if tensor.is_floating_point() or tensor.dtype is torch.bool:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{label} has dtype {dtype}; expected integers: pass whole numbers, or {label}.long()")
    return tensor.long()


def on_device(tensor: Tensor, label: str, device: torch.device | str) -> Tensor:
    """The tensor on the device. Raises InputError for a meta tensor, which has no numbers to move."""
    if tensor.is_meta and torch.device(device).type != "meta":
        raise InputError(f"{label} is on meta, where there are no numbers; expected a tensor on {device}")
    if torch.device(device).type in ACCELERATORS and tensor.device.type == "cpu" and not torch.compiler.is_compiling():
        return accelerator.sent(tensor.numpy(), torch.device(device), label)
    return tensor.to(device)


def _from_array(value: Any, label: str) -> Tensor:
    if torch.compiler.is_compiling():
        return torch.tensor(np.asarray(value))
    if is_foreign(value):
        return accelerator.from_dlpack(value)
    array = plain_array(value, label)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        given = f"dtype {array.dtype}" if array.ndim else repr(value)
        raise InputError(
            f"{label} is a {type(value).__name__} ({given}); expected a tensor, or an array, of real numbers"
        )
    return torch.tensor(array.astype(array.dtype.newbyteorder("="), copy=False))


def on_one_device(named: Iterable[tuple[str, Tensor]], mend: str = "move one to the other with .to(device)") -> None:
    """Raise InputError unless all tensors are on one device."""
    first: tuple[str, Tensor] | None = None
    for label, tensor in named:
        if first is None:
            first = label, tensor
        elif tensor.device != first[1].device:
            raise InputError(
                f"{first[0]} is on {first[1].device} and {label} is on {tensor.device}; expected one device: {mend}"
            )


def over_batch(
    dag: CompiledDAG, keyed: bool, blocks: Sequence[Tensor], batches: Sequence[Shape], batch: Shape
) -> tuple[list[Tensor], list[Shape]]:
    """(blocks [K], their batch shapes [K]): data is expanded to the whole batch, a parameter is not.

    A parameter is a block of a dict (`keyed`) without batch dimensions. A tensor alone is data.
    """
    made, shapes = [], []
    for block, own, potential in zip(blocks, batches, dag.potentials, strict=True):
        stays = own == batch or (keyed and own == ())
        made.append(block if stays else block.expand((*batch, *potential.shape)))
        shapes.append(own if stays else batch)
    return made, shapes


def joined(dag: CompiledDAG, blocks: list[Tensor], batch: Shape, real: torch.dtype) -> Tensor:
    """[*batch, n]: the blocks joined along the last axis, each repeated over batch dimensions that it lacks."""
    rows = [
        block.to(real).expand((*batch, *potential.shape)).reshape(*batch, math.prod(potential.shape))
        for block, potential in zip(blocks, dag.potentials, strict=True)
    ]
    return rows[0] if len(rows) == 1 else torch.cat(rows, -1)


def end_numbers(dag: CompiledDAG, end: Any) -> Tensor | None:
    """Node numbers on the CPU, int64 () or [*batch]. The kernels' call checks that paths can end there."""
    return _node_numbers(dag, end, "end")


def start_numbers(dag: CompiledDAG, start: Any) -> Tensor | None:
    """Node numbers on the CPU, int64 () or [*batch]. The kernels' call checks that paths can begin there."""
    return _node_numbers(dag, start, "start")


def numbers_beside(like: Tensor, dag: CompiledDAG, nodes: Any, what: str) -> Tensor | None:
    """Node numbers, int64 () or [*batch], where kernels for `like` read them: on its device.

    what : "start" or "end". Numbers of ends that are on the device stay there, and the kernel finds wrong ones. All
    others are checked on the host; starts on the device are moved there, and the host waits for them.
    """
    if nodes is None or not on_accelerator(like):
        return _node_numbers(dag, nodes, what)
    if what == "end" and on_accelerator(nodes) and not dag.named:
        on_one_device([("theta", like), ("end", nodes)])
        ends = whole_tensor(nodes, "end", like.device)
        return ends.masked_fill(ends == GRAPHS_END, -1)  # as a user's number it is no node
    numbers = _node_numbers(dag, nodes, what)
    assert numbers is not None
    if torch.compiler.is_compiling():
        return numbers.to(like.device)
    names, shape = dag.end_names(numbers.numpy(force=True)), tuple(numbers.shape)
    dag.end_nodes(names, shape) if what == "end" else dag.start_nodes(names, shape)
    return accelerator.sent(numbers.numpy(force=True), like.device, f"{what}=")


def _node_numbers(dag: CompiledDAG, nodes: Any, what: str) -> Tensor | None:
    if nodes is None:
        return None
    if dag.named:
        numbered = dag.end_numbers if what == "end" else dag.start_numbers
        nodes = numbered(on_device(nodes, what, "cpu").numpy(force=True) if isinstance(nodes, Tensor) else nodes)
    elif not isinstance(nodes, Tensor) and not torch.compiler.is_compiling():
        nodes = _from_array(_unwrapped(nodes), what)
    numbers = nodes if isinstance(nodes, Tensor) else torch.tensor(nodes)
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype is torch.bool:
        raise InputError(f"{what} has dtype {numbers.dtype}; expected node numbers (integers)")
    return on_device(numbers, what, "cpu").long()


def terminals(starts: Tensor | None, ends: Tensor | None, batch: Shape) -> Tensor | None:
    """Where paths begin and end, as one tensor: ends [*batch], or (start, end) [*batch, 2]; None for neither.

    An end of -2 means the graph's ends.
    """
    if starts is None:
        return None if ends is None else spread(ends, batch)
    begins = spread(starts, batch, "start")
    return torch.stack([begins, torch.full_like(begins, GRAPHS_END) if ends is None else spread(ends, batch)], -1)


def _unwrapped(end: Any) -> Any:
    """Lists of tensors with a single number, as lists of numbers."""
    if isinstance(end, list | tuple):
        return [_unwrapped(one) for one in end]
    return end.numpy(force=True) if isinstance(end, Tensor) else end


def spread(nodes: Tensor, batch: Shape, what: str = "end") -> Tensor:
    """Node numbers [*batch] from a single one, or one for each item. Raises InputError for another shape."""
    try:
        return nodes.expand(batch)
    except RuntimeError:
        raise InputError(
            f"{what} has shape {tuple(nodes.shape)}; expected one node, or one for each batch item, shape {batch}"
        ) from None


def floating(tensor: Tensor) -> torch.dtype:
    """The tensor's dtype, float64 for integers."""
    return tensor.dtype if tensor.is_floating_point() else torch.float64


def result_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype of results: the tensor's; float32 for half types under autocast, like torch's losses."""
    dtype = floating(tensor)
    if dtype.itemsize < 4 and torch.is_autocast_enabled(tensor.device.type):
        return torch.float32
    return dtype
