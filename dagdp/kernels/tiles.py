"""Loops over lanes. A lane is one (node, sample); a tile is fan-in x lanes of edges into them.

Each loop is short and touches few arrays, all one-dimensional: such loops vectorise whole, while LLVM
gives up where it would have to prove many arrays distinct. Formulas are in recursion.py.
A tile's edges lie slot by slot: slot d holds the d-th edge of every node that has one, and nodes stand
in the order of falling fan-in, so a slot's lanes are the first `width[d]` lanes of the tile.
"""

from __future__ import annotations

from typing import Any

from numba.extending import overload

from dagdp.kernels.jit import OPTIONS, inlined, inner
from dagdp.kernels.recursion import (
    argument,
    centre,
    curvature,
    energy,
    enter,
    exceeds,
    newton_step,
    node_value,
    scaled,
    weight,
)
from dagdp.kernels.scalar import log
from dagdp.kernels.vectors import part


@inner
def fill(array: Any, value: Any) -> None:
    for w in range(array.shape[0]):
        array[w] = value


@inner
def enter_edges(x_hi: Any, x_lo: Any, theta: Any) -> None:
    for w in range(theta.shape[0]):
        x_hi[w], x_lo[w] = enter(theta[w], x_hi[w], x_lo[w])


@inner
def keep_larger(m_hi: Any, m_lo: Any, x_hi: Any, x_lo: Any) -> None:
    for w in range(x_hi.shape[0]):
        larger = exceeds(x_hi[w], x_lo[w], m_hi[w], m_lo[w])
        m_hi[w] = x_hi[w] if larger else m_hi[w]
        m_lo[w] = x_lo[w] if larger else m_lo[w]


@inner
def scale(x_hi: Any, x_lo: Any, m_hi: Any, m_lo: Any, rate: Any) -> None:
    """x becomes y, in place of its high part."""
    for w in range(x_hi.shape[0]):
        x_hi[w] = scaled(x_hi[w], x_lo[w], m_hi[w], m_lo[w], rate)


@inner
def add_weights(omega: Any, total: Any, y: Any, shift: Any) -> None:
    for w in range(y.shape[0]):
        total[w] += weight(omega, y[w] + shift[w])


@inner
def add_weights_and_slopes(omega: Any, total: Any, slope: Any, y: Any, shift: Any) -> None:
    """In one loop: an operator's functions share their logarithms."""
    for w in range(y.shape[0]):
        u = y[w] + shift[w]
        total[w] += weight(omega, u)
        slope[w] += curvature(omega, u)


@inner
def add_energies(omega: Any, total: Any, y: Any, shift: Any) -> None:
    for w in range(y.shape[0]):
        total[w] += energy(omega, y[w] + shift[w])


@inner
def climb(shift: Any, total: Any, slope: Any, tolerance: Any) -> int:
    """One Newton step in every lane; how many lanes moved by more than rounding."""
    moving = 0
    for w in range(shift.shape[0]):
        step = newton_step(total[w], slope[w])
        shift[w] -= step
        moving += 1 if step > tolerance else 0
    return moving


@inner
def take_log(shift: Any, total: Any) -> None:
    for w in range(shift.shape[0]):
        shift[w] -= log(total[w])


@inner
def take_first(shift: Any, y: Any, slot: Any, zero: Any) -> None:
    for w in range(y.shape[0]):
        shift[w] = slot if (y[w] == zero) & (shift[w] < zero) else shift[w]


# A solver leaves in `shift` what turns y into link's argument (-a, or HardMax's chosen slot) and in
# `kappa` the sum of ω*. `spare` is scratch, `width[d]` the number of lanes of slot d, `pitch` its stride.


@inlined
def solve_newton(
    omega: Any, y: Any, pitch: int, width: Any, shift: Any, kappa: Any, spare: Any, tolerance: Any
) -> None:
    zero = y.dtype.type(0)
    fill(shift, omega.corner)
    depth = width.shape[0]
    for _ in range(depth + 64):
        fill(kappa, zero)
        fill(spare, zero)
        for d in range(depth):
            n = width[d]
            row, at = part(y, d * pitch, n), part(shift, 0, n)
            add_weights_and_slopes(omega, part(kappa, 0, n), part(spare, 0, n), row, at)
        if climb(shift, kappa, spare, tolerance) == 0:
            break
    fill(kappa, zero)
    for d in range(depth):
        add_energies(omega, part(kappa, 0, width[d]), part(y, d * pitch, width[d]), part(shift, 0, width[d]))


@inlined
def solve_exponential(
    omega: Any, y: Any, pitch: int, width: Any, shift: Any, kappa: Any, spare: Any, tolerance: Any
) -> None:
    real = y.dtype.type
    fill(shift, omega.corner)
    fill(spare, real(0))
    for d in range(width.shape[0]):
        n = width[d]
        add_weights(omega, part(spare, 0, n), part(y, d * pitch, n), part(shift, 0, n))
    take_log(shift, spare)
    fill(kappa, real(1))  # the conjugate is the link, and the links sum to 1


@inlined
def solve_first(omega: Any, y: Any, pitch: int, width: Any, shift: Any, kappa: Any, spare: Any, tolerance: Any) -> None:
    real = y.dtype.type
    fill(shift, real(-1))
    for d in range(width.shape[0]):
        take_first(part(shift, 0, width[d]), part(y, d * pitch, width[d]), real(d), real(0))
    fill(kappa, real(0))


def solve(omega, y, pitch, width, shift, kappa, spare, tolerance):  # type: ignore[no-untyped-def]
    """The solver that the operator names, chosen when the kernel is compiled."""
    raise AssertionError("only called from compiled code")


SOLVERS = {"newton": solve_newton, "exponential": solve_exponential, "first": solve_first}


@overload(solve, strict=False, jit_options={**OPTIONS, "forceinline": True})
def _solve(omega, y, pitch, width, shift, kappa, spare, tolerance):  # type: ignore[no-untyped-def]
    solver = SOLVERS[omega.instance_class.omega.solver]
    return lambda omega, y, pitch, width, shift, kappa, spare, tolerance: solver(
        omega, y, pitch, width, shift, kappa, spare, tolerance
    )


@inner
def set_values(v_hi: Any, v_lo: Any, own: Any, m_hi: Any, m_lo: Any, shift: Any, kappa: Any, gamma: Any) -> None:
    """v, with the hoisted potentials `own`, which may lie where v_hi goes."""
    for w in range(v_hi.shape[0]):
        v_hi[w], v_lo[w] = node_value(own[w], m_hi[w], m_lo[w], -shift[w], kappa[w], gamma)


@inner
def set_maxima(v_hi: Any, v_lo: Any, own: Any, m_hi: Any, m_lo: Any) -> None:
    """v under HardMax, whose shift is a slot and no part of the value."""
    zero = v_hi.dtype.type(0)
    for w in range(v_hi.shape[0]):
        v_hi[w], v_lo[w] = node_value(own[w], m_hi[w], m_lo[w], zero, zero, zero)


@inner
def weigh(omega: Any, y: Any, s: Any, slot: Any, shift: Any) -> None:
    """y becomes q, and s the curvatures."""
    for w in range(y.shape[0]):
        u = argument(omega, y[w], slot, shift[w])
        y[w] = weight(omega, u)
        s[w] = curvature(omega, u)


@inner
def add_products(total: Any, q: Any, x_dot: Any) -> None:
    for w in range(q.shape[0]):
        total[w] += q[w] * x_dot[w]


@inner
def set_centres(c: Any, s: Any) -> None:
    for w in range(c.shape[0]):
        c[w] = centre(c[w], s[w])
