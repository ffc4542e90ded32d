"""Tensors on the CPU in the place of tensors on a device: the whole path from a tensor to a launch, without a device.

`HostDriver` answers a launch by `dagdp.reference`. It reads and writes the arrays of the launch only, so
what it is given is what a kernel would be given.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from cuda_kernels import InterpretedDriver

import dagdp
from dagdp import array_kinds, reference
from dagdp.compiled.dag import CompiledDAG
from dagdp.nn.autograd.device import accelerator, faults, launches
from dagdp.nn.autograd.operators import Problem

EDGES = [0, 0, 1, 1, 2], [1, 2, 2, 3, 3]
SMOOTH = dagdp.Negentropy(0.7)


@pytest.fixture
def dag():
    """A small graph."""
    return dagdp.compile(dagdp.Graph.from_edges(*EDGES))


@pytest.fixture
def theta():
    """Potentials of three items, [3, 5]."""
    return np.random.default_rng(0).normal(size=(3, 5))


class Recorder:
    """A driver that counts launches and hands them on."""

    shared_limit = 48 << 10

    def __init__(self, inner: Any) -> None:
        self.inner, self.launches = inner, []

    def launch(self, *arguments: Any) -> None:
        self.launches.append(arguments)
        self.inner.launch(*arguments)


class HostDriver:
    """Answers of `dagdp.reference`, item by item: a bad item answers NaN and sets the flag."""

    def launch(self, launch: Any, omega: Any, real: type, arrays: Any, state: Any, stream: int) -> None:
        call, dag = launch.call, graph_of(arrays.table)
        operator = omega.omega(*(float(getattr(omega, name)) for name in omega.omega.__match_args__))
        assert call.ended == (arrays.ends is not None) and launch.variant.starts == (arrays.starts is not None)
        for k in range(int(call.batch)):
            theta, z = (
                row_of(dag, *pair, k) for pair in ((arrays.theta, call.theta_stride), (arrays.z, call.z_stride))
            )
            start, end, bad = terminals_of(dag, arrays, k)
            options = {"minimize": float(call.sign) < 0, "start": start, "end": end}
            try:
                if bad:
                    raise dagdp.InputError("a wrong end")
                answers = answers_of(dag, launch.variant, theta, z, operator, options)
            except dagdp.InputError:
                answers = dict.fromkeys(("values", "slopes", "gradient"), np.nan) | {"path": -1}
                arrays.fault[0] = k * int(call.graphs) + 1
            for name in ("values", "slopes", "gradient", "path"):
                target = getattr(arrays, name)
                if target is not None:
                    assert target.is_contiguous()
                    rows = target.detach().view(int(call.batch), -1)
                    rows[k] = torch.as_tensor(np.asarray(answers[name])).to(rows.dtype)


def answers_of(dag: Any, variant: Any, theta: Any, z: Any, omega: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What a kernel writes for one item, by the names of `Arrays`."""
    if options["end"] == "nowhere":
        return {"values": np.inf if options["minimize"] else -np.inf, "slopes": 0.0, "gradient": 0.0, "path": -1}
    if isinstance(dag, CompiledDAG):
        made = {"values": reference.dp_value(dag, theta, omega, **options)}
        if variant.tangent:
            slope, change = reference.dp_jvp_and_hvp(dag, theta, z, omega, **options)
            return made | {"slopes": slope, "gradient": flat_of(change)}
        if variant.backward:
            made["gradient"] = flat_of(reference.dp_grad(dag, theta, omega, **options))
        if variant.decode:
            made["path"] = backwards(dag, dagdp.best_path(dag, theta, minimize=options["minimize"], end=options["end"]))
        return made
    options = {"minimize": options["minimize"]}
    made = {"values": dagdp.dp_value(dag, theta, omega, **options)}
    if variant.tangent:
        slope, change = dagdp.dp_jvp_and_hvp(dag, theta, z, omega, **options)
        return made | {"slopes": slope, "gradient": flat_of(change)}
    return made | {"gradient": flat_of(dagdp.dp_grad(dag, theta, omega, **options))}


def backwards(dag: Any, path: Any) -> Any:
    """The edges of a path from the end back, padded to the longest one."""
    row = np.full(dag.num_levels - 1, -1)
    row[: path.edges.size] = path.edges[::-1]
    return row


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
    monkeypatch.setattr(accelerator, "settle", lambda device: None)
    monkeypatch.setattr(accelerator, "pinned", torch.clone)
    monkeypatch.setattr(faults, "_flags", {})
    monkeypatch.setattr(accelerator, "_constants", {})
    monkeypatch.setattr(launches, "_ready", type(launches._ready)())
    return driver
