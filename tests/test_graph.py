"""Describing a graph: every door, and every error with its message."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from cases import BUNDLED, over_operators
from oracles import paths, terminals

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, compile, dp_grad, dp_value


def test_edges_are_numbered_in_order_and_parallel_edges_kept_apart():
    graph = Graph()
    assert [graph.add_edge("a", "b"), graph.add_edge("a", "b"), graph.add_edge("b", (1, 2))] == [0, 1, 2]
    assert graph.num_nodes == 3 and graph.nodes == ["a", "b", (1, 2)]
    assert dp_grad(compile(graph), [1.0, 2.0, 0.0], HardMax()).tolist() == [0, 1, 1]


def test_both_doors_lead_to_the_same_graph():
    slow = Graph(potentials={"w": (2, 2), "b": 3})
    for parent, child, entries in ((0, 1, {"w": (1, 0)}), (0, 2, {"b": 2}), (1, 2, {"w": (0, 1), "b": 0})):
        slow.add_edge(parent, child, **entries)
    fast = Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"w": ((2, 2), [2, -1, 1]), "b": (3, [-1, 2, 0])})
    theta = {"w": np.array([[1.0, 5.0], [2.0, 9.0]]), "b": np.array([10.0, 20.0, 3.0])}
    for graph in (slow, fast):
        assert dp_value(compile(graph), theta, HardMax()) == 2.0 + 5.0 + 10.0
        assert dp_grad(compile(graph), theta, HardMax())["w"].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph().add_edge([1], 2), r"node \[1\] is not hashable; use a string"),
        (lambda: Graph([("a", "b")]), r"Graph was given \[\('a', 'b'\)\]; expected options by name only"),
        (lambda: Graph().add_edge(0, 1, 1.5), r"was given 1.5; expected \(parent, child\) alone, .* are theta"),
        (lambda: Graph(ends="end"), r"ends is the text 'end'; expected a list of nodes: ends=\['end'\]"),
        (lambda: Graph().add_edge(0, 1, weight=1.0), "was given weight=1.0, .* The numbers on edges are theta"),
        (lambda: Graph(potentials={"v": 2}).add_edge(0, 1, w=0), "reads potential 'w', which the graph does not have"),
        (lambda: Graph.from_edges(np.ma.masked_equal([0, 1], 1), [1, 2]), "parents is a masked array, and 1 of its"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=(0, 2)), r"w=\(0, 2\) is no entry of potential 'w'"),
        (lambda: Graph(potentials={"w": (2, 2)}).add_edge(0, 1, w=1), r"w=1 is no entry of potential 'w', whose shape"),
        (lambda: Graph(potentials={"w": (0,)}), r"potential 'w' has shape \(0,\); expected positive integers"),
        (
            lambda: Graph(potentials={"w": 3}).add_edge(0, 1, w=1.5),
            r"w=1.5 is no entry of .*, 0 to 2. The weight",
        ),
        (lambda: Graph(potentials={"w": 3}).add_node("a", w=25.0), r"node 'a': w=25.0 is no entry of .*, 0 to 2"),
        (lambda: Graph(potentials={"w": 3}).add_node("a", w="b"), r"w='b' is no entry of potential 'w'"),
        (lambda: Graph(potentials={"w": 3}).add_node("a", v=0), r"node 'a' reads potential 'v', which the graph does"),
        (
            lambda: Graph(potentials={"w": 3}).add_node("a", 2),
            "node 'a' was given 2; expected entries of potentials",
        ),
        (
            lambda: Graph().add_node("a", days=3),
            r"given days=3, and .* Graph\(potentials={'days': number_of_nodes}\)",
        ),
        (lambda: Graph.from_edges([0, 1], [1]), "parents has 2 entries and children 1; expected one of each"),
        (lambda: Graph.from_edges([0.5], [1]), "parents has dtype float64; expected integers"),
        (lambda: Graph.from_edges([0], [1]).add_edge(1, 2), "a graph from arrays, .* is complete; build with Graph"),
        (lambda: compile(Graph.from_edges([0], [1])).graph.add_node(2), "or of a compiled graph, is complete"),
        (
            lambda: Graph.from_edges([0], [1], potentials={"w": (2, [0, 1])}),
            "the index of potential 'w' has 2 entries; expected one for each of the 1 edges",
        ),
    ],
)
def test_a_wrong_description_is_named(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_repr_says_sizes_and_potentials():
    assert repr(Graph()) == "Graph(0 nodes, 0 edges)"
    assert repr(Graph.from_edges([0], [1])) == "Graph(2 nodes, 1 edge)"
    assert repr(dagdp.graphs.dtw_grid(3, 4)) == "Graph(13 nodes, 24 edges, potential cost (3, 4))"
    named = Graph(potentials={"emission": (4, 3), "transition": (3, 3), "bias": ()})
    named.add_edge("a", "b", emission=(0, 1), transition=(2, 2))
    shown = "Graph(2 nodes, 1 edge, potentials emission (4, 3), transition (3, 3), bias ())"
    assert repr(named) == shown
    shapes = {"emission": ((4, 3), [1]), "transition": ((3, 3), [8]), "bias": ((), [-1])}
    assert repr(Graph.from_edges([0], [1], potentials=shapes)) == shown


@pytest.mark.parametrize("far", [10**8, 10**9, 5 * 10**9])
def test_node_numbers_far_above_the_number_of_edges_are_refused_before_anything_is_allocated(far):
    tracemalloc.start()
    with pytest.raises(GraphError, match=f"largest node number is {far} and there are 2 edges; .*return_inverse=True"):
        Graph.from_edges([0, far], [far, 5])
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert Graph.from_edges([0, 10**6], [10**6, 5]).num_nodes == 10**6 + 1
    assert Graph.from_edges([0, far], [far, 5], num_nodes=far + 1).num_nodes == far + 1
    names, numbers = np.unique([[0, far], [far, 5]], return_inverse=True)  # the mend that the message names
    parents, children = numbers.reshape(2, -1)
    value = dp_value(compile(Graph.from_edges(parents, children)), [1.0, 2.0], HardMax())
    assert names.tolist() == [0, 5, far] and value == 3


def test_a_builder_goes_on_and_what_was_compiled_stays():
    graph = Graph(potentials={"w": 4})
    graph.add_edge("a", "b", w=0)
    graph.add_edge("b", "c", w=1)
    dag, theta = compile(graph), {"w": np.array([1.0, 2.0, 4.0, 8.0])}
    batch = dagdp.compile_batch([graph])
    graph.add_edge("c", "d", w=2)
    graph.add_edge("b", "d", w=3)
    assert dag.graph.num_edges == 2 and dag.graph.nodes == ["a", "b", "c"] and "2 edges" in dag.explain()
    assert dagdp.local_weights(dag, theta, HardMax()).tolist() == [1, 1]
    assert dagdp.best_path(dag, theta).names(dag) == ["a", "b", "c"] and dp_value(dag, theta, HardMax()) == 3
    assert dp_value(dag, theta, HardMax(), end="b") == 1
    with pytest.raises(InputError, match="end 'd' is no node"):
        dp_value(dag, theta, HardMax(), end="d")
    assert dp_value(batch, [theta], HardMax()).tolist() == [3] and len(batch.graphs[0].nodes) == 3
    assert dp_value(compile(graph), theta, HardMax()) == 9  # the builder has the new edges: 1 + 8 against 1 + 2 + 4


def visits(edges, nodes: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(edges, nodes) of every path of a graph with weights of nodes; a node without edges is one of its own."""
    loose = [((), (node,)) for node in range(nodes) if not any(node in edge for edge in edges)]
    found = [(path, (edges[path[0]][0], *(edges[e][1] for e in path))) for path in paths(edges, *terminals(edges))]
    return found + loose


def random_dag(rng) -> list[tuple[int, int]]:
    """Several starts and ends, parallel edges, labels in no order."""
    pairs = np.sort(rng.integers(0, 7, size=(9, 2)), 1)
    label = rng.permutation(7)
    return [(int(label[a]), int(label[b])) for a, b in pairs if a != b]


@pytest.mark.parametrize("order", ["nodes first", "edges first", "mixed"])
@pytest.mark.parametrize("seed", range(5))
def test_a_path_reads_each_of_its_nodes_once(seed, order):
    """Every node reads the same potential, starts too: against paths that are enumerated."""
    rng = np.random.default_rng(seed)
    edges = random_dag(rng)
    graph = Graph(potentials={"node": (7,), "edge": (len(edges),)}, ends=np.setdiff1d(range(7), [a for a, _ in edges]))
    calls = [lambda k=k: graph.add_node(k, node=k) for k in range(7)]
    calls += [lambda e=e, edge=edge: graph.add_edge(*edge, edge=e) for e, edge in enumerate(edges)]
    if order == "edges first":
        calls = calls[7:] + calls[:7]
    numbers = [calls[k]() for k in (rng.permutation(len(calls)) if order == "mixed" else range(len(calls)))]
    if order != "mixed":
        assert numbers[: len(edges)] == list(range(len(edges))) or numbers[:7] == list(range(7))
    known, given = np.argsort(graph.nodes), list(zip(*(ends.tolist() for ends in graph.edges()), strict=True))
    theta = {"node": rng.normal(size=(3, 7)), "edge": rng.normal(size=(3, len(edges)))}
    dag = compile(graph)
    found = visits(edges, 7)
    assert dagdp.count_paths(dag) == len(found)
    assert sorted(given) == sorted((int(known[a]), int(known[b])) for a, b in edges)  # no number moved
    scores = np.array([theta["node"][:, list(n)].sum(1) + theta["edge"][:, list(e)].sum(1) for e, n in found])
    np.testing.assert_allclose(dp_value(dag, theta, HardMax()), scores.max(0))
    chances = np.exp(scores - scores.max(0))
    np.testing.assert_allclose(dp_value(dag, theta), np.log(chances.sum(0)) + scores.max(0))
    chances /= chances.sum(0)
    E = dp_grad(dag, theta)
    for k in range(7):
        np.testing.assert_allclose(E["node"][:, k], sum(p for p, (_, n) in zip(chances, found, strict=True) if k in n))
    for e in range(len(edges)):
        crossed = [p for p, (own, _) in zip(chances, found, strict=True) if e in own]
        np.testing.assert_allclose(E["edge"][:, e], sum(crossed) if crossed else 0)
    best = dagdp.best_path(dag, theta).names(dag)
    assert best == [list(found[k][1]) for k in scores.argmax(0)]


def project() -> tuple[Graph, np.ndarray]:
    """Two first tasks, one of which leads on at once."""
    graph = Graph(potentials={"days": (5,)})
    for k, task in enumerate(["plan", "permit", "build", "paint", "move"]):
        graph.add_node(task, days=k)
    for edge in [("plan", "build"), ("permit", "build"), ("build", "paint"), ("paint", "move"), ("permit", "move")]:
        graph.add_edge(*edge)
    return graph, np.array([2.0, 4.0, 5.0, 1.0, 1.0])


def test_starts_with_entries_are_entered_and_numbers_stay():
    graph, days = project()
    assert graph.num_nodes == 5 and graph.num_edges == 5 and graph.added_start is None
    dag = compile(graph)
    assert dag.graph.nodes == [*graph.nodes, "(start)"] and dag.graph.added_start == 5
    assert [ends[:5].tolist() for ends in dag.graph.edges()] == [ends.tolist() for ends in graph.edges()]
    assert [ends[5:].tolist() for ends in dag.graph.edges()] == [[5, 5], [0, 1]]
    assert "of these  1 node and 2 edges were added in front of the starts" in dag.explain()
    best = dagdp.best_path(dag, days)
    assert best.names(dag) == ["permit", "build", "paint", "move"] and best.edges.tolist() == [6, 1, 2, 3]
    assert best.scores == 11 and dp_grad(dag, days, HardMax()).tolist() == [0, 1, 1, 1, 1]
    assert dp_value(dag, days, HardMax(), end=["plan", "build"]).tolist() == [2, 9]  # a start's own weight, too
    assert dagdp.k_best(dag, days, 2).names(dag)[1] == ["plan", "build", "paint", "move"]
    batch = dagdp.compile_batch([graph, graph])
    assert dagdp.best_path(batch, [days, days[[1, 0, 2, 3, 4]]]).names(batch)[1] == ["plan", "build", "paint", "move"]
    copy = pickle.loads(pickle.dumps(dag))
    assert dagdp.best_path(copy, days).names(copy) == best.names(dag)
    with pytest.raises(InputError, match=r"with edge 1 .*, not at a start; first comes the edge from '\(start\)'"):
        dagdp.path_log_prob(dag, days, [1, 2, 3])


@over_operators(BUNDLED)
def test_weights_of_nodes_serve_every_operator(omega):
    """As in a graph whose user wrote the first node and all entries, SquaredL2's charge for a visit included."""
    graph, days = project()
    by_hand = Graph(potentials={"days": (5,)})
    for parent, child in zip(*graph.edges(), strict=True):
        by_hand.add_edge(int(parent), int(child), days=int(child))
    by_hand.add_edge("first", 0, days=0), by_hand.add_edge("first", 1, days=1)
    one, other = (dagdp.dp_value_and_grad(compile(g), [days, -days], omega) for g in (graph, by_hand))
    for array, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(array, same)


def test_a_target_is_given_by_the_user_s_own_nodes():
    nn = pytest.importorskip("dagdp.nn", exc_type=ImportError)
    graph, days = project()
    dag = compile(graph)
    for nodes in (["plan", "build", "paint", "move"], ["(start)", "plan", "build", "paint", "move"]):
        assert nn.Target.from_nodes(dag, nodes).edges.tolist() == [5, 0, 2, 3]
        assert nn.Target.from_nodes(dag, [nodes]).edges.tolist() == [[5, 0, 2, 3]]
    best = dagdp.best_path(dag, days)
    assert nn.Target.from_nodes(dag, best.names(dag)).edges.tolist() == best.edges.tolist()


def test_starts_that_read_nothing_are_not_entered():
    graph = Graph(potentials={"days": (2,)})
    graph.add_edge("a", "b", days=0)
    graph.add_node("c", days=1)
    graph.add_edge("b", "c")
    dag = compile(graph)
    assert dag.graph.added_start is None and dag.graph.nodes == ["a", "b", "c"]
    assert dp_value(dag, [2.0, 3.0], HardMax()) == 5
    graph = Graph(potentials={"days": (2,)}, starts=["b"])  # named: "a" is no start, and dead
    graph.add_node("a", days=0), graph.add_edge("a", "b"), graph.add_edge("b", "c", days=1)
    assert compile(graph).graph.added_start is None


def test_starts_with_entries_may_be_reached_from_others():
    """A path that begins at b, and one that comes by: each reads b once."""
    graph = Graph(potentials={"days": (3,)}, starts=["a", "b"])
    for k, node in enumerate("abc"):
        graph.add_node(node, days=k)
    graph.add_edge("a", "b"), graph.add_edge("b", "c")
    dag = compile(graph)
    found = dagdp.k_best(dag, [1.0, 2.0, 4.0], 5)
    assert found.names(dag) == [["a", "b", "c"], ["b", "c"]] and found.scores.tolist() == [7, 6]


def test_the_added_start_finds_a_free_name():
    graph = Graph(potentials={"days": (2,)})
    graph.add_edge("(start)", "b")
    graph.add_node("(start)", days=0), graph.add_node("b", days=1)
    dag = compile(graph)
    assert dag.graph.nodes == ["(start)", "b", "((start))"]
    assert dagdp.best_path(dag, [2.0, 3.0]).names(dag) == ["(start)", "b"]


def test_an_entry_of_several_axes_and_of_none():
    graph = Graph(potentials={"cost": (2, 3), "all": ()})
    graph.add_node("a", cost=(1, 2), all=()), graph.add_node("b", cost=(0, 1))
    graph.add_edge("a", "b", all=())
    theta = {"cost": np.arange(6.0).reshape(2, 3), "all": np.array(10.0)}
    assert dp_value(compile(graph), theta, HardMax()) == 5 + 10 + 10 + 1


def node_again(**entries: object) -> None:
    graph = Graph(potentials={"days": (3,), "cost": (2, 2)})
    graph.add_node("a", days=2)
    graph.add_node("a")
    graph.add_node("a", days=2)
    graph.add_node("a", **entries)


def edge_and_node(names: Graph) -> None:
    names.add_edge("a", "b", days=0)
    names.add_node("b", days=2)
    compile(names)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: node_again(days=1),
            "node 'a' was given days=1 and reads days=2 already; expected the entries",
        ),
        (lambda: node_again(cost=(0, 1)), r"node 'a' was given cost=\(0, 1\) and reads days=2 already"),
        (
            lambda: edge_and_node(Graph(potentials={"days": (3,)})),
            "edge 'a' -> 'b' reads days=0, and its child node 'b' reads days=2; .* a potential of their own: "
            r"Graph\(potentials={'days': \(3,\), 'on_edges': shape}\)",
        ),
        (lambda: compile(lost_end()), r"end 'd' is reached from no start \('a', 'c'\); add an edge"),
        (lambda: compile(lost_end(starts=["a", "a"])), "starts names a node twice"),
    ],
)
def test_what_is_wrong_with_entries_of_nodes_is_named(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def lost_end(**terminals: object) -> Graph:
    """Nothing leads to the end."""
    graph = Graph(potentials={"days": (1,)}, ends=["d"], **terminals)
    graph.add_edge("a", "b"), graph.add_edge("c", "b"), graph.add_node("d"), graph.add_node("a", days=0)
    return graph


def chain(n):
    return np.arange(n), np.arange(1, n + 1), [np.arange(n) % 2]


def made_chain(n, edges=None):
    sizes = {"num_nodes": n + 1, "num_edges": n if edges is None else edges}
    return Graph.from_maker(chain, (n,), **sizes, starts=[0], ends=[n], potentials={"w": 2})


def test_a_made_graph_keeps_no_edge_and_answers_what_a_listed_one_does():
    dag, theta = compile(made_chain(5)), np.array([1.0, 10.0])
    listed = compile(Graph.from_edges(*chain(5)[:2], potentials={"w": (2, chain(5)[2][0])}))
    assert not any(isinstance(part, np.ndarray) for part in vars(dag.graph).values())
    copies = [dag, pickle.loads(pickle.dumps(dag)), compile(copy.deepcopy(dag.graph)), compile(dag.graph)]
    for one in copies:
        assert dp_value(one, theta, HardMax()) == dp_value(listed, theta, HardMax()) == 23
        assert [nodes.tolist() for nodes in one.graph.edges()] == [nodes.tolist() for nodes in listed.graph.edges()]
        assert one.potentials[0].index.tolist() == listed.potentials[0].index.tolist()
        assert dagdp.best_path(one, theta).edges.tolist() == dagdp.best_path(listed, theta).edges.tolist()
        assert one.explain() == listed.explain()
    assert dp_value(dagdp.compile_batch([dag.graph] * 2), [theta, -theta], HardMax()).tolist() == [23, -23]
    for bad in (np.array([1.0, np.nan]), np.array([np.inf, 0.0])):
        with pytest.raises(InputError, match=r"theta.* is (nan|inf)"):
            dp_value(dag, bad)


def test_readings_of_a_made_graph_share_its_arrays_while_one_holds_them():
    graph = made_chain(4)
    first = graph.listed()
    assert graph.listed() is first and graph.potentials()[0].index is first.indices[0]
    del first
    assert graph._description.source.made() is None


def test_a_maker_that_lists_another_number_of_edges_is_named():
    with pytest.raises(GraphError, match=r"chain made 1 indices and .* edges; expected .* and 7 edges"):
        compile(made_chain(5, edges=7))


def test_arrays_that_nobody_else_writes_to_are_not_copied():
    edges = np.array([0, 1], np.int32), np.array([1, 2], np.int32)
    edges[1].flags.writeable = False
    listed = Graph.from_edges(*edges).listed()
    assert listed.parents is not edges[0] and listed.children is edges[1] and listed.indices[0].dtype == np.int32


def test_a_potential_beyond_32_bits_is_refused():
    with pytest.raises(GraphError, match=r"potential 'w' has shape \(65536, 65536\).*; expected fewer than 2\^31"):
        compile(Graph.from_edges([0], [1], potentials={"w": ((65536, 65536), [2])}))
    with pytest.raises(GraphError, match=r"3600000000 nodes; expected fewer than 2\^31 of each"):
        dagdp.graphs.dtw_grid(60_000, 60_000)  # before any array is made
