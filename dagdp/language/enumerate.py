"""ENUMERATE: the edges of a program, alternative by alternative, as arrays in blocks.

Cells are numbered table by table and row by row, from 0 on. An alternative is an edge into its cell from each cell that
it reads; the edges of one alternative stand in the order of the left indices, then of the bound ones, the last fastest.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.describe.edge_arrays import Shape, compact
from dagdp.errors import GraphError
from dagdp.language.arithmetic import Fault, evaluate, from_the_end
from dagdp.language.check import Program
from dagdp.language.domain import Block, Condition, Domain, Holds, InRange
from dagdp.language.syntax import Alternative, Line, Read, names_in

Array = NDArray[Any]
NONE = -1  # instead of a node or of an entry


class Reads(NamedTuple):
    """What edges read of one potential, in one place of the alternative's sum."""

    entries: Array  # [edges] flat index, NONE for no read
    coefficients: Any  # [edges], or the number 1.0 for all


class Edges(NamedTuple):
    """Some edges of one alternative."""

    children: Array  # [edges] cells; the number behind the last cell for `return`
    parents: Array  # [edges] cells, NONE for a path that begins here
    seconds: Array | None  # [edges] the second parents; None without any
    reads: Mapping[str, tuple[Reads, ...]]  # {potential: its reads}


@dataclass(frozen=True)
class Enumeration:
    """The edges of a program, listed on demand, and the sizes that the listing needs."""

    program: Program
    shapes: Mapping[str, Shape]  # of the potentials

    @property
    def cells(self) -> int:
        """Cells of all tables."""
        return sum(math.prod(shape) for shape in self.program.tables.values())

    def edges(self, line: Line, alternative: Alternative) -> Iterator[Edges]:
        """The edges of an alternative, in blocks."""
        domain = domain_of(self.program, line, alternative)
        for block in domain.blocks():
            if block.faulty:
                fault = domain.fault(block)
                raise at_fault(self.program, fault)
            yield self._edges(line, alternative, block)

    def _edges(self, line: Line, alternative: Alternative, block: Block) -> Edges:
        children: Any = self.cells if line.table is None else self._cell(line.table, line.subscripts, block)
        parents = [self._cell(read.name, read.subscripts, block) for read in alternative.tables] or [NONE]
        reads: dict[str, tuple[Reads, ...]] = {}
        for read in alternative.potentials:
            reads[read.name] = (*reads.get(read.name, ()), self._read(read, block))
        kept = [block.spread(compact(np.asarray(one))) for one in (children, *parents)]
        return Edges(kept[0], kept[1], kept[2] if len(kept) > 2 else None, reads)

    def _cell(self, table: str, subscripts: Sequence[ast.expr], block: Block) -> Any:
        """The number of the cell that each kept value reads, or defines."""
        begin = 0
        for name, shape in self.program.tables.items():
            if name == table:
                return begin + self._flat(subscripts, self.program.tables[table], block)
            begin += math.prod(shape)
        raise AssertionError(table)

    def _flat(self, subscripts: Sequence[ast.expr], shape: Shape, block: Block) -> Any:
        """The flat index of a place in an array of this shape."""
        total: Any = np.zeros((), np.int32)
        for axis, (subscript, size) in enumerate(zip(subscripts, shape, strict=True)):
            numbers = whole_numbers(self.program, subscript, block, size)
            total = total + compact(np.asarray(numbers) * math.prod(shape[axis + 1 :]))
        return total

    def _read(self, read: Read, block: Block) -> Reads:
        """The entries of a potential, and their coefficients. Raises GraphError for an entry out of range."""
        shape = self.shapes[read.name]
        for axis, (subscript, size) in enumerate(zip(read.subscripts, shape, strict=True)):
            numbers = whole_numbers(self.program, subscript, block, size)
            outside = (numbers < 0) | (numbers >= size)
            if outside.any():
                raise self._outside(read, axis, int(numbers[outside].flat[0]), block, outside)
        entries = block.spread(compact(self._flat(read.subscripts, shape, block)))
        if not read.factors:
            return Reads(entries, read.scale) if read.scale else Reads(np.full_like(entries, NONE), 1.0)
        coefficient: Any = read.scale
        for factor in read.factors:
            value = evaluate(factor, block.environment, self.program.declarations.data)
            for fault in value.faults:
                if fault.places.any():
                    raise at_fault(self.program, fault)
            if not np.isfinite(value.numbers).all():
                raise self.program.source.error(
                    factor, f"{self.program.source.written(factor)} is not finite; expected a finite coefficient"
                )
            coefficient = coefficient * value.numbers
        spread = block.spread(np.asarray(coefficient, np.float64))
        return Reads(np.where(spread == 0, np.asarray(NONE, entries.dtype), entries), spread)

    def _outside(self, read: Read, axis: int, number: int, block: Block, outside: Array) -> GraphError:
        place = np.unravel_index(int(block.spread(outside).argmax()), block.shape)
        read_here = set().union(*map(names_in, read.subscripts))
        names = [name for name in block.environment if name in read_here]
        at = ", ".join(f"{name} = {np.broadcast_to(block.environment[name], block.shape)[place]}" for name in names)
        where = f", at {at}" if at else ""
        source, shape = self.program.source, self.shapes[read.name]
        return source.error(
            read.node,
            f"{source.written(read.node)} reads place {number} of axis {axis}{where}; {read.name} has shape {shape}. "
            f"Give it a larger one by potentials=, or leave the edge out by when(...). {meant_as_table(self.program)}",
        )


def meant_as_table(program: Program) -> str:
    """A hint for a name that may be a misspelt table: every name that no line defines is a potential."""
    return f"If a table is meant, the tables are {', '.join(program.tables) or 'none'}"


def at_fault(program: Program, fault: Fault) -> GraphError:
    """The error for an expression without a value at a place where its alternative is kept."""
    return program.source.error(fault.node, f"{program.source.written(fault.node)} {fault.reason}")


def whole_numbers(program: Program, subscript: ast.expr, block: Block, size: int) -> Any:
    """The numbers of a subscript at the kept values; raises GraphError where they are no whole numbers."""
    value = evaluate(subscript, block.environment, program.declarations.data)
    for fault in value.faults:
        if np.any(fault.places):
            raise at_fault(program, fault)
    numbers = np.asarray(from_the_end(subscript, value.numbers, size))
    if numbers.dtype.kind not in "iu":
        raise program.source.error(
            subscript, f"{program.source.written(subscript)} is no whole number; expected one in a subscript"
        )
    return numbers


def domain_of(program: Program, line: Line, alternative: Alternative) -> Domain:
    """The values of the indices for which an alternative is kept."""
    declarations = program.declarations
    names = (*line.indices, *(name.id for name in alternative.bound))
    sides = [(line.subscripts, program.tables[line.table])] if line.table is not None else []
    sides += [(read.subscripts, program.tables[read.name]) for read in alternative.tables]
    places = [InRange(*pair) for subscripts, shape in sides for pair in zip(subscripts, shape, strict=True)]
    conditions: list[Condition] = [Holds(part) for one in alternative.conditions for part in _conjuncts(one)]
    # A subscript that may have a fault is judged behind the conditions, which can exclude the fault.
    conditions += [place for place in places if _may_fail(place.subscript)]
    return Domain(
        {name: declarations.indices[name] for name in names},
        tuple(place for place in places if not _may_fail(place.subscript)),
        tuple(conditions),
        declarations.data,
    )


def _conjuncts(condition: ast.expr) -> list[ast.expr]:
    """The operands of `and`, each of which can be judged as soon as its indices are listed."""
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And):
        return [part for one in condition.values for part in _conjuncts(one)]
    return [condition]


def _may_fail(subscript: ast.expr) -> bool:
    """Whether a subscript reads data, or divides."""
    return any(isinstance(one, ast.Subscript | ast.FloorDiv | ast.Mod) for one in ast.walk(subscript))


def measured(program: Program) -> dict[str, Shape]:
    """{potential: shape}; an axis of unknown length is as long as the largest entry that an edge reads, plus one."""
    found = {name: [size or 0 for size in axes] for name, axes in program.potentials.items()}
    unknown = {name for name, axes in program.potentials.items() if None in axes}
    for line in program.lines:
        for alternative in line.alternatives:
            reads = [read for read in alternative.potentials if read.name in unknown]
            for block in domain_of(program, line, alternative).blocks() if reads else ():
                for read in [] if block.faulty else reads:
                    _measure(program, read, block, found[read.name])
    for name in program.potentials:
        if 0 in found[name]:
            raise _without_length(program, name, found[name].index(0))
    return {name: tuple(sizes) for name, sizes in found.items()}


def _without_length(program: Program, name: str, axis: int) -> GraphError:
    reads = (r for line in program.lines for one in line.alternatives for r in one.potentials)
    shape = tuple(size or 1 for size in program.potentials[name])
    return program.source.error(
        next(read.node for read in reads if read.name == name),
        f"no edge tells the length of axis {axis} of {name}; expected its shape by potentials=, such as "
        f"potentials={{{name!r}: {shape}}}. {meant_as_table(program)}",
    )


def _measure(program: Program, read: Read, block: Block, sizes: list[int]) -> None:
    for axis, subscript in enumerate(read.subscripts):
        if program.potentials[read.name][axis] is None:
            numbers = whole_numbers(program, subscript, block, 0)
            sizes[axis] = max(sizes[axis], int(numbers.max()) + 1)
