"""Linear-chain CRF, value and gradient in emissions and parameters, beside packages written for it.

Usage: python tests/bench/bench_crf.py [--quick] [--write] [case ...]

All take the same emissions [32, T, S], transitions, start and end scores, in float32, on one thread, and give back the
log partition function and its gradient in all four. pytorch-crf computes it as the normaliser of its loss; torch-struct
takes scores of edges [32, T-1, S, S], which torch builds from the four first; `backend="torch"` runs our graph. In the
ragged case lengths are uniform in 1 to T. "Loss" is the negative log-likelihood of given tags, a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from harness import Table, Turns, main, threads
from torch import Tensor

import dagdp
from dagdp.graphs import linear_chain
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.nn import LinearChainCRF

B, GOAL = 32, 20.0
CASES = {
    "T=50 S=9": (50, 9, False),
    "T=128 S=32": (128, 32, False),
    "T=512 S=20": (512, 20, False),
    "T=128 S=32, ragged": (128, 32, True),
}
RIVALS = ("pytorch-crf", "torch-struct", "torch backend")


@dataclass
class Problem:
    """One batch: scores, tags, and lengths where it is ragged."""

    crf: LinearChainCRF
    emission: Tensor
    tags: Tensor
    lengths: Tensor | None

    @classmethod
    def of(cls, T: int, S: int, ragged: bool) -> Problem:
        torch.manual_seed(0)
        lengths = torch.cat([torch.tensor([T]), torch.randint(1, T + 1, (B - 1,))]) if ragged else None
        return cls(LinearChainCRF(S), torch.randn(B, T, S), torch.randint(0, S, (B, T)), lengths)

    @property
    def mask(self) -> Tensor:
        T = self.emission.shape[1]
        return torch.ones(B, T, dtype=torch.bool) if self.lengths is None else torch.arange(T) < self.lengths[:, None]

    def leaves(self) -> list[Tensor]:
        """Emission, transition, start, end: fresh, requiring a gradient."""
        given = (self.emission, self.crf.transition, self.crf.start, self.crf.end)
        return [tensor.detach().requires_grad_() for tensor in given]


Value = Callable[..., Tensor]  # of emission, transition, start, end


def ours(problem: Problem, loss: bool, **how: Any) -> Value:
    crf, (T, S) = LinearChainCRF(problem.emission.shape[2]), problem.emission.shape[1:]
    dag = compiled(linear_chain, T, S, problem.lengths is not None)
    end = None if problem.lengths is None else T * S + problem.lengths

    def value(emission: Tensor, transition: Tensor, start: Tensor, last: Tensor) -> Tensor:
        theta = {"emission": emission, "transition": transition, "start": start, "end": last}
        total = dagdp.dp_value(dag, theta, end=end, **how)
        if loss:
            crf._parameters.update(transition=transition, start=start, end=last)
            total = total - crf.score(emission, problem.tags, problem.lengths)
        return total

    return value


def pytorch_crf(problem: Problem, loss: bool) -> Value:
    import torchcrf

    crf, mask = torchcrf.CRF(problem.emission.shape[2], batch_first=True), problem.mask

    def value(emission: Tensor, transition: Tensor, start: Tensor, end: Tensor) -> Tensor:
        for name, tensor in (("transitions", transition.T), ("start_transitions", start), ("end_transitions", end)):
            crf._parameters[name] = tensor  # its own layout is [from, to]
        if loss:
            return -crf(emission, problem.tags, mask=mask, reduction="none")
        return crf._compute_normalizer(emission.transpose(0, 1), mask.transpose(0, 1))

    return value


def torch_struct(problem: Problem, loss: bool) -> Value:
    import torch_struct

    T, S = problem.emission.shape[1:]
    lengths = torch.full((B,), T) if problem.lengths is None else problem.lengths
    rows = torch.arange(B)

    def value(emission: Tensor, transition: Tensor, start: Tensor, end: Tensor) -> Tensor:
        edges = emission[:, 1:, :, None] + transition
        edges = torch.cat([edges[:, :1] + (emission[:, 0] + start)[:, None, None], edges[:, 1:]], 1)
        final = torch.zeros_like(edges).index_put((rows, lengths - 2), end[:, None].expand(B, S, S))
        crf = torch_struct.LinearChainCRF(edges + final, lengths=lengths)
        if not loss:
            return crf.partition
        return -crf.log_prob(
            torch_struct.LinearChainCRF.struct.to_parts(problem.tags, S, lengths=lengths).type_as(edges)
        )

    return value


def step(problem: Problem, make: Callable[[], Value]) -> Callable[[], tuple[Any, ...]]:
    """A call that gives (the sum of values, the four gradients). The rival is imported at the first call."""
    made: list[Value] = []

    def call() -> tuple[Any, ...]:
        made[:] = made or [make()]
        leaves = problem.leaves()
        total = made[0](*leaves).sum()
        return total, *torch.autograd.grad(total, leaves)

    return call


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case and question."""
    names = ("ours", *RIVALS)
    table = Table(("batch of 32", "question", *(f"{name} ms" for name in names), "best rival / ours"))
    for name, size in CASES.items():
        for question in ("log partition", "loss") if turns.chosen(name) else ():
            problem, loss = Problem.of(*size), question == "loss"
            calls = {
                "ours": step(problem, lambda p=problem, x=loss: ours(p, x, threads=1)),
                "pytorch-crf": step(problem, lambda p=problem, x=loss: pytorch_crf(p, x)),
                "torch-struct": step(problem, lambda p=problem, x=loss: torch_struct(p, x)),
                "torch backend": step(problem, lambda p=problem, x=loss: ours(p, x, backend="torch")),
            }
            with threads(1):
                result = turns(calls, tolerance=1e-2)
            goal = GOAL if question == "log partition" else None
            table.add(name, question, *map(result.cell, names), result.ratio("ours", goal))
    yield table


if __name__ == "__main__":
    main(__doc__, "crf", measure, small=True)
