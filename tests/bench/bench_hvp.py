"""How much the custom Hessian product gains over automatic differentiation (the paper's section 2.4: 12x on CPU).

Usage: python tests/bench/bench_hvp.py [--repetitions N] [--dtype float32] [--size T B S]

The rival is `backend="torch"`: the same recursion in torch operations, level by level, differentiated twice by
autograd. Both run on one thread, turn by turn, on a trellis; each figure is a median. Two questions:

whole     dp_jvp_and_hvp from theta and z to the product;
backward  a layer's backward pass, as in training through the expected path: E = dp_grad(theta) is there already, and
          the time is that of backpropagating z through it. The rival keeps its graph from the forward pass; ours
          keeps theta and recomputes.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import dagdp
from dagdp import CompiledDAG, HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.graphs import trellis

PAPER = 12  # section 2.4, on CPU
SIDES: list[dict[str, Any]] = [{"threads": 1}, {"backend": "torch"}]  # ours, the rival
OPERATORS: list[Omega] = [HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5), Tsallis(2.0)]


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def backward(dag: CompiledDAG, theta: torch.Tensor, z: torch.Tensor, omega: Omega, how: dict[str, Any]) -> float:
    """Time to backpropagate z through E, which is made before the clock starts."""
    leaf = theta.clone().requires_grad_()
    E = dagdp.dp_grad(dag, leaf, omega, **how)
    if not E.requires_grad:  # HardMax by autograd: a constant, nothing to do
        return 0.0
    return seconds(lambda: torch.autograd.grad(E, leaf, z, allow_unused=True))


def whole(dag: CompiledDAG, theta: torch.Tensor, z: torch.Tensor, omega: Omega, how: dict[str, Any]) -> float:
    """Time of the Hessian product from nothing."""
    return seconds(lambda: dagdp.dp_hvp(dag, theta, z, omega, **how))


def main() -> None:
    """Print a table, one row an operator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--size", type=int, nargs=3, default=[100, 32, 16], metavar=("T", "B", "S"))
    options = parser.parse_args()
    T, B, S = options.size
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dag = dagdp.compile(trellis(T, S))
    theta, z = (torch.randn(B, T, S, S, dtype=getattr(torch, options.dtype)) for _ in range(2))
    print(f"trellis T={T}, S={S}, batch {B}, {options.dtype}, 1 thread, medians of {options.repetitions} interleaved;")
    print(f"torch {torch.__version__}, Python {platform.python_version()}; the paper reports {PAPER}x on CPU\n")
    print("| operator | whole: ours ms | autograd ms | ratio | backward: ours ms | autograd ms | ratio | paper |")
    print("|---|---|---|---|---|---|---|---|")
    for omega in OPERATORS:
        cells = []
        for question in (whole, backward):
            times: list[list[float]] = [[] for _ in SIDES]
            for how in SIDES:
                question(dag, theta, z, omega, how)  # compiles, or builds the plan
            for _ in range(options.repetitions):
                for how, taken in zip(SIDES, times, strict=True):
                    taken.append(question(dag, theta, z, omega, how))
            ours, rival = (1e3 * statistics.median(taken) for taken in times)
            cells += [f"{ours:.2f}", f"{rival:.2f}", f"{rival / ours:.1f}x"] if rival else [f"{ours:.2f}", "none", "-"]
        print(f"| {omega!r} | {' | '.join(cells)} | {PAPER}x |", flush=True)


if __name__ == "__main__":
    main()
