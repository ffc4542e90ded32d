"""The folder of compiled kernels: who may write there, what is said where there is none, what its name is made of."""

from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest

from dagdp.jit import cache_folder
from dagdp.jit.decorators import helper as helper_of_compilers


def test_who_cannot_lock_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "cache_directory", lambda: tmp_path / "is not there")
    with cache_folder.alone("anything"):
        entered = True
    assert entered


@pytest.fixture
def afresh(monkeypatch):
    """As in a process of its own: the folder is looked for anew, and nobody was warned."""
    cache_folder._found.cache_clear()
    monkeypatch.setattr(cache_folder, "_warned", threading.Event())
    yield monkeypatch
    cache_folder._found.cache_clear()


def plus_one(x):
    return x + 1


def kept(folder):
    return sorted(folder.glob("*/*.nbc"))


def test_the_folder_is_made_for_its_user_alone(tmp_path, afresh):
    afresh.setenv("DAGDP_CACHE_DIR", "")
    afresh.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "xdg"))
    folder = cache_folder.cache_directory()
    assert folder.parent == tmp_path / "new" / "xdg" / "dagdp"
    if hasattr(os, "getuid"):
        assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no such bits here")
@pytest.mark.parametrize("case", ["others", "group", "someone else's"])
def test_a_folder_that_others_may_write_to_is_left_alone_with_one_warning(tmp_path, afresh, case):
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path))
    if case == "someone else's":
        afresh.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
        afresh.setattr(cache_folder.Path, "stat", with_owner(cache_folder.Path.stat, tmp_path.stat().st_uid + 2))
    else:
        tmp_path.chmod(0o777 if case == "others" else 0o770)
    assert cache_folder.cache_directory() is None
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
    assert cache_folder.cache_directory() is None
    compiled = helper_of_compilers(plus_one)  # as an import does: nothing is said yet
    with pytest.warns(UserWarning, match=r"cannot be kept in .*every process compiles anew"):
        assert compiled(1) == 2


def test_what_is_there_is_read_and_a_full_disk_is_a_warning(tmp_path, afresh):
    afresh.setenv("DAGDP_CACHE_DIR", str(tmp_path / "cache"))
    assert helper_of_compilers(plus_one)(1) == 2
    (file,) = kept(tmp_path / "cache")

    def full(*_given, **_named):
        raise OSError(errno.ENOSPC, "No space left on device")

    afresh.setattr(cache_folder.Path, "write_bytes", full)
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


@pytest.mark.skipif(cache_folder.fcntl is None, reason="no locks here")
def test_who_cannot_open_a_lock_file_goes_on(tmp_path, monkeypatch):
    """A disk may be full at the lock file already."""
    monkeypatch.setattr(cache_folder, "cache_directory", lambda: tmp_path)
    (tmp_path / "name.lock").mkdir()
    with cache_folder.alone("name"):
        entered = True
    assert entered


@pytest.mark.parametrize("edited", ["omega.py", "jit/linking.py", "lanes/rows.py", "kernels/recursion.py",
                                    "kernels/cpu/entry.py", "kernels/cpu/packing/entries.py",
                                    "kernels/cpu/special/push.py", "compiled/index_arrays.py"])  # fmt: skip
def test_an_edit_in_any_folder_of_kernels_changes_the_key(tmp_path, edited):
    package = tmp_path / "dagdp"
    shutil.copytree(cache_folder.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = cache_folder.sources(package)
    assert before == cache_folder.sources()
    (package / "graph.py").write_text("# describes, and is not compiled\n")
    (package / "kernels" / "cuda" / "records.py").write_text("# of no CPU kernel\n")
    assert cache_folder.sources(package) == before
    with (package / edited).open("a") as file:
        file.write("# edited\n")
    assert cache_folder.sources(package) != before
