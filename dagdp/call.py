"""One checked call: what it runs on, how it is split over samples and threads, how results are handed back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.compiled import CompiledDAG
from dagdp.faults import raise_first_fault
from dagdp.inputs import Shape, Weights, arrange, checked, collect, common_batch, flat, real_type
from dagdp.kernels.cpu import scratch_size
from dagdp.kernels.exchange import Batch, Source
from dagdp.kernels.jit import Kernel
from dagdp.omega import Negentropy, Omega

ROW_BYTES = 64  # samples are worked on in rows of one cache line
PARTS = 16  # rows of partial sums for the gradient of a shared block: fixed, so that bits do not depend on threads
SMALL = 100_000  # edges x samples from which a second thread is asked for: a guess, not tuned
DEFAULT = Negentropy(1.0)  # to make one anew takes a tenth of a small call

Gradient = Any  # an array, or a dict of arrays, shaped and keyed like theta


@dataclass
class Call:
    """One checked call: what to run it on, how to split it, how to hand results back."""

    dag: CompiledDAG
    omega: Omega
    weights: Weights
    direction: Weights | None
    batch: Shape
    ends: NDArray[np.int32]
    sign: float
    threads: int
    real: Any
    lanes: int = field(init=False)  # samples worked on together

    def __post_init__(self) -> None:
        row = ROW_BYTES // self.real().itemsize
        self.lanes = row if self.tied else self.dag.samples_together(self.items, row)

    @property
    def items(self) -> int:
        return self.ends.size

    @property
    def theta(self) -> Source:
        return self._source(self.weights, self.sign, -np.inf)

    @property
    def z(self) -> Source:
        assert self.direction is not None
        return self._source(self.direction, 1.0, float(np.finfo(self.real).min))

    def _source(self, weights: Weights, sign: float, lowest: float) -> Source:
        shared = self._one_row(weights)
        return Source(flat(weights.blocks), self.dag.entry_counts, shared, self.real(sign), self.real(lowest))

    def _one_row(self, weights: Weights) -> NDArray[np.bool_]:
        """[blocks] whether kernels find one row for all items, or for the only one."""
        return weights.shared if self.batch else ~weights.shared

    @property
    def tied(self) -> bool:
        """Whether levels that repeat a matrix are multiplied with it, which is done for rows of samples."""
        if self.omega.solver != "exponential" or not self.dag.wiring.tied.shapes.size:
            return False
        blocks = self.dag.wiring.incoming.blocks
        along = [self.weights] if self.direction is None else [self.weights, self.direction]
        return all(self._one_row(weights)[blocks].all() for weights in along)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Ranges of items, cut at block borders. With shared blocks the cut is the same for any threads."""
        lanes = self.lanes
        blocks = -(-self.items // lanes)
        if blocks == 1:
            return [(0, self.items)]
        pieces = min(blocks, PARTS if self.weights.shared.any() else self.threads)
        cuts = [lanes * (blocks * k // pieces) for k in range(pieces)] + [self.items]
        return list(itertools.pairwise(cuts))

    def launch(self, kernel: Kernel, *arguments: Any) -> None:
        """Run the kernel over all items; name the first bad entry if it met one."""
        if self.items == 0:
            return
        data, lanes = self.omega.data(self.real), self.lanes
        dag, kept = self.dag, self.dag.keeps(self.weights.shared)

        def work(task: tuple[int, tuple[int, int]]) -> bool:
            part, (first, last) = task
            room = workspace(kernel, dag, lanes, self.real)
            batch = Batch(first, last, lanes, part, kept)
            return bool(kernel(data, *room, dag.addresses, batch, self.ends, *arguments))

        if any(pool.run(work, list(enumerate(self.ranges)), self.threads)):
            raise_first_fault(self.dag, self.weights, self.ends, "theta", -np.inf, self.sign)
            if self.direction is not None:
                lowest = float(np.finfo(self.real).min)
                raise_first_fault(self.dag, self.direction, self.ends, "z", lowest, 1.0)

    def gradient_buffers(self) -> tuple[NDArray[Any], ...]:
        """Per block zeros [items, entries], or partial sums [parts, entries] for a shared one."""
        parts = len(self.ranges) if self.items else 0
        return tuple(
            np.zeros((parts if shared else self.items if self.batch else 1, block.shape[1]), self.real)
            for block, shared in zip(self.weights.blocks, self.weights.shared, strict=True)
        )

    def gradient(self, buffers: tuple[NDArray[Any], ...], sign: float) -> Gradient:
        """The buffers as the user's arrays."""
        made = []
        for k, (buffer, shared) in enumerate(zip(buffers, self.weights.shared, strict=True)):
            shape, dtype = self.weights.like(k)
            total = np.add.reduce(buffer, axis=0) if shared else buffer
            made.append((total if sign > 0 else -total).reshape(shape).astype(dtype, copy=False))
        if self.weights.keyed:
            return {potential.name: array for potential, array in zip(self.dag.potentials, made, strict=True)}
        return made[0]

    def scalars(self, values: NDArray[Any]) -> Any:
        """[*batch] in the user's dtype; a NumPy scalar without batch."""
        return values.astype(self.weights.dtype, copy=False).reshape(self.batch)[()]


def workspace(kernel: Kernel, dag: CompiledDAG, lanes: int, real: Any) -> tuple[Any, Any]:
    """The memory that one launch works in: numbers, and places of rows."""
    itemsize = np.dtype(real).itemsize
    wiring = dag.wiring
    nodes = int((wiring.passing if kernel.passing else wiring.incoming).place[-1])
    size = scratch_size(kernel, dag.most_parents, nodes, dag.band_nodes, wiring.tied, lanes, itemsize)
    return np.empty(size, real), np.empty(4 * dag.most_parents + 2, np.int64)


def prepare(dag: Any, theta: Any, omega: Omega | None, z: Any, minimize: bool, end: Any, threads: int | None) -> Call:
    """The call of a function of `dagdp.run`: everything that its arguments can be wrong in is checked here."""
    chosen = checked(dag, DEFAULT if omega is None else omega, threads)
    keyed, arrays, batches = collect(dag, theta)
    z_keyed, z_arrays, z_batches = (False, [], []) if z is None else collect(dag, z, "z")
    batch = common_batch(batches + z_batches, end, dag)
    real = real_type(arrays + z_arrays)
    weights = arrange(keyed, arrays, batches, batch, real)
    ends = dag.end_nodes(end, batch)
    if threads is None:
        threads = 1 if dag.num_edges * ends.size < SMALL else pool.available()
    return Call(
        dag=dag,
        omega=chosen,
        weights=weights,
        direction=None if z is None else arrange(z_keyed, z_arrays, z_batches, batch, real),
        batch=batch,
        ends=ends,
        sign=-1.0 if minimize else 1.0,
        threads=int(threads),
        real=real,
    )
