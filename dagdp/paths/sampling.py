"""Paths drawn from the path distribution, by the walk from the end back that defines it (section A.5)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.omega import Omega
from dagdp.paths.derivations.ranked import drawn_trees, trees_of
from dagdp.paths.derivations.result import of_graphs
from dagdp.paths.loops.walks import draw_paths
from dagdp.paths.request.request import make_request
from dagdp.paths.result import assemble
from dagdp.paths.walk_weights import walk_weights


def _is_torch_generator(value: Any) -> bool:
    """Whether the value is a `torch.Generator`, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)


def _generator(seed: Any) -> np.random.Generator:
    """A generator of random numbers from the user's `seed`."""
    if _is_torch_generator(seed):  # draws one number, so that the next call draws other paths
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
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """n independent draws from the path distribution: `Paths` with axes [*batch, n].

    On a graph with hyperedges draws of derivations: `Derivations` with axes [*batch, n]. Each node that is derived
    draws one edge into it, and then both parents of that edge are derived.

    Each draw starts at the end and leaves node i over edge e with probability q_e = `local_weights` (section A.5); the
    expected path of `dp_grad` is the mean of such draws (Proposition 3). Draws are exact, without approximation or a
    chain to mix, and a path outside the `support` is never drawn.

    seed : an argument of `numpy.random.default_rng`: an integer >= 0, a sequence of them, or a
        `numpy.random.Generator`; or a `torch.Generator`, of which one number is drawn as the seed. Equal seeds give
        equal paths; a generator that has advanced gives other paths. None: fresh randomness. Of a batch of different
        graphs one generator serves all graphs, in their order.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError as `dp_value` does, and where n is not a positive integer, for any other seed, and where an item
    has no path.

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
    request = make_request(dag, theta, minimize, end)
    graph, ends = request.edge_graph, request.end_nodes()
    q = walk_weights(request, checked(dag, omega, None))
    if request.trees:
        edges = drawn_trees(request, request.rows(q), int(n), _generator(seed))
    else:
        edges = np.full((ends.size, n, graph.longest), -1)
        draw_paths(graph.incoming, request.rows(q), ends, _generator(seed), edges)
    lost = np.argwhere((edges[:, 0, :1] < 0).all(-1).reshape(request.batch) & ~request.edgeless)
    if len(lost):
        item = ", ".join(map(str, lost[0].tolist()))
        raise InputError(
            f"{f'item {item} has' if item else 'there is'} no path to draw: no start reaches its end, or every path "
            "takes a forbidden edge; expected a path for every item: leave such items out"
        )
    if request.trees:
        return trees_of(request, edges, draws=True)
    return assemble(request, edges.reshape(*request.batch, int(n), graph.longest), draws=True)
