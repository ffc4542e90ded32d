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
from numpy.typing import NDArray
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.explicit import explicit_edges
from dagdp.compiler import build
from dagdp.compiler.batch import CompiledBatch
from dagdp.describe.edge_arrays import parent_rows
from dagdp.describe.graph import Graph
from dagdp.errors import InputError
from dagdp.nn.autograd import derivatives
from dagdp.nn.autograd.device.accelerator import constant_beside
from dagdp.nn.autograd.indexing import added, gathered
from dagdp.nn.autograd.operators import Problem

_twins: WeakKeyDictionary[CompiledDAG, Twin] = WeakKeyDictionary()


class Twin(NamedTuple):
    """A copy of a graph with one more potential, by which each edge has a separate weight."""

    dag: CompiledDAG
    nodes: int
    children: NDArray[Any]  # int64 [edges] the child of each edge
    entered: NDArray[Any]  # starts of the graph that other starts reach
    entrances: NDArray[Any]  # the twin's start in front of each of them

    def heads(self, like: Tensor) -> Heads:
        """The children on the device of `like`."""
        return Heads(constant_beside(like, self.children, "the twin of the graph"), self.nodes)


class Heads(NamedTuple):
    """The children of edges, by which flows are summed into visits of nodes."""

    child: Tensor  # int64 [edges]
    nodes: int


def twin_of(dag: CompiledDAG | CompiledBatch) -> Twin:
    """The twin of a graph, made once. Its added nodes are explicit: their edges carry flow, too."""
    if isinstance(dag, CompiledBatch):
        raise InputError("alpha is a tensor, which a batch of graphs cannot have yet; loop over batch.dags")
    if dag not in _twins:
        all_edges = explicit_edges(dag)
        count = all_edges.parents.size
        nothing = np.full(count - dag.graph.num_edges, -1)
        potentials: dict[str, Any] = {
            "theta" if p.name is None else p.name: (p.shape, np.concatenate([p.index, nothing])) for p in dag.potentials
        }
        potentials["each edge's own"] = (count, np.arange(count))
        second = dag.graph.second_parents()
        parents = parent_rows(all_edges.parents, None if second is None else np.concatenate([second, nothing]))
        children, size = all_edges.children, all_edges.num_nodes
        graph = Graph.from_edges(parents, children, size, all_edges.starts, [all_edges.end], potentials)
        _twins[dag] = Twin(build(graph), size, children.astype(np.int64), all_edges.entered, all_edges.entrances)
    return _twins[dag]


def at_entrances(twin: Twin, terminals: Tensor) -> Tensor:
    """(start, end) [*batch, 2] on the twin, from those on the graph."""
    starts, ends = terminals.unbind(-1)
    for node, entrance in zip(twin.entered.tolist(), twin.entrances.tolist(), strict=True):
        starts = torch.where(starts == node, entrance, starts)
    return torch.stack([starts, ends], -1)


def penalty_slope(flow: Tensor, alpha: Tensor, heads: Heads) -> Tensor:
    """P_α(e, α) [*batch], differentiable in flow [*batch, edges] and alpha; edges without flow add 0."""
    visits = gathered(added(flow, heads.child, heads.nodes), heads.child)
    q = torch.where(flow > 0, flow, 1.0) / torch.where(flow > 0, visits, 1.0)
    power, scale = q ** (alpha - 1), alpha * (alpha - 1)
    r_alpha = power * q.log() / scale - (power - 1) * (2 * alpha - 1) / scale**2
    return (flow * r_alpha).sum(-1)


def with_own_weights(theta: Tensor, end: Tensor | None, problem: Problem, alpha: Tensor, heads: Heads) -> Tensor:
    """[*batch, n + edges]: theta, then zeros whose derivative by alpha is -P_eα for scores and P_eα for costs."""
    sign = -1.0 if problem.minimize else 1.0
    nothing = theta.new_zeros(*theta.shape[:-1], heads.child.numel())
    with torch.no_grad():
        known = derivatives.value(torch.cat([theta, nothing], -1), end, problem)[1]
    flow, number = known[..., theta.shape[-1] :].detach(), alpha.detach()
    turn = torch.func.grad(lambda flow: penalty_slope(flow, number, heads).sum())(flow).detach()
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


def value(theta: Tensor, end: Tensor | None, problem: Problem, alpha: Tensor, heads: Heads) -> Tensor:
    """DP_Ω(θ) [*batch] on the twin, twice differentiable in theta and alpha; theta from `with_own_weights`."""
    sign = -1.0 if problem.minimize else 1.0
    number, known = derivatives.value(theta, end, problem)
    path = derivatives.path(theta, known, end, problem)
    n = theta.shape[-1] - heads.child.numel()
    by_alpha = -sign * penalty_slope(path[..., n:], alpha, heads)
    by_theta = torch.cat([path[..., :n], torch.zeros_like(path[..., n:])], -1)
    return Known.apply(number.detach(), theta, by_theta, alpha, by_alpha)
