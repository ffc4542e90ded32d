"""Entropy of the path distribution, cross entropy and Kullback-Leibler divergence. All in float64.

log p(Y) is a sum over the edges of Y (log_prob.py), so by the chain rule each of these is a mean of costs of edges, one
tangent pass (expectation.py). From torch, derivatives are those of `dp_*`. The entropy's own log p is constant to
autograd: Σ_e E_e q̇_e/q_e = Σ_i ē_i Σ_{e into i} q̇_e = 0, since the weights of siblings sum to 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph, pack, scalars
from dagdp.engine.inputs import Options, checked, checked_options
from dagdp.engine.run import value_and_slope
from dagdp.functions import dp_jvp, dp_value
from dagdp.omega import HardMax, Omega
from dagdp.paths.expectation import in_kind_of, mean_cost
from dagdp.paths.log_prob import Density, density, refuse_underflow
from dagdp.paths.loops.sample_blocks import entropies
from dagdp.paths.request.array_functions import (
    cast,
    detached,
    double,
    is_constant,
    like,
    namespace,
    result_type,
    to_numpy,
)
from dagdp.paths.request.node_graph import as_theta, double_blocks
from dagdp.paths.request.request import Request, make_request


def _entropy_at_once(
    dag: CompiledBatch, theta: Any, omega: Omega | None = None, minimize: bool = False, end: Any = None
) -> Any:
    """`entropy` of a batch of graphs in one run under the closed form; None elsewhere, and for linear potentials."""
    chosen = checked_options(omega, None)
    if dag.plain is not None or chosen.solver != "exponential" or chosen.corner != 1:
        return None
    arrays = pack(dag, theta, "theta", {"minimize": minimize, "end": end})[0]
    blocks, sign = list(map(double, arrays)), -1.0 if minimize else 1.0
    constant = is_constant(arrays)
    blocks = list(map(to_numpy, blocks)) if constant else blocks
    fixed, xp = list(map(detached, blocks)), namespace(blocks[0])
    finite = [xp.where(xp.isfinite(block), block, xp.zeros_like(block)) for block in fixed]
    theta_, fixed_theta, direction = (_by_name(dag, own) for own in (blocks, fixed, finite))
    ended = (dag if end is None else dag.ending(end)).packed
    if constant:
        value, mean = value_and_slope(ended, theta_, direction, omega, Options(minimize))
    else:
        value = dp_value(ended, fixed_theta, omega, minimize=minimize)
        mean = dp_jvp(ended, theta_, direction, omega, minimize=minimize)
    found = _of_score_and_value(value, mean, sign, chosen.gamma)
    return cast(like(arrays[0], found), result_type(arrays))


@for_each_graph(scalars, at_once=_entropy_at_once)
def entropy(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """H(p) = -Σ_Y p(Y) log p(Y) of the path distribution, in nats: array [*batch] in theta's dtype, >= 0 to rounding.

    By the chain rule H = -Σ_e E_e log q_e, one tangent pass; 0 under HardMax, and for an item without a path.
    Differentiable from torch: the derivative of the weights drops out, as siblings sum to 1.

    theta, omega, minimize, end : as in `dp_value`. Raises InputError and OmegaError as `dp_value` does.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> bool(np.isclose(entropy(dag, [1.0, 3.0, 2.0]), np.log(2)))
    True
    """
    given = make_request(dag, theta, minimize, end)
    request, chosen = given.in_numpy(), checked(dag, omega, None)
    if chosen.solver == "exponential" and chosen.corner == 1:
        return given.result(_closed_entropy(request, chosen))
    if not request.tensors:
        return given.result(entropies(request, chosen).reshape(request.batch))
    mean = _mean_log(request, chosen, density(request, chosen).detached())
    return given.result(0.0 - mean)  # -mean would be -0.0 where the path is certain


def _closed_entropy(request: Request, omega: Omega) -> Any:
    """(DP_Ω(θ) - <E, θ>)/γ, computed on the user's graph: log p of a path is (its score - the value)/γ."""
    dag, blocks, xp = request.dag, double_blocks(request), namespace(request.arrays[0])
    finite = [xp.where(xp.isfinite(block), block, xp.zeros_like(block)) for block in map(detached, blocks)]
    options: dict[str, Any] = {"minimize": request.minimize, "end": request.end_names}
    theta, direction = as_theta(request, blocks), as_theta(request, finite)
    if request.tensors:
        value = detached(dp_value(dag, as_theta(request, list(map(detached, blocks))), omega, **options))
        mean = dp_jvp(dag, theta, direction, omega, **options)
    else:
        value, mean = value_and_slope(dag, theta, direction, omega, Options(**options))
    return _of_score_and_value(value, mean, request.sign, omega.gamma)


def _by_name(batch: CompiledBatch, blocks: list[Any]) -> Any:
    """Packed arrays, one for each section, as `CompiledBatch.packed` takes theta."""
    named = {section.name: block for section, block in zip(batch.layout.sections, blocks, strict=True)}
    return named.get(None, named)


def _of_score_and_value(value: Any, mean: Any, sign: float, gamma: float) -> Any:
    """The entropy from DP_Ω(θ) and the mean score; 0 where there is no path."""
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
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """-Σ_Y p(Y) log r(Y), p the path distribution of theta and r that of `other`, in nats: array [*batch].

    In theta's dtype; +inf where p has a path outside the support of r. Differentiable from torch in both; with p
    certain it is the negative log-likelihood of a path.

    other : weights in the form of theta. other_omega : the operator of r; default: that of p.
    theta, omega, minimize, end : as in `dp_value`.

    Raises InputError and OmegaError as `dp_value` does, and for derivatives InputError as `path_log_prob` does.

    Example
    -------
    >>> import numpy as np
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> bool(np.isclose(cross_entropy(dag, [1.0, 4.0, 2.0], [1.0, 3.0, 2.0]), np.log(2)))
    True
    """
    p, r = _pair(dag, theta, other, minimize, end)
    density_r = density(r, other_omega or omega)
    return p.result(_outside_is_infinite(p, omega, density_r, -_mean_log(p, omega, density_r)))


@for_each_graph(scalars)
def kl_divergence(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    other: Any,
    omega: Omega | None = None,
    other_omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    end: Any = None,
) -> Any:
    """KL(p || r) = Σ_Y p(Y) log(p(Y)/r(Y)) of the path distributions of theta and `other`, in nats: array [*batch].

    `cross_entropy` less `entropy`, in theta's dtype, >= 0 to rounding, 0 for equal distributions. Differentiable from
    torch in both. Parameters and errors are those of `cross_entropy`.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(kl_divergence(dag, [1.0, 4.0, 2.0], [1.0, 4.0, 2.0]))
    0.0
    """
    p, r = _pair(dag, theta, other, minimize, end)
    density_p, density_r = density(p, omega).detached(), density(r, other_omega or omega)
    return p.result(_outside_is_infinite(p, omega, density_r, _mean_log(p, omega, density_p, density_r)))


def _mean_log(request: Request, omega: Omega | None, of: Density, less: Density | None = None) -> Any:
    """The mean over the request's distribution of log p(Y) under `of`, less log p(Y) under `less` if given."""
    constant, terms = of.constant, _finite(of.terms)
    if less is not None:
        constant, terms = constant - less.constant, terms - _finite(less.terms)
    mean = constant + mean_cost(request, omega, terms)
    if (request.scores == -np.inf).any():  # an item without a path has no distribution to average over
        xp = namespace(mean)
        possible = dp_value(request.edge_graph.dag, request.theta, HardMax(), end=request.end) > -np.inf
        mean = xp.where(possible, mean, xp.zeros_like(mean))
    return mean


def _finite(terms: Any) -> Any:
    xp = namespace(terms)
    return xp.where(xp.isfinite(terms), terms, xp.zeros_like(terms))


def _outside_is_infinite(request: Request, omega: Omega | None, other: Density, mean: Any) -> Any:
    """The mean, +inf for items that have paths outside the support of `other`."""
    fixed = replace(request, arrays=tuple(detached(array) for array in request.arrays))
    outside = other.terms == -np.inf
    if outside.any():
        xp = namespace(mean)
        mean = xp.where(mean_cost(fixed, omega, double(outside)) > 0, np.inf, mean)
    if other.underflowed.any():
        met = to_numpy(mean_cost(fixed, omega, fixed.like(other.underflowed.astype(np.float64)))) > 0
        refuse_underflow(met & np.isfinite(to_numpy(mean)))
    return mean


def _pair(dag: Any, theta: Any, other: Any, minimize: bool | None, end: Any) -> tuple[Request, Request]:
    """The requests of theta and `other`; both with tensors if either is given as tensors."""
    p, r = make_request(dag, theta, minimize, end), make_request(dag, other, minimize, end)
    return in_kind_of(p, r.arrays[0]), in_kind_of(r, p.arrays[0])
