"""The loss of the RNN transducer, for a batch."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError, Omega, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import check_labels, floats, integers, lengths_of, reduced
from dagdp.graphs.ragged.padding import padded
from dagdp.graphs.sequences import rnnt

Numbers = NDArray[np.int64]


@through_torch
def rnnt_loss(
    logits: Any,
    targets: Any,
    logit_lengths: Any,
    target_lengths: Any,
    blank: int = -1,
    clamp: float = -1,
    reduction: str = "mean",
    fused_log_softmax: bool = True,
    *,
    omega: Omega | None = None,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """-log p(target) of each item, as `torchaudio.functional.rnnt_loss`: [*batch], or reduced; twice differentiable.

    logits : [*batch, T, U + 1, C] scores of C classes at frame t after u labels. What lies behind an item's lengths is
        never read and may hold NaN.
    targets : [*batch, U] labels; behind an item's length anything.
    logit_lengths, target_lengths : [*batch] the numbers of frames, at least 1, and of labels of each item.
    blank : the class that moves to the next frame; -1 is the last class.
    clamp : kept for its place; torchaudio cuts gradients off here, and this function refuses a positive number.
    reduction : "none", "sum", or "mean" over items.
    fused_log_softmax : False where logits are log-probabilities.
    omega : default Negentropy(1.0), the loss of the literature. HardMax(): minus the score of the best alignment. The
        last blank is added behind the recursion, so SquaredL2 and Tsallis charge the nodes of the grid alone.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shapes, lengths and labels out of range, NaN or +inf, clamp, reduction).

    >>> import numpy as np
    >>> round(float(rnnt_loss(np.zeros((1, 2, 2, 2)), [[0]], [2], [1])), 4)  # 2 alignments of 3 steps
    1.3863
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    if clamp > 0:
        raise InputError(f"clamp={clamp}; expected no limit of gradients: use torch.nn.utils.clip_grad_value_")
    given = floats(logits)
    if given.ndim < 3:
        raise InputError(f"logits has shape {tuple(given.shape)}; expected [*batch, T, U + 1, C]")
    *batch, T, U1, C = given.shape
    items = math.prod(batch)
    if not -1 <= blank < C:
        raise InputError(f"blank={blank!r}; expected a class, 0 to {C - 1}, or -1 for the last class")
    blank = blank % C
    frames = lengths_of(logit_lengths, items, 1, T, "logit_lengths")
    labels = lengths_of(target_lengths, items, 0, U1 - 1, "target_lengths")
    classes = _classes(integers(targets, "targets"), labels, (*batch, U1 - 1), (blank, C))
    inside = (np.arange(T)[:, None] < frames[:, None, None]) & (np.arange(U1) <= labels[:, None, None])
    rows = np.flatnonzero(inside)
    taken = np.stack([np.full(rows.size, blank), classes[rows // (T * U1), rows % U1]], -1)
    steps = _steps(given.reshape(-1, C), rows, taken, fused_log_softmax).reshape(items, T, U1, 2)
    dag = compiled(rnnt, T, max(U1 - 1, 1), axes=2, edges=2)
    theta = {
        "blank": padded(steps[..., 0], (T, U1), dag.potentials[0].shape),
        "label": padded(steps[:, :, :-1, 1], (T, U1 - 1), dag.potentials[1].shape),
    }
    values = dp_value(dag, theta, omega, end=dag.cell("a", frames - 1, labels), **options)
    last = steps[np.arange(items), frames - 1, labels, 0]
    return reduced(-(values + last).reshape(tuple(batch)), None, reduction)


def _classes(targets: Numbers, labels: Numbers, shape: tuple[int, ...], kinds: tuple[int, int]) -> Numbers:
    """[items, U + 1] the class of each label, 0 behind an item's labels.

    kinds : the blank, and the number of classes.
    """
    blank, C = kinds
    if targets.shape != shape:
        raise InputError(f"targets has shape {targets.shape}; expected {list(shape)}, as logits has it")
    rows = np.zeros((labels.size, shape[-1] + 1), np.int64)
    rows[:, :-1] = targets.reshape(labels.size, -1)
    check_labels(rows, labels, blank, C)
    return np.where(np.arange(rows.shape[1]) < labels[:, None], rows, 0)


def _steps(scores: Any, rows: Numbers, taken: Numbers, normalise: bool) -> Any:
    """[all rows, 2] log-probabilities of the classes `taken` [rows, 2] in these rows of scores; 0 in other rows."""
    every = rows.size == scores.shape[0]
    if is_tensor(scores):
        torch = sys.modules["torch"]
        place, classes = (torch.as_tensor(numbers, device=scores.device) for numbers in (rows, taken))
        read = scores if every else scores.index_select(0, place)
        picked = (read.log_softmax(-1) if normalise else read).gather(-1, classes)
        return picked if every else picked.new_zeros(scores.shape[0], 2).index_copy(0, place, picked)
    read = scores[rows]
    picked = np.take_along_axis(read, taken, -1)
    if normalise:
        top = read.max(-1, keepdims=True)
        picked = picked - top - np.log(np.exp(read - top).sum(-1, keepdims=True))
    made = np.zeros((scores.shape[0], 2), scores.dtype)
    made[rows] = picked
    return made
