"""One checked call: what it runs on, how it is split over samples and threads, how results are handed back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled.dag import SMALL, CompiledDAG
from dagdp.compiled.index_arrays import located, sizes
from dagdp.describe.graph import Potential
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.infeasible import narrowed, refuse_infeasible, refuse_overflow, refuses
from dagdp.engine.inputs import Shape, Weights, arrange, batch_of, checked, collect, real_type, terminal_shape
from dagdp.engine.repeat import Options, Repeatable, form_of, found, remember
from dagdp.jit.decorators import Kernel, Launch
from dagdp.kernels.cpu.memory import places_size, scratch_size
from dagdp.kernels.cpu.packing.entries import Batch, Source
from dagdp.omega import Negentropy, Omega

ROW_BYTES = 64  # samples are worked on in rows of one cache line
PARTS = 16  # rows of partial sums for the gradient of a shared block: fixed, so that bits do not depend on threads
DEFAULT = Negentropy(1.0)  # to make one anew takes a tenth of a small call

Gradient = Any  # an array, or a dict of arrays, shaped and keyed like theta
Answer = tuple[int, bool]  # of a launch: the first item that is not done, whether some value is +inf or NaN


class _Gradient(NamedTuple):
    """Of a potential: how its gradient is collected, and handed back."""

    shared: bool  # the batch shares it: partial sums, which are added
    room: Shape  # of what kernels write to: [items, or parts, entries]
    shape: Shape
    dtype: np.dtype[Any]


@dataclass
class Call(Repeatable):
    """One checked call: what to run it on, how to split it, how to hand results back."""

    dag: CompiledDAG
    omega: Omega
    weights: Weights
    direction: Weights | None
    batch: Shape
    starts: NDArray[np.int32]  # -1 where no path begins; none: paths begin at any start
    ends: NDArray[np.int32]  # -1 where no path leads
    sign: float
    threads: int
    real: Any
    refuse: bool  # an item without a path is an error
    lost: bool  # whether no path leads to the end of some item
    suspect: bool = field(init=False, default=False)  # a sum may have overflowed
    items: int = field(init=False)
    tasks: list[Batch] = field(init=False)  # ranges of items, each a launch, or some: see `to_the_end`
    data: Any = field(init=False)  # the operator as kernels take it
    dtype: np.dtype[Any] = field(init=False)  # of what is handed back
    tables: tuple[NDArray[np.int64], ...] = field(init=False)  # what is known of the arrays of theta, and of z
    bounds: tuple[tuple[Any, Any], ...] = field(init=False)  # sign and lowest entry of theta, and of z
    gradients: list[_Gradient] = field(init=False)  # of each potential
    rooms: dict[Kernel, tuple[Any, ...]] = field(default_factory=dict)  # see `_room`

    def __post_init__(self) -> None:
        self.items = int(self.ends.size)
        row = ROW_BYTES // self.real().itemsize
        lanes = row if self.tied else self.dag.samples_in_row(self.items, row)
        cuts = self._ranges(lanes)
        self.data, self.dtype = self.omega.data(self.real), self.weights.dtype
        powers = in_powers(self.dag, self.omega)
        self.tasks = [Batch(*cut, lanes, part, 1, lanes > 1 or None, powers) for part, cut in enumerate(cuts)]
        self.tables = tuple(sizes(self.dag.entry_counts, self._one_row(weights)) for weights in self._given)
        rows = len(self.tasks) if self.items else 0, self.items if self.batch else 1
        self.gradients = [
            _Gradient(shared, (rows[0] if shared else rows[1], block.shape[1]), *self.weights.like(k))
            for k, (block, shared) in enumerate(zip(self.weights.blocks, self.weights.shared.tolist(), strict=True))
        ]
        lowest = -np.inf, np.finfo(self.real).min
        self.bounds = tuple((self.real(s), self.real(e)) for s, e in zip((self.sign, 1.0), lowest, strict=True))

    @property
    def potentials(self) -> Sequence[Potential]:
        """The graph's."""
        return self.dag.potentials

    @property
    def theta(self) -> Source:
        return Source(located(self.tables[0], self.weights.blocks), self.bounds[0][0])

    @property
    def z(self) -> Source:
        assert self.direction is not None
        return Source(located(self.tables[1], self.direction.blocks), self.bounds[1][0])

    def located(self, buffers: tuple[NDArray[Any], ...]) -> NDArray[np.int64]:
        """Where kernels find what `gradient_buffers` made."""
        return located(self.tables[0], buffers)

    @property
    def _given(self) -> list[Weights]:
        """theta, and z where there is one."""
        return [self.weights] if self.direction is None else [self.weights, self.direction]

    def _one_row(self, weights: Weights) -> NDArray[np.bool_]:
        """[blocks] whether kernels find one row for all items, or for the only one."""
        return weights.shared if self.batch else ~weights.shared

    @property
    def tied(self) -> bool:
        """Whether levels that repeat a matrix are multiplied with it, which is done for rows of samples."""
        return self.omega.solver == "exponential" and self.dag.ties_levels(map(self._one_row, self._given))

    def _ranges(self, lanes: int) -> list[tuple[int, int]]:
        """Ranges of items, cut at block borders. With shared blocks the cut is the same for any threads."""
        return ranges(self.items, lanes, PARTS if self.weights.shared.any() else self.threads)

    def launch(self, kernel: Kernel, *arguments: Any) -> None:
        """Run the kernel over all items; name the first bad entry that reaches an item's end, if one does."""
        if self.items == 0:
            return
        room = self.rooms.get(kernel)
        if room is None:
            room = self.rooms[kernel] = self._room(kernel)
        size, most, launches, ways = room
        data, real, ends, table = self.data, self.real, self.ends, self.dag.addresses
        arguments += ways

        def launched(batch: Batch, scratch: NDArray[Any], places: NDArray[np.int64]) -> Answer:
            answer: Answer = launches[batch.powers](data, scratch, places, table, batch, ends, *arguments)
            return answer

        def run(task: Batch) -> bool:
            scratch, places = np.empty(size, real), np.zeros(most, np.int64)
            return to_the_end(lambda batch: launched(batch, scratch, places), task)

        tasks = self.tasks if not self.starts.size else [task._replace(starts=self.starts) for task in self.tasks]
        if run(tasks[0]) if len(tasks) == 1 else any(pool.run(run, tasks, self.threads)):
            for what, weights, (sign, lowest) in zip(("theta", "z"), self._given, self.bounds, strict=False):
                raise_first_fault(self.dag, weights, self.ends, what, float(lowest), float(sign), None, self.starts)
            self.suspect = True

    def _room(self, kernel: Kernel) -> tuple[Any, ...]:
        """(numbers, places) that a launch works in, the launches, and the ways that they go."""
        lanes, kept = self.tasks[0].lanes, self.dag.stores_weights(self.weights.shared)
        ways = ways_of(kernel, self.dag, self.omega, lanes, self.real, kept, self.tied)
        return *room_of(kernel, self.dag, lanes, self.real, kept), launches_of(kernel), ways

    def gradient_buffers(self) -> tuple[NDArray[Any], ...]:
        """Per block zeros [items, entries], or partial sums [parts, entries] for a shared one."""
        real = self.real
        return tuple([np.zeros(own.room, real) for own in self.gradients])

    def gradient(self, buffers: tuple[NDArray[Any], ...], sign: float) -> Gradient:
        """The buffers as the user's arrays."""
        made = []
        for buffer, own in zip(buffers, self.gradients, strict=True):
            total = np.add.reduce(buffer, axis=0) if own.shared else buffer
            made.append((total if sign > 0 else 0 - total).reshape(own.shape).astype(own.dtype, copy=False))
        if self.weights.keyed:
            return {potential.name: array for potential, array in zip(self.dag.potentials, made, strict=True)}
        return made[0]

    def values(self, values: NDArray[Any]) -> Any:
        """Values [items] as the user's [*batch], in their dtype, a NumPy scalar without batch.

        -inf for items without a path, +inf when minimising, or an error.
        """
        if self.sign < 0:
            values += 0  # a cost of 0 is no -0
        if self.suspect:
            refuse_overflow("value", values.reshape(self.batch), self.sign)
        if self.lost:
            values[self.ends < 0] = -self.sign * np.inf
        if self.refuse:
            refuse_infeasible(values.reshape(self.batch), self.sign)
        if self.dtype.itemsize < 4:
            return narrowed("value", values.reshape(self.batch), self.dtype)[()]
        return values.astype(self.dtype, copy=False).reshape(self.batch)[()]

    def slopes(self, values: NDArray[Any], slopes: NDArray[Any]) -> Any:
        """Derivatives [items] of the values as the user's [*batch]: 0 where there is no path."""
        if self.lost or self.refuse or self.suspect:
            self.values(values)
        slopes = np.where(np.isinf(values), 0, slopes)  # a hoisted z was added to it
        if self.suspect:
            refuse_overflow("derivative in the direction of z", slopes.reshape(self.batch), 0)
        return narrowed("derivative in the direction of z", slopes.reshape(self.batch), self.dtype)[()]


def ranges(items: int, lanes: int, most: int) -> list[tuple[int, int]]:
    """Ranges of items, up to `most`, cut at borders of blocks of `lanes`."""
    blocks = -(-items // lanes)
    if blocks <= 1:
        return [(0, items)]
    pieces = min(blocks, most)
    return list(itertools.pairwise([lanes * (blocks * k // pieces) for k in range(pieces)] + [items]))


def in_powers(dag: CompiledDAG, omega: Omega) -> bool | None:
    """Whether v is kept in powers of two: of the closed form, where potentials are hoisted and no factor stands beside
    their exponentials. None in the place of False, as in `Kernel.ways`."""
    bare = dag.wiring.incoming.blocks.size == 0 and dag.wiring.hoisted.blocks.size > 0
    return bool(bare and omega.solver == "exponential" and omega.corner == 1) or None


def launches_of(kernel: Kernel) -> dict[bool | None, Launch]:
    """By `Batch.powers`, which is of the arguments' types."""
    return {True: Launch(kernel), None: Launch(kernel)}


def to_the_end(launched: Callable[[Batch], Answer], batch: Batch) -> bool:
    """Launch a kernel over a range of items; whether some value is +inf or NaN.

    A block of items for which powers of two do not reach is done without them, by another kernel.
    """
    done, bad = launched(batch)
    while done < batch.last:
        rest = min(done + batch.lanes, batch.last)
        _, wrong = launched(batch._replace(first=done, last=rest, powers=None))
        done, others = launched(batch._replace(first=rest)) if rest < batch.last else (rest, False)
        bad |= wrong | others
    return bad


def room_of(kernel: Kernel, dag: CompiledDAG, lanes: int, real: Any, kept: bool) -> tuple[int, int]:
    """What one launch works in: how many numbers, and how many places of rows."""
    wiring = dag.wiring
    nodes = int((wiring.passing if kernel.passing else wiring.incoming).place[-1])
    itemsize = np.dtype(real).itemsize
    own_places = 0
    if kept and wiring.incoming.reader.size > 0:
        row = ROW_BYTES // itemsize
        edges = int(wiring.incoming.edges[-1])
        if lanes == row:
            own_places = edges * row * {"gradient": 1, "tangent": 2}.get(kernel.back, 0)
        elif wiring.incoming.direct.size > 0 and kernel.back:
            own_places = edges + row
    size = scratch_size(kernel, dag.most_parents, nodes, dag.band_nodes, wiring.tied, lanes, itemsize, own_places)
    return size, places_size(dag.most_parents)


def ways_of(
    kernel: Kernel, dag: CompiledDAG, omega: Omega, lanes: int, real: Any, kept: bool, tied: bool
) -> tuple[bool | None, ...]:
    """The ways that a launch goes, as `Kernel.ways` has them."""
    together, closed = lanes * np.dtype(real).itemsize == ROW_BYTES, omega.solver == "exponential"
    # one sample whose rows do not find their entries themselves: 21.8 ns an edge so, 12.7 anew (trellis 1 x 512 x 32)
    kept = kept and (kernel.back != "tangent" or together or dag.wiring.incoming.direct.size > 0)
    wiring = dag.wiring
    return kernel.ways(
        tied and closed and together, kept, wiring.incoming.blocks.size > 0, wiring.hoisted.blocks.size > 0
    )


def prepare(
    dag: Any,
    theta: Any,
    omega: Omega | None,
    z: Any,
    minimize: bool,
    between: tuple[Any, Any],
    threads: int | None,
    on_infeasible: str = "value",
) -> Call:
    """The call of a function of `dagdp.functions`: everything that its arguments can be wrong in is checked here.

    A small call takes longer to check than to run, and is mostly made many times: what was worked out for arguments
    of one form (shapes, types and options) is kept with the graph. No array of theta or z is, and where paths begin and
    end is looked at anew.

    between : (start, end) as the user gave them.
    """
    options = omega, minimize, threads, on_infeasible
    form = form_of(theta, z, between, threads, options) if type(dag) is CompiledDAG else None
    known = None if form is None else found(dag.calls, form)
    if known is not None:
        again: Call = known.again(theta, z)
        if between[1] is not None or between[0] is not None:
            again.starts, again.ends, again.lost = dag.terminals(*between, again.batch)
        return again
    call = _checked_call(dag, theta, z, between, Options(*options))
    if form is not None and call.threads == 1 and call.items > 0:
        remember(dag.calls, form, call.emptied())
    return call


def _checked_call(dag: Any, theta: Any, z: Any, between: tuple[Any, Any], options: Options) -> Call:
    threads = options.threads
    chosen = checked(dag, DEFAULT if options.omega is None else options.omega, threads)
    keyed, arrays, batches = collect(dag, theta)
    z_keyed, z_arrays, z_batches = (False, [], []) if z is None else collect(dag, z, "z")
    batch = batch_of(batches, z_batches, terminal_shape(*between, dag))
    real = real_type(arrays + z_arrays)
    weights = arrange(keyed, arrays, batches, batch, real)
    starts, ends, lost = dag.terminals(*between, batch)
    if threads is None:
        threads = 1 if dag.num_edges * ends.size < SMALL else pool.available()
    return Call(
        dag=dag,
        omega=chosen,
        weights=weights,
        direction=None if z is None else arrange(z_keyed, z_arrays, z_batches, batch, real),
        batch=batch,
        starts=starts,
        ends=ends,
        sign=-1.0 if options.minimize else 1.0,
        threads=int(threads),
        real=real,
        refuse=refuses(options.on_infeasible),
        lost=lost,
    )
