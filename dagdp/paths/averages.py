"""Averages over the path distribution: expected costs, entropy, divergences.

The average of a sum over a path's edges is <E, cost>, one tangent pass (`dp_jvp`); log p(Y) is such a sum
(`density`), so by the chain rule entropy and divergences are such averages too. All in float64.

Derivatives (from torch) come from those of `dp_*`. The entropy's own log p is held constant: Σ_e E_e q̇_e/q_e =
Σ_i ē_i Σ_{e into i} q̇_e = 0, since the weights of siblings sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dagdp.array_kinds import is_tensor
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, like_theta, pack, scalars
from dagdp.engine.inputs import Options, checked, checked_options
from dagdp.engine.run import value_and_slope
from dagdp.errors import InputError
from dagdp.functions import dp_jvp, dp_value
from dagdp.omega import HardMax, Omega
from dagdp.paths.arrays import (
    answer_type,
    cast,
    constant,
    double,
    host,
    like,
    namespace,
    repeated,
    settled,
)
from dagdp.paths.density import Density, density, refuse_lost
from dagdp.paths.noded import formed, own_blocks
from dagdp.paths.plain import Question, ask
from dagdp.paths.rows import entropies


def _expectation_at_once(
    dag: CompiledBatch, theta: Any, omega: Omega | None, cost: Any, minimize: bool = False, end: Any = None
) -> Any:
    """`expectation` of a batch of graphs, where costs have the form of theta."""
    return dp_jvp(dag, theta, cost, omega, minimize=minimize, end=end) if like_theta(dag, cost) else None


def _entropy_at_once(
    dag: CompiledBatch, theta: Any, omega: Omega | None = None, minimize: bool = False, end: Any = None
) -> Any:
    """`entropy` of a batch of graphs under the closed form."""
    chosen = checked_options(omega, None)
    if chosen.solver != "exponential" or chosen.corner != 1:
        return None
    arrays = pack(dag, theta, "theta", {"minimize": minimize, "end": end})[0]
    blocks, sign = list(map(double, arrays)), -1.0 if minimize else 1.0
    alone = settled(arrays)
    blocks = list(map(host, blocks)) if alone else blocks
    fixed, xp = list(map(constant, blocks)), namespace(blocks[0])
    finite = [xp.where(xp.isfinite(block), block, xp.zeros_like(block)) for block in fixed]
    whole, still, along = (_by_name(dag, own) for own in (blocks, fixed, finite))
    ended = (dag if end is None else dag.ending(end)).packed
    if alone:
        value, mean = value_and_slope(ended, whole, along, omega, Options(minimize))
    else:
        value = dp_value(ended, still, omega, minimize=minimize)
        mean = dp_jvp(ended, whole, along, omega, minimize=minimize)
    found = _of_score_and_value(value, mean, sign, chosen.gamma)
    return cast(like(arrays[0], found), answer_type(arrays))


@for_each_graph(scalars, at_once=_expectation_at_once)
def expectation(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None,
    cost: Any,
    *,
    minimize: bool = False,
    end: Any = None,
) -> Any:
    """E_p[Σ_{e in Y} cost_e], the mean over the path distribution of what edges cost: array [*batch].

    One tangent pass, <E, cost> (Algorithm 2, A1); differentiable from torch in theta and in cost.

    cost : [*batch, edges] or [edges], finite: one number for each edge in the user's order; or keyed and shaped
        like theta, as the z of `dp_jvp`. Of a batch of different graphs: in the form of theta, or a list with an array
        [*batch, edges] for each graph, or such arrays side by side; what can be both has the form of theta.
    Other parameters and errors are those of `dp_value`. An item without a path has expectation 0.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(expectation(dag, [1.0, 2.5, 2.0], dagdp.SquaredL2(1.0), [1.0, 1.0, 1.0]))  # edges on a path
    1.5
    """
    if not _like_edges(dag, cost):
        return dp_jvp(dag, theta, cost, omega, minimize=minimize, end=end)
    question = ask(dag, theta, minimize, end)
    given = double(cost) if is_tensor(cost) else question.like(np.asarray(cost, np.float64))
    question, xp = _beside(question, given), namespace(given)
    joint = xp.zeros_like(repeated(given[..., :1], question.plain.parents.size - question.plain.edges))
    return question.answer(_mean(question, omega, xp.concatenate((given, joint), -1)))


@for_each_graph(scalars, at_once=_entropy_at_once)
def entropy(
    dag: CompiledDAG | CompiledBatch, theta: Any, omega: Omega | None = None, *, minimize: bool = False, end: Any = None
) -> Any:
    """H(p) = -Σ_Y p(Y) log p(Y) of the path distribution, in nats: array [*batch], >= 0 but for rounding.

    By the chain rule H = -Σ_e E_e log q_e, one tangent pass; 0 under HardMax, and for an item without a path.
    Differentiable from torch: the weights' own change drops out, as siblings sum to 1.
    Parameters and errors are those of `dp_value`.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> bool(np.isclose(entropy(dag, [1.0, 3.0, 2.0]), np.log(2)))
    True
    """
    asked = ask(dag, theta, minimize, end)
    question, chosen = asked.settled(), checked(dag, omega, None)
    if chosen.solver == "exponential" and chosen.corner == 1:
        return asked.answer(_closed_entropy(question, chosen))
    if not question.tensors:
        return asked.answer(entropies(question, chosen).reshape(question.batch))
    mean = _mean_log(question, chosen, density(question, chosen).detached())
    return asked.answer(0.0 - mean)  # not -mean: that would be -0.0 where the path is certain


def _closed_entropy(question: Question, omega: Omega) -> Any:
    """(DP_Ω(θ) - <E, θ>)/γ, as log p of a path is its score less the value, in units of γ: on the user's own graph."""
    dag, blocks, xp = question.dag, own_blocks(question), namespace(question.arrays[0])
    finite = [xp.where(xp.isfinite(block), block, xp.zeros_like(block)) for block in map(constant, blocks)]
    options: dict[str, Any] = {"minimize": question.minimize, "end": question.names}
    if question.tensors:
        value = constant(dp_value(dag, formed(question, list(map(constant, blocks))), omega, **options))
        mean = dp_jvp(dag, formed(question, blocks), formed(question, finite), omega, **options)
    else:
        value, mean = value_and_slope(
            dag, formed(question, blocks), formed(question, finite), omega, Options(**options)
        )
    return _of_score_and_value(value, mean, question.sign, omega.gamma)


def _by_name(batch: CompiledBatch, blocks: list[Any]) -> Any:
    """Arrays of all graphs side by side as `CompiledBatch.packed` takes theta."""
    whole = {part.name: block for part, block in zip(batch.layout.sections, blocks, strict=True)}
    return whole.get(None, whole)


def _of_score_and_value(value: Any, mean: Any, sign: float, gamma: float) -> Any:
    """The entropy of DP_Ω(θ) and the mean score, 0 where there is no path."""
    xp = namespace(value)
    possible = xp.isfinite(value)
    return xp.where(possible, sign * (xp.where(possible, value, xp.zeros_like(value)) - mean), 0.0) / gamma


@for_each_graph(scalars)
def cross_entropy(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    other: Any,
    omega: Omega | None = None,
    other_omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
) -> Any:
    """-Σ_Y p(Y) log r(Y), p the path distribution of theta and r that of `other`, in nats: array [*batch].

    +inf where p has a path outside the support of r. Differentiable from torch in both; with p certain it
    is the negative log-likelihood of a path.

    other : weights like theta.  other_omega : the operator of r; default: that of p.
    Other parameters and errors are those of `dp_value` and, for derivatives, of `path_log_prob`.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> bool(np.isclose(cross_entropy(dag, [1.0, 4.0, 2.0], [1.0, 3.0, 2.0]), np.log(2)))
    True
    """
    p, r = _pair(dag, theta, other, minimize, end)
    others = density(r, other_omega or omega)
    return p.answer(_crossed(p, omega, others, -_mean_log(p, omega, others)))


@for_each_graph(scalars)
def kl_divergence(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    other: Any,
    omega: Omega | None = None,
    other_omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
) -> Any:
    """KL(p || r) = Σ_Y p(Y) log(p(Y)/r(Y)) of the path distributions of theta and `other`, in nats: array [*batch].

    `cross_entropy` less `entropy`, >= 0 but for rounding, 0 for equal distributions. Differentiable from torch
    in both. Parameters and errors are those of `cross_entropy`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(kl_divergence(dag, [1.0, 4.0, 2.0], [1.0, 4.0, 2.0]))
    0.0
    """
    p, r = _pair(dag, theta, other, minimize, end)
    own, others = density(p, omega).detached(), density(r, other_omega or omega)
    return p.answer(_crossed(p, omega, others, _mean_log(p, omega, own, others)))


def _mean(question: Question, omega: Omega | None, cost: Any) -> Any:
    """<E, cost> for cost [*batch, edges + joint], or [edges + joint]."""
    known = question.plain
    return dp_jvp(known.dag, question.theta, known.theta(cost), omega, end=question.end)


def _mean_log(question: Question, omega: Omega | None, of: Density, less: Density | None = None) -> Any:
    """The mean over a question's own distribution of log p(Y), or of log p(Y) - log p_less(Y)."""
    constant, part = of.constant, _finite(of.part)
    if less is not None:
        constant, part = constant - less.constant, part - _finite(less.part)
    mean = constant + _mean(question, omega, part)
    if (question.scores == -np.inf).any():  # an item without a path has no distribution to average over
        xp = namespace(mean)
        possible = dp_value(question.plain.dag, question.theta, HardMax(), end=question.end) > -np.inf
        mean = xp.where(possible, mean, xp.zeros_like(mean))
    return mean


def _finite(part: Any) -> Any:
    xp = namespace(part)
    return xp.where(xp.isfinite(part), part, xp.zeros_like(part))


def _crossed(question: Question, omega: Omega | None, other: Density, mean: Any) -> Any:
    """The mean of -log p_other(Y), now +inf where paths outside its support occur."""
    fixed = replace(question, arrays=tuple(constant(array) for array in question.arrays))
    outside = other.part == -np.inf
    if outside.any():
        xp = namespace(mean)
        mean = xp.where(_mean(fixed, omega, double(outside)) > 0, np.inf, mean)
    if other.lost.any():
        met = host(_mean(fixed, omega, fixed.like(other.lost.astype(np.float64)))) > 0
        refuse_lost(met & np.isfinite(host(mean)))
    return mean


def _pair(dag: Any, theta: Any, other: Any, minimize: bool, end: Any) -> tuple[Question, Question]:
    """Both distributions, as tensors where one of them is given as such."""
    p, r = ask(dag, theta, minimize, end), ask(dag, other, minimize, end)
    return _beside(p, r.arrays[0]), _beside(r, p.arrays[0])


def _beside(question: Question, other: Any) -> Question:
    """The question in tensors where the other array is one."""
    if is_tensor(other) and not question.tensors:
        return replace(question, arrays=tuple(like(other, array) for array in question.arrays), dtype=other.dtype)
    return question


def _like_edges(dag: Any, cost: Any) -> bool:
    """Whether a cost has one number for each edge, and is not shaped like theta."""
    if isinstance(cost, Mapping):
        return False
    shape = tuple(cost.shape) if is_tensor(cost) else np.shape(cost)
    if len(dag.potentials) == 1:
        own = dag.potentials[0].shape
        if shape[len(shape) - len(own) :] == own:
            return False
    if not shape or shape[-1] != dag.graph.num_edges:
        raise InputError(
            f"cost has shape {shape}; expected [*batch, {dag.graph.num_edges}], one number for each edge, "
            "or the shape of theta"
        )
    return True
