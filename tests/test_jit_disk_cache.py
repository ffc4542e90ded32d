"""Kernels of a user's operator on disk: found by what the operator is made of, and by nothing else."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import dagdp
from dagdp import Omega
from dagdp.graphs import trellis
from dagdp.jit import disk_cache
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


@pytest.mark.skipif(disk_cache.fcntl is None, reason="no locks here")
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
    names, alone = [], disk_cache._alone
    monkeypatch.setattr(disk_cache, "_alone", lambda name: names.append(name) or alone(name))
    once_more = helper_of_compilers(lambda x: x + 1)
    assert once_more(1) == 2
    assert names == []


def test_who_cannot_lock_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "cache_directory", lambda: tmp_path / "is not there")
    with disk_cache._alone("anything"):
        entered = True
    assert entered


@pytest.fixture
def afresh(monkeypatch):
    """As in a process of its own: the folder is looked for anew, and nobody was warned."""
    disk_cache._found.cache_clear()
    monkeypatch.setattr(disk_cache, "_warned", threading.Event())
    yield monkeypatch
    disk_cache._found.cache_clear()


def plus_one(x):
    return x + 1


def kept(folder):
    return sorted(folder.glob("*/*.nbc"))


def test_the_folder_is_made_for_its_user_alone(tmp_path, afresh):
    afresh.setenv("DAGDP_CACHE_DIR", "")
    afresh.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "xdg"))
    folder = disk_cache.cache_directory()
    assert folder.parent == tmp_path / "new" / "xdg" / "dagdp"
    if hasattr(os, "getuid"):
        assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no such bits here")
@pytest.mark.parametrize("case", ["others", "group", "someone else's"])
def test_a_folder_that_others_may_write_to_is_left_alone_with_one_warning(tmp_path, afresh, case):
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path))
    if case == "someone else's":
        afresh.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
        afresh.setattr(disk_cache.Path, "stat", with_owner(disk_cache.Path.stat, tmp_path.stat().st_uid + 2))
    else:
        tmp_path.chmod(0o777 if case == "others" else 0o770)
    assert disk_cache.cache_directory() is None
    with pytest.warns(UserWarning, match=rf"{tmp_path}: others can write there.*in memory.*Set DAGDP_CACHE_DIR"):
        assert helper_of_compilers(plus_one)(1) == 2
    assert helper_of_compilers(plus_one)(1.0) == 2.0  # a second warning would be an error
    assert kept(tmp_path) == []


def with_owner(stat, owner):
    """Path.stat of files that belong to someone."""

    def asked(path, **named):
        found = stat(path, **named)
        return os.stat_result([*found[:4], owner, *found[5:10]])

    return asked


@pytest.mark.parametrize("case", ["a file", "below a file", "no home", "relative"])
def test_where_no_folder_can_be_made_that_is_said_when_something_is_compiled(tmp_path, afresh, case):
    (tmp_path / "file").write_text("")
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path / "file" / ("sub" if case == "below a file" else "")))
    if case == "relative":
        afresh.setenv("DAGDP_CACHE_DIR", "")
        afresh.setenv("XDG_CACHE_HOME", "relative")
    if case == "no home":
        for name, value in {"DAGDP_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": str(tmp_path / "file")}.items():
            afresh.setenv(name, value)
    assert disk_cache.cache_directory() is None
    compiled = helper_of_compilers(plus_one)  # as an import does: nothing is said yet
    with pytest.warns(UserWarning, match=r"cannot be kept in .*every process compiles anew"):
        assert compiled(1) == 2


def test_what_is_there_is_read_and_a_full_disk_is_a_warning(tmp_path, afresh):
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path / "cache"))
    assert helper_of_compilers(plus_one)(1) == 2
    (file,) = kept(tmp_path / "cache")

    def full(*_given, **_named):
        raise OSError(errno.ENOSPC, "No space left on device")

    afresh.setattr(disk_cache.Path, "write_bytes", full)
    again = helper_of_compilers(plus_one)
    assert again(1) == 2 and sum(again.stats.cache_hits.values()) == 1
    with pytest.warns(UserWarning, match=rf"{file.parent}: .*No space left on device.*Set DAGDP_CACHE_DIR"):
        assert again(1.0) == 2.0
    assert list(file.parent.glob("*.nbc")) == [file] and len(list(file.parent.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"garbled", None], ids=["empty", "garbled", "truncated"])
def test_a_broken_file_is_compiled_again_and_replaced(tmp_path, afresh, content):
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path))
    assert helper_of_compilers(plus_one)(1) == 2
    (file,) = kept(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    for hits in (0, 1):
        compiled = helper_of_compilers(plus_one)
        assert compiled(1) == 2 and sum(compiled.stats.cache_hits.values()) == hits


@pytest.mark.skipif(disk_cache.fcntl is None, reason="no locks here")
def test_who_cannot_open_a_lock_file_goes_on(tmp_path, monkeypatch):
    """A disk may be full at the lock file already."""
    monkeypatch.setattr(disk_cache, "cache_directory", lambda: tmp_path)
    (tmp_path / "name.lock").mkdir()
    with disk_cache._alone("name"):
        entered = True
    assert entered


@pytest.mark.parametrize("edited", ["omega.py", "jit/linking.py", "lanes/rows.py", "kernels/recursion.py",
                                    "kernels/cpu/entry.py", "kernels/cpu/packing/entries.py",
                                    "kernels/cpu/special/push.py", "compiled/index_arrays.py"])  # fmt: skip
def test_an_edit_in_any_folder_of_kernels_changes_the_key(tmp_path, edited):
    package = tmp_path / "dagdp"
    shutil.copytree(disk_cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = disk_cache._sources(package)
    assert before == disk_cache._sources()
    (package / "graph.py").write_text("# describes, and is not compiled\n")
    assert disk_cache._sources(package) == before
    with (package / edited).open("a") as file:
        file.write("# edited\n")
    assert disk_cache._sources(package) != before
