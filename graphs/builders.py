"""Descriptions of the field's standard graphs: a few index formulas each, no arithmetic on weights."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from dagdp import CompiledDAG, Graph, GraphError, InputError, compile


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
    _positive("trellis", T=T, S=S)
    if initial not in ("single", "all"):
        raise GraphError(f"initial={initial!r}; expected 'single' (one start) or 'all' (v_0 = 0 in every state)")
    begin = 1 if initial == "single" else S
    t, to, source = np.indices((T, S, S)).reshape(3, -1)
    used = (t > 0) | (source < begin)
    t, to, source = t[used], to[used], source[used]
    parents = np.where(t == 0, source, begin + (t - 1) * S + source)
    children = begin + t * S + to
    last, state = (a.ravel() for a in np.mgrid[0 if ragged else T - 1 : T, 0:S])
    first_end, ends = begin + T * S, T if ragged else 1
    return Graph.from_edges(
        np.concatenate([parents, begin + last * S + state]),
        np.concatenate([children, first_end + (last - last.min())]),
        ends=np.arange(first_end, first_end + ends),
        potentials={"theta": ((T, S, S), np.concatenate([(t * S + to) * S + source, np.full(last.size, -1)]))},
        ends_by_length=(first_end, (T,)) if ragged else None,
    )


def linear_chain(T: int, S: int, ragged: bool = False) -> Graph:
    """A linear-chain CRF: potentials emission (T, S), transition (S, S) as [to, from], start (S,), end (S,).

    A path through states y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}];
    nothing of size T·S·S is ever held. `ragged` as in `trellis`.

    >>> linear_chain(3, 2).num_edges
    12
    """
    _positive("linear_chain", T=T, S=S)
    t, to, source = np.indices((T, S, S)).reshape(3, -1)
    used = (t > 0) | (source == 0)
    t, to, source = t[used], to[used], source[used]
    last, state = (a.ravel() for a in np.mgrid[0 if ragged else T - 1 : T, 0:S])
    none = np.full(last.size, -1)
    parents = np.concatenate([np.where(t == 0, 0, 1 + (t - 1) * S + source), 1 + last * S + state])
    children = np.concatenate([1 + t * S + to, 1 + T * S + (last - last.min())])
    first_end, ends = 1 + T * S, T if ragged else 1
    return Graph.from_edges(
        parents,
        children,
        ends=np.arange(first_end, first_end + ends),
        ends_by_length=(first_end, (T,)) if ragged else None,
        potentials={
            "emission": ((T, S), np.concatenate([t * S + to, none])),
            "transition": ((S, S), np.concatenate([np.where(t > 0, to * S + source, -1), none])),
            "start": ((S,), np.concatenate([np.where(t == 0, to, -1), none])),
            "end": ((S,), np.concatenate([np.full(t.size, -1), state])),
        },
    )


def dtw_grid(N_A: int, N_B: int, band: int | None = None) -> Graph:
    """The alignment grid: a start node, then cells (i, j) as node 1 + i·N_B + j; moves down, right, diagonal.

    One potential `cost` (N_A, N_B), paid on entering a cell, the first included. Moves into a cell stand in
    the order down (from i-1), right (from j-1), diagonal, which decides ties under HardMax.

    band : keep only cells at most `band` cells away from the line between the two corners, counted along the
        longer series (Sakoe-Chiba, slanted for unequal lengths); 0: the cells nearest to the line. Both corners always
        belong to it, every band is connected, and `dtw_grid(m, n, band)` is the transpose of `dtw_grid(n, m, band)`.

    >>> dtw_grid(3, 4).num_edges
    24
    """
    _positive("dtw_grid", N_A=N_A, N_B=N_B)
    i, j = (a.ravel() for a in np.indices((N_A, N_B)))
    inside = np.ones(N_A * N_B, bool)
    if band is not None:
        if isinstance(band, bool) or not isinstance(band, int | np.integer) or band < 0:
            raise GraphError(f"band={band!r}; expected a whole number of cells, at least 0, or None for the full grid")
        # measured between the corners, in whole numbers so that transposing cannot round differently; half a cell to
        # each side of the line always holds a connected path
        skew = np.abs(i * (N_B - 1) - j * (N_A - 1))
        inside = 2 * skew <= max(2 * band, 1) * max(N_A - 1, N_B - 1)
    cell = np.arange(N_A * N_B)
    moves = [(1, 0), (0, 1), (1, 1)]
    parents, children = [np.zeros(1, np.int64)], [np.ones(1, np.int64)]
    for down, right in moves:
        source = cell - down * N_B - right
        kept = inside & (i >= down) & (j >= right)
        kept[kept] = inside[source[kept]]
        parents.append(1 + source[kept])
        children.append(1 + cell[kept])
    into = np.concatenate(children)
    return Graph.from_edges(
        np.concatenate(parents),
        into,
        num_nodes=1 + N_A * N_B,
        starts=[0],
        ends=[N_A * N_B],
        potentials={"cost": ((N_A, N_B), into - 1)},
        ends_by_length=(1, (N_A, N_B)),
    )


def compiled(builder: Callable[..., Graph], *arguments: Any) -> CompiledDAG:
    """`compile(builder(*arguments))`, kept for the next call with the same arguments.

    >>> compiled(trellis, 3, 2) is compiled(trellis, 3, 2)
    True
    """
    return _kept(builder, *arguments)


@lru_cache(maxsize=64)
def _kept(builder: Callable[..., Graph], *arguments: Any) -> CompiledDAG:
    return compile(builder(*arguments))


def ends_of(dag: CompiledDAG, lengths: Any, data: tuple[int, ...]) -> Any:
    """`dag.ends_of(lengths)`, seen to fit the batch dimensions of the data.

    >>> ends_of(compiled(trellis, 3, 2, "single", True), [1, 3], (2,)).tolist()
    [7, 9]
    """
    ends = dag.ends_of(lengths)
    try:
        np.broadcast_shapes(ends.shape, data)
    except ValueError:
        raise InputError(
            f"lengths have shape {ends.shape} and the data has batch dimensions {data}; expected one length for all "
            "items, or one for each"
        ) from None
    return ends


def sizes(array: Any, count: int) -> tuple[int, ...]:
    """The last `count` dimensions as plain numbers, also where a tracer holds them as symbols.

    >>> sizes([[1.0, 2.0]], 2)
    (1, 2)
    """
    return tuple(operator.index(size) for size in np.shape(array)[-count:])


def _positive(builder: str, **sizes: Any) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise GraphError(f"{builder} was given {name}={size!r}; expected a whole number, at least 1")
