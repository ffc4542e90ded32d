"""Links that are right on a code host, led to pages of the site.

A page links a script of the gallery, or a tutorial, by its path in the checkout. On the site that script has a page
with its picture and what it prints.
"""

from __future__ import annotations

import re
from typing import Any

GALLERY = re.compile(r"\]\((?:\.\./)+examples/(gallery|tutorials)/([\w/]+)\.py\)")


def as_on_the_site(text: str, depth: int = 0) -> str:
    """The text of a Markdown page in which links to scripts lead to their pages.

    depth : how many folders below docs/ the page lies.
    """
    return GALLERY.sub(lambda found: f"]({'../' * depth}{found[1]}/{found[2]}.rst)", text)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx: rewrite each page as it is read."""
    app.connect(
        "source-read", lambda app, name, source: source.__setitem__(0, as_on_the_site(source[0], name.count("/")))
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
