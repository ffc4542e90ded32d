"""Alignments of two short sequences, listed one by one: what the families of alignment are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import numpy as np

Steps = tuple[tuple[str, int, int], ...]  # (P, X or Y, and the cell behind the step)
DOWN, RIGHT = {"P": 1, "X": 1, "Y": 0}, {"P": 1, "X": 0, "Y": 1}


def walks(i: int, j: int, n: int, m: int) -> Iterator[Steps]:
    """Every walk from (i, j) to any cell up to (n, m), with none, one or more steps."""
    yield ()
    for step in "PXY":
        down, right = i + DOWN[step], j + RIGHT[step]
        if down <= n and right <= m:
            for rest in walks(down, right, n, m):
                yield ((step, down, right), *rest)


def alignments(n: int, m: int, mode: str, band: int | None = None) -> Iterator[Steps]:
    """Every alignment of a mode. A walk of no steps at cell (i, j) is listed as () once for each such cell."""
    starts = {
        "global": [(0, 0)],
        "local": [(i, j) for i in range(n + 1) for j in range(m + 1)],
        "semiglobal": [(0, j) for j in range(m + 1)],
        "overlap": [(0, j) for j in range(m + 1)] + [(i, 0) for i in range(1, n + 1)],
    }[mode]
    if mode == "local":
        yield ()
    for start in starts:
        for walk in walks(*start, n, m):
            cells = [start, *(cell for _, *cell in walk)]
            if band is not None and any(abs(i - j) > band for i, j in cells):
                continue
            if allowed(walk, tuple(cells[-1]), n, m, mode):
                yield walk


def allowed(walk: Steps, end: tuple[int, ...], n: int, m: int, mode: str) -> bool:
    """Whether the mode has this walk: where it ends, and that no step is paid at a free end."""
    kinds = [kind for kind, *_ in walk]
    if mode == "global":
        return end == (n, m)
    if mode == "local":
        return bool(walk) and kinds[0] == kinds[-1] == "P"
    if mode == "semiglobal":
        return end[0] == n and not any(kind == "Y" and i in (0, n) for kind, i, _ in walk)
    at_border = any((kind == "Y" and i in (0, n)) or (kind == "X" and j in (0, m)) for kind, i, j in walk)
    return (end[0] == n or end[1] == m) and not at_border


def score_of(walk: Steps, scores: np.ndarray, price: Callable[[int], float]) -> float:
    """The sum over pairs and gaps. price : of a gap, by its number of letters."""
    total = sum(float(scores[i - 1, j - 1]) for kind, i, j in walk if kind == "P")
    return total + sum(price(len(list(run))) for kind, run in groupby(kind for kind, *_ in walk) if kind != "P")


def matches(walk: Steps, n: int, m: int) -> np.ndarray:
    """[n, m] 1 where the alignment pairs two letters."""
    made = np.zeros((n, m))
    for kind, i, j in walk:
        if kind == "P":
            made[i - 1, j - 1] = 1.0
    return made


def smooth(walks: list[Steps], scores: np.ndarray, price: Callable[[int], float]) -> tuple[float, np.ndarray]:
    """(log of the sum of exp over the alignments, the expected matches)."""
    totals = np.array([score_of(walk, scores, price) for walk in walks])
    value = np.logaddexp.reduce(totals)
    return float(value), sum(np.exp(t - value) * matches(w, *scores.shape) for t, w in zip(totals, walks, strict=True))
