"""Soft-DTW, value and gradient from a cost matrix, beside packages written for it.

Usage: python tests/bench/bench_soft_dtw.py [--quick] [--write] [case ...]

Rivals take the same cost tensor through their own functions: tslearn's and pysdtw's losses (Numba, parallel over the
batch), ddtw's cpu_numba backend, and `backend="torch"`, on one thread only: its operations are many and small, and
torch's threads wait for each other. Ours is timed through torch, as they are, and from NumPy.
Costs are squared distances of two series of normal noise with two features; gamma = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from harness import Table, Turns, main, threads
from torch import Tensor

import dagdp
from dagdp.graphs import dtw_grid, dtw_value
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.nn.costs import squared_euclidean

CASES = {"32 x 128²": (32, 128), "32 x 512²": (32, 512), "8 x 200²": (8, 200), "1 x 2048²": (1, 2048)}
GOALS = {torch.float32: 10.0, torch.float64: 5.0}
RIVALS = ("tslearn", "pysdtw", "ddtw", "torch backend")


def costs(B: int, N: int, dtype: torch.dtype) -> Tensor:
    """[B, N, N]."""
    x, y = (torch.randn(B, N, 2, dtype=torch.float64, generator=torch.manual_seed(seed)) for seed in (0, 1))
    return squared_euclidean(x, y).to(dtype)


def tslearn(theta: Tensor) -> Callable[[Tensor], Tensor]:
    from tslearn.metrics import SoftDTWLossPyTorch

    loss = SoftDTWLossPyTorch(gamma=1.0, dist_func=lambda x, y: x)
    return lambda leaf: loss(leaf, leaf)


def pysdtw(theta: Tensor) -> Callable[[Tensor], Tensor]:
    import pysdtw

    shape = torch.empty(*theta.shape[:2], 1)  # read for its lengths only
    holder: list[Tensor] = []
    loss = pysdtw.SoftDTW(gamma=1.0, dist_func=lambda x, y: holder[0], use_cuda=False)

    def value(leaf: Tensor) -> Tensor:
        holder[:] = [leaf]
        return loss(shape, shape)

    return value


def ddtw(theta: Tensor) -> Callable[[Tensor], Tensor]:
    from ddtw.ddtw import dDTW

    loss = dDTW(gamma=1.0, normalization="none", backend="cpu_numba", dtype_float=theta.dtype)
    return lambda leaf: len(leaf) * loss(C=leaf)  # it hands back the mean over the batch


def unrolled(theta: Tensor) -> Callable[[Tensor], Tensor]:
    dag = compiled(dtw_grid, *theta.shape[1:])
    return lambda leaf: dagdp.dp_value(dag, leaf, minimize=True, backend="torch")


def step(theta: Tensor, make: Callable[[Tensor], Callable[[Tensor], Tensor]]) -> Callable[[], tuple[Any, ...]]:
    """A call that gives (the sum of values, the gradient). The rival is imported at the first call."""
    made: list[Callable[[Tensor], Tensor]] = []

    def call() -> tuple[Any, ...]:
        made[:] = made or [make(theta)]
        leaf = theta.detach().requires_grad_()
        total = made[0](leaf).sum()
        return total, torch.autograd.grad(total, leaf)[0]

    return call


def compare(turns: Turns, theta: Tensor, count: int) -> Any:
    """All of them on `count` threads each."""
    dag, array = compiled(dtw_grid, *theta.shape[1:]), theta.numpy()

    def numpy() -> tuple[Any, ...]:
        value, E = dagdp.dp_value_and_grad(dag, array, minimize=True, threads=count)
        return value.sum(), E

    calls = {
        "ours": step(theta, lambda _: lambda leaf: dtw_value(leaf, threads=count)),
        "ours, NumPy": numpy,
        "tslearn": step(theta, tslearn),
        "pysdtw": step(theta, pysdtw),
        "ddtw": step(theta, ddtw),
    }
    if count == 1:
        calls["torch backend"] = step(theta, unrolled)
    with threads(count):
        return turns(calls, tolerance=1e-2)


def measure(turns: Turns) -> Iterator[Table]:
    """One row a size, type and number of threads."""
    names = ("ours", "ours, NumPy", *RIVALS)
    table = Table(("batch x N²", "dtype", "threads", *(f"{name} ms" for name in names), "best rival / ours"))
    for name, (B, N) in CASES.items():
        for dtype, goal in GOALS.items():
            for count in (1, 2) if turns.chosen(name) else ():
                result = compare(turns, costs(B, N, dtype), count)
                kind = str(dtype).removeprefix("torch.")
                table.add(name, kind, str(count), *map(result.cell, names), result.ratio("ours", goal))
    yield table


if __name__ == "__main__":
    main(__doc__, "soft-dtw", measure)
