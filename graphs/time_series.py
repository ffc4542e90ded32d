"""Alignments of time series as recurrences: step patterns, subsequences, drops, and elastic distances."""

from __future__ import annotations

from dagdp import Graph, recurrence
from dagdp.graphs.alignment_grid import positive
from dagdp.graphs.warping.grid import warping as warping

SUBSEQUENCE = """
    v[0, j] = cost[0, j]
    v[i, j] = min(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]
    return min[j](v[-1, j])
"""
DROP_DTW = """
    skip[0, 0] = 0
    skip[i, j] = min(
        skip_b[i-1, j] + drop_a[i-1],
        skip[i-1, j] + drop_a[i-1],
        skip_a[i, j-1] + drop_b[j-1],
        skip[i, j-1] + drop_b[j-1])
    skip_a[i, j] = min(match[i-1, j], skip_a[i-1, j]) + drop_a[i-1]
    skip_b[i, j] = min(match[i, j-1], skip_b[i, j-1]) + drop_b[j-1]
    match[i, j] = when(i > 0 and j > 0, min(
        match[i-1, j-1], skip_a[i-1, j-1], skip_b[i-1, j-1], skip[i-1, j-1],
        match[i-1, j], skip_a[i-1, j],
        match[i, j-1], skip_b[i, j-1]) + cost[i-1, j-1])
"""
ENDS_OF_DROP_DTW = {
    False: """
    done = min(match[-1, -1], skip_a[-1, -1], skip_b[-1, -1], skip[-1, -1])
    return done
""",
    True: """
    done[i, j] = min(match[i, j], skip_a[i, j], skip_b[i, j], skip[i, j])
    return min[i, j](done[i, j])
""",
}
EDITS = """
    v[0, 0] = 0
    v[i, j] = min(v[i-1, j-1] + match[i-1, j-1], v[i-1, j] + delete[i-1], v[i, j-1] + insert[j-1])
    return v[-1, -1]
"""
EDR = """
    v[0, 0] = 0
    v[i, j] = min(v[i-1, j-1] + match[i-1, j-1], v[i-1, j] + gap, v[i, j-1] + gap)
    return v[-1, -1]
"""
LCSS = """
    v[0, 0] = 0
    v[i, j] = max(v[i-1, j-1] + match[i-1, j-1], v[i-1, j], v[i, j-1])
    return v[-1, -1]
"""
TWE = """
    v[0, 0] = 0
    v[i, j] = min(
        when(i > 0 and j > 0, v[i-1, j-1] + match[i-1, j-1]),
        when(j > 0, v[i-1, j] + delete[i-1]),
        when(i > 0, v[i, j-1] + insert[j-1]))
    return v[-1, -1]
"""
MSM = """
    v[0, 0] = move[0, 0]
    v[i, j] = min(v[i-1, j-1] + move[i, j], v[i-1, j] + split[i, j], v[i, j-1] + merge[i, j])
    return v[-1, -1]
"""


def subsequence_dtw(N_A: int, N_B: int) -> Graph:
    """The first series matched as a whole with any part of the second: potential `cost` (N_A, N_B), minimised.

    A path begins in any column of the first row and ends in any column of the last one. Müller, Information Retrieval
    for Music and Motion (2007), section 4.4. `dagdp.graphs.dtw_subsequence` is the drop-in.

    Raises GraphError for sizes below 1.

    >>> print(subsequence_dtw(3, 9).text)
    v[0, j] = cost[0, j]
    v[i, j] = min(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]
    return min[j](v[-1, j])
    """
    positive("subsequence_dtw", N_A=N_A, N_B=N_B)
    return recurrence(SUBSEQUENCE, {"cost": (N_A, N_B)}, i=N_A, j=N_B)


def drop_dtw(N_A: int, N_B: int, ragged: bool = False) -> Graph:
    """DTW in which entries of either series may be dropped, at a price: costs, minimised.

    Potentials `cost` (N_A, N_B), `drop_a` (N_A,) and `drop_b` (N_B,). Cell (i, j) of a table stands behind i entries of
    the first and j of the second series. `match`: the last entries are matched with each other. `skip_a`, `skip_b`: an
    entry of that series was dropped since the last match, and the other series' last entry may be matched again.
    `skip`: entries of both were dropped. Dvornik et al., Drop-DTW (NeurIPS 2021), algorithm 1 of the appendix; tables
    zx, -x, z- and -- of the authors' `double_drop_dtw`.

    ragged : one end for each pair of lengths, `done`, for `end=dag.cell("done", n_a, n_b)`.

    Raises GraphError for sizes below 1.

    >>> print(drop_dtw(2, 3))
    Graph(49 nodes, 120 edges)
      tables: skip (3, 4), skip_a (3, 4), skip_b (3, 4), match (3, 4), done ()
      indices: i 3, j 4
      potentials: cost (2, 3), drop_a (2,), drop_b (3,)
    >>> print(drop_dtw(2, 3).text.splitlines()[6])
    skip_a[i, j] = min(match[i-1, j], skip_a[i-1, j]) + drop_a[i-1]
    """
    positive("drop_dtw", N_A=N_A, N_B=N_B)
    shapes = {"cost": (N_A, N_B), "drop_a": (N_A,), "drop_b": (N_B,)}
    return recurrence(DROP_DTW + ENDS_OF_DROP_DTW[bool(ragged)], shapes, i=N_A + 1, j=N_B + 1)


def erp(N_A: int, N_B: int) -> Graph:
    """Edit distance with real penalty: potentials `match` (N_A, N_B), `delete` (N_A,), `insert` (N_B,), minimised.

    v[i, j] is the least cost of i entries of the first and j of the second series; a gap costs the distance of its
    entry from a constant g. Chen and Ng (VLDB 2004), definition 5. `dagdp.graphs.erp_distance` makes the potentials.

    Raises GraphError for sizes below 1.

    >>> print(erp(3, 4).text)
    v[0, 0] = 0
    v[i, j] = min(v[i-1, j-1] + match[i-1, j-1], v[i-1, j] + delete[i-1], v[i, j-1] + insert[j-1])
    return v[-1, -1]
    """
    positive("erp", N_A=N_A, N_B=N_B)
    return recurrence(EDITS, {"match": (N_A, N_B), "delete": (N_A,), "insert": (N_B,)}, i=N_A + 1, j=N_B + 1)


def edr(N_A: int, N_B: int) -> Graph:
    """Edit distance on real sequences: potentials `match` (N_A, N_B), 0 or 1, and `gap` (), 1, minimised.

    Chen, Özsu and Oria (SIGMOD 2005), definition 2. `dagdp.graphs.edr_distance` makes the potentials.

    Raises GraphError for sizes below 1.

    >>> print(edr(3, 4).text)
    v[0, 0] = 0
    v[i, j] = min(v[i-1, j-1] + match[i-1, j-1], v[i-1, j] + gap, v[i, j-1] + gap)
    return v[-1, -1]
    """
    positive("edr", N_A=N_A, N_B=N_B)
    return recurrence(EDR, {"match": (N_A, N_B), "gap": ()}, i=N_A + 1, j=N_B + 1)


def lcss(N_A: int, N_B: int) -> Graph:
    """The longest common subsequence of two series: potential `match` (N_A, N_B), 1 where entries agree, maximised.

    Vlachos, Kollios and Gunopulos (ICDE 2002), definition 1. `dagdp.graphs.lcss_length` makes the potential.

    Raises GraphError for sizes below 1.

    >>> print(lcss(3, 4).text)
    v[0, 0] = 0
    v[i, j] = max(v[i-1, j-1] + match[i-1, j-1], v[i-1, j], v[i, j-1])
    return v[-1, -1]
    """
    positive("lcss", N_A=N_A, N_B=N_B)
    return recurrence(LCSS, {"match": (N_A, N_B)}, i=N_A + 1, j=N_B + 1)


def twe(N_A: int, N_B: int) -> Graph:
    """Time warp edit distance: potentials `match` (N_A, N_B), `delete` (N_A,), `insert` (N_B,), minimised.

    Both series have an entry 0 in front of the first one, which is matched with the other's. Marteau (IEEE TPAMI 2009),
    section 3. `dagdp.graphs.twe_distance` makes the potentials.

    Raises GraphError for sizes below 1.

    >>> print(twe(3, 4).text)
    v[0, 0] = 0
    v[i, j] = min(
        when(i > 0 and j > 0, v[i-1, j-1] + match[i-1, j-1]),
        when(j > 0, v[i-1, j] + delete[i-1]),
        when(i > 0, v[i, j-1] + insert[j-1]))
    return v[-1, -1]
    """
    positive("twe", N_A=N_A, N_B=N_B)
    return recurrence(TWE, {"match": (N_A, N_B), "delete": (N_A,), "insert": (N_B,)}, i=N_A + 1, j=N_B + 1)


def msm(N_A: int, N_B: int) -> Graph:
    """Move-split-merge distance: potentials `move`, `split` and `merge`, each (N_A, N_B), minimised.

    Stefan, Athitsos and Das (IEEE TKDE 2013), figure 4: a move costs the difference of the entries, a split or a merge
    depends on both entries and the entry before. `dagdp.graphs.msm_distance` makes the potentials.

    Raises GraphError for sizes below 1.

    >>> print(msm(3, 4).text)
    v[0, 0] = move[0, 0]
    v[i, j] = min(v[i-1, j-1] + move[i, j], v[i-1, j] + split[i, j], v[i, j-1] + merge[i, j])
    return v[-1, -1]
    """
    positive("msm", N_A=N_A, N_B=N_B)
    return recurrence(MSM, dict.fromkeys(("move", "split", "merge"), (N_A, N_B)), i=N_A, j=N_B)
