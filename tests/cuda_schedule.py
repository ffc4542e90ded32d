"""The smallest CUDA schedule over the package's own text of a row: one thread a row, edges in a loop.

Run as a script it solves rows on the device, or in the simulator under NUMBA_ENABLE_CUDASIM=1, and prints the
largest difference from the float64 reference. It shows that operators, recursion and the row's solvers need no second
text on CUDA.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda
from scalar_row import bound, rebound, row_of, solve, splat

from dagdp.kernels.recursion import argument, difference, flow, join, node_value, rejoined
from dagdp.kernels.row_max import finish_solution, weight_at
from dagdp.lanes.operators import first_only


def solve_rows(omega, theta, parents, values, weights):
    """values[r] = max_Ω(theta[r] + parents[r]), weights[r] its gradient, the weights made anew from v and κ."""
    r = cuda.grid(1)
    if r < theta.shape[0]:
        depth = theta.shape[1]
        row, m_hi, m_lo = row_of(omega, theta, parents, theta, r)
        found, kappa = solve(omega, row, depth)
        turn, shift, kappa = finish_solution(omega, found, kappa)
        v_hi, v_lo = node_value(splat(theta, 0.0), m_hi, m_lo, -shift, kappa, omega.gamma)
        values[r] = v_hi
        if first_only(omega):
            kappa = turn
        for d in range(depth):
            hi, lo = join(*difference(parents[r, d], v_hi), theta[r, d])
            y = rejoined(hi, lo, splat(theta, 0.0), v_lo, row.rate)
            q, _ = weight_at(omega, argument(omega, y, splat(theta, d), kappa))
            weights[r, d] = flow(q, splat(theta, 1.0))


NO_DEVICE = 77  # exit status, the one by which test harnesses know a skip


def largest_error() -> float:
    """Largest error over operators and dtypes, each in its own units of precision."""
    from cases import OPERATORS

    from dagdp.reference import max_omega

    rng, worst = np.random.default_rng(0), 0.0
    for dtype in (np.float32, np.float64):
        kernel = cuda.jit(rebound(solve_rows, dtype, {**globals(), **bound(dtype, wrap=cuda.jit(device=True))}))
        for omega in OPERATORS:
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
