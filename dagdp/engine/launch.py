"""LAUNCH: a kernel on a range of items. The one place that knows in which order kernels take their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.index_arrays import located
from dagdp.engine.inputs import Weights
from dagdp.engine.plan import GraphPlan, variant_of, workspace_of
from dagdp.jit.decorators import Kernel, Launch
from dagdp.kernels.cpu.entry import gradient_kernel
from dagdp.kernels.cpu.packing.entries import Batch, Source

Array = NDArray[Any]
Answer = tuple[int, bool]  # of a launch: the first item that is not done, whether some value is +inf or NaN


class Arrays:
    """What a kernel reads and writes on one graph. The caller keeps the arrays alive: kernels get addresses."""

    __slots__ = ("out", "results", "seeds", "weights")

    def __init__(self, weights: list[Weights], results: list[Array], out: Any, seeds: Array) -> None:
        self.weights = weights  # theta, and z where there is one
        self.results = results  # value, or value and slope: [items * graphs]
        self.out = out  # [K] gradient buffers; for local weights an array [items, edges]; None: the kernel has neither
        self.seeds = seeds  # [items] weights of the ends, for the gradient; none where each is 1


class Launcher:
    """A kernel as calls of one form launch it on one graph."""

    def __init__(self, kernel: Kernel, graph: GraphPlan, data: Any, signs: tuple[Any, ...]) -> None:
        self.graph, self.data, self.signs, self.table = graph, data, signs, graph.dag.addresses
        self.size, self.places = workspace_of(kernel, graph)
        self.launches = {True: Launch(kernel), None: Launch(kernel)}  # by `Batch.powers`, an argument of either type
        self.located, self.seeded = bool(kernel.back), kernel is gradient_kernel
        self.variant = variant_of(kernel, graph)

    def arguments(self, arrays: Arrays) -> tuple[Any, ...]:
        """What the kernel takes after its graph, range and ends: θ, Z, results, gradient or weights, seeds, variant."""
        theta, *z = arrays.weights
        tables, signs = self.graph.tables, self.signs
        made: tuple[Any, ...] = (Source(located(tables[0], theta.blocks), signs[0]),)
        if z:
            made += (Source(located(tables[1], z[0].blocks), signs[1]),)
        made += (*arrays.results,)
        if arrays.out is not None:
            made += (located(tables[0], arrays.out) if self.located else arrays.out,)
        if self.seeded:
            made += (arrays.seeds,)
        return made + self.variant


Piece = tuple[Launcher, Batch, NDArray[np.int32], tuple[Any, ...]]  # a range of items, its ends, the arguments


def run_piece(piece: Piece) -> bool:
    """Run a kernel on a range of items, in a workspace of its own; whether some value is +inf or NaN."""
    launcher, batch, ends, arguments = piece
    launches, data, table = launcher.launches, launcher.data, launcher.table
    scratch, places = np.empty(launcher.size, launcher.graph.real), np.zeros(launcher.places, np.int64)

    def launched(batch: Batch) -> Answer:
        answer: Answer = launches[batch.powers](data, scratch, places, table, batch, ends, *arguments)
        return answer

    return to_the_end(launched, batch)


def to_the_end(launched: Callable[[Batch], Answer], batch: Batch) -> bool:
    """Launch a kernel until all items of the range are done; whether some value is +inf or NaN.

    A launch stops before a block of items whose values leave the range of m·2^k. That block is done by the kernel of
    the log domain, `powers=None`, and the rest by the first kernel again.
    """
    done, bad = launched(batch)
    while done < batch.last:
        rest = min(done + batch.lanes, batch.last)
        _, wrong = launched(batch._replace(first=done, last=rest, powers=None))
        done, others = launched(batch._replace(first=rest)) if rest < batch.last else (rest, False)
        bad |= wrong | others
    return bad
