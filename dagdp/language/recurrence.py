"""The function `dagdp.recurrence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from dagdp.describe.annotations import Annotations
from dagdp.describe.cells import Recurrence
from dagdp.describe.complete import Complete
from dagdp.describe.edge_arrays import EdgeArrays, EdgesOnce, EndsByLength, compact, parents_of
from dagdp.describe.graph import Graph
from dagdp.describe.linear_reads import reads_of
from dagdp.errors import GraphError
from dagdp.language.assemble import Assembly, assemble
from dagdp.language.check import Program, check
from dagdp.language.declarations import declared
from dagdp.language.enumerate import Enumeration, measured
from dagdp.language.parse import parse
from dagdp.language.source import Source
from dagdp.language.syntax import written_number


def recurrence(
    text: str, /, potentials: Mapping[str, int | Sequence[int]] | None = None, **indices_and_data: Any
) -> Graph:
    """The graph of a dynamic program that is written as a recurrence.

    Parameters
    ----------
    text : one line for each rule, and `return` last. docs/recurrences.md is a tutorial.
    potentials : `{name: shape}` of potentials whose shape the text does not tell.
    indices_and_data : a number n, a `range` or a pair (a, b) declares an index of the values 0 to n - 1, of the range,
        or from a to b - 1. A list or an array is data: numbers for subscripts, conditions and coefficients.

    A name on the left of = is a table, and its cells are nodes. Every name that is neither a table nor declared is a
    potential: a block of theta, of shape () where it has no subscript. An alternative of max(...) is an edge into the
    cell; the tables that it reads are the edge's parents, and the potentials that it reads are the edge's. `min` says
    that theta are costs: `graph.minimize` is then True. Edges stand cell by cell, in the order of lines and
    alternatives, which decides ties under HardMax. `print(graph)` lists the names with their sizes.

    Raises GraphError with the line and a caret. A cycle is found by `dagdp.compile`.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> viterbi = recurrence('''
    ...     v[0, i] = start[i] + emission[0, i]
    ...     v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    ...     return max[i](v[-1, i])
    ... ''', t=3, i=2, j=2)
    >>> print(viterbi)
    Graph(7 nodes, 10 edges)
      tables: v (3, 2)
      indices: t 3, i 2, j 2
      potentials: start (2,), emission (3, 2), transition (2, 2)
    >>> theta = {"start": np.zeros(2), "emission": np.zeros((3, 2)), "transition": np.zeros((2, 2))}
    >>> bool(np.isclose(dagdp.dp_value(dagdp.compile(viterbi), theta), 3 * np.log(2)))
    True
    """
    if not isinstance(text, str):
        raise GraphError(f"recurrence was given {text!r}; expected a text")
    if potentials is not None and not isinstance(potentials, Mapping):
        raise GraphError(f"potentials is {potentials!r}; expected a dict {{name: shape}}")
    source, declarations = Source.of(text), declared(indices_and_data)
    program = check(source, parse(source, declarations), declarations, potentials or {})
    return graph_of(Enumeration(program, measured(program)))


def listed(listing: Enumeration) -> EdgeArrays:
    """The edges of a program, for a compiled graph that lists them again."""
    return arrays_of(assemble(listing))


def arrays_of(made: Assembly) -> EdgeArrays:
    """The arrays of an assembly as a graph holds them."""
    first, second = parents_of("parents", made.parents, made.children.size, own=True)
    reads = tuple(
        reads_of(f"potential {name!r}", one.entries, one.coefficient, edges=made.children.size)
        for name, one in made.potentials.items()
    )
    return EdgeArrays(first, compact(made.children), reads, second)


def graph_of(listing: Enumeration) -> Graph:
    """The graph of a program."""
    program, made = listing.program, assemble(listing)
    recurrence = Recurrence(program.source.text, _listing(program, made), program.tables, int(made.added_start))
    made_graph = Complete(
        EdgesOnce(partial(listed, listing), arrays_of(made)),
        (made.nodes, made.children.size),
        (made.starts.astype(np.int64), made.ends.astype(np.int64)),
        {name: one.shape for name, one in made.potentials.items()},
        Annotations(
            ends_by_length=_ends_by_length(program, recurrence, made),
            added_start=0 if made.added_start else None,
            added_end=_added_end(recurrence, made),
            recurrence=recurrence,
            minimize=program.minimize,
        ),
    )
    return Graph.of(made_graph)


def _added_end(recurrence: Recurrence, made: Assembly) -> int | None:
    """The node that was added behind the cells, or None."""
    return made.nodes - 1 if recurrence.name(made.nodes - 1) == "(end)" else None


def _listing(program: Program, made: Assembly) -> tuple[str, ...]:
    """The names of the text by role, with sizes."""
    declarations = program.declarations
    roles = {
        "tables": program.tables,
        "indices": {name: _values(values) for name, values in declarations.indices.items()},
        "data": {name: array.shape for name, array in declarations.data.items()},
        "potentials": {name: one.shape for name, one in made.potentials.items()},
    }
    return tuple(
        f"  {role}: {', '.join(f'{name} {size}' for name, size in named.items())}"
        for role, named in roles.items()
        if named
    )


def _values(values: Any) -> str:
    """The values of an index, as a number or as a range."""
    first, last = int(values[0]), int(values[-1]) + 1
    if first == 0 and last == values.size:
        return str(last)
    return f"({first}, {last})" if last - first == values.size else str(values.tolist())


def _ends_by_length(program: Program, recurrence: Recurrence, made: Assembly) -> EndsByLength | None:
    """The ends of items of other lengths, for `dag.ends_of`; None where `return` tells none.

    After `return v[-1, -1]` items of lengths (n, m) end at v[n-1, m-1]. After `return max[t](v[t])` items of length n
    end at v[n-1].
    """
    result = program.lines[-1].alternatives
    if _added_end(recurrence, made) is not None or len(result) != 1 or len(result[0].tables) != 1:
        return None
    read = result[0].tables[0]
    shape, first = program.tables[read.name], recurrence.begins[read.name]
    corner = bool(shape) and all(written_number(one) == -1 for one in read.subscripts)
    row = len(shape) == 1 and np.array_equal(made.ends, np.arange(first, first + shape[0]))
    return (first, shape) if corner or row else None
