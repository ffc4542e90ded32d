"""Descriptions of the field's standard graphs: a few index formulas each, no arithmetic on weights."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dagdp import CompiledDAG, Graph, GraphError, InputError
from dagdp.graphs.grid import dtw_grid as dtw_grid
from dagdp.graphs.grid import positive
from dagdp.graphs.kept import Shelf


def trellis(T: int, S: int, initial: str = "single", ragged: bool = False) -> Graph:
    """The Viterbi graph: S states at each of T steps, one potential `theta` (T, S, S) as [t, to, from].

    Parameters
    ----------
    initial : "single": one start node (y_0 = 1), so of theta[0] only theta[0, :, 0] is used; (T-1)S² + 2S edges.
        "all": S start nodes with v_0 = 0, all of theta[0] is used (the paper's Algorithm 3); TS² + S edges.
    ragged : one end after every step instead of one after the last, for `end=`: `dag.ends_of(lengths)` has the ends
        of sequences of these lengths. Without `end=` the value is the maximum over all of them.

    Nodes: the start nodes, then step by step the states, then the ends.

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

    A path through states y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}];
    nothing of size T·S·S is ever held. `ragged` as in `trellis`.

    >>> linear_chain(3, 2).num_edges
    12
    """
    positive("linear_chain", T=T, S=S)
    sizes, ends = _sizes_of_chain(T, S, 1, ragged)
    potentials = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    return Graph.from_maker(_edges_of_linear_chain, (T, S, ragged), potentials=potentials, **sizes, **ends)


def _sizes_of_chain(T: int, S: int, begin: int, ragged: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of `begin` start nodes, T x S states and one end, or T: (number of nodes and edges, starts and ends)."""
    first_end, ends = begin + T * S, T if ragged else 1
    sizes = {"num_nodes": first_end + ends, "num_edges": begin * S + (T - 1) * S * S + ends * S}
    return sizes, {
        "starts": np.arange(begin),
        "ends": np.arange(first_end, first_end + ends),
        "ends_by_length": (first_end, (T,)) if ragged else None,
    }


def _edges_of_chain(T: int, S: int, begin: int, ragged: bool) -> tuple[Any, Any, tuple[int, int]]:
    """(parents, children, (a, b)): the first a edges leave starts, those from b on enter ends; states to by from."""
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


_shelf = Shelf()
NOT_GROWN = (np.ndarray, list, tuple, int, float)  # a tuple: torch.compile cannot follow a union of types


def compiled(builder: Callable[..., Graph], *arguments: Any, axes: int = 0, grown: tuple[Any, ...] = ()) -> CompiledDAG:
    """`compile(builder(*arguments))`, kept for the next call with the same arguments.

    axes : how many of the arguments, the first, are sizes of data: a graph of larger sizes may serve, made with
        `grown` in the place of the other arguments. See `Shelf.serving`.

    >>> compiled(trellis, 3, 2) is compiled(trellis, 3, 2)
    True
    """
    if not axes:
        return _shelf.graph(builder, *arguments)
    return _shelf.serving(builder, arguments[:axes], arguments[axes:], grown)


def ends_in(dag: CompiledDAG, lengths: Any, own: tuple[int, ...], data: tuple[int, ...]) -> Any:
    """`end=` for data of sizes `own`, which may fill a part of the graph only: None where it ends with the graph.

    lengths : of each item, None where all items are as long as the data. They have to fit its batch dimensions.

    >>> dag = compiled(trellis, 3, 2, "single", True)
    >>> ends_in(dag, [1, 3], (3,), (2,)).tolist(), ends_in(dag, None, (2,), (2,))
    ([7, 9], 8)
    """
    rule = dag.ends_by_length
    if lengths is None:
        if rule is None:
            return None
        first, whole = rule
        if own == whole and dag.ends.size == 1:
            return None
        steps = 0
        for size, most in zip(own, whole, strict=True):
            steps = steps * most + size - 1
        return first + steps
    ends = dag.ends_of(lengths, most=own)
    try:
        np.broadcast_shapes(ends.shape, data)
    except ValueError:
        raise InputError(
            f"lengths have shape {ends.shape} and the data has batch dimensions {data}; expected one length for all "
            "items, or one for each"
        ) from None
    return ends


def padded(values: Any, own: tuple[int, ...], whole: tuple[int, ...], what: str = "theta") -> Any:
    """The array or tensor [*batch, *own] as [*batch, *whole], with zeros behind it.

    >>> padded(np.ones((1, 2)), (1, 2), (2, 2)).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    if own == whole:
        return values
    shape = tuple(np.shape(values))
    if shape[len(shape) - len(own) :] != own:
        raise InputError(f"{what} has shape {shape}; expected [*batch, {', '.join(map(str, own))}]")
    if isinstance(values, np.ndarray):
        made = np.zeros((*shape[: len(shape) - len(own)], *whole), values.dtype)
        made[corner(own)] = values
        return made
    behind = [number for n, m in zip(own[::-1], whole[::-1], strict=True) for number in (0, m - n)]
    return sys.modules["torch"].nn.functional.pad(values, behind)


def cut(result: Any, own: tuple[int, ...]) -> Any:
    """The part [*batch, *own] of a result on a larger graph, as an array of its own.

    >>> cut(np.eye(3), (1, 2)).tolist()
    [[1.0, 0.0]]
    """
    if tuple(result.shape[result.ndim - len(own) :]) == own:
        return result
    part = result[corner(own)]
    return part.copy() if isinstance(part, np.ndarray) else part.clone()


def corner(own: tuple[int, ...]) -> tuple[Any, ...]:
    """The index of [*batch, *own] in a larger array.

    >>> corner((2,))
    (Ellipsis, slice(None, 2, None))
    """
    return (..., *(slice(None, size) for size in own))


def may_grow(values: Any) -> bool:
    """Whether what was given can be brought to another size without a word: not lists, nor masked arrays.

    >>> may_grow(np.ones(2)), may_grow([1.0])
    (True, False)
    """
    return type(values) is np.ndarray or not isinstance(values, NOT_GROWN)


def sizes(array: Any, count: int) -> tuple[int, ...]:
    """The last `count` dimensions as plain numbers, also where a tracer holds them as symbols.

    >>> sizes([[1.0, 2.0]], 2)
    (1, 2)
    """
    return tuple(operator.index(size) for size in np.shape(array)[-count:])
