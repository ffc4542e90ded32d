"""The sparse map of linear potentials on NumPy arrays: entries to edge weights, and flows on edges back to entries.

Sums are formed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL
from dagdp.compiled.linear_map import EntryMap, LinearMap, SparseRows
from dagdp.engine.plan import ranges
from dagdp.jit.decorators import loop

Array = NDArray[Any]
Doubles = NDArray[np.float64]


def edge_weights(linear: LinearMap, blocks: Sequence[Array], threads: int | None = None) -> Doubles:
    """[items, edges], or [1, edges], the sum of coefficient x entry that each edge reads.

    blocks : [K] arrays [items, entries], or [1, entries] where all items share the block.
    """
    rows = max(len(block) for block in blocks)
    total = np.zeros((1, linear.edges))
    for own, block in zip(linear.potentials, blocks, strict=True):
        if len(block) == 1:
            _add(own.by_edge, block, total, threads)
    if rows != 1:
        total = np.repeat(total, rows, 0)
        for own, block in zip(linear.potentials, blocks, strict=True):
            if len(block) != 1:
                _add(own.by_edge, block, total, threads)
    return total


def entry_sums(own: EntryMap, flows: Array, threads: int | None = None) -> Doubles:
    """[items, entries] the sum of coefficient x flow over the edges that read each entry; flows [items, edges]."""
    total = np.zeros((len(flows), own.entries))
    _add(own.by_entry, flows, total, threads)
    return total


def _add(rows: SparseRows, values: Array, total: Doubles, threads: int | None) -> None:
    plain = np.require(values, np.float64, ["C", "W"])  # Numba gives a read-only array another type
    items = len(total)
    if threads is None:
        threads = 1 if rows.column.size * items < SMALL else pool.available()

    def work(part: tuple[int, int]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # faults are named when a path reads them
            _add_products(*rows, plain[part[0] : part[1]], total[part[0] : part[1]])

    pool.run(work, ranges(items, 1, threads), threads)


@loop
def _add_products(ptr: Any, column: Any, coefficient: Any, values: Any, total: Any) -> None:
    """total [items, rows] += matrix @ values [items, columns]."""
    for b in range(total.shape[0]):
        for i in range(total.shape[1]):
            x = total[b, i]
            for k in range(ptr[i], ptr[i + 1]):
                x += coefficient[k] * values[b, column[k]]
            total[b, i] = x
