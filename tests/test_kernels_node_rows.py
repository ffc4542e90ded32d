"""max_Ω of rows of lanes, against the float64 reference: value, weights, and what is stored of them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import IDS, OPERATORS
from kernel_texts import compiled

from dagdp.kernels.cpu.edge_rows import Operand, Scores, Tangents
from dagdp.kernels.cpu.node_rows import improve, solve
from dagdp.kernels.cpu.special.stored_weights import stored_row, weights_of_stored
from dagdp.kernels.recursion import anchor, node_value
from dagdp.kernels.row_max import finish_solution, maximum, row_weight, tangents
from dagdp.lanes.operators import first_only
from dagdp.lanes.rows import load, splat, store
from dagdp.reference import max_omega

DEPTH, LANES = 5, 8


@compiled
def solve_row(omega, x, x_lo, places, y, found, out):
    """Rows of out: v, then q of each edge, then q and s from what is stored of each edge, then v̇ along x, and c."""
    depth, row = places.shape[0], 8
    scores = Scores(x, x_lo, places, y)
    m_hi, m_lo = maximum(scores, depth)
    first, kappa = solve(omega, scores, depth, anchor(m_hi), m_lo)
    store(found, 0, first)
    store(found, row, kappa)
    improve(omega, depth, 1, y, found, 2 * row)
    turn, shift, kappa = finish_solution(omega, load(found, 0), load(found, row))
    gamma = 0.0 if first_only(omega) else omega.gamma
    value, _ = node_value(splat(x, 0), m_hi, m_lo, -shift, kappa, gamma)
    store(out, 0, value)
    for d in range(depth):
        q, _ = row_weight(omega, scores, d, turn)
        again, slope = weights_of_stored(omega, stored_row(omega, scores, d, turn))
        store(out, (1 + d) * row, q)
        store(out, (1 + depth + d) * row, again)
        store(out, (1 + 2 * depth + d) * row, slope)
    own = Tangents(y, Operand(x_lo, places), None, Operand(x, places))
    v_dot, c = tangents(omega, own, depth, turn, splat(x, 0))
    store(out, (1 + 3 * depth) * row, v_dot)
    store(out, (2 + 3 * depth) * row, c)


def solved(omega, scores):
    """The rows that `solve_row` writes, by what they are."""
    places = np.arange(0, 8 * DEPTH, 8)
    out = np.full(8 * (3 + 3 * DEPTH), np.nan)
    y, found = np.zeros(8 * (DEPTH + 1)), np.zeros(16)
    x, low = scores.reshape(-1).copy(), np.zeros(8 * DEPTH)
    solve_row(omega.data(np.float64), x, low, places, y, found, out)
    rows = out.reshape(-1, 8)
    cuts = [1, 1 + DEPTH, 1 + 2 * DEPTH, 1 + 3 * DEPTH, 2 + 3 * DEPTH]
    return np.split(rows, cuts)


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_value_and_weights_are_those_of_the_reference(omega):
    scores = np.random.default_rng(0).normal(size=(DEPTH, LANES), scale=2.0)
    scores[1:, 3] = -np.inf  # one edge left
    scores[:, 5] = scores[0, 5]  # ties
    value, q, stored, _, v_dot, _ = solved(omega, scores)
    for lane in range(LANES):
        want, weights, _ = max_omega(list(scores[:, lane]), omega)
        assert value[0, lane] == pytest.approx(want, abs=1e-13)
        np.testing.assert_allclose(q[:, lane], weights, atol=1e-13)
        np.testing.assert_allclose(stored[:, lane], weights, atol=1e-13)
    finite = np.isfinite(scores).all(0)
    np.testing.assert_allclose(v_dot[0, finite], (q[:, finite] * scores[:, finite]).sum(0), rtol=1e-12)


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_a_row_that_no_edge_enters(omega):
    value, q, stored, slope, _, c = solved(omega, np.full((DEPTH, LANES), -np.inf))
    assert (value == -np.inf).all() and not q.any() and not stored.any() and not slope.any() and not c.any()
