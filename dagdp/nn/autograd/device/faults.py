"""Bad numbers that kernels met: told by a flag in host memory, which the host reads without waiting.

A kernel that meets NaN or +inf writes NaN as its item's answer and the item's number into a slot of the flags. Each
launch has a slot of its own, so a slot tells which call it was. Slots are read at the next call on the device, and by
`dagdp.cuda.check()`.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagdp.engine.inputs import Shape
from dagdp.errors import InputError
from dagdp.nn.autograd.device import accelerator

SLOTS = 256  # launches that may be under way before a slot is used again
BAD_NUMBERS = (
    "NaN or +inf (-inf when minimising) among its potentials, an end that is no node on a path, or a sum that "
    "overflowed"
)
CAPTURED = 0  # the slot of launches that a CUDA graph replays: they have none of their own

_flags: dict[torch.device, Flags] = {}


class Call(NamedTuple):
    """The call to which a slot belongs."""

    name: str
    items: Shape  # the shape of its items
    fault: str  # what is wrong with the item that the slot names


class Flags:
    """The slots of one device, and the calls to which they belong."""

    def __init__(self) -> None:
        self.slots = accelerator.pinned(torch.zeros(SLOTS, dtype=torch.int32))
        self.seen: np.ndarray[Any, Any] = self.slots.numpy()
        self.calls: list[Call] = [Call("a call in a CUDA graph", (), BAD_NUMBERS)] * SLOTS
        self.turns = itertools.count()

    def slot_for(self, call: Call) -> Tensor:
        """int32 [1], the slot of one launch: 0, or the number of a bad item, counted from 1."""
        if accelerator.capturing():
            return self.slots[CAPTURED : CAPTURED + 1]
        slot = 1 + next(self.turns) % (SLOTS - 1)
        self.calls[slot] = call
        return self.slots[slot : slot + 1]

    def raise_known(self) -> None:
        """Raise InputError for the first fault that kernels have told so far, and forget all of them."""
        if not self.seen.any():
            return
        slot = int(np.flatnonzero(self.seen)[0])
        item, call = int(self.seen[slot]) - 1, self.calls[slot]
        self.seen[:] = 0
        place = str(item) if slot == CAPTURED else _place_of(item, call.items)
        raise InputError(
            f"{f'item {place}' if place else 'the one item'} of an earlier call ({call.name}) has {call.fault}; its "
            "answer is NaN, and other items are right. dagdp.cuda.check() behind a call, or DAGDP_CUDA_CHECK=1 in the "
            "environment, finds the call at once"
        )


def _place_of(item: int, items: Shape) -> str:
    return ", ".join(str(int(k)) for k in np.unravel_index(item, items)) if items else ""


def report(wrong: Tensor, name: str, fault: str) -> None:
    """Have the next call raise InputError if an item is wrong. The host does not wait.

    wrong : bool [*batch] on a device. While a CUDA graph is captured nothing is told.
    """
    if accelerator.capturing() or not wrong.numel():
        return
    numbers = torch.arange(1, wrong.numel() + 1, device=wrong.device, dtype=torch.int32)
    last = (wrong.reshape(-1) * numbers).amax().reshape(1)
    slot = flags_of(wrong.device).slot_for(Call(name, tuple(wrong.shape), fault))
    slot.copy_(last.to(torch.int32), non_blocking=True)


def flags_of(device: torch.device) -> Flags:
    """The flags of a device, made at the first call."""
    if device not in _flags:
        if accelerator.capturing():
            raise InputError(
                f"a CUDA graph is captured on {device} before any call of dagdp there; make the same call once before "
                "the capture"
            )
        _flags.setdefault(device, Flags())
    return _flags[device]


def raise_known(device: torch.device) -> None:
    """Raise InputError for a fault of an earlier call on the device that is known by now. The host does not wait."""
    if device in _flags:
        _flags[device].raise_known()


def check(device: torch.device) -> None:
    """Wait for all work on the device, and raise InputError for a fault of an earlier call."""
    accelerator.synchronize(device)
    raise_known(device)


def devices() -> list[torch.device]:
    """The devices on which calls were made."""
    return list(_flags)
