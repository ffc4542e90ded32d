"""One checked call: a plan with arrays. It runs kernels, and returns results in the user's shapes and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.engine.infeasible import narrowed, refuse_infeasible, refuse_overflow
from dagdp.engine.inputs import Weights
from dagdp.engine.launch import LaunchArrays, Launcher, Piece, run_piece
from dagdp.engine.plan import GraphPlan, PathEnds, Plan
from dagdp.jit.decorators import Kernel

Array = NDArray[Any]
Gradient = Any  # an array, or a dict of arrays, shaped and keyed like theta


@dataclass(slots=True)
class Call:
    """One checked call on NumPy arrays, of one graph or of a batch of graphs: a plan, and the arrays of this call.

    `dagdp.nn.autograd.tensor_call.TensorCall` is the checked call on tensors.
    """

    plan: Plan
    weights: list[Weights]  # theta, and z where there is one
    given: tuple[Any, Any]  # theta and z as the user gave them
    terminals: list[PathEnds]  # [graphs of the plan]
    suspect: bool = False  # a sum may have overflowed

    def run(self, kernel: Kernel, scalars: int, out: Any = None, seeds: Array | None = None) -> list[Array]:
        """Run the kernel on all graphs and items: `scalars` results [items * graphs], the value, or value and slope.

        out : from `gradient_buffers`; for local weights an array [items, edges].
        seeds : [items] weights of the ends, for the gradient of one graph; None where each is 1.

        Values begin as 0: kernels skip items that end at a start. Raises InputError with the first entry out of range
        that a path of its item reads.
        """
        plan = self.plan
        made = [np.zeros(plan.count, plan.real) for _ in range(scalars)]
        if plan.items == 0:
            return made
        launchers = plan.launchers.get(kernel)
        if launchers is None:
            launchers = [Launcher(kernel, graph, plan.data, plan.signs) for graph in plan.graphs]
            plan.launchers[kernel] = launchers
        whole = LaunchArrays(self.weights, made, out, plan.no_seeds if seeds is None else seeds)
        parts = [whole] if plan.alone else [_own(whole, graph, plan) for graph in plan.graphs]
        pieces: list[Piece] = []
        for launcher, part, (starts, ends, _) in zip(launchers, parts, self.terminals, strict=True):
            terminals, arguments = launcher.terminals(starts, ends, part.seeds), launcher.arguments(part)
            pieces += [(launcher, items, terminals, arguments) for items in launcher.graph.batches]
        bad = pool.run(run_piece, pieces, plan.threads) if len(pieces) > 1 else [run_piece(pieces[0])]
        if True in bad:
            self._raise_faults([piece for piece, wrong in zip(pieces, bad, strict=True) if wrong])
        for part, (_, ends, lost) in zip(parts, self.terminals, strict=True):
            if lost:
                part.results[0][ends < 0] = -plan.sign * np.inf
        if not plan.alone:
            for part, graph in zip(parts, plan.graphs, strict=True):
                _copy_back(part, whole, graph, plan)
        return made

    def _raise_faults(self, wrong: list[Piece]) -> None:
        """Raise InputError for the first entry out of range; where there is none, a sum has overflowed."""
        for k, (graph, terminals) in enumerate(zip(self.plan.graphs, self.terminals, strict=True)):
            if any(launcher.graph is graph for launcher, *_ in wrong):
                self.plan.raise_faults(k, self.weights, self.given, terminals)
        self.suspect = True

    def gradient_buffers(self) -> list[Array]:
        """[K] zeros [items, entries], or partial sums [parts, entries] for a block that the batch shares."""
        real = self.plan.real
        return [np.zeros(own.rows, real) for own in self.plan.gradients]

    def gradient(self, buffers: Sequence[Array], sign: float) -> Gradient:
        """The buffers, times `sign`, in the form of theta."""
        made = []
        for buffer, own in zip(buffers, self.plan.gradients, strict=True):
            total = np.add.reduce(buffer, axis=0) if own.shared else buffer
            made.append((total if sign > 0 else 0 - total).reshape(own.shape))
        return self.plan.in_form_of_theta(made)

    def values(self, values: Array) -> Any:
        """Values [items * graphs] in the user's shape and dtype, a NumPy scalar without batch.

        -inf for items without a path, +inf when minimising, or an InputError.
        """
        plan = self.plan
        if plan.sign < 0:
            values += 0  # a cost of 0 is no -0
        if self.suspect:
            refuse_overflow("value", values.reshape(plan.shape), plan.sign)
        if plan.refuse:
            refuse_infeasible(values.reshape(plan.shape), plan.sign)
        if plan.dtype.itemsize < 4:
            return narrowed("value", values.reshape(plan.shape), plan.dtype)[()]
        return values.astype(plan.dtype, copy=False).reshape(plan.shape)[()]

    def slopes(self, values: Array, slopes: Array) -> Any:
        """Derivatives of the values, in the user's shape and dtype: 0 where there is no path."""
        self.values(values)
        plan, slopes = self.plan, np.where(np.isinf(values), 0, slopes).reshape(self.plan.shape)
        if self.suspect:
            refuse_overflow("derivative in the direction of z", slopes, 0)
        return narrowed("value", slopes, plan.dtype)[()]


def _own(whole: LaunchArrays, graph: GraphPlan, plan: Plan) -> LaunchArrays:
    """What one of several merged graphs reads and writes: its columns, contiguous.

    Columns of a single item are views, others are copies: kernels write whole cache lines of a row, and would overwrite
    columns of a neighbour.
    """
    first, last = graph.columns
    results = [np.zeros(plan.items * (last - first), plan.real) for _ in whole.results]
    weights = [own._replace(blocks=_columns(own.blocks, graph)) for own in whole.weights]
    return LaunchArrays(weights, results, None if whole.out is None else _columns(whole.out, graph), whole.seeds)


def _columns(arrays: Sequence[Array], graph: GraphPlan) -> list[Array]:
    return [np.ascontiguousarray(array[:, a:b]) for array, (a, b) in zip(arrays, graph.cuts, strict=True)]


def _copy_back(part: LaunchArrays, whole: LaunchArrays, graph: GraphPlan, plan: Plan) -> None:
    """The results of one merged graph, and its columns of the gradient, into the call's arrays."""
    first, last = graph.columns
    for array, own in zip(whole.results, part.results, strict=True):
        array.reshape(plan.items, -1)[:, first:last] = own.reshape(plan.items, -1)
    if part.out is not None:
        for (a, b), array, own in zip(graph.cuts, whole.out, part.out, strict=True):
            if own.base is None:  # else it is a view of the array
                array[:, a:b] = own
