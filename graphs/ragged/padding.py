"""Data on a graph of a larger size: padding on the way in, cutting on the way out, and the ends of items."""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np

from dagdp import CompiledDAG, InputError

NOT_PADDED = (np.ndarray, list, tuple, int, float)  # a tuple: torch.compile cannot trace a union of types


def ends_in(dag: CompiledDAG, lengths: Any, own: tuple[int, ...], data: tuple[int, ...]) -> Any:
    """`end=` for data of sizes `own`, which may be smaller than the graph; None where data end where the graph ends.

    lengths : of the items, as `CompiledDAG.ends_of` takes them; None where all items are as long as the data.
    data : the batch dimensions of the data, with which lengths have to broadcast.

    Raises InputError for lengths out of range or of another shape.

    >>> import dagdp
    >>> from dagdp.graphs import trellis
    >>> dag = dagdp.compile(trellis(3, 2, "single", True))
    >>> ends_in(dag, [1, 3], (3,), (2,)).tolist(), ends_in(dag, None, (2,), (2,))
    ([7, 9], 8)
    """
    rule = dag.ends_by_length
    if lengths is None:
        if rule is None:
            return None
        first, largest = rule
        if own == largest and dag.ends.size == 1:
            return None
        steps = 0
        for size, most in zip(own, largest, strict=True):
            steps = steps * most + size - 1
        return first + steps
    ends = dag.ends_of(lengths, most=own)
    try:
        np.broadcast_shapes(ends.shape, data)
    except ValueError:
        raise InputError(
            f"lengths have shape {ends.shape} and the data has batch dimensions {data}; expected one length for all "
            "items, or one for each"
        ) from None
    return ends


def padded(values: Any, own: tuple[int, ...], target: tuple[int, ...], what: str = "theta") -> Any:
    """An array or tensor [*batch, *own] as [*batch, *target], padded with zeros at the end of each axis.

    Raises InputError for values of another shape; `what` names them.

    >>> padded(np.ones((1, 2)), (1, 2), (2, 2)).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    if own == target:
        return values
    shape = tuple(np.shape(values))
    if shape[len(shape) - len(own) :] != own:
        raise InputError(f"{what} has shape {shape}; expected [*batch, {', '.join(map(str, own))}]")
    if isinstance(values, np.ndarray):
        made = np.zeros((*shape[: len(shape) - len(own)], *target), values.dtype)
        made[corner(own)] = values
        return made
    behind = [number for n, m in zip(own[::-1], target[::-1], strict=True) for number in (0, m - n)]
    return sys.modules["torch"].nn.functional.pad(values, behind)


def cut(result: Any, own: tuple[int, ...]) -> Any:
    """The part [*batch, *own] of a result on a larger graph, copied.

    >>> cut(np.eye(3), (1, 2)).tolist()
    [[1.0, 0.0]]
    """
    if tuple(result.shape[result.ndim - len(own) :]) == own:
        return result
    part = result[corner(own)]
    return part.copy() if isinstance(part, np.ndarray) else part.clone()


def corner(own: tuple[int, ...]) -> tuple[Any, ...]:
    """The index that cuts [*batch, *own] out of a larger array.

    >>> corner((2,))
    (Ellipsis, slice(None, 2, None))
    """
    return (..., *(slice(None, size) for size in own))


def may_pad(values: Any) -> bool:
    """Whether values may be padded without a conversion that the user should know of: not lists, nor masked arrays.

    >>> may_pad(np.ones(2)), may_pad([1.0])
    (True, False)
    """
    return type(values) is np.ndarray or not isinstance(values, NOT_PADDED)


def sizes(array: Any, count: int) -> tuple[int, ...]:
    """The last `count` dimensions as integers, also where a tracer represents them by symbols.

    >>> sizes([[1.0, 2.0]], 2)
    (1, 2)
    """
    return tuple(operator.index(size) for size in np.shape(array)[-count:])
