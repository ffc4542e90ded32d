"""Lengths of the items of a ragged batch: checked, and turned into the nodes where items end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor, refuse_mask
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
            "or dtw_grid without a band, or give Graph.from_edges(ends_by_length=(first, shape))"
        )
    first, shape = rule
    given = [lengths] if len(shape) == 1 else lengths
    if not isinstance(given, list | tuple) or len(given) != len(shape):
        raise InputError(f"lengths is {lengths!r}; expected {len(shape)} of them, each a number or [*batch]")
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
