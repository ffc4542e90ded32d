"""The smallest CUDA schedule over the package's own recursion text: one thread a row, edges in a loop.

Run as a script it solves rows on the device, or in the simulator under NUMBA_ENABLE_CUDASIM=1, and prints the
largest difference from the float64 reference. It shows that operators and recursion need no second text on CUDA.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda

from dagdp.kernels.recursion import (
    argument,
    curvature,
    difference,
    energy,
    enter,
    exceeds,
    flow,
    join,
    newton_step,
    node_value,
    rejoined,
    relative_score,
    weight,
)


def solve_rows(omega, theta, parents, values, weights):
    """values[r] = max_Ω(theta[r] + parents[r]), weights[r] its gradient, the weights made anew from v and κ."""
    r = cuda.grid(1)
    if r < theta.shape[0]:
        real = theta.dtype.type
        zero = real(0)
        rate = real(1) / omega.gamma
        m_hi, m_lo = real(-np.inf), zero
        for e in range(theta.shape[1]):
            x_hi, x_lo = enter(theta[r, e], parents[r, e], zero)
            if exceeds(x_hi, x_lo, m_hi, m_lo):
                m_hi, m_lo = x_hi, x_lo
        shift = omega.corner
        for _ in range(100):
            total, slope = zero, zero
            for e in range(theta.shape[1]):
                x_hi, x_lo = enter(theta[r, e], parents[r, e], zero)
                y = relative_score(x_hi, x_lo, m_hi, m_lo, rate)
                total += weight(omega, argument(omega, y, zero, shift))
                slope += curvature(omega, y + shift)
            shift -= newton_step(total, slope)
        kappa = zero
        for e in range(theta.shape[1]):
            x_hi, x_lo = enter(theta[r, e], parents[r, e], zero)
            kappa += energy(omega, relative_score(x_hi, x_lo, m_hi, m_lo, rate) + shift)
        v_hi, v_lo = node_value(zero, m_hi, m_lo, -shift, kappa, omega.gamma)
        values[r] = v_hi
        for e in range(theta.shape[1]):
            hi, lo = join(*difference(parents[r, e], v_hi), theta[r, e])
            y = rejoined(hi, lo, zero, v_lo, rate)
            weights[r, e] = flow(weight(omega, argument(omega, y, zero, kappa)), real(1))


NO_DEVICE = 77  # exit status, the one by which test harnesses know a skip


def largest_error() -> float:
    """Largest error over operators and dtypes, each in its own units of precision."""
    from cases import SMOOTH

    from dagdp.reference import max_omega

    rng, worst = np.random.default_rng(0), 0.0
    kernel = cuda.jit(solve_rows)
    for omega in SMOOTH:
        for dtype in (np.float32, np.float64):
            theta, parents = rng.normal(size=(2, 6, 4)).astype(dtype)
            theta[1, 2] = -np.inf
            values, weights = np.zeros(6, dtype), np.zeros((6, 4), dtype)
            kernel[1, 8](omega.data(dtype), theta, parents, values, weights)
            for r in range(6):
                value, q, _ = max_omega(list(theta[r].astype(float) + parents[r]), omega)
                error = max(abs(values[r] - value), np.abs(weights[r] - q).max())
                worst = max(worst, float(error) / (1e-5 if dtype is np.float32 else 1e-12))
    return worst


if __name__ == "__main__":
    if not cuda.is_available():
        raise SystemExit(NO_DEVICE)
    worst = largest_error()
    sys.stdout.write(f"{worst}\n")
    raise SystemExit(worst > 1.0)
