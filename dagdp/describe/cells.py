"""Nodes that are cells of tables: their numbers by table and place, and their names by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.errors import InputError

Numbers = NDArray[np.int64]


class Cell(tuple[Any, ...]):
    """The name of a node: ("v", 3, 4), shown as v[3, 4].

    >>> Cell(("v", 3, 4)), Cell(("v", 3, 4)) == ("v", 3, 4), Cell(("done",))
    (v[3, 4], True, done)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        table, *place = self
        return f"{table}[{', '.join(map(str, place))}]" if place else str(table)


@dataclass(frozen=True)
class Recurrence:
    """The tables of a recurrence. Their cells are consecutive nodes, table by table and row by row.

    text : the source.
    listing : the names of the text by role, with sizes, as lines of text.
    shapes : {table: shape}, in the order of the nodes.
    first : the number of the first cell, 1 behind an added start, else 0.
    """

    text: str
    listing: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    first: int

    @cached_property
    def begins(self) -> dict[str, int]:
        """{table: the node of its first cell}."""
        made, at = {}, self.first
        for table, shape in self.shapes.items():
            made[table] = at
            at += int(np.prod(shape, dtype=np.int64))
        return made

    def numbers(self, table: str, places: tuple[Any, ...]) -> Numbers:
        """The nodes of cells; `places` has integers or arrays, which broadcast, for each axis.

        Raises InputError for an unknown table, and for a place outside it.
        """
        if table not in self.shapes:
            raise InputError(f"{table!r} is no table of the recurrence; expected one of {list(self.shapes)}")
        shape = self.shapes[table]
        if len(places) != len(shape):
            raise InputError(f"{table} was given {len(places)} places; expected {len(shape)}, one for each axis")
        arrays = [np.asarray(place) for place in places]
        for axis, (array, size) in enumerate(zip(arrays, shape, strict=True)):
            if array.dtype.kind not in "iu":
                raise InputError(f"place {axis} in {table} has dtype {array.dtype}; expected integers")
            outside = (array < 0) | (array >= size)
            if outside.any():
                raise InputError(
                    f"place {axis} in {table} is {array[outside].flat[0]}; expected 0 to {size - 1}, as {table} has "
                    f"shape {shape}"
                )
        flat = np.ravel_multi_index(tuple(np.broadcast_arrays(*arrays)), shape) if shape else np.zeros((), np.int64)
        return np.asarray(flat, np.int64) + self.begins[table]

    def name(self, node: int) -> Hashable:
        """The cell of a node; "(start)" and "(end)" for the nodes before and behind the cells."""
        found = None
        for table, begin in self.begins.items():
            if node >= begin:
                found = table
        if found is None:
            return "(start)"
        place = node - self.begins[found]
        shape = self.shapes[found]
        if place >= int(np.prod(shape, dtype=np.int64)):
            return "(end)"
        return Cell((found, *map(int, np.unravel_index(place, shape))) if shape else (found,))


class NodeNames(ABC):
    """What the nodes of a graph are called: the part of `Graph` that reads names."""

    @property
    @abstractmethod
    def num_nodes(self) -> int:
        """The number of nodes."""

    @property
    @abstractmethod
    def nodes(self) -> list[Hashable] | None:
        """The user's names by number, or None where nodes are named by their numbers."""

    @abstractmethod
    def edges(self) -> tuple[Numbers, Numbers]:
        """(parents, children), node numbers int64 [edges] each."""

    @abstractmethod
    def terminals(self) -> tuple[Numbers | None, Numbers | None]:
        """(starts, ends) as node numbers; None where the default applies."""

    @property
    def recurrence(self) -> Recurrence | None:
        """The tables of the recurrence that the graph was made from; None for other graphs."""
        return None

    @property
    def text(self) -> str | None:
        """The recurrence that the graph was made from, as text; None for other graphs."""
        return None if self.recurrence is None else self.recurrence.text

    def cell(self, table: str, *places: Any) -> Any:
        """The nodes of cells of a recurrence's table: an integer, or int64 of the broadcast shape of the places.

        places : for each axis of the table an integer or an array of integers, counted from 0.

        Raises InputError for a place outside the table, for a cell that no line defines, and for a graph that was not
        made by `dagdp.recurrence`.

        Example
        -------
        >>> import dagdp
        >>> edit = dagdp.recurrence('''
        ...     d[0, 0] = 0
        ...     d[i, j] = min(d[i-1, j] + gap, d[i, j-1] + gap, d[i-1, j-1] + swap[i, j])
        ...     return d[-1, -1]
        ... ''', i=3, j=4)
        >>> edit.cell("d", 1, 2), edit.cell("d", [0, 2], 3).tolist()
        (6, [3, 11])
        """
        if self.recurrence is None:
            raise InputError("the graph has no tables; expected one made by dagdp.recurrence(text, ...)")
        numbers = self.recurrence.numbers(table, places)
        starts = self.terminals()[0]
        defined = np.zeros(self.num_nodes, bool)
        defined[self.edges()[1]] = True
        if starts is not None:
            defined[starts] = True
        holes = numbers[~defined[numbers]]
        if holes.size:
            raise InputError(
                f"{self.name(int(holes[0]))} has no alternative, so that no path leads there; expected a cell that a "
                "line defines"
            )
        return numbers if numbers.ndim else int(numbers)

    def in_text(self, mend: str) -> str:
        """How to mend a fault in the text of a recurrence, for the end of an error message; "" for other graphs."""
        return "" if self.recurrence is None else f". In the text: {mend}"

    def cell_numbers(self, nodes: Any) -> Any:
        """Cells such as ("v", 3, 4), alone or in lists, as node numbers; anything else unchanged."""
        if self.recurrence is None or not isinstance(nodes, list | tuple) or not nodes:
            return nodes
        if isinstance(nodes, tuple) and isinstance(nodes[0], str):
            return self.cell(*nodes)
        return [self.cell_numbers(node) for node in nodes]

    def name(self, node: int) -> Hashable:
        """The name of a node: the user's, the cell of a recurrence, or the number of a node without a name."""
        if self.recurrence is not None:
            return self.recurrence.name(node)
        names = self.nodes
        return int(node) if names is None else names[node]


def free_name(name: str, taken: Mapping[Hashable, int]) -> str:
    """The name, in brackets until no node has it."""
    while name in taken:
        name = f"({name})"
    return name
