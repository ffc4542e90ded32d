"""Pairwise alignment of sequences: `dp_*` on the graphs of `dagdp.graphs.alignment`, scores to be maximised.

Modes, of a first sequence of N letters and a second of M letters:

global : both sequences from end to end. A gap has its price everywhere.
local : a part of each sequence. A local alignment begins and ends with a pair of letters, or is empty with score 0.
semiglobal : the first sequence from end to end, and any part of the second. The letters of the second sequence before
    and behind this part cost nothing.
overlap : gaps at the ends of both sequences cost nothing. An alignment without any pair has score 0 where it leaves
    one sequence after the other.

A gap of n letters adds gap_open + (n-1)·gap_extend, and n·gap_open where gap_extend is None. A gap in one sequence may
follow a gap in the other directly, in both orders, as in biopython and parasail. Under a smooth operator the two orders
are two alignments.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dagdp import HardMax, InputError, Omega, dp_grad, dp_hvp, dp_value
from dagdp.cuda import through_torch
from dagdp.graphs.ragged.pairs import pair_graph


class AlignmentGradient(NamedTuple):
    """The gradient of `align_value` by each of its arguments."""

    scores: Any  #: [*batch, N, M] the probability that two letters are paired
    gap_open: Any  #: shaped like gap_open: the expected number of gaps, or of letters in gaps if gap_extend is None
    gap_extend: Any  #: shaped like gap_extend: the expected number of further letters in gaps; None if it is None


@through_torch
def align_value(
    scores: Any,
    gap_open: Any,
    gap_extend: Any = None,
    omega: Omega | None = None,
    mode: str = "global",
    lengths: Any = None,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The smoothed highest score of an alignment: [*batch] in the unit and dtype of scores.

    scores : [*batch, N, M], the score of each pair of letters; -inf forbids a pair.
    gap_open, gap_extend : scores of the first letter of a gap and of each further one, so usually negative; any number,
        and -inf forbids. gap_extend=None: as gap_open (linear gaps). A number; an array [*batch], one for each item; or
        an array [*batch, N, M] or [N, M], one for each cell. A step that leaves letter i of the first sequence alone
        reads cell [i, j], where j is the last letter of the second sequence before the step, and 0 if there is none; a
        step that leaves letter j of the second sequence alone reads [i, j] with i the last letter of the first.
    omega : default Negentropy(1.0). gamma is in the unit of scores.
    mode : "global", "local", "semiglobal" or "overlap": see `dagdp.graphs.pairwise`.
    lengths : (n, m), each an integer or integers [*batch]: the corner [n, m] of scores is the item. Entries outside
        the corner are never read and may hold NaN. The axes of lengths and the leading axes of scores broadcast.
    on_infeasible, threads, backend : as in `dagdp.dp_value`.

    Where scores or a price of gaps are tensors the result is a tensor, differentiable by all of them.

    Raises InputError (shape, dtype, NaN or +inf, lengths out of range), GraphError (mode).

    >>> import numpy as np
    >>> float(align_value(np.array([[2.0, -1.0, -1.0], [-1.0, -1.0, 2.0]]), -3.0, -1.0, HardMax()))
    1.0
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    graph = pair_graph(scores, _gaps(gap_open, gap_extend), mode, lengths)
    return dp_value(graph.dag, graph.theta(), omega, end=graph.end, **options)


@through_torch
def align_grad(
    scores: Any,
    gap_open: Any,
    gap_extend: Any = None,
    omega: Omega | None = None,
    mode: str = "global",
    lengths: Any = None,
    *,
    gaps: bool = False,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The expected matches [*batch, N, M]: the probability that two letters are paired, in [0, 1].

    0 outside the corner of an item. The gradient of `align_value` by scores, in their dtype.

    gaps : True returns an `AlignmentGradient` (scores, gap_open, gap_extend), with the gradients by the prices of gaps:
        summed over the batch for a number.

    Other parameters and errors are those of `align_value`.

    >>> import numpy as np
    >>> align_grad(np.array([[2.0, -1.0, -1.0], [-1.0, -1.0, 2.0]]), -3.0, -1.0, HardMax()).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    graph = pair_graph(scores, _gaps(gap_open, gap_extend), mode, lengths)
    made = dp_grad(graph.dag, graph.theta(), omega, end=graph.end, **options)
    matches = graph.result(made)
    if not gaps:
        return matches
    return AlignmentGradient(matches, *graph.gap_gradients(made))


@through_torch
def align_hvp(
    scores: Any,
    z: Any,
    gap_open: Any,
    gap_extend: Any = None,
    omega: Omega | None = None,
    mode: str = "global",
    lengths: Any = None,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The product of the Hessian by scores and a direction: [*batch, N, M] in the dtype of scores.

    z : a direction [N, M], or directions [*batch, N, M], finite. Prices of gaps are held constant. Other parameters and
        errors are those of `align_value`.

    >>> import numpy as np
    >>> (align_hvp(np.zeros((1, 1)), np.ones((1, 1)), 0.0).round(4) + 0.0).tolist()
    [[0.2222]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    graph = pair_graph(scores, _gaps(gap_open, gap_extend), mode, lengths, tuple(np.shape(z)[:-2]))
    theta = graph.theta()
    made = dp_hvp(graph.dag, theta, graph.direction(z, theta), omega, end=graph.end, **options)
    return graph.result(made)


@through_torch
def align_path(
    scores: Any,
    gap_open: Any,
    gap_extend: Any = None,
    mode: str = "global",
    lengths: Any = None,
    *,
    on_infeasible: str = "value",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """The pairs (i, j) of a best alignment: int64 [*batch, min(N, M), 2], padded with rows of -1.

    A tensor where scores are a tensor. Among equal scores a pair is preferred to a letter of the first sequence alone,
    and that to a letter of the second; an empty local alignment to any other. `alignment_text` draws the alignment.
    Parameters and errors are those of `align_value`.

    >>> import numpy as np
    >>> align_path(np.array([[2.0, -1.0, -1.0], [-1.0, -1.0, 2.0]]), -3.0, -1.0).tolist()
    [[0, 0], [1, 2]]
    """
    options: dict[str, Any] = {"on_infeasible": on_infeasible, "threads": threads, "backend": backend}
    visited = align_grad(scores, gap_open, gap_extend, HardMax(), mode, lengths, **options) > 0.5
    *batch, N, M = visited.shape
    is_array = isinstance(visited, np.ndarray)
    flat = np.asarray(visited if is_array else visited.cpu()).reshape(-1, N * M)
    pairs = np.full((flat.shape[0], min(N, M), 2), -1, np.int64)
    item, cell = np.nonzero(flat)  # row-major order is path order: both indices grow along a path
    counts = np.bincount(item, minlength=flat.shape[0])
    step = np.arange(item.size) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs[item, step] = np.stack(np.divmod(cell, M), -1)
    pairs = pairs.reshape(*batch, min(N, M), 2)
    return pairs if is_array else visited.long().new_tensor(pairs)


def alignment_text(a: Sequence[Any], b: Sequence[Any], pairs: Any, width: int = 60) -> str:
    """A picture of an alignment in lines of text: a, marks, b; wrapped, with an empty line between blocks.

    A mark is | between equal letters, . between others, and - at a gap, as biopython prints them. Letters before the
    first pair and behind the last one have no mark: in global mode they are gaps, in other modes they may be free. A
    letter of a that stands alone comes before a letter of b that stands alone.

    a, b : strings, or sequences of letters.
    pairs : index pairs [L, 2] of one item, the result of `align_path`; rows of -1 are left out.
    width : columns of a block.

    Raises InputError for pairs that are out of range, or do not rise.

    >>> print(alignment_text("GATTACA", "TTCA", [[2, 0], [3, 1], [5, 2], [6, 3], [-1, -1]]))
    GATTACA
      ||-||
    --TT-CA
    """
    known = np.asarray(pairs.cpu() if hasattr(pairs, "cpu") else pairs).reshape(-1, 2)
    known = known[known[:, 0] >= 0]
    stops = np.concatenate([np.full((1, 2), -1), known, [[len(a), len(b)]]])
    if (np.diff(stops, axis=0) < 1).any():
        raise InputError(
            f"pairs are {known.tolist()}; expected pairs (i, j) that rise, with i below {len(a)} and j below {len(b)}"
        )
    columns: list[tuple[str, str, str]] = []
    for k, ((i, j), (next_i, next_j)) in enumerate(itertools.pairwise(stops.tolist())):
        mark = "-" if 0 < k < len(known) else " "
        columns += [(str(letter), mark, "-") for letter in a[i + 1 : next_i]]
        columns += [("-", mark, str(letter)) for letter in b[j + 1 : next_j]]
        if k < len(known):
            one, other = str(a[next_i]), str(b[next_j])
            columns.append((one, "|" if one == other else ".", other))
    blocks = [columns[start : start + width] for start in range(0, len(columns), width)]
    return "\n\n".join("\n".join(map("".join, zip(*block, strict=True))) for block in blocks)


def _gaps(gap_open: Any, gap_extend: Any) -> tuple[Any, ...]:
    return (gap_open,) if gap_extend is None else (gap_open, gap_extend)
