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

#: What each module may import from the package: DESIGN section 4, in one line a layer.
ALLOWED = {
    "errors": set(),
    "fingerprint": set(),
    "omega": {"errors", "fingerprint"},
    "kinds": {"errors"},
    "misuse": {"errors"},
    "edge_arrays": {"errors", "kinds"},
    "potentials": {"edge_arrays", "errors"},
    "graph": {"edge_arrays", "errors", "misuse", "potentials"},
    "explained": set(),
    "lengths": {"edge_arrays", "errors", "kinds"},
    "progressions": set(),
    "wiring": set(),
    "compiled": {"errors", "explained", "graph", "lengths", "progressions", "wiring"},
    "kernels.decided": set(),
    "kernels.parts": {"kernels.decided"},
    "kernels.disk": {"omega"},
    "kernels.refused": {"errors", "omega"},
    "kernels.jit": {"kernels.disk", "kernels.parts", "kernels.refused"},
    "kernels.lanes": {"kernels.jit"},
    "kernels.vectors": {"kernels.lanes", "wiring"},
    "kernels.scattered": {"kernels.lanes", "kernels.vectors"},
    "kernels.text": {"kernels.jit", "kernels.lanes", "kernels.refused"},
    "kernels.elementary": {"kernels.jit", "kernels.lanes"},
    "kernels.operator": {
        "kernels.decided", "kernels.elementary", "kernels.jit", "kernels.lanes", "kernels.refused", "kernels.text",
    },
    "kernels.recursion": {"kernels.operator", "kernels.text"},
    "kernels.rows": {"kernels.jit", "kernels.lanes", "kernels.vectors", "progressions"},
    "kernels.solve": {
        "kernels.elementary", "kernels.jit", "kernels.lanes", "kernels.operator", "kernels.recursion",
        "kernels.vectors",
    },
    "kernels.exchange": {
        "kernels.jit", "kernels.lanes", "kernels.rows", "kernels.scattered", "kernels.vectors", "progressions",
        "wiring",
    },
    "kernels.pieces": {
        "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.rows", "kernels.scattered", "kernels.vectors",
        "progressions",
    },
    "kernels.ordered": {"kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.rows", "kernels.vectors"},
    "kernels.sheets": {
        "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.rows", "kernels.vectors", "progressions",
        "wiring",
    },
    "kernels.hoisted": {
        "kernels.exchange", "kernels.jit", "kernels.rows", "kernels.sheets", "kernels.vectors",
        "progressions", "wiring",
    },
    "kernels.matrices": {
        "kernels.elementary", "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.recursion", "kernels.rows",
        "kernels.slots", "kernels.vectors",
    },
    "kernels.tied": {
        "kernels.elementary", "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.matrices",
        "kernels.recursion", "kernels.rows", "kernels.vectors",
    },
    "kernels.slots": {"kernels.jit", "kernels.rows", "kernels.vectors", "progressions"},
    "kernels.runs": {"kernels.exchange", "kernels.jit", "kernels.rows", "kernels.vectors", "progressions"},
    "kernels.wires": {"kernels.jit", "kernels.vectors", "wiring"},
    "kernels.kept": {
        "kernels.ends", "kernels.exchange", "kernels.hoisted", "kernels.jit", "kernels.lanes", "kernels.ordered",
        "kernels.pieces", "kernels.recursion", "kernels.rows", "kernels.scattered", "kernels.slots", "kernels.solve",
        "kernels.vectors", "progressions",
    },
    "kernels.places": {
        "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.pieces", "kernels.rows", "kernels.scattered",
        "kernels.slots", "kernels.vectors", "progressions",
    },
    "kernels.powers": {"kernels.elementary", "kernels.jit", "kernels.lanes", "kernels.recursion", "kernels.vectors"},
    "kernels.bare": {
        "kernels.backward", "kernels.exchange", "kernels.forward", "kernels.hoisted", "kernels.jit", "kernels.lanes",
        "kernels.places", "kernels.powers", "kernels.recursion", "kernels.rows", "kernels.slots", "kernels.slotwise",
        "kernels.vectors",
    },
    "kernels.slotwise": {
        "kernels.elementary", "kernels.exchange", "kernels.forward", "kernels.jit", "kernels.lanes", "kernels.places",
        "kernels.powers", "kernels.recursion", "kernels.rows", "kernels.scattered", "kernels.slots", "kernels.solve",
        "kernels.vectors", "progressions",
    },
    "kernels.stretches": {
        "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.places", "kernels.powers", "kernels.recursion",
        "kernels.slots", "kernels.solve", "kernels.vectors",
    },
    "kernels.forward": {
        "kernels.exchange", "kernels.hoisted", "kernels.jit", "kernels.kept", "kernels.lanes", "kernels.operator",
        "kernels.ordered", "kernels.pieces", "kernels.places", "kernels.powers", "kernels.recursion", "kernels.rows",
        "kernels.slots", "kernels.solve", "kernels.stretches", "kernels.tied", "kernels.vectors",
    },
    "kernels.ends": {
        "kernels.exchange", "kernels.jit", "kernels.lanes", "kernels.operator", "kernels.powers", "kernels.recursion",
        "kernels.rows", "kernels.runs", "kernels.scattered", "kernels.solve", "kernels.vectors", "progressions",
    },
    "kernels.backward": {
        "kernels.ends", "kernels.exchange", "kernels.hoisted", "kernels.jit", "kernels.lanes", "kernels.operator",
        "kernels.recursion", "kernels.rows", "kernels.runs", "kernels.scattered", "kernels.tied",
        "kernels.vectors", "progressions",
    },
    "kernels.room": {
        "kernels.backward", "kernels.bare", "kernels.hoisted", "kernels.jit", "kernels.lanes", "kernels.matrices",
        "kernels.operator", "kernels.ordered", "kernels.rows", "kernels.slots", "kernels.vectors",
    },
    "kernels.cpu": {
        "kernels.backward", "kernels.bare", "kernels.decided", "kernels.ends", "kernels.exchange", "kernels.forward",
        "kernels.jit", "kernels.kept", "kernels.lanes", "kernels.matrices", "kernels.operator", "kernels.ordered",
        "kernels.powers", "kernels.room", "kernels.rows", "kernels.slots", "kernels.vectors",
        "kernels.wires",
    },
    "kernels": set(),
    "compiler.arrays": {"kernels.jit"},
    "compiler.validate": {"edge_arrays", "errors", "graph", "compiler.arrays"},
    "compiler.level": {"compiler.arrays", "compiler.validate"},
    "compiler.renumber": {"compiler.arrays", "compiler.level", "compiler.validate"},
    "compiler.bands": {"compiler.validate", "kernels.jit", "wiring"},
    "compiler.sheets": {"compiler.validate", "kernels.jit", "wiring"},
    "compiler.runs": {"compiler.arrays", "kernels.jit", "progressions"},
    "compiler.generic": {"compiled", "progressions", "wiring"},
    "compiler.tie": {
        "compiled", "compiler.arrays", "compiler.renumber", "compiler.validate", "kernels.jit", "progressions",
        "wiring",
    },
    "compiler.specialise": {
        "compiled", "compiler.arrays", "compiler.bands", "compiler.generic", "compiler.renumber", "compiler.runs",
        "compiler.sheets", "compiler.tie", "compiler.validate", "pool", "progressions", "wiring",
    },
    "compiler": {
        "compiled", "compiler.level", "compiler.renumber", "compiler.specialise", "compiler.validate", "errors",
        "graph",
    },
    "pool": set(),
    "layout": {"errors", "graph", "kinds"},
    "union": {"compiled", "compiler", "compiler.validate", "errors", "graph", "layout"},
    "batch": {"compiled", "compiler", "compiler.validate", "errors", "graph", "layout", "union"},
    "each": {"batch", "errors", "inputs", "kinds", "layout", "omega"},
    "inputs": {"batch", "compiled", "errors", "graph", "kinds", "omega"},
    "networkx_graphs": {"compiled", "errors", "graph", "inputs", "kinds", "misuse"},
    "faults": {"compiled", "errors", "graph", "inputs", "compiler.arrays"},
    "infeasible": {"errors"},
    "repeat": {"graph", "inputs"},
    "call": {
        "", "compiled", "faults", "graph", "infeasible", "inputs", "kernels.cpu", "kernels.exchange", "kernels.jit",
        "kernels.room", "omega", "pool", "repeat", "wiring",
    },
    "run": {"batch", "call", "compiled", "each", "errors", "faults", "inputs", "kernels.cpu", "kinds", "omega"},
    "batch_call": {
        "", "batch", "call", "compiled", "faults", "graph", "infeasible", "inputs", "kernels.cpu", "kernels.exchange",
        "kernels.jit", "layout", "omega", "pool", "repeat", "union", "wiring",
    },
    "side_by_side": {"batch", "batch_call", "errors", "inputs", "kernels.cpu", "kinds", "layout", "omega"},
    "axis": {"compiled", "compiler", "errors", "graph", "kinds", "run"},
    "reference": {"compiled", "faults", "infeasible", "inputs", "omega"},
    "paths": {
        "paths.averages", "paths.best", "paths.density", "paths.marginals", "paths.result", "paths.support",
        "paths.values", "paths.walk",
    },
    "paths.arrays": {"kinds"},
    "paths.plain": {
        "compiled", "compiler", "compiler.arrays", "graph", "inputs", "kinds", "omega", "paths.arrays", "run",
    },
    "paths.wires": {"compiled"},
    "paths.sweep": {
        "kernels.elementary", "kernels.jit", "kernels.lanes", "kernels.operator", "kernels.recursion", "kernels.solve",
        "kernels.vectors",
    },
    "paths.rows": {"", "compiled", "faults", "omega", "paths.plain", "paths.sweep", "paths.wires", "pool"},
    "paths.noded": {"compiled", "compiler", "graph", "paths.arrays", "paths.plain"},
    "paths.values": {"batch", "compiled", "each", "errors", "inputs", "omega", "paths.plain", "paths.rows"},
    "paths.scores": {"kernels.jit", "kernels.recursion", "paths.plain"},
    "paths.threshold": {"kernels.jit", "omega", "paths.arrays", "paths.noded", "paths.plain", "run"},
    "paths.batch": {"batch", "each", "graph", "kinds", "layout", "omega", "paths.arrays", "paths.result", "run"},
    "paths.result": {"batch", "compiled", "each", "errors", "graph", "paths.arrays", "paths.plain", "paths.scores"},
    "paths.checked": {"compiled", "errors", "paths.arrays", "paths.plain", "paths.result"},
    "paths.best": {
        "", "batch", "compiled", "each", "errors", "kernels.jit", "kernels.recursion", "paths.batch", "paths.plain",
        "paths.result", "paths.rows", "paths.scores", "pool",
    },
    "paths.walk": {
        "batch", "compiled", "each", "errors", "inputs", "kernels.jit", "omega", "paths.plain", "paths.result",
        "paths.threshold",
    },
    "paths.density": {
        "batch", "compiled", "each", "errors", "inputs", "omega", "paths.arrays", "paths.checked", "paths.plain",
        "paths.threshold", "run",
    },
    "paths.averages": {
        "batch", "compiled", "each", "errors", "inputs", "kinds", "omega", "paths.arrays", "paths.density",
        "paths.noded", "paths.plain", "paths.rows", "run",
    },
    "paths.support": {
        "batch", "compiled", "each", "errors", "omega", "paths.arrays", "paths.best", "paths.density", "paths.plain",
        "paths.result",
    },
    "paths.marginals": {
        "batch", "compiled", "each", "errors", "inputs", "omega", "paths.arrays", "paths.noded", "paths.plain",
        "reference", "run",
    },
    "plot_checks": {"compiled", "errors", "graph", "kinds"},
    "plot": {"compiled", "errors", "plot_checks"},
    "testing": {"compiled", "compiler", "errors", "graph", "omega", "run"},
    "": {"batch", "compiled", "compiler", "errors", "graph", "networkx_graphs", "omega", "paths", "run"},
    "nn.ops": {"", "batch", "compiled", "errors", "omega", "run"},
    "nn.derivatives": {"errors", "nn", "nn.ops"},
    "nn.tensors": {"compiled", "errors", "inputs", "kinds"},
    "nn.direct": {"batch", "compiled", "inputs", "nn", "nn.derivatives", "nn.ops", "nn.tensors", "omega"},
    "nn.shared": {
        "call", "compiled", "inputs", "nn", "nn.derivatives", "nn.ops", "nn.tensors", "omega", "repeat", "run",
    },
    "nn.alpha": {"batch", "compiled", "compiler", "errors", "graph", "nn", "nn.derivatives", "nn.learnable", "nn.ops"},
    "nn.forms": {"batch", "errors", "layout"},
    "nn.run": {
        "", "batch", "compiled", "errors", "infeasible", "inputs", "nn", "nn.alpha", "nn.derivatives", "nn.direct",
        "nn.forms", "nn.learnable", "nn.ops", "nn.shared", "nn.tensors", "omega", "run",
    },
    "nn.learnable": {"axis", "errors", "nn.tensors", "omega"},
    "nn.layers": {
        "compiled", "graphs", "graphs.builders", "nn", "nn.learnable", "nn.ops", "nn.run", "nn.tensors", "omega",
    },
    "nn.ragged": {"errors", "nn.tensors"},
    "nn.tagging": {"errors", "nn.tensors"},
    "nn.crf": {
        "", "compiled", "errors", "graphs", "graphs.builders", "inputs", "nn", "nn.learnable", "nn.run", "nn.tagging",
        "nn.tensors", "omega",
    },
    "nn.memory": {"compiled"},
    "nn.smooth": {"errors", "omega"},
    "nn.backend": {"compiled", "faults", "inputs", "nn.memory", "nn.smooth", "omega"},
    "nn.unrolled": {
        "compiled", "errors", "infeasible", "inputs", "nn", "nn.backend", "nn.learnable", "nn.run", "nn.tensors",
        "omega",
    },
    "nn.costs": {"errors", "inputs", "nn.tensors"},
    "nn.walks": {"compiled", "compiler", "edge_arrays", "errors", "graph", "inputs", "nn.memory", "nn.tensors"},
    "nn.targets": {"compiled", "errors", "inputs", "nn", "nn.tensors", "nn.walks", "omega", "run"},
    "nn.fitted": {"compiled", "errors", "inputs", "nn.targets", "nn.tensors", "nn.walks"},
    "nn.batch_losses": {
        "batch", "each", "errors", "inputs", "layout", "nn.fitted", "nn.tensors", "run",
    },
    "nn.losses": {
        "batch", "compiled", "errors", "inputs", "nn.batch_losses", "nn.fitted", "nn.learnable", "nn.targets",
        "nn.tensors", "nn.walks", "omega", "run",
    },
    "nn.divergence": {"errors", "graphs", "nn.costs", "nn.fitted", "nn.losses", "omega"},
    "nn": {
        "nn.costs", "nn.crf", "nn.divergence", "nn.layers", "nn.learnable", "nn.losses", "nn.ragged", "nn.tagging",
        "nn.targets",
    },
    "graphs": {"graphs.builders", "graphs.dtw", "graphs.grid", "graphs.onsets", "graphs.viterbi"},
    "graphs.grid": {""},
    "graphs.kept": {""},
    "graphs.onsets": {""},
    "graphs.builders": {"", "graphs.grid", "graphs.kept"},
    "graphs.viterbi": {"", "graphs.builders"},
    "graphs.strip": {"", "graphs.builders", "graphs.grid", "graphs.kept"},
    "graphs.dtw": {"", "graphs.builders", "graphs.strip"},
}  # fmt: skip

#: The imports against the order, made inside a function when the first tensor, or batch of graphs, arrives.
#: The package itself imports its public modules when they are asked for by attribute.
LATE = {
    "": {""},
    "omega": {"axis"},
    "each": {"side_by_side"},
    "kinds": {"nn.run", "nn.unrolled"},
    "run": {"side_by_side"},
}


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[1:] if parts[0] == "dagdp" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import from the package by its full name"
            names = [node.module or ""]
        found |= {n.removeprefix("dagdp").lstrip(".") for n in names if n == "dagdp" or n.startswith("dagdp.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_run_one_way(path):
    module = module_of(path)
    assert imports_of(path) <= ALLOWED[module] | LATE.get(module, set())
    tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    late = {f"dagdp.{name}" for name in LATE.get(module, set())}
    assert not late & {a.name for node in tops for a in node.names}


def test_the_table_is_an_order():
    """No module reaches itself through what it may import. `from dagdp import pool` reads as the package."""
    names = ("alpha", "crf", "derivatives", "direct", "layers", "run", "shared", "targets", "unrolled")
    whole = {"call": {""}, "batch_call": {""}, "paths.rows": {""}, "paths.best": {""}} | {
        f"nn.{name}": {"nn"} for name in names
    }
    seen: dict[str, bool] = {}

    def visit(module: str) -> None:
        assert seen.get(module) is not False, f"{module} imports itself in the end"
        if module not in seen:
            seen[module] = False
            for other in ALLOWED[module] - whole.get(module, set()):
                visit(other)
            seen[module] = True

    for module in ALLOWED:
        visit(module)
    assert {module_of(path) for path in FILES} == set(ALLOWED)


def test_import_brings_only_what_describing_a_graph_needs():
    """Numba, two thirds of the time of an import, comes with the first name that needs it; the rest later or never."""
    code = """if True:
        import sys, dagdp
        dagdp.Graph.from_edges([0], [1]), dagdp.Negentropy(0.5)
        heavy = {"numba", "llvmlite", "networkx", "matplotlib", "torch", "jieba", "scipy"}
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
    assert all(getattr(dagdp, name) is not None and name in dir(dagdp) for _, name in seen - {("dagdp", "nn")})


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
    foreign = {"matplotlib", "networkx"} | ({"torch"} if "nn" not in path.parts else set())
    assert not foreign & {name.split(".")[0] for name in top}
    assert text.count("\n") <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 75, f"{node.name} is {node.end_lineno - node.lineno} lines long"


def test_public_functions_say_what_they_return():
    for path in FILES:
        if "kernels" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"
