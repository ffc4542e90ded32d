"""Connectionist temporal classification: the loss of a batch, posteriors of classes, and forced alignment."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, HardMax, InputError, Omega, dp_grad, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.arrays import beside, is_tensor
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import check_labels, floats, integers, lengths_of, reduced
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
    losses = -dp_value(batch.dag, batch.emission(), omega, end=batch.end, **options)
    if zero_infinity:
        where = sys.modules["torch"].where if is_tensor(losses) else np.where
        losses = where(losses == np.inf, beside(np.zeros(1), losses), losses)
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
    visits = dp_grad(batch.dag, batch.emission(), omega, end=batch.end, **options)
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
    visits = dp_grad(batch.dag, batch.emission(), HardMax(), end=batch.end, **options)
    chosen = batch.classes(visits)
    best = chosen.argmax(-1)
    best[chosen.max(-1).values < 0.5 if is_tensor(chosen) else chosen.max(-1) < 0.5] = -1
    return best.reshape(np.shape(log_probs)[:-1])


class _Targets(NamedTuple):
    """Extended targets: blank, label, blank, ..., with a label slot for each blank that must stand between labels."""

    states: Numbers  # [batch, 2 * slots + 2] the class of each state; blank where an item has no state
    sizes: Numbers  # [batch] slots of each item: its labels, and its pairs of equal neighbours
    closed: Numbers  # [batch, n] states that no path may visit, first the one behind an item's last blank

    @classmethod
    def of(cls, rows: Numbers, labels: Numbers, blank: int) -> _Targets:
        """Targets [batch, S] of these lengths. Numbers behind a length are arbitrary."""
        known = np.arange(rows.shape[1]) < labels[:, None]
        equal = np.zeros(known.shape, bool)
        equal[:, 1:] = known[:, 1:] & (rows[:, 1:] == rows[:, :-1])
        before = equal.cumsum(-1, np.int64)
        slot = np.arange(rows.shape[1]) + before
        sizes = labels + equal.sum(-1)
        states = np.full((labels.size, 2 * int(sizes.max(initial=0)) + 2), blank, np.int64)
        item, k = np.nonzero(known)
        states[item, 2 * slot[item, k] + 1] = rows[item, k]
        closed = np.repeat(2 * sizes[:, None] + 1, 1 + 2 * int(equal.sum(-1).max(initial=0)), -1)
        item, k = np.nonzero(equal)
        behind, number = 2 * slot[item, k], 2 * before[item, k]
        closed[item, number - 1], closed[item, number] = behind - 2, behind
        return cls(states, sizes, closed)


class _Batch(NamedTuple):
    """Items on the graph of `ctc_for_any_target`, which may be larger than their data."""

    dag: CompiledDAG
    log_probs: Any  # [T, batch, C]
    frames: Numbers  # [batch]
    labels: Numbers  # [batch]
    targets: _Targets

    @property
    def own(self) -> tuple[int, int]:
        """Frames and states of the data."""
        return self.log_probs.shape[0], self.targets.states.shape[1]

    @property
    def end(self) -> Numbers:
        """[batch] the node where each item ends: the state behind both ends, or the only end.

        An item without labels ends at a blank. An item with a frame for each slot and no more ends at the last label.
        """
        sizes = self.targets.sizes
        tight, behind = self.frames == sizes, (sizes > 0) & (self.frames > 0)
        frame = np.where(behind & ~tight, self.frames, np.maximum(self.frames - 1, 0))
        state = np.where(behind, 2 * sizes + np.where(tight, -1, 1), 0)
        nodes: Numbers = self.dag.cell("a", frame, state)
        return np.where(self.frames + sizes > 0, nodes, 0)  # node 0 is the start: a path without edges

    def walls(self) -> tuple[Numbers, NDArray[np.float64]]:
        """(states [batch, n], their emission [batch, T, n]): -inf in closed states, and in others before the end.

        An item with labels and no frame ends in its first state, which is closed, so that the item is infeasible.
        """
        closed, last = self.targets.closed, 2 * self.targets.sizes[:, None] + 1
        early = np.arange(self.own[0]) < np.maximum(self.frames, 1)[:, None]
        emission = np.where(early[..., None] | (closed != last)[:, None], -np.inf, 0.0)
        lost = (self.labels > 0) & (self.frames == 0)
        return np.where(lost[:, None], 0, closed), emission

    def emission(self) -> Any:
        """The potential of the graph: log-probabilities gathered by state, and walls."""
        T, B, _ = self.log_probs.shape
        states, (closed, walls) = self.targets.states, self.walls()
        if is_tensor(self.log_probs):
            places = self._tensor(states)[:, None].expand(B, *self.own)
            made = self.log_probs.transpose(0, 1).gather(-1, places)
            made = made.scatter(-1, self._tensor(closed)[:, None].expand(B, T, -1), beside(walls, made))
        else:
            made = np.take_along_axis(self.log_probs.transpose(1, 0, 2), states[:, None], -1)
            np.put_along_axis(made, closed[:, None], walls, -1)
        return padded(made, self.own, self.dag.potentials[0].shape)

    def classes(self, visits: Any) -> Any:
        """[T, batch, C] sums over the states of a class, of [batch, frames of the graph, states of the graph]."""
        T, B, C = self.log_probs.shape
        states = self.targets.states
        inside = np.arange(T) < self.frames[:, None]  # the frame behind the last holds the item's end
        kept = visits[corner(self.own)] * beside(inside[..., None], visits)
        if is_tensor(visits):
            places = self._tensor(states)[:, None].expand(B, *self.own)
            return visits.new_zeros(B, T, C).scatter_add(-1, places, kept).transpose(0, 1)
        place = np.arange(B * T).reshape(B, T, 1) * C + states[:, None]
        made = np.bincount(place.ravel(), kept.ravel(), B * T * C)
        return made.astype(visits.dtype).reshape(B, T, C).transpose(1, 0, 2)

    def _tensor(self, numbers: Numbers) -> Any:
        return sys.modules["torch"].as_tensor(numbers, device=self.log_probs.device)


def _batch_of(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> _Batch:
    """The items and their graph, checked."""
    given = floats(log_probs)
    if given.ndim not in (2, 3) or given.shape[0] == 0:
        shape = tuple(given.shape)
        raise InputError(f"log_probs has shape {shape}; expected [T, batch, C], or [T, C] of one item, with T > 0")
    rows = integers(targets, "targets")
    if given.ndim == 2:
        given, rows = given[:, None], rows.reshape(1, -1)
    T, B, C = given.shape
    if not 0 <= blank < C:
        raise InputError(f"blank={blank!r}; expected a class, 0 to {C - 1}")
    frames = lengths_of(input_lengths, B, 0, T, "input_lengths")
    rows, labels = _rows(rows, target_lengths, B)
    check_labels(rows, labels, blank, C)
    extended = _Targets.of(rows, labels, blank)
    slots = extended.states.shape[1] // 2 - 1
    dag = compiled(ctc_for_any_target, T, max(slots, 1), axes=2, edges=6)
    return _Batch(dag, given, frames, labels, extended)


def _rows(targets: Numbers, target_lengths: Any, items: int) -> tuple[Numbers, Numbers]:
    """(targets [items, S], their lengths [items]) of such targets, or of all labels one after another."""
    if targets.ndim == 2 and targets.shape[0] == items:
        return targets, lengths_of(target_lengths, items, 0, targets.shape[1], "target_lengths")
    labels = lengths_of(target_lengths, items, 0, targets.size, "target_lengths")
    if targets.ndim != 1 or labels.sum() != targets.size:
        raise InputError(
            f"targets has shape {targets.shape} and target_lengths sum to {labels.sum()}; expected [{items}, S], or "
            "all labels one after another"
        )
    rows = np.zeros((items, int(labels.max(initial=0))), np.int64)
    rows[np.arange(rows.shape[1]) < labels[:, None]] = targets
    return rows, labels
