"""The cells of a best path: its nodes, and the cells that moves of several steps pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import HardMax, best_path, dp_value
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.warping.call import WarpingCall
from dagdp.graphs.warping.grid import FIRST_CELL
from dagdp.graphs.warping.steps import Read, entries_of, pays_rows, reads_of, span

Numbers = NDArray[np.int64]
Alternative = tuple[NDArray[np.bool_], list[Read], int | None]  # [items, L] fits, reads of the move, steps aside


def path_of(call: WarpingCall, costs: Any, on_infeasible: str) -> Any:
    """The least-cost path as index pairs: int64 [*batch, N_A + N_B - 1, 2], behind its end rows of -1."""
    theta = call.theta(costs)
    if on_infeasible != "value":
        dp_value(call.dag, theta, HardMax(), minimize=True, end=call.end, on_infeasible=on_infeasible)
    paths = best_path(call.dag, theta, minimize=True, end=call.end)
    nodes = _host(paths.nodes)
    flat = nodes.reshape(-1, nodes.shape[-1])
    pairs = packed(_with_passed(call, _cells(call, flat), theta), sum(call.own) - 1)
    pairs = pairs.reshape(*nodes.shape[:-1], *pairs.shape[1:])
    return paths.nodes.new_tensor(pairs) if is_tensor(paths.nodes) else pairs


def packed(pairs: Numbers, length: int) -> Numbers:
    """Pairs [items, L, 2] without the rows of -1 between them, as [items, length, 2].

    >>> packed(np.array([[[0, 0], [-1, -1], [1, 1]]]), 2).tolist()
    [[[0, 0], [1, 1]]]
    """
    real = pairs[..., 0] >= 0
    made = np.full((len(pairs), length, 2), -1, np.int64)
    item, place = np.nonzero(real)
    made[item, (np.cumsum(real, 1) - 1)[item, place]] = pairs[item, place]
    return made


def _cells(call: WarpingCall, nodes: Numbers) -> Numbers:
    """[items, L, 2] the cells of nodes, -1 for nodes that are no cells."""
    rows, columns = call.dag.potentials[0].shape
    number = nodes - FIRST_CELL
    inside = (nodes >= 0) & (number >= 0) & (number < rows * columns)
    return np.where(inside[..., None], np.stack(np.divmod(number, columns), -1), -1)


def _with_passed(call: WarpingCall, cells: Numbers, theta: Any) -> Numbers:
    """[items, L · steps, 2] cells, and in front of each the cells that the cheapest move between the nodes passes."""
    longest = max(map(len, call.moves))
    if longest == 1:
        return cells
    costs, penalty = (theta["cost"], theta.get("penalty", 0.0)) if isinstance(theta, dict) else (theta, 0.0)
    costs = np.broadcast_to(flat := _flat(costs, 2), (len(cells), *flat.shape[1:]))
    penalty = np.broadcast_to(_flat(penalty, 0), len(cells))
    before = np.concatenate([np.full_like(cells[:, :1], -1), cells[:, :-1]], 1)
    inside, first = cells[..., 0] >= 0, before[..., 0] < 0
    made = np.full((*cells.shape[:2], longest, 2), -1, np.int64)
    made[..., -1, :] = cells
    cheapest = np.full(cells.shape[:2], np.inf)
    for ways, reads, aside in _alternatives(call, cells, before):
        item, step = np.nonzero(inside & ways & (first == (aside is None)))
        passed = cells[item, step, None] - np.array([read[:2] for read in reads])  # [found, reads, 2]
        paid = costs[item[:, None], passed[..., 0], passed[..., 1]] @ np.array([weight for *_, weight in reads])
        paid = paid + (aside or 0) * penalty[item]
        better = paid < cheapest[item, step]
        item, step = item[better], step[better]
        cheapest[item, step] = paid[better]
        made[item, step, longest - len(reads) :] = passed[better]
    return made.reshape(len(cells), -1, 2)


def _alternatives(call: WarpingCall, cells: Numbers, before: Numbers) -> Iterator[Alternative]:
    """The moves of a pattern, and the cells of paths that each may have entered; None aside for moves that begin."""
    entered = cells - before
    for move in call.moves:
        yield (entered == span(move)).all(-1), reads_of(move), sum(di != dj for di, dj, _ in move)
    if call.begin == "row" and pays_rows(call.moves):
        for (rows, reads), columns in entries_of(call.moves).items():
            yield (cells[..., 0] == rows - 1) & (cells[..., 1] >= columns), list(reads), None


def _flat(values: Any, core: int) -> NDArray[np.float64]:
    """[items, *core] float64 of an array or a tensor."""
    made = _host(values).astype(np.float64)
    return made.reshape(-1, *made.shape[made.ndim - core :])


def _host(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu() if is_tensor(values) else values)
