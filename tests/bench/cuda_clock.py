"""Time on a CUDA device, and a clock that stands still: with it the benchmark's code runs where there is no device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch

from dagdp.kernels.cuda.launch import DeviceDriver

Call = Callable[[], Any]
WARM, REPEATS = 5, 20


class Timing(NamedTuple):
    """Medians, in seconds. Where both are nearly equal, the device waited for the host."""

    device: float  # between two events on the stream
    host: float  # until the call returned; it does not wait for the device


class Clock(Protocol):
    """All that the benchmark asks of a device."""

    device: torch.device

    def time(self, call: Call) -> Timing:
        """How long a call takes."""

    def peak(self, call: Call) -> int:
        """Bytes of device memory that a call adds at most."""

    def captured(self, call: Call) -> Call:
        """A call that replays the CUDA graph of another one."""

    def driver(self, text_of: Any) -> Any:
        """What launches kernels of a text."""

    def stream(self) -> int:
        """The address of the current stream."""

    def facts(self) -> dict[str, Any]:
        """What the device is."""


class DeviceClock:
    """The clock of torch's current CUDA device."""

    def __init__(self) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device())
        torch.zeros(1, device=self.device)  # makes the context that launches use

    def time(self, call: Call) -> Timing:
        """Medians of REPEATS calls after WARM ones."""
        for _ in range(WARM):
            call()
        torch.cuda.synchronize()
        device, host = zip(*(self._once(call) for _ in range(REPEATS)), strict=True)
        return Timing(statistics.median(device), statistics.median(host))

    def _once(self, call: Call) -> tuple[float, float]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        started = time.perf_counter()
        begin.record()
        call()
        end.record()
        host = time.perf_counter() - started
        end.synchronize()
        return begin.elapsed_time(end) / 1e3, host

    def peak(self, call: Call) -> int:
        """Bytes of torch's allocator."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def captured(self, call: Call) -> Call:
        """The call must have been made once before."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        replay: Call = graph.replay
        return replay

    def driver(self, text_of: Any) -> Any:
        """The package's own driver."""
        return DeviceDriver(self.device.index, text_of)

    def stream(self) -> int:
        """torch's current stream."""
        return int(torch.cuda.current_stream(self.device).cuda_stream)

    def facts(self) -> dict[str, Any]:
        """Name, compute capability, multiprocessors, bytes of memory, and the CUDA version of torch."""
        found = torch.cuda.get_device_properties(self.device)
        return {
            "device": found.name,
            "capability": f"{found.major}.{found.minor}",
            "multiprocessors": found.multi_processor_count,
            "memory": found.total_memory,
            "cuda": torch.version.cuda,
        }


class Idle:
    """A driver that counts launches."""

    def __init__(self) -> None:
        self.launches: list[Any] = []

    def launch(self, launch: Any, omega: Any, real: type, arrays: Any, state: Any, stream: int) -> None:
        self.launches.append(launch)


class StillClock:
    """Makes every call once, on the CPU, and says that it took 1 ms, 0.1 ms of it in Python."""

    def __init__(self) -> None:
        self.device, self.idle = torch.device("cpu"), Idle()

    def time(self, call: Call) -> Timing:
        call()
        return Timing(1e-3, 1e-4)

    def peak(self, call: Call) -> int:
        call()
        return 0

    def captured(self, call: Call) -> Call:
        call()
        return call

    def driver(self, text_of: Any) -> Any:
        return self.idle

    def stream(self) -> int:
        return 0

    def facts(self) -> dict[str, Any]:
        return {"device": "none: dry run"}
