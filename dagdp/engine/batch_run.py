"""RUN for a batch of different graphs: the functions of `dagdp.functions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dagdp.array_kinds import home_of, is_tensor
from dagdp.compiled.layout import leaves
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.batch_call import prepare
from dagdp.engine.inputs import refuse_start
from dagdp.errors import InputError
from dagdp.kernels.cpu.entry import gradient_kernel, hessian_kernel, jvp_kernel, value_kernel
from dagdp.omega import Omega


def run(
    name: str, batch: CompiledBatch, *given: Any, start: Any = None, backend: str | None = None, **named: Any
) -> Any:
    """The function `name` of `dagdp.functions` for a batch of graphs: values [*batch, graphs], gradients as theta."""
    refuse_start(start)
    if backend is not None:
        raise InputError(f"backend={backend!r} takes one graph at a time; leave it out, or loop over batch.dags")
    if len(batch) == 0:
        return _nothing(name, given[0] if given else named.get("theta"))
    values = (*given[:2], named.get("theta"), named.get("z"))
    others = [value for value in values if value is not None and type(value) is not np.ndarray]
    tensor = next((leaf for value in others for leaf in leaves(value) if is_tensor(leaf)), None)
    home = None if tensor is None else home_of(None, tensor)
    if home is not None:
        return getattr(home, name)(batch, *given, **named)
    return FUNCTIONS[name](batch, *given, **named)


def _nothing(name: str, theta: Any) -> Any:
    """What the function hands back of a batch without graphs: no values, and gradients of zeros."""
    if isinstance(theta, list | tuple):
        theta = np.zeros(0)
    first = next(leaves(theta))
    first = first if is_tensor(first) else np.asarray(first, float)
    values = first[..., :0] if first is theta else first.reshape(-1)[:0]
    path = {key: 0.0 * block for key, block in theta.items()} if isinstance(theta, Mapping) else 0.0 * first
    single = values if name in ("dp_value", "dp_jvp") else path
    return (values, path) if "_and_" in name else single


def _value(
    batch: CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    call = prepare(batch, theta, omega, None, minimize, end, threads, on_infeasible)
    return call.values(call.launch(value_kernel, 1)[0])


def _value_and_grad(
    batch: CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> tuple[Any, Any]:
    call = prepare(batch, theta, omega, None, minimize, end, threads, on_infeasible)
    out = call.gradient_buffers()
    value = call.launch(gradient_kernel, 1, out)[0]
    return call.values(value), call.gradient(out, 1.0)


def _jvp(
    batch: CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    call = prepare(batch, theta, omega, z, minimize, end, threads, on_infeasible)
    return call.slopes(*call.launch(jvp_kernel, 2))


def value_and_slope(
    batch: CompiledBatch, theta: Any, z: Any, omega: Omega | None, minimize: bool, end: Any
) -> tuple[Any, Any]:
    """(`dp_value`, `dp_jvp`) of arrays, from one pass."""
    call = prepare(batch, theta, omega, z, minimize, end, None, "value")
    value, slope = call.launch(jvp_kernel, 2)
    slopes = call.slopes(value.copy(), slope)
    return call.values(value), slopes


def _jvp_and_hvp(
    batch: CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> tuple[Any, Any]:
    call = prepare(batch, theta, omega, z, minimize, end, threads, on_infeasible)
    out = call.gradient_buffers()
    if call.omega.solver == "first":  # piecewise linear: no curvature, so only the slope is run
        found = call.launch(jvp_kernel, 2)
    else:
        found = call.launch(hessian_kernel, 2, out)
    return call.slopes(*found), call.gradient(out, call.sign)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dp_value": _value,
    "dp_grad": lambda *given, **named: _value_and_grad(*given, **named)[1],
    "dp_value_and_grad": _value_and_grad,
    "dp_jvp": _jvp,
    "dp_hvp": lambda *given, **named: _jvp_and_hvp(*given, **named)[1],
    "dp_jvp_and_hvp": _jvp_and_hvp,
}
