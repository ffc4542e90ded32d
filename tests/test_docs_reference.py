"""The reference of the site has every public name, and nothing that does not exist."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
NAMED = [
    name
    for page in sorted(REFERENCE.glob("*.rst"))
    for name in re.findall(r"^ +(dagdp(?:\.\w+)+)$", page.read_text(), re.M)
]
MODULES = ["dagdp.testing", "dagdp.plot", "dagdp.cuda", "dagdp.reference", *(f"dagdp.graphs.{name}" for name in (
    "alignment", "classics", "sequences", "strings", "time_series", "trees"))]  # fmt: skip
#: Functions that other modules call, or that are read in the source of `dagdp.reference`; users call none of them.
HELPERS = {"max_omega", "jacobian_product", "check_choices"}


def named(full: str) -> object:
    home, _, last = full.rpartition(".")
    return getattr(importlib.import_module(home), last)


def public_names() -> dict[str, object]:
    """By full name: what users may import from the package, its folders of graphs and layers, and its modules."""
    found = {}
    for home in ("dagdp", "dagdp.bulk", "dagdp.graphs", "dagdp.nn", "dagdp.series"):
        module = importlib.import_module(home)
        text = Path(str(module.__file__)).read_text()
        names = {*re.findall(r"^ *from .* import (\w+) as \1$", text, re.M)}
        found |= {f"{home}.{name}": getattr(module, name) for name in names}
    for home in MODULES:
        for name, value in vars(importlib.import_module(home)).items():
            if not name.startswith("_") and inspect.isroutine(value) and value.__module__ == home:
                found[f"{home}.{name}"] = value
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def test_every_public_name_has_a_place():
    pytest.importorskip("torch")
    pytest.importorskip("dask")
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    listed = {id(named(name)) for name in NAMED}
    missing = [name for name, value in public_names().items() if id(value) not in listed]
    assert {name.rpartition(".")[2] for name in missing} <= HELPERS


def test_no_name_is_listed_twice_and_each_has_a_docstring():
    pytest.importorskip("torch")
    pytest.importorskip("dask")
    assert len(NAMED) == len(set(NAMED)) > 150
    assert not [name for name in NAMED if not inspect.getdoc(named(name))]


def test_every_page_is_in_the_index():
    index = (REFERENCE / "index.rst").read_text()
    assert {page.stem for page in REFERENCE.glob("*.rst")} - {"index"} == set(re.findall(r"^   (\w+)$", index, re.M))
