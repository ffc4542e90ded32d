"""The front page: its length, its blocks, its ratios, and its links. tests/test_examples.py runs the blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_docs_decisions import anchors

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES, MOST_BLOCKS, MOST_LINES_OF_A_BLOCK = 200, 5, 12


def section(page: str, anchor: str) -> str:
    """The text below the heading with an anchor, to the next heading of its level."""
    parts = re.split(r"^(?=## )", page, flags=re.M)
    return next(
        part for part in parts if re.sub(r"[^\w\- ]", "", part[3 : part.find("\n")]).lower().replace(" ", "-") == anchor
    )


def test_it_is_short():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert README.count("\n") <= MOST_LINES and len(blocks) == MOST_BLOCKS
    assert max(len([line for line in block.splitlines() if line.strip()]) for block in blocks) <= MOST_LINES_OF_A_BLOCK


def test_each_ratio_of_speed_is_in_the_section_that_it_links():
    ratios = re.findall(r"\[([\d.]+)\]\(docs/benchmarks\.md#([\w-]+)\)", README)
    assert len(ratios) == 5
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for ratio, anchor in ratios:
        assert re.search(rf"\| {re.escape(ratio)}x", section(page, anchor)), (ratio, anchor)


def test_links_lead_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in target]
    assert len(targets) > 25
    for target in targets:
        file, _, anchor = target.partition("#")
        assert (ROOT / file).exists(), target
        assert not anchor or anchor in anchors(ROOT / file), target


@pytest.mark.parametrize(
    "name",
    [
        "F1 62.9, 71.4 and 67.7",
        "60.8, 65.4 and 65.0",
        "1.41 s",
        "2.21 s",
        "0.57 s",
        "42.7",
        "43.1",
    ],
)
def test_results_of_experiments_are_those_of_the_tables(name):
    tables = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert name in README
    for number in re.findall(r"\d+\.\d+", name):
        digits = len(number.partition(".")[2])
        assert any(f"{float(shown):.{digits}f}" == number for shown in re.findall(r"\d+\.\d+", tables)), number
