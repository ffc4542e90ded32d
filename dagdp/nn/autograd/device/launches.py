"""The passes on a device: memory from torch's allocator, the arguments of a kernel, and its launch.

Every pass is one launch on torch's current stream of theta's device. The host waits for nothing, so a pass may be
captured in a CUDA graph once the plan is on the device.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.forms import found, remember
from dagdp.errors import InputError
from dagdp.kernels.cuda.plan.device_plan import DevicePlan, device_plan
from dagdp.kernels.cuda.records import Arrays, State
from dagdp.kernels.cuda.schedule import Given, Launch, Passes, launch_of, state_names
from dagdp.nn.autograd.device import accelerator, faults
from dagdp.nn.autograd.device.terminals import internal_terminals
from dagdp.omega import Omega

NAMES = {
    Passes.VALUE: "the value",
    Passes.GRADIENT: "the value and the expected path",
    Passes.SLOPE: "the slope <E, Z>",
    Passes.HESSIAN: "the Hessian product",
    Passes.WEIGHTS: "local weights",
    Passes.PATH: "the best path",
}


class PlanOnDevice(NamedTuple):
    """The plan of a graph whose arrays lie on one device, and what calls of one form have in common."""

    plan: DevicePlan
    numbers: Tensor  # int32, the plan's index arrays
    table: Tensor  # int64 [graphs, columns]
    calls: dict[Any, Any]
    stream: int  # on which they were made


class Prepared(NamedTuple):
    """What calls of one form have in common."""

    launch: Launch
    omega: Any  # `Omega.Data`
    state: tuple[str, ...]  # names of the arrays that the kernel keeps


class Answers(NamedTuple):
    """Results of a launch; None for those that its kernel does not compute."""

    values: Tensor  # [*batch], of a batch of graphs [*batch, graphs]
    slopes: Tensor | None
    gradient: Tensor | None  # [*batch, entries]; of local weights [*batch, edges]
    path: Tensor | None  # int32 [*batch, edges of a longest path]


_ready: WeakKeyDictionary[Any, dict[torch.device, PlanOnDevice]] = WeakKeyDictionary()


class DeviceProblem(NamedTuple):
    """A graph, an operator and a sign, computed on the device of theta [*batch, n]."""

    dag: CompiledDAG | CompiledBatch
    omega: Omega
    minimize: bool

    def run(self, passes: Passes, theta: Tensor, z: Tensor | None, end: Tensor | None) -> Answers:
        """One launch.

        theta : float32 or float64 [*batch, n] on a device.  z : like theta, or None without a direction.
        end : node numbers on the same device, see `dagdp.nn.autograd.tensors.terminals`.

        Raises InputError for a fault of an earlier call that is known by now.
        """
        device, batch = theta.device, tuple(theta.shape[:-1])
        with accelerator.device_guard(device):
            flags = faults.flags_of(device)
            flags.raise_known()
            ready = plan_on(self.dag, device)
            outputs, answers = _outputs(passes, self.dag, ready.plan, theta)
            if math.prod(batch) > 0:
                name = f"{NAMES[passes]} of {self.dag!r}"
                slot = flags.slot_for(faults.Call(name, tuple(answers.values.shape), faults.BAD_NUMBERS))
                self._launch(ready, passes, (theta, z, end), outputs._replace(fault=slot))
                if accelerator.checks_each_call() and not accelerator.capturing():
                    faults.check(device)
        return answers

    def _launch(
        self,
        ready: PlanOnDevice,
        passes: Passes,
        given: tuple[Tensor, Tensor | None, Tensor | None],
        outputs: Arrays,
    ) -> None:
        """given : theta, z and `end` of `run`."""
        theta, z, end = given
        device, items, entries = theta.device, math.prod(theta.shape[:-1]), theta.shape[-1]
        starts, ends = (None, None) if end is None else internal_terminals(self.dag, end, theta.dim())
        real: Any = np.float64 if theta.dtype is torch.float64 else np.float32
        driver = accelerator.driver_of(device)
        weights, one_theta = rows_of(theta, items, entries)
        along, one_z = (None, False) if z is None else rows_of(z, items, entries)
        asked = Given(self.minimize, starts is not None, ends is not None, one_theta, one_z, self.omega.solver)
        known = self._prepared(ready, passes, real, items, asked, driver)
        kept = theta.new_empty((len(known.state), items * ready.plan.nodes)).unbind(0)
        nothing = dict.fromkeys(State._fields)
        state = State(**{**nothing, **dict(zip(known.state, kept, strict=True))})
        arrays = outputs._replace(
            plan=ready.numbers, table=ready.table, theta=weights, z=along, starts=starts, ends=ends
        )
        stream = accelerator.stream_of(device)
        if stream != ready.stream:
            accelerator.used_here(ready.numbers, ready.table)
        driver.launch(known.launch, known.omega, real, arrays, state, stream)

    def _prepared(
        self, ready: PlanOnDevice, passes: Passes, real: Any, items: int, asked: Given, driver: accelerator.Driver
    ) -> Prepared:
        form = passes, real, items, asked, self.omega
        known: Prepared | None = found(ready.calls, form)
        if known is None:
            if accelerator.capturing():
                raise InputError(
                    f"a CUDA graph is captured, and {NAMES[passes]} was not computed for this graph, operator and "
                    "batch before, so its kernel may not be loaded; expected the same call once before the capture"
                )
            launch = launch_of(ready.plan, passes, real, items, asked, driver.shared_limit)
            known = Prepared(launch, self.omega.data(real), state_names(launch.variant, self.omega))
            remember(ready.calls, form, known)
        return known


def plan_on(dag: CompiledDAG | CompiledBatch, device: torch.device) -> PlanOnDevice:
    """The graph's plan on the device: made and sent at the first call.

    Raises InputError where that first call is made while a CUDA graph is captured.
    """
    own = _ready.setdefault(dag, {})
    if device not in own:
        plan = device_plan(dag)
        numbers, table = (
            accelerator.sent(array, device, "the plan of the graph") for array in (plan.plan, plan.table.reshape(-1))
        )
        accelerator.settle(device)
        own[device] = PlanOnDevice(plan, numbers, table, {}, accelerator.stream_of(device))
    return own[device]


def rows_of(tensor: Tensor, items: int, entries: int) -> tuple[Tensor, bool]:
    """(contiguous numbers [items, entries], False); or (numbers [entries], True) where all items share one row.

    A row that is expanded over the batch is not repeated in memory.
    """
    rows = tensor.detach().reshape(items, entries)
    if items > 1 and rows.stride(0) == 0:
        return rows[0].contiguous(), True
    return rows.contiguous(), False


def _outputs(
    passes: Passes, dag: CompiledDAG | CompiledBatch, plan: DevicePlan, theta: Tensor
) -> tuple[Arrays, Answers]:
    """(the arrays that the kernel writes, the results in them)."""
    batch = tuple(theta.shape[:-1])
    values = theta.new_empty(batch if isinstance(dag, CompiledDAG) else (*batch, plan.graphs))
    slopes = gradient = path = None
    if passes in (Passes.SLOPE, Passes.HESSIAN):
        slopes = torch.empty_like(values)
    if passes in (Passes.GRADIENT, Passes.HESSIAN):
        make = theta.new_zeros if plan.unread else theta.new_empty  # no kernel writes entries that no edge reads
        gradient = make(theta.shape)
    if passes is Passes.WEIGHTS:
        gradient = theta.new_zeros((*batch, plan.edges))
    if passes is Passes.PATH:
        path = theta.new_empty((*batch, plan.levels - 1), dtype=torch.int32)
    written = dict.fromkeys(Arrays._fields) | {"values": values, "slopes": slopes, "gradient": gradient, "path": path}
    return Arrays(**written), Answers(values, slopes, gradient, path)
