"""Connectionist temporal classification: the loss of a batch, posteriors of classes, and forced alignment."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import floats, integers, is_tensor, lengths_of, like, reduced
from dagdp.graphs.ragged.padding import corner, padded
from dagdp.graphs.sequences import ctc_for_any_target

Numbers = NDArray[np.int64]


@through_torch
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    omega: Omega | None = None,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """-log p(target) of each item, as `torch.nn.functional.ctc_loss`: [batch], or reduced; twice differentiable.

    log_probs : [T, batch, C] log-probabilities of C classes at T frames, or [T, C] of one item. Frames behind an item's
        length are never read and may hold NaN.
    targets : [batch, S] labels, behind an item's length anything; or all labels one after another, [sum of lengths].
    input_lengths, target_lengths : [batch] the numbers of frames and of labels of each item, 0 included.
    blank : the class between labels.
    reduction : "none"; "sum"; or "mean": each loss is divided by the number of labels, at least 1, then averaged.
    zero_infinity : 0 in place of the infinite loss of a target that does not fit into the frames. Its gradient is 0
        in either case.
    omega : default Negentropy(1.0), the loss of the literature. HardMax(): minus the score of the best alignment.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    The gradient by log_probs is minus `ctc_marginals`. The gradient that torch returns has exp(log_probs) added, which
    the backward pass of log_softmax removes: gradients by logits are equal.

    Raises InputError (shapes, lengths and labels out of range, NaN or +inf, reduction).

    >>> import numpy as np
    >>> round(float(ctc_loss(np.full((3, 1, 2), np.log(0.5)), [[1]], [3], [1])), 4)  # 6 of 8 strings collapse to [1]
    0.2877
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    batch = _batch_of(log_probs, targets, input_lengths, target_lengths, blank)
    losses = -dp_value(batch.dag, batch.theta(), omega, end=batch.end, **options)
    if zero_infinity:
        where = sys.modules["torch"].where if is_tensor(losses) else np.where
        losses = where(losses == np.inf, like(np.zeros(1), losses), losses)
    losses = losses if np.ndim(log_probs) == 3 else losses[0]
    return reduced(losses, np.maximum(batch.labels, 1), reduction)


@through_torch
def ctc_marginals(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    omega: Omega | None = None,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The expected alignment: the probability of each class at each frame, given the target, shaped like log_probs.

    A frame sums to 1, or to 0 behind an item's length and where the target does not fit. Differentiable once in
    log_probs. Parameters and errors are those of `ctc_loss`.

    >>> import numpy as np
    >>> ctc_marginals(np.full((3, 1, 2), np.log(0.5)), [[1]], [3], [1]).round(3)[:, 0].tolist()
    [[0.5, 0.5], [0.333, 0.667], [0.5, 0.5]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    batch = _batch_of(log_probs, targets, input_lengths, target_lengths, blank)
    visits = dp_grad(batch.dag, batch.theta(), omega, end=batch.end, **options)["emission"]
    return batch.classes(visits).reshape(np.shape(log_probs))


@through_torch
def ctc_path(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Forced alignment: the class of each frame on the best alignment with the target, int64 [T, batch] or [T].

    -1 behind an item's length, and for a target that does not fit. A tensor where log_probs is a tensor. Parameters and
    errors are those of `ctc_loss`.

    >>> import numpy as np
    >>> ctc_path(np.log([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), [1, 1], 3, 2).tolist()
    [1, 0, 1]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    batch = _batch_of(log_probs, targets, input_lengths, target_lengths, blank)
    visits = dp_grad(batch.dag, batch.theta(), HardMax(), end=batch.end, **options)["emission"]
    chosen = batch.classes(visits)
    best = chosen.argmax(-1)
    best[chosen.max(-1).values < 0.5 if is_tensor(chosen) else chosen.max(-1) < 0.5] = -1
    return best.reshape(np.shape(log_probs)[:-1])


class _Batch(NamedTuple):
    """Items on the graph of `ctc_for_any_target`, which may be larger than their data."""

    dag: CompiledDAG
    log_probs: Any  # [T, batch, C]
    states: Numbers  # [batch, 2S + 2] the class of each state; blank where an item has no state
    frames: Numbers  # [batch]
    labels: Numbers  # [batch]

    @property
    def end(self) -> Numbers:
        """[batch] the node where each item ends: the state behind both ends, or the only end.

        An item without labels ends at a blank. An item with a frame for each step that it needs and no more ends at the
        last label.
        """
        row = self.states[:, 1:-1:2]
        known = np.arange(1, row.shape[1]) < self.labels[:, None]
        tight = self.frames == self.labels + ((row[:, 1:] == row[:, :-1]) & known).sum(-1)
        behind = (self.labels > 0) & (self.frames > 0)
        frame = np.where(behind & ~tight, self.frames, np.maximum(self.frames - 1, 0))
        state = np.where(behind, 2 * self.labels + np.where(tight, -1, 1), 0)
        nodes: Numbers = self.dag.cell("a", frame, state)
        return np.where(self.frames + self.labels > 0, nodes, 0)  # node 0 is the start: a path without edges

    def walls(self) -> tuple[Numbers, NDArray[np.float64]]:
        """A state of each item [batch], and its emission [batch, T]: -inf before the item's end.

        The state is the one behind the last blank. For an item with labels and no frame it is the first state, where
        this item ends, so that the item is infeasible.
        """
        state = np.where((self.labels > 0) & (self.frames == 0), 0, 2 * self.labels + 1)
        before = np.arange(self.log_probs.shape[0]) < np.maximum(self.frames, 1)[:, None]
        return state, np.where(before, -np.inf, 0.0)

    def theta(self) -> dict[str, Any]:
        """The potentials of the graph: log-probabilities gathered by state, and which skips are allowed."""
        T, B, _ = self.log_probs.shape
        own = T, self.states.shape[1]
        shape = self.dag.potentials[0].shape
        skip = np.full((B, shape[1]), -np.inf)
        skip[:, 3 : own[1] : 2] = np.where(self.states[:, 3::2] == self.states[:, 1:-2:2], -np.inf, 0.0)
        state, wall = self.walls()
        if not is_tensor(self.log_probs):
            emission = np.take_along_axis(self.log_probs.transpose(1, 0, 2), self.states[:, None], -1)
            emission[np.arange(B), :, state] = wall
            return {"emission": padded(emission, own, shape), "skip": skip.astype(emission.dtype)}
        states, state = (self._tensor(numbers)[:, None] for numbers in (self.states, state))
        emission = self.log_probs.transpose(0, 1).gather(-1, states.expand(B, *own))
        emission = emission.scatter_(-1, state[..., None].expand(B, T, 1), like(wall, emission)[..., None])
        return {"emission": padded(emission, own, shape), "skip": like(skip, emission)}

    def classes(self, visits: Any) -> Any:
        """[T, batch, C] sums over the states of a class, of [batch, frames of the graph, states of the graph]."""
        T, B, C = self.log_probs.shape
        own = T, self.states.shape[1]
        inside = np.arange(T) < self.frames[:, None]  # the frame behind the last holds the item's end
        if not is_tensor(visits):
            kept = np.where(inside[..., None], visits[corner(own)], 0.0)
            place = np.arange(B * T).reshape(B, T, 1) * C + self.states[:, None]
            made = np.bincount(place.ravel(), kept.ravel(), B * T * C)
            return made.astype(visits.dtype).reshape(B, T, C).transpose(1, 0, 2)
        kept = visits[corner(own)] * like(inside, visits)[..., None]
        place = self._tensor(self.states)[:, None].expand(B, *own)
        return visits.new_zeros(B, T, C).scatter_add(-1, place, kept).transpose(0, 1)

    def _tensor(self, numbers: Numbers) -> Any:
        return sys.modules["torch"].as_tensor(numbers, device=self.log_probs.device)


def _batch_of(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> _Batch:
    """The items and their graph, checked."""
    given = floats(log_probs)
    if given.ndim not in (2, 3):
        raise InputError(f"log_probs has shape {tuple(given.shape)}; expected [T, batch, C], or [T, C] of one item")
    given = given if given.ndim == 3 else given[:, None]
    T, B, C = given.shape
    if not 0 <= blank < C:
        raise InputError(f"blank={blank!r}; expected a class, 0 to {C - 1}")
    frames = lengths_of(input_lengths, B, 0, T, "input_lengths")
    rows, labels = _rows(integers(targets, "targets"), target_lengths, given.ndim - np.ndim(log_probs), B)
    known = np.arange(rows.shape[1]) < labels[:, None]
    wrong = known & ((rows < 0) | (rows >= C) | (rows == blank))
    if wrong.any():
        b, k = (int(place) for place in np.argwhere(wrong)[0])
        raise InputError(f"label {k} of item {b} is {rows[b, k]}; expected 0 to {C - 1} without the blank {blank}")
    states = np.full((B, 2 * rows.shape[1] + 2), blank)
    states[:, 1:-1:2] = np.where(known, rows, blank)
    dag = compiled(ctc_for_any_target, max(T, 1), max(rows.shape[1], 1), axes=2, edges=6)
    return _Batch(dag, given, states, frames, labels)


def _rows(targets: Numbers, target_lengths: Any, one: int, items: int) -> tuple[Numbers, Numbers]:
    """(targets [items, S], their lengths [items]); numbers behind an item's length are arbitrary.

    one : whether targets are those of one item, and may then be one row.
    """
    if targets.ndim == 2 or one:
        rows = targets.reshape(items, -1) if targets.size or not one else targets.reshape(items, 0)
        return rows, lengths_of(target_lengths, items, 0, rows.shape[1], "target_lengths")
    labels = lengths_of(target_lengths, items, 0, targets.size, "target_lengths")
    if targets.ndim != 1 or labels.sum() != targets.size:
        raise InputError(
            f"targets has shape {targets.shape} and target_lengths sum to {labels.sum()}; expected [{items}, S], or "
            "all labels one after another"
        )
    rows = np.zeros((items, int(labels.max(initial=0))), np.int64)
    rows[np.arange(rows.shape[1]) < labels[:, None]] = targets
    return rows, labels
