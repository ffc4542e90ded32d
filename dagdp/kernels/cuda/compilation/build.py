"""From texts to a cubin: numba-cuda makes PTX, nvJitLink makes the cubin. No device is needed, and none is touched.

No other file knows numba-cuda, so that another compiler could take its place.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from dagdp.errors import InputError
from dagdp.jit.operator_errors import not_compiled
from dagdp.kernels.cuda.compilation.cubins import Cubin, Key
from dagdp.kernels.cuda.compilation.packages import compilers, how_to_install, imported
from dagdp.kernels.cuda.compilation.parameters import parameters
from dagdp.kernels.cuda.compilation.points import entry_name, names_of, static_names, texts
from dagdp.kernels.cuda.compilation.specialise import Barrier, specialised
from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.schedule import launch_bounds

Wrap = Callable[[FunctionType], Any]

_compiling = threading.Lock()  # numba-cuda's functions are replaced meanwhile


class Text(NamedTuple):
    """The plain Python of one kernel; see `dagdp.kernels.cuda.compilation.specialise`."""

    kernel: str  # the name of the function that is launched
    functions: Sequence[FunctionType]
    names: Callable[[Any, Wrap], dict[str, Any]]  # of numba.cuda and what compiles a function: what functions refer to
    static: dict[str, bool | int]
    barrier: Barrier


def sweep_of(key: Key) -> Text:
    """The text of the kernel for an operator, a real type and a variant."""

    def names(cuda: Any, wrap: Wrap) -> dict[str, Any]:
        return names_of(key.omega, key.real, key.real, cuda, wrap=wrap)

    static = static_names(key.variant, key.omega)
    return Text(entry_name(key.variant), texts(), names, static, "warp" if key.variant.warp else "block")


def build(text: Text, key: Key) -> Cubin:
    """The cubin of a text.

    Raises InputError without the packages or with ones that do not fit, OmegaError for an operator that Numba refuses.
    """
    ptx = to_ptx(text, key)
    name, kinds = declaration(ptx)
    return Cubin(name, kinds, link(ptx, key.capability))


def to_ptx(text: Text, key: Key) -> str:
    """The PTX of a text."""
    with _compiling, _numba_cuda(key.capability) as cuda:
        from numba.core.errors import NumbaError

        def device_function(function: FunctionType) -> Any:
            return cuda.jit(device=True, forceinline=True)(function)

        names = text.names(cuda, device_function)
        made = specialised(text.functions, names, text.static, text.barrier, device_function)
        options: dict[str, Any] = {"cc": key.capability, "device": False, "abi": "numba", "output": "ptx"}
        options["launch_bounds"] = launch_bounds(key.variant)
        kernel = made[text.kernel].py_func
        try:
            ptx, _ = cuda.compile(kernel, _signature(key), **options)
        except NumbaError as error:
            if key.omega.bundled:
                raise
            raise not_compiled(key.omega, error) from error
    return str(ptx)


def declaration(ptx: str) -> tuple[str, tuple[str, ...]]:
    """The name of the one kernel in a PTX text, and the types of its parameters."""
    ((name, declared),) = re.findall(r"\.entry\s+(\w+)\s*\(([^)]*)\)", ptx)
    return name, tuple(re.findall(r"\.param\s+\.(\w+)", declared))


def link(ptx: str, capability: tuple[int, int]) -> bytes:
    """The cubin of a PTX text. Raises InputError where nvJitLink is older than the compiler that wrote the text."""
    core = imported("cuda.core")
    architecture = "sm_{}{}".format(*capability)
    try:
        linker = core.Linker(core.ObjectCode.from_ptx(ptx.encode()), options=core.LinkerOptions(arch=architecture))
        return bytes(linker.link("cubin").code)
    except Exception as error:
        if "Unsupported .version" not in str(error):
            raise
        raise InputError(
            f"nvJitLink does not know the PTX that NVVM writes ({', '.join(compilers())}); expected an nvJitLink no "
            f"older than NVVM: {how_to_install()}"
        ) from error


def _signature(key: Key) -> Any:
    """The kernel's arguments for Numba: four records, whose fields become parameters one by one.

    A field that a variant does not read is an address, too, of 0: a field of type none would also cost a parameter.
    """
    import numba
    from numba import types

    kinds = parameters(key.real)
    operator = numba.typeof(key.omega(*[key.real(1)] * len(key.omega._fields)))

    def addresses(record: Any) -> Any:
        return types.NamedTuple([types.CPointer(numba.from_dtype(np.dtype(kind))) for kind in record], type(record))

    call = types.NamedTuple([numba.from_dtype(np.dtype(kind)) for kind in kinds.call], Call)
    assert isinstance(kinds.arrays, Arrays) and isinstance(kinds.state, State)
    return types.void(operator, call, addresses(kinds.arrays), addresses(kinds.state))


@contextmanager
def _numba_cuda(capability: tuple[int, int]) -> Iterator[Any]:
    """The module numba.cuda of the package numba-cuda, with two replacements for the time of a compilation.

    numba-cuda asks the current device for the compute capability, and would make a context to ask: memory of a device,
    in every process of a training the first device's. So a replacement answers. numba-cuda 0.30 also registers
    np.row_stack, partly at import and partly at the first compilation; NumPy 2.5 has no function of this name, and is
    lent a replacement.
    """
    if find_spec("numba_cuda") is None:
        imported("numba_cuda")  # raises InputError; Numba alone has a module numba.cuda, too, which is out of date

    def told() -> Any:
        return SimpleNamespace(compute_capability=capability)

    with ExitStack() as lent:
        if not hasattr(np, "row_stack"):
            lent.enter_context(_replaced(np, "row_stack", np.vstack))
        cuda = imported("numba.cuda")
        for module in ("compiler", "dispatcher"):
            lent.enter_context(_replaced(imported(f"numba.cuda.{module}"), "get_current_device", told))
        yield cuda


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """The module with another value under a name, or with a name that it lacks."""
    before = vars(module).get(name, _replaced)
    setattr(module, name, value)
    try:
        yield
    finally:
        if before is _replaced:
            delattr(module, name)
        else:
            setattr(module, name, before)
