"""Every link of the built site leads to a file, and to a place in it: python docs/extensions/check_links.py FOLDER.

Sphinx checks references as it reads pages. This reads what it wrote, templates and included pages as well. Links to
other sites are not followed.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places that links may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name in ("href", "src") or (name == "action" and tag == "form")):
                self.links.append(value)
            elif value and (name == "id" or (name == "name" and tag == "a")):
                self.places.add(value)


def pages_of(folder: Path) -> list[Path]:
    """The pages of a site, without the templates that a theme keeps among its static files."""
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


def broken_links(folder: Path) -> list[str]:
    """ "page: link" of each link within a folder of pages that leads nowhere."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in pages_of(folder)}
    broken = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in ("#", "#top"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            found = target.is_file() and (not place or target not in pages or place in pages[target].places)
            if not found:
                broken.append(f"{path.relative_to(folder.resolve())}: {link}")
    return broken


def main(folder: Path) -> int:
    """Report broken links on standard error; the exit status."""
    broken = broken_links(folder)
    count = len(pages_of(folder))
    sys.stderr.write("".join(f"{line}\n" for line in broken))
    sys.stderr.write(f"{count} pages, {len(broken)} broken links\n")
    return 1 if broken or not count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
