"""CHECK: what only the whole text tells: sizes of tables, shapes of potentials, and names that nothing reads."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dagdp.describe.edge_arrays import LARGEST, Shape, shape_of
from dagdp.errors import GraphError
from dagdp.language.declarations import Declarations
from dagdp.language.source import Source
from dagdp.language.syntax import Line, Read, Text, names_in, written_number

Axes = tuple[int | None, ...]  # the length of each axis; None where only the entries that edges read tell it


@dataclass(frozen=True)
class Program:
    """A recurrence whose names all have a role and a size."""

    source: Source
    declarations: Declarations
    lines: tuple[Line, ...]  # the last one is `return`
    minimize: bool
    tables: Mapping[str, Shape]  # in the order of their first definition
    potentials: Mapping[str, Axes]  # those of potentials= first, then in the order of the first read


def check(source: Source, text: Text, declarations: Declarations, shapes: Mapping[str, int | Sequence[int]]) -> Program:
    """The checked program. Raises GraphError with the line and a caret.

    shapes : `potentials=` as the user gave it.
    """
    potentials = _potentials(source, text, declarations, shapes)
    _check_use(text, declarations)
    tables = _tables(source, text, declarations)
    cells = sum(math.prod(shape) for shape in tables.values())
    if cells >= LARGEST:
        raise GraphError(
            f"the tables {dict(tables)} have {cells} nodes; expected fewer than 2^31 of each, nodes and edges. "
            "Split the problem: a batch of smaller graphs has no such limit"
        )
    return Program(source, declarations, text.lines, text.minimize, tables, potentials)


def _tables(source: Source, text: Text, declarations: Declarations) -> dict[str, Shape]:
    """{table: shape}, from the indices that stand alone and the numbers that are written on left sides."""
    found: dict[str, list[list[int]]] = {}
    alone: dict[str, list[bool]] = {}
    for line in text.lines[:-1]:
        assert line.table is not None
        sizes = found.setdefault(line.table, [[0] for _ in line.subscripts])
        single = alone.setdefault(line.table, [False for _ in line.subscripts])
        for axis, subscript in enumerate(line.subscripts):
            number = written_number(subscript)
            if isinstance(subscript, ast.Name) and subscript.id in declarations.indices:
                sizes[axis].append(declarations.extent(subscript.id))
                single[axis] = True
            elif number is not None:
                sizes[axis].append(number + 1)
    for line in text.lines[:-1]:
        assert line.table is not None
        for axis, subscript in enumerate(line.subscripts):
            if not alone[line.table][axis]:
                raise source.error(
                    subscript,
                    f"axis {axis} of {line.table} has no length; expected a line with an index alone in this place on "
                    f"the left side, such as {_example(line, axis, declarations)} = ...",
                )
    return {name: tuple(max(one) for one in sizes) for name, sizes in found.items()}


def _example(line: Line, axis: int, declarations: Declarations) -> str:
    index = next(iter(declarations.indices), "i")
    shown = [index if k == axis else ast.unparse(one) for k, one in enumerate(line.subscripts)]
    return f"{line.table}[{', '.join(shown)}]"


def _reads(text: Text) -> list[Read]:
    return [read for line in text.lines for one in line.alternatives for read in one.potentials]


def _potentials(
    source: Source, text: Text, declarations: Declarations, shapes: Mapping[str, int | Sequence[int]]
) -> dict[str, Axes]:
    """{potential: axes}."""
    tables, reads = {line.table for line in text.lines}, _reads(text)
    for name in shapes:
        if name in declarations or name in tables:
            role = "a table" if name in tables else declarations.role(name)
            raise GraphError(f"potentials= names {name!r}, which is {role}; expected a name for each role")
    made: dict[str, Axes] = {name: shape_of(name, shape) for name, shape in shapes.items()}
    longest: dict[str, list[int]] = {}
    axes = {name: len(shape) for name, shape in made.items()}
    for read in reads:
        own = len(read.subscripts)
        if axes.setdefault(read.name, own) != own:
            raise source.error(read.node, _disagreement(read, made.get(read.name), axes[read.name]))
        lengths = longest.setdefault(read.name, [0] * own)
        for axis, subscript in enumerate(read.subscripts):
            if isinstance(subscript, ast.Name) and subscript.id in declarations.indices:
                lengths[axis] = max(lengths[axis], declarations.extent(subscript.id))
    for name in made:
        if name not in longest:
            raise GraphError(f"potentials= names {name!r}, which the text does not read; {_similar(name, longest)}")
    for name, lengths in longest.items():
        made.setdefault(name, tuple(length or None for length in lengths))
    return made


def _disagreement(read: Read, shape: Axes | None, axes: int) -> str:
    own = len(read.subscripts)
    counted = f"{own} subscript{'' if own == 1 else 's'}"
    if shape is None:
        return f"{read.name} is read with {counted} here and with {axes} above; expected one number"
    return f"{read.name} is read with {counted}; potentials= gives it the shape {shape}, {axes} axes"


def _similar(name: str, known: Mapping[str, object]) -> str:
    return f"it reads {', '.join(known)}" if known else "it reads no potential"


def _check_use(text: Text, declarations: Declarations) -> None:
    """Raise GraphError for a declared name that the text does not use."""
    used: set[str] = set()
    for line in text.lines:
        used |= set().union(*map(names_in, line.subscripts)) if line.subscripts else set()
        for one in line.alternatives:
            used |= {name.id for name in one.bound}
            for part in one.conditions:
                used |= names_in(part)
            for read in (*one.tables, *one.potentials):
                for part in (*read.subscripts, *read.factors):
                    used |= names_in(part)
    for name in declarations.names:
        if name not in used:
            raise GraphError(
                f"{name}= declares {declarations.role(name)} that the text does not use; leave it out, or use {name}"
            )
