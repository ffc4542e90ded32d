"""The layout of the weights of many graphs in one array, and the forms in which users pass such weights.

A section holds one potential of all graphs: the first graph's entries, then the second's, and so on, in one packed
array [*batch, entries]. A user passes this array, or a list with an array for each graph.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import plain_array
from dagdp.describe.graph import Potential, Shape
from dagdp.describe.linear_reads import Reads, renumbered, triples
from dagdp.errors import GraphError, InputError, wrong_keys

Numbers = NDArray[np.int64]


class Kind(NamedTuple):
    """Operations by which arrays of one kind, NumPy's or torch's, are packed."""

    as_array: Callable[[Any, str], Any]  # (value, its name in error messages)
    join: Callable[[list[Any]], Any]  # along the last axis
    cast: Callable[[Any, Any], Any]  # (array, dtype)
    dtype: Callable[[Any], Any]  # of a gradient with respect to the array
    gather: Callable[[Any, Numbers], Any]  # array[..., indices]
    scatter: Callable[[Any, Numbers, int], Any]  # the transpose of gather: adds into zeros [*batch, size]


@dataclass(frozen=True, eq=False)
class Section:
    """One potential of all graphs. Each graph has a copy of the entries that it reads of a shared potential."""

    name: str | None
    shapes: tuple[Shape, ...]  # [graphs]
    offsets: Numbers  # [graphs+1] each graph's first entry
    shared: Numbers | None  # [offsets[-1]] the place of each entry in the one array that all graphs share

    @property
    def size(self) -> int:
        """The number of entries of all graphs."""
        return int(self.offsets[-1])


class Form(NamedTuple):
    """The form in which weights were given; gradients are returned in this form."""

    keyed: bool  # a dict of potentials
    rows: bool  # a list of dicts, one for each graph
    lists: tuple[bool, ...]  # [sections] whether a list with an array for each graph was given
    dtypes: tuple[list[Any], ...]  # [sections] of the array, or of each array of the list

    @property
    def named(self) -> bool:
        """Whether potentials were given by name: an array without batch dimensions is then a parameter."""
        return self.keyed or self.rows


def section(name: str | None, potentials: Sequence[Potential], shared: bool) -> tuple[Section, list[Reads]]:
    """(the section of one potential, [graphs] what each graph's edges read of the section).

    potentials : [graphs] the potential in each graph. Raises GraphError for a shared potential of several shapes.
    """
    shapes = tuple(potential.shape for potential in potentials)
    if not shared:
        offsets = np.cumsum([0, *(potential.size for potential in potentials)])
        return (
            Section(name, shapes, offsets, None),
            [
                renumbered(potential.reads, lambda entries, first=first: entries + first)  # type: ignore[misc]
                for potential, first in zip(potentials, offsets[:-1], strict=True)
            ],
        )
    for g, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise GraphError(
                f"potential {name!r} is shared and has shape {shapes[0]} in graph 0, {shape} in graph "
                f"{g}; expected one shape. Leave it out of shared= to give every graph its own"
            )
    reads = [potential.reads for potential in potentials]
    used = [np.unique(triples(own).entry) for own in reads]
    offsets = np.cumsum([0, *(entries.size for entries in used)])
    places = [
        renumbered(own, lambda given, entries=entries, first=first: np.searchsorted(entries, given) + first)  # type: ignore[misc]
        for own, entries, first in zip(reads, used, offsets[:-1], strict=True)
    ]
    return Section(name, shapes, offsets, np.concatenate(used).astype(np.int64)), places


@dataclass(frozen=True, eq=False)
class Layout:
    """All sections of a batch, in the order of the first graph's potentials."""

    graphs: int
    sections: tuple[Section, ...]

    def unshared(self) -> Layout:
        """The layout of packed weights: each graph has a copy of shared entries."""
        return Layout(self.graphs, tuple(replace(part, shared=None) for part in self.sections))

    def pack(self, values: Any, what: str, kind: Kind) -> tuple[Form, list[Any], list[Shape]]:
        """(form, [sections] arrays [*batch, entries], [sections] their batch shapes), checked.

        what : the name of the weights, for error messages. Raises InputError for weights that do not fit the graphs.
        """
        names = [part.name for part in self.sections]
        keyed, rows = isinstance(values, Mapping), False
        if isinstance(values, list | tuple):
            self._one_each(values, what)
            rows = any(isinstance(row, Mapping) for row in values)
        if not (keyed or rows) and len(names) > 1:
            raise InputError(
                f"{what} is one {type(values).__name__}; the graphs have potentials {names}: expected a dict with "
                "those keys, or a list of such dicts, one for each graph"
            )
        columns = self._columns(values, what) if rows else values if keyed else {names[0]: values}
        if (keyed or rows) and names == [None]:
            raise InputError(f"{what} has keys, but the graphs name no potentials: expected arrays [*batch, edges]")
        if set(columns) != set(names):
            raise wrong_keys(what, columns, names)
        labels = [f"{what}[{name!r}]" if keyed else what for name in names]
        packed = [
            self._packed(part, columns[part.name], label, rows, kind)
            for part, label in zip(self.sections, labels, strict=True)
        ]
        lists, dtypes, arrays, batches = zip(*packed, strict=True)
        return Form(keyed, rows, lists, dtypes), list(arrays), list(batches)

    def unpack(self, form: Form, arrays: Sequence[Any], kind: Kind) -> Any:
        """Packed arrays [*batch, entries], one for each section, in the form in which weights were given."""
        made = {
            part.name: _unpacked(part, array, is_list, dtypes, kind)
            for part, array, is_list, dtypes in zip(self.sections, arrays, form.lists, form.dtypes, strict=True)
        }
        if form.rows:
            return [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]
        return made if form.keyed else next(iter(made.values()))

    def of_graph(self, values: Any, packed: Sequence[Any], g: int) -> Any:
        """Graph g's weights as a function of one graph takes them; shared potentials as the user gave them."""
        own = {}
        for part, array in zip(self.sections, packed, strict=True):
            entries = array[..., part.offsets[g] : part.offsets[g + 1]]
            given = values[part.name] if isinstance(values, Mapping) else values
            own[part.name] = given if part.shared is not None else entries.reshape((*array.shape[:-1], *part.shapes[g]))
        return own.get(None, own)

    def _one_each(self, values: Sequence[Any], what: str) -> None:
        if len(values) != self.graphs:
            raise InputError(
                f"{what} is a {type(values).__name__} of {len(values)}; expected one entry for each of the "
                f"{self.graphs} graphs, or one array with the entries of all graphs side by side"
            )

    def _columns(self, rows: Sequence[Any], what: str) -> dict[Any, Any]:
        """A list of dicts, one for each graph, as a dict of lists."""
        names = [part.name for part in self.sections]
        common = [part.name for part in self.sections if part.shared is not None]
        if common:
            raise InputError(
                f"{what} is a list of dicts, but the graphs share {common}; expected one dict {{name: ...}}: for a "
                "shared potential one array, for any other a list"
            )
        for g, row in enumerate(rows):
            if not isinstance(row, Mapping) or set(row) != set(names):
                given = sorted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
                raise InputError(f"{what}[{g}] is {given}; expected a dict with exactly the keys {names}")
        return {name: [row[name] for row in rows] for name in names}

    def _packed(self, part: Section, given: Any, label: str, rows: bool, kind: Kind) -> tuple[Any, ...]:
        """(whether a list was given, dtypes, array, batch shape)."""
        if part.shared is not None:
            array = kind.as_array(given, label)
            own = _batch_shape(array, part.shapes[0], label)
            flat = array.reshape(*own, math.prod(part.shapes[0]))
            return False, [kind.dtype(array)], kind.gather(flat, part.shared), own
        if not isinstance(given, list | tuple):
            array = kind.as_array(given, label)
            return False, [kind.dtype(array)], array, _batch_shape(array, (part.size,), label)
        self._one_each(given, label)
        end = f"[{part.name!r}]" if rows else ""
        arrays = [kind.as_array(value, f"{label}[{g}]{end}") for g, value in enumerate(given)]
        first = _batch_shape(arrays[0], part.shapes[0], f"{label}[0]{end}")
        pieces = []
        for g, (array, shape) in enumerate(zip(arrays, part.shapes, strict=True)):
            if tuple(array.shape) != first + shape:
                own = _batch_shape(array, shape, f"{label}[{g}]{end}")
                raise InputError(
                    f"{label}[{g}]{end} has batch dimensions {own}, that of graph 0 {first}; expected the same of all"
                )
            pieces.append(array if len(shape) == 1 else array.reshape(*first, math.prod(shape)))
        return True, [kind.dtype(array) for array in arrays], kind.join(pieces), first


def _unpacked(part: Section, array: Any, is_list: bool, dtypes: list[Any], kind: Kind) -> Any:
    own = tuple(array.shape[:-1])
    if part.shared is not None:
        shape = part.shapes[0]
        return kind.cast(kind.scatter(array, part.shared, math.prod(shape)).reshape((*own, *shape)), dtypes[0])
    if not is_list:
        return kind.cast(array, dtypes[0])
    common = dtypes[0] if all(dtype is dtypes[0] for dtype in dtypes) else None
    packed = array if common is None else kind.cast(array, common)
    cuts = itertools.pairwise(part.offsets.tolist())
    pieces = [
        packed[..., a:b] if len(shape) == 1 else packed[..., a:b].reshape((*own, *shape))
        for (a, b), shape in zip(cuts, part.shapes, strict=True)
    ]
    if common is not None:
        return pieces
    return [kind.cast(piece, dtype) for piece, dtype in zip(pieces, dtypes, strict=True)]


def leaves(values: Any) -> Iterator[Any]:
    """All arrays of weights given in any form."""
    members = values.values() if isinstance(values, Mapping) else values
    if isinstance(values, list | tuple | Mapping):
        for member in members:
            if isinstance(member, list | tuple | Mapping):
                yield from leaves(member)
            else:
                yield member
    else:
        yield values


def _batch_shape(array: Any, shape: Shape, label: str) -> Shape:
    given = tuple(array.shape)
    axes = len(given) - len(shape)
    if axes < 0 or given[axes:] != shape:
        raise InputError(f"{label} has shape {given}; expected [*batch, {', '.join(map(str, shape))}]")
    return given[:axes]


def _numpy_array(value: Any, label: str) -> NDArray[Any]:
    array = plain_array(value, label)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InputError(f"{label} has dtype {array.dtype}; expected float64, float32, float16 or integers")
    return array


def _numpy_scatter(array: NDArray[Any], places: Numbers, size: int) -> NDArray[Any]:
    made = np.zeros((*array.shape[:-1], size), array.dtype)
    for row, own in zip(made.reshape(-1, size), array.reshape(-1, places.size), strict=True):
        np.add.at(row, places, own)
    return made


NUMPY = Kind(
    as_array=_numpy_array,
    join=lambda pieces: np.concatenate(pieces, -1),
    cast=lambda array, dtype: array.astype(dtype, copy=False),
    dtype=lambda array: array.dtype if array.dtype.kind == "f" else np.dtype(np.float64),
    gather=lambda array, places: array[..., places],
    scatter=_numpy_scatter,
)
