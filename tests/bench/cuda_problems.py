"""The problems of bench_cuda.py: leaves on a device, our values of them, and functions of other packages that agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from bench_soft_dtw import costs
from torch import Tensor

import dagdp
from dagdp import Graph
from dagdp.graphs import dtw_grid, dtw_value, linear_chain
from dagdp.graphs.ragged.compiled_cache import compiled

Values = Callable[..., Tensor]  # of the leaves: one value an item

CTC = """
    a[0, s] = when(s < 2, emission[0, s])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], a[t-1, s-2] + skip[s]) + emission[t, s]
    return max(a[-1, -1], a[-1, -2])
"""


class CannotError(Exception):
    """A problem that a rival does not solve; its text stands in the table."""


@dataclass
class Problem:
    """What is timed: values of the leaves, and the gradient of their sum."""

    leaves: list[Tensor]
    levels: int
    ours: Values
    rivals: dict[str, Callable[[], Values]] = field(default_factory=dict)  # imported when they are asked for

    def step(self, values: Values) -> Callable[[], tuple[Tensor, ...]]:
        """A call that gives (the sum of values, the gradient in each leaf)."""

        def call() -> tuple[Tensor, ...]:
            leaves = [leaf.detach().requires_grad_() for leaf in self.leaves]
            total = values(*leaves).sum()
            return total.detach(), *torch.autograd.grad(total, leaves)

        return call

    @property
    def least_bytes(self) -> int:
        """What every method moves: leaves are read, and gradients written."""
        return 2 * sum(leaf.numel() * leaf.element_size() for leaf in self.leaves)


def soft_dtw(device: torch.device, B: int, N: int) -> Problem:
    """[B] soft-DTW of costs [B, N, N], γ = 1."""
    theta = costs(B, N, torch.float32).to(device)

    series = theta.new_empty(B, N, 1)  # read for its lengths only

    def of_costs(loss_of: Callable[..., Any]) -> Values:
        """A loss of two series, given costs in the place of their distances."""
        holder: list[Tensor] = []
        loss = loss_of(gamma=1.0, dist_func=lambda x, y: holder[0], use_cuda=True)

        def values(leaf: Tensor) -> Tensor:
            holder[:] = [leaf]
            found: Tensor = loss(series, series)
            return found

        return values

    def maghoumi() -> Values:
        from soft_dtw_cuda import SoftDTW

        if N > 1024:
            raise CannotError("at most 1024")
        return of_costs(SoftDTW)

    def pysdtw() -> Values:
        import pysdtw

        return of_costs(pysdtw.SoftDTW)

    def ddtw() -> Values:
        from ddtw.ddtw import dDTW

        loss = dDTW(gamma=1.0, normalization="none", backend="cuda_cpp", dtype_float=torch.float32)
        return lambda leaf: B * loss(C=leaf)  # it hands back the mean over the batch

    levels = compiled(dtw_grid, N, N).num_levels
    return Problem([theta], levels, dtw_value, {"Maghoumi": maghoumi, "pysdtw": pysdtw, "ddtw": ddtw})


def crf(device: torch.device, B: int, T: int, S: int) -> Problem:
    """[B] log partition functions of emissions [B, T, S] and shared transitions, starts and ends."""
    chance = torch.Generator().manual_seed(0)
    shapes = {"emission": (B, T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    leaves = [torch.randn(shape, generator=chance).to(device) for shape in shapes.values()]
    dag = dagdp.compile(linear_chain(T, S))

    def ours(*given: Tensor) -> Tensor:
        found: Tensor = dagdp.dp_value(dag, dict(zip(shapes, given, strict=True)))
        return found

    def pytorch_crf() -> Values:
        import torchcrf

        layer = torchcrf.CRF(S).to(device)
        mask = torch.ones(T, B, dtype=torch.bool, device=device)

        def values(emission: Tensor, transition: Tensor, start: Tensor, end: Tensor) -> Tensor:
            own = {"transitions": transition.T, "start_transitions": start, "end_transitions": end}  # its [from, to]
            layer._parameters.update(own)
            return layer._compute_normalizer(emission.transpose(0, 1), mask)

        return values

    return Problem(leaves, dag.num_levels, ours, {"pytorch-crf": pytorch_crf})


def ctc(device: torch.device, B: int, T: int, L: int, C: int) -> Problem:
    """[B] CTC losses of logits [B, T, C], one graph for all targets of L labels; class 0 is the blank."""
    chance = torch.Generator().manual_seed(0)
    logits = torch.randn(B, T, C, generator=chance).to(device)
    targets = torch.randint(1, C, (B, L), generator=chance)
    states = torch.zeros(B, 2 * L + 1, dtype=torch.int64)
    states[:, 1::2] = targets
    blocked = torch.zeros(B, 2 * L + 1, dtype=torch.bool)
    blocked[:, 2:] = (states[:, 2:] == 0) | (states[:, 2:] == states[:, :-2])
    skip = torch.zeros(blocked.shape).masked_fill(blocked, -torch.inf).to(device)
    where = states.to(device)[:, None].expand(B, T, 2 * L + 1)
    dag = dagdp.compile(dagdp.recurrence(CTC, t=T, s=2 * L + 1))

    def ours(leaf: Tensor) -> Tensor:
        return -dagdp.dp_value(dag, {"emission": leaf.log_softmax(-1).gather(-1, where), "skip": skip})

    def native() -> Values:
        there, times, sizes = targets.to(device), torch.full((B,), T), torch.full((B,), L)
        return lambda leaf: torch.nn.functional.ctc_loss(
            leaf.transpose(0, 1).log_softmax(-1), there, times, sizes, reduction="none"
        )

    return Problem([logits], dag.num_levels, ours, {"torch ctc_loss": native})


def lattice(levels: int, width: int, seed: int) -> Graph:
    """A start, levels of equal width, and an end; three edges lead from the level before into each node."""
    chance, place = np.random.default_rng(seed), np.arange(width)
    node = 1 + np.arange(levels * width).reshape(levels, width)
    parents, children = [np.zeros(width, np.int64)], [node[0]]
    for before, here in itertools.pairwise(node):
        for picked in (place, *chance.integers(width, size=(2, width))):  # the first leaves no node without a child
            parents.append(before[picked])
            children.append(here)
    parents.append(node[-1])
    children.append(np.full(width, levels * width + 1))
    return Graph.from_edges(np.concatenate(parents), np.concatenate(children))


def lattices(device: torch.device, count: int, levels: int, width: int) -> Problem:
    """[count] values of different lattices in one call."""
    batch = dagdp.compile_batch([lattice(levels, width, seed) for seed in range(count)])
    theta = torch.randn(int(batch.offsets[-1]), generator=torch.Generator().manual_seed(0)).to(device)
    return Problem([theta], max(dag.num_levels for dag in batch.dags), lambda leaf: dagdp.dp_value(batch, leaf))


@dataclass(frozen=True)
class Case:
    """A problem and its size."""

    make: Callable[..., Problem]
    size: tuple[int, ...]
    tiny: tuple[int, ...]  # of a dry run
    goal: float  # milliseconds on an H200, as estimated before the first measurement

    def problem(self, clock: Any, dry: bool) -> Problem:
        return self.make(clock.device, *(self.tiny if dry else self.size))


CASES = {
    "soft-DTW 64 x 512²": Case(soft_dtw, (64, 512), (2, 4), 2.0),
    "soft-DTW 32 x 2048²": Case(soft_dtw, (32, 2048), (1, 5), 25.0),
    "CRF 256 x T512 S32": Case(crf, (256, 512, 32), (2, 4, 2), 2.0),
    "CRF 64 x T1000 S128": Case(crf, (64, 1000, 128), (2, 3, 3), 6.0),
    "CTC 64 x T1000 L100 C5000": Case(ctc, (64, 1000, 100, 5000), (2, 6, 2, 4), 2.0),
    "lattices 64 x 10k arcs": Case(lattices, (64, 200, 17), (3, 4, 2), 0.5),
    "chain of 10k steps, 8 states": Case(crf, (1, 10_000, 8), (1, 5, 2), 5.0),
}
