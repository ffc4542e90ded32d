"""Recurrences against an interpreter, against graphs by hand, and the rules of the language, a test for each."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreter import Interpreter, log_sum_exp
from recurrences import DTW, PROGRAMS, SYMMETRIC, VITERBI

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, Negentropy, SquaredL2, compile, dp_grad, dp_value, recurrence
from dagdp.graphs import dtw_grid, linear_chain, trellis


def theta_of(graph, rng):
    return {p.name: rng.normal(size=p.shape) for p in graph.potentials()}


def as_given(theta):
    """Theta of one potential may be given alone."""
    return theta if len(theta) > 1 else next(iter(theta.values()))


def both(text, keywords, maximum, omega, seed=0):
    """(the value of the engine, the value of the interpreter)."""
    graph = recurrence(text, **keywords)
    theta = theta_of(graph, np.random.default_rng(seed))
    ours = dagdp.dp_value(dagdp.compile(graph), as_given(theta), omega)
    return ours, Interpreter(text, keywords, theta, maximum).value()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_the_field_equal_the_interpreter(name):
    text, keywords = PROGRAMS[name]
    assert np.allclose(*both(text, keywords, log_sum_exp, Negentropy(1.0)), rtol=1e-12)
    assert np.allclose(*both(text, keywords, max, HardMax()), rtol=1e-12)


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
    return re.search(rf"\b{name}\b", text) is not None


def grid_by_hand(n, m):
    """The alignment grid of `dtw_grid`, by a loop over cells."""
    graph = Graph(starts=[(-1, -1)], ends=[(n - 1, m - 1)], potentials={"cost": (n, m)})
    graph.add_node((-1, -1))
    for i in range(n):
        for j in range(m):
            graph.add_node((i, j))
            for parent in [(-1, -1)] if i == j == 0 else [(i - 1, j - 1), (i - 1, j), (i, j - 1)]:
                if min(parent) >= 0 or i == j == 0:
                    graph.add_edge(parent, (i, j), cost=(i, j))
    return graph


def chain_by_hand(T, S):
    """The linear chain, by a loop over states."""
    graph = Graph(
        starts=["start"], ends=["end"], potentials={"emission": (T, S), "transition": (S, S), "start": S, "end": S}
    )
    for i in range(S):
        graph.add_edge("start", (0, i), emission=(0, i), start=i)
    for t in range(1, T):
        for i in range(S):
            for j in range(S):
                graph.add_edge((t - 1, j), (t, i), emission=(t, i), transition=(i, j))
    for i in range(S):
        graph.add_edge((T - 1, i), "end", end=i)
    return graph


def trellis_by_hand(T, S):
    """The trellis with one start, by a loop over states."""
    graph = Graph(starts=["start"], ends=["end"], potentials={"theta": (T, S, S)})
    for i in range(S):
        graph.add_edge("start", (0, i), theta=(0, i, 0))
    for t in range(1, T):
        for i in range(S):
            for j in range(S):
                graph.add_edge((t - 1, j), (t, i), theta=(t, i, j))
    for i in range(S):
        graph.add_edge((T - 1, i), "end")
    return graph


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        (lambda: dtw_grid(6, 7), lambda: grid_by_hand(6, 7)),
        (lambda: linear_chain(5, 4), lambda: chain_by_hand(5, 4)),
        (lambda: trellis(5, 3), lambda: trellis_by_hand(5, 3)),
    ],
)
def test_a_text_reaches_the_structure_of_a_graph_by_hand(text, by_hand):
    """Rule 10: equal edges in equal order, and equal proofs, hence equal kernels and bits."""
    ours, hand = text(), by_hand()
    assert [edges.tolist() for edges in ours.edges()] == [edges.tolist() for edges in hand.edges()]
    pairs = zip(ours.potentials(), hand.potentials(), strict=True)
    assert all(a.name == b.name and a.shape == b.shape and (a.index == b.index).all() for a, b in pairs)
    assert compile(ours).explain() == compile(hand).explain()


def test_min_means_costs():
    """Rule 6: minimize=None is as the text says, and True and False decide."""
    cost = np.random.default_rng(0).random((4, 5))
    dag = compile(recurrence(DTW, i=4, j=5))
    by_hand = compile(dtw_grid(4, 5))
    assert dag.minimize and not by_hand.minimize
    assert dp_value(dag, cost) == dp_value(by_hand, cost, minimize=True)
    assert dp_value(dag, cost, minimize=False) == dp_value(by_hand, cost)


def test_no_hidden_node_counts_under_squared_l2():
    """Rule 5: each visited node costs γ/2; starts and ends that are cells are no further nodes."""
    dag = compile(recurrence("v[0] = 0\nv[t] = v[t-1] + a[t]\nreturn v[-1]", t=4))
    assert dp_value(dag, np.array([0.0, 1, 2, 3]), SquaredL2(1.0)) == pytest.approx(6 - 3 * 0.5)


def test_a_ragged_batch_by_cells():
    """Rule 9: end= takes the nodes of cells."""
    text = "v[0, 0] = cost[0, 0]\nv[i, j] = min(v[i-1, j-1], v[i-1, j], v[i, j-1]) + cost[i, j]\nreturn v[-1, -1]"
    dag, cost = compile(recurrence(text, i=5, j=6)), np.random.default_rng(1).random((3, 5, 6))
    lengths = [(5, 6), (2, 4), (1, 1)]
    end = dag.cell("v", [n - 1 for n, _ in lengths], [m - 1 for _, m in lengths])
    alone = [dp_value(compile(recurrence(text, i=n, j=m)), cost[k, :n, :m]) for k, (n, m) in enumerate(lengths)]
    assert np.allclose(dp_value(dag, cost, end=end), alone)
    assert (dag.ends_of(([5, 2, 1], [6, 4, 1])) == end).all()
    assert np.allclose(dp_value(dag, cost, end=[("v", n - 1, m - 1) for n, m in lengths]), alone)
    assert dp_value(dag, cost[1], end=("v", 1, 3)) == pytest.approx(alone[1])
    with pytest.raises(InputError, match=r"place 1 in v is 6; expected 0 to 5"):
        dp_value(dag, cost, end=("v", 1, 6))


def test_paths_visit_cells():
    """Rule 9: names of nodes are cells; the added start is left out."""
    dag = compile(recurrence(DTW, i=2, j=2))
    assert dagdp.best_path(dag, np.array([[0.0, 1], [5, 0]])).names(dag) == [("v", 0, 0), ("v", 1, 1)]


def test_a_cycle_is_named_by_cells():
    with pytest.raises(GraphError) as caught:
        compile(recurrence("v[0] = 0\nv[t] = max(v[t-1] + a, v[2] + b)\nreturn v[-1]", t=4))
    said, mend = str(caught.value).split(". In the text: ")
    assert said == "the graph has a cycle: v[2] -> v[2]; remove one of these edges"
    assert mend == "exclude an alternative by when(...)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v[0] = 0\nv[t] = when(t > 5, v[t-1] + a)\nv[3] = v[2] + b\nreturn v[-1]", "begin a path by 0, or `return`"),
        ("v[0] = 0\nv[t] = when(t > 5, v[t-1] + a)\nreturn v[-1]", "keep an alternative that reads a table"),
    ],
)
def test_messages_of_compile_say_what_to_change_in_the_text(text, message):
    with pytest.raises(GraphError, match=f"In the text: {message}"):
        compile(recurrence(text, t=4))


def test_an_end_that_was_dropped_is_to_be_listed_in_return():
    dag = compile(recurrence("v[0] = 0\nv[t] = v[t-1] + a[t]\nreturn v[2]", t=4))
    with pytest.raises(InputError, match=r"end v\[3\] leads to no end .* In the text: list it in `return`"):
        dp_value(dag, np.zeros(4), end=("v", 3))


def test_symmetric_steps_count_a_diagonal_twice():
    """Rule 1, linear: the gradient of an entry is Σ coefficient x probability."""
    dag = compile(recurrence(SYMMETRIC, i=3, j=3))
    cost = np.array([[1.0, 9, 9], [9, 1, 9], [9, 9, 1]])
    assert dp_value(dag, cost, HardMax()) == 1 + 2 + 2
    assert np.diag(dp_grad(dag, cost, HardMax())).tolist() == [1, 2, 2]


def test_printing_lists_the_names_in_their_roles():
    text, keywords = PROGRAMS["ctc"]
    assert str(recurrence(text, **keywords)).split("\n") == [
        "Graph(36 nodes, 58 edges)",
        "  tables: a (5, 7)",
        "  indices: t 5, s 7",
        "  data: label (7,), skip (7,)",
        "  potentials: log_prob (5, 4)",
    ]
    assert recurrence(VITERBI, t=2, i=2, j=2).text == "\n".join(line.strip() for line in VITERBI.strip().split("\n"))


@pytest.mark.parametrize("name", ["ctc", "cky", "symmetric steps"])
def test_a_compiled_graph_lists_its_edges_again(name):
    """It holds no array of edges; a pickle holds the program."""
    text, keywords = PROGRAMS[name]
    graph = recurrence(text, **keywords)
    dag = compile(graph)
    edges = [numbers.tolist() for numbers in graph.edges()]
    assert dag.graph.listed() is graph.listed(), "while the user's graph has them"
    del graph
    assert dag.graph._description.source.made() is None
    for again in (dag.graph, pickle.loads(pickle.dumps(dag)).graph):
        assert [numbers.tolist() for numbers in again.edges()] == edges
    theta = theta_of(dag.graph, np.random.default_rng(0))
    assert dp_value(pickle.loads(pickle.dumps(dag)), as_given(theta)) == dp_value(dag, as_given(theta))
