"""`dagdp.graphs.ctc_loss`, value and gradient in logits, beside torch's native loss of one signature.

Usage: python tests/bench/bench_ctc.py [--quick] [--write] [case ...]

T=100 frames, 32 items, 30 classes, float32, one thread. Everybody starts from logits [T, 32, 30] and ends with their
gradient, log_softmax included. What a call makes of targets and lengths is counted.

one batch   20 labels an item and 100 frames, the batch of every call.
new batch   each call has other targets, of 15 to 20 labels, and other lengths, of 80 to 100 frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from harness import Table, Turns, main, threads
from torch import Tensor

from dagdp.graphs import ctc_loss

T, B, C, L, GOAL = 100, 32, 30, 20, 2.0
Batch = tuple[Tensor, Tensor, Tensor]  # targets [B, L], frames [B], labels [B]


def full() -> Batch:
    """Targets of L labels and items of T frames."""
    return torch.randint(1, C, (B, L)), torch.full((B,), T), torch.full((B,), L)


def ragged() -> Batch:
    """Targets and lengths by chance; the longest item is as long as the arrays."""
    frames, labels = torch.randint(80, T + 1, (B,)), torch.randint(15, L + 1, (B,))
    frames[0], labels[0] = T, L
    return torch.randint(1, C, (B, L)), frames, labels


def step(
    logits: Tensor, batches: list[Batch], loss: Callable[..., Tensor], **how: Any
) -> Callable[[], tuple[Any, ...]]:
    """A call that gives (losses [B], the gradient of their sum) of the next batch; the first call has the first."""
    turn = itertools.cycle(batches)

    def call() -> tuple[Any, ...]:
        leaf = logits.detach().requires_grad_()
        value = loss(leaf.log_softmax(-1), *next(turn), reduction="none", **how)
        return value, torch.autograd.grad(value.sum(), leaf)[0]

    return call


def measure(turns: Turns) -> Iterator[Table]:
    """One row for a batch that stays, and one for batches that change."""
    torch.manual_seed(0)
    logits = torch.randn(T, B, C)
    names = ("ours", "native", "torch backend")
    table = Table(("targets and lengths", "ours ms", "torch ctc_loss ms", "torch backend ms", "ctc_loss / ours"))
    for name, batches in {"one batch": [full()], "new batch": [ragged() for _ in range(50)]}.items():
        if not turns.chosen(name):
            continue
        calls = {
            "ours": step(logits, batches, ctc_loss, threads=1),
            "native": step(logits, batches, torch.nn.functional.ctc_loss),
            "torch backend": step(logits, batches, ctc_loss, backend="torch"),
        }
        with threads(1):
            result = turns(calls, tolerance=1e-3)
        table.add(name, *map(result.cell, names), result.ratio(goal=GOAL, against="native"))
    yield table


if __name__ == "__main__":
    main(__doc__, "ctc", measure, small=True)
