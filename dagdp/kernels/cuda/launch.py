"""Launches on one CUDA device, through cuda.core: on the caller's stream and in the caller's context.

The context is the device's primary one, which torch makes current. Nothing here waits for the device.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from dagdp.errors import InputError
from dagdp.kernels.cuda.compilation.build import Text, build, sweep_of
from dagdp.kernels.cuda.compilation.cubins import Cubin, Key, kept
from dagdp.kernels.cuda.compilation.packages import imported
from dagdp.kernels.cuda.compilation.parameters import number_types, ptx_names
from dagdp.kernels.cuda.records import Arrays, Call, State, Variant
from dagdp.kernels.cuda.schedule import Launch

USUAL_SHARED = 48 << 10  # bytes of dynamic shared memory of a block; a kernel must be permitted to have more
OLDEST_OF_CUDA_13 = (7, 5)  # compute capability

_KernelKey = tuple[Any, type, Variant]  # the operator's `Omega.Data`, the real type, the variant


class _Loaded(NamedTuple):
    """A kernel on the device."""

    kernel: Any
    numbers: tuple[Any, ...]  # types of the numbers that are passed by value

    def arguments(self, omega: Any, call: Call, arrays: Arrays, state: State) -> list[Any]:
        """The kernel's arguments: a NumPy scalar has the size of its type, an int is an address.

        A conversion takes 1 µs, the question whether one is needed 0.1 µs.
        """
        numbers = [
            number if type(number) is kind else kind(number)
            for kind, number in zip(self.numbers, (*omega, *call), strict=True)
        ]
        return numbers + [0 if array is None else array.data_ptr() for array in (*arrays, *state)]


class DeviceDriver:
    """Compiles, loads and launches kernels on a device. Safe from several threads.

    device : its number, as CUDA counts.
    text_of : what a kernel is made of.

    Raises InputError without the packages, and for a device that they do not serve.
    """

    def __init__(self, device: int, text_of: Callable[[Key], Text] = sweep_of) -> None:
        core = imported("cuda.core")
        found = core.Device(device)
        self.device, self.text_of = device, text_of
        self.capability: tuple[int, int] = tuple(found.compute_capability)
        self.shared_limit: int = found.properties.max_shared_memory_per_block_optin  # bytes of a block
        _check(found.name, self.capability)
        self._object, self._start, self._from_handle = core.ObjectCode, core.launch, core.Stream.from_handle
        self._configuration = functools.lru_cache(1024)(
            lambda grid, threads, shared: core.LaunchConfig(grid=grid, block=threads, shmem_size=shared)
        )
        self._loaded: dict[_KernelKey, _Loaded] = {}
        self._permitted: dict[_KernelKey, int] = {}  # bytes of shared memory
        self._streams: dict[int, Any] = {}
        self._lock = threading.Lock()

    def launch(self, launch: Launch, omega: Any, real: type, arrays: Arrays, state: State, stream: int) -> None:
        """Start a kernel.

        omega : the operator's `Omega.Data`, of numbers of type `real`.
        arrays, state : tensors on the device, contiguous, or None.
        stream : the address of a stream of this device, as torch gives it; 0 is the default stream.
        """
        key = (type(omega), real, launch.variant)
        loaded = self._loaded.get(key) or self._load(key)
        if launch.shared_bytes > self._permitted.get(key, USUAL_SHARED):
            self._permit(key, loaded, launch.shared_bytes)
        where = self._streams.get(stream) or self._streams.setdefault(stream, self._from_handle(stream))
        configuration = self._configuration(launch.grid, launch.threads, launch.shared_bytes)
        self._start(where, configuration, loaded.kernel, *loaded.arguments(omega, launch.call, arrays, state))

    def load(self, omega: Any, real: type, variant: Variant) -> None:
        """Compile and load a kernel before a launch. The capture of a CUDA graph must not load kernels."""
        self._load((type(omega), real, variant))

    def _load(self, key: _KernelKey) -> _Loaded:
        omega, real, variant = key
        wanted = Key(omega, real, variant, self.capability)
        with self._lock:
            if key not in self._loaded:
                cubin = kept(wanted, lambda: build(self.text_of(wanted), wanted))
                check_parameters(cubin, omega, real)
                kernel = self._object.from_cubin(cubin.code).get_kernel(cubin.name)
                self._loaded[key] = _Loaded(kernel, number_types(omega, real))
            return self._loaded[key]

    def _permit(self, key: _KernelKey, loaded: _Loaded, wanted: int) -> None:
        """Permit the kernel so many bytes of dynamic shared memory: once for each size that is larger than before."""
        if wanted > self.shared_limit:
            raise InputError(
                f"a kernel was given {wanted} bytes of shared memory; expected at most {self.shared_limit}, the limit "
                f"of device {self.device}: plan the launch with that limit"
            )
        driver = imported("cuda.bindings.driver")
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        (status,) = driver.cuKernelSetAttribute(attribute, wanted, loaded.kernel.handle, driver.CUdevice(self.device))
        if status != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"CUDA refused a kernel {wanted} bytes of shared memory: {status!r}")
        self._permitted[key] = wanted


def check_parameters(cubin: Cubin, omega: Any, real: Any) -> None:
    """Raise TypeError where the compiled kernel declares other parameters than a launch passes.

    The driver compares neither their number nor their sizes; the kernel would read memory that is not its own.
    """
    expected = ptx_names(omega, real)
    if cubin.parameters != expected:
        raise TypeError(f"{cubin.name} has the parameters {cubin.parameters}; expected {expected}")


def _check(name: str, capability: tuple[int, int]) -> None:
    """Raise InputError for a device that is older than what CUDA 13 compiles for."""
    major = int(imported("cuda.bindings").__version__.split(".")[0])
    if major >= 13 and capability < OLDEST_OF_CUDA_13:
        raise InputError(
            f"{name} has compute capability {'.'.join(map(str, capability))}; expected 7.5 or newer with the packages "
            f'for CUDA {major}. Use those for CUDA 12: pip install "dagdp[cuda12]"'
        )
