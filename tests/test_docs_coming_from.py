"""docs/coming_from.md: both sides of each pair run, and have equal values, where the other package is installed.

Blocks and rows are read from the page. A block that begins with "py" is the other package's, the "python" block behind
it is ours: names that both set are compared. Rows of a table are pairs of expressions.
"""

from __future__ import annotations

import numbers
import re
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "coming_from.md").read_text()
MODULES = {
    "tslearn": "tslearn.metrics",
    "pysdtw": "pysdtw",
    "torch-struct": "torch_struct",
    "pytorch-crf": "torchcrf",
    "k2": "k2",
    "gtn": "gtn",
    "hmmlearn": "hmmlearn.hmm",
    "networkx": "networkx",
}
SINGLE = {"pysdtw", "gtn"}  # their results are float32, also those without a dtype
LEAST = {"tslearn": 20, "pysdtw": 6, "torch-struct": 17, "pytorch-crf": 7, "k2": 7, "gtn": 6, "hmmlearn": 10, "networkx": 9}
PIECE = re.compile(r"^```(python|py)\n(.*?)^```$|^\| [^|\n]+ \| `([^|\n]+)` \| `([^|\n]+)` \|$", flags=re.S | re.M)


class Step(NamedTuple):
    """A block, with who runs it; or a row of a table, with both expressions."""

    kind: str  # "python": ours; "py": theirs; "row"
    theirs: str
    ours: str


def steps_of(text: str) -> list[Step]:
    found = []
    for match in PIECE.finditer(text):
        kind, block, theirs, ours = match.groups()
        found.append(Step("row", theirs, ours) if kind is None else Step(kind, block, block))
    return found


BEGIN, *PARTS = re.split(r"^## ", PAGE, flags=re.M)
SECTIONS = {name: steps_of(part) for part in PARTS if (name := part.split()[0]) in MODULES}


def assigned(names: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if before.get(name) is not value and name != "__builtins__"}


def plain(value: Any) -> Any:
    """Tensors as arrays, tuples as lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(comparable(entry) for entry in value)
    return isinstance(value, np.ndarray | torch.Tensor | numbers.Number | str)


def names_nodes(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and any(names_nodes(entry) for entry in value))


def ragged(value: Any) -> bool:
    return isinstance(value, list | tuple) and len({np.shape(plain(entry)) for entry in value}) > 1


def assert_same(theirs: Any, ours: Any, single: bool, what: str) -> None:
    """Equal up to rounding: of single precision where they compute in it, or tensors take part, else of double."""
    if names_nodes(theirs):
        assert plain(theirs) == plain(ours), what
    elif ragged(theirs):
        for left, right in zip(theirs, ours, strict=True):
            assert_same(left, right, single, what)
    else:
        single = single or any(isinstance(value, torch.Tensor) for value in (theirs, ours))
        bound = 2e-5 if single else 1e-9
        left, right = (np.asarray(plain(value), dtype=float) for value in (theirs, ours))
        assert left.shape == right.shape, what
        np.testing.assert_allclose(right, left, rtol=bound, atol=bound, err_msg=what)


def names_of_the_begin() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for step in steps_of(BEGIN):
        exec(step.ours, names)
    return names


def test_every_package_has_a_section_with_pairs():
    assert list(SECTIONS) == list(MODULES)
    for steps in SECTIONS.values():
        assert sum(step.kind == "row" for step in steps) >= 2 or sum(step.kind == "py" for step in steps) >= 2


@pytest.mark.parametrize("package", MODULES)
def test_our_side_runs(package):
    names = names_of_the_begin()
    for step in SECTIONS[package]:
        if step.kind == "python":
            exec(step.ours, names)
        elif step.kind == "row":
            assert eval(step.ours, names) is not None


@pytest.mark.parametrize("package", MODULES)
def test_both_sides_agree(package):
    pytest.importorskip(MODULES[package], exc_type=ImportError)
    ours, compared = names_of_the_begin(), 0
    theirs, set_by_them = dict(ours), None
    for step in SECTIONS[package]:
        if step.kind == "row":
            what = f"{step.theirs} | {step.ours}"
            assert_same(eval(step.theirs, theirs), eval(step.ours, ours), package in SINGLE, what)
            compared, set_by_them = compared + 1, None
        elif step.kind == "py":
            before = dict(theirs)
            exec(step.theirs, theirs)
            set_by_them = assigned(theirs, before)
        else:
            before = dict(ours)
            exec(step.ours, ours)
            set_by_us = assigned(ours, before)
            if set_by_them is None:  # data, for both
                theirs.update(set_by_us)
                continue
            both = [name for name in set_by_them if name in set_by_us and not isinstance(ours[name], types.ModuleType)]
            both = [name for name in both if comparable(set_by_them[name])]
            for name in both:
                assert_same(set_by_them[name], set_by_us[name], package in SINGLE, f"{name} of\n{step.ours}")
            compared, set_by_them = compared + len(both), None
    assert compared >= LEAST[package]
