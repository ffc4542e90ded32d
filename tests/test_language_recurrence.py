"""Recurrences against an interpreter, against graphs by hand, and the rules of the language, a test for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreter import Interpreter, log_sum_exp

import dagdp
from dagdp import GraphError, HardMax, Negentropy, recurrence

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
SEMI_MARKOV = """
    v[t, i] = max[d](when(d == t, segment[0, d, i]))
    v[t, i] = max[d, j](v[t-d, j] + segment[t-d, d, i] + transition[i, j])
    return max[i](v[-1, i])
"""
PROGRAMS = {
    "viterbi": (VITERBI, {"t": 4, "i": 3, "j": 3}, None),
    "dtw": (DTW, {"i": 4, "j": 5}, None),
    "smith waterman": (SMITH_WATERMAN, {"i": 3, "j": 4}, None),
    "ctc": (
        CTC,
        {"t": 5, "s": 7, "label": [0, 1, 0, 1, 0, 3, 0], "skip": [False] * 5 + [True, False]},
        {"log_prob": (5, 4)},
    ),
    "semi markov": (SEMI_MARKOV, {"t": 5, "d": range(1, 4), "i": 2, "j": 2}, {"segment": (4, 4, 2)}),
}


def theta_of(graph, rng):
    return {p.name: rng.normal(size=p.shape) for p in graph.potentials()}


def as_given(theta):
    """Theta of one potential may be given alone."""
    return theta if len(theta) > 1 else next(iter(theta.values()))


def both(text, keywords, potentials, maximum, omega, seed=0):
    """(the value of the engine, the value of the interpreter)."""
    graph = recurrence(text, potentials, **keywords)
    theta = theta_of(graph, np.random.default_rng(seed))
    ours = dagdp.dp_value(dagdp.compile(graph), as_given(theta), omega)
    return ours, Interpreter(text, keywords, theta, maximum).value()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_the_field_equal_the_interpreter(name):
    text, keywords, potentials = PROGRAMS[name]
    assert np.allclose(*both(text, keywords, potentials, log_sum_exp, Negentropy(1.0)), rtol=1e-12)
    assert np.allclose(*both(text, keywords, potentials, max, HardMax()), rtol=1e-12)


@st.composite
def texts(draw):
    """A random recurrence over tables A [t, i] and B [t], whose cells read cells of smaller t only."""
    offset = st.integers(-1, 1).map(lambda k: f"{k:+d}" if k else "")
    back = st.sampled_from(["t-1", "t-2", "t-1-i%2"])
    conditions = st.sampled_from(["i < t", "ok[i]", "i > 0 and ok[i-1]", "not (t == i or ok[i])", "abs(i-t) <= 1"])
    reads = st.sampled_from(
        ["e[t, i]", "p[i]", "gap", "-gap", "e[t//2, i] + gap", "p[to[i]]", "2 * p[i]", "i * p[i] - 0.5 * gap"]
    )

    def term():
        kind = draw(st.integers(0, 6))
        if kind == 6:
            return f"A[{draw(back)}, i] + {draw(st.sampled_from(['B[t-1]', 'A[t-1, i]', 'A[t-2, 0]']))}"
        if kind == 0:
            return f"A[{draw(back)}, i{draw(offset)}]"
        if kind == 1:
            return f"A[{draw(back)}, i{draw(offset)}] + {draw(reads)}"
        if kind == 2:
            return f"max[j](A[t-1, j] + w[i, j], {draw(reads)})"
        if kind == 3:
            return f"when({draw(conditions)}, {term()})"
        return f"B[t-1] + {draw(reads)}" if kind == 4 else "0"

    listed = ", ".join(term() for _ in range(draw(st.integers(1, 3))))
    first = draw(st.sampled_from(["A[0, i] = 0", "A[0, i] = p[i]", "A[0, 0] = 0", "A[t, i] = when(t < 2, gap)"]))
    late = draw(
        st.sampled_from(["B[t] = max[i](A[t-1, i])", "B[t] = max[i](A[t, i] + p[i])", "B[0] = 0\nB[t] = B[t-1]"])
    )
    last = draw(
        st.sampled_from(["A[-1, -1]", "max[i](A[-1, i])", "max[i](A[-1, i] + p[i])", "max(0, max[t](B[t]))", "B[-1]"])
    )
    rule = f"A[t, i] = max({listed})" + draw(st.sampled_from(["", " + e[t, i]"]))
    text = "\n".join([first, rule, late, f"return {last}"])
    return text if draw(st.booleans()) else text.replace("max", "min")


@settings(max_examples=150, deadline=None)
@given(texts(), st.integers(2, 4), st.integers(2, 3), st.integers(0, 99))
def test_random_recurrences_equal_the_interpreter(text, t, i, seed):
    keywords = {"t": t, "i": i, "j": i, "ok": [True, False, True][:i], "to": [1, 0, 1][:i]}
    keywords = {name: value for name, value in keywords.items() if _used(name, text)}
    try:
        graph = recurrence(text, **keywords)
        dag = dagdp.compile(graph)
    except GraphError as error:
        assume(not any(part in str(error) for part in ("begins a path", "reached from no start", "reads no cell")))
        raise
    theta = theta_of(graph, np.random.default_rng(seed))
    if not theta:
        return
    for maximum, omega in ((log_sum_exp, Negentropy(1.0)), (max, HardMax())):
        wanted = Interpreter(text, keywords, theta, maximum).value()
        assert np.isclose(dagdp.dp_value(dag, as_given(theta), omega), wanted, rtol=1e-10), text


def _used(name, text):
    import re

    return re.search(rf"\b{name}\b", text) is not None
