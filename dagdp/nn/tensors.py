"""What is given for one graph, as tensors: refused where it is none, cast, spread over the batch, joined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled import CompiledDAG
from dagdp.errors import InputError
from dagdp.inputs import Shape

NUMPYS = (torch.float32, torch.float64)  # what NumPy's functions take and hand back as it is


def as_tensor(value: Any, label: str) -> Tensor:
    """What was given as a tensor of real numbers on the CPU."""
    tensor = value if isinstance(value, Tensor) else torch.tensor(np.asarray(value))
    if tensor.is_complex() or tensor.layout is not torch.strided:
        raise InputError(
            f"{label} has dtype {tensor.dtype} and layout {tensor.layout}; expected real numbers in a dense tensor"
        )
    if tensor.device.type not in ("cpu", "meta"):
        raise InputError(
            f"{label} is on {tensor.device}; the compiled kernels run on the CPU: pass {label}.cpu(), which gradients "
            "follow back, or choose backend='torch'"
        )
    return tensor


def joined(dag: CompiledDAG, blocks: list[Tensor], batch: Shape, real: torch.dtype) -> Tensor:
    """[*batch, n]: the blocks side by side, each repeated over batch dimensions that it lacks."""
    rows = [
        block.to(real).expand(*batch, *potential.shape).reshape(*batch, math.prod(potential.shape))
        for block, potential in zip(blocks, dag.potentials, strict=True)
    ]
    return rows[0] if len(rows) == 1 else torch.cat(rows, -1)


def end_numbers(dag: CompiledDAG, end: Any) -> Tensor | None:
    """Node numbers, one or [*batch]; that paths end there is checked by the operator."""
    if end is None:
        return None
    if dag.named:
        end = dag.end_numbers(end.numpy(force=True) if isinstance(end, Tensor) else end)
    numbers = end if isinstance(end, Tensor) else torch.tensor(end)
    if numbers.is_floating_point() or numbers.is_complex():
        raise InputError(f"end has dtype {numbers.dtype}; expected node numbers (integers)")
    return numbers.to("cpu", torch.int64)


def spread(end: Tensor, batch: Shape) -> Tensor:
    """Node numbers [*batch] from one for all or one for each item."""
    try:
        return end.expand(batch)
    except RuntimeError:
        raise InputError(
            f"end has shape {tuple(end.shape)}; expected one node, or one for each batch item, shape {batch}"
        ) from None


def floating(tensor: Tensor) -> torch.dtype:
    """The tensor's dtype, float64 for whole numbers."""
    return tensor.dtype if tensor.is_floating_point() else torch.float64


def handed_back(tensor: Tensor) -> torch.dtype:
    """The dtype of results: the tensor's own; float32 for half types under autocast, as with torch's own losses."""
    dtype = floating(tensor)
    if dtype.itemsize < 4 and torch.is_autocast_enabled(tensor.device.type):
        return torch.float32
    return dtype
