"""Bad numbers that kernels met: told by a flag in host memory, which the host reads without waiting.

A kernel that meets NaN or +inf writes NaN as its item's answer and the item's number into a slot of the flags. Each
launch has a slot of its own, so a slot tells which call it was. Slots are read at the next call on the device, and by
`dagdp.cuda.check()`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dagdp.engine.inputs import Shape
from dagdp.errors import InputError
from dagdp.nn.autograd.device import accelerator

SLOTS = 256  # launches that may be under way before a slot is used again
CAPTURED = 0  # the slot of launches that a CUDA graph replays: they have none of their own

_flags: dict[torch.device, Flags] = {}


class Flags:
    """The slots of one device, and the calls to which they belong."""

    def __init__(self) -> None:
        self.slots = accelerator.pinned(torch.zeros(SLOTS, dtype=torch.int32))
        self.seen: np.ndarray[Any, Any] = self.slots.numpy()
        self.calls: list[tuple[str, Shape]] = [("a call in a CUDA graph", ())] * SLOTS
        self.turns = itertools.count()

    def slot_for(self, call: str, items: Shape) -> Tensor:
        """int32 [1], the slot of one launch. call, items : the call's name and the shape of its items, for an error."""
        if accelerator.capturing():
            return self.slots[CAPTURED : CAPTURED + 1]
        slot = 1 + next(self.turns) % (SLOTS - 1)
        self.calls[slot] = call, items
        return self.slots[slot : slot + 1]

    def raise_known(self) -> None:
        """Raise InputError for the first fault that kernels have told so far, and forget all of them."""
        if not self.seen.any():
            return
        slot = int(np.flatnonzero(self.seen)[0])
        item, (call, items) = int(self.seen[slot]) - 1, self.calls[slot]
        self.seen[:] = 0
        place = ", ".join(str(int(k)) for k in np.unravel_index(item, items)) if items else ""
        one = f"item {place}" if place else f"item {item}" if slot == CAPTURED else "the one item"
        raise InputError(
            f"{one} of an earlier call ({call}) has NaN or +inf (-inf when minimising) among its potentials, an end "
            "that is no node on a path, or a sum that overflowed; its answer is NaN. Expected numbers below infinity "
            "(above -inf when minimising), and ends of the graph. Set DAGDP_CUDA_CHECK=1, or call dagdp.cuda.check() "
            "behind a call, to find the call that was given them"
        )


def flags_of(device: torch.device) -> Flags:
    """The flags of a device, made at the first call."""
    if device not in _flags:
        if accelerator.capturing():
            raise InputError(
                f"a CUDA graph is captured on {device} before any call of dagdp there; make the same call once before "
                "the capture"
            )
        _flags[device] = Flags()
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
