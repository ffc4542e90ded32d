"""LAUNCH: a kernel on a range of items. The one place that knows in which order kernels take their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.index_arrays import located
from dagdp.engine.forms import found, remember
from dagdp.engine.inputs import Weights
from dagdp.engine.plan import GraphPlan, kernel_form
from dagdp.jit.decorators import Kernel, Launch
from dagdp.kernels.cpu.memory import KernelForm, addresses_size, layout
from dagdp.kernels.cpu.records import Items, Source, Terminals

Array = NDArray[Any]
Answer = tuple[int, bool]  # of a launch: the first item that is not done, whether some value is +inf or NaN


class LaunchArrays:
    """What a kernel reads and writes on one graph. The caller keeps the arrays alive: kernels get addresses."""

    __slots__ = ("out", "results", "seeds", "weights")

    def __init__(self, weights: list[Weights], results: list[Array], out: Any, seeds: Array) -> None:
        self.weights = weights  # theta, and z where there is one
        self.results = results  # value, or value and slope: [items * graphs]
        self.out = out  # [K] gradient buffers; for local weights an array [items, edges]; None: the kernel has neither
        self.seeds = seeds  # [items] weights of the ends, for the gradient; none where each is 1


class Launcher:
    """A kernel as calls of one form launch it on one graph: the kernel's form, and the layout of its memory."""

    def __init__(self, kernel: Kernel, graph: GraphPlan, data: Any, signs: tuple[Any, ...]) -> None:
        self.graph, self.data, self.signs = graph, data, signs
        form = kernel_form(kernel, graph)
        self.size, self.addresses, self.table = memory_of(graph.dag, form)
        # By `Items.scaled`. Each value of it is a type of its own, and so a kernel of its own.
        self.launches = {True: Launch(kernel), None: Launch(kernel)}
        self.backward, self.tangent, self.variant = form.passes.backward, form.passes.tangent, form.variant

    def terminals(self, starts: NDArray[np.int32], ends: NDArray[np.int32], seeds: Array) -> Terminals:
        """Where paths begin and end, with the weights of the ends for the gradient."""
        return Terminals(starts, ends, seeds if self.backward and not self.tangent else None)

    def arguments(self, arrays: LaunchArrays) -> tuple[Any, ...]:
        """The kernel's last arguments: θ, Z, results, gradient or local weights, variant."""
        theta, *z = arrays.weights
        tables, signs = self.graph.tables, self.signs
        made: tuple[Any, ...] = (Source(located(tables[0], theta.blocks), signs[0]),)
        if z:
            made += (Source(located(tables[1], z[0].blocks), signs[1]),)
        made += (*arrays.results,)
        if arrays.out is not None:
            made += (located(tables[0], arrays.out) if self.backward else arrays.out,)
        return (*made, self.variant)


def memory_of(dag: CompiledDAG, form: KernelForm) -> tuple[int, int, NDArray[np.int64]]:
    """(numbers, addresses, table of the graph's addresses and of the layout) of a launch of that form on the graph.

    Stored with the graph: a layout takes 20 µs, and calls whose plan is not stored would make it each time.
    """
    known = found(dag.calls, form)
    if known is None:
        size, offsets = layout(form, dag.wiring, dag.most_parents)
        known = size, addresses_size(dag.most_parents, form.variant.pairs), np.concatenate([dag.addresses, offsets])
        remember(dag.calls, form, known)
    return known


Piece = tuple[Launcher, Items, Terminals, tuple[Any, ...]]  # a range of items, their ends, the last arguments


def run_piece(piece: Piece) -> bool:
    """Run a kernel on a range of items, in a workspace of its own; whether some value is +inf or NaN."""
    launcher, items, terminals, arguments = piece
    launches, data, table = launcher.launches, launcher.data, launcher.table
    memory, addresses = np.empty(launcher.size, launcher.graph.real), np.zeros(launcher.addresses, np.int64)

    def launched(items: Items) -> Answer:
        answer: Answer = launches[items.scaled](data, memory, addresses, table, items, terminals, *arguments)
        return answer

    return to_the_end(launched, items)


def to_the_end(launched: Callable[[Items], Answer], items: Items) -> bool:
    """Launch a kernel until all items of the range are done; whether some value is +inf or NaN.

    A launch stops before a block of items whose values leave the range of m·2^k. That block is done by the kernel of
    the log domain, `scaled=None`, and the rest by the first kernel again.
    """
    done, bad = launched(items)
    while done < items.last:
        rest = min(done + items.lanes, items.last)
        _, wrong = launched(items._replace(first=done, last=rest, scaled=None))
        done, others = launched(items._replace(first=rest)) if rest < items.last else (rest, False)
        bad |= wrong | others
    return bad
