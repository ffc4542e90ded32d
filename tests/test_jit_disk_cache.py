"""Kernels of a user's operator on disk: found by what the operator is made of, and by nothing else."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import dagdp
from dagdp import Omega
from dagdp.graphs import trellis
from dagdp.jit import cache_folder, disk_cache
from dagdp.jit.decorators import Kernel
from dagdp.jit.decorators import helper as helper_of_compilers
from dagdp.kernels.cpu import entry
from dagdp.omega import storable

HALF = 0.5


def helper(y):
    return 0.5 * y


def operator():
    """A class of its own at every call: twice the squared operator."""

    @dataclass(frozen=True)
    class Doubled(Omega):
        gamma: float = 1.0
        corner = 2.0

        def link(self, y):
            return HALF * y if y > 0.0 else 0.0

        def slope(self, y):
            return 0.5 if y > 0.0 else 0.0

        def conjugate(self, y):
            return 0.25 * y * y if y > 0.0 else 0.0

    return Doubled


def with_a_helper():
    class Doubled(operator()):
        def link(self, y):
            return helper(y)

    return Doubled


def imported_as(name, folder):
    """The operator from a file of its own, as a module of that name."""
    text = inspect.getsource(operator).replace("HALF", "0.5")
    (folder / f"{name}.py").write_text("from dataclasses import dataclass\nfrom dagdp import Omega\n\n\n" + text)
    return importlib.import_module(name).operator()


def test_a_second_process_finds_a_users_kernel(tmp_path, monkeypatch):
    """Played here by a second kernel, and a second class from another module, that know nothing of the first."""
    monkeypatch.setattr(disk_cache, "cache_directory", lambda: tmp_path)
    graph = trellis(4, 3)
    theta = np.random.default_rng(0).normal(size=(5, *graph.potentials()[0].shape))
    values, builds = [], []
    for name in ("module_one", "module_two"):
        kernel = Kernel(entry._gradient, entry.gradient_kernel.passes)
        with monkeypatch.context() as patch:
            (tmp_path / name).mkdir()
            patch.syspath_prepend(tmp_path / name)
            patch.setattr("dagdp.engine.run.gradient_kernel", kernel)
            values.append(dagdp.dp_grad(dagdp.compile(graph), theta, imported_as(name, tmp_path / name)(0.7)))
        del sys.modules[name]
        builds.append(kernel.custom)
    assert [sum(build.stats.cache_misses.values()) for build in builds] == [1, 0]
    assert [sum(build.stats.cache_hits.values()) for build in builds] == [0, 1]
    assert (values[0] == values[1]).all()
    np.testing.assert_allclose(
        values[0], dagdp.reference.dp_grad(dagdp.compile(graph), theta, operator()(0.7)), atol=1e-12
    )

    (file,) = tmp_path.glob("Doubled*.kernel")
    assert b"module_one" not in file.read_bytes(), "another process may not have that module"
    (signature,) = builds[1].overloads
    context = builds[1].targetctx
    assert builds[1]._cache.load_overload(signature, context) is not None
    file.write_bytes(file.read_bytes()[:1000])
    assert builds[1]._cache.load_overload(signature, context) is None
    assert not file.exists(), "another process would read it in vain, too"


def test_only_what_is_still_as_it_was(monkeypatch):
    made = operator().Data
    assert storable(made) and made.made_of in made.__name__
    assert operator().Data.__name__ == made.__name__ and operator().Data.label != made.label
    monkeypatch.setitem(globals(), "HALF", 0.6)
    assert not storable(made)
    assert storable(operator().Data) and operator().Data.__name__ != made.__name__
    kind = operator()
    monkeypatch.setattr(kind, "slope", lambda self, y: 1.0)
    assert not storable(kind.Data)


def test_what_cannot_be_followed_is_not_kept():
    made = with_a_helper().Data
    assert made.made_of is None and not storable(made)
    assert made.__name__ != with_a_helper().Data.__name__


def test_nothing_is_kept_where_nothing_can_be_written(monkeypatch):
    monkeypatch.setattr(disk_cache, "cache_directory", lambda: None)
    cache = disk_cache.OperatorCache(entry._value)
    assert cache._file(operator().Data, (), None) is None


VALUE = """
import numpy as np, dagdp
from dagdp.kernels.cpu.entry import value_kernel
value = dagdp.dp_value(dagdp.compile(dagdp.Graph.from_edges([0], [1])), np.ones(1))
misses = value_kernel.bundled.stats.cache_misses
print(float(value), sum(misses.values()))
"""


@pytest.mark.skipif(cache_folder.fcntl is None, reason="no locks here")
def test_of_processes_that_start_together_one_compiles(tmp_path):
    environment = {**os.environ, "DAGDP_CACHE_DIR": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", VALUE], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=300)[0].split() for process in running]
    assert [value for value, _ in said] == ["1.0"] * 3
    assert sorted(misses for _, misses in said) == ["0", "0", "1"]


def test_what_compiled_code_calls_is_not_locked_while_it_is_compiled(monkeypatch):
    """Under Numba's lock it would wait for a thread that waits for that one."""
    names, alone = [], disk_cache.alone
    monkeypatch.setattr(disk_cache, "alone", lambda name: names.append(name) or alone(name))
    once_more = helper_of_compilers(lambda x: x + 1)
    assert once_more(1) == 2
    assert names == []
