"""Graphs of networkx, in and out: against networkx' own longest and shortest paths, and enumerated ones."""

from __future__ import annotations

import sys

import networkx
import numpy as np
import pytest

import dagdp
from dagdp import Graph, GraphError, HardMax, InputError, compile, dp_grad, dp_value, from_networkx, to_networkx


def test_networkx_theta_follows_the_edges_of_g():
    G = networkx.MultiDiGraph()
    G.add_edge("b", "c", cost=3.0)
    G.add_edge("a", "b", cost=1.0)
    G.add_edge("a", "b", cost=2.0)
    G.add_edge("a", "c", cost=4.0)
    graph, theta = from_networkx(G, weight="cost")
    assert theta.tolist() == [d for _, _, d in G.edges(data="cost")]
    path = dict(zip(G.edges, dp_grad(compile(graph), theta, HardMax()), strict=True))
    assert {edge for edge, flow in path.items() if flow} == {("a", "b", 1), ("b", "c", 0)}


def test_networkx_names_the_edge_without_the_attribute():
    G = networkx.DiGraph([("a", "b", {"weight": 1.0}), ("b", "c")])
    with pytest.raises(GraphError, match=r"edge \('b', 'c'\) has no attribute 'weight'; set it on every edge"):
        from_networkx(G)
    H = networkx.MultiDiGraph([("a", "b", {"weight": "x"})])
    with pytest.raises(GraphError, match=r"edge \('a', 'b', 0\) has 'x', not a number, as 'weight'"):
        from_networkx(H)


def test_networkx_takes_starts_and_ends():
    G = networkx.DiGraph()
    G.add_weighted_edges_from([("a", "b", 1.0), ("b", "c", 2.0), ("b", "d", 4.0), ("x", "c", 9.0)])
    graph, theta = from_networkx(G, starts=["a"], ends=["c"])
    assert dp_value(compile(graph), theta, HardMax()) == 3


def weighted(seed: int, size: int = 8, multi: bool = False) -> networkx.DiGraph:
    """A random DAG with "cost" on edges and "days" on nodes, positive; every node is on an edge."""
    rng = np.random.default_rng(seed)
    G = (networkx.MultiDiGraph if multi else networkx.DiGraph)()
    order = [str(name) for name in rng.permutation(size)]
    for k in range(1, size):
        for parent in rng.integers(0, k, size=2):
            G.add_edge(order[parent], order[k], cost=float(rng.uniform(1, 5)))
    for node in G:
        G.nodes[node]["days"] = float(rng.uniform(1, 5))
    return G


def split(G: networkx.DiGraph, edges: bool) -> networkx.DiGraph:
    """The graph whose nodes are edges from (node, 0) to (node, 1): networkx weighs edges alone."""
    H = networkx.DiGraph()
    for node, days in G.nodes(data="days"):
        H.add_edge((node, 0), (node, 1), weight=days)
    for parent, child, cost in G.edges(data="cost"):
        H.add_edge((parent, 1), (child, 0), weight=cost if edges else 0.0)
    return H


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [None, "cost"])
def test_the_critical_path_is_the_longest_of_networkx(seed, weight):
    G = weighted(seed)
    ends = [node for node in G if not G.out_degree(node)]
    graph, theta = from_networkx(G, weight, node_weight="days", target=ends)
    dag = compile(graph)
    H = split(G, weight is not None)
    longest = networkx.dag_longest_path(H)
    assert dagdp.best_path(dag, theta).names(dag) == [node for node, side in longest if side == 0]
    assert dp_value(dag, theta, HardMax()) == pytest.approx(networkx.path_weight(H, longest, "weight"))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_source_and_a_target_as_in_shortest_path(seed, multi):
    G = weighted(seed, multi=multi)
    order = list(networkx.topological_sort(G))
    source, target = next((a, b) for a in order[1:] for b in reversed(order) if networkx.has_path(G, a, b) and a != b)
    graph, theta = from_networkx(G, "cost", source=source, target=target)
    dag = compile(graph)
    path = dagdp.best_path(dag, theta, minimize=True)
    assert path.names(dag) == networkx.shortest_path(G, source, target, weight="cost")
    assert path.scores == pytest.approx(networkx.shortest_path_length(G, source, target, weight="cost"))
    graph, theta = from_networkx(G, "cost", node_weight="days", source=[source], target={target})
    found = dagdp.k_best(compile(graph), theta, 3).names(compile(graph))
    simple = {tuple(path) for path in networkx.all_simple_paths(G, source, target)}
    days = networkx.get_node_attributes(G, "days")
    if not multi:
        scores = {path: sum(map(days.get, path)) + networkx.path_weight(G, path, "cost") for path in simple}
        assert found == [list(path) for path in sorted(scores, key=scores.get, reverse=True)[:3]]
    assert {tuple(path) for path in found} <= simple


def test_a_tuple_that_is_a_node_is_one_source():
    G = networkx.DiGraph([((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1)), ((1, 0), (1, 1))])
    networkx.set_edge_attributes(G, 1.0, "weight")
    graph, theta = from_networkx(G, source=(0, 1), target=(1, 1))
    assert dp_grad(compile(graph), theta).tolist() == [0, 0, 1, 0]
    graph, theta = from_networkx(G, source=((0, 1), (1, 0)), target=[(1, 1)])  # a tuple that is none: nodes
    assert dp_grad(compile(graph), theta).tolist() == [0, 0, 0.5, 0.5]


def days_of(G: networkx.DiGraph, **options: object) -> tuple[Graph, np.ndarray]:
    return from_networkx(G, None, node_weight="days", **options)


LONE = networkx.DiGraph([("a", "b")])
LONE.add_nodes_from([(node, {"days": 1.0}) for node in "abc"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_networkx(networkx.Graph()), "given Graph; expected a DiGraph or a MultiDiGraph"),
        (lambda: from_networkx(LONE, None), "weight=None and no node_weight: nothing would have a weight"),
        (
            lambda: from_networkx(LONE, node_weight="days"),
            r"edge \('a', 'b'\) has no .*; weight=None reads none",
        ),
        (lambda: from_networkx(LONE, None, node_weight="day"), "node 'a' has no attribute 'day'; set it on every node"),
        (lambda: days_of(networkx.DiGraph([("a", "b", {"days": 1})])), "node 'a' has no attribute 'days'"),
        (lambda: days_of(LONE), "node 'c' is both a start and an end, a path without an edge"),
        (lambda: days_of(LONE, source="x"), "source 'x' is no node of G; expected a node, or a list of nodes"),
        (lambda: days_of(LONE, target=["b", 7]), "target 7 is no node of G"),
        (lambda: days_of(LONE, target="b", ends=["b"]), "target= and ends= were both given"),
        (lambda: days_of(LONE, starts="a"), r"starts is the text 'a'; expected a list"),
    ],
)
def test_what_is_wrong_with_a_networkx_graph_is_named(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_a_node_that_no_path_visits_needs_no_edge():
    graph, theta = days_of(LONE, target="b")
    assert dp_value(compile(graph), theta, HardMax()) == 2


def attributes(G: networkx.DiGraph, name: str) -> list:
    """By edge number."""
    return [value for _, value in sorted((data["edge"], data[name]) for *_, data in G.edges(data=True))]


@pytest.mark.parametrize("multi", [False, True])
def test_there_and_back(multi):
    G = weighted(3, multi=multi)
    order = list(networkx.topological_sort(G))
    graph, theta = from_networkx(G, "cost", source=order[0], target=order[-1])
    dag = compile(graph)
    flow = dp_grad(dag, theta)
    H = to_networkx(dag, flow, theta=theta)
    assert type(H) is type(G) and set(H) == set(G)
    assert attributes(H, "edge") == list(range(len(theta)))
    assert attributes(H, "weight") == theta.tolist() and attributes(H, "flow") == flow.tolist()
    assert [not dead for dead in attributes(H, "dead")] == (flow > 0).tolist()
    assert H.graph == {"starts": [order[0]], "ends": [order[-1]]}
    again, weights = from_networkx(H, starts=H.graph["starts"], ends=H.graph["ends"])
    assert dp_value(compile(again), weights) == pytest.approx(dp_value(dag, theta))
    np.testing.assert_allclose(dp_grad(compile(again), weights), [f for *_, f in H.edges(data="flow")])


@pytest.mark.parametrize("kind", ["numpy", "float32 tensor"])
def test_weights_of_several_potentials_are_summed_on_edges(kind):
    graph = Graph(potentials={"days": (3,), "lag": (2,)})
    for k, node in enumerate("abc"):
        graph.add_node(node, days=k)
    graph.add_edge("b", "c", lag=0), graph.add_edge("a", "b", lag=1), graph.add_edge("a", "c")
    theta = {"days": np.array([1.0, 2.0, 4.0]), "lag": np.array([0.5, 0.25])}
    if kind != "numpy":
        torch = pytest.importorskip("torch")
        theta = {name: torch.tensor(block, dtype=torch.float32, requires_grad=True) for name, block in theta.items()}
    dag = compile(graph)
    H = to_networkx(dag, [1, 1, 0, 1], theta=theta)
    assert attributes(H, "weight") == [4.5, 2.25, 4.0, 1.0] and attributes(H, "flow") == [1, 1, 0, 1]
    assert H.edges["(start)", "a"]["weight"] == 1.0 and list(H) == ["a", "b", "c", "(start)"]
    again, weights = from_networkx(H)
    assert dp_value(compile(again), weights, HardMax()) == 7.75 == dp_value(dag, theta, HardMax())


def test_flow_of_entries_that_edges_read_in_another_order():
    dag = compile(Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"w": ((2, 2), [3, 0, 2])}))
    theta = np.array([[1.0, 9.0], [2.0, 3.0]])
    E = dp_grad(dag, theta, HardMax())
    for flow in (E, {"w": E}):
        H = to_networkx(dag, flow, theta=theta)
        assert attributes(H, "flow") == [1, 0, 1] and attributes(H, "weight") == [3, 1, 2] and list(H) == [0, 1, 2]
    assert "flow" not in to_networkx(dag).edges[0, 1]


TIED = compile(Graph.from_edges([0, 0, 1], [1, 2, 2], potentials={"w": (2, [0, 1, 0])}))
BARE = compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: to_networkx(Graph()),
            r"given Graph\(0 nodes, 0 edges\); expected a CompiledDAG: dagdp",
        ),
        (lambda: to_networkx(BARE, np.ones((5, 3))), r"flow has shape \(5, 3\); expected \[3\], what dp_grad returns"),
        (
            lambda: to_networkx(BARE, theta=np.ones((5, 3))),
            r"batch dimensions \(5,\); expected the weights of one",
        ),
        (lambda: to_networkx(BARE, theta=np.ones(2)), r"theta has shape \(2,\); expected \[\*batch, 3\]"),
        (lambda: to_networkx(TIED, np.ones(2)), r"shape \(2,\); expected \[3\], one number for each edge. dp_grad has"),
        (
            lambda: to_networkx(TIED, {"w": np.ones(2)}),
            r"flow is a dict with keys \['w'\]; expected an array \[3\]",
        ),
        (lambda: to_networkx(BARE, ["a", "b", "c"]), "flow has dtype <U1; expected real numbers"),
    ],
)
def test_what_to_networkx_cannot_take_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_without_networkx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="to_networkx needs networkx, which is not installed: pip install networkx"):
        to_networkx(BARE)
