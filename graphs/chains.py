"""Graphs of sequences, by index formulas: the Viterbi trellis, and the linear chain of a CRF."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp import Graph, GraphError
from dagdp.graphs.alignment_grid import positive


def trellis(T: int, S: int, initial: str = "single", ragged: bool = False) -> Graph:
    """The Viterbi graph: S states at each of T steps, one potential `theta` (T, S, S) as [t, to, from].

    Nodes: the start nodes, then step by step the states, then the ends.

    Parameters
    ----------
    T, S : the numbers of steps and of states, at least 1.
    initial : "single": one start node (y_0 = 1), so of theta[0] only theta[0, :, 0] is used; (T-1)S² + 2S edges.
        "all": S start nodes with v_0 = 0, all of theta[0] is used (the paper's Algorithm 3); TS² + S edges.
    ragged : one end after every step instead of one after the last, for `end=`: `dag.ends_of(lengths)` has the ends
        of sequences of these lengths. Without `end=` the value is the maximum over all ends.

    Raises GraphError for sizes below 1, and for any other `initial`.

    >>> trellis(3, 2).num_edges
    12
    """
    positive("trellis", T=T, S=S)
    if initial not in ("single", "all"):
        raise GraphError(f"initial={initial!r}; expected 'single' (one start) or 'all' (v_0 = 0 in every state)")
    begin = 1 if initial == "single" else S
    sizes, ends = _sizes_of_chain(T, S, begin, ragged)
    potentials = {"theta": (T, S, S)}
    return Graph.from_maker(_edges_of_trellis, (T, S, begin, ragged), potentials=potentials, **sizes, **ends)


def linear_chain(T: int, S: int, ragged: bool = False) -> Graph:
    """A linear-chain CRF: potentials emission (T, S), transition (S, S) as [to, from], start (S,), end (S,).

    A path through states y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}]; no
    array has T·S·S entries. T, S and ragged are those of `trellis`. Raises GraphError for sizes below 1.

    >>> linear_chain(3, 2).num_edges
    12
    """
    positive("linear_chain", T=T, S=S)
    sizes, ends = _sizes_of_chain(T, S, 1, ragged)
    potentials = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    return Graph.from_maker(_edges_of_linear_chain, (T, S, ragged), potentials=potentials, **sizes, **ends)


def _sizes_of_chain(T: int, S: int, begin: int, ragged: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """(numbers of nodes and edges, starts and ends) of `begin` start nodes, T x S states, and 1 end, or T if ragged."""
    first_end, ends = begin + T * S, T if ragged else 1
    sizes = {"num_nodes": first_end + ends, "num_edges": begin * S + (T - 1) * S * S + ends * S}
    return sizes, {
        "starts": np.arange(begin),
        "ends": np.arange(first_end, first_end + ends),
        "ends_by_length": (first_end, (T,)) if ragged else None,
    }


def _edges_of_chain(T: int, S: int, begin: int, ragged: bool) -> tuple[Any, Any, tuple[int, int]]:
    """(parents, children, (a, b)): edges before a leave starts, edges from b on enter ends."""
    ends = T if ragged else 1
    a = begin * S
    b = a + (T - 1) * S * S
    parents, children = np.empty(b + ends * S, np.int32), np.empty(b + ends * S, np.int32)
    state = np.arange(begin, begin + T * S, dtype=np.int32).reshape(T, S)
    parents[:a], children[:a] = np.tile(np.arange(begin), S), np.repeat(state[0], begin)
    parents[a:b].reshape(T - 1, S, S)[:] = state[:-1, None, :]
    children[a:b].reshape(T - 1, S, S)[:] = state[1:, :, None]
    parents[b:], children[b:] = state[T - ends :].ravel(), np.repeat(np.arange(ends), S) + begin + T * S
    return parents, children, (a, b)


def _edges_of_trellis(T: int, S: int, begin: int, ragged: bool) -> tuple[Any, Any, list[Any]]:
    parents, children, (a, b) = _edges_of_chain(T, S, begin, ragged)
    entries = np.full(parents.size, -1, np.int32)
    entries[:a] = np.arange(S * S).reshape(S, S)[:, :begin].ravel()
    entries[a:b] = np.arange(S * S, S * S + b - a)
    return parents, children, [entries]


def _edges_of_linear_chain(T: int, S: int, ragged: bool) -> tuple[Any, Any, list[Any]]:
    parents, children, (a, b) = _edges_of_chain(T, S, 1, ragged)
    emission, transition, start, end = (np.full(parents.size, -1, np.int32) for _ in range(4))
    emission[:b] = children[:b] - 1
    transition[a:b].reshape(T - 1, S * S)[:] = np.arange(S * S)
    start[:a] = np.arange(S)
    end[b:].reshape(-1, S)[:] = np.arange(S)
    return parents, children, [emission, transition, start, end]
