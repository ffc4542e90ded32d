"""exp and log of lanes, as polynomials on the bits of the float; the rest of `math` lane by lane.

LLVM has no vector library here, and a call of libm takes 2.5 to 7 ns a number. These polynomials take 0.2 ns
(float32) and 0.5 ns (float64) a lane, with errors below 1 ulp in both precisions. k is rounded to an integer by adding
1.5·2^52 (or 1.5·2^23), since floor would go through int64.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from dagdp.jit.decorators import POINT_OPTIONS, inner
from dagdp.lanes.rows import Lanes, add_exponent, each_lane, each_pair, fma, select, split_exponent, square_root

f4 = np.float32

LOG2E_4, MAGIC_4, LN2_HI_4, LN2_LO_4 = f4(1.4426950408889634), f4(12582912.0), f4(0.693359375), f4(-2.12194440e-4)
LOG2E_8, MAGIC_8 = 1.4426950408889634, 6755399441055744.0
LN2_HI_8, LN2_LO_8 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
INF_4, NAN_4, ZERO_4, ONE_4, HALF_4, TWO_4 = (f4(x) for x in (np.inf, np.nan, 0.0, 1.0, 0.5, 2.0))
LN2_4, LN2_8 = f4(0.6931471805599453), 0.6931471805599453
LEAST_4, MOST_4 = f4(-87.3), f4(88.3)

# e^r = 1 + r + r²q(r) on |r| <= log(2)/2: q is the polynomial whose largest relative error is least, 3e-9 and 4e-18.
Q0_4, Q1_4, Q2_4, Q3_4, Q4_4 = (
    f4(c)
    for c in (0.49999993430818530, 0.16666520386258751, 0.041668391047286237, 0.00836874629680052, 0.0013814527541)
)
Q0_8, Q1_8, Q2_8, Q3_8, Q4_8 = (
    0.50000000000000106734, 0.16666666666666411467, 0.041666666666529690982, 0.0083333333334949757236,
    0.0013888888943769092725,
)  # fmt: skip
Q5_8, Q6_8, Q7_8, Q8_8, Q9_8 = (
    0.00019841269505814895478, 0.000024801492940811022054, 2.7557586744251276806e-6, 2.7630309198672038299e-7,
    2.5000042911182158703e-8,
)  # fmt: skip


# Terms are paired (Estrin's scheme): a chain of dependent multiplications would take longer than a node's other work.
def exp_f4(x: Any) -> Any:
    """exp of a row of float32."""
    t = x * LOG2E_4 + MAGIC_4
    k = t - MAGIC_4
    r = (x - k * LN2_HI_4) - k * LN2_LO_4
    r2 = r * r
    q = (Q0_4 + r * Q1_4) + r2 * ((Q2_4 + r * Q3_4) + r2 * Q4_4)
    p = (r + r2 * q) + ONE_4
    y = select(x >= LEAST_4, add_exponent(p, t), ZERO_4)  # 0 of NaN, which is no edge
    return select(x > MOST_4, INF_4, y)


def exp_f8(x: Any) -> Any:
    """exp of a row of float64."""
    t = x * LOG2E_8 + MAGIC_8
    k = t - MAGIC_8
    r = (x - k * LN2_HI_8) - k * LN2_LO_8
    r2 = r * r
    r4 = r2 * r2
    low = (Q0_8 + r * Q1_8) + r2 * (Q2_8 + r * Q3_8)
    high = ((Q4_8 + r * Q5_8) + r2 * (Q6_8 + r * Q7_8)) + r4 * (Q8_8 + r * Q9_8)
    p = (r + r2 * (low + r4 * high)) + 1.0
    y = select(x >= -708.39, add_exponent(p, t), 0.0)
    return select(x > 709.4, np.inf, y)


# log: the classic series in s = f/(2 + f), with f = mantissa - 1 in [sqrt(1/2) - 1, sqrt(2) - 1]
LG1, LG2, LG3, LG4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
LG5, LG6, LG7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
LH1, LH2, LH3, LH4 = f4(0.66666662693), f4(0.40000972152), f4(0.28498786688), f4(0.24279078841)
LN2_LOW_4 = f4(9.0580006145e-06)
LN2_HIGH_4 = f4(6.9313812256e-01)
TINY_4, TINY_8 = f4(1.1754944e-38), 2.2250738585072014e-308
LIFT_4, LIFT_8 = f4(2.0**24), 2.0**54
LIFTED_4, LIFTED_8 = f4(24.0), 54.0


@inner
def log_normal_f4(x: Any, lifted: Any) -> Any:
    """log(x·2^-lifted) of positive normal numbers."""
    k, m = split_exponent(x)
    k = k - lifted
    f = m - ONE_4
    h = HALF_4 * f * f
    s = f / (TWO_4 + f)
    w = s * s
    series = w * (LH1 + w * (LH2 + w * (LH3 + w * LH4)))
    return k * LN2_HIGH_4 - ((h - (s * (h + series) + k * LN2_LOW_4)) - f)


@inner
def log_normal_f8(x: Any, lifted: Any) -> Any:
    """log(x·2^-lifted) of positive normal numbers."""
    k, m = split_exponent(x)
    k = k - lifted
    f = m - 1.0
    h = 0.5 * f * f
    s = f / (2.0 + f)
    w = s * s
    series = w * (LG1 + w * (LG2 + w * (LG3 + w * (LG4 + w * (LG5 + w * (LG6 + w * LG7))))))
    return k * LN2_HI_8 - ((h - (s * (h + series) + k * LN2_LO_8)) - f)


def log_f4(x: Any) -> Any:
    """log of a row of float32."""
    small = x < TINY_4
    y = log_normal_f4(select(small, x * LIFT_4, x), select(small, LIFTED_4, ZERO_4))
    y = select(x == INF_4, x, y)
    return select(x > ZERO_4, y, select(x == ZERO_4, -INF_4, NAN_4))


def log_f8(x: Any) -> Any:
    """log of a row of float64."""
    small = x < TINY_8
    y = log_normal_f8(select(small, x * LIFT_8, x), select(small, LIFTED_8, 0.0))
    y = select(x == np.inf, x, y)
    return select(x > 0.0, y, select(x == 0.0, -np.inf, np.nan))


def log_of_mass(x: Any) -> Any:
    """The logarithm of a number in [1, inf); for any other argument, a finite number."""
    raise AssertionError("only called from compiled code")


@overload(log_of_mass, strict=False, jit_options=POINT_OPTIONS)
def _log_of_mass(x: Any) -> Any:
    if x.dtype == types.float32:
        return lambda x: log_normal_f4(x, ZERO_4)
    return lambda x: log_normal_f8(x, 0.0)


@inner
def two_to_f4(x: Any, rate: Any) -> Any:
    """`two_to` of a row of float32."""
    t = x * rate
    k = (t + MAGIC_4) - MAGIC_4
    r = ((t - k) + fma(x, rate, -t)) * LN2_4
    r2 = r * r
    q = (Q0_4 + r * Q1_4) + r2 * ((Q2_4 + r * Q3_4) + r2 * Q4_4)
    return k, (r + r2 * q) + ONE_4


@inner
def two_to_f8(x: Any, rate: Any) -> Any:
    """`two_to` of a row of float64."""
    t = x * rate
    k = (t + MAGIC_8) - MAGIC_8
    r = ((t - k) + fma(x, rate, -t)) * LN2_8
    r2 = r * r
    r4 = r2 * r2
    low = (Q0_8 + r * Q1_8) + r2 * (Q2_8 + r * Q3_8)
    high = ((Q4_8 + r * Q5_8) + r2 * (Q6_8 + r * Q7_8)) + r4 * (Q8_8 + r * Q9_8)
    return k, (r + r2 * (low + r4 * high)) + 1.0


def two_to(x: Any, rate: Any) -> Any:
    """(k, p) with 2^(x·rate) = p·2^k, the product not rounded, k whole and p in [sqrt(1/2), sqrt(2)].

    For |x·rate| up to 2^22 (float32) or 2^51.
    """
    raise AssertionError("only called from compiled code")


@overload(two_to, strict=False, jit_options=POINT_OPTIONS)
def _two_to(x: Any, rate: Any) -> Any:
    if x.dtype == types.float32:
        return lambda x, rate: two_to_f4(x, rate)
    return lambda x, rate: two_to_f8(x, rate)


def _vector_form(name: str, row: Lanes) -> Callable[..., Any] | None:
    single = row.dtype == types.float32
    if name == "exp":
        return exp_f4 if single else exp_f8
    if name == "log":
        return log_f4 if single else log_f8
    return (lambda x: square_root(x)) if name == "sqrt" else None


def _of_one(name: str) -> Callable[..., Any]:
    """`math.name` of a row of lanes or of a number."""
    scalar = getattr(math, name)

    def function(x: Any) -> Any:
        return scalar(x)

    def typer(x: Any) -> Any:
        if not isinstance(x, Lanes):
            return lambda x: scalar(x)
        return _vector_form(name, x) or (lambda x: each_lane(scalar, x))

    overload(function, strict=False, jit_options=POINT_OPTIONS)(typer)
    return function


def _of_two(name: str) -> Callable[..., Any]:
    """`math.name` of two rows, of a row and a number, or of two numbers."""
    scalar = getattr(math, name)

    def function(x: Any, y: Any) -> Any:
        return scalar(x, y)

    def typer(x: Any, y: Any) -> Any:
        if not isinstance(x, Lanes) and not isinstance(y, Lanes):
            return lambda x, y: scalar(x, y)
        return lambda x, y: each_pair(scalar, x, y)

    overload(function, strict=False, jit_options=POINT_OPTIONS)(typer)
    return function


ONE = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "fabs",
    "floor", "gamma", "lgamma", "log", "log10", "log1p", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip
TWO = ("atan2", "copysign", "hypot", "pow")

#: What the name `math` means in a formula that is compiled for lanes.
LANE_MATH = ModuleType("dagdp.lanes.exp_log.LANE_MATH")
LANE_MATH.__dict__.update({name: value for name, value in vars(math).items() if isinstance(value, float)})
LANE_MATH.__dict__.update({name: _of_one(name) for name in ONE})
LANE_MATH.__dict__.update({name: _of_two(name) for name in TWO})
exp, log = LANE_MATH.exp, LANE_MATH.log


@overload(abs, strict=False, jit_options=POINT_OPTIONS)
def _abs(x: Any) -> Any:
    return (lambda x: select(x < 0.0, -x, x)) if isinstance(x, Lanes) else None


@overload(max, strict=False, jit_options=POINT_OPTIONS)
def _max(x: Any, y: Any) -> Any:
    return (lambda x, y: select(y > x, y, x)) if isinstance(x, Lanes) or isinstance(y, Lanes) else None


@overload(min, strict=False, jit_options=POINT_OPTIONS)
def _min(x: Any, y: Any) -> Any:
    return (lambda x, y: select(y < x, y, x)) if isinstance(x, Lanes) or isinstance(y, Lanes) else None


@overload(operator.pow, strict=False, jit_options=POINT_OPTIONS)
def _pow(x: Any, y: Any) -> Any:
    return (lambda x, y: each_pair(math.pow, x, y)) if isinstance(x, Lanes) or isinstance(y, Lanes) else None
