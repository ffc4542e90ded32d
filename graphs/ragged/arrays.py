"""Operations that arrays and torch tensors share; torch is not imported for them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor; torch is not imported for the question.

    >>> is_tensor(np.ones(2))
    False
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def masked(values: Any, inside: NDArray[np.bool_], outside: float) -> Any:
    """Values where inside, `outside` elsewhere; the batch is the broadcast of both.

    >>> masked(np.array([1.0, 2.0]), np.array([True, False]), np.inf).tolist()
    [1.0, inf]
    """
    if is_tensor(values):
        torch, given = sys.modules["torch"], values if values.is_floating_point() else values.double()
        return torch.where(torch.as_tensor(inside, device=values.device), given, outside)
    given = np.asarray(values)
    given = given if given.dtype.kind == "f" else given.astype(np.float64)
    return np.where(inside, given, given.dtype.type(outside))


def beside(numbers: NDArray[Any], values: Any) -> Any:
    """Numbers in the kind, dtype and device of values.

    >>> beside(np.array(1.0), np.zeros(2, np.float32)).dtype
    dtype('float32')
    """
    if is_tensor(values):
        dtype = values.dtype if values.is_floating_point() else sys.modules["torch"].float64
        return sys.modules["torch"].as_tensor(numbers, dtype=dtype, device=values.device)
    dtype = np.asarray(values).dtype
    return numbers.astype(dtype if dtype.kind == "f" else np.float64)


def expanded(values: Any, batch: tuple[int, ...], core: int) -> Any:
    """Values [*some, *core] with `core` axes as [*batch, *core], without a copy.

    >>> expanded(np.zeros(3), (2,), 1).shape
    (2, 3)
    """
    shape = tuple(np.shape(values))
    target = (*batch, *shape[len(shape) - core :])
    if shape == target:
        return values
    return values.expand(target) if is_tensor(values) else np.broadcast_to(np.asarray(values), target)
