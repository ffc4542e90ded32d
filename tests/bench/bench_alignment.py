"""Global alignment of proteins with affine gaps: the score, and our value and gradient, beside parasail and biopython.

Usage: python tests/bench/bench_alignment.py [--quick] [--write] [case ...]

Pairs of random proteins, BLOSUM62, a gap of n letters costs 11 + (n-1). One thread.

ours            HardMax, float32, from an array of scores [pairs, N, M] that is gathered beforehand.
parasail        integers of 16 bits in SIMD lanes, the better of the scan and the striped form, given the strings.
biopython       PairwiseAligner.score, given the strings as arrays of letters.
value and grad  ours under Negentropy(1.0): the expected matches. No rival has them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Table, Turns, main, threads

from dagdp import HardMax, Negentropy
from dagdp.graphs import align_grad, align_value

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import parasail
    from Bio.Align import PairwiseAligner, substitution_matrices

LETTERS = "ARNDCQEGHILKMFPSTWYV"
CASES = {"32 x 256²": (32, 256), "1 x 1000²": (1, 1000)}


def proteins(count: int, length: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    return [("".join(a), "".join(b)) for a, b in rng.choice(list(LETTERS), (count, 2, length))]


def scores_of(pairs: list[tuple[str, str]]) -> np.ndarray:
    """[pairs, N, M] BLOSUM62 of each pair of letters."""
    matrix = np.array(substitution_matrices.load("BLOSUM62").select(LETTERS), np.float32)
    a, b = (np.array([[LETTERS.index(letter) for letter in pair[k]] for pair in pairs]) for k in (0, 1))
    return matrix[a[:, :, None], b[:, None, :]]


def by_parasail(pairs: list[tuple[str, str]], form: str) -> Callable[[], Any]:
    align = getattr(parasail, f"nw_{form}_16")
    return lambda: np.array([align(a, b, 11, 1, parasail.blosum62).score for a, b in pairs])


def by_biopython(pairs: list[tuple[str, str]]) -> Callable[[], Any]:
    matrix = substitution_matrices.load("BLOSUM62")
    aligner = PairwiseAligner(mode="global", open_gap_score=-11, extend_gap_score=-1)
    aligner.substitution_matrix = matrix
    return lambda: np.array([aligner.score(a, b) for a, b in pairs])


def measure(turns: Turns) -> Iterator[Table]:
    """One row a case."""
    names = ("ours", "scan", "striped", "biopython")
    head = ("pairs", "ours ms", "parasail scan ms", "parasail striped ms", "biopython ms", "best rival / ours")
    table = Table((*head, "ours, value and gradient ms"))
    for name, (count, length) in CASES.items():
        if not turns.chosen(name):
            continue
        pairs = proteins(count, length)
        scores = scores_of(pairs)
        calls = {
            "ours": lambda scores=scores: align_value(scores, -11, -1, HardMax(), threads=1),
            "scan": by_parasail(pairs, "scan"),
            "striped": by_parasail(pairs, "striped"),
            "biopython": by_biopython(pairs),
        }
        with threads(1):
            result = turns(calls, tolerance=1e-6)
            smooth = turns({"ours": lambda scores=scores: align_grad(scores, -11, -1, Negentropy(1.0), threads=1)})
        table.add(name, *map(result.cell, names), result.ratio(), smooth.cell("ours"))
    yield table


if __name__ == "__main__":
    main(__doc__, "alignment", measure)
