"""On the site a link to a script of the gallery leads to the page with its picture."""

from __future__ import annotations

import runpy
from pathlib import Path

LINKS = Path(__file__).resolve().parents[1] / "docs" / "extensions" / "links.py"


def test_links_to_scripts_lead_to_their_pages():
    on_the_site = runpy.run_path(str(LINKS))["as_on_the_site"]
    assert (
        on_the_site("[a](../examples/gallery/trees/cky.py), [b](maths.md)")
        == "[a](gallery/trees/cky.rst), [b](maths.md)"
    )
    assert on_the_site("[a](../../examples/tutorials/ctc.py)", depth=1) == "[a](../tutorials/ctc.rst)"
