"""Imports run one way, the packaging lists every folder, and the house rules that a machine can read."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dagdp

ROOT = Path(dagdp.__file__).resolve().parents[1]
FILES = sorted([*ROOT.glob("dagdp/**/*.py"), *ROOT.glob("graphs/**/*.py")])

#: The package from the ground up. A module imports from its own layer and from those before it; names are modules, and
#: folders with all that lies in them.
LAYERS = (
    ("errors", "fingerprint", "array_kinds", "pool", "omega"),
    ("describe",),
    ("compiled",),
    ("jit",),
    ("lanes",),
    ("kernels",),
    ("compiler",),
    ("engine",),
    ("nn.autograd", "nn.unrolled", "nn.costs"),
    ("functions",),
    ("axis", "cuda", "reference", "networkx_graphs", "language", "testing", "paths", "plot", "plot_checks"),
    ("",),  # dagdp/__init__.py: the public names
    ("graphs",),
    ("nn", "warming", "doctor", "bulk", "series"),
)


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[1:] if parts[0] == "dagdp" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, at the top or inside a function, type checkers' imports left out."""
    tree = ast.parse(path.read_text())
    hints = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import from the package by its full name"
            home = node.module or ""
            names = [
                f"{home}.{a.name}" if f"{home}.{a.name}".removeprefix("dagdp.") in MODULES else home for a in node.names
            ]
        if id(node) not in hints:
            found |= {n.removeprefix("dagdp").lstrip(".") for n in names if n == "dagdp" or n.startswith("dagdp.")}
    return found


MODULES = {module_of(path): path for path in FILES}


def layer_of(module: str) -> int:
    """The layer whose name is the longest that the module's begins with."""
    found = [
        (len(name), floor)
        for floor, names in enumerate(LAYERS)
        for name in names
        if module == name or (name and module.startswith(f"{name}."))
    ]
    assert found, f"{module or 'dagdp'} is in no layer"
    return max(found)[1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    """Imports inside a function count."""
    assert not {name for name in imports_of(MODULES[module]) if layer_of(name) > layer_of(module)}


def test_no_module_reaches_itself():
    """Imports inside a function count. dagdp/__init__.py is left out: every import of a module runs it first."""
    imports = {module: imports_of(path) - {""} for module, path in MODULES.items()}
    seen: dict[str, bool] = {}

    def visit(module: str) -> None:
        assert seen.get(module) is not False, f"{module} imports itself in the end"
        if module not in seen:
            seen[module] = False
            for other in imports[module]:
                visit(other)
            seen[module] = True

    for module in MODULES:
        visit(module)


def test_import_brings_only_what_describing_a_graph_needs():
    """Numba, two thirds of the time of an import, comes with the first name that needs it; the rest later or never."""
    code = """if True:
        import sys, dagdp
        dagdp.Graph.from_edges([0], [1]), dagdp.Negentropy(0.5)
        heavy = {"numba", "llvmlite", "networkx", "matplotlib", "torch", "jieba", "scipy", "dask"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        assert dagdp.reference.dp_value is not dagdp.dp_value and not hasattr(dagdp, "dp_values")
        dagdp.dp_value, dagdp.compile, dagdp.best_path
        assert not (heavy - {"numba", "llvmlite", "scipy"}) & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_are_imported_late_are_those_that_type_checkers_see():
    top = ast.parse((ROOT / "dagdp" / "__init__.py").read_text()).body
    (hints,) = [node for node in top if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    seen = {(node.module, alias.name) for node in hints.body for alias in node.names}
    assert seen == {(home, name) for name, home in dagdp._home_of.items()}
    optional = {("dagdp", "nn"), ("dagdp", "bulk")}
    assert all(getattr(dagdp, name) is not None and name in dir(dagdp) for _, name in seen - optional)


def test_every_folder_is_packaged():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {module_of(path) for path in FILES if path.name == "__init__.py"}
    assert listed == {f"dagdp.{name}".rstrip(".") for name in folders}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_house_rules(path):
    """No print, no fastmath=True, no foreign framework at the top, files of a readable size."""
    text, tree = path.read_text(), ast.parse(path.read_text())
    calls = [n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert "print" not in calls
    assert "fastmath=True" not in text.replace(" ", "")
    top = [a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names]
    foreign = {"dask", "distributed", "matplotlib", "networkx", "zarr"}
    foreign |= {"torch"} if "nn" not in path.parts else set()
    assert not foreign & {name.split(".")[0] for name in top}
    assert text.count("\n") <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 75, f"{node.name} is {node.end_lineno - node.lineno} lines long"


def test_public_functions_say_what_they_return():
    for path in FILES:
        if {"kernels", "lanes", "jit"} & set(path.parts):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"
