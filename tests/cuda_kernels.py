"""The package's device kernels, interpreted: of arrays, or of torch's CPU tensors in place of CUDA tensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from cuda_interpreter import CUDA, INPUTS, Grid, Machine, RealMath, Roles

from dagdp.kernels.cuda import schedule
from dagdp.kernels.cuda.compilation.points import entry_name, names_of, static_names, texts
from dagdp.kernels.cuda.compilation.specialise import specialised
from dagdp.kernels.cuda.plan.device_plan import DevicePlan, device_plan
from dagdp.kernels.cuda.records import Arrays, State, Variant
from dagdp.kernels.cuda.schedule import Given, Launch, Passes, launch_of, results, state_names

WARP_SIZE = 4  # threads of a warp; of a block of threads, twice as many
SHARED_LIMIT = 1 << 20  # bytes of shared memory of a block


@functools.cache
def names(data: type, real: Any, warp_size: int = WARP_SIZE) -> dict[str, Any]:
    """The namespace of the package's texts, in which numbers are NumPy's."""
    maths = RealMath(real)

    def with_maths(function: FunctionType) -> FunctionType:
        """A function of the operator, in which `math` is that of the real type."""
        space = {name: maths if value is math else value for name, value in function.__globals__.items()}
        return FunctionType(function.__code__, space, function.__name__, function.__defaults__, function.__closure__)

    found = names_of(data, real, real, CUDA, wrap=with_maths)
    band = {"BAND": WARP_SIZE, "BAND_BITS": WARP_SIZE.bit_length() - 1}  # no wider than a warp, which copies whole rows
    return {**found, "math": maths, "WARP_SIZE": warp_size, **band}


def warp_size(variant: Variant) -> int:
    """Threads of a warp: as many as a chain has states, for its kernel has a thread for each."""
    return max(WARP_SIZE, variant.tied if variant.warp else 0)


@functools.cache
def kernel_of(variant: Variant, data: type, real: Any) -> Any:
    """The package's kernel for the interpreter."""
    space = names(data, real, warp_size(variant))
    return specialised(texts(), space, static_names(variant, data), "yield")[entry_name(variant)]


def grid_of(launch: Launch, real: Any) -> Grid:
    """The launch with few threads: warps of WARP_SIZE, blocks of at most twice as many."""
    warp = warp_size(launch.variant)
    if launch.variant.warp:
        threads = launch.threads // schedule.WARP_SIZE * warp
        return Grid(launch.grid, threads, warp, launch.shared_bytes, real)
    threads = min(launch.threads, max(2 * WARP_SIZE, launch.variant.tied * launch.variant.parts))
    return Grid(launch.grid, threads, threads, launch.shared_bytes, real)


def with_blocks(launch: Launch) -> Launch:
    """The launch with a block for each item, where it has a warp."""
    if not launch.variant.warp:
        return launch
    warps, (_, y, z) = launch.threads // schedule.WARP_SIZE, launch.grid
    return launch._replace(
        variant=launch.variant._replace(warp=False),
        grid=(int(launch.call.batch), y, z),
        threads=schedule.WARP_SIZE,
        shared_bytes=launch.shared_bytes // warps,
    )


class InterpretedDriver:
    """Launches on torch's CPU tensors, which share their memory with NumPy.

    machine : how threads are run; without, memory is not watched. The number of launches is counted.
    """

    def __init__(self, machine: Machine | None = None, shared_limit: int = SHARED_LIMIT) -> None:
        self.machine = machine or Machine(watched=False)
        self.shared_limit = shared_limit
        self.launches = 0

    def launch(self, launch: Launch, omega: Any, real: Any, arrays: Arrays, state: State, stream: int) -> None:
        """Run a kernel before this returns."""
        self.launches += 1
        records = [omega, launch.call, *(_in_numpy(record) for record in (arrays, state))]
        kernel = kernel_of(launch.variant, type(omega), real)
        # a gradient of which the kernel writes a part was filled by the caller; what is not written stays as it is
        self.machine.launch(kernel, grid_of(launch, real), records, Roles(outputs=("values", "slopes")))


def _in_numpy(record: Any) -> Any:
    """The record with arrays that share the tensors' memory. Raises RuntimeError for a tensor with gaps."""
    return type(record)(*(None if tensor is None else tensor.detach().view(-1).numpy() for tensor in record))


class Results(NamedTuple):
    """What a launch computed, for each batch item."""

    values: Any  # [batch, graphs]
    slopes: Any  # [batch, graphs], or None
    gradient: Any  # [batch, entries], local weights [batch, edges]; or None
    path: Any  # [batch, edges of a longest path], or None
    fault: int


class Problem(NamedTuple):
    """A batch of potentials on compiled graphs. theta, z : [batch, entries], or [entries] for all items."""

    graphs: Any
    theta: Any
    omega: Any
    z: Any = None
    batch: int = 1
    starts: Any = None  # internal numbers, [batch * graphs]
    ends: Any = None
    minimize: bool = False


def solve(
    problem: Problem,
    passes: Passes,
    machine: Machine | None = None,
    shared_limit: int = SHARED_LIMIT,
    kernel: Any = kernel_of,
    form: Callable[[Launch], Launch] = lambda launch: launch,
) -> Results:
    """One launch; every number that a kernel must write is checked to be written.

    form : of the launch, for example `with_blocks`.
    kernel : makes the kernel of (variant, data, real).
    """
    plan: DevicePlan = device_plan(problem.graphs)
    real, batch = problem.theta.dtype.type, problem.batch
    given = Given(
        minimize=problem.minimize,
        starts=problem.starts is not None,
        ends=problem.ends is not None,
        one_theta=problem.theta.ndim == 1,
        one_z=problem.z is not None and problem.z.ndim == 1,
        solver=problem.omega.solver,
    )
    launch = form(launch_of(plan, passes, real, batch, given, shared_limit))
    variant, items = launch.variant, batch * plan.graphs
    number = results(plan, passes)
    nan = functools.partial(np.full, fill_value=np.nan, dtype=real)
    gradient = nan(batch * number) if variant.backward or variant.weights else None
    if variant.weights or (variant.backward and plan.unread):
        gradient[:] = 0.0
    path = np.full(batch * number, -7, np.int32) if variant.decode else None
    arrays = Arrays(
        plan=plan.plan,
        table=plan.table.reshape(-1),
        starts=problem.starts,
        ends=problem.ends,
        theta=problem.theta.reshape(-1),
        z=None if problem.z is None else problem.z.reshape(-1),
        values=nan(items),
        slopes=nan(items) if variant.tangent else None,
        gradient=gradient,
        path=path,
        fault=np.zeros(1, np.int32),
    )
    kept = state_names(variant, problem.omega)
    state = State(*(nan(batch * plan.nodes) if name in kept else None for name in State._fields))
    filled = gradient is not None and not np.isnan(gradient).any()
    roles = Roles(INPUTS, ("fault", "gradient") if filled else ("fault",), ("values", "slopes", "gradient", "path"))
    data = problem.omega.data(real)
    (machine or Machine()).launch(
        kernel(variant, type(data), real), grid_of(launch, real), [data, launch.call, arrays, state], roles
    )
    shaped = (None if one is None else one.reshape(batch, -1) for one in (arrays.values, arrays.slopes, gradient, path))
    return Results(*shaped, int(arrays.fault[0]))
