"""Losses between weights and true paths (sections 4.1 to 4.3 of the paper).

Every loss takes theta as `dagdp.dp_value` does, tensors or arrays, and a `Target`, or an array or dict Y shaped like
theta. It computes a number for each item, and reduces them by `reduction`: "mean" over items, "sum", or "none" for a
tensor [*batch]. The batch is the broadcast of the batch dimensions of theta, target, cost and `end`. Results are
tensors. Options `threads=` and `backend=` go to the `dagdp` functions. For a ragged batch pass `end=target.end`. All
losses are differentiable in theta. If a target uses a forbidden edge, the loss of that item is +inf and its gradient 0.

All losses but `relaxed_loss` take a batch of different graphs (`dagdp.compile_batch`): theta and cost in the forms that
`dagdp.dp_value` takes for such a batch, target as a list with a `Target` (or Y) for each graph, made with
`batch.dags[g]`, and `end` as a list. There is a number for each graph, [*batch, graphs].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.inputs import as_written, checked_options, collect
from dagdp.errors import InputError
from dagdp.functions import dp_value, dp_value_and_grad
from dagdp.nn.autograd.learnable import Learnable
from dagdp.nn.autograd.tensors import on_one_device, real_tensor
from dagdp.nn.batch_losses import fitted_to_graphs, gap_of_batch
from dagdp.nn.fitted import check_options, fitted
from dagdp.nn.targets import Target, beside_block
from dagdp.nn.walks import steps_and_states
from dagdp.omega import HardMax, Negentropy, Omega

Divergence = Callable[[Tensor, Tensor, int], Tensor]
ENGINE = frozenset({"threads", "backend"})  # options of the functions that every loss calls
COMMON = ENGINE | {"reduction", "end", "minimize"}


def structured_loss(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    target: Any,
    omega: Omega | Learnable | None = None,
    cost: Any = None,
    *,
    reduction: str = "mean",
    end: Any = None,
    minimize: bool | None = None,
    **options: Any,
) -> Tensor:
    """ℓ_{C,Ω}(Y; θ) = DP_Ω(θ + C) - <Y, θ>, convex in θ (section 4.1): a number, or [*batch] by `reduction`.

    Parameters
    ----------
    omega : default `Negentropy(1.0)`. Under HardMax (with C >= 0) and Negentropy the loss is never negative. Under
        SquaredL2 it may be negative, as every visited node pays γ/2; `fenchel_young_loss` adds that constant.
    cost : C, the cost of reading an entry, such as `hamming_cost`: 0 for entries of the target. Shaped and keyed like
        theta, with or without batch dimensions; a dict may omit potentials.
    end : where paths end, as in `dagdp.dp_value`; the target must end there.
    minimize : True where theta are costs, and the loss is <Y, θ> - min_Ω(θ - C); default as in `dagdp.dp_value`.

    The gradient by θ is E - Y, with E the expected path under θ + C. Raises InputError.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta = torch.tensor([1.0, 2.5, 2.0], requires_grad=True)
    >>> loss = structured_loss(dag, theta, Target(dag, [1]), dagdp.HardMax())
    >>> loss.backward()
    >>> loss.item(), theta.grad.tolist()
    (0.5, [1.0, -1.0, 1.0])
    """
    check_options("structured_loss", options, ENGINE)
    minimize = as_written(dag, minimize)
    if isinstance(dag, CompiledBatch):
        return reduced(gap_of_batch(dag, theta, target, omega, cost, end=end, minimize=minimize, **options), reduction)
    asked = fitted(dag, theta, target, end, cost)
    run: dict[str, Any] = {"omega": omega, "end": end, "minimize": minimize, **options}
    value = dp_value(dag, asked.augmented(-1.0 if minimize else 1.0), **run)
    score = asked.target.score(asked.blocks)
    gap = score - value if minimize else value - score
    return reduced(torch.where(score.isinf(), torch.inf, gap).expand(asked.batch), reduction)


def perceptron_loss(dag: CompiledDAG | CompiledBatch, theta: Any, target: Any, **options: Any) -> Tensor:
    """ℓ_{0,0} = max over paths Y' of <Y', θ> - <Y, θ>, the structured perceptron loss: 0 for a best path.

    Tensor [*batch] in the unit of theta, and [*batch, graphs] for a batch of graphs.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> perceptron_loss(dag, torch.tensor([1.0, 2.5, 2.0]), Target(dag, [0, 2])).item()
    0.0
    """
    check_options("perceptron_loss", options, COMMON | {"cost"})
    return structured_loss(dag, theta, target, HardMax(), **options)


def hinge_loss(dag: CompiledDAG | CompiledBatch, theta: Any, target: Any, cost: Any, **options: Any) -> Tensor:
    """ℓ_{C,0} = max over paths Y' of <Y', θ + C> - <Y, θ>, the structured hinge (margin) loss.

    Tensor [*batch] in the unit of theta, and [*batch, graphs] for a batch of graphs. It is at least the cost <Y', C> of
    the path Y' that is best under θ. For C see `hamming_cost`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta, target = torch.tensor([1.0, 2.5, 2.0]), Target(dag, [0, 2])
    >>> hinge_loss(dag, theta, target, hamming_cost(target, theta)).item()
    0.5
    """
    check_options("hinge_loss", options, COMMON)
    return structured_loss(dag, theta, target, HardMax(), cost, **options)


def crf_loss(dag: CompiledDAG | CompiledBatch, theta: Any, target: Any, gamma: float = 1.0, **options: Any) -> Tensor:
    """ℓ_{0,-H} = -γ log p(Y) with p(Y) ∝ exp(<Y, θ>/γ), the negative log-likelihood of a CRF.

    Tensor [*batch] in the unit of theta, and [*batch, graphs] for a batch of graphs.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> loss = crf_loss(dag, torch.tensor([0.0, 0.0, 0.0]), Target(dag, [1]))
    >>> bool(torch.isclose(loss, torch.tensor(2.0).log()))
    True
    """
    check_options("crf_loss", options, COMMON | {"cost"})
    return structured_loss(dag, theta, target, Negentropy(gamma), **options)


def fenchel_young_loss(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    target: Any,
    omega: Omega | Learnable | None = None,
    *,
    reduction: str = "mean",
    end: Any = None,
    **options: Any,
) -> Tensor:
    """DP_Ω(θ) + Ω(Y) - <Y, θ> >= 0, and 0 if and only if the expected path E is Y: tensor [*batch].

    DP_Ω is the conjugate of Ω(E), the least penalty Σ_i ē_i Ω(q_i) of random walks with expected path E. On a path, Ω
    of each visited node is the corner γ ω(1): γ/2 under SquaredL2, and 0 under Negentropy, Tsallis and HardMax, where
    this loss equals `structured_loss`. The constant depends on the target alone, so gradients are equal. Parameters
    are those of `structured_loss`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta, target = torch.tensor([3.0, 0.0, 3.0]), Target(dag, [0, 2])
    >>> fenchel_young_loss(dag, theta, target, dagdp.SquaredL2(1.0)).item()
    0.0
    """
    check_options("fenchel_young_loss", options, ENGINE | {"cost", "minimize"})
    nodes: Any
    if isinstance(dag, CompiledBatch):
        asked = fitted_to_graphs(dag, theta, target, end)
        ends = [None] * len(asked) if end is None else end
        pairs = zip(asked, ends, strict=True)
        nodes = np.stack([_nodes(own.dag, own.target, node) for own, node in pairs], -1)
    else:
        target = fitted(dag, theta, target, end, options.get("cost")).target
        nodes = _nodes(dag, target, end)
    gap = structured_loss(dag, theta, target, omega, reduction="none", end=end, **options)
    unit = checked_options(omega.operator() if isinstance(omega, Learnable) else omega, None)
    gamma = omega.temperature() if isinstance(omega, Learnable) else unit.gamma
    corner = gamma * (unit.corner - unit.conjugate(unit.corner))  # type: ignore[attr-defined]
    return reduced(gap + corner * beside_block(np.asarray(nodes), gap).to(gap.dtype), reduction)


def _nodes(dag: CompiledDAG, target: Target, end: Any) -> Any:
    """[*batch] the number of nodes that a path visits after its start, the joint end of several ends included."""
    return target.lengths + (1 if end is None and dag.ends.size > 1 else 0)


def hamming_cost(target: Target, theta: Any, name: str | None = None) -> Any:
    """C for one potential: 1 for each entry that the target does not read, else 0. [*batch, *shape] like theta's block.

    name : the potential, for a graph with several; the result is then a dict with that key alone. C counts wrong tags
        on the "emission" of a `linear_chain`, and cells off the path on the costs of a `dtw_grid`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.graphs.linear_chain(2, 2))
    >>> theta = {p.name: torch.zeros(p.shape) for p in dag.potentials}
    >>> hamming_cost(Target.from_tags(dag, [0, 1]), theta, "emission")
    {'emission': tensor([[0., 1.],
            [1., 0.]])}
    """
    if not isinstance(target, Target):
        raise InputError(f"target is a {type(target).__name__}; expected a Target, such as Target.from_array(dag, Y)")
    keyed, blocks, _ = collect(target.dag, theta, "theta", real_tensor)
    names = [potential.name for potential in target.dag.potentials]
    if name is None and len(names) > 1:
        raise InputError(f"the graph has potentials {names}; expected name= to be one of them")
    if name is not None and name not in names:
        raise InputError(f"name is {name!r}; expected one of the graph's potentials {names}")
    place = 0 if name is None else names.index(name)
    Y = target.indicator([block.detach() for block in blocks])[place]
    C = (Y == 0).to(Y.dtype)
    return {names[place]: C} if keyed else C


def relaxed_loss(
    dag: CompiledDAG,
    theta: Any,
    target: Any,
    omega: Omega | Learnable | None = None,
    divergence: str | Divergence = "squared_l2",
    *,
    marginals: Callable[[Any], Tensor] | None = None,
    reduction: str = "mean",
    end: Any = None,
    minimize: bool | None = None,
    **options: Any,
) -> Tensor:
    """Δ(Y, ∇DP_Ω(θ)), a distance of the expected path E from the true path Y (section 4.1). Not convex.

    Parameters
    ----------
    divergence : "squared_l2", Σ (E - Y)²; "kl", Σ Y log(Y/E), which is +inf, with gradient 0 for that entry, where a
        true entry has probability 0; or a function of (E, Y, number of batch dimensions) that returns [*batch].
    marginals : a function of an array or dict like theta; its results for E and Y are compared. Default: for a
        `trellis` or a `linear_chain` the state probabilities [*batch, T, S] (section 4.2); for other graphs all of E.
    minimize, end : as in `structured_loss`.

    Differentiable once: the gradient is a Hessian product of DP_Ω. The paper pairs "squared_l2" with SquaredL2 and
    "kl" with Negentropy. Under HardMax E is piecewise constant, and the gradient is 0. Under a sparse operator the
    gradient is 0 wherever a single path has probability 1, right or wrong: take small steps (docs/faq.md).

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> theta = torch.zeros(3, requires_grad=True)
    >>> loss = relaxed_loss(dag, theta, Target(dag, [1]), dagdp.Negentropy())  # E = [1/2, 1/2, 1/2], Y = [0, 1, 0]
    >>> loss.backward()
    >>> loss.item(), theta.grad.tolist()
    (0.75, [0.75, -0.75, 0.75])
    """
    check_options("relaxed_loss", options, ENGINE)
    measure = DIVERGENCES.get(divergence) if isinstance(divergence, str) else divergence
    if not callable(measure):
        raise InputError(f"divergence is {divergence!r}; expected one of {list(DIVERGENCES)} or a function")
    if marginals is not None and not callable(marginals):
        raise InputError(f"marginals is {marginals!r}; expected a function of one shaped and keyed like theta, or None")
    asked = fitted(dag, theta, target, end, None)
    run: dict[str, Any] = {"omega": omega, "end": end, "minimize": minimize, **options}
    chosen, read = _state_marginals(dag) if marginals is None else (marginals, None)
    value, E = dp_value_and_grad(dag, asked.item_by_item(read), **run)
    batch = len(asked.batch)
    indicator = asked.target.indicator([block.detach() for block in asked.blocks])
    Y = {p.name: y for p, y in zip(dag.potentials, indicator, strict=True)} if isinstance(E, dict) else indicator[0]
    if chosen is not None:
        losses = measure(chosen(E), chosen(Y), batch)
    else:
        pairs = [(E[name], Y[name]) for name in Y] if isinstance(Y, dict) else [(E, Y)]
        losses = torch.stack([measure(e, y, batch) for e, y in pairs]).sum(0)
    return reduced(torch.where(value.detach().isinf(), torch.inf, losses), reduction)


def alignment_area(predicted: Any, true: Any, reduction: str = "mean") -> Tensor:
    """||L (Y - Y_true)ᵀ||², L lower triangular of ones (section 4.3): a number, or [*batch] by `reduction`.

    predicted, true : alignments [*batch, N_A, N_B]. For each i, running sums over j are subtracted, squared and summed:
        the area between two paths that visit one cell for each i, extended smoothly to expected alignments.

    >>> early, late = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    >>> alignment_area(early, late).item()
    2.0
    """
    predicted, true = real_tensor(predicted, "predicted"), real_tensor(true, "true")
    on_one_device([("predicted", predicted), ("true", true)])
    if predicted.shape != true.shape or predicted.ndim < 2:
        raise InputError(
            f"alignments have shapes {tuple(predicted.shape)} and {tuple(true.shape)}; expected one shape twice"
        )
    return reduced((predicted - true).cumsum(-1).square().sum((-2, -1)), reduction)


def _squared_l2(E: Tensor, Y: Tensor, batch: int) -> Tensor:
    return (E - Y).square().reshape((*E.shape[:batch], -1)).sum(-1)


def _kl(E: Tensor, Y: Tensor, batch: int) -> Tensor:
    """Σ Y log(Y/E). A probability below the smallest normal number counts as 0: its reciprocal would overflow."""
    smallest = torch.finfo(E.dtype).tiny
    terms = torch.xlogy(Y, Y) - Y * torch.where(smallest < E, E, 1.0).log()
    return torch.where((Y > 0) & (smallest >= E), torch.inf, terms).reshape((*E.shape[:batch], -1)).sum(-1)


DIVERGENCES: dict[str, Divergence] = {"squared_l2": _squared_l2, "kl": _kl}


def _state_marginals(dag: CompiledDAG) -> tuple[Callable[[Any], Tensor] | None, set[str] | None]:
    """(a function from E to [*batch, T, S], the potentials it reads) for a trellis or a linear chain, else Nones."""
    try:
        T, S = steps_and_states(dag)
    except InputError:
        return None, None
    if (T, S, S) in [potential.shape for potential in dag.potentials]:
        return lambda E: (E["theta"] if isinstance(E, Mapping) else E).sum(-1), None
    return lambda E: E["emission"], {"emission"}


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """Losses [*batch] unchanged, their mean, or their sum, by `reduction`. Raises InputError for another word."""
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise InputError(f"reduction is {reduction!r}; expected 'mean', 'sum' or 'none'")
    return losses.mean() if reduction == "mean" else losses.sum()
