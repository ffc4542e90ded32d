"""CUDA devices: whether kernels can run on one, and a check for bad numbers that a kernel met.

Tensors on a CUDA device are computed there by the `dp_*` functions, shortcuts, layers and losses. Most questions about
paths are answered on the host: docs/cuda.md has the table. Device arrays of CuPy, JAX and others that speak DLPack go
through torch. Shapes, dtypes and devices are checked at once. Numbers are not: the host
does not wait for a device. The item that has NaN or +inf among its potentials (-inf when minimising), or an end that is
no node on a path, answers NaN, and other items are untouched. The next call on the device, or `check`, raises the
error. With DAGDP_CUDA_CHECK=1 in the environment each call waits for the device and raises its own errors.

A CUDA graph may capture a call after the same call was made once, which sends the graph's plan to the device and loads
its kernel. `end=` and lengths are then tensors on the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from dagdp.array_kinds import is_foreign
from dagdp.errors import InputError
from dagdp.kernels.cuda.compilation.packages import imported

F = TypeVar("F", bound=Callable[..., Any])


def through_torch(function: F) -> F:
    """Decorator: a function of tensors that takes device arrays of other libraries, such as CuPy's, too.

    If the first argument is such an array, all of them become tensors on their memory, and tensors among the results
    become arrays of the first one's library. Results have no derivatives then. Other calls are unchanged.

    >>> import numpy as np
    >>> through_torch(np.add)(1.0, 2.0)
    np.float64(3.0)
    """

    @functools.wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        first = given[0] if given else next(iter(named.values()), None)
        if not is_foreign(first):
            return function(*given, **named)
        from dagdp.nn.autograd.device.foreign import as_tensors, handed_back, importer_of

        options = {name: as_tensors(value) for name, value in named.items()}
        return handed_back(function(*map(as_tensors, given), **options), importer_of(first))

    return called  # type: ignore[return-value]


def is_available() -> bool:
    """Whether tensors on a CUDA device can be computed: torch sees a device, and the packages are installed.

    The packages are those of `pip install "dagdp[cuda13]"`.

    >>> is_available() in (True, False)
    True
    """
    try:
        import torch
    except ImportError:
        return False
    if not torch.cuda.is_available():
        return False
    try:
        imported("cuda.core")
    except InputError:
        return False
    return True


def check(device: Any = None) -> None:
    """Wait for the device, and raise InputError for a bad number that an earlier call met there.

    device : a `torch.device`, its name or its number; default: all devices on which calls were made.

    The error names the item and what was computed. It is raised once.

    >>> check()
    """
    try:
        import torch
    except ImportError:
        return  # no tensor was computed
    from dagdp.nn.autograd.device import faults

    if device is None:
        chosen = faults.devices()
    else:
        chosen = [torch.device("cuda", device) if isinstance(device, int) else torch.device(device)]
        if chosen[0].index is None and chosen[0].type == "cuda":
            chosen = [torch.device("cuda", torch.cuda.current_device())]
    for one in chosen:
        faults.check(one)
