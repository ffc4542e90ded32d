"""A recurrence as immutable values: lines, and the alternatives of each cell.

An alternative is one edge into a cell for each value of its indices. Subscripts and conditions remain nodes of Python's
syntax tree, which `parse` has checked.
"""

from __future__ import annotations

import ast
from typing import NamedTuple


class Read(NamedTuple):
    """A term of an alternative: a cell of a table or an entry of a potential, times a coefficient."""

    name: str
    subscripts: tuple[ast.expr, ...]
    scale: float  # the part of the coefficient that is written as a number, with its sign
    factors: tuple[ast.expr, ...]  # the other factors of the coefficient, of indices and data
    node: ast.expr  # where it stands

    @property
    def weighted(self) -> bool:
        """Whether the coefficient is anything but 1."""
        return self.scale != 1 or bool(self.factors)


class Alternative(NamedTuple):
    """One edge into a cell for all values of the indices on the left side and of the bound ones. No reads: `0`."""

    bound: tuple[ast.Name, ...]  # indices that max[...] binds, as written
    conditions: tuple[ast.expr, ...]  # of when(...), the outermost first
    tables: tuple[Read, ...]  # one or two parents; none: the path begins here
    potentials: tuple[Read, ...]
    node: ast.expr

    @property
    def begins(self) -> bool:
        """Whether it is `0`: a path that begins here, at no cost."""
        return not self.tables and not self.potentials


class Line(NamedTuple):
    """The definition of some cells of a table, or `return`, which defines the value."""

    table: str | None  # None for `return`
    subscripts: tuple[ast.expr, ...]
    indices: tuple[str, ...]  # of the left side, in order
    alternatives: tuple[Alternative, ...]
    node: ast.stmt


class Text(NamedTuple):
    """A parsed recurrence."""

    lines: tuple[Line, ...]  # the last one is `return`
    minimize: bool  # it says `min`


def names_in(node: ast.expr) -> set[str]:
    """The names that an expression reads."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def subscripts_of(node: ast.Subscript) -> tuple[ast.expr, ...]:
    """The subscripts of an expression, one for each axis."""
    return tuple(node.slice.elts) if isinstance(node.slice, ast.Tuple) else (node.slice,)


def written_number(node: ast.expr) -> int | None:
    """The value of a subscript that is written in numbers alone; None for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = written_number(node.operand)
        return None if inner is None else -inner
    return None
