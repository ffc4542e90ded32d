"""Types of a kernel's parameters, in one place: the compiler declares them, and a launch passes them.

Nothing else compares the two. A launch hands the driver addresses of arguments, and the kernel reads at each as many
bytes as its parameter has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels.cuda.records import Arrays, Call, State

Scalar = type[np.int32 | np.int64 | np.float32 | np.float64]

# As PTX names them. It does not distinguish signed integers from others.
_PTX_NAMES: dict[Scalar, str] = {np.int32: "u32", np.int64: "u64", np.float32: "f32", np.float64: "f64"}
_PTX_ADDRESS = "u64"


class Parameters(NamedTuple):
    """NumPy types of the three records that follow the operator: of numbers, and of the elements of arrays."""

    call: Call
    arrays: Arrays
    state: State


def parameters(real: Scalar) -> Parameters:
    """The types for kernels that compute in `real`."""
    call = Call(
        batch=np.int64,
        graphs=np.int64,
        ring=np.int32,
        ended=np.int32,
        nodes=np.int64,
        entries=np.int64,
        theta_stride=np.int64,
        z_stride=np.int64,
        sign=real,
    )
    arrays = Arrays(
        plan=np.int32,
        table=np.int32,
        starts=np.int32,
        ends=np.int32,
        theta=real,
        z=real,
        values=real,
        slopes=real,
        gradient=real,
        path=np.int32,
        fault=np.int32,
    )
    return Parameters(call, arrays, State(*[real] * len(State._fields)))


def number_types(omega: Any, real: Scalar) -> tuple[Scalar, ...]:
    """Types of the numbers that a launch passes by value: fields of the operator's `Omega.Data`, then of `Call`."""
    return (*[real] * len(omega._fields), *parameters(real).call)


def ptx_names(omega: Any, real: Scalar) -> tuple[str, ...]:
    """All parameters of a kernel, as its PTX must declare them."""
    addresses = len(Arrays._fields) + len(State._fields)
    return (*(_PTX_NAMES[kind] for kind in number_types(omega, real)), *[_PTX_ADDRESS] * addresses)
