"""The pages of docs: the files that they name exist, and what docs/pipeline.md and others print is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MOST_TERMS = 40


def test_the_glossary_is_short_alphabetic_and_names_files():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([^`|]+)` \|$", (DOCS / "glossary.md").read_text(), flags=re.M)
    terms = [term.lower() for term, _, _ in rows]
    assert 30 <= len(terms) <= MOST_TERMS and terms == sorted(set(terms))
    assert all((ROOT / "dagdp" / file).exists() for _, _, file in rows)
    assert all(len(re.findall(r"[.:;](?: |$)", text)) <= 3 for _, text, _ in rows)


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")]), ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page):
    """By whole paths, or by their last parts where the text before says which folder is meant."""
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|json))`", page.read_text()))
    folders = [ROOT / name for name in ("dagdp", "graphs", "docs", "tests", "examples")]
    files = [file.relative_to(ROOT).as_posix() for folder in folders for file in folder.rglob("*")]
    assert not {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)}


def test_blocks_that_need_a_device_are_python():
    """They begin with three backticks and "py", where blocks that tests run have "python"."""
    blocks = re.findall(r"```py\n(.*?)```", (DOCS / "cuda.md").read_text(), flags=re.S)
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "cuda.md", "exec")


@pytest.mark.parametrize("page", ["pipeline", "maths", "recurrences"])
def test_snippets_run_and_print_what_the_page_says(page):
    text = (DOCS / f"{page}.md").read_text()
    source = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^prints\n\n```\n(.*?)```", text, flags=re.S | re.M)
    assert done.stdout == "".join(printed)


def test_functions_that_the_pipeline_names_are_in_their_files():
    """Written as `path/file.py`: `name`."""
    named = re.findall(r"`([\w/]+\.py)`: `(\w+)`", (DOCS / "pipeline.md").read_text())
    assert len(named) > 35
    for file, name in named:
        text = (ROOT / "dagdp" / file).read_text()
        assert re.search(rf"^ *(def|class) {name}\b", text, flags=re.M), f"{file} has no {name}"
