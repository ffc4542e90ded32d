"""All that the package asks of torch.cuda and of the launcher, one small function for each question.

Tests replace these functions, and then run the whole path from a tensor to a launch without a device.
"""

from __future__ import annotations

import os
import weakref
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dagdp.array_kinds import on_accelerator
from dagdp.errors import InputError
from dagdp.kernels.cuda.records import Arrays, State
from dagdp.kernels.cuda.schedule import Launch

#: Arrays of compiled graphs on devices, by the identity of the array: {id: (the array, {device: its copy})}.
_constants: dict[int, tuple[weakref.ref[Any], dict[torch.device, Tensor]]] = {}


_drivers: dict[torch.device, Driver] = {}


class Driver(Protocol):
    """What launches kernels on one device: see `dagdp.kernels.cuda.launch`."""

    shared_limit: int  # bytes of dynamic shared memory that a block may have

    def launch(self, launch: Launch, omega: Any, real: type, arrays: Arrays, state: State, stream: int) -> None:
        """Start one kernel on the stream."""


def driver_of(device: torch.device) -> Driver:
    """The driver of the device, made at the first call.

    Raises InputError where packages are missing, with the line that installs them.
    """
    made = _drivers.get(device)
    if made is None:
        from dagdp.kernels.cuda.launch import DeviceDriver

        made = _drivers.setdefault(device, DeviceDriver(device.index))
    return made


def stream_of(device: torch.device) -> int:
    """The handle of torch's current stream on the device."""
    return int(torch.cuda.current_stream(device).cuda_stream)


def settle(device: torch.device) -> None:
    """Wait for the current stream, once for arrays that are sent once: calls on other streams read them, too."""
    torch.cuda.current_stream(device).synchronize()


def used_here(*tensors: Tensor) -> None:
    """Tell torch's allocator that the current stream reads tensors of another stream."""
    for tensor in tensors:
        tensor.record_stream(torch.cuda.current_stream(tensor.device))


def device_guard(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which the device is torch's current one."""
    return torch.cuda.device(device)


def capturing() -> bool:
    """Whether a CUDA graph is being captured on the current stream."""
    return torch.cuda.is_current_stream_capturing()


def synchronize(device: torch.device) -> None:
    """Wait for all work on the device."""
    torch.cuda.synchronize(device)


def pinned(array: Tensor) -> Tensor:
    """A copy in host memory that the device can read and write."""
    return array.pin_memory()


def checks_each_call() -> bool:
    """Whether DAGDP_CUDA_CHECK=1 asks for a check, and so for a synchronisation, after each launch."""
    return os.environ.get("DAGDP_CUDA_CHECK", "") not in ("", "0")


def from_dlpack(array: Any) -> Tensor:
    """A tensor on the memory of another library's device array."""
    made: Tensor = torch.utils.dlpack.from_dlpack(array)
    return made


def sent(array: np.ndarray[Any, Any], device: torch.device, what: str) -> Tensor:
    """A NumPy array on the device: one copy on the current stream that the host does not wait for.

    what : the name of the array in the error. Raises InputError while a CUDA graph is captured: a replay would read
        host memory that has other contents by then.
    """
    if capturing():
        raise InputError(
            f"{what} lies on the host while a CUDA graph is captured; expected it on the device: make the same call "
            f"once before the capture, and pass node numbers and lengths as tensors on {device}"
        )
    return pinned(torch.from_numpy(np.require(array, requirements=["C", "W"]))).to(device, non_blocking=True)


def constant(array: np.ndarray[Any, Any], device: torch.device, what: str) -> Tensor:
    """An array that a compiled graph keeps and nobody writes to, on the device: sent once, and freed with the array.

    what : the name of the array in the error. Raises InputError where it is first needed in a capture of a CUDA graph.
    """
    key = id(array)
    known = _constants.get(key)
    if known is None or known[0]() is not array:
        known = _constants[key] = weakref.ref(array, lambda _: _constants.pop(key, None)), {}
    copies = known[1]
    if device not in copies:
        made = sent(array, device, what)
        settle(device)
        copies[device] = made
    return copies[device]


def constant_beside(like: Tensor, array: np.ndarray[Any, Any], what: str) -> Tensor:
    """`constant` on the device of `like`; on the CPU a view of the array."""
    return constant(array, like.device, what) if on_accelerator(like) else torch.from_numpy(array)
