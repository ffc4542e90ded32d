"""Texts of the field, and the message of a text that is refused."""

from __future__ import annotations

import pytest

from dagdp import GraphError, recurrence

VITERBI = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    return max[i](v[-1, i] + end[i])
"""
DTW = """
    v[0, 0] = cost[0, 0]
    v[i, j] = min(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]
    return v[-1, -1]
"""
SMITH_WATERMAN = """
    M[i, j] = max(0, M[i-1, j-1], X[i-1, j-1], Y[i-1, j-1]) + match[i, j]
    X[i, j] = max(M[i-1, j] + open, X[i-1, j] + extend)
    Y[i, j] = max(M[i, j-1] + open, X[i, j-1] + open, Y[i, j-1] + extend)
    return max(0, max[i, j](M[i, j]))
"""
CTC = """
    a[0, s] = when(s < 2, log_prob[0, label[s]])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], when(skip[s], a[t-1, s-2])) + log_prob[t, label[s]]
    return max(a[-1, -1], a[-1, -2])
"""
CTC_FOR_ANY_TARGET = """
    a[0, s] = when(s < 2, emission[0, s])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], a[t-1, s-2] + skip[s]) + emission[t, s]
    return max[s](a[-1, s])
"""
SEMI_MARKOV = """
    v[t, i] = max[d](when(d == t, segment[0, d, i]))
    v[t, i] = max[d, j](v[t-d, j] + segment[t-d, d, i] + transition[i, j])
    return max[i](v[-1, i])
"""
CKY = """
    c[i, i+1, A] = lexical[i, A]
    c[i, k, A] = max[j, B, C](when(i < j and j < k, c[i, j, B] + c[j, k, C]) + rule[A, B, C])
    return c[0, -1, 0]
"""
SYMMETRIC = """
    d[0, 0] = cost[0, 0]
    d[i, j] = min(d[i-1, j] + cost[i, j], d[i, j-1] + cost[i, j], d[i-1, j-1] + 2 * cost[i, j])
    return d[-1, -1]
"""
#: {name: (text, keywords)}
PROGRAMS = {
    "viterbi": (VITERBI, {"t": 4, "i": 3, "j": 3}),
    "dtw": (DTW, {"i": 4, "j": 5}),
    "smith waterman": (SMITH_WATERMAN, {"i": 3, "j": 4}),
    "ctc": (
        CTC,
        {
            "t": 5,
            "s": 7,
            "label": [0, 1, 0, 1, 0, 3, 0],
            "skip": [False] * 5 + [True, False],
            "potentials": {"log_prob": (5, 4)},
        },
    ),
    "ctc for any target": (CTC_FOR_ANY_TARGET, {"t": 5, "s": 7}),
    "semi markov": (
        SEMI_MARKOV,
        {"t": 5, "d": range(1, 4), "i": 2, "j": 2, "potentials": {"segment": (4, 4, 2)}},
    ),
    "cky": (CKY, {"i": 4, "j": 5, "k": 5, "A": 2, "B": 2, "C": 2}),
    "symmetric steps": (SYMMETRIC, {"i": 3, "j": 4}),
}


def message_of(text: str, keywords: dict) -> list[str]:
    """The lines of the GraphError that a text raises."""
    with pytest.raises(GraphError) as caught:
        recurrence(text, **keywords)
    return str(caught.value).split("\n")
