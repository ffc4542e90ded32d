"""Derivations from trees of names, as `Derivations.names` returns them: the inverse of that method."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.errors import InputError
from dagdp.paths.request.edge_graph import EdgeGraph, Numbers, edge_graph


def is_tree(given: Any) -> bool:
    """Whether the first of some derivations is a tree (node, subtrees), and no list of edges.

    >>> is_tree(("a", ())), is_tree([[None, ("a", ())]]), is_tree([[0, 1]]), is_tree((0, 1))
    (True, True, False, False)
    """
    while isinstance(given, list) and given:
        given = next((own for own in given if own is not None), None)
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], tuple)


def edges_of_trees(dag: CompiledDAG, trees: Any) -> Numbers:
    """Edges int64 [*axes, L] in preorder, -1 behind the last one, of trees of names, nested in lists for *axes.

    trees : (node, subtrees), with the user's names of nodes, and a subtree for each parent of the edge into the node.
        The nodes "(start)" that a graph may add are left out. None: no derivation, a row of -1.

    Raises InputError for a name that is no node, a node that has no edge from these parents, or several.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([[0, -1], [1, 1]], [1, 2]))
    >>> edges_of_trees(dag, (2, ((1, ((0, ()),)), (1, ((0, ()),))))).tolist()
    [1, 0, 0]
    """
    graph = edge_graph(dag)

    def nested(given: Any) -> Any:
        return [nested(own) for own in given] if isinstance(given, list) else _preorder(graph, given)

    rows = nested(trees)
    longest = max((len(row) for row in _flat(rows)), default=0)

    def padded(given: Any) -> Any:
        return [*given, *[-1] * (longest - len(given))] if isinstance(given, tuple) else [padded(own) for own in given]

    try:
        return np.array(padded(rows), np.int64)
    except ValueError:
        raise InputError("trees stand in lists of unequal length; expected lists nested as [*batch, *axes]") from None


def _flat(rows: Any) -> list[tuple[int, ...]]:
    return [rows] if isinstance(rows, tuple) else [row for own in rows for row in _flat(own)]


def _preorder(graph: EdgeGraph, tree: Any) -> tuple[int, ...]:
    """The edges of one tree."""
    if tree is None:
        return ()
    edges: list[int] = []
    stack = [tree]
    while stack:
        node, subtrees = _parts(stack.pop())
        edge = _edge_into(graph, node, [_parts(below)[0] for below in subtrees])
        if edge is not None:
            edges.append(edge)
        stack += reversed(subtrees)
    return tuple(edges)


def _parts(tree: Any) -> tuple[Any, tuple[Any, ...]]:
    if not isinstance(tree, tuple) or len(tree) != 2 or not isinstance(tree[1], tuple) or len(tree[1]) > 2:
        raise InputError(f"{tree!r} is no tree; expected (node, subtrees), with a tuple of at most two subtrees")
    return tree


def _edge_into(graph: EdgeGraph, name: Any, parents: list[Any]) -> int | None:
    """The edge into a node from these parents; None for a start without parents."""
    node, given = _number(graph, name), [_number(graph, parent) for parent in parents]
    added = graph.own.graph.added_start
    if not given:
        if graph.is_start[node]:
            return None
        given = [] if added is None else [added]
    first, second = (*given, -1, -1)[:2]
    into = graph.in_edges[graph.in_ptr[node] : graph.in_ptr[node + 1]]
    seconds = -1 if graph.seconds is None else graph.seconds[into]
    found = into[(graph.parents[into] == first) & (seconds == second)]
    if found.size != 1:
        tails = ", ".join(repr(parent) for parent in parents) if parents else "a start"
        how_many = "no edge leads" if not found.size else f"{found.size} edges lead"
        mend = "trees of this graph" if not found.size else "the derivation as edge numbers in preorder"
        raise InputError(f"{how_many} from {tails} to {name!r}; expected {mend}")
    return int(found[0])


def _number(graph: EdgeGraph, name: Any) -> int:
    dag, made = graph.own, None
    recurrence = dag.graph.recurrence
    if dag.numbers is not None:
        made = dag.numbers.get(name) if isinstance(name, Hashable) else None
    elif recurrence is not None and name == "(end)":
        made = dag.graph.added_end
    elif recurrence is not None and isinstance(name, tuple) and name and isinstance(name[0], str):
        made = int(recurrence.numbers(name[0], name[1:]))
    elif isinstance(name, int | np.integer) and not isinstance(name, bool) and 0 <= name < graph.users:
        made = int(name)
    if made is None:
        raise InputError(f"a tree has {name!r}, which is no node of the graph")
    return made
