"""docs/decisions: entries are short, dated and headed, every page is in the index, and every quoted name exists."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "docs" / "decisions.md"
TOPICS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LONGEST, MOST_ROWS, MOST_PAGES = 600, 6, 16


@cache
def entries(page: Path) -> dict[str, str]:
    """Heading -> text of the entries of a topic page, blank lines and line ends as one space."""
    head, *parts = re.split(r"^## ", page.read_text(), flags=re.M)
    assert head.startswith("# "), page.name
    cut = [part.partition("\n") for part in parts]
    headings = [heading for heading, _, _ in cut]
    assert len(headings) == len(set(headings)), f"{page.name}: two entries have one heading"
    return {heading: " ".join(text.split()) for heading, _, text in cut}


ENTRIES = [pytest.param(page, heading, id=f"{page.stem}: {heading}") for page in TOPICS for heading in entries(page)]


@pytest.mark.parametrize(("page", "heading"), ENTRIES)
def test_an_entry_is_headed_short_and_dated(page, heading):
    text = entries(page)[heading]
    assert 5 < len(heading) <= 90
    assert text and len(text) <= LONGEST, f"{len(text)} characters"
    assert re.search(r"\b20\d\d-[01]\d-[0-3]\d\b", text[-80:]), "the date comes last"


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_tables_have_few_rows(page):
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(), flags=re.M):
        assert len(table.splitlines()) - 2 <= MOST_ROWS


def test_the_index_links_every_page():
    linked = set(re.findall(r"\]\(decisions/([\w-]+)\.md\)", INDEX.read_text()))
    assert linked == {page.stem for page in TOPICS} and len(linked) <= MOST_PAGES


def exists(name: str) -> bool:
    """Whether a quoted file, folder or dotted name of the package exists; true for anything else that is quoted."""
    if re.fullmatch(r"[\w/.-]+(\.(py|md|json)|/)", name):
        return any((home / name).exists() for home in (ROOT, ROOT / "dagdp"))
    if re.fullmatch(r"dagdp(\.\w+)+", name):
        home, _, last = name.rpartition(".")
        try:
            return hasattr(importlib.import_module(home), last) or bool(importlib.import_module(name))
        except ImportError:
            return False
    return True


@pytest.mark.parametrize("page", [INDEX, *TOPICS], ids=lambda page: page.stem)
def test_quoted_names_exist(page):
    quoted = set(re.findall(r"`([^`\n]+)`", page.read_text()))
    assert not {name for name in quoted if not exists(name)}


@pytest.mark.parametrize("page", [INDEX, *TOPICS], ids=lambda page: page.stem)
def test_links_lead_to_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve()
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
