"""The entry of theta or z that is out of range: kernels report that a result is +inf or NaN, not which entry it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import EVERY_START, CompiledDAG
from dagdp.compiler.arrays import group, reach
from dagdp.describe.edge_arrays import arcs_of
from dagdp.engine.edge_sums import edge_weights
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
    terminals = np.stack([starts if starts.size else np.full(ends.size, -1, np.int32), ends], -1)
    if dag.linear is not None:
        _raise_first_sum(dag, weights, terminals, what, lowest, sign, label or what)
        return
    for k, (potential, block) in enumerate(zip(dag.potentials, weights.blocks, strict=True)):
        wrong = ~((sign * block >= lowest) & (sign * block < np.inf))
        found = _first_read(dag, wrong, terminals, potential.index.__getitem__)
        if found is not None:
            told = _Told(potential.name, label or what, what, sign)
            raise InputError(_message(weights, k, *found, told))


def _raise_first_sum(
    dag: CompiledDAG,
    weights: Weights,
    terminals: NDArray[np.int32],
    what: str,
    lowest: float,
    sign: float,
    label: str,
) -> None:
    """Raise InputError for the first edge on a path whose sum of coefficient x entry is out of range."""
    assert dag.linear is not None and dag.plain is not None
    real = weights.form.real
    with np.errstate(over="ignore"):
        sums = edge_weights(dag.linear, weights.blocks).astype(real, copy=False)
    wrong = ~((sign * sums >= lowest) & (sign * sums < np.inf))
    found = _first_read(dag.plain, wrong, terminals, lambda edges: edges)
    if found is None:
        return
    row, edge = found
    for k, (own, block) in enumerate(zip(dag.linear.potentials, weights.blocks, strict=True)):
        item, (ptr, columns, coefficients) = row if len(block) > 1 else 0, own.by_edge
        for read in range(ptr[edge], ptr[edge + 1]):
            entry, factor = int(columns[read]), coefficients[read]
            if not lowest <= sign * factor * float(block[item, entry]) < np.inf:
                reader = "" if factor == 1.0 else f", which edge {edge} reads {factor:g} times"
                told = _Told(dag.potentials[k].name, label, what, sign, reader)
                raise InputError(_message(weights, k, item, entry, told))
    raise InputError(
        f"the weight of edge {edge} is {sums[row, edge]}: its entries of {label}, times their coefficients, sum to "
        f"more than {np.finfo(real).max:.2g}, the largest {np.dtype(real)}; expected sums that fit. Pass float64, or "
        "divide theta and gamma by one factor"
    )


def _first_read(
    dag: CompiledDAG,
    wrong: NDArray[np.bool_],
    terminals: NDArray[np.int32],
    read_by: Callable[[NDArray[np.int64]], NDArray[Any]],
) -> tuple[int, int] | None:
    """The first place (row, column) of `wrong` that an edge on a path of the row's item reads; None if there is none.

    wrong : [items, columns], or [1, columns] for all items.  terminals : [items, 2] start, -1 for every start, and end.
    read_by : from the user's numbers of edges to the columns that they read, -1 for none.
    """
    if not wrong.any():
        return None
    for start, end in np.unique(terminals[terminals[:, 1] >= 0], axis=0):
        rows = np.array([0]) if len(wrong) == 1 else np.flatnonzero((terminals == (start, end)).all(-1))
        columns = read_by(_edges_between(dag, start, end))
        read = np.zeros(wrong.shape[1], bool)
        read[columns[columns >= 0]] = True
        hits = np.argwhere(wrong[rows] & read)
        if hits.size:
            return int(rows[hits[0][0]]), int(hits[0][1])
    return None


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


def _edges_between(dag: CompiledDAG, start: int, end: int) -> NDArray[np.int64]:
    """The user's numbers of the edges on a path from `start` (-1: from every start) to `end`."""
    on_path = edges_before(dag, end)
    edges = dag.edges[on_path if start < 0 else on_path & nodes_behind(dag, start)[dag.parents]]
    own: NDArray[np.int64] = edges[edges >= 0]
    return own


class _Told(NamedTuple):
    """What a message says beside the place and the number of an entry."""

    name: str | None  # of the potential
    label: str  # of theta or z
    what: str  # "theta" or "z"
    sign: float
    reader: str = ""  # the edge that reads the entry with a coefficient


def _message(weights: Weights, k: int, row: int, entry: int, told: _Told) -> str:
    shape, own, given = weights.form.entry_shapes[k], weights.form.own[k], weights.form.shapes[k]
    item = np.unravel_index(row, given[: len(given) - len(shape)])
    place = (  # in the user's array, whose batch axes may be fewer, or of length 1
        *(0 if size == 1 else i for i, size in zip(item[len(item) - len(own) :], own, strict=True)),
        *np.unravel_index(entry, shape),
    )
    label = f"{told.label}[{told.name!r}]" if weights.form.keyed else told.label
    value = weights.blocks[k][row, entry]
    brackets = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
    at = f"{label}{brackets} is {value}{told.reader}"
    if told.what != "theta":
        return f"{at}; expected a finite direction"
    if np.isnan(value):
        return f"{at}; expected a number. Padding may hold NaN only behind an item's end (end=, or lengths=)"
    if told.sign > 0:
        return f"{at}; expected less than infinity: when maximising, an edge is forbidden by -inf"
    return f"{at}; expected more than -infinity: when minimising, an edge is forbidden by +inf"
