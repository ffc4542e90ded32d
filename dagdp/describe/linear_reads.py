"""Linear potentials: an edge's weight is Σ coefficient x entry, and an edge may read several entries of one potential.

What edges read of a potential is either an index, [edges] one entry each, or a `LinearReads`. An index says the same as
`LinearReads` whose coefficients are all 1 and which read at most one entry on each edge. It is preferred, as kernels
take indices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.array_kinds import refuse_mask
from dagdp.describe.integers import Listed, compact, integers
from dagdp.errors import GraphError


@dataclass(frozen=True, eq=False)
class LinearReads:
    """What edges read of one potential: edge[r] reads coefficient[r] x the entry numbered entry[r] of the flat array.

    `Graph.from_edges` takes triples in any order, repeated ones too; an entry of -1 is none. In a graph they are sorted
    by (edge, entry), each pair occurs once, and no coefficient is 0.
    """

    edge: Listed  # [reads]
    entry: Listed  # [reads]
    coefficient: NDArray[np.float64]  # [reads]


#: What the edges of a graph read of one potential: [edges] the entry of each, -1 for none; or a sparse matrix.
Reads = Listed | LinearReads


def reads_of(what: str, index: Any, coefficient: ArrayLike | None = None, *, edges: int) -> Reads:
    """The checked reads of a potential in a graph with `edges` edges; reads that an index can say become an index.

    what : names the index in error messages.
    index : integers [edges] or [edges, k], -1 for none; or a `LinearReads`.
    coefficient : a number, or numbers [edges] or [edges, k]. None: 1.

    Raises GraphError for arrays of another size, and for coefficients that are no finite numbers.
    """
    if isinstance(index, LinearReads):
        return _of_triples(what, index, coefficient, edges)
    shape = np.shape(index)
    several = len(shape) == 2 and shape[0] == edges and shape[1] != 1
    if not several:
        listed = integers(what, index)
        if listed.size != edges:
            raise GraphError(
                f"{what} has {listed.size} entries; expected one for each of the {edges} edges (-1 for an edge that "
                f"does not read it), or [{edges}, k] for edges that read up to k entries"
            )
        if coefficient is None:
            return listed
    columns = integers(what, index).reshape(edges, shape[1] if several else 1)
    numbers = _numbers(what, 1.0 if coefficient is None else coefficient)
    if numbers.shape not in ((), (edges,), (edges, 1), columns.shape):
        raise GraphError(
            f"the coefficient of {what} has shape {numbers.shape}; expected a number, [{edges}] or "
            f"[{edges}, {columns.shape[1]}], one for each entry that is read"
        )
    rows = np.broadcast_to(numbers[:, None] if numbers.ndim == 1 else numbers, columns.shape)
    edge, place = np.nonzero(columns != -1)
    return _simplified(LinearReads(edge, columns[edge, place], rows[edge, place]), edges)


def triples(reads: Reads) -> LinearReads:
    """Reads as (edge, entry, coefficient), sorted by edge."""
    if isinstance(reads, LinearReads):
        return reads
    edge = compact(np.flatnonzero(reads >= 0))
    return LinearReads(edge, reads[edge], np.ones(edge.size))


def renumbered(reads: Reads, number: Callable[[NDArray[Any]], NDArray[Any]]) -> Reads:
    """The reads with other numbers of entries. number : from entries to their new numbers, elementwise."""
    if isinstance(reads, LinearReads):
        return replace(reads, entry=number(reads.entry))
    return np.where(reads >= 0, number(reads), -1)


def with_more_edges(reads: Reads, edges: int) -> Reads:
    """The reads of a graph to which `edges` edges are added that read nothing."""
    return reads if isinstance(reads, LinearReads) else compact(np.append(reads, np.full(edges, -1)))


def _of_triples(what: str, given: LinearReads, coefficient: ArrayLike | None, edges: int) -> Reads:
    if coefficient is not None:
        raise GraphError(f"{what} is a LinearReads, and a coefficient was given besides; expected it in the triples")
    edge, entry = (integers(f"{what}: {part}", own) for part, own in (("edge", given.edge), ("entry", given.entry)))
    numbers = _numbers(what, given.coefficient)
    if not edge.shape == entry.shape == numbers.shape:
        raise GraphError(
            f"{what} has {edge.size} edges, {entry.size} entries and coefficients of shape {numbers.shape}; expected "
            "one of each for every read"
        )
    wrong = edge[(edge < 0) | (edge >= edges)]
    if wrong.size:
        raise GraphError(f"{what} has edge {wrong[0]}; expected 0 to {edges - 1}")
    return _simplified(LinearReads(edge, entry, numbers), edges)


def _numbers(what: str, coefficient: ArrayLike) -> NDArray[np.float64]:
    """Coefficients as float64. Raises GraphError where one is no finite number."""
    refuse_mask(coefficient, f"the coefficient of {what}", GraphError)
    array = np.asarray(coefficient)
    if array.dtype.kind not in "fiub":
        raise GraphError(f"the coefficient of {what} has dtype {array.dtype}; expected real numbers")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(numbers))[0]]
        raise GraphError(
            f"the coefficient of {what}{f' at {place}' if place else ''} is {numbers[tuple(place)]}; expected finite "
            "numbers. A forbidden edge reads an entry of -inf, +inf when minimising"
        )
    return numbers


def _simplified(reads: LinearReads, edges: int) -> Reads:
    """Sorted by (edge, entry), repeated pairs added up, zeros dropped; an index where that says the same."""
    edge, entry, coefficient = reads.edge, reads.entry, reads.coefficient
    step, further = np.diff(edge), np.diff(entry)
    if ((step < 0) | ((step == 0) & (further < 0))).any():
        order = np.lexsort((entry, edge))
        edge, entry, coefficient = edge[order], entry[order], coefficient[order]
    if edge.size:
        first = np.append(True, (np.diff(edge) != 0) | (np.diff(entry) != 0))
        edge, entry, coefficient = edge[first], entry[first], np.add.reduceat(coefficient, np.flatnonzero(first))
    kept = (coefficient != 0.0) & (entry != -1)
    edge, entry, coefficient = compact(edge[kept]), compact(entry[kept]), coefficient[kept]
    if (np.diff(edge) > 0).all() and (coefficient == 1.0).all():
        index = np.full(edges, -1, entry.dtype)
        index[edge] = entry
        return index
    return LinearReads(edge, entry, coefficient)
