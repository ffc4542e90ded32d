"""Docstrings of dagdp as reStructuredText, for Sphinx.

A docstring here is plain text for a terminal: `name : text` describes a parameter or a field, backticks quote code, and
stars and underscores are letters. `as_rest` makes parameters a definition list under a field, as numpydoc does, makes
quoted public names links, and escapes the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*) : (.*)$")
RULE = re.compile(r"^-{3,}$")
PAGE = re.compile(r"docs/((?:[\w-]+/)*[\w-]+)\.md(?:#[\w-]+)?")
SHAPE = re.compile(r"\[\*?[A-Za-z_]\w*(?: \+ 1)?(?:, \*?\w+(?: \+ 1)?)*\]")
SPECIAL = re.compile(r"(docs/(?:[\w-]+/)*[\w-]+\.md(?:#[\w-]+)?|" + SHAPE.pattern + ")")
#: Modules whose classes users never call: they are given instances.
RETURNED = ("dagdp.compiled", "dagdp.compiler", "dagdp.paths", "dagdp.graphs.pairwise")
Resolve = Callable[[str], str | None]


@dataclass
class Block:
    """Lines without a blank line between them, and the heading above them, if any."""

    lines: list[str]
    heading: str | None = None

    @property
    def is_code(self) -> bool:
        return self.lines[0].startswith(">>>")

    @property
    def is_literal(self) -> bool:
        """Whether the block is indented: a recurrence, or a table in columns."""
        return all(line.startswith("    ") for line in self.lines)

    @property
    def has_items(self) -> bool:
        return ITEM.match(self.lines[0]) is not None


def blocks_of(lines: list[str]) -> list[Block]:
    """The blocks of a docstring. Code that follows code after a blank line is one block with it."""
    blocks: list[Block] = []
    heading, current = None, list[str]()
    for line, following in zip([*lines, ""], [*lines[1:], "", ""], strict=False):
        if RULE.match(line):
            continue
        if RULE.match(following) and line.strip():
            heading = line.strip()
        elif line.strip():
            current.append(line.rstrip())
        elif current:
            block = Block(current, heading)
            if block.is_code and blocks and blocks[-1].is_code:
                blocks[-1].lines += ["", *current]
            else:
                blocks.append(block)
            heading, current = None, []
    return blocks


def items_of(block: Block) -> Iterator[tuple[str, str]]:
    """(names, text) of each item of a block."""
    names, text = "", list[str]()
    for line in block.lines:
        found = ITEM.match(line)
        if found:
            if text:
                yield names, " ".join(text)
            names, text = found[1], [found[2]]
        else:
            text.append(line.strip())
    yield names, " ".join(text)


def escaped(text: str) -> str:
    """Text whose letters mean nothing to reStructuredText."""
    return re.sub(r"([\\*_|<>])", r"\\\1", text)


def marked(piece: str) -> str:
    """A piece of plain text: a page as a link, a shape as code, other text escaped."""
    page = PAGE.fullmatch(piece)
    if page:
        return f":doc:`/{page[1]}`"
    return f"``{piece}``" if SHAPE.fullmatch(piece) else escaped(piece)


def inline(text: str, resolve: Resolve) -> str:
    """A paragraph: quoted names as links, other quotes as code, shapes as code, pages as links.

    resolve : the full name of a quoted name that has a place in the reference, or None.
    """
    parts = []
    for k, part in enumerate(text.split("`")):
        if k % 2:
            full = resolve(part)
            parts.append(f":py:obj:`{part} <{full}>`" if full else f"``{part.strip()}``")
        else:
            parts += [marked(piece) for piece in SPECIAL.split(part)]
    joined = ""
    for part in parts:  # a role or a literal must not touch a letter
        touches = (
            joined
            and part
            and (
                (joined[-1] == "`" and (part[0].isalnum() or part[0] in "\\`:"))
                or (part[0] in "`:" and joined[-1].isalnum())
            )
        )
        joined += ("\\ " if touches else "") + part
    return joined


def as_rest(lines: list[str], resolve: Resolve, fields: str = "Parameters") -> list[str]:
    """A docstring as reStructuredText.

    fields : the title of items that stand under no heading: "Parameters" of a function, "Attributes" of a record.
    """
    rest: list[str] = []
    before = ""
    for block in blocks_of(lines):
        text = " ".join(line.strip() for line in block.lines)
        titled = block.heading not in (None, "Parameters", "Example", "Examples")
        if titled:
            rest += [f".. rubric:: {block.heading}", ""]
        if block.is_code:
            if block.heading or not before.endswith(":"):
                rest += [".. rubric:: Example", ""]
            rest += [*block.lines, ""]
        elif block.has_items:
            open_list = titled or before.endswith(":")
            if not open_list:
                rest += [f":{block.heading or fields}:", ""]
            pad = "" if open_list else "    "
            for names, what in items_of(block):
                shown = ", ".join(f"**{escaped(name)}**" for name in names.split(", "))
                rest += [f"{pad}{shown}", f"{pad}    {inline(what, resolve)}", ""]
        elif block.is_literal:
            rest += ["::", "", *block.lines, ""]
        elif text.startswith("Raises "):
            rest += [":Raises:", "", f"    {inline(text.removeprefix('Raises '), resolve)}", ""]
        else:
            if block.heading in ("Example", "Examples"):
                rest += [".. rubric:: Example", ""]
            rest += [inline(text, resolve), ""]
        before = text
    return rest


def title_of_fields(what: str, obj: Any) -> str:
    """What items under no heading are: attributes of a class whose instances a function returns, else parameters."""
    is_result = what == "class" and (issubclass(obj, tuple) or obj.__module__.startswith(RETURNED))
    return "Attributes" if is_result else "Parameters"


def resolve_in(public: dict[str, str], owner: str, name: str) -> str | None:
    """The full name of a quoted name: written in full, a member of its owner, or a public name."""
    bare = name.removesuffix("()")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", bare) or len(bare) < 3:
        return None
    member = public.get(f"{owner}.{bare}") if owner else None
    return member or public.get(bare)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx: convert each docstring on its way into a page."""
    public: dict[str, str] = {}

    def read_names(app: Any) -> None:
        """The names on the pages of reference/: full names, and short ones that are not ambiguous."""
        texts = [page.read_text(encoding="utf-8") for page in sorted((app.srcdir / "reference").glob("*.rst"))]
        found = [name for text in texts for name in re.findall(r"^ +~?(dagdp(?:\.\w+)+)$", text, flags=re.M)]
        for full in dict.fromkeys(found):
            public[full] = full
        for full in reversed(public.copy()):  # the first of several names of one ending wins
            public[full.rpartition(".")[2]] = full
            public[full.removeprefix("dagdp.")] = full

    def convert(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        if what == "module":
            return
        owner = name if what == "class" else name.rpartition(".")[0]
        resolve = partial(resolve_in, public, owner)
        lines[:] = as_rest(
            lines, lambda quoted: None if resolve(quoted) == name else resolve(quoted), title_of_fields(what, obj)
        )

    def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
        """Whether a member is left out: what another package made in a class of ours, such as `set_score_request`."""
        home = getattr(obj, "__module__", None)
        return True if isinstance(home, str) and not home.startswith("dagdp") else None

    app.connect("builder-inited", read_names)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
