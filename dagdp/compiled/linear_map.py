"""The sparse map from entries to edge weights of a graph, or of a batch of graphs, with linear potentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.describe.linear_reads import LinearReads, Reads, triples


class SparseRows(NamedTuple):
    """A sparse matrix by rows (CSR)."""

    ptr: NDArray[np.int32]  # [rows+1] row i is at ptr[i] to ptr[i + 1] - 1
    column: NDArray[np.int32]  # [reads]
    coefficient: NDArray[np.float64]  # [reads]


@dataclass(frozen=True, eq=False)
class EntryMap:
    """What edges read of one potential, as a matrix edges x entries and as its transpose."""

    by_edge: SparseRows
    by_entry: SparseRows

    @property
    def entries(self) -> int:
        """The number of entries."""
        return self.by_entry.ptr.size - 1


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Edge weights as a linear function of the entries of all potentials: x = Σ over potentials of matrix @ entries."""

    edges: int
    potentials: tuple[EntryMap, ...]

    @property
    def reads(self) -> int:
        """The number of coefficients."""
        return sum(own.by_edge.column.size for own in self.potentials)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for own in self.potentials for rows in (own.by_edge, own.by_entry) for array in rows)


def linear_map(reads: Sequence[Reads], edges: int, sizes: Sequence[int]) -> LinearMap:
    """The map of a graph whose edges read `reads` [K] of potentials with `sizes` [K] entries."""
    pairs = zip(map(triples, reads), sizes, strict=True)
    return LinearMap(edges, tuple(_entry_map(own, edges, size) for own, size in pairs))


def _entry_map(reads: LinearReads, edges: int, entries: int) -> EntryMap:
    order = np.argsort(reads.entry, kind="stable")
    return EntryMap(
        _rows(reads.edge, reads.entry, reads.coefficient, edges),
        _rows(reads.entry[order], reads.edge[order], reads.coefficient[order], entries),
    )


def _rows(row: NDArray[Any], column: NDArray[Any], coefficient: NDArray[np.float64], size: int) -> SparseRows:
    ptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=size))])
    made = SparseRows(ptr.astype(np.int32), column.astype(np.int32), np.ascontiguousarray(coefficient, np.float64))
    for array in made:
        array.flags.writeable = False
    return made
