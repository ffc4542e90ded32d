"""Probabilities of paths, under any operator.

log p(Y) = c + Σ_{e in Y} part_e, as the walk makes one independent choice a node:

- in general c = 0 and part_e = log q_e, q being 0 at a threshold (threshold.py);
- where the solver is "exponential" (Negentropy), log q_e = (θ_e + v_j - v_i)/γ + 1 - corner. Along a path the
  v cancel, so c = -DP_Ω(θ)/γ and part_e = θ_e/γ + 1 - corner: no weight is formed, and none underflows.
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
from dagdp.paths.arrays import constant, host, like, namespace
from dagdp.paths.checked import checked_edges
from dagdp.paths.plain import Question, ask
from dagdp.paths.threshold import walk_weights


@for_each_graph(scalars_of_paths)
def path_log_prob(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    paths: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
) -> Any:
    """log p(Y) of given paths: array [*batch, *axes], -inf outside the support; differentiable from torch.

    p(Y) is the product of the local weights q along Y, the choice between several ends included (section
    A.5); under Negentropy p(Y) = exp(score/γ) / Σ exp(scores/γ).

    paths : `Paths`, or edge numbers [*batch, *axes, L] with -1 behind the last edge; one path [L] serves every item
        of the batch. A path of length 0, as `k_best` gives where there is none, has -inf; 0 where the end is a start.

    Computed in float64 and handed back in theta's dtype. Other parameters and errors are those of `dp_value`;
    InputError where a path is no path of the graph, naming the place. From torch, InputError where a derivative
    would hang on a node whose probability is below the smallest float64 (not under Negentropy).

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> np.exp(path_log_prob(dag, [1.0, 2.5, 2.0], [[0, 2], [1, -1]], dagdp.SquaredL2(1.0))).tolist()
    [0.5, 0.5]
    """
    question = ask(dag, theta, minimize, end)
    edges = checked_edges(question.dag, question, paths)
    found = density(question, omega)
    xp = namespace(question.arrays[0])
    axes = edges.shape[:-1]
    item = np.arange(question.last().size).reshape((*question.batch, *[1] * (edges.ndim - len(question.batch))))
    flat = question.plain.parents.size * item + np.maximum(edges, 0)
    parts = found.part.reshape(-1)[like(found.part, flat)]
    sums = xp.where(like(found.part, edges >= 0), parts, xp.zeros_like(parts)).sum(-1)
    constants = found.constant.reshape((*question.batch, *[1] * (len(axes) - len(question.batch))))
    edgeless = question.edgeless.reshape((*question.batch, *[1] * (len(axes) - len(question.batch))))
    empty = question.like((edges < 0).all(-1) & ~edgeless)
    answer = xp.where(empty, xp.full_like(sums, -np.inf), constants + sums)
    lost = (found.lost.reshape(-1)[flat] & (edges >= 0)).any(-1)
    refuse_lost(lost & np.isfinite(host(answer)))
    return question.answer(answer)


@dataclass(frozen=True)
class Density:
    """log p(Y) = constant + Σ part over the edges of Y, the one into the joint included."""

    constant: Any  # [*batch]
    part: Any  # [*batch, edges + joint], -inf on edges that no possible path takes
    lost: NDArray[np.bool_]  # like part: where a derivative would need a probability that has underflowed

    def detached(self) -> Density:
        """The same numbers, through which no derivative flows."""
        return Density(constant(self.constant), constant(self.part), np.zeros_like(self.lost))


def density(question: Question, omega: Omega | None) -> Density:
    """The path distribution of a question, for any operator."""
    omega = checked(question.plain.dag, omega, None)
    return _of_scores(question, omega) if omega.solver == "exponential" else _of_weights(question, omega)


def _of_scores(question: Question, omega: Omega) -> Density:
    value = dp_value(question.plain.dag, question.theta, omega, end=question.end)
    xp = namespace(question.scores)
    possible = value > -np.inf
    scaled = xp.where(possible, value, xp.zeros_like(value)) / omega.gamma
    part = question.scores / omega.gamma + (1.0 - omega.corner)
    return Density(-scaled, part, np.zeros(part.shape, bool))


def _of_weights(question: Question, omega: Omega) -> Density:
    known, xp = question.plain, namespace(question.arrays[0])
    q = walk_weights(question, omega)
    lost = np.zeros(q.shape, bool)
    if question.tensors and question.scores.requires_grad:
        flow = dp_grad(known.dag, question.theta, omega, end=question.end)
        visited = flow["node"][..., known.children]
        sure = like(visited, q > 0) & (flow["edge"] >= np.finfo(np.float64).tiny)
        lost = (q > 0) & ~host(sure)
        q = xp.where(sure, flow["edge"] / xp.where(sure, visited, 1.0), like(visited, q))
    q = question.like(q)
    taken = q > 0
    part = xp.where(taken, xp.log(xp.where(taken, q, 1.0)), -np.inf)
    return Density(xp.zeros_like(part[..., 0]), part, lost)


def refuse_lost(met: Any) -> None:
    """InputError where a derivative would hang on what has underflowed."""
    if np.any(met):
        raise InputError(
            "a derivative was asked for at a node whose probability is below the smallest float64; "
            "detach theta, or use a larger gamma"
        )
