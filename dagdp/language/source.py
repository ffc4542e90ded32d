"""The text of a recurrence, and errors that show a line of it with a caret."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass

from dagdp.errors import GraphError


@dataclass(frozen=True)
class Source:
    """The text without its common indentation and without empty lines around it: lines are counted from 1."""

    text: str

    @classmethod
    def of(cls, text: str) -> Source:
        """The source of a text as the user wrote it."""
        lines = textwrap.dedent(text).splitlines()
        while lines and not lines[0].strip():
            del lines[0]
        return cls(textwrap.dedent("\n".join(lines)).rstrip())

    def parsed(self) -> list[ast.stmt]:
        """The statements of the text. Raises GraphError where it does not follow Python's grammar."""
        try:
            return ast.parse(self.text).body
        except SyntaxError as error:
            raise self._shown(
                error.lineno or 1, (error.offset or 1) - 1, f"the text cannot be read: {error.msg}"
            ) from None

    def error(self, node: ast.AST, message: str) -> GraphError:
        """An error at a node of the syntax tree."""
        line = int(getattr(node, "lineno", 1))
        written = self.text.splitlines()[line - 1]
        column = len(written.encode()[: int(getattr(node, "col_offset", 0))].decode())
        return self._shown(line, column, message)

    def written(self, node: ast.AST) -> str:
        """A node of the syntax tree as the user wrote it."""
        return " ".join((ast.get_source_segment(self.text, node) or ast.unparse(node)).split())

    def _shown(self, line: int, column: int, message: str) -> GraphError:
        lines = self.text.splitlines()
        written = lines[line - 1] if line <= len(lines) else ""
        shown = written.lstrip()
        return GraphError(f"line {line}: {message}\n    {shown}\n    {' ' * (column - len(written) + len(shown))}^")
