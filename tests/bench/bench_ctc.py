"""CTC as a graph of one's own, value and gradient in logits, beside torch's native loss.

Usage: python tests/bench/bench_ctc.py [--quick] [--write] [case ...]

T=100 steps, 32 items, 30 classes, targets of 20 labels that differ from item to item, float32, one thread. Everybody
starts from logits and ends with their gradient, log_softmax included. Ours is written in the two ways a user would:

one graph      states are positions in the target, so one graph serves every target of 20 labels: what is emitted is
               gathered by torch, and a skip between equal labels is forbidden by -inf in a potential of its own.
32 graphs      each item's own graph as in docs/recurrences.md, which has the skips that it may take, and reads
               log-probabilities by class; one call an item.
compile_batch  the same 32 graphs in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from harness import Table, Turns, main, threads
from torch import Tensor

import dagdp
from dagdp import CompiledDAG, Graph

T, B, C, L, GOAL = 100, 32, 30, 20, 2.0


def ladder(skips: np.ndarray, emitted: tuple[int, ...], index: Callable[..., np.ndarray], weighed: bool) -> Graph:
    """The CTC graph over T steps and the states blank, label 1, blank, ...

    skips : states that may be entered from two states before. emitted, index : the shape of the potential of
        emissions, and which of its entries state s reads at step t. weighed : whether skips have a potential.
    """
    states = 2 * L + 1
    at = 1 + np.arange(T * states).reshape(T, states)
    end = 1 + T * states
    state = np.arange(states)
    first = state[:2]
    parents, children, entries, skipped = [np.zeros(2, int)], [at[0, :2]], [index(0, first)], [np.full(2, -1)]
    for back, into in ((0, state), (1, state[1:]), (2, skips)):
        t, s = (a.ravel() for a in np.meshgrid(np.arange(1, T), into, indexing="ij"))
        parents.append(at[t - 1, s - back])
        children.append(at[t, s])
        entries.append(index(t, s))
        skipped.append(s if back == 2 else np.full(s.size, -1))
    parents.append(at[-1, -2:])
    children.append(np.full(2, end))
    entries.append(np.full(2, -1))
    skipped.append(np.full(2, -1))
    potentials = {"emission": (emitted, np.concatenate(entries))}
    if weighed:
        potentials["skip"] = (states,), np.concatenate(skipped)
    given = np.concatenate(parents), np.concatenate(children)
    return Graph.from_edges(*given, potentials=potentials, starts=[0], ends=[end])


def spelled(targets: Tensor) -> Tensor:
    """The class of each state, blank being 0: [..., 2L+1]."""
    states = targets.new_zeros(*targets.shape[:-1], 2 * L + 1)
    states[..., 1::2] = targets
    return states


def shared_ladder() -> CompiledDAG:
    """The graph whose emissions [T, states] are read by state: one for all targets of L labels."""
    states = 2 * L + 1
    return dagdp.compile(ladder(np.arange(3, states, 2), (T, states), lambda t, s: t * states + s, True))


def forbidden(targets: Tensor) -> Tensor:
    """The potential "skip" [B, states]: -inf where a label equals the one before."""
    skip = torch.zeros(len(targets), 2 * L + 1)
    skip[:, 3::2] = torch.where(targets[:, 1:] == targets[:, :-1], -torch.inf, 0.0)
    return skip


def one_graph(targets: Tensor) -> Callable[..., Tensor]:
    dag, skip = shared_ladder(), forbidden(targets)
    where = spelled(targets)[:, None].expand(B, T, 2 * L + 1)

    def losses(logits: Tensor, **how: Any) -> Tensor:
        emission = logits.log_softmax(-1).gather(-1, where)
        return -dagdp.dp_value(dag, {"emission": emission, "skip": skip}, **how)

    return losses


def own_graphs(targets: Tensor) -> list[Graph]:
    graphs = []
    for row in spelled(targets).numpy():
        odd = np.arange(3, 2 * L + 1, 2)
        graphs.append(ladder(odd[row[odd] != row[odd - 2]], (T, C), lambda t, s, row=row: t * C + row[s], False))
    return graphs


def many_graphs(targets: Tensor) -> Callable[..., Tensor]:
    dags = [dagdp.compile(graph) for graph in own_graphs(targets)]

    def losses(logits: Tensor, **how: Any) -> Tensor:
        rows = zip(dags, logits.log_softmax(-1), strict=True)
        return torch.stack([-dagdp.dp_value(dag, {"emission": row}, **how) for dag, row in rows])

    return losses


def side_by_side(targets: Tensor) -> Callable[..., Tensor]:
    batch = dagdp.compile_batch(own_graphs(targets))

    def losses(logits: Tensor, **how: Any) -> Tensor:
        return -dagdp.dp_value(batch, {"emission": logits.log_softmax(-1).flatten()}, **how)

    return losses


def native(targets: Tensor) -> Callable[..., Tensor]:
    times, sizes = torch.full((B,), T), torch.full((B,), L)
    return lambda logits: torch.nn.functional.ctc_loss(
        logits.transpose(0, 1).log_softmax(-1), targets, times, sizes, reduction="none"
    )


def step(logits: Tensor, losses: Callable[..., Tensor], **how: Any) -> Callable[[], tuple[Any, ...]]:
    """A call that gives (losses [B], the gradient of their sum)."""

    def call() -> tuple[Any, ...]:
        leaf = logits.detach().requires_grad_()
        value = losses(leaf, **how)
        return value, torch.autograd.grad(value.sum(), leaf)[0]

    return call


def measure(turns: Turns) -> Iterator[Table]:
    """One row a way to write it."""
    torch.manual_seed(0)
    logits, targets = torch.randn(B, T, C), torch.randint(1, C, (B, L))
    names = ("ours", "ctc_loss", "torch backend")
    table = Table(("written as", "ours ms", "torch ctc_loss ms", "torch backend ms", "ctc_loss / ours"))
    ways = {"one graph": one_graph, "32 graphs": many_graphs, "compile_batch": side_by_side}
    for name, way in ways.items():
        if not turns.chosen(name):
            continue
        losses = way(targets)
        calls = {
            "ours": step(logits, losses, threads=1),
            "ctc_loss": step(logits, native(targets)),
        }
        if name != "compile_batch":  # which is for the compiled kernels
            calls["torch backend"] = step(logits, losses, backend="torch")
        with threads(1):
            result = turns(calls, tolerance=1e-3)
        table.add(name, *map(result.cell, names), result.ratio(goal=GOAL, against="ctc_loss"))
    yield table


if __name__ == "__main__":
    main(__doc__, "ctc", measure, small=True)
