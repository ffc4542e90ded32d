"""max_Ω of rows of nodes whose operands have been placed: scores, maximum, solver, value and tangents.

`solve` returns two rows for `finish_solution` of kernels/row_max.py. The first is -(τ - m)/γ for Newton, the chosen
place for HardMax, and Σ e^((x - m)/γ) for the closed form. The second is 0; `improve`, which iterates Newton's method
for several rows together, replaces it by κ.
"""

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.edge_rows import Kept, Operand, Scores, Tangents
from dagdp.kernels.cpu.memory import (
    FOUND,
    FOUND_KAPPA,
    MAXIMUM_HI,
    MAXIMUM_LO,
    PARENT_ROWS,
    POTENTIAL_ROWS,
    RESULTS,
    SCORE_ROWS,
    address_list,
    result_at,
)
from dagdp.kernels.cpu.records import Floats, Indices, Placement, Row, State, Target, Workspace
from dagdp.kernels.cpu.rows import store_lanes
from dagdp.kernels.recursion import enter, enter_second, node_value, relative_score
from dagdp.kernels.row_max import (
    SPARE_STEPS,
    energies,
    exponential_total,
    finish_solution,
    first_maximal,
    maximum,
    newton_update,
    score_at,
    tangents,
)
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.reductions import any_lane
from dagdp.lanes.rows import load, splat, store
from dagdp.lanes.views import get, offset_view, view, width


@inlined
def begin_newton(omega: Any, scores: Scores, depth: int, m_hi: Row, m_lo: Row) -> Row:
    """The first iterate of -(τ - m)/γ; y is kept."""
    y = scores.y
    rate = y.dtype.type(1) / omega.gamma
    for d in range(depth):
        x_hi, x_lo = score_at(scores, d)
        store(y, d * width(y), relative_score(x_hi, x_lo, m_hi, m_lo, rate))
    return splat(y, omega.corner)


@inlined
def solve(omega: Any, scores: Scores, depth: int, m_hi: Row, m_lo: Row) -> Any:
    """What the operator's solver returns."""
    if exponential(omega):
        return exponential_total(omega, scores, depth, m_hi, m_lo), splat(scores.y, 0)
    if first_only(omega):
        return first_maximal(omega, scores, depth, m_hi, m_lo), splat(scores.y, 0)
    return begin_newton(omega, scores, depth, m_hi, m_lo), splat(scores.y, 0)


@inlined
def iterate_together(omega: Any, depth: int, rows: int, y: Floats, found: Floats, apart: int) -> None:
    """Newton's method for several rows at once, since each iteration of a row waits for the one before.

    found : for each row the iterate, then κ, `apart` elements from those of the next row; overwritten.
    """
    row = width(y)
    for _ in range(depth + SPARE_STEPS):
        moving = False
        for r in range(rows):
            own = Kept(view(y, r * depth * row, depth * row))
            shift, rest, far = newton_update(omega, own, depth, load(found, r * apart))
            store(found, r * apart, shift)
            store(found, r * apart + row, rest)
            moving |= any_lane(far)
        if not moving:
            break
    for r in range(rows):
        own = Kept(view(y, r * depth * row, depth * row))
        shift = load(found, r * apart) - load(found, r * apart + row)
        kappa = energies(omega, own, depth, shift)
        store(found, r * apart, shift)
        store(found, r * apart + row, kappa)


@inlined
def improve(omega: Any, depth: int, rows: int, y: Floats, found: Floats, apart: int) -> None:
    """Newton's iterations for some rows; nothing for other solvers. See `iterate_together`."""
    if not exponential(omega) and not first_only(omega):
        iterate_together(omega, depth, rows, y, found, apart)


@inlined
def form_scores(depth: int, state: State, work: Workspace, r: int, xs: Indices) -> None:
    """x = θ + v of the parent, or of both, for row r, behind the state: xs[d] = where the row of d-th edges lies."""
    v_hi, v_lo, w = state.v_hi, state.v_lo, work.edge_potentials
    row = width(v_hi)
    at, w_at = (
        view(address_list(work, PARENT_ROWS), r * depth, depth),
        view(address_list(work, POTENTIAL_ROWS), r * depth, depth),
    )
    first = work.spare + r * depth * row
    for d in range(depth):
        place = first + d * row
        hi, lo = enter(load(w, get(w_at, d)), load(v_hi, get(at, d)), load(v_lo, get(at, d)))
        if work.second_rows is not None:
            other = get(work.second_rows, r * depth + d)
            hi, lo = enter_second(hi, lo, load(v_hi, other), load(v_lo, other))
        store(v_hi, place, hi)
        store(v_lo, place, lo)
        xs[d] = place


@inlined
def scores_of_row(depth: int, placed: Placement, work: Workspace, r: int) -> Indices:
    """Where the scores of row r lie; where edges have no potentials they are the parents' v."""
    rows = address_list(work, PARENT_ROWS) if work.edge_potentials is None else address_list(work, SCORE_ROWS)
    return view(rows, r * placed.jump, depth)


@inlined
def maximum_of_row(omega: Any, depth: int, placed: Placement, state: State, work: Workspace, r: int) -> None:
    """The maximum of row r's scores, which are formed first where edges have potentials of their own."""
    v_hi, v_lo = offset_view(state.v_hi, r * placed.shift), offset_view(state.v_lo, r * placed.shift)
    results = work.row_results
    xs = scores_of_row(depth, placed, work, r)
    if work.edge_potentials is not None:
        form_scores(depth, state, work, r, xs)
    m_hi, m_lo = maximum(Scores(v_hi, v_lo, xs, work.y), depth)
    store(results, result_at(results, r, MAXIMUM_HI), m_hi)
    store(results, result_at(results, r, MAXIMUM_LO), m_lo)


@inlined
def solve_row(omega: Any, depth: int, placed: Placement, state: State, work: Workspace, r: int) -> None:
    """The solver's results for row r."""
    v_hi, v_lo = offset_view(state.v_hi, r * placed.shift), offset_view(state.v_lo, r * placed.shift)
    results, row = work.row_results, width(v_hi)
    xs = scores_of_row(depth, placed, work, r)
    m_hi, m_lo = load(results, result_at(results, r, MAXIMUM_HI)), load(results, result_at(results, r, MAXIMUM_LO))
    scores = Scores(v_hi, v_lo, xs, offset_view(work.y, r * depth * row))
    found, kappa = solve(omega, scores, depth, m_hi, m_lo)
    store(results, result_at(results, r, FOUND), found)
    store(results, result_at(results, r, FOUND_KAPPA), kappa)


@inlined
def solve_rows(omega: Any, depth: int, placed: Placement, state: State, work: Workspace) -> None:
    """Maximum and solver's results for all placed rows.

    Rows are processed phase by phase. A row's maximum, exponentials and logarithm depend on each other, and those of
    other rows fill the processor's pipeline meanwhile.
    """
    for r in range(placed.rows):
        maximum_of_row(omega, depth, placed, state, work, r)
    for r in range(placed.rows):
        solve_row(omega, depth, placed, state, work, r)
    results = work.row_results
    found = offset_view(results, result_at(results, 0, FOUND))
    improve(omega, depth, placed.rows, work.y, found, RESULTS * width(results))


@inlined
def store_value(omega: Any, target: Target, state: State, work: Workspace, r: int) -> Row:
    """Store v and κ of row r; return what turns its y into q."""
    v_hi, v_lo, kappa, results = state.v_hi, state.v_lo, state.kappa, work.row_results
    dtype = v_hi.dtype.type
    m_hi, m_lo = load(results, result_at(results, r, MAXIMUM_HI)), load(results, result_at(results, r, MAXIMUM_LO))
    found, kappa_i = load(results, result_at(results, r, FOUND)), load(results, result_at(results, r, FOUND_KAPPA))
    turn, shift, kappa_i = finish_solution(omega, found, kappa_i)
    c_i = load(state.node_potentials, target.own_at) if state.node_potentials is not None else splat(v_hi, 0)
    hi, lo = node_value(c_i, m_hi, m_lo, -shift, kappa_i, dtype(0) if first_only(omega) else omega.gamma)
    store_lanes(v_hi, target.at, hi, target.count)
    store_lanes(v_lo, target.at, lo, target.count)
    if kappa.shape[0] > 0:
        store_lanes(kappa, target.at, turn if first_only(omega) else kappa_i, target.count)
    return turn


@inlined
def directions_of_row(depth: int, work: Workspace, r: int) -> Any:
    """The directions of row r's edges, or None where edges have none of their own."""
    if work.edge_directions is None:
        return None
    return Operand(work.edge_directions, view(address_list(work, POTENTIAL_ROWS), r * depth, depth))


@inlined
def parents_tangent(depth: int, placed: Placement, v_dot: Floats, work: Workspace, r: int) -> Operand:
    """v̇ of the parents of row r."""
    return Operand(offset_view(v_dot, r * placed.shift), view(address_list(work, PARENT_ROWS), r * placed.jump, depth))


@inlined
def seconds_tangent(depth: int, v_dot: Floats, work: Workspace, r: int) -> Any:
    """v̇ of the second parents of row r; None without hyperedges."""
    if work.second_rows is None:
        return None
    return Operand(v_dot, view(work.second_rows, r * depth, depth))


@inlined
def finish_row(
    omega: Any, depth: int, placed: Placement, target: Target, state: State, work: Workspace, r: int
) -> None:
    """Store v, κ, v̇ and c of row r, and what turns its y into q among the row's results, if y is kept."""
    row, y = width(state.v_hi), work.y
    turn = store_value(omega, target, state, work, r)
    if y.shape[0] > row:
        store(work.row_results, result_at(work.row_results, r, FOUND), turn)
    if state.v_dot is not None:
        start = splat(state.v_hi, 0)
        if state.node_directions is not None:
            start = load(state.node_directions, target.own_at)
        parents = parents_tangent(depth, placed, state.v_dot, work, r)
        second = seconds_tangent(depth, state.v_dot, work, r)
        own = Tangents(offset_view(y, r * depth * row), parents, second, directions_of_row(depth, work, r))
        slope, mean = tangents(omega, own, depth, turn, start)
        store_lanes(state.v_dot, target.at, slope, target.count)
        if state.c is not None:
            store_lanes(state.c, target.at, mean, target.count)
