"""Rows of lanes against the same text on numbers: arithmetic, choices, and every function of math that has a form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

import dagdp
from dagdp import Omega, SquaredL2
from dagdp.jit.decorators import OPTIONS
from dagdp.lanes.exp_log import LANE_MATH, ONE, TWO
from dagdp.lanes.reductions import any_lane, sum_lanes, sum_lanes_of_four
from dagdp.lanes.rewrite import accessor, looped, narrow, on_lanes
from dagdp.lanes.rows import fenced, first_lanes, first_lanes_or, fma, load, splat, store
from dagdp.lanes.transpose import transpose_tile
from dagdp.lanes.views import offset_view, rows_on_stack, view, width

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def mapped(function, x):
    """`function` of the lanes of x, from its text rewritten for them."""
    text = narrow(on_lanes(function, LANE_MATH), x.dtype.type)
    inner = numba.njit(**OPTIONS)(text)

    @numba.njit(**OPTIONS)
    def run(x, out):
        store(out, 0, inner(load(x, 0)))

    out = np.empty_like(x)
    run(x, out)
    return out


def choices(y):
    small = 0.5 * y if y < -0.25 or 0.75 < y <= 1.5 else 2.0 - y
    clipped = min(max(y, -1.0), 1.0)
    return (small if y != 0.0 and clipped < 1.0 else -abs(y)) + clipped / 3.0


def powers(y):
    return math.sqrt(abs(y)) + y**2 + math.pow(abs(y) + 1.0, 1.5) + math.tanh(y) * math.pi


@DTYPES
@pytest.mark.parametrize("function", [choices, powers])
def test_text_for_lanes_is_the_text_for_numbers(function, dtype):
    x = np.linspace(-2, 2, 16).astype(dtype)
    x = x if dtype == np.float32 else x[::2].copy()
    want = [function(float(y)) for y in x]
    np.testing.assert_allclose(mapped(function, x), want, rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("name", ONE + TWO)
def test_every_function_of_math(name):
    x = np.linspace(0.1, 0.9, 8)
    scalar = getattr(math, name)
    if name == "acosh":
        x = x + 1
    chosen = getattr(LANE_MATH, name)

    @numba.njit(**OPTIONS)
    def run(x, out):
        store(out, 0, chosen(load(x, 0)))

    @numba.njit(**OPTIONS)
    def run_two(x, out):
        store(out, 0, chosen(load(x, 0), 0.7))

    out = np.empty_like(x)
    (run if name in ONE else run_two)(x, out)
    want = [scalar(y) if name in ONE else scalar(y, 0.7) for y in x]
    np.testing.assert_allclose(out, want, rtol=1e-14)


@DTYPES
def test_parts_of_rows(dtype):
    @numba.njit(**OPTIONS)
    def run(x, out, sums, truths):
        row = load(x, 0)
        store(out, 0, first_lanes_or(row, 3, load(out, 0)))
        sums[0], sums[1] = sum_lanes(row), sum_lanes(first_lanes(row, 2))
        sums[2] = sum_lanes(first_lanes_or(row, 2, x.dtype.type(1)))
        sums[3] = sum_lanes(fma(row, row, x.dtype.type(1)))
        truths[0], truths[1] = any_lane(row > x.dtype.type(4)), any_lane(row > x.dtype.type(100))

    lanes = 64 // np.dtype(dtype).itemsize
    x, out = np.arange(1, lanes + 1).astype(dtype), np.zeros(lanes, dtype)
    sums, truths = np.empty(4, dtype), np.empty(2, bool)
    run(x, out, sums, truths)
    assert out.tolist() == [1, 2, 3] + [0] * (lanes - 3)
    assert sums.tolist() == [x.sum(), 3, 3 + lanes - 2, (x * x + 1).sum()] and truths.tolist() == [True, False]


@DTYPES
def test_four_totals_have_the_bits_of_one_each(dtype):
    @numba.njit(**OPTIONS)
    def run(x, one, four):
        lanes = x.size // 4
        a, b, c, d = load(x, 0), load(x, lanes), load(x, 2 * lanes), load(x, 3 * lanes)
        one[0], one[1], one[2], one[3] = sum_lanes(a), sum_lanes(b), sum_lanes(c), sum_lanes(d)
        four[0], four[1], four[2], four[3] = sum_lanes_of_four(a, b, c, d)

    x = np.random.default_rng(0).normal(size=256 // np.dtype(dtype).itemsize).astype(dtype)
    one, four = np.empty(4, dtype), np.empty(4, dtype)
    run(x, one, four)
    assert one.tolist() == four.tolist()
    np.testing.assert_allclose(one, x.reshape(4, -1).sum(1), rtol=1e-5)


@DTYPES
def test_a_rounded_product_is_not_fused(dtype):
    @numba.njit(**OPTIONS)
    def run(x, apart, together):
        row, one = load(x, 0), x.dtype.type(1)
        store(apart, 0, fenced(row * row) - one)
        store(together, 0, fma(row, row, -one))

    x = np.full(64 // np.dtype(dtype).itemsize, 1 + 1000 * np.finfo(dtype).eps, dtype)
    apart, together = np.empty_like(x), np.empty_like(x)
    run(x, apart, together)
    assert (apart == x * x - 1).all() and (apart != together).all()


def test_views_and_rows_on_the_stack():
    two_rows = rows_on_stack(2)

    @numba.njit(**OPTIONS)
    def run(x, out):
        rows, lanes = two_rows(x), x.size // 2
        for r in range(2):
            store(rows, r * lanes, load(x, r * lanes) + x.dtype.type(1))
        for r in range(2):
            store(out, r * lanes, load(rows, (1 - r) * lanes))
        return rows.size, offset_view(x, 3).size, offset_view(offset_view(x, 3), -3)[0], view(x, 3, 2)[1]

    x = np.arange(32, dtype=np.float32)
    out = np.empty_like(x)
    assert run(x, out) == (32, 29, 0, 4)
    assert out.tolist() == [*(x[16:] + 1), *(x[:16] + 1)]


@DTYPES
def test_squares(dtype):
    @numba.njit(**OPTIONS)
    def run(x, turned, rows):
        transpose_tile(turned, 0, rows, x, 1, rows + 3, rows)

    lanes = 64 // np.dtype(dtype).itemsize
    x = np.random.default_rng(0).normal(size=lanes * (lanes + 3) + 1).astype(dtype)
    turned = np.empty((lanes, lanes), dtype)
    run(x, turned.reshape(-1), lanes)
    np.testing.assert_array_equal(turned.T, np.stack([x[1 + r * (lanes + 3) :][:lanes] for r in range(lanes)]))


@dataclass(frozen=True)
class Blocks(Omega):
    """SquaredL2, with statements where expressions are asked for."""

    gamma: float = 1.0

    def link(self, y):
        if y <= 0.0:
            return 0.0
        return y

    def slope(self, y):
        if y > 0.0:
            return 1.0
        return 0.0

    def conjugate(self, y):
        return 0.5 * y * y if y > 0.0 else 0.0


def typed() -> type[Omega]:
    """The same without source text, as typed at a prompt."""
    given: dict[str, Any] = {"Omega": Omega}
    exec(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Typed(Omega):\n    gamma: float = 1.0\n"
        "    def link(self, y): return y if y > 0.0 else 0.0\n"
        "    def slope(self, y): return 1.0 if y > 0.0 else 0.0\n"
        "    def conjugate(self, y): return 0.5 * y * y if y > 0.0 else 0.0\n",
        given,
    )
    made: type[Omega] = given["Typed"]
    return made


@pytest.mark.parametrize("kind", [Blocks, typed()], ids=["blocks", "no text"])
def test_an_operator_that_cannot_be_rewritten_is_called_lane_by_lane(kind):
    dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 0, 1, 2], [1, 1, 2, 2, 3]))
    theta = np.random.default_rng(0).normal(size=(20, 5))
    value = dagdp.dp_value(dag, theta, kind(0.5))
    np.testing.assert_allclose(value, dagdp.dp_value(dag, theta, SquaredL2(0.5)))


def test_what_is_no_def_of_its_own_is_refused():
    """Then a user's function is called lane by lane."""
    given = {
        "link": lambda y: y if y > 0.0 else 0.0,
        "more": 1,
    }
    with pytest.raises(TypeError, match="is not a def of expressions alone"):
        on_lanes(given["link"])


class Table(NamedTuple):
    numbers: Any


def number_at(table, d):
    raise AssertionError("an accessor")


@accessor(number_at)
def _number_at(table, d):
    return load(table.numbers, d * width(table.numbers))


@looped
def sum_of_sizes(table, count):
    """Σ |x|, and 0.1 for each number that is 0."""
    total = splat(table, 0.0)
    for d in range(0, count, 1):
        x = number_at(table, d)
        size = x if x > 0.0 else -x
        total = total + (size if x < 0.0 or x > 0.0 else 0.1)
    return total


@DTYPES
def test_a_looped_text_reads_rows_through_an_accessor(dtype):
    x = np.random.default_rng(3).normal(size=(5, 64 // np.dtype(dtype).itemsize)).astype(dtype)
    x[2, 1::2] = 0.0
    out = np.empty_like(x[0])

    @numba.njit(**OPTIONS)
    def run(x, out):
        store(out, 0, sum_of_sizes(Table(x), 5))

    run(x.reshape(-1), out)
    np.testing.assert_allclose(out, np.where(x == 0.0, dtype(0.1), np.abs(x)).sum(0), rtol=4 * np.finfo(dtype).eps)
