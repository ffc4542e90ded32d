"""Paths drawn from the path distribution, by the walk that defines it: from the end back, over q (section A.5)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.jit.decorators import helper
from dagdp.omega import Omega
from dagdp.paths.plain import ask
from dagdp.paths.result import Paths, assemble, of_graphs
from dagdp.paths.threshold import walk_weights


def _is_torch_generator(value: Any) -> bool:
    """Whether the value is a torch generator of random numbers. Without torch imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)


def _generator(seed: Any) -> np.random.Generator:
    """A generator of random numbers from what the user gave."""
    if _is_torch_generator(seed):  # one number of it, so that the next call draws other paths
        torch = sys.modules["torch"]
        seed = int(torch.randint(2**63 - 1, (), generator=seed, device=seed.device))
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"seed is {seed!r}: {error}; expected None, an integer >= 0 or a sequence of them, or a generator, NumPy's "
            "or torch's"
        ) from None


@for_each_graph(of_graphs, once={"seed": _generator})
def sample_paths(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    n: int = 1,
    seed: Any = None,
    *,
    minimize: bool = False,
    end: Any = None,
) -> Paths:
    """n independent draws from the path distribution: `Paths` with leading axes [*batch, n].

    Each draw starts at the end and leaves node i over edge e with probability q_e = `local_weights`; the
    expected path of `dp_grad` is the mean of such draws (Proposition 3). Exact: no approximation, no chain
    to mix, and a path outside the `support` is never drawn.

    seed : whatever `numpy.random.default_rng` takes: an integer >= 0, a sequence of them, a `numpy.random.Generator`;
        or a `torch.Generator`, of which one number is drawn as the seed. The same seed gives the same paths, a
        generator that went on gives others. None: fresh ones. Of a batch of different graphs one generator serves all
        graphs, in their order.
    Other parameters and errors are those of `dp_value`; InputError where n is not a positive number, for any other
    seed, and where an item has no path.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> paths = sample_paths(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0), n=1000, seed=0)
    >>> paths.edges.shape, sorted(set(map(tuple, paths.edges.tolist())))
    ((1000, 2), [(0, 2), (1, -1)])
    >>> bool(abs((paths.lengths == 2).mean() - 0.5) < 0.05)
    True
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"n is {n!r}; expected a positive number of draws")
    question = ask(dag, theta, minimize, end)
    known = question.plain
    q = walk_weights(question, checked(dag, omega, None))
    edges = np.full((question.last().size, n, known.longest), -1)
    generator = _generator(seed)
    _walk_all(known.in_ptr, known.in_edges, known.parents, question.rows(q), question.last(), generator, edges)
    lost = np.argwhere((edges[:, 0, :1] < 0).all(-1).reshape(question.batch) & ~question.edgeless)
    if len(lost):
        item = ", ".join(map(str, lost[0].tolist()))
        raise InputError(
            f"{f'item {item} has' if item else 'there is'} no path to draw: no start reaches its end, or every path "
            "takes a forbidden edge; expected a path for every item: leave such items out"
        )
    return assemble(question, edges.reshape(*question.batch, int(n), known.longest), draws=True)


@helper
def _sum_up(in_ptr: Any, in_edges: Any, q: Any, node: int, below: Any) -> None:
    """At each place of the node, the q of its edges up to there."""
    total = 0.0
    for p in range(in_ptr[node], in_ptr[node + 1]):
        total += q[in_edges[p]]
        below[p] = total


@helper
def _walk_back(
    in_ptr: Any, in_edges: Any, parents: Any, q: Any, end: int, generator: Any, edges: Any, below: Any, met: Any, b: int
) -> None:
    """Draw edges [n, longest] from the end back and turn each path round. `met` tells nodes that item b has met."""
    for draw in range(edges.shape[0]):
        node, length = end, 0
        while in_ptr[node] < in_ptr[node + 1]:
            base, stop = in_ptr[node], in_ptr[node + 1]
            if met[node] != b:
                _sum_up(in_ptr, in_edges, q, node, below)
                met[node] = b
            if below[stop - 1] <= 0.0:
                break
            level = generator.random() * below[stop - 1]
            # an edge of weight 0 has the same sum as the one before it, and so is never the first above the level
            place = min(base + np.searchsorted(below[base:stop], level, side="right"), stop - 1)
            while q[in_edges[place]] == 0.0:  # the product was rounded up to the whole sum
                place -= 1
            e = in_edges[place]
            edges[draw, length] = e
            length += 1
            node = parents[e]
        if length > 0:
            edges[draw, :length] = edges[draw, :length][::-1].copy()


@helper
def _walk_all(in_ptr: Any, in_edges: Any, parents: Any, q: Any, ends: Any, generator: Any, edges: Any) -> None:
    """All items: `q` and `edges` have one more axis in front, and `ends` [items] says where to begin."""
    below, met = np.empty(in_edges.shape[0]), np.full(in_ptr.shape[0], -1)
    for b in range(ends.shape[0]):
        _walk_back(in_ptr, in_edges, parents, q[b], ends[b], generator, edges[b], below, met, b)
