"""Monotonic alignment search: which text position each frame of speech belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import HardMax, InputError, Omega, dp_grad
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import pair_of_lengths
from dagdp.graphs.ragged.padding import cut, may_pad, padded, sizes
from dagdp.graphs.sequences import monotonic_alignment as alignment_graph

BEST = HardMax()


@through_torch
def monotonic_alignment(
    scores: Any,
    lengths: Any = None,
    omega: Omega = BEST,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The alignment of text and frames with the highest sum of scores: [*batch, text, frames] of 0 and 1.

    Each text position takes at least one frame, each frame belongs to one position, and both are in order: the
    `maximum_path` of Glow-TTS (Kim et al., 2020, algorithm 1), ties included. An item with fewer frames than positions
    has no alignment, and a matrix of zeros.

    scores : [*batch, text, frames], for example log-likelihoods of frames under the prior of a text position; -inf
        forbids a cell.
    lengths : (text, frames) of the items, each an integer or integers [*batch]. Scores outside this corner are never
        read and may hold NaN; the alignment is 0 there.
    omega : default HardMax(). With another operator the result is the expected alignment: the probability of each
        cell, differentiable once in scores.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Raises InputError (shape, dtype, NaN or +inf, lengths out of range).

    >>> import numpy as np
    >>> monotonic_alignment(np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0]])).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    shape = np.shape(scores)
    if len(shape) < 2:
        raise InputError(f"scores has shape {shape}; expected [*batch, text, frames]")
    own = sizes(scores, 2)
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (text, frames), each a number or an array [*batch]")
    ends = own if lengths is None else lengths
    text, frames = pair_of_lengths(ends, own, tuple(shape[:-2]))
    dag = compiled(alignment_graph, *own, True, axes=2 if may_pad(scores) else 0, grown=(True,), edges=2)
    theta, end = padded(scores, own, dag.potentials[0].shape, "scores"), dag.cell("v", text - 1, frames - 1)
    return cut(dp_grad(dag, theta, omega, end=end, **options), own)
