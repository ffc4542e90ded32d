"""Tensors of a batch of different graphs: joined for one run, and returned in the user's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dagdp.compiled.layout import Form, Kind, Layout, Numbers
from dagdp.compiler.batch import CompiledBatch
from dagdp.errors import InputError
from dagdp.nn.autograd.device.accelerator import constant_beside
from dagdp.nn.autograd.indexing import added, gathered


class Packed(NamedTuple):
    """Joined weights of a batch of graphs, and what is needed to return gradients in the user's form."""

    batch: CompiledBatch  # for joined weights, with the user's ends
    theta: Any
    z: Any
    layout: Layout
    form: Form
    kind: Kind

    @property
    def parameters(self) -> bool:
        """Whether weights came in a dict: the batch then shares a block without batch dimensions."""
        return self.form.named

    def unpack(self, arrays: list[Tensor]) -> Any:
        """One tensor for each section of the layout, in the form of theta."""
        return self.layout.unpack(self.form, arrays, self.kind)


def packed(
    batch: CompiledBatch,
    theta: Any,
    z: Any,
    end: Any,
    as_tensor: Callable[[Any, str], Tensor],
    dtype: Callable[[Tensor], torch.dtype],
) -> Packed:
    """theta and z as one tensor [*batch, entries of all graphs] for each potential, differentiable by autograd.

    as_tensor, dtype : what `Kind` has under these names. Raises InputError under torch.compile.
    """
    if torch.compiler.is_compiling():
        raise InputError(
            "torch.compile cannot follow a batch of different graphs; call it outside, or in a function under "
            "@torch.compiler.disable"
        )
    kind, layout = kind_of_tensors(as_tensor, dtype), batch.layout
    form, arrays, _ = layout.pack(theta, "theta", kind)
    along = None if z is None else _named(layout, layout.pack(z, "z", kind)[1])
    ended = batch if end is None else batch.ending(end)
    return Packed(ended.packed, _named(layout, arrays), along, layout, form, kind)


def kind_of_tensors(as_tensor: Callable[[Any, str], Tensor], dtype: Callable[[Tensor], torch.dtype]) -> Kind:
    """How tensors are packed; autograd can differentiate through it."""
    return Kind(as_tensor, lambda pieces: torch.cat(pieces, -1), Tensor.to, dtype, _gather, _scatter)


def _named(layout: Layout, arrays: list[Tensor]) -> Any:
    whole = {part.name: array for part, array in zip(layout.sections, arrays, strict=True)}
    return whole.get(None, whole)


def _gather(array: Tensor, places: Numbers) -> Tensor:
    return gathered(array, constant_beside(array, places, "the places of a shared potential"))


def _scatter(array: Tensor, places: Numbers, size: int) -> Tensor:
    return added(array, constant_beside(array, places, "the places of a shared potential"), size)
