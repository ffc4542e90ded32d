"""What a launch hands to cuda.core, of which a stub takes the place, and what is refused before."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from cuda_small_kernel import PLAIN, small_key, small_text

from dagdp import HardMax, Negentropy
from dagdp.errors import InputError
from dagdp.kernels.cuda import launch as launching
from dagdp.kernels.cuda.compilation.cubins import Cubin
from dagdp.kernels.cuda.compilation.parameters import parameters, ptx_names
from dagdp.kernels.cuda.launch import DeviceDriver
from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.schedule import Launch

CALL = Call(*range(2, 1 + len(Call._fields)), -1.0)
LAUNCH = Launch(PLAIN, CALL, 3, 128, 2048)


class Tensor:
    """Something with an address."""

    def __init__(self, address):
        self.address = address

    def data_ptr(self):
        return self.address


ARRAYS = Arrays(*[Tensor(1000 + k) for k in range(len(Arrays._fields))])._replace(starts=None, z=None)
STATE = State(*[None] * len(State._fields))._replace(v_lo=Tensor(77))


class Stub:
    """Records what cuda.core and the driver are asked for."""

    def __init__(self, capability=(9, 0)):
        self.capability, self.launches, self.loads, self.permitted, self.streams = capability, [], [], [], []
        self.status = 0

    def modules(self, version="13.5.0"):
        core, bindings, driver = ModuleType("cuda.core"), ModuleType("cuda.bindings"), ModuleType("driver")
        core.Device = lambda ordinal: SimpleNamespace(
            name="A device",
            compute_capability=self.capability,
            properties=SimpleNamespace(max_shared_memory_per_block_optin=232_448),
        )
        core.LaunchConfig = lambda **given: given
        core.launch = lambda *given: self.launches.append(given)
        core.Stream = SimpleNamespace(from_handle=self.stream)
        core.ObjectCode = SimpleNamespace(from_cubin=self.load)
        bindings.__version__ = version
        driver.CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="dynamic")
        driver.CUresult = SimpleNamespace(CUDA_SUCCESS=0)
        driver.CUdevice = lambda ordinal: ("device", ordinal)
        driver.cuKernelSetAttribute = self.permit
        root = ModuleType("cuda")
        return {"cuda": root, "cuda.core": core, "cuda.bindings": bindings, "cuda.bindings.driver": driver}

    def stream(self, handle):
        self.streams.append(handle)
        return ("stream", handle)

    def load(self, code):
        self.loads.append(code)
        return SimpleNamespace(get_kernel=lambda name: SimpleNamespace(name=name, handle=f"handle of {name}"))

    def permit(self, *given):
        self.permitted.append(given)
        return (self.status,)


@pytest.fixture
def stub(monkeypatch):
    """cuda.core without a device; compilation gives a cubin with the right parameters."""
    made = Stub()
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(launching, "kept", lambda key, build: build())
    monkeypatch.setattr(
        launching,
        "build",
        lambda text, key: Cubin(f"kernel for {key.variant.warp}", ptx_names(key.omega, key.real), b"code"),
    )
    return made


def driver_of(stub):
    return DeviceDriver(0, lambda key: None)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_arguments_have_the_order_and_the_types_of_the_parameters(stub, real):
    omega = Negentropy(0.5).data(real)
    driver_of(stub).launch(LAUNCH, omega, real, ARRAYS, STATE, 0)
    ((stream, configuration, kernel, *given),) = stub.launches
    assert stream == ("stream", 0) and kernel.name == "kernel for False"
    assert configuration == {"grid": 3, "block": 128, "shmem_size": 2048}
    numbers, addresses = given[: 2 + len(CALL)], given[2 + len(CALL) :]
    assert numbers == [0.5, 1.0, *CALL]
    assert [type(number) for number in numbers] == [real, real, *parameters(real).call]
    assert addresses == [1000, 1001, 0, 1003, 1004, 0, 1006, 1007, 1008, 1009, 1010, 0, 77, 0, 0, 0, 0, 0]
    assert {type(address) for address in addresses} == {int}


def test_a_kernel_is_loaded_once_and_a_stream_is_wrapped_once(stub):
    driver = driver_of(stub)
    for stream in (0, 5, 0, 5):
        driver.launch(LAUNCH, Negentropy(0.5).data(np.float32), np.float32, ARRAYS, STATE, stream)
    assert len(stub.loads) == 1 and stub.streams == [0, 5] and len(stub.launches) == 4
    for omega, real, launch in (
        (HardMax(), np.float32, LAUNCH),
        (Negentropy(2.0), np.float64, LAUNCH),
        (Negentropy(2.0), np.float32, LAUNCH._replace(variant=PLAIN._replace(warp=True))),
    ):
        driver.launch(launch, omega.data(real), real, ARRAYS, STATE, 0)
    assert len(stub.loads) == 4
    assert [given[2].name for given in stub.launches[4:]] == ["kernel for False", "kernel for False", "kernel for True"]


def test_a_kernel_can_be_loaded_before_it_is_launched(stub):
    driver = driver_of(stub)
    for _ in range(2):
        driver.load(Negentropy(0.5).data(np.float32), np.float32, PLAIN)
    assert len(stub.loads) == 1 and not stub.launches
    driver.launch(LAUNCH, Negentropy(0.5).data(np.float32), np.float32, ARRAYS, STATE, 0)
    assert len(stub.loads) == 1


def test_more_shared_memory_is_permitted_once_a_size(stub):
    driver = driver_of(stub)
    for size in (2048, 48 << 10, 100_000, 60_000, 100_000, 232_448):
        launch = LAUNCH._replace(shared_bytes=size)
        driver.launch(launch, Negentropy(0.5).data(np.float32), np.float32, ARRAYS, STATE, 0)
    assert [given[1] for given in stub.permitted] == [100_000, 232_448]
    assert stub.permitted[0] == ("dynamic", 100_000, "handle of kernel for False", ("device", 0))
    with pytest.raises(InputError, match=r"232449 bytes of shared memory; expected at most 232448"):
        driver.launch(
            LAUNCH._replace(shared_bytes=232_449),
            Negentropy(0.5).data(np.float32),
            np.float32,
            ARRAYS,
            STATE,
            0,
        )
    stub.status = 1
    with pytest.raises(RuntimeError, match="refused"):
        driver_of(stub).launch(
            LAUNCH._replace(shared_bytes=100_000), HardMax().data(np.float32), np.float32, ARRAYS, STATE, 0
        )


def test_a_kernel_of_other_parameters_is_never_launched(stub, monkeypatch):
    monkeypatch.setattr(launching, "build", lambda text, key: Cubin("kernel", ("f32", "u64"), b"code"))
    with pytest.raises(TypeError, match="kernel has the parameters"):
        driver_of(stub).launch(LAUNCH, HardMax().data(np.float32), np.float32, ARRAYS, STATE, 0)
    assert not stub.loads and not stub.launches


def test_a_device_is_asked_once_what_it_is(stub):
    driver = driver_of(stub)
    assert driver.capability == (9, 0) and driver.shared_limit == 232_448


@pytest.mark.parametrize(
    ("capability", "version", "served"),
    [((7, 0), "13.5.0", False), ((7, 5), "13.0.1", True), ((7, 0), "12.9.1", True), ((6, 1), "13.0", False)],
)
def test_old_devices_are_refused_by_cuda_13(monkeypatch, capability, version, served):
    for name, module in Stub(capability).modules(version).items():
        monkeypatch.setitem(sys.modules, name, module)
    if served:
        assert DeviceDriver(0, lambda key: None).capability == capability
    else:
        with pytest.raises(InputError, match=r'A device has compute capability \d\.\d; .*"dagdp\[cuda12\]"'):
            DeviceDriver(0, lambda key: None)


def test_without_the_packages_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(InputError, match=r"pip install \"dagdp\[cuda1"):
        DeviceDriver(0)


def test_threads_that_launch_at_once_load_once(stub):
    driver, together = driver_of(stub), threading.Barrier(4)

    def start():
        together.wait()
        driver.launch(LAUNCH, HardMax().data(np.float32), np.float32, ARRAYS, STATE, 3)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.loads) == 1 and len(stub.launches) == 4


def test_keys_name_the_capability_of_the_device(stub, monkeypatch):
    seen = []
    monkeypatch.setattr(launching, "kept", lambda key, build: seen.append(key) or build())
    driver_of(stub).launch(LAUNCH, Negentropy(1.0).data(np.float32), np.float32, ARRAYS, STATE, 0)
    assert seen == [small_key()]


@pytest.mark.gpu
@pytest.mark.parametrize("shared_bytes", [64 * 8, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernel_runs_on_a_device(monkeypatch, dtype, shared_bytes):
    """On a stream of its own, with more shared memory than a kernel usually has."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    monkeypatch.setattr(launching, "kept", lambda key, build: build())  # the package's kernel has this key, too
    real, blocks, threads, batch = np.dtype(dtype).type, 2, 64, 100
    theta = torch.randn(blocks * threads, dtype=getattr(torch, dtype), device="cuda")
    order = torch.randperm(batch, device="cuda").to(torch.int32)
    values, kept = torch.zeros_like(theta), torch.zeros_like(theta)
    path = torch.zeros(blocks * threads, dtype=torch.int32, device="cuda")
    numbers = {"batch": batch, "ring": 3, "theta_stride": threads, "sign": -1.0}
    call = Call(**{name: numbers.get(name, 0) for name in Call._fields})
    arrays = Arrays(*[None] * len(Arrays._fields))._replace(
        plan=torch.arange(8, dtype=torch.int32, device="cuda"), table=order, theta=theta, values=values, path=path
    )
    state = State(*[None] * len(State._fields))._replace(v_hi=kept)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    driver = DeviceDriver(theta.device.index, small_text)
    launch = Launch(PLAIN, call, (blocks, 1, 1), threads, shared_bytes)
    driver.launch(launch, Negentropy(0.7).data(real), real, arrays, state, stream.cuda_stream)
    stream.synchronize()
    expected = -0.5 * torch.exp(theta / 0.7).view(-1, 2).flip(1).reshape(-1)[:batch]
    torch.testing.assert_close(kept[:batch], expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(values[order.long()], 2.0 * expected, rtol=1e-5, atol=0)
    assert path[:batch].unique().tolist() == [3] and not path[batch:].any()
