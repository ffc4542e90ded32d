"""Lengths of the items of a ragged batch: checked, and turned into the nodes where items end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor, on_accelerator, refuse_mask
from dagdp.describe.edge_arrays import EndsByLength
from dagdp.errors import InputError

Numbers = NDArray[np.int64]


def ends_of_lengths(rule: EndsByLength | None, lengths: Any, most: tuple[int, ...] | None = None) -> Numbers:
    """int64 [*batch], the user's numbers of the nodes where items of these lengths end. most : the largest lengths.

    Raises InputError for a graph without ends by length, and for lengths out of range or of shapes that do not fit.
    """
    if rule is None:
        raise InputError(
            "the graph has no ends by length; build it with trellis(..., ragged=True), linear_chain(..., ragged=True) "
            "or dtw_grid without a band, write a recurrence with an end for each length, such as done[t] = "
            "max[i](v[t, i]) and return max[t](done[t]), or give Graph.from_edges(ends_by_length=(first, shape))"
        )
    first, shape = rule
    given = [lengths] if len(shape) == 1 else lengths
    if not isinstance(given, list | tuple) or len(given) != len(shape):
        raise InputError(f"lengths is {lengths!r}; expected {len(shape)} of them, each a number or [*batch]")
    if any(map(on_accelerator, given)):
        return _ends_on_device(first, given, shape, most or shape)
    names = ["lengths"] if len(shape) == 1 else [f"lengths[{k}]" for k in range(len(shape))]
    steps = [checked_lengths(*axis) - 1 for axis in zip(names, given, most or shape, strict=True)]
    try:
        steps = list(np.broadcast_arrays(*steps))
    except ValueError:
        raise InputError(
            f"lengths have shapes {[step.shape for step in steps]}; expected shapes that broadcast to [*batch]"
        ) from None
    ends: Numbers = first + np.ravel_multi_index(tuple(steps), shape)
    return ends


def _ends_on_device(first: int, lengths: Sequence[Any], shape: tuple[int, ...], most: tuple[int, ...]) -> Any:
    """`ends_of_lengths` where a length is a tensor on a device: a tensor there, of -1 where a length is out of range.

    The host reads no number of such a length. -1 is no node, which a kernel reports.
    """
    beside = next(given for given in lengths if on_accelerator(given))
    steps, wrong = [], []
    for k, (given, largest) in enumerate(zip(lengths, most, strict=True)):
        if not on_accelerator(given):
            given = beside.new_tensor(checked_lengths(f"lengths[{k}]", given, largest))
        if str(given.dtype) == "torch.bool" or given.is_floating_point() or given.is_complex():
            raise InputError(f"lengths[{k}] has dtype {given.dtype}; expected integers, 1 to {largest}")
        steps.append(given.long() - 1)
        wrong.append((given < 1) | (given > largest))
    try:
        ends, outside = steps[0], wrong[0]
        for size, step, bad in zip(shape[1:], steps[1:], wrong[1:], strict=True):
            ends, outside = ends * size + step, outside | bad
    except RuntimeError:
        raise InputError(
            f"lengths have shapes {[tuple(step.shape) for step in steps]}; expected shapes that broadcast to [*batch]"
        ) from None
    return (ends + first).masked_fill(outside, -1)


def checked_lengths(what: str, lengths: Any, most: int) -> Numbers:
    """Lengths as int64, all in [1, most]. Raises InputError that names the first other length."""
    refuse_mask(lengths, what)
    array = np.asarray(lengths.numpy(force=True) if is_tensor(lengths) else lengths)
    if array.dtype.kind not in "iu":
        raise InputError(f"{what} has dtype {array.dtype}; expected integers, 1 to {most}")
    wrong = np.argwhere((array < 1) | (array > most))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise InputError(f"{what}{list(place) if place else ''} is {array[place]}; expected 1 to {most}")
    return array.astype(np.int64)
