"""Alignments of frames with notes, from the frames in which notes begin, and the inverse.

An alignment is an array [*batch, N_A, N_B]: N_A frames of a recording, N_B notes of a score, 1 where note j sounds in
frame i. Onsets [*batch, N_B] are frame numbers, one for each note, that never decrease.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import InputError

Array = np.ndarray[Any, Any]


def alignment_from_onsets(onsets: Any, num_frames: int) -> Any:
    """Y [*batch, num_frames, N_B]: each frame belongs to the last note that has begun, so every row has one entry 1.

    float64 for arrays, float32 on their device for tensors. Where several notes begin in one frame the last note gets
    the frame, and the other notes get a column of zeros: two ones in a row would count twice in
    `dagdp.nn.alignment_area`, in every column behind them.

    onsets : integers [*batch, N_B], the frame in which each note begins. The first note begins in frame 0, as an
        alignment pairs the first frame with the first note; onsets never decrease and are below `num_frames`. For
        onsets in seconds: `np.rint(seconds / frame_length).astype(int)` gives each frame to the note in its middle.
    num_frames : the number of frames, at least 1.

    Raises InputError (shape, no integers, wrong order or range).

    >>> alignment_from_onsets([0, 1, 3], 4).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    frames = _plain(onsets)
    if frames.ndim < 1 or frames.shape[-1] == 0 or frames.dtype.kind not in "iu":
        raise InputError(
            f"onsets have shape {frames.shape} and type {frames.dtype}; expected integers [*batch, N_B], frame numbers "
            "with one note or more: round seconds / frame length"
        )
    if isinstance(num_frames, bool) or not isinstance(num_frames, int | np.integer) or num_frames < 1:
        raise InputError(f"num_frames is {num_frames!r}; expected an integer >= 1")
    _check_order(frames, int(num_frames))
    begun = frames[..., None, :] <= np.arange(num_frames)[:, None]
    last = begun.sum(-1) - 1  # [*batch, num_frames]
    Y = (last[..., None] == np.arange(frames.shape[-1])).astype(np.float64)
    return onsets.float().new_tensor(Y) if hasattr(onsets, "new_tensor") else Y


def onsets_from_alignment(Y: Any) -> Any:
    """Onsets int64 [*batch, N_B]: the first frame that visits note j or a later note.

    The inverse of `alignment_from_onsets`, also where several notes begin in one frame. For a hard DTW path the onset
    is the frame in which the path enters the note. Arrays give arrays, tensors give tensors.

    Y : [*batch, N_A, N_B], a hard alignment of 0 and 1 (from `alignment_from_onsets`, or `dtw_grad(theta, HardMax())`),
        or an expected alignment. Frame i visits note j or a later note if Y[i, j:] sums to 1/2 or more: in an expected
        alignment the sum is the expected number of these cells on the path.

    Raises InputError (shape, NaN or negative entries, a first frame that visits no note, a last note never reached).

    >>> onsets_from_alignment([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]).tolist()
    [0, 1, 1]
    """
    cells = _plain(Y)
    if cells.ndim < 2 or 0 in cells.shape[-2:] or cells.dtype.kind not in "biuf":
        raise InputError(f"Y has shape {cells.shape} and type {cells.dtype}; expected numbers [*batch, N_A, N_B]")
    cells = cells.astype(np.float64)
    if not (cells >= 0).all():
        raise InputError("Y has entries that are negative or NaN; expected an alignment, probabilities of cells")
    visited = np.flip(np.flip(cells, -1).cumsum(-1), -1) >= 0.5  # [*batch, N_A, N_B]
    if not visited[..., 0, 0].all():
        raise InputError("the first frame of Y visits no note; expected its entries to sum to 1/2 or more")
    if not visited[..., -1].any(-1).all():
        raise InputError("Y never reaches the last note; expected an entry of 1/2 or more in the last column")
    onsets = np.maximum.accumulate(visited.argmax(-2), -1).astype(np.int64)
    return Y.detach().long().new_tensor(onsets) if hasattr(Y, "new_tensor") else onsets


def _plain(values: Any) -> Array:
    """The values as a NumPy array, without the derivative of a tensor."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _check_order(frames: Array, num_frames: int) -> None:
    if (frames[..., 0] != 0).any():
        raise InputError(
            f"the first onset is frame {frames[..., 0].tolist()}; expected 0, as an alignment pairs the first frame "
            "with the first note: cut the frames before it, or set it to 0"
        )
    if (np.diff(frames.astype(np.int64), axis=-1) < 0).any():
        raise InputError(f"onsets decrease along the notes: {frames.tolist()}; expected them sorted")
    if frames.max() >= num_frames:
        raise InputError(f"the last onset is frame {int(frames.max())}; expected it below num_frames = {num_frames}")
