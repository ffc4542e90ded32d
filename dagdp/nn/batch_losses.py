"""Losses for a batch of different graphs: the value of all graphs from one run, minus the score of each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dagdp.compiled.layout import Layout
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import TENSORS
from dagdp.engine.inputs import broadcast
from dagdp.errors import InputError
from dagdp.functions import dp_value
from dagdp.nn.autograd.tensors import on_one_device, real_tensor
from dagdp.nn.fitted import Fitted, fitted

KIND = TENSORS._replace(as_array=real_tensor)


def gap_of_batch(
    batch: CompiledBatch,
    theta: Any,
    targets: Any,
    omega: Any,
    cost: Any,
    **options: Any,
) -> Tensor:
    """`structured_loss` of every graph of the batch: [*batch, graphs].

    omega : an operator, or a `Learnable`.  options : of `dp_value`.
    """
    end, minimize = options.pop("end"), options["minimize"]
    blocks = batch.layout.pack(theta, "theta", KIND)[1]
    asked = fitted_to_graphs(batch, theta, targets, end)
    value = dp_value(
        (batch if end is None else batch.ending(end)).packed,
        _augmented(batch.layout, blocks, cost, -1.0 if minimize else 1.0),
        omega,
        **options,
    )
    score = torch.stack([own.target.score(own.blocks).expand(own.batch) for own in asked], -1)
    gap = score - value if minimize else value - score
    return torch.where(score.isinf(), torch.inf, gap)


def fitted_to_graphs(batch: CompiledBatch, theta: Any, targets: Any, end: Any) -> list[Fitted]:
    """[graphs] the checked weights and target of each graph."""
    if not isinstance(targets, list | tuple) or len(targets) != len(batch) or len(batch) == 0:
        given = f"a list of {len(targets)}" if isinstance(targets, list | tuple) else f"a {type(targets).__name__}"
        raise InputError(
            f"target is {given}; expected a list with a Target, made with batch.dags[g], for each of the {len(batch)} "
            "graphs of the batch, of which there is at least one"
        )
    if end is not None:
        batch.ending(end)  # raises for a node that cannot be an end
    ends = [None] * len(batch) if end is None else end.tolist() if hasattr(end, "tolist") else list(end)
    blocks = batch.layout.pack(theta, "theta", KIND)[1]
    made = []
    for g, dag in enumerate(batch.dags):
        try:
            made.append(fitted(dag, batch.layout.of_graph(theta, blocks, g), targets[g], ends[g], None))
        except InputError as error:
            raise InputError(f"graph {g}: {error}") from None
    together = broadcast([(f"target[{g}]", own.batch) for g, own in enumerate(made)])
    return [own._replace(target=own.target.over(together), batch=together) for own in made]


def _augmented(layout: Layout, blocks: list[Tensor], cost: Any, sign: float) -> Any:
    """θ + sign·C as joined arrays; an array with batch dimensions is expanded to all of them."""
    named = dict(zip([part.name for part in layout.sections], blocks, strict=True))
    if cost is not None:
        first = cost[0] if isinstance(cost, list | tuple) and cost else cost
        keys = set(cost if isinstance(cost, Mapping) else first if isinstance(first, Mapping) else named)
        if not keys <= set(named):
            raise InputError(f"cost has keys {sorted(map(str, keys))}; expected some of {list(named)}")
        own = replace(layout, sections=tuple(part for part in layout.sections if part.name in keys))
        for part, array in zip(own.sections, own.pack(cost, "cost", KIND)[1], strict=True):
            on_one_device([("theta", named[part.name]), ("cost", array)])
            named[part.name] = named[part.name] + sign * array.to(named[part.name].dtype)
        fronts = [(str(name), tuple(block.shape[:-1])) for name, block in named.items()]
        whole = broadcast(fronts)
        for name, block in named.items():
            if block.ndim > 1:
                named[name] = block.expand(*whole, block.shape[-1])
    return named.get(None, named)
