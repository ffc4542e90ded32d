"""The function `dagdp.recurrence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dagdp.describe.cells import Recurrence
from dagdp.describe.edge_arrays import EdgeArrays, StoredEdges, compact
from dagdp.describe.graph import Annotations, CompleteGraph, Graph
from dagdp.describe.linear_reads import reads_of
from dagdp.errors import GraphError
from dagdp.language.assemble import Assembly, assemble
from dagdp.language.check import Program, check
from dagdp.language.declarations import declared
from dagdp.language.enumerate import Enumeration, measured
from dagdp.language.parse import parse
from dagdp.language.source import Source


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
    source, declarations = Source.of(text), declared(indices_and_data)
    program = check(source, parse(source, declarations), declarations, potentials or {})
    return graph_of(program, assemble(Enumeration(program, measured(program))))


def graph_of(program: Program, made: Assembly) -> Graph:
    """The graph of arrays that `assemble` made."""
    reads = [
        reads_of(f"potential {name!r}", one.entries, one.coefficient, edges=made.children.size)
        for name, one in made.potentials.items()
    ]
    arrays = EdgeArrays(compact(made.parents), compact(made.children), tuple(reads))
    recurrence = Recurrence(program.source.text, _listing(program, made), program.tables, int(made.added_start))
    return CompleteGraph(
        StoredEdges(arrays),
        (made.nodes, made.children.size),
        (made.starts.astype(np.int64), made.ends.astype(np.int64)),
        {name: one.shape for name, one in made.potentials.items()},
        Annotations(added_start=0 if made.added_start else None, recurrence=recurrence),
    )


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
