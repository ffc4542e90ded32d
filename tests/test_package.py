"""The package's front door: names, modules, what an import costs, and what is built and installed."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

import dagdp

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"bulk", "cuda", "graphs", "nn", "plot", "reference", "series", "testing"}
GRAPHS = {f"dagdp/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "graphs").rglob("*.py")}


def python(code: str, cwd: Path = ROOT) -> str:
    """What a fresh interpreter that finds the package in `cwd` prints."""
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", sorted(MODULES - {"bulk", "nn"}))
def test_public_modules_are_attributes(name):
    assert python(f"import dagdp; print(dagdp.{name}.__name__)") == f"dagdp.{name}"


def test_import_alone_loads_nothing_heavy():
    code = "import sys, dagdp; dir(dagdp); print({'numba', 'torch', 'matplotlib', 'dagdp.plot'} & set(sys.modules))"
    assert python(code) == "set()"


def test_without_torch_the_error_names_the_extra():
    """None in sys.modules makes `import torch` fail as it does where torch is missing."""
    code = """if True:
        import sys
        sys.modules["torch"] = None
        import dagdp, inspect
        dag = dagdp.compile(dagdp.Graph.from_edges([0], [1]))
        assert dagdp.dp_value(dag, [1.5]) == 1.5
        attempts = ("dagdp.nn", "__import__('dagdp.nn')", "dagdp.dp_value(dag, [1.0], backend='torch')")
        for attempt in attempts:
            try:
                eval(attempt)
            except ImportError as error:
                print(error)
        inspect.getmembers(dagdp)
        print("nn" in dir(dagdp))
    """
    *errors, listed = python(code).splitlines()
    assert len(errors) == 3 and all("pip install dagdp[torch]" in error for error in errors)
    assert listed == "False"


def test_without_dask_the_error_names_the_extra():
    code = """if True:
        import sys
        sys.modules["dask"] = None
        import dagdp, inspect
        try:
            dagdp.bulk
        except ImportError as error:
            print(error)
        inspect.getmembers(dagdp)
        print("bulk" in dir(dagdp))
    """
    error, listed = python(code).splitlines()
    assert "pip install dagdp[dask]" in error and listed == "False"


def test_another_missing_module_is_not_taken_for_torch():
    code = """if True:
        import sys
        sys.modules["torch._C"] = None
        import dagdp
        try:
            dagdp.nn
        except ImportError as error:
            print("pip install" in str(error))
    """
    pytest.importorskip("torch")
    assert python(code) == "False"


def test_star_brings_the_public_names_and_leaves_compile_alone():
    names: dict[str, object] = {}
    exec("from dagdp import *\nused = compile", names)
    assert names.pop("used") is compile is not dagdp.compile
    del names["__builtins__"]
    assert set(names) == set(dagdp.__all__) and names["dp_value"] is dagdp.dp_value
    assert len(dagdp.__all__) == len(set(dagdp.__all__))


def test_all_lists_every_public_name_but_compile_and_modules():
    """The source re-exports a name as `import X as X`."""
    tree = ast.parse((ROOT / "dagdp" / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    public = {alias.asname for node in imports for alias in node.names if alias.asname == alias.name}
    assert public == {*dagdp.__all__, *MODULES, "compile"}


def test_dir_shows_public_names_without_internals():
    pytest.importorskip("torch")
    pytest.importorskip("dask")
    assert dagdp.nn.__name__ == "dagdp.nn" and dagdp.bulk.__name__ == "dagdp.bulk"
    importlib.import_module("dagdp.engine.batch_call")
    shown = {name for name in dir(dagdp) if not name.startswith("__")}
    assert shown == {*dagdp.__all__, *MODULES, "compile"}
    assert {"__version__", "__doc__", "__all__", "__path__"} <= set(dir(dagdp))


def test_the_package_is_found_once():
    """The repository's root as part of dagdp.__path__ would make dagdp a module of itself."""
    assert [Path(folder) for folder in dagdp.__path__] == [ROOT / "dagdp"]
    with pytest.raises(ModuleNotFoundError, match=r"dagdp\.dagdp"):
        importlib.import_module("dagdp.dagdp")
    found = Counter(module.name for module in pkgutil.walk_packages(dagdp.__path__, "dagdp."))
    assert found["dagdp.graphs.dtw"] == 1 and max(found.values()) == 1
    assert not any(name.startswith(("dagdp.dagdp", "dagdp.tests")) for name in found)


def test_graphs_is_a_relative_link():
    link = ROOT / "dagdp" / "graphs"
    assert link.is_symlink() and os.readlink(link) == os.path.join("..", "graphs")


def test_a_checkout_without_links_says_what_to_do(tmp_path):
    """Git writes the link's target into a text file where it cannot make links."""
    checkout(tmp_path)
    (tmp_path / "dagdp" / "graphs").unlink()
    (tmp_path / "dagdp" / "graphs").write_text("../graphs")
    code = "try:\n    import dagdp\nexcept ImportError as error:\n    print(error)"
    assert "git config core.symlinks true" in python(code, tmp_path)


def checkout(folder: Path) -> None:
    """The files that a build reads, links kept."""
    hidden = shutil.ignore_patterns("__pycache__")
    for name in ("dagdp", "graphs"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=hidden)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"):
        shutil.copy(ROOT / name, folder)


def build(source: Path, kind: str, to: Path) -> Path:
    """What pip and `python -m build` call, without an isolated environment."""
    pytest.importorskip("setuptools", minversion="77")
    to.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta\nprint(build_meta.build_{kind}({str(to)!r}))"
    return to / python(code, source).splitlines()[-1]


def test_wheel_and_sdist_hold_every_module_once(tmp_path):
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    source.mkdir()
    checkout(source)
    sdist = build(source, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        assert all(member.isreg() or member.isdir() for member in archive.getmembers())
        assert max(Counter(archive.getnames()).values()) == 1
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
        assert tops == {
            "dagdp", "dagdp.egg-info", "CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO",
            "README.md", "pyproject.toml", "setup.cfg",
        }  # fmt: skip
        archive.extractall(unpacked, filter="data")
    wheels = [
        build(source, "wheel", tmp_path / "wheel"),
        build(next(unpacked.iterdir()), "wheel", tmp_path / "from_sdist"),
    ]
    contents = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            assert max(Counter(archive.namelist()).values()) == 1
            others = [name for name in archive.namelist() if not name.startswith("dagdp/")]
            assert all(name.startswith(f"dagdp-{dagdp.__version__}.dist-info/") for name in others)
            assert f"dagdp-{dagdp.__version__}.dist-info/licenses/LICENSE" in others
            code = [name for name in archive.namelist() if name.endswith((".py", "py.typed"))]
            contents.append({name: archive.read(name) for name in code})
    assert contents[0] == contents[1]
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dagdp").rglob("*.py")}
    assert set(contents[0]) == expected | GRAPHS | {"dagdp/py.typed"}
    assert contents[0]["dagdp/graphs/dtw.py"] == (ROOT / "graphs" / "dtw.py").read_bytes()


def test_the_version_and_its_date_are_the_same_everywhere():
    changelog = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    citation = (ROOT / "CITATION.cff").read_text()
    version, released = (re.search(rf"^{key}: (\S+)$", citation, flags=re.M) for key in ("version", "date-released"))
    assert changelog and version and released
    assert changelog[1] == version[1] == dagdp.__version__ and changelog[2] == released[1]


def test_classifiers_name_the_pythons_that_are_tried():
    """The least is that of `requires-python`; the workflow's matrix has each of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert project["requires-python"] == f">={named[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(r"python: \[(.*)\]", workflow)[1] == ", ".join(f'"{version}"' for version in named)


def test_an_editable_install_is_a_path_without_an_import_hook(tmp_path):
    """Type checkers and editors read .pth files that hold a path; they do not run import hooks."""
    source = tmp_path / "source"
    source.mkdir()
    checkout(source)
    with zipfile.ZipFile(build(source, "editable", tmp_path / "wheel")) as archive:
        files = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert len(files) == 1 and files[0].endswith(".pth")
        assert archive.read(files[0]).decode().strip() == str(source)


def test_the_shortcuts_of_a_checkout_are_collected_once():
    """pytest follows links, so graphs/ must not be collected beside dagdp/graphs/."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    walks = [os.walk(ROOT / folder, followlinks=True) for folder in settings["testpaths"]]
    files = Counter(
        os.path.realpath(os.path.join(at, name)) for walk in walks for at, _, names in walk for name in names
    )
    assert files[str(ROOT / "graphs" / "dtw.py")] == 1 and max(files.values()) == 1
