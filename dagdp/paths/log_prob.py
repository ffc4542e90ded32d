"""Probabilities of paths under any operator.

log p(Y) = c + Σ_{e in Y} l_e, as the walk makes one independent choice a node:

- in general c = 0 and l_e = log q_e; q is 0 at a threshold (walk_weights.py);
- for operators with the solver "exponential" (Negentropy), log q_e = (θ_e + v_j - v_i)/γ + 1 - corner. Along a path the
  v cancel, so c = -DP_Ω(θ)/γ and l_e = θ_e/γ + 1 - corner: no weight is formed, and none underflows.

A derivation draws one edge at each node that it visits. With hyperedges, x_e = θ_e + v_j + v_k, and the v cancel, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, scalars_of_paths
from dagdp.engine.inputs import checked
from dagdp.errors import InputError
from dagdp.functions import dp_grad, dp_value
from dagdp.omega import Omega
from dagdp.paths.derivations.by_name import edges_of_trees, is_tree
from dagdp.paths.derivations.result import Derivations, turned
from dagdp.paths.derivations.tree_check import checked_trees
from dagdp.paths.request.array_functions import detached, like, namespace, to_numpy
from dagdp.paths.request.path_check import checked_edges
from dagdp.paths.request.request import Request, make_request
from dagdp.paths.result import Paths
from dagdp.paths.walk_weights import walk_weights


def _by_graph(paths: Any) -> Any:
    """A list with the derivations of each graph, whose edges have another order on graphs without hyperedges."""
    if not isinstance(paths, Derivations):
        return paths
    return [paths.of_graph(g) for g in range(paths.lengths.shape[paths.axis_of_graphs()])]


@for_each_graph(scalars_of_paths, once={"paths": _by_graph})
def path_log_prob(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    paths: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """log p(Y) of given paths, in nats: array [*batch, *axes] in theta's dtype, -inf outside the support.

    p(Y) is the product of the local weights q along Y, the choice between several ends included (section A.5); under
    Negentropy p(Y) = exp(score/γ) / Σ exp(scores/γ). Computed in float64; differentiable from torch.

    paths : `Paths` or `Derivations`, or integers [*batch, *axes, L], edge numbers with -1 behind the last edge (of a
        derivation in preorder: an edge, the derivation of its first parent, that of its second); one path [L] serves
        every item of the batch. Or derivations as trees of names, as `Derivations.names` returns them. A path of length
        0, with which `k_best` pads, has -inf; 0 where the end is a start.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError as `dp_value` does, and where a path is no path of the graph (the message names its place); from
    torch also where a derivative depends on a node whose probability is below the smallest float64 (not under
    Negentropy).

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> np.exp(path_log_prob(dag, [1.0, 2.5, 2.0], [[0, 2], [1, -1]], dagdp.SquaredL2(1.0))).tolist()
    [0.5, 0.5]
    """
    request = make_request(dag, theta, minimize, end)
    edges = _checked(request, paths)
    found = density(request, omega)
    xp = namespace(request.arrays[0])
    axes = edges.shape[:-1]
    item = np.arange(request.items).reshape((*request.batch, *[1] * (edges.ndim - len(request.batch))))
    flat = request.edge_graph.parents.size * item + np.maximum(edges, 0)
    terms = found.terms.reshape(-1)[like(found.terms, flat)]
    sums = xp.where(like(found.terms, edges >= 0), terms, xp.zeros_like(terms)).sum(-1)
    constants = found.constant.reshape((*request.batch, *[1] * (len(axes) - len(request.batch))))
    edgeless = request.edgeless.reshape((*request.batch, *[1] * (len(axes) - len(request.batch))))
    empty = request.like((edges < 0).all(-1) & ~edgeless)
    answer = xp.where(empty, xp.full_like(sums, -np.inf), constants + sums)
    underflowed = (found.underflowed.reshape(-1)[flat] & (edges >= 0)).any(-1)
    refuse_underflow(underflowed & np.isfinite(to_numpy(answer)))
    return request.result(answer)


def _checked(request: Request, paths: Any) -> NDArray[np.int64]:
    """The edges of the edge graph on given paths, or derivations, in any order."""
    if request.trees:
        named = edges_of_trees(request.dag, paths) if is_tree(paths) else paths
        return checked_trees(request, named.edges if isinstance(named, Derivations) else named)
    if isinstance(paths, Derivations):
        edges = turned(to_numpy(paths.edges), to_numpy(paths.lengths))
    else:
        edges = paths.edges if isinstance(paths, Paths) else paths
    return checked_edges(request.dag, request, edges)


@dataclass(frozen=True)
class Density:
    """log p(Y) = constant + Σ terms over the edges of Y, added edges included."""

    constant: Any  # [*batch]
    terms: Any  # [*batch, edges + added], -inf on edges that no possible path takes
    underflowed: NDArray[np.bool_]  # like `terms`: where a derivative needs a probability that has underflowed

    def detached(self) -> Density:
        """The density without its derivative."""
        return Density(detached(self.constant), detached(self.terms), np.zeros_like(self.underflowed))


def density(request: Request, omega: Omega | None) -> Density:
    """The path distribution of a request, for any operator."""
    omega = checked(request.edge_graph.dag, omega, None)
    return _of_scores(request, omega) if omega.solver == "exponential" else _of_weights(request, omega)


def _of_scores(request: Request, omega: Omega) -> Density:
    value = dp_value(request.edge_graph.dag, request.theta, omega, end=request.end)
    xp = namespace(request.scores)
    possible = value > -np.inf
    scaled = xp.where(possible, value, xp.zeros_like(value)) / omega.gamma
    terms = request.scores / omega.gamma + (1.0 - omega.corner)
    return Density(-scaled, terms, np.zeros(terms.shape, bool))


def _of_weights(request: Request, omega: Omega) -> Density:
    graph, xp = request.edge_graph, namespace(request.arrays[0])
    q = walk_weights(request, omega)
    underflowed = np.zeros(q.shape, bool)
    if request.tensors and request.scores.requires_grad:
        flow = dp_grad(graph.dag, request.theta, omega, end=request.end)
        visited = flow["node"][..., graph.children]
        sure = like(visited, q > 0) & (flow["edge"] >= np.finfo(np.float64).tiny)
        underflowed = (q > 0) & ~to_numpy(sure)
        q = xp.where(sure, flow["edge"] / xp.where(sure, visited, 1.0), like(visited, q))
    q = request.like(q)
    taken = q > 0
    terms = xp.where(taken, xp.log(xp.where(taken, q, 1.0)), -np.inf)
    return Density(xp.zeros_like(terms[..., 0]), terms, underflowed)


def refuse_underflow(met: Any) -> None:
    """Raise InputError if a derivative depends on a probability that has underflowed."""
    if np.any(met):
        raise InputError(
            "a derivative was asked for at a node whose probability is below the smallest float64; "
            "detach theta, or use a larger gamma"
        )
