"""The package's kernel in Numba's CUDA simulator: threads of the operating system, and Numba's own barriers.

Run as a script under NUMBA_ENABLE_CUDASIM=1, it prints the largest difference from the float64 reference, in units of
the tolerance. The simulator reads a kernel's arguments as Numba does, which the interpreter of the other tests does
not; it finds no race.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda

import dagdp
from dagdp.graphs import dtw_grid, linear_chain
from dagdp.kernels.cuda.compilation.points import entry_name, names_of, static_names, texts
from dagdp.kernels.cuda.compilation.specialise import specialised
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.records import Arrays, State
from dagdp.kernels.cuda.schedule import Given, Passes, launch_of, state_names

SHARED_LIMIT = 48 << 10
THREADS = 8  # of a block; the simulator makes a thread of the operating system for each


def solved(dag, theta, omega, passes):
    """(values [batch], gradient [batch, entries]) of one launch with a block for each item."""
    plan, (batch, entries), real = device_plan(dag), theta.shape, theta.dtype.type
    launch = launch_of(plan, passes, real, batch, Given(minimize=dag.minimize), SHARED_LIMIT)
    variant = launch.variant._replace(warp=False)
    data = omega.data(real)
    names = names_of(type(data), real, np.dtype(real), cuda, wrap=cuda.jit(device=True))
    names |= {"BAND": THREADS, "BAND_BITS": THREADS.bit_length() - 1}
    made = specialised(texts(), names, static_names(variant, type(data)), "block", lambda text: text)
    nothing = np.zeros(1, real)
    arrays = Arrays(
        plan=plan.plan,
        table=plan.table.reshape(-1),
        starts=plan.plan,
        ends=plan.plan,
        theta=theta.reshape(-1),
        z=nothing,
        values=np.full(batch, np.nan, real),
        slopes=nothing,
        gradient=np.full(batch * entries, np.nan, real),
        path=plan.plan,
        fault=np.zeros(1, np.int32),
    )
    kept = state_names(variant, omega)
    state = State(*(np.full(batch * plan.nodes, np.nan, real) if name in kept else nothing for name in State._fields))
    cuda.jit(made[entry_name(variant)])[batch, THREADS, 0, launch.shared_bytes](data, launch.call, arrays, state)
    return arrays.values, arrays.gradient.reshape(batch, entries)


def largest_error():
    """Over a grid and a chain, an operator of each solver, and both real types."""
    rng, worst = np.random.default_rng(0), 0.0
    for graph in (dtw_grid(4, 3), linear_chain(3, 2)):
        dag = dagdp.compile(graph)
        for omega in (dagdp.HardMax(), dagdp.Negentropy(0.7), dagdp.SquaredL2(0.5)):
            real, tolerance = (np.float32, 3e-5) if omega.solver != "newton" else (np.float64, 1e-11)
            blocks = {p.name: rng.normal(size=(2, *p.shape)).astype(real) for p in dag.potentials}
            theta = np.concatenate([block.reshape(2, -1) for block in blocks.values()], 1)
            value, gradient = dagdp.reference.dp_value_and_grad(dag, blocks.get(None, blocks), omega)
            parts = gradient.values() if isinstance(gradient, dict) else [gradient]
            values, found = solved(dag, theta, omega, Passes.GRADIENT)
            errors = np.abs(values - value), np.abs(found - np.concatenate([p.reshape(2, -1) for p in parts], 1))
            worst = max([worst, *(float(error.max()) / tolerance for error in errors)])
    return worst


if __name__ == "__main__":
    worst = largest_error()
    sys.stdout.write(f"{worst}\n")
    raise SystemExit(not worst <= 1.0)  # NaN, too, is a failure
