"""The recursion in torch operations, level by level, differentiated by autograd: `backend="torch"`.

Runs on every device of torch. Autograd stores the results of every level, so memory grows with edges x samples; the
kernels store a few numbers a node. Node values are single numbers; in the kernels they have double length, so in
float32 this recursion loses digits on long paths. It serves as an oracle in tests of the kernels, on devices without
kernels, and as the baseline of the paper's section 2.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.faults import nodes_before, nodes_behind, raise_first_fault
from dagdp.engine.inputs import arrange, batch_of, terminal_shape
from dagdp.nn.unrolled.max_omega import max_omega
from dagdp.nn.unrolled.memory import once_a_graph
from dagdp.omega import Omega

Shape = tuple[int, ...]
Ranks = NDArray[np.int32]  # internal numbers of nodes


@dataclass(frozen=True)
class Level:
    """Nodes [first, last), whose parents are all on lower levels.

    The frontier is the row of node values that a later level reads. `read` has the places of the edges' parents in the
    frontier before this level. After the level, the frontier is its places `staying`, then the level's values.
    """

    first: int
    last: int
    fan_in: tuple[int, ...]  # [groups] nodes of equal fan-in are neighbours, and make a group
    widths: tuple[int, ...]  # [groups] nodes of a group
    read: Tensor  # [edges] node by node, in the order in which HardMax decides ties
    second: tuple[Tensor, Tensor] | None  # (edges of the level with second parents, their places); None without
    staying: Tensor


@dataclass(frozen=True)
class EdgePlan:
    """The arrays of a compiled graph that the recursion reads, on one device."""

    starts: int  # nodes of level 0
    levels: tuple[Level, ...]
    parent: NDArray[np.int64]  # [E] of every edge, level by level
    child: NDArray[np.int64]
    entries: tuple[Tensor, ...]  # [potentials][E] the entry that an edge reads, 0 where it reads none
    reads: tuple[Tensor | None, ...]  # [potentials][E] whether an edge reads an entry; None: all edges do


def value(
    dag: CompiledDAG,
    blocks: Sequence[Tensor],
    omega: Omega,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
) -> Tensor:
    """DP_Ω(θ) by equation (6): [*batch], with an autograd graph through every node.

    blocks : theta, one tensor [*batch, *shape] for each of `dag.potentials`, in that order, all of one floating
        dtype and device; a block without batch dimensions is shared.
    minimize : whether theta are costs.
    start, end : as in `dagdp.dp_value`. Padding behind an item's end may hold NaN.

    Raises InputError for NaN, or an infinity of the wrong sign, where a path reads it. Second derivatives are
    exact; a third one through an operator other than HardMax and Negentropy raises DerivativeError.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta = torch.tensor([1.0, 2.5, 2.0], dtype=torch.float64, requires_grad=True)
    >>> value(dag, [theta], dagdp.SquaredL2(1.0)).backward()
    >>> theta.grad.tolist()
    [0.5, 0.5, 0.5]
    """
    batch = batch_of(_batches(dag, blocks), [], terminal_shape(start, end, dag))
    starts, ends, _ = dag.terminals(start, end, batch)
    plan = plan_of(dag, blocks[0].device)
    weights = _edge_weights(dag, plan, blocks, batch)
    weights = -weights if minimize else weights
    if end is not None or start is not None:
        weights = torch.where(_on_paths(dag, plan, starts, ends, weights.device), weights, -torch.inf)
    if not bool((weights.detach() < torch.inf).all()):
        _name_the_fault(dag, blocks, batch, (starts, ends), -1.0 if minimize else 1.0)
    total = _recursion(plan, weights, starts, ends, omega).reshape(batch)
    total = total + weights[..., :0].sum()  # 0, which ties values without edges to autograd's graph
    return -total if minimize else total


def gradient(
    dag: CompiledDAG,
    blocks: Sequence[Tensor],
    omega: Omega,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(DP_Ω(θ) [*batch], E = ∇DP_Ω(θ), one tensor shaped like each block) by backpropagation through `value`.

    Differentiable in blocks that require gradients, if gradients are enabled. Parameters are those of `value`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> gradient(dag, [torch.tensor([1.0, 2.5, 2.0])], dagdp.HardMax())[1][0].tolist()
    [1.0, 0.0, 1.0]
    """
    further = torch.is_grad_enabled() and any(block.requires_grad for block in blocks)
    with torch.enable_grad():
        leaves = _leaves(blocks)
        total = value(dag, leaves, omega, minimize=minimize, start=start, end=end)
        E = torch.autograd.grad(total.sum(), leaves, create_graph=further, materialize_grads=True)
    return (total if further else total.detach()), E


def hessian_product(
    dag: CompiledDAG,
    blocks: Sequence[Tensor],
    z: Sequence[Tensor],
    omega: Omega,
    *,
    minimize: bool = False,
    start: Any = None,
    end: Any = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(<E, Z> [*batch], ∇²DP_Ω(θ) Z, one tensor shaped like each block): the baseline of section 2.4.

    Computed by backpropagation through backpropagation. Both results are constants: there is no third derivative.

    z : directions, one tensor for each block; theta or z may lack batch dimensions. Other parameters are those of
        `value`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta, z = torch.tensor([1.0, 2.5, 2.0]), torch.tensor([1.0, 0.0, 0.0])
    >>> hessian_product(dag, [theta], [z], dagdp.SquaredL2(1.0))[1][0].tolist()
    [0.5, -0.5, 0.5]
    """
    batch = batch_of(_batches(dag, blocks), _batches(dag, z), terminal_shape(start, end, dag))
    with torch.enable_grad():
        leaves = _leaves(blocks)
        rows = [block.expand((*batch, *p.shape)) for block, p in zip(leaves, dag.potentials, strict=True)]
        total = value(dag, rows, omega, minimize=minimize, start=start, end=end)
        E = torch.autograd.grad(total.sum(), rows, create_graph=True, materialize_grads=True)
        products = [(e * direction).reshape(*batch, -1).sum(-1) for e, direction in zip(E, z, strict=True)]
        slope = torch.stack(products).sum(0)
        if slope.requires_grad:
            change = torch.autograd.grad(slope.sum(), leaves, materialize_grads=True)
        else:  # a constant expected path
            change = tuple(torch.zeros_like(block) for block in blocks)
    return slope.detach(), change


@once_a_graph
def plan_of(dag: CompiledDAG, device: torch.device) -> EdgePlan:
    """The plan of a graph on a device, made once."""
    level_ptr = dag.wiring.incoming.levels.astype(np.int64)
    order = np.lexsort((dag.slots, dag.children))
    parent, child = dag.parents[order], dag.children[order]
    edges = dag.edges[order]
    fan_in = np.bincount(child, minlength=dag.num_nodes)
    in_ptr = np.concatenate([[0], np.cumsum(fan_in)])
    level_of = np.repeat(np.arange(dag.num_levels), np.diff(level_ptr))
    last_read = np.full(dag.num_nodes, -1)
    np.maximum.at(last_read, parent, level_of[child])
    second = np.full(child.size, -1) if dag.seconds is None else dag.seconds[order]
    pairs = second >= 0
    np.maximum.at(last_read, second[pairs], level_of[child[pairs]])

    def tensor(numbers: NDArray[Any]) -> Tensor:
        return torch.as_tensor(numbers, device=device)

    place = np.arange(dag.num_nodes)
    frontier = np.arange(level_ptr[1])
    levels = []
    for number in range(1, dag.num_levels):
        first, last = int(level_ptr[number]), int(level_ptr[number + 1])
        edges_in = slice(in_ptr[first], in_ptr[last])
        read, paired = place[parent[edges_in]], np.flatnonzero(pairs[edges_in])
        others = (tensor(paired), tensor(place[second[edges_in][paired]])) if paired.size else None
        staying = np.flatnonzero(last_read[frontier] > number)
        frontier = np.concatenate([frontier[staying], np.arange(first, last)])
        place[frontier] = np.arange(frontier.size)
        cuts = np.flatnonzero(np.diff(fan_in[first:last], prepend=-1))
        widths = np.diff(cuts, append=last - first)
        fan = tuple(fan_in[first:last][cuts].tolist())
        levels.append(Level(first, last, fan, tuple(widths.tolist()), tensor(read), others, tensor(staying)))
    entries, reads = [], []
    for potential in dag.potentials:
        entry = np.where(edges >= 0, potential.index[edges], -1).astype(np.int64)
        entries.append(tensor(np.maximum(entry, 0)))
        reads.append(None if (entry >= 0).all() else tensor(entry >= 0))
    return EdgePlan(int(level_ptr[1]), tuple(levels), parent, child, tuple(entries), tuple(reads))


def _recursion(plan: EdgePlan, weights: Tensor, starts: Ranks, ends: Ranks, omega: Omega) -> Tensor:
    """v at each item's end: [items], 0 at a start and -inf where no path leads.

    weights : [items or 1, E], -inf on edges that the item must not use.
    """
    items = ends.size
    frontier = weights.new_zeros(items, plan.starts)
    if starts.size:
        others = torch.as_tensor(starts[:, None] != np.arange(plan.starts), device=weights.device)
        frontier = frontier.masked_fill(others, -torch.inf)
    edgeless = np.flatnonzero(ends < plan.starts)
    finished = [torch.as_tensor(edgeless, device=weights.device)]
    found = [weights.new_tensor(np.where(ends[edgeless] < 0, -np.inf, 0.0))]
    sizes = [level.read.numel() for level in plan.levels]
    for level, theta in zip(plan.levels, torch.split(weights, sizes, -1), strict=True):
        x = theta + frontier.index_select(-1, level.read)
        if level.second is not None:
            edges, places = level.second
            x = x.index_add(-1, edges, frontier.index_select(-1, places))
        shapes = list(zip(level.widths, level.fan_in, strict=True))
        groups = torch.split(x, [n * d for n, d in shapes], -1)
        v = [max_omega(rows.reshape(items, n, d), omega) for rows, (n, d) in zip(groups, shapes, strict=True)]
        here = np.flatnonzero((level.first <= ends) & (ends < level.last))
        old = [frontier.index_select(-1, level.staying)] if level.staying.numel() else []
        frontier = torch.cat([*old, *v], -1) if len(old) + len(v) > 1 else v[0]
        if here.size:
            column = frontier.shape[-1] - (level.last - ends[here].astype(np.int64))
            rows, columns = (torch.as_tensor(k, device=weights.device) for k in (here, column))
            finished.append(rows)
            found.append(frontier[rows, columns])
    return torch.cat(found)[torch.cat(finished).argsort()]


def _edge_weights(dag: CompiledDAG, plan: EdgePlan, blocks: Sequence[Tensor], batch: Shape) -> Tensor:
    """θ_e [items or 1, E]: for each edge the sum of the entries that it reads."""
    items = int(np.prod(batch, dtype=np.int64))
    total = blocks[0].new_zeros(1, plan.child.size)
    for potential, block, entries, reads in zip(dag.potentials, blocks, plan.entries, plan.reads, strict=True):
        carried = block.ndim > len(potential.shape)
        rows = block.reshape(items if carried else 1, potential.size).index_select(-1, entries)
        total = total + (rows if reads is None else torch.where(reads, rows, 0.0))
    return total


def _on_paths(dag: CompiledDAG, plan: EdgePlan, starts: Ranks, ends: Ranks, device: torch.device) -> Tensor:
    """[items, E] whether an edge lies on a path from the item's start (every start if empty) to the item's end."""
    distinct, which = np.unique(ends, return_inverse=True)
    on_path = np.stack([nodes_before(dag, end) for end in distinct.tolist()])[:, plan.child][which]
    if starts.size:
        distinct, which = np.unique(starts, return_inverse=True)
        on_path &= np.stack([nodes_behind(dag, start) for start in distinct.tolist()])[:, plan.parent][which]
    return torch.as_tensor(on_path, device=device)


def _leaves(blocks: Sequence[Tensor]) -> list[Tensor]:
    return [block if block.requires_grad else block.detach().requires_grad_() for block in blocks]


def _batches(dag: CompiledDAG, blocks: Sequence[Tensor]) -> list[Shape]:
    shapes = itertools.cycle(potential.shape for potential in dag.potentials)
    return [tuple(block.shape[: block.ndim - len(shape)]) for block, shape in zip(blocks, shapes, strict=False)]


def _name_the_fault(
    dag: CompiledDAG, blocks: Sequence[Tensor], batch: Shape, between: tuple[Ranks, Ranks], sign: float
) -> None:
    arrays = [block.detach().cpu().double().numpy() for block in blocks]
    keyed = dag.potentials[0].name is not None and len(blocks) > 1
    weights = arrange(keyed, arrays, _batches(dag, blocks), batch, np.float64)
    starts, ends = between
    raise_first_fault(dag, weights, ends, "theta", -np.inf, sign, None, starts)
