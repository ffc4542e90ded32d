"""The entry of theta or z that is out of range: kernels report that a result is +inf or NaN, not which entry it was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import EVERY_START, CompiledDAG
from dagdp.compiler.arrays import group, reach
from dagdp.describe.edge_arrays import arcs_of
from dagdp.describe.graph import Potential
from dagdp.engine.inputs import Weights
from dagdp.errors import InputError


def raise_first_fault(
    dag: CompiledDAG,
    weights: Weights,
    ends: NDArray[np.int32],
    what: str,
    lowest: float,
    sign: float,
    label: str | None = None,
    starts: NDArray[np.int32] = EVERY_START,
) -> None:
    """Raise InputError for the first entry that is out of range and that an edge on a path of its item reads.

    ends : [items] internal numbers, -1 for an item without a path.  starts : [items], or empty: every start.
    what : "theta" or "z".  label : its name in the message, by default `what`.
    lowest, sign : an entry x is sound where lowest <= sign·x < inf.

    Padding behind an item's end, and entries that only edges on no path read, may be any number. If only such entries
    are out of range, the function returns: the results are right.
    """
    form = weights.form
    for k, (potential, block) in enumerate(zip(dag.potentials, weights.blocks, strict=True)):
        wrong = ~((sign * block >= lowest) & (sign * block < np.inf))
        if not wrong.any():
            continue
        one_row = form.shared[k] or block.shape[0] == 1
        pairs = np.stack([starts if starts.size else np.full(ends.size, -1, np.int32), ends], -1)
        for start, end in np.unique(pairs[ends >= 0], axis=0):
            rows = np.array([0]) if one_row else np.flatnonzero((pairs == (start, end)).all(-1))
            hits = np.argwhere(wrong[rows] & _entries_between(dag, potential, start, end))
            if hits.size:
                row, entry = int(rows[hits[0][0]]), int(hits[0][1])
                raise InputError(_message(weights, k, potential.name, row, entry, what, label or what, sign))


def edges_before(dag: CompiledDAG, end: int) -> NDArray[np.bool_]:
    """[E] whether each edge of `dag.edges` lies on a path (a derivation) to the internal node `end`; False for -1."""
    return nodes_before(dag, end)[dag.children]


def nodes_before(dag: CompiledDAG, end: int) -> NDArray[np.bool_]:
    """[nodes] whether the internal node `end` is the node or is reached from the node; all False for -1."""
    falling, roots = np.arange(dag.num_nodes)[::-1].copy(), np.array([end], np.int64)[int(end < 0) :]
    parents, children = arcs_of(dag.parents, dag.children, dag.seconds)
    grouped = group(children, dag.num_nodes)
    before: NDArray[np.bool_] = reach(children, parents, *grouped, falling, roots, dag.num_nodes)
    return before


def nodes_behind(dag: CompiledDAG, start: int) -> NDArray[np.bool_]:
    """[nodes] whether the node is the internal node `start` or is reached from `start`; all False for -1."""
    rising, roots = np.arange(dag.num_nodes), np.array([start], np.int64)[int(start < 0) :]
    grouped = group(dag.parents, dag.num_nodes)
    behind: NDArray[np.bool_] = reach(dag.parents, dag.children, *grouped, rising, roots, dag.num_nodes)
    return behind


def _entries_between(dag: CompiledDAG, potential: Potential, start: int, end: int) -> NDArray[np.bool_]:
    """[entries] whether an edge on a path from `start` (-1: from every start) to `end` reads the entry."""
    on_path = edges_before(dag, end)
    edges = dag.edges[on_path if start < 0 else on_path & nodes_behind(dag, start)[dag.parents]]
    entries = potential.index[edges[edges >= 0]]
    read = np.zeros(potential.size, bool)
    read[entries[entries >= 0]] = True
    return read


def _message(
    weights: Weights, k: int, name: str | None, row: int, entry: int, what: str, label: str, sign: float
) -> str:
    shape, own, given = weights.form.entry_shapes[k], weights.form.own[k], weights.form.shapes[k]
    item = np.unravel_index(row, given[: len(given) - len(shape)])
    place = (  # in the user's array, whose batch axes may be fewer, or of length 1
        *(0 if size == 1 else i for i, size in zip(item[len(item) - len(own) :], own, strict=True)),
        *np.unravel_index(entry, shape),
    )
    label = f"{label}[{name!r}]" if weights.form.keyed else label
    value = weights.blocks[k][row, entry]
    at = f"{label}[{', '.join(str(int(i)) for i in place)}] is {value}"
    if what != "theta":
        return f"{at}; expected a finite direction"
    if np.isnan(value):
        return f"{at}; expected a number. Padding may hold NaN only behind an item's end (end=, or lengths=)"
    if sign > 0:
        return f"{at}; expected less than infinity: when maximising, an edge is forbidden by -inf"
    return f"{at}; expected more than -infinity: when minimising, an edge is forbidden by +inf"
