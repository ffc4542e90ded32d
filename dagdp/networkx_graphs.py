"""Conversion from networkx, with weights of edges and nodes, and to networkx, with results."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.array_kinds import is_tensor, plain_array
from dagdp.compiled.dag import CompiledDAG
from dagdp.describe.graph import Graph
from dagdp.describe.linear_reads import triples
from dagdp.describe.misuse import short
from dagdp.engine.inputs import collect
from dagdp.errors import GraphError, InputError

Numbers = NDArray[np.float64]
Nodes = Hashable | Iterable[Hashable]


def from_networkx(
    G: Any,
    weight: str | None = "weight",
    *,
    node_weight: str | None = None,
    source: Nodes | None = None,
    target: Nodes | None = None,
    starts: Iterable[Hashable] | None = None,
    ends: Iterable[Hashable] | None = None,
    minimize: bool = False,
) -> tuple[Graph, NDArray[np.float64]]:
    """(graph, theta) of a networkx DiGraph or MultiDiGraph; theta float64 [edges] in the order of `G.edges`.

    Edge number e is edge number e of `G.edges` (with keys for a MultiDiGraph: parallel edges are different edges), so
    `dict(zip(G.edges, dp_grad(compile(graph), theta)))` is the expected path on the edges of G. Nodes without edges are
    left out.

    weight : the attribute of edges that holds their weight, or None where only nodes have weights.
    node_weight : the attribute of nodes that holds their weight: added to all edges into a node, and the weight of a
        start to the edges out of the start. The sum of theta along a path is then the sum over its edges and nodes.
    source, target : where paths begin and end: a node of G, or a list of nodes. Default: nodes without parents, nodes
        without children. `starts` and `ends`, as in `Graph`, are other names for `source` and `target`.
    minimize : True where the weights are costs, as in `Graph`.

    Raises GraphError for anything but a directed graph, an edge or a node without the attribute, a source or target
    that is no node of G, a source given together with starts (or a target with ends), and, with `node_weight`, a node
    that is both a start and an end: no edge could carry its weight.

    Example
    -------
    >>> import networkx
    >>> G = networkx.DiGraph()
    >>> G.add_weighted_edges_from([("a", "b", 1.0), ("b", "c", 2.0), ("a", "c", 2.5)])
    >>> graph, theta = from_networkx(G)
    >>> theta.tolist(), list(G.edges)[1]
    ([1.0, 2.5, 2.0], ('a', 'c'))
    >>> G.add_nodes_from([("a", {"days": 10.0}), ("b", {"days": 20.0}), ("c", {"days": 30.0})])
    >>> from_networkx(G, weight=None, node_weight="days")[1].tolist()
    [30.0, 40.0, 30.0]
    """
    if not hasattr(G, "is_directed") or not G.is_directed():
        raise GraphError(f"from_networkx was given {type(G).__name__}; expected a DiGraph or a MultiDiGraph")
    if weight is None and node_weight is None:
        raise GraphError(
            "weight=None and no node_weight: nothing would have a weight; name an attribute, or give every edge one: "
            "networkx.set_edge_attributes(G, 1.0, 'weight')"
        )
    starts = _terminals(G, "source", source, "starts", starts)
    ends = _terminals(G, "target", target, "ends", ends)
    graph = Graph(starts=starts, ends=ends, minimize=minimize)
    edges = list(G.edges(keys=True, data=True) if G.is_multigraph() else G.edges(data=True))
    theta = np.zeros(len(edges))
    hint = "" if node_weight is None else "; weight=None reads none, where only nodes have weights"
    for e, (*edge, data) in enumerate(edges):
        graph.add_edge(edge[0], edge[1])
        if weight is not None:
            theta[e] = _number(f"edge {tuple(edge)!r}", data, weight, f"edge, or name another with weight={hint}")
    if node_weight is not None:
        theta += _of_nodes(G, edges, node_weight, starts, ends)
    return graph, theta


def _of_nodes(
    G: Any, edges: list[Any], attribute: str, starts: Iterable[Hashable] | None, ends: Iterable[Hashable] | None
) -> Numbers:
    """[edges] weights of nodes: the child's weight, plus the parent's if the parent is a start."""
    hint = "node, or name another with node_weight="
    weights = {node: _number(f"node {node!r}", data, attribute, hint) for node, data in G.nodes(data=True)}
    first = {node for node in G if not G.in_degree(node)} if starts is None else set(starts)
    last = {node for node in G if not G.out_degree(node)} if ends is None else set(ends)
    alone = [node for node in G if node in first and node in last]
    if alone:
        raise GraphError(
            f"node {alone[0]!r} is both a start and an end, a path without an edge that could carry its {attribute!r}; "
            "expected an edge on every path. Add a node of weight 0 in front of the starts, or leave the node out"
        )
    return np.array(
        [
            (0.0 if child in first else weights[child]) + (weights[parent] if parent in first else 0.0)
            for parent, child, *_ in edges
        ]
    )


def _number(what: str, data: Any, attribute: str, where: str) -> float:
    value = data.get(attribute)
    try:
        return float(value)
    except (TypeError, ValueError):
        problem = "has no attribute" if value is None else f"has {value!r}, not a number, as"
        raise GraphError(f"{what} {problem} {attribute!r}; set it on every {where}") from None


def _terminals(
    G: Any, word: str, given: Nodes | None, other: str, named: Iterable[Hashable] | None
) -> list[Any] | str | None:
    """The nodes that `source=` or `starts=` names; None for the default."""
    if given is not None and named is not None:
        raise GraphError(f"{word}= and {other}= were both given, and say the same; expected one of them")
    if given is None:
        return named if named is None or isinstance(named, str) else list(named)  # Graph raises for a string
    if given in G:  # a node may be named by a tuple
        return [given]
    nodes: list[Any] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    for node in nodes:
        if node not in G:
            raise GraphError(f"{word} {node!r} is no node of G; expected a node, or a list of nodes")
    return nodes


def to_networkx(dag: CompiledDAG, flow: ArrayLike | None = None, *, theta: Any = None) -> Any:
    """A networkx DiGraph of a compiled graph, with the user's node names; a MultiDiGraph if edges are parallel.

    Every edge has the attributes "edge", its number, and "dead", whether it lies on no path from a start to an end.
    networkx orders edges differently; "edge" identifies them. `G.graph["starts"]` and `G.graph["ends"]` are lists of
    nodes. A node "(start)" that `Graph.add_node` added is a node of G, too, as the edges from it carry weights.

    flow : for an attribute "flow" of edges, the expected path of one item: the result of `dp_grad`; if edges share
        entries, or read several, or none, one number for each edge of `dag.graph`, [edges].
    theta : for an attribute "weight" of edges, the weights of one item, as `dp_value` takes them. An edge that reads
        several entries has their sum. `from_networkx(G, starts=G.graph["starts"], ends=G.graph["ends"])` then has equal
        value.

    flow and theta may be arrays or tensors. Raises InputError for anything but a CompiledDAG, and for arrays of another
    shape or of several items; ImportError without networkx.

    Example
    -------
    >>> import dagdp
    >>> graph = dagdp.Graph()
    >>> graph.add_edge("home", "cafe"), graph.add_edge("cafe", "work"), graph.add_edge("home", "work")
    (0, 1, 2)
    >>> dag, theta = dagdp.compile(graph), [1.0, 1.0, 1.5]
    >>> G = to_networkx(dag, dagdp.dp_grad(dag, theta, dagdp.HardMax()), theta=theta)
    >>> G.edges["home", "work"]
    {'edge': 2, 'dead': False, 'weight': 1.5, 'flow': 0.0}
    >>> [edge[:2] for edge in G.edges(data="flow") if edge[2] > 0]
    [('home', 'cafe'), ('cafe', 'work')]
    """
    if not isinstance(dag, CompiledDAG):
        raise InputError(
            f"to_networkx was given {short(dag)}; expected a CompiledDAG: dagdp.compile(graph). The graphs of a batch "
            "go one by one"
        )
    if dag.has_hyperedges:
        raise InputError(
            "to_networkx was given a graph with hyperedges, which a networkx graph cannot hold; read them from "
            "dag.graph.edges() and dag.graph.second_parents()"
        )
    try:
        import networkx
    except ImportError as error:
        raise ImportError("to_networkx needs networkx, which is not installed: pip install networkx") from error
    parents, children = dag.graph.edges()
    names = [dag.graph.name(node) for node in range(dag.graph.num_nodes)]
    dead = np.ones(parents.size, bool)
    dead[dag.edges[dag.edges >= 0]] = False
    attributes: dict[str, list[Any]] = {"edge": list(range(parents.size)), "dead": dead.tolist()}
    if theta is not None:
        attributes["weight"] = _weights(dag, theta).tolist()
    if flow is not None:
        attributes["flow"] = _flow(dag, flow).tolist()
    parallel = np.unique(parents * len(names) + children).size < parents.size
    starts, ends = ([names[node] for node in nodes.tolist()] for nodes in (dag.starts, dag.ends))
    G = (networkx.MultiDiGraph if parallel else networkx.DiGraph)(starts=starts, ends=ends)
    G.add_nodes_from(names)
    rows = zip(*attributes.values(), strict=True)
    for parent, child, row in zip(parents.tolist(), children.tolist(), rows, strict=True):
        G.add_edge(names[parent], names[child], **dict(zip(attributes, row, strict=True)))
    return G


def _weights(dag: CompiledDAG, theta: Any) -> Numbers:
    """float64 [edges], the sum of the entries that each edge reads."""
    _, arrays, batches = collect(dag, theta, "theta", _on_host)
    total = np.zeros(dag.graph.num_edges)
    for potential, array, batch in zip(dag.potentials, arrays, batches, strict=True):
        if batch:
            raise InputError(f"theta has batch dimensions {batch}; expected the weights of one item, as theta[0]")
        reads = triples(potential.reads)
        np.add.at(total, reads.edge, reads.coefficient * array.reshape(-1)[reads.entry])
    return total


def _flow(dag: CompiledDAG, flow: Any) -> Numbers:
    """float64 [edges], from the result of `dp_grad`, or from one number for each edge."""
    first, size = dag.potentials[0], dag.graph.num_edges
    own = (
        dag.plain is None
        and len(dag.potentials) == 1
        and first.index.min() >= 0
        and np.unique(first.index).size == size
    )
    if isinstance(flow, dict) and own and set(flow) == {first.name}:
        flow = flow[first.name]
    if own:
        expected = f"{list(first.shape)}, what dp_grad returns for one item"
    else:
        expected = (
            f"[{size}], one number for each edge. dp_grad has one for each entry, and edges share entries, or read "
            "several, or none; the graph that from_networkx makes of to_networkx(dag, theta=theta) has a weight an edge"
        )
    if isinstance(flow, dict):
        raise InputError(f"flow is a dict with keys {sorted(map(str, flow))}; expected an array {expected}")
    array = _on_host(flow, "flow")
    if array.shape != (first.shape if own else (size,)):
        raise InputError(f"flow has shape {array.shape}; expected {expected}")
    return array.reshape(-1)[first.index] if own else array


def _on_host(value: Any, label: str) -> Numbers:
    array = value.detach().cpu().double().numpy() if is_tensor(value) else plain_array(value, label)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{label} has dtype {array.dtype}; expected real numbers")
    return array.astype(np.float64)
