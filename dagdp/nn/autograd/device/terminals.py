"""Node numbers of `start=` and `end=` as kernels take them, looked up on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dagdp.kernels.cuda.records import GRAPHS_END, WRONG
from dagdp.nn.autograd.device import accelerator


def internal_terminals(dag: Any, end: Tensor, dimensions: int) -> tuple[Tensor | None, Tensor]:
    """(starts or None, ends): int32 [*batch] internal numbers, -1 for no path, -2 for the graph's end, -3 for no node.

    end : the user's node numbers, int64 [*batch]; or (start, end) [*batch, 2], where theta has as many `dimensions`.
    """
    device = end.device
    ends_by_node = accelerator.constant(dag.end_table, device, "the table of ends")
    if end.dim() < dimensions:
        return None, _looked_up(ends_by_node, end)
    starts_by_node = accelerator.constant(dag.start_table, device, "the table of starts")
    starts, ends = _looked_up(starts_by_node, end[..., 0]), _looked_up(ends_by_node, end[..., 1])
    ends = torch.where(ends == GRAPHS_END, dag.end, ends)
    at_start = (ends >= 0) & (ends < int(dag.wiring.incoming.levels[1]))
    lost = (starts == -1) | (at_start & (ends != starts))
    ends = torch.where(starts == WRONG, WRONG, torch.where(lost & (ends != WRONG), -1, ends))
    return starts.clamp(min=-1), ends.to(torch.int32)


def _looked_up(by_node: Tensor, nodes: Tensor) -> Tensor:
    """The table's number of each node.

    The last three places of a table serve numbers that are no nodes: those from the number of nodes on and below -2,
    then -2, then -1.
    """
    found: Tensor = by_node[nodes.clamp(-3, by_node.shape[0] - 3)]
    return found.contiguous()
