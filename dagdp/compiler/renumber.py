"""RENUMBER: level by level, and inside a level by falling fan-in, so that nodes of equal shape are neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from dagdp.compiler.arrays import Numbering, order_nodes
from dagdp.compiler.level import Levelled


@dataclass(frozen=True)
class Renumbered:
    """A levelled graph and the internal numbers of its nodes. Edges keep the user's order."""

    levelled: Levelled
    nodes: Numbering


def renumber(levelled: Levelled) -> Renumbered:
    """Nodes sorted by (level, falling fan-in, user's number)."""
    nodes = order_nodes(levelled.level, levelled.fan_in, levelled.fan_out)
    levelled.level = levelled.fan_in = nodes.order[:0].copy()
    return Renumbered(levelled, nodes)
