"""One checked call for a batch of different graphs: one launch for each union of graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL
from dagdp.compiled.index_arrays import located, sizes
from dagdp.compiled.layout import NUMPY, Form
from dagdp.compiler.batch import CompiledBatch
from dagdp.compiler.merge import MergedGraph
from dagdp.describe.graph import Potential
from dagdp.engine.call import (
    PARTS,
    ROW_BYTES,
    Answer,
    in_powers,
    launches_of,
    ranges,
    room_of,
    to_the_end,
    ways_of,
)
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.infeasible import narrowed, refuse_infeasible, refuse_overflow, refuses
from dagdp.engine.inputs import (
    Shape,
    Weights,
    arrange,
    batch_of,
    check_carried,
    checked_options,
    collect,
    real_type,
)
from dagdp.engine.repeat import Options, Repeatable, form_of, found, remember
from dagdp.jit.decorators import Kernel, Launch
from dagdp.kernels.cpu.entry import gradient_kernel
from dagdp.kernels.cpu.packing.entries import Batch, Source
from dagdp.omega import Omega

Array = NDArray[Any]


@dataclass
class BatchCall(Repeatable):
    """One checked call: weights side by side, and how to hand results back."""

    batch: CompiledBatch
    omega: Omega
    given: tuple[Any, Any]  # theta and z, as they came
    form: Form
    weights: Weights
    direction: Weights | None
    shape: Shape  # of the batch dimensions
    sign: float
    threads: int
    real: Any
    refuse: bool  # an item without a path is an error
    suspect: bool = field(init=False, default=False)  # a sum may have overflowed
    items: int = field(init=False)
    data: Any = field(init=False)  # the operator as kernels take it
    bounds: tuple[tuple[Any, Any], ...] = field(init=False)  # sign and lowest entry of theta, and of z
    every: Array = field(init=False)  # weights of the ends: none, each weighs 1
    shares: dict[Kernel, list[_Share]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items = math.prod(self.shape)
        self.data = self.omega.data(self.real)
        lowest = -np.inf, np.finfo(self.real).min
        self.bounds = tuple((self.real(s), self.real(e)) for s, e in zip((self.sign, 1.0), lowest, strict=True))
        self.every = np.empty(0, self.real)

    @property
    def potentials(self) -> Sequence[Potential]:
        """Those of the layout."""
        return self.batch.potentials

    def again(self, theta: Any, z: Any) -> Self:
        """This call on other arrays of the same form, which it keeps as they were given to name faults in them."""
        made = super().again(theta, z)
        made.given = theta, z
        return made

    def emptied(self) -> Self:
        """This call without its arrays, nor those that were given."""
        made = super().emptied()
        made.given = None, None
        return made

    @property
    def asked(self) -> list[Weights]:
        """theta, and z where there is one."""
        return [self.weights] if self.direction is None else [self.weights, self.direction]

    def launch(self, kernel: Kernel, scalars: int, out: list[Array] | None = None) -> list[Array]:
        """Run the kernel over all unions and items: its results [items, graphs].

        The first bad entry that reaches an item's end, if one does, is named.
        """
        made = [np.zeros((self.items, len(self.batch)), self.real) for _ in range(scalars)]
        if not self.items:
            return made
        shares = self.shares.get(kernel)
        if shares is None:
            shares = self.shares[kernel] = [_Share.of(self, union, kernel) for union in self.batch.merged]
        tasks = [_Task(self, share, made, out) for share in shares]
        pieces = [(task, batch) for task in tasks for batch in task.share.batches]
        bad = pool.run(lambda piece: piece[0].run(kernel, piece[1]), pieces, self.threads)
        if any(bad):
            wrong = {id(task): task.share.union for (task, _), wrong in zip(pieces, bad, strict=True) if wrong}
            for union in wrong.values():
                self.raise_fault(union)
            self.suspect = True
        for task in tasks:
            task.hand_back(made)
        for union in self.batch.merged:
            made[0][:, union.first : union.last][:, union.ends < 0] = -self.sign * np.inf
        return made

    def raise_fault(self, union: MergedGraph) -> None:
        """Name the first bad entry that a graph of the union reads, if it lies on a path."""
        for g in np.flatnonzero(union.ends >= 0).tolist():
            g += union.first
            dag, number = self.batch.alone[g], self.batch.own_number(union, g)
            joint = number == dag.graph.num_nodes
            ends = np.full(self.items, dag.end if joint else dag.rank[number], np.int32)
            told = zip(("theta", "z"), self.given, self.asked, self.bounds, strict=False)
            for what, given, weights, (sign, lowest) in told:
                own = self.batch.layout.of_graph(given, weights.given, g)
                keyed, arrays, batches = collect(dag, own)
                label = f"{what}[{g}]" if isinstance(given, list | tuple) else f"graph {g}'s {what}"
                arranged = arrange(keyed, arrays, batches, self.shape, self.real)._replace(own=weights.own)
                raise_first_fault(dag, arranged, ends, what, float(lowest), float(sign), label)

    def gradient_buffers(self) -> list[Array]:
        """Per section zeros [items, entries], or partial sums [parts, entries] for one that the items share."""
        return [
            np.zeros((PARTS if shared else self.items if self.shape else 1, block.shape[1]), self.real)
            for block, shared in zip(self.weights.blocks, self.weights.shared, strict=True)
        ]

    def gradient(self, buffers: list[Array], sign: float) -> Any:
        """The buffers in the form of theta."""
        made = []
        for k, (buffer, shared) in enumerate(zip(buffers, self.weights.shared, strict=True)):
            total = np.add.reduce(buffer, axis=0) if shared else buffer
            made.append((total if sign > 0 else 0 - total).reshape(self.weights.given[k].shape))
        return self.batch.layout.unpack(self.form, made, NUMPY)

    def scalars(self, values: Array) -> Array:
        """[*batch, graphs] in the user's dtype."""
        return narrowed("value", values.reshape(*self.shape, len(self.batch)), self.weights.dtype)

    def values(self, values: Array) -> Array:
        """Values as `scalars` hands them back, where items without a path are no error."""
        if self.sign < 0:
            values += 0  # a cost of 0 is no -0
        if self.suspect:
            refuse_overflow("value", values.reshape(*self.shape, len(self.batch)), self.sign)
        if self.refuse:
            refuse_infeasible(values.reshape(*self.shape, len(self.batch)), self.sign)
        return self.scalars(values)

    def slopes(self, value: Array, slope: Array) -> Array:
        """Derivatives of the values: 0 where there is no path."""
        self.values(value)
        slope = np.where(np.isinf(value), 0, slope)
        if self.suspect:
            refuse_overflow("derivative in the direction of z", slope.reshape(*self.shape, len(self.batch)), 0)
        return self.scalars(slope)


@dataclass(frozen=True)
class _Share:
    """What one union takes of a call, whatever numbers its arrays hold."""

    union: MergedGraph
    alone: bool  # whether there is no other
    cuts: list[tuple[int, int]]  # [sections] its entries
    ends: NDArray[np.int32]
    batches: list[Batch]  # ranges of items, each a launch or some: the same for any number of threads
    tables: list[NDArray[np.int64]]  # of theta, and of z: see `dagdp.compiled.index_arrays.sizes`
    room: tuple[int, int]
    launches: dict[bool | None, Launch]  # by `Batch.powers`
    ways: tuple[bool | None, ...]

    @staticmethod
    def of(call: BatchCall, union: MergedGraph, kernel: Kernel) -> _Share:
        """The union's, in one call."""
        dag, graphs = union.dag, union.last - union.first
        cuts = [tuple(part.offsets[[union.first, union.last]].tolist()) for part in call.batch.layout.sections]
        shared = [weights.shared for weights in call.asked]
        lanes = dag.samples_in_row(call.items, ROW_BYTES // np.dtype(call.real).itemsize)
        kept = dag.stores_weights(call.weights.shared)
        return _Share(
            union=union,
            alone=len(call.batch.merged) == 1,
            cuts=cuts,
            ends=np.tile(union.ends, call.items),
            batches=[
                Batch(*cut, lanes, part, graphs, lanes > 1 or None, in_powers(dag, call.omega))
                for part, cut in enumerate(ranges(call.items, lanes, PARTS))
            ],
            tables=[sizes((b - a for a, b in cuts), own) for own in shared],
            room=room_of(kernel, dag, lanes, call.real, kept),
            launches=launches_of(kernel),
            ways=ways_of(kernel, dag, call.omega, lanes, call.real, kept, dag.ties_levels(shared)),
        )


class _Task:
    """One union's share of a call with its arrays: the call's where there is no other union, stretches of them with a
    single item, else copies.

    Copies because kernels move whole cache lines of a row, and so reach into a neighbour's entries.
    """

    def __init__(self, call: BatchCall, share: _Share, made: list[Array], out: list[Array] | None) -> None:
        self.call, self.share, self.whole = call, share, out
        graphs = share.union.last - share.union.first
        self.scalars = made if share.alone else [np.zeros((call.items, graphs), call.real) for _ in made]
        self.out = out and self._own(out)
        self.blocks = [self._own(weights.blocks) for weights in call.asked]  # kernels get their addresses

    def _own(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Its columns of each, contiguous."""
        if self.share.alone:
            return arrays
        return [np.ascontiguousarray(array[:, a:b]) for array, (a, b) in zip(arrays, self.share.cuts, strict=True)]

    def run(self, kernel: Kernel, batch: Batch) -> bool:
        """A range of items."""
        call, share = self.call, self.share
        arguments: list[Any] = [
            Source(located(table, blocks), sign)
            for table, blocks, (sign, _) in zip(share.tables, self.blocks, call.bounds, strict=False)
        ]
        arguments += [array.reshape(-1) for array in self.scalars]
        arguments += [] if self.out is None else [located(share.tables[0], self.out)]
        arguments += [call.every] if kernel is gradient_kernel else []
        size, places = share.room
        room = np.empty(size, call.real), np.zeros(places, np.int64)
        table = share.union.dag.addresses

        def launched(batch: Batch) -> Answer:
            launch = share.launches[batch.powers]
            answer: Answer = launch(call.data, *room, table, batch, share.ends, *arguments, *share.ways)
            return answer

        return to_the_end(launched, batch)

    def hand_back(self, made: list[Array]) -> None:
        """Into the call's arrays."""
        if self.share.alone:
            return
        for array, own in zip(made, self.scalars, strict=True):
            array[:, self.share.union.first : self.share.union.last] = own
        for (a, b), array, own in zip(self.share.cuts, self.whole or [], self.out or [], strict=bool(self.out)):
            if own.base is None:
                array[:, a:b] = own


def prepare(
    batch: CompiledBatch,
    theta: Any,
    omega: Omega | None,
    z: Any,
    minimize: bool,
    end: Any,
    threads: int | None,
    on_infeasible: str,
) -> BatchCall:
    """The call, checked; of a form that was checked before, with other arrays: see `dagdp.engine.call.prepare`."""
    own = all(part.shared is None for part in batch.layout.sections)
    options = Options(omega, minimize, threads, on_infeasible)
    form = form_of(theta, z, (None, None), threads, options) if own and end is None else None
    known = None if form is None else found(batch.calls, form)
    if known is not None:
        again: BatchCall = known.again(theta, z)
        return again
    call = _checked_call(batch, theta, z, end, options)
    if form is not None and call.items > 0:
        remember(batch.calls, form, call.emptied())
    return call


def _checked_call(batch: CompiledBatch, theta: Any, z: Any, end: Any, options: Options) -> BatchCall:
    chosen = checked_options(options.omega, options.threads)
    batch = batch if end is None else batch.ending(end)
    form, arrays, shapes = batch.layout.pack(theta, "theta", NUMPY)
    z_form, z_arrays, z_shapes = (form, [], []) if z is None else batch.layout.pack(z, "z", NUMPY)
    for what, named, own in (("theta", form.named, shapes), ("z", z_form.named, z_shapes)):
        if named:
            check_carried(own, what)
    shape = batch_of(shapes, z_shapes, ())
    real = real_type(arrays + z_arrays)
    items = math.prod(shape)
    threads = options.threads
    if threads is None:
        threads = 1 if batch.num_edges * items < SMALL else pool.available()
    return BatchCall(
        batch=batch,
        omega=chosen,
        given=(theta, z),
        form=form,
        weights=arrange(form.named, arrays, shapes, shape, real),
        direction=None if z is None else arrange(z_form.named, z_arrays, z_shapes, shape, real),
        shape=shape,
        sign=-1.0 if options.minimize else 1.0,
        threads=int(threads),
        real=real,
        refuse=refuses(options.on_infeasible),
    )
