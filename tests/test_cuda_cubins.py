"""Cubins in memory and on disk: found by what they are made of, compiled once, and compiled again where broken."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cuda_small_kernel import PLAIN, small_key

from dagdp import HardMax, Negentropy, Omega
from dagdp.jit import cache_folder
from dagdp.kernels.cuda.compilation import cubins
from dagdp.kernels.cuda.compilation.cubins import Cubin

MADE = Cubin("kernel", ("f32", "u64"), b"a line\nand \x00 another" * 100)
HALF = 0.5


def operator(half=True, followed=True):
    """A class of its own at every call, with another link, or with one whose names cannot be followed."""

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

    if not half:

        class Other(Doubled):
            def link(self, y):
                return 0.25 * y if y > 0.0 else 0.0

        return Other
    if not followed:

        class Helped(Doubled):
            def link(self, y):
                return helper(y)

        return Helped
    return Doubled


def helper(y):
    return 0.5 * y


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder; memory is empty, too, as in a process of its own."""
    monkeypatch.setattr(cubins, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(cache_folder, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(cubins, "_kept", {})
    monkeypatch.setattr(cache_folder, "_warned", threading.Event())
    return tmp_path


class Compiler:
    """Counts how often it is asked."""

    def __init__(self, made=MADE):
        self.made, self.calls = made, 0

    def __call__(self):
        self.calls += 1
        return self.made


def forget():
    cubins._kept.clear()


def test_a_second_process_reads_what_the_first_compiled(folder):
    compiler = Compiler()
    assert cubins.kept(small_key(), compiler) == MADE
    forget()
    assert cubins.kept(small_key(), compiler) == MADE
    assert compiler.calls == 1
    (file,) = folder.glob("*.cubin")
    assert file.name.startswith("Negentropy-float32-sm_90-")


OTHERS = {
    "operator": {"omega": HardMax()},
    "dtype": {"real": np.float64},
    "device": {"capability": (8, 0)},
    "warp": {"warp": True},
    "tangent": {"tangent": True},
    "blocks": {"edge_blocks": 2},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_anything_that_changes_the_kernel_changes_the_key(folder, changed):
    compiler = Compiler()
    for key in (small_key(), small_key(**changed)):
        cubins.kept(key, compiler)
    assert compiler.calls == 2 and len(list(folder.glob("*.cubin"))) == 2


def test_every_field_of_the_variant_counts():
    found = {small_key(**{name: 7}).text() for name in PLAIN._fields}
    assert len(found) == len(PLAIN._fields)


@pytest.mark.parametrize("name", ["an edited text", "another compiler"])
def test_an_edit_and_a_new_compiler_change_the_key(folder, monkeypatch, name, tmp_path):
    before = small_key().text()
    if name == "an edited text":
        monkeypatch.setattr(cubins, "device_texts", lambda: [Path(__file__)])
    else:
        monkeypatch.setattr(cubins, "compilers", lambda: ("numba-cuda 99",))
    assert small_key().text() != before


def test_the_texts_are_all_files_of_device_kernels():
    names = {file.name for file in cache_folder.device_texts()}
    assert {"entry.py", "forward.py", "backward.py", "build.py", "records.py"} <= names


def test_a_users_operator_is_found_by_what_it_is_made_of(folder):
    compiler = Compiler()
    for made in (operator(), operator(), operator(half=False)):
        cubins.kept(small_key(made(0.7)), compiler)
        forget()
    assert compiler.calls == 2
    assert len(list(folder.glob("Doubled-*.cubin"))) == len(list(folder.glob("Other-*.cubin"))) == 1


def test_an_operator_that_cannot_be_followed_stays_in_memory(folder):
    compiler, made = Compiler(), operator(followed=False)
    for _ in range(2):
        cubins.kept(small_key(made(0.7)), compiler)
    assert compiler.calls == 1
    cubins.kept(small_key(operator(followed=False)(0.7)), compiler)
    assert compiler.calls == 2 and not list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"garbled", b"{}\n", None], ids=["empty", "garbled", "no key", "truncated"])
def test_a_broken_file_is_compiled_again_and_replaced(folder, content):
    compiler = Compiler()
    cubins.kept(small_key(), compiler)
    (file,) = folder.glob("*.cubin")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10] if content is None else content)
    for calls in (2, 2):
        forget()
        assert cubins.kept(small_key(), compiler) == MADE and compiler.calls == calls
    assert file.read_bytes() == whole


def test_a_file_of_another_key_is_not_used(folder):
    compiler = Compiler()
    cubins.kept(small_key(), compiler)
    (file,) = folder.glob("*.cubin")
    other = small_key(warp=True)
    file.rename(other.file(other.text()))
    forget()
    cubins.kept(other, compiler)
    assert compiler.calls == 2


def test_where_no_folder_can_be_used_that_is_said_once(folder, monkeypatch):
    monkeypatch.setattr(cubins, "cache_directory", lambda: None)
    monkeypatch.setattr(cubins, "why_there_is_none", lambda: "in there")
    with pytest.warns(UserWarning, match="cannot be kept in there"):
        assert cubins.kept(small_key(), Compiler()) == MADE
    assert cubins.kept(small_key(warp=True), Compiler()) == MADE  # a second warning would be an error


def test_a_folder_without_the_right_to_write_is_read(folder, monkeypatch):
    cubins.kept(small_key(), Compiler())
    forget()

    def refused(*_given, **_named):
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "write_bytes", refused)
    compiler = Compiler()
    assert cubins.kept(small_key(), compiler) == MADE and compiler.calls == 0
    with pytest.warns(UserWarning, match="not yours"):
        assert cubins.kept(small_key(warp=True), compiler) == MADE
    assert len(list(folder.glob("*.cubin"))) == 1


def test_of_threads_that_ask_at_once_one_compiles(folder):
    together, found = threading.Barrier(4), []

    class Slow(Compiler):
        def __call__(self):
            threading.Event().wait(0.05)
            return super().__call__()

    compiler = Slow()

    def ask():
        together.wait()
        found.append(cubins.kept(small_key(), compiler))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [MADE] * 4 and compiler.calls == 1


def test_what_another_process_wrote_in_the_meantime_is_read(folder, monkeypatch):
    """It is written while this process waits for the lock."""
    alone = cubins.alone

    def waited(name):
        key = small_key()
        cache_folder.write(key.file(key.text()), cubins._content(key.text(), MADE))
        return alone(name)

    monkeypatch.setattr(cubins, "alone", waited)
    compiler = Compiler()
    assert cubins.kept(small_key(), compiler) == MADE and compiler.calls == 0


READER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba_cuda", "cuda", "torch") or name.startswith("numba.cuda"):
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, sys.argv[1])
from cuda_small_kernel import small_key, small_text
from dagdp.kernels.cuda.compilation.build import build
from dagdp.kernels.cuda.compilation.cubins import kept
print(kept(small_key(), lambda: build(small_text(small_key()), small_key())).name)
"""


def test_a_process_that_finds_the_cubin_imports_no_compiler(tmp_path):
    environment = {**os.environ, "DAGDP_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}

    def python(code):
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    missing = python(READER)
    assert "numba_cuda was imported" in missing.stderr, "the blocker works"
    wrote = python(
        READER.replace("sys.meta_path", "[]").replace(
            "build(small_text(small_key()), small_key())",
            "__import__('dagdp').kernels.cuda.compilation.cubins.Cubin('k', (), b'')",
        )
    )
    assert wrote.stdout == "k\n", wrote.stderr
    read = python(READER)
    assert (read.stdout, read.stderr) == ("k\n", "")


def test_a_bundled_operator_goes_by_its_name(folder):
    assert small_key(Negentropy(0.3)).text() == small_key(Negentropy(0.9)).text()
