"""The text of a row on plain NumPy scalars, against the float64 reference: no lanes, no Numba."""

from __future__ import annotations

import numpy as np
import pytest
from cases import IDS, OPERATORS
from scalar_row import bound

from dagdp import HardMax, SquaredL2
from dagdp.kernels import row_max
from dagdp.kernels.recursion import node_value
from dagdp.reference import jacobian_product, max_omega

RNG = np.random.default_rng(0)
ROWS = {
    "one edge": np.array([1.25]),
    "several edges": RNG.normal(size=7, scale=2.0),
    "forbidden edges": np.array([-np.inf, 0.5, -np.inf, 1.0, 0.25, -np.inf]),
    "ties": np.array([0.5, 1.5, 1.5, -2.0, 1.5]),
    "far apart": np.array([0.0, -300.0, 1e4, -1e4, 9999.5]),
    "1200 edges": RNG.normal(size=1200),
    "1200 equal edges": np.full(1200, 0.75),
    "no path": np.full(3, -np.inf),
}

each_omega = pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
each_type = pytest.mark.parametrize("dtype", [np.float32, np.float64])


class Solved:
    """What the text gives of a row: value, weights, slopes, and from a tangent of 0.5 the one along z."""

    def __init__(self, omega, scores, z, dtype):
        text, data, depth = bound(dtype), omega.data(dtype), len(scores)
        with np.errstate(invalid="ignore"):  # of infinities
            theta, parents = scores.astype(dtype)[None], np.zeros((1, depth), dtype)
            row, m_hi, m_lo = text["row_of"](data, theta, parents, z.astype(dtype)[None], 0)
            found, kappa = text["solve"](data, row, depth)
            turn, shift, kappa = text["finish_solution"](data, found, kappa)
            self.value, _ = node_value(dtype(0), m_hi, m_lo, -shift, kappa, data.gamma)
            self.q, self.s = np.array([text["row_weight"](data, row, d, turn) for d in range(depth)]).T
            self.v_dot, self.c = text["tangents"](data, row, depth, turn, dtype(0.5))
        self.numbers = [m_hi, m_lo, found, turn, shift, kappa, self.value, self.v_dot]


@each_omega
@each_type
@pytest.mark.parametrize("name", ROWS)
def test_value_weights_and_tangents_are_those_of_the_reference(omega, dtype, name):
    scores, z = ROWS[name].astype(dtype), np.random.default_rng(1).normal(size=ROWS[name].size).astype(dtype)
    value, q, s = max_omega([float(x) for x in scores], omega)
    got, close = Solved(omega, scores, z, dtype), 1e-13 if dtype is np.float64 else 2e-6
    assert got.value == pytest.approx(value, rel=close, abs=close)
    np.testing.assert_allclose(got.q, q, atol=close)
    assert got.v_dot == pytest.approx(0.5 + np.dot(q, z), abs=20 * close)
    if isinstance(omega, HardMax):
        assert got.c == 0.0 and not got.s.any()
    else:
        q_dot, along = got.s * (z - got.c) / omega.gamma, [float(one) for one in z]
        np.testing.assert_allclose(q_dot, jacobian_product(s, along, omega.gamma), atol=100 * close)


@each_omega
@each_type
def test_no_number_is_of_another_type(omega, dtype):
    scores = ROWS["forbidden edges"]
    assert {type(number) for number in Solved(omega, scores, np.ones(6), dtype).numbers} == {dtype}


@each_type
def test_sums_are_made_of_partial_sums(dtype, monkeypatch):
    monkeypatch.setattr(row_max, "TERMS", 4)
    links = np.random.default_rng(2).random(10).astype(dtype)
    text = bound(dtype)
    text.update(relative_at=lambda row, d: links[d], keep=lambda row, d, power: None)
    text.update(score_at=lambda row, d: (links[d], dtype(0)), exp=lambda y: y)
    want = dtype(0)
    for some in (links[:4], links[4:8], links[8:]):
        want = want + sum(some, dtype(0))
    data = SquaredL2(1.0).data(dtype)
    assert text["exponential_total"](data, None, 10, dtype(0), dtype(0)) == want
    assert text["newton_sums"](data, None, 10, dtype(0)) == (want, 10)
    halves = [dtype(0.5) * link * link for link in links]
    assert text["energies"](data, None, 10, dtype(0)) == sum(halves[:4]) + sum(halves[4:8]) + sum(halves[8:])


@each_type
@pytest.mark.parametrize(("beyond", "moves"), [(3.0, False), (-3.0, False), (5.0, True)])
def test_a_small_step_is_left_for_the_end(dtype, beyond, moves):
    """One edge under SquaredL2: at the iterate 1 + δ the step is δ."""
    text, step = bound(dtype), dtype(beyond) * np.finfo(dtype).eps
    text["relative_at"] = lambda row, d: dtype(0)
    at = dtype(1) + step
    shift, rest, far = text["newton_update"](SquaredL2(1.0).data(dtype), None, 1, at)
    assert (shift, rest, far) == ((at - step, 0, True) if moves else (at, step, False))


@each_type
def test_newton_ends_without_a_step_for_each_edge(dtype):
    """The bound on iterations is not what ends them: 1,200 edges of which one has weight, and all together."""
    for scores in (np.arange(1200.0), np.linspace(0.0, 1e-3, 1200)):
        text, calls = bound(dtype), []
        update = text["newton_update"]
        text["newton_update"] = lambda *given, update=update, calls=calls: calls.append(1) or update(*given)
        data = SquaredL2(1.0).data(dtype)
        row, _, _ = text["row_of"](data, scores.astype(dtype)[None], np.zeros((1, 1200), dtype), None, 0)
        text["newton"](data, row, 1200)
        assert len(calls) < 20
