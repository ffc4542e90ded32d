"""RENUMBER: level by level, and inside a level by falling fan-in, so that equal shapes are neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from dagdp.compiler.arrays import order_nodes
from dagdp.compiler.level import Levelled
from dagdp.compiler.validate import Small


@dataclass(frozen=True)
class Renumbered:
    """Internal numbers. Edges stay where they are: both orders of them are read off these arrays."""

    levelled: Levelled
    level_ptr: Small  # [levels+1] internal numbers of a level's nodes
    order: Small  # [live nodes] the user's number
    rank: Small  # [user's nodes, the extra end behind them] the internal number, -1 for a pruned node


def renumber(levelled: Levelled) -> Renumbered:
    """Nodes sorted by (level, -fan-in, user's number)."""
    level_ptr, order, rank = order_nodes(levelled.level, levelled.fan_in, levelled.fan_out)
    levelled.level = levelled.fan_in = order[:0].copy()
    return Renumbered(levelled, level_ptr, order, rank)
