"""From texts to cubins, on a machine without a device: `make cuda` makes an environment with the compilers."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed here; `make cuda` runs these tests where it is", allow_module_level=True)

from cuda_sizes import RECORDED, Kernel, kernels, size
from cuda_small_kernel import small_key, small_text

from dagdp import Negentropy, Omega
from dagdp.errors import InputError, OmegaError
from dagdp.kernels.cuda.compilation import build as building
from dagdp.kernels.cuda.compilation.build import build, declaration, link, sweep_of, to_ptx
from dagdp.kernels.cuda.compilation.cubins import Cubin
from dagdp.kernels.cuda.compilation.parameters import number_types, ptx_names
from dagdp.kernels.cuda.launch import _Loaded
from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.schedule import launch_bounds

REGISTERS = 65_536  # of a block, on every device
FORMATS = {"f32": "f", "f64": "d", "u32": "i", "u64": "q"}


@pytest.mark.parametrize("kernel", kernels(), ids=lambda kernel: kernel.name)
def test_a_kernel_spills_nothing_and_stays_as_large_as_it_was(kernel):
    key = kernel.key()
    ptx = to_ptx(sweep_of(key), key)
    if kernel.real is np.float32:
        assert ".f64" not in ptx
    name, parameters = declaration(ptx)
    assert parameters == ptx_names(key.omega, key.real)
    found = size(Cubin(name, parameters, link(ptx, key.capability)))
    assert found.stack == found.local == 0
    of_system = 1024 if key.capability >= (9, 0) and key.variant.shared_ring else 0
    assert found.shared == of_system, "what the system itself takes of a block that has shared memory"
    assert found.registers * launch_bounds(key.variant)[0] <= REGISTERS, "a launch would fail"
    recorded = json.loads(RECORDED.read_text())[kernel.name]
    assert found.registers <= recorded["registers"] + 8, "python tests/cuda_sizes.py records new sizes"
    assert found.instructions <= 1.15 * recorded["instructions"] + 50


@pytest.mark.parametrize("variant", ["four scores in registers", "diagonals", "diagonals in bands"])
def test_scores_in_registers_are_those_of_the_ring(variant):
    """Both parts of each are read. NVVM drops what is written to an array of a function that has returned."""
    key = Kernel(Negentropy(1.0), np.float32, variant, (9, 0)).key()
    forward = to_ptx(sweep_of(key), key).split("bar.sync")[1:3]
    assert max(part.count("ld.shared.f32") for part in forward) >= 2 * key.variant.wide


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0), (12, 0)])
@pytest.mark.parametrize("changes", [{}, {"warp": True, "tangent": True}, {"real": np.float64}], ids=str)
def test_records_become_parameters_in_the_order_of_their_fields(capability, changes):
    key = small_key(capability=capability, **changes)
    cubin = build(small_text(key), key)
    assert cubin.parameters == ptx_names(key.omega, key.real)
    assert cubin.code.startswith(b"\x7fELF") and cubin.name.encode() in cubin.code


def test_the_variant_decides_what_is_compiled():
    plain, carried = (to_ptx(small_text(key), key) for key in (small_key(), small_key(tangent=True)))
    assert plain.count("ld.global") + 1 == carried.count("ld.global")
    block, warp = (to_ptx(small_text(key), key) for key in (small_key(), small_key(warp=True)))
    assert "bar.sync" in block and "bar.warp.sync" not in block
    assert "bar.warp.sync" in warp and "bar.sync" not in warp


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_cuda_core_packs_what_the_kernel_reads(real):
    """Each argument is read back from where the driver would read it, with the size that the PTX declares."""
    from cuda.core._kernel_arg_handler import ParamHolder

    class Tensor:
        def __init__(self, address):
            self.data_ptr = lambda: address

    key, omega = small_key(real=real), Negentropy(0.7).data(real)
    cubin = build(small_text(key), key)
    call = Call(*range(1 << 40, (1 << 40) + len(Call._fields)))._replace(ring=-3, ended=1, sign=-1.0)
    arrays = Arrays(*[Tensor((7 << 40) + k) for k in range(len(Arrays._fields))])._replace(z=None)
    state = State(*[Tensor((9 << 40) + k) for k in range(len(State._fields))])
    given = _Loaded(None, number_types(key.omega, real)).arguments(omega, call, arrays, state)
    held = ParamHolder(given)
    places = ctypes.cast(held.ptr, ctypes.POINTER(ctypes.c_void_p))
    assert len(given) == len(cubin.parameters)
    for k, (argument, kind) in enumerate(zip(given, cubin.parameters, strict=True)):
        form = FORMATS[kind]
        (read,) = struct.unpack(form, ctypes.string_at(places[k], struct.calcsize(form)))
        assert read == argument, f"parameter {k}"


def operator(function):
    """A user's operator with that link."""

    @dataclass(frozen=True)
    class Made(Omega):
        gamma: float = 1.0
        corner = 2.0
        link = function

        def slope(self, y):
            return 0.5 if y > 0.0 else 0.0

        def conjugate(self, y):
            return 0.25 * y * y if y > 0.0 else 0.0

    return Made


def test_a_users_operator_is_compiled():
    key = small_key(operator(lambda self, y: 0.5 * y if y > 0.0 else 0.0)(0.7))
    assert "Made" in build(small_text(key), key).name


def test_what_numba_refuses_is_the_operator_s_error():
    key = small_key(operator(lambda self, y: 0.5 * y)(0.7))

    def text(key):
        plain = small_text(key)
        return plain._replace(functions=[of_an_unknown_attribute(), plain.functions[1]])

    with pytest.raises(OmegaError, match=r"Made cannot be compiled"):
        build(text(key), key)
    bundled = small_key()
    with pytest.raises(Exception, match="nothing") as raised:
        build(text(bundled), bundled)
    assert not isinstance(raised.value, OmegaError)


def of_an_unknown_attribute():
    def cooled(omega, x):
        return x.nothing

    return cooled


def test_an_old_linker_is_named(monkeypatch):
    class Old:
        def __init__(self, *given, **named):
            raise RuntimeError("ptxas fatal : Unsupported .version 9.5; current version is '9.0'")

    core = SimpleNamespace(Linker=Old, LinkerOptions=dict, ObjectCode=SimpleNamespace(from_ptx=bytes))
    monkeypatch.setattr(building, "imported", lambda name: core)
    with pytest.raises(InputError, match=r"nvJitLink does not know the PTX.*numba-cuda.*pip install"):
        link("", (9, 0))


def test_numba_cuda_is_left_as_it_was():
    from numba.cuda import compiler, dispatcher

    before = compiler.get_current_device, dispatcher.get_current_device
    build(small_text(small_key()), small_key())
    assert (compiler.get_current_device, dispatcher.get_current_device) == before


WITHOUT_ROW_STACK = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
vars(np).pop("row_stack", None)
from cuda_small_kernel import small_key, small_text
from dagdp.kernels.cuda.compilation.build import build
print(len(build(small_text(small_key()), small_key()).code) > 0, hasattr(np, "row_stack"))
"""


def test_a_numpy_without_row_stack_is_left_as_it_was():
    """NumPy 2.5, for which numba-cuda 0.30 was not made."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT_ROW_STACK, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True False\n", "")


@pytest.mark.parametrize(("warp", "barrier"), [(False, "bar.sync"), (True, "bar.warp.sync")])
def test_barriers_of_the_benchmark_are_not_optimised_away(warp, barrier, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "bench"))
    from cuda_barriers import barrier_text, barrier_variant

    key = small_key()._replace(variant=barrier_variant(warp))
    ptx = to_ptx(barrier_text(key), key)
    assert barrier in ptx and build(barrier_text(key), key).parameters == ptx_names(key.omega, key.real)
