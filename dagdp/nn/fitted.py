"""The arguments of a loss, checked: weights, true paths and costs of one batch, on one device."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from dagdp.compiled.dag import CompiledDAG
from dagdp.engine.inputs import Shape, broadcast, checked, collect
from dagdp.errors import InputError
from dagdp.nn.autograd.tensors import beside, end_numbers, on_one_device, over_batch, real_tensor
from dagdp.nn.targets import Target
from dagdp.nn.walks import node_name


class Fitted(NamedTuple):
    """Checked arguments of a loss: the user's weights and costs, and targets expanded to the batch."""

    dag: CompiledDAG
    keyed: bool  # theta is a dict
    blocks: list[Tensor]
    batches: list[Shape]  # [K] batch dimensions of each block
    costs: dict[str | None, Tensor]
    target: Target
    batch: Shape

    def augmented(self, sign: float) -> Any:
        """θ + sign·C in the form of theta. Blocks of a dict that have batch dimensions are expanded to all of them."""
        if not self.costs:
            return self._form(self.blocks)
        named = zip(self.dag.potentials, self.blocks, strict=True)
        made = [block + sign * self.costs[p.name] if p.name in self.costs else block for p, block in named]
        own = [_front(block, p.shape) for block, p in zip(made, self.dag.potentials, strict=True)]
        together = broadcast([(str(p.name), shape) for p, shape in zip(self.dag.potentials, own, strict=True)])
        return self._form(over_batch(self.dag, True, made, own, together)[0])

    def item_by_item(self, read: Collection[str] | None = None) -> Any:
        """θ with a copy of every block for each item, so that expected paths are not summed over the batch.

        read : names of the blocks whose expected paths the loss reads; other blocks stay parameters of the batch.
        """
        copies = over_batch(self.dag, False, self.blocks, self.batches, self.batch)[0]
        given = zip(self.dag.potentials, copies, self.blocks, self.batches, strict=True)
        return self._form(
            [block if own == () and read is not None and p.name not in read else copy for p, copy, block, own in given]
        )

    def _form(self, blocks: Sequence[Tensor]) -> Any:
        return {p.name: b for p, b in zip(self.dag.potentials, blocks, strict=True)} if self.keyed else blocks[0]


def fitted(dag: CompiledDAG, theta: Any, target: Any, end: Any, cost: Any) -> Fitted:
    """The checked arguments of a loss. Raises InputError for forms, devices, batch dimensions and ends of targets."""
    checked(dag, None, None)
    keyed, blocks, batches = collect(dag, theta, "theta", real_tensor)
    target = target if isinstance(target, Target) else Target.from_array(dag, target, end)
    if target.dag is not dag:
        raise InputError("the target was made for another compiled graph; make it with the same one")
    costs = _costs(dag, keyed, blocks, cost)
    labels = [f"theta[{p.name!r}]" if keyed else "theta" for p in dag.potentials]
    of_costs = [(f"cost[{name!r}]" if keyed else "cost", block) for name, block in costs.items()]
    on_one_device([*zip(labels, blocks, strict=True), *of_costs])
    shapes = {p.name: p.shape for p in dag.potentials}
    numbers = end_numbers(dag, end)
    batch = broadcast(
        [
            *zip(labels, batches, strict=True),
            *(("cost", _front(block, shapes[name])) for name, block in costs.items()),
            ("target", target.batch),
            ("end", () if numbers is None else tuple(numbers.shape)),
        ]
    )
    target = target.over(batch)
    _check_ends(dag, target, None if numbers is None else dag.end_names(numbers.expand(batch).numpy()))
    return Fitted(dag, keyed, blocks, batches, costs, target, batch)


def check_options(function: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise InputError for an option that the function does not have."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"{function} was given {unknown[0]}=; expected some of its options {sorted(known)}")


def _front(block: Tensor, shape: Shape) -> Shape:
    return tuple(block.shape[: block.ndim - len(shape)])


def _costs(dag: CompiledDAG, keyed: bool, blocks: Sequence[Tensor], cost: Any) -> dict[str | None, Tensor]:
    """C as tensors, by the names of potentials; arrays get the dtype and the device of the weights."""
    if cost is None:
        return {}
    if keyed != isinstance(cost, Mapping):
        form = "a dict" if keyed else "one array"
        raise InputError(f"theta is {form} and cost is a {type(cost).__name__}; expected both in one form")
    names = [p.name for p in dag.potentials]
    given: dict[Any, Any] = dict(cost) if keyed else {names[0]: cost}
    unknown = set(given) - set(names)
    if unknown:
        raise InputError(f"cost has keys {sorted(map(str, cost))}; expected some of {names}")
    made: dict[str | None, Tensor] = {}
    for potential, block in zip(dag.potentials, blocks, strict=True):
        if potential.name not in given:
            continue
        label = f"cost[{potential.name!r}]" if keyed else "cost"
        own = beside(given[potential.name], label, block)
        if tuple(own.shape[max(own.ndim - len(potential.shape), 0) :]) != potential.shape:
            expected = ", ".join(map(str, potential.shape))
            raise InputError(f"{label} has shape {tuple(own.shape)}; expected [*batch, {expected}], as theta")
        made[potential.name] = own
    return made


def _check_ends(dag: CompiledDAG, target: Target, end: Any) -> None:
    """Raise InputError for a target whose last node is not where paths end."""
    last = target.last
    if end is None:
        wrong = np.argwhere(~np.isin(last, dag.ends))
    else:
        wrong = np.argwhere(dag.end_nodes(end, target.batch).reshape(target.batch) != dag.rank[last])
    if len(wrong):
        item = tuple(int(k) for k in wrong[0])
        place = f" of item {', '.join(map(str, item))}" if item else ""
        raise InputError(
            f"the target{place} stops at node {node_name(dag, last[item])!r}, which is no end; expected "
            f"{'the node of end=' if end is not None else f'one of {[node_name(dag, e) for e in dag.ends[:5]]}'}. "
            "A ragged batch ends where its targets do: pass end=target.end"
        )
