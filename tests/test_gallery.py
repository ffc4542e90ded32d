"""Every script of the gallery runs, is short, and draws something; docs/families.md shows all of them."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "examples" / "gallery"
SCRIPTS = sorted(path.relative_to(GALLERY).as_posix() for path in GALLERY.glob("*/*.py"))
MOST_LINES = 30


@pytest.fixture
def figures(monkeypatch):
    """The figures that are open, drawn without a display; closed again at the end."""
    matplotlib.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg would warn that it shows nothing
    plt.close("all")
    yield lambda: [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_draws_a_picture(script, figures):
    runpy.run_path(str(GALLERY / script), run_name="__main__")
    drawn = figures()
    assert drawn
    for figure in drawn:
        figure.canvas.draw()
        assert any(ax.has_data() or ax.texts for ax in figure.axes)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_short_and_has_a_title(script):
    text = (GALLERY / script).read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES
    title, line, blank, *rest = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert title and line == "=" * len(title) and not blank and rest
    assert text.rstrip().endswith("plt.show()")


def test_the_page_of_families_links_each_script():
    page = (ROOT / "docs" / "families.md").read_text()
    assert sorted(set(re.findall(r"\(\.\./examples/gallery/([a-z_/]+\.py)\)", page))) == SCRIPTS
