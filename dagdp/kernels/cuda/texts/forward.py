"""The forward pass of one item: v of every node up to the item's end, level by level, and v̇ where there is a direction.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dagdp.kernels.cuda.records import Column
from dagdp.kernels.cuda.texts.names import (
    BACKWARD,
    DECODE,
    EXPONENTIAL,
    FIRST,
    INFINITY,
    NODE_BLOCKS,
    ONE,
    REAL_TYPE,
    STARTS,
    TANGENT,
    WEIGHTS,
    WIDE,
    ZERO,
    cuda,
    meet,
)
from dagdp.kernels.cuda.texts.work import (
    Incoming,
    Work,
    direction,
    listed,
    place,
    potential,
    put_tangent,
    put_value,
    score_of_edge,
    tangent_of_edge,
)
from dagdp.kernels.recursion import node_value, relative_score
from dagdp.kernels.row_max import (
    exponential_total,
    finish_solution,
    first_maximal,
    maximum,
    newton,
    tangents,
)
from dagdp.lanes.exp_log import exp


class Row(NamedTuple):
    """The edges into a node, as `dagdp.kernels.row_max` reads them. Numbers are computed each time they are read."""

    work: Work
    incoming: Incoming
    first: Any  # the node's first incoming edge
    depth: Any  # their number
    m_hi: Any  # the largest score
    m_lo: Any
    rate: Any  # 1/γ
    kept_hi: Any  # the scores in registers; only if WIDE
    kept_lo: Any


def score_at(row: Row, d: Any) -> Any:
    """x of the d-th edge, as (hi, lo)."""
    if WIDE > 0:
        return row.kept_hi[d], row.kept_lo[d]
    return score_of_edge(row.work, row.incoming, row.first + d)


def relative_at(row: Row, d: Any) -> Any:
    """y = (x - m)/γ of the d-th edge."""
    hi, lo = score_at(row, d)
    return relative_score(hi, lo, row.m_hi, row.m_lo, row.rate)


def link_at(row: Row, d: Any) -> Any:
    """e^y of the d-th edge, the numerator of its weight under a closed form."""
    return exp(relative_at(row, d))


def tangent_at(row: Row, d: Any) -> Any:
    """ẋ of the d-th edge."""
    if WIDE > 0 and d >= row.depth:
        return ZERO
    return tangent_of_edge(row.work, row.incoming, row.first + d)


def keep(row: Row, d: Any, number: Any) -> None:
    """Nothing: the CPU keeps e^y of the d-th edge here."""


def row_of_node(omega: Any, work: Work, incoming: Incoming, first: Any, depth: Any, kept: Any) -> Row:
    """The row of a node without its maximum. In registers, scores behind the last edge are -inf: no edge.

    kept : two arrays of the caller's, for the scores. An array of this function's own would end with it: a compiler
        may then drop what was written.
    """
    kept_hi, kept_lo = kept
    for d in range(WIDE):
        hi, lo = -INFINITY, ZERO
        if d < depth:
            hi, lo = score_of_edge(work, incoming, first + d)
        kept_hi[d], kept_lo[d] = hi, lo
    return Row(work, incoming, first, depth, ZERO, ZERO, ONE / omega.gamma, kept_hi, kept_lo)


class Solution(NamedTuple):
    """max_Ω of a row."""

    row: Row  # with its maximum
    found: Any  # under HardMax the chosen edge
    turn: Any  # see `finish_solution`
    shift: Any
    kappa: Any


def solve_row(omega: Any, row: Row, edges: Any) -> Solution:
    """max_Ω of the edges of a row that has no maximum yet."""
    m_hi, m_lo = maximum(row, edges)
    row = Row(row.work, row.incoming, row.first, row.depth, m_hi, m_lo, row.rate, row.kept_hi, row.kept_lo)
    found, kappa = ZERO, ZERO
    if FIRST:
        found = first_maximal(omega, row, edges, m_hi, m_lo)
    elif EXPONENTIAL:
        found = exponential_total(omega, row, edges, m_hi, m_lo)
    else:
        found, kappa = newton(omega, row, edges)
    turn, shift, kappa = finish_solution(omega, found, kappa)
    return Solution(row, found, turn, shift, kappa)


def solve_node(omega: Any, work: Work, incoming: Incoming, node: Any) -> None:
    """v of a node, and what later passes read of it."""
    first = listed(work, incoming.ptr + node)
    depth = listed(work, incoming.ptr + node + 1) - first
    edges = WIDE if WIDE > 0 else depth
    kept = (cuda.local.array(WIDE, REAL_TYPE), cuda.local.array(WIDE, REAL_TYPE)) if WIDE > 0 else (ZERO, ZERO)
    solved = solve_row(omega, row_of_node(omega, work, incoming, first, depth, kept), edges)
    own, gamma = ZERO, omega.gamma
    if FIRST:
        gamma = ZERO
    at = incoming.node_entry + node
    if NODE_BLOCKS > 0:
        own = potential(work, at, work.call.nodes, NODE_BLOCKS)
    hi, lo = node_value(own, solved.row.m_hi, solved.row.m_lo, -solved.shift, solved.kappa, gamma)
    put_value(work, node, hi, lo)
    if FIRST:
        if BACKWARD or WEIGHTS or DECODE:
            # a hoisted entry of -inf forbids all edges into the node: none is chosen
            work.state.kappa[work.item.state + node] = solved.found if hi > -INFINITY else -ONE
    elif not EXPONENTIAL and (BACKWARD or WEIGHTS):
        work.state.kappa[work.item.state + node] = solved.kappa
    if TANGENT:
        begin = direction(work, at, work.call.nodes, NODE_BLOCKS) if NODE_BLOCKS > 0 else ZERO
        v_dot, mean = tangents(omega, solved.row, edges, solved.turn, begin)
        put_tangent(work, node, v_dot)
        if BACKWARD:
            work.state.mean[work.item.state + node] = mean


def set_starts(work: Work) -> None:
    """v = 0 of the starts; -inf of starts that are not the item's own."""
    node = work.item.rank
    while node < listed(work, place(work, Column.LEVEL_PTR) + 1):
        put_value(work, node, (ZERO if node == work.item.start else -INFINITY) if STARTS else ZERO, ZERO)
        if TANGENT:
            put_tangent(work, node, ZERO)
        node += work.item.team
    meet()


def visit_levels(omega: Any, work: Work) -> Any:
    """Visit the levels from 1 up to that of the item's end; returns the number of visited levels, 0 included."""
    set_starts(work)
    levels, count = place(work, Column.LEVEL_PTR), place(work, Column.LEVELS)
    incoming = Incoming(
        place(work, Column.IN_PTR),
        place(work, Column.NODE_ENTRY),
        place(work, Column.IN_PARENT),
        place(work, Column.IN_SECOND),
        place(work, Column.IN_ENTRY),
        place(work, Column.EDGES),
    )
    level = 1
    while level < count and listed(work, levels + level) <= work.item.end:
        last = listed(work, levels + level + 1)
        node = listed(work, levels + level) + work.item.rank
        while node < last:
            solve_node(omega, work, incoming, node)
            node += work.item.team
        meet()
        level += 1
    return level
