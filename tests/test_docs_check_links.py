"""The check of the built site's links: it passes what leads somewhere, and names what does not."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "extensions" / "check_links.py"
PAGE = '<h1 id="top-of-it">Title</h1><a href="b/other.html#here">on</a> <a href="https://example.org/x">out</a>'


@pytest.fixture
def check():
    return runpy.run_path(str(SCRIPT))


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_links_that_lead_somewhere_pass(check, tmp_path, capsys):
    write(tmp_path, "index.html", PAGE)
    write(
        tmp_path, "b/other.html", '<p id="here"><a href="../index.html#top-of-it">back</a><img src="../p%20q.png"></p>'
    )
    write(tmp_path, "p q.png", "")
    assert check["broken_links"](tmp_path) == []
    assert check["main"](tmp_path) == 0 and capsys.readouterr().err == "2 pages, 0 broken links\n"


def test_broken_links_are_named(check, tmp_path, capsys):
    write(tmp_path, "index.html", PAGE + '<a href="gone.html">x</a>')
    write(tmp_path, "b/other.html", '<p id="elsewhere"></p>')
    write(tmp_path, "_static/template.html", '<a href="{{ target }}">not a page</a>')
    assert check["broken_links"](tmp_path) == ["index.html: b/other.html#here", "index.html: gone.html"]
    assert check["main"](tmp_path) == 1 and "gone.html" in capsys.readouterr().err


def test_a_site_without_pages_fails(check, tmp_path):
    assert check["main"](tmp_path) == 1
