"""The front end for tensors of graphs with linear potentials: the sparse map in operations of torch.

Autograd differentiates the map, and the front end behind it differentiates the rest. Sums are formed in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled.linear_map import EntryMap, LinearMap
from dagdp.engine.linear import Arrays, LinearFrontEnd
from dagdp.nn.autograd import functions
from dagdp.nn.autograd.batches import kind_of_tensors
from dagdp.nn.autograd.indexing import added, gathered
from dagdp.nn.autograd.learnable import seen
from dagdp.nn.autograd.operators import constant_when_traced
from dagdp.nn.autograd.tensors import as_tensor, floating, result_dtype

#: (edge, entry, coefficient) of each read
Triples = tuple[Tensor, Tensor, Tensor]
_made: WeakKeyDictionary[EntryMap, dict[torch.device, Triples]] = WeakKeyDictionary()


@constant_when_traced
def triples_of(own: EntryMap, device: torch.device) -> Triples:
    """The reads of a potential as tensors on a device, made once a graph and device."""
    made = _made.setdefault(own, {})
    if device not in made:
        ptr, column, coefficient = own.by_edge
        edge = np.repeat(np.arange(ptr.size - 1), np.diff(ptr))
        arrays = torch.from_numpy(edge), torch.from_numpy(column.astype(np.int64)), torch.tensor(coefficient)
        made[device] = tuple(array.to(device) for array in arrays)  # type: ignore[assignment]
    return made[device]


def _weights(linear: LinearMap, blocks: list[Tensor], real: torch.dtype, threads: int | None) -> Tensor:
    """[*batch, edges] the sum of coefficient x entry that each edge reads; blocks [K] of [*own, entries]."""
    parts = []
    for own, block in zip(linear.potentials, blocks, strict=True):
        edge, entry, coefficient = triples_of(own, block.device)
        parts.append(added(gathered(block.double(), entry) * coefficient, edge, linear.edges))
    return functools.reduce(torch.add, parts).to(real)


def _sums(own: EntryMap, flows: Tensor, threads: int | None) -> Tensor:
    """[*batch, entries] the sum of coefficient x flow over the edges that read each entry; flows [*batch, edges]."""
    edge, entry, coefficient = triples_of(own, flows.device)
    return added(gathered(flows.double(), edge) * coefficient, entry, own.entries)


def _real_type(blocks: list[Tensor]) -> torch.dtype:
    return torch.float64 if any(floating(block).itemsize > 4 for block in blocks) else torch.float32


def _scalars(values: Tensor, dtypes: Sequence[torch.dtype]) -> Tensor:
    return values.to(functools.reduce(torch.promote_types, dtypes))


def _host(values: Any) -> Any:
    """Tensors, also in dicts and lists, as arrays; None where torch.compile or torch.func hides a tensor's numbers."""
    if isinstance(values, Mapping):
        made = {name: _host(value) for name, value in values.items()}
        return None if any(value is None for value in made.values()) else made
    if isinstance(values, list | tuple):
        rows = [_host(value) for value in values]
        return None if any(row is None and value is not None for row, value in zip(rows, values, strict=True)) else rows
    if not isinstance(values, Tensor):
        return values
    numbers = seen(values)
    if numbers is None or numbers.shape != values.shape:
        return None
    return (numbers.float() if numbers.dtype is torch.bfloat16 else numbers).numpy(force=True)


def arrays_of_tensors(as_tensor: Any, dtype: Any) -> Arrays:
    """The operations on tensors. as_tensor, dtype : what `dagdp.compiled.layout.Kind` has under these names."""
    return Arrays(
        kind=kind_of_tensors(as_tensor, dtype),
        real_type=_real_type,
        weights=_weights,
        sums=_sums,
        scalars=_scalars,
        host=_host,
        traced=torch.compiler.is_compiling,
    )


#: The front end for tensors and compiled kernels.
tensor_front_end = LinearFrontEnd(functions, arrays_of_tensors(as_tensor, result_dtype))
