"""RUN for a batch of different graphs: the functions of `dagdp.run`, one launch for each union of graphs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import pool
from dagdp.batch import CompiledBatch
from dagdp.call import PARTS, ROW_BYTES, room_of, ways_of
from dagdp.compiled import SMALL
from dagdp.errors import InputError
from dagdp.faults import raise_first_fault
from dagdp.inputs import Shape, Weights, arrange, checked_options, collect, common_batch, real_type
from dagdp.kernels.cpu import gradient_kernel, hessian_kernel, jvp_kernel, value_kernel
from dagdp.kernels.exchange import Batch, Source
from dagdp.kernels.jit import Kernel
from dagdp.kinds import home_of, is_tensor
from dagdp.layout import NUMPY, Form, leaves
from dagdp.omega import Omega
from dagdp.union import Union
from dagdp.wiring import located, sizes

Array = NDArray[Any]


def run(name: str, batch: CompiledBatch, *given: Any, backend: str | None = None, **named: Any) -> Any:
    """The function `name` of `dagdp.run` for a batch of graphs: values [*batch, graphs], gradients as theta."""
    if backend is not None:
        raise InputError(f"backend={backend!r} takes one graph at a time; leave it out, or loop over batch.dags")
    values = (*given[:2], named.get("theta"), named.get("z"))
    tensor = next((leaf for value in values for leaf in leaves(value) if is_tensor(leaf)), None)
    home = home_of(None, tensor)
    if home is not None:
        return getattr(home, name)(batch, *given, **named)
    return FUNCTIONS[name](batch, *given, **named)


def _value(
    batch: CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    threads: int | None = None,
) -> Any:
    call = _prepare(batch, theta, omega, None, minimize, end, threads)
    return call.scalars(call.launch(value_kernel, 1)[0])


def _value_and_grad(
    batch: CompiledBatch,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    threads: int | None = None,
) -> tuple[Any, Any]:
    call = _prepare(batch, theta, omega, None, minimize, end, threads)
    out = call.gradient_buffers()
    value = call.launch(gradient_kernel, 1, out)[0]
    return call.scalars(value), call.gradient(out, 1.0)


def _jvp(
    batch: CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    threads: int | None = None,
) -> Any:
    call = _prepare(batch, theta, omega, z, minimize, end, threads)
    return call.slopes(*call.launch(jvp_kernel, 2))


def _jvp_and_hvp(
    batch: CompiledBatch,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool = False,
    end: Any = None,
    threads: int | None = None,
) -> tuple[Any, Any]:
    call = _prepare(batch, theta, omega, z, minimize, end, threads)
    out = call.gradient_buffers()
    if call.omega.solver == "first":  # piecewise linear: no curvature, so only the slope is run
        found = call.launch(jvp_kernel, 2)
    else:
        found = call.launch(hessian_kernel, 2, out)
    return call.slopes(*found), call.gradient(out, call.sign)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dp_value": _value,
    "dp_grad": lambda *given, **named: _value_and_grad(*given, **named)[1],
    "dp_value_and_grad": _value_and_grad,
    "dp_jvp": _jvp,
    "dp_hvp": lambda *given, **named: _jvp_and_hvp(*given, **named)[1],
    "dp_jvp_and_hvp": _jvp_and_hvp,
}


@dataclass(frozen=True)
class _Call:
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

    @cached_property
    def items(self) -> int:
        return math.prod(self.shape)

    def launch(self, kernel: Kernel, scalars: int, out: list[Array] | None = None) -> list[Array]:
        """Run the kernel over all unions and items: its results [items, graphs]; name the first bad entry it met."""
        made = [np.empty((self.items, len(self.batch)), self.real) for _ in range(scalars)]
        tasks = [_Task(self, union, kernel, scalars, out) for union in self.batch.unions] if self.items else []
        pieces = [(task, part, cut) for task in tasks for part, cut in enumerate(task.ranges())]
        bad = pool.run(lambda piece: piece[0].run(*piece[1:]), pieces, self.threads)
        for union in {id(task): task.union for (task, _, _), wrong in zip(pieces, bad, strict=True) if wrong}.values():
            self.raise_fault(union)
        for task in tasks:
            task.hand_back(made)
        return made

    def raise_fault(self, union: Union) -> None:
        """Name the first bad entry that a graph of the union reads, if it lies on a path."""
        for g in range(union.first, union.last):
            dag, number = self.batch.dags[g], self.batch.own_number(union, g)
            joint = number == dag.graph.num_nodes
            ends = np.full(self.items, dag.end if joint else dag.rank[number], np.int32)
            for what, given, weights, sign in zip(
                ("theta", "z"), self.given, (self.weights, self.direction), (self.sign, 1.0), strict=True
            ):
                if weights is None:
                    continue
                own = self.batch.layout.of_graph(given, weights.given, g)
                keyed, arrays, batches = collect(dag, own)
                label = f"{what}[{g}]" if isinstance(given, list | tuple) else f"graph {g}'s {what}"
                lowest = -np.inf if what == "theta" else float(np.finfo(self.real).min)
                arranged = arrange(keyed, arrays, batches, self.shape, self.real)
                raise_first_fault(dag, arranged, ends, what, lowest, sign, label)

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
            made.append((total if sign > 0 else -total).reshape(self.weights.given[k].shape))
        return self.batch.layout.unpack(self.form, made, NUMPY)

    def scalars(self, values: Array) -> Array:
        """[*batch, graphs] in the user's dtype."""
        return values.astype(self.weights.dtype, copy=False).reshape(*self.shape, len(self.batch))

    def slopes(self, value: Array, slope: Array) -> Array:
        """No path, no slope: a hoisted z was added to it."""
        return self.scalars(np.where(np.isinf(value), 0, slope))


class _Task:
    """One union's share of a call. With a single item its arrays are stretches of the call's; else copies.

    Copies because kernels move whole cache lines of a row, and so reach into a neighbour's entries.
    """

    def __init__(self, call: _Call, union: Union, kernel: Kernel, scalars: int, out: list[Array] | None) -> None:
        self.call, self.union, self.kernel = call, union, kernel
        self.cuts = [part.offsets[[union.first, union.last]].tolist() for part in call.batch.layout.sections]
        graphs = union.last - union.first
        self.ends = np.tile(union.ends, call.items)
        self.scalars = [np.empty((call.items, graphs), call.real) for _ in range(scalars)]
        self.whole = out
        self.out = out and [self._own(buffer, a, b) for buffer, (a, b) in zip(out, self.cuts, strict=True)]
        self.blocks: list[Array] = []  # kept alive: kernels get their addresses
        self.sources = [self._source(call.weights, call.sign, -np.inf)]
        if call.direction is not None:
            self.sources.append(self._source(call.direction, 1.0, float(np.finfo(call.real).min)))
        self.lanes = union.dag.samples_together(call.items, ROW_BYTES // np.dtype(call.real).itemsize)

    @staticmethod
    def _own(array: Array, a: int, b: int) -> Array:
        """Columns [a, b), contiguous."""
        return np.ascontiguousarray(array[:, a:b])

    def _source(self, weights: Weights, sign: float, lowest: float) -> Source:
        call = self.call
        blocks = [self._own(block, a, b) for block, (a, b) in zip(weights.blocks, self.cuts, strict=True)]
        self.blocks += blocks
        table = sizes((block.shape[1] for block in blocks), weights.shared)
        return Source(located(table, blocks), call.real(sign), call.real(lowest))

    @property
    def tied(self) -> bool:
        """Whether levels that repeat a matrix are multiplied with it."""
        wiring, given = self.union.dag.wiring, (self.call.weights, self.call.direction)
        shared = [weights.shared[wiring.incoming.blocks].all() for weights in given if weights is not None]
        return wiring.tied.shapes.size > 0 and all(shared)

    def ranges(self) -> list[tuple[int, int]]:
        """Ranges of items, cut at block borders, the same for any number of threads."""
        blocks = -(-self.call.items // self.lanes)
        pieces = min(blocks, PARTS)
        cuts = [self.lanes * (blocks * k // pieces) for k in range(pieces)] + [self.call.items]
        return list(itertools.pairwise(cuts))

    def run(self, part: int, cut: tuple[int, int]) -> bool:
        call, dag = self.call, self.union.dag
        arguments = [*self.sources, *(array.reshape(-1) for array in self.scalars)]
        arguments += [] if self.out is None else [located(self.sources[0].table, self.out)]
        arguments += [np.empty(0, call.real)] if self.kernel is gradient_kernel else []  # every end weighs 1
        arguments += ways_of(
            self.kernel, dag, call.omega, self.lanes, call.real, dag.keeps(call.weights.shared), self.tied
        )
        batch = Batch(*cut, self.lanes, part, self.union.ends.size)
        size, places = room_of(self.kernel, dag, self.lanes, call.real)
        room = np.empty(size, call.real), np.zeros(places, np.int64)
        return bool(self.kernel(call.omega.data(call.real), *room, dag.addresses, batch, self.ends, *arguments))

    def hand_back(self, made: list[Array]) -> None:
        """Into the call's arrays."""
        for array, own in zip(made, self.scalars, strict=True):
            array[:, self.union.first : self.union.last] = own
        for (a, b), array, own in zip(self.cuts, self.whole or [], self.out or [], strict=bool(self.out)):
            if own.base is None:
                array[:, a:b] = own


def _prepare(
    batch: CompiledBatch, theta: Any, omega: Omega | None, z: Any, minimize: bool, end: Any, threads: int | None
) -> _Call:
    chosen = checked_options(omega, threads)
    batch = batch if end is None else batch.ending(end)
    form, arrays, shapes = batch.layout.pack(theta, "theta", NUMPY)
    _, z_arrays, z_shapes = (None, [], []) if z is None else batch.layout.pack(z, "z", NUMPY)
    shape = common_batch(shapes + z_shapes)
    real = real_type(arrays + z_arrays)
    items = math.prod(shape)
    if threads is None:
        threads = 1 if batch.num_edges * items < SMALL else pool.available()
    return _Call(
        batch=batch,
        omega=chosen,
        given=(theta, z),
        form=form,
        weights=arrange(form.keyed, arrays, shapes, shape, real),
        direction=None if z is None else arrange(form.keyed, z_arrays, z_shapes, shape, real),
        shape=shape,
        sign=-1.0 if minimize else 1.0,
        threads=int(threads),
        real=real,
    )
