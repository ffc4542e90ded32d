"""Which solver of kernels/row_max.py serves an operator, and Newton's method for several rows together.

A solver returns two rows for `finish_solution`. The first is -(τ - m)/γ for Newton, the chosen place for HardMax, and
Σ e^((x - m)/γ) for the closed form. The second is 0; `improve`, which improves Newton's first iterate, replaces it by
κ.
"""

from __future__ import annotations

from typing import Any

from dagdp.jit.decorators import inlined
from dagdp.kernels.cpu.edge_rows import Kept, Scores
from dagdp.kernels.cpu.records import Floats, Row
from dagdp.kernels.recursion import relative_score
from dagdp.kernels.row_max import SPARE_STEPS, energies, exponential_total, first_maximal, newton_update, score_at
from dagdp.lanes.operators import exponential, first_only
from dagdp.lanes.reductions import any_lane
from dagdp.lanes.rows import load, splat, store
from dagdp.lanes.views import view, width


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
