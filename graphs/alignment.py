"""Alignments of two sequences, as recurrences: four modes, three prices of gaps, bands, and the pair HMM.

A mode says where alignments begin and end; a price of gaps says by which steps they go on. Each is written once, and
the text of a graph is put together from both. Cell [i, j] of a table stands behind i letters of the first sequence and
j letters of the second: M behind a pair of letters, X behind a letter of the first sequence that stands alone, Y behind
a letter of the second that stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dagdp import Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import check_band, positive

MODES = ("global", "local", "semiglobal", "overlap")
GAPS = ("linear", "affine", "two_piece")

#: {left side: alternatives}. Global alignments with linear gaps need one table: a path may end behind any step.
ONE_TABLE = {"H[i, j]": "max(H[i-1, j-1] + PAIR, H[i-1, j] + OPEN_X, H[i, j-1] + OPEN_Y)"}
THREE_TABLES = {
    "M[i, j]": "max(M[i-1, j-1], X[i-1, j-1], Y[i-1, j-1]) + PAIR",
    "X[i, j]": "max(M[i-1, j] + OPEN_X, X[i-1, j] + EXTEND_X, Y[i-1, j] + OPEN_X)",
    "Y[i, j]": "max(M[i, j-1] + OPEN_Y, X[i, j-1] + OPEN_Y, Y[i, j-1] + EXTEND_Y)",
}
#: p is the piece that prices a gap, from its first letter to its last.
TWO_PIECES = {
    "M[i, j]": "max(M[i-1, j-1], max[p](X[i-1, j-1, p]), max[p](Y[i-1, j-1, p])) + PAIR",
    "X[i, j, p]": "max(max(M[i-1, j], max[q](Y[i-1, j, q])) + gap_open[p], X[i-1, j, p] + gap_extend[p])",
    "Y[i, j, p]": "max(max(M[i, j-1], max[q](X[i, j-1, q])) + gap_open[p], Y[i, j-1, p] + gap_extend[p])",
}
TABLES = {"linear": THREE_TABLES, "affine": THREE_TABLES, "two_piece": TWO_PIECES}

#: {left side: what begins there, and in which of these cells}.
STARTS: dict[str, dict[str, tuple[str, str | None]]] = {
    "global": {"M[0, 0]": ("0", None)},
    "local": {"M[i, j]": ("PAIR", None)},
    "semiglobal": {"M[0, j]": ("0", None)},
    "overlap": {"M[0, j]": ("0", None), "M[i, 0]": ("0", "i > 0")},
}
IN_BAND: dict[str, str | None] = {
    "M[0, 0]": None,
    "M[0, j]": "j <= band",
    "M[i, 0]": "i <= band",
}  # elsewhere abs(i - j) <= band
#: Gaps at a free end have no price, and so no step: X would run down the first column, Y along the first row.
NO_FREE_GAPS: dict[str, dict[str, str]] = {
    "global": {},
    "local": {},
    "semiglobal": {"Y": "i > 0"},
    "overlap": {"X": "j > 0", "Y": "i > 0"},
}
#: Behind a free end an alignment has stopped: X never runs down the last column, Y never along the last row.
ENDS = {
    "global": "return max(M[-1, -1], X[-1, -1], Y[-1, -1])",
    "local": "return max(0, max[i, j](M[i, j]))",
    "semiglobal": "return max[j](max(M[-1, j], X[-1, j]))",
    "overlap": """return max(
    max[j](max(M[-1, j], when(j < columns, X[-1, j]))),
    max[i](when(i < rows, max(M[i, -1], Y[i, -1]))))""",
}
#: Ends of items that are shorter than the graph. `inside` and `last` are 0 where an item may end, and -inf elsewhere.
RAGGED_ENDS = ENDS | {
    "semiglobal": "done[i] = max[j](max(M[i, j], X[i, j]) + inside[j])\nreturn max[i](done[i])",
    "overlap": """done = max[i, j](max(M[i, j] + last[0, i, j], X[i, j] + last[1, i, j], Y[i, j] + last[2, i, j]))
return done""",
}

PAIR_HMM = """
    M[1, 1] = start[0] + match[0, 0]
    X[1, 0] = start[1] + x_alone[0]
    Y[0, 1] = start[2] + y_alone[0]
    M[i, j] = max(
        M[i-1, j-1] + transition[0, 0],
        X[i-1, j-1] + transition[0, 1],
        Y[i-1, j-1] + transition[0, 2]) + match[i-1, j-1]
    X[i, j] = max(
        M[i-1, j] + transition[1, 0],
        X[i-1, j] + transition[1, 1],
        Y[i-1, j] + transition[1, 2]) + x_alone[i-1]
    Y[i, j] = max(
        M[i, j-1] + transition[2, 0],
        X[i, j-1] + transition[2, 1],
        Y[i, j-1] + transition[2, 2]) + y_alone[j-1]
    return max(M[-1, -1] + end[0], X[-1, -1] + end[1], Y[-1, -1] + end[2])
"""


def pairwise_alignment(N: int, M: int, mode: str = "global", gaps: str = "affine", band: int | None = None) -> Graph:
    """Alignments of sequences of N and M letters, from a score for each pair of letters; scores are maximised.

    Needleman and Wunsch 1970 (global), Smith and Waterman 1981 (local), Gotoh 1982 (affine), Li 2018 (two pieces).

    Potentials: score (N, M); with linear gaps gap (), with affine gaps gap_open () and gap_extend (), with two pieces
    gap_open (2,) and gap_extend (2,). Prices are scores, so usually negative.

    Parameters
    ----------
    N, M : the numbers of letters, at least 1.
    mode : "global": both sequences from end to end. "local": a part of each, from a pair to a pair, or no letter at all
        with score 0. "semiglobal": the first sequence from end to end, and any part of the second. "overlap": gaps
        at the ends of both sequences are free.
    gaps : a gap of n letters adds n·gap ("linear"), gap_open + (n-1)·gap_extend ("affine"), or the better of two such
        prices ("two_piece"). A gap in one sequence may follow a gap in the other, in both orders.
    band : keep only cells with abs(i - j) <= band. None: all cells.

    Raises GraphError for sizes below 1, an unknown mode or price, and a band that excludes every alignment.

    >>> print(pairwise_alignment(3, 4).text)
    M[0, 0] = 0
    M[i, j] = max(M[i-1, j-1], X[i-1, j-1], Y[i-1, j-1]) + score[i-1, j-1]
    X[i, j] = max(M[i-1, j] + gap_open, X[i-1, j] + gap_extend, Y[i-1, j] + gap_open)
    Y[i, j] = max(M[i, j-1] + gap_open, X[i, j-1] + gap_open, Y[i, j-1] + gap_extend)
    return max(M[-1, -1], X[-1, -1], Y[-1, -1])
    >>> print(pairwise_alignment(3, 4, gaps="linear", band=2).text)
    H[0, 0] = 0
    H[i, j] = when(abs(i - j) <= band, max(H[i-1, j-1] + score[i-1, j-1], H[i-1, j] + gap, H[i, j-1] + gap))
    return H[-1, -1]
    """
    positive("pairwise_alignment", N=N, M=M)
    check_choices(mode, gaps)
    text = _text(mode, gaps, "score[i-1, j-1]", _names(gaps), band is not None)
    return _graph(text, (N, M), mode, band, {"score": (N, M)})


def letter_alignment(
    x: Sequence[int],
    y: Sequence[int],
    letters: int,
    mode: str = "local",
    gaps: str = "affine",
    band: int | None = None,
) -> Graph:
    """Alignments of two given strings, from a substitution matrix: potential pair (letters, letters) as [of x, of y].

    The gradient by `pair` is the expected number of times that each letter is paired with each other letter, so a
    substitution matrix can be learnt (Dayhoff et al. 1978 estimated theirs from counts). Gaps, modes and bands are
    those of `pairwise_alignment`.

    x, y : the strings as numbers of letters, from 0 to letters - 1.
    letters : the size of the alphabet.

    Raises GraphError for empty strings, numbers of letters out of range, and as `pairwise_alignment` does.

    >>> print(letter_alignment([0, 1], [1, 1, 0], 2).text)
    M[i, j] = pair[x[i-1], y[j-1]]
    M[i, j] = max(M[i-1, j-1], X[i-1, j-1], Y[i-1, j-1]) + pair[x[i-1], y[j-1]]
    X[i, j] = max(M[i-1, j] + gap_open, X[i-1, j] + gap_extend, Y[i-1, j] + gap_open)
    Y[i, j] = max(M[i, j-1] + gap_open, X[i, j-1] + gap_open, Y[i, j-1] + gap_extend)
    return max(0, max[i, j](M[i, j]))
    """
    positive("letter_alignment", **{"len(x)": len(x), "len(y)": len(y), "letters": letters})
    check_choices(mode, gaps)
    text = _text(mode, gaps, "pair[x[i-1], y[j-1]]", _names(gaps), band is not None)
    data = {"x": np.asarray(x), "y": np.asarray(y)}
    return _graph(text, (len(x), len(y)), mode, band, {"pair": (letters, letters)}, **data)


def alignment_of_items(N: int, M: int, mode: str, gaps: str, by_cell: bool, ragged: bool = False) -> Graph:
    """`pairwise_alignment` as the functions on data use it: prices for each cell, and items of n and m letters.

    global : such an item ends at `end=`, cell H[n, m], or M[n+1, m+1] with score 0: a pair behind the last letters.
    local : scores outside the item are -inf.
    semiglobal, ragged : `end=` is cell done[n]; potential inside (M + 1,) is 0 up to column m, and -inf behind.
    overlap, ragged : potential last (3, N + 1, M + 1) is 0 in the cells of M, X, Y at which the item may end, and -inf
        elsewhere.

    by_cell : prices of gaps are arrays (N, M). The step that leaves letter i of the first sequence alone, or letter j
        of the second, while the last letter before it in the other sequence is j, or i, reads cell [i, j]; column 0,
        or row 0, if there is no letter before it.

    Raises GraphError for sizes below 1.

    >>> print(alignment_of_items(3, 4, "global", "linear", True).text)
    H[0, 0] = 0
    H[i, j] = max(H[i-1, j-1] + score[i-1, j-1], H[i-1, j] + gap[i-1, j-(j>0)], H[i, j-1] + gap[i-(i>0), j-1])
    return H[-1, -1]
    """
    positive("alignment_of_items", N=N, M=M)
    ends = RAGGED_ENDS if ragged else ENDS
    text = _text(mode, gaps, "score[i-1, j-1]", _names(gaps, by_cell), False, ends)
    prices = ("gap",) if gaps == "linear" else ("gap_open", "gap_extend")
    shapes = {"score": (N, M)} | dict.fromkeys(prices, (N, M) if by_cell else ())
    return _graph(text, (N, M), mode, None, shapes)


def pair_hmm(N: int, M: int) -> Graph:
    """A pair hidden Markov model of strings of N and M letters; scores are log-probabilities.

    Durbin, Eddy, Krogh and Mitchison 1998, chapter 4. The value is the log-probability of the best alignment under
    HardMax (Viterbi), and that of both strings under Negentropy(1.0) (the forward algorithm). The gradient by `match`
    is then the posterior probability that two letters are paired.

    Potentials: match (N, M), the emission of a pair of letters; x_alone (N,) and y_alone (M,), those of a letter alone;
    transition (3, 3) as [to, from], start (3,), end (3,), for the states 0 a pair, 1 a letter of x, 2 a letter of y.

    Raises GraphError for sizes below 1.

    >>> print(pair_hmm(3, 4).text.splitlines()[3].strip())
    M[i, j] = max(
    >>> print(pair_hmm(3, 4))
    Graph(62 nodes, 135 edges)
      tables: M (4, 5), X (4, 5), Y (4, 5)
      indices: i 4, j 5
      potentials: start (3,), match (3, 4), x_alone (3,), y_alone (4,), transition (3, 3), end (3,)
    """
    positive("pair_hmm", N=N, M=M)
    return recurrence(PAIR_HMM, i=N + 1, j=M + 1)


def check_choices(mode: str, gaps: str) -> None:
    """Raise GraphError for an unknown mode or price of gaps."""
    for name, given, known in (("mode", mode, MODES), ("gaps", gaps, GAPS)):
        if given not in known:
            raise GraphError(f"{name}={given!r}; expected one of {', '.join(map(repr, known))}")


def _names(gaps: str, by_cell: bool = False) -> dict[str, str]:
    """{price in the tables: its name in a text}. An opening letter of a linear gap costs as much as another."""
    down, right = ("[i-1, j-(j>0)]", "[i-(i>0), j-1]") if by_cell else ("", "")
    first, more = ("gap", "gap") if gaps == "linear" else ("gap_open", "gap_extend")
    return {
        "OPEN_X": first + down,
        "EXTEND_X": more + down,
        "OPEN_Y": first + right,
        "EXTEND_Y": more + right,
    }


def _text(mode: str, gaps: str, pair: str, names: dict[str, str], banded: bool, ends: dict[str, str] = ENDS) -> str:
    """The text of a mode and a price of gaps: lines that begin alignments, lines that go on, and the ends."""
    short = mode == "global" and gaps == "linear"
    lines = [(left, right, where) for left, (right, where) in STARTS[mode].items()]
    steps = ONE_TABLE if short else TABLES[gaps]
    lines += [(left, right, NO_FREE_GAPS[mode].get(left[0])) for left, right in steps.items()]
    text = "\n".join([*(_line(*line, banded) for line in lines), ends[mode]])
    if short:
        text = text.replace("max(M[-1, -1], X[-1, -1], Y[-1, -1])", "H[-1, -1]").replace("M[0, 0]", "H[0, 0]")
    if gaps == "two_piece":
        for cell in ("[-1, -1]", "[-1, j]", "[i, -1]"):
            for table in "XY":
                text = text.replace(table + cell, f"max[p]({table}{cell[:-1]}, p])")
    for name, written in {"PAIR": pair, **names}.items():
        text = text.replace(name, written)
    return text


def _line(left: str, right: str, where: str | None, banded: bool) -> str:
    conditions = [where, IN_BAND.get(left, "abs(i - j) <= band") if banded else None]
    kept = " and ".join(condition for condition in conditions if condition)
    return f"{left} = when({kept}, {right})" if kept else f"{left} = {right}"


def _graph(
    text: str, sizes: tuple[int, int], mode: str, band: int | None, potentials: dict[str, Any], **data: Any
) -> Graph:
    """The graph of a text, with the ranges of its indices and the data that it uses."""
    first = 1 if mode == "local" else 0
    declared: dict[str, Any] = {"i": (first, sizes[0] + 1), "j": (first, sizes[1] + 1), **data}
    if band is not None:
        check_band(band)
        apart = {"global": abs(sizes[0] - sizes[1]), "semiglobal": sizes[0] - sizes[1]}.get(mode, 0)
        if band < apart:
            raise GraphError(
                f"band={band} excludes every {mode} alignment of {sizes[0]} with {sizes[1]} letters; expected at least "
                f"{apart}"
            )
        declared["band"] = np.array(band)
    if "rows" in text:
        declared |= {"rows": np.array(sizes[0]), "columns": np.array(sizes[1])}
    declared |= {index: 2 for index in "pq" if f"max[{index}]" in text}
    return recurrence(text, potentials, **declared)
