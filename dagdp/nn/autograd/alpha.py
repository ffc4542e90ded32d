"""The first and second derivative of DP_Ω by Tsallis's alpha, from derivatives by θ alone.

DP is the maximum over unit flows e of <e, θ> - P(e, α), with the penalty of a flow

    P(e, α) = Σ_i ē_i Ω_α(q_i) = Σ_e e r(q_e, α),     r = (q^(α-1) - 1)/(α(α-1)),     q_e = e_e/ē_child(e)

At the maximum, by the envelope theorem and by the implicit function theorem,

    ∂DP/∂α = -P_α(e, α)          ∂e/∂α = -∇²DP P_eα

so to first order a change of alpha moves the flow as much as a change of the weights by -P_eα. Autograd gets alpha as
an addition to the weight of each edge: the addition is 0, and its derivative by alpha is -P_eα. This needs the flow on
every edge. So it runs on a twin of the graph, which has one more potential with an entry for each edge.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler import build
from dagdp.compiler.batch import CompiledBatch
from dagdp.describe.edge_arrays import parent_rows
from dagdp.describe.graph import Graph
from dagdp.errors import InputError
from dagdp.nn.autograd import derivatives
from dagdp.nn.autograd.operators import Problem

_twins: WeakKeyDictionary[CompiledDAG, Twin] = WeakKeyDictionary()


class Twin(NamedTuple):
    """A copy of a graph with one more potential, by which each edge has a separate weight."""

    dag: CompiledDAG
    child: Tensor  # [edges] the child of each edge


def twin_of(dag: CompiledDAG | CompiledBatch) -> Twin:
    """The twin of a graph, made once. The node that joins several ends is explicit: its edges carry flow, too."""
    if isinstance(dag, CompiledBatch):
        raise InputError("alpha is a tensor, which a batch of graphs cannot have yet; loop over batch.dags")
    if dag not in _twins:
        parents, children = dag.graph.edges()
        nodes, ends, joins = dag.graph.num_nodes, dag.ends, 0
        if ends.size > 1:
            joins, parents = ends.size, np.concatenate([parents, ends])
            children, ends = np.concatenate([children, np.full(joins, nodes)]), np.array([nodes])
        potentials: dict[str, Any] = {
            "theta" if p.name is None else p.name: (p.shape, np.concatenate([p.index, np.full(joins, -1)]))
            for p in dag.potentials
        }
        potentials["each edge's own"] = (parents.size, np.arange(parents.size))
        rows = parent_rows(parents, dag.graph.second_parents())
        graph = Graph.from_edges(rows, children, nodes + 1, dag.starts, ends, potentials)
        _twins[dag] = Twin(build(graph), torch.from_numpy(children))
    return _twins[dag]


def penalty_slope(flow: Tensor, alpha: Tensor, child: Tensor) -> Tensor:
    """P_α(e, α) [*batch], differentiable in flow [*batch, edges] and alpha; edges without flow add 0."""
    visits = flow.new_zeros(*flow.shape[:-1], int(child.max()) + 1).index_add(-1, child, flow)[..., child]
    q = torch.where(flow > 0, flow, 1.0) / torch.where(flow > 0, visits, 1.0)
    power, scale = q ** (alpha - 1), alpha * (alpha - 1)
    r_alpha = power * q.log() / scale - (power - 1) * (2 * alpha - 1) / scale**2
    return (flow * r_alpha).sum(-1)


def with_own_weights(theta: Tensor, end: Tensor | None, problem: Problem, alpha: Tensor, child: Tensor) -> Tensor:
    """[*batch, n + edges]: theta, then zeros whose derivative by alpha is -P_eα for scores and P_eα for costs."""
    sign = -1.0 if problem.minimize else 1.0
    nothing = theta.new_zeros(*theta.shape[:-1], child.numel())
    with torch.no_grad():
        known = derivatives.value(torch.cat([theta, nothing], -1), end, problem)[1]
    flow, number = known[..., theta.shape[-1] :].detach(), alpha.detach()
    turn = torch.func.grad(lambda flow: penalty_slope(flow, number, child).sum())(flow).detach()
    return torch.cat([theta, -sign * turn * (alpha - alpha.detach())], -1)


class Known(torch.autograd.Function):
    """A value with given derivatives by weights and by alpha, tensors that may have derivatives of their own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, theta: Tensor, by_theta: Tensor, alpha: Tensor, by_alpha: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, _, by_theta, _, by_alpha = inputs
        ctx.save_for_backward(by_theta, by_alpha)
        ctx.save_for_forward(by_theta, by_alpha)
        ctx.problem = None  # `forward_mode` hands it to the rule, which needs no kernel

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        by_theta, by_alpha = ctx.saved_tensors
        return None, g.unsqueeze(-1) * by_theta, None, (g * by_alpha).sum(), None

    @staticmethod
    @derivatives.forward_mode
    def jvp(saved: list[Tensor], problem: None, *tangents: Tensor | None) -> Tensor:
        (by_theta, by_alpha), (_, theta_dot, _, alpha_dot, _) = saved, tangents
        total = torch.zeros_like(by_alpha)
        if theta_dot is not None:
            total = total + (by_theta * theta_dot).sum(-1)
        return total if alpha_dot is None else total + by_alpha * alpha_dot


def value(theta: Tensor, end: Tensor | None, problem: Problem, alpha: Tensor, child: Tensor) -> Tensor:
    """DP_Ω(θ) [*batch] on the twin, twice differentiable in theta and alpha; theta from `with_own_weights`."""
    sign = -1.0 if problem.minimize else 1.0
    number, known = derivatives.value(theta, end, problem)
    path = derivatives.path(theta, known, end, problem)
    n = theta.shape[-1] - child.numel()
    by_alpha = -sign * penalty_slope(path[..., n:], alpha, child)
    by_theta = torch.cat([path[..., :n], torch.zeros_like(path[..., n:])], -1)
    return Known.apply(number.detach(), theta, by_theta, alpha, by_alpha)
