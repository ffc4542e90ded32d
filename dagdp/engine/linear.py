"""The front end for graphs with linear potentials: theta becomes a weight for each edge, in front of another front end.

A front end (see `dagdp.functions`) then runs `dag.plain`, in which each edge has a weight of its own, and gradients
return through the transpose of the map. Edge weights are float32 where every array fits it, else float64. A sum is
formed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.layout import NUMPY, Form, Kind
from dagdp.compiled.linear_map import EntryMap, LinearMap
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine import run
from dagdp.engine.batch_call import raise_faults_of_graphs
from dagdp.engine.edge_sums import edge_weights, entry_sums
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.graph_call import lowest
from dagdp.engine.infeasible import narrowed
from dagdp.engine.inputs import (
    Array,
    Options,
    Shape,
    arrange,
    batch_of,
    broadcast,
    check_carried,
    collect,
    real_type,
    terminal_shape,
)
from dagdp.engine.plan import PathEnds
from dagdp.errors import InputError

Graphs = CompiledDAG | CompiledBatch


class Arrays(NamedTuple):
    """Operations on arrays of one kind, NumPy's or torch's."""

    kind: Kind
    real_type: Callable[[list[Any]], Any]  # in which kernels compute
    weights: Callable[[LinearMap, list[Any], Any, int | None], Any]  # (map, blocks [*own, entries], real type, threads)
    sums: Callable[[EntryMap, Any, int | None], Any]  # of flows [*batch, edges]: [*batch, entries]
    scalars: Callable[[Any, Sequence[Any]], Any]  # values in the common one of dtypes
    host: Callable[[Any], Any]  # values that users give, as NumPy takes them; None where the numbers cannot be read
    traced: Callable[[], bool]  # whether a tracer follows the call, and numbers cannot be read


@dataclass(frozen=True)
class LinearTheta:
    """theta, or z, of a graph or a batch of graphs with linear potentials: checked, and how gradients are returned."""

    dag: Any
    form: Form | bool  # of a batch of graphs; of one graph, whether a dict was given
    blocks: list[Any]  # [K] arrays [*own, entries]
    own: list[Shape]  # [K]
    dtypes: list[Any]  # [K] of gradients
    arrays: Arrays
    threads: int | None

    @classmethod
    def of(cls, dag: Graphs, values: Any, what: str, arrays: Arrays, threads: int | None) -> LinearTheta:
        """The checked values. Raises InputError as `dp_value` does, but for the numbers."""
        if isinstance(dag, CompiledBatch):
            form, blocks, own = dag.layout.pack(values, what, arrays.kind)
            if form.named:
                check_carried(own, what, [part.name for part in dag.layout.sections])
            return cls(dag, form, blocks, own, [arrays.kind.dtype(block) for block in blocks], arrays, threads)
        keyed, given, own = collect(dag, values, what, arrays.kind.as_array)
        blocks = [a.reshape(*front, p.size) for a, front, p in zip(given, own, dag.potentials, strict=True)]
        return cls(dag, keyed, blocks, own, [arrays.kind.dtype(block) for block in blocks], arrays, threads)

    def weights(self, real: Any = None) -> Any:
        """[*own, edges] the weight of each edge, of the type `real`, by default float32 where every array fits it."""
        real = self.arrays.real_type(self.blocks) if real is None else real
        return self.arrays.weights(self.dag.linear, self.blocks, real, self.threads)

    def scalars(self, values: Any) -> Any:
        """Values or slopes [*batch] in the common dtype of theta."""
        return self.arrays.scalars(values, self.dtypes)

    def gradient(self, flows: Any) -> Any:
        """Flows on edges [*batch, edges] in the form of theta: of a parameter the sum over the batch."""
        batch = tuple(flows.shape[:-1])
        parameters = self.form if isinstance(self.form, bool) else self.form.named
        made, total = [], None
        for own, front, dtype in zip(self.dag.linear.potentials, self.own, self.dtypes, strict=True):
            mine = flows
            if parameters and front == () and batch != ():
                total = flows.reshape(-1, flows.shape[-1]).sum(0) if total is None else total
                mine = total
            made.append(self.arrays.kind.cast(self.arrays.sums(own, mine, self.threads), dtype))
        if isinstance(self.form, Form):
            return self.dag.layout.unpack(self.form, made, self.arrays.kind)
        shaped = [a.reshape((*a.shape[:-1], *p.shape)) for a, p in zip(made, self.dag.potentials, strict=True)]
        names = [potential.name for potential in self.dag.potentials]
        return dict(zip(names, shaped, strict=True)) if self.form else shaped[0]


class LinearFrontEnd:
    """The functions of a front end, for graphs with linear potentials.

    inner : the front end (a module) that serves graphs without them.
    """

    def __init__(self, inner: Any, arrays: Arrays) -> None:
        self.inner, self.arrays = inner, arrays

    def value(self, dag: Graphs, theta: Any, omega: Any, options: Options) -> Any:
        """DP_Ω(θ). See `dagdp.dp_value`."""
        (given,) = self._checked(dag, options, theta)
        return given.scalars(self._run("value", given, (theta,), omega, options, given.weights()))

    def grad(self, dag: Graphs, theta: Any, omega: Any, options: Options) -> Any:
        """∇DP_Ω(θ). See `dagdp.dp_grad`."""
        (given,) = self._checked(dag, options, theta)
        return given.gradient(self._run("grad", given, (theta,), omega, options, given.weights()))

    def value_and_grad(self, dag: Graphs, theta: Any, omega: Any, options: Options) -> tuple[Any, Any]:
        """(`value`, `grad`)."""
        (given,) = self._checked(dag, options, theta)
        value, flows = self._run("value_and_grad", given, (theta,), omega, options, given.weights())
        return given.scalars(value), given.gradient(flows)

    def jvp(self, dag: Graphs, theta: Any, z: Any, omega: Any, options: Options) -> Any:
        """<∇DP_Ω(θ), Z>. See `dagdp.dp_jvp`."""
        given, along = self._checked(dag, options, theta, z)
        return given.scalars(self._run("jvp", given, (theta, z), omega, options, given.weights(), along.weights()))

    def hvp(self, dag: Graphs, theta: Any, z: Any, omega: Any, options: Options) -> Any:
        """∇²DP_Ω(θ) Z. See `dagdp.dp_hvp`."""
        given, along = self._checked(dag, options, theta, z)
        return given.gradient(self._run("hvp", given, (theta, z), omega, options, given.weights(), along.weights()))

    def jvp_and_hvp(self, dag: Graphs, theta: Any, z: Any, omega: Any, options: Options) -> tuple[Any, Any]:
        """(`jvp`, `hvp`)."""
        given, along = self._checked(dag, options, theta, z)
        slope, flows = self._run("jvp_and_hvp", given, (theta, z), omega, options, given.weights(), along.weights())
        return given.scalars(slope), given.gradient(flows)

    def local_weights(self, dag: Graphs, theta: Any, omega: Any, options: Options) -> Any:
        """q of every edge. See `dagdp.local_weights`."""
        (given,) = self._checked(dag, options, theta)
        return given.scalars(self._run("local_weights", given, (theta,), omega, options, given.weights()))

    def _checked(self, dag: Graphs, options: Options, theta: Any, *z: Any) -> list[LinearTheta]:
        if z and z[0] is None:
            raise InputError("z is None; expected a direction, shaped and keyed like theta")
        labelled = zip(("theta", "z"), (theta, *z), strict=False)
        return [LinearTheta.of(dag, values, what, self.arrays, options.threads) for what, values in labelled]

    def _run(
        self, name: str, given: LinearTheta, user: tuple[Any, ...], omega: Any, options: Options, *weights: Any
    ) -> Any:
        """A function of `inner` on edge weights. An InputError names a fault in the user's own arrays if it can.

        user : theta, or theta and z, as the user gave them.
        """
        function = getattr(self.inner, name)
        if self.arrays.traced():
            return function(given.dag.plain, *weights, omega, options)
        try:
            return function(given.dag.plain, *weights, omega, options)
        except InputError:
            *values, start, end = [self.arrays.host(one) for one in (*user, options.start, options.end)]
            if all(one is not None for one in values):
                raise_faults(given.dag, values, options._replace(start=start, end=end))
            raise


def raise_faults(dag: Graphs, given: Sequence[Any], options: Options) -> None:
    """Raise InputError for the first entry of theta, or z, that makes a weight out of range, if a path reads it.

    given : theta, or theta and z, as NumPy arrays in the user's form.
    """
    sign = -1.0 if options.minimize else 1.0
    if isinstance(dag, CompiledBatch):
        batch = dag if options.end is None else dag.ending(options.end)
        packed = [batch.layout.pack(values, what, NUMPY) for values, what in zip(given, ("theta", "z"), strict=False)]
        shape = broadcast([("theta", own) for _, _, shapes in packed for own in shapes])
        real = real_type([array for _, arrays, _ in packed for array in arrays])
        weights = [arrange(form.named, arrays, shapes, shape, real) for form, arrays, shapes in packed]
        for number in range(len(batch.merged)):
            raise_faults_of_graphs(batch, number, weights, given, (sign, 1.0), shape)
        return
    collected = [collect(dag, values, what) for values, what in zip(given, ("theta", "z"), strict=False)]
    of_theta, of_z = [own for _, _, own in (*collected, (False, [], []))][:2]
    shape = batch_of(of_theta, of_z, terminal_shape(options.start, options.end, dag))
    real = real_type([array for _, arrays, _ in collected for array in arrays])
    starts, ends, _ = PathEnds(*dag.terminals(options.start, options.end, shape))
    for what, one, signed in zip(("theta", "z"), collected, (sign, 1.0), strict=False):
        raise_first_fault(dag, arrange(*one, shape, real), ends, what, lowest(what, real), signed, None, starts)


def weights_of_arrays(linear: LinearMap, blocks: list[Array], real: Any, threads: int | None = None) -> Array:
    """[*batch, edges] the weight of each edge, of the type `real`; blocks [K] of [*own, entries]."""
    own = broadcast([("theta", block.shape[:-1]) for block in blocks])
    rows = [block.reshape(-1 if block.ndim > 1 else 1, block.shape[-1]) for block in blocks]
    with np.errstate(over="ignore"):
        return edge_weights(linear, rows, threads).astype(real, copy=False).reshape(*own, linear.edges)


def _numpy_sums(own: EntryMap, flows: Array, threads: int | None) -> Array:
    rows = math.prod(flows.shape[:-1])
    return entry_sums(own, flows.reshape(rows, flows.shape[-1]), threads).reshape(*flows.shape[:-1], own.entries)


def _numpy_scalars(values: Any, dtypes: Sequence[Any]) -> Any:
    return narrowed("value", np.asarray(values), np.result_type(*dtypes))[()]


#: The front end for NumPy arrays.
numpy_front_end = LinearFrontEnd(
    run,
    Arrays(
        kind=NUMPY,
        real_type=real_type,
        weights=weights_of_arrays,
        sums=_numpy_sums,
        scalars=_numpy_scalars,
        host=lambda values: values,
        traced=lambda: False,
    ),
)
