"""A model that contains every layer and loss, its data, and what each rank of test_nn_distributed.py runs.

Ranks are processes of their own, which import this file by its name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

import dagdp
from dagdp import Graph, HardMax, Negentropy, SquaredL2
from dagdp.graphs import ctc_loss
from dagdp.nn import (
    DTW,
    DPGrad,
    DPValue,
    Learnable,
    LinearChainCRF,
    Target,
    Viterbi,
    crf_loss,
    fenchel_young_loss,
    hamming_cost,
    hinge_loss,
    pad_ragged,
    perceptron_loss,
    relaxed_loss,
    squared_euclidean,
)

STEPS, WORLD = 4, 2
FEATURES, HIDDEN, TAGS = 5, 6, 4
FIXED = ([0, 0, 1, 1, 2, 3], [1, 2, 2, 3, 3, 4])  # parents, children
FIXED_PATHS = ([0, 3, 5], [1, 4, 5], [0, 2, 4, 5])
#: of each global batch the items of each rank: sizes differ between ranks and between steps
SHARES = [([0, 1, 2], [3, 4, 5, 6, 7]), ([8], [9, 10, 11, 12]), ([3, 9, 11, 0, 5], [7, 1]), ([2, 12, 6], [10, 4])]


class Item(NamedTuple):
    """A sequence with its tags, and a graph of its own whose edges have features."""

    x: Tensor  # [T, FEATURES]
    tags: Tensor  # [T]
    labels: Tensor  # [L], for CTC
    graph: Graph
    edges: Tensor  # [edges, FEATURES]
    path: list[int]
    fixed: int  # which of FIXED_PATHS


class Group(NamedTuple):
    """A batch of items, as a worker of a DataLoader sends it."""

    x: Tensor  # [B, T, FEATURES]
    tags: Tensor  # [B, T]
    lengths: Tensor  # [B]
    labels: Tensor  # [B, L]
    label_lengths: Tensor  # [B]
    graphs: Any  # CompiledBatch
    edges: Tensor  # [all edges, FEATURES]
    targets: list[Target]
    fixed: Tensor  # [B]


def items(count: int = 13) -> list[Item]:
    """Every process draws equal items."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(count):
        steps, nodes = int(rng.integers(5, 9)), int(rng.integers(4, 8))
        skips = [(i, j) for i in range(nodes) for j in range(i + 2, nodes) if rng.random() < 0.5]
        ends = [(i, i + 1) for i in range(nodes - 1)] + skips
        found.append(
            Item(
                x=torch.from_numpy(rng.normal(size=(steps, FEATURES))),
                tags=torch.from_numpy(rng.integers(0, TAGS, steps)),
                labels=torch.from_numpy(rng.integers(1, TAGS, int(rng.integers(1, 3)))),
                graph=Graph.from_edges(*map(list, zip(*ends, strict=True))),
                edges=torch.from_numpy(rng.normal(size=(len(ends), FEATURES))),
                path=list(range(nodes - 1)),
                fixed=k % len(FIXED_PATHS),
            )
        )
    return found


def collate(group: Sequence[Item]) -> Group:
    """Runs in a worker: the graphs are compiled there."""
    graphs = dagdp.compile_batch([item.graph for item in group])
    x, lengths = pad_ragged([item.x for item in group])
    labels, label_lengths = pad_ragged([item.labels for item in group])
    return Group(
        x=x,
        tags=pad_ragged([item.tags for item in group])[0],
        lengths=lengths,
        labels=labels,
        label_lengths=label_lengths,
        graphs=graphs,
        edges=torch.cat([item.edges for item in group]),
        targets=[Target(dag, np.array(item.path)) for dag, item in zip(graphs.dags, group, strict=True)],
        fixed=torch.tensor([item.fixed for item in group]),
    )


class EveryLayer(nn.Module):
    """Every layer and loss on one hidden sequence; its call gives the sum of all losses over the items."""

    def __init__(self, checkpointed: bool = False) -> None:
        super().__init__()
        self.checkpointed = checkpointed
        self.hidden = nn.Linear(FEATURES, HIDDEN)
        self.emission = nn.Linear(HIDDEN, TAGS)
        self.edge = nn.Linear(FEATURES, 1, bias=False)
        self.pooled = nn.Linear(HIDDEN, len(FIXED[0]))
        self.template = nn.Parameter(torch.randn(4, HIDDEN))
        self.readout = nn.Parameter(torch.randn(len(FIXED[0])))
        self.steps = nn.Parameter(0.1 * torch.randn(TAGS, TAGS))
        lattice = dagdp.compile(Graph.from_edges(*FIXED))
        self.lattice = lattice
        self.crf = LinearChainCRF(TAGS)
        self.viterbi = Viterbi(Learnable(Negentropy(), gamma=nn.Parameter(torch.tensor(0.7))))
        self.dtw = DTW(Negentropy(0.5), penalty=nn.Parameter(torch.tensor(0.1)))
        self.value = DPValue(lattice, SquaredL2(0.8))
        self.grad = DPGrad(lattice, Negentropy(0.6))

    def forward(self, group: Group) -> Tensor:
        """The sum over items of all losses: a number."""
        hidden = self.hidden(group.x).tanh()
        if self.checkpointed:
            parts = [checkpoint(part, hidden, group, use_reentrant=False) for part in self.parts()]
        else:
            parts = [part(hidden, group) for part in self.parts()]
        return torch.stack(parts).sum()

    def parts(self) -> list[Callable[[Tensor, Group], Tensor]]:
        """Each a function of the hidden sequence [B, T, HIDDEN] and the batch."""
        return [self.of_sequences, self.of_series, self.of_one_graph, self.of_own_graphs]

    def of_sequences(self, hidden: Tensor, group: Group) -> Tensor:
        """LinearChainCRF, Viterbi, ctc_loss."""
        emission = self.emission(hidden)
        crf = -self.crf(emission, group.tags, group.lengths).sum()
        marginals = self.crf.marginals(emission, group.lengths).square().sum()
        viterbi = self.viterbi(emission.unsqueeze(-1) + self.steps, group.lengths).sum()
        log_probs = emission.log_softmax(-1).transpose(0, 1)
        ctc = ctc_loss(log_probs, group.labels, group.lengths, group.label_lengths, reduction="sum")
        return crf + marginals + 0.1 * viterbi + ctc

    def of_series(self, hidden: Tensor, group: Group) -> Tensor:
        """DTW against a template that is learnt."""
        cost = squared_euclidean(hidden, self.template)
        return self.dtw(cost, lengths=(group.lengths, len(self.template))).sum()

    def of_one_graph(self, hidden: Tensor, group: Group) -> Tensor:
        """DPValue, DPGrad, and losses on a graph that all ranks have."""
        inside = torch.arange(hidden.shape[1]) < group.lengths.unsqueeze(-1)
        theta = self.pooled((hidden * inside.unsqueeze(-1)).sum(1) / group.lengths.unsqueeze(-1))
        path = (self.grad(theta) @ self.readout).square().sum()
        edges = np.full((len(group.fixed), 4), -1)
        for row, number in zip(edges, group.fixed.tolist(), strict=True):
            row[: len(FIXED_PATHS[number])] = FIXED_PATHS[number]
        target = Target(self.lattice, edges)
        losses = fenchel_young_loss(self.lattice, theta, target, SquaredL2(), reduction="sum")
        losses = losses + relaxed_loss(self.lattice, theta, target, Negentropy(), reduction="sum")
        cost = hamming_cost(target, theta)
        losses = losses + hinge_loss(self.lattice, theta, target, cost, reduction="sum")
        return losses + path + 0.1 * self.value(theta).sum()

    def of_own_graphs(self, hidden: Tensor, group: Group) -> Tensor:
        """Losses on a graph for each item, compiled by a worker."""
        theta = self.edge(group.edges).squeeze(-1)
        losses = crf_loss(group.graphs, theta, group.targets, reduction="sum")
        losses = losses + perceptron_loss(group.graphs, theta, group.targets, reduction="sum")
        best = dagdp.dp_value(group.graphs, theta, HardMax()).sum()
        return (
            losses + fenchel_young_loss(group.graphs, theta, group.targets, SquaredL2(), reduction="sum") + 0.1 * best
        )


def build(checkpointed: bool = False) -> EveryLayer:
    """Equal parameters in each process."""
    torch.manual_seed(0)
    return EveryLayer(checkpointed).double()


class Trained(NamedTuple):
    """What a run is compared by."""

    losses: list[float]  # the mean loss of an item in each global batch
    gradients: dict[str, Tensor]  # of the first batch
    parameters: dict[str, Tensor]  # behind the last step


def train(model: nn.Module, shares: Sequence[Sequence[int]], workers: int, whole: Callable[..., Any]) -> Trained:
    """Steps of Adam on these batches. `whole` makes a parameter, or its gradient, one tensor with a plain name."""
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    loader = DataLoader(items(), batch_sampler=shares, collate_fn=collate, num_workers=workers)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses: list[float] = []
    gradients: dict[str, Tensor] = {}
    for group in loader:
        optimizer.zero_grad()
        loss = model(group)
        both = torch.tensor([float(loss.detach()), len(group.lengths)], dtype=torch.float64)
        if ranks > 1:
            dist.all_reduce(both)
        (loss * ranks / both[1]).backward()  # gradients are averaged over ranks: `ranks` makes them a sum
        if ranks > 1 and not isinstance(model, DistributedDataParallel):  # scalars, which fully_shard left alone
            for parameter in scalars(model):
                dist.all_reduce(parameter.grad.div_(ranks))
        losses.append(float(both[0] / both[1]))
        if not gradients:
            gradients = {whole(name): whole(p.grad).clone() for name, p in model.named_parameters()}
        optimizer.step()
    return Trained(losses, gradients, {whole(name): whole(p.detach()) for name, p in model.named_parameters()})


def plain(given: Any) -> Any:
    """A name without the wrapper's prefix; a tensor that may be sharded as one tensor."""
    if isinstance(given, str):
        return given.removeprefix("module.")
    return given.full_tensor() if hasattr(given, "full_tensor") else given


def sharded(model: EveryLayer) -> nn.Module:
    """Parameters of some layers, and of the model as a whole, are spread over ranks. torch does not spread scalars."""
    for layer in (model.hidden, model.emission, model.pooled):
        fully_shard(layer)
    return fully_shard(model, ignored_params=set(scalars(model)))  # type: ignore[return-value]


def scalars(model: nn.Module) -> list[nn.Parameter]:
    """gamma and the penalty."""
    return [parameter for parameter in model.parameters() if parameter.ndim == 0]


def rank_main(rank: int, folder: str) -> None:
    """One rank: trains each form of the model, and writes what came out."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    warnings.simplefilter("ignore")  # FSDP's, of every layer on a batch with several axes
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    try:
        own = [share[rank] for share in SHARES]
        found = {
            "ddp": train(DistributedDataParallel(build()), own, 1, plain),
            "ddp, checkpoints": train(DistributedDataParallel(build(True)), own, 0, plain),
            "fsdp": train(sharded(build()), own, 0, plain),
        }
        torch.save({name: each._asdict() for name, each in found.items()}, Path(folder) / f"rank{rank}.pt")
    finally:
        dist.destroy_process_group()
