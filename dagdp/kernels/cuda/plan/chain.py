"""Chains: graphs whose levels repeat one square matrix of potentials, as those of a CRF do.

A chain has one start, S first states with one edge each from it, and steps. Every state of a step has the S states of
the step before as its parents. All steps read the same S x S entries, and each state one entry of its own. Beside the
states there may be nodes that read the states of the step before and lead to no state: possible ends. All of this is
proved here from the plan of a graph, so that device kernels compute places instead of reading lists.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.kernels.cuda.records import Column

if TYPE_CHECKING:
    from dagdp.compiled.index_arrays import Tied
    from dagdp.kernels.cuda.plan.device_plan import DevicePlan

Numbers = NDArray[Any]
FIRST_STEP = 2  # the level of the first step: level 0 is the start, level 1 the first states


class ChainFact(IntEnum):
    """Numbers of a chain in the plan, from `Column.CHAIN` on. Steps are counted from 0."""

    STATES = 0
    STEPS = auto()
    FIRST = auto()  # the node of the first state
    NODE = auto()  # the node of step 0's first state
    WIDTH = auto()  # nodes of a step
    LIMIT = auto()  # the node behind the ends that read the last step
    OWN = auto()  # the entry that step 0's first state has of its own
    OWN_STEP = auto()  # from one step's entry to the next step's
    OWN_STATE = auto()  # from one state's entry to the next state's
    MATRIX = auto()  # the matrix's first entry
    ROW = auto()  # from one child's entry to the next child's
    COLUMN = auto()  # from one parent's entry to the next parent's


class _Levels(NamedTuple):
    """Arrays of a plan of one graph."""

    ptr: Numbers  # [levels+1]
    in_ptr: Numbers  # [nodes+1]
    in_parent: Numbers  # [edges]
    in_entry: Numbers  # [edge blocks, edges]
    node_entry: Numbers  # [node blocks, nodes]


def with_chain(plan: DevicePlan, tied: Tied) -> DevicePlan:
    """The plan of a graph with the facts of a chain; the plan itself if the graph is no chain."""
    facts = _facts(_levels(plan), tied)
    if facts is None:
        return plan
    table = plan.table.copy()
    table[:, Column.CHAIN] = plan.plan.size
    numbers = np.array([facts[fact] for fact in ChainFact], np.int32)
    return plan._replace(plan=np.concatenate([plan.plan, numbers]), table=table, states=facts[ChainFact.STATES])


def _levels(plan: DevicePlan) -> _Levels:
    row = plan.table[0].astype(np.int64)
    nodes, edges = row[Column.NODES], row[Column.EDGES]

    def listed(column: Column, count: int) -> Numbers:
        return plan.plan[row[column] : row[column] + count]

    return _Levels(
        ptr=listed(Column.LEVEL_PTR, row[Column.LEVELS] + 1),
        in_ptr=listed(Column.IN_PTR, nodes + 1),
        in_parent=listed(Column.IN_PARENT, edges),
        in_entry=listed(Column.IN_ENTRY, plan.edge_blocks * edges).reshape(plan.edge_blocks, edges),
        node_entry=listed(Column.NODE_ENTRY, plan.node_blocks * nodes).reshape(plan.node_blocks, nodes),
    )


def _facts(levels: _Levels, tied: Tied) -> dict[ChainFact, int] | None:
    """The numbers of a chain; None if the graph is none."""
    members = np.flatnonzero(tied.pattern >= 0)
    if not members.size or not np.array_equal(members, np.arange(FIRST_STEP, FIRST_STEP + members.size)):
        return None
    behind = FIRST_STEP + members.size
    rows, states = tied.shapes[0]
    widths = np.diff(levels.ptr)
    shaped = (
        bool((tied.pattern[members] == 0).all())
        and rows >= states
        and tuple(widths[:FIRST_STEP]) == (1, states)
        and bool((widths[members] == widths[FIRST_STEP]).all())
        and np.array_equal(tied.first[members], levels.ptr[members - 1])
        and bool((np.diff(levels.in_ptr)[1 : 1 + states] == 1).all())
        and behind < widths.size
        and widths[behind] <= widths[FIRST_STEP]
    )
    if not shaped:
        return None
    nodes = levels.ptr[members][:, None] + np.arange(states)
    own = _one_block(levels.node_entry[:, nodes])
    edges = levels.in_ptr[nodes[0, 0]] + np.arange(states * states)
    matrix = _one_block(levels.in_entry[:, edges].reshape(-1, states, states))
    if own is None or matrix is None or not _flows_apart(levels, own, matrix, states, behind):
        return None
    return {
        ChainFact.STATES: int(states),
        ChainFact.STEPS: members.size,
        ChainFact.FIRST: int(levels.ptr[1]),
        ChainFact.NODE: int(nodes[0, 0]),
        ChainFact.WIDTH: int(widths[FIRST_STEP]),
        ChainFact.LIMIT: int(levels.ptr[behind + 1]),
        **dict(zip((ChainFact.OWN, ChainFact.OWN_STEP, ChainFact.OWN_STATE), _origin_and_steps(own), strict=True)),
        **dict(zip((ChainFact.MATRIX, ChainFact.ROW, ChainFact.COLUMN), _origin_and_steps(matrix), strict=True)),
    }


def _one_block(entries: Numbers) -> Numbers | None:
    """[., .] the entries of the one block that reads any; they rise by equal steps along each axis. None otherwise.

    entries : [blocks, ., .], -1 for none.
    """
    some = np.flatnonzero((entries >= 0).any(axis=(1, 2)))
    if some.size != 1:
        return None
    found: Numbers = entries[some[0]].astype(np.int64)
    origin, down, across = _origin_and_steps(found)
    expected = origin + down * np.arange(found.shape[0])[:, None] + across * np.arange(found.shape[1])
    return found if (found >= 0).all() and np.array_equal(found, expected) else None


def _origin_and_steps(entries: Numbers) -> tuple[int, int, int]:
    """The first entry, and the steps along both axes."""
    origin = int(entries[0, 0])
    return origin, int(entries[1, 0]) - origin, int(entries[0, 1]) - origin


def _flows_apart(levels: _Levels, own: Numbers, matrix: Numbers, states: int, behind: int) -> bool:
    """Whether each gradient is the flow of one place: a state's own, an end's, an element of the matrix.

    Possible ends are the nodes beside the states, and those of the level behind the last step. Each must have the
    states of the step before as its parents, in order.
    """
    last = np.arange(levels.ptr[behind], levels.ptr[behind + 1])
    beside = [np.arange(levels.ptr[level] + states, levels.ptr[level + 1]) for level in range(FIRST_STEP, behind)]
    ends = np.concatenate([*beside, last]).astype(np.int64)
    level = np.searchsorted(levels.ptr, ends, side="right") - 1
    if not (np.diff(levels.in_ptr)[ends] == states).all():
        return False
    edges = levels.in_ptr[ends][:, None] + np.arange(states)
    if not np.array_equal(levels.in_parent[edges], levels.ptr[level - 1][:, None] + np.arange(states)):
        return False
    first = np.arange(1, 1 + states)
    states_read = np.concatenate(
        [levels.node_entry[:, first].ravel(), levels.in_entry[:, levels.in_ptr[first]].ravel(), own.ravel()]
    )
    states_read = np.concatenate([states_read[states_read >= 0], matrix.ravel()])
    of_edges = levels.in_entry[:, edges].transpose(0, 2, 1).reshape(-1, ends.size)
    ends_read = np.concatenate([of_edges, levels.node_entry[:, ends]])
    ordered = np.sort(ends_read, axis=0)
    again = (np.diff(ordered, axis=0) == 0) & (ordered[1:] >= 0)
    distinct = np.unique(states_read).size == states_read.size
    return bool(distinct and not again.any() and not np.isin(ends_read[ends_read >= 0], states_read).any())
