"""exp and log that vectorise, as polynomials on the bits of the float.

A loop over `math.exp` is a scalar libm call (LLVM 22 has no vector library here): 2.5 to 7 ns. These
inline to 0.2 ns (float32) and 0.7 ns (float64) an element, with errors below 1 ulp in both precisions.
k is rounded to an integer by adding 1.5·2^52 (or 1.5·2^23): floor would go through int64.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from dagdp.kernels.jit import FASTMATH, inner

f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64

LOG2E_4, MAGIC_4, LN2_HI_4, LN2_LO_4 = f4(1.4426950408889634), f4(12582912.0), f4(0.693359375), f4(-2.12194440e-4)
LOG2E_8, MAGIC_8 = 1.4426950408889634, 6755399441055744.0
LN2_HI_8, LN2_LO_8 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
INF_4 = f4(np.inf)

E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1.0 / math.factorial(i) for i in range(2, 14))
S2, S3, S4, S5, S6, S7 = (f4(1.0 / math.factorial(i)) for i in range(2, 8))


@inner
def exp_f4(x: Any) -> Any:
    t = x * LOG2E_4 + MAGIC_4
    k = t - MAGIC_4
    r = (x - k * LN2_HI_4) - k * LN2_LO_4
    p = S7
    p = p * r + S6
    p = p * r + S5
    p = p * r + S4
    p = p * r + S3
    p = p * r + S2
    p = p * r + f4(1.0)
    p = p * r + f4(1.0)
    y = i4(f4(p).view(i4) + i4(f4(t).view(i4) << i4(23))).view(f4)
    y = f4(0.0) if x < f4(-87.3) else y
    return INF_4 if x > f4(88.3) else y


@inner
def exp_f8(x: Any) -> Any:
    t = x * LOG2E_8 + MAGIC_8
    k = t - MAGIC_8
    r = (x - k * LN2_HI_8) - k * LN2_LO_8
    p = E13
    p = p * r + E12
    p = p * r + E11
    p = p * r + E10
    p = p * r + E9
    p = p * r + E8
    p = p * r + E7
    p = p * r + E6
    p = p * r + E5
    p = p * r + E4
    p = p * r + E3
    p = p * r + E2
    p = p * r + 1.0
    p = p * r + 1.0
    y = i8(f8(p).view(i8) + (f8(t).view(i8) << i8(52))).view(f8)
    y = 0.0 if x < -708.39 else y
    return np.inf if x > 709.4 else y


# log: the classic series in s = f/(2 + f), with f = mantissa - 1 in [sqrt(1/2) - 1, sqrt(2) - 1]
LG1, LG2, LG3, LG4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
LG5, LG6, LG7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
LH1, LH2, LH3, LH4 = f4(0.66666662693), f4(0.40000972152), f4(0.28498786688), f4(0.24279078841)
SQRT_HALF_4, SQRT_HALF_8 = i4(0x3F3504F3), i8(0x3FE6A09E667F3BCD)
EXPONENT_4, EXPONENT_8 = i4(-(1 << 23)), i8(-(1 << 52))
LN2_LOW_4 = f4(9.0580006145e-06)
LN2_HIGH_4 = f4(6.9313812256e-01)
TINY_4, TINY_8 = f4(1.1754944e-38), 2.2250738585072014e-308
LIFT_4, LIFT_8 = f4(2.0**24), 2.0**54


@inner
def log_f4(x: Any) -> Any:
    small = x < TINY_4
    z = x * LIFT_4 if small else x
    bits = f4(z).view(i4)
    t = i4(bits - SQRT_HALF_4)
    k = f4(i4(t >> i4(23)))
    f = i4(bits - i4(t & EXPONENT_4)).view(f4) - f4(1.0)
    h = f4(0.5) * f * f
    s = f / (f4(2.0) + f)
    w = s * s
    series = w * (LH1 + w * (LH2 + w * (LH3 + w * LH4)))
    k = k - f4(24.0) if small else k
    y = k * LN2_HIGH_4 - ((h - (s * (h + series) + k * LN2_LOW_4)) - f)
    y = x if x == INF_4 else y
    return y if x > f4(0.0) else (-INF_4 if x == f4(0.0) else f4(np.nan))


@inner
def log_f8(x: Any) -> Any:
    small = x < TINY_8
    z = x * LIFT_8 if small else x
    bits = f8(z).view(i8)
    t = bits - SQRT_HALF_8
    k = f8(i4(t >> i8(52)))
    f = i8(bits - (t & EXPONENT_8)).view(f8) - 1.0
    h = 0.5 * f * f
    s = f / (2.0 + f)
    w = s * s
    series = w * (LG1 + w * (LG2 + w * (LG3 + w * (LG4 + w * (LG5 + w * (LG6 + w * LG7))))))
    k = k - 54.0 if small else k
    y = k * LN2_HI_8 - ((h - (s * (h + series) + k * LN2_LO_8)) - f)
    y = x if x == np.inf else y
    return y if x > 0.0 else (-np.inf if x == 0.0 else np.nan)


def exp(x: Any) -> Any:
    """e^x: exactly 0 below the normal range, inf above it, NaN for NaN."""
    return math.exp(x)


def log(x: Any) -> Any:
    """Natural logarithm; log(0) = -inf."""
    return math.log(x)


@overload(exp, strict=False, jit_options={"fastmath": FASTMATH, "error_model": "numpy"})
def _exp(x: Any) -> Any:
    if x == types.float32:
        return lambda x: exp_f4(x)
    return lambda x: exp_f8(x)


@overload(log, strict=False, jit_options={"fastmath": FASTMATH, "error_model": "numpy"})
def _log(x: Any) -> Any:
    if x == types.float32:
        return lambda x: log_f4(x)
    return lambda x: log_f8(x)


#: What the name `math` means inside an operator's functions when they are compiled for the CPU.
LANE_MATH = ModuleType("dagdp.kernels.scalar.LANE_MATH")
LANE_MATH.__dict__.update(
    {name: getattr(math, name) for name in dir(math) if not name.startswith("_")}, exp=exp, log=log
)
