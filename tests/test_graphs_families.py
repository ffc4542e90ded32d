"""Every family of `graphs/` has a text, a source, and a row in docs/families.md."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from dagdp import Graph

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = ("sequences", "strings", "alignment", "time_series", "trees", "classics")
OF_SHORTCUTS = ("alignment_of_items",)  # the graph of `align_*`: a family with ends for items of several lengths
PAGE = (ROOT / "docs" / "families.md").read_text()


def builders(domain: str) -> list:
    """The public functions of a domain that return a graph."""
    module = importlib.import_module(f"dagdp.graphs.{domain}")
    return [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and function.__annotations__.get("return") in (Graph, "Graph")
        and name not in OF_SHORTCUTS
    ]


FAMILIES = [pytest.param(f, id=f"{domain}.{f.__name__}") for domain in DOMAINS for f in builders(domain)]


@pytest.mark.parametrize("builder", FAMILIES)
def test_a_family_has_a_text_and_a_source(builder):
    text = inspect.getdoc(builder) or ""
    assert re.search(r"\.text\b", text), "a doctest that prints the text"
    assert re.search(r"\b(19|20)\d\d\b", text), "the year of the source"


@pytest.mark.parametrize("builder", FAMILIES)
def test_the_page_of_families_has_a_row(builder):
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert any(re.search(rf"`[a-z_.]*\b{builder.__name__}\b", row) for row in rows)


def test_each_row_has_every_column():
    tables = re.findall(r"^\| family .*\n\|---.*\n((?:\|.*\n)*)", PAGE, flags=re.M)
    assert len(tables) == len(DOMAINS) and all(tables)
    for row in "".join(tables).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 5 and all(cells), row
        assert "gallery/" in cells[4], row
