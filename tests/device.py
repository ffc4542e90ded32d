"""Tensors on the CPU in the place of tensors on a device: the whole path from a tensor to a launch, without a device.

`HostDriver` answers a launch by the bodies of `dagdp.engine.run`. It reads and writes the arrays of the launch only, so
what it is given is what a kernel would be given.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

import dagdp
from cuda_interpreter import CUDA, Grid, Machine, RealMath
from dagdp import array_kinds
from dagdp.compiled.dag import CompiledDAG
from dagdp.engine import run
from dagdp.engine.inputs import Options
from dagdp.kernels.cuda.points import names_of, static_names, texts
from dagdp.kernels.cuda.specialise import specialised
from dagdp.nn.autograd.device import accelerator, faults, launches
from dagdp.nn.autograd.operators import Problem


class Recorder:
    """A driver that counts launches and hands them on."""

    shared_limit = 48 << 10

    def __init__(self, inner: Any) -> None:
        self.inner, self.launches = inner, []

    def launch(self, *arguments: Any) -> None:
        self.launches.append(arguments)
        self.inner.launch(*arguments)


class InterpretedDriver:
    """Runs the kernels' own text in Python, thread by thread, on the memory of the tensors. Slow: for tiny graphs."""

    def launch(self, launch: Any, omega: Any, real: Any, call: Any, arrays: Any, state: Any, stream: int) -> None:
        data, warp = type(omega), launch.variant.warp
        names = names_of(data, real, real, CUDA, maths=RealMath(real)) | {"WARP_SIZE": 4}
        kernel = specialised(texts(), names, static_names(launch.variant, data), "yield")["sweep"]
        team = 4 if warp else 8
        grid = Grid(launch.grid, team * int(call.warps), team, launch.shared_bytes, real)
        records = [omega, call, arrays._make(map(memory_of, arrays)), state._make(map(memory_of, state))]
        Machine(watched=False).launch(kernel, grid, records)


def memory_of(tensor: torch.Tensor | None) -> Any:
    """The numbers at the tensor's address, one after another."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.detach().reshape(-1).numpy()


class HostDriver:
    """Values, gradients, slopes and paths by the CPU's kernels, item by item: a bad item answers NaN and sets the flag."""

    def launch(self, launch: Any, omega: Any, real: type, call: Any, arrays: Any, state: Any, stream: int) -> None:
        dag = graph_of(arrays.table)
        variant, graphs = launch.variant, int(call.graphs)
        operator = omega.omega(*(float(getattr(omega, name)) for name in omega.omega.__match_args__))
        answer = np.nan
        for k in range(int(call.items) // graphs):
            theta = row_of(dag, arrays.theta, call.theta_stride, k)
            z = row_of(dag, arrays.z, call.z_stride, k)
            start, end, bad = terminals_of(dag, arrays, k)
            options = Options(minimize=float(call.sign) < 0, start=start, end=end)
            try:
                if bad:
                    raise dagdp.InputError("a wrong end")
                answers = self.answer(dag, variant, theta, z, operator, options, end == "nowhere")
            except dagdp.InputError:
                answers = {name: answer for name in ("values", "slopes", "gradient")} | {"path": -1}
                arrays.fault[0] = k * graphs + 1
            for name, found in answers.items():
                target = getattr(arrays, name)
                if target is not None:
                    flat = target.detach().reshape(int(call.items) // graphs, -1)
                    flat[k] = torch.as_tensor(np.asarray(found)).to(flat.dtype)
                    assert flat.data_ptr() == target.data_ptr()

    def answer(
        self, dag: Any, variant: Any, theta: Any, z: Any, operator: Any, options: Options, nowhere: bool
    ) -> dict[str, Any]:
        if nowhere:
            lost = np.inf if options.minimize else -np.inf
            return {"values": lost, "slopes": 0.0, "gradient": 0.0, "path": -1}
        if variant.decode:
            best = dagdp.best_path(dag, theta, minimize=options.minimize, end=options.end)
            row = np.full(dag.num_levels - 1, -1)
            row[: best.edges.size] = best.edges[::-1]
            return {"values": best.scores, "path": row}
        if variant.tangent:
            slope, change = run.jvp_and_hvp(dag, theta, z, operator, options)
            made = {"values": run.value(dag, theta, operator, options), "slopes": slope}
            return made | ({"gradient": flat_of(change)} if variant.backward else {})
        if variant.backward:
            value, path = run.value_and_grad(dag, theta, operator, options)
            return {"values": value, "gradient": flat_of(path)}
        return {"values": run.value(dag, theta, operator, options)}


def graph_of(table: torch.Tensor) -> Any:
    """The graph whose table lies on the device at this address."""
    for dag, own in launches._ready.items():
        if any(ready.table.data_ptr() == table.data_ptr() for ready in own.values()):
            return dag
    raise AssertionError("the launch names no graph")


def row_of(dag: Any, array: torch.Tensor | None, stride: Any, item: int) -> Any:
    """The potentials of an item in the user's form, read where a kernel reads them: from an address and a stride."""
    if array is None:
        return None
    entries = sum(potential.size for potential in dag.potentials)
    flat = torch.as_strided(array.detach(), (entries,), (1,), array.storage_offset() + item * int(stride))
    return Problem(dag, dagdp.HardMax(), False, 0).split(flat.numpy().copy())


def terminals_of(dag: Any, arrays: Any, item: int) -> tuple[Any, Any, bool]:
    """(`start=`, `end=` or "nowhere", whether the end is a wrong one), of one item."""
    end = -2 if arrays.ends is None else int(arrays.ends[item])
    start = None if arrays.starts is None else int(arrays.starts[item])
    if end == -3:
        return None, None, True
    if end == -1 or start == -1:
        return None, "nowhere", False
    names: Any = None if end in (-2, dag.end if isinstance(dag, CompiledDAG) else -2) else user_number(dag, end)
    begin = None if start is None else user_number(dag, start)
    return begin, names, False


def user_number(dag: Any, node: int) -> Any:
    own = {int(entrance): int(name) for name, entrance in dag.entrances}
    number = own.get(node, int(dag.origin[node]))
    return dag.end_names(np.array(number))


def flat_of(made: Any) -> Any:
    parts = list(made.values()) if isinstance(made, dict) else [made]
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """CPU tensors count as tensors on a device; launches are answered by `HostDriver`, and recorded."""
    driver = Recorder(HostDriver())
    return take_the_place(monkeypatch, driver)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """As `device`, with the kernels' own text run by the interpreter."""
    return take_the_place(monkeypatch, Recorder(InterpretedDriver()))


def take_the_place(monkeypatch: pytest.MonkeyPatch, driver: Recorder) -> Recorder:
    """Let CPU tensors count as tensors on a device, and the driver be that device's."""
    monkeypatch.setattr(array_kinds, "ACCELERATORS", frozenset({"cuda", "cpu"}))
    monkeypatch.setattr(array_kinds, "DLPACK_ACCELERATORS", frozenset({1, 2}))
    monkeypatch.setattr(accelerator, "driver_of", lambda device: driver)
    monkeypatch.setattr(accelerator, "stream_of", lambda device: 0)
    monkeypatch.setattr(accelerator, "device_guard", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(accelerator, "capturing", lambda: False)
    monkeypatch.setattr(accelerator, "synchronize", lambda device: None)
    monkeypatch.setattr(accelerator, "pinned", torch.clone)
    monkeypatch.setattr(faults, "_flags", {})
    monkeypatch.setattr(accelerator, "_constants", {})
    monkeypatch.setattr(launches, "_ready", type(launches._ready)())
    return driver
