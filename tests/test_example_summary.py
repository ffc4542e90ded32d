"""docs/experiments.md has the numbers of the committed results."""

from __future__ import annotations

import pytest

for needed in ("torch", "pycrfsuite", "sacrebleu", "seqeval", "scipy"):
    pytest.importorskip(needed)
from examples import summary  # noqa: E402


def test_the_page_has_the_tables_of_the_experiments():
    page = summary.PAGE.read_text(encoding="utf-8")
    for name, text in summary.tables().items():
        assert f"<!-- {name} -->\n{text}\n<!-- end of {name} -->" in page, name
