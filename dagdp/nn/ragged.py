"""Sequences of different lengths as one padded array, for functions that take `lengths=`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dagdp.errors import InputError
from dagdp.nn.autograd.tensors import on_one_device, real_tensor


def pad_ragged(sequences: Sequence[Any], value: float = 0) -> tuple[Tensor, Tensor]:
    """(padded [batch, T, *rest], lengths int64 [batch]) of sequences [T_i, *rest]; T is the greatest length.

    The dtype is the common dtype of all items. Differentiable in sequences that are tensors. Functions that take
    `lengths=` never read entries behind an item's length.

    Parameters
    ----------
    sequences : tensors, arrays or lists: the emissions [T_i, S] of sentences, their tags [T_i], time series [T_i, d].
    value : the number behind the end of an item.

    Raises InputError for no sequences, for an empty sequence, and for last axes or devices that differ.

    >>> tags, lengths = pad_ragged([[0, 1, 2], [2]], value=-1)
    >>> tags.tolist(), lengths.tolist()
    ([[0, 1, 2], [2, -1, -1]], [3, 1])
    """
    if not len(sequences):
        raise InputError("sequences is empty; expected at least one")
    items = [real_tensor(given, f"sequences[{k}]") for k, given in enumerate(sequences)]
    on_one_device([(f"sequences[{k}]", item) for k, item in enumerate(items)])
    for k, item in enumerate(items):
        if item.ndim < 1 or not len(item) or item.shape[1:] != items[0].shape[1:]:
            rest = "".join(f", {size}" for size in items[0].shape[1:])
            raise InputError(
                f"sequences[{k}] has shape {tuple(item.shape)}; expected [T{rest}] with T of at least 1: leave out "
                "empty items, and give all the last axes of sequences[0]"
            )
    lengths = torch.tensor([len(item) for item in items], device=items[0].device)
    dtype = functools.reduce(torch.promote_types, (item.dtype for item in items))  # torch takes the first one's
    return pad_sequence([item.to(dtype) for item in items], batch_first=True, padding_value=value), lengths
