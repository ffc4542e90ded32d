"""The kernel of chains: an item that weights cannot hold is left to the generic text.

All functions here are kernel texts, see `dagdp.kernels.cuda.texts.names`.
"""

from __future__ import annotations

from typing import Any

from dagdp.kernels.cuda.records import Arrays, Call, State
from dagdp.kernels.cuda.texts.entry import solve_item
from dagdp.kernels.cuda.texts.names import BACKWARD, REAL_TYPE, ZERO, cuda, meet
from dagdp.kernels.cuda.texts.tied.backward import descend, write_outer_flows
from dagdp.kernels.cuda.texts.tied.forward import climb, reach_end
from dagdp.kernels.cuda.texts.tied.matrix import chain_of, survey
from dagdp.kernels.cuda.texts.work import Work, batch_item, graph_of_item, item_of


def clear(work: Work) -> None:
    """Set the item's gradient to 0: most of a chain's entries may lie behind the item's end.

    Every thread meets another at a barrier before it writes a flow.
    """
    k = work.item.rank
    while k < work.call.entries:
        work.arrays.gradient[work.item.gradient + k] = ZERO
        k += work.item.team


def solve_chain(omega: Any, work: Work) -> Any:
    """Compute an item, and return whether this was possible. All threads of the item return the same."""
    chain = chain_of(work)
    if chain.steps < 0:
        return False
    peak = survey(omega, work, chain)
    if not peak.fits:
        return False
    climbed = climb(omega, work, chain, peak)
    value, share, sound = reach_end(omega, work, chain, climbed)
    if not sound:
        return False
    if work.item.rank == 0:
        work.arrays.values[work.item.output] = work.call.sign * value
    if BACKWARD:
        bar = descend(omega, work, chain, peak.top, share)
        write_outer_flows(work, chain, share, bar)
    return True


def sweep_tied(omega: Any, call: Call, arrays: Arrays, state: State) -> None:
    """One item for each team of threads."""
    batch, graph = batch_item(), graph_of_item()
    if batch >= call.batch or graph >= call.graphs:
        return
    work = Work(call, arrays, state, item_of(batch, graph, call, arrays), cuda.shared.array(0, REAL_TYPE, 16))
    if BACKWARD:
        clear(work)
    solved = solve_chain(omega, work)
    if not solved:
        meet()
        solve_item(omega, work)
