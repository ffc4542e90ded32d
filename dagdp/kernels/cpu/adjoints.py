"""ē at the ends of a block's items, from which every backward pass begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.jit.decorators import inlined, inner
from dagdp.kernels.cpu.records import Adjoint, Block, Floats, State, Terminals
from dagdp.kernels.cpu.rows import fill
from dagdp.lanes.views import get


@inner
def seed(bar: Floats, first: int, last: int, block: Block, terminals: Terminals, v_hi: Floats) -> None:
    """ē = 1, or the item's weight, at each item's ends among nodes [first, last); 0 where no path reaches the end."""
    dtype = bar.dtype.type
    for b in range(block.lanes):
        item = min(block.first + b, block.stop - 1)
        weight = dtype(1)
        if terminals.weights is not None:
            weight = get(terminals.weights, item) if terminals.weights.shape[0] > 0 else dtype(1)
        for end in terminals.ends[item * block.graphs : (item + 1) * block.graphs]:
            if first <= end and end < last:
                at = end * block.lanes + b
                bar[at] = weight if v_hi[at] > dtype(-np.inf) else dtype(0)


@inlined
def seed_all(incoming: Any, block: Block, terminals: Terminals, state: State, adjoint: Adjoint) -> None:
    """`seed` for all nodes; ē of others and all tangents are 0."""
    fill(adjoint.bar, 0, adjoint.bar.shape[0], 0)
    seed(adjoint.bar, 0, incoming.levels[-1], block, terminals, state.v_hi)
    if adjoint.bar_dot is not None:
        fill(adjoint.bar_dot, 0, adjoint.bar_dot.shape[0], 0)
