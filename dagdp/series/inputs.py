"""Sets of series of several lengths as one padded array with lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError
from dagdp.array_kinds import is_tensor, plain_array

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


class SeriesSet(NamedTuple):
    """Series padded to the longest."""

    values: Numbers  # [n, N, d], 0 behind the end of a series
    lengths: Counts  # [n] entries of each series, at least 1

    def __len__(self) -> int:
        return int(self.lengths.size)

    def take(self, index: Any) -> SeriesSet:
        """The series at these places."""
        return SeriesSet(self.values[index], self.lengths[index])

    def one(self, k: int) -> Numbers:
        """Series k alone: [n_k, d]."""
        return self.values[k, : self.lengths[k]]


def series_set(series: Any, lengths: Any = None, what: str = "series") -> SeriesSet:
    """Series as one padded float64 array with lengths.

    series : a list of arrays [n_k] or [n_k, d], or an array [n, N] or [n, N, d] whose rows may end in NaN.
    lengths : [n] entries of each row of an array, in place of NaN; numbers behind a length are never read.

    Raises InputError for an empty set, an empty series, series that differ in d, numbers that are not finite within a
    length, and lengths out of range; the message names the series.

    >>> series_set([[1.0, 2.0, 3.0], [4.0]]).lengths.tolist()
    [3, 1]
    >>> series_set([[1.0, 2.0, 3.0], [4.0, np.nan, np.nan]]).lengths.tolist()
    [3, 1]
    """
    if isinstance(series, list | tuple):
        values, found = _of_list(series, what)
    else:
        values, found = _of_array(series, what), None
    if not len(values):
        raise InputError(f"{what} is empty, shape {values.shape}; expected one series or more")
    if lengths is not None:
        found = _checked(lengths, values, what)
    elif found is None:
        found = _ends(values, what)
    inside = np.arange(values.shape[1]) < found[:, None]
    bad = inside & ~np.isfinite(values).all(-1)
    if bad.any():
        k, t = (int(place) for place in np.argwhere(bad)[0])
        raise InputError(
            f"{what}[{k}] has {values[k, t].tolist()} at entry {t}, before its end {found[k]}; expected finite "
            "numbers, and NaN only behind the end of a series"
        )
    return SeriesSet(np.where(inside[..., None], values, 0.0), found)


def weights_of(weights: Any, n: int) -> Numbers:
    """Weights [n] of series, 1 without weights. Raises InputError unless finite, at least 0 and not all 0.

    >>> weights_of(None, 2).tolist()
    [1.0, 1.0]
    """
    if weights is None:
        return np.ones(n)
    given = _as_numbers(weights, "weights")
    if given.shape != (n,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise InputError(
            f"weights is {given.tolist()}; expected {n} finite numbers, one a series, at least 0 and not all 0"
        )
    return given


def _as_numbers(values: Any, what: str) -> Numbers:
    given = values.numpy(force=True) if is_tensor(values) else plain_array(values, what)
    if given.dtype.kind not in "fiub":
        raise InputError(f"{what} has dtype {given.dtype}; expected real numbers")
    return np.asarray(given, np.float64)


def _of_array(series: Any, what: str) -> Numbers:
    values = _as_numbers(series, what)
    if values.ndim not in (2, 3) or 0 in values.shape[1:]:
        raise InputError(
            f"{what} has shape {values.shape}; expected [n, N] or [n, N, d], without an empty axis. Of one series, "
            "pass a list of one array"
        )
    return values if values.ndim == 3 else values[..., None]


def _of_list(series: Sequence[Any], what: str) -> tuple[Numbers, Counts | None]:
    rows = [_as_numbers(one, f"{what}[{k}]") for k, one in enumerate(series)]
    for k, row in enumerate(rows):
        if row.ndim not in (1, 2) or not row.size:
            raise InputError(f"{what}[{k}] has shape {row.shape}; expected [n_k] or [n_k, d], and one entry or more")
    rows = [row if row.ndim == 2 else row[:, None] for row in rows]
    for k, row in enumerate(rows):
        if row.shape[1] != rows[0].shape[1]:
            raise InputError(
                f"{what}[{k}] has {row.shape[1]} features, and {what}[0] {rows[0].shape[1]}; expected equal d"
            )
    if not rows:
        return np.zeros((0, 1, 1)), None
    values = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), np.nan)
    for into, row in zip(values, rows, strict=True):
        into[: len(row)] = row
    return values, _ends(values, what)


def _ends(values: Numbers, what: str) -> Counts:
    """The lengths of rows that end in NaN."""
    empty: NDArray[np.bool_] = np.asarray(np.isnan(values).all(-1))
    lengths = values.shape[1] - np.argmin(empty[:, ::-1], axis=1)
    if empty.all(1).any():
        k = int(np.argmax(empty.all(1)))
        raise InputError(f"{what}[{k}] holds nothing but NaN; expected one entry or more")
    return np.asarray(lengths, np.int64)


def _checked(lengths: Any, values: Numbers, what: str) -> Counts:
    given = np.asarray(lengths)
    n, longest = values.shape[:2]
    if given.shape != (n,) or given.dtype.kind not in "iu":
        raise InputError(f"lengths has dtype {given.dtype} and shape {given.shape}; expected integers [{n}]")
    if (given < 1).any() or (given > longest).any():
        k = int(np.argmax((given < 1) | (given > longest)))
        raise InputError(f"lengths[{k}] is {given[k]}; expected 1 to {longest}, the entries of a row of {what}")
    return given.astype(np.int64)
